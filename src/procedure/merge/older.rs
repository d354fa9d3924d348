//! Ways back of revisions that are older than an upgrade.
//!
//! What an upgrade salvaged has the names and the meaning of before it. A way back of an older revision that has run since may
//! have given that name to something else, or another meaning to its values: then nothing is put there.

use super::Cause;
use super::end::End;
use super::renew::untried;
use super::share::touching;
use super::sources::{Answered, Sources};
use crate::base::{counted, one_or_more};
use crate::engine::Piece;
use crate::history::{Direction, History, RevisionId};
use crate::ledger::SalvageKind;
use crate::plan::{Plan, Script};
use crate::procedure::snapshot::read_plan;
use crate::procedure::{Ports, readable, rows_text};
use crate::report::{HeldBack, Kind};
use crate::store::Backup;
use std::collections::BTreeSet;

/// The older revisions that were undone since a backup was taken.
pub(super) struct Older {
    /// Their ways back, as far as they are known.
    ways: Plan,
    /// Those of which nobody knows what their ways back did.
    unknown: BTreeSet<RevisionId>,
}

impl Older {
    /// Finds what was applied when a backup was taken and is not at `rows`. `known` are ways back that have just run, or are about
    /// to; of others the backups of the downgrades tell.
    pub(super) async fn undone(
        ports: &Ports<'_>,
        backup: &Backup,
        known: &[Script],
        rows: &[RevisionId],
    ) -> Result<Self, Cause> {
        let history = ports.runner.history().ok();
        let older: Option<BTreeSet<RevisionId>> = history.and_then(|history| {
            let now = applied(&history, rows)?;
            Some(applied(&history, &backup.manifest.from)?.difference(&now).cloned().collect())
        });
        let is_short = |older: &BTreeSet<RevisionId>| older.iter().all(|one| is_among(known, one));
        if let Some(older) = older.as_ref().filter(|older| is_short(older)) {
            return Ok(Self::of(older, known.to_vec()));
        }
        let (since, went_up) = since(ports, backup).await?;
        let scripts: Vec<Script> = known.iter().cloned().chain(since).collect();
        // Without the files of the history only what was undone since and never run since tells.
        let by_journal = || {
            let each = scripts.iter().map(|script| script.revision.clone());
            each.filter(|revision| !went_up.contains(revision)).collect()
        };
        Ok(Self::of(&older.unwrap_or_else(by_journal), scripts))
    }

    fn of(older: &BTreeSet<RevisionId>, mut scripts: Vec<Script>) -> Self {
        scripts.retain(|script| older.contains(&script.revision));
        let unknown = older.iter().filter(|revision| !is_among(&scripts, revision)).cloned().collect();
        Self { ways: way(scripts), unknown }
    }

    /// Returns for each of these pieces of one backup the older revisions whose ways back may have touched it.
    pub(super) fn touching(&self, pieces: &[&Piece]) -> Vec<BTreeSet<RevisionId>> {
        let found = touching(&self.ways, pieces).into_iter();
        found.map(|found| found.union(&self.unknown).cloned().collect()).collect()
    }
}

fn is_among(scripts: &[Script], revision: &RevisionId) -> bool {
    scripts.iter().any(|script| script.revision == *revision)
}

/// Returns scripts as the plan that they would be.
fn way(scripts: Vec<Script>) -> Plan {
    Plan {
        direction: Direction::Down,
        target: String::new(),
        from: Vec::new(),
        to: Vec::new(),
        schema: None,
        scripts,
        accepted: Vec::new(),
    }
}

pub(super) fn applied(history: &History, rows: &[RevisionId]) -> Option<BTreeSet<RevisionId>> {
    let applied = history.applied(rows).ok()?;
    Some(applied.into_iter().map(|revision| revision.id.clone()).collect())
}

/// Returns the ways back that ran since a backup was taken, and the revisions that were upgraded to since.
async fn since(ports: &Ports<'_>, backup: &Backup) -> Result<(Vec<Script>, BTreeSet<RevisionId>), Cause> {
    let (mut back, mut up) = (Vec::new(), BTreeSet::new());
    let names = [ports.identity(), &backup.manifest.database];
    let is_since = |found: &Backup| {
        (found.manifest.created, &found.manifest.id) >= (backup.manifest.created, &backup.manifest.id)
    };
    for found in readable(ports).await? {
        if !is_since(&found) || !names.iter().any(|name| found.manifest.database.is_same(name)) {
            continue;
        }
        let Ok(plan) = read_plan(&found) else { continue };
        match found.manifest.kind {
            Kind::Downgrade if End::of(ports, &found) != End::Undone => back.extend(plan.scripts),
            Kind::Upgrade => up.extend(plan.scripts.into_iter().map(|script| script.revision)),
            _ => {}
        }
    }
    Ok((back, up))
}

