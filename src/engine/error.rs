//! What can go wrong with a database, as facts.

use crate::base::{ToolError, counted};
use crate::catalog::{DatabaseId, EngineKind, TableName};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A session of another program that holds a lock, or waits for one in front of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The server's process; none holds the locks of a prepared transaction.
    pub process: Option<i32>,
    pub application: Option<String>,
    pub user: Option<String>,
    /// When its transaction began.
    pub since: Option<String>,
    pub state: Option<String>,
    /// Which lock, and on what: "a lock on public.person".
    pub lock: String,
    /// False when it waits for the lock itself.
    pub holds: bool,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process {
            Some(process) => write!(f, "process {process}")?,
            None => write!(f, "a prepared transaction (see pg_prepared_xacts)")?,
        }
        let user = self.user.as_ref().map(|user| format!("user {user}"));
        let known = [self.application.clone(), user, self.state.clone()];
        let known: Vec<String> = known.into_iter().flatten().collect();
        if !known.is_empty() {
            write!(f, " ({})", known.join(", "))?;
        }
        let verb = if self.holds { "holds" } else { "waits for" };
        write!(f, " {verb} {}", self.lock)?;
        match &self.since {
            Some(since) => write!(f, ", in a transaction since {since}"),
            None => Ok(()),
        }
    }
}

/// Why an engine could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no database at {place}")]
    NotFound { place: String },
    #[error("{place} is not a {engine} database: {detail}")]
    NotADatabase { place: String, engine: &'static str, detail: String },
    /// A database, but parts of it are not as they must be.
    #[error("{place} is damaged: {detail}")]
    Malformed { place: String, detail: String },
    /// Putting another state in the place of the database would lose what others wrote; nothing was replaced.
    #[error("other programs wrote to {place} after its present state was saved")]
    WroteMeanwhile { place: String },
    #[error("the server at {place} cannot be reached: {detail}")]
    Unreachable { place: String, detail: String },
    #[error("the server at {place} refuses user {user}: {detail}")]
    Authentication { place: String, user: String, detail: String },
    /// Another ripcord works on this database.
    #[error("another operation holds the lock of {place}: {holder}")]
    LockedByOther { place: String, holder: String },
    /// Another program holds a lock of the engine's own.
    #[error("{place} is locked by another program: {detail}")]
    Busy { place: String, detail: String },
    /// The server lets nobody into the database, as while an operation swaps it.
    #[error("{place} lets nobody in: {detail}")]
    Barred { place: String, detail: String },
    /// A lock on a server, which says who holds it.
    #[error("{place} is locked by another program: {}: {detail}", by.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Blocked { place: String, detail: String, by: Vec<Blocker> },
    /// A swap failed before it replaced anything: what is live is what clients made of it.
    #[error("{cause}")]
    NotBegun { cause: Box<Error> },
    #[error("{what} needs {privilege}")]
    Privilege { what: String, privilege: String },
    #[error("{tool} {found} cannot work with server version {server}")]
    ToolTooOld { tool: String, found: String, server: String },
    #[error("no {tool} was found in {looked}")]
    ToolMissing { tool: String, looked: String },
    #[error("{what} needs {needed} bytes at {}, {free} are free", place.display())]
    NoSpace { what: String, place: PathBuf, needed: u64, free: u64 },
    /// In the middle of the work, and no fault of what was to be written.
    #[error("{doing}: {} takes no more: {detail}{}", folder.display(), free.map(|free| format!(", {free} bytes are free")).unwrap_or_default())]
    Full { doing: String, folder: PathBuf, detail: String, free: Option<u64> },
    /// The same on the server's side, which knows the place.
    #[error("the server at {place} has no room: {detail}")]
    ServerFull { place: String, detail: String },
    #[error("there is no folder {} for the database {}", folder.display(), place.display())]
    NoFolder { folder: PathBuf, place: PathBuf },
    /// A statement of a migration failed.
    #[error("{place}, line {line}: {detail}")]
    Statement { place: String, line: usize, statement: String, detail: String },
    /// On the copy of a rehearsal: a statement that would change what lies beside the copy. It was not run, or undone.
    #[error("{place}, line {line}: it cannot be rehearsed, because on the copy it would change {what}")]
    BeyondCopy { place: String, line: usize, what: String },
    /// A transaction was undone because keys would be broken.
    #[error("{} would point nowhere, the first: {first}", counted(*count as u64, "foreign key"))]
    ForeignKeys { count: usize, first: String },
    #[error("the version rows are not what the plan was made for: {detail}")]
    VersionRows { detail: String },
    /// Found in a script's own transaction, before its first statement.
    #[error("the schema of the database is not the one that this was planned for")]
    SchemaMoved,
    /// A commit whose answer was lost, and nobody could be asked what became of it: it stands, or it does not.
    #[error("it is not known whether the transaction was committed: {detail}")]
    Undecided { detail: String },
    #[error("the snapshot is damaged: {detail}")]
    DamagedSnapshot { detail: String },
    #[error("{place} exists already")]
    Exists { place: String },
    /// A table, view or query that was named for an export.
    #[error("{what} cannot be exported: {detail}")]
    NotExportable { what: String, detail: String },
    /// A merge was undone because the proof before its commit failed.
    #[error(
        "{what} does not hold what was merged into it: {found} of {}; the merge was undone",
        counted(*expected, "value")
    )]
    NotMerged { what: String, expected: u64, found: u64 },
    /// A table cannot be put back alone, because it is another one now.
    #[error("table {table} is not as it was in the backup: {detail}")]
    TableDiffers { table: TableName, detail: String },
    /// A table cannot be put back alone, because of what refers to it.
    #[error("{rows} of table {by} refer to rows of table {table} that are not in the backup")]
    ReferredTo { table: TableName, by: TableName, rows: String },
    /// A table cannot be put back alone, because of what it refers to.
    #[error("{rows} of table {table} in the backup refer to rows of table {to} that are not there")]
    RefersTo { table: TableName, to: TableName, rows: String },
    #[error("{what} is not possible: {why}")]
    Unsupported { what: String, why: String },
    #[error("the operation was interrupted")]
    Interrupted,
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("{} could not be {doing}: {source}", place.display())]
    Io { place: PathBuf, doing: &'static str, source: io::Error },
    /// Anything else that the driver reports; `doing` says what was asked of it.
    #[error("{doing}: {detail}")]
    Driver { doing: String, detail: String },
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
}

