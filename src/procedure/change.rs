//! The guarded change: an upgrade or a downgrade that keeps a proven way back.

use super::consent::Consent;
use super::snapshot::Saved;
use super::{
    Ports, Refusal, SnapshotPolicy, carry, doomed,
    facts::Done,
    half_way, instead, kind_of, legs,
    look::{COMPARING, NOT_LOOKED_AT},
    merge, refused, salvage, settle, shown, snapshot, verify, way_back, whose,
};
use crate::base::counted;
use crate::catalog::Severity;
use crate::engine::{self, Applied, Bookkeeping, Need, OtherWrites, ProofLevel, WriteMark};
use crate::history::Direction;
use crate::journal::{Entry, Operation};
use crate::plan::Plan;
use crate::report::{Aftermath, BackupFacts, Check, Event, Failure, Leg, Report, Step};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct ChangeRequest {
    pub direction: Direction,
    /// `head`, `-1`, `base`, `5f2c` …
    pub target: String,
    /// The plan that somebody was shown: it is run, or nothing.
    pub shown: Option<Plan>,
    pub policy: SnapshotPolicy,
    /// Whether it is rehearsed on the restored snapshot first; without a proof there is nothing to rehearse on.
    pub rehearse: bool,
    /// Whether a downgrade puts back what the upgrades that it undoes had destroyed.
    pub merge: bool,
    pub on_failure: OnFailure,
    pub consent: Consent,
}

/// What to do when the database was changed and the change did not pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Put the snapshot back, if it is proven that nobody else wrote since; otherwise stop.
    #[default]
    Restore,
    /// Leave everything as it is, for a person.
    Stop,
}

/// Returns the plan of a change and the legs that it runs in, none where it runs as one, and runs nothing (`--dry-run`).
pub async fn look_ahead(ports: &Ports<'_>, request: &ChangeRequest) -> Result<(Plan, Vec<Leg>), Failure> {
    let plan = plan(ports, request).await?;
    let legs = legs::of(ports, request, &plan).await?;
    Ok((plan, legs))
}

/// Returns the plan of a change.
pub(super) async fn plan(ports: &Ports<'_>, request: &ChangeRequest) -> Result<Plan, Failure> {
    match &request.shown {
        Some(shown) => shown::planned_again(ports, shown).await,
        None => ports.plan(request.direction, &request.target).await,
    }
}

/// Upgrades or downgrades the database to `request.target`, keeping a verified way back.
///
/// Nothing is touched before the snapshot has been restored and compared. What is returned, also by a failure, says
/// what is true of the data now.
pub async fn change(ports: &Ports<'_>, request: &ChangeRequest) -> Result<Report, Failure> {
    let kind = kind_of(request.direction);
    let id = ports.journal.new_id(kind);
    if request.direction == Direction::Down {
        ports.refuse_missing().await?;
    }
    let _lock = ports.database.lock(&id).await.map_err(refused)?;
    ports.journal.refuse_unfinished(ports.identity()).map_err(refused)?;

    // Plan under the lock: a plan made earlier could describe a schema that has since moved.
    let plan = plan(ports, request).await?;
    if plan.is_empty() {
        return Ok(nothing_to_do(ports, &plan));
    }
    let legs = legs::of(ports, request, &plan).await?;
    look_before(ports, request).await?;
    ports.observer.event(&Event::Planned { plan: plan.clone() });
    if !legs.is_empty() {
        return legs::run(ports, request, &plan, &legs, &id).await;
    }
    operation(ports, request, &plan, &id, None).await
}

/// Refuses what an operation of this kind must not begin with.
pub(super) async fn look_before(ports: &Ports<'_>, request: &ChangeRequest) -> Result<(), Failure> {
    let rehearsal = request.rehearse && request.policy.proof != ProofLevel::None;
    preflight(ports, &request.policy, Wants { writes: true, rehearsal, ..Wants::default() }).await
}

