//! Tables that a migration does not name and that what it sets off changes: by triggers, keys, functions, inheritance. The
//! rehearsal saw it. What of it was a loss was accepted by its name, or the migration would not have begun; so the rest of
//! verification holds them against the end of the copy, like what the migration names.

use super::super::rows_of;
use super::{Circumstances, Rehearsed, speaks_of_touched};
use crate::catalog::TableName;
use crate::fingerprint::{Inventory, compare};
use crate::ledger::{Fate, TableEntry};
use crate::plan::Touches;
use crate::report::Check;
use std::collections::BTreeSet;

impl Rehearsed<'_> {
    /// Returns what the migration changed on the copy, whether it names it or not. Without rows nothing was seen.
    pub(super) fn changed(
        &self,
        before: &Inventory,
        after: &Inventory,
        touches: &Touches,
    ) -> BTreeSet<TableName> {
        if !self.ledger.rows_seen {
            return BTreeSet::new();
        }
        let redefined = self.ledger.catalog.iter().filter(|change| !speaks_of_touched(touches, change));
        let redefined = redefined.filter_map(|change| change.table.as_deref()).filter_map(TableName::parse);
        let rows: Vec<TableName> = match self.copy {
            Some((_, end)) => {
                let compared = compare(&before.fingerprint, &end.fingerprint);
                compared.differing().map(|(name, _)| name.clone()).collect()
            }
            // The ledger alone knows how many rows there were; what has others was not on the copy.
            None => {
                let rows = |name: &TableName| after.fingerprint.tables.get(name).map(|table| table.rows);
                let entries = self.ledger.tables.iter().filter(|entry| is_changed(entry));
                let entries = entries
                    .filter(|entry| rows(place(entry).as_ref().unwrap_or(&entry.table)) == entry.rows_after);
                entries.flat_map(|entry| place(entry).into_iter().chain([entry.table.clone()])).collect()
            }
        };
        rows.into_iter().chain(redefined).collect()
    }

    /// Says what became of each of these tables, as far as they are not what they were.
    pub(super) fn tell(&self, reached: &BTreeSet<TableName>, check: &mut Check) {
        for name in reached {
            let differs = check.comparison.differing().any(|(table, _)| table == name);
            let redefined = check.catalog.iter().filter_map(|change| change.table.as_deref());
            if differs || redefined.filter_map(TableName::parse).any(|table| table == *name) {
                let entries = &self.ledger.tables;
                let entry =
                    entries.iter().find(|entry| entry.table == *name || place(entry).as_ref() == Some(name));
                // The shadow tables of a virtual one are in no ledger: nobody has chosen their names.
                check.expected.extend(entry.map(became).map(|what| {
                    format!(
                        "changed on the copy as well: table {name}, {what} by what the migration sets off"
                    )
                }));
            }
        }
    }
}

/// Returns where the rows of a table are now, if they are elsewhere.
fn place(entry: &TableEntry) -> Option<TableName> {
    match &entry.fate {
        Fate::Moved { to } if entry.moved == 0 => TableName::parse(to),
        _ => None,
    }
}

fn is_changed(entry: &TableEntry) -> bool {
    let rows = entry.inserted + entry.deleted + entry.changed + entry.moved;
    rows > 0 || entry.fate != Fate::Kept || entry.columns.values().any(|fate| *fate != Fate::Kept)
}

fn became(entry: &TableEntry) -> String {
    match &entry.fate {
        Fate::Moved { to } if entry.moved > 0 => return format!("divided among the tables of {to}"),
        Fate::Moved { to } => return format!("renamed to {to}"),
        Fate::Added { .. } => return format!("made with {}", rows_of(entry.inserted)),
        Fate::Lost { .. } | Fate::Transformed { .. } => {
            return format!("dropped with {}", rows_of(entry.rows_before.unwrap_or(0)));
        }
        Fate::Kept => {}
    }
    // Of a table that was empty, or is, nobody asked.
    let (before, after) = (entry.rows_before.unwrap_or(0), entry.rows_after.unwrap_or(0));
    let asked = entry.inserted + entry.deleted + entry.changed + entry.moved > 0;
    let (more, less) =
        if asked { (0, 0) } else { (after.saturating_sub(before), before.saturating_sub(after)) };
    let rows = [
        (entry.inserted + more, "inserted"),
        (entry.deleted + less, "deleted"),
        (entry.changed, "changed"),
        (entry.moved, "moved"),
    ];
    let rows = rows.iter().filter(|(count, _)| *count > 0);
    let rows: Vec<String> = rows.map(|(count, word)| format!("{} {word}", rows_of(*count))).collect();
    if rows.is_empty() { "defined otherwise".to_string() } else { rows.join(" and ") }
}

/// Returns the tables that the migration does not name and that the rehearsal saw changing.
pub(super) fn of(
    around: &Circumstances<'_>,
    before: &Inventory,
    after: &Inventory,
    untouched: &dyn Fn(&TableName) -> bool,
) -> BTreeSet<TableName> {
    let changed =
        around.rehearsed.iter().flat_map(|rehearsed| rehearsed.changed(before, after, around.touches));
    changed.filter(untouched).collect()
}
