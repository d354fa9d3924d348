//! The version table, as Alembic lays it out, and ripcord's own table beside it.
//!
//! Both are looked up the way a migration would find them: in the user's own `search_path`.

use super::PostgresDatabase;
use super::exporter::Exporter;
use super::names::literal;
use super::session::{Purpose, Session};
use crate::catalog::TableName;
use crate::engine::{AppliedFile, Bookkeeping, Error};
use crate::history::{Direction, RevisionId, RowChange};
use crate::plan::Script;

const VERSION_TABLE: &str = "alembic_version";
const OWN_TABLE: &str = "ripcord_revision";

impl PostgresDatabase {
    /// Opens a session with the user's own settings that waits no longer than configured for a migration of somebody
    /// else's, who holds the table for as long as it runs.
    pub(super) async fn looking_session(&self) -> Result<Session, Error> {
        let mut session = self.server.open(&self.id.name, Purpose::Migrating, &self.application()).await?;
        let doing = "looking for the version table";
        self.act(&mut session).await?;
        session.run(doing, "BEGIN READ ONLY").await?;
        let limit = format!("SET LOCAL lock_timeout = {}", self.options.lock_timeout.as_millis());
        session.run(doing, &limit).await?;
        Ok(session)
    }

    pub(super) async fn read_version_rows(&self) -> Result<Vec<RevisionId>, Error> {
        let mut session = self.looking_session().await?;
        let rows = match find(&mut session, VERSION_TABLE).await? {
            Some(table) => version_rows(&mut session, &table).await,
            None => Ok(Vec::new()),
        };
        end_looking(session).await;
        rows
    }

    /// Returns the schema of the version table, or the one in which it would be made.
    pub(super) async fn bookkeeping_schema(&self) -> Result<String, Error> {
        let mut session = self.looking_session().await?;
        let tables = Tables::find(&mut session).await;
        end_looking(session).await;
        Ok(tables?.schema().to_string())
    }

    /// Reads the version rows of the instant that `exporter` holds, in its own session: it has locked the table already.
    pub(super) async fn version_rows_at(&self, exporter: &mut Exporter) -> Result<Vec<RevisionId>, Error> {
        // Which schema it is in depends on the user's own settings. One that was made since has no rows at that instant.
        let mut session = self.looking_session().await?;
        let found = find(&mut session, VERSION_TABLE).await;
        end_looking(session).await;
        match found? {
            Some(table) => version_rows(&mut exporter.session, &table).await,
            None => Ok(Vec::new()),
        }
    }

    pub(super) async fn read_applied_files(&self) -> Result<Vec<AppliedFile>, Error> {
        let mut session = self.looking_session().await?;
        let rows = match find(&mut session, OWN_TABLE).await? {
            Some(table) => {
                let sql = format!(
                    "SELECT revision, sha256, applied_at, operation FROM {} ORDER BY revision COLLATE \"C\"",
                    table.sql()
                );
                session.rows("reading the applied files", &sql).await?
            }
            None => Vec::new(),
        };
        end_looking(session).await;
        rows.iter()
            .map(|row| {
                let revision = RevisionId::new(row.text(0));
                Ok(AppliedFile {
                    revision: revision.map_err(|error| Error::VersionRows { detail: error.to_string() })?,
                    sha256: row.text(1).to_string(),
                    applied_at: row.text(2).to_string(),
                    operation: row.text(3).to_string(),
                })
            })
            .collect()
    }
}

/// Gives back a session that has looked.
pub(super) async fn end_looking(mut session: Session) {
    // Where it fails, the session cannot be used again, and is ended.
    let _ = session.execute("ROLLBACK").await;
    session.give_back().await;
}

/// Both tables of one schema.
pub(super) struct Tables {
    version: TableName,
    own: TableName,
}

impl Tables {
    /// Finds the schema before a script runs: a script may change the `search_path`.
    pub(super) async fn find(session: &mut Session) -> Result<Self, Error> {
        let found = find(session, VERSION_TABLE).await?;
        let schema = match found.and_then(|table| table.schema) {
            Some(schema) => schema,
            None => {
                let sql = "SELECT pg_catalog.current_schema()";
                let schema = session.value("asking for the default schema", sql).await?;
                schema.ok_or_else(|| Error::Unsupported {
                    what: "creating the version table".to_string(),
                    why: "no schema of the search_path exists".to_string(),
                })?
            }
        };
        Ok(Self {
            version: TableName::qualified(schema.clone(), VERSION_TABLE),
            own: TableName::qualified(schema, OWN_TABLE),
        })
    }

