//! `history`.

use super::super::Context;
use super::{read_history, read_rows, refused};
use crate::cli::args::HistoryArgs;
use crate::cli::render::Ending;
use crate::cli::render::revisions::{self as shapes, Entry};
use crate::history::{History, HistoryError};
use crate::report::Failure;
use serde_json::json;

pub(in super::super) async fn run(context: &Context<'_>, args: &HistoryArgs) -> Result<Ending, Failure> {
    let history = read_history(context)?;
    let from_database = args.rev_range.as_deref().map(speaks_of_current).transpose().map_err(refused)?;
    let rows = match args.indicate_current || from_database == Some(true) {
        true => Some(read_rows(context).await?),
        false => None,
    };
    let known = rows.as_deref().unwrap_or_default();
    history.check_rows(known).map_err(refused)?;
    let shown = match &args.rev_range {
        Some(range) => history.range(range, known).map_err(refused)?,
        None => history.all(),
    };
    let shown = Entry::all(&history, &shown, rows.as_deref());
    let human = if context.output.verbose { shapes::in_full(&shown) } else { shapes::history(&shown) };
    Ok(Ending::said(human, json!({ "history": shown })))
}

fn speaks_of_current(range: &str) -> Result<bool, HistoryError> {
    let (start, end) = History::split_range(range)?;
    Ok(start == "current" || end == "current")
}
