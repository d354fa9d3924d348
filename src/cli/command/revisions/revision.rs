//! `revision`.

use super::super::Context;
use super::{edit, project, refused};
use crate::base::ids;
use crate::cli::args::NewRevision;
use crate::cli::render::Ending;
use crate::history::RevisionId;
use crate::report::Failure;
use crate::runner::sql::Request;
use crate::runner::sql::template::NewRevision as Draft;
use serde_json::json;
use std::path::Path;

pub(in super::super) async fn run(context: &Context<'_>, args: &NewRevision) -> Result<Ending, Failure> {
    // Asked before anything is written: without an editor the command could only be half done.
    let editor = if args.edit { Some(edit::editor()?) } else { None };
    let id = id_or_random(args.rev_id.as_deref())?;
    let request = Request {
        heads: vec![args.head.clone().unwrap_or_else(|| "head".to_string())],
        splice: args.splice,
        revision: Draft {
            id: id.clone(),
            parents: Vec::new(),
            message: args.message.clone(),
            created: context.config.clock.now(),
            labels: args.branch_label.clone(),
            depends_on: args.depends_on.clone(),
        },
    };
    let path = project(context).add(request).map_err(Failure::refused)?;
    if let Some(editor) = editor {
        edit::open(context, &editor, &path).await?;
    }
    Ok(written(&id, &path))
}

pub(super) fn id_or_random(asked: Option<&str>) -> Result<RevisionId, Failure> {
    RevisionId::new(asked.map_or_else(|| ids::random_hex(12), str::to_string)).map_err(refused)
}

pub(super) fn written(id: &RevisionId, path: &Path) -> Ending {
    let human = format!("Generating {} ...  done", path.display());
    Ending::said(human, json!({ "revision": id, "created": path }))
}
