//! A way down in several steps that is broken off in a step, or between two of them.

use super::legs::{DROPS, FILLED, MADE, RENAMES, ROWS, THIRD, one_by_one};
use super::*;

const ALL_BACK: &str = "1|one|west|10\n2|two|wool|20\n3||wind|30";
/// The end of the first step: that of the rehearsal of the whole way is `unchanged`.
const FIRST_HAS_ENDED: &str = "after {\"event\":\"ended\",\"aftermath\":\"changed\"";

#[track_caller]
fn stopped_at(sandbox: &Sandbox, place: &str) -> Run {
    sandbox.env("RIPCORD_STOP_AT_CHECKPOINT", format!("INT:{place}"));
    let run = sandbox.ripcord(&["downgrade", "-2"]);
    sandbox.env_remove("RIPCORD_STOP_AT_CHECKPOINT");
    run.stderr_has("stopping");
    run
}

#[track_caller]
fn dies_at(sandbox: &Sandbox, place: &str) {
    sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", place);
    let died = sandbox.ripcord(&["downgrade", "-2"]);
    sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
    assert!(died.stderr.contains("ripcord died at checkpoint"), "{died}");
}

both_engines! {
    fn a_wish_to_stop_at_the_end_of_a_step_is_heard_before_the_next_one(db: &TestDatabase) {
        let heard = "after {\"event\":\"started\",\"step\":\"merge-back\"";
        for place in [heard, "after {\"event\":\"finished\",\"step\":\"merge-back\"", FIRST_HAS_ENDED] {
            let sandbox = one_by_one(db, RENAMES, DROPS);
            let run = stopped_at(&sandbox, place);
            run.expect_code(5);
            says_three_parts(&run, "interrupted");
            run.stderr_has("state: step 1 of 2 stands; of step 2: nothing was changed");
            assert_eq!(db.version(), SECOND, "{place}: {run}");
            run.stderr_has(&format!("next: to go on with what is left: ripcord downgrade {FIRST}\n"));
            run.stderr_has("next: or undo the steps that stand: ripcord restore ");
            accepting(&sandbox, &["downgrade", FIRST]).expect_code(0);
            assert_eq!(db.query(ROWS), ALL_BACK, "{place}");
            forget(db);
        }
    }

    fn after_a_crash_between_two_steps_recovery_says_what_stands_and_both_ways_on(db: &TestDatabase) {
        for goes_on in [true, false] {
            let sandbox = one_by_one(db, RENAMES, DROPS);
            let before = db.query("SELECT id, w, n FROM t ORDER BY id;");
            dies_at(&sandbox, FIRST_HAS_ENDED);
            assert_eq!(db.version(), SECOND);
            let (go_on, run) = (format!("ripcord downgrade {FIRST}"), sandbox.ripcord(&["recover"]));
            run.expect_code(0).stdout_has("nothing to recover").stdout_has("step 1 of 2 of a downgrade, and it stands");
            run.stdout_has(&format!("to go on with it: {go_on}\n"));
            let json = sandbox.ripcord(&["recover", "--format", "json"]);
            let between = report(&json)["result"]["between_steps"].clone();
            assert_eq!((&between["step"], &between["go_on"]), (&json!("1 of 2"), &json!(go_on)), "{json}");
            let back = between["undo"].as_str().expect("a way back").to_owned();
            run.stdout_has(&format!("to go back to before its first step: {back}\n"));
            let command = if goes_on { &go_on } else { &back };
            let words: Vec<&str> = command.split(' ').skip(1).collect();
            accepting(&sandbox, &words).expect_code(0);
            match goes_on {
                true => assert_eq!(db.query(ROWS), ALL_BACK),
                false => assert_eq!((db.version().as_str(), db.query("SELECT id, w, n FROM t ORDER BY id;")), (THIRD, before)),
            }
            // Now there is no way that was broken off.
            sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("nothing to recover").stdout_lacks("step");
            forget(db);
        }
    }

    fn what_is_left_of_the_way_waits_for_a_merge_that_was_stopped(db: &TestDatabase) {
        let sandbox = one_by_one(db, RENAMES, DROPS);
        let backup = super::by_hand::upgrade_backup(&sandbox);
        sandbox.env("RIPCORD_STOP_AT_CHECKPOINT", "INT,TERM:after {\"event\":\"started\",\"step\":\"merge-back\"");
        let run = sandbox.ripcord(&["downgrade", "-2"]);
        sandbox.env_remove("RIPCORD_STOP_AT_CHECKPOINT");
        run.expect_code(5).stderr_has("its salvage is not merged back").stderr_lacks("next: to go on with what is left");
        let later = format!("when that merge is done, go on with what is left: ripcord downgrade {FIRST}");
        run.stderr_has(&format!("next: ripcord backup merge-back {backup}\n")).stderr_has(&later);
        follow(&sandbox, &next_of(&run)).expect_code(0);
        accepting(&sandbox, &["downgrade", FIRST]).expect_code(0);
        assert_eq!(db.query(ROWS), ALL_BACK);
    }
}

/// A statement goes on when its client is killed.
#[test]
fn what_a_later_step_was_doing_on_the_server_when_it_was_killed_is_ended_by_recovery() {
    let options = Postgres::options().setting("log_lock_waits", "on").setting("deadlock_timeout", "10ms");
    let db = TestDatabase::postgres_server(options.start());
    let sandbox = project(&db, MADE, FILLED, "SELECT 1;", "SELECT 1;");
    sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"2min\"\n");
    let waits =
        "SELECT pg_advisory_lock(7);\nSELECT pg_advisory_unlock(7);\nALTER TABLE t RENAME COLUMN y TO x;";
    let second = Revision::new(SECOND).revises(FIRST).directive("transaction", "none");
    sandbox.add(&second.upgrade(RENAMES.0).downgrade(waits));
    upgrade(&sandbox);
    sandbox.revision(THIRD, &[SECOND], DROPS.0, DROPS.1);
    upgrade(&sandbox);

    let mut gate = db.session();
    gate.execute("SELECT pg_advisory_lock(7);");
    let running = sandbox.spawn(&["downgrade", "-2", "--accept", "opaque"]);
    db.server().wait_for_log("still waiting for ExclusiveLock on advisory lock");
    let operations = sandbox.files("backups/.operations");
    let second = operations.iter().max().expect("a journal").trim_end_matches(".jsonl");
    sandbox.ripcord(&["backup", "create"]).expect_code(7).stderr_has(&format!("ripcord:{second}"));
    running.signal(Signal::KILL);
    running.wait();
    let run = sandbox.ripcord(&["recover"]);
    run.expect_code(0).stdout_has("ended the sessions that the operation had left on the server");
    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'ripcord%';";
    assert_eq!(db.query(left), "0", "{run}");
}
