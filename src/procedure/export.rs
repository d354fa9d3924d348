//! Exports by hand: tables and queries as files that load anywhere.

use super::{Ports, refused};
use crate::base::counted;
use crate::engine::Selection;
use crate::report::{Event, Failure, Step};
use crate::tabular::{Draft, Made, Sidecar};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One export under its name.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Export {
    /// The CSV; the JSON lies beside it.
    pub place: PathBuf,
    #[serde(flatten)]
    pub facts: Sidecar,
}

/// Exports tables and queries into files of `folder`, all as of one instant: all of them, or none. The database is only
/// read, by as many readers as it has cores, so no operation need wait for it.
pub async fn export(
    ports: &Ports<'_>,
    selections: &[Selection],
    folder: &Path,
) -> Result<Vec<Export>, Failure> {
    ports.database.must_exist().await.map_err(refused)?;
    // Before anything is read: a name that is taken must not be found after an hour.
    let names = selections.iter().map(|selection| selection.name().to_string()).collect();
    let draft = Arc::new(Draft::begin(folder, names).map_err(refused)?);
    ports.observer.event(&Event::StepStarted { step: Step::Export });
    let done = write(ports, selections, &draft).await;
    ports.observer.event(&match &done {
        Ok(exports) => Event::StepFinished { step: Step::Export, facts: facts(exports) },
        Err(failure) => Event::StepFailed { step: Step::Export, error: failure.to_string() },
    });
    done
}

async fn write(
    ports: &Ports<'_>,
    selections: &[Selection],
    draft: &Arc<Draft>,
) -> Result<Vec<Export>, Failure> {
    let progress = ports.progress(Step::Export);
    let at = ports.clock.now();
    let exported = ports.database.export_rows(selections, draft.clone(), &progress).await.map_err(refused)?;
    // The last moment at which stopping leaves nothing behind.
    ports.go_on().map_err(refused)?;
    let published = draft.publish(&Made::all(selections, exported), ports.identity(), at).map_err(refused)?;
    Ok(published.into_iter().map(|(place, facts)| Export { place, facts }).collect())
}

fn facts(exports: &[Export]) -> String {
    let rows = super::rows_of(exports.iter().map(|export| export.facts.rows).sum());
    format!("{}, {rows}", counted(exports.len() as u64, "file"))
}
