//! An upgrade that goes well, and one that fails in each of its steps.

use super::*;
use crate::engine::Error;
use crate::journal::JournalError;

/// What a change asks for and writes down, without the looks that planning takes.
fn story(bench: &Bench) -> Vec<String> {
    let heard = bench.told.heard().into_iter();
    heard.filter(|heard| heard != "version rows" && heard != "catalog").collect()
}

#[tokio::test]
async fn every_step_is_written_down_before_it_begins_and_after_it_ended() {
    let bench = Bench::new().await;
    let report = bench.upgrade().await.expect("upgraded");
    assert_eq!(report.aftermath, Aftermath::Changed);
    let expected = "lock, preflight, journal: begun, mark, draft, \
        journal: started snapshot, snapshot, journal: finished snapshot, \
        journal: started prove, prove, journal: finished prove, \
        journal: started consent, journal: finished consent, \
        journal: started publish, publish, journal: finished publish, journal: published, \
        journal: started migrate, journal: script-started, apply, journal: script-finished, journal: finished migrate, \
        journal: started verify, inventory after, others wrote, journal: finished verify, journal: fact, \
        journal: started finish, add after.json, journal: finished finish, journal: ended, add journal.jsonl";
    assert_eq!(story(&bench).join(", "), expected);
    assert!(bench.is_free().await);
}

#[tokio::test]
async fn an_intention_that_cannot_be_recorded_does_not_begin() {
    for (step, work) in [
        (Step::Snapshot, "snapshot"),
        (Step::Prove, "prove"),
        (Step::Consent, "publish"),
        (Step::Publish, "publish"),
        (Step::Migrate, "apply"),
    ] {
        let bench = Bench::new().await;
        let before = bench.content();
        bench.full_at(started(step));
        let failure = bench.upgrade().await.expect_err("the disk is full");
        assert!(failure.source.is::<JournalError>(), "{step:?}: {failure}");
        assert_eq!((failure.step, failure.aftermath), (Some(step), Aftermath::Unchanged));
        assert!(!bench.told.has_heard(work), "{step:?} began without a trace");
        assert_eq!(bench.content(), before, "{step:?}");
        // The end could not be recorded either, so it is recovered once there is room again.
        bench.mend();
        let report = bench.recover().await.expect("recovered").expect("unfinished");
        assert_eq!(report.aftermath, Aftermath::Unchanged, "{step:?}");
        bench.upgrade().await.expect("the way is free");
    }
}

#[tokio::test]
async fn an_operation_whose_first_line_cannot_be_written_was_never_begun() {
    let bench = Bench::new().await;
    let before = bench.content();
    bench.takes_only(|_| false);
    let failure = bench.upgrade().await.expect_err("the disk is full");
    assert_eq!((failure.step, failure.aftermath), (None, Aftermath::Unchanged));
    assert_eq!(story(&bench), ["lock", "preflight"]);
    assert_eq!(bench.content(), before);
}

#[tokio::test]
async fn what_fails_before_the_migration_leaves_everything_as_it_was() {
    for (what, step) in [
        ("mark", None),
        ("draft", Some(Step::Snapshot)),
        ("snapshot", Some(Step::Snapshot)),
        ("prove", Some(Step::Prove)),
        ("publish", Some(Step::Publish)),
    ] {
        let bench = Bench::new().await;
        let (before, backups) = (bench.content(), bench.backups().await);
        bench.told.fails(what);
        let failure = bench.upgrade().await.expect_err(what);
        assert_eq!((failure.step, failure.aftermath), (step, Aftermath::Unchanged), "{what}");
        assert!(failure.backup.is_none() && !bench.told.has_heard("apply"), "{what}");
        assert_eq!((bench.content(), bench.backups().await), (before, backups), "{what}");
        assert!(bench.is_free().await, "{what}");
    }
}

#[tokio::test]
async fn what_an_operation_had_made_beside_the_database_is_removed_once_more_when_it_failed() {
    for what in ["snapshot", "prove", "apply"] {
        let bench = Bench::new().await;
        bench.told.fails(what);
        bench.upgrade().await.expect_err("told to fail");
        let heard = bench.told.heard();
        let place = |wanted: &str| heard.iter().position(|heard| heard == wanted);
        assert!(place("tidy").is_some(), "{what}: {heard:?}");
        assert!(place("tidy") < place("journal: ended"), "{what}: while the journal still says whose it is");
    }
    let bench = Bench::new().await;
    bench.upgrade().await.expect("upgraded");
    assert!(!bench.told.has_heard("tidy"), "what went well has removed it");
}

