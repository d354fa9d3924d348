//! Version rows set by hand: no migration runs.
//!
//! Promises that each destination takes the place of the rows in its own lineage (dependencies included) and of no
//! others, and that the rows stay an antichain. Everything is resolved before the first change, so that a wrong
//! destination changes nothing.

use super::graph::{History, Index};
use super::rows::{Direction, MigrationStep, Rows};
use super::{HistoryError, RevisionId};

/// One destination of a stamp.
enum Destination {
    At(Index),
    /// `base`, or `label@base` for one lineage.
    Base(Option<Index>),
}

impl History {
    /// Returns the changes that set `rows` to `targets`, one step for each row or destination written.
    ///
    /// For `--purge` call it with no rows, and delete the old ones in the same transaction. Fails when a row is unknown,
    /// when a target names no revision or carries an offset, and when one target needs another.
    pub fn stamp_steps<S: AsRef<str>>(
        &self,
        rows: &[RevisionId],
        targets: &[S],
    ) -> Result<Vec<MigrationStep>, HistoryError> {
        let current = self.row_indices(rows)?;
        let mut destinations = Vec::new();
        for target in targets {
            destinations.extend(self.stamp_destinations(target.as_ref())?);
        }
        let mut wanted: Vec<Index> = destinations
            .iter()
            .filter_map(|destination| match destination {
                Destination::At(index) => Some(*index),
                Destination::Base(_) => None,
            })
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        self.refuse_overlap(&wanted)?;

        let mut rows = Rows::new(self, &current);
        let mut steps = Vec::new();
        for destination in destinations {
            match destination {
                Destination::At(index) => steps.extend(self.stamp_at(&mut rows, index)),
                Destination::Base(branch) => steps.extend(self.stamp_base(&mut rows, branch)),
            }
        }
        Ok(steps)
    }

    fn stamp_destinations(&self, target: &str) -> Result<Vec<Destination>, HistoryError> {
        let symbol = self.parse(target);
        if symbol.offset.is_some() {
            return Err(HistoryError::OffsetNotAccepted { symbol: target.to_owned() });
        }
        if symbol.name == Some("base") {
            let branch = symbol.label.map(|label| self.lookup(label, None)).transpose()?;
            return Ok(vec![Destination::Base(branch)]);
        }
        match self.resolve_absolute(&symbol) {
            Ok(found) => Ok(found.into_iter().map(Destination::At).collect()),
            Err(HistoryError::MultipleHeads { heads, .. }) => {
                Err(HistoryError::MultipleHeadsToStamp { heads })
            }
            Err(other) => Err(other),
        }
    }

    fn stamp_at(&self, rows: &mut Rows<'_>, destination: Index) -> Option<MigrationStep> {
        if rows.has(destination) {
            return None;
        }
        let above = self.marks_following([destination]);
        let below = self.marks_needed([destination]);
        let replaced: Vec<Index> = rows.iter().filter(|row| above.has(*row) || below.has(*row)).collect();
        let down = replaced.iter().any(|row| above.has(*row));
        let direction = if down { Direction::Down } else { Direction::Up };
        Some(rows.replace(destination, direction, replaced, vec![destination]))
    }

    fn stamp_base(&self, rows: &mut Rows<'_>, branch: Option<Index>) -> Vec<MigrationStep> {
        let lineage = branch.map(|branch| (self.marks_following([branch]), self.marks_needed([branch])));
        let in_lineage = |row: &Index| match &lineage {
            None => true,
            Some((above, below)) => above.has(*row) || below.has(*row),
        };
        let removed: Vec<Index> = rows.iter().filter(in_lineage).collect();
        removed.into_iter().map(|row| rows.replace(row, Direction::Down, vec![row], Vec::new())).collect()
    }
}
