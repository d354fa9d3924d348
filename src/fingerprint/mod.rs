//! What the data of a database looks like: row counts and digests that do not depend on the order of rows.
//!
//! The digest is specified in `docs/format.md`, section "Fingerprint", so that another program can compute it.
//! Engines read rows; how bytes become digests ([`TableHasher`]) and how two fingerprints compare ([`compare`])
//! is decided here, once.

mod compare;
mod digest;
mod inventory;

pub use compare::{ColumnVerdict, Comparison, TableComparison, TableVerdict, compare};
pub use digest::{ColumnDigest, Digest, TableHasher};
pub use inventory::Inventory;

use crate::catalog::TableName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names the way of computing digests; two fingerprints compare only when it is the same.
pub const ALGORITHM: &str = "ripcord-sum-xxh3-128/1";

/// The fingerprint of a database at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    pub algorithm: String,
    pub tables: BTreeMap<TableName, TableFingerprint>,
    /// Sequence name to the last value it gave out. Read outside of any snapshot: a later one may be greater.
    #[serde(default)]
    pub sequences: BTreeMap<String, i64>,
    /// What was not read, and why: never silently.
    #[serde(default)]
    pub not_compared: Vec<NotCompared>,
}

/// The fingerprint of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFingerprint {
    pub rows: u64,
    /// Of whole rows, columns in the order of their names.
    pub digest: Digest,
    /// The columns that the column digests are bound to; empty when nothing identifies a row, and then a column's
    /// digest says which values it holds, but not in which rows.
    pub key: Vec<String>,
    pub columns: BTreeMap<String, Digest>,
}

/// Something that a fingerprint leaves out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NotCompared {
    pub subject: String,
    pub reason: String,
}

impl Fingerprint {
    /// Returns an empty fingerprint of the present algorithm.
    pub fn new() -> Self {
        Self { algorithm: ALGORITHM.to_string(), ..Self::default() }
    }

    /// Returns the number of rows in all tables.
    pub fn rows(&self) -> u64 {
        self.tables.values().map(|table| table.rows).sum()
    }
}
