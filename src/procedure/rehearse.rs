//! Rehearsing a migration on a copy: there, back, and there again. The database itself is only read.
//!
//! The snapshot is taken for this and thrown away at the end: a rehearsal on an old backup would say what the migration
//! did to the data of then.

use super::change::preflight;
use super::facts::Done;
use super::{Ports, Refusal, SnapshotPolicy, refused, settle, snapshot};
use crate::engine::{Bookkeeping, ProofLevel, RehearsalCopy, Snapshot};
use crate::fingerprint::Inventory;
use crate::history::{Direction, RevisionId};
use crate::journal::{Operation, ScriptLog};
use crate::ledger::{self, Answers, Ledger, Run, Seen, WayBack};
use crate::plan::Plan;
use crate::report::{Aftermath, Event, Failure, Kind, Report, Step};
use crate::runner::{MigrationRunner, Reverse};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

type Cause = Box<dyn std::error::Error + Send + Sync>;

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
    let plan = ports.runner.plan(request.direction, &request.target).await.map_err(refused)?;
    if plan.is_empty() {
        return Ok(Rehearsed { report: report(ports, None, &plan), ledger: None });
    }
    preflight(ports, &request.policy, false).await?;
    ports.observer.event(&Event::Planned { plan: plan.clone() });

    let mut op = ports.begin(&id, Kind::Rehearse, Some(&plan), (&plan.from, &plan.from)).map_err(refused)?;
    let outcome = on_a_draft(ports, &mut op, &plan, request.policy.proof).await;
    let (outcome, ledger) = match outcome {
        Ok(ledger) => (Ok(report(ports, Some(id), &plan)), Some(ledger)),
        Err(failure) => (Err(failure), None),
    };
    let report = settle::end(ports, &op, outcome).await?;
    Ok(Rehearsed { report, ledger })
}

/// Keeps the snapshot in a draft that is never published.
async fn on_a_draft(
    ports: &Ports<'_>,
    op: &mut Operation,
    plan: &Plan,
    level: ProofLevel,
) -> Result<Ledger, Failure> {
    let draft = ports.store.draft(op.id()).await.map_err(refused)?;
    let outcome = on_a_copy(ports, op, plan, level, &draft.snapshot()).await;
    let discarded = ports.store.discard(draft).await;
    let ledger = outcome?;
    discarded.map_err(refused)?;
    Ok(ledger)
}

async fn on_a_copy(
    ports: &Ports<'_>,
    op: &mut Operation,
    plan: &Plan,
    level: ProofLevel,
    place: &Path,
) -> Result<Ledger, Failure> {
    let mut taken = op.step(Step::Snapshot, snapshot::take(ports, place)).await?.what;
    taken.facts.insert("proof.level".to_string(), level.word().to_string());
    let id = op.id().to_string();
    let copy = op.step(Step::Prove, open(ports, place, &taken, &id)).await?.what;
    let outcome = there_and_back(ports, op, plan, &taken, copy.as_ref()).await;
    // Whatever happened: the copy holds all data and must not stay.
    let removed = copy.remove().await;
    let ledger = outcome?;
    removed.map_err(refused)?;
    Ok(ledger)
}

async fn open(
    ports: &Ports<'_>,
    place: &Path,
    taken: &Snapshot,
    operation: &str,
) -> Result<Done<Box<dyn RehearsalCopy>>, Cause> {
    ports.go_on()?;
    let copy = ports.database.rehearsal(place, taken, operation, &ports.progress(Step::Prove)).await?;
    let proof = copy.proof();
    if !proof.differences.is_empty() {
        let differences = proof.differences.clone();
        copy.remove().await?;
        return Err(Refusal::NotProven { differences }.into());
    }
    let facts = format!("{}: {} tables, {} rows", proof.method, proof.tables, proof.rows);
    Ok(Done { what: copy, facts })
}

async fn there_and_back(
    ports: &Ports<'_>,
    op: &mut Operation,
    plan: &Plan,
    taken: &Snapshot,
    copy: &dyn RehearsalCopy,
) -> Result<Ledger, Failure> {
    let (runner, id) = (ports.runner.on(copy.database()), op.id().to_string());
    let reverse = ports.runner.reverse(plan).map_err(refused)?;
    let rows_seen = copy.proof().level == ProofLevel::Full;
    let before = beginning(ports, taken, copy, rows_seen).await.map_err(refused)?;
    let stage = Stage { ports, runner: runner.as_ref(), copy, id: &id, taken, before: &before };

    let there = op.step(Step::Rehearse, stage.leg(plan, Step::Rehearse)).await?.what;
    let (back_plan, irreversible) = match reverse {
        Reverse::Plan(plan) => (Some(plan), Vec::new()),
        Reverse::Irreversible(revisions) => (None, revisions),
    };
    let (mut back, mut again) = (None, None);
    let (mut back_failed, mut again_failed) = (None, None);
    if let Some(plan) = &back_plan {
        let leg = op.step(Step::RehearseBack, stage.leg(plan, Step::RehearseBack)).await;
        // A way back that fails is what a rehearsal is for: it goes into the ledger.
        (back, back_failed) = or_why(leg)?;
    }
    if back.is_some() {
        let leg = op.step(Step::RehearseAgain, stage.leg(plan, Step::RehearseAgain)).await;
        (again, again_failed) = or_why(leg)?;
    }

    let again_inventory = again.as_ref().map(|leg: &Leg| Ok(&leg.inventory));
    Ok(ledger::draw_up(Seen {
        direction: plan.direction,
        from: &plan.from,
        to: &plan.to,
        rows_seen,
        before: &before,
        there: &there.inventory,
        rows: &there.answers,
        back: back.as_ref().map(|leg| (&leg.inventory, &leg.answers)),
        again: again_inventory.or(again_failed.map(Err)),
        back_failed,
        empty: empty(plan, back_plan.as_ref()),
        irreversible,
        ways_back: ways_back(plan, back.as_ref(), copy),
        revisions: runs(&there, back.as_ref(), again.as_ref()),
    }))
}

