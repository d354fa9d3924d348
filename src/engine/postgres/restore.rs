//! Building a database from a snapshot under a name of its own, and comparing it with what the snapshot saw.

use super::PostgresDatabase;
use super::child::Children;
use super::database_level::{self, DatabaseLevel};
use super::errors::{self, code};
use super::names::{self, identifier, literal};
use super::private::{PrivateFolder, RESTORE};
use super::server::Server;
use super::session::{Purpose, Session};
use super::tools::Tools;
use crate::base::{ToolError, checkpoint, fs};
use crate::catalog::TableName;
use crate::engine::Error;
use crate::report::{Amount, Progress};
use std::path::Path;

/// What is built, and where.
pub(super) struct Build<'a> {
    pub(super) server: &'a Server,
    pub(super) name: &'a str,
    /// The snapshot's folder.
    pub(super) folder: &'a Path,
    pub(super) schema_only: bool,
    /// The tables whose rows are restored, when it is not for all; then without indexes and constraints as well.
    pub(super) only: Option<&'a [TableName]>,
    /// A database that is thrown away again takes up no subscription.
    pub(super) scratch: bool,
    /// Whether the server has the roles that the dump names.
    pub(super) roles: bool,
    /// Whether it is the cluster that the snapshot was taken from: another one has other tablespaces.
    pub(super) same_cluster: bool,
}

/// What a server has of that which a snapshot names.
pub(super) struct Fit {
    pub(super) missing_roles: Vec<String>,
    pub(super) same_cluster: bool,
}

/// What could not be said of a database that was built, for want of rights.
pub(super) struct Built {
    pub(super) unsaid: Vec<String>,
}

impl PostgresDatabase {
    /// Looks whether a server has the roles that the snapshot in `folder` names, and whether it is the same cluster.
    pub(super) async fn fit(&self, server: &Server, folder: &Path) -> Result<Fit, Error> {
        let level = read_level(folder)?;
        let mut outside = server.open_outside("", &self.application()).await?;
        let rows = outside.rows("looking for roles", "SELECT rolname FROM pg_roles").await?;
        let system = super::system_of(&mut outside).await;
        outside.close().await;
        let is_there = |role: &String| rows.iter().any(|row| row.text(0) == role);
        let missing_roles = level.roles.iter().filter(|role| !is_there(role)).cloned().collect();
        Ok(Fit { missing_roles, same_cluster: level.system == system })
    }

    /// Creates the database and fills it. Fails with [`Error::Exists`] when the name is taken. What was created stays
    /// when it fails later: the caller drops it.
    pub(super) async fn build(&self, build: &Build<'_>, progress: &Progress) -> Result<Built, Error> {
        let level = read_level(build.folder)?;
        let name = self.application();
        let mut outside = build.server.open_outside(build.name, &name).await?;
        let major = outside.major();
        let create = level.create(&identifier(build.name), build.same_cluster);
        outside.execute(&create).await.map_err(|error| {
            if errors::is(&error, code::DUPLICATE_DATABASE) {
                return Error::Exists { place: format!("database {}", build.name) };
            }
            outside.failed(&error, "creating a database beside the live one")
        })?;
        checkpoint::reached("a side database exists, empty");
        if build.roles || build.scratch {
            // Whom it is open to is said when it is full; until then it is nobody's but ours.
            let shut = format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", identifier(build.name));
            outside.run("shutting the new database", &shut).await?;
        }
        let mut session = build.server.open(build.name, Purpose::Steering, &name).await?;
        prepare(&mut session, &level).await?;
        session.close().await;
        let tools = Tools::choose(&self.options.tools_path, major, &self.options.cancel).await?;
        self.pg_restore(build, &tools, major, &name, progress).await?;
        checkpoint::reached("a side database is filled");
        let mut unsaid = Vec::new();
        if build.roles {
            for statement in level.replay(&identifier(build.name)) {
                match outside.run("giving the new database the properties of the old one", &statement).await {
                    // A role's own setting, say, is for those who may change that role.
                    Err(Error::Privilege { .. }) => unsaid.push(statement),
                    said => said?,
                }
            }
        }
        outside.close().await;
        Ok(Built { unsaid })
    }

