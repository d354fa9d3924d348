//! What became of each table and column.

use super::pairs::{self, keys_match, same};
use super::{Answers, Fate, Seen, TableEntry};
use crate::catalog::TableName;
use crate::fingerprint::{Fingerprint, TableFingerprint};
use std::collections::BTreeMap;

/// The fingerprints of before and after, and what was asked about them.
pub(super) struct Look<'a> {
    seen: &'a Seen<'a>,
    before: &'a Fingerprint,
    after: &'a Fingerprint,
    paired: BTreeMap<TableName, TableName>,
}

impl<'a> Look<'a> {
    pub(super) fn new(seen: &'a Seen<'a>) -> Self {
        let (before, after) = (&seen.before.fingerprint, &seen.there.fingerprint);
        let mut paired = pairs::tables(before, after);
        if !seen.rows_seen {
            // Empty tables are all alike.
            paired.retain(|old, new| old == new);
        }
        Self { seen, before, after, paired }
    }

    /// Returns the table that holds the rows of one of before.
    pub(super) fn place(&self, name: &TableName) -> Option<&TableName> {
        self.paired.get(name)
    }

    /// Returns every table that is not a migration tool's own, of before and then of after.
    pub(super) fn tables(&self) -> Vec<TableEntry> {
        let own = self.before.tables.iter().filter(|(name, _)| !name.is_bookkeeping());
        let mut entries: Vec<TableEntry> = own.map(|(name, old)| self.table(name, old)).collect();
        let fresh =
            self.after.tables.iter().filter(|(name, _)| {
                !name.is_bookkeeping() && !self.paired.values().any(|taken| taken == *name)
            });
        entries.extend(fresh.map(|(name, new)| self.added(name, new)));
        entries
    }

    fn added(&self, name: &TableName, new: &TableFingerprint) -> TableEntry {
        let columns = new.columns.keys().map(|column| (column.clone(), self.new_column(name, new, column)));
        TableEntry {
            table: name.clone(),
            fate: Fate::Added { copy_of: None },
            rows_before: None,
            rows_after: Some(new.rows),
            inserted: new.rows,
            deleted: 0,
            changed: 0,
            rows_back: true,
            columns: columns.collect(),
        }
    }

    fn table(&self, name: &TableName, old: &TableFingerprint) -> TableEntry {
        let place = self.paired.get(name);
        let new = place.and_then(|place| Some((place, self.after.tables.get(place)?)));
        let rows = self.seen.rows.get(name).cloned().unwrap_or_default();
        let mut columns: BTreeMap<String, Fate> =
            old.columns.keys().map(|column| (column.clone(), self.column(name, old, new, column))).collect();
        let fate = match new {
            Some((place, _)) if place == name => Fate::Kept,
            Some((place, _)) => Fate::Moved { to: place.to_string() },
            None => self.gone(name, old, &columns),
        };
        if let Some((place, new)) = new {
            let arrived = |column: &String| {
                let full = full(place, column);
                columns.values().any(|fate| matches!(fate, Fate::Moved { to } if *to == full))
            };
            let fresh = new.columns.keys().filter(|column| !old.columns.contains_key(*column));
            let fresh: Vec<&String> = fresh.filter(|column| !arrived(column)).collect();
            for column in fresh {
                columns.insert(column.clone(), self.new_column(place, new, column));
            }
        }
        let deleted = if new.is_none() { old.rows } else { rows.deleted };
        TableEntry {
            table: name.clone(),
            fate,
            rows_before: Some(old.rows),
            rows_after: new.map(|(_, new)| new.rows),
            inserted: rows.inserted,
            deleted,
            changed: rows.changed,
            rows_back: deleted == 0 || self.rows_are_back(name),
            columns,
        }
    }

    /// A table that is nowhere as a whole: its columns may all be somewhere.
    fn gone(&self, name: &TableName, old: &TableFingerprint, columns: &BTreeMap<String, Fate>) -> Fate {
        let places = columns.values().map(|fate| match fate {
            Fate::Moved { to } => Some(to.clone()),
            _ => None,
        });
        match places.collect::<Option<Vec<String>>>() {
            Some(places) if !places.is_empty() => Fate::Moved { to: places.join(", ") },
            _ => {
                let back =
                    |fate: &Fate| matches!(fate, Fate::Moved { .. } | Fate::Transformed { back: true, .. });
                let count = self.seen.rows_seen.then_some(old.rows);
                match columns.values().all(back) && self.rows_are_back(name) && self.seen.rows_seen {
                    true => Fate::Transformed { count, back: true, held_in: None },
                    false => Fate::Lost { count },
                }
            }
        }
    }

    fn column(
        &self,
        name: &TableName,
        old: &TableFingerprint,
        new: Option<(&TableName, &TableFingerprint)>,
        column: &str,
    ) -> Fate {
        let differing = |other: &str| self.differing(name, old, new, column, other);
        let stays = new.is_some_and(|(_, table)| table.columns.contains_key(column));
        if stays && differing(column) == Some(0) {
            return Fate::Kept;
        }
        if !self.seen.rows_seen {
            return Fate::Lost { count: None };
        }
        let elsewhere = self.elsewhere(old, column).or_else(|| {
            let (place, table) = new?;
            let fresh = table.columns.keys().filter(|other| !old.columns.contains_key(*other));
            let mut fresh = fresh.filter(|other| self.was_counted(name, column, other));
            fresh.find(|other| differing(other) == Some(0)).map(|other| full(place, other))
        });
        let back = self.is_back(name, column);
        if stays {
            return Fate::Transformed { count: differing(column), back, held_in: elsewhere };
        }
        let count = self.held(name, old, column);
        match elsewhere {
            Some(to) => Fate::Moved { to },
            None if back && count != Some(0) => Fate::Transformed { count, back, held_in: None },
            None => Fate::Lost { count },
        }
    }

