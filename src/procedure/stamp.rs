//! The stamp: version rows set by hand. No migration runs, and no other data is touched.
//!
//! Everything is resolved before anything is written, and all of it is one transaction, so a wrong destination costs
//! nothing. The journal keeps the old rows: with them a stamp is undone by another one.

use super::facts::Done;
use super::{Ports, refused, rows_text, settle};
use crate::base::hash::sha256_hex;
use crate::engine::{self, AppliedFile, Bookkeeping};
use crate::history::{Direction, History, HistoryError, RevisionId, RowChange};
use crate::journal::Operation;
use crate::plan::{Script, Statement, Touches, TransactionMode};
use crate::report::{Aftermath, Failure, Kind, Report, Step};
use crate::runner;
use std::collections::BTreeSet;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct StampRequest {
    /// Where the database is said to be: ids, labels, `head`, `heads`, `base`.
    pub targets: Vec<String>,
    /// Replace all rows, also those that no revision file has, instead of those in the lineage of a target.
    pub purge: bool,
}

/// Sets the version rows to what is asked for.
pub async fn stamp(ports: &Ports<'_>, request: &StampRequest) -> Result<Report, Failure> {
    let id = ports.journal.new_id(Kind::Stamp);
    ports.database.must_exist().await.map_err(refused)?;
    let _lock = ports.database.lock(&id).await.map_err(refused)?;
    ports.journal.refuse_unfinished(ports.identity()).map_err(refused)?;

    // Resolve under the lock and before the first write: rows that moved meanwhile, or a target that does not exist,
    // must not leave a half-written table.
    let history = ports.runner.history().map_err(refused)?;
    let rows = ports.database.version_rows().await.map_err(refused)?;
    let remembered = ports.database.applied_files().await.map_err(refused)?;
    let wanted = Rewrite::new(&history, &rows, &remembered, request)
        .map_err(|error| refused(runner::Error::from(error)))?;
    let Some(script) = wanted.script() else { return Ok(nothing_to_do(ports, &wanted)) };

    let target = request.targets.join(" ");
    let mut op = ports
        .begin_with(&id, Kind::Stamp, (None, Some(target)), (wanted.from.clone(), wanted.to.clone()))
        .await
        .map_err(refused)?;
    let outcome = write(ports, &mut op, &wanted, &script).await.map(|()| Report {
        undo: undo(&history, &wanted),
        notes: notes(&history, &wanted, &id),
        ..report(ports, &wanted, Aftermath::Changed, Some(id))
    });
    settle::end(ports, &op, outcome).await
}

async fn write(
    ports: &Ports<'_>,
    op: &mut Operation,
    wanted: &Rewrite,
    script: &Script,
) -> Result<(), Failure> {
    ports.go_on().map_err(refused)?;
    op.set_aftermath(Aftermath::Unknown);
    let (id, log) = (op.id().to_string(), op.script_log());
    let at = ports.clock.now();
    let facts = format!("{} -> {}, no migration was run", rows_text(&wanted.from), rows_text(&wanted.to));
    let work = async {
        let book = Bookkeeping { operation: &id, at, known: &[], guarded: None };
        match ports.database.apply(script, &book, &log).await {
            // Keys that were broken before are no fault of a stamp; they are read only when there are any, because
            // reading them means reading everything.
            Err(engine::Error::ForeignKeys { .. }) => {
                let known = ports.database.inventory(&ports.progress(Step::Stamp)).await?.findings;
                ports.database.apply(script, &Bookkeeping { known: &known, ..book }, &log).await?;
            }
            other => drop(other?),
        }
        Ok::<_, engine::Error>(Done { what: (), facts })
    };
    match op.step(Step::Stamp, work).await {
        Ok(_) => Ok(()),
        // The rows would tell what is true now, and the commit may still come.
        Err(failure) if settle::undecided(&failure) => {
            Err(Failure { aftermath: Aftermath::Unknown, ..failure })
        }
        Err(failure) => Err(Failure { aftermath: state(ports, wanted).await, ..failure }),
    }
}

/// Looks what became of a stamp that failed: the rows say it, since all of it is one transaction.
async fn state(ports: &Ports<'_>, wanted: &Rewrite) -> Aftermath {
    ports.cancel.heard();
    match ports.database.version_rows().await {
        Ok(rows) if settle::same(&rows, &wanted.to) => Aftermath::Changed,
        Ok(rows) if settle::same(&rows, &wanted.from) => Aftermath::Unchanged,
        _ => Aftermath::Unknown,
    }
}

/// What a stamp is going to write. Pure.
#[derive(Debug, PartialEq, Eq)]
struct Rewrite {
    from: Vec<RevisionId>,
    to: Vec<RevisionId>,
    changes: Vec<RowChange>,
    /// Revisions whose files ripcord must no longer hold against the project. What stays applied stays remembered; what
    /// is only declared to be applied was not run, so no file is remembered for it.
    forgotten: Vec<RevisionId>,
    /// The revision that the script is named after: one that becomes applied or stops being so.
    named: Option<RevisionId>,
}

