//! Steps up and down from one place.
//!
//! Promises never to choose: where several ways lead on, the walk is ambiguous and says between what.

use super::graph::{History, Index};
use super::{HistoryError, RevisionId};

/// Where a walk stands: on a revision or on the empty state before all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Base,
    At(Index),
}

impl History {
    /// Walks `steps` up (positive) or down (negative); none when the history ends before.
    ///
    /// `branch` chooses among several ways up.
    pub(super) fn walk(
        &self,
        start: Place,
        steps: i64,
        branch: Option<Index>,
    ) -> Result<Option<Place>, HistoryError> {
        let mut at = start;
        for _ in 0..steps.unsigned_abs() {
            match self.step(at, steps > 0, branch)? {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// Like `walk`, but stays at the end of the history when there are fewer steps.
    pub(super) fn walk_at_most(
        &self,
        start: Place,
        steps: i64,
        branch: Option<Index>,
    ) -> Result<Place, HistoryError> {
        let mut at = start;
        for _ in 0..steps.unsigned_abs() {
            match self.step(at, steps > 0, branch)? {
                Some(next) => at = next,
                None => break,
            }
        }
        Ok(at)
    }

    fn step(&self, at: Place, up: bool, branch: Option<Index>) -> Result<Option<Place>, HistoryError> {
        let mut ways = match at {
            Place::Base if up => self.base_indices(),
            Place::At(index) if up => self.nodes[index].children.clone(),
            Place::Base => return Ok(None),
            Place::At(index) if self.nodes[index].parents.is_empty() => return Ok(Some(Place::Base)),
            Place::At(index) => self.nodes[index].parents.clone(),
        };
        if let Some(branch) = branch.filter(|_| up) {
            ways.retain(|way| self.share_lineage(*way, branch));
        }
        match ways.as_slice() {
            [] => Ok(None),
            [way] => Ok(Some(Place::At(*way))),
            _ => Err(HistoryError::AmbiguousWalk { at: self.place_id(at), choices: self.ids(ways) }),
        }
    }

    pub(super) fn place_id(&self, place: Place) -> Option<RevisionId> {
        match place {
            Place::Base => None,
            Place::At(index) => Some(self.id(index).clone()),
        }
    }
}
