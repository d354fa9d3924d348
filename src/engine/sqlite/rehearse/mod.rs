//! The copy on which a migration is rehearsed: a second file beside the snapshot's.
//!
//! The snapshot's own file stays as it is, for comparing rows with; the migration runs in the second one. Both lie in the
//! folder of the snapshot, which goes as a whole when a crash leaves it.

mod rows;
mod salvage;
mod sample;
pub(super) mod wide;

pub(super) use rows::differs;
pub(super) use salvage::one_value;

use super::catalog::SHADOWS;
use super::failure::io_failed;
use super::session::{Session, frozen_uri, open_frozen, open_unsynced, sidecar};
use super::snapshot::file_in;
use super::{OpenOptions, Site, SqliteDatabase};
use crate::base::{checkpoint, fs};
use crate::catalog::quote;
use crate::engine::{Beside, Database, Earlier, Error, Outlet, Proof, RehearsalCopy, Salvaged, Snapshot};
use crate::ledger::{Answers, Keep, Question};
use crate::plan::hazard::{Sample, Sampled};
use crate::report::Progress;
use async_trait::async_trait;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of the second file in the snapshot's folder.
const FILE: &str = "rehearsal.db";
/// Under what name the snapshot's file is attached.
pub(super) const BEFORE: &str = "ripcord_before";
/// How much is copied between two looks at the cancel flag.
const BLOCK: u64 = 64 << 20;

/// Both files.
pub(super) struct SqliteCopy {
    before: PathBuf,
    database: Arc<SqliteDatabase>,
    holds_rows: bool,
    proof: Proof,
}

impl Site {
    /// Makes the second file from a proven snapshot. After an error it is removed again.
    pub(super) fn rehearsal(
        &self,
        folder: &Path,
        taken: &Snapshot,
        proof: Proof,
    ) -> Result<SqliteCopy, Error> {
        let (before, file) = (file_in(folder), folder.join(FILE));
        let schema_only = taken.facts.get("proof.level").is_some_and(|level| level == "schema");
        let made =
            if schema_only { self.copy_schema(&before, &file) } else { self.copy_whole(&before, &file) };
        let opened = made.and_then(|()| {
            checkpoint::reached("the copy for a rehearsal is made");
            let options = OpenOptions { create: false, is_copy: true, ..self.options.clone() };
            SqliteDatabase::open_tracked(&file, options, self.track.of_copy())
        });
        let database = opened.inspect_err(|_| {
            // The failure is the news; whatever stays goes with the folder.
            let _ = remove(&file);
        })?;
        Ok(SqliteCopy { before, database: Arc::new(database), holds_rows: !schema_only, proof })
    }

    fn copy_whole(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let mut source = File::open(from).map_err(|error| io_failed(from, "read", error))?;
        let written = |error| io_failed(to, "written", error);
        let mut target = fs::create_private_file(to).map_err(written)?;
        loop {
            if self.options.cancel.is_cancelled() {
                return Err(Error::Interrupted);
            }
            // The kernel copies by itself where it can. Not synced: nobody needs it after a power cut.
            if std::io::copy(&mut (&mut source).take(BLOCK), &mut target).map_err(written)? == 0 {
                return Ok(());
            }
        }
    }

    /// Makes the same tables without rows; only the version rows are copied, because a migration counts on them.
    fn copy_schema(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let source = open_frozen(from, &self.options.cancel)?;
        fs::create_private_file(to).map_err(|error| io_failed(to, "created", error))?;
        let target = open_unsynced(to, &self.options.cancel)?;
        let doing = "copying the schema";
        // These two must be set before there is a table.
        for name in ["encoding", "auto_vacuum", "user_version", "application_id"] {
            target.run(doing, &format!("PRAGMA {name} = '{}'", source.pragma(name)?))?;
        }
        for sql in statements(&source)? {
            target.run(doing, &sql)?;
        }
        attach(&target, from)?;
        for table in crate::catalog::BOOKKEEPING {
            if source.has_table(table)? {
                let table = quote(table);
                target.run(doing, &format!("INSERT INTO main.{table} SELECT * FROM {BEFORE}.{table}"))?;
            }
        }
        Ok(())
    }
}