impl Error {
    /// Returns the fact that there is no such database; one of a server is named beside the server.
    pub fn no_database(identity: &DatabaseId) -> Self {
        let place = match identity.engine {
            EngineKind::Sqlite => identity.place.clone(),
            EngineKind::Postgresql => format!("{}, database {}", identity.place, identity.name),
        };
        Self::NotFound { place }
    }

    /// Says of an error that nothing had been replaced when it happened.
    pub fn not_begun(self) -> Self {
        match self {
            // These say so themselves.
            Self::NotBegun { .. } | Self::WroteMeanwhile { .. } => self,
            other => Self::NotBegun { cause: Box::new(other) },
        }
    }

    /// Takes version rows that are no revisions for none.
    pub(crate) fn no_revisions<T: Default>(rows: Result<T, Self>) -> Result<T, Self> {
        match rows {
            Err(Self::VersionRows { .. }) => Ok(T::default()),
            rows => rows,
        }
    }

    /// Tells whether the database itself cannot be read, however often it is tried.
    pub fn is_unreadable(&self) -> bool {
        match self {
            Self::NotBegun { cause } => cause.is_unreadable(),
            other => matches!(other, Self::NotADatabase { .. } | Self::Malformed { .. }),
        }
    }

    /// Tells whether another program's lock was in the way: worth another try.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Blocked { .. })
    }

    /// Tells whether a person or a signal stopped it.
    pub fn is_interrupted(&self) -> bool {
        match self {
            Self::NotBegun { cause } => cause.is_interrupted(),
            other => matches!(other, Self::Interrupted | Self::Tool(ToolError::Interrupted { .. })),
        }
    }
}
