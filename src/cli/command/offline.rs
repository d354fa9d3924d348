//! `upgrade --sql` and `downgrade --sql`: the script of a change, for somebody else to run.
//!
//! Begins at the rows of the database when it can be asked, at the first part of a range `a:b` without asking it.

use super::Context;
use crate::catalog::EngineKind;
use crate::cli::render::Ending;
use crate::engine::{self, DatabaseUrl};
use crate::history::{Direction, History, HistoryError, RevisionId};
use crate::plan::Plan;
use crate::report::{Event, Failure};
use crate::runner::sql::{Project, absolute, offline};
use crate::runner::{self, Error};
use serde_json::json;

pub(super) async fn run(
    context: &Context<'_>,
    direction: Direction,
    target: &str,
) -> Result<Ending, Failure> {
    let engine = match context.config.database {
        DatabaseUrl::Sqlite(_) => EngineKind::Sqlite,
        DatabaseUrl::Postgres(_) => EngineKind::Postgresql,
    };
    let plan = if target.contains(':') {
        of_range(context, engine, direction, target).map_err(Failure::refused)?
    } else {
        from_database(context, engine, direction, target).await?
    };
    let sql = offline::script(&plan, engine, context.config.lock_timeout);
    Ok(Ending::said(sql.trim_end(), json!({ "plan": plan, "sql": sql })))
}

/// Refuses a range where a database is going to be changed: it begins where the database is.
pub(super) fn refuse_range(target: &str) -> Result<(), Failure> {
    if target.contains(':') {
        let detail = "Range revision not allowed: a range is for --sql".to_string();
        return Err(Failure::refused(Error::Usage { detail }));
    }
    Ok(())
}

fn of_range(
    context: &Context<'_>,
    engine: EngineKind,
    direction: Direction,
    target: &str,
) -> Result<Plan, Error> {
    let (start, end) = History::split_range(target)?;
    if direction == Direction::Down && (start.is_empty() || end.is_empty()) {
        return Err(Error::Usage { detail: needs_range() });
    }
    let project = Project::new(&context.config.migrations);
    let rows = start_rows(&project.history()?, start)?;
    let end = if end.is_empty() { "heads" } else { end };
    project.plan_from(engine, rows, direction, end)
}

/// The rows that a range begins at: several are divided by commas.
fn start_rows(history: &History, start: &str) -> Result<Vec<RevisionId>, HistoryError> {
    let mut rows = Vec::new();
    for symbol in start.split(',').map(str::trim).filter(|symbol| !symbol.is_empty()) {
        rows.extend(absolute(history, symbol)?.into_iter().map(|revision| revision.id.clone()));
    }
    rows.sort();
    rows.dedup();
    Ok(rows)
}

async fn from_database(
    context: &Context<'_>,
    engine: EngineKind,
    direction: Direction,
    target: &str,
) -> Result<Plan, Failure> {
    let failure = match ask_database(context, direction, target).await {
        Err(failure) if cannot_be_asked(&failure) => failure,
        other => return other,
    };
    if direction == Direction::Down {
        let detail = format!("{}, since {failure}", needs_range());
        return Err(Failure::refused(Error::Usage { detail }));
    }
    let text = format!("{failure}: the script begins at base; name a range START:END to begin elsewhere");
    context.output.observer().event(&Event::Note { text });
    let project = Project::new(&context.config.migrations);
    project.plan_from(engine, Vec::new(), direction, target).map_err(Failure::refused)
}

async fn ask_database(context: &Context<'_>, direction: Direction, target: &str) -> Result<Plan, Failure> {
    let assembled = context.assemble_quietly().await?;
    assembled.database.must_exist().await.map_err(Failure::refused)?;
    assembled.ports().runner.plan(direction, target).await.map_err(Failure::refused)
}

fn needs_range() -> String {
    "downgrade with --sql requires <fromrev>:<torev>".to_string()
}

/// Tells whether there is nobody to ask. A database that refuses to answer is another matter: then the address is wrong.
fn cannot_be_asked(failure: &Failure) -> bool {
    let error = match failure.source.downcast_ref::<runner::Error>() {
        Some(runner::Error::Engine(error)) => Some(error),
        _ => failure.source.downcast_ref::<engine::Error>(),
    };
    matches!(
        error,
        Some(
            engine::Error::NotFound { .. }
                | engine::Error::NoFolder { .. }
                | engine::Error::Unreachable { .. }
        )
    )
}