impl Rewrite {
    fn new(
        history: &History,
        rows: &[RevisionId],
        remembered: &[AppliedFile],
        request: &StampRequest,
    ) -> Result<Self, HistoryError> {
        let start = if request.purge { &[] } else { rows };
        let steps = history.stamp_steps(start, &request.targets)?;
        let to = steps.last().map_or_else(|| start.to_vec(), |step| step.rows_after.clone());
        let changes = if request.purge {
            replaced(rows, &to)
        } else {
            steps.into_iter().flat_map(|step| step.changes).collect()
        };
        let kept = kept(history, rows, &to)?;
        let mut from = rows.to_vec();
        from.sort();
        let forgotten =
            remembered.iter().map(|file| &file.revision).filter(|revision| !kept.contains(*revision));
        let forgotten = forgotten.cloned().collect();
        let mut written = changes.iter().flat_map(ids_of);
        let named = written.clone().find(|revision| !kept.contains(*revision)).or_else(|| written.next());
        let named = named.cloned();
        Ok(Self { from, to, named, changes, forgotten })
    }

    /// The one transaction that writes it; `None` when there is nothing to write.
    fn script(&self) -> Option<Script> {
        let revision = self.named.clone()?;
        let rest: Vec<_> = self.forgotten.iter().filter(|other| **other != revision).collect();
        Some(Script {
            revision,
            // Downward, because an engine then forgets the file of the revision instead of remembering one: none ran.
            direction: Direction::Down,
            message: "stamp".to_string(),
            place: "the stamp".to_string(),
            sha256: String::new(),
            transaction: TransactionMode::One,
            statements: forget(&rest).into_iter().collect(),
            accepts: Vec::new(),
            rows: self.changes.clone(),
            rows_after: self.to.clone(),
        })
    }
}

/// Deletes what is not wanted, then inserts what is not there: in this order, so that a key never meets itself.
fn replaced(rows: &[RevisionId], to: &[RevisionId]) -> Vec<RowChange> {
    let gone = rows.iter().filter(|row| !to.contains(row)).map(|row| RowChange::Delete(row.clone()));
    let new = to.iter().filter(|row| !rows.contains(row)).map(|row| RowChange::Insert(row.clone()));
    gone.chain(new).collect()
}

/// What is applied before and after. Rows that no file has (a purge removes them) say nothing about that.
fn kept(
    history: &History,
    rows: &[RevisionId],
    to: &[RevisionId],
) -> Result<BTreeSet<RevisionId>, HistoryError> {
    let known: Vec<_> = rows.iter().filter(|row| history.get(row).is_some()).cloned().collect();
    let after: BTreeSet<_> = history.applied(to)?.into_iter().map(|revision| &revision.id).collect();
    let before = history.applied(&known)?.into_iter().map(|revision| &revision.id);
    Ok(before.filter(|id| after.contains(id)).cloned().collect())
}

fn ids_of(change: &RowChange) -> Vec<&RevisionId> {
    match change {
        RowChange::Insert(id) | RowChange::Delete(id) => vec![id],
        RowChange::Update { from, to } => vec![from, to],
    }
}

/// The statement that removes these revisions from ripcord's memory of applied files. That table exists when one of them
/// was read from it.
fn forget(revisions: &[&RevisionId]) -> Option<Statement> {
    if revisions.is_empty() {
        return None;
    }
    let quoted: Vec<_> =
        revisions.iter().map(|id| format!("'{}'", id.as_str().replace('\'', "''"))).collect();
    let text = format!("DELETE FROM ripcord_revision WHERE revision IN ({})", quoted.join(", "));
    let touches = Touches::Names(BTreeSet::from(["ripcord_revision".to_string()]));
    Some(Statement { sha256: sha256_hex(&text), text, line: 1, touches })
}

/// The command that sets the old rows again, if their files are there.
fn undo(history: &History, wanted: &Rewrite) -> Option<String> {
    let rows: Vec<_> = wanted.from.iter().map(RevisionId::as_str).collect();
    match rows.as_slice() {
        [] => Some("ripcord stamp --purge base".to_string()),
        _ if history.check_rows(&wanted.from).is_err() => None,
        rows => Some(format!("ripcord stamp --purge {}", rows.join(" "))),
    }
}

fn notes(history: &History, wanted: &Rewrite, operation: &str) -> Vec<String> {
    let lost = undo(history, wanted).is_none();
    let note = || {
        format!(
            "the rows before ({}) cannot be stamped again as the revision files are now; they are kept: ripcord log {operation}",
            rows_text(&wanted.from)
        )
    };
    lost.then(note).into_iter().collect()
}

fn report(ports: &Ports<'_>, wanted: &Rewrite, aftermath: Aftermath, operation: Option<String>) -> Report {
    Report {
        operation,
        from: wanted.from.clone(),
        to: wanted.to.clone(),
        ..Report::new(Kind::Stamp, ports.identity(), aftermath)
    }
}

fn nothing_to_do(ports: &Ports<'_>, wanted: &Rewrite) -> Report {
    let note = format!("the database is at {} already, nothing was done", rows_text(&wanted.from));
    Report { notes: vec![note], ..report(ports, wanted, Aftermath::Unchanged, None) }
}

#[cfg(test)]
mod tests;
