//! PostgreSQL 13 to 18: snapshots by `pg_dump` from one shared snapshot, proof in a scratch database, restore beside
//! and swap.
//!
//! Promises that no session of it filters rows silently, that no password leaves it except into a private passfile,
//! and that what a crash leaves half done can be found again from the operation's id. Leaves to `procedure` when
//! something is done, and to the vendor's own programs the dump and its restore.

mod apply;
mod beyond;
mod blockers;
mod bookkeeping;
mod by_statement;
mod catalog;
mod checks;
mod child;
mod contents;
mod copy_in;
mod database_level;
mod differences;
mod disarm;
mod drops;
mod dumped;
mod effects;
mod errors;
mod export;
mod exporter;
mod findings;
mod fingerprint;
mod idle;
mod in_place;
mod large_objects;
mod lock;
mod lock_watch;
mod lodgers;
mod made;
mod meanwhile;
mod merge;
mod names;
mod out_of_range;
mod own_settings;
mod parts;
mod preflight;
mod private;
mod prove;
mod rehearse;
mod restore;
mod retry;
mod rights;
mod schemas;
mod script;
mod server;
mod session;
mod snapshot;
mod stage;
mod swap;
mod table;
mod tidy;
mod tools;
mod verdict;
mod wait_watch;
mod writes;

pub use tools::tool_folders;

use super::{
    Applied, AppliedFile, Bookkeeping, Database, DatabaseLock, Earlier, Error, Exported, MergeBecame,
    MergeMode, MergedBack, Need, OtherWrites, Outlet, Piece, PostgresUrl, Preflight, Proof, RehearsalCopy,
    Selection, Snapshot, Staged, Swapped, WriteMark,
};
use crate::base::Cancel;
use crate::catalog::{Catalog, DatabaseId, EngineKind, TableName};
use crate::fingerprint::Inventory;
use crate::history::RevisionId;
use crate::journal::ScriptLog;
use crate::plan::Script;
use crate::report::{Observer, Progress};
use async_trait::async_trait;
use own_settings::OwnSettings;
use server::Server;
use session::{Purpose, Session};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::OnceCell;
use tools::Tools;

/// How a PostgreSQL database is worked on.
#[derive(Clone)]
pub struct Options {
    pub cancel: Cancel,
    /// Hears for whom is waited.
    pub observer: Arc<dyn Observer>,
    /// How long a statement may wait for another session's lock.
    pub lock_timeout: Duration,
    /// How long a statement of a migration may run; the server's own setting when there is none.
    pub statement_timeout: Option<Duration>,
    /// How often is tried again what another session's lock forbade.
    pub retries: u32,
    /// How many connections read and restore at a time.
    pub jobs: usize,
    /// The folders to look for `pg_dump` in: see [`tool_folders`].
    pub tools_path: Vec<PathBuf>,
    /// How long `pg_dump` or `pg_restore` may take before it counts as hanging; without limit when there is none.
    pub tool_timeout: Option<Duration>,
    /// A server for scratch databases, when it shall not be the database's own.
    pub scratch_url: Option<PostgresUrl>,
    /// Where passfiles and other short-lived files may lie.
    pub work_dir: PathBuf,
}

/// One database of a PostgreSQL server.
pub struct PostgresDatabase {
    server: Server,
    id: DatabaseId,
    options: Options,
    /// The server's version as a number: 150018.
    version: u32,
    /// The server for scratch databases, where it is another one; read from its address once.
    elsewhere: OnceLock<Server>,
    /// The operation that sessions are named after.
    operation: Mutex<String>,
    lock: Mutex<Weak<lock::Held>>,
    /// The transactions of ours that wrote, by their numbers.
    own_transactions: Mutex<Vec<u64>>,
    /// The columns that scripts have just made, for the merge that follows them.
    made: Mutex<Vec<made::Made>>,
    watch: Mutex<writes::Watch>,
    /// Where the server stood before the last look at the whole database after a change.
    looked: Mutex<Option<writes::Mark>>,
    /// What the user's sessions have without us; looked up once.
    own_settings: OnceCell<OwnSettings>,
    /// The programs for this server; chosen once.
    tools: OnceCell<Tools>,
    /// True of the copy of a rehearsal: scripts must not reach beyond it.
    is_copy: bool,
    /// True of a copy that could not be kept from other servers.
    reaches_out: bool,
    /// What is known of the rows of a copy since it was made.
    unwritten: OnceLock<Arc<fingerprint::Unwritten>>,
    /// The role whose part migrations take on, where the user of a scratch server is another one.
    acts_as: Option<String>,
}

