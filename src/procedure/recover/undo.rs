//! Going back instead of on: the present state is kept, then the saved one is put back, once.

use super::{RecoverRequest, report};
use crate::engine::Error;
use crate::fingerprint::Inventory;
use crate::history::RevisionId;
use crate::journal::{Operation, OperationState};
use crate::procedure::snapshot::{self, Saved};
use crate::procedure::{Ports, settle, verify};
use crate::report::{Aftermath, Check, Failure, Report, Step};

/// Tells whether putting back had taken place before the crash. Doing it twice would replace what clients wrote since.
pub(super) fn was_put_back(
    state: &OperationState,
    saved: &Saved,
    check: &Check,
    rows: &[RevisionId],
) -> bool {
    // A script in a transaction is over together with its version rows: where they are as they were, so was the rest.
    // They tell nothing of what never moves them: tables that were put back, salvage that was merged.
    let moves = !settle::same(&state.from, &state.to);
    let rows_tell = moves && !state.statements_by_themselves && settle::same(rows, &state.from);
    is_back(state, saved, check) || (check.catalog.is_empty() && rows_tell)
}

/// The same, as far as the journal and a comparison with the snapshot tell.
pub(super) fn is_back(state: &OperationState, saved: &Saved, check: &Check) -> bool {
    let said = state.facts.get(settle::IS_BACK) == Some(&saved.backup.manifest.id);
    state.finished.contains(&Step::PutBack) || check.wrong.is_empty() || (check.catalog.is_empty() && said)
}

pub(super) fn put_back_before(
    ports: &Ports<'_>,
    state: &OperationState,
    saved: &Saved,
    check: &Check,
) -> Report {
    let since = verify::sentences(check);
    let written = |since: &Vec<String>| {
        format!("rows were written by others since it was put back: {}", since.join("; "))
    };
    Report {
        aftermath: Aftermath::PutBack,
        to: state.from.clone(),
        backup: Some(saved.facts()),
        notes: Some(&since).filter(|since| !since.is_empty()).map(written).into_iter().collect(),
        ..report(ports, state)
    }
}

/// Keeps the present state, each time anew, and puts the saved one back.
pub(super) async fn undo(
    ports: &Ports<'_>,
    op: &mut Operation,
    state: &OperationState,
    saved: &Saved,
    request: &RecoverRequest,
) -> Result<Report, Failure> {
    op.set_aftermath(Aftermath::Unknown);
    let named = |failure| Failure { backup: Some(saved.facts()), ..failure };
    let id = name_of_present(ports, state).await;
    let kept = snapshot::keep_present(ports, op, id, &request.policy).await;
    let kept = kept.map_err(named).map_err(with_the_way_unproven)?;
    let end = settle::put_back(ports, op, saved).await.map_err(named).map_err(with_writers_first)?;
    let kept = kept.map(|kept| kept.backup.manifest.id);
    if let Some(kept) = &kept {
        keep_end(ports, kept, &end).await;
    }
    Ok(Report {
        aftermath: Aftermath::PutBack,
        to: state.from.clone(),
        backup: Some(saved.facts()),
        undo: kept.map(|kept| format!("ripcord restore {kept}")),
        ..report(ports, state)
    })
}

/// Names what has to be done first where others write all the time: what they wrote last is never replaced, so going back as
/// often as one likes does not end, and going on would ask for this way again.
fn with_writers_first(failure: Failure) -> Failure {
    if !matches!(settle::of_engine(&failure), Some(Error::WroteMeanwhile { .. })) {
        return failure;
    }
    Failure { next: vec!["stop the application first, then: ripcord recover --undo".to_string()], ..failure }
}

/// Names the way that needs no other database to prove the present state in: it must not bar the way back.
fn with_the_way_unproven(failure: Failure) -> Failure {
    if failure.step != Some(Step::Prove) || settle::is_interrupted(&failure) {
        return failure;
    }
    let way = "or go back without proving that the present state could be restored: ripcord recover --undo --proof none";
    Failure { otherwise: Some(way.to_string()), ..failure }
}

/// Returns a free name for the backup of the present state: others may have written since an earlier attempt.
async fn name_of_present(ports: &Ports<'_>, state: &OperationState) -> String {
    let mut id = format!("{}-present", state.operation);
    let mut attempt = 1;
    while !matches!(ports.store.open(&id).await, Err(crate::store::Error::NotFound { .. })) {
        attempt += 1;
        id = format!("{}-present-{attempt}", state.operation);
    }
    id
}

/// Keeps what the database is at the end beside the state that was replaced, so that the next `verify` compares with
/// the end. The data is safe already: a file that cannot be written now is no failure.
pub(super) async fn keep_end(ports: &Ports<'_>, backup: &str, end: &Inventory) {
    let bytes = serde_json::to_vec_pretty(end).unwrap_or_default();
    let _ = ports.store.add(backup, "after.json", &bytes).await;
}
