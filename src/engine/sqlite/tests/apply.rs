//! Running scripts.

use super::super::OpenOptions;
use super::support::{SHOP, Scratch, book, id, script, silent};
use crate::base::Cancel;
use crate::engine::{Applied, Bookkeeping, Database, Error, OtherWrites};
use crate::history::{Direction, RowChange};
use crate::plan::{Script, TransactionMode};
use std::time::Duration;

/// Applies one script and says how it went.
async fn apply(scratch: &Scratch, script: &Script) -> Result<Applied, Error> {
    let operation = scratch.operation();
    scratch.open().apply(script, &book(), &operation.script_log()).await
}

#[tokio::test]
async fn a_script_and_its_version_rows_are_committed_together() {
    let scratch = Scratch::with(SHOP);
    apply(&scratch, &script("5f2c81d0a3be", &["ALTER TABLE customer ADD COLUMN phone TEXT"]))
        .await
        .expect("applied");
    let database = scratch.open();
    assert_eq!(database.version_rows().await.expect("rows"), [id("5f2c81d0a3be")]);
    let files = database.applied_files().await.expect("files");
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].sha256, script("5f2c81d0a3be", &[]).sha256);
    assert_eq!(
        (files[0].applied_at.as_str(), files[0].operation.as_str()),
        ("2026-11-23T18:15:00Z", book().operation)
    );
    assert_eq!(scratch.ask("SELECT count(phone) FROM customer").await, "0");
}

#[tokio::test]
async fn the_version_table_is_alembics_own() {
    let scratch = Scratch::with("");
    apply(&scratch, &script("aa", &["CREATE TABLE t (a)"])).await.expect("applied");
    let sql = scratch.ask("SELECT sql FROM sqlite_schema WHERE name = 'alembic_version'").await;
    assert_eq!(
        sql,
        "CREATE TABLE alembic_version (\n\tversion_num VARCHAR(32) NOT NULL, \n\tCONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)\n)"
    );
}

#[tokio::test]
async fn a_failing_statement_undoes_everything_and_names_its_line() {
    let scratch = Scratch::with(SHOP);
    let before = scratch.open().inventory(&silent()).await.expect("an inventory");
    let failing = script(
        "aa",
        &["DROP TABLE purchase", "UPDATE customer SET name = 'x'", "INSERT INTO nowhere VALUES (1)"],
    );
    let error = apply(&scratch, &failing).await.expect_err("fails");
    assert_eq!(error.to_string(), "migrations/aa.sql, line 14: no such table: nowhere");
    assert!(matches!(&error, Error::Statement { statement, .. } if statement.contains("nowhere")));
    assert_eq!(scratch.open().inventory(&silent()).await.expect("an inventory"), before);
}

#[tokio::test]
async fn a_script_cannot_end_the_transaction_it_runs_in() {
    for end in ["COMMIT", "END", "ROLLBACK", "BEGIN"] {
        let scratch = Scratch::with(SHOP);
        let error = apply(&scratch, &script("aa", &["DROP TABLE purchase", end])).await.expect_err(end);
        assert!(error.to_string().contains("line 12"), "{error}");
        assert_eq!(scratch.ask("SELECT count(*) FROM purchase").await, "3", "{end}");
    }
    let scratch = Scratch::with(SHOP);
    let saves = script("aa", &["SAVEPOINT s", "DELETE FROM purchase", "ROLLBACK TO s", "RELEASE s"]);
    apply(&scratch, &saves).await.expect("savepoints are welcome");
    assert_eq!(scratch.ask("SELECT count(*) FROM purchase").await, "3");
}

#[tokio::test]
async fn a_rebuilt_parent_keeps_the_rows_of_its_children() {
    let scratch = Scratch::with(SHOP);
    let rebuild = script(
        "aa",
        &[
            "CREATE TABLE new_customer (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL)",
            "INSERT INTO new_customer SELECT id, name FROM customer",
            "DROP TABLE customer",
            "ALTER TABLE new_customer RENAME TO customer",
        ],
    );
    apply(&scratch, &rebuild).await.expect("applied");
    assert_eq!(scratch.ask("SELECT count(*) FROM purchase").await, "3");
}

#[tokio::test]
async fn keys_that_would_point_nowhere_undo_the_script() {
    let scratch = Scratch::with(SHOP);
    let error =
        apply(&scratch, &script("aa", &["DELETE FROM customer WHERE id = 1"])).await.expect_err("refused");
    let Error::ForeignKeys { count: 1, first } = &error else { panic!("{error}") };
    assert!(first.contains("purchase") && first.contains("2 rows"), "{first}");
    assert_eq!(scratch.ask("SELECT count(*) FROM customer").await, "3");
    assert_eq!(scratch.open().version_rows().await.expect("rows"), []);
}

