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

#[cfg(test)]
mod tests {
    use super::super::sample::{drawn, history, id, ids};
    use super::super::{RowChange, RowChange::Delete};

    fn stamped(graph: &str, rows: &str, targets: &str) -> Result<String, String> {
        let targets: Vec<&str> = targets.split_whitespace().collect();
        let steps = history(graph).stamp_steps(&ids(rows), &targets);
        steps.map(|steps| drawn(&steps)).map_err(|error| error.to_string())
    }

    const FORK: &str = "a #root; b <a #left; c <a #right; d <c";
    const TREES: &str = "y0; y <y0; x0 #xx; x <x0 +y";

    #[test]
    fn a_destination_takes_the_place_of_its_lineage() {
        let cases = [
            ("a row that is there", FORK, "b", "b", ""),
            ("above", FORK, "a", "d", "+d[d]"),
            ("below: all collapse into one", FORK, "b d", "a", "-a[a]"),
            ("beside: another row", FORK, "b", "c", "+c[b c]"),
            ("an unrelated tree", TREES, "y", "x0", "+x0[x0 y]"),
            ("a dependent above", TREES, "y x0", "x", "+x[x]"),
            ("a dependency below", TREES, "x", "y", "-y[y]"),
            ("the heads from below a branch", FORK, "a", "heads", "+b[b] +d[b d]"),
            ("the heads from nothing", FORK, "", "heads", "+b[b] +d[b d]"),
            ("the head of a lineage", FORK, "b c", "right@head", "+d[b d]"),
            ("several at once", TREES, "y x0", "y0 x", "refused"),
            ("several in several trees", "a; b <a; c; d <c", "b d", "a c", "-a[a d] -c[a c]"),
            ("base", FORK, "b d", "base", "-b[d] -d[]"),
            ("base of a lineage", TREES, "y x0", "xx@base", "-x0[y]"),
            ("base beside another", "a; b <a; c #cc", "b c", "cc@base a", "-c[b] -a[a]"),
            ("nothing at nothing", FORK, "", "base", ""),
            ("a prefix", "abcdef", "", "abc", "+abcdef[abcdef]"),
        ];
        for (what, graph, rows, targets, steps) in cases {
            match stamped(graph, rows, targets) {
                Ok(found) => assert_eq!(found, steps, "{what}"),
                Err(error) => {
                    assert_eq!(("refused", error.starts_with("Requested revision x overlaps")), (steps, true))
                }
            }
        }
    }

    #[test]
    fn a_collapse_deletes_all_rows_but_one() {
        let steps = history(FORK).stamp_steps(&ids("b d"), &["a"]).unwrap();
        let update = RowChange::Update { from: id("d"), to: id("a") };
        assert_eq!(steps[0].changes, [Delete(id("b")), update]);
    }

    #[test]
    fn a_sibling_keeps_its_row_when_a_label_is_named() {
        // Alembic forgets `b`, which the next upgrade would then run again.
        assert_eq!(stamped(FORK, "b c", "root@d").as_deref(), Ok("+d[b d]"));
    }

    #[test]
    fn a_wrong_destination_changes_nothing() {
        let cases = [
            (
                "b d",
                "head",
                "Multiple heads are present; please specify a single target revision (the heads are b, d)",
            ),
            ("b d", "gone", "Can't locate revision identified by 'gone'"),
            ("b d", "a gone", "Can't locate revision identified by 'gone'"),
            ("b d", "oops@base", "Can't locate revision identified by 'oops'"),
            ("", "-1", "Can't locate revision identified by '-1': an offset is not accepted here"),
            ("b", "head-1", "Can't locate revision identified by 'head-1': an offset is not accepted here"),
            ("", "a d", "Requested revision d overlaps with other requested revisions a"),
            ("gone", "a", "Can't locate revision identified by 'gone': the database is at it"),
        ];
        for (rows, targets, text) in cases {
            let error = stamped(FORK, rows, targets).unwrap_err();
            assert!(error.starts_with(text), "{targets}: {error}");
        }
    }
}
