//! Keys that were given out again: a row that was deleted from the end of a table may have left its number to a new one,
//! which must not get its values.
//!
//! Whoever numbers by the largest number that is there (SQLite, and applications that ask for `max(id) + 1`) gives only the
//! end out again, so that a row which is still the one of then shows that all numbers below it are. The table of then is
//! therefore read from its last row on, until one is recognised in columns that the way there and back kept. A counter
//! that was set back gives out its first numbers again, below rows that stayed: each of these is looked at by itself.
//! Whoever fills gaps gives out any number again, so that below it each row counts as another one that shows to be one ([`another`]).

mod among;
mod another;
mod counting;
mod recognise;

pub use among::Among;
pub use counting::{SHORT_KEY, counting, telling};

use super::Value;
use crate::catalog::TableName;
use crate::ledger::{Doubt, Doubts};
use recognise::Telling;

/// So many rows of the end say which columns tell rows apart.
pub const SAMPLE: usize = 256;

/// A value by its type and its text: `1` is not `'1'`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(u8, Vec<u8>);

/// What a row holds in the columns that were kept; NULL is none.
pub type Marks = Vec<Option<Mark>>;

impl Mark {
    pub fn text(text: &[u8]) -> Self {
        Self(b't', text.to_vec())
    }

    pub fn of(value: Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Null => return None,
            Value::Integer(number) => Self(b'i', number.to_string().into_bytes()),
            Value::Real(number) => Self(b'r', format!("{number:?}").into_bytes()),
            Value::Text(text) => Self::text(text),
            Value::Blob(bytes) => Self(b'b', bytes.to_vec()),
        })
    }

    /// Tells whether a number stands in it, with zeros before it or not.
    fn has_number(&self, number: &str) -> bool {
        let mut runs = self.1.split(|byte| !byte.is_ascii_digit()).filter(|run| !run.is_empty());
        runs.any(|run| {
            run.strip_suffix(number.as_bytes()).is_some_and(|zeros| zeros.iter().all(|byte| *byte == b'0'))
        })
    }
}

/// Which keys may be of other rows now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recycled {
    /// Those above this one, because none of their rows holds what it held.
    pub above: Option<i64>,
    /// But not those, which are rows of then by themselves and say nothing of the ones below them.
    pub known: Among,
    /// These by themselves.
    pub among: Among,
    /// Those up to this one, which a counter that was set back gave out again, where no column tells.
    pub up_to: Option<i64>,
    /// Whether no column tells for sure.
    pub untold: bool,
    /// Whether it is known that the way there and back gave no row the key of another one: what was kept tells most rows
    /// apart, or the key is no number.
    pub apart: bool,
    /// Rows below the one that was recognised which are taken for those of then by their number alone.
    pub doubt: Doubt,
    /// Whether only the last rows were looked at.
    pub unread: bool,
}

impl Recycled {
    /// What is known where no column tells: what a counter gives out again is another row, of anything else nobody knows.
    pub fn unknown(again: Option<i64>) -> Self {
        Self { up_to: again, untold: true, ..Self::default() }
    }

    /// Leaves what shows that rows are others: of numbers that nothing gives out by itself again, no other ones are.
    pub fn only_seen(self) -> Self {
        Self { above: None, known: Among::default(), untold: false, ..self }
    }

    /// Leaves nobody out, where in the whole table nothing that was kept is other than it was: rows at the end that hold what others
    /// hold, or nothing, are no sign of anybody then.
    pub fn untouched(self) -> Self {
        Self { untold: self.untold, apart: self.apart, ..Self::default() }
    }

    /// Tells whether a key may be of another row.
    pub fn holds(&self, key: i64) -> bool {
        (self.above.is_some_and(|last| key > last) && !self.known.contains(key))
            || self.up_to.is_some_and(|last| key <= last)
            || self.among.contains(key)
    }
}

impl Doubts {
    /// Notes what is in doubt of a table.
    pub fn take(&mut self, table: &TableName, found: &Recycled) {
        self.note(table, &found.doubt);
        self.unread.extend(found.unread.then(|| table.clone()));
    }
}

/// Looks at rows, from the one with the largest key on, each as it was then and as it is now.
#[derive(Debug)]
pub struct Watch {
    telling: Telling,
    /// Numbers up to this one were given out again, or are about to be.
    again: Option<i64>,
    last: Option<i64>,
    /// Rows above it that were put back and are known.
    known: Among,
    among: Among,
    /// The number that was looked at before.
    before: Option<i64>,
    /// Whether rows were passed that are not known, and whether one of these holds something else or has no label of its own.
    unknown: bool,
    unlike: bool,
    /// What the columns are called.
    names: Vec<String>,
    doubt: Doubt,
}

