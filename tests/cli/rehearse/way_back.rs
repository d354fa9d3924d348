//! Whether the way back is what it says.

use super::*;

both_engines! {
    fn an_empty_downgrade_is_named(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE training_config ADD COLUMN note TEXT;", "");
        let found = ledger(&sandbox, db, &[]);
        assert_eq!(found["dishonest"], json!([{ "how": "empty", "revision": NEXT }]), "{found:#}");
        assert_eq!(found["not_brought_back"][0]["kind"], "added");
        assert_eq!(found["again"]["again"], "failed", "the column is there already\n{found:#}");
    }

    fn values_in_upper_case_are_transformed_and_lost_only_where_lower_case_does_not_bring_them_back(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&changes_data(ADD_PROCESS_RANK));
        let column = |found: &Value| entry(found, db, "training_config")["columns"]["model_type"].clone();
        let found = ledger(&sandbox, db, &[]);
        assert_eq!(column(&found), json!({ "fate": "transformed", "count": 3, "back": true }));
        assert_eq!(found["lost"], json!([]));
        db.execute("UPDATE training_config SET model_type = 'Mixed' WHERE id = 2;");
        at(&sandbox, 3);
        let found = ledger(&sandbox, db, &[]);
        assert_eq!(column(&found), json!({ "fate": "transformed", "count": 3, "back": false }));
        let lost = json!([{ "what": "values", "table": named(db, "training_config"), "column": "model_type", "count": 1 }]);
        assert_eq!(found["lost"], lost);
        assert_eq!(found["dishonest"][0]["count"], 1, "one value does not come back\n{found:#}");
    }

    fn a_migration_that_throws_dice_is_not_deterministic(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE training_config ADD COLUMN token TEXT;
UPDATE training_config SET token = CAST(random() AS TEXT);", "ALTER TABLE training_config DROP COLUMN token;");
        let found = ledger(&sandbox, db, &[]);
        let token = named(db, "training_config") + ".token";
        assert_eq!(found["again"], json!({ "again": "not-deterministic", "differs": [token] }), "{found:#}");
        sandbox.ripcord(&["rehearse"]).expect_code(0).stdout_has("not deterministic");
    }

    fn what_the_way_back_leaves_out_of_the_definitions_is_named(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let (trigger, function) = match db.backend() {
            Backend::Sqlite => ("CREATE TRIGGER sly AFTER UPDATE ON training_config BEGIN SELECT 1; END;", ""),
            Backend::Postgres => (
                "CREATE TRIGGER sly AFTER UPDATE ON training_config FOR EACH ROW EXECUTE FUNCTION sly();",
                "CREATE FUNCTION sly() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;",
            ),
        };
        db.execute(&format!("{function} {trigger}
ALTER TABLE training_config ADD COLUMN note TEXT DEFAULT 'none' CHECK (note <> '');
ALTER TABLE training_config ADD COLUMN tail INTEGER;
CREATE INDEX notes ON training_config (epochs);"));
        let drop_trigger = match db.backend() {
            Backend::Sqlite => "DROP TRIGGER sly;",
            Backend::Postgres => "DROP TRIGGER sly ON training_config;
COMMENT ON TABLE training_config IS 'other'; GRANT SELECT ON training_config TO PUBLIC;",
        };
        let drop_identity = match db.backend() {
            Backend::Sqlite => "",
            Backend::Postgres => "ALTER TABLE training_config ALTER COLUMN id DROP IDENTITY;",
        };
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK],
            &format!("{drop_identity} DROP INDEX notes; {drop_trigger} ALTER TABLE training_config DROP COLUMN note;"),
            "ALTER TABLE training_config ADD COLUMN note TEXT;");
        let found = ledger(&sandbox, db, &[]);
        let table = named(db, "training_config");
        let mut expected = vec![
            format!("index {table}.notes"), format!("trigger {table}.sly"), format!("column {table}.note"),
            format!("column order of {table}"),
        ];
        if db.backend() == Backend::Postgres {
            expected.extend([format!("option {table}.comment"), format!("option {table}.grants"), format!("column {table}.id")]);
        }
        let subjects = subjects(&found["not_brought_back"]);
        for each in &expected {
            assert!(subjects.contains(&each.as_str()), "{each} is missing in {subjects:?}");
        }
        assert!(subjects.iter().any(|subject| subject.starts_with("constraint ")), "{subjects:?}");
        let note = found["not_brought_back"].as_array().unwrap().iter().find(|change| change["subject"] == expected[2]);
        assert!(note.unwrap()["before"].as_str().unwrap().contains("DEFAULT"), "{note:?}");
    }

    fn a_revision_without_a_way_back_is_named_with_its_reason(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&Revision::new(NEXT).revises(ADD_PROCESS_RANK).directive("irreversible", "\"the old codes are gone\"")
            .upgrade("UPDATE training_config SET epochs = 0;"));
        let found = ledger(&sandbox, db, &[]);
        assert_eq!(found["irreversible"], json!([{ "revision": NEXT, "why": "the old codes are gone" }]), "{found:#}");
        assert_eq!(found["again"], json!({ "again": "not-run" }));
        assert_eq!(found["lost"][0]["what"], "values");
        let ways = found["ways_back"].as_array().unwrap();
        assert_eq!((ways.len(), &ways[0]["way"]), (1, &json!("restore")));
    }

    fn a_way_back_that_fails_is_what_a_rehearsal_finds(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE training_config ADD COLUMN note TEXT;", "DROP TABLE nowhere;");
        let run = sandbox.ripcord(&["rehearse"]);
        run.expect_code(0).stdout_has("no return  the way back failed").stdout_has("nowhere");
        leaves_nothing_behind(&sandbox, db);
    }

    fn a_downgrade_is_rehearsed_back_and_forth(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        db.execute("UPDATE training_metric SET process_rank = 1 WHERE id <= 4;");
        let found = ledger(&sandbox, db, &["--downgrade"]);
        assert_eq!((&found["direction"], &found["to"]), (&json!("down"), &json!([CREATE_TABLES])));
        let lost = json!([{ "what": "column", "table": named(db, "training_metric"), "column": "process_rank", "count": 4 }]);
        assert_eq!(found["lost"], lost);
        assert_eq!(found["dishonest"], json!([]), "an upgrade promises to bring nothing back");
        assert_eq!(db.version(), ADD_PROCESS_RANK);
    }

    fn several_revisions_go_there_and_back_in_order_with_the_time_of_each(db: &TestDatabase) {
        let sandbox = sample_of(db);
        for revision in branches_and_merge(ADD_PROCESS_RANK) {
            sandbox.add(&revision);
        }
        let found = ledger(&sandbox, db, &["heads"]);
        let revisions = found["revisions"].as_array().unwrap();
        assert_eq!(revisions.len(), 5);
        for run in revisions {
            assert!(run["there"].is_f64() && run["back"].is_f64() && run["again"].is_f64(), "{run:#}");
        }
        assert_eq!(found["not_brought_back"], json!([]), "{found:#}");
        assert_eq!(found["again"], json!({ "again": "same" }));
        sandbox.ripcord(&["rehearse", "heads"]).expect_code(0).stdout_has("nothing would be lost for good");
    }
}
