//! The legs of a rehearsal: there, back, and there again on the copy that the proof has restored.
//!
//! One restore serves proof and rehearsal, for `ripcord rehearse` and for every guarded change. Promises that the copy
//! is gone when it ends, however it ends.

use super::super::facts::Done;
use super::super::{Circumstances, Ports, Rehearsed, consent, copies, judge, refused, salvage, settle};
use crate::base::counted;
use crate::catalog::Catalog;
use crate::engine::{Applied, Bookkeeping, OtherWrites, Proof, RehearsalCopy, Snapshot};
use crate::fingerprint::Inventory;
use crate::history::{Direction, RevisionId};
use crate::journal::{Operation, ScriptLog};
use crate::ledger::{self, Answers, Keep, Ledger, Run, Seen, WayBack};
use crate::plan::hazard::{Held, Unseen};
use crate::plan::{self, Plan};
use crate::report::{Check, Failure, Step};
use crate::runner::{MigrationRunner, Reverse};
use crate::tabular::Sidecar;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What a rehearsal found out.
pub(in crate::procedure) struct Rehearsal {
    pub ledger: Ledger,
    /// What it loses, by name, and what that holds.
    pub hazards: Vec<Held>,
    /// The copy's definitions before: on another server, or without the roles of this one, they are not the database's.
    pub beginning: Catalog,
    /// The copy at the end of the way there: how the real run must end as well.
    pub end: Inventory,
    /// What was kept of what would be lost.
    pub salvage: Vec<Sidecar>,
    /// What verification would hold against the migration if it ended as it did on the copy.
    pub foreseen: Check,
}

impl Rehearsal {
    /// Returns what a real run is held against.
    pub fn as_rehearsed(&self) -> Rehearsed<'_> {
        Rehearsed { ledger: &self.ledger, copy: Some((&self.beginning, &self.end)) }
    }
}

/// Restores the snapshot in `place`, compares it, and rehearses the plan on what was restored. A way there that fails
/// is a failure of the whole: the real run would fail as well. One that would reach beyond the copy is none: it was not
/// run, and why is what comes back.
///
/// What the rehearsal keeps of the data goes into `draft`, the folder of a backup to come; without one nothing is kept.
pub(in crate::procedure) async fn prove_and_rehearse(
    ports: &Ports<'_>,
    op: &mut Operation,
    plan: &Plan,
    place: &Path,
    taken: &Snapshot,
    draft: Option<&Path>,
) -> Result<(Proof, Result<Rehearsal, Beyond>), Failure> {
    let id = op.id().to_string();
    let copy = op.step(Step::Prove, open(ports, place, taken, &id)).await?.what;
    let outcome = there_and_back(ports, op, plan, (place, taken), copy.as_ref(), draft).await;
    let proof = copy.proof().clone();
    let outcome = match outcome {
        Err(failure) => Beyond::of(failure).map(Err),
        Ok(rehearsal) => Ok(Ok(rehearsal)),
    };
    Ok((proof, copies::removed(outcome, copy.remove(), refused).await?))
}

/// Why a plan cannot be rehearsed: it would change what lies beside the copy.
pub(in crate::procedure) struct Beyond {
    pub failure: Failure,
    /// What that is.
    pub what: String,
}

impl Beyond {
    /// Returns any other failure as it is.
    fn of(failure: Failure) -> Result<Self, Failure> {
        use crate::engine::Error;
        match settle::of_engine(&failure) {
            Some(Error::BeyondCopy { what, .. }) => Ok(Self { what: what.clone(), failure }),
            _ => Err(failure),
        }
    }
}

async fn open(
    ports: &Ports<'_>,
    place: &Path,
    taken: &Snapshot,
    operation: &str,
) -> Result<Done<Box<dyn RehearsalCopy>>, Cause> {
    let copy = copies::restored(ports, (place, taken), operation, Step::Prove).await?;
    let proof = copy.proof();
    let facts = format!("{}: {}", proof.method, super::super::tables_and_rows(proof.tables, proof.rows));
    Ok(Done { what: copy, facts })
}

