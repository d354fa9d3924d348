//! Every guarded change is rehearsed first, on what the proof has restored, and held against that afterwards.

mod held_against;

use crate::promise::*;
use crate::support::*;
use serde_json::{Value, json};

const NEXT: &str = "abcd00000001";

/// The ledger in the newest backup.
#[track_caller]
fn kept_ledger(sandbox: &Sandbox) -> Value {
    let backup = sandbox.backups().pop().expect("a backup");
    let text = std::fs::read_to_string(backup.join("ledger.json")).expect("a ledger is in the backup");
    serde_json::from_str(&text).expect("a ledger is JSON")
}

both_engines! {
    fn the_loss_ledger_is_an_artifact_of_the_backup(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "ALTER TABLE training_config RENAME COLUMN epochs TO rounds;",
            "ALTER TABLE training_config RENAME COLUMN rounds TO epochs;");
        sandbox.ripcord(&["upgrade"]).expect_code(0).stdout_has("rehearse   ok").stdout_has("go back    ok").stdout_has("again      ok");
        let ledger = kept_ledger(&sandbox);
        assert_eq!((&ledger["direction"], &ledger["lost"]), (&json!("up"), &json!([])), "{ledger:#}");
        assert_eq!(ledger["again"], json!({ "again": "same" }));
        let backup = sandbox.backups().pop().unwrap();
        let manifest = sandbox.read(backup.join("manifest.json"));
        assert!(manifest.contains("\"path\": \"ledger.json\""), "{manifest}");
        sums_are_right(&sandbox, &backup);
        leaves_nothing_behind(&sandbox, db);
    }

    fn what_fails_on_the_copy_is_refused_before_anything_is_touched(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "UPDATE training_config SET epochs = 99;\nINSERT INTO nowhere VALUES (1);", "");
        let run = refuses(&sandbox, db, &["upgrade"], 4, "in the rehearsal, on a copy: ");
        run.stderr_has("nowhere").stderr_has("next: mend the revision file").stdout_lacks("migrate");
        assert_eq!(sandbox.backups().len(), 1, "nothing was published");
        leaves_nothing_behind(&sandbox, db);
        sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
    }

    fn a_way_back_that_does_not_lead_back_is_told_and_is_not_the_undo(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        db.execute("CREATE INDEX quick ON training_config (epochs);");
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "ALTER TABLE training_config ADD COLUMN z INTEGER; DROP INDEX quick;", "SELECT 1;");
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(0)
            .stdout_has("not back   index ").stdout_has("quick is gone for good\n").stdout_has("training_config.z stays\n")
            .stdout_has("again      after there and back, a second run failed: ")
            .stdout_has("note       the downgrade keeps what is written since, and does not bring everything back: ripcord downgrade");
        let backup = name_of(&sandbox.backups().pop().unwrap());
        assert_eq!(undo_of(&run), ["restore", backup.as_str()], "{run}");
    }

    fn where_only_the_order_of_columns_does_not_come_back_the_undo_is_the_downgrade(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        db.execute("CREATE TABLE word (id INTEGER PRIMARY KEY, lang VARCHAR(9), text VARCHAR(9)); CREATE INDEX quick ON word (text);
INSERT INTO word VALUES (1, 'en', 'one'), (2, 'en', 'two');");
        let (there, back) = ("ALTER TABLE word DROP COLUMN lang;", "ALTER TABLE word ADD COLUMN lang VARCHAR(9);");
        let table = if db.backend() == Backend::Sqlite { "word" } else { "public.word" };
        let note = format!("note       after the downgrade the order of columns is another one in {table}\n");
        let upgrade = ["upgrade", "--accept", "drops-column:word.lang"];
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], &format!("{there} DROP INDEX quick;"), back);
        let run = sandbox.ripcord(&upgrade);
        run.expect_code(0).stdout_lacks(&note);
        assert_eq!(undo_of(&run)[0], "restore", "an index does not come back\n{run}");
        follow(&sandbox, &["restore", "latest", "--yes"].map(str::to_owned)).expect_code(0);

        at(&sandbox, 3);
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], there, back);
        let run = sandbox.ripcord(&upgrade);
        run.expect_code(0)
            .stdout_has(&format!("not back   column order of {table}: was id, lang, text, ends as id, text, lang\n"))
            .stdout_has(&note)
            .stdout_has("note       to put the whole database back as it was before: ripcord restore ");
        assert_eq!(undo_of(&run), ["downgrade", ADD_PROCESS_RANK], "{run}");
        db.execute("INSERT INTO word VALUES (3, 'three');");
        at(&sandbox, 4);
        follow(&sandbox, &undo_of(&run)).expect_code(0);
        assert_eq!(db.query("SELECT text FROM word WHERE lang = 'en' OR id = 3 ORDER BY id;"), "one\ntwo\nthree");
    }

    fn one_restore_serves_proof_and_rehearsal(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.logging_tool("pg_restore");
        let run = sandbox.ripcord(&["downgrade"]);
        run.expect_code(0).stdout_has("rehearse   ok");
        assert_eq!(run.stdout.matches("prove      ok").count(), 1, "{run}");
        let restores = sandbox.tool_log().iter().filter(|line| line.contains("--dbname")).count();
        assert_eq!(restores, if db.backend() == Backend::Postgres { 1 } else { 0 }, "{:?}", sandbox.tool_log());
    }

    fn without_a_rehearsal_it_is_not_asked_for(db: &TestDatabase) {
        for (arguments, file) in [
            (&["upgrade", "--no-rehearsal"][..], ""),
            (&["upgrade", "--proof", "none"][..], ""),
            (&["upgrade"][..], "[rehearsal]\nenabled = false\n"),
        ] {
            let sandbox = sample_of(db);
            sandbox.write("ripcord.toml", file);
            sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "CREATE TABLE extra (id INTEGER PRIMARY KEY);", "DROP TABLE extra;");
            let run = sandbox.ripcord(arguments);
            run.expect_code(0).stdout_lacks("rehearse ");
            assert!(!sandbox.backup().join("ledger.json").exists());
            sandbox.ripcord(&["downgrade", "base", "--no-rehearsal"]).expect_code(0);
        }
    }

    fn a_plan_without_statements_is_not_rehearsed(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "", "");
        sandbox.ripcord(&["upgrade"]).expect_code(0).stdout_has("prove      ok").stdout_lacks("rehearse ");
    }
}