#[tokio::test]
async fn keys_that_were_broken_before_do_not_stop_a_migration_and_new_ones_do() {
    let scratch = Scratch::with(SHOP);
    scratch.run("INSERT INTO purchase VALUES (4, 77, 1)");
    let database = scratch.open();
    let known = database.inventory(&silent()).await.expect("an inventory").findings;
    let operation = scratch.operation();
    let book = Bookkeeping { known: &known, ..book() };
    let fine = script("aa", &["CREATE TABLE t (a)"]);
    database.apply(&fine, &book, &operation.script_log()).await.expect("applied");
    let mut worse = script("bb", &["DELETE FROM customer WHERE id = 3"]);
    worse.rows = vec![RowChange::Update { from: id("aa"), to: id("bb") }];
    let error = database.apply(&worse, &book, &operation.script_log()).await.expect_err("refused");
    assert!(matches!(error, Error::ForeignKeys { .. }), "{error}");
}

#[tokio::test]
async fn version_rows_that_are_not_there_undo_the_script() {
    for rows in [RowChange::Update { from: id("zz"), to: id("aa") }, RowChange::Delete(id("zz"))] {
        let scratch = Scratch::with(SHOP);
        let script = Script { rows: vec![rows], ..script("aa", &["DROP TABLE purchase"]) };
        let error = apply(&scratch, &script).await.expect_err("refused");
        assert!(matches!(error, Error::VersionRows { .. }), "{error}");
        assert_eq!(scratch.ask("SELECT count(*) FROM purchase").await, "3");
    }
    let scratch = Scratch::with(SHOP);
    apply(&scratch, &script("aa", &[])).await.expect("applied");
    let error = apply(&scratch, &script("aa", &[])).await.expect_err("twice");
    assert!(matches!(error, Error::VersionRows { .. }), "{error}");
}

#[tokio::test]
async fn a_downgrade_forgets_the_file() {
    let scratch = Scratch::with(SHOP);
    apply(&scratch, &script("aa", &["CREATE TABLE t (a)"])).await.expect("applied");
    let down = Script {
        direction: Direction::Down,
        rows: vec![RowChange::Delete(id("aa"))],
        ..script("aa", &["DROP TABLE t"])
    };
    apply(&scratch, &down).await.expect("applied");
    let database = scratch.open();
    assert_eq!(database.version_rows().await.expect("rows"), []);
    assert_eq!(database.applied_files().await.expect("files"), []);
}

#[tokio::test]
async fn a_database_that_another_program_writes_to_is_busy_and_unchanged() {
    let scratch = Scratch::with(SHOP);
    let app = scratch.connect();
    app.execute_batch("BEGIN IMMEDIATE; DELETE FROM purchase").expect("writing");
    let options = OpenOptions { lock_timeout: Duration::from_millis(30), ..OpenOptions::default() };
    let operation = scratch.operation();
    let script = script("aa", &["DROP TABLE purchase"]);
    let outcome = scratch.open_with(options).apply(&script, &book(), &operation.script_log()).await;
    assert!(matches!(outcome, Err(Error::Busy { .. })), "{outcome:?}");
    app.execute_batch("ROLLBACK").expect("undone");
    assert_eq!(scratch.ask("SELECT count(*) FROM purchase").await, "3");
}

#[test]
fn a_lock_that_was_not_waited_for_because_of_an_interruption_is_an_interruption() {
    let scratch = Scratch::with(SHOP);
    let cancel = Cancel::new();
    let database = scratch.open_with(OpenOptions { cancel: cancel.clone(), ..OpenOptions::default() });
    let session = database.site.look().expect("opens");
    let busy = || rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None);
    assert!(matches!(session.failed("waiting", busy()), Error::Busy { .. }));
    cancel.cancel();
    assert!(matches!(session.failed("waiting", busy()), Error::Interrupted));
}

