//! SQLite databases: files, and SQLite itself linked into this program.
//!
//! All of it goes through one copy of the library (rusqlite), because POSIX locks belong to a process: two copies would
//! not see each other's. For the same reason the live file is never opened by anything but SQLite while a connection is
//! open on it: closing such a file would drop the locks (<https://www.sqlite.org/howtocorrupt.html>, section 2.2).
//!
//! What is told where: [`session`] how a database is opened, [`view`] how several connections see one instant, [`scan`]
//! how rows become fingerprints, [`export`] how they leave, [`snapshot`] how a copy is taken and proven, [`after`] how a
//! second look is spared what did not change, [`apply`] how a script runs, [`rehearse`] on what
//! a migration is rehearsed, [`swap`] how a snapshot is put back.

mod after;
mod apply;
mod catalog;
mod export;
mod failure;
mod findings;
mod inventory;
mod lock;
mod merge;
mod parts;
mod preflight;
mod raw;
mod read_ahead;
mod rehearse;
mod restore_script;
mod scan;
mod session;
mod sink;
mod snapshot;
mod swap;
mod table;
mod text_index;
mod view;
mod wal;
mod writer;
mod written;

#[cfg(test)]
mod tests;

pub use session::assert_library;

use super::{
    Applied, AppliedFile, Bookkeeping, Database, DatabaseLock, Earlier, Error, Exported, MergeBecame,
    MergeMode, MergedBack, Need, OtherWrites, Outlet, Piece, Preflight, Proof, RehearsalCopy, Selection,
    Snapshot, Staged, Swapped, WriteMark,
};
use crate::base::Cancel;
use crate::catalog::{Catalog, DatabaseId, EngineKind, TableName};
use crate::fingerprint::Inventory;
use crate::history::RevisionId;
use crate::journal::ScriptLog;
use crate::plan::Script;
use crate::report::Progress;
use after::Track;
use async_trait::async_trait;
use inventory::Depth;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use swap::Present;
use view::View;
use writer::Writer;

/// How a database is worked with.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Stops everything that takes long.
    pub cancel: Cancel,
    /// How long another program's lock is waited for.
    pub lock_timeout: Duration,
    /// How many threads read rows; 0 means one for each core.
    pub workers: usize,
    /// Whether a file that is not there counts as an empty database, which the first script creates.
    pub create: bool,
    /// Whether it is the copy of a rehearsal: scripts then must not write to any other file.
    pub is_copy: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            cancel: Cancel::new(),
            lock_timeout: Duration::from_secs(3),
            workers: 0,
            create: false,
            is_copy: false,
        }
    }
}

/// A SQLite database.
pub struct SqliteDatabase {
    id: DatabaseId,
    site: Arc<Site>,
}

/// What the blocking side of every method works with.
struct Site {
    /// Absolute, without symbolic links.
    path: PathBuf,
    options: OpenOptions,
    writer: Mutex<Option<Writer>>,
    /// What the last snapshot has seen, for the swap that may follow.
    present: Mutex<Option<Present>>,
    /// What scripts did since the last snapshot, and what looks have found.
    track: Track,
}

impl Site {
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn workers(&self) -> usize {
        match self.options.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }
}

impl SqliteDatabase {
    /// Returns the database at `path`, whether or not the file exists; its folder must. Opens nothing yet.
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self, Error> {
        Self::open_tracked(path, options, Track::default())
    }

    fn open_tracked(path: &Path, options: OpenOptions, track: Track) -> Result<Self, Error> {
        assert_library()?;
        let path = canonical(path)?;
        let (writer, present) = (Mutex::new(None), Mutex::new(None));
        let site = Site { path, options, writer, present, track };
        let id = DatabaseId {
            engine: EngineKind::Sqlite,
            place: site.path.display().to_string(),
            name: site.name(),
            system: None,
        };
        Ok(Self { id, site: Arc::new(site) })
    }

