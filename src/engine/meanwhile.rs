//! What others write between the snapshot and the migration, into what the migration takes away.
//!
//! The snapshot cannot hold it, and so salvage cannot either. A script therefore begins, in its own transaction and with
//! writers kept out, by copying such rows into a side table beside the live ones; where nobody wrote, nothing is copied.

use crate::catalog::{MEANWHILE_TABLES, TableName};
use crate::plan::Touches;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What has to be looked at once more before a script takes something away.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// The folder of the snapshot.
    pub folder: PathBuf,
    /// The hash of the definitions that the plan was made for; none once an earlier script of the plan has run.
    pub schema: Option<String>,
    /// The tables of which the migration takes something away for good.
    pub doomed: Vec<TableName>,
    /// What earlier scripts of the plan have named: it need not be as the snapshot has it.
    pub named: Touches,
    /// The rows that the snapshot has of each doomed table of which rows go; none once an earlier script of the plan has run,
    /// which may have taken some itself.
    pub rows: BTreeMap<TableName, u64>,
}

impl Guarded {
    /// Returns the same for the script after one that names `named`.
    pub fn after(self, named: &Touches) -> Self {
        Self { schema: None, named: self.named.and(named), rows: BTreeMap::new(), ..self }
    }
}

/// What others did to the rows of one table after the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meanwhile {
    pub table: TableName,
    /// Where the rows are kept that they wrote, and how many there are.
    pub side_table: Option<TableName>,
    pub rows: u64,
    /// The rows that the snapshot has and that were not there any more, or not as they were.
    pub gone: u64,
}

/// Returns the name of a side table of an operation, by the number of those that were made before it.
pub fn meanwhile_table_name(operation: &str, number: usize) -> String {
    let plain = |next: char| if next.is_ascii_alphanumeric() { next.to_ascii_lowercase() } else { '_' };
    // Short enough for every engine with any number behind it.
    let suffix: String = operation.chars().map(plain).take(36).collect();
    format!("{MEANWHILE_TABLES}{suffix}_{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_an_operation_s_side_tables_are_short_and_differ() {
        let operation = "20261123T181500Z-upgrade-5f2c";
        assert_eq!(meanwhile_table_name(operation, 1), "ripcord_meanwhile_20261123t181500z_upgrade_5f2c_1");
        assert_ne!(meanwhile_table_name(operation, 1), meanwhile_table_name(operation, 2));
        assert!(meanwhile_table_name(&"x".repeat(200), 9999).len() <= 63);
        assert!(TableName::plain(meanwhile_table_name(operation, 3)).is_bookkeeping());
    }
}
