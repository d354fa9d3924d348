//! Restoring into the live database itself, for a user who may not create databases: everything is dropped and built
//! again in one transaction, so that a crash or an error leaves what was there.

use super::checks::{WRITTEN, check_of_drops};
use super::child::Children;
use super::contents::Without;
use super::database_level::DatabaseLevel;
use super::drops::drops;
use super::errors::code;
use super::lodgers::Lodger;
use super::names::identifier;
use super::private::{PrivateFolder, RESTORE};
use super::restore::read_level;
use super::schemas::Schemas;
use super::session::Session;
use super::stage::fact;
use super::verdict::Verdict;
use super::{PostgresDatabase, catalog, names};
use crate::base::{Tool, ToolError, checkpoint, fs};
use crate::catalog::TableName;
use crate::engine::{Error, Staged, Swapped};
use crate::journal::ScriptLog;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub(super) const DOING: &str = "listing what a restore in place replaces";
/// How `psql` ends when the server refuses a statement (`EXIT_USER`); a connection that breaks is another number.
/// <https://www.postgresql.org/docs/current/app-psql.html#APP-PSQL-EXIT-STATUS>
const REFUSED: &str = "exit status 3";

impl PostgresDatabase {
    pub(super) async fn restore_in_place(&self, staged: &Staged, log: &ScriptLog) -> Result<Swapped, Error> {
        let name = self.application();
        let ready = self.ready_in_place(staged, &name, log).await.map_err(Error::not_begun)?;
        checkpoint::reached("before a restore in place");
        let begun = Instant::now();
        let Ready { psql, verdict, _children, _work } = ready;
        let mut work = std::pin::pin!(self.run_tool(&psql));
        let (ended, verdict) = tokio::select! {
            ended = &mut work => (ended, Ok(Vec::new())),
            verdict = verdict.given() => (work.await, verdict),
        };
        // The settings of the database are others now.
        self.server.forget_settings(&self.id.name).await;
        match (ended, verdict) {
            (Ok(()), _) => {}
            (Err(error), Ok(differences)) if differences.is_empty() => {
                return Err(self.why_not_in_place(error).await);
            }
            (Err(error), verdict) => return Err(self.why_undone(error, verdict).await),
        }
        checkpoint::reached("after a restore in place");
        let note = "restored in place: the state from before is only in the backup".to_string();
        Ok(Swapped { kept: None, barred: begun.elapsed(), notes: vec![note] })
    }

