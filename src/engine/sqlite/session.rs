//! Connections: how a live database is opened for looking and for writing, and how a finished copy is read.
//!
//! Looking promises to leave no trace: no file is created, no checkpoint is made, and the `-wal` and `-shm` files that a
//! look at a WAL database needs are gone afterwards if they were not there before.

use super::Site;
use super::failure::{failed, io_failed};
use super::raw::{OpenFile, Patience};
use crate::base::Cancel;
use crate::engine::Error;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};
use std::ffi::OsString;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the two bytes are that tell WAL from rollback journal (<https://www.sqlite.org/fileformat2.html>, 1.3).
const FORMAT_VERSIONS: usize = 18;
const WAL_FORMAT: u8 = 2;

/// How much of the database a connection that writes keeps in memory.
pub(super) const CACHE_KIB: u32 = 32 << 10;

/// A connection that gives up waiting after a while and stops when the operation is cancelled.
pub(super) struct Session {
    // Dropped first: the connection's callbacks point into `patience`.
    connection: Connection,
    patience: Box<Patience>,
    place: PathBuf,
}

impl Session {
    fn new(connection: Connection, place: &Path, cancel: &Cancel, limit: Duration) -> Self {
        let patience = Patience::new(cancel.clone(), limit);
        patience.attach(&connection);
        Self { connection, patience, place: place.to_path_buf() }
    }

    /// Opens a database in memory: an empty one.
    pub(super) fn in_memory(cancel: &Cancel) -> Result<Self, Error> {
        let place = Path::new(":memory:");
        let memory = Connection::open_in_memory().map_err(|error| failed(place, "opening", error))?;
        Ok(Self::new(memory, place, cancel, Duration::ZERO))
    }

    /// Returns the connection to write through, which the backup API insists on.
    pub(super) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Runs statements that give no rows.
    pub(super) fn run(&self, doing: &str, sql: &str) -> Result<(), Error> {
        self.connection.execute_batch(sql).map_err(|error| self.failed(doing, error))
    }

    /// Begins a read transaction and takes its view of the database at once, not at the first row that is read. In
    /// rollback-journal mode this is a SHARED lock, and what a crash left half written is undone first.
    pub(super) fn begin_read(&self) -> Result<(), Error> {
        self.run("beginning to read", "BEGIN")?;
        self.one::<i64>("beginning to read", "SELECT count(*) FROM sqlite_schema").map(|_| ())
    }

    /// Ends a transaction, whatever became of it.
    pub(super) fn end(&self) {
        if !self.connection.is_autocommit() {
            // It can only fail when there is no transaction any more, which is what was wanted.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    /// Returns the single value that a query gives.
    pub(super) fn one<T: rusqlite::types::FromSql>(&self, doing: &str, sql: &str) -> Result<T, Error> {
        self.connection.query_row(sql, [], |row| row.get(0)).map_err(|error| self.failed(doing, error))
    }

    /// Returns the value of a pragma as text.
    pub(super) fn pragma(&self, name: &str) -> Result<String, Error> {
        let value: rusqlite::types::Value = self.one("reading the settings", &format!("PRAGMA {name}"))?;
        Ok(match value {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        })
    }

    /// Returns the size of the database in bytes, as this connection sees it.
    pub(super) fn bytes(&self) -> Result<u64, Error> {
        let number = |sql| self.one::<i64>("reading the settings", sql).map(i64::unsigned_abs);
        Ok(number("PRAGMA page_size")? * number("PRAGMA page_count")?)
    }

    /// Tells whether a table of this name is in the database.
    pub(super) fn has_table(&self, name: &str) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
        self.connection
            .query_row(sql, [name], |row| row.get(0))
            .map_err(|error| self.failed("reading the catalog", error))
    }

    /// Tells whether text is stored as UTF-16.
    pub(super) fn is_wide(&self) -> Result<bool, Error> {
        Ok(self.pragma("encoding")?.starts_with("UTF-16"))
    }

    /// Returns the file behind the connection.
    pub(super) fn file(&self) -> Result<OpenFile<'_>, Error> {
        OpenFile::of(&self.connection).map_err(|error| self.failed("reading the database file", error))
    }

    /// Says what an error of this connection means.
    pub(super) fn failed(&self, doing: &str, error: rusqlite::Error) -> Error {
        match failed(&self.place, doing, error) {
            // A wait that was broken off ends as "busy", too.
            Error::Busy { .. } if self.cancel().is_cancelled() => Error::Interrupted,
            error => error,
        }
    }

    /// Returns the wish to stop that this connection heeds.
    pub(super) fn cancel(&self) -> Cancel {
        self.patience.cancel()
    }
}

impl Deref for Session {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Site {
    /// Opens the live database for looking at it. A database that may be created counts as an empty one.
    pub(super) fn look(&self) -> Result<Session, Error> {
        self.look_again(self.has_wal())
    }

    /// Tells whether a WAL lies beside the database.
    pub(super) fn has_wal(&self) -> bool {
        sidecar(&self.path, "-wal").exists()
    }

    /// Opens one more connection for looking; the caller says whether there was a WAL before it opened the first one.
    pub(super) fn look_again(&self, wal_was_there: bool) -> Result<Session, Error> {
        if !self.path.exists() {
            return self.look_at_nothing();
        }
        let session = self.open_for_looking(wal_was_there)?;
        self.readable_or_frozen(session)
    }

    /// Tells whether SQLite refuses to begin any transaction on the live database, so that nothing can be written into it
    /// either: its file is shorter than its header says, for one.
    pub(super) fn refuses_transactions(&self) -> Result<bool, Error> {
        let session = self.open_for_looking(self.has_wal())?;
        // A read transaction, and nothing is read in it: of what the pages hold, nothing has to make sense.
        match session.one::<i64>("opening", "PRAGMA data_version") {
            Err(Error::NotADatabase { .. } | Error::Malformed { .. }) => Ok(true),
            begun => begun.map(|_| false),
        }
    }

    fn open_for_looking(&self, wal_was_there: bool) -> Result<Session, Error> {
        let session = self.open(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let session = if self.needs_write_access(&session)? {
            // Undoing what a crash left, and reading a WAL, both need a handle that could write. One that was opened
            // for reading only would also leave `-wal` and `-shm` behind, because only a writer may remove them.
            drop(session);
            let session = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            session.run("opening", "PRAGMA query_only = ON")?;
            session
        } else {
            session
        };
        // Never checkpoint what was there before us: that is for the programs whose database it is.
        session
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, wal_was_there)
            .map_err(|error| session.failed("opening", error))?;
        Ok(session)
    }

    /// Opens the live database for writing, creating it if that was allowed.
    pub(super) fn open_for_writing(&self) -> Result<Session, Error> {
        // An absolute path is never read as a URI; what is attached may be one.
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
        if self.options.create {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        } else if !self.path.exists() {
            return Err(Error::NotFound { place: self.path.display().to_string() });
        }
        let session = self.open(flags)?;
        // Checkpoints of a WAL that others write are left to them; the last one to close it makes one all the same.
        session.run("opening", "PRAGMA wal_autocheckpoint = 0; PRAGMA foreign_keys = ON")?;
        // What does not fit into the cache is written before the end, and the journal is synced each time.
        // A broken database may refuse it, and is written to all the same, only slower.
        let _ = session.run("opening", &format!("PRAGMA cache_size = -{CACHE_KIB}"));
        if self.options.is_copy {
            // Nobody needs a copy after a power cut.
            session.run("opening", "PRAGMA synchronous = OFF")?;
        }
        Ok(session)
    }

    /// Opens the live database and asks it nothing yet.
    pub(super) fn open(&self, flags: OpenFlags) -> Result<Session, Error> {
        let connection = Connection::open_with_flags(&self.path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|error| failed(&self.path, "opening", error))?;
        Ok(Session::new(connection, &self.path, &self.options.cancel, self.options.lock_timeout))
    }

    fn look_at_nothing(&self) -> Result<Session, Error> {
        if !self.options.create {
            return Err(Error::NotFound { place: self.path.display().to_string() });
        }
        let memory = Connection::open_in_memory().map_err(|error| failed(&self.path, "opening", error))?;
        Ok(Session::new(memory, &self.path, &self.options.cancel, self.options.lock_timeout))
    }

    fn needs_write_access(&self, session: &Session) -> Result<bool, Error> {
        let mut start = [0; 20];
        session.file()?.read(&mut start, 0).map_err(|error| session.failed("opening", error))?;
        let journal = sidecar(&self.path, "-journal").metadata().is_ok_and(|journal| journal.len() > 0);
        Ok(start[FORMAT_VERSIONS] == WAL_FORMAT || start[FORMAT_VERSIONS + 1] == WAL_FORMAT || journal)
    }

    /// Returns the session, or one that treats the file as frozen where a WAL database lies in a folder that nobody
    /// here can write to: SQLite cannot make its index of the WAL there, and without a WAL it needs none.
    fn readable_or_frozen(&self, session: Session) -> Result<Session, Error> {
        let first = session.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
        let Err(error) = first else { return Ok(session) };
        let cannot_index = matches!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen)
        );
        if cannot_index && !sidecar(&self.path, "-wal").exists() {
            return open_frozen(&self.path, &self.options.cancel);
        }
        Err(session.failed("opening", error))
    }
}

