//! A way down in legs: over several upgrades that hold salvage.
//!
//! What an upgrade salvaged has the names and the meaning of before it. It can come back when its own revisions are undone, and
//! must before a way back of an older revision touches what it is of. So each leg is a whole guarded downgrade, with a
//! snapshot, a rehearsal, a verification and a merge of its own: the rehearsal of the next one sees the rows that came back.
//! Where nothing has to be apart there are none of them.
//!
//! The whole way is rehearsed first, once: a statement that fails in a later leg, and what a later leg loses, is better known
//! before the first one has run.

mod cut;
mod joined;

use super::change::{self, ChangeRequest};
use super::consent::{self, Person};
use super::{Ports, half_way, merge, rehearse, settle, shown, whose};
use crate::base::shell_word;
use crate::engine::{self, ProofLevel};
use crate::fingerprint::Inventory;
use crate::history::{Direction, History, RevisionId};
use crate::journal::{OperationState, Progressed};
use crate::plan::hazard::{Held, Unseen};
use crate::plan::{Hazard, Plan};
use crate::report::{Aftermath, Event, Failure, Leg, LegsThen, Report, RowsThen, Step};
use async_trait::async_trait;
use serde::Serialize;
use std::sync::Arc;

/// The facts in the journal of a leg: which one it is, what runs the rest, and what leads back to before the first.
const LEG: &str = "leg";
const GO_ON: &str = "go-on";
const BACK: &str = "back";

/// Returns the legs of a change; none where it runs as one.
pub(super) async fn of(ports: &Ports<'_>, request: &ChangeRequest, plan: &Plan) -> Result<Vec<Leg>, Failure> {
    if plan.direction == Direction::Up || !request.merge || plan.scripts.len() < 2 {
        return Ok(Vec::new());
    }
    let claims = merge::claims(ports, plan).await?;
    let history = ports.runner.history().map_err(super::refused)?;
    let target = |place: usize| target(&history, plan, place);
    if target(plan.scripts.len()).is_none() {
        return Ok(Vec::new());
    }
    let mut ends = cut::cuts(&claims, &|place| target(place).is_some());
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    ends.push(plan.scripts.len());
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let legs = starts.zip(&ends).filter_map(|(start, end)| {
        let of_leg = |claim: &&merge::Claim| claim.own.iter().all(|place| (start..*end).contains(place));
        let after = |claim: &merge::Claim| {
            claim.harmed_by.iter().flatten().copied().filter(|place| place >= end).min()
        };
        let claimed: Vec<_> = claims.iter().filter(of_leg).filter(|claim| after(claim).is_some()).collect();
        let before = claimed.iter().filter_map(|claim| after(claim)).min();
        let scripts = &plan.scripts[start..*end];
        Some(Leg {
            target: target(*end)?,
            to: scripts.last()?.rows_after.clone(),
            revisions: scripts.iter().map(|script| script.revision.clone()).collect(),
            brings_back: claimed.iter().map(|claim| claim.backup.clone()).collect(),
            before: before.map(|place| plan.scripts[place].revision.clone()),
        })
    });
    Ok(legs.collect())
}

/// Returns a name for the state that a plan leads through before the script at this place: a target with which just the scripts
/// before it are undone.
fn target(history: &History, plan: &Plan, place: usize) -> Option<String> {
    let scripts = plan.scripts.get(..place)?;
    let rows = &scripts.last()?.rows_after;
    let base = rows.is_empty().then(|| "base".to_string());
    let mut named = rows.iter().map(ToString::to_string).chain(base);
    let undone: Vec<&RevisionId> = scripts.iter().map(|script| &script.revision).collect();
    named.find(|name| {
        let steps = history.downgrade_steps(&plan.from, name).unwrap_or_default();
        steps.iter().map(|step| &step.revision).eq(undone.iter().copied())
    })
}

/// What one leg has to know of all of them.
pub(super) struct Ahead<'a> {
    /// The whole way, or what the command leads on to.
    whole: Plan,
    /// What the rehearsal of the whole way found; none where there was none.
    held: Option<&'a [Held]>,
    number: usize,
    of: usize,
    go_on: String,
    /// The command that leads back to before the first leg, where that is not this one.
    back: Option<String>,
}

impl Ahead<'_> {
    /// Returns what the journal of a leg says of the others.
    pub(super) fn says(&self) -> Vec<(&'static str, String)> {
        let leg = (LEG, format!("{} of {}", self.number + 1, self.of));
        let back = self.back.clone().map(|back| (BACK, back));
        [leg, (GO_ON, self.go_on.clone())].into_iter().chain(back).collect()
    }

    /// Adds to what a leg loses, when it is the first, what is known of the others: a person is asked once, and before anything
    /// has run.
    pub(super) fn with_all(&self, mut found: Vec<Held>, seen: &Inventory) -> Vec<Held> {
        if self.number == 0 {
            let unseen = || consent::opaque(&self.whole, seen, Unseen::Everything).into_iter().collect();
            for held in self.held.map_or_else(unseen, <[Held]>::to_vec) {
                if found.iter().all(|known| known.hazard != held.hazard) {
                    found.push(held);
                }
            }
        }
        found
    }

    /// Returns the whole way.
    pub(super) fn whole(&self) -> &Plan {
        &self.whole
    }
}

