//! Where ripcord means to differ from Alembic, and why.
//!
//! Each kind says what must be true of both answers, as narrowly as the reason allows. What fits none is a failure.

use ripcord::history::{History, HistoryError, RevisionId};

use crate::oracle::{Answer, Question, Verb};
use crate::{Did, Own, same_words, texts};

/// A question with both answers.
pub struct Case<'a> {
    history: &'a History,
    question: &'a Question,
    own: &'a Own,
    alembic: &'a Answer,
}

/// One kind of difference.
pub struct Kind {
    pub name: &'static str,
    applies: fn(&Case<'_>) -> bool,
}

pub const KINDS: &[Kind] = &[
    // Alembic takes whichever row the database returns first, with a warning.
    Kind { name: "downgrade -N from several rows is refused", applies: several_rows },
    // Alembic matches offsets at the start of the text, so that `aaaa+1junk` runs as `aaaa+1`.
    Kind { name: "an offset is matched as a whole", applies: junk_after_offset },
    // Alembic takes the empty state for "from the heads" when it walks down.
    Kind { name: "nothing lies below base", applies: below_base },
    // Alembic ignores a label where it has no choice to make: `downgrade typo@base` undoes everything.
    Kind { name: "an unknown label is refused", applies: unknown_label },
    // Alembic ignores the label and undoes revisions of a branch that was not named.
    Kind { name: "a label that does not fit its downgrade target is refused", applies: label_beside_target },
    // Alembic accepts `stamp -1` on an empty version table only, and then counts down from the heads.
    Kind { name: "stamp takes no offset", applies: stamp_offset },
    // Alembic leaves a row that another row already implies; later commands fail with "overlaps".
    Kind { name: "rows never overlap", applies: redundant_row },
    // Alembic looks for the row of a dependency that a parent already implies, and stops in the middle.
    Kind { name: "a redundant dependency has no row", applies: redundant_dependency },
    // Alembic writes both rows, one of which implies the other.
    Kind { name: "stamp refuses destinations that overlap", applies: stamp_overlap },
    // Alembic stops at an assertion when the rows that it finds already overlap; a stamp is the way out of that.
    Kind { name: "stamp starts from rows that overlap", applies: stamp_from_overlap },
    // Alembic forgets `base` where another destination stands beside it.
    Kind { name: "stamp obeys base beside other destinations", applies: stamp_base },
    // Alembic moves all rows of all destinations to each destination in turn, and loses some or stops in the middle.
    Kind { name: "a stamp moves the rows of its own lineage only", applies: stamp_lineage },
    // Alembic counts from the heads where it can, and refuses when that is not below the end.
    Kind { name: "a range that starts at -N counts from its end", applies: range_from_end },
    // Alembic takes an empty list of rows for "not given", and knows the word on one side only.
    Kind { name: "current in a range is what is applied", applies: range_current },
    // Alembic looks for the spread label on the end itself, which an ancestor of the carrier may not have, and takes an
    // identifier for the one label that reached it.
    Kind { name: "a label at the start of a range means its lineage", applies: range_on_branch },
    // Alembic stops at an assertion: an identifier as label at the start, an end that is base, a dependent outside.
    Kind { name: "a range is listed where Alembic trips", applies: range_trips },
];

/// Says whether both did the same (none), differ as meant (the kind), or differ otherwise (what).
pub fn between(
    history: &History,
    question: &Question,
    own: &Own,
    alembic: &Answer,
) -> Result<Option<&'static str>, String> {
    let Some(what) = difference(question, own, alembic) else { return Ok(None) };
    let case = Case { history, question, own, alembic };
    match KINDS.iter().find(|kind| (kind.applies)(&case)) {
        Some(kind) => Ok(Some(kind.name)),
        None => Err(what),
    }
}

