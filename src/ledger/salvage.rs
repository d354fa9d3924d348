//! What a salvaged CSV holds and against what it is to be read: the contract between taking salvage and merging it back.
//!
//! Specified in `docs/format.md`, section "Salvage".

use crate::catalog::TableName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The member `salvage` of the JSON beside a salvaged CSV.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Salvage {
    pub what: SalvageKind,
    /// The table by its name before the migration.
    pub table: TableName,
    /// The columns that identify a row; empty when nothing does.
    pub key: Vec<String>,
    /// Without a key: the columns that are the same on both sides, by which rows are found again. Of whole rows: those in
    /// which a live row may be one of them, changed; all when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identity: Vec<String>,
    /// Of whole rows without a key: whether a live row may be one of them as soon as it is alike in any one of these columns.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_any: bool,
    /// Of whole rows without a key: the column of the CSV that says of each one whether the way there and back left a row that
    /// may be this one, changed. Such a row is not known to be gone: where that other one is gone, users may have deleted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// The columns whose values are salvaged.
    pub columns: Vec<String>,
    /// What the way back left in these columns. A column that is not in it: unknown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub returned: BTreeMap<String, Returned>,
    /// Whether its rows may lie in other partitions, or in other tables of its inheritance tree: a key is of one row in all of
    /// them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_tree: bool,
}

/// What is salvaged of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SalvageKind {
    /// Values of rows that are there before and after the way there and back.
    Values,
    /// Whole rows that are gone after it.
    Rows,
}

/// What there-and-back left in a column, in the rows of a CSV.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Returned {
    /// The same in every row: the field as it would stand in the CSV, text in its quotes; `None` is NULL.
    Constant(Option<String>),
    /// What stands in this column of the CSV.
    In(String),
}

impl SalvageKind {
    /// Returns the word for it in names of files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Rows => "rows",
        }
    }
}

impl Returned {
    /// Returns a constant without the quotes that it has as a field, and whether it had them: whether it is text. `None`
    /// when it is NULL, or no constant.
    pub fn text(&self) -> Option<(String, bool)> {
        let Self::Constant(Some(field)) = self else { return None };
        let inner = field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        Some(match inner {
            Some(inner) => (inner.replace("\"\"", "\""), true),
            None => (field.clone(), false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_read_back_as_it_was_written() {
        let text = r#"{"what":"values","table":"s.\"T\"","key":["id"],"columns":["a","b","c"],"returned":{"a":{"constant":null},"b":{"constant":"0"},"c":{"in":"returned c"}}}"#;
        let read: Salvage = serde_json::from_str(text).expect("it can be read");
        assert_eq!(read.table, TableName::qualified("s", "T"));
        assert_eq!(read.returned["a"], Returned::Constant(None));
        assert_eq!(read.returned["c"], Returned::In("returned c".to_string()));
        assert_eq!(serde_json::to_string(&read).expect("JSON"), text);
    }

    #[test]
    fn a_constant_text_is_told_from_a_number_by_its_quotes() {
        let text = |field: &str| Returned::Constant(Some(field.to_string())).text();
        assert_eq!(text("0"), Some(("0".to_string(), false)));
        assert_eq!(text("\"0\""), Some(("0".to_string(), true)));
        assert_eq!(text("\"say \"\"ah\"\"\""), Some(("say \"ah\"".to_string(), true)));
        assert_eq!(text("\"\""), Some((String::new(), true)));
        assert_eq!(Returned::Constant(None).text(), None);
    }
}
