//! Building a database from a snapshot under a name of its own, and comparing it with what the snapshot saw.

use super::child::Children;
use super::database_level::{self, DatabaseLevel};
use super::errors::{self, code};
use super::names::{identifier, literal};
use super::server::Server;
use super::session::{Purpose, Session};
use super::tools::Tools;
use super::{PostgresDatabase, catalog, exporter};
use crate::base::{ToolError, checkpoint};
use crate::catalog::{self as schema, Catalog};
use crate::engine::Error;
use crate::fingerprint::{Fingerprint, Inventory, TableVerdict, compare};
use crate::report::{Amount, Progress};
use std::path::Path;

/// What is built, and where.
pub(super) struct Build<'a> {
    pub(super) server: &'a Server,
    pub(super) name: &'a str,
    /// The snapshot's folder.
    pub(super) folder: &'a Path,
    pub(super) schema_only: bool,
    /// A database that is thrown away again takes up no subscription.
    pub(super) scratch: bool,
    /// Another server has other roles and other tablespaces.
    pub(super) same_server: bool,
}

impl PostgresDatabase {
    /// Creates the database and fills it. Fails with [`Error::Exists`] when the name is taken. What was created stays
    /// when it fails later: the caller drops it.
    pub(super) async fn build(&self, build: &Build<'_>, progress: &Progress) -> Result<(), Error> {
        let level = read_level(build.folder)?;
        let name = self.application();
        let mut outside = build.server.open_outside(build.name, &name).await?;
        let major = outside.major();
        let create = level.create(&identifier(build.name), build.same_server);
        outside.execute(&create).await.map_err(|error| {
            if errors::is(&error, code::DUPLICATE_DATABASE) {
                return Error::Exists { place: format!("database {}", build.name) };
            }
            outside.failed(&error, "creating a database beside the live one")
        })?;
        checkpoint::reached("a side database exists, empty");
        let mut session = build.server.open(build.name, Purpose::Steering, &name).await?;
        prepare(&mut session, &level).await?;
        session.close().await;
        let tools = Tools::choose(&self.options.tools_path, major, &self.options.cancel).await?;
        self.pg_restore(build, &tools, major, &name, progress).await?;
        checkpoint::reached("a side database is filled");
        if build.same_server {
            for statement in level.replay(&identifier(build.name)) {
                // Named in full: which of them the user may not do is what a person has to know.
                let doing = format!("giving the new database the properties of the old one ({statement})");
                outside.run(&doing, &statement).await?;
            }
        }
        outside.close().await;
        Ok(())
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
        if !build.same_server {
            tool = tool.args(["--no-owner", "--no-privileges", "--no-tablespaces"]);
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
        match run.await {
            Ok(_) => Ok(()),
            Err(ToolError::Failed { .. }) if newer && only_about_unknown_parameters(&wrong) => Ok(()),
            Err(error) if self.options.cancel.is_cancelled() => {
                tracing::debug!(%error, "pg_restore was ended");
                Err(Error::Interrupted)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Compares a built database with what the snapshot saw; nothing means that they are the same.
    pub(super) async fn compare_built(
        &self,
        build: &Build<'_>,
        expected: &Inventory,
        progress: &Progress,
    ) -> Result<Compared, Error> {
        let name = self.application();
        let mut exported = exporter::export_quiet(build.server, build.name, &name).await?;
        let found = catalog::read(&mut exported.session).await?;
        let mut differences = catalog_differences(expected, &found, build);
        let mut fingerprint = Fingerprint::new();
        if !build.schema_only {
            let reading = self.reading(build.server, build.name, progress);
            fingerprint = reading.fingerprint(&mut exported.session, &exported.snapshot).await?;
            differences.extend(row_differences(&expected.fingerprint, &fingerprint));
        }
        exported.release().await;
        Ok(Compared { differences, tables: found.tables.len() as u64, rows: fingerprint.rows() })
    }

    /// Drops a database that we made, whoever is connected to it.
    pub(super) async fn drop_built(&self, server: &Server, name: &str) -> Result<(), Error> {
        let mut outside = server.open_outside(name, &self.application()).await?;
        let dropped = outside.run("dropping a database of ours", &drop_statement(name)).await;
        outside.close().await;
        dropped
    }
}

/// What a comparison saw.
pub(super) struct Compared {
    pub(super) differences: Vec<String>,
    pub(super) tables: u64,
    pub(super) rows: u64,
}

pub(super) fn drop_statement(name: &str) -> String {
    // FORCE ends sessions that a killed pg_restore left behind.
    format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(name))
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

fn only_about_unknown_parameters(errors: &[String]) -> bool {
    let harmless = |line: &String| {
        line.contains("unrecognized configuration parameter") || line.contains("errors ignored on restore")
    };
    !errors.is_empty() && errors.iter().all(harmless)
}

fn catalog_differences(expected: &Inventory, found: &Catalog, build: &Build<'_>) -> Vec<String> {
    let (before, after) = (comparable(&expected.catalog, build), comparable(found, build));
    let changes = schema::diff(&before, &after);
    changes
        .iter()
        .map(|change| {
            let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_string());
            format!("{}: {} became {}", change.subject, side(&change.before), side(&change.after))
        })
        .collect()
}

/// Leaves out of a catalog what a restore cannot bring, for reasons that are no fault of the dump.
fn comparable(catalog: &Catalog, build: &Build<'_>) -> Catalog {
    let mut catalog = catalog.clone();
    for table in catalog.tables.values_mut() {
        // A dump does not hold invalid indexes: they are no part of the data, and nothing uses them.
        table.indexes.retain(|_, definition| !definition.contains(" INVALID"));
    }
    if build.schema_only {
        for object in catalog.objects.values_mut() {
            object.options.remove("populated");
        }
        catalog.objects.remove("large objects all");
    }
    if !build.same_server {
        let theirs = |options: &mut std::collections::BTreeMap<String, String>| {
            options.retain(|name, _| !matches!(name.as_str(), "owner" | "grants" | "tablespace"));
        };
        for table in catalog.tables.values_mut() {
            theirs(&mut table.options);
            table.columns.iter_mut().for_each(|column| theirs(&mut column.options));
        }
        catalog.objects.values_mut().for_each(|object| theirs(&mut object.options));
        catalog.objects.retain(|_, object| object.kind != "default privileges");
        let words = catalog::DATABASE_LEVEL;
        catalog.settings.retain(|name, _| !words.iter().any(|word| name.starts_with(word)));
    }
    catalog
}

fn row_differences(expected: &Fingerprint, found: &Fingerprint) -> Vec<String> {
    let comparison = compare(expected, found);
    let mut differences: Vec<String> = comparison
        .differing()
        .map(|(name, table)| match table.verdict {
            TableVerdict::Removed => format!("table {name} is missing"),
            TableVerdict::Added => format!("table {name} was not in the snapshot"),
            _ => format!(
                "table {name}: {} rows became {}, or their content differs",
                table.rows_before.unwrap_or_default(),
                table.rows_after.unwrap_or_default()
            ),
        })
        .collect();
    let behind = comparison.sequences_behind.iter();
    differences.extend(behind.map(|(name, old, new)| format!("sequence {name}: {old} became {new}")));
    differences
}
