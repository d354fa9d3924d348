//! Copies of a snapshot: whatever is done with one and however that ends, it holds all data and must not stay.

use super::{Ports, Refusal};
use crate::engine::{self, RehearsalCopy, Snapshot};
use crate::report::Step;
use std::path::Path;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Restores a snapshot for a rehearsal, as a part of this step. Fails with [`Refusal::NotProven`] where it does not come back
/// whole; then nothing is left of it.
pub(super) async fn restored(
    ports: &Ports<'_>,
    (place, taken): (&Path, &Snapshot),
    operation: &str,
    step: Step,
) -> Result<Box<dyn RehearsalCopy>, Cause> {
    ports.go_on()?;
    let copy = ports.database.rehearsal(place, taken, operation, &ports.progress(step)).await?;
    let differences = copy.proof().differences.clone();
    if differences.is_empty() {
        return Ok(copy);
    }
    removed(Err(Refusal::NotProven { differences }.into()), copy.remove(), Cause::from).await
}

/// Removes a copy, and returns what came of the work on it; of two failures that of the work, which is the cause of more.
pub(super) async fn removed<T, E>(
    outcome: Result<T, E>,
    removal: impl Future<Output = Result<(), engine::Error>>,
    told: impl FnOnce(engine::Error) -> E,
) -> Result<T, E> {
    let gone = removal.await;
    let done = outcome?;
    gone.map_err(told)?;
    Ok(done)
}
