//! `edit`, and what `revision --edit` has in common with it.

use super::super::Context;
use super::{project, read_history, resolve};
use crate::base::editor::{self, EditorError};
use crate::cli::args::Edit;
use crate::cli::render::Ending;
use crate::report::Failure;
use serde_json::json;
use std::path::{Path, PathBuf};

pub(in super::super) async fn run(context: &Context<'_>, args: &Edit) -> Result<Ending, Failure> {
    let history = read_history(context)?;
    let found = resolve(context, &history, &args.revision).await?;
    let files: Vec<PathBuf> = found.iter().map(|revision| PathBuf::from(&revision.place)).collect();
    let editor = editor()?;
    for file in &files {
        open(context, &editor, file).await?;
    }
    Ok(Ending::said("", json!({ "edited": files })))
}

/// Returns the editor that the environment names. None is chosen for the user.
pub(super) fn editor() -> Result<String, Failure> {
    crate::config::editor().ok_or_else(|| Failure::refused(EditorError::NotSet))
}

/// Opens the file and waits until it is closed; then reads the project again, so that a slip is seen at once.
pub(super) async fn open(context: &Context<'_>, editor: &str, file: &Path) -> Result<(), Failure> {
    editor::edit(editor, file).await.map_err(Failure::refused)?;
    project(context).history().map(|_| ()).map_err(Failure::refused)
}
