//! `rehearse`.

use super::{Context, offline};
use crate::cli::args::{CopyDepth, Deny, Rehearse};
use crate::cli::exit_code::ExitCode;
use crate::cli::render::Ending;
use crate::engine::ProofLevel;
use crate::history::Direction;
use crate::procedure::SnapshotPolicy;
use crate::procedure::rehearse::{self, RehearseRequest};
use crate::report::Failure;

pub(super) async fn run(context: &Context<'_>, args: &Rehearse) -> Result<Ending, Failure> {
    let (direction, default) = match args.downgrade {
        true => (Direction::Down, "-1"),
        false => (Direction::Up, "head"),
    };
    let target = args.revision.clone().unwrap_or_else(|| default.to_string());
    offline::refuse_range(&target)?;
    let request = RehearseRequest { direction, target, policy: policy(context, args.proof) };
    let assembled = context.assemble_with(direction == Direction::Up).await?;
    let rehearsed = rehearse::rehearse(&assembled.ports(), &request).await?;
    let exit = match args.deny {
        Some(Deny::Loss) if rehearsed.may_lose() => ExitCode::Refused,
        _ => ExitCode::Done,
    };
    Ok(Ending { exit, ..Ending::rehearsed(&rehearsed, context.output) })
}

/// Without a proof there is no copy, so `proof.level = "none"` does not count here.
fn policy(context: &Context<'_>, asked: Option<CopyDepth>) -> SnapshotPolicy {
    let max_size = context.config.max_size.filter(|_| asked.is_none());
    let proof = match (asked, context.config.proof) {
        (Some(CopyDepth::Schema), _) | (None, ProofLevel::Schema) => ProofLevel::Schema,
        _ => ProofLevel::Full,
    };
    SnapshotPolicy { proof, max_size }
}
