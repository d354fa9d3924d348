//! After a crash: finishing or undoing what was interrupted, with facts instead of guesses.
//!
//! Nothing is resumed from memory. The journal says what had been begun, the database says what is there, and the two
//! together leave few cases. Running it twice is running it once.

mod after_restore;
mod undo;
mod without_backup;

pub(super) use after_restore::took_place;
use undo::{is_back, keep_end, put_back_before, undo, was_put_back};

use super::consent::Given;
use super::snapshot::{self, Saved, read_inventory, read_plan};
use super::{
    Ports, Refusal, SnapshotPolicy, legs, merge, refused, restore_table, rows_text, salvage, settle, verify,
};
use crate::base::hash::Hashed;
use crate::engine::{Applied, Bookkeeping, OtherWrites};
use crate::history::RevisionId;
use crate::journal::{Operation, OperationState};
use crate::report::{Aftermath, Event, Failure, Kind, Report, Step};

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecoverRequest {
    /// Put the snapshot back instead of going on.
    pub undo: bool,
    /// End the operation by a person's word, and leave the database as it is.
    pub accept_as_is: bool,
    pub policy: SnapshotPolicy,
}

/// Brings an interrupted operation to a known end; `None` when there is none.
pub async fn recover(ports: &Ports<'_>, request: &RecoverRequest) -> Result<Option<Report>, Failure> {
    // Asked before the lock is taken, which writes beside a SQLite database: looking leaves no trace.
    let waiting = || match request.accept_as_is {
        true => ports.journal.unfinished_damaged_too(ports.identity()),
        false => ports.journal.unfinished(ports.identity()),
    };
    let Some(seen) = waiting().map_err(refused)? else {
        // Who was killed before it had begun, or when it had ended, has left nothing else.
        ports.database.tidy_lock();
        return Ok(None);
    };
    // Under the operation's own name: what this recovery leaves when it dies as well, the next one finds by that name.
    let _lock = ports.database.lock(&seen.operation).await.map_err(refused)?;
    let Some(state) = waiting().map_err(refused)? else {
        return Ok(None);
    };
    let mut op = ports.journal.resume(&state.operation).map_err(refused)?.observed_by(ports.observer.clone());
    // First free what the crash left locked, barred or half written: the looks below need a database that answers.
    // Where the database may have been changed, not being able to look is not knowing, and the operation stays open.
    let cannot_look = |failure: Failure| match failure.aftermath {
        Aftermath::Unchanged if state.may_have_changed() => {
            Failure { aftermath: Aftermath::Unknown, operation: Some(state.operation.clone()), ..failure }
        }
        _ => failure,
    };
    let freed = ports.database.tidy(&state.operation, &state.facts).await.map_err(refused);
    let mut tidied = freed.map_err(cannot_look)?;
    tidied.extend(ports.store.tidy(&state.operation).await.map_err(refused).map_err(cannot_look)?);

    // A line that cannot be read may be the one that says that writing had begun.
    if request.accept_as_is && (state.may_have_changed() || state.damage.is_some()) {
        return without_backup::accepted(ports, &op, &state, tidied).await.map(Some);
    }
    let outcome = match state.kind {
        _ if !state.may_have_changed() => Ok(unchanged(ports, &state)),
        Kind::Restore => after_restore::look(ports, &mut op, &state, request).await,
        Kind::Stamp => after_stamp(ports, &state).await,
        Kind::RestoreTable if !request.undo && !state.started.contains(&Step::PutBack) => {
            match saved(ports, &state).await {
                Ok(saved) => restore_table::recover(ports, &state, &saved).await,
                Err(failure) => Err(failure),
            }
        }
        Kind::MergeBack if !request.undo && !state.started.contains(&Step::PutBack) => {
            merge::recover(ports, &mut op, &state).await
        }
        _ => after_change(ports, &mut op, &state, request).await,
    };
    let outcome = match outcome {
        Err(failure) if let Some(lost) = without_backup::lost(&failure) => {
            without_backup::look(ports, &mut op, &state, request, (&lost, &failure)).await
        }
        outcome => outcome,
    };
    let outcome = outcome.map_err(cannot_look).map(|mut report| {
        report.notes.extend(tidied.into_iter().chain(legs::told(&state)));
        report
    });
    settle::end(ports, &op, outcome).await.map(Some)
}

