//! On both engines: a signal while an interrupted operation is brought to its end. It stays open, and the same command
//! goes on.

use super::{SIGNALS, stopped_in};
use crate::promise::*;
use crate::support::*;

const FIRST: &str = "ffff00000001";
const SECOND: &str = "ffff00000002";

/// Lets a command die there.
fn dies(sandbox: &Sandbox, place: &str, arguments: &[&str]) {
    sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", place);
    sandbox.ripcord(arguments).expect_code(-6);
    sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
}

/// The recovery was stopped where nobody may call it over: that is said, the operation is open, and recovery is next.
#[track_caller]
fn stays_open(sandbox: &Sandbox, run: &Run, state: &str) {
    run.expect_code(5);
    says_three_parts(run, "interrupted");
    run.stderr_has(&format!("state: {state}"));
    assert_eq!(next_of(run), ["recover"], "{run}");
    sandbox.ripcord(&["log"]).expect_code(0).stdout_has("UNFINISHED");
    sandbox.ripcord(&["backup", "create"]).expect_code(8);
}

both_engines! {
    fn a_recovery_that_is_stopped_as_it_verifies_leaves_the_operation_open(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        dies(&sandbox, "before {\"event\":\"started\",\"step\":\"verify\"", &["downgrade"]);
        let after = db.dump();
        for signal in SIGNALS {
            let run = stopped_in(&sandbox, signal, "verify", &["recover"]);
            stays_open(&sandbox, &run, "it is not known what state the data is in");
            run.stderr_has(&format!("the version rows moved from {ADD_PROCESS_RANK} to {CREATE_TABLES}"));
            assert_same(&after, &db.dump(), &run);
        }
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0).stdout_has("verify     ok");
        assert_same(&after, &db.dump(), &run);
        assert_eq!(db.version(), CREATE_TABLES);
        sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
        leaves_nothing_behind(&sandbox, db);
    }

    fn a_recovery_that_is_stopped_as_it_goes_on_is_gone_on_with(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.revision(FIRST, &[ADD_PROCESS_RANK], "UPDATE training_config SET epochs = 77;", "");
        sandbox.revision(SECOND, &[FIRST], "UPDATE training_metric SET step = step + 1;", "");
        let steps: i64 = db.query("SELECT sum(step) FROM training_metric;").parse().unwrap();
        let upgrade = ["upgrade", "--no-rehearsal", "--accept", "opaque"];
        dies(&sandbox, &format!("before {{\"event\":\"script-started\",\"revision\":\"{SECOND}\""), &upgrade);
        let half_way = db.dump();
        for signal in SIGNALS {
            let run = stopped_in(&sandbox, signal, "migrate", &["recover"]);
            stays_open(&sandbox, &run, "it is not known what state the data is in");
            run.stderr_has(&format!("the version rows moved from {ADD_PROCESS_RANK} to {FIRST}"));
            assert_same(&half_way, &db.dump(), &run);
        }
        sandbox.ripcord(&["recover"]).expect_code(0);
        assert_eq!(db.version(), SECOND);
        // Once, not twice.
        assert_eq!(db.query("SELECT sum(step) FROM training_metric;"), (steps + 60).to_string());
        leaves_nothing_behind(&sandbox, db);
    }

    fn a_recovery_of_a_restore_that_is_stopped_as_it_puts_back_is_gone_on_with(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        db.execute("DELETE FROM training_metric;");
        let before = db.dump();
        at(&sandbox, 2);
        dies(&sandbox, "before {\"event\":\"finished\",\"step\":\"swap\"", &["restore", "latest"]);
        for signal in SIGNALS {
            let run = stopped_in(&sandbox, signal, "put-back", &["recover", "--undo"]);
            stays_open(&sandbox, &run, "it is not known what state the data is in");
        }
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0).stdout_has("put back   ok");
        assert_same(&before, &db.dump(), &run);
        leaves_nothing_behind(&sandbox, db);
    }
}
