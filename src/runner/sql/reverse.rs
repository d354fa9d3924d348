//! The way back of a plan, from the files alone. Pure.

use super::file::RevisionFile;
use super::planning;
use crate::catalog::EngineKind;
use crate::history::{Direction, MigrationStep, RowChange};
use crate::ledger::Irreversible;
use crate::plan::{Plan, Script};
use crate::runner::{Error, Reverse};

/// Returns the same revisions in reverse order, each with its other section and its changes of the version rows undone.
pub(super) fn make(files: &[RevisionFile], engine: EngineKind, plan: &Plan) -> Result<Reverse, Error> {
    let direction = match plan.direction {
        Direction::Up => Direction::Down,
        Direction::Down => Direction::Up,
    };
    let (mut scripts, mut irreversible) = (Vec::new(), Vec::new());
    for (index, there) in plan.scripts.iter().enumerate().rev() {
        let rows_before = match index {
            0 => plan.from.clone(),
            _ => plan.scripts[index - 1].rows_after.clone(),
        };
        let Some(file) = files.iter().find(|file| file.revision.id == there.revision) else {
            irreversible.push(Irreversible { revision: there.revision.clone(), why: None });
            continue;
        };
        let step = MigrationStep {
            revision: there.revision.clone(),
            direction,
            changes: undone(there),
            rows_before: there.rows_after.clone(),
            rows_after: rows_before,
        };
        match planning::script(file, step, engine) {
            Ok(script) => scripts.push(script),
            Err(Error::NoSection { revision, why, .. }) => irreversible.push(Irreversible { revision, why }),
            Err(error) => return Err(error),
        }
    }
    if !irreversible.is_empty() {
        return Ok(Reverse::Irreversible(irreversible));
    }
    let target = plan.from.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (from, to) = (plan.to.clone(), plan.from.clone());
    Ok(Reverse::Plan(Plan { direction, target, from, to, schema: None, scripts, accepted: Vec::new() }))
}

fn undone(there: &Script) -> Vec<RowChange> {
    let undo = |change: &RowChange| match change.clone() {
        RowChange::Insert(id) => RowChange::Delete(id),
        RowChange::Delete(id) => RowChange::Insert(id),
        RowChange::Update { from, to } => RowChange::Update { from: to, to: from },
    };
    there.rows.iter().rev().map(undo).collect()
}