/// Tells whether the last that happened to these revisions since a backup was taken is that this way back of them ran.
pub(super) async fn has_run(ports: &Ports<'_>, backup: &Backup, back: &Plan) -> bool {
    let Ok(found) = readable(ports).await else { return false };
    let is_since = |found: &&Backup| {
        (found.manifest.created, &found.manifest.id) > (backup.manifest.created, &backup.manifest.id)
            && found.manifest.database.is_same(ports.identity())
            && End::of(ports, found) != End::Undone
    };
    let since: Vec<Plan> = found.iter().filter(is_since).filter_map(|found| read_plan(found).ok()).collect();
    let statements = |script: &Script| -> Vec<String> {
        script.statements.iter().map(|statement| statement.text.clone()).collect()
    };
    back.scripts.iter().all(|script| {
        let mut ran = since.iter().rev().flat_map(|plan| plan.scripts.iter().rev());
        let last = ran.find(|ran| ran.revision == script.revision);
        last.is_some_and(|last| last.direction == script.direction && statements(last) == statements(script))
    })
}

/// Says why nothing is put back.
pub(super) fn why(older: &BTreeSet<RevisionId>) -> String {
    let count = older.len() as u64;
    let list: Vec<String> = older.iter().map(ToString::to_string).collect();
    format!(
        "{} {} older than that upgrade and {} undone since, by a way back that may have touched it: the same name may mean \
         something else now",
        list.join(", "),
        one_or_more(count, "is", "are"),
        one_or_more(count, "was", "were")
    )
}

/// Says how salvage that is held back is merged all the same: where its backup was taken it means what it meant.
pub(super) fn ways_on(backup: &Backup, rows: &[RevisionId]) -> Vec<String> {
    let id = &backup.manifest.id;
    let there = match backup.manifest.from.as_slice() {
        [home] => vec![
            format!("it can be merged where it was taken; go up there first: ripcord upgrade {home}"),
            format!("merge it there: ripcord backup merge-back {id}"),
            format!("and come down again: ripcord downgrade {}", rows_text(rows)),
        ],
        _ => Vec::new(),
    };
    let beside = format!("its snapshot has everything, to look at beside: ripcord restore {id} --to URL");
    there.into_iter().chain([beside]).collect()
}

impl Sources {
    /// Takes out what a way back of an older revision may have touched that has run by now, and says what it was.
    pub(super) async fn hold_back(&mut self, ports: &Ports<'_>, plan: &Plan) -> Result<(), Cause> {
        let turns: BTreeSet<usize> = self.pieces.iter().map(|piece| piece.turn).collect();
        for turn in turns {
            let Some(backup) = self.backup_of(turn).cloned() else { continue };
            let older = Older::undone(ports, &backup, &plan.scripts, &plan.to).await?;
            let its = self.pieces.iter().filter(|piece| piece.turn == turn).collect::<Vec<_>>();
            let mut touched = older.touching(&its).into_iter();
            let (mut kept, mut held) = (Vec::new(), Vec::new());
            for piece in std::mem::take(&mut self.pieces) {
                let by =
                    if piece.turn == turn { touched.next().unwrap_or_default() } else { BTreeSet::new() };
                match by.is_empty() {
                    true => kept.push(piece),
                    false => held.push((piece, by)),
                }
            }
            self.pieces = kept;
            self.held_back.extend(held.iter().map(|(piece, by)| held_back(&backup, piece, by)));
            if !held.is_empty() {
                self.notes.extend(told(&backup, &held, &plan.to));
            }
        }
        Ok(())
    }

    /// Returns the backups of which anything is merged.
    pub(super) fn merged_from(&self) -> Vec<String> {
        let is_any = |turn: usize| self.pieces.iter().any(|piece| piece.turn == turn);
        self.backups.iter().enumerate().filter(|(turn, _)| is_any(*turn)).map(|(_, id)| id.clone()).collect()
    }

