//! Fingerprints of tables, from the text that `COPY … TO STDOUT` sends.
//!
//! Every table is read as of one exported snapshot, several tables at a time. The bytes of a row are its line of
//! `COPY` text format without the newline, columns in the order of their names; the bytes of a value are its field in
//! that line (`\N` is NULL); the key is its fields joined by tabs. `docs/format.md` repeats this for other programs.

mod copy;
mod inherited;
mod sources;
mod unwritten;

use super::PostgresDatabase;
use super::errors::{self, code};
use super::exporter::is_small;
use super::server::Server;
use super::session::{Purpose, Session};
use crate::base::Cancel;
use crate::catalog::{Catalog, TableName};
use crate::engine::Error;
use crate::fingerprint::{Fingerprint, NotCompared, TableFingerprint, TableHasher};
use crate::report::{Amount, Progress};
use sources::Source;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(super) use sources::{COUNTS_DOWN, sequences};
pub(super) use unwritten::Unwritten;

/// About how much of a table on disk one reader takes at a time.
const PART: u64 = 32 * 1024 * 1024;

/// What readers of one snapshot share.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) server: Server,
    pub(super) database: String,
    pub(super) name: String,
    pub(super) cancel: Cancel,
    pub(super) jobs: usize,
    pub(super) progress: Progress,
    /// How long to wait for a lock of another session; without limit when there is none, for a database of our own.
    pub(super) patience: Option<Duration>,
    /// What need not be read of the copy of a rehearsal.
    pub(super) unwritten: Option<Arc<Unwritten>>,
    /// What need not be asked once more.
    pub(super) known: Known,
}

/// What has been read of the same instant.
#[derive(Clone, Default)]
pub(super) struct Known {
    /// The keys of all tables that have one.
    pub(super) keys: Option<Arc<Keys>>,
    /// Whether the database is a small one.
    pub(super) small: Option<bool>,
}

/// The columns that identify a row of each table.
pub(super) type Keys = BTreeMap<TableName, Vec<String>>;

impl Known {
    /// Takes over the keys, which the catalog and the fingerprint find by the same rule.
    pub(super) fn of(catalog: &Catalog) -> Self {
        let keys = catalog.tables.iter().map(|(name, table)| (name.clone(), table.key.clone()));
        Self { keys: Some(Arc::new(keys.collect())), small: None }
    }
}

impl PostgresDatabase {
    /// Returns what readers of `database` on `server` share.
    pub(super) fn reading(&self, server: &Server, database: &str, progress: &Progress) -> Reading {
        Reading {
            server: server.clone(),
            database: database.to_string(),
            name: self.application(),
            cancel: self.options.cancel.clone(),
            jobs: self.options.jobs.max(1),
            progress: progress.clone(),
            patience: (database == self.id.name).then_some(self.options.lock_timeout),
            unwritten: self.unwritten.get().filter(|_| database == self.id.name).cloned(),
            known: Known::default(),
        }
    }
}

impl Reading {
    /// Computes the fingerprint as of the exported `snapshot`, which `exporter` holds open.
    pub(super) async fn fingerprint(
        &self,
        exporter: &mut Session,
        snapshot: &str,
    ) -> Result<Fingerprint, Error> {
        let found = sources::find(exporter, self.known.keys.as_deref()).await?;
        let mut fingerprint = Fingerprint::new();
        fingerprint.sequences = sequences(exporter).await?;
        fingerprint.not_compared = found.not_compared;
        fingerprint.tables = match &self.unwritten {
            None => self.tables(exporter, found.sources, snapshot).await?,
            Some(unwritten) => {
                let mut sifted = unwritten.sift(exporter, found.sources).await?;
                let forms = sifted.take_forms();
                let read = self.tables(exporter, sifted.rest, snapshot).await?;
                unwritten.learn(forms, &read);
                sifted.known.into_iter().chain(read).collect()
            }
        };
        match self.large_objects(snapshot, found.large_objects).await? {
            Some(Ok(table)) => {
                fingerprint.tables.insert(TableName::large_objects(), table);
            }
            Some(Err(reason)) => fingerprint
                .not_compared
                .push(NotCompared { subject: "the content of large objects".to_string(), reason }),
            None => {}
        }
        fingerprint.not_compared.sort();
        Ok(fingerprint)
    }

    /// Reads some of the tables as the session's own transaction sees them.
    pub(super) async fn held_by(
        mut self,
        session: &mut Session,
        names: &BTreeSet<&TableName>,
    ) -> Result<BTreeMap<TableName, TableFingerprint>, Error> {
        // Nobody else sees what it sees.
        self.jobs = 1;
        let mut sources = sources::find(session, None).await?.sources;
        sources.retain(|source| names.contains(&source.name));
        self.tables(session, sources, "").await
    }

