//! Merging back: salvage of an upgrade put into the live table again, after its downgrade or by hand.
//!
//! The engine decides row by row, in one transaction ([`crate::engine::Database::merge_back`]); here is decided which
//! salvage, and looked afterwards that nothing else has changed.

mod end;
mod verify;
pub(super) mod waiting;

use super::change::{Wants, preflight};
use super::facts::Done;
use super::snapshot::{self, Purpose, Saved, read_plan};
use super::{Ports, Refusal, SnapshotPolicy, refused, restore, settle};
use crate::catalog::TableName;
use crate::engine::{self, MergeMode, OtherWrites, Piece, Selection};
use crate::fingerprint::Inventory;
use crate::history::{Direction, RevisionId};
use crate::journal::{Entry, Operation, OperationState};
use crate::ledger::MergedBack;
use crate::plan::Plan;
use crate::report::{Aftermath, BackupFacts, Failure, Kind, MergeFacts, Report, Step};
use crate::store::{Backup, Listed};
use crate::tabular::{self, Draft, EXPORTS, Made};
use end::End;
use std::collections::BTreeSet;
use std::sync::Arc;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The facts in the journal that say what is merged, for recovery.
const MERGES: &str = "merges";
const TABLES: &str = "tables";
/// The fact that a downgrade is to leave salvage where it is.
pub(super) const LEFT: &str = "no-merge";
/// What the conflicts are called in a backup.
const CONFLICTS: &str = "conflicts";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct MergeRequest {
    /// The backup's id, or an unambiguous part of it, or `latest`.
    pub backup: String,
    /// Only these tables; all when there are none.
    pub tables: Vec<String>,
    /// Say what would be merged, and change nothing.
    pub look: bool,
    pub policy: SnapshotPolicy,
}

/// Merges the salvage of one backup into the live database. The present state is saved first.
pub async fn merge_back(ports: &Ports<'_>, request: &MergeRequest) -> Result<Report, Failure> {
    let backup = ports.store.open(&request.backup).await.map_err(refused)?;
    restore::refuse_another(ports, &backup)?;
    // Before anything is begun: salvage that is not as it was written must be known before a table is touched.
    let pieces = chosen(&backup, &request.tables)?;
    let id = ports.journal.new_id(Kind::MergeBack);
    ports.refuse_missing().await?;
    let _lock = ports.database.lock(&id).await.map_err(refused)?;
    ports.journal.refuse_unfinished(ports.identity()).map_err(refused)?;
    if request.look {
        let progress = ports.progress(Step::MergeBack);
        let merged = ports.database.merge_back(&pieces, MergeMode::Look, &id, &progress).await;
        let merged = merged.map_err(refused)?;
        let rows = ports.database.version_rows().await.map_err(refused)?;
        let merge = facts(&[backup.manifest.id], merged, Vec::new());
        return Ok(report(ports, None, Aftermath::Unchanged, rows, Some(merge)));
    }
    preflight(ports, &request.policy, Wants::default()).await?;
    let rows = ports.database.version_rows().await.map_err(refused)?;

    let mut op = ports.begin(&id, Kind::MergeBack, None, (&rows, &rows)).map_err(refused)?;
    let says = [(MERGES, backup.manifest.id.clone()), (TABLES, request.tables.join("\n"))];
    for (name, value) in says {
        op.write(Entry::Fact { name: name.to_string(), value }).map_err(refused)?;
    }
    let outcome = by_hand(ports, &mut op, request, &backup, &pieces).await;
    settle::end(ports, &op, outcome).await
}

/// Returns the salvage of these tables in a backup; refuses when there is none.
fn chosen(backup: &Backup, tables: &[String]) -> Result<Vec<Piece>, Failure> {
    let mut pieces = pieces(backup).map_err(refused)?;
    if let Some(unknown) =
        tables.iter().find(|asked| !pieces.iter().any(|piece| names(asked, &piece.salvage.table)))
    {
        let (backup, table) = (backup.manifest.id.clone(), Some(unknown.clone()));
        return Err(refused(Refusal::NoSalvage { backup, table }));
    }
    pieces.retain(|piece| tables.is_empty() || tables.iter().any(|asked| names(asked, &piece.salvage.table)));
    if pieces.is_empty() {
        return Err(refused(Refusal::NoSalvage { backup: backup.manifest.id.clone(), table: None }));
    }
    Ok(pieces)
}

fn pieces(backup: &Backup) -> Result<Vec<Piece>, tabular::Error> {
    let found = tabular::salvaged(&backup.folder.join(EXPORTS))?;
    let before = snapshot::read_inventory(backup, "before.json");
    let sequences = Arc::new(before.map(|before| before.fingerprint.sequences).unwrap_or_default());
    Ok(found.into_iter().map(|(_, piece)| Piece { sequences: sequences.clone(), ..piece }).collect())
}