async fn there_and_back(
    ports: &Ports<'_>,
    op: &mut Operation,
    plan: &Plan,
    (place, taken): (&Path, &Snapshot),
    copy: &dyn RehearsalCopy,
    draft: Option<&Path>,
) -> Result<Rehearsal, Failure> {
    let (runner, id) = (ports.runner.on(copy.database()), op.id().to_string());
    let reverse = ports.runner.reverse(plan).map_err(refused)?;
    let rows_seen = copy.holds_rows();
    let before = beginning(ports, taken, copy, rows_seen).await.map_err(refused)?;
    let at = Mutex::default();
    let stage = Stage { ports, runner: runner.as_ref(), copy, id: &id, place, taken, before: &before, at };

    let mut there = op.step(Step::Rehearse, stage.leg(plan, Step::Rehearse, None)).await?.what;
    let (back_plan, irreversible) = match reverse {
        Reverse::Plan(plan) => (Some(plan), Vec::new()),
        Reverse::Irreversible(revisions) => (None, revisions),
    };
    let (mut back, mut back_failed, mut back_failed_at) = (None, None, None);
    if let Some(plan) = &back_plan {
        let leg = op.step(Step::RehearseBack, stage.leg(plan, Step::RehearseBack, Some(&there))).await;
        // A way back that fails is what a rehearsal is for: it goes into the ledger.
        (back, back_failed) = or_why(leg)?;
        back_failed_at = stage.ran_last().filter(|_| back_failed.is_some());
    }

    let stands = back_failed.is_none() || stays_there(copy, plan, back_plan.as_ref()).await;
    let (began, arrived) = (ledger::folded(&before), ledger::folded(&there.inventory));
    if rows_seen && back.is_none() && stands {
        let asked = ledger::recasts(&began, &arrived);
        let counts = copy.recast(&asked).await.map_err(refused)?;
        ledger::turned(&mut there.answers, asked, counts);
    }
    let returned = back.as_ref().map(|leg| (ledger::folded(&leg.inventory), &leg.answers));
    let returned = returned.as_ref().map(|(inventory, answers)| (inventory.as_ref(), *answers));
    let drawn = |again: Option<Result<&Inventory, String>>, leg: Option<&Leg>| {
        ledger::draw_up(Seen {
            direction: plan.direction,
            from: &plan.from,
            to: &plan.to,
            rows_seen,
            unseen: copy.cannot_see(),
            before: &began,
            there: &arrived,
            rows: &there.answers,
            back: returned,
            again,
            back_failed: back_failed.clone(),
            back_failed_at: back_failed_at.clone(),
            empty: empty(plan, back_plan.as_ref()),
            irreversible: irreversible.clone(),
            chance: plan::chance(plan, &before.catalog),
            chance_back: back_plan
                .as_ref()
                .map(|back| plan::chance(back, &there.inventory.catalog))
                .unwrap_or_default(),
            ways_back: ways_back(plan, back.as_ref(), copy),
            revisions: runs(&there, back.as_ref(), leg),
        })
    };

    // Before the way there again: what is missing now is what a way back of the real database would leave missing.
    let mut salvage = Vec::new();
    if let Some(draft) = draft.filter(|_| rows_seen) {
        let kept = keeps(&began, (&arrived, &there.answers), returned, stands);
        salvage = salvage::take(ports, op, &kept, copy, draft).await?;
    }
    let now = Some(returned.unwrap_or((arrived.as_ref(), &there.answers))).filter(|_| stands);
    let lost = drawn(None, None);
    let seen = ledger::folded(&taken.inventory);
    let mut hazards = consent::held(ports, copy, &lost, &seen, now).await.map_err(refused)?;
    if !rows_seen {
        hazards.extend(consent::opaque(plan, &seen, Unseen::Rows));
    }

    let (mut again, mut again_failed) = (None, None);
    if back.is_some() {
        let leg = op.step(Step::RehearseAgain, stage.leg(plan, Step::RehearseAgain, None)).await;
        (again, again_failed) = or_why(leg)?;
    }
    let ended_again = again.as_ref().map(|leg: &Leg| ledger::folded(&leg.inventory));
    let ended_again = ended_again.as_deref().map(Ok);
    let ledger = drawn(ended_again.or(again_failed.map(Err)), again.as_ref());
    drop((began, arrived));
    let foreseen = foreseen(plan, &before, &there.inventory, &ledger);
    Ok(Rehearsal { ledger, hazards, beginning: before.catalog, end: there.inventory, salvage, foreseen })
}

/// Judges the end of the way there as the real run will be judged: what can be known now must not be found out with the
/// live database.
fn foreseen(plan: &Plan, before: &Inventory, there: &Inventory, ledger: &Ledger) -> Check {
    let around = Circumstances {
        touches: &plan.touches(),
        applied: &Applied::nothing(),
        others: &OtherWrites::Nobody,
        rows_expected: &plan.to,
        rows_found: &plan.to,
        rehearsed: Some(Rehearsed { ledger, copy: Some((&before.catalog, there)) }),
    };
    judge(before, there, &around)
}

