//! `upgrade` and `downgrade`.

use super::{Context, offline};
use crate::base::shell_word;
use crate::cli::args::{Downgrade, Guarding, OnFailure, Upgrade};
use crate::cli::render::Ending;
use crate::history::Direction;
use crate::procedure::change::{self, ChangeRequest};
use crate::procedure::consent::Consent;
use crate::procedure::kind_of;
use crate::report::Failure;
use clap::ValueEnum;
use std::sync::Arc;

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
        consent: Consent {
            accept: guarding.accept.clone(),
            person: Arc::new(context.output.clone()),
            command: command(direction, target, guarding, merge),
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

/// Returns the command as it was typed, as far as it bears on the change.
fn command(direction: Direction, target: &str, guarding: &Guarding, merge: bool) -> String {
    let mut words = vec!["ripcord".to_string(), kind_of(direction).word().to_string(), shell_word(target)];
    let value = |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_string());
    if let Some(proof) = guarding.proof.and_then(|proof| value(proof.to_possible_value())) {
        words.extend(["--proof".to_string(), proof]);
    }
    if guarding.no_rehearsal {
        words.push("--no-rehearsal".to_string());
    }
    if guarding.on_failure == OnFailure::Stop {
        words.push("--on-failure stop".to_string());
    }
    if direction == Direction::Down && !merge {
        words.push("--no-merge".to_string());
    }
    words.join(" ")
}
