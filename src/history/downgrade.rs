//! From the version rows down to a target.
//!
//! Promises the steps Alembic would take, in its order: everything applied that follows the target's children, siblings
//! and dependents too. Refuses what Alembic only warns of or ignores: `-N` from several rows, and a label that does not
//! fit its target.

use super::graph::{History, Index};
use super::rows::{Direction, MigrationStep};
use super::symbol::{Offset, Symbol};
use super::walk::Place;
use super::{HistoryError, RevisionId};

/// A downgrade target, with the branch that narrows what is undone.
struct Destination<'a> {
    place: Place,
    branch: Option<(&'a str, Index)>,
}

impl History {
    /// Returns the steps from `rows` down to `target`, in the order in which to run them.
    ///
    /// Fails when a row is unknown, when the target names no revision or too many, and when it is not below the rows.
    pub fn downgrade_steps(
        &self,
        rows: &[RevisionId],
        target: &str,
    ) -> Result<Vec<MigrationStep>, HistoryError> {
        let current = self.row_indices(rows)?;
        let symbol = self.parse(target);
        let destination = self.downgrade_destination(&current, &symbol)?;
        let roots = self.roots_above(&destination, target)?;
        let applied = self.marks_needed(current.iter().copied());
        let mut dropped = self.marks_following(roots);
        dropped.keep(|index| applied.has(index));
        if let Place::At(index) = destination.place
            && dropped.is_empty()
            && !current.contains(&index)
        {
            let rows = self.ids(current);
            return Err(HistoryError::NotADowngradeTarget { target: target.to_owned(), rows });
        }
        let order = self.newest_first(dropped, &current);
        Ok(self.steps(&current, order, Direction::Down))
    }

    fn downgrade_destination<'a>(
        &'a self,
        current: &[Index],
        symbol: &Symbol<'a>,
    ) -> Result<Destination<'a>, HistoryError> {
        let branch = match symbol.label {
            Some(label) => Some((label, self.lookup(label, None)?)),
            None => None,
        };
        let destination = match (symbol.offset, symbol.name) {
            (Some(offset), None) => self.down_from_current(current, symbol, offset, branch)?,
            (Some(offset), Some(_)) => {
                let on = symbol.label.filter(|_| offset.steps < 0);
                let place = self.walk_from_name(symbol, on, branch.map(|(_, index)| index))?;
                Destination { place, branch }
            }
            // The label narrows what is undone, not what the target means: `label@head` is `head`, as in Alembic.
            (None, _) => {
                Destination { place: self.resolve_place(&Symbol { label: None, ..*symbol })?, branch }
            }
        };
        match (destination.place, branch) {
            // Alembic would ignore the label here, and undo a branch that was not named.
            (Place::At(index), Some((label, carrier))) if !self.share_lineage(index, carrier) => {
                Err(HistoryError::NotOnBranch {
                    symbol: symbol.text.to_owned(),
                    revision: self.id(index).clone(),
                    branch: label.to_owned(),
                })
            }
            (Place::Base, _) if symbol.name == Some("base") && symbol.offset.is_some() => {
                Err(HistoryError::WalkedTooFar { symbol: symbol.text.to_owned() })
            }
            _ => Ok(destination),
        }
    }

    /// `-N` and `label@-N`, from the one row that is meant.
    fn down_from_current<'a>(
        &'a self,
        current: &[Index],
        symbol: &Symbol<'a>,
        offset: Offset<'a>,
        branch: Option<(&'a str, Index)>,
    ) -> Result<Destination<'a>, HistoryError> {
        let too_far = || HistoryError::OffsetTooFar { offset: offset.text.to_owned() };
        if offset.steps >= 0 {
            return Err(too_far());
        }
        let starts = match branch {
            None => current.to_vec(),
            Some((_, branch)) => self.tips_on(current, branch),
        };
        let start = match starts.as_slice() {
            [] => return Err(too_far()),
            [start] => *start,
            several => {
                let forms = several.iter().map(|row| self.form_for(*row, several, offset)).collect();
                return Err(HistoryError::AmbiguousDowngrade { rows: self.ids(starts), forms });
            }
        };
        let place = self.walk(Place::At(start), offset.steps, None)?.ok_or_else(too_far)?;
        // Without a label the row itself is the branch, so that a sibling of it is not undone.
        let branch = branch.or_else(|| symbol.label.is_none().then(|| (self.id(start).as_str(), start)));
        Ok(Destination { place, branch })
    }

    /// The rows on a branch; where none is, the applied tips on it that other rows imply.
    fn tips_on(&self, current: &[Index], branch: Index) -> Vec<Index> {
        let on_branch = |index: &Index| self.share_lineage(*index, branch);
        let rows: Vec<Index> = current.iter().copied().filter(on_branch).collect();
        if !rows.is_empty() {
            return rows;
        }
        self.tips(current).into_iter().filter(on_branch).collect()
    }

    /// `label@-N` where a label means only this row, else `id@-N`.
    fn form_for(&self, row: Index, rows: &[Index], offset: Offset<'_>) -> String {
        let only_this = |label: &&String| {
            let Some(carrier) = self.names.get(*label) else { return false };
            rows.iter().all(|other| (*other == row) == self.share_lineage(*other, *carrier))
        };
        let name = self.nodes[row].labels.iter().find(only_this).map(String::as_str);
        format!("{}@{}", name.unwrap_or(self.id(row).as_str()), offset.text)
    }

    /// What lies directly above the destination and is to be undone with all that follows it.
    fn roots_above(&self, destination: &Destination<'_>, target: &str) -> Result<Vec<Index>, HistoryError> {
        let mut roots = match destination.place {
            Place::Base => self.base_indices(),
            Place::At(index) => self.nodes[index].children.clone(),
        };
        if let Some((label, branch)) = destination.branch
            && roots.len() > 1
        {
            let line = self.marks_below([branch]);
            roots.retain(|root| line.has(*root));
            if roots.is_empty() {
                let (target, branch) = (target.to_owned(), label.to_owned());
                return Err(HistoryError::NothingOnBranch { target, branch });
            }
        }
        Ok(roots)
    }
}