fn difference(question: &Question, own: &Own, alembic: &Answer) -> Option<String> {
    let did = match (own, &alembic.failure) {
        (Ok(did), None) => did,
        (Ok(_), Some(failed)) => return Some(format!("only Alembic fails: {}", failed.text)),
        (Err(error), None) => return Some(format!("only ripcord refuses: {error}")),
        // Where several things are wrong, they need not be noticed in the same order.
        (Err(HistoryError::UnknownRow { .. }), Some(_)) => return None,
        (Err(HistoryError::Overlap { .. }), Some(failed)) if failed.text.contains("overlaps with other") => {
            return None;
        }
        (Err(_), Some(_)) if question.targets.len() > 1 || question.command == Verb::History => return None,
        (Err(error), Some(failed)) if failed.refused && !same_words(&error.to_string(), &failed.text) => {
            return Some(format!("other words: {error} / {}", failed.text));
        }
        (Err(_), Some(_)) => return None,
    };
    let rows: Vec<Vec<String>> = did.rows.iter().map(|rows| texts(rows)).collect();
    if question.command == Verb::Stamp {
        // A stamp runs no revisions; what counts is where it ends.
        let mut start = question.rows.clone();
        start.sort();
        let (own, other) = (rows.last().unwrap_or(&start), alembic.steps.last().unwrap_or(&start));
        return (own != other).then(|| format!("other rows: {own:?} / {other:?}"));
    }
    if Some(&texts(&did.order)) != alembic.planned.as_ref() {
        return Some("another order".to_owned());
    }
    (rows != alembic.steps).then(|| "other rows".to_owned())
}

fn several_rows(case: &Case<'_>) -> bool {
    matches!(case.own, Err(HistoryError::AmbiguousDowngrade { .. }))
        && case.question.rows.len() > 1
        && case.question.targets[0].starts_with('-')
}

fn junk_after_offset(case: &Case<'_>) -> bool {
    let target = &case.question.targets[0];
    matches!(case.own, Err(HistoryError::Unknown { .. })) && target.ends_with("+1junk")
}

fn below_base(case: &Case<'_>) -> bool {
    let name = case.question.targets[0].rsplit(['@', ':']).next().unwrap_or_default();
    let stays =
        case.question.command == Verb::History || matches!(case.own, Err(HistoryError::WalkedTooFar { .. }));
    stays && name.starts_with("base-")
}

fn unknown_label(case: &Case<'_>) -> bool {
    let Err(HistoryError::Unknown { symbol, .. } | HistoryError::Ambiguous { symbol, .. }) = case.own else {
        return false;
    };
    let mut sides = case.question.targets.iter().flat_map(|target| target.split(':'));
    sides.any(|side| side.rsplit_once('@').is_some_and(|(label, _)| label == symbol))
}

fn label_beside_target(case: &Case<'_>) -> bool {
    let Err(HistoryError::NotOnBranch { revision, branch, .. }) = case.own else { return false };
    let Ok(Some(carrier)) = case.history.resolve_one(branch, &[]) else { return false };
    let mut kin = case.history.ancestors(revision);
    kin.extend(case.history.descendants(revision));
    case.question.command == Verb::Downgrade && carrier.id != *revision && !kin.contains(&carrier)
}

fn stamp_offset(case: &Case<'_>) -> bool {
    matches!(case.own, Err(HistoryError::OffsetNotAccepted { .. })) && case.question.command == Verb::Stamp
}

/// Both took the same way, and Alembic's rows are ripcord's with implied ones besides.
fn redundant_row(case: &Case<'_>) -> bool {
    let Ok(did) = case.own else { return false };
    case.alembic.failure.is_none() && same_way(case, did) && did.rows.len() == case.alembic.steps.len()
}

fn redundant_dependency(case: &Case<'_>) -> bool {
    let (Ok(did), Some(failed)) = (case.own, &case.alembic.failure) else { return false };
    let Some(stopped) = did.order.get(case.alembic.steps.len()) else { return false };
    !failed.refused && same_way(case, did) && implies_own_need(case.history, stopped)
}

/// Whether the plans are the same and, as far as Alembic came, its rows without the implied ones are ripcord's.
///
/// ripcord's own rows hold no implied ones, unless the database did from the start.
fn same_way(case: &Case<'_>, did: &Did) -> bool {
    case.alembic.planned.as_ref() == Some(&texts(&did.order))
        && did.rows.iter().all(|rows| overlapping(case) || case.history.check_rows(rows).is_ok())
        && did
            .rows
            .iter()
            .zip(&case.alembic.steps)
            .all(|(own, rows)| newest(case.history, &texts(own)) == newest(case.history, rows))
}

