//! Statements reach the engine whole, and an open database stays usable.

use super::rows;
use crate::promise::*;
use crate::support::*;

const NEXT: &str = "abab00000001";

#[test]
fn a_trigger_with_semicolons_and_quotes_runs_whole_on_sqlite() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    sandbox.revision(
        NEXT,
        &[ADD_PROCESS_RANK],
        "CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT); -- a comment; with a semicolon
CREATE TRIGGER keep AFTER UPDATE ON training_config WHEN old.epochs <> new.epochs BEGIN
    INSERT INTO audit (what) VALUES ('it''s; ' || CASE WHEN new.epochs > 0 THEN 'up; ' ELSE 'down' END);
    /* END; */ SELECT 1;
END;
INSERT INTO audit (what) VALUES ('-- not a comment; \"not an end\"');",
        "DROP TRIGGER keep; DROP TABLE audit;",
    );
    sandbox.ripcord(&["upgrade"]).expect_code(0);
    db.execute("UPDATE training_config SET epochs = 50 WHERE id = 1;");
    assert_eq!(
        db.query("SELECT what FROM audit ORDER BY id;"),
        "-- not a comment; \"not an end\"\nit's; up; "
    );
    at(&sandbox, 2);
    sandbox.ripcord(&["downgrade", "--accept", "drops-table:audit"]).expect_code(0);
    assert!(!db.schema().contains("audit"));
}

#[test]
fn on_postgres_dollar_quotes_and_nested_comments_run_whole() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    sandbox.revision(
        NEXT,
        &[ADD_PROCESS_RANK],
        r#"CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $body$
BEGIN
    -- $$ inside; of another quote
    RETURN 2 * n; /* a /* nested; */ comment; */
END;
$body$;
CREATE FUNCTION quoted() RETURNS text LANGUAGE sql AS $$ SELECT E'it\'s; ' || 'a\' || U&'\0041' || $q$;$q$ $$;
DO $$ BEGIN PERFORM twice(1); PERFORM quoted(); END $$;"#,
        "DROP FUNCTION quoted(); DROP FUNCTION twice(int);",
    );
    sandbox.ripcord(&["upgrade"]).expect_code(0);
    assert_eq!(db.query("SELECT twice(21), quoted();"), r"42|it's; a\A;");
    at(&sandbox, 2);
    sandbox.ripcord(&["downgrade"]).expect_code(0);
    assert_eq!(db.query("SELECT count(*) FROM pg_proc WHERE proname IN ('twice', 'quoted');"), "0");
}

#[test]
fn an_open_wal_database_on_sqlite_stays_one_and_its_reader_keeps_its_view() {
    let db = TestDatabase::sqlite();
    let sandbox = sample_of(&db);
    db.execute("PRAGMA journal_mode = wal;");
    sandbox.ripcord(&["upgrade", CREATE_TABLES]).expect_code(0);
    db.fill_sample(3, 20);
    let mut reader = db.session();
    reader.execute("BEGIN;");
    assert_eq!(reader.execute("SELECT count(*) FROM pragma_table_info('training_metric');"), "7");
    let kept = rows(&db);
    at(&sandbox, 1);
    sandbox.ripcord(&["upgrade"]).expect_code(0);
    assert_eq!(reader.execute("SELECT count(*) FROM training_metric;"), "60");
    reader.execute("COMMIT;");
    assert_eq!(reader.execute("SELECT count(*) FROM pragma_table_info('training_metric');"), "8");
    reader.execute("INSERT INTO training_metric (config_id, epoch, step, train_loss, eval_loss) VALUES (1, 1, 1, 0.5, 0.5);");
    drop(reader);
    assert_eq!(db.query("PRAGMA journal_mode; PRAGMA integrity_check;"), "wal\nok");
    db.execute("DELETE FROM training_metric WHERE id = 61;");
    assert_eq!(rows(&db), kept);
}

#[test]
fn keys_that_were_broken_before_do_not_stop_a_migration_on_sqlite() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    db.execute("PRAGMA foreign_keys = OFF; UPDATE training_metric SET config_id = 99 WHERE id = 1;");
    let run = sandbox.ripcord(&["downgrade"]);
    run.expect_code(0);
    assert_eq!(db.query("SELECT config_id FROM training_metric WHERE id = 1;"), "99");
}

both_engines! {
    fn a_project_in_the_parent_folder_works_from_its_configuration(db: &TestDatabase) {
        let sandbox = sample_of(db);
        sandbox.env_remove("DATABASE_URL");
        sandbox.write("elsewhere/settings.toml", format!(
            "[database]\nurl = \"{}\"\n[runner]\ndirectory = \"../migrations\"\n[backup]\ndirectory = \"safe\"\n", db.url()
        ));
        let run = sandbox.ripcord(&["--config", "elsewhere/settings.toml", "upgrade"]);
        run.expect_code(0).stdout_has("undo       ripcord downgrade base --config elsewhere/settings.toml");
        assert_eq!(db.version(), ADD_PROCESS_RANK);
        assert!(sandbox.path("elsewhere/safe").is_dir() && !sandbox.path("backups").exists());
        at(&sandbox, 1);
        follow(&sandbox, &undo_of(&run)).expect_code(0);
        assert_eq!(db.version(), "");
    }
}