#[tokio::test]
async fn a_migration_that_undid_itself_is_shown_to_have_changed_nothing() {
    let bench = Bench::new().await;
    let before = bench.content();
    bench.told.fails("apply");
    let failure = bench.upgrade().await.expect_err("as told");
    assert_eq!((failure.step, failure.aftermath), (Some(Step::Migrate), Aftermath::Unchanged));
    assert!(bench.told.has_heard("inventory after") && !bench.told.has_heard("stage"), "{:?}", story(&bench));
    assert!(failure.backup.is_some() && bench.content() == before);
    assert!(bench.is_free().await);
}

#[tokio::test]
async fn a_migration_that_failed_and_took_place_all_the_same_is_put_back() {
    let bench = Bench::new().await;
    let before = bench.content();
    bench.told.fails_afterwards("apply");
    let failure = bench.upgrade().await.expect_err("as told");
    assert_eq!(failure.aftermath, Aftermath::PutBack);
    assert!(failure.during_put_back.is_none());
    assert_eq!(bench.content(), before);
    assert!(bench.is_free().await);
}

#[tokio::test]
async fn what_nobody_could_look_at_is_unknown_and_stays_open() {
    let bench = Bench::new().await;
    let before = bench.content();
    let told = bench.told.clone();
    // From the migration on, the database answers nobody.
    bench.told.meanwhile("apply", move || {
        told.fails("version rows");
        told.fails_afterwards("apply");
    });
    let failure = bench.upgrade().await.map(|report| report.aftermath);
    match failure {
        Err(failure) => {
            assert_eq!(
                (failure.aftermath, failure.next.as_slice()),
                (Aftermath::Unknown, &["ripcord recover".to_string()][..])
            );
        }
        Ok(aftermath) => panic!("{aftermath:?} although nobody could look"),
    }
    bench.mend();
    assert!(!bench.is_free().await, "the operation is forgotten");
    let report = bench.recover().await.expect("recovered").expect("unfinished");
    assert_eq!(report.to.iter().map(ToString::to_string).collect::<Vec<_>>(), ["bbbb"]);
    assert_ne!(bench.content(), before);
}

#[tokio::test]
async fn a_commit_without_an_answer_is_left_to_recovery() {
    let bench = Bench::new().await;
    bench.told.fails_with("apply", || Error::Undecided { detail: "the server is gone".into() });
    let failure = bench.upgrade().await.expect_err("as told");
    assert_eq!(failure.aftermath, Aftermath::Unknown);
    let since = story(&bench).into_iter().skip_while(|heard| heard != "apply").collect::<Vec<_>>();
    assert_eq!(since, ["apply", "journal: failed migrate"], "nothing is decided, and nothing ended");
    bench.mend();
    assert_eq!(
        bench.recover().await.expect("recovered").expect("unfinished").aftermath,
        Aftermath::Unchanged
    );
}

#[tokio::test]
async fn a_change_that_nobody_could_verify_is_put_back_or_left_as_was_asked_for() {
    for (on_failure, aftermath) in
        [(OnFailure::Restore, Aftermath::PutBack), (OnFailure::Stop, Aftermath::Changed)]
    {
        let bench = Bench::new().await;
        let before = bench.content();
        bench.told.fails("inventory after");
        let failure = bench.upgrade_to("head", on_failure).await.expect_err("as told");
        assert_eq!((failure.step, failure.aftermath), (Some(Step::Verify), aftermath));
        assert_eq!(bench.content() == before, aftermath == Aftermath::PutBack);
        let backup = failure.backup.expect("a backup").id;
        let ways_on = vec!["ripcord verify".to_string(), format!("ripcord restore {backup}")];
        assert_eq!(failure.next, if aftermath == Aftermath::PutBack { Vec::new() } else { ways_on });
        assert!(bench.is_free().await);
    }
}

#[tokio::test]
async fn what_others_wrote_is_never_put_back_over() {
    let bench = Arc::new(Bench::new().await);
    let writer = Connection::open(bench.file()).expect("the database opens");
    let writer = Mutex::new(writer);
    let told = bench.told.clone();
    bench.told.meanwhile("inventory after", move || {
        let insert = "INSERT INTO customer (id, name) VALUES (3, 'edsger')";
        writer.lock().expect("once").execute_batch(insert).expect("written");
        // The look itself fails, after the other program wrote.
        told.fails_afterwards("inventory after");
    });
    let failure = bench.upgrade().await.expect_err("as told");
    assert_eq!(failure.aftermath, Aftermath::Changed, "{failure}");
    let backup = failure.backup.expect("a backup").id;
    assert_eq!(failure.next, ["ripcord verify".to_string(), format!("ripcord restore {backup}")]);
    assert!(!bench.told.has_heard("stage"), "{:?}", story(&bench));
    assert!(bench.content().contains("edsger"));
}

