//! The runner against a database in memory, and the sample project against SQLite itself.

mod contract;
mod fake;
mod new_revisions;

use std::path::Path;

use tempfile::TempDir;

use super::file::load_directory;
use super::*;
use crate::base::{FixedClock, fs};
use crate::catalog::{DatabaseId, EngineKind};
use crate::history::{HistoryError, RevisionId};
use crate::journal::{Entry, Journal};
use crate::report::Kind;
use fake::Fake;

/// A project of revisions in a temporary folder, with a fake database.
struct Bench {
    folder: TempDir,
    database: Arc<Fake>,
    runner: SqlRunner,
}

impl Bench {
    /// Each file is its name (and identifier), its parents, and what stands below the header.
    fn new(files: &[(&str, &str, &str)]) -> Bench {
        Bench::on(EngineKind::Sqlite, files)
    }

    fn on(engine: EngineKind, files: &[(&str, &str, &str)]) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("versions")).expect("made");
        let database = Arc::new(Fake::new(engine));
        let runner = SqlRunner::new(Project::new(folder.path()), database.clone(), database.cancel.clone());
        let bench = Bench { folder, database, runner };
        files.iter().for_each(|(id, parents, body)| bench.write(id, parents, body));
        bench
    }

    fn write(&self, id: &str, parents: &str, body: &str) {
        let text =
            format!("-- Make {id}\n--\n-- ripcord:revision {id}\n-- ripcord:revises {parents}\n{body}");
        write(&self.folder.path().join(format!("versions/{id}.sql")), &text);
    }

    async fn plan(&self, direction: Direction, target: &str) -> Result<Plan, Error> {
        self.runner.plan(direction, target).await
    }

    /// Plans and runs; returns the events of the journal after its first line.
    async fn migrate(
        &self,
        direction: Direction,
        target: &str,
    ) -> (Result<Applied, Error>, Vec<serde_json::Value>) {
        let plan = self.plan(direction, target).await.expect("a plan");
        let (folder, at) =
            (tempfile::tempdir().expect("a folder"), "2026-11-23T18:15:00Z".parse().expect("a time"));
        let journal = Journal::open(folder.path(), Arc::new(FixedClock(at)));
        let operation = journal.begin("op", begun(self.database.identity())).expect("a journal");
        let book = Bookkeeping { operation: "op", at, known: &[], guarded: None };
        let outcome = self.runner.run(&plan, &book, &operation.script_log()).await;
        let text = String::from_utf8(journal.bytes("op").expect("bytes")).expect("UTF-8");
        (outcome, text.lines().skip(1).map(|line| serde_json::from_str(line).expect("JSON")).collect())
    }

    fn rows(&self) -> Vec<String> {
        self.database.with(|content| content.rows.iter().map(RevisionId::to_string).collect())
    }

    fn ran(&self) -> Vec<String> {
        self.database.with(|content| content.ran.clone())
    }
}

fn begun(database: &DatabaseId) -> Entry {
    Entry::Begun {
        operation: "op".into(),
        kind: Kind::Upgrade,
        database: database.clone(),
        direction: None,
        target: None,
        from: vec![],
        to: vec![],
        who: "test".into(),
        process: 1,
        version: "0".into(),
    }
}

fn write(path: &Path, text: &str) {
    fs::write_durable(path, text.as_bytes()).expect("written");
}

fn up_down(name: &str) -> String {
    format!("-- ripcord:upgrade\nCREATE TABLE {name} (a);\n-- ripcord:downgrade\nDROP TABLE {name};\n")
}

fn linear() -> Bench {
    Bench::new(&[
        ("aaaa", "", &up_down("a")),
        ("bbbb", "aaaa", &up_down("b")),
        ("cccc", "bbbb", &up_down("c")),
    ])
}

#[tokio::test]
async fn an_upgrade_runs_every_missing_revision_in_order_and_a_downgrade_undoes_the_last_first() {
    let bench = linear();
    let (outcome, _) = bench.migrate(Direction::Up, "head").await;
    outcome.expect("upgraded");
    assert_eq!(bench.ran(), ["CREATE TABLE a (a)", "CREATE TABLE b (a)", "CREATE TABLE c (a)"]);
    assert_eq!(bench.rows(), ["cccc"]);
    let (outcome, _) = bench.migrate(Direction::Down, "aaaa").await;
    outcome.expect("downgraded");
    assert_eq!(bench.ran()[3..], ["DROP TABLE c", "DROP TABLE b"]);
    assert_eq!(bench.rows(), ["aaaa"]);
    let nothing = bench.plan(Direction::Down, "aaaa").await.expect("a plan");
    assert!(nothing.is_empty() && nothing.from == nothing.to);
}

