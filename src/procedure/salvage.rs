//! Salvage: files of exactly what a migration destroys and its way back does not bring back.
//!
//! Taken out of the restored snapshot, so that it is of the snapshot's instant whatever is written meanwhile, and kept in
//! the backup that the change is about to publish. What must be kept is the ledger's to say ([`crate::ledger::keeps`]).

use super::facts::Done;
use super::snapshot::Saved;
use super::{Ports, carry, copies, judge, rows_of};
use crate::base::counted;
use crate::catalog::{Table, TableName};
use crate::engine::{Applied, Beside, Earlier, OtherWrites};
use crate::fingerprint::Inventory;
use crate::journal::Operation;
use crate::ledger::{self, Answers, Keep, Question};
use crate::plan::Plan;
use crate::report::{Failure, SalvageFacts, Step};
use crate::store::Backup;
use crate::tabular::{Draft, EXPORTS, Made, Sidecar};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Writes what is to be kept into the folder of a backup to come. Nothing to keep is no step.
pub(super) async fn take(
    ports: &Ports<'_>,
    op: &mut Operation,
    keeps: &[Keep],
    copy: &dyn Beside,
    folder: &Path,
) -> Result<Vec<Sidecar>, Failure> {
    if keeps.is_empty() {
        return Ok(Vec::new());
    }
    Ok(op.step(Step::Salvage, write(ports, Step::Salvage, keeps, copy, &folder.join(EXPORTS))).await?.what)
}

/// Writes what is to be kept into a folder, as a part of this step.
pub(super) async fn write(
    ports: &Ports<'_>,
    step: Step,
    keeps: &[Keep],
    copy: &dyn Beside,
    folder: &Path,
) -> Result<Done<Vec<Sidecar>>, Cause> {
    let names = keeps.iter().map(Keep::name).collect();
    write_as(ports, step, (keeps, names), copy, folder).await
}

async fn write_as(
    ports: &Ports<'_>,
    step: Step,
    (keeps, names): (&[Keep], Vec<String>),
    copy: &dyn Beside,
    folder: &Path,
) -> Result<Done<Vec<Sidecar>>, Cause> {
    ports.go_on()?;
    let draft = Arc::new(Draft::begin(folder, names)?);
    let at = ports.clock.now();
    let salvaged = copy.salvage(keeps, draft.clone(), &ports.progress(step)).await?;
    ports.go_on()?;
    let made: Vec<Made> = salvaged.into_iter().map(Made::from).collect();
    let published = draft.publish(&made, ports.identity(), at)?;
    let what: Vec<Sidecar> = published.into_iter().map(|(_, sidecar)| sidecar).collect();
    let rows = rows_of(what.iter().map(|sidecar| sidecar.rows).sum());
    let facts = match what.len() {
        0 => "nothing is lost after all".to_string(),
        files => format!("{}, {rows}", counted(files as u64, "file")),
    };
    Ok(Done { what, facts })
}

/// Returns what a backup says of one of its salvaged files.
pub fn facts(sidecar: &Sidecar) -> Option<SalvageFacts> {
    let salvage = sidecar.salvage.as_ref()?;
    Some(SalvageFacts {
        file: format!("{EXPORTS}/{}", sidecar.file),
        what: salvage.what,
        table: salvage.table.clone(),
        columns: salvage.columns.clone(),
        rows: sidecar.rows,
    })
}

/// Returns what of a migration's losses a published backup holds; what cannot be read is said by `backup verify`.
pub fn of(backup: &Backup) -> Vec<SalvageFacts> {
    let found = crate::tabular::salvage_in(&backup.folder).unwrap_or_default();
    found.iter().filter_map(|(_, sidecar)| facts(sidecar)).collect()
}

/// What a real run did, and what it can have been.
pub(super) struct Ran<'a> {
    pub plan: &'a Plan,
    pub after: &'a Inventory,
    pub applied: &'a Applied,
    pub others: &'a OtherWrites,
}

/// Adds to the published backup what the migration has destroyed and no rehearsal has kept: where nothing was rehearsed
/// on data, or the real run went further. The snapshot is opened beside the live database and compared with it.
///
/// The change stands whatever becomes of this: a failure is a remark, and the snapshot holds everything all the same.
pub(super) async fn after_the_fact(
    ports: &Ports<'_>,
    op: &mut Operation,
    saved: &Saved,
    ran: &Ran<'_>,
) -> Result<Vec<SalvageFacts>, String> {
    let asked = in_question(saved, ran);
    let ends = (ledger::folded(&saved.inventory), ledger::folded(ran.after));
    let virtual_ones = ledger::keeps(&ends.0, (&ends.1, &Answers::new()), None);
    let virtual_ones = virtual_ones.iter().any(|keep| !ran.after.catalog.tables.contains_key(&keep.table));
    if asked.is_empty() && (!virtual_ones || saved.rehearsed_rows()) {
        return Ok(Vec::new());
    }
    let id = op.id().to_string();
    let work = async || late(ports, &id, saved, ran, &asked).await;
    let done = op.step(Step::Salvage, carry::to_the_end(ports, "keeping what it took away", work)).await;
    match done {
        Ok(done) => Ok(done.what.iter().filter_map(facts).collect()),
        Err(failure) => {
            not_taken(ports, saved, &failure.to_string()).await;
            let backup = &saved.backup.manifest.id;
            Err(format!(
                "what the migration took away could not be kept by itself ({failure}); the snapshot has it: {backup}"
            ))
        }
    }
}