    async fn pg_restore(
        &self,
        build: &Build<'_>,
        tools: &Tools,
        server: u32,
        name: &str,
        progress: &Progress,
    ) -> Result<(), Error> {
        let children = Children::new(build.server, tools, &self.options.work_dir, name)?;
        let mut tool = children.tool("pg_restore", build.name);
        tool = tool.args(["--no-password", "--verbose", "--dbname", build.name]);
        tool = tool.arg("--jobs").arg(self.options.jobs.max(1).to_string());
        // A newer pg_restore sets parameters that an older server does not know; its other errors still count.
        let newer = tools.major > server;
        if !newer {
            tool = tool.arg("--exit-on-error");
        }
        if build.schema_only {
            tool = tool.arg("--schema-only");
        }
        if build.scratch {
            tool = tool.arg("--no-subscriptions");
        }
        if !build.roles {
            tool = tool.args(["--no-owner", "--no-privileges"]);
        }
        if !build.same_cluster {
            tool = tool.arg("--no-tablespaces");
        }
        let mut list = None;
        if let Some(tables) = build.only {
            let chosen = self.contents(&children, build, tables).await?;
            let work_dir = &self.options.work_dir;
            let failed = |source| Error::Io { place: work_dir.clone(), doing: "written to", source };
            let folder = PrivateFolder::new(work_dir, RESTORE, names::operation(name)).map_err(failed)?;
            let place = folder.path().join("list");
            fs::write_durable(&place, chosen.as_bytes()).map_err(failed)?;
            tool = tool.args(["--section=pre-data", "--section=data"]).arg("--use-list").arg(place);
            // Removed when the program has read it.
            list = Some(folder);
        }
        if let Some(limit) = self.options.tool_timeout {
            tool = tool.timeout(limit);
        }
        tool = tool.arg(build.folder.join("dump"));
        let mut wrong = Vec::new();
        let run = tool.run_watched(&self.options.cancel, |line| {
            if let Some(table) = line.strip_prefix("pg_restore: processing data for table ") {
                progress.at(&format!("pg_restore {}", table.replace('"', "")), Amount::default(), None);
            }
            if line.contains("error:") {
                wrong.push(line.to_string());
            }
        });
        let ended = run.await;
        drop(list);
        match ended {
            Ok(_) => Ok(()),
            Err(ToolError::Failed { .. }) if newer && only_about_unknown_parameters(&wrong) => Ok(()),
            Err(error) if self.options.cancel.is_cancelled() => {
                tracing::debug!(%error, "pg_restore was ended");
                Err(Error::Interrupted)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the table of contents of the dump without the rows of other tables, for `--use-list`
    /// (<https://www.postgresql.org/docs/current/app-pgrestore.html>).
    async fn contents(
        &self,
        children: &Children<'_>,
        build: &Build<'_>,
        tables: &[TableName],
    ) -> Result<String, Error> {
        let tool = children.tool("pg_restore", build.name).arg("--list").arg(build.folder.join("dump"));
        let listed = tool.run(&self.options.cancel).await?;
        Ok(listed
            .stdout
            .lines()
            .filter(|line| is_wanted(line, tables))
            .map(|line| format!("{line}\n"))
            .collect())
    }

    /// Drops a database that we made, whoever is connected to it.
    pub(super) async fn drop_built(&self, server: &Server, name: &str) -> Result<(), Error> {
        let mut outside = server.open_outside(name, &self.application()).await?;
        let dropped = drop_database(&mut outside, name).await;
        outside.close().await;
        dropped
    }
}

/// Drops a database that an operation made, if it is there.
pub(super) async fn drop_database(outside: &mut Session, name: &str) -> Result<(), Error> {
    let doing = format!("dropping {}", identifier(name));
    let drop = format!("DROP DATABASE IF EXISTS {}", identifier(name));
    // FORCE ends sessions that a killed pg_restore left behind. It asks for the right to end autovacuum, too, which comes
    // as soon as a database has been filled, and which few users have; without FORCE the server ends that by itself.
    let force = format!("{drop} WITH (FORCE)");
    match outside.run(&doing, &force).await {
        Err(Error::Privilege { .. }) => {}
        dropped => return dropped,
    }
    match outside.run(&doing, &drop).await {
        Ok(()) => Ok(()),
        // Autovacuum is gone by now, and whoever else is there is ours to end.
        Err(_) => outside.run(&doing, &force).await,
    }
}

/// Reads what the snapshot's folder says of the database as a whole.
pub(super) fn read_level(folder: &Path) -> Result<DatabaseLevel, Error> {
    let place = folder.join(database_level::FILE);
    let bytes = std::fs::read(&place).map_err(|source| Error::Io { place, doing: "read", source })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::DamagedSnapshot { detail: format!("{}: {error}", database_level::FILE) })
}

/// Takes away what every new database has and this one had not, and creates extensions in the version they had: the
/// dump would create them in the newest.
async fn prepare(session: &mut Session, level: &DatabaseLevel) -> Result<(), Error> {
    let doing = "preparing a database for its restore";
    if !level.public_schema {
        session.run(doing, "DROP SCHEMA IF EXISTS public").await?;
    }
    if !level.extensions.contains_key("plpgsql") {
        session.run(doing, "DROP EXTENSION IF EXISTS plpgsql").await?;
    }
    let available = session.rows(doing, "SELECT name, default_version FROM pg_available_extensions").await?;
    for (name, version) in &level.extensions {
        let newest = available.iter().find(|row| row.text(0) == name).map(|row| row.text(1));
        // Relocatable ones go where the dump then expects them only if it finds them nowhere: leave those to it.
        if newest.is_some_and(|newest| newest != version) {
            let sql =
                format!("CREATE EXTENSION IF NOT EXISTS {} VERSION {}", identifier(name), literal(version));
            tracing::debug!(sql, "an extension in an older version");
            // The dump says it again; its own error is the clearer one.
            let _ = session.run(doing, &sql).await;
        }
    }
    Ok(())
}

/// Tells whether a line of the contents is no row of another table: `3217; 0 16386 TABLE DATA public t owner`. Names stand
/// there as they are, line breaks turned into spaces: two tables that look alike are both wanted.
fn is_wanted(line: &str, tables: &[TableName]) -> bool {
    let Some(entry) = line.split_once("; ").and_then(|(_, rest)| rest.splitn(3, ' ').nth(2)) else {
        return true;
    };
    let plain = |name: &str| name.replace(['\n', '\r'], " ");
    let named = |rows: &str, table: &TableName| {
        let schema = table.schema.as_deref().map(plain).unwrap_or_default();
        rows.starts_with(&format!("{schema} {} ", plain(&table.name)))
    };
    match entry.strip_prefix("TABLE DATA ") {
        Some(rows) => tables.iter().any(|table| named(rows, table)),
        None if entry.starts_with("BLOB") => tables.iter().any(TableName::is_large_objects),
        None => !entry.starts_with("SEQUENCE SET "),
    }
}

fn only_about_unknown_parameters(errors: &[String]) -> bool {
    let harmless = |line: &String| {
        line.contains("unrecognized configuration parameter") || line.contains("errors ignored on restore")
    };
    !errors.is_empty() && errors.iter().all(harmless)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_rows_only_those_of_the_tables_that_are_asked_for_are_wanted() {
        let tables = [TableName::qualified("public", "a b"), TableName::qualified("s", "t")];
        let wanted = |line: &str| is_wanted(line, &tables);
        assert!(wanted("3217; 0 16386 TABLE DATA public a b app"));
        assert!(wanted("3218; 0 16387 TABLE DATA s t app"));
        assert!(!wanted("3219; 0 16388 TABLE DATA public t app"));
        assert!(!wanted("3220; 0 16389 TABLE DATA public a app"));
        assert!(!wanted("3221; 0 0 SEQUENCE SET public t_id_seq app"));
        assert!(!wanted("3222; 2613 16400 BLOB - 16400 app"));
        assert!(wanted("215; 1259 16386 TABLE public t app"));
        assert!(wanted(";     Archive created at 2026-11-24 04:20:38 UTC"));
        assert!(wanted(""));
    }
}
