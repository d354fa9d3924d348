//! `recover`.

use super::Context;
use crate::base::shell_word;
use crate::cli::args::Recover;
use crate::cli::render::Ending;
use crate::engine::DatabaseUrl;
use crate::procedure::Ports;
use crate::procedure::recover::{RecoverRequest, recover};
use crate::report::Failure;
use serde_json::json;

pub(super) async fn run(context: &Context<'_>, args: &Recover) -> Result<Ending, Failure> {
    // The first upgrade of a database that is not there yet can be what was interrupted.
    let assembled = context.assemble_with(true).await?;
    let policy = context.policy(args.proof);
    let request = RecoverRequest { undo: args.undo, accept_as_is: args.accept_as_is, policy };
    let ports = assembled.ports();
    match recover(&ports, &request).await? {
        Some(report) => Ok(Ending::report(&report, context.output)),
        None => nothing(&ports),
    }
}

/// An interrupted restore into a new database waits under that database's name, not under the one that is asked about.
fn nothing(ports: &Ports<'_>) -> Result<Ending, Failure> {
    let elsewhere =
        ports.journal.unfinished_elsewhere(ports.database.identity()).map_err(Failure::refused)?;
    let here = if elsewhere.is_empty() { "" } else { " in this database" };
    let mut text = format!("there is nothing to recover{here}");
    for state in &elsewhere {
        let url = match DatabaseUrl::of(&state.database) {
            Some(url) => shell_word(&url.to_string()),
            None => "URL, with the URL of that one".to_string(),
        };
        text.push_str(&format!(
            "\n{} was interrupted in {}: ripcord recover --database-url {url}",
            state.operation, state.database
        ));
    }
    let elsewhere: Vec<_> = elsewhere
        .iter()
        .map(|state| json!({ "operation": state.operation, "database": state.database }))
        .collect();
    Ok(Ending::said(text, json!({ "recovered": null, "elsewhere": elsewhere })))
}
