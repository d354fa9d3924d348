//! What is said of salvage beside a merge: where it waits while a downgrade fails, and what a merge leaves as it was.

use super::sources::sources;
use crate::engine;
use crate::fingerprint::Inventory;
use crate::history::{Direction, RevisionId};
use crate::journal::OperationState;
use crate::ledger::MergedBack;
use crate::plan::Plan;
use crate::procedure::{Ports, definitions, whose};
use crate::report::Failure;
use crate::runner;
use std::collections::BTreeSet;

/// A way back that makes a required column again fails wherever there are rows: its values come only with the merge that
/// follows it. Names the backup that holds them, and what to mend.
pub(in crate::procedure) async fn named(ports: &Ports<'_>, plan: &Plan, mut failure: Failure) -> Failure {
    if plan.direction != Direction::Down || !lacks_value(&failure) {
        return failure;
    }
    let undone: Vec<RevisionId> = plan.scripts.iter().map(|script| script.revision.clone()).collect();
    let Ok(found) = sources(ports, &undone, &plan.to, "", &[]).await else { return failure };
    if found.backups.is_empty() {
        return failure;
    }
    let backups = found.backups.join(", ");
    let mend = format!(
        "let the revision make the column without NOT NULL, or with a DEFAULT, and run the same command again: the \
         values wait in backup {backups}, and the downgrade puts them into the column when it is there"
    );
    failure.next.insert(0, mend);
    failure
}

/// Returns the backups whose salvage a downgrade of which only the journal is left would have merged, the first to be merged
/// first; none where that cannot be told.
pub(in crate::procedure) async fn of_downgrade(ports: &Ports<'_>, state: &OperationState) -> Vec<String> {
    let Ok(history) = ports.runner.history() else { return Vec::new() };
    let applied = |rows: &[RevisionId]| -> BTreeSet<RevisionId> {
        let applied = history.applied(rows).unwrap_or_default();
        applied.into_iter().map(|revision| revision.id.clone()).collect()
    };
    let undone: Vec<RevisionId> = applied(&state.from).difference(&applied(&state.to)).cloned().collect();
    let moved = state.facts.get(whose::MOVED).cloned().unwrap_or_default();
    let found = sources(ports, &undone, &state.to, &moved, &[]).await;
    found.map(|found| found.waiting()).unwrap_or_default()
}

/// Tells whether a statement failed because rows had no value for a column that needs one.
fn lacks_value(failure: &Failure) -> bool {
    let of_runner = failure.source.downcast_ref::<runner::Error>().and_then(|error| match error {
        runner::Error::Engine(error) => Some(error),
        _ => None,
    });
    match of_runner.or(failure.source.downcast_ref::<engine::Error>()) {
        // not_null_violation of PostgreSQL; SQLite has no code for it that is no other's.
        Some(engine::Error::Statement { detail, .. }) => {
            detail.contains("23502") || detail.contains("NOT NULL")
        }
        _ => false,
    }
}

/// Says which views still show what was there before a merge.
pub(super) fn stale_views(inventory: &Inventory, merged: &MergedBack) -> Option<String> {
    definitions::stale_views(inventory, "a merge").filter(|_| merged.count() > 0)
}
