//! Which salvage a downgrade brings back: that of the upgrades it has just undone, as their backups and journals tell.

use super::abandoned::abandoned;
use super::end::End;
use super::kept::{look_through, not_taken, pieces};
use super::made::by_its_way_back;
use super::share::share;
use super::told::Told;
use super::{Cause, MERGES, put_back};
use crate::base::hash::Hashed;
use crate::base::shell_word;
use crate::catalog::{Catalog, Change, ChangeKind, TableName, diff};
use crate::engine::{MadeColumn, Piece};
use crate::history::{Direction, RevisionId};
use crate::journal::OperationState;
use crate::plan::Plan;
use crate::procedure::definitions::differing;
use crate::procedure::snapshot::{read_inventory, read_plan};
use crate::procedure::{Ports, opened};
use crate::report::{Aftermath, HeldBack, Kind, Step};
use crate::store::Backup;
use std::collections::BTreeSet;

/// The fact in a downgrade's journal that says which backups have its salvage.
pub(super) const SALVAGE: &str = "salvage";

/// Salvage that a downgrade brings back: which backups have it, and what must wait.
pub(super) struct Sources {
    pub backups: Vec<String>,
    pub pieces: Vec<Piece>,
    pub notes: Vec<String>,
    /// What of it is not merged, because an older way back may have touched it.
    pub held_back: Vec<HeldBack>,
    /// The upgrades that answer for what is undone, with salvage or without.
    pub upgrades: Vec<Answered>,
    /// Backups of upgrades to what is undone that do not tell what was done, by id, and why.
    pub unreadable: Vec<(String, String)>,
    /// The revisions of whose upgrade there is no backup.
    open: BTreeSet<RevisionId>,
    /// The backup of the first of the upgrades, unless it had done more: what a downgrade leads back to.
    first: Option<Box<Backup>>,
}

/// An upgrade that stands, and the last that went to some of the revisions that are undone.
pub(super) struct Answered {
    pub backup: Backup,
    pub plan: Plan,
    /// Why its salvage cannot be merged: it is not as it was written.
    pub damage: Option<String>,
}

impl Sources {
    /// Reads the files of what is to be merged, and leaves out the backups in which one is not as it was written.
    pub(super) fn look_through(&mut self, hashed: &mut Hashed) {
        for (turn, id) in self.backups.iter().enumerate() {
            let its = self.pieces.iter().filter(|piece| piece.turn == turn);
            let Err(error) = look_through(its, hashed) else { continue };
            let answered = self.upgrades.iter_mut().find(|one| one.backup.manifest.id == *id);
            answered.into_iter().for_each(|one| one.damage = Some(error.to_string()));
            self.pieces.retain(|piece| piece.turn != turn);
        }
    }

    /// Returns the backups whose salvage is for this downgrade, whether it is as it was written or not.
    pub(super) fn waiting(&self) -> Vec<String> {
        let more = self.damaged().map(|(id, _)| id).filter(|id| self.backups.iter().all(|other| other != id));
        self.backups.iter().map(String::as_str).chain(more).map(str::to_string).collect()
    }

    /// Returns the backups whose salvage is for this downgrade and cannot be merged, and why.
    fn damaged(&self) -> impl Iterator<Item = (&str, &str)> {
        let damaged = self.upgrades.iter().filter_map(|one| Some((&one.backup, one.damage.as_deref()?)));
        damaged.map(|(backup, why)| (backup.manifest.id.as_str(), why))
    }

    /// Says of each of them how its salvage is come by later.
    pub(super) fn left(&self) -> Vec<String> {
        let nowhere = |id: &str| {
            let mut upgrades = self.upgrades.iter();
            upgrades.any(|one| one.backup.manifest.id == id && not_taken(&one.backup).is_some())
        };
        let damaged = self.damaged().map(|(id, why)| match nowhere(id) {
            true => format!(
                "nothing was merged out of backup {id}: {why}; its snapshot has it, as the whole database was then: ripcord restore {id}"
            ),
            false => format!(
                "the salvage in backup {id} was not merged, because it is not as it was written ({why}); to take it out of the \
                 snapshot of that backup again: ripcord backup merge-back {id}"
            ),
        });
        let unreadable = self.unreadable.iter().map(|(id, why)| {
            format!(
                "nothing was merged out of backup {id}, which does not tell what its upgrade did ({why}): ripcord backup verify {id}"
            )
        });
        damaged.chain(unreadable).collect()
    }