/// What each leg of the way needs.
struct Stage<'a> {
    ports: &'a Ports<'a>,
    runner: &'a dyn MigrationRunner,
    copy: &'a dyn RehearsalCopy,
    id: &'a str,
    taken: &'a Snapshot,
    before: &'a Inventory,
}

/// One leg of the way, when it is done.
struct Leg {
    inventory: Inventory,
    answers: Answers,
    runs: Vec<Run>,
}

impl Stage<'_> {
    /// Runs a plan on the copy, revision by revision, and looks at what there is then.
    async fn leg(&self, plan: &Plan, step: Step) -> Result<Done<Leg>, Cause> {
        let at = self.ports.clock.now();
        let book = Bookkeeping { operation: self.id, at, known: &self.taken.inventory.findings };
        let mut runs = Vec::new();
        for script in &plan.scripts {
            self.ports.go_on()?;
            // One at a time, so that each is measured by itself.
            let alone = Plan { scripts: vec![script.clone()], ..plan.clone() };
            let began = Instant::now();
            let applied = self.runner.run(&alone, &book, &ScriptLog::unrecorded()).await?;
            runs.push(Run {
                revision: script.revision.clone(),
                message: script.message.clone(),
                there: began.elapsed().as_secs_f64(),
                back: None,
                again: None,
                locks: applied.locks,
                rewritten: applied.rewritten.into_iter().filter(|table| !table.is_bookkeeping()).collect(),
            });
        }
        self.ports.go_on()?;
        let inventory = self.copy.database().inventory(&self.ports.progress(step)).await?;
        let asked = ledger::questions(&self.before.fingerprint, &inventory.fingerprint);
        // The second way there is compared with the first one, by fingerprints alone.
        let answers = match step {
            Step::RehearseAgain => Answers::new(),
            _ => self.copy.row_changes(&asked).await?,
        };
        let count =
            if runs.len() == 1 { "1 revision".to_string() } else { format!("{} revisions", runs.len()) };
        Ok(Done { what: Leg { inventory, answers, runs }, facts: format!("{count} on the copy") })
    }
}

/// What the copy looks like before anything runs: the proof showed that its rows are those of the snapshot, so they are
/// not read once more.
async fn beginning(
    ports: &Ports<'_>,
    taken: &Snapshot,
    copy: &dyn RehearsalCopy,
    rows_seen: bool,
) -> Result<Inventory, crate::engine::Error> {
    if !rows_seen {
        return copy.database().inventory(&ports.progress(Step::Rehearse)).await;
    }
    Ok(Inventory { catalog: copy.database().catalog().await?, ..taken.inventory.clone() })
}

/// Tells a leg that failed by itself from one that was interrupted.
fn or_why(leg: Result<Done<Leg>, Failure>) -> Result<(Option<Leg>, Option<String>), Failure> {
    match leg {
        Ok(done) => Ok((Some(done.what), None)),
        Err(failure) => {
            let engine = match failure.source.downcast_ref::<crate::runner::Error>() {
                Some(crate::runner::Error::Engine(error)) => error,
                _ => return Err(failure),
            };
            use crate::engine::Error;
            match engine {
                Error::Statement { .. } | Error::ForeignKeys { .. } | Error::VersionRows { .. } => {
                    Ok((None, Some(engine.to_string())))
                }
                _ => Err(failure),
            }
        }
    }
}

/// Revisions that do something on the way there and nothing on the way back.
fn empty(plan: &Plan, back: Option<&Plan>) -> Vec<RevisionId> {
    let Some(back) = back else { return Vec::new() };
    let pairs = plan.scripts.iter().zip(back.scripts.iter().rev());
    let empty = pairs.filter(|(there, back)| !there.statements.is_empty() && back.statements.is_empty());
    empty.map(|(there, _)| there.revision.clone()).collect()
}

fn ways_back(plan: &Plan, back: Option<&Leg>, copy: &dyn RehearsalCopy) -> Vec<WayBack> {
    let word = if plan.direction == Direction::Up { "downgrade" } else { "upgrade" };
    let seconds = |leg: &Leg| leg.runs.iter().map(|run| run.there).sum();
    let migrated = back.map(|leg| WayBack { way: word.to_string(), seconds: seconds(leg) });
    // The proof was a restore; of a schema alone it says nothing about the data.
    let proof = Some(copy.proof()).filter(|proof| proof.level == ProofLevel::Full);
    let restored = proof.map(|proof| WayBack { way: "restore".to_string(), seconds: proof.seconds });
    migrated.into_iter().chain(restored).collect()
}

fn runs(there: &Leg, back: Option<&Leg>, again: Option<&Leg>) -> Vec<Run> {
    let of = |leg: Option<&Leg>, revision: &RevisionId| {
        leg?.runs.iter().find(|run| run.revision == *revision).map(|run| run.there)
    };
    let runs = there.runs.iter().cloned();
    runs.map(|run| Run { back: of(back, &run.revision), again: of(again, &run.revision), ..run }).collect()
}

fn report(ports: &Ports<'_>, operation: Option<String>, plan: &Plan) -> Report {
    Report {
        operation,
        kind: Kind::Rehearse,
        database: ports.identity().clone(),
        aftermath: Aftermath::Unchanged,
        from: plan.from.clone(),
        // The database stays where it is; where the migration would lead is in the ledger.
        to: plan.from.clone(),
        backup: None,
        check: None,
        undo: None,
        notes: Vec::new(),
    }
}
