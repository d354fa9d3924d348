//! A database with a server of its own, and the engine connected to it.

use crate::support::Postgres;
use ripcord::base::{Cancel, FixedClock};
use ripcord::catalog::{DatabaseId, EngineKind};
use ripcord::engine::postgres::{Options, PostgresDatabase, tool_folders};
use ripcord::engine::{Database, DatabaseUrl, Error, PostgresUrl, Snapshot, Staged};
use ripcord::journal::{Entry, Journal, Operation, OperationState};
use ripcord::report::{Kind, Progress, Silent};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub const OPERATION: &str = "20261123T181500Z-upgrade-5f2c";

/// A server, a folder for backups and an engine.
pub struct Bench {
    pub server: Postgres,
    pub folder: TempDir,
    pub cancel: Cancel,
}

impl Bench {
    pub fn start() -> Self {
        Self::on(Postgres::start())
    }

    pub fn on(server: Postgres) -> Self {
        Self { server, folder: tempfile::tempdir().expect("a folder"), cancel: Cancel::new() }
    }

    pub fn options(&self) -> Options {
        options(&self.server, self.folder.path(), &self.cancel)
    }

    /// The engine on the database `app`, as the role that owns it.
    pub async fn database(&self) -> PostgresDatabase {
        self.connect(&self.server.url("app"), self.options()).await.expect("connected")
    }

    /// The engine as superuser.
    pub async fn as_superuser(&self) -> PostgresDatabase {
        self.connect(&self.server.url_as("postgres", "app"), self.options()).await.expect("connected")
    }

    pub async fn connect(&self, url: &str, options: Options) -> Result<PostgresDatabase, Error> {
        PostgresDatabase::connect(&parse(url), options).await
    }

    /// An empty folder for a snapshot.
    pub fn snapshot_folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        ripcord::base::fs::create_private_dir(&folder).expect("a folder");
        folder
    }

    /// Takes a snapshot into a folder of this name.
    pub async fn snapshot(&self, database: &PostgresDatabase, name: &str) -> Snapshot {
        let folder = self.snapshot_folder(name);
        database.snapshot(&folder, &Progress::silent()).await.expect("a snapshot")
    }

    pub fn snapshots(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Builds the database of a snapshot, ready to be put in place.
    pub async fn stage(&self, database: &PostgresDatabase, taken: &Snapshot, name: &str) -> Staged {
        let (folder, progress) = (self.snapshots(name), Progress::silent());
        database.stage(&folder, &taken.inventory, OPERATION, &progress).await.expect("staged")
    }

    /// A journal for what an operation writes down.
    pub fn journal(&self) -> Journal {
        journal(self.folder.path())
    }

    /// Begins an operation.
    pub fn operation(&self, id: &str) -> Operation {
        operation(&self.journal(), id)
    }

    /// What the journal knows of the only operation.
    pub fn state(&self) -> OperationState {
        self.journal().operations().expect("journals").remove(0)
    }
}

/// How the engine works with this server in tests.
pub fn options(server: &Postgres, work_dir: &Path, cancel: &Cancel) -> Options {
    Options {
        cancel: cancel.clone(),
        observer: Arc::new(Silent),
        lock_timeout: Duration::from_millis(300),
        statement_timeout: None,
        retries: 0,
        jobs: 2,
        tools_path: tool_folders(&[server.bin_dir().to_path_buf()]),
        tool_timeout: None,
        scratch_url: None,
        work_dir: work_dir.to_path_buf(),
    }
}

/// The journals below a folder for backups.
pub fn journal(backups: &Path) -> Journal {
    let clock = FixedClock("2026-11-23T18:15:00Z".parse().expect("a time"));
    Journal::open(backups, Arc::new(clock))
}

/// Begins an operation.
pub fn operation(journal: &Journal, id: &str) -> Operation {
    let database =
        DatabaseId { engine: EngineKind::Postgresql, place: "here".into(), name: "app".into(), system: None };
    let begun = Entry::Begun {
        operation: id.to_string(),
        kind: Kind::Upgrade,
        database,
        direction: None,
        target: None,
        from: Vec::new(),
        to: Vec::new(),
        who: "a test".into(),
        process: 1,
        version: "0".into(),
    };
    journal.begin(id, begun).expect("begun")
}

pub fn parse(url: &str) -> PostgresUrl {
    match DatabaseUrl::parse(url) {
        Ok(DatabaseUrl::Postgres(url)) => url,
        other => panic!("{url}: {other:?}"),
    }
}
