//! One report of all legs: from where the first began to where the last ended.

use crate::catalog::diff;
use crate::engine::CONFLICTS_NAMED;
use crate::fingerprint::{Inventory, compare};
use crate::plan::Accepted;
use crate::procedure::snapshot::read_inventory;
use crate::procedure::{Ports, new_findings};
use crate::report::{Check, LegDone, MergeFacts, Report};
use std::collections::BTreeSet;

/// Joins the reports of legs that have all come to their end.
pub(super) async fn report(ports: &Ports<'_>, first: &Report, done: &[Report]) -> Report {
    let check = check(ports, done).await;
    let legs = done.iter().map(|report| LegDone {
        operation: report.operation.clone().unwrap_or_default(),
        from: report.from.clone(),
        to: report.to.clone(),
        merge: report.merge.clone(),
    });
    let (legs, merge, notes, accepted) = (legs.collect(), merge(done), notes(done), accepted(done));
    let ledger = done.iter().find_map(|report| report.ledger.clone());
    let to = done.last().map(|report| report.to.clone()).unwrap_or_default();
    let held_back = done.iter().flat_map(|report| report.held_back.clone()).collect();
    // The backup of the first is the one that can put everything back, and its undo the one of all.
    Report { to, check, legs, held_back, merge, notes, accepted, ledger, ..first.clone() }
}

/// Compares the first beginning with the last end; what each leg said of others stays as it is.
async fn check(ports: &Ports<'_>, done: &[Report]) -> Option<Check> {
    let last = done.last()?.check.clone();
    let (Some(before), Some(after)) =
        (end(ports, done.first()?, "before.json").await, end(ports, done.last()?, "after.json").await)
    else {
        return last;
    };
    let each = || done.iter().filter_map(|report| report.check.as_ref());
    Some(Check {
        catalog: diff(&before.catalog, &after.catalog),
        comparison: compare(&before.fingerprint, &after.fingerprint),
        new_findings: new_findings(&before.findings, &after.findings),
        wrong: Vec::new(),
        unsure: each().flat_map(|check| check.unsure.clone()).collect(),
        expected: each().flat_map(|check| check.expected.clone()).collect(),
    })
}

async fn end(ports: &Ports<'_>, report: &Report, name: &str) -> Option<Inventory> {
    let backup = ports.store.open(&report.backup.as_ref()?.id).await.ok()?;
    read_inventory(&backup, name).ok()
}

fn merge(done: &[Report]) -> Option<MergeFacts> {
    let each =
        || done.iter().filter_map(|report| Some((report.operation.as_deref()?, report.merge.as_ref()?)));
    each().next()?;
    let sides: Vec<_> = each().filter_map(|(_, merge)| merge.side_table.clone()).collect();
    let conflicts = each().flat_map(|(_, merge)| merge.conflicts.clone());
    let files = each().flat_map(|(id, merge)| merge.files.iter().map(move |file| format!("{id}/{file}")));
    Some(MergeFacts {
        from: each().flat_map(|(_, merge)| merge.from.clone()).collect(),
        merged: each().flat_map(|(_, merge)| merge.merged.clone()).collect(),
        conflict_count: each().map(|(_, merge)| merge.conflict_count).sum(),
        conflicts: conflicts.take(CONFLICTS_NAMED).collect(),
        // Each leg has a side table of its own; where there are several, each is named with its leg.
        side_table: if let [side] = sides.as_slice() { Some(side.clone()) } else { None },
        files: files.collect(),
    })
}

/// Returns what each leg has to remark, once. That a flag was not needed is true if none of them needed it.
fn notes(done: &[Report]) -> Vec<String> {
    let is_of_all = |note: &String| {
        !note.starts_with("--accept ") || done.iter().all(|report| report.notes.contains(note))
    };
    let mut seen = BTreeSet::new();
    let all = done.iter().flat_map(|report| &report.notes);
    all.filter(|note| is_of_all(note)).filter(|note| seen.insert((*note).clone())).cloned().collect()
}

fn accepted(done: &[Report]) -> Vec<Accepted> {
    let mut all: Vec<Accepted> = Vec::new();
    for accepted in done.iter().flat_map(|report| &report.accepted) {
        if all.iter().all(|known| known.held.hazard != accepted.held.hazard) {
            all.push(accepted.clone());
        }
    }
    all
}