#[test]
fn a_script_that_writes_to_another_file_is_not_rehearsed() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    let other = sandbox.path("other.db");
    let revision = Revision::new(NEXT).revises(ADD_PROCESS_RANK).directive("transaction", "none");
    sandbox.add(
        &revision
            .upgrade(&format!(
                "ATTACH '{0}' AS other;\nCREATE TABLE other.seen (id INTEGER);\nDETACH other;",
                other.display()
            ))
            .downgrade(""),
    );
    sandbox.ripcord(&["rehearse"]).expect_code(3).stderr_has("it would change another file");
    assert!(!other.exists(), "the rehearsal reached beyond its copy");
    let run = sandbox.ripcord(&["upgrade"]);
    run.expect_code(0).stderr_has("note: ").stderr_has("nobody knows beforehand what it loses");
    assert!(other.exists());
}

mod postgres {
    use super::*;

    #[test]
    fn what_the_whole_server_shares_is_not_rehearsed_and_changes_once() {
        let db = TestDatabase::postgres();
        db.server().psql("postgres", "ALTER ROLE app CREATEROLE;");
        for (number, statement) in
            ["CREATE ROLE reader;", "DO $$BEGIN EXECUTE 'CREATE ROLE writer'; END$$;"].iter().enumerate()
        {
            let sandbox = filled_sample_of(&db);
            sandbox.revision(NEXT, &[ADD_PROCESS_RANK], statement, "");
            let roles = || {
                db.server()
                    .psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname IN ('reader', 'writer');")
            };
            let before = roles();
            sandbox
                .ripcord(&["rehearse"])
                .expect_code(3)
                // From 16 on a role that is made becomes a member of its maker's at once.
                .stderr_has("roles, which all databases of the server share");
            assert_eq!(roles(), before, "the rehearsal reached beyond its copy");
            let run = sandbox.ripcord(&["upgrade", "--accept", "opaque"]);
            run.expect_code(0).stderr_has("nobody knows beforehand what it loses");
            assert_eq!(roles(), format!("{}\n", number + 1));
            leaves_nothing_behind(&sandbox, &db);
            sandbox.ripcord(&["downgrade", "base", "--no-rehearsal", "--accept", "opaque"]).expect_code(0);
        }
    }
}
