//! `recover`.

use super::Context;
use crate::cli::args::Recover;
use crate::cli::render::Ending;
use crate::procedure::recover::{RecoverRequest, recover};
use crate::report::Failure;
use serde_json::json;

pub(super) async fn run(context: &Context<'_>, args: &Recover) -> Result<Ending, Failure> {
    // The first upgrade of a database that is not there yet can be what was interrupted.
    let assembled = context.assemble_with(true).await?;
    let request = RecoverRequest { undo: args.undo, policy: context.policy(None) };
    match recover(&assembled.ports(), &request).await? {
        Some(report) => Ok(Ending::report(&report, context.output)),
        None => Ok(Ending::said("there is nothing to recover", json!({ "recovered": null }))),
    }
}
