//! Database engines: what every procedure asks of a database, whichever it is.
//!
//! The trait is the whole contract: procedures know nothing of SQL dialects, servers or files. Every method that can
//! take long honours the [`Cancel`](crate::base::Cancel) it was built with: it stops where stopping is safe and
//! returns [`Error::Interrupted`]. Methods that only read never write: no version table, no empty file.

pub mod postgres;
pub mod sqlite;

mod error;
mod export;
mod facts;
mod meanwhile;
mod merge;
mod recycled;
mod url;

pub use crate::report::RestoredTable;
pub use error::{Blocker, Error};
pub use export::*;
pub use facts::*;
pub use meanwhile::*;
#[cfg(test)]
pub(crate) use merge::tests::piece as empty_piece;
pub use merge::*;
pub use recycled::{Among, Mark, Marks, Recycled, SAMPLE, SHORT_KEY, Watch, counting, telling};
pub use url::{DatabaseUrl, PostgresUrl, UrlError};

use crate::catalog::{Catalog, DatabaseId, TableName};
use crate::fingerprint::Inventory;
use crate::history::RevisionId;
use crate::journal::ScriptLog;
use crate::ledger::{Answers, Keep, Question, Recast};
use crate::plan::Script;
use crate::plan::hazard::{Sample, Sampled};
use crate::report::Progress;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// One database that can be guarded.
#[async_trait]
pub trait Database: Send + Sync {
    /// Returns which database this is; never a password.
    fn identity(&self) -> &DatabaseId;

    /// Tells whether there is a database at all (a SQLite file that does not exist is none). An upgrade may create it.
    async fn exists(&self) -> Result<bool, Error>;

    /// Fails with [`Error::no_database`] when there is none.
    async fn must_exist(&self) -> Result<(), Error> {
        if self.exists().await? { Ok(()) } else { Err(Error::no_database(self.identity())) }
    }

    /// Takes the lock that lets one operation at a time work on this database; freed when the value is dropped and
    /// when the process dies. Fails with [`Error::LockedByOther`] without waiting for the other
    /// one to end, but for the moment that a server takes to notice that a process has gone.
    async fn lock(&self, operation: &str) -> Result<Box<dyn DatabaseLock>, Error>;

    /// Hears which operation begins under the lock, of several that follow each other: what works for it, and whoever is refused
    /// the lock meanwhile, has to know it by its own name.
    async fn begun(&self, operation: &str) {
        let _ = operation;
    }