/// Tells whether a table was meant, with its schema or without.
pub(super) fn names(asked: &str, table: &TableName) -> bool {
    let meant = |name: TableName| name == *table || (name.schema.is_none() && name.name == table.name);
    meant(TableName::plain(asked)) || TableName::parse(asked).is_some_and(meant)
}

async fn by_hand(
    ports: &Ports<'_>,
    op: &mut Operation,
    request: &MergeRequest,
    backup: &Backup,
    pieces: &[Piece],
) -> Result<Report, Failure> {
    let mark = ports.database.mark().await.map_err(refused)?;
    let purpose = Purpose {
        id: op.id().to_string(),
        kind: Kind::MergeBack,
        plan: None,
        rehearse: false,
        consent: None,
    };
    let saved = snapshot::keep(ports, op, &purpose, &request.policy).await?;
    let with_backup = |failure: Failure| Failure { backup: Some(saved.facts()), ..failure };
    ports.go_on().map_err(|error| with_backup(refused(error)))?;

    op.set_aftermath(Aftermath::Unknown);
    let merged = write(ports, op, pieces).await.map_err(|failure| {
        // One transaction, and what failed has undone it.
        let aftermath = if settle::undecided(&failure) { Aftermath::Unknown } else { Aftermath::Unchanged };
        with_backup(Failure { aftermath, ..failure })
    })?;
    op.set_aftermath(Aftermath::Changed);
    let others = ports.database.others_wrote_since(&mark).await;
    let others = others.unwrap_or_else(|error| OtherWrites::Unknown(error.to_string()));
    let (after, check) =
        checked(ports, op, &saved, &saved.inventory, &merged, &others).await.map_err(with_backup)?;
    let notes = check
        .unsure
        .iter()
        .cloned()
        .chain(left_undone(&merged))
        .chain(waiting::stale_views(&after, &merged))
        .collect();
    let kept = op.step(Step::Finish, keep(ports, op_id(op), &saved, &after, &merged)).await;
    let files = kept.map_err(with_backup)?.what;
    let rows = saved.backup.manifest.from.clone();
    let merge = facts(std::slice::from_ref(&backup.manifest.id), merged, files);
    let changed = merge.count() > 0 || merge.side_table.is_some();
    let aftermath = if changed { Aftermath::Changed } else { Aftermath::Unchanged };
    let id = Some(op.id().to_string());
    Ok(Report {
        backup: Some(saved.facts()),
        check: Some(check),
        undo: changed.then(|| format!("ripcord restore {}", saved.backup.manifest.id)),
        notes,
        ..report(ports, id, aftermath, rows, Some(merge))
    })
}

fn op_id(op: &Operation) -> String {
    op.id().to_string()
}

/// The step that writes.
async fn write(ports: &Ports<'_>, op: &mut Operation, pieces: &[Piece]) -> Result<MergedBack, Failure> {
    let (id, progress) = (op_id(op), ports.progress(Step::MergeBack));
    let work = async {
        ports.go_on()?;
        let merged = ports.database.merge_back(pieces, MergeMode::Write, &id, &progress).await?;
        Ok::<_, engine::Error>(Done { facts: sentence(&merged), what: merged })
    };
    Ok(op.step(Step::MergeBack, work).await?.what)
}

fn sentence(merged: &MergedBack) -> String {
    let sum = |count: fn(&crate::ledger::Merged) -> u64| merged.merged.iter().map(count).sum::<u64>();
    let (already, deleted) = (sum(|one| one.already), sum(|one| one.deleted));
    format!(
        "{} put back, {already} there already, {deleted} deleted since, {} in conflict",
        merged.count(),
        merged.conflicts()
    )
}

/// Says what a merge has not done because nobody but the application can say whether it should be.
fn left_undone(merged: &MergedBack) -> impl Iterator<Item = String> {
    let silent = (!merged.silent.is_empty()).then(|| {
        format!(
            "for what was put back no trigger has fired; what these do was not done: {}",
            merged.silent.join(", ")
        )
    });
    let stale = merged.stale.iter().map(|(index, why)| {
        let sql = format!("INSERT INTO {0} ({0}) VALUES ('rebuild')", index.sql());
        format!("the full-text index {index} does not know what was put back, and could not be built anew ({why}): {sql}")
    });
    silent.into_iter().chain(stale.collect::<Vec<_>>())
}

