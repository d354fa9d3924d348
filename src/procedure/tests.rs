//! Procedures with real parts, and somebody who gets in their way.

use super::backup;
use super::change::{ChangeRequest, OnFailure, change};
use super::consent::{Consent, Nobody};
use super::{Ports, Refusal, SnapshotPolicy};
use crate::base::{Cancel, FixedClock};
use crate::engine::Database;
use crate::engine::sqlite::{OpenOptions, SqliteDatabase};
use crate::history::Direction;
use crate::journal::Journal;
use crate::report::{Aftermath, Event, Failure, Observer, Report, Step};
use crate::runner::sql::{Project, SqlRunner};
use crate::store::BackupStore;
use crate::store::local::LocalStore;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use tempfile::TempDir;

const FIRST: &str = "1975ea83b712";
const SECOND: &str = "5f2c81d0a3be";

/// Does something when something happens.
struct When<F>(F);

impl<F: Fn(&Event) + Send + Sync> Observer for When<F> {
    fn event(&self, event: &Event) {
        (self.0)(event);
    }
}

/// The sample project and its database.
struct Bench {
    folder: TempDir,
}

impl Bench {
    /// A database at the first revision, with one row.
    async fn at_first() -> Self {
        let bench = Self { folder: tempfile::tempdir().expect("a folder") };
        bench.upgrade(FIRST, |_| ()).await.expect("upgraded");
        bench
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    fn store(&self) -> LocalStore {
        LocalStore::open(self.folder.path().join("backups"), Cancel::new())
    }

    async fn upgrade(
        &self,
        target: &str,
        when: impl Fn(&Event) + Send + Sync + 'static,
    ) -> Result<Report, Failure> {
        let request = ChangeRequest {
            direction: Direction::Up,
            target: target.to_string(),
            shown: None,
            policy: SnapshotPolicy::default(),
            rehearse: true,
            merge: true,
            on_failure: OnFailure::Restore,
            consent: Consent {
                accept: Vec::new(),
                person: Arc::new(Nobody),
                command: "ripcord upgrade".to_string(),
                flags: String::new(),
            },
        };
        let parts = Parts::new(self);
        change(&parts.ports(when), &request).await
    }

    async fn backup(&self, when: impl Fn(&Event) + Send + Sync + 'static) -> Result<Report, Failure> {
        let parts = Parts::new(self);
        backup::create(&parts.ports(when), &SnapshotPolicy::default()).await
    }
}

struct Parts {
    database: Arc<SqliteDatabase>,
    runner: SqlRunner,
    store: LocalStore,
    journal: Journal,
}

impl Parts {
    fn new(bench: &Bench) -> Self {
        let options = OpenOptions { create: true, ..OpenOptions::default() };
        let database = Arc::new(SqliteDatabase::open(&bench.file(), options).expect("named"));
        let project = Project::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations"));
        let any: Arc<dyn Database> = database.clone();
        Self {
            runner: SqlRunner::new(project, any, Cancel::new()),
            database,
            store: bench.store(),
            journal: Journal::open(&bench.folder.path().join("backups"), Arc::new(clock())),
        }
    }

    fn ports(&self, when: impl Fn(&Event) + Send + Sync + 'static) -> Ports<'_> {
        Ports {
            database: self.database.as_ref(),
            runner: &self.runner,
            store: &self.store,
            journal: &self.journal,
            observer: Arc::new(When(when)),
            clock: Arc::new(clock()),
            cancel: Cancel::new(),
            who: "tests".to_string(),
        }
    }
}

fn clock() -> FixedClock {
    FixedClock("2026-11-23T18:15:00Z".parse().expect("a time"))
}

/// Another tool moves the version rows.
fn stamp(file: &Path, revision: &str) {
    let app = rusqlite::Connection::open(file).expect("the database opens");
    let rows = app.execute("UPDATE alembic_version SET version_num = ?1", [revision]).expect("stamped");
    assert_eq!(rows, 1);
}

fn rows_in(file: &Path) -> Vec<String> {
    let app = rusqlite::Connection::open(file).expect("the database opens");
    let mut statement = app.prepare("SELECT version_num FROM alembic_version").expect("the table");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("text")
}

#[tokio::test]
async fn a_stamp_between_the_instant_of_the_snapshot_and_its_publication_is_not_in_the_manifest() {
    for mode in ["delete", "wal"] {
        let bench = Bench::at_first().await;
        let app = rusqlite::Connection::open(bench.file()).expect("the database opens");
        app.pragma_update(None, "journal_mode", mode).expect("a mode");
        drop(app);
        // As early as can be: the file is copied, what is in it is being read.
        let (file, once) = (bench.file(), Once::new());
        let late = move |event: &Event| {
            if let Event::Progress { step: Step::Snapshot, what, .. } = event
                && what != "database file"
            {
                once.call_once(|| stamp(&file, SECOND));
            }
        };
        let report = bench.backup(late).await.expect("a backup");
        assert_eq!(rows_in(&bench.file()), [SECOND], "{mode}: it was not stamped");
        let backup = bench.store().open("latest").await.expect("the backup");
        for rows in [&backup.manifest.from, &backup.manifest.to, &report.from, &report.to] {
            assert_eq!(rows.iter().map(ToString::to_string).collect::<Vec<_>>(), [FIRST], "{mode}");
        }
        assert_eq!(rows_in(&backup.snapshot().join("database.db")), [FIRST], "{mode}");
    }
}

#[tokio::test]
async fn a_change_is_refused_when_somebody_moved_the_rows_after_it_was_planned() {
    let bench = Bench::at_first().await;
    let file = bench.file();
    let early = move |event: &Event| {
        if matches!(event, Event::Planned { .. }) {
            stamp(&file, SECOND);
        }
    };
    let before = bench.store().list().await.expect("listed").len();
    let failure = bench.upgrade("head", early).await.expect_err("refused");
    assert!(matches!(failure.source.downcast_ref(), Some(Refusal::RowsMoved { .. })), "{failure}");
    assert_eq!(failure.aftermath, Aftermath::Unchanged);
    assert_eq!(rows_in(&bench.file()), [SECOND]);
    assert_eq!(
        bench.store().list().await.expect("listed").len(),
        before,
        "a backup of nothing was published"
    );
    let parts = Parts::new(&bench);
    assert!(parts.journal.unfinished(parts.database.identity()).expect("read").is_none());
}

#[tokio::test]
async fn a_change_is_refused_when_the_schema_is_not_the_one_it_was_planned_for() {
    let bench = Bench::at_first().await;
    let file = bench.file();
    let early = move |event: &Event| {
        if let Event::Planned { plan } = event {
            assert!(plan.schema.is_some(), "the plan says nothing of the schema");
            let app = rusqlite::Connection::open(&file).expect("the database opens");
            app.execute_batch("CREATE INDEX made_meanwhile ON training_config (model_type)").expect("made");
        }
    };
    let before = bench.store().list().await.expect("listed").len();
    let failure = bench.upgrade("head", early).await.expect_err("refused");
    assert!(matches!(failure.source.downcast_ref(), Some(Refusal::SchemaMoved)), "{failure}");
    assert_eq!((failure.aftermath, failure.step), (Aftermath::Unchanged, Some(Step::Snapshot)));
    assert_eq!(rows_in(&bench.file()), [FIRST]);
    assert_eq!(bench.store().list().await.expect("listed").len(), before);
    // Planned anew, it is the plan of what is there.
    bench.upgrade("head", |_| ()).await.expect("upgraded");
}
