//! `upgrade` and `downgrade`.

use super::{Context, offline};
use crate::cli::args::{Downgrade, Guarding, OnFailure, Upgrade};
use crate::cli::render::Ending;
use crate::history::Direction;
use crate::procedure::change::{self, ChangeRequest};
use crate::report::Failure;

pub(super) async fn upgrade(context: &Context<'_>, args: &Upgrade) -> Result<Ending, Failure> {
    run(context, Direction::Up, &args.revision, &args.guarding, false).await
}

pub(super) async fn downgrade(context: &Context<'_>, args: &Downgrade) -> Result<Ending, Failure> {
    run(context, Direction::Down, &args.revision, &args.guarding, !args.no_merge).await
}

async fn run(
    context: &Context<'_>,
    direction: Direction,
    target: &str,
    guarding: &Guarding,
    merge: bool,
) -> Result<Ending, Failure> {
    if guarding.sql {
        return offline::run(context, direction, target).await;
    }
    offline::refuse_range(target)?;
    let request = ChangeRequest {
        direction,
        target: target.to_string(),
        policy: context.policy(guarding.proof),
        rehearse: context.config.rehearsal && !guarding.no_rehearsal,
        merge,
        on_failure: match guarding.on_failure {
            OnFailure::Restore => change::OnFailure::Restore,
            OnFailure::Stop => change::OnFailure::Stop,
        },
    };
    let assembled = context.assemble_with(direction == Direction::Up).await?;
    if guarding.dry_run {
        let plan = change::plan(&assembled.ports(), &request).await?;
        let mut human = crate::cli::render::plan_text(&plan, true);
        human.push_str("\nnothing was run: this is the plan only");
        return Ok(Ending::said(human, serde_json::json!({ "plan": plan })));
    }
    let report = change::change(&assembled.ports(), &request).await?;
    Ok(Ending::report(&report, context.output))
}
