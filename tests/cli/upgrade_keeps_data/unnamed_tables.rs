//! A table that no migration names is as it was: what reached it sideways is found and put back.

use super::rows;
use crate::promise::*;
use crate::support::*;

const HEAD: &str = ADD_PROCESS_RANK;
const SLY: &str = "bbbb00000001";
/// Nobody has looked beforehand: verification is asked.
const UNSEEN: [&str; 4] = ["upgrade", "--no-rehearsal", "--accept", "opaque"];
/// What the rehearsal sees of it is accepted.
const EMPTIES: [&str; 5] =
    ["upgrade", "--accept", "deletes-rows:audit", "--accept", "overwrites-values:training_config.epochs"];

/// A table `audit` that loses its rows when one of `training_config` is updated, behind the back of whoever did that.
fn with_a_sly_trigger(db: &TestDatabase) {
    db.execute("CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT);\nINSERT INTO audit VALUES (1, 'one'), (2, 'two');");
    db.execute(match db.backend() {
        Backend::Sqlite => "CREATE TRIGGER sly AFTER UPDATE ON training_config BEGIN DELETE FROM audit; END;",
        Backend::Postgres => {
            "CREATE FUNCTION sly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM audit; RETURN NULL; END $$;
CREATE TRIGGER sly AFTER UPDATE ON training_config FOR EACH STATEMENT EXECUTE FUNCTION sly();"
        }
    });
}

