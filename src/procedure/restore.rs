//! Putting a backup back: into a new database, or in the place of the live one.

use super::change::{Wants, preflight};
use super::snapshot::{self, Saved, read_inventory};
use super::{
    Ports, Refusal, SnapshotPolicy, carry, facts::Done, look::COMPARING, recover, refused, settle, verify,
    whose,
};
use crate::base::counted;
use crate::engine::{OtherWrites, Swapped, WriteMark};
use crate::fingerprint::Inventory;
use crate::history::RevisionId;
use crate::journal::{Entry, Operation};
use crate::report::{Aftermath, BackupFacts, Failure, Kind, Report, Step};
use crate::store::Backup;
use std::error::Error as StdError;

pub(super) type Cause = Box<dyn StdError + Send + Sync>;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// The backup's id, or an unambiguous part of it, or `latest`.
    pub backup: String,
    /// True when `ports.database` is a new database that does not exist yet; false to replace the live one.
    pub into_new: bool,
    /// What the backup says of its database, where a person says that it is this one under another name.
    pub of_database: Option<String>,
    pub policy: SnapshotPolicy,
}

/// Restores a backup. In place, the present state is saved as a backup first, whatever it is: nothing is lost.
pub async fn restore(ports: &Ports<'_>, request: &RestoreRequest) -> Result<Report, Failure> {
    // Look at the backup before anything else: a damaged one must be known before the live database is touched.
    let backup = whole(ports, &request.backup).await?;
    if !request.into_new {
        whose::refuse_another(ports, &backup, request.of_database.as_deref()).await?;
    }
    let (found, wanted) = (backup.manifest.database.engine, ports.identity().engine);
    if found != wanted {
        return Err(refused(Refusal::AnotherEngine { backup: backup.manifest.id, found, wanted }));
    }
    let expected = read_inventory(&backup, "before.json").map_err(refused)?;
    let id = ports.journal.new_id(Kind::Restore);
    let _lock = ports.database.lock(&id).await.map_err(refused)?;
    ports.journal.refuse_unfinished(ports.identity()).map_err(refused)?;
    let exists = ports.database.exists().await.map_err(refused)?;
    if request.into_new && exists {
        return Err(refused(crate::engine::Error::Exists { place: ports.identity().to_string() }));
    }
    if exists {
        preflight(ports, &request.policy, Wants { writes: true, replaces: true, ..Wants::default() }).await?;
    }

    // Where a database is that cannot be read is not known, and no reason not to put a backup in its place.
    let from = ports.database.version_rows().await.unwrap_or_default();
    let mut op =
        ports.begin(&id, Kind::Restore, None, (&from, &backup.manifest.from)).await.map_err(refused)?;
    op.write(Entry::Fact { name: "restores".to_string(), value: backup.manifest.id.clone() })
        .map_err(refused)?;
    let outcome = put_in_place(ports, &mut op, request, &backup, &expected, exists.then_some(from)).await;
    let outcome = tidied(ports, &op, outcome).await;
    settle::end(ports, &op, outcome).await
}

/// Opens a backup and checks every artifact of it. What is damaged of its salvage or of its copy of the journal is said, and
/// keeps nothing from its use: the snapshot is what is restored.
pub(super) async fn whole(ports: &Ports<'_>, id: &str) -> Result<Backup, Failure> {
    let backup = ports.store.open(id).await.map_err(refused)?;
    let progress = ports.progress(Step::Verify);
    let mut damage = ports.store.verify(&backup, &progress).await.map_err(refused)?;
    for copy in damage.extract_if(.., |damage| damage.is_of_journal_copy()) {
        progress.note(format!("backup {id}: {copy}; it is a copy, the journal itself is in .operations"));
    }
    for salvage in damage.extract_if(.., |damage| damage.of_salvage().is_some()) {
        progress
            .note(format!("backup {id}: {salvage}; it is salvage, and the snapshot is restored without it"));
    }
    if damage.is_empty() {
        return Ok(backup);
    }
    Err(refused(Refusal::DamagedBackup { backup: backup.manifest.id, damage }))
}

