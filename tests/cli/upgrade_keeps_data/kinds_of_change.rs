//! Each kind of change that can lose data: what it must keep it keeps, and its backup brings the rest back.

use super::rows;
use crate::promise::*;
use crate::support::*;

both_engines! {
    fn a_dropped_column_comes_back_with_its_values_by_the_backup(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&drops_a_column(ADD_PROCESS_RANK));
        let steps = "SELECT id, warmup_steps FROM training_config ORDER BY id;";
        let (before, kept, values) = (db.dump(), rows(db), db.query(steps));
        let run = sandbox.ripcord(&["upgrade", "--accept", "drops-column:training_config.warmup_steps"]);
        run.expect_code(0).stdout_has("gone").stdout_has("warmup_steps");
        assert_eq!(rows(db), kept);
        assert!(db.try_query("SELECT warmup_steps FROM training_config;").is_err());
        let backup = name_of(&sandbox.backups().pop().unwrap());

        at(&sandbox, 2);
        follow(&sandbox, &undo_of(&run)).expect_code(0);
        // The way back made the column anew with zeros; what was salvaged is merged into it.
        assert_eq!(db.query(steps), values);
        assert_eq!(rows(db), kept);

        at(&sandbox, 3);
        let run = sandbox.ripcord(&["restore", &backup]);
        run.expect_code(0);
        assert_same(&before, &db.dump(), &run);
    }

    fn a_changed_type_keeps_the_values_both_ways(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&changes_a_type(ADD_PROCESS_RANK));
        let kept = rows(db);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        assert_eq!(rows(db), kept);
        let text = match db.backend() {
            Backend::Sqlite => "SELECT DISTINCT typeof(step) FROM training_metric;",
            Backend::Postgres => "SELECT DISTINCT pg_typeof(step) FROM training_metric;",
        };
        assert_eq!(db.query(text), "text");
        at(&sandbox, 2);
        sandbox.ripcord(&["downgrade"]).expect_code(0);
        assert_eq!((rows(db), db.query(text)), (kept, "integer".to_owned()));
    }

    fn a_data_migration_goes_up_and_down(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&changes_data(ADD_PROCESS_RANK));
        let kept = rows(db);
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(0).stdout_has("model_type");
        assert_eq!(db.query("SELECT model_type FROM training_config ORDER BY id;"), "MODEL-1\nMODEL-2\nMODEL-3");
        at(&sandbox, 2);
        sandbox.ripcord(&["downgrade"]).expect_code(0);
        assert_eq!(rows(db), kept);
    }

    fn two_branches_meet_in_their_merge(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let [note, run, merge] = branches_and_merge(ADD_PROCESS_RANK);
        sandbox.add(&note);
        sandbox.add(&run);
        let kept = rows(db);
        refuses(&sandbox, db, &["upgrade", "head"], 2, "Multiple head revisions are present");
        sandbox.ripcord(&["upgrade", ADD_NOTE]).expect_code(0);
        assert_eq!(db.version(), ADD_NOTE);
        at(&sandbox, 2);
        sandbox.ripcord(&["upgrade", ADD_RUN_TABLE]).expect_code(0);
        assert_eq!(db.version(), format!("{ADD_NOTE} {ADD_RUN_TABLE}"));
        db.execute("INSERT INTO training_run VALUES (1, 1);");
        sandbox.add(&merge);
        at(&sandbox, 3);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        assert_eq!(db.version(), MERGE_NOTE_AND_RUN);
        assert_eq!((rows(db), db.query("SELECT * FROM training_run;")), (kept.clone(), "1|1".to_owned()));

        at(&sandbox, 4);
        sandbox.ripcord(&["downgrade", ADD_PROCESS_RANK, "--accept", "drops-table:training_run"]).expect_code(0);
        assert_eq!((db.version().as_str(), rows(db)), (ADD_PROCESS_RANK, kept.clone()));
        at(&sandbox, 5);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        assert_eq!((db.version().as_str(), rows(db)), (MERGE_NOTE_AND_RUN, kept));
        leaves_nothing_behind(&sandbox, db);
    }

    fn a_revision_that_fails_is_undone_with_all_its_statements(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.revision(
            "aaaa00000001",
            &[ADD_PROCESS_RANK],
            "UPDATE training_config SET model_type = 'gone';\nALTER TABLE training_config ADD COLUMN extra INTEGER;\nINSERT INTO nowhere VALUES (1);",
            "",
        );
        let run = refuses(&sandbox, db, &["upgrade", "--no-rehearsal", "--accept", "opaque"], 4, "nowhere");
        // The file and the line of the statement are what a person needs to mend it.
        run.stderr_has("aaaa00000001_revision_aaaa00000001.sql").stderr_has("line 10");
        assert_eq!(sandbox.backups().len(), 2, "the proven way back is kept");
        sums_are_right(&sandbox, &sandbox.backups()[1]);
        leaves_nothing_behind(&sandbox, db);
    }

    fn when_the_second_of_two_revisions_fails_the_first_is_put_back_as_well(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&drops_a_column(ADD_PROCESS_RANK));
        sandbox.revision("aaaa00000002", &[DROP_WARMUP_STEPS], "INSERT INTO nowhere VALUES (1);", "");
        let before = db.dump();
        let run = sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]);
        run.expect_code(4);
        says_three_parts(&run, "nowhere");
        run.stderr_has("state: the snapshot was put back");
        assert_same(&before, &db.dump(), &run);
        assert_eq!(db.version(), ADD_PROCESS_RANK);
        at(&sandbox, 2);
        sandbox.ripcord(&["upgrade", DROP_WARMUP_STEPS, "--accept", "drops-column:training_config.warmup_steps"]).expect_code(0);
    }

    fn asked_to_stop_a_failed_change_stands_where_it_stopped_and_names_the_ways_on(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&drops_a_column(ADD_PROCESS_RANK));
        sandbox.revision("aaaa00000002", &[DROP_WARMUP_STEPS], "INSERT INTO nowhere VALUES (1);", "");
        let before = db.dump();
        let run = sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque", "--on-failure", "stop"]);
        run.expect_code(5);
        says_three_parts(&run, "nowhere");
        assert_eq!(db.version(), DROP_WARMUP_STEPS);
        let backup = name_of(&sandbox.backups().pop().unwrap());
        run.stderr_has(&format!("next: ripcord restore {backup}"));
        run.stderr_has("next: ripcord upgrade head").stderr_has(&format!("next: ripcord downgrade {ADD_PROCESS_RANK}"));
        at(&sandbox, 2);
        let run = sandbox.ripcord(&["restore", &backup]);
        run.expect_code(0);
        assert_same(&before, &db.dump(), &run);
    }

    fn a_revision_that_breaks_a_key_is_undone(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.revision("aaaa00000003", &[ADD_PROCESS_RANK], "DELETE FROM training_config WHERE id = 1;", "");
        let run = refuses(&sandbox, db, &["upgrade"], 4, "foreign key");
        run.stderr_has("training_metric");
    }

    fn an_empty_revision_only_moves_the_version(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.revision("aaaa00000004", &[ADD_PROCESS_RANK], "", "");
        let kept = rows(db);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        assert_eq!((db.version().as_str(), rows(db)), ("aaaa00000004", kept));
    }
}
