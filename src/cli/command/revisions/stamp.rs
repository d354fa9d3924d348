//! `stamp`.

use super::super::Context;
use crate::cli::args::Stamp;
use crate::cli::render::Ending;
use crate::procedure::stamp::{self, StampRequest};
use crate::report::Failure;

pub(in super::super) async fn run(context: &Context<'_>, args: &Stamp) -> Result<Ending, Failure> {
    let request = StampRequest { targets: args.revisions.clone(), purge: args.purge };
    let assembled = context.assemble().await?;
    let report = stamp::stamp(&assembled.ports(), &request).await?;
    Ok(Ending::report(&report, context.output))
}
