//! The end of a downgrade: what the undone upgrades had destroyed comes back by itself, or is left where it is, as asked.

use super::made::{leave_own_values, mark_momentary, mark_renumbered};
use super::sources::{SALVAGE, Sources, sources};
use super::told::Told;
use super::untouched::{mark_alone, mark_untouched};
use super::{
    UNDISTURBED, about_to_merge, checked, facts, keep, left_undone, moved, once_more, op_id, unexplained,
    waiting, write,
};
use crate::base::hash::Hashed;
use crate::engine::{Applied, OtherWrites, WriteMark};
use crate::fingerprint::Inventory;
use crate::history::{Direction, RevisionId};
use crate::journal::{Entry, Operation};
use crate::plan::Plan;
use crate::procedure::snapshot::{Saved, read_inventory};
use crate::procedure::{Ports, carry, new_findings, refused, settle};
use crate::report::{Aftermath, Check, Failure, HeldBack, MergeFacts, Step};

/// The database as a downgrade left it.
pub(in crate::procedure) struct Before {
    pub inventory: Inventory,
    /// From before that was seen: whoever writes later is told apart from the merge.
    pub mark: WriteMark,
    /// Whether others wrote since the snapshot, as far as that was asked.
    pub others: OtherWrites,
}

/// What came of merging after a downgrade.
pub(in crate::procedure) struct After {
    /// How the database ended.
    pub inventory: Inventory,
    pub merge: Option<MergeFacts>,
    pub held_back: Vec<HeldBack>,
    pub notes: Vec<String>,
}

impl After {
    /// Returns what verification said of the downgrade, with what the engine's checks find now: a merge brings back the rows
    /// to which others point.
    pub fn found(&self, saved: &Saved, check: Check) -> Check {
        match self.merge {
            Some(_) => Check {
                new_findings: new_findings(&saved.inventory.findings, &self.inventory.findings),
                ..check
            },
            None => check,
        }
    }
}

