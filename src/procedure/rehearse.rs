//! Rehearsing a migration on a copy: there, back, and there again. The database itself is only read.
//!
//! The snapshot is taken for this and thrown away at the end: a rehearsal on an old backup would say what the migration
//! did to the data of then.

mod legs;
mod renewed;

pub(super) use legs::{Rehearsal, prove_and_rehearse};
pub(super) use renewed::{Anew, salvage_anew};

use super::change::{Wants, preflight};
use super::{Ports, Refusal, SnapshotPolicy, consent, half_way, kind_of, refused, settle, snapshot};
use crate::base::shell_word;
use crate::catalog::quote;
use crate::engine::ProofLevel;
use crate::history::Direction;
use crate::journal::Operation;
use crate::ledger::Ledger;
use crate::plan::hazard::{self, Held};
use crate::plan::{Hazard, Plan};
use crate::report::{Aftermath, Event, Failure, HalfWay, Kind, Report, Step};
use serde::Serialize;
use std::path::Path;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct RehearseRequest {
    pub direction: Direction,
    pub target: String,
    /// With [`ProofLevel::Schema`] the copy has no rows.
    pub policy: SnapshotPolicy,
}

/// How a rehearsal ended.
#[derive(Debug, Serialize)]
pub struct Rehearsed {
    #[serde(flatten)]
    pub report: Report,
    /// None when there was nothing to rehearse.
    pub ledger: Option<Ledger>,
    /// What it loses and nobody has accepted yet.
    pub hazards: Vec<Held>,
    /// The command that runs what was rehearsed and accepts these.
    pub command: String,
}

impl Rehearsed {
    /// Tells whether something is lost for good, or nobody can say that nothing is, whether that was accepted or not.
    pub fn may_lose(&self) -> bool {
        let accepted = self.report.accepted.iter().map(|accepted| &accepted.held.hazard);
        let mut all = self.hazards.iter().map(|held| &held.hazard).chain(accepted);
        all.any(|hazard| *hazard == Hazard::Opaque) || self.ledger.as_ref().is_some_and(Ledger::loses)
    }
}

/// Takes a snapshot, restores it, runs the migration there, back and there again on the copy, and draws up the ledger.
pub async fn rehearse(ports: &Ports<'_>, request: &RehearseRequest) -> Result<Rehearsed, Failure> {
    let id = ports.journal.new_id(Kind::Rehearse);
    if request.direction == Direction::Down && !ports.database.exists().await.map_err(refused)? {
        ports.journal.refuse_unfinished(ports.identity()).map_err(refused)?;
        return Err(refused(crate::engine::Error::no_database(ports.identity())));
    }
    let _lock = ports.database.lock(&id).await.map_err(refused)?;
    ports.journal.refuse_unfinished(ports.identity()).map_err(refused)?;
    let plan = ports.plan(request.direction, &request.target).await?;
    if plan.is_empty() {
        return Ok(Rehearsed {
            report: report(ports, None, &plan),
            ledger: None,
            hazards: Vec::new(),
            command: run(request, &[]),
        });
    }
    let wants = Wants { rehearsal: true, ..Wants::default() };
    preflight(ports, &request.policy, wants).await.map_err(barred_from_a_copy)?;
    ports.observer.event(&Event::Planned { plan: plan.clone() });
    let left = half_way::told(ports);

    let (report, rehearsal) = operation(ports, &id, &plan, request.policy.proof, left).await?;
    let (ledger, found) = rehearsal.map(|rehearsal| (rehearsal.ledger, rehearsal.hazards)).unzip();
    let weighed = hazard::weigh(found.unwrap_or_default(), &plan.scripts, &[]);
    let (hazards, report) = (weighed.open, Report { accepted: weighed.accepted, ..report });
    let command = run(request, &hazards);
    Ok(Rehearsed { report, ledger, hazards, command })
}

/// Says what leads on where no copy can be made on this server: a rehearsal is one, and cannot do without it.
fn barred_from_a_copy(failure: Failure) -> Failure {
    let Some(Refusal::Preflight { findings }) = failure.source.downcast_ref() else { return failure };
    let of = |code: &str| findings.iter().find(|finding| finding.code == code);
    let (user, extension) = (of("createdb"), of("extension"));
    if user.is_none() && extension.is_none() {
        return failure;
    }
    let elsewhere = "set proof.scratch_url in ripcord.toml to a server where that is allowed, and run the same command again";
    let allowed = user.filter(|_| extension.is_none()).map(|user| {
        let role = quote(&user.subject);
        format!("or let this user make databases, and run the same command again: ALTER ROLE {role} CREATEDB")
    });
    Failure { next: [elsewhere.to_string()].into_iter().chain(allowed).collect(), ..failure }
}

/// Rehearses a plan as an operation of its own. The caller holds the lock.
pub(super) async fn operation(
    ports: &Ports<'_>,
    id: &str,
    plan: &Plan,
    level: ProofLevel,
    left: Option<HalfWay>,
) -> Result<(Report, Option<Rehearsal>), Failure> {
    let mut op =
        ports.begin(id, Kind::Rehearse, Some(plan), (&plan.from, &plan.from)).await.map_err(refused)?;
    let outcome = on_a_draft(ports, &mut op, plan, level).await;
    let (outcome, rehearsal) = match outcome {
        Ok(rehearsal) => (Ok(report(ports, Some(id.to_string()), plan)), Some(rehearsal)),
        Err(failure) => (Err(half_way::explained(left, failure)), None),
    };
    Ok((settle::end(ports, &op, outcome).await?, rehearsal))
}

fn run(request: &RehearseRequest, hazards: &[Held]) -> String {
    let mut base = format!("ripcord {} {}", kind_of(request.direction).word(), shell_word(&request.target));
    if request.policy.proof == ProofLevel::Schema && !hazards.is_empty() {
        // With rows another rehearsal would name other hazards.
        base.push_str(" --proof schema");
    }
    consent::command(&base, hazards.iter().map(|held| &held.hazard))
}

/// Keeps the snapshot in a draft that is never published.
async fn on_a_draft(
    ports: &Ports<'_>,
    op: &mut Operation,
    plan: &Plan,
    level: ProofLevel,
) -> Result<Rehearsal, Failure> {
    let draft = ports.store.draft(op.id()).await.map_err(refused)?;
    let outcome = on_a_snapshot(ports, op, plan, level, &draft.snapshot()).await;
    let discarded = ports.store.discard(draft).await;
    let rehearsal = outcome?;
    discarded.map_err(refused)?;
    Ok(rehearsal)
}

async fn on_a_snapshot(
    ports: &Ports<'_>,
    op: &mut Operation,
    plan: &Plan,
    level: ProofLevel,
    place: &Path,
) -> Result<Rehearsal, Failure> {
    let mut taken = op.step(Step::Snapshot, snapshot::take(ports, place)).await?.what;
    taken.facts.insert("proof.level".to_string(), level.word().to_string());
    let (_, rehearsal) = legs::prove_and_rehearse(ports, op, plan, place, &taken, None).await?;
    rehearsal.map_err(|beyond| beyond.failure)
}

fn report(ports: &Ports<'_>, operation: Option<String>, plan: &Plan) -> Report {
    Report {
        operation,
        from: plan.from.clone(),
        // The database stays where it is; where the migration would lead is in the ledger.
        to: plan.from.clone(),
        ..Report::new(Kind::Rehearse, ports.identity(), Aftermath::Unchanged)
    }
}
