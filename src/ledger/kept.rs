//! What is to be kept of a table, and of its columns: what an engine is told.

use super::{SalvageKind, Tree};
use crate::catalog::TableName;
use std::collections::BTreeMap;

/// What is to be kept of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    pub what: SalvageKind,
    /// By its name before.
    pub table: TableName,
    /// The table that its rows are compared with, in the database as it is now. `None`: with nothing, and then all rows
    /// are kept, of [`SalvageKind::Values`] with a key those in which a value counts as lost.
    pub now: Option<TableName>,
    /// The columns that identify a row, before and now; empty when nothing does.
    pub key: Vec<(String, String)>,
    /// Without a key: the columns, of the same name before and now, by which rows are told apart.
    pub identity: Vec<String>,
    /// Of whole rows without a key: the columns in which a row of now may be one of these, changed; empty for all.
    pub alike: Vec<String>,
    /// Whether it may be one as soon as it is alike in any one of them.
    pub in_any: bool,
    /// The columns to keep, in the order of the table.
    pub columns: Vec<Kept>,
    /// Generated columns, which nothing could load.
    pub left_out: Vec<String>,
    /// The types of all columns that can be kept, by name.
    pub types: BTreeMap<String, String>,
    /// Whether the database is now at the end of a way back: only then is what stands there a base for merging.
    pub returned: bool,
    /// Where its rows may be as well; none for a table that is no part of a tree.
    pub tree: Option<Tree>,
    /// Whether some of them were found there, so that all are compared with those of the whole tree.
    pub in_tree: bool,
}

/// One column to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub name: String,
    /// Whether it is there now and its values are compared; otherwise those that are not NULL count as lost.
    pub compared: bool,
    /// Whether what is there now was made by the way back, for each row anew: then all that are not NULL count as lost,
    /// whatever comparing says, and NULL where it is another value now.
    pub made_anew: bool,
    /// Whether NULL counts as lost as well where nothing is compared: something was, or would be, put in its place.
    pub nulls: bool,
}

impl Kept {
    pub(super) fn new(name: String, compared: bool) -> Self {
        Self { name, compared, made_anew: false, nulls: false }
    }

    /// Tells whether a value that is not NULL is lost without being compared.
    pub fn is_lost(&self) -> bool {
        self.made_anew || !self.compared
    }

    /// Returns the condition that the value of a row is to be kept, of three: that it is not NULL, that it differs from
    /// what is there now, and one that is always true.
    pub fn condition(&self, held: String, differs: impl FnOnce() -> String, always: &str) -> String {
        match (self.compared, self.made_anew) {
            (false, _) if self.nulls => always.to_string(),
            (false, _) => held,
            (true, false) => differs(),
            // A default fills what was NULL.
            (true, true) => format!("({held} OR {})", differs()),
        }
    }
}

impl Keep {
    /// Returns the name of the export: the table and what of it.
    pub fn name(&self) -> String {
        format!("{}.{}", self.table, self.what.word())
    }

    /// Tells whether some of its rows may not be gone but changed: a row that came holds in these columns what one of them held.
    /// Where a row of now is told by the same columns as one of then, a row that came is another one.
    pub fn is_in_doubt(&self) -> bool {
        let is_whole_without_key = self.what == SalvageKind::Rows && self.key.is_empty();
        is_whole_without_key && self.now.is_some() && !self.alike.is_empty() && self.alike != self.identity
    }

    /// Returns what to keep when nothing is known of the present state: all of it.
    pub fn uncompared(mut self) -> Self {
        self.now = None;
        self.in_tree = false;
        self.returned = false;
        self.columns.iter_mut().for_each(|column| column.compared = false);
        self
    }

    /// Returns the same where the key is one on one side only: its columns tell rows apart as any others would that stayed
    /// the same, and by the time of a merge they may do so no longer.
    pub(super) fn without_key(self) -> Self {
        let told: Vec<String> = self.key.iter().map(|(old, _)| old.clone()).collect();
        let alike = if self.what == SalvageKind::Rows { told.clone() } else { Vec::new() };
        Self { key: Vec::new(), identity: told, alike, ..self }
    }

    /// Returns the type of a column; empty where there is none.
    pub fn type_of(&self, column: &str) -> String {
        self.types.get(column).cloned().unwrap_or_default()
    }
}