/// Opens a finished single-file copy that nobody writes to: without locks, and without files beside it.
pub(super) fn open_frozen(path: &Path, cancel: &Cancel) -> Result<Session, Error> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(frozen_uri(path)?, flags)
        .map_err(|error| failed(path, "opening", error))?;
    Ok(Session::new(connection, path, cancel, Duration::ZERO))
}

/// Returns how SQLite is told that nobody writes to a file.
pub(super) fn frozen_uri(path: &Path) -> Result<String, Error> {
    // After the two slashes a relative path would be read as a host's name.
    let absolute = path.canonicalize().map_err(|source| io_failed(path, "opened", source))?;
    Ok(format!("file://{}?immutable=1", uri_path(&absolute)))
}

/// Opens a copy that is being made: writable, and not synced until its maker does it once at the end.
pub(super) fn open_unsynced(path: &Path, cancel: &Cancel) -> Result<Session, Error> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| failed(path, "opening", error))?;
    let session = Session::new(connection, path, cancel, Duration::ZERO);
    session.run("opening", "PRAGMA synchronous = OFF")?;
    Ok(session)
}

/// Returns the path of a file that SQLite keeps beside a database: `-wal`, `-shm`, `-journal`.
pub(super) fn sidecar(database: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(suffix);
    PathBuf::from(name)
}

fn uri_path(path: &Path) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');
    percent_encode(path.as_os_str().as_bytes(), KEPT).to_string()
}

/// Fails unless the SQLite in this program is one without the WAL-reset bug, which corrupts a database that one process
/// checkpoints while another one writes (3.7.0 to 3.51.2, <https://www.sqlite.org/changes.html>).
pub fn assert_library() -> Result<(), Error> {
    const FIRST_GOOD: i32 = 3_051_003;
    // SAFETY: the function has no arguments and returns a constant.
    let found = unsafe { ffi::sqlite3_libversion_number() };
    if found >= FIRST_GOOD {
        return Ok(());
    }
    Err(Error::Unsupported {
        what: format!("SQLite {}", rusqlite::version()),
        why: "versions before 3.51.3 can damage a database in WAL mode that another program writes to"
            .to_string(),
    })
}
