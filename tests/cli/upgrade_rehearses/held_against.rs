//! A real run that does something else than its rehearsal is found, whatever it names.

use super::*;

/// A statement that changes nothing on a copy: it knows the live database by its name.
fn only_live(db: &TestDatabase, sqlite: &str, postgres: &str) -> String {
    match db.backend() {
        Backend::Sqlite => {
            format!("{sqlite} (SELECT file FROM pragma_database_list WHERE name = 'main') LIKE '%app.db';")
        }
        Backend::Postgres => {
            format!("DO $$BEGIN IF current_database() = 'app' THEN {postgres}; END IF; END$$;")
        }
    }
}

/// Upgrades with one more revision, whose verification must fail with this code; the snapshot is put back.
#[track_caller]
fn is_found(db: &TestDatabase, upgrade: &str, code: &str, subject: &str) {
    let sandbox = filled_sample_of(db);
    sandbox.revision(NEXT, &[ADD_PROCESS_RANK], upgrade, "");
    let before = db.dump();
    let run = sandbox.ripcord(&["upgrade", "--format", "json"]);
    run.expect_code(4);
    let error = &report(&run)["error"];
    assert_eq!((&error["aftermath"], &error["step"]), (&json!("put-back"), &json!("verify")), "{error:#}");
    let wrong = error["check"]["wrong"].as_array().expect("a list");
    let found = wrong
        .iter()
        .any(|wrong| wrong["code"] == code && wrong["subject"].as_str().unwrap().contains(subject));
    assert!(found, "{wrong:#?}");
    assert_same(&before, &db.dump(), &run);
    leaves_nothing_behind(&sandbox, db);
}

both_engines! {
    fn a_column_that_the_rehearsal_kept_is_kept(db: &TestDatabase) {
        let update = "UPDATE training_config SET epochs = 0";
        let sly = only_live(db, &format!("{update} WHERE"), update);
        is_found(db, &sly, "kept-column-changed", "training_config");
    }

    fn a_run_that_loses_more_rows_than_its_rehearsal_is_found(db: &TestDatabase) {
        let sly = only_live(db, "DELETE FROM training_metric WHERE step > 15 AND", "DELETE FROM training_metric WHERE step > 15");
        is_found(db, &sly, "more-lost-than-rehearsed", "training_metric");
    }

    fn what_depends_on_the_time_is_not_held_against_a_migration(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let now = match db.backend() {
            Backend::Sqlite => "strftime('%Y-%m-%d %H:%M:%f', 'now')",
            Backend::Postgres => "now()::text",
        };
        let upgrade = format!("ALTER TABLE training_config ADD COLUMN seen TEXT; UPDATE training_config SET seen = {now};");
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], &upgrade, "ALTER TABLE training_config DROP COLUMN seen;");
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        assert_eq!(db.query("SELECT count(*) FROM training_config WHERE seen IS NOT NULL;"), "3");
    }

    fn what_ends_as_rehearsed_leaves_no_doubt(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&changes_data(ADD_PROCESS_RANK));
        let run = sandbox.ripcord(&["upgrade", "--format", "json"]);
        run.expect_code(0);
        let check = &report(&run)["result"]["check"];
        assert_eq!((&check["wrong"], &check["unsure"]), (&json!([]), &json!([])), "{check:#}");
    }
}

/// Rebuilding a parent while foreign keys are on deletes the rows of its children without a word, and both pragmas say ok.
const CASCADE: &str = "PRAGMA foreign_keys = ON;
CREATE TABLE team_new (id INTEGER PRIMARY KEY, title VARCHAR(80));
INSERT INTO team_new SELECT * FROM team;
DROP TABLE team;
ALTER TABLE team_new RENAME TO team;";

fn with_children(db: &TestDatabase) -> Sandbox {
    let sandbox = filled_sample_of(db);
    db.execute(
        "CREATE TABLE team (id INTEGER PRIMARY KEY, title TEXT);
CREATE TABLE member (id INTEGER PRIMARY KEY, team_id INTEGER REFERENCES team (id) ON DELETE CASCADE);
INSERT INTO team VALUES (1, 'a'), (2, 'b'); INSERT INTO member VALUES (1, 1), (2, 2), (3, 2);",
    );
    let revision = Revision::new(NEXT).revises(ADD_PROCESS_RANK).directive("transaction", "none");
    sandbox.add(&revision.upgrade(CASCADE).downgrade(""));
    sandbox
}

#[test]
fn a_rebuild_that_cascades_into_children_is_in_the_ledger() {
    let db = TestDatabase::sqlite();
    let sandbox = with_children(&db);
    let before = db.dump();
    let run = sandbox.ripcord(&["rehearse", "--deny", "loss"]);
    run.expect_code(3).stdout_has("LOST       member: 3 rows deleted");
    assert_same(&before, &db.dump(), &run);
}

#[test]
fn a_rebuild_that_cascades_into_children_is_refused_before_anything_is_touched_and_runs_once_accepted() {
    let db = TestDatabase::sqlite();
    let sandbox = with_children(&db);
    refuses(&sandbox, &db, &["upgrade"], 3, "1 hazard is not accepted: deletes-rows:member");
    let run = sandbox.ripcord(&["upgrade", "--accept", "deletes-rows:member"]);
    run.expect_code(0).stdout_has(
        "changed on the copy as well: table member, 3 rows deleted by what the migration sets off",
    );
    assert_eq!((db.version().as_str(), db.query("SELECT count(*) FROM member;").as_str()), (NEXT, "0"));
}

#[test]
fn a_rebuild_that_cascades_into_children_is_found_without_a_rehearsal_and_put_back() {
    let db = TestDatabase::sqlite();
    let sandbox = with_children(&db);
    let before = db.dump();
    let run = sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]);
    run.expect_code(4).stderr_has("member: no migration names it, and it has 0 rows, before 3");
    run.stderr_has("state: the snapshot was put back");
    assert_same(&before, &db.dump(), &run);
    // The engine's own checks have nothing to say of it.
    db.execute(CASCADE);
    assert_eq!(db.query("SELECT count(*) FROM member;"), "0");
    assert_eq!(db.query("PRAGMA integrity_check;") + &db.query("PRAGMA foreign_key_check;"), "ok");
}

mod postgres {
    use super::*;

    #[test]
    fn a_definition_that_the_rehearsal_did_not_end_with_is_found() {
        let db = TestDatabase::postgres();
        let sly = only_live(&db, "", "CREATE INDEX sly ON training_config (epochs)");
        is_found(&db, &sly, "not-as-rehearsed", "sly");
    }

    #[test]
    fn values_that_others_write_into_a_table_of_the_migration_are_not_held_against_it() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        sandbox.revision(
            NEXT,
            &[ADD_PROCESS_RANK],
            "UPDATE training_config SET epochs = epochs + 1;",
            "UPDATE training_config SET epochs = epochs - 1;",
        );
        let socket = db.server().socket_folder().display();
        // The proof comes between snapshot and migration: a good moment for somebody else to write.
        sandbox.fake_tool(
            "pg_restore",
            &format!(
                r#"case " $* " in *" --version "*) exec "$REAL" "$@";; esac
psql -q -X -h {socket} -U app -d app -c "UPDATE training_config SET dataset_name = 'meanwhile' WHERE id = 1" >&2
exec "$REAL" "$@""#
            ),
        );
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(0)
            .stdout_has("training_config: the rehearsal kept dataset_name")
            .stdout_has("it cannot be told");
        assert_eq!(db.query("SELECT dataset_name FROM training_config WHERE id = 1;"), "meanwhile");
    }
}
