//! The bad end: finding out what is true of the data, and putting it back where that loses nothing.

use super::change::{ChangeRequest, OnFailure};
use super::facts::Done;
use super::restore::{self, Cause};
use super::salvage::{self, Ran};
use super::snapshot::Saved;
use super::{Ports, Refusal, look, rows_text, verify};
use crate::base::{counted, one_or_more};
use crate::engine::{self, Applied, OtherWrites, WriteMark};
use crate::fingerprint::Inventory;
use crate::history::{Direction, RevisionId};
use crate::journal::Operation;
use crate::plan::Plan;
use crate::report::{Aftermath, Event, Failure, Report, RowsThen, Step};
use crate::runner;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

/// Writes the last line of an operation and keeps a copy of its journal in the backup.
///
/// An end that nobody knows is no end: the journal stays open, and `recover` is the next command.
pub(super) async fn end(
    ports: &Ports<'_>,
    op: &Operation,
    outcome: Result<Report, Failure>,
) -> Result<Report, Failure> {
    let outcome = match outcome {
        Err(failure) => Err(with_rows(ports, op, failure).await),
        done => done,
    };
    let (aftermath, error, backup) = match &outcome {
        Ok(report) => (report.aftermath, None, report.backup.as_ref()),
        Err(failure) => (failure.aftermath, Some(failure.source.to_string()), failure.backup.as_ref()),
    };
    if aftermath == Aftermath::Unknown {
        return outcome.map_err(|mut failure| {
            failure.operation = Some(op.id().to_string());
            if failure.next.is_empty() {
                failure.next.push("ripcord recover".to_string());
            }
            failure
        });
    }
    if outcome.is_err() {
        // A draft that was not published is of no use to anybody; one that cannot be removed now is hidden by its name.
        let _ = ports.store.tidy(op.id()).await;
    }
    if let Err(failure) = &outcome
        && !failure.source.is::<Refusal>()
    {
        // A server that was restarted in the middle keeps the copies which a session was to drop; where it is not back yet,
        // the next operation names them.
        let facts = ports.journal.state(op.id()).map(|state| state.facts).unwrap_or_default();
        let _ = ports.database.tidy(op.id(), &facts).await;
    }
    let written = op.end(aftermath, error.as_deref());
    if let (Some(backup), Ok(bytes)) = (backup, ports.journal.bytes(op.id())) {
        // A convenience for readers of the folder; the journal itself is safe where it is.
        let _ = ports.store.add(&backup.id, "journal.jsonl", &bytes).await;
    }
    match outcome {
        // The work is done and true whatever became of the line that says so; `recover` writes it again.
        Ok(report) => written
            .map_err(|error| Failure {
                operation: Some(op.id().to_string()),
                aftermath: report.aftermath,
                backup: report.backup.clone(),
                next: vec!["ripcord recover".to_string()],
                is_done: true,
                ..Failure::refused(error)
            })
            .map(|()| report),
        Err(mut failure) => {
            failure.operation.get_or_insert_with(|| op.id().to_string());
            if written.is_err() {
                // It counts as unfinished: everything else refuses until that line is written.
                failure.next.insert(0, "ripcord recover".to_string());
            }
            Err(failure)
        }
    }
}

/// Looks where the version rows are, unless the data is as it was: they tell whether anything of a change is committed.
async fn with_rows(ports: &Ports<'_>, op: &Operation, failure: Failure) -> Failure {
    if matches!(failure.aftermath, Aftermath::Unchanged | Aftermath::PutBack) {
        return failure;
    }
    ports.cancel.heard();
    let before = ports.journal.state(op.id()).map(|state| state.from);
    let now = ports.database.version_rows().await.ok();
    let rows = before.zip(now).map(|(before, now)| Box::new(RowsThen { before, now }));
    Failure { rows, ..failure }
}

/// A script failed: a transactional one has undone itself, which is shown; otherwise the policy decides.
pub(super) async fn after_migrate(
    ports: &Ports<'_>,
    op: &mut Operation,
    request: &ChangeRequest,
    plan: &Plan,
    saved: &Saved,
    mark: &WriteMark,
    mut cause: Failure,
) -> Failure {
    // The wish to stop was heard; from here on the work is to reach a known state.
    ports.cancel.heard();
    cause.backup = Some(saved.facts());
    if undecided(&cause) {
        // The version rows would tell what is true now, and the commit may still come.
        cause.aftermath = Aftermath::Unknown;
        return cause;
    }
    let Ok(rows) = ports.database.version_rows().await else {
        cause.aftermath = Aftermath::Unknown;
        return cause;
    };
    if same(&rows, &plan.from) && is_refused(&cause) {
        // Before its first statement.
        cause.aftermath = Aftermath::Unchanged;
        return cause;
    }
    let looked = match same(&rows, &plan.from) {
        true => Some(verify::is_as_before(ports, saved).await),
        false => None,
    };
    // Of statements that ran by themselves some may be there; the first may also have been refused.
    let stands = !plan.is_transactional() && !matches!(&looked, Some(Ok(check)) if check.wrong.is_empty());
    let Some(looked) = looked.filter(|_| !stands) else {
        let cause = put_back_or_stop(ports, op, request, plan, saved, mark, cause, &rows).await;
        return keep_what_went(ports, op, plan, saved, mark, &Applied::default(), cause).await;
    };
    match looked {
        Ok(check) if check.wrong.is_empty() => cause.aftermath = Aftermath::Unchanged,
        // The transaction was undone, so what differs is the doing of others, unless it is proven that there were none.
        Ok(check) => {
            let nobody = matches!(ports.database.others_wrote_since(mark).await, Ok(OtherWrites::Nobody));
            cause.aftermath = if nobody { Aftermath::Unknown } else { Aftermath::Unchanged };
            cause.check = Some(Box::new(check));
        }
        Err(_) => cause.aftermath = Aftermath::Unknown,
    }
    cause
}

