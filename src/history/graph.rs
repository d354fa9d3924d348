//! The graph itself: who precedes whom, with and without dependencies.
//!
//! Promises answers in load order (files sorted by name) wherever a set has no order of its own, so that output is
//! stable. Leaves to `build` the checks that make the graph sound, and to `resolve` what people may call a revision.

use std::collections::{BTreeSet, HashMap};

use super::{HistoryError, Revision, RevisionId};

/// A place in load order.
pub(super) type Index = usize;

/// A set of revisions of one history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marks(Vec<bool>);

impl Marks {
    pub(super) fn has(&self, index: Index) -> bool {
        self.0[index]
    }

    pub(super) fn remove(&mut self, index: Index) {
        self.0[index] = false;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Index> + '_ {
        self.0.iter().enumerate().filter_map(|(index, marked)| marked.then_some(index))
    }

    pub(super) fn keep(&mut self, wanted: impl Fn(Index) -> bool) {
        for (index, marked) in self.0.iter_mut().enumerate() {
            *marked = *marked && wanted(index);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.0.contains(&true)
    }
}

/// What the graph knows of one revision beyond its file.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) parents: Vec<Index>,
    /// `depends_on`, resolved, as written.
    pub(super) dependencies: Vec<Index>,
    /// Parents, then the dependencies that no ancestor already declares: the immediate predecessors for version rows.
    pub(super) needs: Vec<Index>,
    pub(super) children: Vec<Index>,
    /// Children and those that depend on it.
    pub(super) followers: Vec<Index>,
    /// Its own labels and those that reach it.
    pub(super) labels: BTreeSet<String>,
}

/// All revisions of a project and how they follow each other.
#[derive(Debug, Clone)]
pub struct History {
    pub(super) revisions: Vec<Revision>,
    pub(super) nodes: Vec<Node>,
    /// Identifiers and labels: what may be written for a revision.
    pub(super) names: HashMap<String, Index>,
}

impl History {
    /// Returns the revision of exactly this identifier.
    pub fn get(&self, id: &RevisionId) -> Option<&Revision> {
        self.find(id).map(|index| &self.revisions[index])
    }

    /// Returns how many revisions there are.
    pub fn len(&self) -> usize {
        self.revisions.len()
    }

    /// Returns whether there is no revision at all.
    pub fn is_empty(&self) -> bool {
        self.revisions.is_empty()
    }

    /// Returns the revisions in load order.
    pub fn in_load_order(&self) -> &[Revision] {
        &self.revisions
    }

    /// Returns every revision, newest first, in the order of Alembic's `history`.
    pub fn all(&self) -> Vec<&Revision> {
        let everything = Marks(vec![true; self.len()]);
        self.named(self.newest_first(everything, &self.real_head_indices()))
    }

    /// Returns the revisions that no other continues, those consumed by a `depends_on` included.
    pub fn heads(&self) -> Vec<&Revision> {
        self.named(self.head_indices())
    }

    /// Returns the heads that no `depends_on` consumes: what the version table holds when all is applied.
    pub fn real_heads(&self) -> Vec<&Revision> {
        self.named(self.real_head_indices())
    }

    /// Returns the heads that are not real heads: implied by a revision that depends on them.
    pub fn effective_heads(&self) -> Vec<&Revision> {
        let nodes = &self.nodes;
        self.named(self.head_indices().into_iter().filter(|index| !nodes[*index].followers.is_empty()))
    }

    /// Returns the revisions without parents.
    pub fn bases(&self) -> Vec<&Revision> {
        self.named(self.base_indices())
    }

    /// Returns whether no other revision continues this one.
    pub fn is_head(&self, id: &RevisionId) -> bool {
        self.node(id).is_some_and(|node| node.children.is_empty())
    }

    /// Returns whether no other revision continues this one or depends on it.
    pub fn is_real_head(&self, id: &RevisionId) -> bool {
        self.node(id).is_some_and(|node| node.followers.is_empty())
    }

    /// Returns whether it is a head that another revision depends on.
    pub fn is_effective_head(&self, id: &RevisionId) -> bool {
        self.is_head(id) && !self.is_real_head(id)
    }

