//! Exports: the server's own CSV of tables, views and queries, all as of one instant.
//!
//! The server prints the values, under the same pinned settings as for a fingerprint; what is added here is that text
//! always stands in quotes, and the digest, which is computed of the same bytes that are written.

mod copy;
mod digest;
mod shape;

use super::PostgresDatabase;
use super::names::literal;
use super::session::{Purpose, Session};
use crate::catalog::TableName;
use crate::engine::{Error, Exported, Outlet, Selection, Tally};
use crate::report::Progress;
pub(super) use shape::Plan;

const DOING: &str = "opening a snapshot";
const READING_QUERY: &str = "reading the rows of a query";

/// A table or view as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Relation {
    number: u32,
    name: TableName,
    /// `pg_class.relkind`.
    kind: String,
}

impl PostgresDatabase {
    /// Exports each selection, all as of one instant.
    pub(super) async fn export_selections(
        &self,
        selections: &[Selection],
        outlet: &dyn Outlet,
        progress: &Progress,
    ) -> Result<Vec<Exported>, Error> {
        let (mut session, relations) = self.open_instant(selections).await?;
        // All of them first: a name that is wrong must not be found after an hour.
        let mut plans = Vec::new();
        for (selection, relation) in selections.iter().zip(relations) {
            plans.push(Plan::of(&mut session, selection, relation).await?);
        }
        let mut exported = Vec::new();
        for (place, plan) in plans.into_iter().enumerate() {
            let tally = Tally::new(selections[place].name(), progress);
            let done = self.export_plan(&mut session, plan, place, outlet, tally).await;
            exported.push(done.map_err(|error| of_query(&selections[place], error))?);
        }
        session.run("closing a snapshot", "ROLLBACK").await?;
        session.close().await;
        Ok(exported)
    }

    /// Hands the rows of one plan to the outlet.
    pub(super) async fn export_plan(
        &self,
        session: &mut Session,
        plan: Plan,
        place: usize,
        outlet: &dyn Outlet,
        tally: Tally<'_>,
    ) -> Result<Exported, Error> {
        let sink = outlet.open(place, &plan.shape)?;
        let hasher = self.copy(session, &plan, &sink, &tally).await?;
        tally.finish();
        let print = hasher.finish(&[], &[]);
        Ok(Exported { shape: plan.shape, rows: print.rows, digest: print.digest })
    }

    /// Opens a session with a transaction that sees one instant, and finds what the selections name.
    async fn open_instant(
        &self,
        selections: &[Selection],
    ) -> Result<(Session, Vec<Option<Relation>>), Error> {
        let mut tries = self.retries();
        loop {
            match self.try_open_instant(selections).await {
                Err(error @ Error::Busy { .. }) if self.try_again(&mut tries, &error).await? => {}
                other => return other,
            }
        }
    }

    async fn try_open_instant(
        &self,
        selections: &[Selection],
    ) -> Result<(Session, Vec<Option<Relation>>), Error> {
        let mut session = self.server.open(&self.id.name, Purpose::Reading, &self.application()).await?;
        let relations = find_all(&mut session, selections).await?;
        session.run(DOING, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let limit = format!("SET LOCAL lock_timeout = {}", self.options.lock_timeout.as_millis());
        session.run(DOING, &limit).await?;
        // Before anything that takes a snapshot: TRUNCATE and rewriting ALTERs do not obey MVCC.
        let lockable = relations.iter().flatten().filter(|found| ["r", "p"].contains(&found.kind.as_str()));
        let names: Vec<String> = lockable.map(|found| found.name.sql()).collect();
        if !names.is_empty() {
            let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "));
            session.run("locking the tables against being emptied", &lock).await?;
        }
        if find_all(&mut session, selections).await? == relations {
            return Ok((session, relations));
        }
        let detail = "a table was replaced while it was being locked".to_string();
        Err(Error::Busy { place: self.id.to_string(), detail })
    }
}

/// What fails while the rows of a query are read, like a division by zero, is the query's own doing.
fn of_query(selection: &Selection, error: Error) -> Error {
    match (selection, error) {
        (Selection::Query { .. }, Error::Driver { doing, detail }) if doing == READING_QUERY => {
            selection.refuse(detail)
        }
        (_, error) => error,
    }
}

/// Finds what each selection names, by the user's own search path; nothing for a query.
async fn find_all(session: &mut Session, selections: &[Selection]) -> Result<Vec<Option<Relation>>, Error> {
    session.run(DOING, OWN_PATH).await?;
    let mut found = Vec::new();
    for selection in selections {
        found.push(match selection {
            Selection::Query { .. } => None,
            Selection::Table(asked) => Some(find(session, selection, asked).await?),
        });
    }
    session.run(DOING, PINNED_PATH).await?;
    Ok(found)
}

/// What the database and the role are set to.
const OWN_PATH: &str = "RESET search_path";
const PINNED_PATH: &str = "SELECT pg_catalog.set_config('search_path', '', false)";

async fn find(session: &mut Session, selection: &Selection, asked: &str) -> Result<Relation, Error> {
    let parsed = TableName::parse(asked);
    for name in [parsed, Some(TableName::plain(asked))].into_iter().flatten() {
        let sql = format!(
            "SELECT c.oid, n.nspname, c.relname, c.relkind FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass({})",
            literal(&name.sql())
        );
        let rows = session.rows("looking for a table", &sql).await?;
        let Some(row) = rows.first() else { continue };
        let kind = row.text(3).to_string();
        if !["r", "p", "v", "m", "f"].contains(&kind.as_str()) {
            return Err(selection.refuse("it is neither a table nor a view"));
        }
        let name = TableName::qualified(row.text(1), row.text(2));
        return Ok(Relation { number: row.number(0), name, kind });
    }
    Err(selection.refuse("there is no table or view of that name"))
}
