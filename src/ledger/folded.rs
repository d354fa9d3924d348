//! Virtual tables of SQLite as tables with rows of their own.
//!
//! Their rows lie in shadow tables, whose names and columns are nobody's business, and beside them lies an index that is
//! written otherwise each time: an insert that is deleted again leaves other bytes and the same rows. So where the rows can
//! be found in the shadow tables (FTS3 to FTS5 with a content of their own, R-tree, Geopoly), these stand for the
//! virtual table, and the rest of the index is left out. All other shadow tables stay what they are.

use super::ROWID;
use crate::catalog::{Table, TableKind, TableName};
use crate::fingerprint::{Digest, Fingerprint, Inventory, TableFingerprint};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Returns the inventory with each virtual table, as far as its rows can be found, in the place of its shadow tables.
pub fn folded(inventory: &Inventory) -> Cow<'_, Inventory> {
    let tables = &inventory.catalog.tables;
    let virtual_ones = tables.iter().filter(|(_, table)| table.kind == TableKind::Virtual);
    let mut whole = Cow::Borrowed(inventory);
    for (name, table) in virtual_ones {
        let shadows = shadows(inventory, name);
        let Some(print) = rows(table, &shadows, inventory) else { continue };
        let fingerprint = &mut whole.to_mut().fingerprint;
        fingerprint.tables.retain(|name, _| !shadows.values().any(|shadow| *shadow == name));
        fingerprint.tables.insert(name.clone(), print);
        fingerprint.not_compared.retain(|left| left.subject != name.to_string());
    }
    whole
}

/// Returns the shadow tables of a virtual one, by what stands behind its name.
fn shadows<'a>(inventory: &'a Inventory, name: &TableName) -> BTreeMap<&'a str, &'a TableName> {
    let tables = &inventory.catalog.tables;
    let suffix = |shadow: &'a TableName, of: &TableName| -> Option<&'a str> {
        let rest = shadow.name.get(of.name.len()..)?;
        let begins = shadow.name[..of.name.len()].eq_ignore_ascii_case(&of.name);
        rest.strip_prefix('_').filter(|_| begins)
    };
    // `a_b_data` belongs to `a_b` and not to `a`, if there are both.
    let closer = |shadow: &'a TableName| {
        let mut others = tables.iter().filter(|(_, table)| table.kind == TableKind::Virtual);
        others.any(|(other, _)| other.name.len() > name.name.len() && suffix(shadow, other).is_some())
    };
    let all = tables.iter().filter(|(_, table)| table.kind == TableKind::Shadow);
    all.filter(|(shadow, _)| !closer(shadow))
        .filter_map(|(shadow, _)| Some((suffix(shadow, name)?, shadow)))
        .collect()
}

/// Returns what the shadow tables say of the rows; `None` where they are of a kind that is not known.
fn rows(
    table: &Table,
    shadows: &BTreeMap<&str, &TableName>,
    inventory: &Inventory,
) -> Option<TableFingerprint> {
    let Fingerprint { tables: prints, .. } = &inventory.fingerprint;
    let names: Vec<&String> = table.columns.iter().map(|column| &column.name).collect();
    if names.is_empty() || names.iter().any(|name| name.eq_ignore_ascii_case(ROWID)) {
        return None;
    }
    let key = vec![ROWID.to_string()];
    if let Some(content) = shadows.get("content") {
        let (print, stored) = (prints.get(*content)?, &inventory.catalog.tables.get(*content)?.columns);
        let (number, values) = stored.split_first().filter(|(_, values)| values.len() == names.len())?;
        // One column each, in the same order.
        let names = std::iter::once(ROWID).chain(names.iter().map(|name| name.as_str()));
        let stored = std::iter::once(number).chain(values);
        let digests = names
            .zip(stored)
            .map(|(name, stored)| Some((name.to_string(), *print.columns.get(&stored.name)?)));
        let columns = digests.collect::<Option<_>>()?;
        return Some(TableFingerprint { rows: print.rows, digest: print.digest, key, columns });
    }
    let (rowid, node) = (prints.get(*shadows.get("rowid")?)?, prints.get(*shadows.get("node")?)?);
    shadows.get("parent")?;
    // The values lie in the nodes: while these are the same, so are the values; otherwise rows have to be compared.
    let both = Digest(rowid.digest.0.rotate_left(1).wrapping_add(node.digest.0));
    let salted = |(place, name): (u128, &&String)| ((*name).clone(), Digest(both.0.wrapping_add(place)));
    let mut columns: BTreeMap<String, Digest> = (1..).zip(&names).map(salted).collect();
    columns.insert(ROWID.to_string(), *rowid.columns.get("rowid")?);
    Some(TableFingerprint { rows: rowid.rows, digest: both, key, columns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Column, EngineKind};

    fn inventory(tables: &[(&str, TableKind, &[&str])]) -> Inventory {
        let (mut catalog, mut fingerprint) = (Catalog::default(), Fingerprint::new());
        for (number, (name, kind, columns)) in (1..).zip(tables) {
            let column = |name: &&str| Column { name: name.to_string(), ..Column::default() };
            let columns: Vec<Column> = columns.iter().map(column).collect();
            if *kind != TableKind::Virtual {
                let digests = (1..).zip(&columns);
                let digests =
                    digests.map(|(place, column)| (column.name.clone(), Digest(number * 100 + place)));
                let print = TableFingerprint { rows: 5, columns: digests.collect(), ..Default::default() };
                fingerprint.tables.insert(TableName::plain(*name), print);
            }
            catalog
                .tables
                .insert(TableName::plain(*name), Table { kind: *kind, columns, ..Table::default() });
        }
        let facts = BTreeMap::new();
        let (version, findings) = (String::new(), Vec::new());
        Inventory { engine: EngineKind::Sqlite, version, facts, catalog, fingerprint, findings }
    }

    fn names(inventory: &Inventory) -> Vec<String> {
        folded(inventory).fingerprint.tables.keys().map(ToString::to_string).collect()
    }

    use TableKind::{Ordinary, Shadow, Virtual};

    #[test]
    fn a_virtual_table_stands_for_its_shadows_and_has_their_digests() {
        let found = inventory(&[
            ("a", Virtual, &["body"]),
            ("a_content", Shadow, &["id", "c0"]),
            ("a_data", Shadow, &["id", "block"]),
            ("a_log", Ordinary, &["id"]),
            ("a_b", Virtual, &["x"]),
            ("a_b_content", Shadow, &["id", "c0"]),
        ]);
        assert_eq!(names(&found), ["a", "a_b", "a_log"]);
        let print = &folded(&found).fingerprint.tables[&TableName::plain("a")];
        assert_eq!(
            (print.rows, print.columns["rowid"], print.columns["body"]),
            (5, Digest(201), Digest(202))
        );
    }

    #[test]
    fn shadow_tables_whose_rows_are_not_known_stay_what_they_are() {
        let without_content = inventory(&[("a", Virtual, &["body"]), ("a_data", Shadow, &["id", "block"])]);
        assert_eq!(names(&without_content), ["a_data"]);
        let with_less = [("a", Virtual, &["x", "y"][..]), ("a_content", Shadow, &["id", "c1"])];
        assert_eq!(names(&inventory(&with_less)), ["a_content"]);
    }
}
