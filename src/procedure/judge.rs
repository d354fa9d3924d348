//! What verification holds against a change. Pure: two inventories in, a [`Check`] out.
//!
//! The rule is simple because it must be trusted at three in the morning: what the migration names may change, the
//! rest must not. Where other sessions can have written meanwhile, the rest is told apart by what the migration's own
//! transactions wrote, and where even that is unknown the check says that it cannot tell.

use crate::catalog::{Change, Finding, Severity, Table, TableKind, TableName, diff};
use crate::engine::{Applied, OtherWrites};
use crate::fingerprint::{Inventory, TableComparison, TableVerdict, compare};
use crate::history::RevisionId;
use crate::plan::Touches;
use crate::report::{Check, Wrong};
use std::collections::{BTreeMap, BTreeSet};

/// What is known besides the two inventories.
pub struct Circumstances<'a> {
    pub touches: &'a Touches,
    pub applied: &'a Applied,
    pub others: &'a OtherWrites,
    pub rows_expected: &'a [RevisionId],
    pub rows_found: &'a [RevisionId],
}

/// Compares the database before and after a migration and says what is wrong, and what cannot be told.
pub fn judge(before: &Inventory, after: &Inventory, around: &Circumstances<'_>) -> Check {
    let comparison = compare(&before.fingerprint, &after.fingerprint);
    let catalog = diff(&before.catalog, &after.catalog);
    let mut check = Check {
        new_findings: new_findings(&before.findings, &after.findings),
        catalog,
        comparison,
        ..Check::default()
    };
    version_rows(around, &mut check);
    let tables: BTreeMap<&TableName, &Table> =
        before.catalog.tables.iter().chain(&after.catalog.tables).collect();
    let untouched = |name: &TableName| !name.is_bookkeeping() && !is_touched(around.touches, &tables, name);
    let mut data = Vec::new();
    for (name, table) in check.comparison.differing().filter(|(name, _)| untouched(name)) {
        data.push((name.clone(), table.clone()));
    }
    for (name, table) in data {
        blame(&name, &table, around, &mut check);
    }
    schema(around.touches, &untouched, &mut check);
    for finding in check.new_findings.iter().filter(|finding| finding.severity == Severity::Error) {
        check.wrong.push(wrong("new-finding", &finding.subject, &finding.detail));
    }
    check
}

fn version_rows(around: &Circumstances<'_>, check: &mut Check) {
    let set = |rows: &[RevisionId]| rows.iter().cloned().collect::<BTreeSet<_>>();
    if set(around.rows_expected) != set(around.rows_found) {
        let detail = format!(
            "the version rows are {}, the plan ends with {}",
            super::rows_text(around.rows_found),
            super::rows_text(around.rows_expected)
        );
        check.wrong.push(wrong("version-rows", "alembic_version", &detail));
    }
}

/// Decides whose doing it is that a table changed which no migration names.
fn blame(name: &TableName, table: &TableComparison, around: &Circumstances<'_>, check: &mut Check) {
    let what = describe(table);
    let by_migration = around.applied.rows_written.as_ref().map(|rows| rows.get(name).copied().unwrap_or(0));
    let code = match table.verdict {
        TableVerdict::Removed => "untouched-table-removed",
        _ => "untouched-table-changed",
    };
    match (by_migration, around.others) {
        (Some(1..), _) | (_, OtherWrites::Nobody) => {
            let detail = format!("no migration names it, and {what}");
            check.wrong.push(wrong(code, &name.to_string(), &detail));
        }
        // Rows can come from other sessions; that a table goes with them is hardly their doing, and never assumed.
        (Some(0), _) if table.verdict != TableVerdict::Removed => {
            check.unsure.push(format!("{name}: {what}, written by other sessions while the migration ran"));
        }
        _ => {
            check.unsure.push(format!(
                "{name}: {what}; other sessions may have written while the migration ran, so it cannot be told \
                 whether the migration did it"
            ));
        }
    }
}

