//! What goes to a database and what comes back: needs, proofs, marks and the ends of its longer works.

use super::{Guarded, Meanwhile};
use crate::catalog::{Catalog, Finding, TableName};
use crate::fingerprint::Inventory;
use crate::history::RevisionId;
use crate::store::ToolFact;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// What an operation is going to need.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// Where the backup will be written.
    pub folder: &'a Path,
    pub proof: ProofLevel,
    /// Whether the live database is going to be written to.
    pub writes: bool,
    /// Whether the live database is going to be replaced (a restore in place).
    pub replaces: bool,
    /// Whether the restored snapshot is going to be migrated, beside one that stays as it is.
    pub rehearsal: bool,
}

/// What was found before an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Preflight {
    pub findings: Vec<Finding>,
    pub tools: Vec<ToolFact>,
    /// The size of the database in bytes.
    pub bytes: u64,
}

/// How far a snapshot is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofLevel {
    /// Restored and compared, every row.
    #[default]
    Full,
    /// Restored without rows; the catalog compared.
    Schema,
    /// Not restored at all: a hope, not a snapshot.
    None,
}

impl ProofLevel {
    /// Returns the word for it in manifests and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Schema => "schema",
            Self::None => "none",
        }
    }
}

/// A snapshot that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// What the database looked like at the instant of the snapshot.
    pub inventory: Inventory,
    /// The version rows at the same instant, sorted. Empty when there is no table, and when it holds what is no
    /// revision: that is nobody's reason not to save a database.
    pub version_rows: Vec<RevisionId>,
    /// How it was taken: `sqlite page copy`, `sqlite backup api`, `pg_dump directory`.
    pub method: String,
    pub tools: Vec<ToolFact>,
    /// SHA-256 of files that were hashed while they were written, by their path in the folder: the store then need
    /// not read them again.
    pub sha256: BTreeMap<String, String>,
    /// Facts that the proof or the restore needs.
    pub facts: BTreeMap<String, String>,
}

/// What a proof saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    pub level: ProofLevel,
    /// How it was done, in one sentence.
    pub method: String,
    /// Differences between what was taken and what came back: empty means proven.
    pub differences: Vec<String>,
    pub tables: u64,
    pub rows: u64,
    pub seconds: f64,
}

/// What ripcord's own table says of an applied file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedFile {
    pub revision: RevisionId,
    pub sha256: String,
    pub applied_at: String,
    pub operation: String,
}

/// What a script writes down beside its statements.
#[derive(Clone, Copy, Debug)]
pub struct Bookkeeping<'a> {
    pub operation: &'a str,
    pub at: DateTime<Utc>,
    /// Findings that were there before: what is not new does not stop a migration.
    pub known: &'a [Finding],
    /// What others must not have moved since the snapshot, or what of it is kept; nothing on a copy.
    pub guarded: Option<&'a Guarded>,
}

/// What running scripts did, as far as the engine can tell it apart from what other sessions did meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Rows inserted, updated and deleted by the scripts' own transactions, by table (`pg_stat_xact_user_tables`);
    /// a table that is not in it was not written. `None` when the engine cannot tell.
    pub rows_written: Option<BTreeMap<TableName, u64>>,
    /// The strongest lock on each table that was there before. `None` when the engine locks no tables, or when each
    /// statement was a transaction of its own, unless a rehearsal looked.
    pub locks: Option<BTreeMap<TableName, String>>,
    /// Tables that were there before and whose rows were all written anew.
    pub rewritten: Vec<TableName>,
    /// What others wrote after the snapshot into what the scripts took away, and where it is kept.
    pub meanwhile: Vec<Meanwhile>,
    /// Columns that scripts made and only their default has filled, in the order of the scripts. Empty when the engine cannot
    /// tell.
    pub made: Vec<MadeColumn>,
}

/// A column that a script made in a table that was there before. Its transaction has put nothing into it but its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MadeColumn {
    pub revision: RevisionId,
    pub table: TableName,
    pub column: String,
}

impl Applied {
    /// Returns what both did; it cannot be told as soon as one of them cannot.
    pub fn and(self, other: Applied) -> Applied {
        let rows_written = self.rows_written.zip(other.rows_written).map(|(mut rows, more)| {
            for (table, count) in more {
                *rows.entry(table).or_default() += count;
            }
            rows
        });
        let locks = self.locks.zip(other.locks).map(|(locks, more)| locks.into_iter().chain(more).collect());
        let rewritten = self.rewritten.into_iter().chain(other.rewritten).collect();
        let meanwhile = self.meanwhile.into_iter().chain(other.meanwhile).collect();
        let made = self.made.into_iter().chain(other.made).collect();
        Applied { rows_written, locks, rewritten, meanwhile, made }
    }

    /// Returns what running no script at all did: provably nothing.
    pub fn nothing() -> Applied {
        Applied { rows_written: Some(BTreeMap::new()), locks: Some(BTreeMap::new()), ..Applied::default() }
    }
}

/// A point in the stream of writes: the engine's own counters, opaque to everybody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteMark(pub String);

/// Whether somebody else wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtherWrites {
    /// Proven: nobody.
    Nobody,
    Somebody,
    /// It cannot be told, and why.
    Unknown(String),
}

/// A restored database that waits to be put in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// Where it waits: a side database's name, a file.
    pub place: String,
    /// How it is going to be put in place, in the words of a plan line.
    pub way: String,
    /// Differences between the snapshot's inventory and what was staged: empty, or the swap is refused.
    pub differences: Vec<String>,
    /// The definition as it was staged, where an engine reads it: on another server, or a newer one, it need not be
    /// the snapshot's to the letter, and is no difference all the same.
    pub catalog: Option<Catalog>,
    pub facts: BTreeMap<String, String>,
}

impl Staged {
    /// Returns what the database must look like once this is in its place.
    pub fn expected(&self, snapshot: &Inventory) -> Inventory {
        let mut expected = snapshot.clone();
        if let Some(catalog) = &self.catalog {
            expected.catalog = catalog.clone();
        }
        expected
    }
}

/// What a swap did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swapped {
    /// Where the database that was live before is kept, if it is.
    pub kept: Option<String>,
    /// How long clients could not work.
    pub barred: Duration,
    /// Remarks for the reader: what has to be dropped by hand one day.
    pub notes: Vec<String>,
}