both_engines! {
    fn a_trigger_that_empties_an_unnamed_table_is_found_and_put_back(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        with_a_sly_trigger(db);
        sandbox.revision(SLY, &[HEAD], "UPDATE training_config SET epochs = epochs + 1;", "");
        let before = db.dump();
        let run = sandbox.ripcord(&UNSEEN);
        run.expect_code(4);
        says_three_parts(&run, "that the migration does not explain");
        run.stderr_has("audit: no migration names it, and it has 0 rows, before 2");
        run.stderr_has("state: the snapshot was put back");
        assert_same(&before, &db.dump(), &run);
        leaves_nothing_behind(&sandbox, db);
    }

    fn asked_to_stop_a_change_that_verification_holds_against_stands_for_a_person(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        with_a_sly_trigger(db);
        sandbox.revision(SLY, &[HEAD], "UPDATE training_config SET epochs = epochs + 1;", "");
        let run = sandbox.ripcord(&[&UNSEEN[..], &["--on-failure", "stop"]].concat());
        run.expect_code(5).stderr_has("audit").stderr_has("state: the database was changed");
        assert_eq!((db.version().as_str(), db.query("SELECT count(*) FROM audit;").as_str()), (SLY, "0"));
    }

    fn a_trigger_that_rewrites_a_value_of_an_unnamed_table_is_found(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        with_a_sly_trigger(db);
        // As many rows as before, so that no count can tell.
        db.execute(match db.backend() {
            Backend::Sqlite => "DROP TRIGGER sly; CREATE TRIGGER sly AFTER UPDATE ON training_config BEGIN UPDATE audit SET what = 'three' WHERE id = 2; END;",
            Backend::Postgres => "CREATE OR REPLACE FUNCTION sly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE audit SET what = 'three' WHERE id = 2; RETURN NULL; END $$;",
        });
        sandbox.revision(SLY, &[HEAD], "UPDATE training_config SET epochs = epochs + 1;", "");
        let before = db.dump();
        let run = sandbox.ripcord(&UNSEEN);
        run.expect_code(4).stderr_has("audit").stderr_has("hold other values");
        assert_same(&before, &db.dump(), &run);
    }

    fn a_cascade_does_not_empty_a_table_in_silence(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        db.execute("CREATE TABLE tag (id INTEGER PRIMARY KEY, config_id INTEGER REFERENCES training_config (id) ON DELETE CASCADE);
INSERT INTO tag VALUES (1, 1), (2, 2);");
        sandbox.revision(
            SLY, &[HEAD],
            "DELETE FROM training_metric WHERE config_id = 1;\nDELETE FROM training_config WHERE id = 1;", "",
        );
        let before = db.dump();
        let run = sandbox.ripcord(&UNSEEN);
        run.expect_code(4).stderr_has("tag");
        assert_same(&before, &db.dump(), &run);
        assert_eq!(db.query("SELECT id FROM tag ORDER BY 1;"), "1\n2");
    }

    fn a_loss_that_the_rehearsal_saw_elsewhere_is_refused_before_anything_is_touched_and_runs_once_accepted(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        with_a_sly_trigger(db);
        sandbox.revision(SLY, &[HEAD], "UPDATE training_config SET epochs = epochs + 1;", "");
        let run = refuses(&sandbox, db, &["upgrade", "--accept", "overwrites-values:training_config.epochs"], 3, "1 hazard is not accepted: deletes-rows:audit");
        run.stdout_lacks("migrate");
        let run = sandbox.ripcord(&EMPTIES);
        run.expect_code(0).stdout_has("note       changed on the copy as well: table ").stdout_has("audit, 2 rows deleted by what the migration sets off\n");
        assert_eq!((db.version().as_str(), db.query("SELECT count(*) FROM audit;").as_str()), (SLY, "0"));
        leaves_nothing_behind(&sandbox, db);
    }

    fn rows_that_an_audit_trigger_writes_are_expected_and_told(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let id = if db.backend() == Backend::Sqlite { "INTEGER PRIMARY KEY" } else { "SERIAL PRIMARY KEY" };
        db.execute(&format!("CREATE TABLE trail (id {id}, config INTEGER, at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);"));
        db.execute(match db.backend() {
            Backend::Sqlite => "CREATE TRIGGER note AFTER UPDATE ON training_config BEGIN INSERT INTO trail (config) VALUES (new.id); END;",
            Backend::Postgres => "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO trail (config) VALUES (new.id); RETURN NULL; END $$;
CREATE TRIGGER note AFTER UPDATE ON training_config FOR EACH ROW EXECUTE FUNCTION note();",
        });
        sandbox.revision(SLY, &[HEAD], "UPDATE training_config SET epochs = epochs + 1;", "UPDATE training_config SET epochs = epochs - 1;");
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(0).stdout_has("note       changed on the copy as well: table ").stdout_has("trail, 3 rows inserted by what the migration sets off\n");
        assert_eq!(db.query("SELECT count(*) FROM trail;"), "3");
        leaves_nothing_behind(&sandbox, db);
    }

    fn a_table_that_the_revision_names_may_be_emptied(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        with_a_sly_trigger(db);
        sandbox.revision(
            SLY, &[HEAD],
            "-- The trigger empties audit, which is meant.\nUPDATE training_config SET epochs = epochs + 1; DELETE FROM audit;", "",
        );
        let run = sandbox.ripcord(&EMPTIES);
        run.expect_code(0).stdout_has("audit: 2 -> 0");
        assert_eq!(undo_of(&run), ["downgrade", HEAD]);
    }
}

/// The way of rebuilding a table that SQLite's manual describes, with the pragma that makes it dangerous.
const REBUILD: &str = "PRAGMA foreign_keys = ON;
CREATE TABLE training_config_new (
    id INTEGER PRIMARY KEY AUTOINCREMENT, model_type VARCHAR(80) NOT NULL, dataset_name VARCHAR(100) NOT NULL,
    batch_size INTEGER NOT NULL, learning_rate FLOAT NOT NULL, epochs INTEGER NOT NULL,
    max_seq_length INTEGER NOT NULL, warmup_steps INTEGER NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
INSERT INTO training_config_new SELECT * FROM training_config;
DROP TABLE training_config;
ALTER TABLE training_config_new RENAME TO training_config;";

#[test]
fn rebuilding_a_parent_on_sqlite_keeps_its_children_even_with_foreign_keys_on() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    db.execute(
        "CREATE TABLE tag (id INTEGER PRIMARY KEY, config_id INTEGER REFERENCES training_config (id) ON DELETE CASCADE);
INSERT INTO tag VALUES (1, 1), (2, 2);",
    );
    sandbox.revision(SLY, &[HEAD], REBUILD, "");
    let kept = rows(&db);
    let run = sandbox.ripcord(&["upgrade"]);
    run.expect_code(0);
    assert_eq!((rows(&db), db.query("SELECT id FROM tag ORDER BY 1;")), (kept, "1\n2".to_owned()));
    assert_eq!(db.query("PRAGMA foreign_key_check;"), "");
    assert!(db.schema().contains("VARCHAR(80)"));
}

#[test]
fn on_postgres_more_than_the_rehearsal_saw_elsewhere_is_found_and_put_back() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    with_a_sly_trigger(&db);
    let sly = |only: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION sly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM audit WHERE {only}; RETURN NULL; END $$;"
        )
    };
    sandbox.revision(SLY, &[HEAD], "UPDATE training_config SET epochs = epochs + 1;", "");
    db.execute(&sly("id = 1 OR current_database() = 'app'"));
    let before = db.dump();
    let run = sandbox.ripcord(&EMPTIES);
    run.expect_code(4).stderr_has("audit: it has 0 rows, and 1 at the end of the rehearsal");
    assert_same(&before, &db.dump(), &run);
    at(&sandbox, 2);
    db.execute(&sly("current_database() = 'app'"));
    let before = db.dump();
    let run = sandbox.ripcord(&["upgrade", "--accept", "overwrites-values:training_config.epochs"]);
    run.expect_code(4).stderr_has("audit: no migration names it, and it has 0 rows, before 2");
    assert_same(&before, &db.dump(), &run);
}

