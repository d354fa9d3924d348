//! Snapshots, their proof, and the way back.

use super::{Subject, silent};
use crate::applying::{insert, script};
use crate::bench::OPERATION;
use crate::support::*;
use ripcord::engine::ProofLevel;
use std::collections::BTreeMap;

both_engines! {
    async fn a_snapshot_knows_what_it_holds_and_lets_the_database_go(db: &TestDatabase) {
        let subject = Subject::new(db);
        let database = subject.open().await;
        let (folder, taken) = subject.snapshot(&*database, "snapshot").await;
        let live = subject.open().await.inventory(&silent()).await.expect("read");
        assert_eq!((&taken.inventory.catalog, &taken.inventory.fingerprint), (&live.catalog, &live.fingerprint));
        assert_eq!(taken.inventory.findings, live.findings);
        for (path, sha256) in &taken.sha256 {
            let found = ripcord::base::hash::file_sha256(&folder.join(path)).expect("the file is there").1;
            assert_eq!(&found, sha256, "{path}");
        }
        // What the snapshot needed locked would be in the way of this.
        let change = script("aaaa", insert("aaaa"), &["DROP TABLE purchase"]);
        subject.apply(&*database, &change).await.expect("nothing is locked");
    }

    async fn a_snapshot_is_proven_where_nobody_sees_it(db: &TestDatabase) {
        let subject = Subject::new(db);
        let database = subject.open().await;
        let (folder, taken) = subject.snapshot(&*database, "snapshot").await;
        let (content, places) = (db.dump(), subject.places());
        let proof = database.prove(&folder, &taken, OPERATION, &silent()).await.expect("proven");
        assert_eq!((proof.level, proof.differences.len()), (ProofLevel::Full, 0), "{proof:?}");
        assert_eq!((proof.tables, proof.rows), (2, 6));
        assert_eq!((db.dump(), subject.places()), (content, places));
    }

    async fn a_snapshot_of_another_state_is_no_proof_and_leaves_nothing_either(db: &TestDatabase) {
        let subject = Subject::new(db);
        let database = subject.open().await;
        let (_, taken) = subject.snapshot(&*database, "snapshot").await;
        db.execute("UPDATE purchase SET amount = 1 WHERE id = 2;");
        let (other, mut lie) = subject.snapshot(&*database, "other").await;
        let places = subject.places();
        lie.inventory = taken.inventory;
        lie.sha256.clear();
        let proof = database.prove(&other, &lie, OPERATION, &silent()).await.expect("looked");
        let named = proof.differences.iter().any(|difference| difference.contains("purchase"));
        assert!(named, "{:?}", proof.differences);
        assert_eq!(subject.places(), places);
    }

    async fn what_was_staged_takes_the_place_of_the_live_database_at_once(db: &TestDatabase) {
        let subject = Subject::new(db);
        let database = subject.open().await;
        let _lock = database.lock(OPERATION).await.expect("the lock");
        let (folder, taken) = subject.snapshot(&*database, "snapshot").await;
        let before = db.dump();
        db.execute("DELETE FROM purchase; ALTER TABLE customer ADD COLUMN phone TEXT; CREATE TABLE more (id INTEGER);");
        let changed = db.dump();
        let (present, _) = subject.snapshot(&*database, "present").await;
        let staged = database.stage(&folder, &taken.inventory, OPERATION, &silent()).await.expect("staged");
        assert_eq!((staged.differences.len(), db.dump()), (0, changed), "nothing that is live is touched");

        let operation = subject.operation();
        let swapped = database.swap(&staged, OPERATION, &operation.script_log()).await.expect("swapped");
        assert_eq!(db.dump(), before);
        if let Some(kept) = &swapped.kept {
            assert!(subject.places().iter().any(|place| kept.ends_with(place)), "{kept} is not there");
        }
        assert_eq!(database.inventory(&silent()).await.expect("read").fingerprint, taken.inventory.fingerprint);
        drop(present);
    }

    async fn a_snapshot_that_is_not_what_was_expected_is_said_before_it_is_live(db: &TestDatabase) {
        let subject = Subject::new(db);
        let database = subject.open().await;
        let (folder, _) = subject.snapshot(&*database, "snapshot").await;
        db.execute("ALTER TABLE purchase ADD COLUMN note TEXT;");
        let (other, content) = (database.inventory(&silent()).await.expect("read"), db.dump());
        let staged = database.stage(&folder, &other, OPERATION, &silent()).await.expect("staged");
        assert!(!staged.differences.is_empty());
        database.tidy(OPERATION, &BTreeMap::new()).await.expect("tidied");
        assert_eq!(db.dump(), content);
    }

    async fn a_database_that_is_not_there_is_made_of_a_snapshot(db: &TestDatabase) {
        let subject = Subject::new(db);
        let (folder, taken) = subject.snapshot(&*subject.open().await, "snapshot").await;
        let other = subject.named("other").await;
        let _lock = other.lock(OPERATION).await.expect("the lock");
        let staged = other.stage(&folder, &taken.inventory, OPERATION, &silent()).await.expect("staged");
        assert!(!other.exists().await.expect("asked"), "it appears at once and whole");
        let swapped = other.swap(&staged, OPERATION, &subject.operation().script_log()).await.expect("swapped");
        assert_eq!(swapped.kept, None);
        let found = other.inventory(&silent()).await.expect("read");
        assert_eq!(found.fingerprint, taken.inventory.fingerprint);
    }

    async fn what_a_failed_operation_left_is_removed_once_and_nothing_else(db: &TestDatabase) {
        let subject = Subject::new(db);
        let database = subject.open().await;
        let (content, places) = (db.dump(), subject.places());
        let (folder, taken) = subject.snapshot(&*database, "snapshot").await;
        database.stage(&folder, &taken.inventory, OPERATION, &silent()).await.expect("staged");
        drop(database);
        let later = subject.open().await;
        later.tidy(OPERATION, &BTreeMap::new()).await.expect("tidied");
        assert_eq!((db.dump(), subject.places()), (content, places));
        assert_eq!(later.tidy(OPERATION, &BTreeMap::new()).await.expect("again"), Vec::<String>::new());
    }

    async fn the_way_back_without_ripcord_is_a_script_for_any_shell(db: &TestDatabase) {
        let subject = Subject::new(db);
        let database = subject.open().await;
        let (folder, taken) = subject.snapshot(&*database, "snapshot").await;
        let script = folder.with_file_name("RESTORE.sh");
        std::fs::write(&script, database.restore_script(&taken)).expect("the folder is writable");
        assert!(database.restore_script(&taken).starts_with("#!/bin/sh\n"));
        let read = Sandbox::new().run("sh", &["-n", &script.display().to_string()]);
        read.expect_code(0).stderr_is_empty();
    }
}