    /// Runs blocking work where it holds up nobody else.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Site) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let site = self.site.clone();
        match tokio::task::spawn_blocking(move || work(&site)).await {
            Ok(outcome) => outcome,
            Err(failure) => match failure.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only a runtime that is shutting down cancels such work.
                Err(_) => Err(Error::Interrupted),
            },
        }
    }

    /// Does blocking work that can take long: a wish to stop that came before it is heard here, however short it is.
    async fn long<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Site) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if self.site.options.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        self.blocking(work).await
    }
}

fn canonical(path: &Path) -> Result<PathBuf, Error> {
    let not_found = |place: &Path| Error::NotFound { place: place.display().to_string() };
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let name = path.file_name().ok_or_else(|| not_found(path))?;
    let folder = crate::base::fs::parent(path);
    let no_folder = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => Error::NoFolder { folder: folder.clone(), place: path.to_path_buf() },
        _ => Error::Io { place: folder.clone(), doing: "entered", source },
    };
    Ok(folder.canonicalize().map_err(no_folder)?.join(name))
}

#[async_trait]
impl Database for SqliteDatabase {
    fn identity(&self) -> &DatabaseId {
        &self.id
    }

    async fn exists(&self) -> Result<bool, Error> {
        Ok(self.site.path.exists())
    }

    async fn lock(&self, operation: &str) -> Result<Box<dyn DatabaseLock>, Error> {
        self.site.lock(operation)
    }

    async fn begun(&self, operation: &str) {
        self.site.name_holder(operation);
    }

    fn tidy_lock(&self) {
        self.site.tidy_lock();
    }

    async fn preflight(&self, need: &Need<'_>) -> Result<Preflight, Error> {
        let (folder, copies) = (need.folder.to_path_buf(), if need.rehearsal { 2 } else { 1 });
        let (writes, replaces) = (need.writes, need.replaces);
        self.blocking(move |site| {
            let mut found = site.preflight(&folder, copies, replaces)?;
            found.findings.extend(writes.then(|| site.not_writable()).flatten());
            Ok(found)
        })
        .await
    }

    async fn catalog(&self) -> Result<Catalog, Error> {
        self.blocking(|site| {
            let session = site.look()?;
            session.begin_read()?;
            catalog::read(&session)
        })
        .await
    }

    async fn inventory(&self, progress: &Progress) -> Result<Inventory, Error> {
        let progress = progress.clone();
        self.long(move |site| {
            let mut view = View::of_live(site, site.workers())?;
            inventory::take(&mut view, Depth::Full, &progress)
        })
        .await
    }

    async fn inventory_after(
        &self,
        before: &Inventory,
        folder: &Path,
        progress: &Progress,
    ) -> Result<Inventory, Error> {
        let (before, folder, progress) = (before.clone(), folder.to_path_buf(), progress.clone());
        self.long(move |site| site.inventory_after(&before, &folder, &progress)).await
    }

    async fn contents_after(
        &self,
        before: &Inventory,
        folder: &Path,
        progress: &Progress,
    ) -> Result<Inventory, Error> {
        let (before, folder, progress) = (before.clone(), folder.to_path_buf(), progress.clone());
        self.long(move |site| site.contents_after(&before, &folder, &progress)).await
    }

    async fn snapshot(&self, folder: &Path, progress: &Progress) -> Result<Snapshot, Error> {
        let (folder, progress) = (folder.to_path_buf(), progress.clone());
        self.long(move |site| site.snapshot(&folder, &progress)).await
    }

    async fn prove(
        &self,
        folder: &Path,
        taken: &Snapshot,
        _operation: &str,
        progress: &Progress,
    ) -> Result<Proof, Error> {
        let (folder, taken, progress) = (folder.to_path_buf(), taken.clone(), progress.clone());
        self.long(move |site| site.prove(&folder, &taken, &progress)).await
    }

    async fn rehearsal(
        &self,
        folder: &Path,
        taken: &Snapshot,
        _operation: &str,
        progress: &Progress,
    ) -> Result<Box<dyn RehearsalCopy>, Error> {
        let (folder, taken, progress) = (folder.to_path_buf(), taken.clone(), progress.clone());
        let made = self.blocking(move |site| {
            let proof = site.prove(&folder, &taken, &progress)?;
            site.rehearsal(&folder, &taken, proof)
        });
        Ok(Box::new(made.await?))
    }

