//! A state of then under the names of now: what was renamed since is compared with what it is called now, not with another
//! table that has its name.

use crate::catalog::TableName;
use crate::fingerprint::{Fingerprint, Inventory, TableFingerprint};
use crate::procedure::Ports;
use crate::procedure::renamed::{Now, Trail};
use crate::report::Wrong;
use crate::store::Backup;
use std::collections::BTreeMap;

/// Gives the tables of a backup the names that they have now, as far as that is certain; each of these is a difference.
pub(super) async fn given(
    ports: &Ports<'_>,
    backup: &Backup,
    mut expected: Inventory,
    found: &Inventory,
) -> Result<(Inventory, Vec<Wrong>), Box<dyn std::error::Error + Send + Sync>> {
    let trail = Trail::since(ports, backup).await?;
    let (mut renamed, mut wrong) = (BTreeMap::new(), Vec::new());
    for (name, table) in &expected.catalog.tables {
        let columns: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
        let now = trail.follow(name, &columns).ok();
        let now = now.filter(|now| found.catalog.tables.contains_key(&now.table));
        if let Some(now) = now.filter(|now| now.is_renamed(name)) {
            wrong.extend(told(name, &now));
            renamed.insert(name.clone(), now);
        }
    }
    rename(&mut expected, &found.fingerprint, &renamed);
    Ok((expected, wrong))
}

fn told(name: &TableName, now: &Now) -> Vec<Wrong> {
    let since = now.by.as_ref().map(|by| format!(", since {by}")).unwrap_or_default();
    let wrong = |subject: String, called: &dyn std::fmt::Display| Wrong {
        code: "renamed".to_string(),
        subject,
        detail: format!("is called {called} now{since}"),
    };
    let table = (now.table != *name).then(|| wrong(format!("table {name}"), &now.table));
    let columns = now.columns.iter().filter(|(then, now)| then != now);
    table.into_iter().chain(columns.map(|(then, now)| wrong(format!("column {name}.{then}"), now))).collect()
}

/// Tells whether two tables hold the same by each column, under the same keys.
fn holds_the_same(one: &TableFingerprint, other: &TableFingerprint) -> bool {
    !one.key.is_empty() && one.rows == other.rows && one.key == other.key && one.columns == other.columns
}

/// All at once: two tables may have changed names.
fn rename(expected: &mut Inventory, found: &Fingerprint, renamed: &BTreeMap<TableName, Now>) {
    let (catalog, print) = (&mut expected.catalog, &mut expected.fingerprint);
    let taken: Vec<_> = renamed
        .iter()
        .map(|(name, now)| (now, catalog.tables.remove(name), print.tables.remove(name)))
        .collect();
    for (now, table, rows) in taken {
        let called = |name: &mut String| {
            if let Some(now) = now.columns.get(name) {
                name.clone_from(now);
            }
        };
        if let Some(mut table) = table {
            table.columns.iter_mut().for_each(|column| called(&mut column.name));
            table.key.iter_mut().for_each(called);
            catalog.tables.insert(now.table.clone(), table);
        }
        if let Some(mut rows) = rows {
            let digests = std::mem::take(&mut rows.columns).into_iter();
            rows.columns = digests
                .map(|(mut name, digest)| {
                    called(&mut name);
                    (name, digest)
                })
                .collect();
            rows.key.iter_mut().for_each(called);
            // Whole rows have their columns in the order of names, which is another one now.
            if let Some(found) = found.tables.get(&now.table).filter(|found| holds_the_same(&rows, found)) {
                rows.digest = found.digest;
            }
            print.tables.insert(now.table.clone(), rows);
        }
    }
}
