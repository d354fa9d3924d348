//! Building a database from a snapshot under a name of its own, and comparing it with what the snapshot saw.

use super::PostgresDatabase;
use super::child::Children;
use super::contents::{Made, Without};
use super::database_level::{self, DatabaseLevel};
use super::errors::{self, code};
use super::lodgers::Lodger;
use super::names::{identifier, literal};
use super::rights;
use super::server::Server;
use super::session::{Purpose, Session};
use super::tools::Tools;
use crate::base::{ToolError, checkpoint};
use crate::catalog::TableName;
use crate::engine::Error;
use crate::report::{Amount, Progress};
use std::path::Path;

/// A dump of this size, compressed as it is, is a small one.
const SMALL: u64 = 1024 * 1024;

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
    /// The roles that are there, and that the user may not give anything to.
    not_to_give: Vec<String>,
    pub(super) same_cluster: bool,
    /// The live database's user, where the server's is another one that may take its part.
    pub(super) acts_as: Option<String>,
}

impl Fit {
    /// Tells whether a database that is thrown away again can have the owners and grants of the snapshot.
    pub(super) fn roles(&self) -> bool {
        self.missing_roles.is_empty() && self.not_to_give.is_empty()
    }

    /// Returns why it cannot.
    pub(super) fn why_without_roles(&self) -> String {
        let told = [("missing", &self.missing_roles), ("the user may not act for", &self.not_to_give)];
        let told = told.iter().filter(|(_, roles)| !roles.is_empty());
        told.map(|(what, roles)| format!("{what}: {}", roles.join(", "))).collect::<Vec<_>>().join("; ")
    }
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
        let sql = format!("SELECT rolname, {} FROM pg_roles", rights::may_give("oid", outside.major()));
        let rows = outside.rows("looking for roles", &sql).await?;
        let system = super::system_of(&mut outside).await;
        outside.give_back().await;
        let found = |role: &str| rows.iter().find(|row| row.text(0) == role);
        let (there, missing_roles): (Vec<_>, Vec<_>) =
            level.roles.iter().cloned().partition(|role| found(role).is_some());
        let (mut not_to_give, mut acts_as) = (Vec::new(), None);
        let live = self.server.user();
        if server.place != self.server.place || server.user() != live {
            let is_closed =
                |role: &String| !level.is_only_granted(role) && !found(role).is_some_and(|row| row.is(1));
            not_to_give.extend(there.into_iter().filter(is_closed));
        }
        if server.user() != live {
            // Who cannot take the part of the live user makes everything his own.
            match found(live).is_some_and(|row| row.is(1)) {
                true => acts_as = Some(live.to_string()),
                false if !not_to_give.iter().any(|role| role == live) => not_to_give.push(live.to_string()),
                false => {}
            }
        }
        Ok(Fit { missing_roles, not_to_give, same_cluster: level.system == system, acts_as })
    }

    /// Creates the database and fills it. Fails with [`Error::Exists`] when the name is taken. What was created stays
    /// when it fails later: the caller drops it.
    pub(super) async fn build(&self, build: &Build<'_>, progress: &Progress) -> Result<Built, Error> {
        let level = read_level(build.folder)?;
        let name = self.application();
        let mut outside = build.server.open_outside(build.name, &name).await?;
        let major = outside.major();
        let owner = if build.roles { level.owner_if_allowed(&mut outside).await? } else { None };
        let create = level.create(&identifier(build.name), build.same_cluster, owner);
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
        // Not held while the program runs: what is idle for so long, a proxy may end.
        outside.give_back().await;
        let mut session = build.server.open(build.name, Purpose::Steering, &name).await?;
        prepare(&mut session, &level).await?;
        // Rights that an owner needs at the moment in which something is given to it, and that a dump grants at its end.
        let lodgers = if build.roles { level.lodgers.as_slice() } else { &[] };
        let made = Lodger::let_in(&mut session, lodgers).await;
        session.give_back().await;
        let tools = self.tools_for(major).await?;
        self.pg_restore(build, &tools, major, (&name, made.as_deref().unwrap_or_default()), progress).await?;
        checkpoint::reached("a side database is filled");
        if made.is_some() {
            let mut session = build.server.open(build.name, Purpose::Steering, &name).await?;
            Lodger::let_out(&mut session, lodgers).await?;
            session.give_back().await;
        }
        let mut unsaid = Vec::new();
        if build.roles {
            let mut outside = build.server.open_outside(build.name, &name).await?;
            for statement in level.replay(&identifier(build.name)) {
                match outside.run("giving the new database the properties of the old one", &statement).await {
                    // A role's own setting, say, is for those who may change that role.
                    Err(Error::Privilege { .. }) => unsaid.push(statement),
                    said => said?,
                }
            }
            outside.give_back().await;
        }
        Ok(Built { unsaid })
    }

    async fn pg_restore(
        &self,
        build: &Build<'_>,
        tools: &Tools,
        server: u32,
        (name, made): (&str, &[Made]),
        progress: &Progress,
    ) -> Result<(), Error> {
        let children = Children::new(build.server, tools, &self.options.work_dir, name)?;
        let mut tool = children.tool("pg_restore", build.name);
        tool = tool.args(["--no-password", "--verbose", "--dbname", build.name]);
        let dump = build.folder.join("dump");
        tool = tool.arg("--jobs").arg(self.jobs_for(&dump).to_string());
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
        if build.only.is_some() {
            tool = tool.args(["--section=pre-data", "--section=data"]);
        }
        let without = Without { rows_but_of: build.only, made, extension_comments: false };
        let chosen = self.choose(tool, &children, (&dump, build.name), without, name).await?;
        let (mut tool, list) = chosen;
        if let Some(limit) = self.options.tool_timeout {
            tool = tool.timeout(limit);
        }
        tool = tool.arg(dump);
        let mut ignored = Ignored::default();
        let run = tool.run_watched(&self.options.cancel, |line| {
            if let Some(table) = line.strip_prefix("pg_restore: processing data for table ") {
                progress.at(&format!("pg_restore {}", table.replace('"', "")), Amount::default(), None);
            }
            ignored.take(line);
        });
        let ended = run.await;
        // Removed when the program has read it.
        drop(list);
        match ended {
            Ok(_) => Ok(()),
            Err(ToolError::Failed { .. }) if newer && ignored.are_unknown_parameters() => Ok(()),
            Err(error) if self.options.cancel.is_cancelled() => {
                tracing::debug!(%error, "pg_restore was ended");
                Err(Error::Interrupted)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns how many connections are to fill a database at a time: for a small dump one, since others would take longer
    /// to begin than to help.
    fn jobs_for(&self, dump: &Path) -> usize {
        let files = std::fs::read_dir(dump).into_iter().flatten().flatten();
        let bytes: u64 = files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
        if bytes <= SMALL { 1 } else { self.options.jobs.max(1) }
    }

    /// Drops a database that we made, whoever is connected to it.
    pub(super) async fn drop_built(&self, server: &Server, name: &str) -> Result<(), Error> {
        server.forget(name).await;
        let mut outside = server.open_outside(name, &self.application()).await?;
        let dropped = drop_database(&mut outside, name).await;
        outside.give_back().await;
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
    // To list all that could be is work for a server.
    let others: Vec<_> =
        level.extensions.iter().filter(|(name, _)| *name != rights::IN_EVERY_DATABASE).collect();
    if others.is_empty() {
        return Ok(());
    }
    let available = session.rows(doing, "SELECT name, default_version FROM pg_available_extensions").await?;
    for (name, version) in others {
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

/// The errors after which pg_restore went on. Its workers write to one pipe, and each message in pieces: behind "error: " another's
/// text may follow. The pieces are whole, so they are counted.
#[derive(Default)]
struct Ignored {
    all: usize,
    unknown_parameters: usize,
}

impl Ignored {
    fn take(&mut self, line: &str) {
        self.all += line.matches("error: ").count();
        self.unknown_parameters += line.matches("unrecognized configuration parameter").count();
    }

    fn are_unknown_parameters(&self) -> bool {
        self.all > 0 && self.all == self.unknown_parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(lines: &[&str]) -> bool {
        let mut ignored = Ignored::default();
        lines.iter().for_each(|line| ignored.take(line));
        ignored.are_unknown_parameters()
    }

    #[test]
    fn only_errors_about_unknown_parameters_are_passed_over_however_workers_mix_their_lines() {
        let unknown =
            "could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"";
        let whole = format!("pg_restore: error: {unknown}");
        let end = "pg_restore: warning: errors ignored on restore: 2";
        assert!(ignored(&["pg_restore: error: pg_restore: creating ACL", unknown, &whole, end]));
        assert!(!ignored(&[&whole, "pg_restore: error: could not execute query: ERROR:  no room", end]));
        assert!(!ignored(&["pg_restore: error: connection lost"]) && !ignored(&[]));
    }
}