/// Merges what the undone revisions had destroyed, after a downgrade that passed its verification and ended as
/// `before`. With `wanted` false it only says how to do it later. `applied` is what the downgrade did, as far as it is known, and
/// `hashed` what was read of the salvage before it.
pub(in crate::procedure) async fn after_downgrade(
    ports: &Ports<'_>,
    op: &mut Operation,
    plan: &Plan,
    saved: &Saved,
    Before { inventory: before, mark, others }: Before,
    (wanted, applied, hashed): (bool, &Applied, &mut Hashed),
) -> Result<After, Failure> {
    let nothing = |inventory, held_back, notes| Ok(After { inventory, merge: None, held_back, notes });
    if plan.direction == Direction::Up {
        return nothing(before, Vec::new(), once_more::taken_before(ports, plan).await);
    }
    let by_hand = |id: &str| format!("ripcord backup merge-back {id}");
    let named = |failure: Failure| Failure { backup: Some(saved.facts()), ..failure };
    let undone: Vec<RevisionId> = plan.scripts.iter().map(|script| script.revision.clone()).collect();
    let mut found = sources(ports, &undone, &plan.to, &moved(ports, op), &applied.made)
        .await
        .map_err(|error| named(Failure { aftermath: Aftermath::Changed, ..refused(error) }))?;
    if wanted {
        found.look_through(hashed);
    }
    found.notes.extend(found.left());
    found.notes.extend(found.missing(ports, &saved.inventory.catalog, &before.catalog));
    found.notes.extend(found.made_otherwise(&saved.inventory.catalog, &before.catalog));
    let ids = found.waiting();
    if !ids.is_empty() {
        let says = Entry::Fact { name: SALVAGE.to_string(), value: ids.join("\n") };
        op.write(says).map_err(|error| named(Failure { aftermath: Aftermath::Changed, ..refused(error) }))?;
    }
    found
        .hold_back(ports, plan)
        .await
        .map_err(|error| named(Failure { aftermath: Aftermath::Changed, ..refused(error) }))?;
    let from = found.merged_from();
    if !wanted {
        let left =
            from.iter().map(|id| format!("salvage was not merged back, as asked; later: {}", by_hand(id)));
        return nothing(before, found.held_back, left.chain(found.notes).collect());
    }
    if found.pieces.is_empty() {
        return nothing(before, found.held_back, found.notes);
    }
    leave_own_values(&mut found.pieces, &saved.inventory, &before);
    if let Some(rehearsal) = &saved.rehearsal {
        mark_renumbered(&mut found.pieces, &rehearsal.ledger);
        if matches!(others, OtherWrites::Nobody) {
            mark_momentary(&mut found.pieces, &rehearsal.end, &saved.inventory, &before);
        }
    }
    found.pieces.iter_mut().for_each(|piece| piece.fresh = true);
    mark_what_nobody_wrote(ports, &mut found, saved, (&before, &others));
    op.set_aftermath(Aftermath::Changed);
    let not_begun = |failure: Failure| named(Failure { aftermath: Aftermath::Changed, ..failure });
    Told::write(op, &found).map_err(|error| not_begun(refused(error)))?;
    let (id, log) = (op_id(op), about_to_merge(op).map_err(not_begun)?);
    // The downgrade is done: without its salvage the database would be left between two states.
    let merge = async || write(ports, (&id, &log), &found.pieces).await;
    let merged = match op.step(Step::MergeBack, carry::to_the_end(ports, "merging salvage back", merge)).await
    {
        Ok(merged) => {
            // The journal says it now. What cannot be removed is in nobody's way.
            let _ = ports.database.forget_merge(&id).await;
            merged.what
        }
        Err(failure) => {
            keep_end(ports, saved, &before).await;
            if settle::undecided(&failure) {
                // It may stand: what became of it is looked up before anybody merges again.
                return Err(named(Failure { aftermath: Aftermath::Unknown, ..failure }));
            }
            let undo = format!("ripcord restore {}", saved.backup.manifest.id);
            let next = from.iter().map(|id| by_hand(id)).chain([undo]).collect();
            let failure = carry::stopped(
                failure,
                "the downgrade is done and verified",
                "its salvage is not merged back",
            );
            return Err(named(Failure { aftermath: Aftermath::Changed, next, ..failure }));
        }
    };
    let (inventory, check) = match checked(ports, op, saved, (&before, &mark), &merged).await {
        Ok(looked) => looked,
        Err(failure) => {
            keep_end(ports, saved, &before).await;
            let told = unexplained::told(ports, op, saved, (&from, merged), failure).await;
            return Err(named(told));
        }
    };
    let files = match keep(ports, &id, saved, &inventory, &merged).await {
        Ok(kept) => kept.what,
        Err(error) => {
            let failure = named(Failure { aftermath: Aftermath::Changed, ..refused(error) });
            return Err(unexplained::not_kept(saved, (&from, merged), failure));
        }
    };
    let said = left_undone(&merged).chain(waiting::stale_views(&inventory, &merged));
    let notes = check.unsure.into_iter().chain(said).chain(found.notes).collect();
    Ok(After { inventory, merge: Some(facts(&from, merged, files)), held_back: found.held_back, notes })
}

/// Tells the pieces which tables hold what they held, and those of an upgrade since whose end nobody has written that it is so. What
/// others wrote between its snapshot and its end is no work of the upgrade, so that nobody may have written then, either.
fn mark_what_nobody_wrote(
    ports: &Ports<'_>,
    found: &mut Sources,
    saved: &Saved,
    (before, others): (&Inventory, &OtherWrites),
) {
    mark_untouched(&mut found.pieces, before);
    if !matches!(others, OtherWrites::Nobody) {
        return;
    }
    for upgrade in &found.upgrades {
        let id = &upgrade.backup.manifest.id;
        let is_undisturbed =
            ports.journal.state(id).is_some_and(|state| state.facts.contains_key(UNDISTURBED));
        let turn = found.backups.iter().position(|other| other == id).filter(|_| is_undisturbed);
        if let (Some(turn), Ok(ended)) = (turn, read_inventory(&upgrade.backup, "after.json")) {
            let its = found.pieces.iter_mut().filter(|piece| piece.turn == turn);
            mark_alone(its, (&ended, &saved.inventory, before));
        }
    }
}

/// Keeps how the downgrade ended, for a later `verify`, where the merge after it did not come to its end: it stands, and
/// was verified.
async fn keep_end(ports: &Ports<'_>, saved: &Saved, end: &Inventory) {
    let bytes = serde_json::to_vec_pretty(end).unwrap_or_default();
    let _ = ports.store.add(&saved.backup.manifest.id, "after.json", &bytes).await;
}