/// The crash came before anything was written to the real database.
fn unchanged(ports: &Ports<'_>, state: &OperationState) -> Report {
    let notes = match state.kind {
        Kind::MergeBack => merge::again(state).into_iter().collect(),
        _ => Vec::new(),
    };
    Report { aftermath: Aftermath::Unchanged, to: state.from.clone(), notes, ..report(ports, state) }
}

/// The crash came while an upgrade or a downgrade ran.
async fn after_change(
    ports: &Ports<'_>,
    op: &mut Operation,
    state: &OperationState,
    request: &RecoverRequest,
) -> Result<Report, Failure> {
    let saved = saved(ports, state).await?;
    let rows = match ports.database.version_rows().await {
        Ok(rows) => rows,
        // What cannot be read says nothing any more, and can be put back all the same.
        Err(error) if error.is_unreadable() && request.undo => {
            return undo(ports, op, state, &saved, request).await;
        }
        Err(error) => return Err(with_undo(error.is_unreadable(), unknown(state, &saved, error))),
    };
    if state.started.contains(&Step::PutBack) {
        let check =
            verify::is_as_before(ports, &saved).await.map_err(|error| unknown(state, &saved, error))?;
        if was_put_back(state, &saved, &check, &rows) {
            return Ok(put_back_before(ports, state, &saved, &check));
        }
    }
    if request.undo || state.started.contains(&Step::PutBack) {
        return undo(ports, op, state, &saved, request).await;
    }
    // A statement by itself may have run or not, and going on could run it twice.
    let half_done = state.statements_by_themselves && state.open_script.is_some();
    if half_done && !settle::same(&rows, &state.to) {
        return as_before_or_choice(ports, state, &saved).await;
    }
    if settle::same(&rows, &state.from) {
        return as_before_or_choice(ports, state, &saved).await;
    }
    if !settle::same(&rows, &state.to) {
        go_on(ports, op, state, &saved).await?;
    }
    verified(ports, op, state, &saved).await
}

/// The version rows did not move: what was open was undone by the database itself. Look whether that is so.
async fn as_before_or_choice(
    ports: &Ports<'_>,
    state: &OperationState,
    saved: &Saved,
) -> Result<Report, Failure> {
    let check = verify::is_as_before(ports, saved).await.map_err(|error| unknown(state, saved, error))?;
    let data_only = check.catalog.is_empty();
    if check.wrong.is_empty() || (data_only && !state.statements_by_themselves) {
        let mut report = unchanged(ports, state);
        report.backup = Some(saved.facts());
        if !check.wrong.is_empty() {
            report.notes.push(format!(
                "rows were written by others since the snapshot: {}",
                verify::sentences(&check).join("; ")
            ));
        }
        return Ok(report);
    }
    let refusal = Refusal::NeedsChoice { operation: state.operation.clone(), at: stopped_at(state) };
    Err(Failure { check: Some(Box::new(check)), ..with_undo(true, unknown(state, saved, refusal)) })
}

/// Says where the journal breaks off.
fn stopped_at(state: &OperationState) -> String {
    match &state.open_statement {
        Some((revision, index)) => format!("in statement {} of revision {revision}", index + 1),
        None => format!("on its way from {} to {}", rows_text(&state.from), rows_text(&state.to)),
    }
}

