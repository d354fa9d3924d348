//! What an engine is asked about a table without a key, whose rows are compared whole, one question after another. Pure.
//!
//! An engine asks [`WholeRows`] for the next question, counts, and hands the answer over, until there is none; so both engines
//! follow one rule, each in its own way of asking.

use super::{Question, RowChanges};

/// So many columns are tried one by one at most: each is one more reading of the whole table.
const TRIED: usize = 64;

/// A column, by its names before and after.
type Pair = (String, String);

/// What is to be counted next, for an answer of two numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// By these columns together: how many rows there were more before, and how many there are more now.
    More(Vec<Pair>),
    /// How many rows before are not alike in the first columns, and how many in the second.
    Distinct(Vec<Pair>, Vec<Pair>),
    /// Of rows that are there more often on one side, compared by these columns together: how many values of the one at this
    /// place are in some that are gone, and in some that are new as well. The second number says nothing.
    Shared(Vec<Pair>, usize),
    /// How many groups of rows that were alike in these columns before have more rows now. The second number says nothing.
    Grown(Vec<Pair>),
}

/// Compares the rows of one table whole.
#[derive(Debug)]
pub struct WholeRows<'q> {
    question: &'q Question,
    stage: Stage,
    changes: RowChanges,
}

#[derive(Debug)]
enum Stage {
    /// Whether anything differs.
    Whole,
    /// Whether columns that are alike hold the same in the same rows.
    Alike,
    /// By which columns rows can be told apart although some are others now.
    Told(Telling),
    /// Whether such columns told all rows apart before: those of which that is known, and those that are asked about.
    Tells(Vec<bool>, Vec<Vec<usize>>),
    /// Whether rows that came are alike in these columns with some of before.
    Grown(Vec<usize>),
    /// In which columns a row that is new may be one that is gone, from this one on.
    Doubt(usize),
    Over,
}

impl<'q> WholeRows<'q> {
    pub fn new(question: &'q Question) -> Self {
        Self { question, stage: Stage::Whole, changes: RowChanges::default() }
    }

    /// Returns what to ask next; none when everything is known.
    pub fn next(&self) -> Option<Ask> {
        let all = &self.question.columns;
        match &self.stage {
            Stage::Whole => Some(Ask::More(all.clone())),
            Stage::Alike => Some(Ask::More(self.question.alike.clone())),
            Stage::Told(telling) => telling.next().map(|places| Ask::More(self.columns(&places))),
            Stage::Tells(known, each) => {
                each.get(known.len()).map(|places| Ask::Distinct(self.columns(places), all.clone()))
            }
            Stage::Grown(places) => Some(Ask::Grown(self.columns(places))),
            Stage::Doubt(place) => Some(Ask::Shared(all.clone(), *place)),
            Stage::Over => None,
        }
    }

