//! A wish to stop after something was committed: the first is heard and the rest is done, the second leaves the rest undone.

use super::meanwhile::with_salvage;
use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Lets a wish to stop come each time that this is asked for with one of these numbers.
fn wishes_at(bench: &Bench, what: &'static str, numbers: &'static [usize]) {
    let (cancel, asked) = (bench.cancel.clone(), AtomicUsize::new(0));
    bench.told.meanwhile(what, move || {
        if numbers.contains(&asked.fetch_add(1, Ordering::Relaxed)) {
            cancel.cancel();
        }
    });
}

/// The same with both values in conflict: they were salvaged, and nothing shows any more whose they are.
async fn with_conflicts() -> Bench {
    let bench = with_salvage().await;
    bench.execute("UPDATE customer SET name = upper(name)");
    bench
}

fn ways_on(failure: &Failure, first: &str) -> [String; 2] {
    let backup = failure.backup.as_ref().expect("a backup");
    [first.to_string(), format!("ripcord restore {}", backup.id)]
}

#[tokio::test]
async fn a_merge_after_a_downgrade_is_carried_to_its_end_at_the_first_wish_to_stop() {
    for (what, numbers) in [("merge back", &[0][..]), ("inventory after", &[1][..])] {
        let bench = with_conflicts().await;
        wishes_at(&bench, what, numbers);
        let report = bench.downgrade_to("bbbb").await.expect(what);
        let merge = report.merge.expect("it is merged");
        assert_eq!((merge.conflict_count, merge.files.len()), (2, 2), "{what}");
        assert!(bench.told.has_heard("add after.json") && bench.is_free().await, "{what}");
    }
}

#[tokio::test]
async fn a_second_wish_to_stop_ends_a_merge_and_the_way_on_is_named_before_the_way_back() {
    let bench = with_conflicts().await;
    let salvage = bench.backups().await.pop().expect("the backup of the upgrade");
    wishes_at(&bench, "merge back", &[0, 1]);
    let failure = bench.downgrade_to("bbbb").await.expect_err("stopped");
    assert_eq!(
        failure.to_string(),
        "interrupted: the downgrade is done and verified, its salvage is not merged back"
    );
    assert_eq!((failure.step, failure.aftermath), (Some(Step::MergeBack), Aftermath::Changed));
    assert_eq!(failure.next, ways_on(&failure, &format!("ripcord backup merge-back {salvage}")));
    assert!(failure.merge.is_none() && bench.told.has_heard("add after.json"));
    assert!(bench.is_free().await);
}

#[tokio::test]
async fn a_second_wish_to_stop_leaves_a_merge_unlooked_at_and_says_what_it_did() {
    let bench = with_conflicts().await;
    wishes_at(&bench, "inventory after", &[1, 2]);
    let failure = bench.downgrade_to("bbbb").await.expect_err("stopped");
    assert_eq!(
        failure.to_string(),
        "interrupted: the salvage is merged, whether anything else changed was not looked at"
    );
    assert_eq!((failure.step, failure.aftermath), (Some(Step::Verify), Aftermath::Changed));
    assert_eq!(failure.next, ways_on(&failure, "ripcord verify"));
    let merge = failure.merge.as_ref().expect("what it did");
    assert!(merge.conflict_count == 2 && merge.side_table.is_some());
    let backup = failure.backup.expect("a backup");
    for file in ["after.json", "conflicts.csv.gz", "conflicts.json"] {
        assert!(backup.place.join(file).exists(), "{file} is missing");
    }
    assert!(bench.is_free().await);
}

#[tokio::test]
async fn a_second_wish_to_stop_leaves_conflicts_in_their_side_table_alone_and_says_so() {
    let bench = with_conflicts().await;
    bench.told.fails_with("export rows", || crate::engine::Error::Interrupted);
    let failure = bench.downgrade_to("bbbb").await.expect_err("stopped");
    assert_eq!(
        failure.to_string(),
        "interrupted: the salvage is merged and verified, its conflicts are not in the backup"
    );
    assert_eq!(failure.next, ways_on(&failure, "ripcord verify"));
    assert!(failure.merge.as_ref().is_some_and(|merge| merge.side_table.is_some()));
    assert!(bench.is_free().await);
}

#[tokio::test]
async fn a_migration_that_is_not_put_back_is_verified_to_its_end_at_the_first_wish_to_stop() {
    let bench = Bench::new().await;
    wishes_at(&bench, "inventory after", &[0]);
    let report = bench.upgrade_to("head", OnFailure::Stop).await.expect("upgraded");
    assert_eq!(report.aftermath, Aftermath::Changed);
    assert!(report.check.is_some() && bench.is_free().await);
}

#[tokio::test]
async fn a_second_wish_to_stop_leaves_a_migration_unlooked_at() {
    let bench = Bench::new().await;
    wishes_at(&bench, "inventory after", &[0, 1]);
    let failure = bench.upgrade_to("head", OnFailure::Stop).await.expect_err("stopped");
    let said = "interrupted: the migration is done, whether anything else changed was not looked at";
    assert_eq!((failure.to_string().as_str(), failure.aftermath), (said, Aftermath::Changed));
    assert_eq!(failure.next, ways_on(&failure, "ripcord verify"));
    assert!(bench.is_free().await);
}

#[tokio::test]
async fn a_recovery_carries_the_merge_to_its_end_as_well() {
    let bench = with_conflicts().await;
    // Killed before it merged.
    bench.full_at(started(Step::MergeBack));
    bench.downgrade_to("bbbb").await.expect_err("the disk is full");
    bench.mend();
    wishes_at(&bench, "merge back", &[0]);
    let report = bench.recover().await.expect("recovered").expect("unfinished");
    assert_eq!(report.merge.expect("it is merged").conflict_count, 2);
    assert!(bench.is_free().await);
}