/// Looks at the database after a merge: nothing but what was merged may have changed since `before`.
async fn checked(
    ports: &Ports<'_>,
    op: &mut Operation,
    saved: &Saved,
    before: &Inventory,
    merged: &MergedBack,
    others: &OtherWrites,
) -> Result<(Inventory, crate::report::Check), Failure> {
    let mut held_against = None;
    let work = async {
        let (folder, progress) = (saved.backup.snapshot(), ports.progress(Step::Verify));
        let after = ports.database.inventory_after(&saved.inventory, &folder, &progress).await?;
        let check = verify::only_merged(before, &after, merged, others);
        match check.wrong.len() {
            0 => {
                let facts = format!("{} tables as expected", check.comparison.tables.len());
                Ok(Done { what: (after, check), facts })
            }
            count => {
                held_against = Some(Box::new(check));
                Err(Cause::from(Refusal::Verification { count }))
            }
        }
    };
    match op.step(Step::Verify, work).await {
        Ok(done) => Ok(done.what),
        Err(failure) => {
            let next = vec![format!("ripcord restore {}", saved.backup.manifest.id)];
            Err(Failure { check: held_against, next, ..failure })
        }
    }
}

/// Keeps how the database ended, and the conflicts as files; returns their names.
async fn keep(
    ports: &Ports<'_>,
    id: String,
    saved: &Saved,
    after: &Inventory,
    merged: &MergedBack,
) -> Result<Done<Vec<String>>, Cause> {
    let backup = &saved.backup.manifest.id;
    ports.store.add(backup, "after.json", &serde_json::to_vec_pretty(after)?).await?;
    let mut files = Vec::new();
    if let Some(side) = &merged.side_table {
        // A draft is private, and removed by `recover` after a crash.
        let draft = ports.store.draft(&format!("{id}-{CONFLICTS}")).await?;
        let written = write_conflicts(ports, side, &draft.folder, backup).await;
        let discarded = ports.store.discard(draft).await;
        files = written?;
        discarded?;
    }
    let facts =
        if files.is_empty() { String::new() } else { format!("conflicts are in {}", files.join(" and ")) };
    Ok(Done { what: files, facts })
}

async fn write_conflicts(
    ports: &Ports<'_>,
    side: &TableName,
    folder: &std::path::Path,
    backup: &str,
) -> Result<Vec<String>, Cause> {
    let selections = [Selection::Table(side.to_string())];
    let draft = Arc::new(Draft::begin(folder, vec![CONFLICTS.to_string()])?);
    let progress = ports.progress(Step::Finish);
    let exported = ports.database.export_rows(&selections, draft.clone(), &progress).await?;
    draft.publish(&Made::all(&selections, exported), ports.identity(), ports.clock.now())?;
    let names = [format!("{CONFLICTS}.csv.gz"), format!("{CONFLICTS}.json")];
    for name in &names {
        let place = folder.join(name);
        let bytes = std::fs::read(&place).map_err(|source| Refusal::Io { place, doing: "read", source })?;
        ports.store.add(backup, name, &bytes).await?;
    }
    Ok(names.to_vec())
}

/// Salvage that a downgrade brings back: which backups have it, and what must wait.
struct Sources {
    backups: Vec<String>,
    pieces: Vec<Piece>,
    notes: Vec<String>,
}

