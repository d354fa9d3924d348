//! Reads every row of a database on all cores and checks it meanwhile.
//!
//! Promises the same digests whatever the number of workers. An ordinary table is read in ranges of its rowids, shared
//! out as workers become free; what has no rowid is read by one worker. All of them must see the same instant, which is
//! what a [`View`] is.

mod board;
mod encode;
mod table;

use super::findings;
use super::session::Session;
use super::view::View;
use crate::catalog::{Catalog, Finding, Table, TableKind, TableName};
use crate::engine::Error;
use crate::fingerprint::{Fingerprint, NotCompared, TableFingerprint, TableHasher};
use crate::report::{Amount, Progress};
use board::Board;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use table::{Range, Reading};

pub(super) use encode::Row;
pub(super) use table::rowid_name;

/// How many rows are read between two looks at what the others do.
const ROWS_BETWEEN_LOOKS: u64 = 4096;
/// How many rows are read between two reports.
const ROWS_BETWEEN_REPORTS: u64 = 1 << 18;
/// A cell has a length, a rowid, a header and a pointer to it (<https://www.sqlite.org/fileformat2.html#b_tree_pages>): where
/// the rowids have room for more rows than fit into the file, they say nothing about how many there are.
const LEAST_BYTES_OF_A_ROW: u64 = 5;

/// Something else to be done in the same view, with one of its connections.
pub(super) type Errand<'e> = Box<dyn FnOnce(&Session) -> Result<(), Error> + Send + 'e>;

/// One piece of work.
enum Job<'e> {
    Errand(Errand<'e>),
    Rows { table: usize, range: Option<Range> },
    Check(findings::Check),
}

/// What a scan found.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub fingerprint: Fingerprint,
    pub findings: Vec<Finding>,
}

/// What is to be read.
pub(super) struct Task<'a> {
    pub catalog: &'a Catalog,
    /// Tables that need not be read, because their fingerprint is known.
    pub known: BTreeMap<TableName, TableFingerprint>,
    pub checks: Vec<findings::Check>,
    /// Done first, by whoever is free first.
    pub errand: Option<Errand<'a>>,
}

impl<'a> Task<'a> {
    /// Every table of the catalog.
    pub(super) fn everything(catalog: &'a Catalog, checks: Vec<findings::Check>) -> Self {
        Self { catalog, known: BTreeMap::new(), checks, errand: None }
    }
}

/// Shared by the workers of one scan.
struct Scan<'a> {
    tables: Vec<Reading>,
    board: Board<Job<'a>>,
    hashers: Vec<Mutex<TableHasher>>,
    findings: Mutex<Vec<Finding>>,
    rows: AtomicU64,
    /// How many rows there are: at first what the rowids have room for, and with every range that ends nearer to the
    /// truth. None where that says nothing.
    total: Option<AtomicU64>,
    progress: &'a Progress,
}

/// Reads rows and runs checks, on as many threads as the view has connections.
pub(super) fn scan(view: &mut View, task: Task<'_>, progress: &Progress) -> Result<Scanned, Error> {
    let first = view.first();
    let mut fingerprint = Fingerprint { sequences: sequences(first)?, ..Fingerprint::new() };
    fingerprint.not_compared = not_compared(first, task.catalog)?;
    let mut tables = Vec::new();
    for (name, table) in task.catalog.tables.iter().filter(|(_, table)| table.kind != TableKind::Virtual) {
        let (reading, left_out) = Reading::plan(first, name, table)?;
        fingerprint.not_compared.extend(left_out);
        if !task.known.contains_key(name) {
            tables.push(reading);
        }
    }
    fingerprint.not_compared.sort();
    // What cannot be shared out goes first: whoever has it should not begin it last.
    let errand = task.errand.map(Job::Errand);
    let jobs = errand.into_iter().chain(task.checks.into_iter().map(Job::Check)).collect();
    let (tables, found) = read(view, tables, jobs, progress)?;
    fingerprint.tables = task.known;
    fingerprint.tables.extend(tables);
    Ok(Scanned { fingerprint, findings: found })
}

/// Reads one table as the session sees it, inside its transaction.
pub(super) fn one_table(
    session: &Session,
    name: &TableName,
    table: &Table,
) -> Result<TableFingerprint, Error> {
    let (reading, _) = Reading::plan(session, name, table)?;
    let mut hasher = reading.hasher();
    let mut rows = reading.rows(session, None)?;
    while rows.next(session)? {
        rows.add_to(&mut hasher);
    }
    drop(rows);
    Ok(reading.finish(hasher).1)
}

