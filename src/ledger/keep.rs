//! What of each table must be kept, because the way back does not bring it back.
//!
//! Promises that a value, row or table that is not proven to be the same after there and back is in one of the keeps;
//! keeping more than is lost costs room, keeping less costs data.

use super::fates::Look;
use super::kept::{Keep, Kept};
use super::pairs::{self, key_pairs, keys_match, same};
use super::{Answers, Fate, ROWID, RowChanges, SalvageKind, Seen, TableEntry, Tree};
use crate::catalog::{Table, TableKind, TableName};
use crate::fingerprint::{Inventory, TableFingerprint};
use std::collections::{BTreeMap, BTreeSet};

/// Returns what must be kept of a migration: what differs between the beginning and the end of there and back, or,
/// without a way back, what is gone or overwritten at the end of the way there.
pub fn keeps(
    before: &Inventory,
    there: (&Inventory, &Answers),
    back: Option<(&Inventory, &Answers)>,
) -> Vec<Keep> {
    let found = match back {
        Some((back, answers)) => after_back(before, there, (back, answers)),
        None => without_back(before, there.0, there.1),
    };
    let (now, answers) = back.unwrap_or(there);
    let with_tree = |keep: Keep| {
        let tree = Tree::of((before, now), &keep.table, keep.now.as_ref());
        let moved = answers.get(&keep.table).is_some_and(|rows| rows.moved > 0);
        Keep { in_tree: moved && tree.is_some(), tree, ..keep }
    };
    found.into_iter().map(with_tree).chain(virtual_tables(before, now)).collect()
}

/// The table whose rows are looked at.
struct Of<'a> {
    name: &'a TableName,
    old: &'a TableFingerprint,
    stored: Vec<String>,
    left_out: Vec<String>,
    types: BTreeMap<String, String>,
    /// The columns that can be NULL and have a default, with which whoever makes one again fills its rows.
    filled: BTreeSet<String>,
    /// The primary key that can be NULL.
    nullable: Vec<String>,
}

impl<'a> Of<'a> {
    /// Returns the table unless its rows are held elsewhere.
    fn new(before: &'a Inventory, name: &'a TableName, old: &'a TableFingerprint) -> Option<Self> {
        let table = before.catalog.tables.get(name);
        // A virtual table in a fingerprint stands for its shadow tables.
        let has_rows = |table: &Table| matches!(table.kind, TableKind::Ordinary | TableKind::Virtual);
        if name.is_bookkeeping() || table.is_some_and(|table| !has_rows(table)) {
            return None;
        }
        let (stored, left_out, types) = columns(table, old);
        let columns = table.into_iter().flat_map(|table| &table.columns);
        let filled = columns.filter(|column| column.default.is_some() && !column.not_null);
        let filled = filled.map(|column| column.name.clone()).collect();
        let nullable = table.map(|table| table.nullable_key.clone()).unwrap_or_default();
        Some(Self { name, old, stored, left_out, types, filled, nullable })
    }

    /// Returns the key as far as it can be exported and is the same in both.
    fn usable(&self, key: Vec<(String, String)>, is_same: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let fits = |(old, _): &(String, String)| self.stored.contains(old) && is_same(old);
        if key.iter().all(fits) { key } else { Vec::new() }
    }

    /// Returns the columns by which rows were found although they are the key of one side only.
    fn found_by(&self, rows: Option<&RowChanges>, is_same: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let found_by = rows.into_iter().flat_map(|rows| &rows.found_by);
        self.usable(found_by.map(|part| (part.clone(), part.clone())).collect(), is_same)
    }

    /// Tells whether the columns by which rows were found are a primary key on both sides, and so will tell them apart at the
    /// time of a merge as well: that one can be NULL, and was so nowhere, makes no difference to any of these rows.
    fn is_primary_key(&self, told: &[(String, String)], now: Option<&Table>) -> bool {
        let told = || told.iter().map(|(name, _)| name);
        told().len() > 0
            && told().eq(&self.nullable)
            && now.is_some_and(|now| now.nullable_key == self.nullable)
    }

    /// Returns all rows of a table that is gone: by a primary key that can be NULL, where it was so nowhere.
    fn whole(&self, rows: Option<&RowChanges>) -> Keep {
        let alike = rows.map(|rows| rows.may_be_in.clone()).unwrap_or_default();
        let plain = Keep { in_any: !alike.is_empty(), alike, ..self.keep(SalvageKind::Rows) };
        let held = |part: &String| rows.and_then(|rows| rows.held.get(part)) == Some(&self.old.rows);
        if !plain.key.is_empty() || !self.nullable.iter().all(held) {
            return plain;
        }
        let key =
            self.usable(self.nullable.iter().map(|part| (part.clone(), part.clone())).collect(), |_| true);
        Keep { key, ..plain }
    }

