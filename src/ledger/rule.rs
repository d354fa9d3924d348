//! From what was seen on the copy to the ledger.

use super::appeared::appeared;
use super::fates::{Look, full, missing_after_back};
use super::renamed::settled;
use super::{
    Again, Answers, Dishonest, Fate, Irreversible, Ledger, Loss, LossKind, Run, TableEntry, WayBack,
};
use crate::catalog::diff;
use crate::fingerprint::{ColumnVerdict, Inventory, TableVerdict, compare};
use crate::history::{Direction, RevisionId};

/// Everything that a rehearsal saw.
pub struct Seen<'a> {
    pub direction: Direction,
    pub from: &'a [RevisionId],
    pub to: &'a [RevisionId],
    /// Whether the copy held the rows.
    pub rows_seen: bool,
    /// What of the world around it the copy did not show, one sentence each.
    pub unseen: Vec<String>,
    pub before: &'a Inventory,
    pub there: &'a Inventory,
    /// The answers about before and there.
    pub rows: &'a Answers,
    /// After the way back, with the answers about before and then; none when there is no way back, or it failed.
    pub back: Option<(&'a Inventory, &'a Answers)>,
    /// After the second way there: what it ended with, or why it failed.
    pub again: Option<Result<&'a Inventory, String>>,
    pub back_failed: Option<String>,
    /// The revision whose way back it was.
    pub back_failed_at: Option<RevisionId>,
    /// Revisions whose way back has no statement although their way there has some.
    pub empty: Vec<RevisionId>,
    pub irreversible: Vec<Irreversible>,
    /// What the migration, or what it sets off, says of the time or of chance.
    pub chance: Vec<String>,
    /// The same of its way back.
    pub chance_back: Vec<String>,
    pub revisions: Vec<Run>,
    pub ways_back: Vec<WayBack>,
}

/// Draws up the ledger.
pub fn draw_up(seen: Seen<'_>) -> Ledger {
    let (rows, renamed) = settled(&seen);
    let seen = Seen { rows: &rows, ..seen };
    let look = Look::new(&seen).with(renamed);
    let tables = look.tables();
    let dishonest = dishonest(&look, &seen, &tables);
    let again = again(&seen);
    let own = |inventory: &Inventory| inventory.catalog.without_bookkeeping();
    let before = own(seen.before);
    Ledger {
        direction: seen.direction,
        from: seen.from.to_vec(),
        to: seen.to.to_vec(),
        rows_seen: seen.rows_seen,
        cannot_see: cannot_see(&seen, &again),
        lost: lost(&look, &tables),
        catalog: diff(&before, &own(seen.there)),
        not_brought_back: seen.back.map(|(back, _)| diff(&before, &own(back))).unwrap_or_default(),
        dishonest,
        findings: appeared(&seen),
        again,
        tables,
        irreversible: seen.irreversible,
        back_failed: seen.back_failed,
        back_failed_at: seen.back_failed_at,
        revisions: seen.revisions,
        ways_back: seen.ways_back,
    }
}

fn lost(look: &Look<'_>, tables: &[TableEntry]) -> Vec<Loss> {
    let mut lost = Vec::new();
    for entry in tables {
        let loss = |what, column: Option<&String>, count| Loss {
            what,
            table: entry.table.clone(),
            column: column.cloned(),
            count,
            retyped: None,
        };
        if let Fate::Lost { count } = entry.fate {
            if count != Some(0) {
                // Without any large object there is no table of them.
                let all = entry.table.is_large_objects();
                lost.push(loss(if all { LossKind::Rows } else { LossKind::Table }, None, count));
            }
            continue;
        }
        let stays = entry.rows_after.is_some();
        if stays && entry.deleted > 0 && !entry.rows_back {
            // The way back may bring some of them home.
            let missing = look.missing_after_back(&entry.table).filter(|missing| *missing > 0);
            let count = missing.map_or(entry.deleted, |missing| missing.min(entry.deleted));
            lost.push(loss(LossKind::Rows, None, Some(count)));
        }
        for (column, fate) in &entry.columns {
            match fate {
                Fate::Lost { count } if *count != Some(0) => {
                    lost.push(loss(LossKind::Column, Some(column), *count));
                }
                Fate::Moved { .. } if look.is_lost_on_the_way_back(&entry.table, column) => {
                    let count = look.held_in(&entry.table, column);
                    if count != Some(0) {
                        lost.push(loss(LossKind::Column, Some(column), count));
                    }
                }
                Fate::Transformed { count, back: false, held_in }
                    if held_in.is_none() || look.is_lost_on_the_way_back(&entry.table, column) =>
                {
                    // Some of them may be the same again by chance; those of a key are, wherever rows are found by it.
                    let differing = look.differing_after_back(&entry.table, column);
                    let in_key = look.is_in_key(&entry.table, column);
                    let count = differing.filter(|_| !in_key).or(*count);
                    let retyped = look.retyped(&entry.table, column);
                    lost.push(Loss { retyped, ..loss(LossKind::Values, Some(column), count) });
                }
                _ => {}
            }
        }
    }
    lost
}

