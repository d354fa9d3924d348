//! Whether another row stands under a number, although rows above it stayed: somebody filled a gap, or filled an emptied table anew.
//!
//! Anything may be edited in a row, so that one column which holds something else says nothing. A row is another one only where
//! there are several columns by which rows are known and none of them is as it was. What rows share says nothing either way: a new
//! row has it as easily as the old one.

use super::Mark;
use std::collections::HashSet;

/// The columns that say whether a row is another one.
#[derive(Debug, Default)]
pub(super) struct Grounds {
    /// Those in which most rows had a value of their own then, and those that repeat the key: where these are the same, another row
    /// with that key may hold the same.
    pub own: Vec<usize>,
    pub repeats: Vec<usize>,
    /// The others in which rows differed.
    pub shared: Vec<usize>,
    /// Whether all together told most rows apart.
    pub apart: bool,
}

impl Grounds {
    /// Tells whether any row can be told to be another one.
    pub fn tell(&self) -> bool {
        self.own.len() + self.repeats.len() > 1 || (self.apart && self.all().count() > 1)
    }

    /// Returns the columns that are looked at.
    pub fn all(&self) -> impl Iterator<Item = usize> {
        self.own.iter().chain(&self.repeats).chain(&self.shared).copied()
    }

    /// Lets columns say nothing.
    pub fn leave_out(&mut self, columns: &[usize]) {
        let is_any = self.all().any(|at| columns.contains(&at));
        self.apart &= !is_any;
        for all in [&mut self.own, &mut self.repeats, &mut self.shared] {
            all.retain(|at| !columns.contains(at));
        }
    }

    /// Returns the column by which a row that does not show to be another one does not show to be the same either: of those in which
    /// most rows had a value of their own none is as it was. A row that was cleared is no new one.
    pub fn in_doubt(&self, then: &[Option<Mark>], now: &[Option<Mark>]) -> Option<usize> {
        let held: Vec<usize> = self.own.iter().copied().filter(|at| then[*at].is_some()).collect();
        let is_other =
            held.iter().all(|at| then[*at] != now[*at]) && held.iter().any(|at| now[*at].is_some());
        held.first().copied().filter(|_| is_other)
    }

