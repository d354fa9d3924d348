//! Merging back: salvage of an upgrade put into the live table again, after its downgrade or by hand.
//!
//! The engine decides row by row, in one transaction ([`crate::engine::Database::merge_back`]); here is decided which
//! salvage, and looked afterwards that nothing else has changed. By hand it is told here, after a downgrade in
//! [`downgrade`], after a crash in [`recovery`].

mod abandoned;
mod conflicts;
mod crashed;
mod downgrade;
mod end;
mod kept;
mod left;
mod made;
mod named;
mod older;
mod once;
mod once_more;
mod put_back;
mod ready;
mod recovery;
mod renew;
#[cfg(test)]
mod sample;
mod share;
mod skipped;
mod sources;
mod told;
mod unexplained;
mod untouched;
mod verify;
pub(super) mod waiting;

use self::untouched::mark_untouched;
use super::change::{Wants, preflight};
use super::facts::Done;
use super::snapshot::{self, Purpose, Saved};
use super::{Ports, Refusal, SnapshotPolicy, look, refused, settle, whose};
use crate::catalog::TableName;
use crate::engine::{self, MergeMode, OtherWrites, Piece, ProofLevel, WriteMark};
use crate::fingerprint::Inventory;
use crate::history::RevisionId;
use crate::journal::{Entry, Operation, ScriptLog};
use crate::ledger::MergedBack;
use crate::plan::Plan;
use crate::report::{Aftermath, Failure, Kind, MergeFacts, Report, Step};
use crate::store::Backup;
use conflicts::keep;
pub(super) use crashed::{Was, before_crash, settled_without_backup, untold, was_merged};
pub(super) use downgrade::{After, Before, after_downgrade};
use kept::pieces;
use left::left_undone;
use named::{Chosen, chosen};
pub(super) use older::Claim;
pub(super) use ready::{Ready, ready};
pub(super) use recovery::{again, recover};
pub(super) use renew::renew;
use sources::Answered;