#[test]
fn on_postgres_what_a_function_or_a_key_does_elsewhere_is_consented_to_or_brought_back() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    db.execute(
        "CREATE TABLE team (id INTEGER PRIMARY KEY);
CREATE TABLE member (id INTEGER PRIMARY KEY, team_id INTEGER REFERENCES team (id) ON UPDATE CASCADE);
INSERT INTO team VALUES (1), (2); INSERT INTO member VALUES (1, 1), (2, 2), (3, 2);
CREATE FUNCTION wipe() RETURNS void LANGUAGE sql AS 'DELETE FROM member';",
    );
    sandbox.revision(SLY, &[HEAD], "UPDATE team SET id = id + 100;", "UPDATE team SET id = id - 100;");
    let run = sandbox.ripcord(&["upgrade"]);
    run.expect_code(0).stdout_has("changed on the copy as well: table public.member, 3 rows changed");
    assert_eq!(db.query("SELECT team_id FROM member ORDER BY id;"), "101\n102\n102");
    at(&sandbox, 2);
    sandbox.revision("bbbb00000002", &[SLY], "SELECT wipe();", "SELECT 1;");
    refuses(&sandbox, &db, &["upgrade"], 3, "1 hazard is not accepted: deletes-rows:member");
    refuses(&sandbox, &db, &["upgrade", "--no-rehearsal"], 3, "1 hazard is not accepted: opaque");
    sandbox.ripcord(&["upgrade", "--accept", "deletes-rows:member"]).expect_code(0);
    assert_eq!(db.query("SELECT count(*) FROM member;"), "0");
}

#[test]
fn on_postgres_rows_that_others_write_meanwhile_stay_and_are_not_held_against_the_migration() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    db.execute("CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT);");
    sandbox.revision(SLY, &[HEAD], "UPDATE training_config SET epochs = epochs + 1;", "");
    // The proof comes between snapshot and migration: a good moment for somebody else to write.
    let socket = db.server().socket_folder().display();
    sandbox.fake_tool(
        "pg_restore",
        &format!(
            r#"case " $* " in *" --version "*) exec "$REAL" "$@";; esac
psql -q -X -h {socket} -U app -d app -c "INSERT INTO audit SELECT coalesce(max(id), 0) + 1, 'meanwhile' FROM audit" >&2
exec "$REAL" "$@""#
        ),
    );
    let run = sandbox.ripcord(&["upgrade", "--accept", "overwrites-values:training_config.epochs"]);
    run.expect_code(0).stdout_has("audit").stdout_has("other sessions");
    assert_ne!(db.query("SELECT count(*) FROM audit WHERE what = 'meanwhile';"), "0");
    assert_eq!(db.version(), SLY);
}

#[test]
fn on_postgres_a_failed_change_is_not_put_back_over_rows_that_others_wrote() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    db.execute("CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT);");
    sandbox.add(&drops_a_column(HEAD));
    sandbox.revision(SLY, &[DROP_WARMUP_STEPS], "INSERT INTO nowhere VALUES (1);", "");
    let socket = db.server().socket_folder().display();
    sandbox.fake_tool(
        "pg_restore",
        &format!(
            r#"case " $* " in *" --version "*) exec "$REAL" "$@";; esac
psql -q -X -h {socket} -U app -d app -c "INSERT INTO audit SELECT coalesce(max(id), 0) + 1, 'meanwhile' FROM audit" >&2
exec "$REAL" "$@""#
        ),
    );
    let run = sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]);
    run.expect_code(5).stderr_has("next: ripcord restore");
    assert_ne!(db.query("SELECT count(*) FROM audit WHERE what = 'meanwhile';"), "0");
    assert_eq!(db.version(), DROP_WARMUP_STEPS);
}
