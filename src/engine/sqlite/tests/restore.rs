//! Putting snapshots back.

use super::super::{OpenOptions, SqliteDatabase};
use super::support::{SHOP, Scratch, ask, silent, snapshot};
use crate::engine::{Database, Error, OtherWrites, Snapshot, Staged, Swapped};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

async fn stage(database: &SqliteDatabase, folder: &Path, taken: &Snapshot) -> Staged {
    database.stage(folder, &taken.inventory, "op", &silent()).await.expect("staged")
}

async fn restore(
    scratch: &Scratch,
    database: &SqliteDatabase,
    folder: &Path,
    taken: &Snapshot,
) -> Result<Swapped, Error> {
    // Nothing is replaced that was not saved, or found to be beyond that.
    let present = tempfile::tempdir().expect("a folder");
    let _ = database.snapshot(present.path(), &silent()).await;
    let staged = stage(database, folder, taken).await;
    let operation = scratch.operation();
    database.swap(&staged, "op", &operation.script_log()).await
}

#[tokio::test]
async fn programs_that_have_the_database_open_go_on_with_the_restored_content() {
    for mode in ["delete", "wal"] {
        let scratch = Scratch::with(&format!("PRAGMA journal_mode = {mode}; {SHOP}"));
        let database = scratch.open();
        let (folder, taken) = snapshot(&scratch, &database, "one").await;
        let app = scratch.connect();
        app.execute_batch("DELETE FROM customer; CREATE TABLE extra (a)").expect("changed");
        let database = scratch.open();
        let swapped = restore(&scratch, &database, &folder, &taken).await.expect("restored");
        assert_eq!((swapped.kept, swapped.notes), (None, Vec::new()), "{mode}");
        let count = |sql: &str| app.query_row(sql, [], |row| row.get::<_, i64>(0)).expect(mode);
        assert_eq!(count("SELECT count(*) FROM customer"), 3, "{mode}");
        assert_eq!(count("SELECT count(*) FROM sqlite_schema WHERE name = 'extra'"), 0, "{mode}");
        app.execute_batch("INSERT INTO customer (name) VALUES ('alan')").expect("writes go on");
        assert_eq!(
            scratch.ask("SELECT count(*) FROM customer; PRAGMA integrity_check; PRAGMA journal_mode").await,
            format!("4\nok\n{mode}")
        );
    }
}

#[tokio::test]
async fn a_restore_is_not_somebody_elses_write() {
    for mode in ["delete", "wal"] {
        let scratch = Scratch::with(&format!("PRAGMA journal_mode = {mode}; {SHOP}"));
        let database = scratch.open();
        let (folder, taken) = snapshot(&scratch, &database, "one").await;
        let mark = database.mark().await.expect("a mark");
        restore(&scratch, &database, &folder, &taken).await.expect("restored");
        assert_eq!(database.others_wrote_since(&mark).await.expect("told"), OtherWrites::Nobody, "{mode}");
    }
}

#[tokio::test]
async fn a_database_that_another_program_works_with_is_busy_and_unchanged() {
    for mode in ["delete", "wal"] {
        let scratch = Scratch::with(&format!("PRAGMA journal_mode = {mode}; {SHOP}"));
        let options = OpenOptions { lock_timeout: Duration::from_millis(30), ..OpenOptions::default() };
        let (folder, taken) = snapshot(&scratch, &scratch.open(), "one").await;
        scratch.run("DELETE FROM purchase");
        let app = scratch.connect();
        app.execute_batch("BEGIN IMMEDIATE").expect("writing");
        let error = restore(&scratch, &scratch.open_with(options), &folder, &taken).await.expect_err("busy");
        assert!(matches!(error, Error::Busy { .. }), "{error}");
        app.execute_batch("ROLLBACK").expect("done");
        assert_eq!(scratch.ask("SELECT count(*) FROM purchase").await, "0", "{mode}");
    }
}

#[tokio::test]
async fn the_journal_mode_comes_back() {
    for (then, now) in [("wal", "delete"), ("delete", "wal")] {
        let scratch = Scratch::with(&format!("PRAGMA journal_mode = {then}; {SHOP}"));
        let (folder, taken) = snapshot(&scratch, &scratch.open(), "one").await;
        scratch.run(&format!("PRAGMA journal_mode = {now}"));
        let database = scratch.open();
        restore(&scratch, &database, &folder, &taken).await.expect("restored");
        drop(database);
        assert_eq!(
            scratch.ask("PRAGMA journal_mode; SELECT count(*) FROM customer").await,
            format!("{then}\n3")
        );
    }
}

