//! The crash came while a restored database was put in place. The engine has finished or undone the swap; look which.

use super::{
    RecoverRequest, is_back, keep_end, put_back_before, report, saved, unchanged, undo, unknown, with_undo,
};
use crate::fingerprint::Inventory;
use crate::journal::{Operation, OperationState};
use crate::procedure::snapshot::{Saved, read_inventory};
use crate::procedure::{Ports, Refusal, refused, verify};
use crate::report::{Aftermath, Failure, Report, Step};

/// Finds out whether the restore took place, or undoes it.
pub(super) async fn look(
    ports: &Ports<'_>,
    op: &mut Operation,
    state: &OperationState,
    request: &RecoverRequest,
) -> Result<Report, Failure> {
    let restored = restored(state);
    let replaced = match &state.backup {
        Some(_) => Some(saved(ports, state).await?),
        None => None,
    };
    if !ports.database.exists().await.map_err(refused)? {
        let mut report = unchanged(ports, state);
        report.notes.push(format!("no database was made; run the restore of backup {restored} again"));
        return Ok(report);
    }
    if let Some(replaced) = &replaced
        && let Some(report) = undone(ports, op, state, (replaced, request)).await?
    {
        return Ok(report);
    }
    let backup = ports.store.open(&restored).await.map_err(refused)?;
    let expected = read_inventory(&backup, "before.json").map_err(refused)?;
    let now = match ports.database.inventory(&ports.progress(Step::Verify)).await {
        Ok(now) => now,
        Err(error) if error.is_unreadable() => return unreadable(ports, state, replaced.as_ref(), error),
        Err(error) => return Err(refused(error)),
    };
    let took_place = match state.finished.contains(&Step::Swap) {
        true => Some(true),
        false => took_place(&expected, replaced.as_ref().map(|saved| &saved.inventory), &now),
    };
    match (took_place, replaced) {
        (Some(true), replaced) => {
            if let Some(replaced) = &replaced {
                keep_end(ports, &replaced.backup.manifest.id, &now).await;
            }
            let backup = replaced.as_ref().map(Saved::facts);
            let undo = backup.as_ref().map(|replaced| format!("ripcord restore {}", replaced.id));
            Ok(Report { aftermath: Aftermath::PutBack, backup, undo, ..report(ports, state) })
        }
        (Some(false), _) => Ok(not_restored(ports, state)),
        (None, Some(replaced)) => {
            let at =
                "while a restored database was put in its place, and others have written since".to_string();
            let refusal = Refusal::NeedsChoice { operation: state.operation.clone(), at };
            Err(with_undo(true, unknown(state, &replaced, refusal)))
        }
        // There was nothing that could be read before. What can be read now is what was restored, if anything in it
        // is; otherwise others have made it.
        (None, None) if has_any_table_of(&expected, &now) => {
            Ok(Report { aftermath: Aftermath::PutBack, ..report(ports, state) })
        }
        (None, None) => Ok(not_restored(ports, state)),
    }
}

/// Undoes the restore where that is wished or was begun; `None` where it is neither.
async fn undone(
    ports: &Ports<'_>,
    op: &mut Operation,
    state: &OperationState,
    (replaced, request): (&Saved, &RecoverRequest),
) -> Result<Option<Report>, Failure> {
    let was_begun = state.started.contains(&Step::PutBack);
    if was_begun
        && let Ok(check) = verify::is_as_before(ports, replaced).await
        && is_back(state, replaced, &check)
    {
        return Ok(Some(put_back_before(ports, state, replaced, &check)));
    }
    if was_begun || request.undo {
        return undo(ports, op, state, replaced, request).await.map(Some);
    }
    Ok(None)
}

/// What is there cannot be read. What was staged could be, so it is not there: either what could not be read before
/// still is, or nobody knows what has happened.
fn unreadable(
    ports: &Ports<'_>,
    state: &OperationState,
    replaced: Option<&Saved>,
    error: crate::engine::Error,
) -> Result<Report, Failure> {
    match replaced {
        None => Ok(not_restored(ports, state)),
        Some(replaced) => Err(with_undo(true, unknown(state, replaced, error))),
    }
}

/// Returns the backup that was being restored.
fn restored(state: &OperationState) -> String {
    state.facts.get("restores").cloned().unwrap_or_default()
}

fn not_restored(ports: &Ports<'_>, state: &OperationState) -> Report {
    let mut report = unchanged(ports, state);
    let again = format!("the restore did not take place; run it again: ripcord restore {}", restored(state));
    report.notes.push(again);
    report
}

/// Decides from what is there whether a swap took place: the swap is all or nothing, so one table that only one of the
/// two sides has in this state tells; `None` when others have written so much that no table is as either side had it.
pub(in crate::procedure) fn took_place(
    restored: &Inventory,
    replaced: Option<&Inventory>,
    now: &Inventory,
) -> Option<bool> {
    let is = |side: &Inventory| verify::strict(side, now).wrong.is_empty();
    if is(restored) {
        return Some(true);
    }
    let replaced = replaced?;
    if is(replaced) {
        return Some(false);
    }
    let tells = |side: &Inventory, other: &Inventory| {
        now.fingerprint.tables.iter().any(|(name, table)| {
            side.fingerprint.tables.get(name) == Some(table)
                && other.fingerprint.tables.get(name) != Some(table)
        })
    };
    match (tells(restored, replaced), tells(replaced, restored)) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    }
}

fn has_any_table_of(restored: &Inventory, now: &Inventory) -> bool {
    let as_restored = |(name, table)| restored.fingerprint.tables.get(name) == Some(table);
    now.fingerprint.tables.iter().any(as_restored)
}