async fn put_in_place(
    ports: &Ports<'_>,
    op: &mut Operation,
    request: &RestoreRequest,
    backup: &Backup,
    expected: &Inventory,
    present: Option<Vec<RevisionId>>,
) -> Result<Report, Failure> {
    let id = op.id().to_string();
    // Save what is about to be replaced: the bad state is evidence, and it holds what was written since.
    let kept = match &present {
        Some(_) => snapshot::keep_present(ports, op, id.clone(), &request.policy).await?,
        None => None,
    };
    let saved = kept.as_ref().map(Saved::facts);
    let progress = ports.progress(Step::Stage);
    let stage = async {
        ports.go_on()?;
        let staged = ports.database.stage(&backup.snapshot(), expected, &id, &progress).await?;
        match staged.differences.is_empty() {
            true => Ok(staged),
            false => Err(Cause::from(Refusal::NotRestored { differences: staged.differences })),
        }
    };
    let staged =
        op.step(Step::Stage, stage).await.map_err(|failure| Failure { backup: saved.clone(), ..failure })?;

    let log = op.script_log();
    op.set_aftermath(Aftermath::Unknown);
    let swapped = match op.step(Step::Swap, ports.database.swap(&staged, &id, &log)).await {
        Ok(swapped) => swapped,
        Err(failure) => {
            let failure = Failure { backup: saved, ..failure };
            return Err(after_failed_swap(ports, expected, kept.as_ref(), failure).await);
        }
    };
    op.set_aftermath(Aftermath::Changed);
    // Clients work again: what they write from here on is not a difference of the restore.
    let mark = ports.database.mark().await.ok();
    let written = op
        .step(Step::Verify, compare(ports, &staged.expected(expected), saved.as_ref(), mark.as_ref()))
        .await
        .map_err(|failure| {
            // What was there before is whole in its backup, whatever is there now.
            let back = saved.iter().map(|saved| format!("ripcord restore {}", saved.id));
            let failure = Failure { backup: saved.clone(), ..failure };
            if !settle::is_interrupted(&failure) {
                return Failure { next: back.chain(failure.next).collect(), ..failure };
            }
            not_verified(&backup.manifest.id, back, failure)
        })?;
    let aftermath = if request.into_new { Aftermath::Changed } else { Aftermath::PutBack };
    Ok(Report {
        operation: Some(id),
        from: present.unwrap_or_default(),
        to: backup.manifest.from.clone(),
        undo: saved.as_ref().map(|saved| format!("ripcord restore {}", saved.id)),
        backup: saved,
        notes: notes(&swapped, &written.what),
        ..Report::new(Kind::Restore, ports.identity(), aftermath)
    })
}

/// The swap is done, and what it put there had been compared before: only the last look was stopped, which can be taken at
/// any time. The way back, which undoes all that was asked for, is the second one.
fn not_verified(restored: &str, back: impl Iterator<Item = String>, failure: Failure) -> Failure {
    let look = format!("ripcord verify {restored}");
    let refusal = Refusal::NotVerified { backup: restored.to_string() };
    let next = [look].into_iter().chain(back).collect();
    Failure { aftermath: Aftermath::PutBack, source: refusal.into(), next, ..failure }
}

/// A swap is all or nothing, so one that failed should have changed nothing: looks whether that is so.
async fn after_failed_swap(
    ports: &Ports<'_>,
    expected: &Inventory,
    kept: Option<&Saved>,
    mut failure: Failure,
) -> Failure {
    // The wish to stop was heard; from here on the work is to reach a known state.
    ports.cancel.heard();
    if has_not_begun(&failure) || is_as_it_was(ports, expected, kept).await {
        failure.aftermath = Aftermath::Unchanged;
    }
    failure
}