    fn keep(&self, what: SalvageKind) -> Keep {
        let columns = self.stored.iter().map(|name| Kept::new(name.clone(), false));
        let key =
            self.usable(self.old.key.iter().map(|part| (part.clone(), part.clone())).collect(), |_| true);
        Keep {
            what,
            table: self.name.clone(),
            now: None,
            key,
            identity: Vec::new(),
            alike: Vec::new(),
            in_any: false,
            columns: columns.collect(),
            left_out: if what == SalvageKind::Rows { self.left_out.clone() } else { Vec::new() },
            types: self.types.clone(),
            returned: false,
            tree: None,
            in_tree: false,
        }
    }
}

/// Returns the columns that a CSV can hold, those that it leaves out, and the types.
fn columns(
    table: Option<&Table>,
    old: &TableFingerprint,
) -> (Vec<String>, Vec<String>, BTreeMap<String, String>) {
    let Some(table) = table else {
        return (old.columns.keys().cloned().collect(), Vec::new(), BTreeMap::new());
    };
    let (stored, generated): (Vec<_>, Vec<_>) =
        table.columns.iter().partition(|column| column.generated.is_none());
    let types = stored.iter().map(|column| (column.name.clone(), column.type_name.clone())).collect();
    let names = |columns: Vec<&crate::catalog::Column>| {
        columns.into_iter().map(|column| column.name.clone()).collect::<Vec<_>>()
    };
    let mut stored = names(stored);
    if table.kind == TableKind::Virtual && old.columns.contains_key(ROWID) {
        stored.insert(0, ROWID.to_string());
    }
    (stored, names(generated), types)
}

fn after_back(
    before: &Inventory,
    there: (&Inventory, &Answers),
    (back, answers): (&Inventory, &Answers),
) -> Vec<Keep> {
    let seen = seen(before, there, Some((back, answers)));
    let look = Look::new(&seen);
    let paired = pairs::tables(&before.fingerprint, &back.fingerprint);
    let held = before.fingerprint.tables.iter().filter(|(_, old)| old.rows > 0);
    let tables = held.filter_map(|(name, old)| Of::new(before, name, old));
    let each = tables.flat_map(|of| {
        let now = paired.get(of.name).and_then(|now| Some((now, back.fingerprint.tables.get(now)?)));
        let rows = answers.get(of.name);
        let is_by_chance = |column: &String| {
            of.old.key.contains(column) && rows.is_some_and(|rows| rows.is_by_chance(column))
        };
        let is_made = |column: &&String| look.is_made_anew(of.name, column) || is_by_chance(column);
        let made = || of.stored.iter().filter(is_made).cloned().collect();
        match now.filter(|(_, new)| new.rows > 0) {
            Some((now, new)) => {
                let there = back.catalog.tables.get(now);
                let mut key = of.old.key.iter().chain(&of.nullable);
                let is_kept =
                    |column: &&String| !of.old.key.contains(column) && !look.was_replaced(of.name, column);
                let is_shuffled =
                    || rows.is_some_and(|rows| rows.is_shuffled(of.stored.iter().filter(is_kept)));
                let key_was_replaced = key.any(|part| look.was_replaced(of.name, part)) || is_shuffled();
                let (now, rows, made) = (Some(now), answers.get(of.name), made());
                Pair { of: &of, now, new, there, rows, made, key_was_replaced }.keeps()
            }
            None => match answers.get(of.name).and_then(|rows| Some((rows, rows.in_tree(of.old)?))) {
                Some((rows, new)) => {
                    let (made, key_was_replaced) = (made(), false);
                    let (now, new, rows) = (paired.get(of.name), &new, Some(rows));
                    Pair { of: &of, now, new, there: None, rows, made, key_was_replaced }.keeps()
                }
                None => vec![of.whole(answers.get(of.name))],
            },
        }
    });
    each.collect()
}

/// A table before and after there and back.
struct Pair<'a> {
    of: &'a Of<'a>,
    /// None where its rows are in others of its tree alone.
    now: Option<&'a TableName>,
    new: &'a TableFingerprint,
    there: Option<&'a Table>,
    rows: Option<&'a RowChanges>,
    /// The columns that the way back made, with a value of its own for each row, be it a key.
    made: BTreeSet<String>,
    /// Whether a column of the key was another one, or of another type, at the end of the way there, or rows are there under new ones.
    key_was_replaced: bool,
}

