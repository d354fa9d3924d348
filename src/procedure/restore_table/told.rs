//! What is said of the definitions of tables whose rows were put back. Pure.

use crate::catalog::{Change, ChangeKind, TableName, diff, quote};
use crate::fingerprint::Inventory;
use crate::procedure::definitions::{differing, is_of};

/// Says of tables how their definitions differ from those of the backup: putting rows back changes none. Of one that was
/// not there before and was made again, what had spoken of it and is gone is named as well.
pub(super) fn notes(
    expected: &Inventory,
    (before, after): (&Inventory, &Inventory),
    tables: &[TableName],
) -> Vec<String> {
    let own = differing(&expected.catalog, &after.catalog, tables).into_iter().map(|(table, told)| {
        format!("the rows of {table} are as the backup has them, its definition is not, and was left: {told}")
    });
    let changes = diff(&expected.catalog, &after.catalog);
    let made = tables.iter().filter(|table| !before.catalog.tables.contains_key(*table));
    let left = made.filter_map(|table| {
        let gone = changes.iter().filter(|change| spoke_of(change, table));
        let gone: Vec<&str> = gone.map(|change| change.subject.as_str()).collect();
        (!gone.is_empty()).then(|| {
            let gone = gone.join(", ");
            format!("{table} was made again, but not what used it in the backup and is gone: {gone}")
        })
    });
    own.chain(left).collect()
}

/// Tells whether something is gone that had this table's name in its definition: a view, the key of another table.
/// Publications are told of among what is the table's own.
fn spoke_of(change: &Change, table: &TableName) -> bool {
    let of_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let is_gone = change.kind == ChangeKind::Removed && !is_of(change, table);
    let text = change.before.as_deref().filter(|_| is_gone && !change.subject.starts_with("publication "));
    text.is_some_and(|text| {
        text.split(|c| !of_word(c)).any(|word| word == table.name) || text.contains(&quote(&table.name))
    })
}
