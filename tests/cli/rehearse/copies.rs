//! The copy, and what lies around it.

use super::*;
use crate::interrupts::SIGNALS;

both_engines! {
    fn the_database_is_only_read_to_the_byte(db: &TestDatabase) {
        let sandbox = with(db, "DELETE FROM training_metric; DROP TABLE training_metric; UPDATE training_config SET epochs = 0;",
            "CREATE TABLE training_metric (id INTEGER PRIMARY KEY);");
        let fingerprints = || report(&sandbox.ripcord(&["verify", "--format", "json"]))["result"]["check"].clone();
        let (before, compared) = (state(db), fingerprints());
        let run = sandbox.ripcord(&["rehearse"]);
        run.expect_code(0).stdout_has("the database was only read");
        assert!(state(db) == before, "{run}");
        assert!(compared["comparison"].is_object(), "{compared}");
        assert_eq!(fingerprints(), compared);
        leaves_nothing_behind(&sandbox, db);
        assert_eq!(sandbox.backups().len(), 1, "a rehearsal publishes no backup");
    }

    fn a_migration_that_fails_on_the_copy_leaves_nothing(db: &TestDatabase) {
        let sandbox = with(db, "DELETE FROM training_metric; INSERT INTO nowhere VALUES (1);", "");
        let before = state(db);
        let run = sandbox.ripcord(&["rehearse"]);
        run.expect_code(4);
        says_three_parts(&run, "nowhere");
        run.stderr_has("state: nothing was changed");
        assert!(state(db) == before, "{run}");
        leaves_nothing_behind(&sandbox, db);
        sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
    }

    fn a_rehearsal_that_is_interrupted_leaves_nothing(db: &TestDatabase) {
        let endless = match db.backend() {
            Backend::Sqlite => "CREATE TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS i FROM n;",
            Backend::Postgres => "SELECT pg_sleep(1000);",
        };
        let sandbox = with(db, endless, "");
        for signal in SIGNALS {
            let before = state(db);
            let mut running = sandbox.spawn(&["rehearse"]);
            running.wait_for_line("prove");
            running.signal(signal);
            let run = running.wait();
            run.expect_code(130);
            says_three_parts(&run, "interrupted");
            assert!(state(db) == before, "{run}");
            leaves_nothing_behind(&sandbox, db);
        }
    }

    fn on_an_empty_copy_definitions_are_rehearsed_and_it_is_said_what_cannot_be_seen(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE training_config DROP COLUMN warmup_steps; UPDATE training_metric SET epoch = 0;",
            "ALTER TABLE training_config ADD COLUMN warmup_steps INTEGER;");
        db.execute("CREATE VIEW recent AS SELECT id FROM training_metric; CREATE INDEX losses ON training_metric (train_loss);");
        let run = sandbox.ripcord(&["rehearse", "--proof", "schema", "--deny", "loss"]);
        run.expect_code(3).stdout_has("warmup_steps: nobody can say how many values").stdout_has("not seen   the copy has no rows");
        let found = ledger(&sandbox, db, &["--proof", "schema"]);
        assert_eq!(found["rows_seen"], false);
        assert_eq!(entry(&found, db, "training_metric")["rows_before"], 0);
        assert_eq!(found["again"], json!({ "again": "same" }), "{found:#}");
        assert_eq!(found["ways_back"].as_array().unwrap().len(), 1, "a restore was not measured");
    }

    fn at_the_head_there_is_nothing_to_rehearse(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.ripcord(&["rehearse"]).expect_code(0).stdout_has("nothing to rehearse");
    }

    fn a_column_that_is_filled_from_another_one_is_its_copy_although_rows_come_and_go(db: &TestDatabase) {
        let there = |fill: &str| format!("ALTER TABLE word ADD COLUMN more VARCHAR(9); {fill}
DELETE FROM word WHERE id = 2; INSERT INTO word (id, text, kind) VALUES (7, 'seven', 'x');");
        let back = "ALTER TABLE word DROP COLUMN more; DELETE FROM word WHERE id = 7;";
        let sandbox = with(db, &there("UPDATE word SET more = text;"), back);
        db.execute("CREATE TABLE word (id INTEGER PRIMARY KEY, text VARCHAR(9), kind VARCHAR(9), number INTEGER);
INSERT INTO word VALUES (1, 'one', 'a', 1), (2, 'two', 'b', 2), (3, 'three', 'a', 3);");
        let word = named(db, "word");
        let more = || entry(&ledger(&sandbox, db, &[]), db, "word")["columns"]["more"].clone();
        assert_eq!(more(), json!({ "fate": "added", "copy_of": format!("{word}.text") }));
        let told = format!("added    column {word}.more, a copy of {word}.text");
        sandbox.ripcord(&["rehearse"]).expect_code(0).stdout_has(&told);
        let is_none = |fill: &str| {
            sandbox.revision(NEXT, &[ADD_PROCESS_RANK], &there(fill), back);
            assert_eq!(more(), json!({ "fate": "added" }), "{fill}");
        };
        is_none("UPDATE word SET more = text WHERE id < 3;");
        // In all rows that stay there is one value, which any other column of that value is like.
        is_none("UPDATE word SET more = 'a';");
        is_none("UPDATE word SET more = text; DELETE FROM word;");
    }

    fn tables_whose_rows_are_written_anew_are_named(db: &TestDatabase) {
        let sandbox = match db.backend() {
            Backend::Postgres => with(db, "ALTER TABLE training_config ALTER COLUMN epochs TYPE BIGINT;",
                "ALTER TABLE training_config ALTER COLUMN epochs TYPE INTEGER;"),
            Backend::Sqlite => with(db, "CREATE TABLE other AS SELECT * FROM training_metric;
DROP TABLE training_metric; ALTER TABLE other RENAME TO training_metric;", ""),
        };
        let table = if db.backend() == Backend::Postgres { "training_config" } else { "training_metric" };
        let found = ledger(&sandbox, db, &[]);
        assert_eq!(found["revisions"][0]["rewritten"], json!([named(db, table)]), "{found:#}");
    }
}

#[test]
fn a_change_of_type_that_keeps_the_number_is_seen_in_a_file() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    sandbox.add(&changes_a_type(ADD_PROCESS_RANK));
    let found = ledger(&sandbox, &db, &[]);
    let step = &entry(&found, &db, "training_metric")["columns"]["step"];
    assert_eq!(*step, json!({ "fate": "transformed", "count": 60, "back": true }), "{found:#}");
}

#[test]
fn a_file_in_wal_mode_is_rehearsed_without_touching_its_wal() {
    let db = TestDatabase::sqlite();
    let sandbox = with(&db, "DELETE FROM training_metric;", "");
    db.execute("PRAGMA journal_mode = WAL; UPDATE training_config SET epochs = 4;");
    let before = state(&db);
    let found = ledger(&sandbox, &db, &[]);
    assert_eq!(found["lost"][0]["count"], 60);
    assert!(state(&db) == before);
}

mod postgres {
    use super::*;

    #[test]
    fn the_strongest_lock_on_each_table_is_named() {
        let db = TestDatabase::postgres();
        let sandbox = with(
            &db,
            "SELECT count(*) FROM training_config; UPDATE training_config SET epochs = 1;
CREATE INDEX steps ON training_metric (step); CREATE TABLE fresh (id INTEGER PRIMARY KEY);",
            "DROP TABLE fresh; DROP INDEX steps;",
        );
        let found = ledger(&sandbox, &db, &[]);
        let locks =
            json!({ "public.training_config": "RowExclusiveLock", "public.training_metric": "ShareLock" });
        assert_eq!(found["revisions"][0]["locks"], locks, "{found:#}");
        sandbox.ripcord(&["rehearse"]).stdout_has("  lock     public.training_metric: ShareLock");
    }

    #[test]
    fn a_lock_that_is_given_up_before_the_end_is_named_as_well() {
        let db = TestDatabase::postgres();
        let sandbox = with(
            &db,
            "DO $$BEGIN BEGIN LOCK TABLE training_config IN ACCESS EXCLUSIVE MODE; PERFORM pg_sleep(0.5);
RAISE EXCEPTION 'no'; EXCEPTION WHEN OTHERS THEN NULL; END; END$$;",
            "",
        );
        let locks = |found: &Value| found["revisions"][0]["locks"].clone();
        let found = ledger(&sandbox, &db, &[]);
        assert_eq!(locks(&found), json!({ "public.training_config": "AccessExclusiveLock" }), "{found:#}");

        // Each statement by itself: one that must not be in a transaction, and one that may.
        db.execute(
            "CREATE FUNCTION slow(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
$$BEGIN IF $1 = 1 THEN PERFORM pg_sleep(0.5); END IF; RETURN $1; END$$;",
        );
        let revision = Revision::new(NEXT).revises(ADD_PROCESS_RANK).directive("transaction", "none");
        sandbox.add(
            &revision
                .upgrade(
                    "CREATE INDEX CONCURRENTLY steps ON training_metric (slow(id));
VACUUM FULL training_config;",
                )
                .downgrade(
                    "DROP INDEX CONCURRENTLY steps; ALTER TABLE training_config ADD COLUMN x integer;",
                ),
        );
        let found = ledger(&sandbox, &db, &[]);
        let metric = &locks(&found)["public.training_metric"];
        assert_eq!(*metric, "ShareUpdateExclusiveLock", "{found:#}");
        assert_eq!(found["revisions"][0]["rewritten"], json!(["public.training_config"]), "{found:#}");
        let revision = Revision::new(NEXT).revises(ADD_PROCESS_RANK).directive("transaction", "none");
        sandbox.add(&revision.upgrade("ALTER TABLE training_config ADD COLUMN x integer;").downgrade(""));
        let found = ledger(&sandbox, &db, &[]);
        assert_eq!(locks(&found), json!({ "public.training_config": "AccessExclusiveLock" }), "{found:#}");
    }

    #[test]
    fn a_migration_sees_the_settings_of_its_database_on_the_copy() {
        let db = TestDatabase::postgres();
        let sandbox = with(&db, "CREATE TABLE where_am_i (id INTEGER);", "DROP TABLE where_am_i;");
        db.server().psql("postgres", "ALTER DATABASE app SET search_path = aside, public;");
        db.execute("CREATE SCHEMA aside;");
        let found = ledger(&sandbox, &db, &[]);
        let tables = found["tables"].as_array().unwrap();
        assert!(tables.iter().any(|entry| entry["table"] == "aside.where_am_i"), "{found:#}");
    }
}

/// Everything in the database, and the bytes of a file.
fn state(db: &TestDatabase) -> (String, Vec<u8>) {
    match db.backend() {
        // The bytes first: looking with the tool opens the file.
        Backend::Sqlite => {
            let bytes = std::fs::read(db.file()).unwrap();
            (db.dump(), bytes)
        }
        Backend::Postgres => (db.dump(), Vec::new()),
    }
}
