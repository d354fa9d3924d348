//! `start:end`, for `history -r` and offline scripts.
//!
//! Promises both ends included, newest first. `-N:` counts down from the end, `:+N` up from the start; either end may be
//! `current`. Leaves to the caller which commands accept a range.

use super::graph::{History, Index};
use super::walk::Place;
use super::{HistoryError, Revision, RevisionId};

impl History {
    /// Splits `start:end`; an empty side stays empty.
    pub fn split_range(text: &str) -> Result<(&str, &str), HistoryError> {
        let text = text.trim();
        match text.split_once(':') {
            Some((start, end)) if !end.contains(':') => Ok((start, end)),
            _ => Err(HistoryError::NotARange { text: text.to_owned() }),
        }
    }

    /// Returns the revisions from `start` to `end`, both included, newest first; `rows` are what `current` means.
    ///
    /// Without a start all that the end needs is returned; without an end the range runs to all heads.
    pub fn range(&self, text: &str, rows: &[RevisionId]) -> Result<Vec<&Revision>, HistoryError> {
        let (start, end) = History::split_range(text)?;
        let current = self.row_indices(rows)?;
        let (lower, upper) = self.range_ends(start, end, &current)?;
        self.refuse_overlap(&upper)?;
        let mut wanted = self.marks_needed(upper.iter().copied());
        if let Some(lower) = &lower {
            if lower.iter().any(|index| !wanted.has(*index)) {
                let (start, end) = (start.to_owned(), end.to_owned());
                return Err(HistoryError::RangeNotConnected { start, end });
            }
            let above = self.marks_above(lower.iter().copied());
            wanted.keep(|index| above.has(index));
        }
        Ok(self.named(self.newest_first(wanted, &upper)))
    }

    /// The lower ends, none for `base`, and the upper ends.
    fn range_ends(
        &self,
        start: &str,
        end: &str,
        current: &[Index],
    ) -> Result<(Option<Vec<Index>>, Vec<Index>), HistoryError> {
        let end = if end.is_empty() { "heads" } else { end };
        let from_end = self.parse(start);
        if from_end.name.is_none() && from_end.offset.is_some_and(|offset| offset.steps < 0) {
            let upper = self.range_side(end, current)?;
            let mut lower = Vec::new();
            for tip in &upper {
                let steps = from_end.offset.map_or(0, |offset| offset.steps);
                match self.walk_at_most(Place::At(*tip), steps, None)? {
                    // One line that reaches the bottom shows all of itself.
                    Place::Base => return Ok((None, upper)),
                    Place::At(index) => lower.push(index),
                }
            }
            lower.sort_unstable();
            lower.dedup();
            return Ok((Some(lower), upper));
        }
        let lower = if start.is_empty() { Vec::new() } else { self.range_side(start, current)? };
        let from_start = self.parse(end);
        let mut upper = match (from_start.name, from_start.offset) {
            (None, Some(offset)) if offset.steps > 0 => {
                let branch = from_start.label.map(|label| self.lookup(label, None)).transpose()?;
                self.up_from_range_start(&lower, offset.steps, branch)?
            }
            _ => self.range_side(end, current)?,
        };
        if let Some(label) = self.parse(start).label {
            let branch = self.lookup(label, None)?;
            upper.retain(|index| self.share_lineage(*index, branch));
        }
        Ok(((!lower.is_empty()).then_some(lower), upper))
    }

    fn range_side(&self, symbol: &str, current: &[Index]) -> Result<Vec<Index>, HistoryError> {
        if symbol == "current" { Ok(current.to_vec()) } else { self.upgrade_targets(current, symbol) }
    }

    fn up_from_range_start(
        &self,
        lower: &[Index],
        steps: i64,
        branch: Option<Index>,
    ) -> Result<Vec<Index>, HistoryError> {
        let start = match lower {
            [] => Place::Base,
            [start] => Place::At(*start),
            several => return Err(HistoryError::AmbiguousUpgrade { rows: self.ids(several.to_vec()) }),
        };
        match self.walk_at_most(start, steps, branch)? {
            Place::Base => Ok(Vec::new()),
            Place::At(index) => Ok(vec![index]),
        }
    }
}