impl Watch {
    /// Begins with rows of both ends, those of then with their keys; `again` is how far a counter has come that was further
    /// then.
    pub fn new(then: &[(i64, Marks)], now: &[Marks], again: Option<i64>) -> Self {
        let (known, among) = (Among::default(), Among::default());
        let telling = Telling::of(then, now);
        let (names, doubt) = (Vec::new(), Doubt::default());
        Self {
            telling,
            again,
            last: None,
            known,
            among,
            before: None,
            unknown: false,
            unlike: false,
            names,
            doubt,
        }
    }

    /// Says what the columns are called.
    pub fn of(mut self, names: &[String]) -> Self {
        self.names = names.to_vec();
        self
    }

    /// Lets columns say nothing of whether a row is another one, because something else than users changed them.
    pub fn without(mut self, columns: &[usize]) -> Self {
        self.telling.grounds.leave_out(columns);
        self
    }

    /// Looks for rows that show to be others and for nothing else.
    pub fn only_others(mut self) -> Self {
        (self.last, self.again) = (Some(i64::MAX), None);
        self
    }

    /// Tells whether rows differ at all: where they do not, looking at them says nothing.
    pub fn tells(&self) -> bool {
        self.telling.differ
    }

    /// Tells whether what was kept tells most rows apart.
    pub fn tells_apart(&self) -> bool {
        self.telling.apart
    }

    /// Tells whether a row can show to be another one, or be in doubt; then those have to be looked at that are asked for.
    pub fn asks(&self) -> bool {
        self.telling.grounds.tell() || self.may_doubt()
    }

    /// Returns the columns of which several differ in a row that is another one, and those that all differ in one that is in doubt.
    pub fn asked(&self) -> [Vec<usize>; 2] {
        let grounds = &self.telling.grounds;
        [grounds.all().collect(), if self.may_doubt() { grounds.own.clone() } else { Vec::new() }]
    }

    /// Where nothing tells for sure that is said of the whole table.
    fn may_doubt(&self) -> bool {
        self.telling.sure && !self.telling.grounds.own.is_empty()
    }

    /// Tells whether every row has to be looked at: none was recognised yet, or a counter gives out numbers again.
    pub fn is_looking(&self) -> bool {
        self.last.is_none() || self.again.is_some()
    }

    /// Tells whether a row shows to be another one than that of its key.
    pub fn is_another(&self, then: &[Option<Mark>], now: &[Option<Mark>]) -> bool {
        self.telling.grounds.is_another(&self.telling.common, then, now)
    }

    /// Looks at one row, the next one down that is there then and now. Rows in which hardly anything differs may be left out when
    /// not every row has to be looked at.
    pub fn see(&mut self, key: i64, then: &[Option<Mark>], now: &[Option<Mark>], is_put_back: bool) {
        // Between two numbers in a row there is nothing; what was left out is no part of a range.
        if !self.is_looking() && self.before.is_some_and(|before| before.saturating_sub(1) > key) {
            self.among.pass();
        }
        self.before = Some(key);
        let known = self.telling.recognises(then, now);
        if self.last.is_none() {
            match known && !is_put_back {
                true => self.last = Some(key),
                false => self.known.next_if_room(key, known),
            }
            self.unknown |= !known;
            let is_labelled = self.telling.repeats.iter().any(|at| then[*at].is_some());
            self.unlike |= then != now || !is_labelled;
        }
        let is_given_again = self.again.is_some_and(|again| key <= again);
        let is_another = if is_given_again { !known } else { self.is_another(then, now) };
        self.among.next(key, is_another);
        let is_below = self.last.is_some_and(|last| key <= last) && !known && !is_another;
        if let Some(at) = self.telling.grounds.in_doubt(then, now).filter(|_| is_below && self.may_doubt()) {
            let name = |at: usize| self.names.get(at).map_or("", String::as_str);
            self.doubt.add(|| key.to_string(), name(at));
            let repeats =
                self.telling.repeats.iter().filter(|at| then[**at].is_some() && then[**at] == now[**at]);
            self.doubt.repeats.extend(repeats.map(|at| name(*at).to_string()));
        }
    }