    /// Reads the tables, the largest first and in parts, so that the last worker does not end long after the others.
    async fn tables(
        &self,
        exporter: &mut Session,
        tables: Vec<Source>,
        snapshot: &str,
    ) -> Result<BTreeMap<TableName, TableFingerprint>, Error> {
        let named: BTreeMap<TableName, (Vec<String>, Vec<String>)> = tables
            .iter()
            .map(|source| (source.name.clone(), (source.columns.clone(), source.key.clone())))
            .collect();
        let mut sources = tables;
        let alone = match (self.jobs, self.known.small) {
            (1, _) => true,
            (_, Some(small)) => small,
            (_, None) => is_small(exporter).await?,
        };
        if !alone {
            sources = sources.into_iter().flat_map(|source| source.parts(PART)).collect();
        }
        sources.sort_by(|left, right| right.bytes.cmp(&left.bytes).then_with(|| left.name.cmp(&right.name)));
        let total = Amount { rows: 0, bytes: sources.iter().map(|source| source.bytes).sum() };
        let workers = if alone { 0 } else { self.jobs.min(sources.len()) };
        let shared = Arc::new(Shared {
            queue: Mutex::new(sources.into()),
            left: Mutex::default(),
            hashers: Mutex::default(),
            rows: AtomicU64::new(0),
            done: AtomicU64::new(0),
            total,
        });
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..workers {
            let (reading, shared, snapshot) = (self.clone(), shared.clone(), snapshot.to_string());
            running.spawn(async move { reading.work(&shared, &snapshot).await });
        }
        // The first error ends the others: dropping the set aborts them, and their sessions with them.
        while let Some(ended) = running.join_next().await {
            ended.map_err(|error| Error::Driver {
                doing: "reading a table".to_string(),
                detail: error.to_string(),
            })??;
        }
        let left = [&shared.queue, &shared.left]
            .map(|left| std::mem::take(&mut *left.lock().unwrap_or_else(PoisonError::into_inner)));
        for source in left.into_iter().flatten() {
            self.one(&shared, exporter, source).await?;
        }
        let hashers = std::mem::take(&mut *shared.hashers.lock().unwrap_or_else(PoisonError::into_inner));
        let tables = hashers.into_iter().filter_map(|(name, hasher)| {
            let (columns, key) = named.get(&name)?;
            Some((name, hasher.finish(columns, key)))
        });
        Ok(tables.collect())
    }

    async fn work(&self, shared: &Shared, snapshot: &str) -> Result<(), Error> {
        let mut session = self.at(snapshot).await?;
        loop {
            let next = shared.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(source) = next else { break };
            if is_free(&mut session, &source).await? {
                self.one(shared, &mut session, source).await?;
                continue;
            }
            shared.left.lock().unwrap_or_else(PoisonError::into_inner).push_back(source);
            // The refusal ended the transaction, and with it the look at the snapshot.
            session.close().await;
            session = self.at(snapshot).await?;
        }
        leave(session).await
    }

    /// Reads one source and adds it to its table.
    async fn one(&self, shared: &Shared, session: &mut Session, source: Source) -> Result<(), Error> {
        let hasher = copy::read(self, session, &source).await?;
        let bytes = shared.done.fetch_add(source.bytes, Ordering::Relaxed) + source.bytes;
        let rows = shared.rows.fetch_add(hasher.rows(), Ordering::Relaxed) + hasher.rows();
        self.progress.at(&source.name.to_string(), Amount { rows, bytes }, Some(shared.total));
        match shared.hashers.lock().unwrap_or_else(PoisonError::into_inner).entry(source.name) {
            Entry::Occupied(mut others) => others.get_mut().merge(&hasher),
            Entry::Vacant(first) => {
                first.insert(hasher);
            }
        }
        Ok(())
    }

    /// Opens a session that sees what the exported snapshot sees.
    async fn at(&self, snapshot: &str) -> Result<Session, Error> {
        let mut session = self.server.open(&self.database, Purpose::Reading, &self.name).await?;
        let doing = "joining the snapshot";
        session.run(doing, "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let join = format!("SET TRANSACTION SNAPSHOT {}", super::names::literal(snapshot));
        session.run(doing, &join).await?;
        if let Some(limit) = self.patience {
            session.run(doing, &format!("SET LOCAL lock_timeout = {}", limit.as_millis())).await?;
        }
        Ok(session)
    }

    /// Large objects as one table of (number, MD5 of the content); in a session of its own, because one that may not
    /// be read ends its transaction, and that must not end the rest.
    async fn large_objects(
        &self,
        snapshot: &str,
        count: u64,
    ) -> Result<Option<Result<TableFingerprint, String>>, Error> {
        if count == 0 {
            return Ok(None);
        }
        let mut session = self.at(snapshot).await?;
        let source = Source::large_objects(count);
        match copy::read(self, &mut session, &source).await {
            Ok(hasher) => {
                leave(session).await?;
                Ok(Some(Ok(hasher.finish(&source.columns, &source.key))))
            }
            Err(error) if self.cancel.is_cancelled() || error.is_interrupted() => Err(Error::Interrupted),
            Err(error) => Ok(Some(Err(error.to_string()))),
        }
    }
}

/// Leaves the snapshot.
async fn leave(mut session: Session) -> Result<(), Error> {
    session.run("leaving the snapshot", "ROLLBACK").await?;
    session.give_back().await;
    Ok(())
}

/// Tells whether a table can be read without waiting, and sees to it that this stays so.
///
/// Whoever wants to change a table waits for the exporter, which holds it; a reader that comes later would wait behind
/// him, and the exporter for its readers: for ever, since the server sees no circle. The exporter itself need not wait.
async fn is_free(session: &mut Session, source: &Source) -> Result<bool, Error> {
    if source.name.schema.as_deref() == Some("pg_catalog") {
        return Ok(true);
    }
    let lock = format!("LOCK TABLE ONLY {} IN ACCESS SHARE MODE NOWAIT", source.name.sql());
    match session.execute(&lock).await {
        Ok(_) => Ok(true),
        Err(error) if errors::is(&error, code::LOCK_NOT_AVAILABLE) => Ok(false),
        Err(error) => Err(session.failed(&error, &format!("reading {}", source.name))),
    }
}

struct Shared {
    queue: Mutex<VecDeque<Source>>,
    /// What only the exporter can read without waiting.
    left: Mutex<VecDeque<Source>>,
    hashers: Mutex<BTreeMap<TableName, TableHasher>>,
    rows: AtomicU64,
    done: AtomicU64,
    total: Amount,
}
