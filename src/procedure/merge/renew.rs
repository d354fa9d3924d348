//! Salvage for a way back that its upgrade did not know.
//!
//! What an upgrade salvages is what was missing after the way back of then, beside what that one left in its place. Where it
//! failed on the copy and was mended, or was edited for another reason, neither is true of the one that runs now. So before
//! it runs it is tried on the snapshot of the upgrade, and what is missing then is kept in the same backup: the salvage of
//! then stays, and counts no more.

use super::sources::{Answered, sources};
use super::{Cause, moved};
use crate::base::fs;
use crate::engine::Snapshot;
use crate::history::{Direction, RevisionId};
use crate::journal::Operation;
use crate::plan::Plan;
use crate::procedure::facts::Done;
use crate::procedure::rehearse::{Anew, salvage_anew};
use crate::procedure::snapshot::{Saved, read_inventory, read_ledger};
use crate::procedure::{Ports, Refusal, salvage, settle};
use crate::report::{Event, Failure, Step};
use crate::runner::Reverse;
use crate::store::{Backup, Draft};
use crate::tabular::{self, EXPORTS};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

/// Says in a backup's folder which of its salvage counts.
const RENEWED: &str = "renewed.json";

/// What that file says.
#[derive(Serialize, Deserialize)]
pub(super) struct Renewed {
    /// The folder with the salvage, in that of the backup; absent where that way back leaves nothing missing.
    folder: String,
    /// [`Reverse::sha256`] of the way back that it is for.
    way_back: String,
}

impl Renewed {
    /// Returns what a backup says; `None` where the salvage of its upgrade counts.
    pub(super) fn of(backup: &Backup) -> Result<Option<Self>, tabular::Error> {
        let place = backup.folder.join(RENEWED);
        let bytes = match std::fs::read(&place) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(tabular::Error::Io { place, doing: "read", source }),
            Ok(bytes) => bytes,
        };
        let not_as_written = |detail: String| tabular::Error::NotAsWritten { place: place.clone(), detail };
        let read: Self = serde_json::from_slice(&bytes).map_err(|error| not_as_written(error.to_string()))?;
        // The name comes from a disk: it must not lead out of the folder.
        match read.folder.starts_with("renewed-") && !read.folder.contains('/') {
            true => Ok(Some(read)),
            false => Err(not_as_written("it names a folder outside that of its backup".to_string())),
        }
    }

    pub(super) fn folder(&self, backup: &Backup) -> PathBuf {
        backup.folder.join(&self.folder)
    }
}

/// Renews the salvage of the upgrades that a downgrade is about to undo, as far as their ways back are not those of then.
/// Returns what is to be said at the end. Fails only when it is interrupted: the salvage of then is still there.
pub(in crate::procedure) async fn renew(
    ports: &Ports<'_>,
    op: &mut Operation,
    plan: &Plan,
    saved: &Saved,
    rehearses: bool,
) -> Result<Vec<String>, Failure> {
    if plan.direction == Direction::Up {
        return Ok(Vec::new());
    }
    let undone: Vec<RevisionId> = plan.scripts.iter().map(|script| script.revision.clone()).collect();
    // Whoever merges in the end looks again, and says why it cannot.
    let Ok(found) = sources(ports, &undone, &plan.to, &moved(ports, op), &[]).await else {
        return Ok(Vec::new());
    };
    let mut notes = Vec::new();
    for answered in &found.upgrades {
        let Some(back) = edited(ports, answered) else { continue };
        let id = &answered.backup.manifest.id;
        if !rehearses {
            notes.push(not_renewed(id, "nothing was to be rehearsed"));
            continue;
        }
        ports.observer.event(&Event::Note {
            text: format!(
                "the way back is another than when backup {id} was taken: it is tried on that backup first, to know what \
                 it leaves missing"
            ),
        });
        let operation = op.id().to_string();
        let renewed = op.step(Step::Renew, renewed(ports, &operation, answered, &back)).await;
        match renewed {
            Ok(_) => {}
            Err(failure) if settle::is_interrupted(&failure) => {
                return Err(Failure { backup: Some(saved.facts()), ..failure });
            }
            Err(failure) => notes.push(not_renewed(id, &failure.to_string())),
        }
    }
    Ok(notes)
}

fn not_renewed(id: &str, why: &str) -> String {
    format!(
        "the way back is another than when backup {id} was taken, and what it leaves could not be found out ({why}): values \
         that it left may be told from those written since only by what is in {EXPORTS}/ of that backup"
    )
}

/// Returns the way back of an upgrade, where it is another one than its salvage is for and can be tried.
fn edited(ports: &Ports<'_>, answered: &Answered) -> Option<Plan> {
    let Answered { backup, plan } = answered;
    // Without a rehearsal nothing was known of any way back, as was asked for.
    read_ledger(backup).ok().flatten().filter(|ledger| ledger.rows_seen)?;
    let now = ports.runner.reverse(plan).ok()?;
    let known = match Renewed::of(backup).ok()? {
        Some(renewed) => renewed.way_back,
        None => ports.runner.reverse_as_kept(plan, &backup.folder.join("migrations")).ok()?.sha256(),
    };
    match now {
        Reverse::Plan(ref back) if now.sha256() != known => Some(back.clone()),
        _ => None,
    }
}

/// Tries the way back on the upgrade's snapshot, and adds what is missing then to its backup.
async fn renewed(
    ports: &Ports<'_>,
    operation: &str,
    answered: &Answered,
    back: &Plan,
) -> Result<Done<()>, Cause> {
    // Where it is tidied up after a crash.
    let draft = ports.store.draft(&format!("{operation}-renewed")).await?;
    let outcome = in_draft(ports, operation, (answered, back), &draft).await;
    ports.store.discard(draft).await?;
    outcome
}

async fn in_draft(
    ports: &Ports<'_>,
    operation: &str,
    (Answered { backup, plan }, back): (&Answered, &Plan),
    draft: &Draft,
) -> Result<Done<()>, Cause> {
    let (from, place, kept) = (backup.snapshot(), draft.snapshot(), draft.folder.join(EXPORTS));
    // Engines work in the folder of a snapshot, and a published one must not be touched.
    let (source, target) = (from.clone(), place.clone());
    let linked = tokio::task::spawn_blocking(move || fs::link_tree(&source, &target)).await?;
    linked.map_err(|source| Refusal::Io { place: from, doing: "read", source })?;
    let taken = taken(backup)?;
    let anew = Anew { operation, there: plan, back, place: &place, taken: &taken };
    let Done { what, facts } = salvage_anew(ports, &anew, &kept).await?;
    let id = &backup.manifest.id;
    let says =
        Renewed { folder: format!("renewed-{operation}"), way_back: Reverse::Plan(back.clone()).sha256() };
    salvage::move_in(ports, id, (&kept, &says.folder), &what).await?;
    // It comes last: what it names is whole.
    ports.store.add(id, RENEWED, &serde_json::to_vec_pretty(&says)?).await?;
    Ok(Done { what: (), facts })
}

/// Returns the snapshot of a backup as it was taken.
fn taken(backup: &Backup) -> Result<Snapshot, Refusal> {
    let manifest = &backup.manifest;
    let mut facts = manifest.facts.clone();
    facts.insert("proof.level".to_string(), "full".to_string());
    Ok(Snapshot {
        inventory: read_inventory(backup, "before.json")?,
        version_rows: manifest.from.clone(),
        method: manifest.method.clone(),
        tools: manifest.tools.clone(),
        sha256: BTreeMap::new(),
        facts,
    })
}
