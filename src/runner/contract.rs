//! What every runner promises. Each adapter runs [`check`] in its own tests.

use super::{Error, MigrationRunner};
use crate::base::FixedClock;
use crate::catalog::{DatabaseId, EngineKind};
use crate::engine::{self, Applied, Bookkeeping};
use crate::history::{Direction, HistoryError, RevisionId};
use crate::journal::{Entry, Journal};
use crate::plan::Plan;
use crate::report::Kind;
use std::sync::Arc;

/// A project of three revisions (`aaaa`, on it `bbbb`, on it `cccc`), each with its way back, on a database at base.
pub(crate) trait Subject {
    fn runner(&self) -> &dyn MigrationRunner;

    /// The version rows, as the database has them.
    fn rows(&self) -> Vec<String>;

    /// Everything that the project and the database hold, to see whether anything was written.
    fn everything(&self) -> String;

    /// Changes what a revision does, without changing which revision it is.
    fn edit(&self, revision: &str);

    /// Takes the file of a revision away.
    fn remove(&self, revision: &str);

    /// Makes the upgrade of a revision fail.
    fn spoil(&self, revision: &str);

    /// Takes the way back of a revision away.
    fn make_irreversible(&self, revision: &str);

    /// Raises the wish to stop while a revision runs.
    fn stop_during(&self, revision: &str);
}

/// Holds a runner against every promise; `make` returns a new project and a new database each time.
pub(crate) async fn check<S: Subject>(make: impl Fn() -> S) {
    the_history_is_every_revision_and_how_they_build_on_each_other(&make());
    a_plan_leads_from_where_the_database_is_to_the_target(&make()).await;
    planning_writes_nothing(&make()).await;
    where_the_database_is_already_there_is_nothing_to_run(&make()).await;
    an_applied_file_that_was_edited_is_refused_by_name(&make()).await;
    a_version_row_without_a_file_is_refused_by_name(&make()).await;
    a_step_without_a_way_is_refused_before_any_other_runs(&make()).await;
    every_script_is_journalled_before_and_after_it_ran(&make()).await;
    the_first_failure_ends_the_run(&make()).await;
    a_wish_to_stop_is_heard_between_scripts(&make()).await;
    a_backup_is_told_every_file(&make());
}

async fn plan(subject: &impl Subject, direction: Direction, target: &str) -> Result<Plan, Error> {
    subject.runner().plan(direction, target).await
}

/// Plans and runs; returns how it ended and what the journal says of it.
async fn migrate(
    subject: &impl Subject,
    direction: Direction,
    target: &str,
) -> (Result<Applied, Error>, Vec<String>) {
    let plan = plan(subject, direction, target).await.expect("a plan");
    let folder = tempfile::tempdir().expect("a folder");
    let at = "2026-11-23T18:15:00Z".parse().expect("a time");
    let journal = Journal::open(folder.path(), Arc::new(FixedClock(at)));
    let operation = journal.begin("op", begun()).expect("begun");
    let book = Bookkeeping { operation: "op", at, known: &[], guarded: None };
    let outcome = subject.runner().run(&plan, &book, &operation.script_log()).await;
    let text = String::from_utf8(journal.bytes("op").expect("a journal")).expect("text");
    let event = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        format!("{} {}", line["event"], line["revision"]).replace('"', "")
    };
    (outcome, text.lines().skip(1).map(event).collect())
}

fn begun() -> Entry {
    let (engine, place, name) = (EngineKind::Sqlite, "here".to_string(), "a database".to_string());
    Entry::Begun {
        operation: "op".to_string(),
        kind: Kind::Upgrade,
        database: DatabaseId { engine, place, name, system: None },
        direction: None,
        target: None,
        from: Vec::new(),
        to: Vec::new(),
        who: "a test".to_string(),
        process: 1,
        version: "0".to_string(),
    }
}

