//! What is said of the definitions of tables whose rows were put back, and of those that cannot be put back alone. Pure.

use crate::base::shell_word;
use crate::catalog::{Catalog, Change, ChangeKind, TableName, diff, quote};
use crate::engine::Error;
use crate::fingerprint::Inventory;
use crate::procedure::definitions::{differing, is_of, stale_views};
use crate::procedure::settle;
use crate::report::Failure;

/// Returns what can be done where tables of a backup could not be put back as they were asked for.
pub(super) fn instead(
    failure: &Failure,
    (backup, expected): (&str, &Catalog),
    tables: &[TableName],
) -> Vec<String> {
    let together = |other: &TableName| {
        let flags =
            tables.iter().chain([other]).map(|table| format!(" --table {}", shell_word(&table.to_string())));
        format!("ripcord restore {backup}{}", flags.collect::<String>())
    };
    match settle::of_engine(failure) {
        Some(Error::RefersTo { to, .. }) if expected.tables.contains_key(to) => vec![together(to)],
        // Of the server: what a table needs besides itself is not there, or is another.
        Some(
            Error::TableDiffers { .. }
            | Error::Driver { .. }
            | Error::RefersTo { .. }
            | Error::ForeignKeys { .. },
        ) => vec![format!(
            "restore the backup beside and take from there what fits: ripcord restore {backup} --to URL"
        )],
        Some(Error::ReferredTo { by, .. }) => vec![format!("put both back together: {}", together(by))],
        _ => Vec::new(),
    }
}

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
    own.chain(left).chain(stale_views(after, "putting rows back")).collect()
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
