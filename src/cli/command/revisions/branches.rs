//! `branches`.

use super::super::Context;
use super::read_history;
use crate::cli::render::Ending;
use crate::cli::render::revisions::{self as shapes, Entry};
use crate::history::RevisionId;
use crate::report::Failure;
use serde_json::json;

pub(in super::super) fn run(context: &Context<'_>) -> Result<Ending, Failure> {
    let history = read_history(context)?;
    let mut points = history.all();
    points.retain(|revision| history.is_branch_point(&revision.id));
    let points = Entry::all(&history, &points, None);
    let child = |id: &RevisionId| history.get(id).map(|revision| Entry::of(&history, revision, None));
    let human = shapes::branches(&points, context.output.verbose, child);
    Ok(Ending::said(human, json!({ "branches": points })))
}
