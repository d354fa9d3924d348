//! Others who write while ripcord looks: what they do is told apart from what ripcord did, at whatever moment they do it.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A third revision, which loses a column; the database is at it, with rows. Nothing names `log`.
pub(super) async fn with_salvage() -> Bench {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE log (id INTEGER PRIMARY KEY)");
    bench.upgrade_to("bbbb", OnFailure::Stop).await.expect("upgraded");
    let add = "ALTER TABLE customer ADD COLUMN phone TEXT;";
    bench.revision("cccc", "bbbb", "ALTER TABLE customer DROP COLUMN phone;", add);
    bench.upgrade_to("cccc", OnFailure::Stop).await.expect("upgraded");
    bench.told.forget();
    bench
}

/// Lets another program insert a row at the looks with these numbers.
fn at_look(bench: &Bench, looks: &'static [usize]) -> impl Fn() + Send + Sync + 'static + use<> {
    let (file, seen) = (bench.file(), AtomicUsize::new(0));
    move || {
        if looks.contains(&seen.fetch_add(1, Ordering::Relaxed)) {
            let writer = Connection::open(&file).expect("the database opens");
            writer.execute_batch("INSERT INTO log DEFAULT VALUES").expect("written");
        }
    }
}

/// The merge is done, and the one thing that differs is told as one of which nobody knows whose doing it is.
fn is_told_apart(report: Report) {
    assert_eq!(report.merge.map(|merge| merge.count()), Some(2));
    let told = report.notes.iter().filter(|note| note.contains("log: it has 1 row"));
    assert_eq!(told.count(), 1, "{:?}", report.notes);
    assert_eq!(report.check.expect("a check").wrong, []);
}

#[tokio::test]
async fn what_others_commit_just_before_an_upgrade_is_looked_at_is_not_laid_to_it() {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE log (id INTEGER PRIMARY KEY)");
    bench.told.meanwhile("inventory after", at_look(&bench, &[0]));
    let report = bench.upgrade().await.expect("it is not the upgrade that wrote");
    let check = report.check.expect("a check");
    assert!(check.unsure.iter().any(|unsure| unsure.starts_with("log: ")), "{check:?}");
}

#[tokio::test]
async fn what_others_commit_between_a_downgrade_and_the_look_at_it_is_not_laid_to_it() {
    let bench = with_salvage().await;
    bench.told.meanwhile("inventory after", at_look(&bench, &[0]));
    let report = bench.downgrade_to("bbbb").await.expect("it is not the downgrade that wrote");
    assert_eq!(report.merge.map(|merge| merge.count()), Some(2));
}

#[tokio::test]
async fn what_others_commit_between_the_look_at_a_downgrade_and_its_merge_is_not_laid_to_the_merge() {
    let bench = with_salvage().await;
    bench.told.afterwards("inventory after", at_look(&bench, &[0]));
    is_told_apart(bench.downgrade_to("bbbb").await.expect("it is not the merge that wrote"));
}

#[tokio::test]
async fn what_others_commit_between_a_merge_and_the_look_at_it_is_not_laid_to_the_merge() {
    let bench = with_salvage().await;
    bench.told.meanwhile("inventory after", at_look(&bench, &[1]));
    is_told_apart(bench.downgrade_to("bbbb").await.expect("it is not the merge that wrote"));
}

#[tokio::test]
async fn where_others_wrote_before_the_look_at_a_downgrade_a_new_mark_is_set_for_its_merge() {
    let bench = with_salvage().await;
    let file = bench.file();
    // Once during the downgrade, and never again: the mark before the look is a new one then.
    bench.told.afterwards("apply", move || {
        let writer = Connection::open(&file).expect("the database opens");
        writer.execute_batch("INSERT INTO log DEFAULT VALUES").expect("written");
    });
    let report = bench.downgrade_to("bbbb").await.expect("downgraded");
    assert_eq!(report.merge.map(|merge| merge.count()), Some(2));
    let marks = bench.told.heard().iter().filter(|heard| *heard == "mark").count();
    assert_eq!(marks, 2);
}

#[tokio::test]
async fn a_merge_that_is_not_explained_says_what_it_did_what_is_wrong_and_what_comes_next() {
    let bench = with_salvage().await;
    // Nothing shows any more whose rows they are: both values are in conflict.
    bench.execute(
        "UPDATE customer SET name = 'ADA' WHERE id = 1; UPDATE customer SET name = 'GRACE' WHERE id = 2;",
    );
    bench.told.says_that_nobody_wrote().meanwhile("inventory after", at_look(&bench, &[1]));
    let failure = bench.downgrade_to("bbbb").await.expect_err("nobody explains the row");
    assert_eq!((failure.step, failure.aftermath), (Some(Step::Verify), Aftermath::Changed));
    assert_eq!(
        failure.to_string(),
        "the salvage is merged, and verification found 1 difference that the merge does not explain"
    );
    let merge = failure.merge.expect("what it did");
    let side = merge.side_table.expect("conflicts");
    assert_eq!((merge.conflict_count, merge.conflicts.len()), (2, 2));
    let check = failure.check.expect("what is wrong");
    assert_eq!(check.wrong.iter().map(|wrong| wrong.subject.as_str()).collect::<Vec<_>>(), ["log"]);
    let backup = failure.backup.expect("a backup");
    assert_eq!(failure.next, ["ripcord verify".to_string(), format!("ripcord restore {}", backup.id)]);
    // The end of the downgrade, which was verified, is what `verify` compares with.
    for file in ["after.json", "conflicts.csv.gz", "conflicts.json"] {
        assert!(backup.place.join(file).exists(), "{file} is missing");
    }
    let connection = Connection::open(bench.file()).expect("the database opens");
    let kept = format!("SELECT count(*) FROM {}", side.sql());
    assert_eq!(connection.query_row(&kept, [], |row| row.get::<_, i64>(0)).expect("a side table"), 2);
    assert!(bench.is_free().await);
}
