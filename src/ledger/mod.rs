//! The loss ledger: what a rehearsal saw become of every table, column and row. Pure.
//!
//! Promises that nothing is called kept, moved or brought back which was not seen to be so on the copy, whatever the SQL
//! looked like; where the data leaves it open, the answer is the one that warns. Two questions are put to the engine
//! ([`questions`]); everything else follows from inventories ([`draw_up`]).

mod appeared;
mod fates;
mod folded;
mod keep;
mod kept;
mod merged;
mod pairs;
mod questions;
mod recast;
mod rekeyed;
mod renamed;
mod rule;
mod salvage;
mod tree;
mod whole_rows;

#[cfg(test)]
mod keep_tests;
#[cfg(test)]
mod tests;

pub use appeared::{Appeared, End};
pub use folded::folded;
pub use keep::keeps;
pub use kept::{Keep, Kept};
pub use merged::{Conflict, Doubt, Doubts, Followed, Merged, MergedBack, NAMED};
pub use pairs::{keys_match, same, tables as places};
pub use questions::{Answers, Question, RowChanges, questions};
pub use recast::{Recast, recasts, turned};
pub use rekeyed::questions_back;
pub use renamed::{Renamed, compared, renames};
pub use rule::{Seen, draw_up};
pub use salvage::{Returned, Salvage, SalvageKind};
pub use tree::{Member, Tree};
pub use whole_rows::{Ask, WholeRows};

use crate::catalog::{Change, TableName};
use crate::history::{Direction, RevisionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The number by which SQLite finds a row, and the key of a virtual table.
pub const ROWID: &str = "rowid";

/// What a rehearsal saw. Its JSON is specified in `docs/format.md`, section "Loss ledger".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    pub direction: Direction,
    pub from: Vec<RevisionId>,
    pub to: Vec<RevisionId>,
    /// False on an empty copy of the schema, where nothing can be said of values.
    pub rows_seen: bool,
    /// What this rehearsal could not see, one sentence each.
    #[serde(default)]
    pub cannot_see: Vec<String>,
    /// What is lost for good, the first thing to read; empty means that the way back brings everything back.
    pub lost: Vec<Loss>,
    pub tables: Vec<TableEntry>,
    /// How the definitions differ at the end of the way there.
    pub catalog: Vec<Change>,
    /// How the definitions differ from the beginning after there and back.
    pub not_brought_back: Vec<Change>,
    /// Where a downgrade does not do what its name says.
    pub dishonest: Vec<Dishonest>,
    /// What checks find at the end of a way and did not find before.
    #[serde(default)]
    pub findings: Vec<Appeared>,
    /// Revisions without a way back.
    pub irreversible: Vec<Irreversible>,
    /// Why the way back stopped, when it failed on the copy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub back_failed: Option<String>,
    /// The revision whose way back it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub back_failed_at: Option<RevisionId>,
    pub again: Again,
    pub revisions: Vec<Run>,
    /// How long each way back took on the copy.
    pub ways_back: Vec<WayBack>,
}

/// Something that is gone at the end and that the way back does not bring back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    pub what: LossKind,
    pub table: TableName,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub column: Option<String>,
    /// Rows or values that are not NULL; absent where nobody could count them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<u64>,
    /// The declared types, where the column stays and its type does not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retyped: Option<Retyped>,
}

/// Two declared types of one column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retyped {
    pub before: String,
    pub after: String,
}

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossKind {
    /// A whole table with its rows.
    Table,
    /// A column with its values.
    Column,
    /// Rows of a table that stays.
    Rows,
    /// Values of a column that stays: overwritten.
    Values,
}

/// What became of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    pub table: TableName,
    #[serde(flatten)]
    pub fate: Fate,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows_before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows_after: Option<u64>,
    /// Rows by key: new, gone, with other values. Without a key a row that is gone and one that is new count as changed.
    pub inserted: u64,
    pub deleted: u64,
    pub changed: u64,
    /// Rows that lie in another partition now, or in another table of the same inheritance tree.
    #[serde(skip_serializing_if = "is_none", default)]
    pub moved: u64,
    /// Whether every row is there again after the way back.
    pub rows_back: bool,
    /// By the name before; a new column by its own.
    pub columns: BTreeMap<String, Fate>,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

/// What became of a table or a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "lowercase")]
pub enum Fate {
    /// The same values under the same keys (a table: there under its name).
    Kept,
    Added {
        /// The column whose values it holds as well.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        copy_of: Option<String>,
    },
    /// The same values under the same keys, elsewhere.
    Moved { to: String },
    /// Other values, or the same in a form that the digests do not know.
    Transformed {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        count: Option<u64>,
        /// Whether the way back brings the old values back.
        back: bool,
        /// Where the old values are held as well.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        held_in: Option<String>,
    },
    Lost {
        /// Rows of a table, values that are not NULL of a column.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        count: Option<u64>,
    },
}

/// A downgrade that does not bring back what its upgrade changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Dishonest {
    /// It has no statement although its upgrade has some.
    Empty { revision: RevisionId },
    /// The column is created again, and its values are not what they were.
    WithoutData {
        column: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        count: Option<u64>,
    },
    /// The column was there all the time, and its values are not what they were.
    OtherValues {
        column: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        count: Option<u64>,
    },
    /// The table held rows and is not there at all.
    WithoutTable {
        table: TableName,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        count: Option<u64>,
    },
    /// The column held values and is not there at all.
    WithoutColumn {
        column: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        count: Option<u64>,
    },
    /// The table is there, and rows of it are missing.
    WithoutRows {
        table: TableName,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        count: Option<u64>,
    },
}

/// A revision that cannot be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Irreversible {
    pub revision: RevisionId,
    /// What its file says of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
}

/// How the second run of the way there ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "again", rename_all = "kebab-case")]
pub enum Again {
    /// It ended as the first one.
    Same,
    /// It ended otherwise, although it began with the same definitions and rows: the migration is not deterministic.
    NotDeterministic {
        differs: Vec<String>,
    },
    /// It ended otherwise, and it had not begun with the same definitions and rows.
    Differs {
        differs: Vec<String>,
    },
    Failed {
        error: String,
    },
    /// There was no way back to run it from.
    NotRun,
}

/// One revision on the copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub revision: RevisionId,
    pub message: String,
    /// Seconds of the way there, of the way back, of the way there again.
    pub there: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub back: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub again: Option<f64>,
    /// The strongest lock on each table that was there before; absent when the engine has no such locks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub locks: Option<BTreeMap<TableName, String>>,
    /// Tables whose rows were all written anew.
    #[serde(default)]
    pub rewritten: Vec<TableName>,
}

/// One way back and how long it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WayBack {
    /// `downgrade`, `upgrade` or `restore`.
    pub way: String,
    pub seconds: f64,
}

impl Ledger {
    /// Tells whether something is gone that the way back does not bring back.
    pub fn loses(&self) -> bool {
        !self.lost.is_empty()
    }
}
