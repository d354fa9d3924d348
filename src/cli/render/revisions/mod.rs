//! How revisions look: the words and shapes of Alembic 1.20, in an order that does not change from run to run. Pure.
//!
//! Two differences. What Alembic takes from a Python set (the lines below a branch point, `Branches into`) is in load
//! order here. In the long form the message is followed by when the revision was created and why it cannot be undone,
//! as far as its file says so.

use crate::history::{History, Revision, RevisionId};
use serde::Serialize;

#[cfg(test)]
mod tests;

/// One revision, with what its place in the history makes of it.
#[derive(Clone, Debug, Serialize)]
pub struct Entry<'a> {
    pub id: &'a RevisionId,
    pub parents: &'a [RevisionId],
    /// As written in its file.
    pub depends_on: &'a [String],
    /// Every branch label that applies to it, sorted.
    pub labels: Vec<&'a str>,
    pub message: &'a str,
    pub created: Option<&'a str>,
    /// Why it cannot be undone.
    pub irreversible: Option<&'a str>,
    pub place: &'a str,
    /// What continues it.
    pub children: Vec<&'a RevisionId>,
    /// Nothing continues it and nothing depends on it.
    pub head: bool,
    /// Nothing continues it, but another revision depends on it.
    pub effective_head: bool,
    pub branch_point: bool,
    pub merge_point: bool,
    /// Whether it is a version row of the database; unknown where no database was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<bool>,
}

impl<'a> Entry<'a> {
    /// Gathers what is to be shown of a revision; `rows` are the version rows, if a database was asked for them.
    pub fn of(history: &'a History, revision: &'a Revision, rows: Option<&[RevisionId]>) -> Self {
        let id = &revision.id;
        Self {
            id,
            parents: &revision.parents,
            depends_on: &revision.depends_on,
            labels: history.labels_of(id),
            message: &revision.message,
            created: revision.created.as_deref(),
            irreversible: revision.irreversible.as_deref(),
            place: &revision.place,
            children: history.children(id).into_iter().map(|child| &child.id).collect(),
            head: history.is_real_head(id),
            effective_head: history.is_effective_head(id),
            branch_point: history.is_branch_point(id),
            merge_point: history.is_merge_point(id),
            current: rows.map(|rows| rows.contains(id)),
        }
    }

    /// The same for several.
    pub fn all(history: &'a History, revisions: &[&'a Revision], rows: Option<&[RevisionId]>) -> Vec<Self> {
        revisions.iter().map(|revision| Self::of(history, revision, rows)).collect()
    }

    fn heads(&self) -> &'static str {
        match (self.head, self.effective_head) {
            (true, _) => " (head)",
            (_, true) => " (effective head)",
            _ => "",
        }
    }

    fn shown_current(&self) -> &'static str {
        mark(self.current == Some(true), " (current)")
    }

    fn tree(&self) -> String {
        let branch_point = mark(self.branch_point, " (branchpoint)");
        format!("{branch_point}{}", mark(self.merge_point, " (mergepoint)"))
    }

    fn label_list(&self) -> String {
        if self.labels.is_empty() { String::new() } else { format!(" ({})", self.labels.join(", ")) }
    }

    fn parent_list(&self) -> String {
        if self.parents.is_empty() { "<base>".to_string() } else { listed(self.parents) }
    }

    fn with_message(&self, line: String) -> String {
        if self.message.is_empty() { line } else { format!("{line}, {}", self.message) }
    }
}

/// `current`: one line for each applied tip. Which of them are version rows is not marked, since all of it is current.
pub fn current(tips: &[Entry<'_>]) -> String {
    lines(tips, |entry| format!("{}{}{}", entry.id, entry.heads(), entry.tree()))
}

/// `current -v`: which database, then the long form of each tip.
pub fn current_in_full(database: &str, tips: &[Entry<'_>]) -> String {
    let heading = format!("Current revision(s) for {database}:");
    // Not marked here either: all that is listed is current.
    let tips: Vec<_> = tips.iter().map(|tip| Entry { current: None, ..tip.clone() }).collect();
    if tips.is_empty() { heading } else { format!("{heading}\n{}", in_full(&tips)) }
}

/// `heads`: one line for each.
pub fn heads(heads: &[Entry<'_>]) -> String {
    lines(heads, |entry| format!("{}{}{}", entry.id, entry.label_list(), entry.heads()))
}

/// `history`: one line for each revision.
pub fn history(entries: &[Entry<'_>]) -> String {
    lines(entries, |entry| {
        let dependencies = match entry.depends_on {
            [] => String::new(),
            some => format!(" ({})", listed(some)),
        };
        entry.with_message(format!(
            "{}{dependencies} -> {}{}{}{}{}",
            entry.parent_list(),
            entry.id,
            entry.label_list(),
            entry.heads(),
            entry.shown_current(),
            entry.tree()
        ))
    })
}

/// `branches`: each branch point with the revisions that leave it, and an empty line after each; `children` finds the
/// entry of an identifier.
pub fn branches<'a>(
    points: &[Entry<'a>],
    verbose: bool,
    children: impl Fn(&RevisionId) -> Option<Entry<'a>>,
) -> String {
    let point = |entry: &Entry<'a>| {
        let head = if verbose { block(entry) } else { on_a_branch(entry) };
        let indent = " ".repeat(entry.id.as_str().chars().count());
        let arrows = entry.children.iter().filter_map(|id| children(id)).map(|child| {
            let line = on_a_branch(&child);
            format!("{indent} -> {}", if verbose { child.with_message(line) } else { line })
        });
        format!("{head}\n{}\n", arrows.collect::<Vec<_>>().join("\n"))
    };
    lines(points, point)
}

fn on_a_branch(entry: &Entry<'_>) -> String {
    format!("{}{}{}{}{}", entry.id, entry.label_list(), entry.heads(), entry.shown_current(), entry.tree())
}

/// The long form of each, with an empty line after each: `show`, and everything with `-v`.
pub fn in_full(entries: &[Entry<'_>]) -> String {
    lines(entries, block)
}

/// The long form of one revision; ends with a line break.
fn block(entry: &Entry<'_>) -> String {
    // The long form calls any head a head, effective or not, as Alembic does.
    let head = mark(entry.head || entry.effective_head, " (head)");
    let mut text = format!("Rev: {}{head}{}{}\n", entry.id, entry.tree(), entry.shown_current());
    let parents = if entry.merge_point { "Merges" } else { "Parent" };
    let mut fact = |name: &str, value: String| text.push_str(&format!("{name}: {value}\n"));
    fact(parents, entry.parent_list());
    if !entry.depends_on.is_empty() {
        fact("Also depends on", listed(entry.depends_on));
    }
    if entry.branch_point {
        fact("Branches into", listed(&entry.children));
    }
    if !entry.labels.is_empty() {
        fact("Branch names", entry.labels.join(", "));
    }
    fact("Path", entry.place.to_string());
    text.push_str(&format!("\n    {}\n", entry.message));
    let further = [("Create Date", entry.created), ("Irreversible", entry.irreversible)];
    let further: Vec<String> = further
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("    {name}: {value}\n")))
        .collect();
    if !further.is_empty() {
        text.push_str(&format!("\n{}", further.concat()));
    }
    text
}

fn lines<'a>(entries: &[Entry<'a>], line: impl Fn(&Entry<'a>) -> String) -> String {
    entries.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn mark(is: bool, word: &'static str) -> &'static str {
    if is { word } else { "" }
}

fn listed<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