#[tokio::test]
async fn a_plan_says_what_will_run_and_where_it_leads() {
    let bench = linear();
    let plan = bench.plan(Direction::Up, "bbbb").await.expect("a plan");
    let id = |text: &str| RevisionId::new(text).expect("an identifier");
    assert_eq!(
        (plan.from.clone(), plan.to.clone(), plan.target.as_str()),
        (vec![], vec![id("bbbb")], "bbbb")
    );
    let script = &plan.scripts[1];
    let path = bench.folder.path().join("versions/bbbb.sql");
    assert_eq!(script.place, path.display().to_string());
    assert_eq!(script.sha256, crate::base::hash::file_sha256(&path).expect("hashed").1);
    assert_eq!(script.message, "Make bbbb");
    assert_eq!(script.statements[0].line, 6);
    assert!(plan.touches().mentions(&crate::catalog::TableName::plain("B")));
    assert!(!plan.touches().mentions(&crate::catalog::TableName::plain("c")));
}

#[tokio::test]
async fn branches_are_named_and_a_merge_joins_them() {
    let bench = Bench::new(&[
        ("aaaa", "", &up_down("a")),
        ("bbbb", "aaaa", &up_down("b")),
        ("cccc", "aaaa", &up_down("c")),
    ]);
    let refused = bench.plan(Direction::Up, "head").await.expect_err("two heads");
    assert!(matches!(refused, Error::History(HistoryError::MultipleHeads { .. })), "{refused}");
    bench.migrate(Direction::Up, "bbbb").await.0.expect("upgraded");
    bench.migrate(Direction::Up, "heads").await.0.expect("upgraded");
    assert_eq!(bench.rows(), ["bbbb", "cccc"]);
    bench.write("dddd", "bbbb, cccc", "-- ripcord:upgrade\n-- ripcord:downgrade\n");
    bench.migrate(Direction::Up, "head").await.0.expect("merged");
    assert_eq!(bench.rows(), ["dddd"]);
}

#[tokio::test]
async fn an_edited_applied_file_is_refused_by_name_whatever_is_planned() {
    let bench = linear();
    bench.migrate(Direction::Up, "bbbb").await.0.expect("upgraded");
    bench.write("aaaa", "", &up_down("another"));
    for (direction, target) in [(Direction::Up, "head"), (Direction::Down, "-1"), (Direction::Up, "bbbb")] {
        let refused = bench.plan(direction, target).await.expect_err("refused");
        let Error::EditedAfterApplied { revision, place, applied_sha256, found_sha256, .. } = refused else {
            panic!("{refused}")
        };
        assert_eq!(revision.as_str(), "aaaa");
        assert!(place.ends_with("versions/aaaa.sql") && applied_sha256 != found_sha256);
    }
}

#[tokio::test]
async fn a_file_may_change_before_it_is_applied_and_after_it_was_undone() {
    let bench = linear();
    bench.migrate(Direction::Up, "bbbb").await.0.expect("upgraded");
    bench.write("cccc", "bbbb", &up_down("changed"));
    bench.migrate(Direction::Up, "head").await.0.expect("not applied before");
    // Another tool undoes a revision and leaves ripcord's memory of it.
    bench.database.with(|content| {
        content.rows = [RevisionId::new("bbbb").expect("an identifier")].into();
        assert!(content.applied.keys().any(|revision| revision.as_str() == "cccc"));
    });
    bench.write("cccc", "bbbb", &up_down("changed_again"));
    assert_eq!(bench.plan(Direction::Up, "head").await.expect("a plan").scripts.len(), 1);
}

#[tokio::test]
async fn a_revision_applied_by_another_tool_needs_no_memory() {
    let bench = linear();
    bench.database.with(|content| content.rows = [RevisionId::new("bbbb").expect("an identifier")].into());
    assert_eq!(bench.plan(Direction::Up, "head").await.expect("a plan").scripts.len(), 1);
}

