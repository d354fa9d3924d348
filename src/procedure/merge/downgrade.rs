//! The end of a downgrade: what the undone upgrades had destroyed comes back by itself, or is left where it is, as asked.

use super::made::leave_own_values;
use super::sources::{SALVAGE, sources};
use super::{checked, facts, keep, left_undone, moved, op_id, waiting, write};
use crate::base::hash::Hashed;
use crate::engine::{Applied, OtherWrites};
use crate::fingerprint::Inventory;
use crate::history::{Direction, RevisionId};
use crate::journal::{Entry, Operation};
use crate::plan::Plan;
use crate::procedure::snapshot::Saved;
use crate::procedure::{Ports, new_findings, refused, settle};
use crate::report::{Aftermath, Check, Failure, MergeFacts};

/// What came of merging after a downgrade.
pub(in crate::procedure) struct After {
    /// How the database ended.
    pub inventory: Inventory,
    pub merge: Option<MergeFacts>,
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
    before: Inventory,
    (wanted, applied, hashed): (bool, &Applied, &mut Hashed),
) -> Result<After, Failure> {
    let nothing = |inventory, notes| Ok(After { inventory, merge: None, notes });
    if plan.direction == Direction::Up {
        return nothing(before, Vec::new());
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
        return nothing(before, left.chain(found.notes.clone()).collect());
    }
    if found.pieces.is_empty() {
        return nothing(before, found.notes);
    }
    leave_own_values(&mut found.pieces, &saved.inventory, &before);
    op.set_aftermath(Aftermath::Changed);
    let mark = ports.database.mark().await.map_err(|error| named(refused(error)))?;
    let merged = match write(ports, op, &found.pieces).await {
        Ok(merged) => merged,
        Err(failure) => {
            // The downgrade stands and was verified: this is its end, for a later `verify`.
            let bytes = serde_json::to_vec_pretty(&before).unwrap_or_default();
            let _ = ports.store.add(&saved.backup.manifest.id, "after.json", &bytes).await;
            let aftermath = if settle::undecided(&failure) { Aftermath::Unknown } else { Aftermath::Changed };
            let next = from.iter().map(|id| by_hand(id)).collect();
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
    Ok(After { inventory, merge: Some(facts(&from, merged, files)), notes })
}
