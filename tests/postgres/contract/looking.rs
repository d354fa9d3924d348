//! Methods that only read: they tell the truth and leave no trace.

use super::{Subject, silent};
use crate::applying::{insert, script};
use crate::support::*;
use ripcord::catalog::Severity;
use ripcord::engine::{Error, Need, ProofLevel};

both_engines! {
    async fn a_database_is_the_same_one_for_everybody_and_no_other_one(db: &TestDatabase) {
        let subject = Subject::new(db);
        let (one, again, other) =
            (subject.open().await, subject.open().await, subject.named("other").await);
        assert!(one.identity().is_same(again.identity()));
        assert!(!one.identity().is_same(other.identity()));
    }

    async fn a_database_that_is_missing_is_said_to_be_and_is_not_made(db: &TestDatabase) {
        let subject = Subject::new(db);
        let before = subject.places();
        let missing = subject.named("missing").await;
        assert!(subject.open().await.exists().await.expect("asked"));
        assert!(!missing.exists().await.expect("asked"));
        let refused = [
            missing.catalog().await.err(),
            missing.inventory(&silent()).await.err(),
            missing.version_rows().await.err(),
            missing.applied_files().await.err(),
            missing.snapshot(&subject.empty_folder("snapshot"), &silent()).await.err(),
            subject.apply(&*missing, &script("aaaa", insert("aaaa"), &["SELECT 1"])).await.err(),
        ];
        for (at, refused) in refused.iter().enumerate() {
            assert!(matches!(refused, Some(Error::NotFound { .. })), "{at}: {refused:?}");
        }
        assert_eq!(subject.places(), before);
    }

    async fn looking_leaves_no_trace(db: &TestDatabase) {
        let subject = Subject::new(db);
        let (content, places) = (db.dump(), subject.places());
        let database = subject.open().await;
        let need = Need { folder: subject.folder.path(), proof: ProofLevel::Full, rehearsal: false, writes: true, replaces: true };
        database.exists().await.expect("asked");
        database.preflight(&need).await.expect("looked");
        database.catalog().await.expect("read");
        let seen = database.inventory(&silent()).await.expect("read");
        assert_eq!(database.version_rows().await.expect("read"), []);
        assert_eq!(database.applied_files().await.expect("read"), []);
        let mark = database.mark().await.expect("marked");
        database.others_wrote_since(&mark).await.expect("told");
        let (folder, _) = subject.snapshot(&*database, "snapshot").await;
        database.inventory_after(&seen, &folder, &silent()).await.expect("read");
        drop(database);
        assert_eq!((db.dump(), subject.places()), (content, places));
    }

    async fn a_sound_database_gives_no_reason_to_refuse_and_has_a_size(db: &TestDatabase) {
        let subject = Subject::new(db);
        let need = Need { folder: subject.folder.path(), proof: ProofLevel::Full, rehearsal: false, writes: true, replaces: true };
        let found = subject.open().await.preflight(&need).await.expect("looked");
        let stop: Vec<_> = found.findings.iter().filter(|one| one.severity == Severity::Error).collect();
        assert!(stop.is_empty() && found.bytes > 0, "{found:?}");
    }

    async fn the_lock_lets_one_operation_in_and_names_it_to_the_next(db: &TestDatabase) {
        let subject = Subject::new(db);
        let (database, other) = (subject.open().await, subject.open().await);
        let first = database.lock("the-first-one").await.expect("free");
        match other.lock("the-second-one").await {
            Err(Error::LockedByOther { holder, .. }) => assert!(holder.contains("the-first-one"), "{holder}"),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("two hold the lock"),
        }
        drop(first);
        other.lock("the-second-one").await.expect("free again");
    }

    async fn an_inventory_holds_the_catalog_and_every_row(db: &TestDatabase) {
        let subject = Subject::new(db);
        let database = subject.open().await;
        let seen = database.inventory(&silent()).await.expect("read");
        assert_eq!(seen.catalog, database.catalog().await.expect("read"));
        assert_eq!(seen.engine, database.identity().engine);
        assert_eq!(seen.fingerprint.tables.len(), 2);
        assert_eq!(seen.fingerprint.tables[&subject.table("customer")].rows, 3);
        assert_eq!(subject.open().await.inventory(&silent()).await.expect("read"), seen);
    }

    async fn other_data_has_another_fingerprint_and_the_same_data_the_same(db: &TestDatabase) {
        let subject = Subject::new(db);
        let database = subject.open().await;
        let before = database.inventory(&silent()).await.expect("read").fingerprint;
        for (there, back) in [
            ("UPDATE purchase SET amount = 0 WHERE id = 2;", "UPDATE purchase SET amount = NULL WHERE id = 2;"),
            ("UPDATE customer SET name = 'Ada' WHERE id = 1;", "UPDATE customer SET name = 'ada' WHERE id = 1;"),
            ("DELETE FROM purchase WHERE id = 3;", "INSERT INTO purchase VALUES (3, 3, -0.25);"),
        ] {
            db.execute(there);
            assert_ne!(database.inventory(&silent()).await.expect("read").fingerprint, before, "{there}");
            db.execute(back);
            assert_eq!(database.inventory(&silent()).await.expect("read").fingerprint, before, "{back}");
        }
    }

    async fn a_second_look_with_the_snapshot_sees_what_a_first_look_would(db: &TestDatabase) {
        let subject = Subject::new(db);
        let database = subject.open().await;
        let (folder, taken) = subject.snapshot(&*database, "snapshot").await;
        for change in ["UPDATE purchase SET amount = 1 WHERE id = 3;", "ALTER TABLE customer ADD COLUMN phone TEXT;"] {
            db.execute(change);
            let after = database.inventory_after(&taken.inventory, &folder, &silent()).await.expect("read");
            assert_eq!(after, subject.open().await.inventory(&silent()).await.expect("read"), "{change}");
        }
    }

    async fn version_rows_come_sorted(db: &TestDatabase) {
        let subject = Subject::new(db);
        db.execute(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('cccc'), ('aaaa'), ('bbbb');",
        );
        let rows = subject.open().await.version_rows().await.expect("read");
        assert_eq!(rows.iter().map(ToString::to_string).collect::<Vec<_>>(), ["aaaa", "bbbb", "cccc"]);
    }
}
