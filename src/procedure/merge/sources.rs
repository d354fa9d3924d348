//! Which salvage a downgrade brings back: that of the upgrades it has just undone, as their backups and journals tell.

use super::end::End;
use super::{Cause, pieces};
use crate::engine::Piece;
use crate::history::{Direction, RevisionId};
use crate::procedure::Ports;
use crate::procedure::snapshot::read_plan;
use crate::report::Kind;
use crate::store::Listed;
use std::collections::BTreeSet;

/// Salvage that a downgrade brings back: which backups have it, and what must wait.
pub(super) struct Sources {
    pub(super) backups: Vec<String>,
    pub(super) pieces: Vec<Piece>,
    pub(super) notes: Vec<String>,
}

/// Finds the salvage of the upgrades that a downgrade has just undone, the newest first. Of each revision only the newest
/// upgrade counts: what an earlier one salvaged was merged back before the later one ran. One of which a revision is still
/// applied waits, because what its way back leaves is not there yet.
pub(super) async fn sources(
    ports: &Ports<'_>,
    undone: &[RevisionId],
    rows: &[RevisionId],
) -> Result<Sources, Cause> {
    let history = ports.runner.history()?;
    let applied: BTreeSet<RevisionId> =
        history.applied(rows).unwrap_or_default().into_iter().map(|revision| revision.id.clone()).collect();
    let mut open: BTreeSet<RevisionId> = undone.iter().cloned().collect();
    let mut found = Sources { backups: Vec::new(), pieces: Vec::new(), notes: Vec::new() };
    for listed in ports.store.list().await?.into_iter().rev() {
        let Listed::Whole { backup } = listed else { continue };
        let mine =
            backup.manifest.kind == Kind::Upgrade && backup.manifest.database.is_same(ports.identity());
        if !mine {
            continue;
        }
        let Ok(plan) = read_plan(&backup) else { continue };
        let its: Vec<RevisionId> = plan.scripts.iter().map(|script| script.revision.clone()).collect();
        let end = End::of(ports, &backup);
        let is_first = its.iter().any(|revision| open.contains(revision));
        let concerns = is_first || its.iter().any(|revision| undone.contains(revision));
        if end == End::Undone || (end != End::Passed && !concerns) {
            continue;
        }
        // An upgrade that did not pass may stand all the same, or have been followed by another one.
        if end == End::Unknown || (end == End::Stands && !is_first) {
            if !pieces(&backup).is_ok_and(|pieces| pieces.is_empty()) {
                let id = &backup.manifest.id;
                found.notes.push(format!(
                    "backup {id} holds salvage of an upgrade that did not come to its end; it was not merged: \
                     ripcord backup merge-back {id}"
                ));
            }
            continue;
        }
        if plan.direction != Direction::Up || !its.iter().any(|revision| open.remove(revision)) {
            continue;
        }
        its.iter().for_each(|revision| {
            open.remove(revision);
        });
        let id = backup.manifest.id.clone();
        match pieces(&backup) {
            Ok(pieces) if pieces.is_empty() => {}
            Ok(_) if its.iter().any(|revision| applied.contains(revision)) => found.notes.push(format!(
                "backup {id} holds salvage of revisions of which some are still applied; when all are undone: \
                 ripcord backup merge-back {id}"
            )),
            Ok(pieces) => {
                let turn = found.backups.len();
                found.pieces.extend(pieces.into_iter().map(|piece| Piece { turn, ..piece }));
                found.backups.push(id);
            }
            Err(error) => found.notes.push(format!(
                "the salvage in backup {id} was not merged, because it is not as it was written ({error}): \
                 ripcord backup verify {id}"
            )),
        }
    }
    Ok(found)
}
