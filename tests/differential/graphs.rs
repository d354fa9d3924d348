//! Random histories: several bases, branches, merges, dependencies, labels; now and then a broken one.

use ripcord::history::{Revision, RevisionId};

use crate::chance::Chance;

/// Few letters, so that prefixes are often ambiguous.
const LETTERS: &[u8] = b"ab01";

pub fn random(chance: &mut Chance) -> Vec<Revision> {
    let most = if chance.happens(20) { 30 } else { 12 };
    let size = 1 + chance.below(most);
    let shape = Shape {
        bases: chance.below(40),
        merges: chance.below(40),
        dependencies: *chance.pick(&[0, 0, 15, 30, 60]),
        labels: chance.below(40),
    };
    let mut revisions: Vec<Revision> = Vec::new();
    while revisions.len() < size {
        let next = shape.revision(chance, &revisions);
        revisions.push(next);
    }
    if chance.happens(8) {
        spoil(chance, &mut revisions);
    }
    if chance.happens(70) {
        chance.shuffle(&mut revisions);
    }
    revisions
}

struct Shape {
    bases: usize,
    merges: usize,
    dependencies: usize,
    labels: usize,
}

impl Shape {
    fn revision(&self, chance: &mut Chance, before: &[Revision]) -> Revision {
        let id = fresh(chance, before);
        let mut parents: Vec<RevisionId> = Vec::new();
        if !before.is_empty() && !chance.happens(self.bases) {
            let wanted = if chance.happens(self.merges) { 2 + chance.below(2) } else { 1 };
            for _ in 0..wanted {
                // The newest ones are favoured, so that histories grow long as well as wide.
                let from = if chance.happens(60) { before.len().saturating_sub(3) } else { 0 };
                let parent = &chance.pick(&before[from..]).id;
                if !parents.contains(parent) {
                    parents.push(parent.clone());
                }
            }
        }
        let mut depends_on = Vec::new();
        while !before.is_empty() && depends_on.len() < 3 && chance.happens(self.dependencies) {
            let other = chance.pick(before);
            let name = other.labels.first().filter(|_| chance.happens(50)).cloned();
            depends_on.push(name.unwrap_or_else(|| other.id.to_string()));
        }
        let labels =
            if chance.happens(self.labels) { vec![format!("{}x", fresh(chance, before))] } else { vec![] };
        Revision {
            place: format!("{id}.sql"),
            message: String::new(),
            created: None,
            irreversible: None,
            id,
            parents,
            depends_on,
            labels,
        }
    }
}

fn fresh(chance: &mut Chance, before: &[Revision]) -> RevisionId {
    loop {
        let length = if chance.happens(10) { 1 + chance.below(3) } else { 4 + chance.below(5) };
        let text: String = (0..length).map(|_| *chance.pick(LETTERS) as char).collect();
        let taken = |revision: &Revision| {
            revision.id.as_str() == text || revision.labels.contains(&format!("{text}x"))
        };
        if !before.iter().any(taken) {
            return RevisionId::new(text).unwrap();
        }
    }
}

/// Breaks one thing that both programs must notice.
fn spoil(chance: &mut Chance, revisions: &mut [Revision]) {
    let victim = chance.below(revisions.len());
    let other = chance.pick(revisions).clone();
    let spoiled = &mut revisions[victim];
    match chance.below(6) {
        0 => spoiled.parents = vec![RevisionId::new("missing").unwrap()],
        1 => spoiled.depends_on.push("missing".to_owned()),
        2 => spoiled.parents = vec![other.id],
        3 => spoiled.depends_on.push(other.id.to_string()),
        4 => spoiled.labels = vec![other.id.to_string()],
        _ => spoiled.labels.extend(other.labels),
    }
}
