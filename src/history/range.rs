//! `start:end`, for `history -r` and offline scripts.
//!
//! Promises both ends included, newest first. `-N:` counts down from the end, `:+N` up from the start; either end may be
//! `current`. Alembic counts `-N:` from the heads where it can, and takes `current` for all heads when nothing is applied.
//! Leaves to the caller which commands accept a range.

use super::graph::{History, Index, Marks};
use super::symbol::Symbol;
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

    /// Returns the revisions from `start` to `end`, both included, newest first; `rows` are what `current` means, and are
    /// not looked at otherwise.
    ///
    /// Without a start all that the end needs is returned; without an end the range runs to all heads. An offset stops
    /// where the history ends. Fails when the start does not lie below the end.
    pub fn range(&self, text: &str, rows: &[RevisionId]) -> Result<Vec<&Revision>, HistoryError> {
        let (start, end) = History::split_range(text)?;
        let (start, end) = (self.parse(start), self.parse(if end.is_empty() { "heads" } else { end }));
        let (lower, upper) = match (start.offset, start.name) {
            (Some(offset), None) if offset.steps < 0 => {
                let upper = self.range_end(&end, &[], rows)?;
                (self.below_ends(&upper, offset.steps)?, upper)
            }
            (Some(_), _) => return Err(HistoryError::OffsetNotAccepted { symbol: start.text.to_owned() }),
            (None, _) => {
                let lower = self.range_start(&start, rows)?;
                let upper = self.range_end(&end, &lower, rows)?;
                (lower, upper)
            }
        };
        let upper = self.on_branch_of(&start, upper)?;
        self.refuse_overlap(&upper)?;
        let mut wanted = self.marks_needed(upper.iter().copied());
        if !lower.is_empty() {
            if lower.iter().any(|index| !wanted.has(*index)) {
                let (start, end) = (start.text.to_owned(), end.text.to_owned());
                return Err(HistoryError::RangeNotConnected { start, end });
            }
            self.refuse_overlap(&lower)?;
            let above = self.marks_above(lower);
            wanted.keep(|index| above.has(index));
        }
        // Not `upper`: what joins a part of the range to an end may be a dependency, which lies outside the range.
        let tips = self.newest_in(&wanted);
        Ok(self.named(self.newest_first(wanted, &tips)))
    }

    fn newest_in(&self, wanted: &Marks) -> Vec<Index> {
        wanted
            .iter()
            .filter(|index| !self.nodes[*index].followers.iter().any(|one| wanted.has(*one)))
            .collect()
    }

    /// The lower ends; none is the empty state.
    fn range_start(&self, start: &Symbol<'_>, rows: &[RevisionId]) -> Result<Vec<Index>, HistoryError> {
        match start.text {
            "" => Ok(Vec::new()),
            "current" => self.row_indices(rows),
            _ => self.resolve_absolute(start),
        }
    }

    /// The upper ends; an offset without a name counts from the lower ones.
    fn range_end(
        &self,
        end: &Symbol<'_>,
        lower: &[Index],
        rows: &[RevisionId],
    ) -> Result<Vec<Index>, HistoryError> {
        let place = match (end.offset, end.name) {
            (None, _) if end.text == "current" => return self.row_indices(rows),
            (None, _) => return self.resolve_absolute(end),
            (Some(offset), None) if offset.steps <= 0 => {
                return Err(HistoryError::OffsetTooFar { offset: offset.text.to_owned() });
            }
            (Some(offset), None) => {
                let branch = end.label.map(|label| self.lookup(label, None)).transpose()?;
                let starts = branch.map_or_else(|| lower.to_vec(), |branch| self.current_on(lower, branch));
                let start = match starts.as_slice() {
                    [] => Place::Base,
                    [start] => Place::At(*start),
                    _ => return Err(HistoryError::AmbiguousUpgrade { rows: self.ids(starts) }),
                };
                self.walk_at_most(start, offset.steps, branch)?
            }
            (Some(offset), Some(_)) => {
                let branch = end.label.map(|label| self.lookup(label, None)).transpose()?;
                let on = end.label.filter(|_| offset.steps <= 0);
                let start = self.resolve_place(&Symbol { label: on, offset: None, ..*end })?;
                self.walk_at_most(start, offset.steps, branch)?
            }
        };
        Ok(match place {
            Place::Base => Vec::new(),
            Place::At(index) => vec![index],
        })
    }

    /// What lies `steps` below each end; nothing when one of them reaches the empty state, so that all of it is shown.
    fn below_ends(&self, upper: &[Index], steps: i64) -> Result<Vec<Index>, HistoryError> {
        let mut lower = Vec::new();
        for end in upper {
            match self.walk_at_most(Place::At(*end), steps, None)? {
                Place::Base => return Ok(Vec::new()),
                Place::At(index) => lower.push(index),
            }
        }
        lower.sort_unstable();
        lower.dedup();
        // What is below one end may lie above what is below another; the lowest ones say it all.
        let above_another = |index: Index| {
            let needed = self.marks_needed([index]);
            lower.iter().any(|other| *other != index && needed.has(*other))
        };
        Ok(lower.iter().copied().filter(|index| !above_another(*index)).collect())
    }

    /// A label at the start keeps the range on its branch: `label@base:heads`.
    fn on_branch_of(&self, start: &Symbol<'_>, mut upper: Vec<Index>) -> Result<Vec<Index>, HistoryError> {
        if let Some(label) = start.label {
            let branch = self.lookup(label, None)?;
            upper.retain(|index| self.share_lineage(*index, branch));
        }
        Ok(upper)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{history, ids, names};

    fn listed(graph: &str, range: &str, rows: &str) -> Result<String, String> {
        let history = history(graph);
        history.range(range, &ids(rows)).map(|found| names(&found)).map_err(|error| error.to_string())
    }

    const LINE: &str = "a; b <a; c <b; d <c";
    const FORK: &str = "a #root; b <a #left; c <a #right; d <c";

    #[test]
    fn a_range_holds_both_its_ends_newest_first() {
        let cases = [
            (LINE, "b:c", "", "c b"),
            (LINE, "b:", "", "d c b"),
            (LINE, ":b", "", "b a"),
            (LINE, ":", "", "d c b a"),
            (LINE, "base:heads", "", "d c b a"),
            (LINE, "b:current", "c", "c b"),
            (LINE, "current:", "c", "d c"),
            (LINE, "current:current", "c", "c"),
            (LINE, ":current", "", ""),
            (LINE, "-1:", "", "d c"),
            (LINE, "-1:c", "", "c b"),
            (LINE, "-2:current", "c", "c b a"),
            (LINE, "-9:c", "", "c b a"),
            (LINE, "b:+1", "", "c b"),
            (LINE, ":+2", "", "b a"),
            (LINE, "b:+9", "", "d c b"),
            (LINE, ":a+1", "", "b a"),
            (LINE, ":head-2", "", "b a"),
            (FORK, ":", "", "b d c a"),
            (FORK, "a:right@head", "", "d c a"),
            (FORK, "right@base:", "", "d c a"),
            (FORK, "-1:", "", "b d c a"),
            ("y; x0; x <x0 +y", ":x", "", "x x0 y"),
            ("y; x0; x <x0 +y", "x0:x", "", "x x0"),
            // What lies above `b` leads to a real head only through a dependency, outside the range.
            ("a; b <a; c <b; x +c", "b:", "", "c b"),
        ];
        for (graph, range, rows, expected) in cases {
            assert_eq!(listed(graph, range, rows).as_deref(), Ok(expected), "{range}");
        }
    }

    #[test]
    fn rows_matter_only_where_current_is_named() {
        assert_eq!(listed(LINE, "a:b", "gone").as_deref(), Ok("b a"));
        assert!(listed(LINE, "a:current", "gone").unwrap_err().contains("the database is at it"));
    }

    #[test]
    fn ends_that_are_not_connected_are_refused() {
        let text =
            "Requested range c:b does not refer to ancestor/descendant revisions along the same branch";
        assert_eq!(listed(LINE, "c:b", "").unwrap_err(), text);
        assert!(listed(FORK, "b:d", "").is_err());
        let text = "History range requires [start]:[end], [start]:, or :[end]";
        assert_eq!(listed(LINE, "c", "").unwrap_err(), text);
        assert_eq!(listed(LINE, "a:b:c", "").unwrap_err(), text);
        assert!(listed(LINE, "a+1:", "").unwrap_err().ends_with("an offset is not accepted here"));
        assert_eq!(listed(LINE, "a:-1", "").unwrap_err(), "Relative revision -1 didn't produce 1 migrations");
        assert_eq!(listed(FORK, "a:+1", "").unwrap_err(), "Ambiguous walk: a leads to b, c");
    }
}