/// Some revisions are committed, others not: each is all or nothing, so the rest can run.
async fn go_on(
    ports: &Ports<'_>,
    op: &mut Operation,
    state: &OperationState,
    saved: &Saved,
) -> Result<(), Failure> {
    let (Some(direction), Some(target)) = (state.direction, state.target.as_deref()) else {
        return Err(unknown(
            state,
            saved,
            Refusal::NeedsChoice {
                operation: state.operation.clone(),
                at: "before it had a plan".to_string(),
            },
        ));
    };
    // A relative target (`+2`) counted from where the operation began; its end is what the journal says.
    let target = match state.to.as_slice() {
        [one] => one.to_string(),
        _ => target.to_string(),
    };
    let plan = ports.runner.plan(direction, &target).await.map_err(|error| unknown(state, saved, error))?;
    if !settle::same(&plan.to, &state.to) {
        let refusal = Refusal::PlanMoved { found: rows_text(&plan.to), expected: rows_text(&state.to) };
        return Err(unknown(state, saved, refusal));
    }
    ports.observer.event(&Event::Planned { plan: plan.clone() });
    let (id, log) = (op.id().to_string(), op.script_log());
    let book = Bookkeeping {
        operation: &id,
        at: ports.clock.now(),
        known: &saved.inventory.findings,
        guarded: None,
    };
    op.set_aftermath(Aftermath::Unknown);
    let work = async { ports.runner.run(&plan, &book, &log).await.map(|_| ()) };
    let ran = op.step(Step::Migrate, work).await;
    ran.map_err(|mut failure| {
        failure.backup = Some(saved.facts());
        failure.next = vec!["ripcord recover --undo".to_string()];
        if settle::is_interrupted(&failure) {
            failure.next.insert(0, "ripcord recover".to_string());
        }
        failure
    })
}

/// All revisions are committed: verify what the crash kept from being verified.
async fn verified(
    ports: &Ports<'_>,
    op: &mut Operation,
    state: &OperationState,
    saved: &Saved,
) -> Result<Report, Failure> {
    let plan = read_plan(&saved.backup).map_err(|error| unknown(state, saved, error))?;
    // Who wrote what died with the process that counted it: what cannot be told is said, not held against anybody.
    let unknown_others = OtherWrites::Unknown("the process that counted them died".to_string());
    op.set_aftermath(Aftermath::Changed);
    let touches = plan.touches();
    // A backup without one is of a change that was not rehearsed.
    let ledger = snapshot::read_ledger(&saved.backup).map_err(|error| unknown(state, saved, error))?;
    let work = async {
        let progress = ports.progress(Step::Verify);
        // Before the look: it is the one that a merge is going to be compared with.
        let mark = ports.database.mark().await?;
        let after =
            ports.database.inventory_after(&saved.inventory, &saved.backup.snapshot(), &progress).await?;
        let rows: Vec<RevisionId> = ports.database.version_rows().await?;
        let around = super::Circumstances {
            touches: &touches,
            applied: &Applied::default(),
            others: &unknown_others,
            rows_expected: &plan.to,
            rows_found: &rows,
            rehearsed: ledger.as_ref().map(|ledger| super::Rehearsed { ledger, copy: None }),
        };
        let check = super::judge(&saved.inventory, &after, &around);
        let bytes = serde_json::to_vec_pretty(&after).unwrap_or_default();
        ports.store.add(&saved.backup.manifest.id, "after.json", &bytes).await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(verify::Verified {
            after,
            check,
            others: unknown_others,
            mark,
        })
    };
    // What was not looked at is not verified: the operation stays open, and the next recovery looks again.
    let not_looked =
        |failure| Failure { aftermath: Aftermath::Unknown, backup: Some(saved.facts()), ..failure };
    let verified = op.step(Step::Verify, work).await.map_err(not_looked)?;
    let count = verified.check.wrong.len();
    if count > 0 {
        return Err(Failure {
            aftermath: Aftermath::Changed,
            backup: Some(saved.facts()),
            next: vec![format!("ripcord restore {}", saved.backup.manifest.id)],
            check: Some(Box::new(verified.check)),
            ..unknown(state, saved, Refusal::Verification { count })
        });
    }
    let mut backup = saved.facts();
    let mut notes = Vec::new();
    let rehearsed = ledger.as_ref().is_some_and(|ledger| ledger.rows_seen);
    if !rehearsed && !state.finished.contains(&Step::Salvage) && !state.started.contains(&Step::MergeBack) {
        let (after, others, applied) = (&verified.after, &verified.others, &Applied::default());
        let ran = salvage::Ran { plan: &plan, after, applied, others };
        match salvage::after_the_fact(ports, op, saved, &ran).await {
            Ok(files) => backup.salvage.extend(files),
            Err(note) => notes.push(note),
        }
    }
    let merged = merge::before_crash(ports, op, state, saved, &verified.after).await;
    let ended = match merged.map_err(not_looked)? {
        Some(ended) => ended,
        None => {
            let wanted = !state.facts.contains_key(merge::LEFT);
            let (applied, mut hashed) = (Applied::default(), Hashed::default());
            let before = {
                let verify::Verified { after, mark, others, .. } = verified;
                merge::Before { inventory: after, mark, others }
            };
            let how = (wanted, &applied, &mut hashed);
            merge::after_downgrade(ports, op, &plan, saved, before, how).await?
        }
    };
    let bytes = serde_json::to_vec_pretty(&ended.inventory).unwrap_or_default();
    let kept = ports.store.add(&saved.backup.manifest.id, "after.json", &bytes).await;
    kept.map_err(|error| Failure { aftermath: Aftermath::Changed, ..unknown(state, saved, error) })?;
    Ok(Report {
        aftermath: Aftermath::Changed,
        backup: Some(backup),
        check: Some(ended.found(saved, verified.check)),
        merge: ended.merge,
        held_back: ended.held_back,
        notes: ended.notes.into_iter().chain(notes).collect(),
        undo: Some(format!("ripcord restore {}", saved.backup.manifest.id)),
        ..report(ports, state)
    })
}

