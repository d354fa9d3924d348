//! What became of a merge, for whoever has to know it after a crash.
//!
//! What is going to be committed is in the journal before the commit; whether it was, only the database can tell. Merging
//! once more instead of asking is safe only as long as nobody writes: a row that was deleted since would come back.

use super::{MergedBack, table_name};
use crate::engine::Error;
use crate::journal::ScriptLog;

/// The fact in the journal that says what a merge is about to commit; empty as long as it has not got so far.
pub const WAS_MERGED: &str = "merged";
/// The fact that names its transaction, where a server can be asked for it.
pub const TRANSACTION: &str = "merge-transaction";

/// Whether the transaction of a merge was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeBecame {
    Committed,
    NotCommitted,
    /// It cannot be told, and why.
    Unknown(String),
}

/// Tells whether a merge has something to keep: otherwise nothing is committed.
pub fn is_kept(merged: &MergedBack) -> bool {
    merged.count() + merged.conflicts() > 0
}

/// Writes down what is about to be committed. Values that are in conflict stay in the side table, where they belong.
pub fn announce(log: &ScriptLog, merged: &MergedBack) -> Result<(), Error> {
    let told = MergedBack { conflicts: Vec::new(), ..merged.clone() };
    let text = serde_json::to_string(&told).map_err(|error| Error::Driver {
        doing: "writing down what is merged".to_string(),
        detail: error.to_string(),
    })?;
    Ok(log.fact(WAS_MERGED, &text)?)
}

/// Returns the name of the table whose presence says that the merge of an operation was committed.
pub fn merged_table_name(operation: &str) -> String {
    table_name(crate::catalog::MERGED_TABLES, operation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::TableName;
    use crate::ledger::{Merged, SalvageKind};
    use std::collections::BTreeMap;

    #[test]
    fn what_is_written_down_of_a_merge_can_be_read_again() {
        let salvage = super::super::tests::piece("t", SalvageKind::Values).salvage;
        let merged = MergedBack {
            merged: vec![Merged { merged: 3, ..Merged::new(&salvage, Some("a")) }],
            retaken: BTreeMap::from([(TableName::qualified("s", "T"), 2)]),
            ..MergedBack::default()
        };
        let text = serde_json::to_string(&merged).expect("JSON");
        assert_eq!(serde_json::from_str::<MergedBack>(&text).expect("it was written"), merged);
    }

    #[test]
    fn the_table_that_says_so_never_counts_as_a_difference() {
        let name = merged_table_name("20261123T181500Z-downgrade-5f2c");
        assert_eq!(name, "ripcord_merged_20261123t181500z_downgrade_5f2c");
        assert!(TableName::plain(name).is_side_table());
    }
}