fn describe(table: &TableComparison) -> String {
    match (table.rows_before, table.rows_after) {
        (Some(before), Some(after)) if before != after => {
            format!("it has {}, before {before}", super::rows_of(after))
        }
        (Some(before), Some(_)) => format!("its {before} rows hold other values than before"),
        (Some(before), None) => format!("it is gone with its {before} rows"),
        (None, Some(after)) => format!("it is new, with {after} rows"),
        (None, None) => "it changed".to_string(),
    }
}

/// Holds changes of the definition of tables against the migration that names neither them nor anything that the
/// changed text speaks of (renaming a parent rewrites the foreign keys of its children).
fn schema(touches: &Touches, untouched: &dyn Fn(&TableName) -> bool, check: &mut Check) {
    let found: Vec<Wrong> = check
        .catalog
        .iter()
        .filter(|change| {
            let table = change.table.as_deref().and_then(TableName::parse);
            table.is_some_and(|table| untouched(&table)) && !speaks_of_touched(touches, change)
        })
        // A table that is gone or new is held against the migration by its rows already.
        .filter(|change| !change.subject.starts_with("table "))
        .map(|change| {
            wrong("untouched-table-schema", &change.subject, "its definition changed, no migration names it")
        })
        .collect();
    check.wrong.extend(found);
}

fn speaks_of_touched(touches: &Touches, change: &Change) -> bool {
    [&change.before, &change.after].into_iter().flatten().any(|text| mentions_any_word(touches, text))
}

/// A table may change when it is mentioned, or a table that it belongs to: a partition changes with its parent and all
/// ancestors, a shadow table with its virtual table.
fn is_touched(touches: &Touches, tables: &BTreeMap<&TableName, &Table>, name: &TableName) -> bool {
    let mut open = vec![name.clone()];
    let mut seen = BTreeSet::new();
    while let Some(name) = open.pop() {
        if touches.mentions(&name) {
            return true;
        }
        if let Some(table) = tables.get(&name).filter(|_| seen.insert(name.clone())) {
            open.extend(owners(&name, table));
        }
    }
    false
}

/// Returns the tables that a table may belong to.
fn owners(name: &TableName, table: &Table) -> Vec<TableName> {
    if table.kind == TableKind::Shadow {
        // SQLite names shadow tables after their virtual table: `docs_data` belongs to `docs`.
        let ends = name.name.match_indices('_').map(|(end, _)| end);
        return ends.map(|end| TableName::plain(&name.name[..end])).collect();
    }
    let parents = table
        .options
        .iter()
        .filter(|(option, _)| ["inherits", "partition of"].contains(&option.as_str()))
        .flat_map(|(_, value)| value.split(", "));
    // `partition of` is followed by the bound.
    parents.filter_map(|parent| TableName::parse(parent.split(" FOR ").next().unwrap_or(parent))).collect()
}

fn mentions_any_word(touches: &Touches, text: &str) -> bool {
    text.split(|character: char| !character.is_alphanumeric() && character != '_' && character != '$')
        .filter(|word| !word.is_empty())
        .any(|word| touches.mentions(&TableName::plain(word)))
}

fn new_findings(before: &[Finding], after: &[Finding]) -> Vec<Finding> {
    let known: BTreeSet<_> =
        before.iter().map(|finding| (&finding.code, &finding.subject, &finding.detail)).collect();
    after
        .iter()
        .filter(|finding| !known.contains(&(&finding.code, &finding.subject, &finding.detail)))
        .cloned()
        .collect()
}

