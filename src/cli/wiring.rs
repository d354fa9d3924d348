//! The one place that knows every adapter and puts them together.

use crate::base::{Cancel, Clock};
use crate::config::Config;
use crate::engine::postgres::{self, PostgresDatabase};
use crate::engine::sqlite::{self, SqliteDatabase};
use crate::engine::{Database, DatabaseUrl, Error};
use crate::journal::Journal;
use crate::procedure::Ports;
use crate::report::{Failure, Observer};
use crate::runner::MigrationRunner;
use crate::runner::sql::{Project, SqlRunner};
use crate::store::local::LocalStore;
use std::sync::Arc;

/// Everything that one command works with.
pub(super) struct Assembled {
    pub database: Arc<dyn Database>,
    pub observer: Arc<dyn Observer>,
    runner: Box<dyn MigrationRunner>,
    store: LocalStore,
    journal: Journal,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
    who: String,
}

impl Assembled {
    /// Puts together what the configuration names.
    pub(super) async fn new(
        config: &Config,
        observer: Arc<dyn Observer>,
        cancel: &Cancel,
        may_create: bool,
    ) -> Result<Self, Failure> {
        Self::at(config, &config.database, observer, cancel, may_create).await
    }

    /// The same with another database; `may_create` says whether one that is not there counts as an empty one.
    pub(super) async fn at(
        config: &Config,
        url: &DatabaseUrl,
        observer: Arc<dyn Observer>,
        cancel: &Cancel,
        may_create: bool,
    ) -> Result<Self, Failure> {
        let database = database(config, url, observer.clone(), cancel, may_create).await?;
        let project = Project::new(&config.migrations);
        let runner = SqlRunner::new(project, database.clone(), cancel.clone());
        Ok(Self {
            runner: Box::new(runner.remembering(&config.backups)),
            database,
            observer,
            store: store(config, cancel),
            journal: journal(config),
            clock: config.clock.clone(),
            cancel: cancel.clone(),
            who: config.who.clone(),
        })
    }

    pub(super) fn ports(&self) -> Ports<'_> {
        Ports {
            database: self.database.as_ref(),
            runner: self.runner.as_ref(),
            store: &self.store,
            journal: &self.journal,
            observer: self.observer.clone(),
            clock: self.clock.clone(),
            cancel: self.cancel.clone(),
            who: self.who.clone(),
        }
    }
}

/// Returns the store of backups; it needs no database.
pub(super) fn store(config: &Config, cancel: &Cancel) -> LocalStore {
    LocalStore::open(&config.backups, cancel.clone())
}

/// Returns the journals; they need no database.
pub(super) fn journal(config: &Config) -> Journal {
    Journal::open(&config.backups, config.clock.clone())
}

async fn database(
    config: &Config,
    url: &DatabaseUrl,
    observer: Arc<dyn Observer>,
    cancel: &Cancel,
    may_create: bool,
) -> Result<Arc<dyn Database>, Failure> {
    let database: Arc<dyn Database> = match url {
        DatabaseUrl::Sqlite(path) => {
            let options = sqlite::OpenOptions {
                cancel: cancel.clone(),
                lock_timeout: config.lock_timeout,
                workers: 0,
                create: may_create,
                is_copy: false,
            };
            Arc::new(SqliteDatabase::open(path, options).map_err(Failure::refused)?)
        }
        DatabaseUrl::Postgres(url) => {
            let options = postgres_options(config, observer, cancel)?;
            Arc::new(PostgresDatabase::connect(url, options).await.map_err(Failure::refused)?)
        }
    };
    Ok(database)
}

fn postgres_options(
    config: &Config,
    observer: Arc<dyn Observer>,
    cancel: &Cancel,
) -> Result<postgres::Options, Failure> {
    let scratch_url = match &config.scratch_url {
        None => None,
        Some(DatabaseUrl::Postgres(url)) => Some(url.clone()),
        Some(DatabaseUrl::Sqlite(_)) => {
            return Err(Failure::refused(Error::Unsupported {
                what: "proving a snapshot of PostgreSQL in SQLite (proof.scratch_url)".to_string(),
                why: "it must be restored by a server of its own kind".to_string(),
            }));
        }
    };
    let configured: Vec<_> = config.tools.iter().cloned().collect();
    Ok(postgres::Options {
        cancel: cancel.clone(),
        observer,
        lock_timeout: config.lock_timeout,
        statement_timeout: config.statement_timeout,
        retries: config.retries,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        tools_path: postgres::tool_folders(&configured),
        tool_timeout: config.tool_timeout,
        scratch_url,
        work_dir: config.backups.join(".work"),
    })
}