    async fn earlier(
        &self,
        folder: &Path,
        _tables: &[TableName],
        _operation: &str,
        _progress: &Progress,
    ) -> Result<Box<dyn Earlier>, Error> {
        Ok(Box::new(self.site.earlier(folder)?))
    }

    async fn version_rows(&self) -> Result<Vec<RevisionId>, Error> {
        self.blocking(Site::version_rows).await
    }

    async fn applied_files(&self) -> Result<Vec<AppliedFile>, Error> {
        self.blocking(Site::applied_files).await
    }

    async fn apply(
        &self,
        script: &Script,
        book: &Bookkeeping<'_>,
        log: &ScriptLog,
    ) -> Result<Applied, Error> {
        let (script, log) = (script.clone(), log.clone());
        let (operation, at, known) = (book.operation.to_string(), book.at, book.known.to_vec());
        let guarded = book.guarded.cloned();
        self.long(move |site| {
            let guarded = guarded.as_ref();
            site.apply(&script, &Bookkeeping { operation: &operation, at, known: &known, guarded }, &log)
        })
        .await
    }

    async fn mark(&self) -> Result<WriteMark, Error> {
        self.blocking(Site::mark).await
    }

    async fn others_wrote_since(&self, mark: &WriteMark) -> Result<OtherWrites, Error> {
        let mark = mark.clone();
        self.blocking(move |site| site.others_wrote_since(&mark)).await
    }

    async fn stage(
        &self,
        folder: &Path,
        expected: &Inventory,
        _operation: &str,
        _progress: &Progress,
    ) -> Result<Staged, Error> {
        let (folder, expected) = (folder.to_path_buf(), expected.clone());
        self.long(move |site| site.stage(&folder, &expected)).await
    }

    async fn swap(&self, staged: &Staged, operation: &str, log: &ScriptLog) -> Result<Swapped, Error> {
        let (staged, operation, log) = (staged.clone(), operation.to_string(), log.clone());
        self.blocking(move |site| site.swap(&staged, &operation, &log)).await
    }

    async fn tidy(&self, operation: &str, _facts: &BTreeMap<String, String>) -> Result<Vec<String>, Error> {
        let operation = operation.to_string();
        self.blocking(move |site| site.tidy(&operation)).await
    }

    async fn export_rows(
        &self,
        selections: &[Selection],
        outlet: Arc<dyn Outlet>,
        progress: &Progress,
    ) -> Result<Vec<Exported>, Error> {
        let (selections, progress) = (selections.to_vec(), progress.clone());
        self.blocking(move |site| site.export(&selections, outlet.as_ref(), &progress)).await
    }

    async fn restore_tables(
        &self,
        folder: &Path,
        tables: &[crate::catalog::TableName],
        expected: &Catalog,
        operation: &str,
        progress: &Progress,
    ) -> Result<Vec<crate::engine::RestoredTable>, Error> {
        let (folder, tables, expected) = (folder.to_path_buf(), tables.to_vec(), expected.clone());
        let (_, progress) = (operation, progress.clone());
        self.blocking(move |site| site.restore_tables(&folder, &tables, &expected, &progress)).await
    }

    async fn merge_back(
        &self,
        pieces: &[Piece],
        mode: MergeMode,
        operation: &str,
        log: &ScriptLog,
        progress: &Progress,
    ) -> Result<MergedBack, Error> {
        let (pieces, operation) = (pieces.to_vec(), operation.to_string());
        let (log, progress) = (log.clone(), progress.clone());
        self.blocking(move |site| site.merge_back(&pieces, mode, (&operation, &log), &progress)).await
    }

    async fn merge_became(
        &self,
        operation: &str,
        _facts: &BTreeMap<String, String>,
    ) -> Result<MergeBecame, Error> {
        let operation = operation.to_string();
        self.blocking(move |site| site.merge_became(&operation)).await
    }

    async fn forget_merge(&self, operation: &str) -> Result<(), Error> {
        let operation = operation.to_string();
        self.blocking(move |site| site.forget_merge(&operation)).await
    }

    fn restore_script(&self, taken: &Snapshot) -> String {
        restore_script::text(taken)
    }
}
