//! A way down in several legs, and salvage that is taken anew before it.

use super::meanwhile::with_salvage;
use super::*;

#[tokio::test]
async fn a_leg_of_which_only_the_last_line_is_missing_stands_and_is_not_said_to_have_failed() {
    let bench = with_salvage().await;
    bench.takes_only(|entry| !matches!(entry, Entry::Ended { .. }));
    let failure = bench.downgrade_to("aaaa").await.expect_err("the disk is full");
    assert_eq!(failure.aftermath, Aftermath::Changed);
    let legs = failure.legs.as_ref().expect("there were two");
    let done = failure.operation.clone().into_iter().collect::<Vec<_>>();
    assert_eq!((&legs.stand, legs.of, legs.failed), (&done, 2, Aftermath::Changed));
    assert_eq!(failure.next, ["ripcord recover"]);
    bench.mend();
    let report = bench.recover().await.expect("recovered").expect("unfinished");
    assert_eq!(report.aftermath, Aftermath::Changed);
    bench.downgrade_to("aaaa").await.expect("the rest of the way");
}

#[tokio::test]
async fn a_failure_whose_last_line_is_missing_names_recovery_first() {
    for fails in ["snapshot", "apply", "inventory after"] {
        let bench = Bench::new().await;
        bench.told.fails(fails).fails("stage");
        bench.takes_only(|entry| !matches!(entry, Entry::Ended { .. }));
        let failure = bench.upgrade().await.expect_err("as told");
        assert!(failure.to_string().contains("as told"), "{failure}");
        assert_eq!(
            failure.next.first().map(String::as_str),
            Some("ripcord recover"),
            "{fails}: {:?}",
            failure.next
        );
        bench.mend();
        bench.recover().await.expect("recovered").expect("unfinished");
    }
}

#[tokio::test]
async fn salvage_that_was_renewed_is_not_said_not_to_be_where_a_draft_cannot_be_removed() {
    let bench = with_salvage().await;
    bench.told.fails("discard");
    let report = bench.rehearsed_downgrade_to("bbbb").await.expect("downgraded");
    assert!(bench.told.has_heard("discard"), "{:?}", bench.told.heard());
    assert!(report.notes.iter().all(|note| !note.contains("could not be found out")), "{:?}", report.notes);
    assert_eq!(report.merge.map(|merge| merge.count()), Some(2));
}