    /// Looks whether an operation could succeed, before anything is begun: tools and their versions, free space for
    /// what will be written to `need.folder`, privileges, long transactions, running dumps, leftovers.
    /// Findings of severity error are reasons to refuse.
    async fn preflight(&self, need: &Need<'_>) -> Result<Preflight, Error>;

    /// Reads the catalog.
    async fn catalog(&self) -> Result<Catalog, Error>;

    /// Reads everything of the live database, as of one instant.
    async fn inventory(&self, progress: &Progress) -> Result<Inventory, Error>;

    /// Reads everything of the live database after a change. An engine may use the snapshot in `folder` to prove
    /// that a table did not change without reading its rows; the answer is the same as that of `inventory`.
    async fn inventory_after(
        &self,
        before: &Inventory,
        folder: &Path,
        progress: &Progress,
    ) -> Result<Inventory, Error> {
        let _ = (before, folder);
        self.inventory(progress).await
    }

    /// Reads the same, but for findings: what the database holds, and not whether it is sound. An engine may leave its
    /// checks out.
    async fn contents_after(
        &self,
        before: &Inventory,
        folder: &Path,
        progress: &Progress,
    ) -> Result<Inventory, Error> {
        self.inventory_after(before, folder, progress).await
    }

    /// Takes a snapshot into `folder` (an existing, empty, private folder): the engine's own file or files, and the
    /// inventory and the version rows of the same instant. Synced when it returns. What must be released before a migration can run is
    /// released (locks of the snapshot would block ripcord's own migration).
    async fn snapshot(&self, folder: &Path, progress: &Progress) -> Result<Snapshot, Error>;

    /// Restores the snapshot in `folder` into a scratch database and compares it with what was seen at the instant
    /// it was taken. Leaves no scratch database behind, whatever happens.
    async fn prove(
        &self,
        folder: &Path,
        taken: &Snapshot,
        operation: &str,
        progress: &Progress,
    ) -> Result<Proof, Error>;

    /// Proves the snapshot in `folder` as [`Database::prove`] does, and gives back what it was restored to for a
    /// rehearsal, instead of throwing it away. With `proof.level` `schema` among the facts of the snapshot the copy has
    /// no rows but the version rows. After an error nothing is left; what a crash leaves is removed by
    /// [`Database::tidy`].
    async fn rehearsal(
        &self,
        folder: &Path,
        taken: &Snapshot,
        operation: &str,
        progress: &Progress,
    ) -> Result<Box<dyn RehearsalCopy>, Error>;

    /// Opens the snapshot in `folder` beside the live database, with the rows of these tables at least. After an error
    /// nothing is left; what a crash leaves is removed by [`Database::tidy`].
    async fn earlier(
        &self,
        folder: &Path,
        tables: &[TableName],
        operation: &str,
        progress: &Progress,
    ) -> Result<Box<dyn Earlier>, Error>;

    /// Reads the version rows, sorted. Empty when there is no table; never creates it.
    async fn version_rows(&self) -> Result<Vec<RevisionId>, Error>;

    /// Reads what ripcord remembers of the files it applied. Empty when there is no table.
    async fn applied_files(&self) -> Result<Vec<AppliedFile>, Error>;

    /// Runs one script together with its change of the version rows and of `ripcord_revision`, journalling through
    /// `log`. In one transaction, unless the script says otherwise: a failure then leaves the database as it was.
    ///
    /// The runner journals the beginning and the end of each script (`script_started`, `script_finished`), whatever the
    /// engine; the engine journals the statements of a `transaction none` script, and facts that recovery needs.
    async fn apply(&self, script: &Script, book: &Bookkeeping<'_>, log: &ScriptLog)
    -> Result<Applied, Error>;

    /// Remembers a point in the stream of writes, for [`Database::others_wrote_since`].
    async fn mark(&self) -> Result<WriteMark, Error>;

    /// Tells whether anybody but this value wrote since the mark.
    async fn others_wrote_since(&self, mark: &WriteMark) -> Result<OtherWrites, Error>;

    /// Builds the database of the snapshot in `folder` where no client sees it, ready to be put in place. `into_new` is
    /// true when this database does not exist yet and is to be created. Nothing that is live is touched.
    async fn stage(
        &self,
        folder: &Path,
        expected: &Inventory,
        operation: &str,
        progress: &Progress,
    ) -> Result<Staged, Error>;

    /// Puts what was staged in the place of the live database (or creates it, when there was none). Short, and not
    /// interrupted half-way. What was live before is kept where [`Swapped::kept`] says, if the engine can.
    async fn swap(&self, staged: &Staged, operation: &str, log: &ScriptLog) -> Result<Swapped, Error>;

    /// Removes what a crashed or failed operation left behind (side databases, partial files) and undoes what it had
    /// half done (a database barred for connections, half a swap). Doing it twice is doing it once.
    async fn tidy(&self, operation: &str, facts: &BTreeMap<String, String>) -> Result<Vec<String>, Error>;

    /// Removes what a process that was killed left of its lock, unless somebody holds it. A lock that goes with its holder
    /// leaves nothing.
    fn tidy_lock(&self) {}

    /// Hands the rows of each selection to the outlet, all as of one instant. Tables and columns are named as the database
    /// names them. Returns what was exported, in the order of the selections; fails with [`Error::NotExportable`] when
    /// one of them names nothing that has rows.
    async fn export_rows(
        &self,
        selections: &[Selection],
        outlet: Arc<dyn Outlet>,
        progress: &Progress,
    ) -> Result<Vec<Exported>, Error>;

    /// Merges salvage into the live database, in one transaction: all of it or nothing, triggers of users silent and
    /// afterwards as they were. What is merged is proven before the commit. Conflicts are kept in a side table named after the
    /// operation. With [`MergeMode::Look`] nothing lasts.
    ///
    /// Before the commit the engine writes down through `log` what is committed ([`announce`]), and leaves what
    /// [`Database::merge_became`] needs.
    async fn merge_back(
        &self,
        pieces: &[Piece],
        mode: MergeMode,
        operation: &str,
        log: &ScriptLog,
        progress: &Progress,
    ) -> Result<MergedBack, Error>;

    /// Tells whether the merge of an operation that died was committed, by the facts of its journal and by the database.
    async fn merge_became(
        &self,
        operation: &str,
        facts: &BTreeMap<String, String>,
    ) -> Result<MergeBecame, Error>;

    /// Removes what says in the database that the merge of an operation was committed. To be called when the journal says
    /// it too; what is left where that fails is never taken for a difference.
    async fn forget_merge(&self, operation: &str) -> Result<(), Error> {
        let _ = operation;
        Ok(())
    }

    /// Puts the rows of tables back as the snapshot in `folder` has them, in one transaction, triggers of users silent; a
    /// table that is not there is made as it was. The tables are ordinary ones of the snapshot, whose catalog is
    /// `expected`. Fails with [`Error::TableDiffers`] when one has other columns now, with [`Error::ReferredTo`] when rows
    /// of other tables refer to what would go, with [`Error::RefersTo`] when rows of the snapshot refer to rows of other
    /// tables that are not there, and with [`Error::WroteMeanwhile`] when one is not as the last snapshot of
    /// this value has saved it; then, as after any error, nothing was changed.
    async fn restore_tables(
        &self,
        folder: &Path,
        tables: &[TableName],
        expected: &Catalog,
        operation: &str,
        progress: &Progress,
    ) -> Result<Vec<RestoredTable>, Error>;

    /// Returns the body of `RESTORE.sh` for a snapshot of this database: a POSIX shell script that needs only stock
    /// tools (`psql`, `pg_restore`, `sqlite3`, `sha256sum`).
    fn restore_script(&self, taken: &Snapshot) -> String;
}

/// The rows of a database as they were in a snapshot, beside those that it holds now.
#[async_trait]
pub trait Beside: Send + Sync {
    /// Compares the rows of the database with those it had at the beginning.
    async fn row_changes(&self, questions: &[Question]) -> Result<Answers, Error>;

    /// Returns how many values of each column are others in the type that it had, as far as they can be turned back into it. An
    /// engine whose values have a type of their own sees that when it compares them.
    async fn recast(&self, asked: &[Recast]) -> Result<Vec<u64>, Error> {
        Ok(vec![0; asked.len()])
    }

    /// Hands to the outlet what is to be kept of the rows that the database had at the beginning, compared with what it
    /// holds now. Returns what was handed over, in the order of `keeps`; some of it may turn out to be no row at all.
    async fn salvage(
        &self,
        keeps: &[Keep],
        outlet: Arc<dyn Outlet>,
        progress: &Progress,
    ) -> Result<Vec<Salvaged>, Error>;
}

/// The snapshot beside the live database, after the fact.
#[async_trait]
pub trait Earlier: Beside {
    /// Removes what was restored for it; also when an operation was cancelled.
    async fn close(self: Box<Self>) -> Result<(), Error>;
}

/// A restored snapshot on which a migration is rehearsed: one database to migrate, and beside it the same as it was.
#[async_trait]
pub trait RehearsalCopy: Beside {
    /// Returns the database in which the migration runs.
    fn database(&self) -> Arc<dyn Database>;

    /// Returns what the proof saw. The copy is of use only when it has no differences.
    fn proof(&self) -> &Proof;

    /// Tells whether the copy has the rows of the database, or its definitions and version rows alone.
    fn holds_rows(&self) -> bool;

    /// Returns what of the world around it the copy does not show, one sentence each.
    fn cannot_see(&self) -> Vec<String> {
        Vec::new()
    }

    /// Measures what a hazard holds, in the database as it was at the beginning, and returns the first rows of it.
    async fn sample(&self, asked: &Sample) -> Result<Sampled, Error>;

    /// Removes everything; also when an operation was cancelled.
    async fn remove(self: Box<Self>) -> Result<(), Error>;
}

/// Holds the lock of a database until it is dropped.
pub trait DatabaseLock: Send + Sync {}