/// Returns what makes the tables, and then what is built on them. Shadow tables are made by their virtual table.
fn statements(source: &Session) -> Result<Vec<String>, Error> {
    let failed = |error| source.failed("reading the schema", error);
    let sql = format!(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        AND (type <> 'table' OR name NOT IN ({SHADOWS}))
        ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, rowid"
    );
    let mut statement = source.prepare(&sql).map_err(failed)?;
    let rows = statement.query_map([], |row| row.get(0)).map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}

/// Attaches the snapshot's file, as one that nobody writes to.
pub(super) fn attach(session: &Session, before: &Path) -> Result<(), Error> {
    let uri = frozen_uri(before)?;
    let attached = session.execute(&format!("ATTACH ?1 AS {BEFORE}"), [uri]);
    attached.map(|_| ()).map_err(|error| session.failed("opening the snapshot beside its copy", error))
}

fn remove(file: &Path) -> Result<(), Error> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let place = sidecar(file, suffix);
        match std::fs::remove_file(&place) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io_failed(&place, "removed", error));
            }
            _ => {}
        }
    }
    Ok(())
}

#[async_trait]
impl Beside for SqliteCopy {
    async fn row_changes(&self, questions: &[Question]) -> Result<Answers, Error> {
        let (before, questions) = (self.before.clone(), questions.to_vec());
        self.database.blocking(move |site| rows::changes(site, &before, &questions)).await
    }

    async fn salvage(
        &self,
        keeps: &[Keep],
        outlet: Arc<dyn Outlet>,
        progress: &Progress,
    ) -> Result<Vec<Salvaged>, Error> {
        let (before, keeps, progress) = (self.before.clone(), keeps.to_vec(), progress.clone());
        let work = self
            .database
            .blocking(move |site| salvage::salvage(site, &before, &keeps, outlet.as_ref(), &progress));
        work.await
    }
}

#[async_trait]
impl RehearsalCopy for SqliteCopy {
    fn database(&self) -> Arc<dyn Database> {
        self.database.clone()
    }

    fn proof(&self) -> &Proof {
        &self.proof
    }

    fn holds_rows(&self) -> bool {
        self.holds_rows
    }

    async fn sample(&self, asked: &Sample) -> Result<Sampled, Error> {
        let (before, asked) = (self.before.clone(), asked.clone());
        self.database.blocking(move |site| sample::of(site, &before, &asked)).await
    }

    async fn remove(self: Box<Self>) -> Result<(), Error> {
        let blocking = self.database.blocking(|site| {
            // A file that is open cannot be said to be gone.
            site.close_writer();
            remove(&site.path)
        });
        blocking.await
    }
}

/// The snapshot's own file beside the live database: nothing is restored, and nothing need be removed.
pub(super) struct SqliteEarlier {
    before: PathBuf,
    live: SqliteDatabase,
}

impl Site {
    pub(super) fn earlier(&self, folder: &Path) -> Result<SqliteEarlier, Error> {
        let options = OpenOptions { create: false, ..self.options.clone() };
        Ok(SqliteEarlier { before: file_in(folder), live: SqliteDatabase::open(&self.path, options)? })
    }
}

#[async_trait]
impl Beside for SqliteEarlier {
    async fn row_changes(&self, questions: &[Question]) -> Result<Answers, Error> {
        let (before, questions) = (self.before.clone(), questions.to_vec());
        self.live.blocking(move |site| rows::changes(site, &before, &questions)).await
    }

    async fn salvage(
        &self,
        keeps: &[Keep],
        outlet: Arc<dyn Outlet>,
        progress: &Progress,
    ) -> Result<Vec<Salvaged>, Error> {
        let (before, keeps, progress) = (self.before.clone(), keeps.to_vec(), progress.clone());
        let work = self
            .live
            .blocking(move |site| salvage::salvage(site, &before, &keeps, outlet.as_ref(), &progress));
        work.await
    }
}

#[async_trait]
impl Earlier for SqliteEarlier {
    async fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