/// Returns what each upgrade that a downgrade is about to undo has to bring back, the newest first.
pub(super) async fn claims(ports: &Ports<'_>, plan: &Plan) -> Result<Vec<Claim>, Failure> {
    let undone: Vec<RevisionId> = plan.scripts.iter().map(|script| script.revision.clone()).collect();
    let moved = whose::moved(ports).await.join("\n");
    let found = sources::sources(ports, &undone, &plan.to, &moved, &[]).await.map_err(refused)?;
    Ok(older::claims(ports, plan, &found))
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The facts in the journal that say what is merged, for recovery.
const MERGES: &str = "merges";
const TABLES: &str = "tables";
/// The fact that a downgrade is to leave salvage where it is.
pub(super) const LEFT: &str = "no-merge";
/// The fact in an upgrade's journal that nobody else wrote from its snapshot to its end.
pub(super) const UNDISTURBED: &str = "undisturbed";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct MergeRequest {
    /// The backup's id, or an unambiguous part of it, or `latest`.
    pub backup: String,
    /// Only these tables; all when there are none.
    pub tables: Vec<String>,
    /// Say what would be merged, and change nothing.
    pub look: bool,
    /// What the backup says of its database, where a person says that it is this one under another name.
    pub of_database: Option<String>,
    pub policy: SnapshotPolicy,
}

/// Merges the salvage of one backup into the live database. The present state is saved first.
pub async fn merge_back(ports: &Ports<'_>, request: &MergeRequest) -> Result<Report, Failure> {
    let backup = ports.store.open(&request.backup).await.map_err(refused)?;
    whose::refuse_another(ports, &backup, request.of_database.as_deref()).await?;
    // Before anything is begun: salvage that is not as it was written must be known before a table is touched.
    let damaged = ready::by_hand(ports, &backup, request).await?;
    if damaged.is_none() && pieces(&backup).map_err(refused)?.is_empty() {
        return Err(refused(Refusal::NoSalvage { backup: backup.manifest.id.clone(), table: None }));
    }
    let id = ports.journal.new_id(Kind::MergeBack);
    ports.refuse_missing().await?;
    let _lock = ports.database.lock(&id).await.map_err(refused)?;
    ports.journal.refuse_unfinished(ports.identity()).map_err(refused)?;
    let untried = match damaged {
        None => ready::not_tried(ports, &backup).await,
        Some(_) => None,
    };
    let tries = !request.look && request.policy.proof == ProofLevel::Full;
    let unknown = untried.as_ref().filter(|_| !tries).map(|(_, _, why)| not_tried(&backup, request, why));
    let mut found = match (damaged, untried) {
        (Some((upgrade, back)), _) => Found::Damaged(Box::new(upgrade), back),
        (None, Some((upgrade, back, why))) if tries => Found::Untried(Box::new(upgrade), back, why),
        (None, _) => Found::Chosen(chosen(ports, &backup, &request.tables).await?, unknown),
    };
    if let (true, Found::Chosen(chosen, unknown)) = (request.look, &mut found) {
        let merged = look_at(ports, &mut chosen.pieces, &id).await;
        // Its work is undone: what a report names can be looked at.
        let merged = MergedBack { side_table: None, ..merged.map_err(refused)? };
        let rows = ports.database.version_rows().await.map_err(refused)?;
        let before = once_more::merged_before(ports, &backup.manifest.id, &id, &merged);
        let way_on = skipped::way_on(ports, &backup, &rows, &merged).await;
        let merge = facts(&[backup.manifest.id], chosen.with_skipped(merged), Vec::new());
        let report = report(ports, None, Aftermath::Unchanged, rows, Some(merge));
        let notes = chosen.notes().chain(before).chain(unknown.clone()).chain(way_on).collect();
        return Ok(Report { notes, ..report });
    }
    preflight(ports, &request.policy, Wants { writes: true, ..Wants::default() }).await?;
    let rows = ports.database.version_rows().await.map_err(refused)?;

    let mut op = ports.begin(&id, Kind::MergeBack, None, (&rows, &rows)).await.map_err(refused)?;
    let says = [(MERGES, backup.manifest.id.clone()), (TABLES, request.tables.join("\n"))];
    for (name, value) in says {
        op.write(Entry::Fact { name: name.to_string(), value }).map_err(refused)?;
    }
    let outcome = by_hand(ports, &mut op, request, &backup, found).await;
    settle::end(ports, &op, outcome).await
}

/// Tells whether a table was meant, with its schema or without.
pub(super) fn names(asked: &str, table: &TableName) -> bool {
    let meant = |name: TableName| name == *table || (name.schema.is_none() && name.name == table.name);
    meant(TableName::plain(asked)) || TableName::parse(asked).is_some_and(meant)
}

/// What is there to merge by hand.
enum Found {
    /// The second says what is not known of it, if there is anything.
    Chosen(Chosen, Option<String>),
    /// What this way back of the upgrade leaves missing is to be found out first; the last says why.
    Untried(Box<Answered>, Plan, &'static str),
    /// It is to be taken out of the snapshot of this upgrade again, by this way back.
    Damaged(Box<Answered>, Plan),
}

fn not_tried(backup: &Backup, request: &MergeRequest, why: &str) -> String {
    let not = if request.look { ready::DRY_RUN } else { ready::NOT_REHEARSED };
    renew::not_renewed(&backup.manifest.id, why, not)
}

async fn by_hand(
    ports: &Ports<'_>,
    op: &mut Operation,
    request: &MergeRequest,
    backup: &Backup,
    found: Found,
) -> Result<Report, Failure> {
    let (mut chosen, renewed) = match found {
        Found::Chosen(chosen, unknown) => (chosen, unknown),
        Found::Untried(upgrade, back, why) => {
            let said = renew::first(ports, op, &upgrade, (&back, why)).await?;
            if said.is_none() && pieces(backup).is_ok_and(|pieces| pieces.is_empty()) {
                return nothing_missing(ports, op, backup).await;
            }
            (chosen(ports, backup, &request.tables).await?, said)
        }
        Found::Damaged(upgrade, back) => {
            let said = renew::again(ports, op, (Kind::MergeBack, &upgrade), Ok(back)).await?;
            (chosen(ports, backup, &request.tables).await?, Some(said))
        }
    };
    let mark = ports.database.mark().await.map_err(refused)?;
    let purpose = Purpose {
        id: op.id().to_string(),
        kind: Kind::MergeBack,
        plan: None,
        rehearse: false,
        consent: None,
        ahead: None,
    };
    let saved = snapshot::keep(ports, op, &purpose, &request.policy).await?;
    let with_backup = |failure: Failure| Failure { backup: Some(saved.facts()), ..failure };
    ports.go_on().map_err(|error| with_backup(refused(error)))?;

    op.set_aftermath(Aftermath::Unknown);
    let (id, log) = (op_id(op), about_to_merge(op).map_err(with_backup)?);
    mark_untouched(&mut chosen.pieces, &saved.inventory);
    let work = write(ports, (&id, &log), &chosen.pieces);
    let merged = op.step(Step::MergeBack, work).await.map_err(|failure| {
        // One transaction, and what failed has undone it.
        let aftermath = if settle::undecided(&failure) { Aftermath::Unknown } else { Aftermath::Unchanged };
        with_backup(Failure { aftermath, ..failure })
    })?;
    let merged = merged.what;
    // The journal says it now. What cannot be removed is in nobody's way.
    let _ = ports.database.forget_merge(&id).await;
    op.set_aftermath(Aftermath::Changed);
    let from = std::slice::from_ref(&backup.manifest.id);
    let (after, check) = match checked(ports, op, &saved, (&saved.inventory, &mark), &merged).await {
        Ok(looked) => looked,
        Err(failure) => {
            let merged = chosen.with_skipped(merged);
            return Err(with_backup(unexplained::told(ports, op, &saved, (from, merged), failure).await));
        }
    };
    let rows = saved.backup.manifest.from.clone();
    let notes = check
        .unsure
        .iter()
        .cloned()
        .chain(left_undone(&merged))
        .chain(waiting::stale_views(&after, &merged))
        .chain(once_more::merged_before(ports, &backup.manifest.id, &id, &merged))
        .chain(chosen.notes())
        .chain(renewed)
        .chain(skipped::way_on(ports, backup, &rows, &merged).await)
        .collect();
    let files = match op.step(Step::Finish, keep(ports, &id, &saved, &after, &merged)).await {
        Ok(kept) => kept.what,
        Err(failure) => {
            let merged = chosen.with_skipped(merged);
            return Err(with_backup(unexplained::not_kept(&saved, (from, merged), failure)));
        }
    };
    let merged = chosen.with_skipped(merged);
    let merge = facts(from, merged, files);
    let changed = merge.count() > 0 || merge.side_table.is_some();
    let aftermath = if changed { Aftermath::Changed } else { Aftermath::Unchanged };
    let id = Some(id);
    Ok(Report {
        backup: Some(saved.facts()),
        check: Some(check),
        undo: changed.then(|| format!("ripcord restore {}", saved.backup.manifest.id)),
        notes,
        ..report(ports, id, aftermath, rows, Some(merge))
    })
}

/// Says that what went had come back with the way back itself.
async fn nothing_missing(ports: &Ports<'_>, op: &Operation, backup: &Backup) -> Result<Report, Failure> {
    let id = &backup.manifest.id;
    let rows = ports.database.version_rows().await.map_err(refused)?;
    let merge = facts(std::slice::from_ref(id), MergedBack::default(), Vec::new());
    let note = format!(
        "the way back of the upgrade of backup {id} leaves nothing missing: there is nothing to put back"
    );
    let report = report(ports, Some(op_id(op)), Aftermath::Unchanged, rows, Some(merge));
    Ok(Report { notes: vec![note], ..report })
}

/// Returns the backups that bear another name of this database, a line each.
fn moved(ports: &Ports<'_>, op: &Operation) -> String {
    let state = ports.journal.state(op.id());
    state.and_then(|state| state.facts.get(whose::MOVED).cloned()).unwrap_or_default()
}

fn op_id(op: &Operation) -> String {
    op.id().to_string()
}

/// Says what a merge would do now, and changes nothing.
async fn look_at(ports: &Ports<'_>, pieces: &mut [Piece], name: &str) -> Result<MergedBack, engine::Error> {
    let (log, progress) = (ScriptLog::unrecorded(), ports.progress(Step::MergeBack));
    mark_untouched(pieces, &ports.database.inventory(&progress).await?);
    ports.database.merge_back(pieces, MergeMode::Look, name, &log, &progress).await
}

/// Makes ready for the step that writes, before it begins: a journal without this line is of a version that did not say how far a
/// merge got.
fn about_to_merge(op: &Operation) -> Result<ScriptLog, Failure> {
    let log = op.script_log();
    log.fact(engine::WAS_MERGED, "").map_err(refused)?;
    Ok(log)
}

/// The work of the step that writes.
async fn write(
    ports: &Ports<'_>,
    (id, log): (&str, &ScriptLog),
    pieces: &[Piece],
) -> Result<Done<MergedBack>, engine::Error> {
    ports.go_on()?;
    let progress = ports.progress(Step::MergeBack);
    let merged = ports.database.merge_back(pieces, MergeMode::Write, id, log, &progress).await?;
    Ok(Done { facts: sentence(&merged), what: merged })
}

fn sentence(merged: &MergedBack) -> String {
    let sum = |count: fn(&crate::ledger::Merged) -> u64| merged.merged.iter().map(count).sum::<u64>();
    let (already, deleted) = (sum(|one| one.already), sum(|one| one.deleted));
    let gone = merged.merged.iter().find(|one| one.deleted > 0).map_or("deleted since", |one| one.gone());
    format!(
        "{} put back, {already} there already, {deleted} {gone}, {} in conflict",
        merged.count(),
        merged.conflicts()
    )
}

/// Looks at the database after a merge: nothing but what was merged may have changed since `before`, which was seen after
/// the mark was set.
async fn checked(
    ports: &Ports<'_>,
    op: &mut Operation,
    saved: &Saved,
    (before, mark): (&Inventory, &WriteMark),
    merged: &MergedBack,
) -> Result<(Inventory, crate::report::Check), Failure> {
    let refusal = |count| Refusal::MergeVerification { count };
    let what = look::PutBack { done: "the salvage is merged", refusal };
    let judge = |after: &Inventory, others: &OtherWrites| verify::only_merged(before, after, merged, others);
    look::and_judge(ports, op, (saved, mark), what, judge).await
}

fn facts(backups: &[String], merged: MergedBack, files: Vec<String>) -> MergeFacts {
    MergeFacts {
        from: backups.to_vec(),
        conflict_count: merged.conflicts(),
        merged: merged.merged,
        conflicts: merged.conflicts,
        side_table: merged.side_table,
        files,
    }
}

fn report(
    ports: &Ports<'_>,
    operation: Option<String>,
    aftermath: Aftermath,
    rows: Vec<RevisionId>,
    merge: Option<MergeFacts>,
) -> Report {
    Report {
        operation,
        from: rows.clone(),
        to: rows,
        merge,
        ..Report::new(Kind::MergeBack, ports.identity(), aftermath)
    }
}
