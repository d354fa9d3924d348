//! Everything that is known of a database at one instant.

use super::Fingerprint;
use crate::catalog::{Catalog, EngineKind, Finding};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Catalog, fingerprint, findings and engine facts of one instant: `before.json` and `after.json` of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    pub engine: EngineKind,
    /// The engine's version, as it says it.
    pub version: String,
    /// Facts of this engine that a restore needs or a reader wants: journal mode, page size, encoding, pinned
    /// text settings, size in bytes.
    pub facts: BTreeMap<String, String>,
    pub catalog: Catalog,
    pub fingerprint: Fingerprint,
    /// What the engine's own integrity checks said.
    pub findings: Vec<Finding>,
}
