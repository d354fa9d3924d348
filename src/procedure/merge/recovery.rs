//! After a crash in a merge by hand: finding out whether it took place.

use super::crashed::{Was, kept as kept_of, settled, untold, was_merged};
use super::verify::only_merged;
use super::{MERGES, TABLES, chosen, facts, look_at, report};
use crate::base::shell_word;
use crate::engine::{OtherWrites, is_kept};
use crate::fingerprint::Inventory;
use crate::journal::{Operation, OperationState};
use crate::ledger::MergedBack;
use crate::procedure::consent::Given;
use crate::procedure::snapshot::{Saved, read_inventory};
use crate::procedure::{Ports, refused};
use crate::report::{Aftermath, Check, Failure, Report, Step};

/// The crash came while salvage was merged by hand: it is one transaction, and it is looked up whether that was committed.
pub(in crate::procedure) async fn recover(
    ports: &Ports<'_>,
    op: &mut Operation,
    state: &OperationState,
) -> Result<Report, Failure> {
    let unknown = |failure: Failure| Failure { aftermath: Aftermath::Unknown, ..failure };
    let id = state.facts.get(MERGES).cloned().unwrap_or_default();
    let saved = saved(ports, state).await.map_err(unknown)?;
    let mut report =
        report(ports, Some(state.operation.clone()), Aftermath::Unchanged, state.from.clone(), None);
    report.backup = Some(saved.facts());
    let merged = match was_merged(ports, state).await.map_err(unknown)? {
        Was::Merged(merged) => merged,
        Was::NotMerged => {
            report.notes.extend(again(state));
            return Ok(report);
        }
        Was::Untold(why) => {
            let note = match is_left(ports, state, &id).await.map_err(unknown)? {
                true => untold(&why, &id),
                false => {
                    kept_end(ports, &saved).await.map_err(unknown)?;
                    nothing_left(&why)
                }
            };
            report.notes.push(note);
            // It may have been merged, and then this is the way back.
            return Ok(Report { aftermath: Aftermath::Changed, undo: Some(undo(&saved)), ..report });
        }
    };
    let after = kept_end(ports, &saved).await.map_err(unknown)?;
    report.notes.push(settled(ports, op, state).await.map_err(unknown)?);
    let mut changed = true;
    if let Some(merged) = merged {
        changed = is_kept(&merged);
        let check = looked_at(&saved.inventory, &after, &merged);
        report.notes.extend(check.unsure.iter().cloned());
        report.check = Some(check);
        let (files, said) = kept_of(ports, op, &saved, &after, &merged).await;
        report.notes.extend(said);
        report.merge = Some(facts(&[id], *merged, files));
    }
    if changed {
        report.undo = Some(undo(&saved));
        report.aftermath = Aftermath::Changed;
    }
    Ok(report)
}

/// Keeps the database as it is now for a later `verify`, and returns it.
async fn kept_end(ports: &Ports<'_>, saved: &Saved) -> Result<Inventory, Failure> {
    let after = ports.database.inventory(&ports.progress(Step::Verify)).await.map_err(refused)?;
    let bytes = serde_json::to_vec_pretty(&after).unwrap_or_default();
    ports.store.add(&saved.backup.manifest.id, "after.json", &bytes).await.map_err(refused)?;
    Ok(after)
}

/// Also where nothing is left to put back it may be that nothing was: others may have deleted, or written, all that it is of.
fn nothing_left(why: &str) -> String {
    format!("there is nothing left to merge; whether it had taken place cannot be told ({why})")
}

fn undo(saved: &Saved) -> String {
    format!("ripcord restore {}", saved.backup.manifest.id)
}

/// Returns the backup that the merge took before it wrote.
async fn saved(ports: &Ports<'_>, state: &OperationState) -> Result<Saved, Failure> {
    let id = state.backup.clone().unwrap_or_else(|| state.operation.clone());
    let backup = ports.store.open(&id).await.map_err(refused)?;
    let inventory = read_inventory(&backup, "before.json").map_err(refused)?;
    Ok(Saved {
        backup,
        inventory,
        rehearsal: None,
        salvage: Vec::new(),
        given: Given::default(),
        beyond: None,
    })
}

/// Tells whether a merge would put anything back now.
async fn is_left(ports: &Ports<'_>, state: &OperationState, backup: &str) -> Result<bool, Failure> {
    let backup = ports.store.open(backup).await.map_err(refused)?;
    let tables = state.facts.get(TABLES).map(|text| text.lines().map(str::to_string).collect::<Vec<_>>());
    let mut chosen = chosen(ports, &backup, &tables.unwrap_or_default()).await?;
    // Under another name: the side table of the one that died must not be looked past.
    let looked = look_at(ports, &mut chosen.pieces, &format!("{}-look", state.operation)).await;
    Ok(looked.map_err(refused)?.count() > 0)
}

/// Compares the database with what it was before the merge. A merge proves what it writes before its commit, so what it
/// does not explain is the work of others, from the snapshot on.
fn looked_at(before: &Inventory, after: &Inventory, merged: &MergedBack) -> Check {
    let others = OtherWrites::Unknown("the process that would have seen them died".to_string());
    let mut check = only_merged(before, after, merged, &others);
    let wrong = std::mem::take(&mut check.wrong);
    check.unsure.extend(
        wrong.into_iter().map(|wrong| {
            format!("{}: {}; others changed it since the snapshot", wrong.subject, wrong.detail)
        }),
    );
    check
}

/// Says of a merge that has not taken place how to run it again; nothing where it is not known what was to be merged.
pub(in crate::procedure) fn again(state: &OperationState) -> Option<String> {
    let backup = state.facts.get(MERGES)?;
    let tables = state.facts.get(TABLES).map(String::as_str).unwrap_or_default();
    let flags: String = tables.lines().map(|table| format!(" --table {}", shell_word(table))).collect();
    Some(format!("nothing was merged; run it again: ripcord backup merge-back {backup}{flags}"))
}
