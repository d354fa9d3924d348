//! Sets of numbers that take little room, however many are in them.

/// So many ranges of numbers are kept apart, which is a few MiB.
const RANGES: usize = 1 << 18;

/// Numbers, by the ranges in which they lie: a table of any size has only so many. What lies between two numbers in a row that
/// are in it, no row has both then and now; where there are too many ranges, rows that are known lie in the last one as well, which
/// is then left alone, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Among {
    /// From the largest down: the first and the last of each.
    ranges: Vec<(i64, i64)>,
    /// Whether the number that was passed last is in it.
    is_open: bool,
}

impl Among {
    /// Takes the next number, which is smaller than all before it, or passes it.
    pub(super) fn next(&mut self, number: i64, is_in: bool) {
        let is_full = self.ranges.len() >= RANGES;
        match self.ranges.last_mut().filter(|_| self.is_open || is_full) {
            Some(range) if is_in => range.0 = number,
            None if is_in => self.ranges.push((number, number)),
            _ => {}
        }
        self.is_open = is_in;
    }

    /// Passes numbers of which nothing has to be said: what follows is a range of its own.
    pub(super) fn pass(&mut self) {
        self.is_open = false;
    }

    /// Takes the next number where there is room for it: none but those that were taken are in it.
    pub(super) fn next_if_room(&mut self, number: i64, is_in: bool) {
        match is_in && !self.is_open && self.ranges.len() >= RANGES {
            true => {}
            false => self.next(number, is_in),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the first and the last of each range.
    pub fn ranges(&self) -> impl Iterator<Item = (i64, i64)> {
        self.ranges.iter().copied()
    }

    pub fn contains(&self, number: i64) -> bool {
        let at = self.ranges.partition_point(|(first, _)| *first > number);
        self.ranges.get(at).is_some_and(|(_, last)| number <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_numbers_a_counter_gives_again_little_is_kept_of_them() {
        let mut among = Among::default();
        (1..=1_000_000).rev().for_each(|number| among.next(number, true));
        assert_eq!(among.ranges().collect::<Vec<_>>(), [(1, 1_000_000)]);
        let mut among = Among::default();
        (1..=1_000_000).rev().for_each(|number| among.next(number, number % 2 == 0));
        assert_eq!(among.ranges().count(), RANGES);
        assert!((1..=1_000_000).all(|number| number % 2 == 1 || among.contains(number)));
        // The first ones are told apart, whatever comes behind them.
        assert!(!among.contains(999_999) && !among.contains(1_000_001) && !among.contains(1));
    }
}
