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
    let journal = wiring::journal(&context.config);
    let all = journal.operations().map_err(Failure::refused)?;
    let Some(asked) = &args.operation else {
        let unreadable = journal.unreadable().map_err(Failure::refused)?;
        let mut body = json!({ "operations": all });
        if !unreadable.is_empty() {
            body["unreadable"] = json!(unreadable);
        }
        return Ok(Ending::said(render::log_lines(&all, &unreadable), body));
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
