//! The order of steps, and the failures that no real engine can be made to have.

mod change;
mod legs;
mod meanwhile;
mod recover;
mod restore;
mod stopped;
mod told;

use super::change::{ChangeRequest, OnFailure, change};
use super::consent::{Consent, Nobody};
use super::recover::{RecoverRequest, recover};
use super::{Ports, SnapshotPolicy, backup};
use crate::base::{Cancel, FixedClock, fs};
use crate::engine::Database;
use crate::engine::sqlite::{OpenOptions, SqliteDatabase};
use crate::history::Direction;
use crate::journal::{Entry, Journal};
use crate::plan::Hazard;
use crate::report::{Aftermath, Failure, Report, Silent, Step};
use crate::runner::sql::{Project, SqlRunner};
use crate::store::BackupStore;
use crate::store::local::LocalStore;
use rusqlite::Connection;
use rusqlite::types::Value;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use told::{Told, ToldDatabase, ToldStore};

/// Two revisions; the database is at the first one, with rows.
const REVISIONS: [(&str, &str, &str, &str); 2] = [
    ("aaaa", "", "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT);", "DROP TABLE customer;"),
    (
        "bbbb",
        "aaaa",
        "ALTER TABLE customer ADD COLUMN phone TEXT; UPDATE customer SET phone = name;",
        "ALTER TABLE customer DROP COLUMN phone;",
    ),
];

/// Whether the disk takes an entry of the journal.
type Takes = Box<dyn Fn(&Entry) -> bool + Send>;

/// A project, its database and its backups, behind ports that can be told things.
struct Bench {
    folder: TempDir,
    told: Arc<Told>,
    database: Arc<ToldDatabase>,
    store: ToldStore,
    runner: SqlRunner,
    journal: Journal,
    takes: Arc<Mutex<Takes>>,
    cancel: Cancel,
}

