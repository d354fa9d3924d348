//! One instant of the database, for many readers: a session that holds a transaction open and exports what it sees.

use super::PostgresDatabase;
use super::fingerprint::{Known, Reading};
use super::server::Server;
use super::session::{PINNED, Purpose, Session};
use super::{catalog, findings};
use crate::catalog::{Catalog, EngineKind, TableName};
use crate::engine::Error;
use crate::fingerprint::Inventory;
use crate::report::Progress;
use std::collections::BTreeMap;

/// Holds an instant until it is released.
pub(super) struct Exporter {
    pub(super) session: Session,
    /// What other sessions name to see the same (`pg_export_snapshot()`).
    pub(super) snapshot: String,
}

/// A database of this size, of which an empty one has half, is read by one session and dumped by one: others would take
/// longer to begin than to help.
const SMALL: u64 = 16 * 1024 * 1024;

/// The fact of an inventory that says how large the database is.
const SIZE: &str = "size in bytes";

/// How often the tables may change between listing and locking them before we give up.
const CHASES: u32 = 20;

impl PostgresDatabase {
    /// Opens an instant of the live database, all tables locked against what would empty them under a snapshot.
    pub(super) async fn export(&self) -> Result<Exporter, Error> {
        let mut tries = self.retries();
        loop {
            match self.try_export().await {
                Err(error @ Error::Busy { .. }) if self.try_again(&mut tries, &error).await? => {}
                other => return other,
            }
        }
    }

    async fn try_export(&self) -> Result<Exporter, Error> {
        let mut session = self.server.open(&self.id.name, Purpose::Reading, &self.application()).await?;
        for _ in 0..CHASES {
            let tables = lockable(&mut session).await?;
            session.run("opening a snapshot", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let limit = format!("SET LOCAL lock_timeout = {}", self.options.lock_timeout.as_millis());
            session.run("opening a snapshot", &limit).await?;
            // Before anything that takes a snapshot: TRUNCATE and rewriting ALTERs do not obey MVCC, and what they
            // did between a snapshot and its reading would come out as an empty table.
            if !tables.is_empty() {
                let names: Vec<String> = tables.iter().map(|table| format!("ONLY {}", table.sql())).collect();
                let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "));
                session.run("locking the tables against being emptied", &lock).await?;
            }
            let exported = session.value("exporting a snapshot", "SELECT pg_export_snapshot()").await?;
            // A table that was made after the listing is in the snapshot and not locked.
            if lockable(&mut session).await? == tables {
                return Ok(Exporter { session, snapshot: exported.unwrap_or_default() });
            }
            session.run("closing a snapshot", "ROLLBACK").await?;
        }
        Err(Error::Busy {
            place: self.id.to_string(),
            detail: "tables are created and dropped faster than they can be locked".to_string(),
        })
    }

    /// Reads everything as of one instant, while nothing else runs.
    pub(super) async fn read_inventory(&self, progress: &Progress) -> Result<Inventory, Error> {
        let mut exporter = self.export().await?;
        let inventory = self.inventory_at(&mut exporter, progress).await;
        exporter.release().await;
        inventory
    }

    /// Reads what there is and not whether anything is wrong with it, as of one instant.
    pub(super) async fn read_contents(&self, progress: &Progress) -> Result<Inventory, Error> {
        let mut exporter = self.export().await?;
        let catalog = catalog::read(&mut exporter.session).await;
        let contents = match catalog {
            Ok(catalog) => self.contents_at(&mut exporter, catalog, progress).await,
            Err(error) => Err(error),
        };
        exporter.release().await;
        contents
    }

    /// Reads everything as of the instant that `exporter` holds.
    pub(super) async fn inventory_at(
        &self,
        exporter: &mut Exporter,
        progress: &Progress,
    ) -> Result<Inventory, Error> {
        let catalog = catalog::read(&mut exporter.session).await?;
        let findings = findings::read(&mut exporter.session).await?;
        Ok(Inventory { findings, ..self.contents_at(exporter, catalog, progress).await? })
    }

    async fn contents_at(
        &self,
        exporter: &mut Exporter,
        catalog: Catalog,
        progress: &Progress,
    ) -> Result<Inventory, Error> {
        let Exporter { session, snapshot } = exporter;
        let facts = facts(session).await?;
        let small = facts.get(SIZE).and_then(|bytes| bytes.parse().ok()).map(|bytes: u64| bytes <= SMALL);
        let known = Known { small, ..Known::of(&catalog) };
        let reading = Reading { known, ..self.reading(&self.server, &self.id.name, progress) };
        let fingerprint = reading.fingerprint(session, snapshot).await?;
        let version = facts.get("server version").cloned().unwrap_or_default();
        let (engine, findings) = (EngineKind::Postgresql, Vec::new());
        Ok(Inventory { engine, version, facts, catalog, fingerprint, findings })
    }
}

/// Opens an instant of a database that nobody else uses: a scratch or a side database.
pub(super) async fn export_quiet(server: &Server, database: &str, name: &str) -> Result<Exporter, Error> {
    let mut session = server.open(database, Purpose::Reading, name).await?;
    session.run("opening a snapshot", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let exported = session.value("exporting a snapshot", "SELECT pg_export_snapshot()").await?;
    Ok(Exporter { session, snapshot: exported.unwrap_or_default() })
}

impl Exporter {
    /// Lets go of the instant and its locks.
    pub(super) async fn release(mut self) {
        // Waiting for the answer is what makes sure that the locks are gone; ending the session would free them as
        // well, but at a time of the server's choice.
        let _ = self.session.run("closing a snapshot", "ROLLBACK").await;
        self.session.give_back().await;
    }
}

/// Tells whether it is not worth it to read the database with several sessions at a time.
pub(super) async fn is_small(session: &mut Session) -> Result<bool, Error> {
    let sql = "SELECT pg_database_size(current_database())";
    let size = session.value("asking for the size of the database", sql).await?;
    Ok(size.and_then(|bytes| bytes.parse::<u64>().ok()).is_some_and(|bytes| bytes <= SMALL))
}

async fn lockable(session: &mut Session) -> Result<Vec<TableName>, Error> {
    let sql = "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
         AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid \
         AND e.deptype = 'e') ORDER BY 1, 2";
    let rows = session.rows("listing the tables", sql).await?;
    Ok(rows.iter().map(|row| TableName::qualified(row.text(0), row.text(1))).collect())
}

async fn facts(session: &mut Session) -> Result<BTreeMap<String, String>, Error> {
    let sql = "SELECT current_setting('server_version'), pg_database_size(current_database()), \
         current_setting('server_encoding')";
    let rows = session.rows("reading the server's version", sql).await?;
    let names = ["server version", SIZE, "encoding"];
    let read = rows.iter().flat_map(|row| {
        names.iter().enumerate().map(move |(index, name)| (name.to_string(), row.text(index).to_string()))
    });
    let pinned = PINNED.iter().map(|(name, value)| (format!("session {name}"), value.to_string()));
    Ok(read.chain(pinned).collect())
}
