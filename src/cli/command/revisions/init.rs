//! `init`.

use super::super::Context;
use crate::cli::args::Init;
use crate::cli::render::Ending;
use crate::report::Failure;
use crate::runner::sql::Project;
use serde_json::json;

pub(in super::super) fn run(context: &Context<'_>, args: &Init) -> Result<Ending, Failure> {
    let folder = args.directory.clone().unwrap_or_else(|| context.config.migrations.clone());
    let made = Project::new(folder).init().map_err(Failure::refused)?;
    let lines: Vec<String> =
        made.iter().map(|path| format!("Creating {} ...  done", path.display())).collect();
    Ok(Ending::said(lines.join("\n"), json!({ "created": made })))
}