impl PostgresDatabase {
    /// Connects once, to learn which server it is. A database that does not exist (or is barred) is no error yet. To be used
    /// from one Tokio runtime, since sessions wait for their next use.
    ///
    /// Fails with [`Error::Unreachable`], [`Error::Authentication`], or [`Error::Unsupported`] for a server older than 13.
    pub async fn connect(url: &PostgresUrl, options: Options) -> Result<Self, Error> {
        let server = Server::new(url)?;
        let name = url.database_name().to_string();
        let application = names::application("looking");
        let mut session = match server.open(&name, Purpose::Steering, &application).await {
            Ok(session) => session,
            // Not there, or barred by an operation that a crash cut short: the server can be asked all the same.
            Err(Error::NotFound { .. } | Error::Barred { .. }) => {
                server.open_outside(&name, &application).await?
            }
            Err(error) => return Err(error),
        };
        if session.major() < 13 {
            return Err(Error::Unsupported {
                what: format!("PostgreSQL {}", session.major()),
                why: "ripcord works with versions 13 to 18".to_string(),
            });
        }
        let system = system_of(&mut session).await;
        let id = DatabaseId { engine: EngineKind::Postgresql, place: server.place.clone(), name, system };
        let version = session.version;
        session.give_back().await;
        Ok(Self {
            server,
            id,
            options,
            version,
            elsewhere: OnceLock::new(),
            operation: Mutex::new("looking".to_string()),
            lock: Mutex::new(Weak::new()),
            own_transactions: Mutex::default(),
            made: Mutex::default(),
            watch: Mutex::default(),
            looked: Mutex::default(),
            own_settings: OnceCell::new(),
            is_copy: false,
            reaches_out: false,
            unwritten: OnceLock::new(),
            acts_as: None,
            tools: OnceCell::new(),
        })
    }

    fn set_operation(&self, operation: &str) {
        *self.operation.lock().unwrap_or_else(PoisonError::into_inner) = operation.to_string();
    }

    /// Returns what our sessions are called.
    fn application(&self) -> String {
        names::application(&self.operation.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn retries(&self) -> retry::Retries {
        retry::Retries::new(self.options.retries, &self.options.cancel)
    }

    async fn tools(&self) -> Result<&Tools, Error> {
        let choose = || Tools::choose(&self.options.tools_path, self.version / 10_000, &self.options.cancel);
        self.tools.get_or_try_init(choose).await
    }

    /// Returns the programs for a server of this major version.
    async fn tools_for(&self, major: u32) -> Result<Tools, Error> {
        if major == self.version / 10_000 {
            return self.tools().await.cloned();
        }
        Tools::choose(&self.options.tools_path, major, &self.options.cancel).await
    }

    async fn reading_session(&self) -> Result<Session, Error> {
        let mut session = self.server.open(&self.id.name, Purpose::Reading, &self.application()).await?;
        self.limit_waiting(&mut session).await?;
        Ok(session)
    }

    /// Limits how long a session waits for the lock of another one: without it, for as long as that one likes.
    async fn limit_waiting(&self, session: &mut Session) -> Result<(), Error> {
        let limit = format!("SET lock_timeout = {}", self.options.lock_timeout.as_millis());
        session.run("limiting how long to wait for a lock", &limit).await
    }

    /// Lets a session of a migration own and see what the user of the live database would.
    async fn act(&self, session: &mut Session) -> Result<(), Error> {
        match &self.acts_as {
            Some(role) => {
                session.run("acting as the live user", &format!("SET ROLE {}", names::identifier(role))).await
            }
            None => Ok(()),
        }
    }

    /// Returns the server that scratch databases are made on.
    fn scratch_server(&self) -> Result<&Server, Error> {
        match (&self.options.scratch_url, self.elsewhere.get()) {
            (None, _) => Ok(&self.server),
            (_, Some(server)) => Ok(server),
            (Some(url), None) => {
                let server = Server::new(url)?;
                Ok(self.elsewhere.get_or_init(|| server))
            }
        }
    }

    async fn outside(&self) -> Result<Session, Error> {
        self.server.open_outside(&self.id.name, &self.application()).await
    }

    /// Runs work that stops by itself where it is safe, and drops it when the operation is cancelled: sessions that
    /// only read are ended by the server as soon as nobody listens.
    async fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            done = work => done,
            () = self.options.cancel.cancelled() => Err(Error::Interrupted),
        }
    }
}

/// Returns the number that a cluster was given when it was made; some hosted servers keep it to themselves.
async fn system_of(session: &mut Session) -> Option<String> {
    let asked = "SELECT system_identifier FROM pg_control_system()";
    session.value("asking which cluster it is", asked).await.unwrap_or_default()
}

#[async_trait]
impl Database for PostgresDatabase {
    fn identity(&self) -> &DatabaseId {
        &self.id
    }

    async fn exists(&self) -> Result<bool, Error> {
        self.is_there().await
    }

    async fn lock(&self, operation: &str) -> Result<Box<dyn DatabaseLock>, Error> {
        self.take_lock(operation).await
    }

    async fn begun(&self, operation: &str) {
        self.rename_operation(operation).await;
    }

    async fn preflight(&self, need: &Need<'_>) -> Result<Preflight, Error> {
        self.naming_blockers(self.unless_cancelled(self.look_before(need)).await).await
    }

