//! Consent: what a migration loses for good is accepted by name, one by one, or nothing is touched.
//!
//! It is asked for after the rehearsal, which says what is lost and how much of it, and before anything is published: a
//! refusal leaves no backup of a change that never was. There is no answer for all, and `--yes` is none.

use super::{Ports, Refusal, facts::Done, judge, refused};
use crate::base::shell_word;
use crate::engine::{self, RehearsalCopy};
use crate::fingerprint::Inventory;
use crate::history::Direction;
use crate::journal::Operation;
use crate::ledger::{Answers, Ledger};
use crate::plan::hazard::{self, AcceptedBy, Held, Unseen, Weighed};
use crate::plan::{Accepted, Hazard, Plan, Script, Statement, Touches};
use crate::report::{Event, Failure, Step};
use crate::runner::Reverse;
use async_trait::async_trait;
use std::fmt::Debug;
use std::sync::Arc;

/// What is accepted beforehand, and who can be asked about the rest.
#[derive(Clone, Debug)]
pub struct Consent {
    /// `--accept`.
    pub accept: Vec<Hazard>,
    pub person: Arc<dyn Person>,
    /// The command as it was typed, without its accepts: a refusal names it again, with all that are needed.
    pub command: String,
    /// Its flags, for the same command with another target: each with a space before it.
    pub flags: String,
}

/// Somebody who may be there to answer.
#[async_trait]
pub trait Person: Debug + Send + Sync {
    /// Shows what a hazard holds, and returns whether the person accepts it; `None` when nobody can be asked.
    async fn accepts(&self, held: &Held) -> Option<bool>;
}

/// There is nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

#[async_trait]
impl Person for Nobody {
    async fn accepts(&self, _: &Held) -> Option<bool> {
        None
    }
}

/// What was consented to.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub accepted: Vec<Accepted>,
    /// Flags that named what the migration does not do.
    pub unneeded: Vec<Hazard>,
}

impl Given {
    /// Tells whether there is no way back but the snapshot.
    pub(super) fn is_irreversible(&self) -> bool {
        self.accepted.iter().any(|accepted| matches!(accepted.held.hazard, Hazard::Irreversible { .. }))
    }

    /// Returns a remark for each flag that was not needed.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        self.unneeded
            .iter()
            .map(|hazard| format!("--accept {hazard} was not needed: this change does not do that"))
    }
}

/// Returns the hazards of a ledger with what they hold, read from the copy as long as it is there; `now` is what the
/// migrated side of it holds at this moment, if that is known, and how its rows were found.
pub(super) async fn held(
    ports: &Ports<'_>,
    copy: &dyn RehearsalCopy,
    ledger: &Ledger,
    taken: &Inventory,
    now: Option<(&Inventory, &Answers)>,
) -> Result<Vec<Held>, engine::Error> {
    let mut found = Vec::new();
    for held in hazard::hazards(ledger, ports.identity().engine) {
        match looked_at(copy, ledger, (taken, now), held.clone()).await {
            Ok(held) => found.extend(held),
            Err(error) if error.is_interrupted() => return Err(error),
            // It is a hazard all the same: examples are a help, not the reason.
            Err(error) => {
                let text = format!("no examples of {}: {error}", held.hazard);
                ports.observer.event(&Event::Note { text });
                found.push(held);
            }
        }
    }
    Ok(found)
}

/// Returns the hazard with what it holds; `None` when the snapshot shows that it holds nothing.
async fn looked_at(
    copy: &dyn RehearsalCopy,
    ledger: &Ledger,
    (taken, now): (&Inventory, Option<(&Inventory, &Answers)>),
    held: Held,
) -> Result<Option<Held>, engine::Error> {
    let Some(asked) = hazard::sample(&held, ledger, taken, now) else {
        return Ok(Some(held));
    };
    if taken.fingerprint.tables.get(&asked.table).is_some_and(|table| table.rows == 0) {
        // A copy without rows could not know.
        return Ok(None);
    }
    if !copy.holds_rows() {
        // Of a whole table the snapshot knows how many rows there are.
        let rows = taken.fingerprint.tables.get(&asked.table).map(|table| table.rows);
        let is_whole = matches!(held.hazard, Hazard::DropsTable { .. });
        return Ok(Some(Held { count: held.count.or(rows.filter(|_| is_whole)), ..held }));
    }
    let found = copy.sample(&asked).await?;
    Ok(Some(held.sampled(&asked, found)))
}

/// Returns the hazard of a plan that was not rehearsed, or not on the rows of the snapshot.
pub(super) fn opaque(plan: &Plan, taken: &Inventory, unseen: Unseen) -> Option<Held> {
    let tables = taken.catalog.tables.iter().collect();
    // A partition is not named, and goes with its parent.
    hazard::opaque(plan, taken, unseen, &|touches, name| judge::is_touched(touches, &tables, name))
}

/// Returns what is known of a plan that was not rehearsed: that nobody saw what it does, and which of its revisions have no way
/// back, which their files say.
pub(super) fn unrehearsed(ports: &Ports<'_>, plan: &Plan, taken: &Inventory) -> Result<Vec<Held>, Failure> {
    let mut found: Vec<Held> = opaque(plan, taken, Unseen::Everything).into_iter().collect();
    if plan.direction == Direction::Up
        && let Reverse::Irreversible(revisions) = ports.runner.reverse(plan).map_err(refused)?
    {
        found.extend(revisions.iter().map(hazard::no_return));
    }
    Ok(found)
}