#[tokio::test]
async fn an_interrupted_script_is_undone() {
    let scratch = Scratch::with(SHOP);
    let cancel = Cancel::new();
    let database = scratch.open_with(OpenOptions { cancel: cancel.clone(), ..OpenOptions::default() });
    let endless = script(
        "aa",
        &[
            "DROP TABLE purchase",
            "INSERT INTO customer (name) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0",
        ],
    );
    let (operation, book) = (scratch.operation(), book());
    let log = operation.script_log();
    let running = database.apply(&endless, &book, &log);
    let stopping = async {
        // Raised while the endless statement runs or just before: either way nothing may stay.
        tokio::task::yield_now().await;
        cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(running, stopping);
    assert!(matches!(outcome, Err(Error::Interrupted)), "{outcome:?}");
    assert_eq!(scratch.ask("SELECT count(*) FROM purchase").await, "3");
}

#[tokio::test]
async fn statements_without_a_transaction_are_journalled_one_by_one() {
    let scratch = Scratch::with(SHOP);
    let operation = scratch.operation();
    let script = Script {
        transaction: TransactionMode::None,
        ..script("aa", &["VACUUM", "CREATE TABLE t (a)", "INSERT INTO nowhere VALUES (1)"])
    };
    let error = scratch.open().apply(&script, &book(), &operation.script_log()).await.expect_err("fails");
    assert!(error.to_string().contains("line 14"), "{error}");
    assert_eq!(scratch.ask("SELECT count(*) FROM t").await, "0", "what ran before stays");
    assert_eq!(scratch.open().version_rows().await.expect("rows"), []);
    let journal = scratch.folder().join(format!("backups/.operations/{}.jsonl", operation.id()));
    let lines = std::fs::read_to_string(journal).expect("a journal");
    let events: Vec<_> = lines
        .lines()
        .filter_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let event = line["event"].as_str()?.strip_prefix("statement-")?.to_string();
            Some(format!("{event} {}", line["index"]))
        })
        .collect();
    assert_eq!(events, ["started 0", "finished 0", "started 1", "finished 1", "started 2"]);
    assert!(lines.contains(&script.statements[2].sha256));
}

#[tokio::test]
async fn statements_without_a_transaction_end_with_their_version_rows() {
    let scratch = Scratch::with(SHOP);
    let script =
        Script { transaction: TransactionMode::None, ..script("aa", &["VACUUM", "CREATE TABLE t (a)"]) };
    apply(&scratch, &script).await.expect("applied");
    assert_eq!(scratch.open().version_rows().await.expect("rows"), [id("aa")]);
    let open = Script {
        transaction: TransactionMode::None,
        rows: vec![RowChange::Update { from: id("aa"), to: id("bb") }],
        ..self::script("bb", &["BEGIN", "DROP TABLE t"])
    };
    apply(&scratch, &open).await.expect_err("a transaction is left open");
    assert_eq!(scratch.ask("SELECT count(*) FROM t").await, "0", "and what it did is undone");
}

#[tokio::test]
async fn the_first_script_creates_a_database_that_is_not_there() {
    let scratch = Scratch::new();
    let database = scratch.open_with(OpenOptions { create: true, ..OpenOptions::default() });
    let operation = scratch.operation();
    let mark = database.mark().await.expect("a mark");
    database
        .apply(&script("aa", &["CREATE TABLE t (a)"]), &book(), &operation.script_log())
        .await
        .expect("applied");
    assert_eq!(database.version_rows().await.expect("rows"), [id("aa")]);
    assert_eq!(database.others_wrote_since(&mark).await.expect("told"), OtherWrites::Nobody);
    let other = Scratch::new();
    let error = apply(&other, &script("aa", &["CREATE TABLE t (a)"])).await.expect_err("not allowed");
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn own_writes_are_not_somebody_elses() {
    for mode in ["delete", "wal"] {
        let scratch = Scratch::with(&format!("PRAGMA journal_mode = {mode}; {SHOP}"));
        let database = scratch.open();
        let operation = scratch.operation();
        let mark = database.mark().await.expect("a mark");
        database
            .apply(&script("aa", &["DELETE FROM purchase"]), &book(), &operation.script_log())
            .await
            .expect("applied");
        // A script that is undone writes as well, and puts back.
        let failing = script("bb", &["DROP TABLE purchase", "INSERT INTO nowhere VALUES (1)"]);
        database.apply(&failing, &book(), &operation.script_log()).await.expect_err("fails");
        database.snapshot(&scratch.snapshot_folder("one"), &silent()).await.expect("a snapshot");
        assert_eq!(database.others_wrote_since(&mark).await.expect("told"), OtherWrites::Nobody, "{mode}");
        scratch.run("INSERT INTO customer (name) VALUES ('x')");
        assert_eq!(database.others_wrote_since(&mark).await.expect("told"), OtherWrites::Somebody, "{mode}");
    }
}

#[tokio::test]
async fn a_mark_of_another_process_proves_nothing() {
    let scratch = Scratch::with(SHOP);
    let mark = scratch.open().mark().await.expect("a mark");
    let database = scratch.open();
    assert!(matches!(database.others_wrote_since(&mark).await.expect("told"), OtherWrites::Unknown(_)));
    database.mark().await.expect("a mark of its own");
    assert!(matches!(database.others_wrote_since(&mark).await.expect("told"), OtherWrites::Unknown(_)));
}