fn wrong(code: &str, subject: &str, detail: &str) -> Wrong {
    Wrong { code: code.to_string(), subject: subject.to_string(), detail: detail.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Column, EngineKind, Table};
    use crate::fingerprint::{Digest, Fingerprint, TableFingerprint};
    use std::collections::BTreeSet;

    fn inventory(tables: &[(&str, u64)]) -> Inventory {
        let mut fingerprint = Fingerprint::new();
        let mut catalog = Catalog::default();
        for (name, rows) in tables {
            let name = TableName::plain(*name);
            let print = TableFingerprint { rows: *rows, digest: Digest(*rows as u128), ..Default::default() };
            fingerprint.tables.insert(name.clone(), print);
            let column = Column { name: "id".into(), ..Column::default() };
            catalog.tables.insert(name, Table { columns: vec![column], ..Table::default() });
        }
        Inventory {
            engine: EngineKind::Sqlite,
            version: "1".into(),
            facts: BTreeMap::new(),
            catalog,
            fingerprint,
            findings: Vec::new(),
        }
    }

    fn names(names: &[&str]) -> Touches {
        Touches::Names(names.iter().map(ToString::to_string).collect::<BTreeSet<_>>())
    }

    fn judged(before: &Inventory, after: &Inventory, applied: &Applied, others: &OtherWrites) -> Check {
        let touches = names(&["users"]);
        judge(
            before,
            after,
            &Circumstances { touches: &touches, applied, others, rows_expected: &[], rows_found: &[] },
        )
    }

    fn codes(check: &Check) -> Vec<&str> {
        check.wrong.iter().map(|wrong| wrong.code.as_str()).collect()
    }

    fn somebody() -> OtherWrites {
        OtherWrites::Somebody
    }

    #[test]
    fn a_table_that_the_migration_names_may_change() {
        let check = judged(
            &inventory(&[("users", 2)]),
            &inventory(&[("users", 3)]),
            &Applied::default(),
            &OtherWrites::Nobody,
        );
        assert_eq!(codes(&check), [""; 0]);
    }

    #[test]
    fn a_table_that_no_migration_names_must_not_change_when_nobody_else_wrote() {
        let (before, after) =
            (inventory(&[("users", 2), ("orders", 5)]), inventory(&[("users", 2), ("orders", 0)]));
        let check = judged(&before, &after, &Applied::default(), &OtherWrites::Nobody);
        assert_eq!(codes(&check), ["untouched-table-changed"]);
        assert_eq!(check.wrong[0].detail, "no migration names it, and it has 0 rows, before 5");
    }

    #[test]
    fn rows_of_other_sessions_are_told_apart_from_those_of_the_migration() {
        let (before, after) = (inventory(&[("orders", 5)]), inventory(&[("orders", 6)]));
        let wrote = |rows| Applied {
            rows_written: Some(BTreeMap::from([(TableName::plain("orders"), rows)])),
            ..Applied::default()
        };
        assert_eq!(codes(&judged(&before, &after, &wrote(1), &somebody())), ["untouched-table-changed"]);
        let check = judged(&before, &after, &Applied::nothing(), &somebody());
        assert_eq!((codes(&check).len(), check.unsure.len()), (0, 1));
        assert!(check.unsure[0].contains("written by other sessions"), "{:?}", check.unsure);
    }

    #[test]
    fn what_cannot_be_told_is_said() {
        let (before, after) = (inventory(&[("orders", 5)]), inventory(&[("orders", 6)]));
        let check = judged(&before, &after, &Applied::default(), &somebody());
        assert!(check.wrong.is_empty() && check.unsure[0].contains("it cannot be told"), "{check:?}");
    }

    #[test]
    fn a_dropped_table_that_no_migration_names_is_wrong() {
        let check =
            judged(&inventory(&[("orders", 5)]), &inventory(&[]), &Applied::default(), &OtherWrites::Nobody);
        assert_eq!(codes(&check), ["untouched-table-removed"]);
    }

    #[test]
    fn a_changed_definition_is_wrong_unless_it_speaks_of_what_the_migration_names() {
        let before = inventory(&[("orders", 5)]);
        let mut renamed = before.clone();
        let mut dropped = before.clone();
        let orders = |inventory: &mut Inventory, text: &str| {
            let table = inventory.catalog.tables.get_mut(&TableName::plain("orders")).expect("there");
            table.constraints.insert("fk".into(), text.into());
        };
        orders(&mut renamed, "FOREIGN KEY (user_id) REFERENCES users(id)");
        orders(&mut dropped, "CHECK (amount > 0)");
        let nobody = &OtherWrites::Nobody;
        assert_eq!(codes(&judged(&before, &renamed, &Applied::default(), nobody)), [""; 0]);
        assert_eq!(
            codes(&judged(&before, &dropped, &Applied::default(), nobody)),
            ["untouched-table-schema"]
        );
    }

    #[test]
    fn a_partition_changes_with_its_parent() {
        let mut before = inventory(&[("users_2026", 5)]);
        let table = before.catalog.tables.get_mut(&TableName::plain("users_2026")).expect("there");
        table.options.insert("partition of".into(), "public.users FOR VALUES IN (2026)".into());
        let mut after = before.clone();
        if let Some(print) = after.fingerprint.tables.get_mut(&TableName::plain("users_2026")) {
            print.digest = Digest(77);
        }
        assert_eq!(codes(&judged(&before, &after, &Applied::default(), &OtherWrites::Nobody)), [""; 0]);
    }

    #[test]
    fn a_partition_of_a_partition_changes_with_the_first_ancestor() {
        let mut before = inventory(&[("users", 0), ("users_2026", 0), ("users_2026_01", 5)]);
        for (child, parent) in [("users_2026", "users"), ("users_2026_01", "users_2026")] {
            let table = before.catalog.tables.get_mut(&TableName::plain(child)).expect("there");
            table.options.insert("inherits".into(), parent.into());
        }
        let mut after = before.clone();
        if let Some(print) = after.fingerprint.tables.get_mut(&TableName::plain("users_2026_01")) {
            print.digest = Digest(77);
        }
        assert_eq!(codes(&judged(&before, &after, &Applied::default(), &OtherWrites::Nobody)), [""; 0]);
    }

    #[test]
    fn a_shadow_table_changes_with_its_virtual_table() {
        let mut before = inventory(&[("users", 0), ("users_data", 5), ("orders_data", 5)]);
        for (name, table) in &mut before.catalog.tables {
            table.kind = if name.name == "users" { TableKind::Virtual } else { TableKind::Shadow };
        }
        let mut after = before.clone();
        for print in after.fingerprint.tables.values_mut() {
            print.digest = Digest(77);
        }
        let check = judged(&before, &after, &Applied::default(), &OtherWrites::Nobody);
        let subjects: Vec<_> = check.wrong.iter().map(|wrong| wrong.subject.as_str()).collect();
        assert_eq!(subjects, ["orders_data"]);
    }

    #[test]
    fn a_table_that_is_gone_is_never_laid_to_other_sessions() {
        let check = judged(&inventory(&[("orders", 5)]), &inventory(&[]), &Applied::nothing(), &somebody());
        assert_eq!(codes(&check), [""; 0]);
        assert!(check.unsure[0].contains("it cannot be told"), "{:?}", check.unsure);
    }

    #[test]
    fn only_findings_that_were_not_there_before_count() {
        let finding = |subject: &str| Finding {
            severity: Severity::Error,
            code: "foreign-key".into(),
            subject: subject.into(),
            detail: "points nowhere".into(),
        };
        let mut before = inventory(&[]);
        before.findings.push(finding("old"));
        let mut after = before.clone();
        after.findings.push(finding("new"));
        let check = judged(&before, &after, &Applied::default(), &OtherWrites::Nobody);
        assert_eq!((check.new_findings.len(), codes(&check)), (1, vec!["new-finding"]));
    }

    #[test]
    fn version_rows_other_than_the_planned_ones_are_wrong() {
        let row = [RevisionId::new("abcd").expect("an id")];
        let (touches, applied) = (names(&[]), Applied::default());
        let around = Circumstances {
            touches: &touches,
            applied: &applied,
            others: &OtherWrites::Nobody,
            rows_expected: &row,
            rows_found: &[],
        };
        assert_eq!(codes(&judge(&inventory(&[]), &inventory(&[]), &around)), ["version-rows"]);
    }
}