    /// Takes the answer to what was asked.
    pub fn take(&mut self, (one, other): (u64, u64)) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Whole => {
                self.changes = RowChanges::of_whole_rows(one, other);
                match self.alike_is_settled((one, other) == (0, 0)) {
                    Some(is_same) => self.alike(is_same),
                    None => Stage::Alike,
                }
            }
            Stage::Alike => self.alike((one, other) == (0, 0)),
            Stage::Told(mut telling) => {
                telling.take(one.min(other));
                match (telling.next(), telling.found) {
                    (Some(_), found) => Stage::Told(Telling { found, ..telling }),
                    (None, found) if found.is_empty() => self.doubt(0),
                    (None, found) => Stage::Tells(Vec::new(), found),
                }
            }
            Stage::Tells(mut known, each) => {
                known.push(one == other);
                if known.len() < each.len() { Stage::Tells(known, each) } else { self.told_by(&known, &each) }
            }
            Stage::Grown(_) => {
                self.changes.tells = one == 0;
                Stage::Over
            }
            Stage::Doubt(place) => {
                if one > 0 {
                    self.may_be_in(place..place + 1);
                }
                self.doubt(place + 1)
            }
            Stage::Over => Stage::Over,
        };
    }

    /// Returns what all the answers say.
    pub fn into_changes(self) -> RowChanges {
        self.changes
    }

    /// Returns whether the columns that are alike hold the same in the same rows, where that is clear once it is known
    /// whether all columns together do.
    fn alike_is_settled(&self, all_same: bool) -> Option<bool> {
        let Question { columns, alike, .. } = self.question;
        if alike.is_empty() {
            return Some(false);
        }
        let among = alike.iter().all(|pair| columns.contains(pair));
        let settled = among && (all_same || columns.len() == alike.len());
        settled.then_some(all_same)
    }

    fn alike(&mut self, in_same_rows: bool) -> Stage {
        if in_same_rows {
            self.changes.columns = self.question.alike.iter().map(|pair| (pair.clone(), 0)).collect();
        }
        match self.changes.changed {
            0 => Stage::Over,
            _ if self.question.columns.len() > TRIED => self.doubt(0),
            _ => Stage::Told(Telling::new(self.question.columns.len())),
        }
    }

    /// Of several sets of columns by which rows could be told apart only one that did so before is no chance.
    fn told_by(&mut self, known: &[bool], each: &[Vec<usize>]) -> Stage {
        let mut telling = each.iter().zip(known).filter(|(_, tells)| **tells || each.len() == 1);
        let (Some((places, tells)), None) = (telling.next(), telling.next()) else { return self.doubt(0) };
        self.changes.told_by = self.columns(places).into_iter().map(|(name, _)| name).collect();
        self.changes.tells = *tells;
        match *tells && self.changes.inserted > 0 {
            true => Stage::Grown(places.clone()),
            false => Stage::Over,
        }
    }

    /// Where nothing tells which of the new rows are such that are gone, a row can be any that has something of it. Beside a key
    /// nobody asks.
    fn doubt(&mut self, place: usize) -> Stage {
        let columns = self.question.columns.len();
        if columns > TRIED && !self.question.is_beside_key {
            self.may_be_in(0..columns);
        }
        match self.question.is_beside_key || columns > TRIED || place >= columns {
            true => Stage::Over,
            false => Stage::Doubt(place),
        }
    }

    fn may_be_in(&mut self, places: std::ops::Range<usize>) {
        let columns = self.question.columns[places].iter();
        self.changes.may_be_in.extend(columns.map(|(name, _)| name.clone()));
    }

    fn columns(&self, places: &[usize]) -> Vec<Pair> {
        places.iter().map(|place| self.question.columns[*place].clone()).collect()
    }
}

/// Finds the columns by which rows can be told apart, although some of them are others now: those in which there is no value
/// more than before, or, where rows came as well, none fewer; together, or all of these but one.
#[derive(Debug)]
struct Telling {
    columns: usize,
    kept: Vec<usize>,
    asked: usize,
    /// Those that were found: all together, or each that is all but one.
    found: Vec<Vec<usize>>,
}

impl Telling {
    fn new(columns: usize) -> Self {
        Self { columns, kept: Vec::new(), asked: 0, found: Vec::new() }
    }

    /// Returns the places of the columns to ask about next; none when nothing is left to ask.
    fn next(&self) -> Option<Vec<usize>> {
        match self.asked.checked_sub(self.columns) {
            None => Some(vec![self.asked]),
            Some(_) if self.kept.is_empty() => None,
            Some(0) => Some(self.kept.clone()),
            Some(_) if self.found.contains(&self.kept) => None,
            Some(left_out) if self.kept.len() > 1 && left_out <= self.kept.len() => {
                let rest = self.kept.iter().enumerate().filter(|(at, _)| at + 1 != left_out);
                Some(rest.map(|(_, place)| *place).collect())
            }
            Some(_) => None,
        }
    }

