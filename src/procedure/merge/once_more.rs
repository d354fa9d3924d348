//! What a downgrade had taken, when its revisions are applied once more: what they make is empty, nothing merges by itself
//! what was in it before, and whoever goes up again may not know that it is kept.

use super::end::End;
use super::kept::pieces;
use super::told::Told;
use super::{MERGES, TABLES};
use crate::engine::Piece;
use crate::history::RevisionId;
use crate::journal::OperationState;
use crate::ledger::{MergedBack, SalvageKind};
use crate::plan::Plan;
use crate::procedure::Ports;
use crate::procedure::snapshot::read_plan;
use crate::report::{Kind, Step};
use crate::store::{Backup, Listed};
use std::collections::BTreeSet;

/// How many tables and columns are named.
const NAMED: usize = 4;

/// Says of the downgrades of what an upgrade has just applied which backups hold what they took, the newest of each
/// revision. What cannot be read is passed over: this is a hint beside an upgrade that is done.
pub(super) async fn taken_before(ports: &Ports<'_>, plan: &Plan) -> Vec<String> {
    let mut open: BTreeSet<RevisionId> = plan.scripts.iter().map(|script| script.revision.clone()).collect();
    let operations = ports.journal.operations().unwrap_or_default();
    let backups = ports.store.list().await.unwrap_or_default().into_iter().rev();
    let downgrades = backups.filter_map(Listed::whole).filter(|backup| {
        backup.manifest.kind == Kind::Downgrade && backup.manifest.database.is_same(ports.identity())
    });
    let mut said = Vec::new();
    for backup in downgrades {
        let Ok(its) = read_plan(&backup) else { continue };
        let is_again = its.scripts.iter().any(|script| open.contains(&script.revision));
        if !is_again || End::of(ports, &backup) == End::Undone {
            continue;
        }
        open.retain(|revision| !its.scripts.iter().any(|script| script.revision == *revision));
        if !is_merged(&operations, &backup) {
            said.extend(told(&backup));
        }
    }
    said
}

/// Says of a merge by hand that puts something back out of a backup which was merged before what may have come with it: since
/// the first merge nothing tells whether a row is missing because of the upgrade, or because users deleted it.
pub(super) fn merged_before(
    ports: &Ports<'_>,
    backup: &str,
    now: &str,
    merged: &MergedBack,
) -> Option<String> {
    let operations = ports.journal.operations().unwrap_or_default();
    let was_merged = |state: &&OperationState| {
        let by_hand = state.kind == Kind::MergeBack && state.facts.get(MERGES).is_some_and(|id| id == backup);
        let told = Told::of(state).is_some_and(|told| told.from.iter().any(|from| from == backup));
        state.operation != now && state.finished.contains(&Step::MergeBack) && (by_hand || told)
    };
    let last = operations.iter().rfind(was_merged).filter(|_| merged.count() > 0)?;
    Some(format!(
        "backup {backup} was merged before, by {}: rows that users deleted since, and values that they emptied, come back with a \
         second merge like any that the upgrade took",
        last.operation
    ))
}

/// Tells whether somebody has merged all salvage of a backup by hand.
fn is_merged(operations: &[OperationState], backup: &Backup) -> bool {
    let of = |state: &OperationState, name: &str| state.facts.get(name).cloned().unwrap_or_default();
    operations.iter().any(|state| {
        state.kind == Kind::MergeBack
            && state.finished.contains(&Step::MergeBack)
            && of(state, MERGES) == backup.manifest.id
            && of(state, TABLES).is_empty()
    })
}

fn told(backup: &Backup) -> Option<String> {
    let id = &backup.manifest.id;
    let names: BTreeSet<String> = pieces(backup).ok()?.iter().flat_map(named).collect();
    let more = names.len().saturating_sub(NAMED);
    let names: Vec<String> = names.into_iter().take(NAMED).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| {
        format!(
            "what was in {}{more} before the downgrade {id} does not come back by itself; that backup holds it: ripcord \
             backup merge-back {id}",
            names.join(", ")
        )
    })
}

fn named(piece: &Piece) -> Vec<String> {
    let salvage = &piece.salvage;
    match salvage.what {
        SalvageKind::Rows => vec![salvage.table.to_string()],
        SalvageKind::Values => {
            salvage.columns.iter().map(|column| format!("{}.{column}", salvage.table)).collect()
        }
    }
}