/// Tells whether nobody knows what became of the migration's commit.
pub(super) fn undecided(cause: &Failure) -> bool {
    matches!(of_engine(cause), Some(engine::Error::Undecided { .. }))
}

/// Tells whether a step ended because somebody asked it to.
pub(super) fn is_interrupted(cause: &Failure) -> bool {
    super::is_interrupted(cause.source.as_ref())
}

/// Tells whether the first script refused to begin.
fn is_refused(cause: &Failure) -> bool {
    matches!(of_engine(cause), Some(engine::Error::SchemaMoved))
}

pub(super) fn of_engine(cause: &Failure) -> Option<&engine::Error> {
    let of_runner = || match cause.source.downcast_ref::<runner::Error>() {
        Some(runner::Error::Engine(error)) => Some(error),
        _ => None,
    };
    cause.source.downcast_ref::<engine::Error>().or_else(of_runner)
}

/// Verification failed: the migration stands, and the policy decides.
pub(super) async fn after_verify(
    ports: &Ports<'_>,
    op: &mut Operation,
    request: &ChangeRequest,
    plan: &Plan,
    saved: &Saved,
    mark: &WriteMark,
    (applied, mut cause): (&Applied, Failure),
) -> Failure {
    ports.cancel.heard();
    cause.backup = Some(saved.facts());
    cause.aftermath = Aftermath::Changed;
    let rows = ports.database.version_rows().await.unwrap_or_default();
    let cause = put_back_or_stop(ports, op, request, plan, saved, mark, cause, &rows).await;
    keep_what_went(ports, op, plan, saved, mark, applied, cause).await
}

/// Where the change stands, what it took away is salvaged as after one that passed: its downgrade is to bring it back.
/// `after.json` is not written, because nobody has called this state right; the journal says that the change stands.
async fn keep_what_went(
    ports: &Ports<'_>,
    op: &mut Operation,
    plan: &Plan,
    saved: &Saved,
    mark: &WriteMark,
    applied: &Applied,
    mut cause: Failure,
) -> Failure {
    if cause.aftermath != Aftermath::Changed {
        return cause;
    }
    let kept = match look::after(ports, Step::Salvage, saved, mark).await {
        Ok(look::Looked { inventory: after, others }) => {
            let ran = Ran { plan, after: &after, applied, others: &others };
            salvage::after_the_fact(ports, op, saved, &ran).await
        }
        Err(error) => {
            let why = format!("what the migration took away could not be looked for: {error}");
            salvage::not_taken(ports, saved, &why).await;
            Err(why)
        }
    };
    match (kept, &mut cause.backup) {
        (Ok(files), Some(backup)) => backup.salvage.extend(files),
        (Ok(_), None) => {}
        (Err(text), _) => ports.observer.event(&Event::Note { text }),
    }
    cause
}

/// Tells whether a change that did not pass is put back: that was asked for, and as it loses what others wrote since the
/// snapshot, it must be proven that there is nothing to lose.
pub(super) async fn goes_back(ports: &Ports<'_>, request: &ChangeRequest, mark: &WriteMark) -> bool {
    request.on_failure == OnFailure::Restore
        && matches!(ports.database.others_wrote_since(mark).await, Ok(OtherWrites::Nobody))
}

