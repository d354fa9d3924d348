//! Nothing but what was merged, and what the database makes follow it, may have changed. Pure.

mod follow;

use crate::catalog::{TableName, diff};
use crate::engine::OtherWrites;
use crate::fingerprint::{ColumnVerdict, Inventory, TableComparison, TableVerdict, compare};
use crate::ledger::{Merged, MergedBack};
use crate::report::{Check, Wrong};
use follow::Follows;

/// Compares the database before and after a merge.
pub(super) fn only_merged(
    before: &Inventory,
    after: &Inventory,
    merged: &MergedBack,
    others: &OtherWrites,
) -> Check {
    let comparison = compare(&before.fingerprint, &after.fingerprint);
    let catalog = diff(&before.catalog, &after.catalog);
    let mut check = Check { catalog, comparison, ..Check::default() };
    let is_side = |table: &str| TableName::parse(table).is_some_and(|name| name.is_side_table());
    for change in &check.catalog {
        if !change.table.as_deref().is_some_and(is_side) {
            let detail = "its definition changed, and a merge changes none".to_string();
            check.wrong.push(Wrong { code: "catalog".to_string(), subject: change.subject.clone(), detail });
        }
    }
    let followed = follow::followed(&after.catalog, merged);
    let written = merged.written();
    let mut found = Vec::new();
    for (name, table) in check.comparison.differing().filter(|(name, _)| !name.is_side_table()) {
        if after.catalog.follows_any(name, written.iter()) {
            continue;
        }
        let of: Vec<&Merged> = merged.merged.iter().filter(|one| one.table == *name).collect();
        if let Some(detail) = unexplained(table, &of, &followed.of(name)) {
            found.push((name.to_string(), detail));
        }
    }
    for (subject, detail) in found {
        match others {
            OtherWrites::Nobody => {
                check.wrong.push(Wrong { code: "merge-changed-more".to_string(), subject, detail });
            }
            _ => check.unsure.push(format!("{subject}: {detail}; other sessions may have written meanwhile")),
        }
    }
    check
}

/// Returns what the merge of these columns and rows does not explain.
fn unexplained(table: &TableComparison, merged: &[&Merged], followed: &Follows) -> Option<String> {
    if table.verdict != TableVerdict::Changed {
        return Some("it came or went during the merge".to_string());
    }
    let inserted: u64 = merged.iter().filter(|one| one.column.is_none()).map(|one| one.merged).sum();
    let (rows_before, rows_after) = (table.rows_before.unwrap_or(0), table.rows_after.unwrap_or(0));
    if rows_after != rows_before + inserted {
        return Some(format!(
            "it has {}, expected {}",
            super::super::rows_of(rows_after),
            rows_before + inserted
        ));
    }
    if inserted > 0 {
        // New rows change the digest of every column.
        return None;
    }
    if followed.key {
        // Under other keys the digest of every column is another one.
        return None;
    }
    let put = |column: &str| {
        let mut merged = merged.iter();
        followed.columns.contains(column)
            || merged.any(|one| one.column.as_deref() == Some(column) && one.merged > 0)
    };
    let changed =
        table.columns.iter().filter(|(name, verdict)| **verdict != ColumnVerdict::Kept && !put(name));
    let changed: Vec<&str> = changed.map(|(name, _)| name.as_str()).collect();
    match changed.is_empty() {
        false => Some(format!("values changed that were not merged: {}", changed.join(", "))),
        true if followed.columns.is_empty() && merged.iter().all(|one| one.merged == 0) => {
            Some("it changed, and nothing was merged".to_string())
        }
        true => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::{ColumnVerdict::*, TableVerdict};
    use crate::ledger::{Salvage, SalvageKind};
    use std::collections::BTreeMap;

    fn changed(rows_after: u64, column: ColumnVerdict) -> TableComparison {
        TableComparison {
            verdict: TableVerdict::Changed,
            rows_before: Some(2),
            rows_after: Some(rows_after),
            columns: BTreeMap::from([("id".to_string(), Kept), ("rank".to_string(), column)]),
        }
    }

    fn merged(column: Option<&str>, count: u64) -> Merged {
        let salvage = Salvage {
            what: SalvageKind::Values,
            table: TableName::plain("t"),
            key: Vec::new(),
            identity: Vec::new(),
            in_any: false,
            doubt: None,
            columns: Vec::new(),
            returned: BTreeMap::new(),
            in_tree: false,
        };
        Merged { merged: count, ..Merged::new(&salvage, column) }
    }

    fn told(table: &TableComparison, merged: &[&Merged]) -> Option<String> {
        unexplained(table, merged, &Follows::default())
    }

    #[test]
    fn only_the_merged_column_may_change() {
        assert_eq!(told(&changed(2, Changed), &[&merged(Some("rank"), 1)]), None);
        let other = told(&changed(2, Changed), &[&merged(Some("other"), 1)]);
        assert_eq!(other.as_deref(), Some("values changed that were not merged: rank"));
        assert!(told(&changed(2, Changed), &[&merged(Some("rank"), 0)]).is_some());
        assert!(told(&changed(2, Changed), &[]).is_some());
    }

    #[test]
    fn as_many_rows_may_come_as_were_put_back() {
        assert_eq!(told(&changed(5, Changed), &[&merged(None, 3)]), None);
        assert!(told(&changed(6, Changed), &[&merged(None, 3)]).is_some());
        assert!(told(&changed(1, Kept), &[&merged(Some("rank"), 3)]).is_some());
    }

    #[test]
    fn what_follows_a_merged_value_may_change_with_it() {
        let follows = |column: &str, key| Follows { columns: [column.to_string()].into(), key };
        let of = |follows: &Follows| unexplained(&changed(2, Changed), &[], follows);
        assert_eq!(of(&follows("rank", false)), None);
        assert!(of(&follows("other", false)).is_some());
        assert_eq!(of(&follows("other", true)), None);
    }
}
