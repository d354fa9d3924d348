//! Salvage taken out of the snapshot of an upgrade once more: for a way back that it did not know, or because what was
//! salvaged then is damaged.
//!
//! What an upgrade salvages is what was missing after the way back of then, beside what that one left in its place. Where it
//! failed on the copy and was mended, or was edited for another reason, neither is true of the one that runs now. So before
//! it runs it is tried on the snapshot of the upgrade, and what is missing then is kept in the same backup: the salvage of
//! then stays, and counts no more. So it is where the upgrade was not rehearsed on its data, and no way back was ever tried.

use super::Cause;
use super::kept::{RENEWED, Renewed, is_rehearsed, pieces};
use super::ready::{Hindrance, NOT_REHEARSED, Ready, cannot};
use super::sources::Answered;
use crate::base::fs;
use crate::engine::Snapshot;
use crate::journal::Operation;
use crate::plan::Plan;
use crate::procedure::facts::Done;
use crate::procedure::rehearse::{Anew, salvage_anew};
use crate::procedure::snapshot::{Saved, read_inventory};
use crate::procedure::{Ports, Refusal, salvage, settle};
use crate::report::{Event, Failure, Kind, Step};
use crate::runner::Reverse;
use crate::store::{Backup, Draft};
use crate::tabular::EXPORTS;
use std::collections::BTreeMap;

/// Renews the salvage of the upgrades that a downgrade is about to undo, as far as their ways back are not those of then or
/// it is damaged. Returns what is to be said at the end. Fails when it is interrupted, and where salvage that is damaged
/// cannot be renewed; otherwise the salvage of then is still there.
pub(in crate::procedure) async fn renew(
    ports: &Ports<'_>,
    op: &mut Operation,
    ready: &Ready,
    saved: &Saved,
    rehearses: bool,
) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    for answered in &ready.upgrades {
        let id = &answered.backup.manifest.id;
        if answered.damage.is_some() {
            let back = way_back(ports, &answered.plan);
            notes.push(
                again(ports, op, (Kind::Downgrade, answered), back)
                    .await
                    .map_err(|failure| with(saved, failure))?,
            );
            continue;
        }
        let Some((back, why)) = untried(ports, answered) else { continue };
        if !rehearses {
            notes.push(not_renewed(id, why, NOT_REHEARSED));
            continue;
        }
        notes.extend(first(ports, op, answered, (&back, why)).await.map_err(|failure| with(saved, failure))?);
    }
    Ok(notes)
}

/// Tries a way back on the backup of its upgrade; `why` says what is not known of it. Returns what is to be said at the end
/// where that failed: the salvage of then is still there.
pub(super) async fn first(
    ports: &Ports<'_>,
    op: &mut Operation,
    answered: &Answered,
    (back, why): (&Plan, &str),
) -> Result<Option<String>, Failure> {
    let id = &answered.backup.manifest.id;
    note(
        ports,
        format!(
            "{why} backup {id} was taken: it is tried on that backup first, to know what it leaves missing"
        ),
    );
    match step(ports, op, answered, back).await {
        Ok(()) => Ok(None),
        Err(failure) if settle::is_interrupted(&failure) => Err(failure),
        Err(failure) => Ok(Some(not_renewed(id, why, &failure.to_string()))),
    }
}

fn with(saved: &Saved, failure: Failure) -> Failure {
    Failure { backup: Some(saved.facts()), ..failure }
}

fn note(ports: &Ports<'_>, text: String) {
    ports.observer.event(&Event::Note { text });
}

/// Takes damaged salvage out of its snapshot again, as this way back leaves it missing; returns what is to be said at the end.
pub(super) async fn again(
    ports: &Ports<'_>,
    op: &mut Operation,
    (kind, answered): (Kind, &Answered),
    back: Result<Plan, String>,
) -> Result<String, Failure> {
    let (id, why) = (&answered.backup.manifest.id, answered.damage.as_deref().unwrap_or_default());
    let back = back.map_err(|why| cannot(kind, answered, &Hindrance::Other(why)))?;
    note(
        ports,
        format!(
            "the salvage in backup {id} is not as it was written ({why}): it is taken out of its snapshot again"
        ),
    );
    match step(ports, op, answered, &back).await {
        Ok(()) => Ok(format!(
            "the salvage in backup {id} was not as it was written ({why}); what was merged is out of the snapshot of that \
             backup, in which nothing was missing"
        )),
        Err(failure) if settle::is_interrupted(&failure) => Err(failure),
        Err(failure) => {
            let refused = cannot(kind, answered, &Hindrance::Other(failure.to_string()));
            Err(Failure { source: refused.source, next: refused.next, ..failure })
        }
    }
}

