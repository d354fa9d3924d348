//! Running the plan that somebody was shown, and no other.
//!
//! It is planned again, under the lock: what runs is read from the files of now, and only if that is the plan that was
//! shown.

use super::{Ports, Refusal, refused, rows_text, settle};
use crate::plan::{Plan, Script};
use crate::report::Failure;
use crate::runner;

/// Returns the plan of now, which is the one that was shown, or refuses.
pub(super) async fn planned_again(ports: &Ports<'_>, shown: &Plan) -> Result<Plan, Failure> {
    let rows = ports.database.version_rows().await.map_err(refused)?;
    if !settle::same(&rows, &shown.from) {
        let (planned, found) = (rows_text(&shown.from), rows_text(&rows));
        return Err(differs(format!("the database was at {planned}, and is at {found} now")));
    }
    let plan = ports.plan(shown.direction, &shown.target).await.map_err(|failure| {
        // Its target is gone, or is another one: that is no mistake in the command.
        match failure.source.downcast_ref() {
            Some(runner::Error::History(error)) => differs(error.to_string()),
            _ => failure,
        }
    })?;
    match difference(shown, &plan) {
        Some(detail) => Err(differs(detail)),
        None => Ok(plan),
    }
}

/// Refuses a plan for a part of the way that was shown, where it is not that part any more.
pub(super) fn refuse_another(shown: &[Script], plan: &Plan) -> Result<(), Failure> {
    let revisions = |scripts: &[Script]| {
        scripts.iter().map(|script| script.revision.to_string()).collect::<Vec<_>>().join(", ")
    };
    let (before, now) = (revisions(shown), revisions(&plan.scripts));
    if before != now {
        return Err(differs(format!("it runs {before}, and {} leads by {now} now", plan.target)));
    }
    match edited(shown, &plan.scripts) {
        Some(detail) => Err(differs(detail)),
        None => Ok(()),
    }
}

fn edited(shown: &[Script], now: &[Script]) -> Option<String> {
    let mut pairs = shown.iter().zip(now);
    let edited =
        pairs.find(|(before, now)| before.sha256 != now.sha256 || before.statements != now.statements);
    edited.map(|(_, now)| format!("{} is not the file that it was made from", now.place))
}

fn differs(detail: String) -> Failure {
    refused(Refusal::PlanDiffers { detail })
}

fn difference(shown: &Plan, plan: &Plan) -> Option<String> {
    let revisions = |plan: &Plan| {
        let scripts = plan.scripts.iter().map(|script| script.revision.to_string());
        scripts.collect::<Vec<_>>().join(", ")
    };
    let (before, now) = (revisions(shown), revisions(plan));
    if before != now || shown.to != plan.to {
        return Some(format!("it runs {before}, and {} leads by {now} now", shown.target));
    }
    if let Some(detail) = edited(&shown.scripts, &plan.scripts) {
        return Some(detail);
    }
    // Without the hash nobody can tell what schema it was made for.
    let is_of_schema = plan.is_empty() || (shown.schema.is_some() && shown.schema == plan.schema);
    (!is_of_schema).then(|| "the schema of the database is not the one that it was made for".to_string())
}
