//! Version rows: what the version table holds, and how each step changes it.
//!
//! Promises that rows stay an antichain: one row for each applied revision that no other applied one needs. Where
//! Alembic would leave a row that another already implies, or stop in the middle, the redundant row is left out.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::graph::{History, Index};
use super::{HistoryError, Revision, RevisionId};

/// Which half of a revision a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Up,
    Down,
}

/// One change of one version row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowChange {
    Insert(RevisionId),
    Delete(RevisionId),
    Update { from: RevisionId, to: RevisionId },
}

/// One revision run in one direction, with what becomes of the version rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationStep {
    /// The revision that is run; of a stamp, the one that is written (or, for `base`, removed).
    pub revision: RevisionId,
    pub direction: Direction,
    /// The row changes, in the order in which to make them; each must match exactly one row.
    pub changes: Vec<RowChange>,
    /// The rows before, sorted.
    pub rows_before: Vec<RevisionId>,
    /// The rows after, sorted.
    pub rows_after: Vec<RevisionId>,
}

/// Version rows while steps are computed.
#[derive(Debug, Clone)]
pub(super) struct Rows<'a> {
    history: &'a History,
    rows: BTreeSet<Index>,
}

impl History {
    /// Refuses rows that no file has, and rows that another row already implies.
    pub fn check_rows(&self, rows: &[RevisionId]) -> Result<(), HistoryError> {
        self.refuse_overlap(&self.row_indices(rows)?)
    }

    /// Returns the applied tips: the rows and, besides them, the branch tips that they imply through `depends_on`.
    ///
    /// This is what `current` lists.
    pub fn applied_tips(&self, rows: &[RevisionId]) -> Result<Vec<&Revision>, HistoryError> {
        Ok(self.named(self.tips(&self.row_indices(rows)?)))
    }

    /// Returns everything that is applied when the database is at `rows`, in load order.
    pub fn applied(&self, rows: &[RevisionId]) -> Result<Vec<&Revision>, HistoryError> {
        Ok(self.named(self.marks_needed(self.row_indices(rows)?).iter()))
    }

    pub(super) fn tips(&self, current: &[Index]) -> Vec<Index> {
        let applied = self.marks_needed(current.iter().copied());
        let is_tip = |index: &Index| !self.nodes[*index].children.iter().any(|child| applied.has(*child));
        applied.iter().filter(is_tip).collect()
    }

    pub(super) fn row_indices(&self, rows: &[RevisionId]) -> Result<Vec<Index>, HistoryError> {
        let mut indices = BTreeSet::new();
        for row in rows {
            let unknown = || HistoryError::UnknownRow { row: row.clone(), near: self.near(row.as_str()) };
            indices.insert(self.find(row).ok_or_else(unknown)?);
        }
        Ok(indices.into_iter().collect())
    }

    /// Refuses a set of revisions in which one needs another.
    pub(super) fn refuse_overlap(&self, set: &[Index]) -> Result<(), HistoryError> {
        for &revision in set {
            let below = self.marks_needed([revision]);
            let others: Vec<Index> =
                set.iter().copied().filter(|other| *other != revision && below.has(*other)).collect();
            if !others.is_empty() {
                let (revision, others) = (self.id(revision).clone(), self.ids(others));
                return Err(HistoryError::Overlap { revision, others });
            }
        }
        Ok(())
    }

    pub(super) fn steps(
        &self,
        current: &[Index],
        order: Vec<Index>,
        direction: Direction,
    ) -> Vec<MigrationStep> {
        let mut rows = Rows::new(self, current);
        order.into_iter().map(|index| rows.run(index, direction)).collect()
    }
}