/// Returns what must be kept. Where a way back broke off in between, what is there now is not to be compared with.
fn keeps(
    before: &Inventory,
    there: (&Inventory, &Answers),
    back: Option<(&Inventory, &Answers)>,
    stands: bool,
) -> Vec<Keep> {
    let keeps = ledger::keeps(before, there, back);
    if stands { keeps } else { keeps.into_iter().map(Keep::uncompared).collect() }
}

/// Tells whether a way back that failed has undone itself, so that the copy is at the end of the way there.
async fn stays_there(copy: &dyn RehearsalCopy, plan: &Plan, back: Option<&Plan>) -> bool {
    let rows = copy.database().version_rows().await.unwrap_or_default();
    settle::same(&rows, &plan.to) && back.is_some_and(Plan::is_transactional)
}

/// What each leg of the way needs.
pub(super) struct Stage<'a> {
    pub ports: &'a Ports<'a>,
    pub runner: &'a dyn MigrationRunner,
    pub copy: &'a dyn RehearsalCopy,
    pub id: &'a str,
    /// The folder of the snapshot.
    pub place: &'a Path,
    pub taken: &'a Snapshot,
    pub before: &'a Inventory,
    /// The revision that runs, or ran last.
    pub at: Mutex<Option<RevisionId>>,
}

/// One leg of the way, when it is done.
pub(super) struct Leg {
    pub inventory: Inventory,
    pub answers: Answers,
    runs: Vec<Run>,
}

impl Stage<'_> {
    /// Reads the copy; what can be seen to be as it is in the snapshot beside it need not be read.
    async fn look(&self, step: Step) -> Result<Inventory, crate::engine::Error> {
        let (database, progress) = (self.copy.database(), self.ports.progress(step));
        match self.copy.holds_rows() {
            // The second way there is held against the first, whose soundness is known.
            true if step == Step::RehearseAgain => {
                database.contents_after(self.before, self.place, &progress).await
            }
            true => database.inventory_after(self.before, self.place, &progress).await,
            false => database.inventory(&progress).await,
        }
    }

    fn runs_now(&self, revision: &RevisionId) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Some(revision.clone());
    }

    fn ran_last(&self) -> Option<RevisionId> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs a plan on the copy, revision by revision, and looks at what there is then; of a way back with what there was at the
    /// end of the way `there`.
    pub(super) async fn leg(&self, plan: &Plan, step: Step, there: Option<&Leg>) -> Result<Done<Leg>, Cause> {
        let at = self.ports.clock.now();
        let book =
            Bookkeeping { operation: self.id, at, known: &self.taken.inventory.findings, guarded: None };
        let mut runs = Vec::new();
        for script in &plan.scripts {
            self.ports.go_on()?;
            self.runs_now(&script.revision);
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
        let inventory = self.look(step).await?;
        let (began, ended) = (ledger::folded(self.before), ledger::folded(&inventory));
        let asked = match there {
            Some(leg) => {
                let arrived = ledger::folded(&leg.inventory);
                ledger::questions_back(&began, (&arrived, &leg.answers), &ended)
            }
            None => ledger::questions(&began, &ended),
        };
        // The second way there is compared with the first one, by fingerprints alone.
        let mut answers = match step {
            Step::RehearseAgain => Answers::new(),
            _ => self.copy.row_changes(&asked).await?,
        };
        // Only the ledger speaks of it, and of one way.
        let renames = if step == Step::Rehearse { ledger::renames(&began, &ended) } else { Vec::new() };
        if !renames.is_empty() {
            let found = self.copy.row_changes(&renames).await?;
            ledger::compared(&mut answers, renames, found);
        }
        let count = counted(runs.len() as u64, "revision");
        Ok(Done { what: Leg { inventory, answers, runs }, facts: format!("{count} on the copy") })
    }
}

/// What the copy looks like before anything runs: the proof showed that its rows are those of the snapshot, so they are
/// not read once more.
pub(super) async fn beginning(
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
                Error::Statement { .. }
                | Error::ForeignKeys { .. }
                | Error::VersionRows { .. }
                | Error::BeyondCopy { .. } => Ok((None, Some(engine.to_string()))),
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
    let proof = Some(copy.proof()).filter(|_| copy.holds_rows());
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