/// Finds the salvage of the upgrades that a downgrade has just undone, the newest first. Of each revision only the newest
/// upgrade counts: what an earlier one salvaged was merged back before the later one ran. One of which a revision is still
/// applied waits, because what its way back leaves is not there yet.
async fn sources(ports: &Ports<'_>, undone: &[RevisionId], rows: &[RevisionId]) -> Result<Sources, Cause> {
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

/// What came of merging after a downgrade.
pub(super) struct After {
    /// How the database ended.
    pub inventory: Inventory,
    pub merge: Option<MergeFacts>,
    pub notes: Vec<String>,
}

/// Merges what the undone revisions had destroyed, after a downgrade that passed its verification and ended as
/// `before`. With `wanted` false it only says how to do it later.
pub(super) async fn after_downgrade(
    ports: &Ports<'_>,
    op: &mut Operation,
    plan: &Plan,
    saved: &Saved,
    before: Inventory,
    wanted: bool,
) -> Result<After, Failure> {
    let nothing = |inventory, notes| Ok(After { inventory, merge: None, notes });
    if plan.direction == Direction::Up {
        return nothing(before, Vec::new());
    }
    let named = |failure: Failure| Failure { backup: Some(saved.facts()), ..failure };
    let undone: Vec<RevisionId> = plan.scripts.iter().map(|script| script.revision.clone()).collect();
    let found = sources(ports, &undone, &plan.to)
        .await
        .map_err(|error| named(Failure { aftermath: Aftermath::Changed, ..refused(error) }))?;
    let by_hand = |id: &String| format!("ripcord backup merge-back {id}");
    if !wanted {
        let left = found
            .backups
            .iter()
            .map(|id| format!("salvage was not merged back, as asked; later: {}", by_hand(id)));
        return nothing(before, left.chain(found.notes.clone()).collect());
    }
    if found.pieces.is_empty() {
        return nothing(before, found.notes);
    }
    op.set_aftermath(Aftermath::Changed);
    let mark = ports.database.mark().await.map_err(|error| named(refused(error)))?;
    let merged = match write(ports, op, &found.pieces).await {
        Ok(merged) => merged,
        Err(failure) => {
            // The downgrade stands and was verified: this is its end, for a later `verify`.
            let bytes = serde_json::to_vec_pretty(&before).unwrap_or_default();
            let _ = ports.store.add(&saved.backup.manifest.id, "after.json", &bytes).await;
            let aftermath = if settle::undecided(&failure) { Aftermath::Unknown } else { Aftermath::Changed };
            let next = found.backups.iter().map(by_hand).collect();
            return Err(named(Failure { aftermath, next, ..failure }));
        }
    };
    let others = ports.database.others_wrote_since(&mark).await;
    let others = others.unwrap_or_else(|error| OtherWrites::Unknown(error.to_string()));
    let (inventory, check) = checked(ports, op, saved, &before, &merged, &others).await.map_err(named)?;
    let kept = keep(ports, op_id(op), saved, &inventory, &merged).await;
    let files =
        kept.map_err(|error| named(Failure { aftermath: Aftermath::Changed, ..refused(error) }))?.what;
    let said = left_undone(&merged).chain(waiting::stale_views(&inventory, &merged));
    let notes = check.unsure.into_iter().chain(said).chain(found.notes).collect();
    Ok(After { inventory, merge: Some(facts(&found.backups, merged, files)), notes })
}

/// The crash came while salvage was merged by hand: it is one transaction, and a second look tells whether anything is
/// left to merge.
pub(super) async fn recover(ports: &Ports<'_>, state: &OperationState) -> Result<Report, Failure> {
    let unknown = |failure: Failure| Failure { aftermath: Aftermath::Unknown, ..failure };
    let id = state.facts.get(MERGES).cloned().unwrap_or_default();
    let backup = ports.store.open(&id).await.map_err(refused).map_err(unknown)?;
    let tables = state.facts.get(TABLES).map(|text| text.lines().map(str::to_string).collect::<Vec<_>>());
    let pieces = chosen(&backup, &tables.unwrap_or_default()).map_err(unknown)?;
    let saved = match &state.backup {
        Some(id) => Some(ports.store.open(id).await.map_err(refused).map_err(unknown)?),
        None => None,
    };
    let progress = ports.progress(Step::MergeBack);
    // Under another name: the side table of the one that died must not be looked past.
    let name = format!("{}-look", state.operation);
    let looked = ports.database.merge_back(&pieces, MergeMode::Look, &name, &progress).await;
    let looked = looked.map_err(refused).map_err(unknown)?;
    let took_place = looked.count() == 0;
    let kept = saved.as_ref().map(backup_facts);
    let mut report =
        report(ports, Some(state.operation.clone()), Aftermath::Unchanged, state.from.clone(), None);
    report.backup = kept;
    if !took_place {
        report.notes.push(format!("nothing was merged; run it again: ripcord backup merge-back {id}"));
        return Ok(report);
    }
    if let Some(saved) = saved {
        let after = ports.database.inventory(&ports.progress(Step::Verify)).await;
        let after = after.map_err(refused).map_err(unknown)?;
        let bytes = serde_json::to_vec_pretty(&after).unwrap_or_default();
        ports.store.add(&saved.manifest.id, "after.json", &bytes).await.map_err(refused).map_err(unknown)?;
        report.undo = Some(format!("ripcord restore {}", saved.manifest.id));
    }
    Ok(Report { aftermath: Aftermath::Changed, ..report })
}

fn backup_facts(backup: &Backup) -> BackupFacts {
    BackupFacts {
        id: backup.manifest.id.clone(),
        place: backup.folder.clone(),
        bytes: backup.bytes(),
        proven: backup.manifest.proof.proven,
        salvage: Vec::new(),
    }
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
        kind: Kind::MergeBack,
        database: ports.identity().clone(),
        aftermath,
        from: rows.clone(),
        to: rows,
        backup: None,
        check: None,
        accepted: Vec::new(),
        merge,
        ledger: None,
        restored: Vec::new(),
        undo: None,
        notes: Vec::new(),
    }
}
