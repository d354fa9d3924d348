//! What one upgrade or downgrade renamed, by everything that is known of it.

use super::{Leg, Now, Unsure};
use crate::catalog::{Catalog, TableName};
use crate::fingerprint::Inventory;
use crate::ledger::{Fate, Ledger, TableEntry, places};
use crate::plan::Renamed;
use crate::procedure::snapshot::{read_inventory, read_ledger, read_plan};
use std::collections::BTreeMap;

/// Follows a table through one operation.
pub(super) fn follow(leg: &Leg, now: Now) -> Result<Now, Unsure> {
    let Some(backup) = leg.backup.as_ref() else { return Err(leg.unsure(None)) };
    let columns: Vec<&String> = now.columns.values().collect();
    let said = read_plan(backup).ok().map(|plan| plan.renamed(&now.table, &columns));
    let after = read_inventory(backup, "after.json").ok();
    // Where it is not known what was there at the end, what statements say may not be what came of it.
    let by_words = after.as_ref().zip(said.as_ref()).and_then(|(after, said)| named(after, &now.table, said));
    let place = match read_ledger(backup) {
        Ok(Some(ledger)) if ledger.rows_seen => by_ledger(&ledger, &now.table, by_words),
        Ok(_) => {
            let before = read_inventory(backup, "before.json").ok();
            before.zip(after.as_ref()).map(|(before, after)| by_ends(&before, after, &now.table, by_words))
        }
        Err(_) => None,
    };
    let place = place.unwrap_or(Place { table: None, columns: BTreeMap::new(), perhaps: None });
    let Some(table) = place.table else { return Err(leg.unsure(place.perhaps)) };
    let end = after.as_ref().map(|after| &after.catalog);
    let columns: BTreeMap<String, String> = now
        .columns
        .iter()
        .enumerate()
        .map(|(at, (then, name))| {
            let moved = place.columns.get(name).cloned();
            let by_words = || end.zip(said.as_ref()).and_then(|(end, said)| column(end, &table, said, at));
            (then.clone(), moved.or_else(by_words).unwrap_or_else(|| name.clone()))
        })
        .collect();
    let by = if table == now.table && columns == now.columns { now.by } else { Some(leg.id.clone()) };
    Ok(Now { table, columns, by })
}

/// Where a table went in one operation.
struct Place {
    /// None where nobody can tell.
    table: Option<TableName>,
    /// Columns that hold the same under another name, by the name before.
    columns: BTreeMap<String, String>,
    perhaps: Option<String>,
}

/// By what a rehearsal saw.
fn by_ledger(ledger: &Ledger, table: &TableName, by_words: Option<TableName>) -> Option<Place> {
    let entry = ledger.tables.iter().find(|entry| entry.table == *table)?;
    let found = match &entry.fate {
        // What went to other tables of its tree is looked for there, by the name that it had.
        Fate::Moved { .. } if entry.moved > 0 => Some(table.clone()),
        // Columns that went to several tables are no table.
        Fate::Moved { to } => TableName::parse(to).filter(|place| place.to_string() == *to),
        // A name that stays may be that of a new table, with the old one beside it, if nothing says that its rows stayed.
        Fate::Kept if is_carried(entry) => Some(table.clone()),
        _ => Some(by_words.unwrap_or_else(|| table.clone())),
    };
    let Some(place) = found else {
        let perhaps = if let Fate::Moved { to } = &entry.fate { Some(to.clone()) } else { None };
        return Some(Place { table: None, columns: BTreeMap::new(), perhaps });
    };
    let within = format!("{place}.");
    let moved = entry.columns.iter().filter_map(|(name, fate)| match fate {
        Fate::Moved { to } => Some((name.clone(), to.strip_prefix(&within)?.to_string())),
        _ => None,
    });
    Some(Place { columns: moved.collect(), table: Some(place), perhaps: None })
}

/// Tells whether rows of a table that kept its name were seen to stay, by more than their keys.
fn is_carried(entry: &TableEntry) -> bool {
    let kept = entry.columns.values().filter(|fate| matches!(fate, Fate::Kept)).count();
    kept > 1 && entry.rows_before.is_some_and(|rows| entry.deleted < rows)
}

/// By the two ends of an operation that was not rehearsed.
fn by_ends(before: &Inventory, after: &Inventory, table: &TableName, by_words: Option<TableName>) -> Place {
    let (then, end) = (&before.fingerprint, &after.fingerprint);
    let paired = places(then, end).remove(table);
    let is_same = |place: &TableName| {
        then.tables
            .get(table)
            .zip(end.tables.get(place))
            .is_some_and(|(one, other)| one.digest == other.digest)
    };
    let at = |table| Place { table, columns: BTreeMap::new(), perhaps: None };
    match (paired, by_words) {
        (Some(place), Some(said)) if place != said && !is_same(&place) => {
            Place { perhaps: Some(said.to_string()), ..at(None) }
        }
        (Some(place), _) => at(Some(place)),
        (None, said) => at(Some(said.unwrap_or_else(|| table.clone()))),
    }
}

/// Returns the table that statements gave another name, if it is there at the end.
fn named(after: &Inventory, table: &TableName, said: &Renamed) -> Option<TableName> {
    if said.is_table(&table.name) {
        return None;
    }
    let mut there = after.catalog.tables.keys().filter(|name| name.schema == table.schema);
    there.find(|name| said.is_table(&name.name)).cloned()
}

/// Returns the column that statements gave another name, if it is there at the end.
fn column(end: &Catalog, table: &TableName, said: &Renamed, place: usize) -> Option<String> {
    let columns = &end.tables.get(table)?.columns;
    columns.iter().find(|column| said.is_column(place, &column.name)).map(|column| column.name.clone())
}