    /// Returns how many values of two columns differ; `None` when it cannot be told.
    fn differing(
        &self,
        name: &TableName,
        old: &TableFingerprint,
        new: Option<(&TableName, &TableFingerprint)>,
        column: &str,
        other: &str,
    ) -> Option<u64> {
        let (_, new) = new?;
        if same(old, column, new, other) || old.rows == 0 {
            return Some(0);
        }
        let rows = self.seen.rows.get(name)?;
        let pair = (column.to_string(), other.to_string());
        match rows.columns.get(&pair) {
            Some(count) => Some(*count),
            // Compared whole, and no row differs.
            None if rows.columns.is_empty() && rows.changed == 0 && column == other => Some(0),
            None => None,
        }
    }

    /// Tells whether two columns were compared in at least one row that is on both sides.
    fn was_counted(&self, name: &TableName, column: &str, other: &str) -> bool {
        let pair = (column.to_string(), other.to_string());
        let both = self.before.tables.get(name).map_or(0, |old| old.rows);
        self.seen.rows.get(name).is_some_and(|rows| rows.columns.contains_key(&pair) && rows.deleted < both)
    }

    /// Returns the column that the migration made or filled and that holds the same values under the same keys. One
    /// that held them before is no witness: two columns full of zeros are not copies of each other.
    fn elsewhere(&self, old: &TableFingerprint, column: &str) -> Option<String> {
        if old.rows == 0 {
            return None;
        }
        let places = self.after.tables.iter().filter(|(place, _)| !place.is_bookkeeping());
        let mut columns =
            places.flat_map(|(place, new)| new.columns.keys().map(move |other| (place, new, other)));
        let found = columns.find(|(place, new, other)| {
            let was = self.before.tables.get(*place).and_then(|was| was.columns.get(*other));
            same(old, column, new, other) && was != new.columns.get(*other)
        });
        found.map(|(place, _, other)| full(place, other))
    }

    fn new_column(&self, place: &TableName, new: &TableFingerprint, column: &str) -> Fate {
        let sources = self.before.tables.iter().filter(|(name, _)| !name.is_bookkeeping() && new.rows > 0);
        let mut sources =
            sources.flat_map(|(name, old)| old.columns.keys().map(move |from| (name, old, from)));
        let source = sources.find(|(_, old, from)| same(old, from, new, column));
        let copy_of =
            source.map(|(name, _, from)| full(name, from)).filter(|from| *from != full(place, column));
        Fate::Added { copy_of }
    }

    fn held(&self, name: &TableName, old: &TableFingerprint, column: &str) -> Option<u64> {
        if old.rows == 0 {
            return Some(0);
        }
        self.seen.rows.get(name).and_then(|rows| rows.held.get(column).copied())
    }

    /// Tells whether the way back brings a column's values back.
    pub(super) fn is_back(&self, name: &TableName, column: &str) -> bool {
        self.differing_after_back(name, column) == Some(0) && self.rows_are_back(name)
    }

    /// Returns how many values of a column differ after the way back, in rows that are there; `None` when the column is
    /// not there or nobody can tell.
    pub(super) fn differing_after_back(&self, name: &TableName, column: &str) -> Option<u64> {
        let (back, answers) = self.seen.back?;
        let (old, new) = (self.before.tables.get(name)?, back.fingerprint.tables.get(name)?);
        new.columns.get(column)?;
        if same(old, column, new, column) || old.rows == 0 {
            return Some(0);
        }
        let rows = answers.get(name)?;
        let pair = (column.to_string(), column.to_string());
        let whole = rows.columns.is_empty() && rows.changed == 0 && rows.deleted == 0;
        rows.columns.get(&pair).copied().or(whole.then_some(0))
    }

    /// Tells whether every row is there after the way back.
    pub(super) fn rows_are_back(&self, name: &TableName) -> bool {
        missing_after_back(
            self.before,
            self.seen.back.map(|(back, answers)| (&back.fingerprint, answers)),
            name,
        ) == Some(0)
    }
}

/// Returns how many rows of a table are missing after the way back; `None` when the table is, or there was no way back.
pub(super) fn missing_after_back(
    before: &Fingerprint,
    back: Option<(&Fingerprint, &Answers)>,
    name: &TableName,
) -> Option<u64> {
    let (back, answers) = back?;
    let (old, new) = (before.tables.get(name)?, back.tables.get(name)?);
    if old.rows == 0 || keys_match(old, new) {
        return Some(0);
    }
    Some(answers.get(name).map_or(old.rows, |rows| rows.deleted))
}

/// Returns the name of a column with its table.
pub(super) fn full(table: &TableName, column: &str) -> String {
    format!("{table}.{column}")
}
