//! The commands that show and write revisions: `init`, `revision`, `current`, `heads`, `history`.

use super::Context;
use crate::base::ids;
use crate::cli::args::{Init, NewRevision};
use crate::cli::render::Ending;
use crate::history::{History, RevisionId};
use crate::report::Failure;
use crate::runner::sql::template::NewRevision as Draft;
use crate::runner::sql::{Project, Request};
use serde_json::json;

pub(super) fn init(context: &Context<'_>, args: &Init) -> Result<Ending, Failure> {
    let folder = args.directory.clone().unwrap_or_else(|| context.config.migrations.clone());
    let made = Project::new(folder).init().map_err(Failure::refused)?;
    let lines: Vec<String> =
        made.iter().map(|path| format!("Creating {} ...  done", path.display())).collect();
    Ok(Ending::said(lines.join("\n"), json!({ "created": made })))
}

pub(super) fn revision(context: &Context<'_>, args: &NewRevision) -> Result<Ending, Failure> {
    let id = match &args.rev_id {
        Some(id) => RevisionId::new(id.clone()),
        None => RevisionId::new(ids::random_hex(12)),
    };
    let request = Request {
        heads: vec![args.head.clone().unwrap_or_else(|| "head".to_string())],
        splice: false,
        revision: Draft {
            id: id.map_err(|error| Failure::refused(crate::runner::Error::from(error)))?,
            parents: Vec::new(),
            message: Some(args.message.clone()),
            created: context.config.clock.now(),
            labels: Vec::new(),
            depends_on: Vec::new(),
        },
    };
    let path = Project::new(&context.config.migrations).add(request).map_err(Failure::refused)?;
    Ok(Ending::said(format!("Generating {} ...  done", path.display()), json!({ "created": path })))
}

pub(super) async fn current(context: &Context<'_>) -> Result<Ending, Failure> {
    let assembled = context.assemble_quietly().await?;
    if !assembled.database.exists().await.map_err(Failure::refused)? {
        let place = assembled.database.identity().place.clone();
        return Err(Failure::refused(crate::engine::Error::NotFound { place }));
    }
    let rows = assembled.database.version_rows().await.map_err(Failure::refused)?;
    let history = project(context).history().map_err(Failure::refused)?;
    let lines: Vec<String> = rows.iter().map(|row| format!("{row}{}", mark(&history, row))).collect();
    Ok(Ending::said(lines.join("\n"), json!({ "current": rows })))
}

pub(super) fn heads(context: &Context<'_>) -> Result<Ending, Failure> {
    let history = project(context).history().map_err(Failure::refused)?;
    let heads: Vec<RevisionId> = history.heads().iter().map(|revision| revision.id.clone()).collect();
    let lines: Vec<String> = heads.iter().map(|head| format!("{head}{}", mark(&history, head))).collect();
    Ok(Ending::said(lines.join("\n"), json!({ "heads": heads })))
}

pub(super) fn history(context: &Context<'_>) -> Result<Ending, Failure> {
    let history = project(context).history().map_err(Failure::refused)?;
    let all = history.all();
    let lines: Vec<String> = all
        .iter()
        .map(|revision| {
            let parents = if revision.parents.is_empty() {
                "<base>".to_string()
            } else {
                revision.parents.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            };
            format!("{parents} -> {}{}, {}", revision.id, mark(&history, &revision.id), revision.message)
        })
        .collect();
    Ok(Ending::said(lines.join("\n"), json!({ "history": all })))
}

fn mark(history: &History, id: &RevisionId) -> &'static str {
    if history.is_head(id) { " (head)" } else { "" }
}

fn project(context: &Context<'_>) -> Project {
    Project::new(&context.config.migrations)
}
