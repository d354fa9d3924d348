//! `verify`.

use super::Context;
use crate::base::counted;
use crate::cli::args::Verify;
use crate::cli::exit_code::ExitCode;
use crate::cli::render::Ending;
use crate::procedure::verify::{Against, verify};
use crate::report::Failure;

pub(super) async fn run(context: &Context<'_>, args: &Verify) -> Result<Ending, Failure> {
    let assembled = context.assemble().await?;
    let against = args.backup.clone().map_or(Against::Newest, Against::Backup);
    let seen = verify(&assembled.ports(), &against).await?;
    let json = serde_json::to_value(&seen).unwrap_or_default();
    let state = if seen.state == "after" { "the end of" } else { "the snapshot in" };
    let wrong = &seen.check.wrong;
    if wrong.is_empty() {
        let tables = counted(seen.check.comparison.tables.len() as u64, "table");
        return Ok(Ending::said(format!("the database is as at {state} {}: {tables}", seen.backup), json));
    }
    let mut lines = vec![format!("the database differs from {state} {}:", seen.backup)];
    lines.extend(wrong.iter().map(|wrong| format!("  {} {}", wrong.subject, wrong.detail)));
    if let Some(operation) = &seen.unfinished {
        let next = context.output.command("ripcord recover");
        lines.push(format!("operation {operation} did not come to its end, which may be why; next: {next}"));
    }
    Ok(Ending { exit: ExitCode::Difference, ..Ending::said(lines.join("\n"), json) })
}
