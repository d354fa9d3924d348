//! `upgrade` and `downgrade`.

use super::{Context, offline};
use crate::base::shell_word;
use crate::cli::args::{Downgrade, Guarding, OnFailure, Upgrade};
use crate::cli::render::Ending;
use crate::history::Direction;
use crate::plan::Plan;
use crate::procedure::change::{self, ChangeRequest};
use crate::procedure::consent::Consent;
use crate::procedure::kind_of;
use crate::report::Failure;
use crate::runner;
use clap::ValueEnum;
use std::path::Path;
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
    let shown = guarding.plan.as_deref().map(|file| shown(file, direction)).transpose()?;
    let request = ChangeRequest {
        direction,
        target: target.to_string(),
        shown,
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
            flags: flags(direction, guarding, merge),
        },
    };
    let assembled = context.assemble_with(direction == Direction::Up).await?;
    if guarding.dry_run {
        let (plan, legs) = change::look_ahead(&assembled.ports(), &request).await?;
        let mut human = crate::cli::render::plan_text(&plan, true);
        let mut json = serde_json::json!({ "plan": plan });
        if !legs.is_empty() {
            human.push_str(&format!("\n{}", crate::cli::render::legs_text(&legs)));
            json["legs"] = serde_json::json!(legs);
        }
        human.push_str("\nnothing was run: this is the plan only");
        return Ok(Ending::said(human, json));
    }
    let report = change::change(&assembled.ports(), &request).await?;
    Ok(Ending::report(&report, context.output))
}

/// Returns the command as it was typed, as far as it bears on the change.
fn command(direction: Direction, target: &str, guarding: &Guarding, merge: bool) -> String {
    let mut words = vec!["ripcord".to_string(), kind_of(direction).word().to_string()];
    match &guarding.plan {
        Some(file) => words.extend(["--plan".to_string(), shell_word(&file.display().to_string())]),
        None => words.push(shell_word(target)),
    }
    format!("{}{}", words.join(" "), flags(direction, guarding, merge))
}

/// Returns the flags of the command that bear on the change, each with a space before it.
fn flags(direction: Direction, guarding: &Guarding, merge: bool) -> String {
    let mut words = Vec::new();
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
    words.iter().map(|word| format!(" {word}")).collect()
}

/// Reads the plan that was shown: the report of a dry run, with or without the events before it, or the plan alone.
fn shown(file: &Path, direction: Direction) -> Result<Plan, Failure> {
    let usage = |detail: String| {
        let detail = format!("{}: {detail}", file.display());
        let place = shell_word(&file.display().to_string());
        let make = format!("ripcord {} --dry-run --format json > {place}", kind_of(direction).word());
        let next =
            vec![format!("name the file that a dry run has written, or write one to be reviewed: {make}")];
        Failure { next, ..Failure::refused(runner::Error::Usage { detail }) }
    };
    let text = std::fs::read_to_string(file).map_err(|error| usage(error.to_string()))?;
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let read: Result<serde_json::Value, _> =
        serde_json::from_str(&text).or_else(|_| serde_json::from_str(last));
    let plan = read.and_then(|found| {
        let plan = found.pointer("/result/plan").or_else(|| found.get("plan")).unwrap_or(&found);
        serde_json::from_value::<Plan>(plan.clone())
    });
    let plan = plan
        .map_err(|error| usage(format!("this is no plan as --dry-run --format json prints it: {error}")))?;
    match plan.direction == direction {
        true => Ok(plan),
        false => Err(usage(format!(
            "this is the plan of the other direction, not of this {}",
            kind_of(direction).word()
        ))),
    }
}
