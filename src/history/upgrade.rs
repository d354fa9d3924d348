//! From the version rows up to a target.
//!
//! Promises the steps Alembic would take, in its order: everything the targets need, other branches reached by
//! `depends_on` included, less what is applied. An ancestor of the rows as target gives no steps; it is for the caller to
//! say so.

use super::graph::{History, Index};
use super::rows::{Direction, MigrationStep};
use super::symbol::{Offset, Symbol};
use super::walk::Place;
use super::{HistoryError, RevisionId};

impl History {
    /// Returns the steps from `rows` up to `target`, in the order in which to run them.
    ///
    /// Fails when a row is unknown, when rows or targets overlap, and when the target names no revision or too many.
    pub fn upgrade_steps(
        &self,
        rows: &[RevisionId],
        target: &str,
    ) -> Result<Vec<MigrationStep>, HistoryError> {
        let current = self.row_indices(rows)?;
        let targets = self.upgrade_targets(&current, target)?;
        self.refuse_overlap(&targets)?;
        self.refuse_overlap(&current)?;
        let applied = self.marks_needed(current.iter().copied());
        let mut needed = self.marks_needed(targets.iter().copied());
        needed.keep(|index| !applied.has(index));
        let mut order = self.newest_first(needed, &targets);
        order.reverse();
        Ok(self.steps(&current, order, Direction::Up))
    }

    pub(super) fn upgrade_targets(
        &self,
        current: &[Index],
        target: &str,
    ) -> Result<Vec<Index>, HistoryError> {
        let symbol = self.parse(target);
        let Some(offset) = symbol.offset else { return self.resolve_absolute(&symbol) };
        let branch = symbol.label.map(|label| self.lookup(label, None)).transpose()?;
        let found = match symbol.name {
            None => self.up_from_current(current, branch, offset)?,
            // On the way up a label chooses among ways; only on the way down does it restrict where the walk starts.
            Some(_) if offset.steps > 0 => self.walk_from_name(&symbol, None, branch)?,
            Some(_) => self.walk_from_name(&symbol, symbol.label, None)?,
        };
        match found {
            // Nothing lies before the first revision, so there is nothing to upgrade to.
            Place::Base => Err(HistoryError::WalkedTooFar { symbol: target.to_owned() }),
            Place::At(index) => Ok(vec![index]),
        }
    }

    fn up_from_current(
        &self,
        current: &[Index],
        branch: Option<Index>,
        offset: Offset<'_>,
    ) -> Result<Place, HistoryError> {
        let too_far = || HistoryError::OffsetTooFar { offset: offset.text.to_owned() };
        if offset.steps <= 0 {
            return Err(too_far());
        }
        let starts = match branch {
            None => current.to_vec(),
            Some(branch) => self.current_on(current, branch),
        };
        let start = match starts.as_slice() {
            [] => Place::Base,
            [start] => Place::At(*start),
            _ => return Err(HistoryError::AmbiguousUpgrade { rows: self.ids(starts) }),
        };
        self.walk(start, offset.steps, branch)?.ok_or_else(too_far)
    }

    /// The rows on a branch; where none is, the newest applied revisions on it, which other rows imply.
    pub(super) fn current_on(&self, current: &[Index], branch: Index) -> Vec<Index> {
        let on_branch = |index: &Index| self.share_lineage(*index, branch);
        let rows: Vec<Index> = current.iter().copied().filter(on_branch).collect();
        if !rows.is_empty() {
            return rows;
        }
        let active: Vec<Index> =
            self.marks_needed(current.iter().copied()).iter().filter(on_branch).collect();
        let needed: Vec<Index> = active.iter().flat_map(|index| self.nodes[*index].needs.clone()).collect();
        active.into_iter().filter(|index| !needed.contains(index)).collect()
    }

