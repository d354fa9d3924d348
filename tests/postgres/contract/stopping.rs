//! A wish to stop is heard where stopping is safe.

use super::{Subject, silent};
use crate::applying::{insert, script};
use crate::bench::OPERATION;
use crate::support::*;
use std::collections::BTreeMap;

both_engines! {
    async fn a_wish_to_stop_ends_what_takes_long_and_changes_nothing(db: &TestDatabase) {
        let subject = Subject::new(db);
        let database = subject.open().await;
        let (folder, taken) = subject.snapshot(&*database, "snapshot").await;
        let (content, places) = (db.dump(), subject.places());
        let change = script("aaaa", insert("aaaa"), &["DROP TABLE purchase"]);
        subject.cancel.cancel();
        let ended = [
            ("inventory", database.inventory(&silent()).await.err()),
            ("snapshot", database.snapshot(&subject.empty_folder("other"), &silent()).await.err()),
            ("prove", database.prove(&folder, &taken, OPERATION, &silent()).await.err()),
            ("apply", subject.apply(&*database, &change).await.err()),
            ("stage", database.stage(&folder, &taken.inventory, OPERATION, &silent()).await.err()),
        ];
        for (name, error) in &ended {
            let error = error.as_ref().unwrap_or_else(|| panic!("{name} went on"));
            assert!(error.is_interrupted(), "{name}: {error}");
        }
        // The wish was heard; from here on things are brought in order.
        subject.cancel.heard();
        database.tidy(OPERATION, &BTreeMap::new()).await.expect("tidied");
        assert_eq!((db.dump(), subject.places()), (content, places));
        let found = database.inventory(&silent()).await.expect("read");
        assert_eq!((found.catalog, found.fingerprint), (taken.inventory.catalog, taken.inventory.fingerprint));
    }
}
