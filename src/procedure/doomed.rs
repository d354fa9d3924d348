//! What others write between the snapshot and the migration, into what the migration takes away: which tables have to
//! be looked at once more, and what is said of what was found.

use super::snapshot::Saved;
use crate::catalog::TableName;
use crate::engine::{Applied, Guarded, Meanwhile};
use crate::fingerprint::Inventory;
use crate::history::Direction;
use crate::plan::{Plan, Touches};
use std::collections::{BTreeMap, BTreeSet};

/// What is left to a person.
const PUT_BACK: &str = "put back what you need, and drop it";

/// Returns what the migration's own transactions look at once more.
///
/// Where the rehearsal saw the rows, the ledger names what is lost, also of tables that were empty then. Otherwise it is
/// every table that the migration names.
pub(super) fn watched(plan: &Plan, saved: &Saved) -> Guarded {
    let mut doomed: BTreeSet<TableName> = BTreeSet::new();
    if let Some(rehearsal) = &saved.rehearsal {
        doomed.extend(rehearsal.ledger.lost.iter().map(|loss| loss.table.clone()));
    }
    if !saved.rehearsed_rows() {
        let touches = plan.touches();
        let named = saved.inventory.fingerprint.tables.keys();
        let named = named.filter(|name| !name.is_bookkeeping() && touches.mentions(name));
        doomed.extend(named.cloned());
    }
    Guarded {
        folder: saved.backup.snapshot(),
        schema: plan.schema.clone(),
        doomed: doomed.into_iter().collect(),
        named: Touches::default(),
        rows: of_which_rows_go(saved),
    }
}

/// Returns what the snapshot has of each table that loses rows: one that others delete before the migration does is salvaged
/// all the same.
fn of_which_rows_go(saved: &Saved) -> BTreeMap<TableName, u64> {
    let lost = saved.rehearsal.iter().flat_map(|rehearsal| &rehearsal.ledger.lost);
    let losing: BTreeSet<&TableName> =
        lost.filter(|loss| loss.column.is_none()).map(|loss| &loss.table).collect();
    let tables = saved.inventory.fingerprint.tables.iter();
    let rows = tables.filter(|(name, _)| losing.contains(name) || !saved.rehearsed_rows());
    rows.map(|(name, print)| (name.clone(), print.rows)).collect()
}

/// Says where it is kept; after a way back also of what earlier migrations kept: it is newer than what was merged.
pub(super) fn told(direction: Direction, applied: &Applied, inventory: &Inventory) -> Vec<String> {
    let is_back = direction == Direction::Down;
    let mut told: Vec<String> = applied.meanwhile.iter().flat_map(|kept| told_of(kept, is_back)).collect();
    let is_told =
        |name: &&TableName| applied.meanwhile.iter().any(|kept| kept.side_table.as_ref() == Some(name));
    let waiting = inventory.catalog.tables.keys().filter(|name| name.is_meanwhile_table() && !is_told(name));
    let names: Vec<String> = waiting.filter(|_| is_back).map(ToString::to_string).collect();
    let rows = "rows that others wrote just before a migration took something away from them are kept in";
    if !names.is_empty() {
        told.push(format!("{rows} {}: {PUT_BACK}", names.join(", ")));
    }
    told
}

fn told_of(Meanwhile { table, side_table, rows, gone }: &Meanwhile, is_back: bool) -> Vec<String> {
    let kept = side_table.as_ref().map(|side| {
        let rows = super::rows_of(*rows);
        let then = if is_back { format!(": {PUT_BACK}") } else { String::new() };
        format!(
            "others wrote {rows} of {table} after the snapshot, from which the migration took something away: they are \
             kept as they were in the table {side}{then}"
        )
    });
    let gone = (*gone > 0).then(|| {
        let rows = super::rows_of(*gone);
        let back = match is_back {
            true => "the backup has them as they were before",
            false => "what a downgrade brings back is as the snapshot has it, also rows that they deleted",
        };
        format!("others deleted or changed {rows} of {table} between the snapshot and the migration: {back}")
    });
    kept.into_iter().chain(gone).collect()
}
