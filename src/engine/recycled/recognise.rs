//! By what a row is recognised as the one of then.

use super::another::Grounds;
use super::{Mark, Marks};
use std::collections::HashSet;
use std::hash::Hash;

/// In so many rows at least it is no accident that no two are alike in columns none of which tells by itself.
const MANY: usize = 8;
/// A text that is shorter (`t`, `0`, `-1`) is easily that of another row as well.
const SHORT: usize = 3;

/// By what a row is recognised.
#[derive(Debug)]
pub(super) struct Telling {
    /// Columns that repeat the key: another row with it may hold the same, but one that holds something else was written to.
    pub(super) repeats: Vec<usize>,
    /// Every column that does not follow from the key.
    all: Vec<usize>,
    /// Columns each of which tells by itself: most rows have a value of their own there, then and now.
    alone: Vec<usize>,
    /// Whether there are so few rows that this may be an accident: then all of these columns have to be the same.
    few: bool,
    /// Those in which rows were alike then, where they tell all together.
    others: Vec<usize>,
    /// Values that several rows have, by their column: they tell nothing.
    pub(super) common: HashSet<(usize, Mark)>,
    /// Rows that are alike altogether, and rows that are alike in the others.
    alike: [HashSet<Marks>; 2],
    /// Whether rows differ at all.
    pub(super) differ: bool,
    /// Whether what is the same is no accident.
    pub(super) sure: bool,
    /// Whether most rows were different from each other.
    pub(super) apart: bool,
    /// By what a row shows to be another one.
    pub(super) grounds: Grounds,
}

impl Telling {
    pub(super) fn of(keyed: &[(i64, Marks)], now: &[Marks]) -> Self {
        let columns = keyed.first().map_or(0, |(_, row)| row.len());
        // What another way back emptied, and nobody has filled again, says of no row whether it is the one of then.
        let is_emptied = |at: &usize| {
            !now.is_empty()
                && now.iter().all(|row| row[*at].is_none())
                && keyed.iter().any(|(_, row)| row[*at].is_some())
        };
        let (repeats, all): (Vec<usize>, Vec<usize>) =
            (0..columns).filter(|at| !is_emptied(at)).partition(|at| follows_key(keyed, *at));
        let then: Vec<Marks> = keyed.iter().map(|(_, row)| row.clone()).collect();
        let then = then.as_slice();
        let most = |rows: &[Marks], at: &[usize]| rows.len() <= 1 || distinct(rows, at) * 2 > rows.len();
        let is_own = |at: &[usize]| most(then, at) && most(now, at);
        let (alone, others): (Vec<usize>, Vec<usize>) =
            all.iter().copied().partition(|at| most(then, &[*at]));
        let many = then.len() >= MANY;
        let few = then.len() > 1 && !many;
        let alone: Vec<usize> = alone.into_iter().filter(|at| few || most(now, &[*at])).collect();
        let cells = |rows: &[Marks]| {
            let cells = rows.iter().flat_map(|row| row.iter().cloned().enumerate());
            twice(cells.filter_map(|(at, mark)| Some((at, mark?))))
        };
        let says = |at: &usize| {
            then.iter().filter(|row| row[*at].as_ref().is_some_and(is_long)).count() * 2 > then.len()
        };
        let alike = |at: &[usize]| {
            let of = |rows: &[Marks]| twice(rows.iter().map(|row| chosen(row, at)));
            of(then).into_iter().chain(of(now)).collect()
        };
        let apart = then.len() > 1 && most(then, &all);
        let (own, shared): (Vec<usize>, Vec<usize>) = all.iter().copied().partition(|at| most(then, &[*at]));
        let shared = shared.into_iter().filter(|at| distinct(then, &[*at]) > 1).collect();
        let grounds = Grounds { own, repeats: repeats.clone(), shared, apart };
        let others = if many && is_own(&others) { others } else { Vec::new() };
        Self {
            grounds,
            apart,
            // Of one row nobody can say what another one would hold.
            sure: then.len() > 1 && (alone.iter().any(says) || (many && is_own(&all))),
            alike: [alike(&all), alike(&others)],
            common: cells(then).into_iter().chain(cells(now)).collect(),
            alone,
            few,
            others,
            differ: !repeats.is_empty() || (!all.is_empty() && (then.len() == 1 || distinct(then, &all) > 1)),
            repeats,
            all,
        }
    }

    /// Tells whether a row shows to be the one of then.
    pub(super) fn recognises(&self, then: &[Option<Mark>], now: &[Option<Mark>]) -> bool {
        let is_same = |at: &usize| then[*at] == now[*at];
        let is_held = |at: &usize| then[*at].is_some();
        let is_own = |at: &usize| {
            let long = then[*at].as_ref().filter(|mark| is_long(mark));
            long.is_some_and(|mark| !self.common.contains(&(*at, mark.clone())))
        };
        let holds_any = match self.alone.is_empty() {
            true => self.all.iter().chain(&self.repeats).any(is_held),
            false => self.alone.iter().any(is_held),
        };
        // What was NULL then may have been filled, where something tells beside it.
        let is_filled = |at: &usize| is_same(at) || (then[*at].is_none() && self.alone.iter().any(is_held));
        let is_untouched = self.repeats.iter().all(is_same)
            && self.all.iter().all(is_filled)
            && holds_any
            && !(self.sure && self.alike[0].contains(&chosen(then, &self.all)));
        is_untouched
            || (self.alone.iter().any(|at| is_same(at) && is_own(at))
                && (!self.few || self.alone.iter().all(is_same)))
            || (self.others.iter().any(is_held)
                && self.others.iter().chain(&self.repeats).all(is_same)
                && !self.alike[1].contains(&chosen(then, &self.others)))
    }
}

/// Tells whether a column repeats the key in every row: another row with that key would hold the same.
fn follows_key(then: &[(i64, Marks)], at: usize) -> bool {
    let held = || then.iter().filter_map(|(key, row)| Some((*key, row[at].as_ref()?)));
    held().count() > 1 && held().all(|(key, mark)| mark.has_number(&key.unsigned_abs().to_string()))
}

/// Tells whether a value is no other row's as easily.
fn is_long(mark: &Mark) -> bool {
    mark.1.len() >= SHORT
}

/// Returns what occurs more than once.
fn twice<T: Clone + Eq + Hash>(all: impl Iterator<Item = T>) -> HashSet<T> {
    let mut seen = HashSet::new();
    all.filter(|one| !seen.insert(one.clone())).collect()
}

/// Counts how many different values rows have in some columns together; a row without any does not count.
fn distinct(rows: &[Marks], columns: &[usize]) -> usize {
    let held = |marks: &Marks| marks.iter().any(Option::is_some);
    rows.iter().map(|row| chosen(row, columns)).filter(held).collect::<HashSet<_>>().len()
}

fn chosen(row: &[Option<Mark>], columns: &[usize]) -> Marks {
    columns.iter().map(|at| row[*at].clone()).collect()
}