impl Pair<'_> {
    fn keeps(&self) -> Vec<Keep> {
        let key = self.of.usable(key_pairs(self.of.old, self.new), |part| !self.differs(part));
        let told = self.of.found_by(self.rows, |part| !self.differs(part));
        // Without a key rows count as moved only where all of them are there as they were.
        if self.of.old.key.is_empty() && self.rows.is_some_and(|rows| rows.moved > 0 && rows.deleted == 0) {
            return Vec::new();
        }
        if let Some(rows) = self.rows.filter(|rows| self.key_was_replaced && !rows.perhaps_by.is_empty()) {
            return vec![self.perhaps(&rows.perhaps_by)];
        }
        match (told.is_empty(), key.is_empty()) {
            (false, _) if self.of.is_primary_key(&told, self.there) => self.by_key(&told),
            (false, _) => self.by_key(&told).into_iter().map(Keep::without_key).collect(),
            (true, false) => self.by_key(&key),
            (true, true) => self.by_identity(),
        }
    }

    /// Rows are gone by a key that the way there replaced, others are new, and each of these may be any of several of those:
    /// they are kept whole, to be compared where they might come back, and no row is taken for the one of the same number.
    fn perhaps(&self, perhaps_by: &[String]) -> Keep {
        let identity = self.of.stored.iter().filter(|column| self.is_there(column)).cloned().collect();
        Keep { identity, alike: perhaps_by.to_vec(), ..self.keep(SalvageKind::Rows, &[]) }
    }

    /// One that no fingerprint has the values of, such as names of other objects, is compared all the same.
    fn is_there(&self, column: &str) -> bool {
        let is_in = |table: &Table| table.columns.iter().any(|other| other.name == column);
        self.new.columns.contains_key(column)
            || (!self.of.old.columns.contains_key(column) && self.there.is_some_and(is_in))
    }

    /// Tells whether a column's values may differ in rows that are on both sides.
    fn differs(&self, column: &str) -> bool {
        if self.made.contains(column) {
            return true;
        }
        if let Some(count) = self.rows.and_then(|rows| rows.counted_otherwise(column)) {
            return count > 0;
        }
        if same(self.of.old, column, self.new, column) {
            return false;
        }
        let Some(rows) = self.rows else { return true };
        match rows.columns.get(&(column.to_string(), column.to_string())) {
            Some(count) => *count > 0,
            None => !(rows.columns.is_empty() && rows.changed == 0 && rows.deleted == 0),
        }
    }

    fn kept(&self, name: String) -> Kept {
        let (compared, made_anew) = (self.is_there(&name), self.made.contains(&name));
        Kept { made_anew, ..Kept::new(name, compared) }
    }

    /// Tells whether a column that is not there now held something.
    fn is_lost(&self, column: &str) -> bool {
        !self.is_there(column)
            && self.rows.and_then(|rows| rows.held.get(column)).is_none_or(|count| *count > 0)
    }

    fn by_key(&self, key: &[(String, String)]) -> Vec<Keep> {
        let mut keeps = Vec::new();
        let is_key = |column: &str| key.iter().any(|(old, _)| old == column);
        let candidates = self.of.stored.iter().filter(|column| !is_key(column));
        let columns: Vec<Kept> = candidates
            .filter(|column| if self.is_there(column) { self.differs(column) } else { self.is_lost(column) })
            .map(|column| self.kept(column.clone()))
            .collect();
        if !columns.is_empty() {
            keeps.push(Keep { columns, ..self.keep(SalvageKind::Values, key) });
        }
        if !keys_match(self.of.old, self.new) && self.rows.is_none_or(|rows| rows.deleted > 0) {
            keeps.push(self.keep(SalvageKind::Rows, key));
        }
        keeps
    }

    /// Without a key a row is what its columns say. Where rows went, nobody can tell one that changed from one that is
    /// gone; where their number is the same, those columns that hold the same values say which row is which.
    fn by_identity(&self) -> Vec<Keep> {
        let (common, gone): (Vec<String>, Vec<String>) =
            self.of.stored.iter().cloned().partition(|column| self.is_there(column));
        let is_same = |column: &String| {
            !self.made.contains(column) && self.of.old.columns.get(column) == self.new.columns.get(column)
        };
        let (alike, other): (Vec<String>, Vec<String>) = common.iter().cloned().partition(is_same);
        let is_rekeyed = self.rows.is_some_and(|rows| rows.is_rekeyed);
        let rows_went = self.of.old.rows != self.new.rows || is_rekeyed;
        let is_changed = self.rows.map_or(rows_went, |rows| {
            // A row under another key is not another row.
            rows.deleted > 0 || (rows.changed > 0 && !rows.is_rekeyed)
        });
        let lost = gone.into_iter().filter(|column| self.is_lost(column));
        let mut columns: Vec<Kept> = lost.map(|name| Kept::new(name, false)).collect();
        let mut keeps = Vec::new();
        let identity = if rows_went {
            let (told_by, changed) = self.told_apart(common.clone());
            if is_changed {
                let tells = self.rows.is_some_and(|rows| rows.tells) || !self.made.is_empty();
                let identity = if tells { told_by.clone() } else { common };
                let may_be_in = self.rows.filter(|_| self.made.is_empty()).map(|rows| &rows.may_be_in);
                let may_be_in = may_be_in.filter(|columns| !columns.is_empty());
                let (alike, in_any) = (may_be_in.unwrap_or(&told_by).clone(), may_be_in.is_some());
                keeps.push(Keep { identity, alike, in_any, ..self.keep(SalvageKind::Rows, &[]) });
            }
            columns.extend(changed.into_iter().map(|name| self.kept(name)));
            told_by
        } else if alike.iter().any(|column| self.differs(column)) {
            // These columns hold what they held, and not in the same rows: nothing says which row is which.
            columns.extend(common.into_iter().map(|name| self.kept(name)));
            Vec::new()
        } else {
            columns.extend(other.into_iter().map(|name| self.kept(name)));
            alike
        };
        if !columns.is_empty() {
            let place = |column: &Kept| self.of.stored.iter().position(|name| *name == column.name);
            columns.sort_by_key(place);
            keeps.push(Keep { identity, columns, ..self.keep(SalvageKind::Values, &[]) });
        }
        keeps
    }

    /// Divides the columns into those by which rows are told apart, and those that hold something else now. What the way
    /// back left in a column that the way there emptied must not tell a row from the one that it was. Where the former
    /// were not one for each row, the rows that are others now are kept whole, and no values.
    fn told_apart(&self, common: Vec<String>) -> (Vec<String>, Vec<String>) {
        match self.rows {
            Some(rows) if !rows.told_by.is_empty() && (self.made.is_empty() || rows.is_rekeyed) => {
                let (told_by, other) = common.into_iter().partition(|column| rows.told_by.contains(column));
                (told_by, if rows.tells { other } else { Vec::new() })
            }
            // What the way back gave its rows tells none of them.
            _ => common.into_iter().partition(|column| !self.made.contains(column)),
        }
    }

    fn keep(&self, what: SalvageKind, key: &[(String, String)]) -> Keep {
        Keep { now: self.now.cloned(), key: key.to_vec(), returned: true, ..self.of.keep(what) }
    }
}