    fn backup_of(&self, turn: usize) -> Option<&Backup> {
        let id = self.backups.get(turn)?;
        self.upgrades.iter().map(|answered| &answered.backup).find(|backup| backup.manifest.id == *id)
    }
}

fn told(backup: &Backup, held: &[(Piece, BTreeSet<RevisionId>)], rows: &[RevisionId]) -> Vec<String> {
    let what: Vec<String> = held.iter().map(|(piece, _)| what(piece)).collect();
    let by = held.iter().flat_map(|(_, by)| by.iter().cloned()).collect();
    let fact = format!(
        "{} in backup {} {} not merged: {}",
        what.join(", "),
        backup.manifest.id,
        one_or_more(what.len() as u64, "was", "were"),
        why(&by)
    );
    std::iter::once(fact).chain(ways_on(backup, rows)).collect()
}

fn held_back(backup: &Backup, piece: &Piece, by: &BTreeSet<RevisionId>) -> HeldBack {
    HeldBack {
        backup: backup.manifest.id.clone(),
        what: piece.salvage.what,
        table: piece.table_then().clone(),
        columns: piece.salvage.columns.clone(),
        rows: piece.rows,
        undone: by.iter().cloned().collect(),
    }
}

/// Says what a piece holds.
fn what(piece: &Piece) -> String {
    let (table, rows) = (piece.table_then(), counted(piece.rows, "row"));
    match piece.salvage.what {
        SalvageKind::Values => format!("{table}.{} of {rows}", piece.salvage.columns.join(", ")),
        SalvageKind::Rows => format!("{rows} of {table}"),
    }
}

/// What of a way down must be over before what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::procedure) struct Claim {
    /// The backup of the upgrade.
    pub backup: String,
    /// The scripts that undo the upgrade, by their places in the plan.
    pub own: BTreeSet<usize>,
    /// For each table that comes back: scripts of older revisions that may touch it.
    pub harmed_by: Vec<BTreeSet<usize>>,
}

/// Returns what each upgrade that a plan undoes has to bring back, the newest first, and which scripts of the plan must not run
/// before that. Upgrades without salvage have nothing to claim.
pub(super) fn claims(ports: &Ports<'_>, plan: &Plan, found: &Sources) -> Vec<Claim> {
    let history = ports.runner.history().ok();
    let mut newer: BTreeSet<RevisionId> = BTreeSet::new();
    let mut claims = Vec::new();
    for answered in &found.upgrades {
        let Answered { backup, plan: its, damage } = answered;
        let own: BTreeSet<RevisionId> = its.scripts.iter().map(|script| script.revision.clone()).collect();
        let then = history.as_ref().and_then(|history| applied(history, &backup.manifest.from));
        let is_older = |revision: &RevisionId| match &then {
            Some(then) => then.contains(revision),
            None => !own.contains(revision) && !newer.contains(revision),
        };
        let scripts: Vec<Script> =
            plan.scripts.iter().filter(|script| is_older(&script.revision)).cloned().collect();
        let pieces: Vec<&Piece> = found.pieces_of(&backup.manifest.id);
        let anew = damage.is_some() || untried(ports, answered).is_some();
        let mut harmed: Vec<BTreeSet<RevisionId>> = touching(&way(scripts.clone()), &pieces);
        if anew {
            // What is taken out of its snapshot again is not known yet: it may be of any table.
            let doing = scripts.iter().filter(|script| !script.statements.is_empty());
            harmed.push(doing.map(|script| script.revision.clone()).collect());
        }
        let mine: BTreeSet<RevisionId> = own.difference(&newer).cloned().collect();
        newer.extend(own);
        if !harmed.is_empty() {
            let at = |of: &BTreeSet<RevisionId>| places(plan, of);
            let harmed_by = harmed.iter().map(at).collect();
            claims.push(Claim { backup: backup.manifest.id.clone(), own: at(&mine), harmed_by });
        }
    }
    claims
}

fn places(plan: &Plan, of: &BTreeSet<RevisionId>) -> BTreeSet<usize> {
    let scripts = plan.scripts.iter().enumerate();
    scripts.filter(|(_, script)| of.contains(&script.revision)).map(|(place, _)| place).collect()
}

impl Sources {
    /// Returns the pieces of one backup.
    fn pieces_of(&self, id: &str) -> Vec<&Piece> {
        let turn = self.backups.iter().position(|backup| backup == id);
        self.pieces.iter().filter(|piece| Some(piece.turn) == turn).collect()
    }
}