    /// Returns whether several revisions continue this one.
    pub fn is_branch_point(&self, id: &RevisionId) -> bool {
        self.node(id).is_some_and(|node| node.children.len() > 1)
    }

    /// Returns whether this revision joins several branches.
    pub fn is_merge_point(&self, id: &RevisionId) -> bool {
        self.node(id).is_some_and(|node| node.parents.len() > 1)
    }

    /// Returns the revisions that name this one as their parent.
    pub fn children(&self, id: &RevisionId) -> Vec<&Revision> {
        self.named(self.node(id).into_iter().flat_map(|node| node.children.iter().copied()))
    }

    /// Returns the revisions that this one depends on besides its parents.
    pub fn dependencies(&self, id: &RevisionId) -> Vec<&Revision> {
        self.named(self.node(id).into_iter().flat_map(|node| node.dependencies.iter().copied()))
    }

    /// Returns the branch labels that apply to a revision, its own and those that reach it, sorted.
    pub fn labels_of(&self, id: &RevisionId) -> Vec<&str> {
        self.node(id).into_iter().flat_map(|node| node.labels.iter().map(String::as_str)).collect()
    }

    /// Returns what precedes a revision by parents alone, itself excluded.
    pub fn ancestors(&self, id: &RevisionId) -> Vec<&Revision> {
        self.others(id, |index| self.marks_below([index]))
    }

    /// Returns what precedes a revision by parents or `depends_on`, itself excluded.
    pub fn ancestors_with_dependencies(&self, id: &RevisionId) -> Vec<&Revision> {
        self.others(id, |index| self.marks_needed([index]))
    }

    /// Returns what follows a revision by parents alone, itself excluded.
    pub fn descendants(&self, id: &RevisionId) -> Vec<&Revision> {
        self.others(id, |index| self.marks_above([index]))
    }

    /// Returns what follows a revision by parents or `depends_on`, itself excluded.
    pub fn descendants_with_dependencies(&self, id: &RevisionId) -> Vec<&Revision> {
        self.others(id, |index| self.marks_following([index]))
    }

    /// Refuses identifiers that a version table of `limit` characters could not hold (PostgreSQL would fail at the
    /// row write, after the migration ran; SQLite ignores the width).
    pub fn check_id_lengths(&self, limit: usize) -> Result<(), HistoryError> {
        let length = |revision: &Revision| revision.id.as_str().chars().count();
        match self.revisions.iter().find(|revision| length(revision) > limit) {
            None => Ok(()),
            Some(long) => Err(HistoryError::IdTooLong {
                id: long.id.clone(),
                length: length(long),
                limit,
                place: long.place.clone(),
            }),
        }
    }

    fn others(&self, id: &RevisionId, reach: impl Fn(Index) -> Marks) -> Vec<&Revision> {
        let Some(index) = self.find(id) else { return Vec::new() };
        let mut marks = reach(index);
        marks.remove(index);
        self.named(marks.iter())
    }

    fn node(&self, id: &RevisionId) -> Option<&Node> {
        self.find(id).map(|index| &self.nodes[index])
    }
}

/// The same by index, for the other parts of this folder.
impl History {
    /// Finds an identifier, never a label.
    pub(super) fn find(&self, id: &RevisionId) -> Option<Index> {
        self.names.get(id.as_str()).copied().filter(|index| self.revisions[*index].id == *id)
    }

    pub(super) fn id(&self, index: Index) -> &RevisionId {
        &self.revisions[index].id
    }

    pub(super) fn ids(&self, indices: impl IntoIterator<Item = Index>) -> Vec<RevisionId> {
        indices.into_iter().map(|index| self.id(index).clone()).collect()
    }

    pub(super) fn named(&self, indices: impl IntoIterator<Item = Index>) -> Vec<&Revision> {
        indices.into_iter().map(|index| &self.revisions[index]).collect()
    }

    pub(super) fn head_indices(&self) -> Vec<Index> {
        (0..self.len()).filter(|index| self.nodes[*index].children.is_empty()).collect()
    }

    pub(super) fn real_head_indices(&self) -> Vec<Index> {
        (0..self.len()).filter(|index| self.nodes[*index].followers.is_empty()).collect()
    }

