//! `heads`.

use super::super::Context;
use super::read_history;
use crate::cli::args::Heads;
use crate::cli::render::Ending;
use crate::cli::render::revisions::{self as shapes, Entry};
use crate::report::Failure;
use serde_json::json;

pub(in super::super) fn run(context: &Context<'_>, args: &Heads) -> Result<Ending, Failure> {
    let history = read_history(context)?;
    let heads = if args.resolve_dependencies { history.real_heads() } else { history.heads() };
    let heads = Entry::all(&history, &heads, None);
    let human = if context.output.verbose { shapes::in_full(&heads) } else { shapes::heads(&heads) };
    Ok(Ending::said(human, json!({ "heads": heads })))
}
