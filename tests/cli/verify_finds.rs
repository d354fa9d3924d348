//! `verify` compares at any time and names every difference; it changes nothing itself.

use crate::promise::*;
use crate::support::*;

/// `verify` finds a difference that it names so, and changes nothing; undone, it is content again.
#[track_caller]
fn is_found(sandbox: &Sandbox, db: &TestDatabase, change: &str, undo: &str, named: &[&str]) {
    db.execute(change);
    let before = db.dump();
    let run = sandbox.ripcord(&["verify"]);
    assert_eq!(run.code, 6, "{change}\n{run}");
    for words in named {
        run.stdout_has(words);
    }
    assert_same(&before, &db.dump(), &run);
    db.execute(undo);
    let run = sandbox.ripcord(&["verify"]);
    assert_eq!(run.code, 0, "{undo}\n{run}");
}

both_engines! {
    fn the_end_of_the_newest_operation_is_what_is_expected(db: &TestDatabase) {
        let sandbox = sample_of(db);
        sandbox.ripcord(&["upgrade", CREATE_TABLES]).expect_code(0);
        db.fill_sample(3, 20);
        at(&sandbox, 1);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        let run = sandbox.ripcord(&["verify"]);
        run.expect_code(0).stderr_is_empty().stdout_has("the database is as at the end of");
        // Against the snapshot the upgrade itself is the difference.
        let run = sandbox.ripcord(&["verify", "latest"]);
        run.expect_code(6).stdout_has("differs from the snapshot").stdout_has("process_rank");
    }

    fn changes_of_rows_are_found(db: &TestDatabase) {
        let sandbox = sample_of(db);
        sandbox.ripcord(&["upgrade", CREATE_TABLES]).expect_code(0);
        db.fill_sample(3, 20);
        at(&sandbox, 1);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        let found = |change, undo, named: &[&str]| is_found(&sandbox, db, change, undo, named);
        found(
            "UPDATE training_config SET model_type = 'Model-1' WHERE id = 1;",
            "UPDATE training_config SET model_type = 'model-1' WHERE id = 1;",
            &["training_config", "other values"],
        );
        found(
            "INSERT INTO training_config SELECT 99, 'x', 'y', 1, 1, 1, 1, 1, NULL;",
            "DELETE FROM training_config WHERE id = 99;",
            &["training_config", "4 rows", "expected 3"],
        );
        // Two values that change places: no sum of a column can tell.
        found(
            "UPDATE training_metric SET train_loss = CASE id WHEN 1 THEN 0.5 ELSE 1.0 END WHERE id IN (1, 2);",
            "UPDATE training_metric SET train_loss = CASE id WHEN 1 THEN 1.0 ELSE 0.5 END WHERE id IN (1, 2);",
            &["training_metric", "other values"],
        );
        found(
            "UPDATE training_metric SET process_rank = 0 WHERE id = 7;",
            "UPDATE training_metric SET process_rank = NULL WHERE id = 7;",
            &["training_metric"],
        );
    }

    fn changes_of_the_catalog_are_found(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        db.execute("CREATE VIEW losses AS SELECT train_loss FROM training_metric; CREATE INDEX by_epoch ON training_metric (epoch);");
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let found = |change, undo, named: &[&str]| is_found(&sandbox, db, change, undo, named);
        found("CREATE TABLE more (id INTEGER);", "DROP TABLE more;", &["more", "is new"]);
        found("DROP INDEX by_epoch;", "CREATE INDEX by_epoch ON training_metric (epoch);", &["by_epoch", "is gone"]);
        found(
            "DROP INDEX by_epoch; CREATE UNIQUE INDEX by_epoch ON training_metric (id, epoch);",
            "DROP INDEX by_epoch; CREATE INDEX by_epoch ON training_metric (epoch);",
            &["by_epoch"],
        );
        found(
            "DROP VIEW losses; CREATE VIEW losses AS SELECT eval_loss AS train_loss FROM training_metric;",
            "DROP VIEW losses; CREATE VIEW losses AS SELECT train_loss FROM training_metric;",
            &["losses"],
        );
        found("ALTER TABLE training_config ADD COLUMN note TEXT;", "ALTER TABLE training_config DROP COLUMN note;", &["note"]);
    }

    fn a_sequence_that_was_set_back_is_found(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let (back, forth) = match db.backend() {
            Backend::Sqlite => (
                "UPDATE sqlite_sequence SET seq = 5 WHERE name = 'training_metric';",
                "UPDATE sqlite_sequence SET seq = 60 WHERE name = 'training_metric';",
            ),
            Backend::Postgres => (
                "SELECT setval('training_metric_id_seq', 5);",
                "SELECT setval('training_metric_id_seq', 60);",
            ),
        };
        is_found(&sandbox, db, back, forth, &["training_metric"]);
    }

    fn without_a_backup_of_this_database_there_is_nothing_to_compare_with(db: &TestDatabase) {
        let sandbox = sample_of(db);
        db.execute("CREATE TABLE t (id INTEGER);");
        let run = refuses(&sandbox, db, &["verify"], 2, "there is no backup of this database");
        run.stderr_has("ripcord backup list");
        assert!(!sandbox.path("backups").exists());
    }
}

