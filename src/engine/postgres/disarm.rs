//! What leads from a copy to other servers, made unusable there: a migration that wrote to a foreign table on the copy
//! would write to the one and only table behind it.
//!
//! Foreign data wrappers lose their handler, and the functions of extensions that reach outside are replaced by one that
//! fails; both in the second database of a rehearsal alone. What a script brings along itself is disarmed as soon as the
//! statement that made it has run.

use super::PostgresDatabase;
use super::beyond::beyond;
use super::errors;
use super::session::{Purpose, Session};
use crate::engine::Error;
use crate::plan::{Script, Statement};

const DOING: &str = "keeping the copy from reaching other servers";

/// The SQLSTATE of the replaced functions.
const REACHED: &str = "RC001";

/// Returns the kind, the name and the statement for each thing that is to be disarmed.
///
/// The functions of dblink that only look at the database they are in stay as they are.
fn armed() -> String {
    format!(
        "SELECT 'foreign data wrapper', w.fdwname, \
         pg_catalog.format('ALTER FOREIGN DATA WRAPPER %I NO HANDLER', w.fdwname) \
         FROM pg_catalog.pg_foreign_data_wrapper w WHERE w.fdwhandler <> 0 \
         UNION ALL SELECT 'function', p.proname, pg_catalog.format('CREATE OR REPLACE FUNCTION %I.%I(%s) RETURNS %s \
         LANGUAGE plpgsql AS %L', n.nspname, p.proname, pg_catalog.pg_get_function_arguments(p.oid), \
         pg_catalog.pg_get_function_result(p.oid), \
         'BEGIN RAISE EXCEPTION USING ERRCODE = ''{REACHED}'', MESSAGE = ''it would reach beyond the copy''; END') \
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
         JOIN pg_catalog.pg_language l ON l.oid = p.prolang AND l.lanname = 'c' \
         WHERE p.prokind = 'f' AND p.probin::text ~ '(^|/)(adminpack|dblink|http|pg_background)([.]so)?$' \
         AND p.proname !~ '^dblink_(fdw_validator|build_sql|get_pkey|current_query)' \
         ORDER BY 1, 2"
    )
}

/// Tells whether a statement failed because it met what was disarmed.
pub(super) fn met(error: &sqlx::Error) -> bool {
    let Some(server) = errors::server_error(error) else { return false };
    // The words of the message may be in any language; where in the server it was raised is not.
    let no_handler = |routine: &str| routine.contains("FdwRoutine") || routine == "ImportForeignSchema";
    server.code() == REACHED
        || server.code() == errors::code::NOT_IN_PREREQUISITE_STATE
            && server.routine().is_some_and(no_handler)
}

impl PostgresDatabase {
    /// Disarms the copy, before any script has run. Returns what it is kept from, in one sentence; an empty one when
    /// nothing led out. Fails with [`Error::Privilege`] where the role may not do that.
    pub(super) async fn disarm(&self) -> Result<String, Error> {
        let mut session = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
        let found = session.rows(DOING, &armed()).await?;
        if !found.is_empty() {
            // Event triggers of the user must not take this for a change of the migration's.
            session.run(DOING, "SET session_replication_role = replica").await?;
        }
        for row in &found {
            session.run(DOING, row.text(2)).await?;
        }
        session.close().await;
        if found.is_empty() {
            return Ok(String::new());
        }
        let kinds = |kind| {
            let of_kind = found.iter().filter(move |row| row.text(0) == kind);
            let mut names: Vec<&str> = of_kind.map(|row| row.text(1)).collect();
            names.dedup();
            names
        };
        let (wrappers, functions) = (kinds("foreign data wrapper"), kinds("function"));
        let wrappers = wrappers.iter().map(|name| format!("foreign data wrapper {name}"));
        let mut names: Vec<String> = wrappers.collect();
        if let [first, .., last] = functions.as_slice() {
            names.push(format!("the functions {first} to {last}"));
        } else {
            names.extend(functions.iter().map(|name| format!("the function {name}")));
        }
        Ok(format!("what lies on other servers, which the copy is kept from: {}", names.join(", ")))
    }

    /// Disarms what a statement may have made.
    pub(super) async fn disarm_again(
        &self,
        session: &mut Session,
        script: &Script,
        statement: &Statement,
    ) -> Result<(), Error> {
        let words = statement.words();
        if !words.iter().any(|word| word == "EXTENSION" || word == "WRAPPER") {
            return Ok(());
        }
        for row in session.rows(DOING, &armed()).await? {
            let done = session.execute(row.text(2)).await;
            done.map_err(|_| beyond(script, statement.line, "what lies on another server".to_string()))?;
        }
        Ok(())
    }
}
