//! Restoring into the live database itself, for a user who may not create databases: everything is dropped and built
//! again in one transaction, so that a crash or an error leaves what was there.

use super::child::Children;
use super::names::{identifier, literal};
use super::private::{PrivateFolder, RESTORE};
use super::session::Session;
use super::stage::fact;
use super::writes::WRITTEN;
use super::{PostgresDatabase, catalog, names};
use crate::base::{ToolError, checkpoint, fs};
use crate::catalog::TableName;
use crate::engine::{Error, Staged, Swapped};
use crate::journal::ScriptLog;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const DOING: &str = "listing what a restore in place replaces";

impl PostgresDatabase {
    pub(super) async fn restore_in_place(&self, staged: &Staged, log: &ScriptLog) -> Result<Swapped, Error> {
        let folder = staged.facts.get(fact::FOLDER).map(PathBuf::from).ok_or_else(|| Error::Unsupported {
            what: "a restore in place".to_string(),
            why: "it was not staged".to_string(),
        })?;
        let tools = self.tools().await?;
        let name = self.application();
        let children = Children::new(&self.server, tools, &self.options.work_dir, &name)?;
        // It will hold all data for a while.
        let work = PrivateFolder::new(&self.options.work_dir, RESTORE, names::operation(&name));
        let work = work.map_err(|source| Error::Io {
            place: self.options.work_dir.clone(),
            doing: "written",
            source,
        })?;
        let scripts = [work.path().join("drop.sql"), work.path().join("restore.sql")];
        let unpack = children
            .tool("pg_restore", &self.id.name)
            .args(["--no-password", "--no-subscriptions", "--file"])
            .arg(&scripts[1])
            .arg(folder.join("dump"));
        self.run_tool(&unpack).await?;
        self.write_drops(&scripts[0]).await?;
        log.fact(fact::WAY, "in-place")?;
        checkpoint::reached("before a restore in place");
        let begun = Instant::now();
        let psql = children
            .tool("psql", &self.id.name)
            .args(["-X", "-q", "-w", "-1", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null"])
            .arg("-f")
            .arg(&scripts[0])
            .arg("-f")
            .arg(&scripts[1]);
        self.run_tool(&psql).await.map_err(|error| match &error {
            Error::Tool(ToolError::Failed { stderr, .. }) if stderr.contains(WRITTEN) => {
                self.written_meanwhile()
            }
            _ => error,
        })?;
        checkpoint::reached("after a restore in place");
        let note = "restored in place: the state from before is only in the backup".to_string();
        Ok(Swapped { kept: None, barred: begun.elapsed(), notes: vec![note] })
    }

    fn written_meanwhile(&self) -> Error {
        let detail =
            "somebody wrote to it after its present state was saved; nothing was replaced".to_string();
        Error::Busy { place: self.id.to_string(), detail }
    }

    async fn run_tool(&self, tool: &crate::base::Tool) -> Result<(), Error> {
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
        let present = self.present();
        if let Some(present) = &present {
            session.run(DOING, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            if !present.has_catalog(&catalog::read(&mut session).await?.sha256()) {
                return Err(self.written_meanwhile());
            }
            session.run(DOING, "COMMIT").await?;
        }
        let tables = tables(&mut session).await?;
        let drops = drops(&mut session).await;
        session.close().await;
        let limit: Duration = self.options.lock_timeout;
        let mut text =
            format!("SET client_min_messages = warning;\nSET LOCAL lock_timeout = {};\n", limit.as_millis());
        // Locked first, looked at then: what is committed until the lock is granted is seen, and nothing comes after it.
        if !tables.is_empty() {
            text.push_str(&format!("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE;\n", tables.join(", ONLY ")));
        }
        let checks = present.map(|present| present.checks()).unwrap_or_default();
        checks.iter().chain(&drops?).for_each(|statement| text.push_str(&format!("{statement};\n")));
        fs::write_durable(place, text.as_bytes()).map_err(|source| Error::Io {
            place: place.to_path_buf(),
            doing: "written",
            source,
        })
    }
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
