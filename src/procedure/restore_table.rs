//! Putting single tables back: their rows as a backup has them, everything else as it is.

mod told;

use super::change::{Wants, preflight};
use super::facts::Done;
use super::merge::names;
use super::recover::took_place;
use super::snapshot::{self, Purpose, Saved, read_inventory};
use super::{Ports, Refusal, SnapshotPolicy, look, refused, restore, settle, verify, whose};
use crate::catalog::{TableKind, TableName, diff};
use crate::engine::{self, OtherWrites, RestoredTable, WriteMark};
use crate::fingerprint::{Inventory, compare};
use crate::journal::{Entry, Operation, OperationState};
use crate::report::{Aftermath, Check, Failure, Kind, Report, Step, Wrong};
use crate::store::Backup;
use std::collections::BTreeSet;

/// The facts in the journal that say what is put back, for recovery.
const RESTORES: &str = "restores";
const TABLES: &str = "tables";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct TablesRequest {
    /// The backup's id, or an unambiguous part of it, or `latest`.
    pub backup: String,
    /// As they were typed: with their schema or without.
    pub tables: Vec<String>,
    /// What the backup says of its database, where a person says that it is this one under another name.
    pub of_database: Option<String>,
    pub policy: SnapshotPolicy,
}

/// Puts the rows of single tables back as they were in a backup. The present state is saved as a backup first.
pub async fn restore_tables(ports: &Ports<'_>, request: &TablesRequest) -> Result<Report, Failure> {
    // Look at the backup before anything else: a damaged one must be known before the live database is touched.
    let backup = restore::whole(ports, &request.backup).await?;
    whose::refuse_another(ports, &backup, request.of_database.as_deref()).await?;
    let expected = read_inventory(&backup, "before.json").map_err(refused)?;
    let tables = named(&backup, &expected, &request.tables)?;
    ports.refuse_missing().await?;
    let id = ports.journal.new_id(Kind::RestoreTable);
    let _lock = ports.database.lock(&id).await.map_err(refused)?;
    ports.journal.refuse_unfinished(ports.identity()).map_err(refused)?;
    preflight(ports, &request.policy, Wants { writes: true, ..Wants::default() }).await?;

    let rows = ports.database.version_rows().await.map_err(refused)?;
    let mut op = ports.begin(&id, Kind::RestoreTable, None, (&rows, &rows)).await.map_err(refused)?;
    let listed: Vec<String> = tables.iter().map(ToString::to_string).collect();
    for (name, value) in [(RESTORES, backup.manifest.id.clone()), (TABLES, listed.join("\n"))] {
        op.write(Entry::Fact { name: name.to_string(), value }).map_err(refused)?;
    }
    let outcome = put_back(ports, &mut op, request, &backup, &expected, &tables).await;
    settle::end(ports, &op, outcome).await
}

/// Finds the tables that are meant in a backup. Only ordinary ones can be put back alone, of partitioned ones those that
/// hold the rows.
fn named(backup: &Backup, expected: &Inventory, asked: &[String]) -> Result<Vec<TableName>, Failure> {
    let mut found: Vec<TableName> = Vec::new();
    for asked in asked {
        let no_table = |detail: &str| {
            let (backup, table) = (backup.manifest.id.clone(), asked.clone());
            Err(refused(Refusal::NoTable { backup, table, detail: detail.to_string() }))
        };
        let meant: Vec<_> = expected.catalog.tables.iter().filter(|(name, _)| names(asked, name)).collect();
        match meant.as_slice() {
            [] => return no_table("it holds none of that name"),
            [(name, table)] if table.kind == TableKind::Ordinary => {
                if !found.contains(name) {
                    found.push((*name).clone());
                }
            }
            // It holds no rows itself: they are in its partitions.
            [(name, table)] if table.kind == TableKind::Partitioned => {
                let leaves = expected.catalog.leaves(name);
                if leaves.is_empty() {
                    return no_table("it is partitioned, and the backup has no partition of it with rows");
                }
                let new: Vec<TableName> =
                    leaves.into_iter().filter(|leaf| !found.contains(leaf)).cloned().collect();
                found.extend(new);
            }
            [_] => return no_table("only an ordinary table can be put back by itself"),
            _ => return no_table("it holds several of that name; name the schema as well"),
        }
    }
    Ok(found)
}