fn read(
    view: &mut View,
    tables: Vec<Reading>,
    mut jobs: Vec<Job<'_>>,
    progress: &Progress,
) -> Result<(BTreeMap<TableName, TableFingerprint>, Vec<Finding>), Error> {
    let mut room = Some(0);
    for (table, reading) in tables.iter().enumerate() {
        let range = reading.whole(view.first())?;
        room = room.zip(range).and_then(|(sum, range): (u64, Range)| sum.checked_add(range.room()));
        jobs.push(Job::Rows { table, range });
    }
    let most = view.first().bytes()? / LEAST_BYTES_OF_A_ROW;
    let hashers = tables.iter().map(|reading| Mutex::new(reading.hasher())).collect();
    let scan = Scan {
        tables,
        board: Board::new(jobs),
        hashers,
        findings: Mutex::default(),
        rows: AtomicU64::new(0),
        total: room.filter(|room| *room <= most).map(AtomicU64::new),
        progress,
    };
    std::thread::scope(|scope| {
        for session in view.sessions() {
            let scan = &scan;
            scope.spawn(move || scan.board.work(|job| scan.do_job(session, job)));
        }
    });
    scan.board.outcome()?;
    let digests = scan.tables.into_iter().zip(scan.hashers).map(|(reading, hasher)| {
        let hasher = hasher.into_inner().unwrap_or_else(PoisonError::into_inner);
        reading.finish(hasher)
    });
    let mut found = scan.findings.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort();
    Ok((digests.collect(), found))
}

impl Scan<'_> {
    fn do_job(&self, session: &Session, job: Job<'_>) -> Result<(), Error> {
        match job {
            Job::Errand(errand) => errand(session),
            Job::Check(check) => {
                let found = check.run(session)?;
                self.findings.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                Ok(())
            }
            Job::Rows { table, range } => {
                let hasher = self.read_rows(session, table, range)?;
                self.hashers[table].lock().unwrap_or_else(PoisonError::into_inner).merge(&hasher);
                Ok(())
            }
        }
    }

    fn read_rows(&self, session: &Session, table: usize, range: Option<Range>) -> Result<TableHasher, Error> {
        let reading = &self.tables[table];
        let mut hasher = reading.hasher();
        let mut rows = reading.rows(session, range)?;
        let (mut unreported, mut read) = (0, 0);
        while rows.next(session)? {
            rows.add_to(&mut hasher);
            unreported += 1;
            read += 1;
            if read % ROWS_BETWEEN_LOOKS == 0 {
                if self.board.is_stopped() {
                    return Ok(hasher);
                }
                if self.board.is_anybody_idle()
                    && let Some(half) = rows.give_away()
                {
                    self.board.add(Job::Rows { table, range: Some(half) });
                }
            }
            if unreported == ROWS_BETWEEN_REPORTS {
                self.report(reading, std::mem::take(&mut unreported));
            }
        }
        if let Some((total, range)) = self.total.as_ref().zip(rows.range()) {
            total.fetch_sub(range.room().saturating_sub(read), Ordering::Relaxed);
        }
        self.report(reading, unreported);
        Ok(hasher)
    }

    fn report(&self, reading: &Reading, rows: u64) {
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        let total = self.total.as_ref().map(|total| total.load(Ordering::Relaxed));
        let amount = |rows| Amount { rows, bytes: 0 };
        self.progress.at(&reading.name.to_string(), amount(rows), total.map(amount));
    }
}

/// Reads the counters of `AUTOINCREMENT` columns.
fn sequences(session: &Session) -> Result<BTreeMap<String, i64>, Error> {
    if !session.has_table("sqlite_sequence")? {
        return Ok(BTreeMap::new());
    }
    let failed = |error| session.failed("reading the sequences", error);
    let sql =
        "SELECT name, max(CAST(seq AS INTEGER)) FROM sqlite_sequence WHERE name IS NOT NULL GROUP BY name";
    let mut statement = session.prepare(sql).map_err(failed)?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.unwrap_or_default())))
        .map_err(failed)?;
    rows.collect::<rusqlite::Result<_>>().map_err(failed)
}

fn not_compared(session: &Session, catalog: &Catalog) -> Result<Vec<NotCompared>, Error> {
    let entry = |subject: String, reason: &str| NotCompared { subject, reason: reason.to_string() };
    let virtual_tables = catalog.tables.iter().filter(|(_, table)| table.kind == TableKind::Virtual);
    let mut left_out: Vec<_> = virtual_tables
        .map(|(name, _)| {
            entry(name.to_string(), "a virtual table has no rows of its own; its shadow tables are compared")
        })
        .collect();
    for name in ["sqlite_stat1", "sqlite_stat2", "sqlite_stat3", "sqlite_stat4"] {
        if session.has_table(name)? {
            left_out
                .push(entry(name.to_string(), "statistics of the query planner, which ANALYZE makes anew"));
        }
    }
    Ok(left_out)
}
