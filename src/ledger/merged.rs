//! What a merge of salvage did, as facts.

use super::{Salvage, SalvageKind};
use crate::catalog::TableName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What became of one column of one table, or of whole rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    pub table: TableName,
    pub what: SalvageKind,
    /// The column; none for whole rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// How many values (rows) were put back.
    pub merged: u64,
    /// How many were there already, or were never lost in rows that somebody wrote to since.
    pub already: u64,
    /// How many belong to rows that were deleted since, which stay deleted. Without a key nobody can tell such a row from one
    /// that was changed.
    pub deleted: u64,
    /// Whether rows were found by their values, because nothing else identifies them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_key: bool,
    pub conflicts: u64,
    /// Why nothing of it was merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

impl Merged {
    pub fn new(salvage: &Salvage, column: Option<&str>) -> Self {
        Self {
            table: salvage.table.clone(),
            what: salvage.what,
            column: column.map(str::to_string),
            merged: 0,
            already: 0,
            deleted: 0,
            without_key: salvage.key.is_empty(),
            conflicts: 0,
            skipped: None,
        }
    }

    /// Returns what the number of those is called whose rows are not there.
    pub fn gone(&self) -> &'static str {
        if self.without_key { "deleted or changed since" } else { "deleted since" }
    }

    /// Adds what became of other rows.
    pub fn add(&mut self, other: &Self) {
        self.merged += other.merged;
        self.already += other.already;
        self.deleted += other.deleted;
        self.conflicts += other.conflicts;
    }

    pub fn skipped(salvage: &Salvage, column: Option<&str>, why: &str) -> Self {
        Self { skipped: Some(why.to_string()), ..Self::new(salvage, column) }
    }
}

/// A value or row on which both sides differ; values as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    pub table: TableName,
    /// The key (or what stands for it) as a JSON object.
    pub key: String,
    /// The column; none for whole rows, whose values are JSON objects.
    pub column: Option<String>,
    pub base: Option<String>,
    pub ours: Option<String>,
    pub theirs: Option<String>,
    pub reason: String,
}

/// Rows in which a foreign key followed a key that was put back; and that key itself, where it was written with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    pub table: TableName,
    pub columns: Vec<String>,
    pub rows: u64,
    /// Rows that held the number of then of a row which keeps the one that the way back gave it, and hold that now.
    #[serde(default)]
    pub led: u64,
}

impl Followed {
    /// Takes rows that followed to where they were out of what followed by a column, and adds those that were led to a row
    /// which has another key now.
    pub fn settle(all: &mut Vec<Self>, (table, column): (&TableName, &String), stays: u64, strays: u64) {
        match all.iter_mut().find(|one| one.table == *table && one.columns.contains(column)) {
            Some(one) => {
                one.rows = one.rows.saturating_sub(stays);
                one.led += strays;
            }
            None if strays > 0 => {
                all.push(Self { table: table.clone(), columns: vec![column.clone()], rows: 0, led: strays })
            }
            None => {}
        }
    }
}

/// So many keys of rows in doubt are named.
pub const NAMED: usize = 5;

/// Rows that were taken for those of then by their key alone, because all that tells rows apart is another value now. Whoever edits
/// a name leaves such a row, and whoever gives its key out again does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    pub rows: u64,
    /// The keys of the first ones.
    pub keys: Vec<String>,
    /// What is another value.
    pub columns: BTreeSet<String>,
    /// What is as it was, but repeats the key, so that another row with that key may hold the same.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub repeats: BTreeSet<String>,
}

impl Doubt {
    /// Adds a row, with a column that holds another value.
    pub fn add(&mut self, key: impl FnOnce() -> String, column: &str) {
        self.rows += 1;
        if self.keys.len() < NAMED {
            self.keys.push(key());
        }
        if !self.columns.contains(column) {
            self.columns.insert(column.to_string());
        }
    }
}

/// What tables have in doubt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubts {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub in_doubt: BTreeMap<TableName, Doubt>,
    /// Tables of which only the last rows were held against the snapshot.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unread: BTreeSet<TableName>,
}

impl Doubts {
    /// Notes what a look at a table found; several looks at one are mostly at the same rows.
    pub fn note(&mut self, table: &TableName, found: &Doubt) {
        if found.rows > self.in_doubt.get(table).map_or(0, |known| known.rows) {
            self.in_doubt.insert(table.clone(), found.clone());
        }
    }

    pub fn merge(&mut self, other: &Self) {
        other.in_doubt.iter().for_each(|(table, found)| self.note(table, found));
        self.unread.extend(other.unread.iter().cloned());
    }
}

/// What a merge did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedBack {
    pub merged: Vec<Merged>,
    /// The first of them; all are in `side_table`.
    pub conflicts: Vec<Conflict>,
    /// Where all conflicts are kept in the database; none when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side_table: Option<TableName>,
    /// The triggers of tables into which something was put, which did not fire: what each would have done was not done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<String>,
    /// Full-text indexes of these tables that could not be built anew, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<(TableName, String)>,
    /// What followed keys that were put back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followed: Vec<Followed>,
    /// How many values were not put back in each table because other rows may have the keys now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub retaken: BTreeMap<TableName, u64>,
    /// How many rows of each table users gave another key since, under which values were merged into them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub found_anew: BTreeMap<TableName, u64>,
    /// Tables whose keys can be given out again and of which no column says whether that happened.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub untold: BTreeSet<TableName>,
    /// Rows that were taken for those of then by their key alone.
    #[serde(flatten)]
    pub doubts: Doubts,
}

impl MergedBack {
    /// Returns how many values and rows were put back.
    pub fn count(&self) -> u64 {
        self.merged.iter().map(|merged| merged.merged).sum()
    }

    /// Returns the tables into which something was put.
    pub fn written(&self) -> BTreeSet<TableName> {
        let put = self.merged.iter().filter(|merged| merged.merged > 0);
        put.map(|merged| merged.table.clone()).collect()
    }

    /// Returns how many conflicts there are.
    pub fn conflicts(&self) -> u64 {
        self.merged.iter().map(|merged| merged.conflicts).sum()
    }
}