/// Runs the legs, one after the other, under the lock of the caller; `id` is for the first.
pub(super) async fn run(
    ports: &Ports<'_>,
    request: &ChangeRequest,
    plan: &Plan,
    legs: &[Leg],
    id: &str,
) -> Result<Report, Failure> {
    ports.observer.event(&Event::Legs { legs: legs.to_vec() });
    // Salvage of a later leg that is not as it was written is to be known before the first one has run.
    merge::ready(ports, plan, &whose::moved(ports).await, change::rehearses(request)).await?;
    let held = beforehand(ports, request, plan, legs).await?;
    let mut done: Vec<Report> = Vec::new();
    for (number, leg) in legs.iter().enumerate() {
        let id =
            if number == 0 { id.to_string() } else { ports.journal.new_id(super::kind_of(plan.direction)) };
        let ahead = Ahead {
            whole: whole(plan, legs, number),
            held: held.as_deref(),
            number,
            of: legs.len(),
            go_on: go_on(request, legs),
            back: done.first().and_then(|report| report.undo.clone()),
        };
        match one(ports, request, (plan, leg), &done, &id, &ahead).await {
            Ok(report) => done.push(report),
            Err(failure) => return Err(stopped(ports, plan, &ahead, &done, failure).await),
        }
    }
    match done.first() {
        Some(first) => Ok(joined::report(ports, first, &done).await),
        None => Ok(change::nothing_to_do(ports, plan)),
    }
}

/// Returns the whole way, under a name that means the same wherever the database is by now.
fn whole(plan: &Plan, legs: &[Leg], number: usize) -> Plan {
    match legs.last().filter(|_| number > 0) {
        Some(last) => Plan { target: last.target.clone(), ..plan.clone() },
        None => plan.clone(),
    }
}

/// Returns the command that runs what is left, wherever the database is by now.
fn go_on(request: &ChangeRequest, legs: &[Leg]) -> String {
    consent::command(&base_command(request, legs), request.consent.accept.iter())
}

fn base_command(request: &ChangeRequest, legs: &[Leg]) -> String {
    let target = legs.last().map(|leg| leg.target.as_str()).unwrap_or_default();
    format!("ripcord downgrade {}{}", shell_word(target), request.consent.flags)
}

/// Rehearses the whole way and returns what it loses; nothing where it is not to be rehearsed, or cannot be.
async fn beforehand(
    ports: &Ports<'_>,
    request: &ChangeRequest,
    plan: &Plan,
    legs: &[Leg],
) -> Result<Option<Vec<Held>>, Failure> {
    let level = request.policy.proof;
    if !request.rehearse || level == ProofLevel::None {
        return Ok(None);
    }
    let id = ports.journal.new_id(crate::report::Kind::Rehearse);
    match rehearse::operation(ports, &id, plan, level, half_way::told(ports)).await {
        Ok((_, rehearsal)) => Ok(rehearsal.map(|rehearsal| rehearsal.hazards)),
        Err(failure) => match settle::of_engine(&failure) {
            Some(engine::Error::BeyondCopy { .. }) => Ok(None),
            Some(engine::Error::Statement { .. } | engine::Error::ForeignKeys { .. }) => {
                let failure = merge::waiting::named(ports, plan, failure).await;
                let first = legs.first().map(|leg| leg.target.as_str()).unwrap_or_default();
                let otherwise = format!(
                    "or one step at a time, where it lacks what the first one brings back: ripcord downgrade {}{}",
                    shell_word(first),
                    request.consent.flags
                );
                Err(Failure { otherwise: Some(otherwise), ..failure })
            }
            _ => Err(failure),
        },
    }
}

/// Runs one leg. It is planned where the database is by then, and has to be the part of the way that was shown.
async fn one(
    ports: &Ports<'_>,
    request: &ChangeRequest,
    (whole, leg): (&Plan, &Leg),
    done: &[Report],
    id: &str,
    ahead: &Ahead<'_>,
) -> Result<Report, Failure> {
    ports.go_on().map_err(super::refused)?;
    // A wish that came when an earlier leg had committed was heard, and that leg brought to its end: it is a wish to stop here.
    if !done.is_empty() && ports.cancel.wishes() > 0 {
        return Err(super::refused(engine::Error::Interrupted));
    }
    let plan = ports.plan(whole.direction, &leg.target).await?;
    let shown = whole.scripts.iter().filter(|script| leg.revisions.contains(&script.revision));
    shown::refuse_another(&shown.cloned().collect::<Vec<_>>(), &plan)?;
    let mut consent = request.consent.clone();
    if !done.is_empty() {
        change::look_before(ports, request).await?;
        consent.command = format!("ripcord downgrade {}{}", shell_word(&ahead.whole.target), consent.flags);
        let given = done.iter().flat_map(|report| &report.accepted);
        let given = given.map(|accepted| accepted.held.hazard.clone()).collect();
        consent.person = Arc::new(Remembered { given, person: consent.person });
    }
    ports.observer.event(&Event::Planned { plan: plan.clone() });
    let request = ChangeRequest { target: leg.target.clone(), shown: None, consent, ..request.clone() };
    change::operation(ports, &request, &plan, id, Some(ahead)).await
}

