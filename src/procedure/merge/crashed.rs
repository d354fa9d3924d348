//! After a crash in a merge: whether it had been committed. Then it is not done again, because others may have deleted or
//! cleared what it had put back.

use super::conflicts::keep_conflicts;
use super::told::Told;
use super::{After, facts, left_undone, waiting};
use crate::engine::{MergeBecame, WAS_MERGED, is_kept};
use crate::fingerprint::Inventory;
use crate::journal::{Operation, OperationState};
use crate::ledger::MergedBack;
use crate::procedure::facts::Done;
use crate::procedure::snapshot::Saved;
use crate::procedure::{Ports, refused};
use crate::report::{Failure, Step};
use std::convert::Infallible;

const AGAIN: &str = "it had taken place before the crash, and was not done again";

/// What is known of a merge that a crash interrupted.
pub(in crate::procedure) enum Was {
    /// With what it did, where that was written down.
    Merged(Option<Box<MergedBack>>),
    NotMerged,
    /// It cannot be told, and why.
    Untold(String),
}

/// Tells whether the merge of an operation was committed, by its journal and by the database.
pub(in crate::procedure) async fn was_merged(
    ports: &Ports<'_>,
    state: &OperationState,
) -> Result<Was, Failure> {
    let told = state.facts.get(WAS_MERGED);
    let merged: Option<Box<MergedBack>> = told.and_then(|text| serde_json::from_str(text).ok());
    if state.finished.contains(&Step::MergeBack) {
        return Ok(Was::Merged(merged));
    }
    let merged = match (told, merged) {
        _ if !state.started.contains(&Step::MergeBack) => return Ok(Was::NotMerged),
        // What it would commit is written down before it commits it.
        (Some(told), None) if told.is_empty() => return Ok(Was::NotMerged),
        (Some(_), Some(merged)) if !is_kept(&merged) => return Ok(Was::Merged(Some(merged))),
        (Some(_), merged) => merged,
        (None, _) => {
            return Ok(Was::Untold("its journal is of a version that did not write that down".to_string()));
        }
    };
    let became = ports.database.merge_became(&state.operation, &state.facts).await.map_err(refused)?;
    Ok(match became {
        MergeBecame::Committed => Was::Merged(merged),
        MergeBecame::NotCommitted => Was::NotMerged,
        MergeBecame::Unknown(why) => Was::Untold(why),
    })
}

/// Writes into the journal that the merge is over, and removes what says so in the database: in that order, so that the
/// next recovery knows it as well.
pub(in crate::procedure) async fn settled(
    ports: &Ports<'_>,
    op: &mut Operation,
    state: &OperationState,
) -> Result<String, Failure> {
    if !state.finished.contains(&Step::MergeBack) {
        let done = async { Ok::<_, Infallible>(Done { what: (), facts: AGAIN.to_string() }) };
        op.step(Step::MergeBack, done).await?;
    }
    let _ = ports.database.forget_merge(&state.operation).await;
    Ok(format!("salvage was merged back: {AGAIN}"))
}

/// Ends the merge of a downgrade that a crash interrupted; `None` where it has still to be done. `after` is the database as
/// it is now, verified.
pub(in crate::procedure) async fn before_crash(
    ports: &Ports<'_>,
    op: &mut Operation,
    state: &OperationState,
    saved: &Saved,
    after: &Inventory,
) -> Result<Option<After>, Failure> {
    let Told { from, notes: told, held_back } = Told::or_all(state);
    let (merge, mut notes) = match was_merged(ports, state).await? {
        Was::NotMerged => return Ok(None),
        Was::Untold(why) => (None, from.iter().map(|id| untold(&why, id)).collect()),
        Was::Merged(merged) => {
            let mut notes = vec![settled(ports, op, state).await?];
            let merge = match merged {
                None => None,
                Some(merged) => {
                    let (files, said) = kept(ports, op, saved, after, &merged).await;
                    notes.extend(said);
                    Some(facts(&from, *merged, files))
                }
            };
            (merge, notes)
        }
    };
    notes.extend(told);
    Ok(Some(After { inventory: after.clone(), merge, held_back, notes }))
}

/// The same where the backup of the downgrade is lost: says that it had merged, and what it had held back.
pub(in crate::procedure) async fn settled_without_backup(
    ports: &Ports<'_>,
    op: &mut Operation,
    state: &OperationState,
) -> Result<Vec<String>, Failure> {
    let said = settled(ports, op, state).await?;
    Ok(std::iter::once(said).chain(Told::or_all(state).notes).collect())
}

/// Keeps the conflicts as files; returns their names, and what is to be said of the merge.
pub(super) async fn kept(
    ports: &Ports<'_>,
    op: &Operation,
    saved: &Saved,
    after: &Inventory,
    merged: &MergedBack,
) -> (Vec<String>, Vec<String>) {
    let mut said: Vec<String> = left_undone(merged).chain(waiting::stale_views(after, merged)).collect();
    // Whoever has looked at the side table may have dropped it.
    let files = match keep_conflicts(ports, op.id(), saved, merged).await {
        Ok(files) => files,
        Err(error) => {
            said.push(format!("the conflicts of the merge could not be kept as files: {error}"));
            Vec::new()
        }
    };
    (files, said)
}

/// Says that nothing was merged because it may have been already.
pub(in crate::procedure) fn untold(why: &str, backup: &str) -> String {
    format!(
        "nothing was merged now, because it cannot be told whether the merge had taken place before the crash ({why}); merging \
         again would bring back what others deleted or cleared since. See what is left to merge: ripcord backup merge-back \
         {backup} --dry-run"
    )
}