fn texts(ids: &[RevisionId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn the_history_is_every_revision_and_how_they_build_on_each_other(subject: &impl Subject) {
    let before = subject.everything();
    let history = subject.runner().history().expect("a history");
    let heads: Vec<_> = history.heads().iter().map(|revision| revision.id.to_string()).collect();
    assert_eq!((heads, history.len()), (vec!["cccc".to_string()], 3));
    assert_eq!(subject.everything(), before);
}

async fn a_plan_leads_from_where_the_database_is_to_the_target(subject: &impl Subject) {
    let scripts =
        |plan: &Plan| plan.scripts.iter().map(|script| script.revision.to_string()).collect::<Vec<_>>();
    let up = plan(subject, Direction::Up, "bbbb").await.expect("a plan");
    assert_eq!((texts(&up.from), texts(&up.to)), (vec![], vec!["bbbb".to_string()]));
    assert_eq!(scripts(&up), ["aaaa", "bbbb"]);
    migrate(subject, Direction::Up, "bbbb").await.0.expect("upgraded");
    assert_eq!(subject.rows(), texts(&up.to));
    let down = plan(subject, Direction::Down, "base").await.expect("a plan");
    assert_eq!((texts(&down.from), texts(&down.to)), (texts(&up.to), vec![]));
    assert_eq!(scripts(&down), ["bbbb", "aaaa"]);
    for planned in [&up, &down] {
        assert_eq!(planned.scripts.last().map(|script| &script.rows_after), Some(&planned.to));
    }
    migrate(subject, Direction::Down, "base").await.0.expect("downgraded");
    assert_eq!(subject.rows(), [""; 0]);
}

async fn planning_writes_nothing(subject: &impl Subject) {
    let before = subject.everything();
    plan(subject, Direction::Up, "head").await.expect("a plan");
    plan(subject, Direction::Up, "nowhere").await.expect_err("there is no such revision");
    assert_eq!(subject.everything(), before);
}

async fn where_the_database_is_already_there_is_nothing_to_run(subject: &impl Subject) {
    migrate(subject, Direction::Up, "head").await.0.expect("upgraded");
    let again = plan(subject, Direction::Up, "head").await.expect("a plan");
    assert!(again.is_empty() && again.from == again.to, "{again:?}");
    let (applied, journal) = migrate(subject, Direction::Up, "head").await;
    assert_eq!((applied.expect("nothing to do"), journal.len()), (Applied::nothing(), 0));
}

async fn an_applied_file_that_was_edited_is_refused_by_name(subject: &impl Subject) {
    migrate(subject, Direction::Up, "bbbb").await.0.expect("upgraded");
    subject.edit("aaaa");
    for (direction, target) in [(Direction::Up, "head"), (Direction::Down, "-1"), (Direction::Up, "bbbb")] {
        let refused = plan(subject, direction, target).await;
        assert!(
            matches!(&refused, Err(Error::EditedAfterApplied { revision, .. }) if revision.as_str() == "aaaa"),
            "{refused:?}"
        );
    }
}

async fn a_version_row_without_a_file_is_refused_by_name(subject: &impl Subject) {
    migrate(subject, Direction::Up, "cccc").await.0.expect("upgraded");
    subject.remove("cccc");
    let refused = plan(subject, Direction::Up, "head").await;
    let Err(Error::History(HistoryError::UnknownRow { row, .. })) = refused else { panic!("{refused:?}") };
    assert_eq!(row.as_str(), "cccc");
}

async fn a_step_without_a_way_is_refused_before_any_other_runs(subject: &impl Subject) {
    subject.make_irreversible("aaaa");
    migrate(subject, Direction::Up, "head").await.0.expect("upgraded");
    let refused = plan(subject, Direction::Down, "base").await;
    assert!(
        matches!(&refused, Err(Error::NoSection { revision, .. }) if revision.as_str() == "aaaa"),
        "{refused:?}"
    );
    assert_eq!(subject.rows(), ["cccc"]);
}

async fn every_script_is_journalled_before_and_after_it_ran(subject: &impl Subject) {
    let (outcome, journal) = migrate(subject, Direction::Up, "bbbb").await;
    outcome.expect("upgraded");
    assert_eq!(
        journal,
        ["script-started aaaa", "script-finished aaaa", "script-started bbbb", "script-finished bbbb"]
    );
}

async fn the_first_failure_ends_the_run(subject: &impl Subject) {
    subject.spoil("bbbb");
    let (outcome, journal) = migrate(subject, Direction::Up, "head").await;
    assert!(outcome.is_err());
    assert_eq!(subject.rows(), ["aaaa"]);
    assert_eq!(journal, ["script-started aaaa", "script-finished aaaa", "script-started bbbb"]);
}

async fn a_wish_to_stop_is_heard_between_scripts(subject: &impl Subject) {
    subject.stop_during("aaaa");
    let (outcome, journal) = migrate(subject, Direction::Up, "head").await;
    assert!(matches!(outcome, Err(Error::Engine(engine::Error::Interrupted))), "{outcome:?}");
    assert_eq!(subject.rows(), ["aaaa"], "the script that ran is whole");
    assert_eq!(journal, ["script-started aaaa", "script-finished aaaa"]);
}

fn a_backup_is_told_every_file(subject: &impl Subject) {
    let files = subject.runner().files().expect("files");
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| file.is_file()), "{files:?}");
}
