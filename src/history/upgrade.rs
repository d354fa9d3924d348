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
    use super::super::sample::{history, ids};
    use super::*;

    fn order(steps: &[MigrationStep]) -> String {
        steps.iter().map(|step| step.revision.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_last_loaded_branch_is_upgraded_first() {
        let history = history("a; b <a; c <a");
        let steps = history.upgrade_steps(&[], "heads").unwrap();
        assert_eq!(order(&steps), "a c b");
        assert_eq!(steps[2].rows_after, ids("b c"));
    }
}
