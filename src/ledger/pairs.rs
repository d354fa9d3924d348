//! Which table of before is which table of after, and when two columns hold the same.

use crate::catalog::TableName;
use crate::fingerprint::{Fingerprint, TableFingerprint};
use std::collections::{BTreeMap, BTreeSet};

/// Tells whether two tables have the same keys, whatever their columns are called: as many rows, and equal digests of
/// the key's columns. Two tables without keys match as far as rows can be told apart there at all.
pub fn keys_match(old: &TableFingerprint, new: &TableFingerprint) -> bool {
    old.rows == new.rows
        && old.key.len() == new.key.len()
        && old.key.iter().zip(&new.key).all(|(one, other)| old.columns.get(one) == new.columns.get(other))
}

/// Tells whether two columns hold the same values under the same keys.
///
/// Without a key a column's digest does not depend on the rows that its values are in. Only the digest of whole rows
/// does: equal ones show that the first column here is the first one there in every row, and so on.
pub fn same(old: &TableFingerprint, column: &str, new: &TableFingerprint, other: &str) -> bool {
    let place = |table: &TableFingerprint, name: &str| table.columns.keys().position(|found| found == name);
    let in_rows = old.digest == new.digest
        && old.columns.len() == new.columns.len()
        && place(old, column) == place(new, other);
    alike(old, column, new, other) && (!old.key.is_empty() || old.rows <= 1 || in_rows)
}

/// Tells whether two columns hold the same values, with a key under the same keys, without one in whichever rows.
pub(super) fn alike(old: &TableFingerprint, column: &str, new: &TableFingerprint, other: &str) -> bool {
    let digests = (old.columns.get(column), new.columns.get(other));
    keys_match(old, new) && matches!(digests, (Some(one), Some(other)) if one == other)
}

/// Returns the pairs of columns, by their names before and after, that may hold the same in the same rows of two tables
/// without a key; whether they do, only comparing the rows can say.
pub(super) fn alike_pairs(old: &TableFingerprint, new: &TableFingerprint) -> Vec<(String, String)> {
    if !old.key.is_empty() || old.rows != new.rows {
        return Vec::new();
    }
    let mut taken = Vec::new();
    let stays = |column: &String| new.columns.contains_key(column);
    // Those that kept their names first, so that none of them is taken for another one that is gone.
    let (here, gone): (Vec<&String>, Vec<&String>) = old.columns.keys().partition(|column| stays(column));
    for column in here {
        if alike(old, column, new, column) {
            taken.push((column.clone(), column.clone()));
        }
    }
    for column in gone {
        let fresh = new.columns.keys().filter(|other| !old.columns.contains_key(*other));
        let mut free = fresh.filter(|other| !taken.iter().any(|(_, took)| took == *other));
        if let Some(other) = free.find(|other| alike(old, column, new, other)) {
            taken.push((column.clone(), other.clone()));
        }
    }
    taken
}

/// Returns the column that the migration made or filled and that holds the same values under the same keys. One that
/// held them before is no witness: two columns full of zeros are not copies of each other.
pub(super) fn elsewhere<'a>(
    before: &Fingerprint,
    after: &'a Fingerprint,
    old: &TableFingerprint,
    column: &str,
) -> Option<(&'a TableName, &'a String)> {
    if old.rows == 0 {
        return None;
    }
    let places = after.tables.iter().filter(|(place, _)| !place.is_bookkeeping());
    let mut columns =
        places.flat_map(|(place, new)| new.columns.keys().map(move |other| (place, new, other)));
    let found = columns.find(|(place, new, other)| {
        let was = before.tables.get(*place).and_then(|was| was.columns.get(*other));
        // A column that repeats its own key is like the key of every table that has as many rows and counts as it does.
        let is_key = new.key.contains(*other) && !old.key.iter().any(|part| part == column);
        !is_key && same(old, column, new, other) && was != new.columns.get(*other)
    });
    found.map(|(place, _, other)| (place, other))
}

