//! On both engines: a signal while single tables are put back. What is one transaction took place or did not, and the
//! state says which.

use super::{SIGNALS, ended_well, stopped_in, stopped_twice_in};
use crate::promise::*;
use crate::support::*;

/// A filled database of which a backup was made, and in which rows were lost since; returns the backup's name.
fn lost_rows_of(db: &TestDatabase) -> (Sandbox, String) {
    let sandbox = filled_sample_of(db);
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    let backup = name_of(sandbox.backups().last().unwrap());
    db.execute("DELETE FROM training_metric WHERE step > 3;");
    at(&sandbox, 2);
    (sandbox, backup)
}

both_engines! {
    fn putting_tables_back_is_stopped_in_each_step_before_it_writes(db: &TestDatabase) {
        let (sandbox, backup) = lost_rows_of(db);
        let before = db.dump();
        let restore = ["restore", &backup, "--table", "training_metric"];
        let steps = ["snapshot", "prove", "publish", "restore-tables"];
        for (minute, (step, signal)) in (2..).zip(steps.iter().zip(SIGNALS.iter().cycle())) {
            at(&sandbox, minute);
            let run = stopped_in(&sandbox, *signal, step, &restore);
            ended_well(&sandbox, db, &before, &run);
        }
        at(&sandbox, 20);
        sandbox.ripcord(&restore).expect_code(0);
        assert_eq!(db.query("SELECT count(*) FROM training_metric;"), "60");
    }

    fn tables_that_were_put_back_before_the_signal_are_looked_at_all_the_same(db: &TestDatabase) {
        let (sandbox, backup) = lost_rows_of(db);
        let run = stopped_in(&sandbox, Signal::TERM, "verify", &["restore", &backup, "--table", "training_metric"]);
        run.expect_code(0).stdout_has("verify     ok");
        assert_eq!(db.query("SELECT count(*) FROM training_metric;"), "60");
        sandbox.ripcord(&["verify"]).expect_code(0);
        leaves_nothing_behind(&sandbox, db);
    }

    fn tables_whose_look_is_stopped_by_a_second_signal_stand_and_the_look_is_named_before_the_way_back(db: &TestDatabase) {
        let (sandbox, backup) = lost_rows_of(db);
        let before = db.dump();
        let restore = ["restore", &backup, "--table", "training_metric"];
        for minute in [2, 4] {
            at(&sandbox, minute);
            let run = stopped_twice_in(&sandbox, "verify", &restore);
            run.expect_code(5);
            says_three_parts(&run, "interrupted: the tables are put back, whether anything else changed was not looked at");
            run.stderr_has("state: the database was changed, and the change stands; the version rows are as they were");
            assert_eq!(db.query("SELECT count(*) FROM training_metric;"), "60");
            sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
            leaves_nothing_behind(&sandbox, db);
            at(&sandbox, minute + 1);
            assert_eq!(next_of(&run), ["verify"]);
            // What it did, held against what there was before.
            sandbox.ripcord(&["verify"]).expect_code(6).stdout_has("training_metric");
            let mut lines = run.stderr.lines().filter_map(|line| line.strip_prefix("next: ripcord "));
            let words: Vec<String> = lines.next_back().unwrap().split(' ').map(str::to_owned).collect();
            let back = follow(&sandbox, &words);
            back.expect_code(0);
            assert_same(&before, &db.dump(), &back);
        }
    }

    fn a_recovery_of_tables_that_is_stopped_says_the_same_when_it_is_run_again(db: &TestDatabase) {
        let (sandbox, backup) = lost_rows_of(db);
        let place = "before {\"event\":\"finished\",\"step\":\"restore-tables\"";
        sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", place);
        sandbox.ripcord(&["restore", &backup, "--table", "training_metric"]).expect_code(-6);
        sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
        let after = db.dump();
        for signal in SIGNALS {
            let run = stopped_in(&sandbox, signal, "put-back", &["recover", "--undo"]);
            run.expect_code(5);
            says_three_parts(&run, "interrupted");
            run.stderr_has("state: it is not known what state the data is in");
            assert_eq!(next_of(&run), ["recover"], "{run}");
            sandbox.ripcord(&["backup", "create"]).expect_code(8);
            assert_same(&after, &db.dump(), &run);
        }
        sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("the snapshot was put back");
        assert_eq!(db.query("SELECT count(*) FROM training_metric;"), "9");
        leaves_nothing_behind(&sandbox, db);
    }
}