impl<'a> Rows<'a> {
    pub(super) fn new(history: &'a History, current: &[Index]) -> Rows<'a> {
        Rows { history, rows: current.iter().copied().collect() }
    }

    pub(super) fn has(&self, index: Index) -> bool {
        self.rows.contains(&index)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Index> + '_ {
        self.rows.iter().copied()
    }

    fn run(&mut self, revision: Index, direction: Direction) -> MigrationStep {
        match direction {
            Direction::Up => {
                let needs = &self.history.nodes[revision].needs;
                let replaced = needs.iter().copied().filter(|need| self.has(*need)).collect();
                self.replace(revision, direction, replaced, vec![revision])
            }
            Direction::Down => {
                let exposed = self.exposed_by(revision);
                self.replace(revision, direction, vec![revision], exposed)
            }
        }
    }

    /// The immediate predecessors that nothing applied will need once `revision` is gone.
    fn exposed_by(&self, revision: Index) -> Vec<Index> {
        let needs = &self.history.nodes[revision].needs;
        let others = self.history.marks_needed(self.iter().filter(|row| *row != revision));
        let implied = |need: Index| {
            others.has(need)
                || needs.iter().any(|other| *other != need && self.history.marks_needed([*other]).has(need))
        };
        needs.iter().copied().filter(|need| !implied(*need)).collect()
    }

    /// Puts `new` in the place of `old`. The last old row becomes the last new one, because an UPDATE is what other
    /// migration tools, looking at the same table, expect of a plain step.
    pub(super) fn replace(
        &mut self,
        revision: Index,
        direction: Direction,
        old: Vec<Index>,
        new: Vec<Index>,
    ) -> MigrationStep {
        let history = self.history;
        let id = |index: &Index| history.id(*index).clone();
        let rows_before = self.sorted();
        let mut changes = Vec::new();
        match (old.split_last(), new.split_last()) {
            (Some((from, deleted)), Some((to, inserted))) => {
                changes.extend(deleted.iter().map(|row| RowChange::Delete(id(row))));
                changes.extend(inserted.iter().map(|row| RowChange::Insert(id(row))));
                changes.push(RowChange::Update { from: id(from), to: id(to) });
            }
            (Some(_), None) => changes.extend(old.iter().map(|row| RowChange::Delete(id(row)))),
            (None, _) => changes.extend(new.iter().map(|row| RowChange::Insert(id(row)))),
        }
        self.rows.retain(|row| !old.contains(row));
        self.rows.extend(new);
        MigrationStep { revision: id(&revision), direction, changes, rows_before, rows_after: self.sorted() }
    }

    fn sorted(&self) -> Vec<RevisionId> {
        let mut ids = self.history.ids(self.iter());
        ids.sort_unstable();
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{history, id, ids, names};
    use super::*;

    /// The rows that are left when exactly these targets are applied, one after the other.
    fn rows_after(graph: &str, targets: &[&str]) -> Vec<RevisionId> {
        let history = history(graph);
        let mut rows = Vec::new();
        for target in targets {
            if let Some(last) = history.upgrade_steps(&rows, target).unwrap().pop() {
                rows = last.rows_after;
            }
        }
        rows
    }

    #[test]
    fn one_row_stands_for_each_tip_that_nothing_applied_needs() {
        let fork = "a; b <a; c <a; m <b,c";
        let cases = [
            ("nothing", fork, vec!["base"], ""),
            ("a line", "a; b <a; c <b", vec!["c"], "c"),
            ("both branches", fork, vec!["b", "c"], "b c"),
            ("one branch", fork, vec!["b"], "b"),
            ("a merge", fork, vec!["m"], "m"),
            ("two bases", "a; b", vec!["a", "b"], "a b"),
            ("a dependency", "y; x +y", vec!["y", "x"], "x"),
            ("something new on a dependency", "y; x +y; z <y", vec!["x", "z"], "x z"),
        ];
        for (what, graph, targets, rows) in cases {
            assert_eq!(rows_after(graph, &targets), ids(rows), "{what}");
        }
    }

    fn up(graph: &str, rows: &str, target: &str) -> Vec<RowChange> {
        history(graph).upgrade_steps(&ids(rows), target).unwrap().pop().unwrap().changes
    }

    fn down(graph: &str, rows: &str, target: &str) -> Vec<RowChange> {
        history(graph).downgrade_steps(&ids(rows), target).unwrap().remove(0).changes
    }

    fn insert(row: &str) -> RowChange {
        RowChange::Insert(id(row))
    }

    fn delete(row: &str) -> RowChange {
        RowChange::Delete(id(row))
    }

    fn update(from: &str, to: &str) -> RowChange {
        RowChange::Update { from: id(from), to: id(to) }
    }

    #[test]
    fn each_kind_of_step_writes_its_rows() {
        let merge = "a; b <a; c <a; m <b,c";
        assert_eq!(up("a", "", "a"), [insert("a")], "a new root");
        assert_eq!(up(merge, "b", "c"), [insert("c")], "a new branch");
        assert_eq!(up("a; b <a", "a", "b"), [update("a", "b")], "a plain step");
        assert_eq!(up(merge, "b c", "m"), [delete("b"), update("c", "m")], "a merge");
        assert_eq!(
            up("y; x0; x <x0 +y", "x0 y", "x"),
            [delete("x0"), update("y", "x")],
            "a dependency ends a branch"
        );

        assert_eq!(down("a", "a", "base"), [delete("a")], "the end of a root");
        assert_eq!(down(merge, "b c", "c@a"), [delete("c")], "the end of a branch");
        assert_eq!(down("a; b <a", "b", "a"), [update("b", "a")], "a plain step back");
        assert_eq!(down(merge, "m", "b"), [insert("b"), update("m", "c")], "an unmerge");
        assert_eq!(
            down("y; x +y; z <y", "x z", "x@base"),
            [delete("x")],
            "what it needs is needed by another row"
        );
    }

    #[test]
    fn a_dependency_that_a_parent_implies_gets_no_row() {
        // Alembic stops with a traceback on the way up and leaves an overlap on the way down.
        let graph = "a; b <a; o; w; x <b,o +a";
        assert_eq!(up(graph, "b o w", "x"), [delete("b"), update("o", "x")]);
        assert_eq!(down(graph, "w x", "x@b"), [insert("b"), update("x", "o")]);
    }

    #[test]
    fn rows_that_overlap_are_reported() {
        let history = history("a; b <a; y; x +y");
        assert_eq!(history.check_rows(&ids("b x")), Ok(()));
        assert_eq!(history.check_rows(&[]), Ok(()));
        let text = history.check_rows(&ids("a b")).unwrap_err().to_string();
        assert_eq!(text, "Requested revision b overlaps with other requested revisions a");
        assert!(matches!(history.check_rows(&ids("y x")), Err(HistoryError::Overlap { .. })));
        assert!(
            matches!(history.check_rows(&ids("b gone")), Err(HistoryError::UnknownRow { row, .. }) if row == id("gone"))
        );
    }

    #[test]
    fn rows_that_overlap_can_still_be_downgraded() {
        let steps = history("a; b <a").downgrade_steps(&ids("a b"), "base").unwrap();
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[0].changes, [delete("b")]);
        assert!(steps[1].rows_after.is_empty());
    }

    #[test]
    fn tips_that_rows_imply_are_applied_too() {
        let history = history("y; x +y; a; b <a");
        assert_eq!(names(&history.applied_tips(&ids("x")).unwrap()), "y x");
        assert_eq!(names(&history.applied(&ids("x b")).unwrap()), "y x a b");
    }
}