/// Whether the rows of the question already overlap.
fn overlapping(case: &Case<'_>) -> bool {
    newest(case.history, &case.question.rows).len() < case.question.rows.len()
}

/// Whether something that a revision needs is needed by something else that it needs.
fn implies_own_need(history: &History, revision: &RevisionId) -> bool {
    let mut needs: Vec<RevisionId> = history.get(revision).unwrap().parents.clone();
    needs.extend(history.dependencies(revision).into_iter().map(|one| one.id.clone()));
    needs
        .iter()
        .any(|need| history.ancestors_with_dependencies(need).iter().any(|below| needs.contains(&below.id)))
}

fn stamp_overlap(case: &Case<'_>) -> bool {
    let named_several = |target: &String| target.ends_with("@heads");
    let targets = &case.question.targets;
    case.question.command == Verb::Stamp
        && (targets.len() > 1 || targets.iter().any(named_several))
        && matches!(case.own, Err(HistoryError::Overlap { .. }))
}

fn stamp_from_overlap(case: &Case<'_>) -> bool {
    let stopped = case.alembic.failure.as_ref().is_some_and(|failed| !failed.refused);
    case.question.command == Verb::Stamp && case.own.is_ok() && overlapping(case) && stopped
}

fn stamp_base(case: &Case<'_>) -> bool {
    let targets = &case.question.targets;
    let is_base = |target: &String| target == "base" || target.ends_with("@base");
    case.question.command == Verb::Stamp
        && case.own.is_ok()
        && targets.len() > 1
        && targets.iter().any(is_base)
}

/// ripcord wrote the destinations, took away what they are related to, and left the other rows alone.
fn stamp_lineage(case: &Case<'_>) -> bool {
    let (Verb::Stamp, Ok(did), targets) = (case.question.command, case.own, &case.question.targets) else {
        return false;
    };
    let more_than_its_lineage = targets.len() > 1 || targets[0].contains('@') || targets[0] == "heads";
    let written: Vec<&RevisionId> = did.order.iter().collect();
    let Some(last) = did.rows.last() else { return more_than_its_lineage };
    let related = |row: &RevisionId| {
        let mut kin = case.history.ancestors_with_dependencies(row);
        kin.extend(case.history.descendants_with_dependencies(row));
        kin.iter().any(|one| written.contains(&&one.id))
    };
    let rows: Vec<RevisionId> =
        case.question.rows.iter().map(|row| RevisionId::new(row.as_str()).unwrap()).collect();
    more_than_its_lineage
        && (overlapping(case) || case.history.check_rows(last).is_ok())
        && written.iter().all(|one| last.contains(one))
        && last.iter().all(|row| written.contains(&row) || rows.contains(row))
        && rows.iter().all(|row| last.contains(row) != related(row))
}

fn range_from_end(case: &Case<'_>) -> bool {
    case.question.command == Verb::History && case.question.targets[0].starts_with('-')
}

fn range_current(case: &Case<'_>) -> bool {
    let text = &case.question.targets[0];
    let empty = text.ends_with(":current") && case.question.rows.is_empty();
    case.question.command == Verb::History && (empty || text == "current:current")
}

fn range_on_branch(case: &Case<'_>) -> bool {
    let start = case.question.targets[0].split(':').next().unwrap_or_default();
    let fits = matches!(case.own, Ok(_) | Err(HistoryError::RangeNotConnected { .. }));
    case.question.command == Verb::History && fits && start.contains('@')
}

fn range_trips(case: &Case<'_>) -> bool {
    let stopped = case.alembic.failure.as_ref().is_some_and(|failed| !failed.refused);
    case.question.command == Verb::History && case.own.is_ok() && stopped
}

fn newest(history: &History, rows: &[String]) -> Vec<String> {
    let below: Vec<RevisionId> = rows
        .iter()
        .flat_map(|row| history.ancestors_with_dependencies(&RevisionId::new(row.as_str()).unwrap()))
        .map(|one| one.id.clone())
        .collect();
    rows.iter().filter(|row| !below.iter().any(|implied| implied.as_str() == *row)).cloned().collect()
}