impl Bench {
    async fn new() -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let (told, cancel) = (Arc::new(Told::default()), Cancel::new());
        let options = OpenOptions { cancel: cancel.clone(), create: true, ..OpenOptions::default() };
        let inner = SqliteDatabase::open(&folder.path().join("app.db"), options).expect("it can be named");
        let database = Arc::new(ToldDatabase { inner, told: told.clone() });
        let place = folder.path().join("backups");
        let store = ToldStore { inner: LocalStore::open(&place, cancel.clone()), told: told.clone() };
        let runner =
            SqlRunner::new(Project::new(folder.path().join("migrations")), database.clone(), cancel.clone());
        let takes: Arc<Mutex<Takes>> = Arc::new(Mutex::new(Box::new(|_| true)));
        let disk = {
            let (told, takes) = (told.clone(), takes.clone());
            move |entry: &Entry| {
                let takes = takes.lock().expect("no test panics in it")(entry);
                if takes {
                    told.hear(format!("journal: {}", short(entry)));
                }
                takes
            }
        };
        let clock = Arc::new(FixedClock("2026-11-23T18:15:00Z".parse().expect("a time")));
        let journal = Journal::open(&place, clock).on_disk(Arc::new(disk));
        let bench = Bench { folder, told, database, store, runner, journal, takes, cancel };
        bench.fill().await;
        bench
    }

    async fn fill(&self) {
        fs::create_private_dir(&self.folder.path().join("migrations/versions")).expect("a folder");
        for (id, parent, up, down) in REVISIONS {
            self.revision(id, parent, up, down);
        }
        self.upgrade_to("aaaa", OnFailure::Stop).await.expect("upgraded");
        self.execute("INSERT INTO customer VALUES (1, 'ada'), (2, 'grace')");
        self.told.forget();
    }

    fn revision(&self, id: &str, parent: &str, up: &str, down: &str) {
        let text = format!(
            "-- Make {id}\n--\n-- ripcord:revision {id}\n-- ripcord:revises {parent}\n-- ripcord:upgrade\n{up}\n-- ripcord:downgrade\n{down}\n"
        );
        let place = self.folder.path().join(format!("migrations/versions/{id}.sql"));
        fs::write_durable(&place, text.as_bytes()).expect("written");
    }

    fn ports(&self) -> Ports<'_> {
        Ports {
            database: &*self.database,
            runner: &self.runner,
            store: &self.store,
            journal: &self.journal,
            observer: Arc::new(Silent),
            clock: Arc::new(FixedClock("2026-11-23T18:15:00Z".parse().expect("a time"))),
            cancel: self.cancel.clone(),
            who: "a test".to_string(),
        }
    }

    async fn upgrade(&self) -> Result<Report, Failure> {
        self.upgrade_to("head", OnFailure::Restore).await
    }

    async fn upgrade_to(&self, target: &str, on_failure: OnFailure) -> Result<Report, Failure> {
        self.change(Direction::Up, target, on_failure).await
    }

    async fn downgrade_to(&self, target: &str) -> Result<Report, Failure> {
        self.change(Direction::Down, target, OnFailure::Restore).await
    }

    async fn change(
        &self,
        direction: Direction,
        target: &str,
        on_failure: OnFailure,
    ) -> Result<Report, Failure> {
        let request = Self::request(direction, target, on_failure);
        change(&self.ports(), &request).await
    }

    async fn rehearsed_downgrade_to(&self, target: &str) -> Result<Report, Failure> {
        let request = Self::request(Direction::Down, target, OnFailure::Restore);
        change(&self.ports(), &ChangeRequest { rehearse: true, ..request }).await
    }

    fn request(direction: Direction, target: &str, on_failure: OnFailure) -> ChangeRequest {
        let policy = SnapshotPolicy::default();
        let consent = Consent {
            accept: vec![Hazard::Opaque],
            person: Arc::new(Nobody),
            command: "ripcord upgrade".to_string(),
            flags: String::new(),
        };
        let target = target.to_string();
        ChangeRequest {
            direction,
            target,
            shown: None,
            policy,
            rehearse: false,
            merge: true,
            on_failure,
            consent,
        }
    }

    async fn recover(&self) -> Result<Option<Report>, Failure> {
        recover(&self.ports(), &RecoverRequest::default()).await
    }

    /// From this entry on the disk is full.
    fn full_at(&self, first: Entry) {
        let full = Mutex::new(false);
        self.takes_only(move |entry| {
            let mut full = full.lock().expect("no test panics in it");
            *full |= std::mem::discriminant(entry) == std::mem::discriminant(&first)
                && short(entry) == short(&first);
            !*full
        });
    }

    fn takes_only(&self, takes: impl Fn(&Entry) -> bool + Send + 'static) {
        *self.takes.lock().expect("no test panics in it") = Box::new(takes);
    }

    /// Another day: nothing fails any more.
    fn mend(&self) {
        self.told.forget();
        self.takes_only(|_| true);
    }

    /// What another program does.
    fn execute(&self, sql: &str) {
        Connection::open(self.file()).expect("the database opens").execute_batch(sql).expect("the SQL runs");
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    /// The version row, and the rows of the table with all their columns.
    fn content(&self) -> String {
        let connection = Connection::open(self.file()).expect("the database opens");
        let mut lines = Vec::new();
        for sql in ["SELECT version_num FROM alembic_version", "SELECT * FROM customer ORDER BY id"] {
            let mut query = connection.prepare(sql).expect("the table is there");
            let columns = query.column_count();
            let mut rows = query.query([]).expect("rows");
            while let Some(row) = rows.next().expect("a row") {
                let values =
                    (0..columns).map(|at| format!("{:?}", row.get::<_, Value>(at).expect("a value")));
                lines.push(values.collect::<Vec<_>>().join(" "));
            }
        }
        lines.join("\n")
    }

    /// The ids of all published backups; no draft may lie beside them.
    async fn backups(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.store.place()).expect("the folder can be listed");
        let names = names.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let drafts: Vec<_> = names.filter(|name| name.starts_with(".partial-")).collect();
        assert!(drafts.is_empty(), "{drafts:?}");
        let listed = self.store.list().await.expect("listed");
        listed
            .into_iter()
            .map(|listed| match listed {
                crate::store::Listed::Whole { backup } => backup.manifest.id,
                crate::store::Listed::Damaged { id, reason } => panic!("{id}: {reason}"),
            })
            .collect()
    }

    /// Whether the lock is free, and no operation is left open.
    async fn is_free(&self) -> bool {
        let lock = self.database.inner.lock("another").await;
        lock.is_ok() && self.journal.refuse_unfinished(self.database.identity()).is_ok()
    }
}

/// An entry in a word or two.
fn short(entry: &Entry) -> String {
    let json = serde_json::to_value(entry).expect("an entry is JSON");
    let word = |name: &str| json[name].as_str().unwrap_or_default().to_string();
    format!("{} {}", word("event"), word("step")).trim().to_string()
}

fn started(step: Step) -> Entry {
    Entry::Started { step }
}

#[tokio::test]
async fn a_backup_that_cannot_be_taken_leaves_nothing_and_says_so() {
    for what in ["draft", "snapshot", "prove", "publish"] {
        let bench = Bench::new().await;
        let (before, backups) = (bench.content(), bench.backups().await);
        bench.told.fails(what);
        let failure = backup::create(&bench.ports(), &SnapshotPolicy::default()).await.expect_err(what);
        assert_eq!(failure.aftermath, Aftermath::Unchanged, "{what}");
        assert!(failure.to_string().contains("as told"), "{failure}");
        assert_eq!((bench.content(), bench.backups().await), (before, backups), "{what}");
        assert!(bench.is_free().await, "{what}");
    }
}