    async fn catalog(&self) -> Result<Catalog, Error> {
        let read = self.unless_cancelled(async {
            let mut session = self.reading_session().await?;
            session.run("reading the catalog", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let catalog = catalog::read(&mut session).await?;
            session.run("reading the catalog", "ROLLBACK").await?;
            session.give_back().await;
            Ok(catalog)
        });
        self.naming_blockers(read.await).await
    }

    async fn inventory(&self, progress: &Progress) -> Result<Inventory, Error> {
        self.naming_blockers(self.unless_cancelled(self.read_inventory(progress)).await).await
    }

    async fn inventory_after(
        &self,
        _: &Inventory,
        _: &Path,
        progress: &Progress,
    ) -> Result<Inventory, Error> {
        self.note_look().await;
        self.inventory(progress).await
    }

    async fn contents_after(&self, _: &Inventory, _: &Path, progress: &Progress) -> Result<Inventory, Error> {
        self.note_look().await;
        self.naming_blockers(self.unless_cancelled(self.read_contents(progress)).await).await
    }

    async fn snapshot(&self, folder: &Path, progress: &Progress) -> Result<Snapshot, Error> {
        self.naming_blockers(self.take_snapshot(folder, progress).await).await
    }

    async fn prove(
        &self,
        folder: &Path,
        taken: &Snapshot,
        operation: &str,
        progress: &Progress,
    ) -> Result<Proof, Error> {
        self.prove_snapshot(folder, taken, operation, progress).await
    }

    async fn rehearsal(
        &self,
        folder: &Path,
        taken: &Snapshot,
        operation: &str,
        progress: &Progress,
    ) -> Result<Box<dyn RehearsalCopy>, Error> {
        Ok(Box::new(self.open_rehearsal(folder, taken, operation, progress).await?))
    }

    async fn earlier(
        &self,
        folder: &Path,
        tables: &[TableName],
        operation: &str,
        progress: &Progress,
    ) -> Result<Box<dyn Earlier>, Error> {
        Ok(Box::new(self.open_earlier(folder, tables, operation, progress).await?))
    }

    async fn version_rows(&self) -> Result<Vec<RevisionId>, Error> {
        self.naming_blockers(self.unless_cancelled(self.read_version_rows()).await).await
    }

    async fn applied_files(&self) -> Result<Vec<AppliedFile>, Error> {
        self.naming_blockers(self.unless_cancelled(self.read_applied_files()).await).await
    }

    async fn apply(
        &self,
        script: &Script,
        book: &Bookkeeping<'_>,
        log: &ScriptLog,
    ) -> Result<Applied, Error> {
        self.apply_script(script, book, log).await
    }

    async fn mark(&self) -> Result<WriteMark, Error> {
        self.mark_writes().await
    }

    async fn others_wrote_since(&self, mark: &WriteMark) -> Result<OtherWrites, Error> {
        self.writes_since(mark).await
    }

    async fn stage(
        &self,
        folder: &Path,
        expected: &Inventory,
        operation: &str,
        progress: &Progress,
    ) -> Result<Staged, Error> {
        self.stage_snapshot(folder, expected, operation, progress).await
    }

    async fn swap(&self, staged: &Staged, operation: &str, log: &ScriptLog) -> Result<Swapped, Error> {
        self.swap_staged(staged, operation, log).await
    }

    async fn tidy(&self, operation: &str, facts: &BTreeMap<String, String>) -> Result<Vec<String>, Error> {
        self.tidy_up(operation, facts).await
    }

    async fn export_rows(
        &self,
        selections: &[Selection],
        outlet: Arc<dyn Outlet>,
        progress: &Progress,
    ) -> Result<Vec<Exported>, Error> {
        let exported = self.export_selections(selections, outlet.as_ref(), progress);
        self.naming_blockers(self.unless_cancelled(exported).await).await
    }

    async fn restore_tables(
        &self,
        folder: &Path,
        tables: &[crate::catalog::TableName],
        expected: &Catalog,
        operation: &str,
        progress: &Progress,
    ) -> Result<Vec<crate::engine::RestoredTable>, Error> {
        let put_back = self.put_tables_back(folder, tables, expected, operation, progress).await;
        self.naming_blockers(put_back).await
    }

    async fn merge_back(
        &self,
        pieces: &[Piece],
        mode: MergeMode,
        operation: &str,
        log: &ScriptLog,
        progress: &Progress,
    ) -> Result<MergedBack, Error> {
        self.naming_blockers(self.merge_pieces(pieces, mode, (operation, log), progress).await).await
    }

    async fn merge_became(
        &self,
        _operation: &str,
        facts: &BTreeMap<String, String>,
    ) -> Result<MergeBecame, Error> {
        self.merge_transaction_became(facts).await
    }

    fn restore_script(&self, _taken: &Snapshot) -> String {
        script::RESTORE.to_string()
    }
}
