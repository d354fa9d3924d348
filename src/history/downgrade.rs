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

#[cfg(test)]
mod tests {
    use super::super::sample::{drawn, history, ids};
    use super::*;

    fn planned(graph: &str, rows: &str, target: &str) -> Result<String, String> {
        let steps = history(graph).downgrade_steps(&ids(rows), target);
        steps.map(|steps| drawn(&steps)).map_err(|error| error.to_string())
    }

    const LINE: &str = "a; b <a; c <b; d <c";
    const FORK: &str = "a #root; b <a #left; c <a #right; d <c";
    const MERGED: &str = "a; b <a #left; c <a #right; d <b,c";
    const TREES: &str = "y0; y <y0; x0 #xx; x <x0 +y";

    #[test]
    fn what_follows_the_target_is_undone() {
        let cases = [
            ("one step", LINE, "d", "-1", "-d[c]"),
            ("two steps", LINE, "d", "-2", "-d[c] -c[b]"),
            ("to base by steps", LINE, "b", "-2", "-b[a] -a[]"),
            ("to a name", LINE, "d", "b", "-d[c] -c[b]"),
            ("to base", LINE, "c", "base", "-c[b] -b[a] -a[]"),
            ("relative to a name", LINE, "d", "c-1", "-d[c] -c[b]"),
            ("relative to a name, upwards", LINE, "d", "a+1", "-d[c] -c[b]"),
            ("both branches above the target", FORK, "b d", "a", "-b[d] -d[c] -c[a]"),
            ("both branches, named by one", FORK, "b d", "b-1", "-b[d] -d[c] -c[a]"),
            ("one branch, by its label", FORK, "b d", "right@a", "-d[b c] -c[b]"),
            ("one branch, by an identifier", FORK, "b c", "b@a", "-b[c]"),
            ("one step of one branch", FORK, "b d", "right@-1", "-d[b c]"),
            ("one step of the only row", FORK, "d", "-1", "-d[c]"),
            ("a label does not help below a single root", FORK, "b d", "left@base", "-b[d] -d[c] -c[a] -a[]"),
            ("a merge, to one of its parents", MERGED, "d", "b", "-d[b c]"),
            ("a merge, to what it forked from", MERGED, "d", "a", "-d[b c] -b[c] -c[a]"),
            ("a dependent in another tree", TREES, "x", "y0", "-x[x0 y] -y[x0 y0]"),
            ("a dependent in another tree, by steps", TREES, "x", "y-1", "-x[x0 y] -y[x0 y0]"),
            ("what depends leaves what it needs", TREES, "x", "xx@-1", "-x[x0 y]"),
            ("one tree to base", TREES, "x", "xx@base", "-x[x0 y] -x0[y]"),
            ("a branch that only a dependent holds", TREES, "x", "y@-1", "-x[x0 y] -y[x0 y0]"),
            ("nothing for the current revision", LINE, "c", "c", ""),
            ("nothing at base", LINE, "", "base", ""),
        ];
        for (what, graph, rows, target, steps) in cases {
            assert_eq!(planned(graph, rows, target).as_deref(), Ok(steps), "{what}");
        }
    }

    #[test]
    fn several_rows_and_a_bare_step_are_refused_with_the_forms_that_say_which() {
        let text = planned(FORK, "b d", "-1").unwrap_err();
        assert_eq!(
            text,
            "Ambiguous downgrade from multiple current revisions: b, d; say which: left@-1, right@-1"
        );
        // Where no label means one row only, its identifier does.
        let text = planned("a #root; b <a; c <a", "b c", "-2").unwrap_err();
        assert!(text.ends_with("say which: b@-2, c@-2"), "{text}");
        let text = planned(FORK, "b d", "root@-1").unwrap_err();
        assert!(text.ends_with("say which: left@-1, right@-1"), "{text}");
    }

    #[test]
    fn every_form_that_is_offered_undoes_its_row_first() {
        let history = history(FORK);
        let rows = ids("b d");
        let Err(HistoryError::AmbiguousDowngrade { rows: named, forms }) =
            history.downgrade_steps(&rows, "-1")
        else {
            panic!("not refused");
        };
        for (row, form) in named.iter().zip(&forms) {
            let steps = history.downgrade_steps(&rows, form).unwrap();
            assert_eq!(steps[0].revision, *row, "{form}");
        }
    }

    #[test]
    fn what_is_not_below_or_not_meant_is_refused() {
        let cases = [
            (LINE, "b", "c", "Destination c is not a valid downgrade target from current head(s) b"),
            (LINE, "", "a", "Destination a is not a valid downgrade target from current head(s) (none)"),
            (LINE, "b", "-3", "Relative revision -3 didn't produce 3 migrations"),
            (LINE, "", "-1", "Relative revision -1 didn't produce 1 migrations"),
            (LINE, "b", "+1", "Relative revision +1 didn't produce 1 migrations"),
            (LINE, "b", "-0", "Relative revision -0 didn't produce 0 migrations"),
            (LINE, "b", "head+1", "Walked too far"),
            (LINE, "b", "base-1", "Walked too far"),
            (LINE, "b", "b-3", "Walked too far"),
            (MERGED, "d", "-1", "Ambiguous walk: d leads to b, c"),
            (TREES, "x", "y", "Destination y is not a valid downgrade target from current head(s) x"),
            (FORK, "b d", "heads", "Multiple head revisions are present for given argument 'heads'"),
            (FORK, "b d", "left@head", "Multiple head revisions are present for given argument 'left@head'"),
            (
                FORK,
                "b d",
                "left@c",
                "Can't locate revision identified by 'left@c': c is not a member of branch 'left'",
            ),
            (FORK, "b d", "oops@base", "Can't locate revision identified by 'oops'"),
            (FORK, "b d", "root@a", "Not a valid downgrade target from current heads: nothing above root@a"),
            (FORK, "gone", "base", "Can't locate revision identified by 'gone': the database is at it"),
            (FORK, "b", "a+1junk", "Can't locate revision identified by 'a+1junk'"),
        ];
        for (graph, rows, target, text) in cases {
            let error = planned(graph, rows, target).unwrap_err();
            assert!(error.starts_with(text), "{target}: {error}");
        }
    }
}
