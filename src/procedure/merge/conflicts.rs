//! The files of a merge: how the database ended, and what was in conflict, so that nobody has to look for it in a table.

use super::Cause;
use crate::catalog::TableName;
use crate::engine::Selection;
use crate::fingerprint::Inventory;
use crate::ledger::MergedBack;
use crate::procedure::facts::Done;
use crate::procedure::snapshot::Saved;
use crate::procedure::{Ports, Refusal, carry};
use crate::report::Step;
use crate::tabular::{Draft, Made};
use std::sync::Arc;

/// What the conflicts are called in a backup.
const CONFLICTS: &str = "conflicts";

/// Keeps how the database ended, and the conflicts as files; returns their names.
pub(super) async fn keep(
    ports: &Ports<'_>,
    id: &str,
    saved: &Saved,
    after: &Inventory,
    merged: &MergedBack,
) -> Result<Done<Vec<String>>, Cause> {
    let backup = &saved.backup.manifest.id;
    ports.store.add(backup, "after.json", &serde_json::to_vec_pretty(after)?).await?;
    let work = async || keep_conflicts(ports, id, saved, merged).await;
    let files = carry::to_the_end(ports, "writing down the conflicts", work).await?;
    let facts =
        if files.is_empty() { String::new() } else { format!("conflicts are in {}", files.join(" and ")) };
    Ok(Done { what: files, facts })
}

/// Keeps the conflicts as files in the backup of the operation; returns their names.
pub(super) async fn keep_conflicts(
    ports: &Ports<'_>,
    id: &str,
    saved: &Saved,
    merged: &MergedBack,
) -> Result<Vec<String>, Cause> {
    let Some(side) = &merged.side_table else { return Ok(Vec::new()) };
    // A draft is private, and removed by `recover` after a crash.
    let draft = ports.store.draft(&format!("{id}-{CONFLICTS}")).await?;
    let written = write_conflicts(ports, side, &draft.folder, &saved.backup.manifest.id).await;
    let discarded = ports.store.discard(draft).await;
    let files = written?;
    discarded?;
    Ok(files)
}

async fn write_conflicts(
    ports: &Ports<'_>,
    side: &TableName,
    folder: &std::path::Path,
    backup: &str,
) -> Result<Vec<String>, Cause> {
    let selections = [Selection::Table(side.to_string())];
    let draft = Arc::new(Draft::begin(folder, vec![CONFLICTS.to_string()])?);
    let progress = ports.progress(Step::Finish);
    let exported = ports.database.export_rows(&selections, draft.clone(), &progress).await?;
    draft.publish(&Made::all(&selections, exported), ports.identity(), ports.clock.now())?;
    let names = [format!("{CONFLICTS}.csv.gz"), format!("{CONFLICTS}.json")];
    for name in &names {
        let place = folder.join(name);
        let bytes = std::fs::read(&place).map_err(|source| Refusal::Io { place, doing: "read", source })?;
        ports.store.add(backup, name, &bytes).await?;
    }
    Ok(names.to_vec())
}