/// Returns what was accepted of these hazards, or refuses. Without hazards nobody is asked, and nothing is written. A
/// rehearsal is named as the way to know more only where there can be one.
pub(super) async fn obtain(
    ports: &Ports<'_>,
    op: &mut Operation,
    plan: &Plan,
    consent: &Consent,
    (found, can_rehearse): (Vec<Held>, bool),
) -> Result<Given, Failure> {
    let engine = ports.identity().engine;
    let flags: Vec<Hazard> = consent.accept.iter().cloned().map(|hazard| hazard.within(engine)).collect();
    let weighed = hazard::weigh(found, &plan.scripts, &flags);
    if weighed.accepted.is_empty() && weighed.open.is_empty() {
        return Ok(Given { accepted: Vec::new(), unneeded: weighed.unneeded });
    }
    let asked = op.step(Step::Consent, ask(ports, consent, weighed)).await;
    asked.map(|done| done.what).map_err(|failure| with_commands(failure, plan, consent, can_rehearse))
}

async fn ask(
    ports: &Ports<'_>,
    consent: &Consent,
    weighed: Weighed,
) -> Result<Done<Given>, Box<dyn std::error::Error + Send + Sync>> {
    let mut given = Given { accepted: weighed.accepted, unneeded: weighed.unneeded };
    let mut open = weighed.open.into_iter();
    while let Some(held) = open.next() {
        ports.go_on()?;
        let answer = tokio::select! {
            answer = consent.person.accepts(&held) => answer,
            () = ports.cancel.cancelled() => return Err(engine::Error::Interrupted.into()),
        };
        if answer != Some(true) {
            let accepted = given.accepted.into_iter().filter(|accepted| accepted.by != AcceptedBy::File);
            let accepted = accepted.map(|accepted| accepted.held.hazard).collect();
            let open = std::iter::once(held).chain(open).collect();
            return Err(Refusal::Hazards { open, accepted }.into());
        }
        given.accepted.push(Accepted { held, by: AcceptedBy::Person, revision: None, why: None });
    }
    let facts: Vec<String> = given.accepted.iter().map(|accepted| accepted.to_string()).collect();
    Ok(Done { what: given, facts: facts.join("; ") })
}

/// Names the commands that lead on from a refusal: the same one with every name, and how to see or review what it loses.
fn with_commands(failure: Failure, plan: &Plan, consent: &Consent, can_rehearse: bool) -> Failure {
    let Some(Refusal::Hazards { open, accepted }) = failure.source.downcast_ref() else { return failure };
    let open: Vec<&Hazard> = open.iter().map(|held| &held.hazard).collect();
    let mut next = vec![command(&consent.command, accepted.iter().chain(open.iter().copied()))];
    if open.first() == Some(&&Hazard::Opaque) && can_rehearse {
        let down = if plan.direction == Direction::Down { "--downgrade " } else { "" };
        next.insert(0, format!("ripcord rehearse {down}{}", shell_word(&plan.target)));
    }
    // A file whose upgrade is applied already is not where that is reviewed: there only the flag is left.
    if plan.direction == Direction::Up {
        next.extend(open.iter().filter_map(|hazard| in_files(plan, hazard)));
    }
    Failure { next, ..failure }
}

/// Says in which files a hazard can be accepted, where a comment can hold its name. One file cannot speak for what another one does, so
/// that nobody looked must be accepted by each that does something.
fn in_files(plan: &Plan, hazard: &Hazard) -> Option<String> {
    let accepts = |script: &Script| script.accepts.iter().any(|accept| accept.hazard == *hazard);
    let doing = || plan.scripts.iter().filter(|script| !script.statements.is_empty());
    let places: Vec<&str> = match hazard {
        Hazard::Opaque => {
            doing().filter(|script| !accepts(script)).map(|script| script.place.as_str()).collect()
        }
        Hazard::Irreversible { revision } => plan
            .scripts
            .iter()
            .filter(|script| script.revision == *revision)
            .map(|script| script.place.as_str())
            .collect(),
        _ => by_name(plan, hazard).into_iter().map(|script| script.place.as_str()).collect(),
    };
    let each = match hazard {
        Hazard::Opaque if doing().count() > 1 => "which every file with statements must do for itself, ",
        _ => "",
    };
    let line = format!("-- ripcord:accept {hazard} \"why\"");
    let between = if *hazard == Hazard::Opaque { ", " } else { " or " };
    (!places.is_empty() && !line.contains(char::is_control))
        .then(|| format!("or accept it where it is reviewed, {each}in {}: {line}", places.join(between)))
}

/// Returns the scripts that name what is lost, its column with the table if they can; the last one where none does, because what
/// nobody names is reached by a trigger or a function.
fn by_name<'p>(plan: &'p Plan, hazard: &Hazard) -> Vec<&'p Script> {
    let having = |names: &[&str]| -> Vec<&'p Script> {
        let has = |statement: &Statement| match &statement.touches {
            Touches::Names(found) => names.iter().all(|name| found.contains(&name.to_lowercase())),
            Touches::Anything => false,
        };
        plan.scripts.iter().filter(|script| script.statements.iter().any(has)).collect()
    };
    let table = hazard.table().map(|table| table.name.as_str());
    let both: Vec<&str> = table.into_iter().chain(hazard.column()).collect();
    let mut found = [both, table.into_iter().collect()].into_iter().map(|names| having(&names));
    let found = found.find(|found| !found.is_empty());
    found.unwrap_or_else(|| plan.scripts.last().into_iter().collect())
}

/// Returns a command with the flags that accept these hazards, ready to be pasted into a shell.
pub fn command<'a>(base: &str, hazards: impl Iterator<Item = &'a Hazard>) -> String {
    let mut seen: Vec<&Hazard> = Vec::new();
    let mut text = base.to_string();
    for hazard in hazards {
        if !seen.contains(&hazard) {
            seen.push(hazard);
            text.push_str(&format!(" --accept {}", shell_word(&hazard.to_string())));
        }
    }
    text
}
