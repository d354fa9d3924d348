//! What others write between the snapshot and the migration, into what the migration takes away: which tables have to
//! be looked at once more, and what is said of what was found.

use super::snapshot::Saved;
use crate::catalog::TableName;
use crate::engine::{Applied, Guarded, Meanwhile};
use crate::fingerprint::Inventory;
use crate::plan::{Plan, Touches};
use std::collections::BTreeSet;

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
    }
}

/// Says where it is kept.
pub(super) fn kept(applied: &Applied) -> impl Iterator<Item = String> + '_ {
    applied.meanwhile.iter().map(|Meanwhile { table, side_table, rows }| {
        let rows = super::rows_of(*rows);
        format!(
            "others wrote {rows} of {table} after the snapshot, from which the migration took something away: they are \
             kept as they were in the table {side_table}"
        )
    })
}

/// Says that such rows wait for a person, after a way back: they are newer than what was merged.
pub(super) fn waiting(inventory: &Inventory) -> Option<String> {
    let tables = inventory.catalog.tables.keys().filter(|name| name.is_meanwhile_table());
    let names: Vec<String> = tables.map(ToString::to_string).collect();
    let rows = "rows that others wrote just before a migration took something away from them are kept in";
    (!names.is_empty()).then(|| format!("{rows} {}: put back what you need, and drop it", names.join(", ")))
}