/// What is to be looked at of a migration where only its rows are asked about.
pub(super) fn seen<'a>(
    before: &'a Inventory,
    (there, rows): (&'a Inventory, &'a Answers),
    back: Option<(&'a Inventory, &'a Answers)>,
) -> Seen<'a> {
    Seen {
        direction: crate::history::Direction::Up,
        from: &[],
        to: &[],
        rows_seen: true,
        unseen: Vec::new(),
        before,
        there,
        rows,
        back,
        again: None,
        back_failed: None,
        back_failed_at: None,
        empty: Vec::new(),
        irreversible: Vec::new(),
        chance: Vec::new(),
        chance_back: Vec::new(),
        revisions: Vec::new(),
        ways_back: Vec::new(),
    }
}

fn without_back(before: &Inventory, there: &Inventory, answers: &Answers) -> Vec<Keep> {
    let seen = seen(before, (there, answers), None);
    let look = Look::new(&seen);
    let entries = look.tables();
    let held = entries.iter().filter(|entry| entry.rows_before.is_some_and(|rows| rows > 0));
    let each = held.filter_map(|entry| {
        let (name, old) = before.fingerprint.tables.get_key_value(&entry.table)?;
        let of = Of::new(before, name, old)?;
        let now = look.place(name).and_then(|now| Some((now, there.fingerprint.tables.get(now)?)));
        let table = now.and_then(|(now, _)| there.catalog.tables.get(now));
        Some(of_fate(&of, entry, now, (table, answers.get(name))))
    });
    each.flatten().collect()
}

