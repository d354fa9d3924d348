//! An upgrade's snapshot, migrated there and back by a way back that its own rehearsal did not know.
//!
//! A rehearsal of what is about to run is on a snapshot of now. This one is about what an upgrade has done to the data of
//! then: only there, where nobody has written since, can be seen what its way back leaves.

use super::super::facts::Done;
use super::super::{Ports, copies, salvage};
use super::legs::{Cause, Stage, beginning};
use crate::engine::{RehearsalCopy, Snapshot};
use crate::ledger;
use crate::plan::Plan;
use crate::report::Step;
use crate::tabular::Sidecar;
use std::path::Path;
use std::sync::Mutex;

/// What is run, and on what.
pub(in crate::procedure) struct Anew<'a> {
    pub operation: &'a str,
    pub there: &'a Plan,
    pub back: &'a Plan,
    /// The folder of the snapshot.
    pub place: &'a Path,
    pub taken: &'a Snapshot,
}

/// Restores the snapshot, migrates it there and back, and writes what is missing then into a folder. Fails like the
/// scripts do, and as [`copies::restored`] does where the snapshot does not come back whole.
pub(in crate::procedure) async fn salvage_anew(
    ports: &Ports<'_>,
    anew: &Anew<'_>,
    folder: &Path,
) -> Result<Done<Vec<Sidecar>>, Cause> {
    let copy = copies::restored(ports, (anew.place, anew.taken), anew.operation, Step::Renew).await?;
    let outcome = there_and_back(ports, anew, copy.as_ref(), folder).await;
    copies::removed(outcome, copy.remove(), Cause::from).await
}

async fn there_and_back(
    ports: &Ports<'_>,
    anew: &Anew<'_>,
    copy: &dyn RehearsalCopy,
    folder: &Path,
) -> Result<Done<Vec<Sidecar>>, Cause> {
    let runner = ports.runner.on(copy.database());
    let before = beginning(ports, anew.taken, copy, true).await?;
    let stage = Stage {
        ports,
        runner: runner.as_ref(),
        copy,
        id: anew.operation,
        place: anew.place,
        taken: anew.taken,
        before: &before,
        at: Mutex::default(),
    };
    let there = stage.leg(anew.there, Step::Renew, None).await?.what;
    let back = stage.leg(anew.back, Step::Renew, Some(&there)).await?.what;
    let began = ledger::folded(&before);
    let (arrived, returned) = (ledger::folded(&there.inventory), ledger::folded(&back.inventory));
    let keeps = ledger::keeps(&began, (&arrived, &there.answers), Some((&returned, &back.answers)));
    salvage::write(ports, Step::Renew, &keeps, copy, folder).await
}