/// The crash came while a stamp was written: it is one transaction, so the rows say whether it took place.
async fn after_stamp(ports: &Ports<'_>, state: &OperationState) -> Result<Report, Failure> {
    let rows = ports.database.version_rows().await.map_err(refused)?;
    if settle::same(&rows, &state.from) {
        return Ok(unchanged(ports, state));
    }
    let mut report = Report { aftermath: Aftermath::Changed, to: rows.clone(), ..report(ports, state) };
    if !settle::same(&rows, &state.to) {
        report.notes.push(format!(
            "the version rows are neither those before the stamp ({}) nor those it was to write ({}): others set them since",
            rows_text(&state.from),
            rows_text(&state.to)
        ));
    }
    Ok(report)
}

async fn saved(ports: &Ports<'_>, state: &OperationState) -> Result<Saved, Failure> {
    let id = state.backup.clone().unwrap_or_else(|| state.operation.clone());
    let backup = super::restore::whole(ports, &id).await?;
    let inventory = read_inventory(&backup, "before.json").map_err(refused)?;
    let salvage = salvage::of(&backup);
    Ok(Saved { backup, inventory, rehearsal: None, salvage, given: Given::default(), beyond: None })
}

fn report(ports: &Ports<'_>, state: &OperationState) -> Report {
    Report {
        operation: Some(state.operation.clone()),
        from: state.from.clone(),
        to: state.to.clone(),
        ..Report::new(state.kind, ports.identity(), Aftermath::Unknown)
    }
}

/// Names the way that is left where going on by itself could lose data, if there is one.
fn with_undo(can_undo: bool, failure: Failure) -> Failure {
    let next = if can_undo { vec!["ripcord recover --undo".to_string()] } else { failure.next };
    Failure { next, ..failure }
}

fn unknown(
    state: &OperationState,
    saved: &Saved,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Failure {
    Failure {
        operation: Some(state.operation.clone()),
        aftermath: Aftermath::Unknown,
        backup: Some(saved.facts()),
        ..refused(error)
    }
}