#[test]
fn what_sqlite_keeps_outside_of_tables_is_compared() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    db.execute("CREATE TRIGGER t AFTER INSERT ON training_config BEGIN SELECT 1; END;");
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    let found = |change, undo, named: &[&str]| is_found(&sandbox, &db, change, undo, named);
    found("PRAGMA user_version = 5;", "PRAGMA user_version = 0;", &["user_version"]);
    found("PRAGMA application_id = 77;", "PRAGMA application_id = 0;", &["application_id"]);
    found(
        "DROP TRIGGER t;",
        "CREATE TRIGGER t AFTER INSERT ON training_config BEGIN SELECT 1; END;",
        &["trigger", "t", "is gone"],
    );
}

mod postgres {
    use super::*;

    #[test]
    fn what_a_server_keeps_beside_tables_is_compared() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        db.server().create_role("reader", "");
        db.execute(
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER t BEFORE INSERT ON training_config FOR EACH ROW EXECUTE FUNCTION f();
CREATE TYPE mood AS ENUM ('sad', 'glad');",
        );
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let found = |change, undo, named: &[&str]| is_found(&sandbox, &db, change, undo, named);
        found(
            "GRANT SELECT ON training_config TO reader;",
            "REVOKE SELECT ON training_config FROM reader; REVOKE ALL ON training_config FROM app; GRANT ALL ON training_config TO app;",
            &["training_config"],
        );
        found(
            "ALTER DATABASE app SET work_mem = '9MB';",
            "ALTER DATABASE app RESET work_mem;",
            &["work_mem"],
        );
        found(
            "ALTER TABLE training_config DISABLE TRIGGER t;",
            "ALTER TABLE training_config ENABLE TRIGGER t;",
            &["t"],
        );
        found(
            "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';",
            "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';",
            &["f()"],
        );
        found(
            "CREATE POLICY few ON training_config USING (id = 1);",
            "DROP POLICY few ON training_config;",
            &["few"],
        );
        found(
            "COMMENT ON TABLE training_config IS 'x';",
            "COMMENT ON TABLE training_config IS NULL;",
            &["training_config"],
        );
    }
}

#[test]
fn a_sequence_that_others_moved_on_or_that_began_again_at_its_end_is_no_difference() {
    let db = TestDatabase::postgres();
    let sandbox = sample_of(&db);
    let made = "CREATE SEQUENCE onward; CREATE SEQUENCE turn MAXVALUE 3 CYCLE;";
    db.execute(&format!(
        "{made} SELECT nextval('onward'), nextval('turn'); SELECT nextval('turn'); SELECT nextval('turn');"
    ));
    sandbox.ripcord(&["upgrade"]).expect_code(0);
    assert_eq!(db.query("SELECT nextval('onward'), nextval('turn');"), "2|1");
    sandbox.ripcord(&["verify"]).expect_code(0);
}
