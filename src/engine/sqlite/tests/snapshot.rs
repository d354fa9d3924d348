//! Taking snapshots and proving them.

use super::super::OpenOptions;
use super::support::{SHOP, Scratch, ask, silent, snapshot};
use crate::base::{Cancel, hash};
use crate::engine::{Database, Error, ProofLevel};

#[tokio::test]
async fn a_snapshot_of_a_rollback_database_is_the_bytes_of_the_file_and_their_sha256() {
    let scratch = Scratch::with(SHOP);
    let database = scratch.open();
    let (folder, taken) = snapshot(&scratch, &database, "one").await;
    let (_, found) = hash::file_sha256(&folder.join("database.db")).expect("the copy");
    assert_eq!(found, scratch.sha256());
    assert_eq!(taken.sha256["database.db"], found);
    assert_eq!(taken.method, "sqlite page copy");
    assert_eq!(taken.facts["journal_mode"], "delete");
    assert_eq!(std::fs::read_dir(&folder).expect("listed").count(), 1, "nothing else is left there");
}

#[tokio::test]
async fn the_inventory_of_a_snapshot_is_that_of_the_live_database() {
    for mode in ["delete", "wal"] {
        let scratch = Scratch::with(&format!("PRAGMA journal_mode = {mode}; {SHOP}"));
        let database = scratch.open();
        let (_, taken) = snapshot(&scratch, &database, "one").await;
        let live = database.inventory(&silent()).await.expect("an inventory");
        assert_eq!(taken.inventory.catalog, live.catalog, "{mode}");
        assert_eq!(taken.inventory.fingerprint, live.fingerprint, "{mode}");
        assert_eq!(taken.inventory.findings, live.findings, "{mode}");
        assert_eq!(taken.inventory.facts["journal_mode"], mode);
        assert_eq!(live.facts["journal_mode"], mode);
    }
}

#[tokio::test]
async fn a_snapshot_is_proven_by_reading_it_back() {
    for mode in ["delete", "wal"] {
        let scratch = Scratch::with(&format!("PRAGMA journal_mode = {mode}; {SHOP}"));
        let database = scratch.open();
        let (folder, taken) = snapshot(&scratch, &database, "one").await;
        let proof = database.prove(&folder, &taken, "op", &silent()).await.expect("a proof");
        assert_eq!(proof.differences, [""; 0], "{mode}");
        assert_eq!((proof.level, proof.tables, proof.rows), (ProofLevel::Full, 2, 6));
        assert_eq!(std::fs::read_dir(&folder).expect("listed").count(), 1, "no scratch database is left");
    }
}

#[tokio::test]
async fn a_flipped_byte_anywhere_in_a_snapshot_disproves_it() {
    for mode in ["delete", "wal"] {
        let scratch = Scratch::with(&format!("PRAGMA journal_mode = {mode}; {SHOP}"));
        let database = scratch.open();
        let (folder, taken) = snapshot(&scratch, &database, "one").await;
        let file = folder.join("database.db");
        let whole = std::fs::read(&file).expect("the copy");
        for at in (0..whole.len()).step_by(797) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            crate::base::fs::write_durable(&file, &damaged).expect("written");
            let proof = database.prove(&folder, &taken, "op", &silent()).await.expect("a proof");
            assert_ne!(proof.differences, [""; 0], "byte {at} in {mode} mode");
        }
        crate::base::fs::write_durable(&file, &whole[..whole.len() / 2]).expect("cut off");
        let proof = database.prove(&folder, &taken, "op", &silent()).await.expect("a proof");
        assert_ne!(proof.differences, [""; 0], "cut off in {mode} mode");
    }
}

#[tokio::test]
async fn a_snapshot_of_another_state_is_disproved_row_by_row() {
    let scratch = Scratch::with(&format!("PRAGMA journal_mode = wal; {SHOP}"));
    let database = scratch.open();
    let (folder, mut taken) = snapshot(&scratch, &database, "one").await;
    let copy = rusqlite::Connection::open(folder.join("database.db")).expect("opens");
    copy.execute_batch("UPDATE customer SET name = 'Ada' WHERE id = 1").expect("changed");
    drop(copy);
    taken.sha256.clear();
    let proof = database.prove(&folder, &taken, "op", &silent()).await.expect("a proof");
    assert_eq!(proof.differences.len(), 1, "{:?}", proof.differences);
    assert!(proof.differences[0].contains("table customer"), "{:?}", proof.differences);
}

