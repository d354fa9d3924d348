//! What is the same and what differs between two fingerprints.

use super::{Fingerprint, TableFingerprint};
use crate::catalog::TableName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The comparison of two fingerprints, table by table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    pub tables: BTreeMap<TableName, TableComparison>,
    /// Sequences that went back: name, before, after. A sequence that went forward is no difference.
    pub sequences_behind: Vec<(String, i64, i64)>,
}

/// What became of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableComparison {
    pub verdict: TableVerdict,
    pub rows_before: Option<u64>,
    pub rows_after: Option<u64>,
    /// Every column of either side.
    pub columns: BTreeMap<String, ColumnVerdict>,
}

/// What became of a table as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableVerdict {
    Same,
    Changed,
    Added,
    Removed,
}

/// What became of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnVerdict {
    /// The same values under the same keys.
    Kept,
    Changed,
    Added,
    Removed,
    /// The key is another one, so the digests of before and after speak of different things.
    Incomparable,
}

impl Comparison {
    /// Tells whether nothing differs.
    pub fn is_same(&self) -> bool {
        self.sequences_behind.is_empty() && self.differing().next().is_none()
    }

    /// Returns the tables that differ, in the order of their names.
    pub fn differing(&self) -> impl Iterator<Item = (&TableName, &TableComparison)> {
        self.tables.iter().filter(|(_, table)| table.verdict != TableVerdict::Same)
    }
}

/// Compares two fingerprints of the same algorithm. Fingerprints of different algorithms have no table in common
/// that is the same: everything differs, which is the safe answer.
pub fn compare(before: &Fingerprint, after: &Fingerprint) -> Comparison {
    let comparable = before.algorithm == after.algorithm;
    let names: BTreeSet<&TableName> = before.tables.keys().chain(after.tables.keys()).collect();
    let tables = names
        .into_iter()
        .map(|name| (name.clone(), table(before.tables.get(name), after.tables.get(name), comparable)))
        .collect();
    let sequences_behind = before
        .sequences
        .iter()
        .filter_map(|(name, old)| {
            let new = after.sequences.get(name)?;
            (new < old).then(|| (name.clone(), *old, *new))
        })
        .collect();
    Comparison { tables, sequences_behind }
}

fn table(
    before: Option<&TableFingerprint>,
    after: Option<&TableFingerprint>,
    comparable: bool,
) -> TableComparison {
    let verdict = match (before, after) {
        (Some(old), Some(new)) if comparable && old == new => TableVerdict::Same,
        (Some(_), Some(_)) => TableVerdict::Changed,
        (None, _) => TableVerdict::Added,
        (_, None) => TableVerdict::Removed,
    };
    let columns_of = |side: Option<&TableFingerprint>| -> BTreeSet<String> {
        side.map(|table| table.columns.keys().cloned().collect()).unwrap_or_default()
    };
    let same_key = comparable && before.map(|table| &table.key) == after.map(|table| &table.key);
    let columns = columns_of(before)
        .union(&columns_of(after))
        .map(|name| {
            let old = before.and_then(|table| table.columns.get(name));
            let new = after.and_then(|table| table.columns.get(name));
            let verdict = match (old, new) {
                (Some(_), Some(_)) if !same_key => ColumnVerdict::Incomparable,
                (Some(old), Some(new)) if old == new => ColumnVerdict::Kept,
                (Some(_), Some(_)) => ColumnVerdict::Changed,
                (None, _) => ColumnVerdict::Added,
                (_, None) => ColumnVerdict::Removed,
            };
            (name.clone(), verdict)
        })
        .collect();
    TableComparison {
        verdict,
        rows_before: before.map(|table| table.rows),
        rows_after: after.map(|table| table.rows),
        columns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::{Digest, Fingerprint};

    fn fingerprint(rows: u64, columns: &[(&str, u128)]) -> Fingerprint {
        let mut whole = Fingerprint::new();
        let columns: BTreeMap<_, _> =
            columns.iter().map(|(name, digest)| (name.to_string(), Digest(*digest))).collect();
        let digest = Digest(columns.values().map(|digest| digest.0).sum());
        whole.tables.insert(
            TableName::plain("users"),
            TableFingerprint { rows, digest, key: vec!["id".into()], columns },
        );
        whole
    }

    #[test]
    fn a_dropped_column_is_removed_and_the_others_are_kept() {
        let found = compare(&fingerprint(2, &[("id", 1), ("phone", 2)]), &fingerprint(2, &[("id", 1)]));
        let table = &found.tables[&TableName::plain("users")];
        assert_eq!(table.verdict, TableVerdict::Changed);
        assert_eq!(table.columns["id"], ColumnVerdict::Kept);
        assert_eq!(table.columns["phone"], ColumnVerdict::Removed);
        assert!(!found.is_same());
    }

    #[test]
    fn a_sequence_that_went_forward_is_no_difference_and_one_that_went_back_is() {
        let mut before = fingerprint(1, &[("id", 1)]);
        let mut after = before.clone();
        before.sequences.insert("s".into(), 5);
        after.sequences.insert("s".into(), 7);
        assert!(compare(&before, &after).is_same());
        assert!(!compare(&after, &before).is_same());
    }

    #[test]
    fn another_algorithm_never_compares_as_the_same() {
        let before = fingerprint(1, &[("id", 1)]);
        let after = Fingerprint { algorithm: "other/9".into(), ..before.clone() };
        assert!(!compare(&before, &after).is_same());
    }
}
