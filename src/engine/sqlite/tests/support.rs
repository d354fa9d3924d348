//! A folder with a database in it, and short ways to look at both.

use super::super::{OpenOptions, SqliteDatabase};
use crate::base::{Cancel, FixedClock, Tool, hash};
use crate::catalog::{DatabaseId, EngineKind};
use crate::engine::{Bookkeeping, Database, Snapshot};
use crate::history::{Direction, RevisionId, RowChange};
use crate::journal::{Entry, Journal, Operation};
use crate::plan::{Script, Statement, Touches, TransactionMode};
use crate::report::{Kind, Progress};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Two tables, a key between them and a few rows.
pub(super) const SHOP: &str = "
    CREATE TABLE customer (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);
    CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL
        REFERENCES customer (id) ON DELETE CASCADE, amount REAL);
    CREATE INDEX purchase_customer ON purchase (customer_id);
    INSERT INTO customer (name) VALUES ('ada'), ('grace'), ('edsger');
    INSERT INTO purchase VALUES (1, 1, 10.5), (2, 1, NULL), (3, 3, -0.25);";

pub(super) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// An empty folder.
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// A folder with a database that this SQL made.
    pub(super) fn with(sql: &str) -> Self {
        let scratch = Self::new();
        scratch.run(sql);
        scratch
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A connection as an application has one.
    pub(super) fn connect(&self) -> Connection {
        let connection = Connection::open(self.path()).expect("the database opens");
        connection.busy_timeout(Duration::from_secs(20)).expect("a timeout");
        connection.pragma_update(None, "foreign_keys", false).expect("keys off");
        connection
    }

    pub(super) fn run(&self, sql: &str) {
        self.connect().execute_batch(sql).expect("the SQL runs");
    }

    pub(super) fn open(&self) -> SqliteDatabase {
        self.open_with(OpenOptions::default())
    }

    pub(super) fn open_with(&self, options: OpenOptions) -> SqliteDatabase {
        SqliteDatabase::open(&self.path(), options).expect("the database can be named")
    }

    /// A private, empty folder for a snapshot.
    pub(super) fn snapshot_folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name).join("snapshot");
        crate::base::fs::create_private_dir(&folder).expect("a folder");
        folder
    }

    /// The names of all files beside the database, sorted.
    pub(super) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("the folder can be listed");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The rows of a query, values joined by `|`, as an independent program prints them.
    pub(super) async fn ask(&self, sql: &str) -> String {
        ask(&self.path(), sql).await
    }

    pub(super) fn sha256(&self) -> String {
        hash::file_sha256(&self.path()).expect("the file can be read").1
    }

    pub(super) fn operation(&self) -> Operation {
        let journal = Journal::open(&self.folder.path().join("backups"), Arc::new(clock()));
        let id = crate::base::ids::random_hex(8);
        let database = DatabaseId {
            engine: EngineKind::Sqlite,
            place: self.path().display().to_string(),
            name: "app.db".to_string(),
            system: None,
        };
        let begun = Entry::Begun {
            operation: id.clone(),
            kind: Kind::Upgrade,
            database,
            direction: None,
            target: None,
            from: Vec::new(),
            to: Vec::new(),
            who: "tests".to_string(),
            process: 1,
            version: "0".to_string(),
        };
        journal.begin(&id, begun).expect("a journal")
    }
}

/// Asks the system's own sqlite3, which shares no code with this program.
pub(super) async fn ask(path: &Path, sql: &str) -> String {
    let tool = Tool::new("sqlite3").arg("-batch").arg(path).arg(sql);
    tool.run(&Cancel::new()).await.expect("sqlite3 answers").stdout.trim_end().to_string()
}

pub(super) fn clock() -> FixedClock {
    FixedClock("2026-11-23T18:15:00Z".parse().expect("a time"))
}

pub(super) fn silent() -> Progress {
    Progress::silent()
}

pub(super) fn id(text: &str) -> RevisionId {
    RevisionId::new(text).expect("an identifier")
}

/// An upgrade of an empty version table to `revision`.
pub(super) fn script(revision: &str, statements: &[&str]) -> Script {
    let statement = |(index, text): (usize, &&str)| Statement {
        text: (*text).to_string(),
        line: index * 2 + 10,
        sha256: hash::sha256_hex(text),
        touches: Touches::Anything,
    };
    Script {
        revision: id(revision),
        direction: Direction::Up,
        message: "a change".to_string(),
        place: format!("migrations/{revision}.sql"),
        sha256: hash::sha256_hex(revision),
        transaction: TransactionMode::One,
        statements: statements.iter().enumerate().map(statement).collect(),
        accepts: Vec::new(),
        rows: vec![RowChange::Insert(id(revision))],
        rows_after: vec![id(revision)],
    }
}

pub(super) fn book() -> Bookkeeping<'static> {
    Bookkeeping { operation: "20261123T181500Z-upgrade-5f2c", at: clock().0, known: &[], guarded: None }
}

/// Takes a snapshot into a new folder.
pub(super) async fn snapshot(
    scratch: &Scratch,
    database: &SqliteDatabase,
    name: &str,
) -> (PathBuf, Snapshot) {
    let folder = scratch.snapshot_folder(name);
    let taken = database.snapshot(&folder, &silent()).await.expect("a snapshot");
    (folder, taken)
}
