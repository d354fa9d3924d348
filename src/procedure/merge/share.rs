//! Which part of an upgrade's salvage comes back where only some of its revisions are undone. Pure.
//!
//! Salvage is of all revisions of an upgrade together: what a table held before the first of them. It may come back as soon
//! as none of those that may have had a hand in the table is applied any more, and it does so once.

use crate::catalog::{Catalog, TableName};
use crate::engine::Piece;
use crate::history::RevisionId;
use crate::plan::{Plan, hazard};
use crate::procedure::judge;
use std::collections::BTreeSet;

/// What becomes of the salvage of one backup.
pub(super) struct Share {
    /// Comes back now.
    pub now: Vec<Piece>,
    /// Tables whose salvage waits, and the revisions that it waits for.
    pub waiting: BTreeSet<TableName>,
    pub applied: BTreeSet<RevisionId>,
    /// Whether there are tables of which all revisions were undone by an earlier downgrade: theirs came back then.
    pub has_earlier: bool,
}

impl Share {
    /// Says what waits, and for what.
    pub(super) fn says(&self, id: &str) -> Option<String> {
        let list = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>().join(", ");
        (!self.waiting.is_empty()).then(|| {
            format!(
                "salvage of {} in backup {id} comes back when {} is undone, which may have touched it as well; before that, \
                 by hand: ripcord backup merge-back {id}",
                list(&mut self.waiting.iter().map(ToString::to_string)),
                list(&mut self.applied.iter().map(ToString::to_string)),
            )
        })
    }
}

/// Divides the salvage of an upgrade. `open` are the revisions that are being undone, without those that a newer upgrade
/// answers for. Where it is not known what there was before the upgrade, every revision counts as one that touched every table.
pub(super) fn share(
    pieces: Vec<Piece>,
    plan: &Plan,
    (open, applied): (&BTreeSet<RevisionId>, &BTreeSet<RevisionId>),
) -> Share {
    let mut share =
        Share { now: Vec::new(), waiting: BTreeSet::new(), applied: BTreeSet::new(), has_earlier: false };
    // Of one backup, so that all have the same.
    let catalog = pieces.first().and_then(|piece| piece.catalog.clone());
    let known = catalog.as_deref().map(|catalog| (catalog, hazard::Reach::of(plan, catalog)));
    for piece in pieces {
        let hands = hands(plan, known.as_ref(), &piece.salvage.table);
        let mut still = hands.intersection(applied).cloned().peekable();
        if still.peek().is_some() {
            share.applied.extend(still);
            share.waiting.insert(piece.salvage.table);
        } else if hands.is_disjoint(open) {
            share.has_earlier = true;
        } else {
            share.now.push(piece);
        }
    }
    share
}

/// Returns the revisions that may have had a hand in a table: those that name it, or do what nobody can say. A table that
/// went under another name later was named by the revision that renamed it, and what came after that is undone before it.
fn hands(
    plan: &Plan,
    known: Option<&(&Catalog, hazard::Reach<'_>)>,
    table: &TableName,
) -> BTreeSet<RevisionId> {
    let all = || plan.scripts.iter().map(|script| script.revision.clone());
    let Some(known) = known else { return all().collect() };
    let found = reaching(known, table);
    // Something has destroyed it, after all.
    if found.is_empty() { all().collect() } else { found }
}

fn reaching((catalog, reach): &(&Catalog, hazard::Reach<'_>), table: &TableName) -> BTreeSet<RevisionId> {
    let tables = catalog.tables.iter().collect();
    let may = reach.scripts(&|touches| judge::is_touched(touches, &tables, table));
    may.iter().map(|script| script.revision.clone()).collect()
}

/// Returns for each of these pieces, which are of one backup, the revisions of another plan that may touch its table. Where
/// nobody knows what there was, each that does something counts.
pub(super) fn touching(plan: &Plan, pieces: &[&Piece]) -> Vec<BTreeSet<RevisionId>> {
    let catalog = pieces.first().and_then(|piece| piece.catalog.clone());
    let known = catalog.as_deref().map(|catalog| (catalog, hazard::Reach::of(plan, catalog)));
    let doing = || plan.scripts.iter().filter(|script| !script.statements.is_empty());
    let each = pieces.iter().map(|piece| match &known {
        Some(known) => {
            let names = BTreeSet::from([piece.table_then(), &piece.salvage.table]);
            names.into_iter().flat_map(|table| reaching(known, table)).collect()
        }
        None => doing().map(|script| script.revision.clone()).collect(),
    });
    each.collect()
}
