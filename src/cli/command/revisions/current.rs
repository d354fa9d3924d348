//! `current`.

use super::super::Context;
use super::{read_history, read_rows, refused};
use crate::cli::args::Current;
use crate::cli::render::Ending;
use crate::cli::render::revisions::{self as shapes, Entry};
use crate::history::{History, RevisionId};
use crate::procedure::Refusal;
use crate::report::Failure;
use serde_json::json;
use std::collections::BTreeSet;

pub(in super::super) async fn run(context: &Context<'_>, args: &Current) -> Result<Ending, Failure> {
    let history = read_history(context)?;
    let rows = read_rows(context).await?;
    if args.check_heads {
        check_heads(&history, &rows)?;
    }
    let tips = history.applied_tips(&rows).map_err(refused)?;
    let database = context.config.database.to_string();
    let shown = Entry::all(&history, &tips, Some(&rows));
    let human = if context.output.verbose {
        shapes::current_in_full(&database, &shown)
    } else {
        shapes::current(&shown)
    };
    Ok(Ending::said(human, json!({ "database": database, "rows": rows, "current": shown })))
}

/// Compares with the heads that the version table holds when all is applied. Alembic compares with all heads, and so
/// raises the alarm for ever where one head depends on another.
fn check_heads(history: &History, rows: &[RevisionId]) -> Result<(), Failure> {
    let heads: BTreeSet<_> = history.real_heads().into_iter().map(|head| head.id.clone()).collect();
    if rows.iter().cloned().collect::<BTreeSet<_>>() == heads {
        return Ok(());
    }
    let heads = heads.into_iter().collect();
    Err(Failure::refused(Refusal::NotAtHeads { rows: rows.to_vec(), heads }))
}
