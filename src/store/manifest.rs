//! `manifest.json`: what a backup is. Specified in `docs/format.md`.

use crate::catalog::DatabaseId;
use crate::fingerprint::Fingerprint;
use crate::history::RevisionId;
use crate::plan::Accepted;
use crate::report::Kind;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The newest format that this program writes and reads.
pub const FORMAT: u32 = 1;

/// Everything that must be known of a backup to use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub id: String,
    /// The operation that it was taken for.
    pub kind: Kind,
    /// When the snapshot was begun: what was written later may not be in it.
    pub created: DateTime<Utc>,
    /// The ripcord that wrote it.
    pub ripcord: String,
    pub database: DatabaseId,
    /// The engine's version when the snapshot was taken.
    pub engine_version: String,
    /// The version rows in the snapshot.
    pub from: Vec<RevisionId>,
    /// The version rows that the operation was to end with.
    pub to: Vec<RevisionId>,
    /// How the snapshot was taken.
    pub method: String,
    pub tools: Vec<ToolFact>,
    /// Facts that a restore needs.
    pub facts: BTreeMap<String, String>,
    pub proof: ProofFacts,
    /// Every file of the backup that existed when it was published, except this one, `SHA256SUMS` and `journal.jsonl`.
    pub artifacts: Vec<Artifact>,
    pub fingerprint: Fingerprint,
    /// The SHA-256 of the catalog in the snapshot.
    pub catalog_sha256: String,
    /// What the operation was to destroy, and who accepted it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub accepted: Vec<Accepted>,
    /// The backup before this one, chained by its manifest's hash (tamper evidence).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<Previous>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Relative to the backup's folder, parts joined by `/`.
    pub path: String,
    /// In bytes.
    pub size: u64,
    pub sha256: String,
}

/// How far the snapshot was proven when it was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofFacts {
    /// `full`, `schema` or `none`.
    pub level: String,
    /// Whether a restore of it was compared and matched.
    pub proven: bool,
    pub method: String,
    pub tables: u64,
    pub rows: u64,
}

/// A program that took part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolFact {
    pub name: String,
    pub version: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub path: String,
}

/// The backup before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    pub id: String,
    pub manifest_sha256: String,
}