    /// Takes how many rows there are that none of the other side can be, where there are some on both.
    fn take(&mut self, left: u64) {
        let asked = self.next().unwrap_or_default();
        if left == 0 && self.asked < self.columns {
            self.kept.push(self.asked);
        } else if left == 0 {
            self.found.push(asked);
        }
        self.asked += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::TableName;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// A row of three columns: `c0`, `c1`, `c2`.
    type Row = [u8; 3];

    fn pair(before: usize, now: usize) -> Pair {
        (format!("c{before}"), format!("c{now}"))
    }

    fn question(columns: &[(usize, usize)], alike: &[(usize, usize)]) -> Question {
        let pairs =
            |places: &[(usize, usize)]| places.iter().map(|(one, other)| pair(*one, *other)).collect();
        let table = TableName::plain("t");
        Question {
            before: table.clone(),
            after: Some(table),
            key: Vec::new(),
            is_open: false,
            is_nullable: false,
            is_remade: false,
            may_be_luck: false,
            is_beside_key: false,
            columns: pairs(columns),
            alike: pairs(alike),
            held: Vec::new(),
            uniform: Vec::new(),
            tree: None,
        }
    }

    fn project(rows: &[Row], names: &[&String]) -> Vec<Vec<u8>> {
        let place = |name: &String| usize::from(name.as_bytes()[1] - b'0');
        rows.iter().map(|row| names.iter().map(|name| row[place(name)]).collect()).collect()
    }

    /// Counts rows that are there more often on one side, as an engine does.
    fn more((before, now): (&[Row], &[Row]), columns: &[Pair]) -> (u64, u64) {
        let (olds, news): (Vec<&String>, Vec<&String>) =
            columns.iter().map(|(one, other)| (one, other)).unzip();
        let mut counts: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        project(before, &olds).into_iter().for_each(|row| *counts.entry(row).or_default() -= 1);
        project(now, &news).into_iter().for_each(|row| *counts.entry(row).or_default() += 1);
        let sum = |sign: i64| counts.values().map(|n| (n * sign).max(0)).sum::<i64>().unsigned_abs();
        (sum(-1), sum(1))
    }

    /// Counts the values of a column that rows of both sides have which the other side has not, or not as often.
    fn shared((before, now): (&[Row], &[Row]), columns: &[Pair], place: usize) -> u64 {
        let apart = |one: &[Row], other: &[Row]| -> BTreeSet<u8> {
            let names: Vec<&String> = columns.iter().map(|(name, _)| name).collect();
            let mut left = project(other, &names);
            let rows = project(one, &names).into_iter().filter(|row| {
                let twin = left.iter().position(|found| found == row);
                twin.map(|twin| left.swap_remove(twin)).is_none()
            });
            rows.map(|row| row[place]).collect()
        };
        apart(before, now).intersection(&apart(now, before)).count() as u64
    }

    fn grown((before, now): (&[Row], &[Row]), columns: &[Pair]) -> u64 {
        let names: Vec<&String> = columns.iter().map(|(name, _)| name).collect();
        let (before, now) = (project(before, &names), project(now, &names));
        let count = |rows: &[Vec<u8>], row: &Vec<u8>| rows.iter().filter(|other| *other == row).count();
        let groups: BTreeSet<&Vec<u8>> = before.iter().collect();
        groups.into_iter().filter(|row| count(&now, row) > count(&before, row)).count() as u64
    }

    fn distinct(rows: &[Row], columns: &[Pair]) -> u64 {
        let names: Vec<&String> = columns.iter().map(|(name, _)| name).collect();
        project(rows, &names).into_iter().collect::<BTreeSet<_>>().len() as u64
    }

    /// Runs the rule to its end; returns how many questions it took as well.
    fn compared(question: &Question, before: &[Row], now: &[Row]) -> (RowChanges, usize) {
        let (mut rule, mut asked) = (WholeRows::new(question), 0);
        while let Some(ask) = rule.next() {
            asked += 1;
            rule.take(match &ask {
                Ask::More(columns) => more((before, now), columns),
                Ask::Distinct(some, all) => (distinct(before, some), distinct(before, all)),
                Ask::Grown(columns) => (grown((before, now), columns), 0),
                Ask::Shared(columns, place) => (shared((before, now), columns, *place), 0),
            });
        }
        (rule.into_changes(), asked)
    }

    /// The columns that tell rows apart, by trying out what the rule is meant to find.
    fn told_by(question: &Question, before: &[Row], now: &[Row]) -> Vec<Pair> {
        let all_are_alike = |columns: &[Pair]| {
            let (gone, new) = more((before, now), columns);
            gone == 0 || new == 0
        };
        let tells = |columns: &[Pair]| distinct(before, columns) == distinct(before, &question.columns);
        let each = question.columns.iter().cloned();
        let kept: Vec<Pair> = each.filter(|pair| all_are_alike(std::slice::from_ref(pair))).collect();
        if kept.is_empty() || all_are_alike(&kept) {
            return kept;
        }
        let but = |out: usize| {
            kept.iter().enumerate().filter(move |(at, _)| *at != out).map(|(_, pair)| pair.clone())
        };
        let tried = (0..kept.len()).map(|out| but(out).collect::<Vec<Pair>>());
        let found: Vec<Vec<Pair>> =
            tried.filter(|columns| !columns.is_empty() && all_are_alike(columns)).collect();
        match found.as_slice() {
            [only] => only.clone(),
            _ => {
                let mut telling = found.iter().filter(|columns| tells(columns));
                telling.next().filter(|_| telling.next().is_none()).cloned().unwrap_or_default()
            }
        }
    }

    #[test]
    fn equal_rows_are_settled_by_one_question() {
        let rows = [[1, 2, 3], [1, 2, 3]];
        let asked = question(&[(0, 0), (1, 1)], &[(0, 0), (1, 1)]);
        let (found, count) = compared(&asked, &rows, &rows);
        assert_eq!((count, found.changed, found.columns.len()), (1, 0, 2));
    }

    #[test]
    fn columns_that_tell_rows_apart_are_those_without_new_values_or_all_of_these_but_one() {
        let told = |more: &dyn Fn(&[Pair]) -> u64| {
            let asked = question(&[(0, 0), (1, 1), (2, 2)], &[]);
            let mut rule = WholeRows::new(&asked);
            while let Some(ask) = rule.next() {
                rule.take(match &ask {
                    Ask::More(columns) if rule.changes.changed > 0 => (more(columns) + 1, more(columns)),
                    Ask::Grown(_) => (0, 0),
                    _ => (1, 1),
                });
            }
            rule.into_changes().told_by.join(" ")
        };
        let has = |columns: &[Pair], place| columns.contains(&pair(place, place));
        assert_eq!(told(&|columns| u64::from(has(columns, 2))), "c0 c1");
        assert_eq!(told(&|columns| u64::from(has(columns, 0) && columns.len() > 1)), "c1 c2");
        assert_eq!(told(&|columns| u64::from(has(columns, 2) && columns.len() > 1)), "c0 c1");
        assert_eq!(told(&|columns| u64::from(columns.len() > 2)), "", "two of three, and nothing says which");
        assert_eq!(told(&|columns| u64::from(columns.len() > 1)), "");
        assert_eq!(told(&|_| 1), "");
    }

    #[test]
    fn of_a_very_wide_table_no_columns_are_tried_one_by_one() {
        let columns: Vec<(usize, usize)> = (0..TRIED + 1).map(|place| (place % 3, place % 3)).collect();
        let (found, count) = compared(&question(&columns, &[]), &[[1, 2, 3]], &[[1, 2, 4]]);
        assert_eq!((count, found.changed, found.told_by.len()), (1, 1, 0));
        assert_eq!(found.may_be_in.len(), TRIED + 1);
    }

    #[test]
    fn rows_that_came_do_not_hide_which_columns_the_others_kept() {
        let asked = question(&[(0, 0), (1, 1), (2, 2)], &[]);
        let (found, _) =
            compared(&asked, &[[1, 7, 0], [2, 8, 0]], &[[1, 7, 5], [2, 8, 5], [3, 9, 5], [3, 7, 5]]);
        assert_eq!((found.told_by.join(" "), found.may_be_in.len()), ("c0 c1".to_string(), 0));
    }

    #[test]
    fn where_rows_went_and_came_and_others_changed_it_is_known_in_what_they_may_be_each_other() {
        let asked = question(&[(0, 0), (1, 1), (2, 2)], &[]);
        let before = [[1, 7, 0], [2, 8, 0], [3, 8, 0], [4, 6, 1]];
        let (found, _) = compared(&asked, &before, &[[1, 7, 5], [2, 8, 6], [5, 9, 2]]);
        assert_eq!((found.told_by.len(), found.may_be_in.join(" ")), (0, "c0 c1".to_string()));
        let (found, _) = compared(&asked, &before[..2], &[[1, 7, 0], [5, 9, 2], [6, 9, 2]]);
        assert_eq!((found.told_by.len(), found.may_be_in.len()), (0, 0), "they have nothing in common");
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        proptest::collection::vec(proptest::array::uniform3(0..3u8), 0..6)
    }

    /// Some of the columns that are on both sides, and pairs of which each column is in one at most.
    fn asked() -> impl Strategy<Value = Question> {
        let some = proptest::sample::subsequence(vec![0usize, 1, 2], 1..=3);
        let shuffled = Just(vec![0usize, 1, 2]).prop_shuffle();
        (some.clone(), some, shuffled, any::<bool>()).prop_map(|(columns, alike, order, moved)| {
            let columns: Vec<(usize, usize)> = columns.into_iter().map(|place| (place, place)).collect();
            let now = |place: usize| if moved { order[place] } else { place };
            let alike: Vec<(usize, usize)> =
                alike.into_iter().skip(usize::from(order[0] == 0)).map(|place| (place, now(place))).collect();
            question(&columns, &alike)
        })
    }

    proptest! {
        #[test]
        fn the_rule_finds_what_trying_everything_out_finds(
            question in asked(), before in rows(), now in rows(), keeps in proptest::collection::vec(any::<bool>(), 6),
        ) {
            // Half of the time most rows are what they were.
            let kept = before.iter().zip(&keeps).filter(|(_, keep)| **keep).map(|(row, _)| *row);
            let now: Vec<Row> = if keeps[0] { kept.chain(now.into_iter().take(2)).collect() } else { now };
            let (found, count) = compared(&question, &before, &now);
            let (gone, new) = more((&before, &now), &question.columns);
            prop_assert_eq!(found.deleted + found.changed, gone);
            prop_assert_eq!(found.inserted + found.changed, new);
            prop_assert!(found.deleted == 0 || found.inserted == 0);
            let same = !question.alike.is_empty() && more((&before, &now), &question.alike) == (0, 0);
            let alike = question.alike.iter().filter(|_| same).map(|pair| (pair.clone(), 0)).collect();
            prop_assert_eq!(&found.columns, &alike);
            let told = if found.changed == 0 { Vec::new() } else { told_by(&question, &before, &now) };
            let names: Vec<&String> = told.iter().map(|(name, _)| name).collect();
            prop_assert_eq!(found.told_by.iter().collect::<Vec<_>>(), names);
            let tells = !told.is_empty() && distinct(&before, &told) == distinct(&before, &question.columns);
            let is_crowded = found.inserted > 0 && grown((&before, &now), &told) > 0;
            prop_assert_eq!(found.tells, tells && !is_crowded);
            let is_shared = |place: &usize| shared((&before, &now), &question.columns, *place) > 0;
            let is_open = found.changed > 0 && told.is_empty();
            let places = (0..question.columns.len()).filter(|place| is_open && is_shared(place));
            let may_be: Vec<&String> = places.map(|place| &question.columns[place].0).collect();
            prop_assert_eq!(found.may_be_in.iter().collect::<Vec<_>>(), may_be);
            prop_assert!(count <= 4 * question.columns.len() + 4, "{} questions", count);
        }
    }
}
