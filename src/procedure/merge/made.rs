//! Columns of salvage that the downgrade has just made with a value of its own for each row, so that the rehearsal's copy
//! cannot say what the way back left in them. Pure.

use crate::catalog::TableName;
use crate::engine::{MadeColumn, Piece};
use crate::fingerprint::Inventory;
use crate::ledger::SalvageKind;
use crate::plan::Plan;
use std::collections::BTreeSet;

/// Names the columns of a piece that the ways back of its own upgrade have made, after all others: what another revision
/// calls the same is another column.
pub(super) fn by_its_way_back(piece: Piece, plan: &Plan, made: &[MadeColumn]) -> Piece {
    let is_its = |name: &&String| {
        let made = made.iter().rfind(|one| one.table == piece.salvage.table && one.column == **name);
        made.is_some_and(|made| plan.scripts.iter().any(|script| script.revision == made.revision))
    };
    let made: BTreeSet<String> = match piece.salvage.what {
        SalvageKind::Values => piece.salvage.columns.iter().filter(is_its).cloned().collect(),
        SalvageKind::Rows => BTreeSet::new(),
    };
    Piece { made, ..piece }
}

/// Leaves of these columns those that were not there before the downgrade and make their own values after it. What two
/// pieces salvaged counts for none of them: what the first one puts there is no default any more.
pub(super) fn leave_own_values(pieces: &mut [Piece], before: &Inventory, after: &Inventory) {
    let all: Vec<(TableName, String)> = pieces
        .iter()
        .filter(|piece| piece.salvage.what == SalvageKind::Values && piece.beyond.is_none())
        .flat_map(|piece| {
            piece.salvage.columns.iter().map(|name| (piece.salvage.table.clone(), name.clone()))
        })
        .collect();
    for piece in pieces {
        let table = &piece.salvage.table;
        let is_once =
            |name: &String| all.iter().filter(|(of, other)| of == table && other == name).count() == 1;
        piece.made.retain(|name| is_once(name) && is_new(table, name, before, after));
    }
}

fn is_new(table: &TableName, name: &str, before: &Inventory, after: &Inventory) -> bool {
    let (Some(then), Some(now)) = (before.catalog.tables.get(table), after.catalog.tables.get(table)) else {
        return false;
    };
    let found = now.columns.iter().find(|column| column.name == name);
    found.is_some_and(|column| column.makes_its_own(now, after.engine))
        && then.columns.iter().all(|column| column.name != name)
}