/// Returns the columns that identify a row on both sides.
pub(super) fn key_pairs(old: &TableFingerprint, new: &TableFingerprint) -> Vec<(String, String)> {
    if old.key == new.key || keys_match(old, new) {
        return old.key.iter().cloned().zip(new.key.iter().cloned()).collect();
    }
    Vec::new()
}

/// Returns the columns that identify a row on one side and are there on both. Whether they do so on the other side as well, only
/// its rows can say: a table that loses its key still has the numbers in it.
pub(super) fn open_key(old: &TableFingerprint, new: &TableFingerprint) -> Vec<(String, String)> {
    let is_there = |part: &String| old.columns.contains_key(part) && new.columns.contains_key(part);
    let mut keys = [&old.key, &new.key].into_iter().filter(|key| !key.is_empty());
    let found = keys.find(|key| key.iter().all(is_there)).into_iter().flatten();
    found.map(|part| (part.clone(), part.clone())).collect()
}

/// Returns for each table of before the table that holds its rows after, where there is one.
pub fn tables(before: &Fingerprint, after: &Fingerprint) -> BTreeMap<TableName, TableName> {
    let mut paired = BTreeMap::new();
    let own = before.tables.iter().filter(|(name, _)| !name.is_bookkeeping());
    for (name, old) in own {
        let here = after.tables.get(name);
        // A table that was set aside under another name, with a new one in its place, is the one that was set aside.
        let stays = here.is_some_and(|new| old.rows == new.rows || twin(before, after, name, old).is_none());
        let found = if stays { Some(name) } else { twin(before, after, name, old) };
        let taken = |place: &TableName| paired.values().any(|other| other == place);
        if let Some(place) = found.filter(|place| !taken(place)) {
            paired.insert(name.clone(), place.clone());
        }
    }
    paired
}

/// Tells whether more speaks for it than that both have the same keys: tables of one row for each user are many. A column that
/// kept its name and its values does, and so do two columns that hold something else.
fn is_no_chance(old: &TableFingerprint, new: &TableFingerprint) -> bool {
    let is_key =
        |table: &TableFingerprint, column: &String| table.key.len() == 1 && table.key.contains(column);
    let own = old.columns.keys().filter(|column| !is_key(old, column));
    let mut others = own.filter(|column| {
        let mut there = new.columns.keys().filter(|other| !is_key(new, other));
        there.any(|other| alike(old, column, new, other))
    });
    let mut digests = BTreeSet::new();
    others.any(|column| {
        digests.insert(old.columns.get(column).copied());
        alike(old, column, new, column) || digests.len() > 1
    })
}

/// Returns the new table that has the rows of an old one under the same keys; of several the one that has most of its
/// columns.
fn twin<'a>(
    before: &Fingerprint,
    after: &'a Fingerprint,
    name: &TableName,
    old: &TableFingerprint,
) -> Option<&'a TableName> {
    if old.rows == 0 {
        return None;
    }
    let still_here = after.tables.contains_key(name);
    let fresh = after.tables.iter().filter(|(place, new)| {
        !before.tables.contains_key(*place) && !place.is_bookkeeping() && keys_match(old, new)
    });
    let scored = fresh.map(|(place, new)| {
        // A guess, where there is no key: the rows are compared before anything is said of them.
        let found = |column: &&String| new.columns.keys().any(|other| alike(old, column, new, other));
        (old.columns.keys().filter(found).count(), place)
    });
    let scored =
        scored.filter(|(_, place)| after.tables.get(*place).is_some_and(|new| is_no_chance(old, new)));
    // Without a key, and beside a table that still has the name, only all columns together are proof enough.
    let needed = if old.key.is_empty() || still_here { old.columns.len() } else { old.key.len() };
    let best = scored.filter(|(count, _)| *count >= needed.max(1)).max_by_key(|(count, _)| *count);
    best.map(|(_, place)| place)
}
