//! On both engines: a signal that comes as a step begins, in every step that can be stopped.

use super::{SIGNALS, ended_well, goes_on, stopped_in, stopped_twice_in};
use crate::promise::*;
use crate::support::*;

const DROPS: &str = "drops-column:training_config.warmup_steps";

both_engines! {
    fn an_upgrade_is_stopped_in_each_step_before_it_is_done(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&drops_a_column(ADD_PROCESS_RANK));
        let before = db.dump();
        let upgrade = ["upgrade", "--accept", DROPS];
        let steps =
            ["snapshot", "prove", "rehearse", "rehearse-back", "salvage", "rehearse-again", "publish", "migrate"];
        for (minute, (step, signal)) in (2..).zip(steps.iter().zip(SIGNALS.iter().cycle())) {
            at(&sandbox, minute);
            let run = stopped_in(&sandbox, *signal, step, &upgrade);
            ended_well(&sandbox, db, &before, &run);
            let published = usize::from(*step == "migrate");
            assert_eq!(sandbox.backups().len(), 1 + published, "{step}: {run}");
        }
        at(&sandbox, 20);
        goes_on(&sandbox, db, &upgrade, DROP_WARMUP_STEPS);
    }

    fn a_rehearsal_is_stopped_in_each_step_and_leaves_no_copy(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&drops_a_column(ADD_PROCESS_RANK));
        let before = db.dump();
        let steps = ["snapshot", "prove", "rehearse", "rehearse-back", "rehearse-again"];
        for (minute, (step, signal)) in (2..).zip(steps.iter().zip(SIGNALS.iter().cycle())) {
            at(&sandbox, minute);
            let run = stopped_in(&sandbox, *signal, step, &["rehearse"]);
            ended_well(&sandbox, db, &before, &run);
        }
    }

    fn a_merge_by_hand_is_stopped_in_each_step_before_it_writes(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&drops_a_column(ADD_PROCESS_RANK));
        sandbox.ripcord(&["upgrade", "--accept", DROPS]).expect_code(0);
        let salvage = name_of(&sandbox.backups()[1]);
        at(&sandbox, 2);
        sandbox.ripcord(&["downgrade", "--no-merge"]).expect_code(0);
        let before = db.dump();
        let merge = ["backup", "merge-back", &salvage];
        let steps = ["snapshot", "prove", "publish", "merge-back"];
        for (minute, (step, signal)) in (3..).zip(steps.iter().zip(SIGNALS.iter().cycle())) {
            at(&sandbox, minute);
            let run = stopped_in(&sandbox, *signal, step, &merge);
            ended_well(&sandbox, db, &before, &run);
        }
        at(&sandbox, 20);
        sandbox.ripcord(&merge).expect_code(0);
        assert_eq!(db.query("SELECT warmup_steps FROM training_config ORDER BY id;"), "101\n102\n103");
    }

    fn a_downgrade_is_stopped_while_its_edited_way_back_is_tried(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let revision = drops_a_column(ADD_PROCESS_RANK);
        let broken = Revision::new(DROP_WARMUP_STEPS).revises(ADD_PROCESS_RANK).message("Drop warmup_steps from training_config");
        let broken = broken.upgrade("ALTER TABLE training_config DROP COLUMN warmup_steps;");
        sandbox.add(&broken.downgrade("SELECT broken FROM nowhere;"));
        let irreversible = format!("irreversible:{DROP_WARMUP_STEPS}");
        sandbox.ripcord(&["upgrade", "--accept", DROPS, "--accept", &irreversible]).expect_code(0);
        let before = db.dump();
        sandbox.add(&revision);
        at(&sandbox, 2);
        let run = stopped_in(&sandbox, Signal::INT, "renew", &["downgrade"]);
        ended_well(&sandbox, db, &before, &run);
        at(&sandbox, 3);
        goes_on(&sandbox, db, &["downgrade"], ADD_PROCESS_RANK);
        assert_eq!(db.query("SELECT warmup_steps FROM training_config ORDER BY id;"), "101\n102\n103");
    }

    /// The downgrade stands and was verified: only its salvage waits.
    fn a_downgrade_that_is_stopped_twice_as_it_merges_names_the_command_that_merges_later(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&drops_a_column(ADD_PROCESS_RANK));
        sandbox.ripcord(&["upgrade", "--accept", DROPS]).expect_code(0);
        at(&sandbox, 2);
        let run = stopped_twice_in(&sandbox, "merge-back", &["downgrade"]);
        run.expect_code(5);
        says_three_parts(&run, "interrupted: the downgrade is done and verified, its salvage is not merged back");
        run.stderr_has(&format!("the version rows moved from {DROP_WARMUP_STEPS} to {ADD_PROCESS_RANK}"));
        assert_eq!(db.version(), ADD_PROCESS_RANK);
        sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
        at(&sandbox, 3);
        follow(&sandbox, &next_of(&run)).expect_code(0);
        assert_eq!(db.query("SELECT warmup_steps FROM training_config ORDER BY id;"), "101\n102\n103");
    }

    /// What was asked for is done: the look that tells so is taken all the same.
    fn a_restore_that_is_stopped_after_its_swap_is_verified(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let backup = name_of(sandbox.backups().last().unwrap());
        let before = db.dump();
        for (minute, signal) in (2..).zip(SIGNALS) {
            db.execute("DELETE FROM training_metric;");
            at(&sandbox, minute);
            let run = stopped_in(&sandbox, signal, "verify", &["restore", &backup]);
            run.expect_code(0).stdout_has("verify     ok");
            assert_same(&before, &db.dump(), &run);
            sandbox.ripcord(&["verify"]).expect_code(0);
        }
    }

    fn a_recovery_that_is_stopped_can_be_run_again(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let before = db.dump();
        let half_way = Revision::new("ffff00000001").revises(ADD_PROCESS_RANK).directive("transaction", "none");
        sandbox.add(&half_way.upgrade("UPDATE training_config SET epochs = 77;\nSELECT 1;").downgrade("SELECT 1;"));
        sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", "before {\"event\":\"statement-finished\"");
        sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]).expect_code(-6);
        sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
        for (step, signal) in ["snapshot", "publish"].into_iter().zip(SIGNALS) {
            let run = stopped_in(&sandbox, signal, step, &["recover", "--undo"]);
            run.expect_code(5);
            says_three_parts(&run, "interrupted");
            sandbox.ripcord(&["backup", "create"]).expect_code(8);
        }
        let run = sandbox.ripcord(&["recover", "--undo"]);
        run.expect_code(0);
        assert_same(&before, &db.dump(), &run);
        leaves_nothing_behind(&sandbox, db);
    }
}

/// On PostgreSQL it is not proven that nobody else wrote, so there it is brought to its end.
#[test]
fn a_verification_that_is_stopped_puts_the_snapshot_back() {
    for signal in SIGNALS {
        let db = TestDatabase::sqlite();
        let sandbox = filled_sample_of(&db);
        let before = db.dump();
        let run = stopped_in(&sandbox, signal, "verify", &["downgrade"]);
        ended_well(&sandbox, &db, &before, &run);
        run.stderr_has("state: the snapshot was put back");
    }
}