/// Runs a plan as one operation. `ahead` is what is known of the legs of which this is one.
pub(super) async fn operation(
    ports: &Ports<'_>,
    request: &ChangeRequest,
    plan: &Plan,
    id: &str,
    ahead: Option<&legs::Ahead<'_>>,
) -> Result<Report, Failure> {
    let kind = kind_of(request.direction);
    let left = half_way::told(ports);
    // Now: the way back takes the proof with it.
    let moved = if request.direction == Direction::Down { whose::moved(ports).await } else { Vec::new() };
    // Before anything is begun: a way back that cannot be followed by its merge is to be known while nothing is gone.
    let mut ready = match request.merge {
        true => merge::ready(ports, plan, &moved, rehearses(request)).await?,
        false => merge::Ready::default(),
    };

    let mut op = ports.begin(id, kind, Some(plan), (&plan.from, &plan.to)).await.map_err(refused)?;
    for (name, value) in ahead.into_iter().flat_map(legs::Ahead::says) {
        op.write(Entry::Fact { name: name.to_string(), value }).map_err(refused)?;
    }
    if request.direction == Direction::Down && !request.merge {
        let left = Entry::Fact { name: merge::LEFT.to_string(), value: "yes".to_string() };
        op.write(left).map_err(refused)?;
    }
    if !moved.is_empty() {
        let says = Entry::Fact { name: whose::MOVED.to_string(), value: moved.join("\n") };
        op.write(says).map_err(refused)?;
    }
    let changed = guarded(ports, request, plan, &mut op, &mut ready, ahead).await;
    let changed = match changed {
        Err(failure) => {
            let failure = half_way::explained(left, merge::waiting::named(ports, plan, failure).await);
            Err(instead::offered(ports, plan, failure).await)
        }
        done => done,
    };
    settle::end(ports, &op, changed).await
}

/// Tells whether a way back may be tried on the data of a backup.
pub(super) fn rehearses(request: &ChangeRequest) -> bool {
    request.rehearse && request.policy.proof == ProofLevel::Full
}

async fn guarded(
    ports: &Ports<'_>,
    request: &ChangeRequest,
    plan: &Plan,
    op: &mut Operation,
    ready: &mut merge::Ready,
    ahead: Option<&legs::Ahead<'_>>,
) -> Result<Report, Failure> {
    // The mark comes before the snapshot: what is written between the two counts as written since.
    let mark = ports.database.mark().await.map_err(refused)?;
    let purpose = snapshot::Purpose {
        id: op.id().to_string(),
        kind: kind_of(plan.direction),
        plan: Some(plan),
        rehearse: request.rehearse,
        consent: Some(&request.consent),
        ahead,
    };
    let saved = snapshot::keep(ports, op, &purpose, &request.policy).await?;

    // Before the way back runs: between it and the merge nobody should have to wait.
    let renewed = merge::renew(ports, op, ready, &saved, rehearses(request)).await?;
    ports.go_on().map_err(|error| Failure { backup: Some(saved.facts()), ..refused(error) })?;
    op.set_aftermath(Aftermath::Unknown);
    let (id, log) = (op.id().to_string(), op.script_log());
    let watched = doomed::watched(plan, &saved);
    let known = &saved.inventory.findings;
    let book = Bookkeeping { operation: &id, at: ports.clock.now(), known, guarded: Some(&watched) };
    let migrated = op.step(Step::Migrate, async {
        let applied = ports.runner.run(plan, &book, &log).await?;
        Ok::<_, crate::runner::Error>(Done {
            what: applied,
            facts: counted(plan.scripts.len() as u64, "revision"),
        })
    });
    let applied = match migrated.await {
        Ok(done) => done.what,
        Err(cause) => return Err(settle::after_migrate(ports, op, request, plan, &saved, &mark, cause).await),
    };

    op.set_aftermath(Aftermath::Changed);
    let mut held_against = None;
    let checked = op.step(Step::Verify, async {
        let verified = looked_at(ports, request, plan, (&saved, &applied, &mark)).await?;
        match verified.check.wrong.len() {
            0 => Ok(verified),
            count => {
                held_against = Some(Box::new(verified.check));
                Err(Box::<dyn std::error::Error + Send + Sync>::from(Refusal::Verification { count }))
            }
        }
    });
    match checked.await {
        Ok(verified) => {
            if request.direction == Direction::Up && matches!(verified.others, OtherWrites::Nobody) {
                let says = Entry::Fact { name: merge::UNDISTURBED.to_string(), value: "yes".to_string() };
                // Without it the merge of its downgrade relies on less.
                let _ = op.write(says);
            }
            let (after, others) = (&verified.after, &verified.others);
            let ran = salvage::Ran { plan, after, applied: &applied, others };
            let mut backup = saved.facts();
            // Before salvage of others comes back: what is missing now is what the migration took away.
            let late = salvage::after_the_fact(ports, op, &saved, &ran).await;
            let note = late.map(|files| backup.salvage.extend(files)).err();
            let verify::Verified { after, check, others, mark } = verified;
            let before = merge::Before { inventory: after, mark, others };
            let how = (request.merge, &applied, &mut ready.hashed);
            let ended = merge::after_downgrade(ports, op, plan, &saved, before, how).await?;
            let check = ended.found(&saved, check);
            let kept = doomed::told(plan.direction, &applied, &ended.inventory);
            let mut report =
                finish(ports, op, request, plan, (backup, &saved, note.is_none()), (ended, check)).await?;
            report.notes.extend(note.into_iter().chain(renewed).chain(kept));
            Ok(report)
        }
        Err(cause) => {
            let cause = Failure { check: held_against, ..cause };
            let applied = (&applied, cause);
            let settled = settle::after_verify(ports, op, request, plan, &saved, &mark, applied).await;
            Err(match settled.aftermath {
                Aftermath::Changed => carry::stopped(settled, "the migration is done", NOT_LOOKED_AT),
                _ => settled,
            })
        }
    }
}