/// Somebody who has answered before an earlier leg, and is not asked the same again.
#[derive(Debug)]
struct Remembered {
    given: Vec<Hazard>,
    person: Arc<dyn Person>,
}

#[async_trait]
impl Person for Remembered {
    async fn accepts(&self, held: &Held) -> Option<bool> {
        match self.given.contains(&held.hazard) {
            true => Some(true),
            false => self.person.accepts(held).await,
        }
    }
}

/// Says of a failure which legs stand. One of the first that left everything as it was is a failure like any other.
async fn stopped(
    ports: &Ports<'_>,
    plan: &Plan,
    ahead: &Ahead<'_>,
    done: &[Report],
    failure: Failure,
) -> Failure {
    let failed = failure.aftermath;
    let is_as_before = matches!(failed, Aftermath::Unchanged | Aftermath::PutBack);
    if done.is_empty() && is_as_before {
        return failure;
    }
    ports.cancel.heard();
    let now = ports.database.version_rows().await.ok();
    let rows = now.map(|now| Box::new(RowsThen { before: plan.from.clone(), now })).or(failure.rows);
    // One of which only the last line of the journal is missing stands as well.
    let last = failure.operation.clone().filter(|_| failure.is_done);
    let back_of_it = || failure.backup.as_ref().map(|backup| format!("ripcord restore {}", backup.id));
    let legs = LegsThen {
        stand: done.iter().filter_map(|report| report.operation.clone()).chain(last).collect(),
        of: ahead.of,
        failed,
        go_on: ahead.go_on.clone(),
        merge_first: failure.step == Some(Step::MergeBack) && failed == Aftermath::Changed,
        undo: ahead.back.clone().or_else(|| back_of_it().filter(|_| failure.is_done)),
    };
    Failure {
        aftermath: if is_as_before { Aftermath::Changed } else { failed },
        backup: failure.backup.or_else(|| done.first().and_then(|report| report.backup.clone())),
        legs: Some(Box::new(legs)),
        rows,
        ..failure
    }
}

/// A way down that was broken off between two of its legs: nothing is unfinished, and what was asked for is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BetweenSteps {
    pub operation: String,
    /// The leg that ended last, and how many there were to be: `1 of 2`.
    pub step: String,
    /// The command that runs what is left.
    pub go_on: String,
    /// The command that leads back to before the first leg.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
}

/// Returns the way down that stands between two legs, if that is the last that happened to the database. Only looks.
pub async fn between(ports: &Ports<'_>) -> Result<Option<BetweenSteps>, Failure> {
    let last = ports.journal.last_change(ports.identity()).map_err(super::refused)?;
    let Some((state, (step, go_on))) =
        last.as_ref().and_then(|state| Some((state, waits_for_the_next(state)?)))
    else {
        return Ok(None);
    };
    // Version rows that somebody else has moved since are no place from which it goes on.
    match ports.database.version_rows().await {
        Ok(rows) if settle::same(&rows, &state.to) => {}
        _ => return Ok(None),
    }
    let back = || state.backup.as_ref().map(|backup| format!("ripcord restore {backup}"));
    Ok(Some(BetweenSteps {
        operation: state.operation.clone(),
        step: step.to_string(),
        go_on: go_on.to_string(),
        undo: state.facts.get(BACK).cloned().or_else(back),
    }))
}

/// Returns which leg an operation was and the command that goes on, where it came to its end and was not the last one. What
/// did not pass, or is not merged, has other commands to be run first. Pure.
fn waits_for_the_next(state: &OperationState) -> Option<(&str, &str)> {
    let (step, go_on) = (state.facts.get(LEG)?, state.facts.get(GO_ON)?);
    let (number, of) = step.split_once(" of ")?;
    let is_merged = !state.started.contains(&Step::MergeBack) || state.finished.contains(&Step::MergeBack);
    let has_failed = matches!(state.step, Some((_, Progressed::Failed)));
    let stands = state.ended == Some(Aftermath::Changed) && is_merged && !has_failed;
    (stands && number != of).then_some((step, go_on))
}

/// Says after a crash in a leg what there was besides it.
pub(super) fn told(state: &OperationState) -> Vec<String> {
    let Some(leg) = state.facts.get(LEG) else { return Vec::new() };
    let back = state.facts.get(BACK);
    let fact = match back {
        Some(_) => format!("this was step {leg} of a downgrade, and the steps before it stand"),
        None => format!("this was step {leg} of a downgrade, the first"),
    };
    let go_on = state.facts.get(GO_ON).map(|command| format!("to go on with it: {command}"));
    let back = back.map(|command| format!("to go back to before its first step: {command}"));
    [Some(fact), go_on, back].into_iter().flatten().collect()
}