    /// Says that a downgrade made something again whose values may be in a backup that was not found.
    pub(super) fn missing(&self, ports: &Ports<'_>, before: &Catalog, after: &Catalog) -> Option<String> {
        let is_made = |change: &Change| {
            let is_own = change.table.as_deref().and_then(TableName::parse);
            change.kind == ChangeKind::Added
                && ["column ", "table "].iter().any(|word| change.subject.starts_with(word))
                && !is_own.is_some_and(|name| name.is_bookkeeping())
        };
        let made: Vec<String> =
            diff(before, after).into_iter().filter(is_made).map(|change| change.subject).collect();
        if self.open.is_empty() || made.is_empty() {
            return None;
        }
        let open: Vec<String> = self.open.iter().map(ToString::to_string).collect();
        Some(format!(
            "nothing was merged into {}: {} holds no backup of {} from before the upgrade to {}; where it lies elsewhere, \
             copy it there and run: ripcord backup merge-back BACKUP",
            made.join(", "),
            ports.store.place().display(),
            ports.identity(),
            open.join(", ")
        ))
    }

    /// Says of tables that a downgrade made again what they had before the upgrades and have no more: no salvage holds that.
    pub(super) fn made_otherwise(&self, before: &Catalog, after: &Catalog) -> Vec<String> {
        let Some(backup) = self.first.as_deref().filter(|_| self.open.is_empty()) else { return Vec::new() };
        let Ok(then) = read_inventory(backup, "before.json") else { return Vec::new() };
        let is_made = |name: &&TableName| !before.tables.contains_key(*name) && !name.is_bookkeeping();
        let both = after.tables.keys().filter(|name| then.catalog.tables.contains_key(*name));
        let made: Vec<TableName> = both.filter(is_made).cloned().collect();
        let told = differing(&then.catalog, after, &made).into_iter();
        let id = &backup.manifest.id;
        told.map(|(table, told)| {
            format!("the downgrade made {table} again, and not as backup {id} has it: {told}")
        })
        .collect()
    }
}

/// Finds the salvage of the upgrades that a downgrade has just undone, the newest first. Of each revision only the newest
/// upgrade counts: what an earlier one salvaged was merged back before the later one ran; of those that a restore took back
/// none does. Of one of which a revision is still
/// applied, tables wait that this one may have touched, because what its way back leaves is not there yet. `moved` are the
/// backups that bear another name of this database, a line each; `made` are the columns that the downgrade has made.
///
/// The files of salvage are not read: [`Sources::look_through`] does.
pub(super) async fn sources(
    ports: &Ports<'_>,
    undone: &[RevisionId],
    rows: &[RevisionId],
    moved: &str,
    made: &[MadeColumn],
) -> Result<Sources, Cause> {
    let history = ports.runner.history()?;
    let applied = history.applied(rows).unwrap_or_default();
    let operations = ports.journal.operations()?;
    let open: BTreeSet<RevisionId> = undone.iter().cloned().collect();
    let mut search = Search {
        applied: applied.into_iter().map(|revision| revision.id.clone()).collect(),
        undone: &open,
        made,
        unmerged: unmerged(&operations),
        found: Sources {
            backups: Vec::new(),
            pieces: Vec::new(),
            notes: Vec::new(),
            held_back: Vec::new(),
            upgrades: Vec::new(),
            unreadable: Vec::new(),
            open: open.clone(),
            first: None,
        },
    };
    let gone = abandoned(&operations, ports.identity());
    let mut others = Vec::new();
    for listed in ports.store.list().await?.into_iter().rev() {
        let backup = match opened(ports, listed).await {
            Ok(backup) => backup,
            Err((id, why)) => {
                let state = operations.iter().find(|state| state.operation == id);
                let mine = state.filter(|state| state.database.is_same(ports.identity()));
                let mine = mine.filter(|state| !gone.contains(state.operation.as_str()));
                mine.into_iter().for_each(|state| search.pass_over_operation(state, &why));
                continue;
            }
        };
        if backup.manifest.kind != Kind::Upgrade || gone.contains(backup.manifest.id.as_str()) {
            continue;
        }
        let is_moved = moved.lines().any(|id| id == backup.manifest.id);
        if !backup.manifest.database.is_same(ports.identity()) && !is_moved {
            others.push(backup);
        } else {
            let end = End::of(ports, &backup);
            match read_plan(&backup) {
                Ok(plan) => search.look_at(&backup, &plan, end),
                Err(_) if end == End::Undone => {}
                Err(error) => search.pass_over(&backup.manifest.id, &backup.manifest.to, &error.to_string()),
            }
        }
    }
    let mut found = search.found;
    for (turn, id) in found.backups.iter().enumerate() {
        let mut its: Vec<&mut Piece> = found.pieces.iter_mut().filter(|piece| piece.turn == turn).collect();
        put_back::with_newer(ports, id, &mut its).await;
    }
    found.notes.extend(others.iter().filter_map(|backup| of_another(ports, backup, &found.open)));
    Ok(found)
}