    /// Writes the script that replaces everything, and checks on its way that nothing is lost by it.
    async fn ready_in_place<'a>(
        &'a self,
        staged: &Staged,
        name: &'a str,
        log: &ScriptLog,
    ) -> Result<Ready<'a>, Error> {
        let folder = staged.facts.get(fact::FOLDER).map(PathBuf::from).ok_or_else(|| Error::Unsupported {
            what: "a restore in place".to_string(),
            why: "it was not staged".to_string(),
        })?;
        let tools = self.tools().await?;
        let children = Children::new(&self.server, tools, &self.options.work_dir, name)?;
        // It will hold all data for a while.
        let work = PrivateFolder::new(&self.options.work_dir, RESTORE, names::operation(name));
        let work = work.map_err(|source| Error::Io {
            place: self.options.work_dir.clone(),
            doing: "written",
            source,
        })?;
        let names = ["drop.sql", "restore.sql", "level.sql", "ask.sql", "decide.sql"];
        let scripts = names.map(|file| work.path().join(file));
        let level = read_level(&folder)?;
        let mut session = self.reading_session().await?;
        let schemas = Schemas::read(&mut session, &level, staged.catalog.as_ref()).await?;
        let unpack = children
            .tool("pg_restore", &self.id.name)
            .args(["--no-password", "--no-subscriptions", "--file"])
            .arg(&scripts[1]);
        // Extensions stay where they are, and may be another's.
        let extension_comments = level.extensions.keys().any(|name| name != "plpgsql");
        let without = Without { made: &schemas.made(&level), extension_comments, ..Without::default() };
        let place = (folder.join("dump"), self.id.name.as_str());
        let (unpack, list) = self.choose(unpack, &children, (&place.0, place.1), without, name).await?;
        self.run_tool(&unpack.arg(&place.0)).await?;
        drop(list);
        self.write_drops(&level, &schemas, &scripts[0]).await?;
        self.write_level_back(&level, &scripts[2]).await?;
        let (heard, word) = std::io::pipe().map_err(|source| Error::Io {
            place: work.path().to_path_buf(),
            doing: "given a pipe",
            source,
        })?;
        let verdict = Verdict::new(session, staged.catalog.clone(), work.path(), word).await?;
        write_text(&scripts[3], &verdict.asking())?;
        write_text(&scripts[4], &Verdict::deciding())?;
        log.fact(fact::WAY, "in-place")?;
        let psql = children
            .tool("psql", &self.id.name)
            .args(["-X", "-q", "-w", "-1", "-o", "/dev/null"])
            // The second one adds the SQLSTATE, which is the same in every language.
            .args(["-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"]);
        let [asked @ .., decided] = &scripts;
        let psql = asked.iter().fold(psql, |psql, script| psql.arg("-f").arg(script));
        // In between it waits for our word.
        let psql = psql.args(["-f", "-", "-f"]).arg(decided).stdin_from(heard);
        Ok(Ready { psql, verdict, _children: children, _work: work })
    }

    /// Says why the script failed, and whether it is known that it replaced nothing.
    async fn why_not_in_place(&self, error: Error) -> Error {
        match &error {
            // The server refused a statement, if only the last one, and so the transaction.
            Error::Tool(ToolError::Failed { status, stderr, .. }) if status == REFUSED => {
                if stderr.contains(WRITTEN) {
                    self.wrote_meanwhile()
                } else if stderr.contains(code::LOCK_NOT_AVAILABLE) {
                    let detail = "its tables could not be locked in time to replace them".to_string();
                    Error::Busy { place: self.id.to_string(), detail }.not_begun()
                } else {
                    error.not_begun()
                }
            }
            // Ended from outside, perhaps in its commit. What the server still does for it has to end before anybody
            // can look what came of it.
            _ => {
                let operation = self.application();
                if let Ok(mut outside) = self.outside().await {
                    let _ = self.end_sessions(&mut outside, names::operation(&operation)).await;
                    outside.close().await;
                }
                error
            }
        }
    }

    /// Says why the script was not told to commit.
    async fn why_undone(&self, ended: Error, verdict: Result<Vec<String>, Error>) -> Error {
        let undone = self.why_not_in_place(ended).await;
        match (undone, verdict) {
            (Error::NotBegun { .. }, Ok(differences)) => {
                let why = format!("it would not end as the snapshot: {}", differences.join("; "));
                Error::Unsupported { what: "a restore in place".to_string(), why }.not_begun()
            }
            (Error::NotBegun { .. }, Err(error)) => error.not_begun(),
            (unknown, _) => unknown,
        }
    }

    async fn run_tool(&self, tool: &Tool) -> Result<(), Error> {
        let tool = match self.options.tool_timeout {
            Some(limit) => tool.clone().timeout(limit),
            None => tool.clone(),
        };
        match tool.run(&self.options.cancel).await {
            Ok(_) => Ok(()),
            Err(ToolError::Interrupted { .. }) => Err(Error::Interrupted),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the statements that drop everything of ours; the dump then builds it again, in the same transaction.
    async fn write_drops(&self, level: &DatabaseLevel, schemas: &Schemas, place: &Path) -> Result<(), Error> {
        let mut session = self.reading_session().await?;
        let (present, guard) = (self.present(), self.guard());
        // As of one instant: a table that is made between two looks would be dropped and not be looked into.
        session.run(DOING, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        if let Some(present) = &present
            && !present.has_catalog(&catalog::read(&mut session).await?.sha256())
        {
            return Err(self.wrote_meanwhile());
        }
        let tables = tables(&mut session).await?;
        let drops = drops(&mut session, level).await?;
        let known = relations(&mut session).await?;
        session.close().await;
        let limit = self.options.lock_timeout.as_millis();
        let mut statements = vec![
            "SET client_min_messages = warning".to_string(),
            format!("SET LOCAL lock_timeout = {limit}"),
            "SET LOCAL statement_timeout = 0".to_string(),
        ];
        // Locked first, looked at then: what is committed until the lock is granted is seen, and nothing comes after it.
        if !tables.is_empty() {
            statements.push(format!("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE", tables.join(", ONLY ")));
        }
        let of_transactions = guard.map(|guard| self.check_of_transactions(&guard));
        statements.extend(of_transactions.clone());
        if let Some(present) = &present {
            statements.extend(present.checks()?);
        }
        statements.extend(drops);
        // Once more: a table that was made meanwhile could not be locked, and went with its schema.
        statements.push(check_of_drops(&known));
        statements.extend(of_transactions);
        statements.extend(schemas.before_the_dump(level));
        write_script(place, &statements)
    }

    /// Writes the statements that give the database its own properties back: its grants, settings and comment, which no
    /// dump of one database holds.
    async fn write_level_back(&self, level: &DatabaseLevel, place: &Path) -> Result<(), Error> {
        let mut session = self.reading_session().await?;
        let settings = catalog::read(&mut session).await?.settings;
        let now = DatabaseLevel::read(&mut session, settings).await;
        session.close().await;
        let mut statements = level.bring_back(&now?, &identifier(&self.id.name));
        statements.extend(Lodger::leaving(&level.lodgers));
        write_script(place, &statements)
    }
}

fn write_script(place: &Path, statements: &[String]) -> Result<(), Error> {
    write_text(place, &statements.iter().map(|statement| format!("{statement};\n")).collect::<String>())
}

fn write_text(place: &Path, text: &str) -> Result<(), Error> {
    fs::write_durable(place, text.as_bytes()).map_err(|source| Error::Io {
        place: place.to_path_buf(),
        doing: "written",
        source,
    })
}

/// A script that waits to be run, and what it needs meanwhile.
struct Ready<'a> {
    psql: Tool,
    verdict: Verdict,
    _children: Children<'a>,
    _work: PrivateFolder,
}

/// Returns the numbers of all relations of users.
async fn relations(session: &mut Session) -> Result<Vec<String>, Error> {
    let rows = session.rows(DOING, "SELECT oid FROM pg_class WHERE oid >= 16384 ORDER BY oid").await?;
    Ok(rows.iter().map(|row| row.text(0).to_string()).collect())
}

/// Returns the tables that are going to be dropped.
async fn tables(session: &mut Session) -> Result<Vec<String>, Error> {
    let sql = "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
         AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid \
         AND e.deptype = 'e') ORDER BY c.oid";
    let rows = session.rows(DOING, sql).await?;
    Ok(rows.iter().map(|row| TableName::qualified(row.text(0), row.text(1)).sql()).collect())
}