    /// Walks from a name, which `on` restricts to a lineage; `branch` chooses among ways up.
    pub(super) fn walk_from_name(
        &self,
        symbol: &Symbol<'_>,
        on: Option<&str>,
        branch: Option<Index>,
    ) -> Result<Place, HistoryError> {
        let start = self.resolve_place(&Symbol { label: on, offset: None, ..*symbol })?;
        let steps = symbol.offset.map_or(0, |offset| offset.steps);
        self.walk(start, steps, branch)?
            .ok_or_else(|| HistoryError::WalkedTooFar { symbol: symbol.text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{drawn, history, ids};

    fn planned(graph: &str, rows: &str, target: &str) -> Result<String, String> {
        let steps = history(graph).upgrade_steps(&ids(rows), target);
        steps.map(|steps| drawn(&steps)).map_err(|error| error.to_string())
    }

    const LINE: &str = "a; b <a; c <b; d <c";
    const FORK: &str = "a #root; b <a #left; c <a #right; d <c";
    const TREES: &str = "x1; x2 <x1; y1 #other; y2 <y1 +x2; y3 <y2";

    #[test]
    fn a_target_brings_all_that_it_needs() {
        let cases = [
            ("the whole line", LINE, "", "head", "+a[a] +b[b] +c[c] +d[d]"),
            ("the rest of the line", LINE, "b", "head", "+c[c] +d[d]"),
            ("a part of it", LINE, "a", "c", "+b[b] +c[c]"),
            ("one step", LINE, "b", "+1", "+c[c]"),
            ("two steps from nothing", LINE, "", "+2", "+a[a] +b[b]"),
            ("relative to a name", LINE, "", "a+1", "+a[a] +b[b]"),
            ("relative to the head", LINE, "a", "head-1", "+b[b] +c[c]"),
            ("relative to base", LINE, "", "base+1", "+a[a]"),
            ("an offset of none", LINE, "", "b+0", "+a[a] +b[b]"),
            ("the last loaded branch first", FORK, "", "heads", "+a[a] +c[c] +d[d] +b[b d]"),
            ("the other branch beside the one that is there", FORK, "b", "right", "+c[b c]"),
            ("only the named branch", FORK, "a", "right@head", "+c[c] +d[d]"),
            ("a step on the named branch", FORK, "a", "right@+1", "+c[c]"),
            ("a step on the named branch from a row beside it", FORK, "b", "right@+2", "+c[b c] +d[b d]"),
            ("a step on the branch that has a row", FORK, "b c", "right@+1", "+d[b d]"),
            ("the way up that a label chooses", FORK, "", "right@a+1", "+a[a] +c[c]"),
            ("all heads of a lineage", FORK, "a", "root@heads", "+c[c] +d[d] +b[b d]"),
            (
                "another tree that it depends on",
                TREES,
                "",
                "y3",
                "+x1[x1] +x2[x2] +y1[x2 y1] +y2[y2] +y3[y3]",
            ),
            ("a step that needs another tree", TREES, "y1", "+1", "+x1[x1 y1] +x2[x2 y1] +y2[y2]"),
            ("a new revision on an implied one", "y; x +y; z <y", "x", "z", "+z[x z]"),
            ("a step on a branch that a row implies", "y; x +y; z <y #zz", "x", "zz@+1", "+z[x z]"),
            ("nothing for an ancestor", LINE, "c", "a", ""),
            ("nothing for base", LINE, "c", "base", ""),
            ("nothing where all is applied", TREES, "y3", "heads", ""),
            ("nothing in an empty history", "", "", "head", ""),
        ];
        for (what, graph, rows, target, steps) in cases {
            assert_eq!(planned(graph, rows, target).as_deref(), Ok(steps), "{what}");
        }
    }

    #[test]
    fn what_leads_nowhere_or_anywhere_is_refused() {
        let cases = [
            (LINE, "", "+9", "Relative revision +9 didn't produce 9 migrations"),
            (LINE, "d", "+1", "Relative revision +1 didn't produce 1 migrations"),
            (LINE, "b", "+0", "Relative revision +0 didn't produce 0 migrations"),
            (LINE, "b", "-1", "Relative revision -1 didn't produce 1 migrations"),
            (LINE, "", "head+1", "Walked too far: 'head+1' leaves the history"),
            (LINE, "", "a-1", "Walked too far"),
            (LINE, "", "base-1", "Walked too far"),
            (FORK, "a", "+1", "Ambiguous walk: a leads to b, c"),
            (
                FORK,
                "",
                "head",
                "Multiple head revisions are present for given argument 'head'; please specify",
            ),
            (FORK, "", "head-1", "Multiple head revisions are present for given argument 'head-1'"),
            (FORK, "b c", "+1", "Ambiguous upgrade from multiple current revisions: b, c"),
            (
                FORK,
                "",
                "left@d",
                "Can't locate revision identified by 'd': d is not a member of branch 'left'",
            ),
            (FORK, "", "up@head", "Can't locate revision identified by 'up'"),
            (FORK, "gone", "heads", "Can't locate revision identified by 'gone': the database is at it"),
            (FORK, "a b", "heads", "Requested revision b overlaps with other requested revisions a"),
            (TREES, "", "x1@heads", "Requested revision"),
            (
                "a; b <a; c <a +b",
                "",
                "a@heads",
                "Requested revision c overlaps with other requested revisions b",
            ),
        ];
        for (graph, rows, target, text) in cases {
            match planned(graph, rows, target) {
                Err(error) => assert!(error.starts_with(text), "{target}: {error}"),
                // One head in that lineage: nothing overlaps.
                Ok(steps) => assert_eq!((graph, steps.as_str()), (TREES, "+x1[x1] +x2[x2]")),
            }
        }
    }
}