    /// Says what came of it.
    pub fn end(self) -> Recycled {
        let Self { telling, last, known, among, unknown, unlike, doubt, .. } = self;
        // That rows share what they hold is no sign of others where nobody touched anything; nor does it tell for sure.
        let is_untouched = unknown && !unlike;
        let above = (!is_untouched).then(|| last.unwrap_or(i64::MIN));
        let untold = is_untouched || !telling.sure;
        Recycled { above, known, among, up_to: None, untold, apart: telling.apart, doubt, unread: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(row: &[&str]) -> Marks {
        row.iter().map(|text| (!text.is_empty()).then(|| Mark::text(text.as_bytes()))).collect()
    }

    fn table(rows: &[&[&str]]) -> Vec<Marks> {
        rows.iter().map(|row| marks(row)).collect()
    }

    fn keyed(rows: Vec<Marks>) -> Vec<(i64, Marks)> {
        (1..).zip(rows).collect()
    }

    /// Looks at tables whose rows have the keys 1, 2 …; an empty row is not there.
    fn look(then: &[&[&str]], now: &[&[&str]], again: Option<i64>) -> Recycled {
        let there = now.iter().copied().filter(|row| !row.is_empty()).collect::<Vec<_>>();
        let mut watch = Watch::new(&keyed(table(then)), &table(&there), again);
        for (key, (then, now)) in (1..).zip(then.iter().zip(now)).collect::<Vec<_>>().into_iter().rev() {
            if !now.is_empty() && watch.is_looking() {
                watch.see(key, &marks(then), &marks(now), false);
            }
        }
        watch.end()
    }

    fn above(recycled: &Recycled) -> i64 {
        recycled.above.expect("an end")
    }

    #[test]
    fn a_row_that_is_still_the_one_of_then_vouches_for_all_below_it() {
        let then: &[&[&str]] = &[&["anna"], &["bert"], &["carl"]];
        let found = look(then, &[&["ANNA"], &["bert"], &["cleo"]], None);
        assert_eq!((above(&found), found.untold), (2, false));
        assert!(found.holds(3) && !found.holds(2) && !found.holds(1));
        assert_eq!(above(&look(then, &[&["dora"], &["emil"], &["fred"]], None)), i64::MIN);
        assert_eq!(above(&look(then, &[&["dora"], &["bert"], &[]], None)), 2);
    }

    #[test]
    fn what_several_rows_have_and_what_is_not_there_vouches_for_nothing() {
        let then: &[&[&str]] = &[&["anna"], &["bert"], &["cleo"], &["none"], &["none"]];
        assert_eq!(above(&look(then, &[&["anna"], &["b"], &["c"], &["d"], &["none"]], None)), 1);
        let then: &[&[&str]] = &[&["anna", "x"], &["bert", "x"], &["cleo", "x"], &["", "y"]];
        assert_eq!(above(&look(then, &[&["anna", "x"], &["bea", "x"], &["cora", "x"], &["", "y"]], None)), 1);
    }

    #[test]
    fn a_column_that_repeats_the_key_vouches_for_nothing() {
        let then: &[&[&str]] = &[&["No. 001", "anna"], &["No. 002", "bert"], &["No. 003", "cleo"]];
        assert_eq!(
            above(&look(then, &[&["No. 001", "anna"], &["No. 002", "dora"], &["No. 003", "emil"]], None)),
            1
        );
        // A day is no number, though its digits are in it.
        let then: &[&[&str]] = &[&["2026-11-12", "red"], &["2026-11-21", "red"]];
        assert_eq!(above(&look(then, &[&["2026-11-12", "blue"], &["2026-11-21", "blue"]], None)), 2);
    }

    #[test]
    fn a_column_that_repeats_the_key_and_holds_something_else_tells_another_row() {
        let then: &[&[&str]] = &[&["User 1", "on"], &["User 2", "on"], &["User 3", "on"]];
        let now: &[&[&str]] = &[&["User 1", "on"], &["User 2", "on"], &["zoe", "on"]];
        let found = look(then, now, None);
        assert_eq!((above(&found), found.untold), (2, true));
        // So it does where it is the only one, and where it is still the same nothing says more.
        let then: &[&[&str]] = &[&["User 1"], &["User 2"], &["User 3"]];
        assert_eq!(above(&look(then, &[&["User 1"], &["User 2"], &["zoe"]], None)), 2);
        assert_eq!(above(&look(then, then, None)), 3);
        let then: &[&[&str]] = &[&["1", ""], &["2", ""]];
        assert_eq!(above(&look(then, then, None)), 2);
    }

    #[test]
    fn a_row_in_which_only_what_was_not_there_was_filled_is_known() {
        let then: &[&[&str]] = &[&["Ann", "jan", ""], &["Bo", "feb", ""], &["Cy", "mar", ""]];
        let now: &[&[&str]] = &[&["Ann", "jan", "a@x"], &["Bo", "feb", "b@x"], &["Cy", "mar", "c@x"]];
        assert_eq!(above(&look(then, now, None)), 3);
        let then: &[&[&str]] = &[&["red", ""], &["red", ""], &["red", ""], &["blue", ""], &["blue", ""]];
        let now: &[&[&str]] = &[&["red", "a"], &["red", "b"], &["red", "c"], &["blue", "d"], &["blue", "e"]];
        assert_eq!(above(&look(then, now, None)), i64::MIN);
    }

    #[test]
    fn a_row_that_nobody_touched_is_known_however_short_its_values_are() {
        let then: &[&[&str]] = &[&["a", "7"], &["b", "8"], &["c", "9"]];
        let found = look(then, then, None);
        assert_eq!((above(&found), found.untold), (3, true));
        assert_eq!(above(&look(then, &[&["a", "7"], &["b", "8"], &["c", "4"]], None)), 2);
    }

    #[test]
    fn columns_that_tell_only_together_vouch_where_the_one_that_tells_alone_was_edited() {
        let text: Vec<[String; 3]> = (0..9)
            .map(|at| [format!("name {at}"), format!("town {}", at / 3), format!("kind {}", at % 3)])
            .collect();
        let rows: Vec<Vec<&str>> = text.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
        let then: Vec<&[&str]> = rows.iter().map(Vec::as_slice).collect();
        let edited: Vec<Vec<&str>> = rows.iter().map(|row| vec!["new", row[1], row[2]]).collect();
        let now: Vec<&[&str]> = edited.iter().map(Vec::as_slice).collect();
        assert_eq!(above(&look(&then, &now, None)), 9);
        // In a few rows it would be an accident.
        assert_eq!(above(&look(&then[..4], &now[..4], None)), i64::MIN);
    }

    #[test]
    fn where_rows_hardly_differ_it_is_said_that_nothing_is_sure() {
        let then: &[&[&str]] = &[&["red"], &["red"], &["red"], &["blue"], &["blue"]];
        let found = look(then, then, None);
        assert_eq!((above(&found), found.untold), (5, true));
        assert!(!Watch::new(&keyed(table(&[&["red"], &["red"]])), &[], None).tells());
        assert!(!Watch::new(&keyed(table(&[&[], &[]])), &[], None).tells());
        let one = look(&[&["anna"]], &[&["anna"]], None);
        assert_eq!((above(&one), one.untold), (1, true));
    }

    #[test]
    fn of_numbers_that_a_counter_gives_again_each_row_is_looked_at() {
        let then: &[&[&str]] = &[&["anna"], &["bert"], &["cleo"], &["dora"], &["emil"]];
        let now: &[&[&str]] = &[&["nora"], &["bert"], &[], &["DORA"], &["emil"]];
        let found = look(then, now, Some(3));
        assert_eq!((above(&found), found.among.ranges().collect::<Vec<_>>()), (5, vec![(1, 1)]));
        assert!(found.holds(1) && !found.holds(2) && !found.holds(4));
    }

    #[test]
    fn a_row_that_was_put_back_is_known_itself_and_vouches_for_none_below_it() {
        let then = keyed(table(&[&["anna"], &["bert"], &["cleo"], &["dora"], &["emil"]]));
        let now = table(&[&["anna"], &["nora"], &["zoe"], &["dora"], &["emil"]]);
        let mut watch = Watch::new(&then, &now, None);
        for (at, (key, row)) in then.iter().enumerate().rev() {
            watch.see(*key, row, &now[at], *key > 2);
        }
        let found = watch.end();
        assert_eq!((1..=5).filter(|key| found.holds(*key)).collect::<Vec<_>>(), [2, 3]);
    }

    proptest::proptest! {
        #[test]
        fn no_row_of_another_name_is_taken_for_the_one_of_then_above_the_last_that_stayed(
            stayed in 1_usize..20, replaced in 1_usize..20,
        ) {
            let name = |at: usize, of: &str| vec![Some(Mark::text(format!("{of} {}", 1000 - at).as_bytes())), Some(Mark::text(b"same"))];
            let then: Vec<Marks> = (0..stayed + replaced).map(|at| name(at, "old")).collect();
            let now: Vec<Marks> =
                (0..stayed + replaced).map(|at| name(at, if at < stayed { "old" } else { "new" })).collect();
            let mut watch = Watch::new(&keyed(then.clone()), &now, None);
            for at in (0..then.len()).rev() {
                watch.see(i64::try_from(at).expect("small"), &then[at], &now[at], false);
            }
            let found = watch.end();
            for at in 0..then.len() {
                proptest::prop_assert_eq!(found.holds(i64::try_from(at).expect("small")), at >= stayed);
            }
        }
    }
}