    /// Returns the schema of both.
    pub(super) fn schema(&self) -> &str {
        self.version.schema.as_deref().unwrap_or("public")
    }

    /// Makes the changes of the version rows that belong to a script, and remembers its file. Runs in whatever
    /// transaction the session is in.
    pub(super) async fn write(
        &self,
        session: &mut Session,
        script: &Script,
        book: &Bookkeeping<'_>,
    ) -> Result<(), Error> {
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {} (version_num VARCHAR(32) NOT NULL, \
             CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))",
            self.version.sql()
        );
        session.run("creating the version table", &create).await?;
        for change in &script.rows {
            self.change(session, change).await?;
        }
        self.remember(session, script, book).await
    }

    async fn change(&self, session: &mut Session, change: &RowChange) -> Result<(), Error> {
        let table = self.version.sql();
        let one = |id: &RevisionId| literal(id.as_str());
        let (sql, what) = match change {
            RowChange::Insert(id) => {
                (format!("INSERT INTO {table} (version_num) VALUES ({})", one(id)), format!("adding {id}"))
            }
            RowChange::Delete(id) => {
                (format!("DELETE FROM {table} WHERE version_num = {}", one(id)), format!("removing {id}"))
            }
            RowChange::Update { from, to } => (
                format!("UPDATE {table} SET version_num = {} WHERE version_num = {}", one(to), one(from)),
                format!("changing {from} to {to}"),
            ),
        };
        let rows = session.execute(&sql).await.map_err(|error| session.failed(&error, &what))?;
        if rows == 1 {
            return Ok(());
        }
        Err(Error::VersionRows { detail: format!("{what} was to match one row, {rows} were found") })
    }

    async fn remember(
        &self,
        session: &mut Session,
        script: &Script,
        book: &Bookkeeping<'_>,
    ) -> Result<(), Error> {
        let table = self.own.sql();
        let doing = "remembering the applied file";
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {table} (revision TEXT PRIMARY KEY, sha256 TEXT NOT NULL, \
             applied_at TEXT NOT NULL, operation TEXT NOT NULL)"
        );
        session.run(doing, &create).await?;
        let revision = literal(script.revision.as_str());
        let forget = format!("DELETE FROM {table} WHERE revision = {revision}");
        session.run(doing, &forget).await?;
        if script.direction == Direction::Up {
            let at = book.at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            let insert = format!(
                "INSERT INTO {table} (revision, sha256, applied_at, operation) VALUES ({revision}, {}, {}, {})",
                literal(&script.sha256),
                literal(&at),
                literal(book.operation)
            );
            session.run(doing, &insert).await?;
        }
        Ok(())
    }
}

/// Reads the version rows as a session sees them, sorted.
async fn version_rows(session: &mut Session, table: &TableName) -> Result<Vec<RevisionId>, Error> {
    let sql = format!("SELECT version_num FROM {} ORDER BY 1", table.sql());
    let rows = session.rows("reading the version rows", &sql).await?;
    let mut revisions = rows
        .iter()
        .map(|row| RevisionId::new(row.text(0)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::VersionRows { detail: error.to_string() })?;
    // The server sorts by its collation, we by bytes.
    revisions.sort_unstable();
    Ok(revisions)
}

async fn find(session: &mut Session, table: &str) -> Result<Option<TableName>, Error> {
    let sql = format!(
        "SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid = pg_catalog.to_regclass({})",
        literal(table)
    );
    let schema = session.value("looking for the version table", &sql).await?;
    Ok(schema.map(|schema| TableName::qualified(schema, table)))
}

/// Writes version rows into the empty table of a copy; nothing when there is no table.
pub(super) async fn fill_versions(session: &mut Session, rows: &[RevisionId]) -> Result<(), Error> {
    let Some(table) = find(session, VERSION_TABLE).await? else { return Ok(()) };
    for row in rows {
        let sql = format!("INSERT INTO {} (version_num) VALUES ({})", table.sql(), literal(row.as_str()));
        session.run("writing the version rows of a copy", &sql).await?;
    }
    Ok(())
}
