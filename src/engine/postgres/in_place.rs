//! Restoring into the live database itself, for a user who may not create databases: everything is dropped and built
//! again in one transaction, so that a crash or an error leaves what was there.

use super::checks::{WRITTEN, check_of_drops};
use super::child::Children;
use super::database_level::DatabaseLevel;
use super::errors::code;
use super::names::{identifier, literal};
use super::private::{PrivateFolder, RESTORE};
use super::restore::read_level;
use super::session::Session;
use super::stage::fact;
use super::{PostgresDatabase, catalog, names};
use crate::base::{Tool, ToolError, checkpoint, fs};
use crate::catalog::TableName;
use crate::engine::{Error, Staged, Swapped};
use crate::journal::ScriptLog;
use std::path::{Path, PathBuf};
use std::time::Instant;

const DOING: &str = "listing what a restore in place replaces";
/// How `psql` ends when the server refuses a statement (`EXIT_USER`); a connection that breaks is another number.
/// <https://www.postgresql.org/docs/current/app-psql.html#APP-PSQL-EXIT-STATUS>
const REFUSED: &str = "exit status 3";

impl PostgresDatabase {
    pub(super) async fn restore_in_place(&self, staged: &Staged, log: &ScriptLog) -> Result<Swapped, Error> {
        let name = self.application();
        let ready = self.ready_in_place(staged, &name, log).await.map_err(Error::not_begun)?;
        checkpoint::reached("before a restore in place");
        let begun = Instant::now();
        match self.run_tool(&ready.psql).await {
            Ok(()) => {}
            Err(error) => return Err(self.why_not_in_place(error).await),
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
        let scripts = ["drop.sql", "restore.sql", "level.sql"].map(|file| work.path().join(file));
        let unpack = children
            .tool("pg_restore", &self.id.name)
            .args(["--no-password", "--no-subscriptions", "--file"])
            .arg(&scripts[1])
            .arg(folder.join("dump"));
        self.run_tool(&unpack).await?;
        self.write_drops(&scripts[0]).await?;
        self.write_level_back(&folder, &scripts[2]).await?;
        log.fact(fact::WAY, "in-place")?;
        let psql = children
            .tool("psql", &self.id.name)
            .args(["-X", "-q", "-w", "-1", "-o", "/dev/null"])
            // The second one adds the SQLSTATE, which is the same in every language.
            .args(["-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"]);
        let psql = scripts.iter().fold(psql, |psql, script| psql.arg("-f").arg(script));
        Ok(Ready { psql, _children: children, _work: work })
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
    async fn write_drops(&self, place: &Path) -> Result<(), Error> {
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
        let drops = drops(&mut session).await?;
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
        write_script(place, &statements)
    }

    /// Writes the statements that give the database its own properties back: its grants, settings and comment, which no
    /// dump of one database holds.
    async fn write_level_back(&self, folder: &Path, place: &Path) -> Result<(), Error> {
        let mut session = self.reading_session().await?;
        let settings = catalog::read(&mut session).await?.settings;
        let now = DatabaseLevel::read(&mut session, settings).await;
        session.close().await;
        write_script(place, &read_level(folder)?.bring_back(&now?, &identifier(&self.id.name)))
    }
}

fn write_script(place: &Path, statements: &[String]) -> Result<(), Error> {
    let text: String = statements.iter().map(|statement| format!("{statement};\n")).collect();
    fs::write_durable(place, text.as_bytes()).map_err(|source| Error::Io {
        place: place.to_path_buf(),
        doing: "written",
        source,
    })
}

/// A script that waits to be run, and what it needs meanwhile.
struct Ready<'a> {
    psql: Tool,
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

/// Returns the statements that empty the database of what users made. Extensions stay, and what belongs to them.
async fn drops(session: &mut Session) -> Result<Vec<String>, Error> {
    let mut statements = default_privileges(session).await?;
    let schemas = "SELECT nspname FROM pg_namespace n WHERE nspname !~ '^pg_' AND nspname NOT IN \
         ('information_schema', 'public') AND NOT EXISTS (SELECT FROM pg_extension x WHERE x.extnamespace = n.oid) \
         AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid \
         AND e.deptype = 'e') ORDER BY 1";
    for row in session.rows(DOING, schemas).await? {
        statements.push(format!("DROP SCHEMA IF EXISTS {} CASCADE", identifier(row.text(0))));
    }
    // What is left lies in schemas that stay: public, and those of extensions.
    for (class, kind, sql) in IN_SCHEMAS {
        let sql = sql.replace("{own}", &format!(
            "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend e \
             WHERE e.classid = '{class}'::regclass AND e.objid = o.oid AND e.deptype IN ('e', 'i') AND e.refobjid <> e.objid)"
        ));
        for row in session.rows(DOING, &sql).await? {
            let kind = row.filled(2).unwrap_or_else(|| kind.to_string());
            let object = TableName::qualified(row.text(0), row.text(1)).sql();
            statements.push(format!("DROP {kind} IF EXISTS {object}{} CASCADE", row.text(3)));
        }
    }
    for (kind, sql) in WITHOUT_SCHEMA {
        for row in session.rows(DOING, sql).await? {
            statements.push(format!("DROP {kind} IF EXISTS {} CASCADE", identifier(row.text(0))));
        }
    }
    let large = session.rows(DOING, "SELECT oid FROM pg_largeobject_metadata").await?;
    statements.extend(large.iter().map(|row| format!("SELECT lo_unlink({})", literal(row.text(0)))));
    Ok(statements)
}

/// Returns the statements that take default privileges back: they would be granted on every table that the dump builds
/// again, beside the grants that the dump has. The dump says them anew at its end.
async fn default_privileges(session: &mut Session) -> Result<Vec<String>, Error> {
    let sql = "SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s', pg_get_userbyid(d.defaclrole), \
         (SELECT format(' IN SCHEMA %I', n.nspname) FROM pg_namespace n WHERE n.oid = d.defaclnamespace)), \
         CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' \
         WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END, d.defaclnamespace = 0, \
         quote_ident(pg_get_userbyid(d.defaclrole)), (SELECT string_agg(DISTINCT CASE WHEN g.grantee = 0 THEN \
         'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END, ', ') FROM aclexplode(d.defaclacl) g) \
         FROM pg_default_acl d";
    let mut statements = Vec::new();
    for row in session.rows(DOING, sql).await? {
        let (alter, kind, owner) = (row.text(0), row.text(1), row.text(3));
        if let Some(grantees) = row.filled(4) {
            statements.push(format!("{alter} REVOKE ALL ON {kind} FROM {grantees}"));
        }
        // Outside of a schema the list replaces what is built in, so what is built in must be said.
        if row.is(2) {
            let public = if matches!(kind, "FUNCTIONS" | "TYPES") { ", PUBLIC" } else { "" };
            statements.push(format!("{alter} GRANT ALL ON {kind} TO {owner}{public}"));
        }
    }
    Ok(statements)
}

/// Queries for (schema, name, kind, arguments); later ones find less, because CASCADE has taken it.
const IN_SCHEMAS: [(&str, &str, &str); 5] = [
    (
        "pg_class",
        "TABLE",
        "SELECT n.nspname, o.relname, CASE o.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' \
         WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, '' \
         FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace \
         WHERE o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {own} ORDER BY o.oid",
    ),
    (
        "pg_proc",
        "ROUTINE",
        "SELECT n.nspname, o.proname, CASE o.prokind WHEN 'a' THEN 'AGGREGATE' WHEN 'p' THEN 'PROCEDURE' ELSE \
         'FUNCTION' END, '(' || pg_get_function_identity_arguments(o.oid) || ')' FROM pg_proc o \
         JOIN pg_namespace n ON n.oid = o.pronamespace WHERE {own} ORDER BY o.oid",
    ),
    (
        "pg_type",
        "TYPE",
        "SELECT n.nspname, o.typname, CASE o.typtype WHEN 'd' THEN 'DOMAIN' END, '' FROM pg_type o \
         JOIN pg_namespace n ON n.oid = o.typnamespace WHERE (o.typtype IN ('e', 'd', 'r') \
         OR o.typtype = 'c' AND (SELECT c.relkind = 'c' FROM pg_class c WHERE c.oid = o.typrelid)) AND {own} ORDER BY o.oid",
    ),
    (
        "pg_collation",
        "COLLATION",
        "SELECT n.nspname, o.collname, NULL, '' FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace \
         WHERE {own} ORDER BY o.oid",
    ),
    (
        "pg_statistic_ext",
        "STATISTICS",
        "SELECT n.nspname, o.stxname, NULL, '' FROM pg_statistic_ext o JOIN pg_namespace n ON n.oid = o.stxnamespace \
         WHERE {own} ORDER BY o.oid",
    ),
];

const WITHOUT_SCHEMA: [(&str, &str); 3] = [
    ("PUBLICATION", "SELECT pubname FROM pg_publication ORDER BY 1"),
    ("EVENT TRIGGER", "SELECT evtname FROM pg_event_trigger ORDER BY 1"),
    ("SERVER", "SELECT srvname FROM pg_foreign_server ORDER BY 1"),
];
