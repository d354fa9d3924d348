//! What every engine promises to the procedures: one suite, run by each engine on real databases.
//!
//! Each test is one promise of `Database`'s documentation and knows nothing of the engine but its name; what is an
//! engine's own way of keeping a promise is tested beside that engine.

mod applying;
mod looking;
mod restoring;
mod stopping;

use crate::bench;
use crate::support::{Backend, TestDatabase};
use ripcord::base::{Cancel, fs};
use ripcord::catalog::TableName;
use ripcord::engine::postgres::PostgresDatabase;
use ripcord::engine::sqlite::{OpenOptions, SqliteDatabase};
use ripcord::engine::{Applied, Bookkeeping, Database, Error, Snapshot};
use ripcord::journal::{Journal, Operation};
use ripcord::plan::Script;
use ripcord::report::Progress;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// Two tables, a key between them and a few rows.
const SHOP: &str = "CREATE TABLE customer (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL);
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer (id), amount FLOAT);
INSERT INTO customer VALUES (1, 'ada'), (2, 'grace'), (3, 'edsger');
INSERT INTO purchase VALUES (1, 1, 10.5), (2, 1, NULL), (3, 3, -0.25);";

/// A database with a shop in it, and a folder for backups.
struct Subject<'a> {
    db: &'a TestDatabase,
    folder: TempDir,
    cancel: Cancel,
}

impl<'a> Subject<'a> {
    fn new(db: &'a TestDatabase) -> Subject<'a> {
        db.execute(SHOP);
        Subject { db, folder: tempfile::tempdir().expect("a folder"), cancel: Cancel::new() }
    }

    /// The engine, as a program that starts now has it.
    async fn open(&self) -> Box<dyn Database> {
        self.named("app").await
    }

    /// The same on another database of the same place, which need not exist.
    async fn named(&self, name: &str) -> Box<dyn Database> {
        match self.db.backend() {
            Backend::Sqlite => {
                let options = OpenOptions {
                    cancel: self.cancel.clone(),
                    lock_timeout: Duration::from_millis(300),
                    ..OpenOptions::default()
                };
                let file = self.db.file().with_file_name(format!("{name}.db"));
                Box::new(SqliteDatabase::open(&file, options).expect("it can be named"))
            }
            Backend::Postgres => {
                let server = self.db.server();
                let options = bench::options(server, self.folder.path(), &self.cancel);
                let url = bench::parse(&server.url(name));
                Box::new(PostgresDatabase::connect(&url, options).await.expect("connected"))
            }
        }
    }

    /// The names of all databases: files beside this one, or what is on its server.
    fn places(&self) -> Vec<String> {
        if self.db.backend() == Backend::Postgres {
            return self.db.server().databases();
        }
        let entries = std::fs::read_dir(self.db.file().with_file_name("")).expect("the folder can be listed");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    fn table(&self, name: &str) -> TableName {
        match self.db.backend() {
            Backend::Sqlite => TableName::plain(name),
            Backend::Postgres => TableName::qualified("public", name),
        }
    }

    fn journal(&self) -> Journal {
        bench::journal(self.folder.path())
    }

    /// Begins an operation with a journal of its own.
    fn operation(&self) -> Operation {
        bench::operation(&self.journal(), &ripcord::base::ids::random_hex(12))
    }

    fn empty_folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        fs::create_private_dir(&folder).expect("a folder");
        folder
    }

    /// Takes a snapshot into a new folder of this name.
    async fn snapshot(&self, database: &dyn Database, name: &str) -> (PathBuf, Snapshot) {
        let folder = self.empty_folder(name);
        let taken = database.snapshot(&folder, &Progress::silent()).await.expect("a snapshot");
        (folder, taken)
    }

    /// Applies a script as an operation of its own.
    async fn apply(&self, database: &dyn Database, script: &Script) -> Result<Applied, Error> {
        self.apply_in(&self.operation(), database, script).await
    }

    async fn apply_in(
        &self,
        operation: &Operation,
        database: &dyn Database,
        script: &Script,
    ) -> Result<Applied, Error> {
        let at = "2026-11-23T18:15:00Z".parse().expect("a time");
        let book = Bookkeeping { operation: bench::OPERATION, at, known: &[], guarded: None };
        database.apply(script, &book, &operation.script_log()).await
    }
}

/// Nobody listens.
fn silent() -> Progress {
    Progress::silent()
}
