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

/// Functions of users that may write outside of the database and that nothing here holds back: in an untrusted language, or
/// with `COPY` to a program or a file in their text.
const FREE: &str = "SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, p.proname) FROM pg_catalog.pg_proc p \
     JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
     WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND (NOT l.lanpltrusted AND l.lanname NOT IN \
     ('internal', 'c') OR l.lanname NOT IN ('internal', 'c') AND p.prosrc ~* 'copy\\M.*\\m(program\\M|to\\s+e?'')') ORDER BY 1";

/// So many names are told at most.
const NAMED: usize = 6;

fn list(names: &[String]) -> String {
    let more = if names.len() > NAMED { " …" } else { "" };
    format!("{}{more}", names[..names.len().min(NAMED)].join(", "))
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
    /// Disarms the copy, before any script has run. Returns what cannot be seen or prevented there, one sentence each.
    /// Fails with [`Error::Privilege`] where the role may not do that.
    pub(super) async fn disarm(&self) -> Result<Vec<String>, Error> {
        let mut session = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
        let found = session.rows(DOING, &armed()).await?;
        if !found.is_empty() {
            // Event triggers of the user must not take this for a change of the migration's.
            session.run(DOING, "SET session_replication_role = replica").await?;
        }
        for row in &found {
            session.run(DOING, row.text(2)).await?;
        }
        let free = session.rows(DOING, FREE).await?;
        session.give_back().await;
        let mut sentences = Vec::new();
        if !found.is_empty() {
            let names = found.iter().map(|row| format!("{} {}", row.text(0), row.text(1)));
            let mut names: Vec<String> = names.collect();
            names.dedup();
            let names = list(&names);
            sentences.push(format!("what lies on other servers, which the copy is kept from: {names}"));
        }
        if !free.is_empty() {
            let names: Vec<String> = free.iter().map(|row| row.text(0).to_string()).collect();
            let names = list(&names);
            sentences
                .push(format!("what these functions do outside of the database, also on the copy: {names}"));
        }
        Ok(sentences)
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
