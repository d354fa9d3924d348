//! The JSON beside an export: what the CSV cannot say itself.

use crate::catalog::{DatabaseId, TableName};
use crate::engine::{Exported, Salvaged, Selection};
use crate::fingerprint::{ALGORITHM, Digest};
use crate::ledger::Salvage;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// The version of the format of exports.
pub const FORMAT: u32 = 1;

/// `NAME.json`, specified in `docs/format.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sidecar {
    pub format: u32,
    pub name: String,
    /// The table or view, unless it is a query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<TableName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    pub database: DatabaseId,
    pub exported: String,
    pub ripcord: String,
    /// The name of the CSV.
    pub file: String,
    pub size: u64,
    pub sha256: String,
    pub columns: Vec<SidecarColumn>,
    pub key: Vec<String>,
    /// Generated columns, which are not in the CSV.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left_out: Vec<String>,
    pub encoding: String,
    pub rows: u64,
    pub algorithm: String,
    pub digest: Digest,
    /// What of a migration's losses it holds, if it is salvage.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub salvage: Option<Salvage>,
}

/// One column of the CSV.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SidecarColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub type_name: String,
}

/// The file that a sidecar is about.
pub(super) struct CsvFile {
    pub name: String,
    pub size: u64,
    pub sha256: String,
}

/// One export that an engine has handed over.
#[derive(Clone, Debug)]
pub struct Made {
    /// The statement, if it is the answer to one.
    pub query: Option<String>,
    pub exported: Exported,
    pub salvage: Option<Salvage>,
}

impl Made {
    /// Describes exports by hand, in the order of their selections.
    pub fn all(selections: &[Selection], exported: Vec<Exported>) -> Vec<Self> {
        let made = selections.iter().zip(exported).map(|(selection, exported)| {
            let query = match selection {
                Selection::Table(_) => None,
                Selection::Query { sql, .. } => Some(sql.clone()),
            };
            Self { query, exported, salvage: None }
        });
        made.collect()
    }
}

impl From<Salvaged> for Made {
    fn from(salvaged: Salvaged) -> Self {
        Self { query: None, exported: salvaged.exported, salvage: Some(salvaged.salvage) }
    }
}

impl Sidecar {
    pub(super) fn new(
        name: &str,
        made: &Made,
        database: &DatabaseId,
        at: DateTime<Utc>,
        file: CsvFile,
    ) -> Self {
        let shape = made.exported.shape.clone();
        let columns = shape.columns.into_iter();
        Self {
            format: FORMAT,
            name: name.to_string(),
            table: shape.table,
            query: made.query.clone(),
            database: database.clone(),
            exported: at.to_rfc3339_opts(SecondsFormat::Secs, true),
            ripcord: env!("CARGO_PKG_VERSION").to_string(),
            file: file.name,
            size: file.size,
            sha256: file.sha256,
            columns: columns
                .map(|column| SidecarColumn { name: column.name, type_name: column.type_name })
                .collect(),
            key: shape.key,
            left_out: shape.left_out,
            encoding: shape.encoding,
            rows: made.exported.rows,
            algorithm: ALGORITHM.to_string(),
            digest: made.exported.digest,
            salvage: made.salvage.clone(),
        }
    }
}
