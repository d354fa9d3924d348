//! After a crash in a merge by hand: finding out whether it took place.

use super::{MERGES, TABLES, chosen, report};
use crate::base::shell_word;
use crate::engine::MergeMode;
use crate::journal::OperationState;
use crate::procedure::{Ports, refused};
use crate::report::{Aftermath, BackupFacts, Failure, Report, Step};
use crate::store::Backup;

/// The crash came while salvage was merged by hand: it is one transaction, and a second look tells whether anything is
/// left to merge.
pub(in crate::procedure) async fn recover(
    ports: &Ports<'_>,
    state: &OperationState,
) -> Result<Report, Failure> {
    let unknown = |failure: Failure| Failure { aftermath: Aftermath::Unknown, ..failure };
    let id = state.facts.get(MERGES).cloned().unwrap_or_default();
    let backup = ports.store.open(&id).await.map_err(refused).map_err(unknown)?;
    let tables = state.facts.get(TABLES).map(|text| text.lines().map(str::to_string).collect::<Vec<_>>());
    let chosen = chosen(ports, &backup, &tables.unwrap_or_default()).await.map_err(unknown)?;
    let saved = match &state.backup {
        Some(id) => Some(ports.store.open(id).await.map_err(refused).map_err(unknown)?),
        None => None,
    };
    let progress = ports.progress(Step::MergeBack);
    // Under another name: the side table of the one that died must not be looked past.
    let name = format!("{}-look", state.operation);
    let looked = ports.database.merge_back(&chosen.pieces, MergeMode::Look, &name, &progress).await;
    let looked = looked.map_err(refused).map_err(unknown)?;
    let took_place = looked.count() == 0;
    let kept = saved.as_ref().map(backup_facts);
    let mut report =
        report(ports, Some(state.operation.clone()), Aftermath::Unchanged, state.from.clone(), None);
    report.backup = kept;
    if !took_place {
        report.notes.extend(again(state));
        return Ok(report);
    }
    if let Some(saved) = saved {
        let after = ports.database.inventory(&ports.progress(Step::Verify)).await;
        let after = after.map_err(refused).map_err(unknown)?;
        let bytes = serde_json::to_vec_pretty(&after).unwrap_or_default();
        ports.store.add(&saved.manifest.id, "after.json", &bytes).await.map_err(refused).map_err(unknown)?;
        report.undo = Some(format!("ripcord restore {}", saved.manifest.id));
    }
    Ok(Report { aftermath: Aftermath::Changed, ..report })
}

/// Says of a merge that has not taken place how to run it again; nothing where it is not known what was to be merged.
pub(in crate::procedure) fn again(state: &OperationState) -> Option<String> {
    let backup = state.facts.get(MERGES)?;
    let tables = state.facts.get(TABLES).map(String::as_str).unwrap_or_default();
    let flags: String = tables.lines().map(|table| format!(" --table {}", shell_word(table))).collect();
    Some(format!("nothing was merged; run it again: ripcord backup merge-back {backup}{flags}"))
}

fn backup_facts(backup: &Backup) -> BackupFacts {
    BackupFacts {
        id: backup.manifest.id.clone(),
        place: backup.folder.clone(),
        bytes: backup.bytes(),
        proven: backup.manifest.proof.proven,
        salvage: Vec::new(),
    }
}
