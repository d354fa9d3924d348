//! What an engine hands out when tables are exported, and to whom.
//!
//! An engine reads; it knows nothing of files or compression. It hands rows to an [`Outlet`], part by part: parts have
//! numbers, several threads may fill one each at the same time, and whatever the order in which they are finished, the
//! export holds them in the order of their numbers. A part that is dropped unfinished breaks the export.

use super::Error;
use crate::catalog::TableName;
use crate::fingerprint::Digest;
use crate::ledger::{Keep, Returned, Salvage, SalvageKind};
use crate::report::{Amount, Progress};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much CSV a part should hold: far more than one row, or compressing it costs twice the time.
pub const BLOCK: usize = 1 << 20;
/// How many threads one export may keep busy, so that its memory does not grow with the machine.
pub const MOST_WORKERS: usize = 8;

/// What is to be exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// A table or view, as it was typed.
    Table(String),
    Query {
        name: String,
        sql: String,
    },
}

impl Selection {
    /// Returns the name that the export is going to have.
    pub fn name(&self) -> &str {
        match self {
            Self::Table(name) | Self::Query { name, .. } => name,
        }
    }

    /// Returns the fact that it cannot be exported.
    pub fn refuse(&self, detail: impl Into<String>) -> Error {
        let what = match self {
            Self::Table(name) => format!("table {name}"),
            Self::Query { name, .. } => format!("query {name}"),
        };
        Error::NotExportable { what, detail: detail.into() }
    }
}

/// What the rows of an export look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The table, if it is one.
    pub table: Option<TableName>,
    /// In the order of the table or query.
    pub columns: Vec<ShapeColumn>,
    /// The columns that identify a row; empty when nothing does.
    pub key: Vec<String>,
    /// Generated columns, which no load could set.
    pub left_out: Vec<String>,
    /// The encoding of text in the bytes that the digest is computed of.
    pub encoding: String,
}

/// One column of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeColumn {
    pub name: String,
    /// As the engine writes it; empty where an expression of SQLite has none.
    pub type_name: String,
}

impl Shape {
    /// Returns the places of the columns in the order of their names: the order in which a digest takes them.
    pub fn by_name(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.columns.len()).collect();
        places.sort_by(|left, right| self.columns[*left].name.cmp(&self.columns[*right].name));
        places
    }
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    pub shape: Shape,
    pub rows: u64,
    /// Of whole rows, as in a fingerprint, over the columns of the export.
    pub digest: Digest,
}

/// What was salvaged of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvaged {
    pub exported: Exported,
    pub salvage: Salvage,
}

impl Salvaged {
    /// Describes what an engine has exported for `keep`, and what there-and-back left in its columns.
    pub fn of(keep: &Keep, exported: Exported, returned: BTreeMap<String, Returned>) -> Self {
        let salvage = Salvage {
            what: keep.what,
            table: keep.table.clone(),
            key: keep.key.iter().map(|(old, _)| old.clone()).collect(),
            identity: match keep.what {
                SalvageKind::Values => keep.identity.clone(),
                SalvageKind::Rows => keep.alike.clone(),
            },
            in_any: keep.in_any && keep.what == SalvageKind::Rows,
            doubt: doubt_column(keep),
            columns: keep.columns.iter().map(|column| column.name.clone()).collect(),
            returned,
            in_tree: false,
        };
        let mut exported = exported;
        // The restored table need not have the constraint any more.
        exported.shape.key.clone_from(&salvage.key);
        Self { exported, salvage }
    }
}

/// Returns the columns of a salvaged CSV by their names: what identifies a row, what is kept of it, and of the columns in
/// `left` what there-and-back left there. The names of the last are free ones.
pub fn salvage_columns(keep: &Keep, left: &[String]) -> (Vec<String>, Vec<(String, String)>) {
    let mut names: Vec<String> = match keep.what {
        SalvageKind::Rows => Vec::new(),
        SalvageKind::Values => {
            keep.key.iter().map(|(old, _)| old.clone()).chain(keep.identity.iter().cloned()).collect()
        }
    };
    names.extend(keep.columns.iter().map(|column| column.name.clone()));
    let mut named: Vec<(String, String)> = Vec::new();
    for column in left {
        let mut free = format!("returned {column}");
        while names.contains(&free) || named.iter().any(|(_, taken)| *taken == free) {
            free.insert_str(0, "returned ");
        }
        named.push((column.clone(), free));
    }
    (names, named)
}

/// Returns the name of the column that says which of whole rows may be there still, changed; a free one, and none where that is
/// no question.
pub fn doubt_column(keep: &Keep) -> Option<String> {
    let mut free = "in doubt".to_string();
    while keep.columns.iter().any(|column| column.name == free) {
        free.insert_str(0, "really ");
    }
    keep.is_in_doubt().then_some(free)
}

/// A value on its way into an export; text in UTF-8, as far as it is valid at all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'v> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'v [u8]),
    Blob(&'v [u8]),
}

/// Takes in exports.
pub trait Outlet: Send + Sync {
    /// Opens the export of the selection at this place of the list.
    fn open(&self, place: usize, shape: &Shape) -> Result<Arc<dyn RowSink>, Error>;
}

/// Takes in the rows of one export.
pub trait RowSink: Send + Sync {
    /// Begins the part with this number, counted from 0 without a gap.
    fn part(&self, number: u64) -> Box<dyn Part>;
}

/// A run of rows that follow each other.
pub trait Part: Send {
    /// Adds the next value of the present row.
    fn value(&mut self, value: Value<'_>);

    /// Ends the present row.
    fn end_row(&mut self);

    /// Adds whole rows that are CSV already.
    fn csv(&mut self, rows: &[u8]);

    /// Returns how much CSV waits to be written.
    fn waiting(&self) -> usize;

    /// Writes what waits, between two rows; the part goes on.
    fn flush(&mut self) -> Result<(), Error>;

    /// Ends the part.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

/// Counts what several threads have done and reports it now and then.
pub struct Tally<'p> {
    name: &'p str,
    progress: &'p Progress,
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// How many bytes pass between two reports, as a power of two.
const REPORT_EVERY: u32 = 24;

impl<'p> Tally<'p> {
    pub fn new(name: &'p str, progress: &'p Progress) -> Self {
        Self { name, progress, rows: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// Adds rows, and the bytes that they are as CSV.
    pub fn add(&self, rows: u64, bytes: u64) {
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before >> REPORT_EVERY != (before + bytes) >> REPORT_EVERY {
            self.progress.at(self.name, Amount { rows, bytes: before + bytes }, None);
        }
    }

    /// Reports the end.
    pub fn finish(self) {
        let done = Amount { rows: self.rows.into_inner(), bytes: self.bytes.into_inner() };
        self.progress.at(self.name, done, None);
    }
}

/// Returns what all workers returned, or the error that stopped the others: they only say that they were interrupted.
pub fn all_or_cause<T>(outcomes: impl IntoIterator<Item = Result<T, Error>>) -> Result<Vec<T>, Error> {
    let (mut done, mut cause) = (Vec::new(), None);
    for outcome in outcomes {
        match outcome {
            Ok(value) => done.push(value),
            Err(error) if cause.as_ref().is_none_or(Error::is_interrupted) => cause = Some(error),
            Err(_) => {}
        }
    }
    cause.map_or(Ok(done), Err)
}
