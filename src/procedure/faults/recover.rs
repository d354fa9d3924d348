//! Recovery that fails in its turn.

use super::*;

/// An upgrade whose end nobody knows.
async fn left_open() -> Bench {
    let bench = Bench::new().await;
    bench.told.fails("inventory after").fails("swap");
    let failure = bench.upgrade().await.expect_err("as told");
    assert_eq!(failure.aftermath, Aftermath::Unknown);
    bench.mend();
    bench
}

#[tokio::test]
async fn a_recovery_that_cannot_look_knows_nothing_and_can_be_run_again() {
    for what in ["tidy", "tidy backups", "version rows", "inventory after"] {
        let bench = left_open().await;
        bench.told.fails(what);
        let failure = bench.recover().await.expect_err(what);
        assert_eq!(failure.aftermath, Aftermath::Unknown, "{what}: {failure}");
        bench.mend();
        assert!(!bench.is_free().await, "{what}: it was given up");
        let report = bench.recover().await.expect("recovered").expect("unfinished");
        assert_ne!(report.aftermath, Aftermath::Unknown, "{what}");
        assert!(bench.is_free().await, "{what}");
    }
}

#[tokio::test]
async fn what_a_crash_left_is_freed_before_anybody_looks() {
    let bench = left_open().await;
    bench.recover().await.expect("recovered");
    let heard = bench.told.heard();
    let at = |what: &str| {
        heard.iter().position(|heard| heard == what).unwrap_or_else(|| panic!("{what}: {heard:?}"))
    };
    assert!(at("lock") < at("tidy") && at("tidy") < at("version rows"), "{heard:?}");
}

#[tokio::test]
async fn a_database_without_an_open_operation_is_not_even_locked() {
    let bench = Bench::new().await;
    assert!(bench.recover().await.expect("looked").is_none());
    assert_eq!(bench.told.heard(), [""; 0]);
}

#[tokio::test]
async fn a_way_back_that_others_keep_writing_over_says_to_stop_them_first() {
    let bench = left_open().await;
    bench.told.fails_with("swap", || crate::engine::Error::WroteMeanwhile { place: "app.db".into() });
    let request = RecoverRequest { undo: true, ..RecoverRequest::default() };
    let failure = recover(&bench.ports(), &request).await.expect_err("as told");
    assert_eq!(failure.next, ["stop the application first, then: ripcord recover --undo"]);
    bench.mend();
    let report = recover(&bench.ports(), &request).await.expect("recovered").expect("unfinished");
    assert_eq!(report.aftermath, Aftermath::PutBack);
}