async fn put_back(
    ports: &Ports<'_>,
    op: &mut Operation,
    request: &TablesRequest,
    backup: &Backup,
    expected: &Inventory,
    tables: &[TableName],
) -> Result<Report, Failure> {
    let mark = ports.database.mark().await.map_err(refused)?;
    // Save what is about to be replaced: it holds what was written since.
    let purpose = Purpose {
        id: op.id().to_string(),
        kind: Kind::RestoreTable,
        plan: None,
        rehearse: false,
        consent: None,
        ahead: None,
    };
    let saved = snapshot::keep(ports, op, &purpose, &request.policy).await?;
    let with_backup = |failure: Failure| Failure { backup: Some(saved.facts()), ..failure };
    ports.go_on().map_err(|error| with_backup(refused(error)))?;

    op.set_aftermath(Aftermath::Unknown);
    let (id, progress) = (op.id().to_string(), ports.progress(Step::RestoreTables));
    let work = async {
        let folder = backup.snapshot();
        let done = ports.database.restore_tables(&folder, tables, &expected.catalog, &id, &progress).await?;
        Ok::<_, engine::Error>(Done { facts: sentence(&done), what: done })
    };
    let done = op.step(Step::RestoreTables, work).await.map_err(|failure| {
        // One transaction, and what failed has undone it.
        let aftermath = if settle::undecided(&failure) { Aftermath::Unknown } else { Aftermath::Unchanged };
        let next = told::instead(&failure, (&backup.manifest.id, &expected.catalog), tables);
        with_backup(Failure { aftermath, next, ..failure })
    })?;
    op.set_aftermath(Aftermath::Changed);
    let (after, check) =
        checked(ports, op, &saved, expected, &done.what, &mark).await.map_err(with_backup)?;
    let keep = async {
        let bytes = serde_json::to_vec_pretty(&after).unwrap_or_default();
        ports.store.add(&saved.backup.manifest.id, "after.json", &bytes).await
    };
    op.step(Step::Finish, keep).await.map_err(with_backup)?;
    Ok(Report {
        aftermath: Aftermath::Changed,
        notes: told::notes(expected, (&saved.inventory, &after), tables)
            .into_iter()
            .chain(check.unsure.clone())
            .collect(),
        check: Some(check),
        backup: Some(saved.facts()),
        undo: Some(format!("ripcord restore {}", saved.backup.manifest.id)),
        restored: done.what,
        ..report(ports, op.id(), &saved.backup.manifest.from)
    })
}