/// Verifies the migration. A wish to stop undoes it where the way back would be taken; where it would not, the migration
/// stands, and only the second one ends the look.
async fn looked_at(
    ports: &Ports<'_>,
    request: &ChangeRequest,
    plan: &Plan,
    (saved, applied, mark): (&Saved, &Applied, &WriteMark),
) -> Result<verify::Verified, engine::Error> {
    let look = async || verify::after(ports, plan, saved, applied, mark).await;
    let looked = look().await;
    if !looked.as_ref().is_err_and(engine::Error::is_interrupted) {
        return looked;
    }
    ports.cancel.heard();
    let stands = !settle::goes_back(ports, request, mark).await;
    if stands && carry::hears(ports, COMPARING) { look().await } else { looked }
}

/// What an operation does besides taking a snapshot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wants {
    /// The live database is written to.
    pub writes: bool,
    /// The live database is replaced.
    pub replaces: bool,
    /// The restored snapshot is migrated, beside one that stays as it is.
    pub rehearsal: bool,
}

/// Refuses what the engine's preflight calls an error, and passes on the rest as remarks.
pub(super) async fn preflight(
    ports: &Ports<'_>,
    policy: &SnapshotPolicy,
    Wants { writes, replaces, rehearsal }: Wants,
) -> Result<(), Failure> {
    let need = Need { folder: ports.store.place(), proof: policy.proof, writes, replaces, rehearsal };
    ports.observer.event(&Event::StepStarted { step: Step::Preflight });
    let found = ports.database.preflight(&need).await.map_err(refused)?;
    let (stop, remarks): (Vec<_>, Vec<_>) =
        found.findings.into_iter().partition(|finding| finding.severity == Severity::Error);
    if !stop.is_empty() {
        return Err(refused(Refusal::Preflight { findings: stop }));
    }
    // A restore in place never asks: the snapshot it takes first is of what is there, however large.
    if !replaces && policy.max_size.is_some_and(|limit| found.bytes > limit) {
        return Err(refused(Refusal::TooLargeToProve { what: "database".to_string(), bytes: found.bytes }));
    }
    for finding in remarks {
        ports.observer.event(&Event::Found { finding });
    }
    ports.observer.event(&Event::StepFinished { step: Step::Preflight, facts: String::new() });
    Ok(())
}

async fn finish(
    ports: &Ports<'_>,
    op: &mut Operation,
    request: &ChangeRequest,
    plan: &Plan,
    (backup, saved, is_kept): (BackupFacts, &Saved, bool),
    (ended, check): (merge::After, Check),
) -> Result<Report, Failure> {
    let after = serde_json::to_vec_pretty(&ended.inventory).unwrap_or_default();
    let keep = async {
        ports.store.add(&backup.id, "after.json", &after).await?;
        Ok::<_, crate::store::Error>(())
    };
    op.step(Step::Finish, keep).await?;
    let ledger = saved.rehearsal.as_ref().map(|rehearsal| &rehearsal.ledger);
    let done = way_back::Done {
        plan,
        backup: &backup,
        given: &saved.given,
        ledger,
        is_kept,
        beyond: saved.beyond.as_deref(),
    };
    Ok(Report {
        operation: Some(op.id().to_string()),
        from: plan.from.clone(),
        to: plan.to.clone(),
        undo: Some(done.undo()),
        notes: done.notes(&check).into_iter().chain(ended.notes).collect(),
        ledger: done.told(),
        backup: Some(backup),
        check: Some(check),
        merge: ended.merge,
        held_back: ended.held_back,
        accepted: saved.given.accepted.clone(),
        ..Report::new(kind_of(request.direction), ports.identity(), Aftermath::Changed)
    })
}

pub(super) fn nothing_to_do(ports: &Ports<'_>, plan: &Plan) -> Report {
    Report {
        from: plan.from.clone(),
        to: plan.to.clone(),
        ..Report::new(kind_of(plan.direction), ports.identity(), Aftermath::Unchanged)
    }
}