#[tokio::test]
async fn another_page_size_is_no_obstacle_unless_a_wal_is_in_use() {
    for mode in ["delete", "wal"] {
        let scratch =
            Scratch::with(&format!("PRAGMA page_size = 1024; {SHOP} PRAGMA journal_mode = {mode};"));
        let options = OpenOptions { lock_timeout: Duration::from_millis(30), ..OpenOptions::default() };
        let (folder, taken) = snapshot(&scratch, &scratch.open(), "one").await;
        scratch.run("PRAGMA journal_mode = delete; PRAGMA page_size = 8192; VACUUM; DELETE FROM purchase;");
        scratch.run(&format!("PRAGMA journal_mode = {mode}"));
        let database = scratch.open_with(options);
        if mode == "wal" {
            let app = scratch.connect();
            app.query_row("SELECT count(*) FROM customer", [], |row| row.get::<_, i64>(0)).expect("in use");
            let error = restore(&scratch, &database, &folder, &taken).await.expect_err("in use");
            assert!(matches!(error, Error::Busy { .. }), "{error}");
        }
        restore(&scratch, &database, &folder, &taken).await.expect(mode);
        drop(database);
        assert_eq!(
            scratch.ask("PRAGMA page_size; SELECT count(*) FROM purchase; PRAGMA journal_mode").await,
            format!("1024\n3\n{mode}")
        );
    }
}

#[tokio::test]
async fn a_new_database_is_created_where_there_is_none() {
    use std::os::unix::fs::PermissionsExt;
    for mode in ["delete", "wal"] {
        let scratch = Scratch::with(&format!("PRAGMA journal_mode = {mode}; {SHOP}"));
        std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o640))
            .expect("permissions");
        let (folder, taken) = snapshot(&scratch, &scratch.open(), "one").await;
        let new = scratch.folder().join("new.db");
        let database = SqliteDatabase::open(&new, OpenOptions::default()).expect("named");
        restore(&scratch, &database, &folder, &taken).await.expect("restored");
        assert_eq!(
            ask(&new, "SELECT count(*) FROM customer; PRAGMA journal_mode").await,
            format!("3\n{mode}")
        );
        assert_eq!(new.metadata().expect("there").permissions().mode() & 0o777, 0o640);
        let files = scratch.files();
        assert!(!files.iter().any(|name| name.contains("partial")), "{files:?}");
    }
}

#[tokio::test]
async fn a_file_that_sqlite_cannot_open_is_replaced_and_kept() {
    let scratch = Scratch::with(SHOP);
    let database = scratch.open();
    let (folder, taken) = snapshot(&scratch, &database, "one").await;
    crate::base::fs::write_durable(&scratch.path(), &[7; 9000]).expect("broken");
    for suffix in ["-wal", "-journal"] {
        // What lies beside a broken file must not be applied to the new one.
        crate::base::fs::write_durable(&scratch.folder().join(format!("app.db{suffix}")), &[1; 5000])
            .expect("leftover");
    }
    let staged = stage(&database, &folder, &taken).await;
    assert!(staged.way.contains("kept"), "{}", staged.way);
    let operation = scratch.operation();
    let swapped = database.swap(&staged, "op", &operation.script_log()).await.expect("restored");
    let kept = swapped.kept.expect("kept");
    assert_eq!(std::fs::read(&kept).expect("the old one"), [7; 9000]);
    assert_eq!(std::fs::read(format!("{kept}-wal")).expect("its WAL"), [1; 5000]);
    assert_eq!(scratch.ask("SELECT count(*) FROM customer; PRAGMA integrity_check").await, "3\nok");
}

#[tokio::test]
async fn damaged_pages_of_the_live_database_do_not_stop_a_restore() {
    let scratch = Scratch::with(SHOP);
    let database = scratch.open();
    let (folder, taken) = snapshot(&scratch, &database, "one").await;
    let mut bytes = std::fs::read(scratch.path()).expect("the file");
    bytes[200..].fill(0xAA);
    crate::base::fs::write_durable(&scratch.path(), &bytes).expect("damaged");
    restore(&scratch, &scratch.open(), &folder, &taken).await.expect("restored");
    assert_eq!(scratch.ask("SELECT count(*) FROM customer; PRAGMA integrity_check").await, "3\nok");
}

#[tokio::test]
async fn a_snapshot_that_differs_from_its_inventory_is_refused() {
    let scratch = Scratch::with(SHOP);
    let database = scratch.open();
    let (folder, mut taken) = snapshot(&scratch, &database, "one").await;
    taken.inventory.catalog.settings.insert("user_version".to_string(), "5".to_string());
    let staged = stage(&database, &folder, &taken).await;
    assert_ne!(staged.differences, [""; 0]);
    let operation = scratch.operation();
    let before = scratch.sha256();
    let error = database.swap(&staged, "op", &operation.script_log()).await.expect_err("refused");
    assert!(matches!(error, Error::DamagedSnapshot { .. }), "{error}");
    assert_eq!(scratch.sha256(), before);
}

