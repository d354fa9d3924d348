//! Salvage: files of exactly what a migration destroys and its way back does not bring back.
//!
//! Taken out of the restored snapshot, so that it is of the snapshot's instant whatever is written meanwhile, and kept in
//! the backup that the change is about to publish. What must be kept is the ledger's to say ([`crate::ledger::keeps`]).

use super::facts::Done;
use super::{Ports, rows_of};
use crate::engine::RehearsalCopy;
use crate::journal::Operation;
use crate::ledger::Keep;
use crate::report::{Failure, SalvageFacts, Step};
use crate::store::Backup;
use crate::tabular::{Draft, EXPORTS, Made, Sidecar};
use std::path::Path;
use std::sync::Arc;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Writes what is to be kept into the folder of a backup to come. Nothing to keep is no step.
pub(super) async fn take(
    ports: &Ports<'_>,
    op: &mut Operation,
    keeps: &[Keep],
    copy: &dyn RehearsalCopy,
    folder: &Path,
) -> Result<Vec<Sidecar>, Failure> {
    if keeps.is_empty() {
        return Ok(Vec::new());
    }
    Ok(op.step(Step::Salvage, write(ports, keeps, copy, &folder.join(EXPORTS))).await?.what)
}

async fn write(
    ports: &Ports<'_>,
    keeps: &[Keep],
    copy: &dyn RehearsalCopy,
    folder: &Path,
) -> Result<Done<Vec<Sidecar>>, Cause> {
    ports.go_on()?;
    let draft = Arc::new(Draft::begin(folder, keeps.iter().map(Keep::name).collect())?);
    let at = ports.clock.now();
    let salvaged = copy.salvage(keeps, draft.clone(), &ports.progress(Step::Salvage)).await?;
    ports.go_on()?;
    let made: Vec<Made> = salvaged.into_iter().map(Made::from).collect();
    let published = draft.publish(&made, ports.identity(), at)?;
    let what: Vec<Sidecar> = published.into_iter().map(|(_, sidecar)| sidecar).collect();
    let rows = rows_of(what.iter().map(|sidecar| sidecar.rows).sum());
    let facts = match what.len() {
        0 => "nothing is lost after all".to_string(),
        1 => format!("1 file, {rows}"),
        files => format!("{files} files, {rows}"),
    };
    Ok(Done { what, facts })
}

/// Returns what a backup says of one of its salvaged files.
pub fn facts(sidecar: &Sidecar) -> Option<SalvageFacts> {
    let salvage = sidecar.salvage.as_ref()?;
    Some(SalvageFacts {
        file: format!("{EXPORTS}/{}", sidecar.file),
        what: salvage.what,
        table: salvage.table.clone(),
        columns: salvage.columns.clone(),
        rows: sidecar.rows,
    })
}

/// Returns what of a migration's losses a published backup holds; what cannot be read is said by `backup verify`.
pub fn of(backup: &Backup) -> Vec<SalvageFacts> {
    let found = crate::tabular::salvage_in(&backup.folder).unwrap_or_default();
    found.iter().filter_map(|(_, sidecar)| facts(sidecar)).collect()
}
