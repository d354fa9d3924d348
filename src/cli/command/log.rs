//! `log`.

use super::Context;
use crate::cli::args::Log;
use crate::cli::render::{self, Ending};
use crate::cli::wiring;
use crate::journal::JournalError;
use crate::report::Failure;
use serde_json::json;

/// Needs no database: what happened must be readable when the database is not.
pub(super) async fn run(context: &Context<'_>, args: &Log) -> Result<Ending, Failure> {
    let all = wiring::journal(&context.config).operations().map_err(Failure::refused)?;
    let Some(asked) = &args.operation else {
        return Ok(Ending::said(render::log_lines(&all), json!({ "operations": all })));
    };
    let found: Vec<_> = all.iter().filter(|state| matches(&state.operation, asked)).collect();
    match found.as_slice() {
        [state] => Ok(Ending::said(render::log_of(state), json!({ "operation": state }))),
        _ => Err(Failure::refused(JournalError::NoSuchOperation { asked: asked.clone() })),
    }
}

fn matches(operation: &str, asked: &str) -> bool {
    operation.starts_with(asked) || operation.ends_with(asked)
}