#[tokio::test]
async fn a_snapshot_that_is_gone_or_no_database_is_damaged() {
    let scratch = Scratch::with(SHOP);
    let database = scratch.open();
    let (folder, taken) = snapshot(&scratch, &database, "one").await;
    crate::base::fs::write_durable(&folder.join("database.db"), b"oops").expect("damaged");
    let error = database.stage(&folder, &taken.inventory, "op", &silent()).await.expect_err("refused");
    assert!(matches!(error, Error::DamagedSnapshot { .. }), "{error}");
    std::fs::remove_file(folder.join("database.db")).expect("gone");
    let error = database.stage(&folder, &taken.inventory, "op", &silent()).await.expect_err("refused");
    assert!(matches!(error, Error::DamagedSnapshot { .. }), "{error}");
}

#[tokio::test]
async fn tidying_up_undoes_half_a_replacement_and_doing_it_twice_is_doing_it_once() {
    let scratch = Scratch::with(SHOP);
    let moved = scratch.folder().join("app.db.pre-restore-op");
    std::fs::rename(scratch.path(), &moved).expect("moved away");
    crate::base::fs::write_durable(&scratch.folder().join(".app.db.op.partial"), b"half")
        .expect("a leftover");
    crate::base::fs::write_durable(&scratch.folder().join(".app.db.other.partial"), b"half")
        .expect("another's");
    let database = scratch.open();
    let done = database.tidy("op", &BTreeMap::new()).await.expect("tidied");
    assert_eq!(done.len(), 2, "{done:?}");
    assert_eq!(scratch.files(), [".app.db.other.partial", "app.db"]);
    assert_eq!(database.tidy("op", &BTreeMap::new()).await.expect("tidied"), [""; 0]);
    assert_eq!(scratch.ask("SELECT count(*) FROM customer").await, "3");
}

#[tokio::test]
async fn what_an_earlier_database_left_is_not_applied_to_a_new_file() {
    let scratch = Scratch::with(&format!("PRAGMA journal_mode = wal; {SHOP}"));
    let (folder, taken) = snapshot(&scratch, &scratch.open(), "one").await;
    // A program that dies leaves its WAL; then somebody removes the database, and the database alone.
    let app = scratch.connect();
    app.execute_batch("PRAGMA wal_autocheckpoint = 0; DELETE FROM purchase; DELETE FROM customer")
        .expect("changed");
    let wal = std::fs::read(scratch.folder().join("app.db-wal")).expect("its WAL");
    drop(app);
    std::fs::remove_file(scratch.path()).expect("gone");
    crate::base::fs::write_durable(&scratch.folder().join("app.db-wal"), &wal).expect("left");
    let swapped = restore(&scratch, &scratch.open(), &folder, &taken).await.expect("restored");
    assert_eq!(scratch.ask("SELECT count(*) FROM customer; PRAGMA integrity_check").await, "3\nok");
    let kept = scratch.folder().join("app.db.pre-restore-op-wal");
    assert_eq!(std::fs::read(&kept).expect("kept"), wal);
    assert!(swapped.notes.iter().any(|note| note.contains("pre-restore-op-wal")), "{:?}", swapped.notes);
}

#[tokio::test]
async fn a_crash_while_tidying_up_leaves_the_database_for_the_end() {
    let scratch = Scratch::with(SHOP);
    let database = scratch.open();
    let kept = scratch.folder().join("app.db.pre-restore-op");
    std::fs::rename(scratch.path(), &kept).expect("moved away");
    crate::base::fs::write_durable(&kept.with_extension("pre-restore-op-wal"), b"its WAL")
        .expect("moved away");
    // The WAL cannot be moved: as if the process had died before it.
    let obstacle = scratch.folder().join("app.db-wal");
    std::fs::create_dir(&obstacle).expect("an obstacle");
    let error = database.tidy("op", &BTreeMap::new()).await.expect_err("not moved");
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(!scratch.path().exists(), "the database came back without its WAL");
    std::fs::remove_dir(&obstacle).expect("no obstacle");
    database.tidy("op", &BTreeMap::new()).await.expect("tidied");
    assert_eq!(std::fs::read(scratch.folder().join("app.db-wal")).expect("back"), b"its WAL");
    assert!(scratch.path().exists() && !kept.exists());
}

#[tokio::test]
async fn a_broken_file_with_a_journal_does_not_keep_anybody_from_tidying_up() {
    let scratch = Scratch::new();
    crate::base::fs::write_durable(&scratch.path(), &[7; 9000]).expect("broken");
    crate::base::fs::write_durable(&scratch.folder().join("app.db-journal"), &[1; 5000]).expect("a leftover");
    assert_eq!(scratch.open().tidy("op", &BTreeMap::new()).await.expect("tidied"), [""; 0]);
    assert_eq!(std::fs::read(scratch.path()).expect("the file"), [7; 9000]);
}