fn sentence(done: &[RestoredTable]) -> String {
    let one = |table: &RestoredTable| format!("{}: {}", table.table, super::rows_of(table.rows));
    done.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Looks at the database afterwards: the tables must be those of the backup, everything else as it was.
async fn checked(
    ports: &Ports<'_>,
    op: &mut Operation,
    saved: &Saved,
    expected: &Inventory,
    done: &[RestoredTable],
    mark: &WriteMark,
) -> Result<(Inventory, Check), Failure> {
    let refusal = |count| Refusal::Verification { count };
    let what = look::PutBack { done: "the tables are put back", refusal };
    let judge =
        |after: &Inventory, others: &OtherWrites| judge(&saved.inventory, expected, after, done, others);
    look::and_judge(ports, op, (saved, mark), what, judge).await
}

/// What may have changed are these tables, and they must be as the backup has them. Pure.
fn judge(
    before: &Inventory,
    expected: &Inventory,
    after: &Inventory,
    done: &[RestoredTable],
    others: &OtherWrites,
) -> Check {
    let comparison = compare(&before.fingerprint, &after.fingerprint);
    let catalog = diff(&before.catalog, &after.catalog);
    let mut check = Check { catalog, comparison, ..Check::default() };
    let made: BTreeSet<TableName> =
        done.iter().filter(|one| one.created).map(|one| one.table.clone()).collect();
    let is_made =
        |table: Option<&str>| table.and_then(TableName::parse).is_some_and(|name| made.contains(&name));
    for change in &check.catalog {
        // A sequence that belongs to a table comes with it, and has no table to be known by.
        let came_along = !made.is_empty() && change.before.is_none() && change.table.is_none();
        let published = before.catalog.only_published(&after.catalog, &change.subject, &made);
        if !is_made(change.table.as_deref()) && !came_along && !published {
            let detail = "its definition changed, and putting rows back changes none".to_string();
            check.wrong.push(Wrong { code: "catalog".to_string(), subject: change.subject.clone(), detail });
        }
    }
    let mut found: Vec<(String, String)> = Vec::new();
    for (name, _) in check.comparison.differing() {
        let mut put_back = done.iter().map(|one| &one.table);
        if !put_back.clone().any(|table| table == name) && !after.catalog.follows_any(name, &mut put_back) {
            found.push((name.to_string(), "it changed, and was not to be put back".to_string()));
        }
    }
    for one in done {
        let print = |inventory: &Inventory| {
            inventory.fingerprint.tables.get(&one.table).map(|print| (print.rows, print.digest))
        };
        let definition = |inventory: &Inventory| inventory.catalog.tables.get(&one.table).cloned();
        if one.created && definition(expected) != definition(after) {
            let detail = "it was not made as it was".to_string();
            let subject = one.table.to_string();
            check.wrong.push(Wrong { code: "catalog".to_string(), subject, detail });
        }
        for (key, object) in expected.catalog.belongings(&one.table) {
            if one.created && after.catalog.objects.get(key) != Some(object) {
                let detail = format!("it is not as it was, although table {} was made again", one.table);
                check.wrong.push(Wrong { code: "catalog".to_string(), subject: key.clone(), detail });
            }
        }
        if print(expected) != print(after) {
            found.push((one.table.to_string(), "its rows are not those of the backup".to_string()));
        }
    }
    for (subject, detail) in found {
        match others {
            OtherWrites::Nobody => {
                check.wrong.push(Wrong { code: "untouched-table-changed".to_string(), subject, detail });
            }
            _ => check.unsure.push(format!("{subject}: {detail}; other sessions may have written meanwhile")),
        }
    }
    check
}

/// The crash came while tables were put back: it is one transaction, and the tables tell whether it took place.
pub(super) async fn recover(
    ports: &Ports<'_>,
    state: &OperationState,
    saved: &Saved,
) -> Result<Report, Failure> {
    let unknown =
        |failure: Failure| Failure { aftermath: Aftermath::Unknown, backup: Some(saved.facts()), ..failure };
    let fact = |name: &str| state.facts.get(name).cloned().unwrap_or_default();
    let backup = ports.store.open(&fact(RESTORES)).await.map_err(refused).map_err(unknown)?;
    let expected = read_inventory(&backup, "before.json").map_err(refused).map_err(unknown)?;
    let now =
        ports.database.inventory(&ports.progress(Step::Verify)).await.map_err(refused).map_err(unknown)?;
    // What it would be like: the state before, with these tables as the backup has them.
    let mut restored = saved.inventory.clone();
    for name in fact(TABLES).lines().filter_map(TableName::parse) {
        let print = expected.fingerprint.tables.get(&name).cloned();
        print.map(|print| restored.fingerprint.tables.insert(name.clone(), print));
        // One that stands keeps its definition; one that was gone is made as the backup has it.
        if let Some(table) = expected.catalog.tables.get(&name) {
            restored.catalog.tables.entry(name).or_insert_with(|| table.clone());
        }
    }
    // A full-text index over them was built anew.
    let tables: Vec<TableName> = fact(TABLES).lines().filter_map(TableName::parse).collect();
    for (name, print) in &now.fingerprint.tables {
        if now.catalog.follows_any(name, tables.iter()) {
            restored.fingerprint.tables.insert(name.clone(), print.clone());
        }
    }
    let mut report = report(ports, &state.operation, &state.from);
    report.backup = Some(saved.facts());
    match took_place(&restored, Some(&saved.inventory), &now) {
        // Where they already were as in the backup both states are one, and nothing was lost either way.
        Some(true) => {
            let bytes = serde_json::to_vec_pretty(&now).unwrap_or_default();
            let kept = ports.store.add(&saved.backup.manifest.id, "after.json", &bytes).await;
            kept.map_err(refused).map_err(unknown)?;
            report.undo = Some(format!("ripcord restore {}", saved.backup.manifest.id));
            report.notes.extend(told::notes(&expected, (&saved.inventory, &now), &tables));
            Ok(Report { aftermath: Aftermath::Changed, ..report })
        }
        Some(false) => {
            let tables = fact(TABLES);
            let flags: Vec<String> = tables.lines().map(|table| format!("--table {table}")).collect();
            let again = format!("ripcord restore {} {}", backup.manifest.id, flags.join(" "));
            report.notes.push(format!("no table was put back; run it again: {again}"));
            Ok(report)
        }
        None => {
            let at = "while tables were put back, and others have written since".to_string();
            let failure = refused(Refusal::NeedsChoice { operation: state.operation.clone(), at });
            let next = vec!["ripcord recover --undo".to_string()];
            let check = Some(Box::new(verify::strict(&saved.inventory, &now)));
            Err(Failure { next, check, ..unknown(failure) })
        }
    }
}

fn report(ports: &Ports<'_>, operation: &str, rows: &[crate::history::RevisionId]) -> Report {
    Report {
        operation: Some(operation.to_string()),
        from: rows.to_vec(),
        to: rows.to_vec(),
        ..Report::new(Kind::RestoreTable, ports.identity(), Aftermath::Unchanged)
    }
}