/// What is known while the backups are looked through.
struct Search<'a> {
    applied: BTreeSet<RevisionId>,
    undone: &'a BTreeSet<RevisionId>,
    made: &'a [MadeColumn],
    /// The backups whose salvage an earlier downgrade left where it is.
    unmerged: BTreeSet<&'a str>,
    found: Sources,
}

impl Search<'_> {
    /// Keeps in mind an upgrade to what is undone that nobody can see through. An older one does not answer for it.
    fn pass_over(&mut self, id: &str, to: &[RevisionId], why: &str) {
        if to.iter().any(|revision| self.found.open.contains(revision)) {
            self.found.open.retain(|revision| !to.contains(revision));
            self.found.unreadable.push((id.to_string(), why.to_string()));
        }
    }

    /// The same of one of which only the journal is left that can be read.
    fn pass_over_operation(&mut self, state: &OperationState, why: &str) {
        let is_undone = matches!(state.ended, Some(Aftermath::Unchanged | Aftermath::PutBack));
        if state.kind == Kind::Upgrade && !is_undone {
            self.pass_over(&state.operation, &state.to, why);
        }
    }

    /// Takes what an upgrade salvaged, as far as it is for this downgrade.
    fn look_at(&mut self, backup: &Backup, plan: &Plan, end: End) {
        let id = &backup.manifest.id;
        let its = || plan.scripts.iter().map(|script| &script.revision);
        let is_first = its().any(|revision| self.found.open.contains(revision));
        let concerns = is_first || its().any(|revision| self.undone.contains(revision));
        if end == End::Undone || (end != End::Passed && !concerns) {
            return;
        }
        // An upgrade that did not pass may stand all the same, or have been followed by another one.
        if end == End::Unknown || (end == End::Stands && !is_first) {
            if !pieces(backup).is_ok_and(|pieces| pieces.is_empty()) {
                self.found.notes.push(format!(
                    "backup {id} holds salvage of an upgrade that did not come to its end; it was not merged: \
                     ripcord backup merge-back {id}"
                ));
            }
            return;
        }
        let is_empty = || pieces(backup).is_ok_and(|pieces| pieces.is_empty());
        if concerns && !is_first && self.unmerged.contains(id.as_str()) && !is_empty() {
            self.found.notes.push(never_merged(id));
        }
        if plan.direction != Direction::Up || !is_first {
            return;
        }
        let open = self.found.open.clone();
        self.found.open.retain(|revision| !its().any(|its| its == revision));
        let damage = match pieces(backup) {
            Ok(pieces) => {
                if !pieces.is_empty() {
                    self.divide(backup, plan, pieces, &open);
                }
                None
            }
            Err(error) => Some(error.to_string()),
        };
        self.found.upgrades.push(Answered { backup: backup.clone(), plan: plan.clone(), damage });
        self.found.first =
            its().all(|revision| self.undone.contains(revision)).then(|| Box::new(backup.clone()));
    }

    fn divide(&mut self, backup: &Backup, plan: &Plan, pieces: Vec<Piece>, open: &BTreeSet<RevisionId>) {
        let id = &backup.manifest.id;
        let share = share(pieces, plan, (open, &self.applied));
        self.found.notes.extend(share.says(id));
        if share.has_earlier && self.unmerged.contains(id.as_str()) {
            self.found.notes.push(never_merged(id));
        }
        if !share.now.is_empty() {
            let turn = self.found.backups.len();
            let told = |piece| by_its_way_back(Piece { turn, ..piece }, plan, self.made);
            self.found.pieces.extend(share.now.into_iter().map(told));
            self.found.backups.push(id.clone());
        }
    }
}

