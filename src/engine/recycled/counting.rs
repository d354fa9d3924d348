//! Numbers within a key of several columns: the lines of an order, the songs of a list. Who adds one takes the next number of its
//! order, so that the last one of each is given out again, as the last number of a table is.

use super::super::merge::refers;
use crate::catalog::{Catalog, TableName};

/// Keys of no more characters are chosen by people, who may choose one that is free again. Longer ones (UUIDs, ULIDs, digests) are
/// given out once.
pub const SHORT_KEY: i64 = 20;

/// Returns the place in a key of several columns of the one that counts rows within the others: the last one of whole numbers
/// that no foreign key is over. What a foreign key is over names a row that is known by other things.
pub fn counting(catalog: &Catalog, table: &TableName, key: &[String]) -> Option<usize> {
    let columns = &catalog.tables.get(table)?.columns;
    let counts = |name: &String| {
        let column = columns.iter().find(|column| column.name == *name);
        column.is_some_and(|column| is_whole(&column.type_name)) && !refers(catalog, (table, name))
    };
    key.iter().rposition(counts).filter(|_| key.len() > 1)
}

/// Returns which columns tell rows apart, of how many values each holds: that with most of them, and those with more than half as
/// many; none where all rows hold the same.
pub fn telling(counts: &[u64]) -> Vec<usize> {
    let most = counts.iter().copied().max().unwrap_or(0);
    (0..counts.len()).filter(|at| most > 1 && counts[*at] * 2 > most).collect()
}

/// Tells whether a type, as an engine writes it, is one of whole numbers.
fn is_whole(type_name: &str) -> bool {
    let first = type_name.to_ascii_lowercase();
    let first = first.split(|one: char| !one.is_ascii_alphanumeric()).next().unwrap_or_default();
    let whole = ["int", "integer", "bigint", "smallint", "mediumint", "tinyint", "int2", "int4", "int8"];
    whole.contains(&first) && !type_name.contains('[')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Column, Table};
    use std::collections::BTreeMap;

    fn counts(columns: &[(&str, &str)], constraint: &str, key: &[&str]) -> Option<usize> {
        let column = |(name, type_name): &(&str, &str)| Column {
            name: (*name).to_string(),
            type_name: (*type_name).to_string(),
            ..Column::default()
        };
        let key: Vec<String> = key.iter().map(|name| (*name).to_string()).collect();
        let table = Table {
            columns: columns.iter().map(column).collect(),
            constraints: BTreeMap::from([("k".to_string(), constraint.to_string())]),
            key: key.clone(),
            ..Table::default()
        };
        let name = TableName::plain("line");
        let catalog = Catalog { tables: BTreeMap::from([(name.clone(), table)]), ..Catalog::default() };
        counting(&catalog, &name, &key)
    }

    #[test]
    fn the_last_whole_number_that_refers_to_nothing_counts_rows() {
        let line = [("order_id", "integer"), ("line_no", "INTEGER"), ("sku", "text")];
        assert_eq!(counts(&line, "", &["order_id", "line_no"]), Some(1));
        assert_eq!(counts(&line, "", &["line_no", "sku"]), Some(0));
        let refers = "FOREIGN KEY (order_id) REFERENCES orders(id)";
        assert_eq!(counts(&line, refers, &["line_no", "order_id"]), Some(0));
    }

    #[test]
    fn the_column_with_most_values_tells_and_those_with_more_than_half_as_many() {
        assert_eq!(telling(&[9, 4, 5, 1]), [0, 2]);
        assert_eq!(telling(&[4, 2]), [0]);
        assert!(telling(&[1, 1]).is_empty() && telling(&[0]).is_empty() && telling(&[]).is_empty());
    }

    #[test]
    fn what_refers_and_what_is_no_whole_number_counts_nothing() {
        let member = [("a", "INT(11)"), ("b", "bigint"), ("at", "interval"), ("many", "integer[]")];
        let both = "FOREIGN KEY (a, b) REFERENCES other(a, b)";
        assert_eq!(counts(&member, both, &["a", "b"]), None);
        assert_eq!(counts(&member, "", &["at", "many"]), None);
        assert_eq!(counts(&member, "", &["a"]), None);
        assert_eq!(counts(&member, both, &["a", "gone"]), None);
    }
}
