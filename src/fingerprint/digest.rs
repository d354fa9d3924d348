//! From bytes of rows to digests.
//!
//! A digest is the sum, modulo 2^128, of one xxh3-128 hash for each row. A sum and not an exclusive or, because two
//! equal rows would cancel each other; a sum and not a stream, because it can be computed by several threads, in any
//! order, and needs no memory. It proves that nothing changed by accident; it is no defence against somebody who may
//! choose the rows (files are sealed with SHA-256 instead).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128, xxh3_128_with_seed};

/// The sum of row hashes, printed as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(pub u128);

/// The digest of one column while it is being computed.
pub type ColumnDigest = Digest;

impl Digest {
    fn add(&mut self, hash: u128) {
        self.0 = self.0.wrapping_add(hash);
    }
}

/// Computes the digests of one table, or of a part of it: parts are put together with [`TableHasher::merge`].
///
/// A value is handed over as the bytes that the engine's chapter of `docs/format.md` says (a type tag and the value
/// on SQLite, the text of `COPY` on PostgreSQL). Columns are numbered in the order of their names.
#[derive(Clone, Debug)]
pub struct TableHasher {
    rows: u64,
    row: Digest,
    columns: Vec<Digest>,
}

impl TableHasher {
    /// Returns the digests of no rows of a table with so many columns.
    pub fn new(columns: usize) -> Self {
        Self { rows: 0, row: Digest::default(), columns: vec![Digest::default(); columns] }
    }

    /// Adds one row: `row` is all its values in the order of the column names, so joined that no two different rows
    /// give the same bytes; `key` the values of its key, joined the same way, empty when the table has none;
    /// `values` the columns one by one.
    pub fn add_row<'v>(&mut self, row: &[u8], key: &[u8], values: impl Iterator<Item = &'v [u8]>) {
        self.rows += 1;
        self.row.add(xxh3_128(row));
        // The key goes in as the seed: the same value under another key is another hash, and no bytes are copied.
        let seed = if key.is_empty() { 0 } else { xxh3_64(key) };
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.add(xxh3_128_with_seed(value, seed));
        }
    }

    /// Returns the number of rows that were added.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds what another worker computed for other rows of the same table.
    pub fn merge(&mut self, other: &TableHasher) {
        self.rows += other.rows;
        self.row.add(other.row.0);
        for (column, theirs) in self.columns.iter_mut().zip(&other.columns) {
            column.add(theirs.0);
        }
    }

    /// Returns the fingerprint; `names` are the columns in the order in which they were added, `key` its key columns.
    pub fn finish(self, names: &[String], key: &[String]) -> super::TableFingerprint {
        super::TableFingerprint {
            rows: self.rows,
            digest: self.row,
            key: key.to_vec(),
            columns: names.iter().cloned().zip(self.columns).collect(),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Digest).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Row = (u8, u8);

    fn digest(rows: &[Row]) -> super::super::TableFingerprint {
        let mut hasher = TableHasher::new(2);
        for (key, value) in rows {
            hasher.add_row(&[*key, *value], &[*key], [[*key].as_slice(), &[*value]].into_iter());
        }
        hasher.finish(&["id".into(), "value".into()], &["id".into()])
    }

    #[test]
    fn two_equal_rows_do_not_cancel_each_other() {
        assert_ne!(digest(&[(1, 1), (1, 1)]).digest, Digest(0));
        assert_ne!(digest(&[(1, 1), (1, 1)]).digest, digest(&[]).digest);
    }

    #[test]
    fn two_values_that_changed_places_change_the_column_but_not_its_keys() {
        let (before, after) = (digest(&[(1, 7), (2, 8)]), digest(&[(1, 8), (2, 7)]));
        assert_ne!(before.columns["value"], after.columns["value"]);
        assert_eq!(before.columns["id"], after.columns["id"]);
    }

    /// The figure of `docs/format.md`: another program that follows the page must come to it.
    #[test]
    fn the_digest_of_a_known_row_never_changes() {
        let known = digest(&[(1, 2)]);
        assert_eq!(known.digest.to_string(), format!("{:032x}", xxh3_128(&[1, 2])));
        assert_eq!(known.columns["value"].0, xxh3_128_with_seed(&[2], xxh3_64(&[1])));
    }

    proptest! {
        #[test]
        fn neither_the_order_of_rows_nor_the_number_of_workers_matters(
            mut rows in proptest::collection::vec(any::<Row>(), 0..40), cut in 0usize..40,
        ) {
            let whole = digest(&rows);
            rows.reverse();
            prop_assert_eq!(&digest(&rows), &whole);
            let (left, right) = rows.split_at(cut.min(rows.len()));
            let part = |rows: &[Row]| {
                let mut hasher = TableHasher::new(2);
                for (key, value) in rows {
                    hasher.add_row(&[*key, *value], &[*key], [[*key].as_slice(), &[*value]].into_iter());
                }
                hasher
            };
            let mut merged = part(left);
            merged.merge(&part(right));
            prop_assert_eq!(merged.finish(&["id".into(), "value".into()], &["id".into()]), whole);
        }

        #[test]
        fn one_changed_value_changes_its_column_and_the_rows(
            rows in proptest::collection::vec(any::<Row>(), 1..40), at in 0usize..40, other in any::<u8>(),
        ) {
            let mut changed = rows.clone();
            let at = at % rows.len();
            changed[at].1 = other;
            prop_assume!(changed[at].1 != rows[at].1);
            prop_assert_ne!(digest(&rows).digest, digest(&changed).digest);
            prop_assert_ne!(digest(&rows).columns["value"], digest(&changed).columns["value"]);
        }
    }
}