#[expect(clippy::too_many_arguments, reason = "the whole situation decides")]
async fn put_back_or_stop(
    ports: &Ports<'_>,
    op: &mut Operation,
    request: &ChangeRequest,
    plan: &Plan,
    saved: &Saved,
    mark: &WriteMark,
    mut cause: Failure,
    rows: &[RevisionId],
) -> Failure {
    if goes_back(ports, request, mark).await {
        op.set_aftermath(Aftermath::Unknown);
        match put_back(ports, op, saved).await {
            Ok(_) => cause.aftermath = Aftermath::PutBack,
            // Nothing was replaced, because others wrote after all or the snapshot could not be built: the migration
            // stands.
            Err(second) if second.aftermath == Aftermath::Unchanged => {
                // What was built must not stay; where it cannot be removed now, its name tells what it is.
                let _ = ports.database.tidy(op.id(), &BTreeMap::new()).await;
                cause.aftermath = Aftermath::Changed;
                cause.next = ways_on(plan, saved, rows);
                cause.during_put_back = Some(second.source);
            }
            Err(second) => {
                cause.aftermath = Aftermath::Unknown;
                cause.during_put_back = Some(second.source);
            }
        }
        return cause;
    }
    cause.aftermath = Aftermath::Changed;
    cause.next = ways_on(plan, saved, rows);
    cause
}

/// The fact in the journal that a snapshot is in its place again. What is there from then on is the work of clients:
/// putting it back once more would lose that.
pub(super) const IS_BACK: &str = "put-back";

/// Puts the snapshot into the place of the live database and compares what is there then, which it returns. A failure
/// whose aftermath is `Unchanged` replaced nothing.
pub(super) async fn put_back(
    ports: &Ports<'_>,
    op: &mut Operation,
    saved: &Saved,
) -> Result<Inventory, Failure> {
    let (id, log) = (op.id().to_string(), op.script_log());
    let progress = ports.progress(Step::PutBack);
    let begun = AtomicBool::new(false);
    let work = async {
        let staged = ports.database.stage(&saved.backup.snapshot(), &saved.inventory, &id, &progress).await?;
        if !staged.differences.is_empty() {
            return Err(Cause::from(Refusal::NotRestored { differences: staged.differences }));
        }
        begun.store(true, Ordering::Relaxed);
        let swapped = ports.database.swap(&staged, &id, &log).await?;
        log.fact(IS_BACK, &saved.backup.manifest.id)?;
        for text in swapped.notes {
            ports.observer.event(&Event::Note { text });
        }
        let mark = ports.database.mark().await.ok();
        let expected = staged.expected(&saved.inventory);
        let (now, since) = restore::as_restored(ports, Step::PutBack, &expected, mark.as_ref()).await?;
        let mut facts = match since.is_empty() {
            true => {
                let tables = now.fingerprint.tables.len() as u64;
                format!(
                    "{} {} in the snapshot",
                    counted(tables, "table"),
                    one_or_more(tables, "is as it was", "are as they were")
                )
            }
            false => format!("the snapshot is back, and clients have written since: {}", since.join("; ")),
        };
        if let Some(kept) = swapped.kept {
            facts.push_str(&format!("; what was live before is kept as {kept}"));
        }
        Ok(Done { what: now, facts })
    };
    op.step(Step::PutBack, work).await.map(|done| done.what).map_err(|mut failure| {
        if !begun.load(Ordering::Relaxed) || restore::has_not_begun(&failure) {
            failure.aftermath = Aftermath::Unchanged;
        }
        failure
    })
}

/// The commands that lead on from a database that stands half-way, the gentlest first.
fn ways_on(plan: &Plan, saved: &Saved, rows: &[RevisionId]) -> Vec<String> {
    let mut next = Vec::new();
    if same(rows, &plan.to) {
        next.push("ripcord verify".to_string());
    } else if plan.is_transactional() {
        let word = if plan.direction == Direction::Up { "upgrade" } else { "downgrade" };
        next.extend(aim(plan).map(|target| format!("ripcord {word} {target}")));
        if plan.direction == Direction::Up && plan.from.len() < 2 {
            next.push(format!("ripcord downgrade {}", rows_text(&plan.from)));
        }
    }
    next.push(format!("ripcord restore {}", saved.backup.manifest.id));
    next
}

/// Returns what a change was aimed at, in words that mean the same from wherever it stands now: `-3` does not. None where they
/// are several.
fn aim(plan: &Plan) -> Option<String> {
    let steps = plan.target.split_once('@').map_or(plan.target.as_str(), |(_, steps)| steps);
    match plan.to.as_slice() {
        _ if !steps.starts_with(['+', '-']) => Some(plan.target.clone()),
        [] => Some("base".to_string()),
        [one] => Some(one.to_string()),
        _ => None,
    }
}

pub(super) fn same(left: &[RevisionId], right: &[RevisionId]) -> bool {
    left.iter().collect::<BTreeSet<_>>() == right.iter().collect::<BTreeSet<_>>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_without_an_answer_is_told_from_a_failed_one() {
        let lost = || engine::Error::Undecided { detail: "the server is gone".into() };
        assert!(undecided(&Failure::refused(lost())));
        assert!(undecided(&Failure::refused(runner::Error::Engine(lost()))));
        let failed =
            engine::Error::Driver { doing: "committing".into(), detail: "the server is gone".into() };
        assert!(!undecided(&Failure::refused(runner::Error::Engine(failed))));
    }
}
