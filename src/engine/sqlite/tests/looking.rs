//! Looking at a database leaves no trace, and what cannot be looked at is named.

use super::super::OpenOptions;
use super::support::{SHOP, Scratch, silent};
use crate::engine::{Database, Error};
use std::time::Duration;

#[tokio::test]
async fn no_command_that_only_reads_creates_a_file() {
    let scratch = Scratch::new();
    let database = scratch.open();
    assert!(!database.exists().await.expect("known"));
    assert!(matches!(database.version_rows().await, Err(Error::NotFound { .. })));
    assert!(matches!(database.catalog().await, Err(Error::NotFound { .. })));
    assert!(matches!(database.inventory(&silent()).await, Err(Error::NotFound { .. })));
    database.mark().await.expect("a mark");
    assert_eq!(scratch.files(), [""; 0]);
}

#[tokio::test]
async fn a_database_that_may_be_created_counts_as_an_empty_one() {
    let scratch = Scratch::new();
    let database = scratch.open_with(OpenOptions { create: true, ..OpenOptions::default() });
    assert_eq!(database.version_rows().await.expect("rows"), []);
    assert_eq!(database.applied_files().await.expect("files"), []);
    let inventory = database.inventory(&silent()).await.expect("an inventory");
    assert!(inventory.catalog.tables.is_empty());
    assert_eq!(scratch.files(), [""; 0]);
}

#[tokio::test]
async fn looking_at_a_database_leaves_nothing_beside_it_in_any_journal_mode() {
    for mode in ["delete", "truncate", "persist", "wal"] {
        let scratch = Scratch::with(&format!("PRAGMA journal_mode = {mode}; {SHOP}"));
        let (files, sha256) = (scratch.files(), scratch.sha256());
        let database = scratch.open();
        database.catalog().await.expect("a catalog");
        database.inventory(&silent()).await.expect("an inventory");
        database.version_rows().await.expect("rows");
        assert_eq!(scratch.files(), files, "{mode}");
        assert_eq!(scratch.sha256(), sha256, "{mode}");
    }
}

#[tokio::test]
async fn looking_at_a_wal_that_others_use_never_checkpoints_it() {
    let scratch = Scratch::with("PRAGMA journal_mode = wal;");
    let app = scratch.connect();
    app.pragma_update(None, "wal_autocheckpoint", 0).expect("no checkpoints");
    app.execute_batch(SHOP).expect("rows in the WAL");
    let wal = scratch.folder().join("app.db-wal");
    let before = wal.metadata().expect("a WAL").len();
    let inventory = scratch.open().inventory(&silent()).await.expect("an inventory");
    assert_eq!(inventory.fingerprint.rows(), 6, "what is only in the WAL is seen");
    assert_eq!(wal.metadata().expect("still a WAL").len(), before);
    let main = std::fs::metadata(scratch.path()).expect("the file").len();
    assert!(main < before, "nothing moved into the database file");
}

#[tokio::test]
async fn what_is_no_database_is_named() {
    let scratch = Scratch::new();
    crate::base::fs::write_durable(&scratch.path(), b"just a text, no database at all").expect("written");
    let error = scratch.open().catalog().await.expect_err("refused");
    assert!(matches!(error, Error::NotADatabase { .. }), "{error}");
    // An encrypted database looks like noise of the right size.
    let noise: Vec<u8> = (0..8192u32).map(|byte| (byte.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    crate::base::fs::write_durable(&scratch.path(), &noise).expect("written");
    let error = scratch.open().version_rows().await.expect_err("refused");
    assert!(matches!(error, Error::NotADatabase { .. }), "{error}");
}

#[tokio::test]
async fn a_folder_is_no_database_and_a_missing_folder_is_named() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path()).expect("a folder");
    let error = scratch.open().catalog().await.expect_err("refused");
    assert!(matches!(error, Error::NotADatabase { .. }), "{error}");
    let nowhere = scratch.folder().join("no/where/app.db");
    let error = super::super::SqliteDatabase::open(&nowhere, OpenOptions::default()).err().expect("refused");
    assert!(error.to_string().contains("no/where"), "{error}");
}

#[tokio::test]
async fn the_same_file_is_the_same_database_by_whatever_name() {
    let scratch = Scratch::with(SHOP);
    let link = scratch.folder().join("link.db");
    std::os::unix::fs::symlink(scratch.path(), &link).expect("a link");
    let by_link = super::super::SqliteDatabase::open(&link, OpenOptions::default()).expect("named");
    assert!(by_link.identity().is_same(scratch.open().identity()));
    let dotted = scratch.folder().join("./app.db");
    let by_dots = super::super::SqliteDatabase::open(&dotted, OpenOptions::default()).expect("named");
    assert_eq!(by_dots.identity(), scratch.open().identity());
}

#[tokio::test]
async fn a_name_with_characters_that_mean_something_in_an_address_is_only_a_name() {
    let scratch = Scratch::new();
    for name in ["a?b=c#d%20.db", "file:x.db", "sp ace é'\".db"] {
        let path = scratch.folder().join(name);
        let connection = rusqlite::Connection::open_with_flags(
            &path,
            rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_CREATE,
        );
        connection.expect("opens").execute_batch(SHOP).expect("runs");
        assert!(path.exists(), "{name}");
        let database = super::super::SqliteDatabase::open(&path, OpenOptions::default()).expect("named");
        let folder = scratch.snapshot_folder(&format!("snapshot of {name}"));
        let taken = database.snapshot(&folder, &silent()).await.expect("a snapshot");
        assert_eq!(taken.inventory.fingerprint.rows(), 6, "{name}");
    }
}

#[tokio::test]
async fn a_locked_database_is_busy_after_the_timeout() {
    let scratch = Scratch::with(SHOP);
    let app = scratch.connect();
    app.execute_batch("BEGIN EXCLUSIVE").expect("locked");
    let options = OpenOptions { lock_timeout: Duration::from_millis(30), ..OpenOptions::default() };
    let error = scratch.open_with(options).catalog().await.expect_err("busy");
    assert!(matches!(error, Error::Busy { .. }), "{error}");
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_undone_before_anything_is_read() {
    let scratch = Scratch::with(SHOP);
    let (crashed, rows) = (Scratch::new(), 6);
    leave_hot_journal(&scratch, &crashed);
    let inventory = crashed.open().inventory(&silent()).await.expect("an inventory");
    assert_eq!(inventory.fingerprint.rows(), rows);
    assert_eq!(inventory.findings, []);
}

/// Copies a database and its journal in the middle of a transaction, as a power cut would leave them.
pub(super) fn leave_hot_journal(scratch: &Scratch, crashed: &Scratch) {
    let app = scratch.connect();
    app.execute_batch(
        "PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN;
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
        INSERT INTO customer (name) SELECT 'row ' || i FROM n;
        UPDATE purchase SET amount = 1;",
    )
    .expect("a transaction that spills to the file");
    for suffix in ["", "-journal"] {
        let from = super::super::session::sidecar(&scratch.path(), suffix);
        std::fs::copy(&from, super::super::session::sidecar(&crashed.path(), suffix)).expect("copied");
    }
    let journal = super::super::session::sidecar(&crashed.path(), "-journal");
    assert!(journal.metadata().expect("a journal").len() > 0, "the journal is hot");
}