    /// Tells whether a row is another one than that of its key. `common` has the values of several rows, by their column.
    ///
    /// What was NULL says nothing: it may have been filled. Nor does a row of which nothing is left but what says nothing: it was
    /// cleared.
    pub fn is_another(
        &self,
        common: &HashSet<(usize, Mark)>,
        then: &[Option<Mark>],
        now: &[Option<Mark>],
    ) -> bool {
        let is_held = |at: &usize| then[*at].is_some();
        let is_same = |at: usize| then[at] == now[at];
        let is_own = |at: usize| then[at].clone().is_some_and(|mark| !common.contains(&(at, mark)));
        if self.own.iter().copied().filter(is_held).any(|at| is_same(at) && is_own(at)) {
            return false;
        }
        let differing: Vec<usize> = self.all().filter(|at| is_held(at) && !is_same(*at)).collect();
        let is_telling = |at: &&usize| self.own.contains(at) || self.repeats.contains(at);
        let shares = || self.own.iter().chain(&self.shared).copied().filter(is_held).any(is_same);
        let is_much = differing.iter().filter(is_telling).count() > 1
            || (self.apart && differing.len() > 1 && !shares());
        is_much && differing.iter().any(|at| now[*at].is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Marks, Watch};
    use super::*;
    use proptest::prelude::*;

    fn marks(row: &[&str]) -> Marks {
        row.iter().map(|text| (!text.is_empty()).then(|| Mark::text(text.as_bytes()))).collect()
    }

    /// Ten rows of a name, a mail, a town that five of them share, and what all of them share.
    fn people() -> Vec<(i64, Marks)> {
        let town = |at: i64| if at > 5 { "Rome" } else { "Oslo" };
        let row = |at: i64| marks(&[&format!("name {}", 90 - at), &format!("{}@x", 90 - at), town(at), "on"]);
        (1..=10).map(|at| (at, row(at))).collect()
    }

    fn is_another(then: &[(i64, Marks)], number: usize, now: &[&str]) -> bool {
        let row = &then[number - 1].1;
        let live: Vec<Marks> = then.iter().map(|(_, row)| row.clone()).collect();
        Watch::new(then, &live, None).is_another(row, &marks(now))
    }

    #[test]
    fn a_row_of_which_nothing_that_tells_is_as_it_was_is_another_one() {
        let then = people();
        assert!(is_another(&then, 3, &["zoe", "zoe@x", "Lima", "on"]));
        assert!(is_another(&then, 3, &["zoe", "", "Lima", "on"]));
        // The town is that of many rows.
        assert!(is_another(&then, 3, &["zoe", "zoe@x", "Oslo", "on"]));
    }

    #[test]
    fn a_row_that_was_edited_is_the_same_where_something_that_tells_is_as_it_was() {
        let then = people();
        for now in [
            ["name 87", "zoe@x", "Lima", "off"],
            ["zoe", "87@x", "Lima", "off"],
            ["zoe", "87@x", "Oslo", "on"],
            // Cleared, which is no sign of anybody else.
            ["", "", "", ""],
            ["", "", "", "on"],
        ] {
            assert!(!is_another(&then, 3, &now), "{now:?}");
        }
    }

    #[test]
    fn a_single_column_that_tells_is_no_evidence() {
        let row = |at: i64| marks(&[&format!("name {}", 90 - at), "on"]);
        let then: Vec<(i64, Marks)> = (1..=10).map(|at| (at, row(at))).collect();
        assert!(!is_another(&then, 3, &["zoe", "off"]));
        let live: Vec<Marks> = then.iter().map(|(_, row)| row.clone()).collect();
        assert!(!Watch::new(&then, &live, None).telling.grounds.tell());
    }

    #[test]
    fn a_row_of_which_no_telling_column_is_as_it_was_is_in_doubt_until_several_show_it_to_be_another_one() {
        let row = |at: i64| marks(&[&format!("name {}", 90 - at), "on"]);
        let then: Vec<(i64, Marks)> = (1..=10).map(|at| (at, row(at))).collect();
        let mut now: Vec<Marks> = then.iter().map(|(_, row)| row.clone()).collect();
        (now[2], now[4], now[5]) = (marks(&["zoe", "on"]), marks(&["name 85", "off"]), marks(&["", "off"]));
        let look = |then: &[(i64, Marks)], now: &[Marks]| {
            let mut watch = Watch::new(then, now, None).of(&["name".to_string()]);
            then.iter().zip(now).rev().for_each(|((key, then), now)| watch.see(*key, then, now, false));
            watch.end()
        };
        let doubt = look(&then, &now).doubt;
        assert_eq!((doubt.rows, doubt.keys, doubt.columns.len()), (1, vec!["3".to_string()], 1));
        let then = people();
        let mut now: Vec<Marks> = then.iter().map(|(_, row)| row.clone()).collect();
        now[2] = marks(&["zoe", "zoe@x", "Oslo", "on"]);
        let found = look(&then, &now);
        assert_eq!((found.doubt.rows, found.holds(3)), (0, true));
    }

    #[test]
    fn what_was_empty_and_is_filled_is_no_evidence() {
        let mut then = people();
        then[2].1[1] = None;
        assert!(!is_another(&then, 3, &["name 87", "new@x", "Oslo", "on"]));
        assert!(!is_another(&then, 3, &["zoe", "new@x", "Oslo", "on"]));
        assert!(is_another(&then, 3, &["zoe", "new@x", "Lima", "on"]));
    }

    #[test]
    fn a_label_that_repeats_the_number_tells_by_holding_something_else_only() {
        let row =
            |at: i64| marks(&[&format!("User {at}"), &format!("{}@x", 90 - at), &format!("{}", 70 - at)]);
        let then: Vec<(i64, Marks)> = (1..=10).map(|at| (at, row(at))).collect();
        assert!(is_another(&then, 3, &["User 3", "zoe@x", "1"]));
        assert!(is_another(&then, 3, &["Zoe", "zoe@x", "1"]));
        assert!(!is_another(&then, 3, &["Zoe", "87@x", "1"]));
    }

    #[test]
    fn columns_that_tell_only_together_are_evidence_where_all_of_them_differ() {
        let row = |at: i64| marks(&[&format!("first {}", at / 3), &format!("last {}", at % 3)]);
        let then: Vec<(i64, Marks)> = (0..9).map(|at| (at + 100, row(at))).collect();
        assert!(is_another(&then, 1, &["first 7", "last 7"]));
        assert!(!is_another(&then, 1, &["first 0", "last 7"]));
    }

    #[test]
    fn where_nothing_differs_no_row_counts_as_another_one_whatever_rows_share() {
        let towns = ["Oslo", "Rome", "Bonn", "Lima", "Kiel", "Oslo", "Rome"];
        let rows: Vec<Marks> =
            (1..).zip(towns).map(|(at, town)| marks(&[&format!("user{at}"), town])).collect();
        let then: Vec<(i64, Marks)> = (1..).zip(rows.clone()).collect();
        let look = |now: &[Marks]| {
            let mut watch = Watch::new(&then, now, None);
            then.iter().zip(now).rev().for_each(|((key, then), now)| watch.see(*key, then, now, false));
            watch.end()
        };
        let found = look(&rows);
        assert_eq!(((1..=7).any(|key| found.holds(key)), found.untold), (false, true));
        let mut edited = rows.clone();
        edited[6] = marks(&["user7", "Lima"]);
        assert!(look(&edited).holds(7));
    }

    #[test]
    fn below_a_row_that_stayed_those_that_show_to_be_others_are_told_one_by_one() {
        let row = |at: i64, of: &str| {
            [format!("{of} {}", 90 - at), format!("{of}{}@x", 90 - at)]
                .map(|cell| Some(Mark::text(cell.as_bytes())))
                .to_vec()
        };
        let then: Vec<(i64, Marks)> = (1..=9).map(|at| (at, row(at, "old"))).collect();
        let now: Vec<Marks> =
            (1..=9).map(|at| row(at, if [2, 4, 5, 7].contains(&at) { "new" } else { "old" })).collect();
        let mut all = Watch::new(&then, &now, None);
        let mut some = Watch::new(&then, &now, None);
        for at in (0..9).rev() {
            all.see(then[at].0, &then[at].1, &now[at], false);
            if some.is_looking() || then[at].1 != now[at] {
                some.see(then[at].0, &then[at].1, &now[at], false);
            }
        }
        let (all, some) = (all.end(), some.end());
        assert_eq!((1..=9).filter(|key| all.holds(*key)).collect::<Vec<_>>(), [2, 4, 5, 7]);
        assert_eq!((1..=9).filter(|key| some.holds(*key)).collect::<Vec<_>>(), [2, 4, 5, 7]);
        assert_eq!(some.only_seen().above, None);
    }

    fn cell() -> impl Strategy<Value = Option<Mark>> {
        prop_oneof![1 => Just(None), 4 => (0_u8..200).prop_map(|one| Some(Mark::text(format!("v{one:03}").as_bytes())))]
    }

    fn rows() -> impl Strategy<Value = Vec<Marks>> {
        (1_usize..5)
            .prop_flat_map(|width| prop::collection::vec(prop::collection::vec(cell(), width..=width), 2..30))
    }

    proptest! {
        #[test]
        fn a_row_in_which_one_column_was_edited_and_what_was_empty_was_filled_is_never_another_one(
            rows in rows(), row in 0_usize..30, column in 0_usize..5, new in cell(),
        ) {
            let (row, column) = (row % rows.len(), column % rows[0].len());
            let then: Vec<(i64, Marks)> = (1..).zip(rows.clone()).collect();
            let mut now = rows[row].clone();
            for cell in now.iter_mut().filter(|cell| cell.is_none()) {
                *cell = Some(Mark::text(b"filled"));
            }
            now[column] = new;
            prop_assert!(!Watch::new(&then, &rows, None).is_another(&rows[row], &now));
        }

        #[test]
        fn a_row_that_holds_nothing_of_the_one_before_is_another_one_wherever_several_columns_tell(
            count in 2_usize..30, width in 2_usize..5, row in 0_usize..30,
        ) {
            let cell = |at: usize, column: usize| Some(Mark::text(format!("v{column} {}", 900 - at).as_bytes()));
            let rows: Vec<Marks> = (0..count).map(|at| (0..width).map(|column| cell(at, column)).collect()).collect();
            let then: Vec<(i64, Marks)> = (1..).zip(rows.clone()).collect();
            let now: Marks = (0..width).map(|column| cell(800, column)).collect();
            prop_assert!(Watch::new(&then, &rows, None).is_another(&rows[row % count], &now));
        }
    }
}