fn of_fate(
    of: &Of<'_>,
    entry: &TableEntry,
    now: Option<(&TableName, &TableFingerprint)>,
    (table, rows): (Option<&Table>, Option<&RowChanges>),
) -> Vec<Keep> {
    let in_tree = rows.and_then(|rows| rows.in_tree(of.old));
    let Some((now, new)) = now.map(|(now, new)| (Some(now), new)).or(in_tree.as_ref().map(|new| (None, new)))
    else {
        let moved = matches!(entry.fate, Fate::Moved { .. });
        return if moved { Vec::new() } else { vec![of.whole(rows)] };
    };
    let mut keeps = Vec::new();
    let is_lost = |column: &String| match entry.columns.get(column) {
        Some(Fate::Lost { count }) => *count != Some(0) || of.filled.contains(column),
        Some(Fate::Transformed { held_in, .. }) => held_in.is_none(),
        _ => false,
    };
    let mut lost: BTreeSet<String> = of.stored.iter().filter(|column| is_lost(column)).cloned().collect();
    let is_kept = |column: &str| !is_lost(&column.to_string());
    let plain = of.keep(SalvageKind::Values);
    let told = of.found_by(rows, is_kept);
    let by_nullable = |key: Vec<(String, String)>| match key.is_empty() && of.is_primary_key(&told, table) {
        true => told.clone(),
        false => key,
    };
    let key = by_nullable(of.usable(plain.key.clone(), is_kept));
    // Where rows went no column holds what it held, and those that stayed are told by what each of them has kept.
    let apart =
        rows.filter(|rows| key.is_empty() && told.is_empty() && rows.tells && of.old.rows != new.rows);
    let apart: &[String] = apart.map(|rows| rows.told_by.as_slice()).unwrap_or_default();
    lost.retain(|column| !apart.contains(column));
    if !lost.is_empty() {
        // What wrote over a value wrote over NULL, too.
        let is_overwritten =
            |name: &String| matches!(entry.columns.get(name), Some(Fate::Transformed { .. }));
        let columns = plain.columns.iter().filter(|column| lost.contains(&column.name)).cloned();
        let with_nulls = |column: Kept| Kept {
            nulls: is_overwritten(&column.name) || of.filled.contains(&column.name),
            ..column
        };
        let columns: Vec<Kept> = columns.map(with_nulls).collect();
        let same = |column: &&String| matches!(entry.columns.get(*column), Some(Fate::Kept));
        let identity = match key.is_empty() {
            true if !apart.is_empty() => apart.to_vec(),
            true => of.stored.iter().filter(same).cloned().collect(),
            false => Vec::new(),
        };
        keeps.push(Keep { columns, key, identity, ..plain });
    }
    let key = by_nullable(of.usable(key_pairs(of.old, new), is_kept));
    // Without a key, a row that changed is in the values already.
    let went = match rows {
        Some(rows) if rows.moved > 0 => rows.deleted > 0,
        _ if key.is_empty() && told.is_empty() => of.old.rows > new.rows,
        Some(rows) => rows.deleted > 0,
        None => !keys_match(of.old, new),
    };
    if went && key.is_empty() && !told.is_empty() {
        let keep = Keep { now: now.cloned(), key: told, ..of.keep(SalvageKind::Rows) };
        keeps.push(keep.without_key());
    } else if went {
        let common = of.stored.iter().filter(|column| new.columns.contains_key(*column)).cloned();
        let identity = match key.is_empty() {
            true if !apart.is_empty() => apart.to_vec(),
            true => common.collect(),
            false => Vec::new(),
        };
        let told = rows.filter(|_| key.is_empty()).map(|rows| (&rows.told_by, &rows.may_be_in));
        let in_any = told.is_some_and(|(_, may_be_in)| !may_be_in.is_empty());
        let alike = told.map(|(told_by, may_be_in)| if in_any { may_be_in } else { told_by });
        let alike = alike.cloned().unwrap_or_default();
        keeps.push(Keep { now: now.cloned(), key, identity, alike, in_any, ..of.keep(SalvageKind::Rows) });
    }
    keeps
}

/// A virtual table whose rows nobody finds is no table of a fingerprint; one that goes is kept as a whole, as it reads.
fn virtual_tables(before: &Inventory, now: &Inventory) -> Vec<Keep> {
    let tables = before.catalog.tables.iter();
    let gone = tables.filter(|(name, table)| {
        table.kind == TableKind::Virtual
            && !table.columns.is_empty()
            && !before.fingerprint.tables.contains_key(*name)
            && !now.catalog.tables.contains_key(*name)
    });
    let nothing = TableFingerprint::default();
    let keep = |(name, table): (&TableName, &Table)| {
        let (stored, left_out, types) = columns(Some(table), &nothing);
        Of { name, old: &nothing, stored, left_out, types, filled: BTreeSet::new(), nullable: Vec::new() }
            .keep(SalvageKind::Rows)
    };
    gone.map(keep).collect()
}