/// The file in a backup that says why what its migration took away is in its snapshot alone.
pub(super) const NOT_TAKEN: &str = "not-salvaged.txt";

/// Says so in the backup, for the downgrade that would otherwise bring nothing back and not know it.
pub(super) async fn not_taken(ports: &Ports<'_>, saved: &Saved, why: &str) {
    // Where not even that can be written, the note at the end of the change says it.
    let _ = ports.store.add(&saved.backup.manifest.id, NOT_TAKEN, format!("{why}\n").as_bytes()).await;
}

/// Returns what to ask about tables that are not as they were, by the migration's doing as far as that can be told.
fn in_question(saved: &Saved, ran: &Ran<'_>) -> Vec<Question> {
    let (before, after) = (ledger::folded(&saved.inventory), ledger::folded(ran.after));
    let rehearsal = saved.rehearsal.as_ref().filter(|_| saved.rehearsed_rows());
    let expected = rehearsal.map(|rehearsal| ledger::folded(&rehearsal.end));
    let tables: BTreeMap<&TableName, &Table> =
        before.catalog.tables.iter().chain(&ran.after.catalog.tables).collect();
    let touches = ran.plan.touches();
    let nobody = *ran.others == OtherWrites::Nobody;
    let is_ours = |name: &TableName| {
        let written =
            ran.applied.rows_written.as_ref().is_none_or(|rows| rows.get(name).is_some_and(|rows| *rows > 0));
        let redefined = before.catalog.tables.get(name) != ran.after.catalog.tables.get(name);
        judge::is_touched(&touches, &tables, name) && (nobody || written || redefined)
    };
    let goes_on = |name: &TableName| match &expected {
        None => true,
        // What differs from the rehearsal's end is the migration's doing only if nobody else wrote.
        Some(end) => nobody && end.fingerprint.tables.get(name) != after.fingerprint.tables.get(name),
    };
    let asked = ledger::questions(&before, &after).into_iter();
    asked.filter(|question| is_ours(&question.before) && goes_on(&question.before)).collect()
}

async fn late(
    ports: &Ports<'_>,
    operation: &str,
    saved: &Saved,
    ran: &Ran<'_>,
    asked: &[Question],
) -> Result<Done<Vec<Sidecar>>, Cause> {
    ports.go_on()?;
    // What rows went to, or may have come from, is compared as well.
    let of_tree = |question: &Question| {
        let before = question.tree.iter().flat_map(|tree| &tree.before);
        before.map(|member| member.table.clone()).collect::<Vec<_>>()
    };
    let tables: BTreeSet<TableName> = asked
        .iter()
        .flat_map(|question| of_tree(question).into_iter().chain([question.before.clone()]))
        .collect();
    let tables: Vec<TableName> = tables.into_iter().collect();
    let progress = ports.progress(Step::Salvage);
    let earlier = ports.database.earlier(&saved.backup.snapshot(), &tables, operation, &progress).await?;
    let outcome = compare(ports, operation, saved, ran, asked, earlier.as_ref()).await;
    copies::removed(outcome, earlier.close(), Cause::from).await
}

async fn compare(
    ports: &Ports<'_>,
    operation: &str,
    saved: &Saved,
    ran: &Ran<'_>,
    asked: &[Question],
    earlier: &dyn Earlier,
) -> Result<Done<Vec<Sidecar>>, Cause> {
    let answers = earlier.row_changes(asked).await?;
    let kept = crate::tabular::salvage_in(&saved.backup.folder)?;
    let (before, after) = (ledger::folded(&saved.inventory), ledger::folded(ran.after));
    let is_asked = |keep: &Keep| {
        answers.contains_key(&keep.table) || !before.fingerprint.tables.contains_key(&keep.table)
    };
    let keeps = ledger::keeps(&before, (&after, &answers), None).into_iter();
    let keeps: Vec<Keep> = keeps.filter(is_asked).collect();
    // Of a table that ended otherwise than on the copy nobody knows how far the two losses are the same: it is kept again.
    let taken = |name: &String| kept.iter().any(|(_, sidecar)| sidecar.name == *name);
    let names =
        keeps.iter().map(Keep::name).map(|name| if taken(&name) { format!("{name}.later") } else { name });
    // Written where `tidy` finds it, and moved into the backup when it is whole.
    let draft = ports.store.draft(&format!("{operation}-salvage")).await?;
    let written =
        write_as(ports, Step::Salvage, (&keeps, names.collect()), earlier, &draft.folder.join(EXPORTS)).await;
    let moved = match written {
        Ok(done) => {
            let (id, from) = (&saved.backup.manifest.id, draft.folder.join(EXPORTS));
            move_in(ports, id, (&from, EXPORTS), &done.what).await.map(|()| done)
        }
        Err(error) => Err(error),
    };
    ports.store.discard(draft).await?;
    moved
}

/// Moves salvage that is whole out of a folder into one of a published backup.
pub(super) async fn move_in(
    ports: &Ports<'_>,
    id: &str,
    (from, to): (&Path, &str),
    what: &[Sidecar],
) -> Result<(), Cause> {
    for sidecar in what {
        let stem = sidecar.file.strip_suffix(".csv.gz").unwrap_or(&sidecar.file);
        // The JSON vouches for the CSV: it comes second.
        for name in [sidecar.file.clone(), format!("{stem}.json")] {
            ports.store.add_file(id, &format!("{to}/{name}"), &from.join(&name)).await?;
        }
    }
    Ok(())
}
