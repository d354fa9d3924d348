//! Small histories for the tests of this folder, written as they are drawn.

use super::{Direction, History, HistoryError, MigrationStep, Revision, RevisionId};

/// Reads one revision a word group: `id`, then `<parent,parent`, `+dependency,dependency`, `#label,label`; groups are
/// separated by `;`.
pub(super) fn revisions(text: &str) -> Vec<Revision> {
    text.split(';').map(str::trim).filter(|group| !group.is_empty()).map(revision).collect()
}

pub(super) fn history(text: &str) -> History {
    History::new(revisions(text)).unwrap()
}

pub(super) fn refused(text: &str) -> HistoryError {
    History::new(revisions(text)).unwrap_err()
}

pub(super) fn id(text: &str) -> RevisionId {
    RevisionId::new(text).unwrap()
}

pub(super) fn ids(text: &str) -> Vec<RevisionId> {
    text.split_whitespace().map(id).collect()
}

pub(super) fn names(revisions: &[&Revision]) -> String {
    revisions.iter().map(|revision| revision.id.as_str()).collect::<Vec<_>>().join(" ")
}

fn revision(group: &str) -> Revision {
    let mut words = group.split_whitespace();
    let name = words.next().unwrap();
    let mut revision = Revision {
        id: id(name),
        parents: Vec::new(),
        depends_on: Vec::new(),
        labels: Vec::new(),
        message: format!("message of {name}"),
        created: None,
        irreversible: None,
        place: format!("{name}.sql"),
    };
    for word in words {
        let list = || word[1..].split(',').map(str::to_owned);
        match &word[..1] {
            "<" => revision.parents = list().map(|parent| id(&parent)).collect(),
            "+" => revision.depends_on = list().collect(),
            "#" => revision.labels = list().collect(),
            _ => panic!("what is {word}?"),
        }
    }
    revision
}

/// Draws steps as `revision[rows after]`, direction shown by the sign.
pub(super) fn drawn(steps: &[MigrationStep]) -> String {
    let mut words = Vec::new();
    for step in steps {
        let sign = if step.direction == Direction::Up { '+' } else { '-' };
        let rows: Vec<&str> = step.rows_after.iter().map(RevisionId::as_str).collect();
        words.push(format!("{sign}{}[{}]", step.revision, rows.join(" ")));
    }
    words.join(" ")
}
