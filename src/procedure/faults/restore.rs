//! A restore in place that goes well, and one that fails in each of its steps.

use super::*;
use crate::journal::JournalError;
use crate::procedure::restore::{RestoreRequest, restore};
use std::sync::atomic::{AtomicUsize, Ordering};

impl Bench {
    async fn restore(&self) -> Result<Report, Failure> {
        let backup = self.backups().await.pop().expect("a backup");
        let policy = SnapshotPolicy::default();
        restore(&self.ports(), &RestoreRequest { backup, into_new: false, of_database: None, policy }).await
    }
}

/// A backup by hand, after which a row was written; returns what is in the backup.
async fn moved_on() -> (Bench, String) {
    let bench = Bench::new().await;
    backup::create(&bench.ports(), &SnapshotPolicy::default()).await.expect("a backup");
    let then = bench.content();
    bench.execute("INSERT INTO customer VALUES (3, 'edsger')");
    bench.told.forget();
    (bench, then)
}

#[tokio::test]
async fn the_present_state_is_saved_before_anything_is_put_in_its_place() {
    let (bench, then) = moved_on().await;
    let report = bench.restore().await.expect("restored");
    assert_eq!((report.aftermath, bench.content()), (Aftermath::PutBack, then));
    let unimportant = ["version rows", "mark", "others wrote", "inventory"];
    let heard = bench.told.heard().into_iter().filter(|heard| !unimportant.contains(&heard.as_str()));
    let expected = "verify backup, lock, preflight, journal: begun, journal: fact, draft, \
        journal: started snapshot, snapshot, journal: finished snapshot, \
        journal: started prove, prove, journal: finished prove, \
        journal: started publish, publish, journal: finished publish, journal: published, \
        journal: started stage, stage, journal: finished stage, \
        journal: started swap, swap, journal: finished swap, \
        journal: started verify, add after.json, journal: finished verify, journal: ended, add journal.jsonl";
    let heard: Vec<_> = heard.collect();
    assert_eq!(heard.join(", "), expected);
}

#[tokio::test]
async fn what_fails_before_the_swap_leaves_the_live_database_alone() {
    for what in ["verify backup", "draft", "snapshot", "prove", "publish", "stage"] {
        let (bench, _) = moved_on().await;
        let before = bench.content();
        bench.told.fails(what);
        let failure = bench.restore().await.expect_err(what);
        assert_eq!(failure.aftermath, Aftermath::Unchanged, "{what}");
        assert!(!bench.told.has_heard("swap"), "{what}");
        assert_eq!(bench.content(), before, "{what}");
        assert!(bench.is_free().await, "{what}");
    }
}

#[tokio::test]
async fn a_swap_that_cannot_be_recorded_does_not_begin() {
    let (bench, _) = moved_on().await;
    let before = bench.content();
    bench.full_at(started(Step::Swap));
    let failure = bench.restore().await.expect_err("the disk is full");
    assert!(failure.source.is::<JournalError>(), "{failure}");
    assert!(!bench.told.has_heard("swap") && bench.content() == before);
    assert_eq!(failure.aftermath, Aftermath::Unchanged);
    bench.mend();
    let report = bench.recover().await.expect("recovered").expect("unfinished");
    assert_eq!((report.aftermath, bench.content()), (Aftermath::Unchanged, before));
}

#[tokio::test]
async fn a_failed_swap_is_looked_at_before_anything_is_said_of_it() {
    let (bench, _) = moved_on().await;
    let before = bench.content();
    bench.told.fails("swap");
    let failure = bench.restore().await.expect_err("as told");
    assert_eq!((failure.aftermath, bench.content()), (Aftermath::Unchanged, before));
    assert!(bench.is_free().await);
}

#[tokio::test]
async fn a_swap_that_failed_and_took_place_all_the_same_is_found_out_by_recovery() {
    let (bench, then) = moved_on().await;
    bench.told.fails_afterwards("swap");
    let failure = bench.restore().await.expect_err("as told");
    assert_eq!((failure.aftermath, bench.content()), (Aftermath::Unknown, then.clone()));
    bench.mend();
    let report = bench.recover().await.expect("recovered").expect("unfinished");
    assert_eq!((report.aftermath, bench.content()), (Aftermath::PutBack, then));
}

#[tokio::test]
async fn a_failed_swap_that_nobody_could_look_at_is_unknown() {
    let (bench, _) = moved_on().await;
    let before = bench.content();
    bench.told.fails("swap").fails("inventory after");
    let failure = bench.restore().await.expect_err("as told");
    assert_eq!(failure.aftermath, Aftermath::Unknown);
    bench.mend();
    let report = bench.recover().await.expect("recovered").expect("unfinished");
    assert_eq!((report.aftermath, bench.content()), (Aftermath::Unchanged, before));
}

/// Lets the wish to stop come at each look of these numbers, counted from the end of the swap.
fn stopped_at_looks(bench: &Bench, numbers: &'static [usize]) {
    let (told, cancel, looks) = (bench.told.clone(), bench.cancel.clone(), AtomicUsize::new(0));
    bench.told.meanwhile("inventory", move || {
        if told.has_heard("swap") && numbers.contains(&looks.fetch_add(1, Ordering::Relaxed)) {
            cancel.cancel();
        }
    });
}

#[tokio::test]
async fn a_restore_that_is_interrupted_after_its_swap_is_verified_to_its_end() {
    let (bench, then) = moved_on().await;
    stopped_at_looks(&bench, &[0]);
    let report = bench.restore().await.expect("restored");
    assert_eq!((report.aftermath, bench.content()), (Aftermath::PutBack, then));
    assert!(bench.told.has_heard("add after.json"));
}

#[tokio::test]
async fn a_second_interruption_leaves_the_restore_and_names_the_look_before_the_way_back() {
    let (bench, then) = moved_on().await;
    stopped_at_looks(&bench, &[0, 1]);
    let restored = bench.backups().await.pop().expect("a backup");
    let failure = bench.restore().await.expect_err("interrupted");
    assert_eq!((failure.aftermath, bench.content()), (Aftermath::PutBack, then));
    let kept = bench.backups().await.pop().expect("the present state");
    assert_eq!(failure.next, [format!("ripcord verify {restored}"), format!("ripcord restore {kept}")]);
    assert!(bench.is_free().await);
}
