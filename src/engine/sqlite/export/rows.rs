//! From the present row of a statement to an export and its digest, in one look at each value.

use super::super::raw::Cursor;
use super::super::scan::Row;
use super::plan::Plan;
use crate::engine::{Error, Part, Value};
use crate::fingerprint::TableHasher;

/// Hands rows over and hashes them.
pub(super) struct Rows<'p> {
    plan: &'p Plan,
    /// Where the first column of the export is in the statement.
    first: i32,
    count: i32,
    /// Whether the columns stand in the order of their names already.
    is_sorted: bool,
    row: Row,
    utf8: Vec<u8>,
    hasher: TableHasher,
}

impl<'p> Rows<'p> {
    pub(super) fn new(plan: &'p Plan, first: i32) -> Self {
        Self {
            plan,
            first,
            // SQLite has at most 32767 columns.
            count: i32::try_from(plan.shape.columns.len()).unwrap_or(i32::MAX),
            is_sorted: plan.by_name.iter().enumerate().all(|(place, column)| place == *column),
            row: Row::default(),
            utf8: Vec::new(),
            hasher: TableHasher::new(0),
        }
    }

    /// Adds the present row.
    pub(super) fn add(&mut self, cursor: &Cursor<'_>, part: &mut dyn Part) -> Result<(), Error> {
        self.row.clear();
        for column in self.first..self.first + self.count {
            let value = cursor.value(column);
            self.row.push(value);
            match value {
                Value::Text(text) if self.plan.encoding.is_wide() => {
                    self.plan.encoding.to_utf8(text, &mut self.utf8)?;
                    part.value(Value::Text(&self.utf8));
                }
                value => part.value(value),
            }
        }
        part.end_row();
        if self.is_sorted {
            self.hasher.add_row(self.row.bytes(), &[], std::iter::empty());
        } else {
            self.row.join_key(&self.plan.by_name);
            self.hasher.add_row(self.row.key(), &[], std::iter::empty());
        }
        Ok(())
    }

    pub(super) fn finish(self) -> TableHasher {
        self.hasher
    }
}
