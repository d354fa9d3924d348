//! The commands that show and write revisions; none of them changes a database but `stamp`.
//!
//! What they print has its shape in `render::revisions`. They ask a database only where the question is about it, and
//! then read the version rows and nothing else.

pub(super) mod branches;
pub(super) mod current;
pub(super) mod edit;
pub(super) mod heads;
pub(super) mod history;
pub(super) mod init;
pub(super) mod merge;
pub(super) mod revision;
pub(super) mod show;
pub(super) mod stamp;

use super::Context;
use crate::history::{History, HistoryError, Revision, RevisionId};
use crate::report::Failure;
use crate::runner;
use crate::runner::sql::Project;

fn project(context: &Context<'_>) -> Project {
    Project::new(&context.config.migrations)
}

fn read_history(context: &Context<'_>) -> Result<History, Failure> {
    project(context).history().map_err(Failure::refused)
}

/// Returns where the database is; one that is not there is an error, not an empty one.
async fn read_rows(context: &Context<'_>) -> Result<Vec<RevisionId>, Failure> {
    let assembled = context.assemble_quietly().await?;
    assembled.database.must_exist().await.map_err(Failure::refused)?;
    assembled.database.version_rows().await.map_err(|error| assembled.ports().cannot_look(error))
}

/// Returns the revisions whose files a symbol names. The database is asked only when the symbol counts from where it is.
async fn resolve<'a>(
    context: &Context<'_>,
    history: &'a History,
    symbol: &str,
) -> Result<Vec<&'a Revision>, Failure> {
    let about_database = symbol == "current" || symbol.starts_with('+') || symbol.contains("@+");
    let rows = if about_database { read_rows(context).await? } else { Vec::new() };
    let found = history.resolve_many(symbol, &rows).map_err(refused)?;
    if found.is_empty() {
        let detail = match symbol {
            "current" => "No current revisions".to_string(),
            _ => format!("No revision files indicated by symbol '{symbol}'"),
        };
        return Err(Failure::refused(runner::Error::Usage { detail }));
    }
    Ok(found)
}

fn refused(error: HistoryError) -> Failure {
    Failure::refused(runner::Error::from(error))
}