    pub(super) fn base_indices(&self) -> Vec<Index> {
        (0..self.len()).filter(|index| self.nodes[*index].parents.is_empty()).collect()
    }

    /// The given revisions and what precedes them by parents alone.
    pub(super) fn marks_below(&self, from: impl IntoIterator<Item = Index>) -> Marks {
        self.reach(from, |node| &node.parents)
    }

    /// The given revisions and all that must be applied before them.
    pub(super) fn marks_needed(&self, from: impl IntoIterator<Item = Index>) -> Marks {
        self.reach(from, |node| &node.needs)
    }

    /// The given revisions and what follows them by parents alone.
    pub(super) fn marks_above(&self, from: impl IntoIterator<Item = Index>) -> Marks {
        self.reach(from, |node| &node.children)
    }

    /// The given revisions and all that needs them.
    pub(super) fn marks_following(&self, from: impl IntoIterator<Item = Index>) -> Marks {
        self.reach(from, |node| &node.followers)
    }

    fn reach<'a>(
        &'a self,
        from: impl IntoIterator<Item = Index>,
        next: impl Fn(&'a Node) -> &'a Vec<Index>,
    ) -> Marks {
        let mut marks = Marks(vec![false; self.len()]);
        let mut todo: Vec<Index> = from.into_iter().collect();
        while let Some(index) = todo.pop() {
            if !std::mem::replace(&mut marks.0[index], true) {
                todo.extend(next(&self.nodes[index]));
            }
        }
        marks
    }

    /// Whether one of two revisions precedes the other by parents alone, or both are one.
    pub(super) fn share_lineage(&self, one: Index, other: Index) -> bool {
        self.marks_below([one]).has(other) || self.marks_above([one]).has(other)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{history, id, names};
    use super::*;

    /// The two trees of the Alembic documentation, joined by one dependency.
    fn trees() -> History {
        history("base1; shop <base1 #shoppingcart; net1 #networking; net2 <net1 +shop; mail <base1")
    }

    #[test]
    fn heads_and_bases_come_in_load_order() {
        let history = trees();
        assert_eq!(names(&history.heads()), "shop net2 mail");
        assert_eq!(names(&history.real_heads()), "net2 mail");
        assert_eq!(names(&history.effective_heads()), "shop");
        assert_eq!(names(&history.bases()), "base1 net1");
    }

    #[test]
    fn a_head_that_another_depends_on_is_an_effective_head() {
        let history = trees();
        assert!(history.is_head(&id("shop")) && !history.is_real_head(&id("shop")));
        assert!(history.is_effective_head(&id("shop")) && !history.is_effective_head(&id("net2")));
        assert!(!history.is_head(&id("unknown")));
    }

    #[test]
    fn dependents_do_not_make_a_branch_point() {
        let history = history("a; b <a; c +a; d <b,c");
        assert!(!history.is_branch_point(&id("a")));
        assert!(history.is_merge_point(&id("d")));
        assert_eq!(names(&history.children(&id("a"))), "b");
    }

    #[test]
    fn kinship_has_two_flavours() {
        let history = trees();
        assert_eq!(names(&history.ancestors(&id("net2"))), "net1");
        assert_eq!(names(&history.ancestors_with_dependencies(&id("net2"))), "base1 shop net1");
        assert_eq!(names(&history.descendants(&id("base1"))), "shop mail");
        assert_eq!(names(&history.descendants_with_dependencies(&id("base1"))), "shop net2 mail");
    }

    #[test]
    fn all_revisions_come_newest_first() {
        assert_eq!(names(&history("a; b <a; c <a; d <b,c; e").all()), "d b c e a");
        assert!(history("").all().is_empty());
    }

    #[test]
    fn an_identifier_that_the_version_table_cannot_hold_is_named() {
        let history = history(&format!("short; {}", "x".repeat(33)));
        assert!(history.check_id_lengths(33).is_ok());
        let text = history.check_id_lengths(32).unwrap_err().to_string();
        assert!(text.contains("33 characters long, but the version table holds 32"), "{text}");
    }
}
