//! What became of each table and column.

use super::pairs::{self, keys_match, same};
use super::{Answers, Fate, Retyped, RowChanges, Seen, TableEntry, Tree};
use crate::catalog::TableName;
use crate::fingerprint::{Fingerprint, Inventory, TableFingerprint};
use crate::history::Direction;
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

    /// Returns the same with new tables that hold the rows of old ones, besides those that digests tell.
    pub(super) fn with(mut self, places: BTreeMap<TableName, TableName>) -> Self {
        self.paired.extend(places);
        self
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
            moved: 0,
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
            None if rows.moved > 0 && rows.deleted == 0 => {
                let (now, before) = (&self.seen.there.catalog, &self.seen.before.catalog);
                Fate::Moved { to: Tree::root(now, before, name).to_string() }
            }
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
        let deleted = if new.is_none() && rows.moved == 0 { old.rows } else { rows.deleted };
        TableEntry {
            table: name.clone(),
            fate,
            rows_before: Some(old.rows),
            rows_after: new.map(|(_, new)| new.rows),
            inserted: rows.inserted,
            deleted,
            changed: rows.changed,
            moved: rows.moved,
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
            // One column alone may be like another one by chance, such as the keys of two tables.
            Some(places) if places.len() > 1 => Fate::Moved { to: places.join(", ") },
            _ => {
                let back = |fate: &Fate| {
                    matches!(fate, Fate::Kept | Fate::Moved { .. } | Fate::Transformed { back: true, .. })
                };
                let moved = self.seen.rows.get(name).map_or(0, |rows| rows.moved);
                let count = self.seen.rows_seen.then_some(old.rows.saturating_sub(moved));
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
        let stays = match new {
            Some((_, table)) => table.columns.contains_key(column),
            None => in_tree(self.seen.rows.get(name), column).is_some(),
        };
        let looks_kept = stays && differing(column) == Some(0);
        let narrowed = self.lost_by_its_type(name, column).filter(|_| looks_kept);
        if looks_kept && narrowed.is_none() {
            return Fate::Kept;
        }
        if !self.seen.rows_seen {
            return Fate::Lost { count: None };
        }
        let back = self.is_back(name, column);
        let elsewhere = self.held_elsewhere(name, column, self.after, new, self.seen.rows);
        // Any column of one value is like any other of that value: that it went there is believed only if it comes back.
        let elsewhere = elsewhere.filter(|_| back || !self.was_uniform(name, column));
        if stays {
            let count = narrowed.unwrap_or_else(|| differing(column));
            return Fate::Transformed { count, back, held_in: elsewhere };
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
        let Some((_, new)) = new else {
            return in_tree(self.seen.rows.get(name), column).filter(|_| column == other);
        };
        if same(old, column, new, other) || old.rows == 0 {
            return Some(0);
        }
        counted(self.seen.rows.get(name)?, column, other)
    }

    /// Returns where a column's values are as well, under the same keys: found by digests, or by comparing rows with the
    /// table that holds the rows now.
    fn held_elsewhere(
        &self,
        name: &TableName,
        column: &str,
        after: &Fingerprint,
        now: Option<(&TableName, &TableFingerprint)>,
        answers: &Answers,
    ) -> Option<String> {
        let old = self.before.tables.get(name)?;
        if let Some((place, other)) = pairs::elsewhere(self.before, after, old, column) {
            return Some(full(place, other));
        }
        let ((place, table), rows) = (now?, answers.get(name)?);
        if table.columns.contains_key(column) {
            return None;
        }
        // In at least one row that is on both sides.
        let was_compared = |other: &&String| {
            rows.columns.contains_key(&(column.to_string(), other.to_string())) && rows.deleted < old.rows
        };
        let mut fresh = table.columns.keys().filter(|other| !old.columns.contains_key(*other));
        let found = fresh.find(|other| was_compared(other) && counted(rows, column, other) == Some(0));
        found.map(|other| full(place, other))
    }

    /// Tells whether the whole table held one value in a column, as far as that was asked.
    fn was_uniform(&self, name: &TableName, column: &str) -> bool {
        self.seen.rows.get(name).is_some_and(|rows| rows.uniform.contains(column))
    }

    /// Tells whether a column that went elsewhere is lost all the same: there was a way back, and neither the column nor
    /// any other one holds its values at the end of it. Of a downgrade nothing is: its way back is the upgrade, which may write
    /// over what it likes, and says so when it comes to that.
    pub(super) fn is_lost_on_the_way_back(&self, name: &TableName, column: &str) -> bool {
        let is_asked = self.seen.rows_seen && self.seen.direction == Direction::Up;
        let Some((back, answers)) = self.seen.back.filter(|_| is_asked) else { return false };
        if self.differing_after_back(name, column) == Some(0) {
            return false;
        }
        let back = &back.fingerprint;
        let now = self.place_after_back(name);
        let now = now.as_ref().and_then(|now| back.tables.get_key_value(now));
        self.was_uniform(name, column) || self.held_elsewhere(name, column, back, now, answers).is_none()
    }

    /// Returns how many values, if that can be told, a column that got another type does not have again after the way back,
    /// or, without one, are others in the type that it had; none where all of them came home. At the end of the way there
    /// they may read as before: 0.1 in four bytes is another number than in eight, and both are written 0.1.
    fn lost_by_its_type(&self, name: &TableName, column: &str) -> Option<Option<u64>> {
        self.retyped(name, column).filter(|_| self.seen.rows_seen)?;
        if self.seen.back.is_none() {
            return self.seen.rows.get(name)?.turned.get(column).copied().map(Some);
        }
        match self.differing_after_back(name, column) {
            // Rows are found by their key: one whose key is another one is missing.
            Some(0) if self.is_in_key(name, column) => {
                self.missing_after_back(name).filter(|missing| *missing > 0).map(Some)
            }
            Some(0) => None,
            count => Some(count),
        }
    }

    /// Tells whether a column is one of those by which the rows of before are found.
    pub(super) fn is_in_key(&self, name: &TableName, column: &str) -> bool {
        self.before.tables.get(name).is_some_and(|table| table.key.iter().any(|part| part == column))
    }

    /// Returns both declared types of a column that stays and has another one at the end of the way there.
    pub(super) fn retyped(&self, name: &TableName, column: &str) -> Option<Retyped> {
        let declared = |inventory: &Inventory, table: &TableName| {
            let columns = &inventory.catalog.tables.get(table)?.columns;
            columns.iter().find(|found| found.name == column).map(|found| found.type_name.clone())
        };
        let before = declared(self.seen.before, name)?;
        let after = declared(self.seen.there, self.place(name)?)?;
        (before != after).then_some(Retyped { before, after })
    }

    /// Tells whether a column was another one, or of another type, at the end of the way there.
    pub(super) fn was_replaced(&self, name: &TableName, column: &str) -> bool {
        let there = self.place(name).and_then(|place| self.after.tables.get(place));
        there.is_none_or(|there| !there.columns.contains_key(column)) || self.retyped(name, column).is_some()
    }

    /// Tells whether a column was another one, or of another type, at the end of the way there, and nothing held what it had held.
    pub(super) fn is_held_nowhere(&self, name: &TableName, column: &str) -> bool {
        let Some(old) = self.before.tables.get(name) else { return false };
        let now = self.place(name).and_then(|place| Some((place, self.after.tables.get(place)?)));
        let is_there = now.is_some_and(|(_, new)| same(old, column, new, column));
        let elsewhere = || self.held_elsewhere(name, column, self.after, now, self.seen.rows);
        self.was_replaced(name, column) && !is_there && elsewhere().is_none()
    }

    /// Returns the table that holds the rows of one of before at the end of the way back.
    pub(super) fn place_after_back(&self, name: &TableName) -> Option<TableName> {
        let (back, _) = self.seen.back?;
        pairs::tables(self.before, &back.fingerprint).remove(name)
    }

    /// Returns how many values a column held that are not NULL.
    pub(super) fn held_in(&self, name: &TableName, column: &str) -> Option<u64> {
        self.held(name, self.before.tables.get(name)?, column)
    }

    fn new_column(&self, place: &TableName, new: &TableFingerprint, column: &str) -> Fate {
        let sources = self.before.tables.iter().filter(|(name, _)| !name.is_bookkeeping() && new.rows > 0);
        let mut sources =
            sources.flat_map(|(name, old)| old.columns.keys().map(move |from| (name, old, from)));
        let source = sources.find(|(_, old, from)| same(old, from, new, column));
        let copy_of =
            source.map(|(name, _, from)| full(name, from)).filter(|from| *from != full(place, column));
        Fate::Added { copy_of: copy_of.or_else(|| self.copied(place, column)) }
    }

    /// Returns the column of its own table that a new one is a copy of, as far as rows were compared: in each that is on both sides, and
    /// these do not all hold one value.
    fn copied(&self, place: &TableName, column: &str) -> Option<String> {
        let (name, _) = self.paired.iter().find(|(_, now)| *now == place)?;
        let (old, rows) = (self.before.tables.get(name)?, self.seen.rows.get(name)?);
        let is_copy = |from: &&String| {
            let pair = ((*from).clone(), column.to_string());
            rows.columns.get(&pair) == Some(&0) && !rows.uniform.contains(*from)
        };
        let from = old.columns.keys().filter(|_| rows.deleted < old.rows).find(is_copy)?;
        Some(full(name, from))
    }

    fn held(&self, name: &TableName, old: &TableFingerprint, column: &str) -> Option<u64> {
        if old.rows == 0 {
            return Some(0);
        }
        self.seen.rows.get(name).and_then(|rows| rows.held.get(column).copied())
    }

    /// Tells whether the way back brings a column's values back.
    pub(super) fn is_back(&self, name: &TableName, column: &str) -> bool {
        // Values of rows that are gone for good are lost with them; a key is compared by being found.
        let is_compared = || !self.is_in_key(name, column) && self.some_rows_are_back(name);
        self.differing_after_back(name, column) == Some(0)
            && (self.rows_are_back(name) || is_compared())
            && !self.is_made_anew(name, column)
    }

    /// Tells whether the way back makes a column that was gone, and gives its rows values of their own: that they are the
    /// old ones on the copy is luck, and where its rows lie otherwise they are not. One whose values were elsewhere
    /// meanwhile was renamed.
    pub(super) fn is_made_anew(&self, name: &TableName, column: &str) -> bool {
        let Some((back, _)) = self.seen.back.filter(|_| self.seen.rows_seen) else { return false };
        let in_tree = || {
            let tree = Tree::of((self.seen.before, back), name, None)?;
            Some(tree.now.iter().find(|member| member.columns.contains(column))?.table.clone())
        };
        let made = || {
            let table = back.catalog.tables.get(&self.place_after_back(name).or_else(in_tree)?)?;
            let found = table.columns.iter().find(|found| found.name == column)?;
            Some(found.makes_its_own(table, back.engine))
        };
        self.is_gone_meanwhile(name, column) && made() == Some(true)
    }

    /// Tells whether a column was gone at the end of the way there, from a table whose rows were not, and nothing held its values.
    pub(super) fn is_gone_meanwhile(&self, name: &TableName, column: &str) -> bool {
        let now = self.paired.get(name).and_then(|place| Some((place, self.after.tables.get(place)?)));
        let goes = match now {
            Some((_, table)) => !table.columns.contains_key(column),
            None => {
                let moved = self.seen.rows.get(name).filter(|rows| rows.moved > 0);
                moved.is_some() && in_tree(moved, column).is_none()
            }
        };
        goes && self.held_elsewhere(name, column, self.after, now, self.seen.rows).is_none()
    }

    /// Returns how many values of a column differ after the way back, in rows that are there; `None` when the column is
    /// not there or nobody can tell.
    pub(super) fn differing_after_back(&self, name: &TableName, column: &str) -> Option<u64> {
        let (back, answers) = self.seen.back?;
        let old = self.before.tables.get(name)?;
        let Some(new) = back.fingerprint.tables.get(name) else {
            return in_tree(answers.get(name), column);
        };
        new.columns.get(column)?;
        if let Some(count) = answers.get(name).and_then(|rows| rows.counted_otherwise(column)) {
            return Some(count);
        }
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
        self.missing_after_back(name) == Some(0)
    }

    /// Tells whether there is a row after the way back in which values could be compared.
    fn some_rows_are_back(&self, name: &TableName) -> bool {
        let rows = self.before.tables.get(name).map_or(0, |old| old.rows);
        self.missing_after_back(name).is_some_and(|missing| missing < rows)
    }

    /// Returns how many rows of a table are missing after the way back; `None` when the table is, or there was no way back.
    pub(super) fn missing_after_back(&self, name: &TableName) -> Option<u64> {
        let back = self.seen.back.map(|(back, answers)| (&back.fingerprint, answers));
        missing_after_back(self.before, back, name)
    }
}

/// Returns how many rows of a table are missing after the way back; `None` when the table is, or there was no way back.
pub(super) fn missing_after_back(
    before: &Fingerprint,
    back: Option<(&Fingerprint, &Answers)>,
    name: &TableName,
) -> Option<u64> {
    let (back, answers) = back?;
    let old = before.tables.get(name)?;
    let Some(new) = back.tables.get(name) else {
        return answers.get(name).filter(|rows| rows.moved > 0).map(|rows| rows.deleted);
    };
    if old.rows == 0 || keys_match(old, new) {
        return Some(0);
    }
    Some(answers.get(name).map_or(old.rows, |rows| rows.deleted))
}

/// Returns how many values of two columns were seen to differ; `None` when it cannot be told.
fn counted(rows: &RowChanges, column: &str, other: &str) -> Option<u64> {
    let pair = (column.to_string(), other.to_string());
    // Compared whole, and no row differs.
    let whole = rows.columns.is_empty() && rows.changed == 0 && column == other;
    rows.columns.get(&pair).copied().or(whole.then_some(0))
}

/// Returns how many values of a column differ in rows of a table that is gone, where these are in others of its tree.
fn in_tree(rows: Option<&RowChanges>, column: &str) -> Option<u64> {
    counted(rows.filter(|rows| rows.moved > 0)?, column, column)
}

/// Returns the name of a column with its table.
pub(super) fn full(table: &TableName, column: &str) -> String {
    format!("{table}.{column}")
}