/// Holds the way back to its word, where it is a downgrade: an upgrade promises nothing of that kind.
fn dishonest(look: &Look<'_>, seen: &Seen<'_>, tables: &[TableEntry]) -> Vec<Dishonest> {
    if seen.direction == Direction::Down {
        return Vec::new();
    }
    let mut found: Vec<Dishonest> =
        seen.empty.iter().map(|revision| Dishonest::Empty { revision: revision.clone() }).collect();
    let Some((back, answers)) = seen.back.filter(|_| seen.rows_seen) else { return found };
    let before = &seen.before.fingerprint;
    // Of one that does nothing at all it is said once.
    let does_something = seen.empty.is_empty() || seen.empty.len() < seen.revisions.len();
    for entry in tables.iter().filter(|entry| entry.rows_before.is_some_and(|rows| rows > 0)) {
        let name = &entry.table;
        let Some(old) = before.tables.get(name) else { continue };
        let Some(new) = back.fingerprint.tables.get(name) else {
            let in_tree = answers.get(name).filter(|rows| rows.moved > 0);
            if let Some(rows) = in_tree.filter(|rows| rows.deleted > 0) {
                found.push(Dishonest::WithoutRows { table: name.clone(), count: Some(rows.deleted) });
            } else if in_tree.is_none() && does_something && look.place_after_back(name).is_none() {
                found.push(Dishonest::WithoutTable { table: name.clone(), count: entry.rows_before });
            }
            continue;
        };
        let missing = missing_after_back(before, Some((&back.fingerprint, answers)), name);
        let are_missing = missing.is_some_and(|missing| missing > 0);
        if are_missing {
            found.push(Dishonest::WithoutRows { table: name.clone(), count: missing });
        }
        for column in old.columns.keys() {
            let full = full(name, column);
            if !new.columns.contains_key(column) {
                let count = look.held_in(name, column);
                if does_something && count != Some(0) && look.is_lost_on_the_way_back(name, column) {
                    found.push(Dishonest::WithoutColumn { column: full, count });
                }
                continue;
            }
            let count = look.differing_after_back(name, column);
            // Where rows are missing, what nobody could compare was said with them.
            if count == Some(0) || (are_missing && count.is_none()) {
                continue;
            }
            let now = look.place(name).and_then(|place| seen.there.fingerprint.tables.get(place));
            let stayed = now.is_some_and(|now| now.columns.contains_key(column));
            found.push(match stayed {
                true => Dishonest::OtherValues { column: full, count },
                false => Dishonest::WithoutData { column: full, count },
            });
        }
    }
    found
}

fn again(seen: &Seen<'_>) -> Again {
    let again = match &seen.again {
        None => return Again::NotRun,
        Some(Err(error)) => return Again::Failed { error: error.clone() },
        Some(Ok(again)) => *again,
    };
    let differs = differences(seen.there, again);
    if differs.is_empty() {
        return Again::Same;
    }
    let same_beginning = seen.back.is_some_and(|(back, _)| {
        let compared = compare(&seen.before.fingerprint, &back.fingerprint);
        let definitions = [seen.before, back].map(|inventory| inventory.catalog.without_bookkeeping());
        // The same rows under another default are another beginning.
        compared.differing().all(|(name, _)| name.is_bookkeeping())
            && diff(&definitions[0], &definitions[1]).is_empty()
    });
    if same_beginning { Again::NotDeterministic { differs } } else { Again::Differs { differs } }
}

/// Returns what differs between two ends of the same way, in names.
fn differences(first: &Inventory, second: &Inventory) -> Vec<String> {
    let (one, other) = (first.catalog.without_bookkeeping(), second.catalog.without_bookkeeping());
    let mut differs: Vec<String> = diff(&one, &other).into_iter().map(|change| change.subject).collect();
    let compared = compare(&first.fingerprint, &second.fingerprint);
    for (name, table) in compared.differing().filter(|(name, _)| !name.is_bookkeeping()) {
        // A table that only one of them has is named by the catalog.
        if table.verdict != TableVerdict::Changed {
            continue;
        }
        if table.rows_before != table.rows_after {
            differs.push(format!("rows of {name}"));
            continue;
        }
        let columns = table.columns.iter().filter(|(_, verdict)| **verdict == ColumnVerdict::Changed);
        let columns: Vec<String> = columns.map(|(column, _)| full(name, column)).collect();
        match columns.is_empty() {
            true => differs.push(format!("rows of {name}")),
            false => differs.extend(columns),
        }
    }
    differs
}

fn cannot_see(seen: &Seen<'_>, again: &Again) -> Vec<String> {
    let mut sentences = Vec::new();
    if !seen.rows_seen {
        let told = "the copy has no rows: a rename looks like a loss, and it cannot be told which values change, which \
             rows are deleted, whether a constraint holds, or how long it takes on the real data";
        sentences.push(told.to_string());
    }
    sentences.extend(seen.unseen.clone());
    // Two runs within one second have the same time, and dice can fall twice the same way.
    if !seen.chance.is_empty() && !matches!(again, Again::NotDeterministic { .. }) {
        let said = seen.chance.join(", ");
        sentences.push(format!(
            "it may depend on the time or on chance, and end otherwise next time: it says {said}"
        ));
    }
    if !seen.chance_back.is_empty() {
        let said = seen.chance_back.join(", ");
        sentences.push(format!(
            "the way back may depend on the time or on chance, and leave other values next time: it says {said}"
        ));
    }
    let left_out = &seen.before.fingerprint.not_compared;
    sentences
        .extend(left_out.iter().map(|left| format!("{} was not looked at: {}", left.subject, left.reason)));
    sentences
}