async fn step(
    ports: &Ports<'_>,
    op: &mut Operation,
    answered: &Answered,
    back: &Plan,
) -> Result<(), Failure> {
    let operation = op.id().to_string();
    op.step(Step::Renew, renewed(ports, &operation, answered, back)).await.map(drop)
}

/// Says that a way back was not tried, or that it failed.
pub(super) fn not_renewed(id: &str, how: &str, why: &str) -> String {
    format!(
        "{how} backup {id} was taken, and what it leaves could not be found out ({why}): values \
         that it left may be told from those written since only by what is in {EXPORTS}/ of that backup"
    )
}

/// Returns the way back of an upgrade as it is now, or why there is none.
pub(super) fn way_back(ports: &Ports<'_>, plan: &Plan) -> Result<Plan, String> {
    match ports.runner.reverse(plan) {
        Ok(reverse) => only_plan(reverse),
        Err(error) => Err(error.to_string()),
    }
}

fn only_plan(reverse: Reverse) -> Result<Plan, String> {
    match reverse {
        Reverse::Plan(back) => Ok(back),
        Reverse::Irreversible(revisions) => {
            let names: Vec<String> =
                revisions.iter().map(|irreversible| irreversible.revision.to_string()).collect();
            Err(format!("there is no way back of {}", names.join(", ")))
        }
    }
}

/// Returns the way back that the salvage of an upgrade is for, or why nobody has it.
pub(super) fn way_back_of_then(ports: &Ports<'_>, backup: &Backup, plan: &Plan) -> Result<Plan, String> {
    let kept = ports.runner.reverse_as_kept(plan, &backup.folder.join("migrations"));
    let known = match Renewed::of(backup).map_err(|error| error.to_string())? {
        None => return only_plan(kept.map_err(|error| error.to_string())?),
        Some(renewed) => renewed.way_back,
    };
    let mut all = kept.into_iter().chain(ports.runner.reverse(plan));
    let found = all.find(|reverse| reverse.sha256() == known);
    only_plan(found.ok_or("the way back that it was renewed for is in no revision file any more")?)
}

/// Returns the way back of an upgrade, where it is another one than its salvage is for, or none was ever tried, and it can be
/// tried now.
pub(super) fn untried(ports: &Ports<'_>, answered: &Answered) -> Option<(Plan, &'static str)> {
    let Answered { backup, plan, .. } = answered;
    let now = ports.runner.reverse(plan).ok()?;
    let known = match Renewed::of(backup).ok()? {
        Some(renewed) => Some(renewed.way_back),
        None if is_rehearsed(backup) => {
            // One of then that cannot be made out of its copy is another than the one that can be made now.
            let then = ports.runner.reverse_as_kept(plan, &backup.folder.join("migrations"));
            Some(then.map(|then| then.sha256()).unwrap_or_default())
        }
        // What went is all that was kept then; the way back may bring some of it by itself.
        None if pieces(backup).ok()?.is_empty() => return None,
        None => None,
    };
    let why = if known.is_some() { EDITED } else { NEVER_TRIED };
    match now {
        Reverse::Plan(ref back) if known.as_ref() != Some(&now.sha256()) => Some((back.clone(), why)),
        _ => None,
    }
}

/// How it is said why a way back is tried.
const EDITED: &str = "the way back is another than when";
const NEVER_TRIED: &str = "no way back was tried when";

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
    let place = draft.folder.display().to_string();
    let removed = ports.store.discard(draft).await;
    let done = outcome?;
    // What is in the backup counts, whatever stays beside it; no reader takes a draft for a backup.
    if let Err(error) = removed {
        note(ports, format!("the copy that it was tried on could not be removed ({error}): remove {place}"));
    }
    Ok(done)
}

async fn in_draft(
    ports: &Ports<'_>,
    operation: &str,
    (Answered { backup, plan, .. }, back): (&Answered, &Plan),
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
