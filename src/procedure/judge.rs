//! What verification holds against a change. Pure: two inventories in, a [`Check`] out.
//!
//! The rule is simple because it must be trusted at three in the morning: what the migration names may change, the
//! rest must not. Where other sessions can have written meanwhile, the rest is told apart by what the migration's own
//! transactions wrote, and where even that is unknown the check says that it cannot tell. What the migration names is held
//! against its rehearsal, and so is what the rehearsal saw it reach without a name.

mod reached;
mod rehearsed;

#[cfg(test)]
mod tests;

pub use rehearsed::Rehearsed;

use crate::base::one_or_more;
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
    /// What the rehearsal saw, if there was one.
    pub rehearsed: Option<Rehearsed<'a>>,
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
    let unnamed = |name: &TableName| !name.is_bookkeeping() && !is_touched(around.touches, &tables, name);
    let reached = reached::of(around, before, after, &unnamed);
    let untouched = |name: &TableName| unnamed(name) && !reached.contains(name);
    let mut data = Vec::new();
    for (name, table) in check.comparison.differing().filter(|(name, _)| untouched(name)) {
        data.push((name.clone(), table.clone()));
    }
    for (name, table) in data {
        blame(&name, &table, around, &mut check);
    }
    schema(around, &untouched, &mut check);
    if let Some(rehearsed) = &around.rehearsed {
        rehearsed.tell(&reached, &mut check);
        let scope = Scope { untouched: &untouched, reached: &reached };
        rehearsed.hold(before, after, around, &scope, &mut check);
    }
    for finding in check.new_findings.iter().filter(|finding| finding.severity == Severity::Error) {
        check.wrong.push(wrong("new-finding", &finding.subject, &finding.detail));
    }
    check
}

/// Which tables are whose.
struct Scope<'a> {
    /// Neither named nor reached.
    untouched: &'a dyn Fn(&TableName) -> bool,
    /// Not named, and changed on the copy.
    reached: &'a BTreeSet<TableName>,
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
        (Some(before), Some(_)) => format!(
            "its {} {} other values than before",
            super::rows_of(before),
            one_or_more(before, "holds", "hold")
        ),
        (Some(before), None) => format!("it is gone with its {}", super::rows_of(before)),
        (None, Some(after)) => format!("it is new, with {}", super::rows_of(after)),
        (None, None) => "it changed".to_string(),
    }
}

/// Holds changes of the definition of tables against the migration that names neither them nor anything that the
/// changed text speaks of (renaming a parent rewrites the foreign keys of its children).
fn schema(around: &Circumstances<'_>, untouched: &dyn Fn(&TableName) -> bool, check: &mut Check) {
    let found = check.catalog.iter().filter_map(|change| {
        let table = change.table.as_deref().and_then(TableName::parse)?;
        // A table that is gone or new is held against the migration by its rows already.
        let held = change.subject.starts_with("table ");
        let ours = untouched(&table) && !held && !speaks_of_touched(around.touches, change);
        ours.then(|| (change.subject.clone(), table))
    });
    for (subject, table) in found.collect::<Vec<_>>() {
        // Whoever changes a definition locks the table, and keeps the lock until the commit.
        let locks = around.applied.locks.as_ref();
        let locked = locks.map(|locks| locks.get(&table).is_some_and(|mode| !WEAK.contains(&mode.as_str())));
        let changed = "its definition changed, no migration names it";
        match (around.others, locked) {
            (OtherWrites::Nobody, _) | (_, Some(true)) => {
                check.wrong.push(wrong("untouched-table-schema", &subject, changed));
            }
            (_, Some(false)) => {
                check.unsure.push(format!("{subject}: {changed}; other sessions did that while the migration ran"));
            }
            (_, None) => check.unsure.push(format!(
                "{subject}: {changed}; other sessions may have written while the migration ran, so it cannot be told \
                 whether the migration did it"
            )),
        }
    }
}

/// The locks of PostgreSQL under which no definition is changed.
const WEAK: [&str; 3] = ["AccessShareLock", "RowShareLock", "RowExclusiveLock"];

fn speaks_of_touched(touches: &Touches, change: &Change) -> bool {
    [&change.before, &change.after].into_iter().flatten().any(|text| mentions_any_word(touches, text))
}

/// A table may change when it is mentioned, or a table that it belongs to: a partition changes with its parent and all
/// ancestors, a shadow table with its virtual table.
pub(super) fn is_touched(touches: &Touches, tables: &BTreeMap<&TableName, &Table>, name: &TableName) -> bool {
    let mut open = vec![name.clone()];
    let mut seen = BTreeSet::new();
    while let Some(name) = open.pop() {
        if touches.mentions(&name) || name.is_large_objects() && touches_large_objects(touches) {
            return true;
        }
        if let Some(table) = tables.get(&name).filter(|_| seen.insert(name.clone())) {
            open.extend(owners(&name, table));
        }
    }
    false
}

/// Large objects are written to through functions, which are what a migration names.
fn touches_large_objects(touches: &Touches) -> bool {
    const FUNCTIONS: [&str; 11] = [
        "lo_creat",
        "lo_create",
        "lo_from_bytea",
        "lo_import",
        "lo_manage",
        "lo_open",
        "lo_put",
        "lo_truncate",
        "lo_truncate64",
        "lo_unlink",
        "lowrite",
    ];
    FUNCTIONS.iter().any(|function| touches.mentions(&TableName::plain(*function)))
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

/// Returns what the engine's own checks find after a change and had not found before.
pub(super) fn new_findings(before: &[Finding], after: &[Finding]) -> Vec<Finding> {
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
