//! `recover`.

use super::Context;
use crate::base::shell_word;
use crate::cli::args::Recover;
use crate::cli::render::Ending;
use crate::engine::DatabaseUrl;
use crate::procedure::recover::{RecoverRequest, recover};
use crate::procedure::{BetweenSteps, Ports, between};
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
        None => nothing(&ports).await,
    }
}

/// An interrupted restore into a new database waits under that database's name, not under the one that is asked about; and
/// between two steps of a way down nothing is unfinished.
async fn nothing(ports: &Ports<'_>) -> Result<Ending, Failure> {
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
    let between = between(ports).await?;
    text.extend(between.iter().map(told));
    let elsewhere: Vec<_> = elsewhere
        .iter()
        .map(|state| json!({ "operation": state.operation, "database": state.database }))
        .collect();
    let mut body = json!({ "recovered": null, "elsewhere": elsewhere });
    if let Some(between) = between {
        body["between_steps"] = json!(between);
    }
    Ok(Ending::said(text, body))
}

fn told(between: &BetweenSteps) -> String {
    let BetweenSteps { operation, step, go_on, undo } = between;
    let fact = format!(
        "\n{operation} was step {step} of a downgrade, and it stands; what comes after it has not run"
    );
    let back = undo.iter().map(|back| format!("\nto go back to before its first step: {back}"));
    format!("{fact}\nto go on with it: {go_on}{}", back.collect::<String>())
}