#[tokio::test]
async fn a_step_without_a_section_for_the_engine_is_refused_with_its_reason() {
    let body = "-- ripcord:irreversible \"rows were merged\"\n-- ripcord:upgrade sqlite\nSELECT 1;\n";
    let bench = Bench::new(&[("aaaa", "", body)]);
    bench.migrate(Direction::Up, "head").await.0.expect("upgraded");
    let refused = bench.plan(Direction::Down, "base").await.expect_err("irreversible").to_string();
    assert!(refused.starts_with("revision aaaa has no downgrade for SQLite: "), "{refused}");
    assert!(refused.ends_with("versions/aaaa.sql (rows were merged)"), "{refused}");
    let other = Bench::on(EngineKind::Postgresql, &[("aaaa", "", body)]);
    let refused = other.plan(Direction::Up, "head").await.expect_err("no section");
    assert!(matches!(refused, Error::NoSection { direction: "upgrade", .. }), "{refused}");
}

#[tokio::test]
async fn the_whole_plan_is_refused_when_a_later_file_cannot_be_cut() {
    let bench =
        Bench::new(&[("aaaa", "", &up_down("a")), ("bbbb", "aaaa", "-- ripcord:upgrade\nSELECT 'x;\n")]);
    let refused = bench.plan(Direction::Up, "head").await.expect_err("refused").to_string();
    assert!(refused.ends_with("versions/bbbb.sql:6:8: this string never ends"), "{refused}");
}

#[tokio::test]
async fn a_failing_script_stops_the_run_and_is_journalled_as_begun() {
    let bench = Bench::new(&[
        ("aaaa", "", &up_down("a")),
        ("bbbb", "aaaa", "-- ripcord:upgrade\nSELECT 1;\nFAIL;\n"),
        ("cccc", "bbbb", &up_down("c")),
    ]);
    let (outcome, journal) = bench.migrate(Direction::Up, "head").await;
    let failed = outcome.expect_err("failed").to_string();
    assert!(failed.ends_with("versions/bbbb.sql, line 7: it was told to"), "{failed}");
    assert_eq!(bench.rows(), ["aaaa"]);
    let events: Vec<String> = journal
        .iter()
        .map(|line| format!("{} {}", line["event"], line["revision"]).replace('"', ""))
        .collect();
    assert_eq!(events, ["script-started aaaa", "script-finished aaaa", "script-started bbbb"]);
}

#[tokio::test]
async fn a_database_that_does_not_exist_yet_can_be_planned_for() {
    let bench = linear();
    bench.database.with(|content| content.missing = true);
    assert_eq!(bench.plan(Direction::Up, "head").await.expect("a plan").scripts.len(), 3);
    bench.migrate(Direction::Up, "head").await.0.expect("created");
    assert_eq!(bench.rows(), ["cccc"]);
}

#[tokio::test]
async fn a_folder_without_versions_is_told_as_no_project() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = Arc::new(Fake::new(EngineKind::Sqlite));
    let runner = SqlRunner::new(Project::new(folder.path()), database.clone(), Cancel::new());
    assert!(matches!(runner.plan(Direction::Up, "head").await, Err(Error::NoProject { .. })));
    assert!(matches!(runner.files(), Err(Error::NoProject { .. })));
}

#[test]
fn the_sample_project_goes_up_and_down_on_sqlite() {
    let files = load_directory(&Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")).expect("loads");
    let ids: Vec<&str> = files.iter().map(|file| file.revision.id.as_str()).collect();
    assert_eq!(ids, ["1975ea83b712", "5f2c81d0a3be"]);
    let database = rusqlite::Connection::open_in_memory().expect("a database");
    let run = |file: &file::RevisionFile, direction| {
        for statement in file.statements(direction, EngineKind::Sqlite).expect("splits").expect("a section") {
            database.execute(&statement.text, []).expect("runs");
        }
    };
    let columns = || {
        let mut rows = database
            .prepare("SELECT m.name, t.name, t.type FROM sqlite_schema m, pragma_table_info(m.name) t WHERE m.name LIKE 'training%'")
            .expect("a query");
        let rows = rows.query_map([], |row| {
            Ok(format!(
                "{}.{} {}",
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?
            ))
        });
        rows.expect("rows").collect::<Result<Vec<_>, _>>().expect("text")
    };
    run(&files[0], Direction::Up);
    let first = columns();
    assert_eq!(first.len(), 16);
    run(&files[1], Direction::Up);
    assert_eq!(columns().last().map(String::as_str), Some("training_metric.process_rank INTEGER"));
    run(&files[1], Direction::Down);
    assert_eq!(columns(), first);
    run(&files[0], Direction::Down);
    assert_eq!(columns(), [""; 0]);
}