/// Tells whether what is live is what was live before the swap, as far as nobody else wrote.
async fn is_as_it_was(ports: &Ports<'_>, expected: &Inventory, kept: Option<&Saved>) -> bool {
    let progress = ports.progress(Step::Verify);
    let Some(kept) = kept else {
        // What could not be read, or was not there, is so still; what was staged could be read.
        return match ports.database.exists().await {
            Ok(false) => true,
            _ => ports.database.inventory(&progress).await.is_err_and(|error| error.is_unreadable()),
        };
    };
    let (was, folder) = (&kept.inventory, kept.backup.snapshot());
    let Ok(now) = ports.database.inventory_after(was, &folder, &progress).await else { return false };
    verify::strict(was, &now).wrong.is_empty()
        || recover::took_place(expected, Some(was), &now) == Some(false)
}

/// Tells whether a swap failed before it replaced anything, perhaps because it would have lost what others wrote.
pub(super) fn has_not_begun(failure: &Failure) -> bool {
    use crate::engine::Error;
    let error = failure.source.downcast_ref::<Error>();
    matches!(error, Some(Error::WroteMeanwhile { .. } | Error::NotBegun { .. }))
}

/// Compares what is live now with what was to be restored, and keeps it as the end of this operation: without it the
/// next `verify` would compare with the state that was replaced.
async fn compare(
    ports: &Ports<'_>,
    expected: &Inventory,
    saved: Option<&BackupFacts>,
    mark: Option<&WriteMark>,
) -> Result<Done<Vec<String>>, Cause> {
    let look = async || as_restored(ports, Step::Verify, expected, mark).await;
    let (now, differences) = carry::to_the_end(ports, COMPARING, look).await?;
    if let Some(saved) = saved {
        ports.store.add(&saved.id, "after.json", &serde_json::to_vec_pretty(&now)?).await?;
    }
    let facts = format!("{} as in the backup", counted(now.fingerprint.tables.len() as u64, "table"));
    Ok(Done { what: differences, facts })
}

/// Makes sure that what is live after a swap is what was staged. Returns it, and how it differs by the rows that clients
/// have written since the mark, which is no fault of the swap: what was staged had been compared before it went live.
pub(super) async fn as_restored(
    ports: &Ports<'_>,
    step: Step,
    expected: &Inventory,
    mark: Option<&WriteMark>,
) -> Result<(Inventory, Vec<String>), Cause> {
    let now = ports.database.inventory(&ports.progress(step)).await?;
    let check = verify::strict(expected, &now);
    let differences = verify::sentences(&check);
    let excused = differences.is_empty() || (check.catalog.is_empty() && somebody_wrote(ports, mark).await);
    if excused { Ok((now, differences)) } else { Err(Refusal::NotRestored { differences }.into()) }
}

async fn somebody_wrote(ports: &Ports<'_>, mark: Option<&WriteMark>) -> bool {
    match mark {
        Some(mark) => !matches!(ports.database.others_wrote_since(mark).await, Ok(OtherWrites::Nobody)),
        None => true,
    }
}

fn notes(swapped: &Swapped, written_since: &[String]) -> Vec<String> {
    // First what it is, then what the engine says of it.
    let kept = swapped.kept.iter().map(|kept| format!("the database that was live before is kept as {kept}"));
    let mut notes: Vec<String> = kept.chain(swapped.notes.iter().cloned()).collect();
    if !written_since.is_empty() {
        notes.push(format!("clients have written since the swap: {}", written_since.join("; ")));
    }
    notes
}

/// Removes what a failed restore has left behind.
async fn tidied(
    ports: &Ports<'_>,
    op: &Operation,
    outcome: Result<Report, Failure>,
) -> Result<Report, Failure> {
    if let Err(failure) = &outcome {
        // Where the end is unknown, `recover` looks first and tidies then.
        if failure.aftermath == Aftermath::Unchanged {
            ports.cancel.heard();
            let _ = ports.database.tidy(op.id(), &std::collections::BTreeMap::new()).await;
        }
    }
    outcome
}
