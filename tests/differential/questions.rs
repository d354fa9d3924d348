//! Random commands: every form of the identifier grammar, and some that are none.

use ripcord::history::{History, Revision, RevisionId};

use crate::chance::Chance;
use crate::oracle::Verb;

pub fn verb(chance: &mut Chance) -> Verb {
    *chance.pick(&[
        Verb::Upgrade,
        Verb::Upgrade,
        Verb::Downgrade,
        Verb::Downgrade,
        Verb::Stamp,
        Verb::History,
    ])
}

/// Rows as a database may have them: those of some applied set, seldom impossible ones.
pub fn rows(chance: &mut Chance, history: &History) -> Vec<RevisionId> {
    let all = history.in_load_order();
    let some: Vec<&Revision> = (0..chance.below(4)).map(|_| chance.pick(all)).collect();
    let mut rows: Vec<RevisionId> = some.iter().map(|revision| revision.id.clone()).collect();
    rows.sort();
    rows.dedup();
    if chance.happens(3) {
        rows.push(RevisionId::new("b4d0b4d0").unwrap());
    } else if chance.happens(85) {
        let implied: Vec<RevisionId> = rows
            .iter()
            .flat_map(|row| history.ancestors_with_dependencies(row))
            .map(|revision| revision.id.clone())
            .collect();
        if chance.happens(5) && !implied.is_empty() {
            rows.push(chance.pick(&implied).clone());
            rows.sort();
            rows.dedup();
        } else {
            rows.retain(|row| !implied.contains(row));
        }
    }
    rows
}

/// One target, as someone might type it.
pub fn target(chance: &mut Chance, history: &History) -> String {
    match chance.below(100) {
        0..50 => name(chance, history),
        50..62 => offset(chance),
        62..72 => format!("{}{}", name(chance, history), offset(chance)),
        72..85 => on_branch(chance, history),
        85..93 => format!("{}@{}", label(chance, history), offset(chance)),
        93..97 => format!("{}{}", on_branch(chance, history), offset(chance)),
        _ => junk(chance, history),
    }
}

/// A range for `history -r`.
pub fn range(chance: &mut Chance, history: &History) -> String {
    let side = |chance: &mut Chance| match chance.below(100) {
        0..25 => String::new(),
        25..40 => "current".to_owned(),
        40..50 => on_branch(chance, history),
        50..60 => offset(chance),
        60..70 => format!("{}{}", name(chance, history), offset(chance)),
        _ => name(chance, history),
    };
    format!("{}:{}", side(chance), side(chance))
}

/// `label@name`; mostly of one lineage, because others are refused.
fn on_branch(chance: &mut Chance, history: &History) -> String {
    if chance.happens(40) {
        return format!("{}@{}", label(chance, history), name(chance, history));
    }
    let revision = chance.pick(history.in_load_order());
    let mut kin = history.ancestors(&revision.id);
    kin.extend(history.descendants(&revision.id));
    kin.push(revision);
    let label = revision.labels.first().cloned().unwrap_or_else(|| revision.id.to_string());
    format!("{label}@{}", chance.pick(&kin).id)
}

fn name(chance: &mut Chance, history: &History) -> String {
    match chance.below(100) {
        0..8 => "head".to_owned(),
        8..25 => "heads".to_owned(),
        25..35 => "base".to_owned(),
        _ => label(chance, history),
    }
}

/// An identifier, a label, a prefix of either, or (seldom) nothing known.
fn label(chance: &mut Chance, history: &History) -> String {
    let revision = chance.pick(history.in_load_order());
    let labelled: Vec<&String> = history.in_load_order().iter().flat_map(|one| &one.labels).collect();
    let whole = match chance.below(100) {
        0..2 => return "unknown".to_owned(),
        2..30 if !labelled.is_empty() => (*chance.pick(&labelled)).clone(),
        _ => revision.id.to_string(),
    };
    if chance.happens(90) { whole } else { whole[..1 + chance.below(whole.len())].to_owned() }
}

fn offset(chance: &mut Chance) -> String {
    let steps = if chance.happens(70) { 1 } else { chance.below(6) };
    format!("{}{steps}", chance.pick(&['+', '-']))
}

fn junk(chance: &mut Chance, history: &History) -> String {
    let name = label(chance, history);
    let forms = [
        String::new(),
        "current".to_owned(),
        "99999999999999999999".to_owned(),
        "+99999999999999999999".to_owned(),
        format!("{name}+1junk"),
        format!("{name}@"),
        format!("@{name}"),
        format!("{name}@{name}@{name}"),
        format!("{name}--1"),
        format!("{name}+"),
        format!("{name}.sql"),
        format!("{name}:head"),
    ];
    chance.pick(&forms).clone()
}