#[tokio::test]
async fn the_copy_of_a_wal_database_is_one_file_with_everything_in_it() {
    let scratch = Scratch::with("PRAGMA journal_mode = wal;");
    let app = scratch.connect();
    app.pragma_update(None, "wal_autocheckpoint", 0).expect("no checkpoints");
    app.execute_batch(SHOP).expect("rows in the WAL only");
    let database = scratch.open();
    let (folder, taken) = snapshot(&scratch, &database, "one").await;
    assert_eq!(taken.method, "sqlite page copy with WAL");
    assert_eq!(ask(&folder.join("database.db"), "PRAGMA journal_mode").await, "delete");
    assert_eq!(ask(&folder.join("database.db"), "SELECT count(*) FROM customer").await, "3");
    assert_eq!(std::fs::read_dir(&folder).expect("listed").count(), 1);
    let (_, found) = hash::file_sha256(&folder.join("database.db")).expect("the copy");
    assert_eq!(taken.sha256["database.db"], found);
}

#[tokio::test]
async fn a_snapshot_releases_the_live_database() {
    for mode in ["delete", "wal"] {
        let scratch = Scratch::with(&format!("PRAGMA journal_mode = {mode}; {SHOP}"));
        let database = scratch.open();
        snapshot(&scratch, &database, "one").await;
        let app = scratch.connect();
        app.execute_batch("BEGIN EXCLUSIVE; INSERT INTO customer (name) VALUES ('x'); COMMIT").expect(mode);
    }
}

#[tokio::test]
async fn a_snapshot_is_private() {
    use std::os::unix::fs::PermissionsExt;
    for mode in ["delete", "wal"] {
        let scratch = Scratch::with(&format!("PRAGMA journal_mode = {mode}; {SHOP}"));
        let (folder, _) = snapshot(&scratch, &scratch.open(), "one").await;
        let file = folder.join("database.db").metadata().expect("the copy");
        assert_eq!(file.permissions().mode() & 0o777, 0o600, "{mode}");
    }
}

#[tokio::test]
async fn an_interrupted_snapshot_says_so() {
    for mode in ["delete", "wal"] {
        let scratch = Scratch::with(&format!("PRAGMA journal_mode = {mode}; {SHOP}"));
        let cancel = Cancel::new();
        cancel.cancel();
        let database = scratch.open_with(OpenOptions { cancel, ..OpenOptions::default() });
        let error = database.snapshot(&scratch.snapshot_folder("one"), &silent()).await.expect_err("stopped");
        assert!(error.is_interrupted(), "{error}");
    }
}

#[tokio::test]
async fn a_snapshot_of_a_hot_journal_is_what_was_committed() {
    let (scratch, crashed) = (Scratch::with(SHOP), Scratch::new());
    super::looking::leave_hot_journal(&scratch, &crashed);
    let (folder, taken) = snapshot(&crashed, &crashed.open(), "one").await;
    assert_eq!(taken.inventory.fingerprint.rows(), 6);
    assert_eq!(ask(&folder.join("database.db"), "PRAGMA integrity_check").await, "ok");
    assert_eq!(ask(&folder.join("database.db"), "SELECT total(amount) FROM purchase").await, "10.25");
}

#[tokio::test]
async fn a_missing_database_has_no_snapshot_unless_it_may_be_created() {
    let scratch = Scratch::new();
    let folder = scratch.snapshot_folder("one");
    let error = scratch.open().snapshot(&folder, &silent()).await.expect_err("none");
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let database = scratch.open_with(OpenOptions { create: true, ..OpenOptions::default() });
    let taken = database.snapshot(&folder, &silent()).await.expect("an empty one");
    let proof = database.prove(&folder, &taken, "op", &silent()).await.expect("a proof");
    assert_eq!(proof.differences, [""; 0]);
    assert!(!scratch.path().exists());
}