#[tokio::test]
async fn both_causes_are_kept_when_the_way_back_fails_as_well() {
    for (way, aftermath) in [("stage", Aftermath::Changed), ("swap", Aftermath::Unknown)] {
        let bench = Bench::new().await;
        bench.told.fails("inventory after").fails(way);
        let failure = bench.upgrade().await.expect_err("as told");
        assert_eq!(failure.to_string(), "inventory after: as told");
        let second = failure.during_put_back.as_ref().map(ToString::to_string);
        assert_eq!(second.as_deref(), Some(format!("{way}: as told").as_str()));
        assert_eq!(failure.aftermath, aftermath, "{way}");
        let unknown = aftermath == Aftermath::Unknown;
        assert_eq!(failure.next == ["ripcord recover"], unknown, "{way}: {:?}", failure.next);
        bench.mend();
        assert_eq!(bench.is_free().await, !unknown, "what nobody knows the end of has not ended");
        assert_eq!(bench.recover().await.expect("recovered").is_some(), unknown);
        assert!(bench.is_free().await);
    }
}

#[tokio::test]
async fn a_way_back_that_would_lose_rows_is_not_taken_and_both_causes_are_kept() {
    let bench = Bench::new().await;
    bench.told.fails("inventory after");
    bench.told.fails_with("swap", || Error::WroteMeanwhile { place: "app.db".into() });
    let failure = bench.upgrade().await.expect_err("as told");
    assert_eq!(failure.aftermath, Aftermath::Changed);
    assert!(failure.during_put_back.is_some() && failure.next[0] == "ripcord verify", "{:?}", failure.next);
    assert!(bench.content().contains("bbbb") && bench.is_free().await);
}

#[tokio::test]
async fn a_way_back_that_cannot_be_recorded_does_not_begin() {
    let bench = Bench::new().await;
    bench.told.fails("inventory after");
    bench.full_at(started(Step::PutBack));
    let failure = bench.upgrade().await.expect_err("as told");
    assert!(failure.during_put_back.as_ref().is_some_and(|second| second.is::<JournalError>()));
    // Nothing was put back, so the migration stands.
    assert_eq!(failure.aftermath, Aftermath::Changed);
    assert!(!bench.told.has_heard("stage") && bench.content().contains("bbbb"));
    bench.mend();
    let report = bench.recover().await.expect("recovered").expect("unfinished");
    assert_eq!(report.aftermath, Aftermath::Changed);
}

#[tokio::test]
async fn a_change_whose_last_line_is_missing_is_done_and_says_what_is_left_to_do() {
    let bench = Bench::new().await;
    bench.takes_only(|entry| !matches!(entry, Entry::Ended { .. }));
    let failure = bench.upgrade().await.expect_err("the disk is full");
    assert!(failure.source.is::<JournalError>(), "{failure}");
    assert_eq!(
        (failure.aftermath, failure.next.as_slice()),
        (Aftermath::Changed, &["ripcord recover".to_string()][..])
    );
    let after = bench.content();
    bench.mend();
    let report = bench.recover().await.expect("recovered").expect("unfinished");
    assert_eq!((report.aftermath, bench.content()), (Aftermath::Changed, after));
}

#[tokio::test]
async fn a_wish_to_stop_between_two_steps_begins_no_other() {
    for (during, next) in [("snapshot", "prove"), ("prove", "publish"), ("publish", "apply")] {
        let bench = Bench::new().await;
        let before = bench.content();
        let cancel = bench.cancel.clone();
        bench.told.meanwhile("others wrote", || {});
        bench.told.meanwhile(during, move || cancel.cancel());
        let failure = bench.upgrade().await.expect_err("stopped");
        assert_eq!(failure.aftermath, Aftermath::Unchanged, "{during}");
        assert!(!bench.told.has_heard(next), "{during}: {:?}", story(&bench));
        bench.cancel.heard();
        assert_eq!(bench.content(), before, "{during}");
        assert!(bench.is_free().await, "{during}");
    }
}
