//! How the definitions of tables differ from those that a backup has. Pure.

use crate::catalog::{Catalog, Change, ChangeKind, TableName, diff};
use crate::fingerprint::Inventory;

/// Returns, for each of these tables that differs, what is gone, new or another of it, and in which publications it is no more.
pub(super) fn differing(then: &Catalog, now: &Catalog, tables: &[TableName]) -> Vec<(TableName, String)> {
    let changes = diff(then, now);
    let told = tables.iter().map(|table| (table.clone(), told((then, now), table, &changes).join(", ")));
    told.filter(|(_, told)| !told.is_empty()).collect()
}

fn told((then, now): (&Catalog, &Catalog), table: &TableName, changes: &[Change]) -> Vec<String> {
    let belongings = [then.belongings(table), now.belongings(table)].concat();
    let belongs = |subject: &String| belongings.iter().any(|(key, _)| *key == subject);
    let its = changes.iter().filter(|change| is_of(change, table) || belongs(&change.subject));
    let its = its.map(|change| match change.kind {
        ChangeKind::Removed => format!("{} is gone", change.subject),
        ChangeKind::Added => format!("{} is new", change.subject),
        ChangeKind::Changed => format!("{} is another", change.subject),
    });
    let left = then.publications_without(table, now).into_iter();
    its.chain(left.map(|name| format!("publication {} has it no more", TableName::plain(name)))).collect()
}

/// Tells whether a change is of this table's own definition.
pub(super) fn is_of(change: &Change, table: &TableName) -> bool {
    change.table.as_deref().and_then(TableName::parse).as_ref() == Some(table)
}

/// Says which views still show what was there before rows were put back by this.
pub(super) fn stale_views(inventory: &Inventory, what: &str) -> Option<String> {
    let filled = inventory.catalog.objects.iter().filter(|(_, object)| {
        object.kind == "materialized view" && !object.options.contains_key("populated")
    });
    let names: Vec<&str> = filled.filter_map(|(key, _)| key.strip_prefix("materialized view ")).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{what} refreshes no materialized view; where one shows what was put back: REFRESH MATERIALIZED VIEW {}",
            names.join("; REFRESH MATERIALIZED VIEW ")
        )
    })
}