fn never_merged(id: &str) -> String {
    format!(
        "backup {id} holds salvage of an earlier upgrade to the same revisions, which was never merged back: \
         ripcord backup merge-back {id}"
    )
}

/// Says of a backup of another database that it holds salvage of these revisions: perhaps it is this one, which was renamed.
fn of_another(ports: &Ports<'_>, backup: &Backup, open: &BTreeSet<RevisionId>) -> Option<String> {
    let (id, database) = (&backup.manifest.id, &backup.manifest.database);
    let plan = read_plan(backup).ok().filter(|_| database.engine == ports.identity().engine)?;
    let concerns = plan.scripts.iter().any(|script| open.contains(&script.revision));
    if !concerns || pieces(backup).is_ok_and(|pieces| pieces.is_empty()) {
        return None;
    }
    Some(format!(
        "backup {id} holds salvage of an upgrade to the same revisions, of {database}, and was not merged; if that is this \
         database, which was moved or renamed since: ripcord backup merge-back {id} --of-database {}",
        shell_word(&database.to_string())
    ))
}

/// Returns the backups whose salvage a downgrade left where it is, as asked or because it failed, or whose upgrade was undone by
/// something else (a script, Alembic), and that nothing has merged since. Pure.
fn unmerged(operations: &[OperationState]) -> BTreeSet<&str> {
    let (mut waits, mut stand) = (BTreeSet::new(), Vec::new());
    for state in operations {
        waits.extend(undone_elsewhere(&mut stand, state));
        let is_done = state.finished.contains(&Step::MergeBack);
        let told = Told::of(state);
        let of = |name: &str| state.facts.get(name).map(String::as_str).unwrap_or_default();
        let ids = of(SALVAGE).lines().chain((state.kind == Kind::MergeBack).then(|| of(MERGES)));
        for id in ids.filter(|id| !id.is_empty()) {
            // Of what was held back, or is damaged, nothing was merged although the merge beside it took place.
            let is_of_it = told.as_ref().is_none_or(|told| told.from.iter().any(|from| from == id));
            if is_done && is_of_it {
                waits.remove(id)
            } else {
                state.kind != Kind::MergeBack && waits.insert(id)
            };
        }
    }
    waits
}

/// Follows which upgrades stand, and returns those that the database was taken back from when this operation begins: its version
/// rows are others than they left.
fn undone_elsewhere<'s>(stand: &mut Vec<&'s OperationState>, state: &'s OperationState) -> Vec<&'s str> {
    if state.ended != Some(Aftermath::Changed) {
        return Vec::new();
    }
    let is_at = |upgrade: &OperationState, rows: &[RevisionId]| {
        let rows = rows.iter().collect::<BTreeSet<_>>();
        upgrade.database.is_same(&state.database) && upgrade.to.iter().collect::<BTreeSet<_>>() == rows
    };
    let below = |stand: &[&OperationState], rows| {
        stand.iter().rposition(|upgrade| is_at(upgrade, rows)).map_or(0, |at| at + 1)
    };
    match state.kind {
        Kind::Upgrade => {
            let gone = stand.split_off(below(stand, &state.from));
            stand.push(state);
            gone.iter().map(|upgrade| upgrade.operation.as_str()).collect()
        }
        Kind::Downgrade => {
            stand.truncate(below(stand, &state.to));
            Vec::new()
        }
        Kind::Restore | Kind::Stamp => {
            stand.clear();
            Vec::new()
        }
        _ => Vec::new(),
    }
}
