//! `show`.

use super::super::Context;
use super::{read_history, resolve};
use crate::cli::args::Show;
use crate::cli::render::Ending;
use crate::cli::render::revisions::{self as shapes, Entry};
use crate::report::Failure;
use serde_json::json;

pub(in super::super) async fn run(context: &Context<'_>, args: &Show) -> Result<Ending, Failure> {
    let history = read_history(context)?;
    let found = resolve(context, &history, &args.revision).await?;
    let shown = Entry::all(&history, &found, None);
    Ok(Ending::said(shapes::in_full(&shown), json!({ "revisions": shown })))
}
