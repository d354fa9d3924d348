//! The few calls of SQLite's C interface that rusqlite does not have, or has only slowly: the file behind a
//! connection, waiting and stopping, and row loops. All `unsafe` code of this engine that touches SQLite is here.
//!
//! Promises that nothing outlives the connection it belongs to (lifetimes say so) and that every statement is
//! finalized. A connection is used by one thread at a time: they are opened without SQLite's own mutex.

use crate::base::Cancel;
use crate::engine::Value;
use rusqlite::{Connection, Result, ffi};
use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::os::raw::c_char;
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

unsafe extern "C" {
    /// As <https://www.sqlite.org/c3ref/value_blob.html> has it; the bindings leave out what is for UTF-16.
    fn sqlite3_value_bytes16(value: *mut ffi::sqlite3_value) -> c_int;
}

/// How many steps of SQLite's virtual machine run between two looks at the cancel flag.
const STEPS_BETWEEN_LOOKS: c_int = 20_000;

/// How long a connection waits for another program's lock, and when it stops altogether.
pub(super) struct Patience {
    cancel: Cancel,
    limit: Duration,
    waiting_since: Cell<Option<Instant>>,
}

impl Patience {
    pub(super) fn new(cancel: Cancel, limit: Duration) -> Box<Self> {
        Box::new(Self { cancel, limit, waiting_since: Cell::new(None) })
    }

    /// Returns the wish to stop that is heeded.
    pub(super) fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Lets SQLite ask this value while it works and while it waits.
    pub(super) fn attach(&self, connection: &Connection) {
        let state: *mut c_void = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the caller (`Session`) keeps the box alive until its connection is closed, and the callbacks run on
        // the one thread that uses the connection, so the shared reference they make is never used at the same time.
        unsafe {
            let handle = connection.handle();
            ffi::sqlite3_progress_handler(handle, STEPS_BETWEEN_LOOKS, Some(is_cancelled), state);
            ffi::sqlite3_busy_handler(handle, Some(wait_more), state);
        }
    }
}

extern "C" fn is_cancelled(state: *mut c_void) -> c_int {
    // SAFETY: `state` is the `Patience` that `attach` handed over, see there.
    let patience = unsafe { &*state.cast::<Patience>() };
    c_int::from(patience.cancel.is_cancelled())
}

extern "C" fn wait_more(state: *mut c_void, tries: c_int) -> c_int {
    // SAFETY: `state` is the `Patience` that `attach` handed over, see there.
    let patience = unsafe { &*state.cast::<Patience>() };
    if tries == 0 {
        patience.waiting_since.set(Some(Instant::now()));
    }
    let waited = patience.waiting_since.get().map_or(Duration::ZERO, |since| since.elapsed());
    if patience.cancel.is_cancelled() || waited >= patience.limit {
        return 0;
    }
    // Short naps: a lock is usually free again after a few milliseconds, and Ctrl-C must not have to wait.
    let nap = Duration::from_millis(1 << tries.clamp(0, 4));
    std::thread::sleep(nap.min(patience.limit.saturating_sub(waited)));
    1
}

/// The database file as SQLite itself has it open.
///
/// Opening it a second time in this process and closing that would drop SQLite's POSIX locks
/// (<https://www.sqlite.org/howtocorrupt.html>, section 2.2); this handle is the only safe way to its bytes.
pub(super) struct OpenFile<'c> {
    file: NonNull<ffi::sqlite3_file>,
    methods: &'c ffi::sqlite3_io_methods,
    connection: PhantomData<&'c Connection>,
}

impl<'c> OpenFile<'c> {
    /// Returns the file of the main database.
    pub(super) fn of(connection: &'c Connection) -> Result<Self> {
        Self::get(connection, ffi::SQLITE_FCNTL_FILE_POINTER)
    }

    /// Returns the WAL of the main database, which must be in WAL mode and have been read from.
    pub(super) fn wal_of(connection: &'c Connection) -> Result<Self> {
        Self::get(connection, ffi::SQLITE_FCNTL_JOURNAL_POINTER)
    }

    fn get(connection: &'c Connection, which: c_int) -> Result<Self> {
        let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
        // SAFETY: the handle is open as long as the connection is borrowed, and for these operations SQLite writes one
        // pointer to where the last argument says (<https://www.sqlite.org/c3ref/c_fcntl_begin_atomic_write.html>).
        let code = unsafe {
            ffi::sqlite3_file_control(
                connection.handle(),
                c"main".as_ptr(),
                which,
                ptr::from_mut(&mut file).cast(),
            )
        };
        let file = NonNull::new(file).filter(|_| code == ffi::SQLITE_OK).ok_or_else(|| error(code))?;
        // SAFETY: SQLite keeps the file object for as long as the connection is open; its methods are constants.
        let methods =
            unsafe { file.as_ref().pMethods.as_ref() }.ok_or_else(|| error(ffi::SQLITE_CANTOPEN))?;
        Ok(Self { file, methods, connection: PhantomData })
    }

    /// Returns the size in bytes.
    pub(super) fn size(&self) -> Result<u64> {
        let size = self.methods.xFileSize.ok_or_else(|| error(ffi::SQLITE_MISUSE))?;
        let mut bytes: ffi::sqlite3_int64 = 0;
        // SAFETY: the method is called with the file that it belongs to.
        check(unsafe { size(self.file.as_ptr(), &mut bytes) })?;
        Ok(bytes.unsigned_abs())
    }

    /// Reads bytes from `offset` on. Where the file ends earlier, the rest of `block` is zero and `false` is returned.
    pub(super) fn read(&self, block: &mut [u8], offset: u64) -> Result<bool> {
        let read = self.methods.xRead.ok_or_else(|| error(ffi::SQLITE_MISUSE))?;
        let (Ok(length), Ok(offset)) = (c_int::try_from(block.len()), i64::try_from(offset)) else {
            return Err(error(ffi::SQLITE_TOOBIG));
        };
        // SAFETY: the method is called with the file that it belongs to, and writes at most `length` bytes.
        match unsafe { read(self.file.as_ptr(), block.as_mut_ptr().cast(), length, offset) } {
            ffi::SQLITE_OK => Ok(true),
            ffi::SQLITE_IOERR_SHORT_READ => Ok(false),
            code => Err(error(code)),
        }
    }
}

impl OpenFile<'_> {
    /// Copies the first bytes of the index of the WAL, which lies in memory that all processes share. `None` when there
    /// is none that can be looked at: nobody has read from the database yet, or its index is private.
    pub(super) fn wal_index<const N: usize>(&self) -> Option<[u8; N]> {
        const REGION: c_int = 32 << 10;
        let map = self.methods.xShmMap.filter(|_| self.methods.iVersion >= 2 && N <= REGION as usize)?;
        let mut memory: *mut c_void = ptr::null_mut();
        // SAFETY: the method is called with the file that it belongs to; 0 asks for a region that exists, not a new one.
        let code = unsafe { map(self.file.as_ptr(), 0, REGION, 0, ptr::from_mut(&mut memory).cast()) };
        if memory.is_null() || !matches!(code, ffi::SQLITE_OK | ffi::SQLITE_READONLY) {
            return None;
        }
        let mut bytes = [0; N];
        for (index, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: the region is longer than N bytes and stays mapped while the connection is open. Other processes
            // write to it, so each byte is read once, as it is; whether they belong together is for the caller to check.
            *byte = unsafe { ptr::read_volatile(memory.cast::<u8>().add(index)) };
        }
        Some(bytes)
    }
}

/// Tells whether keys that are checked only at the commit point nowhere at present.
pub(super) fn has_deferred_keys_open(connection: &Connection) -> Result<bool> {
    let (mut open, mut highest): (c_int, c_int) = (0, 0);
    // SAFETY: the handle is open while the connection is borrowed, and SQLite writes one number to each place.
    check(unsafe {
        let (database, which) = (connection.handle(), ffi::SQLITE_DBSTATUS_DEFERRED_FKS);
        ffi::sqlite3_db_status(database, which, &mut open, &mut highest, 0)
    })?;
    Ok(open != 0)
}

/// A statement that is stepped by hand.
pub(super) struct Cursor<'c> {
    statement: NonNull<ffi::sqlite3_stmt>,
    database: *mut ffi::sqlite3,
    /// Whether text is UTF-16 in this database.
    wide: bool,
    connection: PhantomData<&'c Connection>,
}

impl<'c> Cursor<'c> {
    /// Prepares one statement; `wide` is true when the database's encoding is one of UTF-16.
    pub(super) fn prepare(connection: &'c Connection, sql: &str, wide: bool) -> Result<Self> {
        let length = c_int::try_from(sql.len()).map_err(|_| error(ffi::SQLITE_TOOBIG))?;
        let mut statement = ptr::null_mut();
        // SAFETY: the handle is open while the connection is borrowed; SQLite copies the text.
        let (database, code) = unsafe {
            let database = connection.handle();
            let text = sql.as_ptr().cast::<c_char>();
            (database, ffi::sqlite3_prepare_v3(database, text, length, 0, &mut statement, ptr::null_mut()))
        };
        match NonNull::new(statement) {
            Some(statement) if code == ffi::SQLITE_OK => {
                Ok(Self { statement, database, wide, connection: PhantomData })
            }
            _ => Err(last_error(database, code)),
        }
    }

    /// Gives the parameter at `index` (from 1) a value.
    pub(super) fn bind(&mut self, index: c_int, value: i64) -> Result<()> {
        // SAFETY: the statement is ours and not finalized before `drop`.
        check(unsafe { ffi::sqlite3_bind_int64(self.statement.as_ptr(), index, value) })
    }

    /// Goes to the next row; `false` after the last one.
    pub(super) fn step(&mut self) -> Result<bool> {
        // SAFETY: as in `bind`.
        match unsafe { ffi::sqlite3_step(self.statement.as_ptr()) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            code => Err(last_error(self.database, code)),
        }
    }

    /// Returns the integer in a column of the present row.
    pub(super) fn integer(&self, column: c_int) -> i64 {
        // SAFETY: as in `bind`; a column out of range reads as NULL, which is 0.
        unsafe { ffi::sqlite3_column_int64(self.statement.as_ptr(), column) }
    }

    /// Returns the columns: name and declared type, which an expression has not.
    pub(super) fn columns(&self) -> Vec<(String, String)> {
        let statement = self.statement.as_ptr();
        // SAFETY: as in `bind`; both texts end with a zero byte and live as long as the statement, or are null.
        let text = |start: *const c_char| match start.is_null() {
            true => String::new(),
            false => unsafe { CStr::from_ptr(start) }.to_string_lossy().into_owned(),
        };
        unsafe {
            let count = ffi::sqlite3_column_count(statement);
            let column = |at| {
                let name = text(ffi::sqlite3_column_name(statement, at));
                (name, text(ffi::sqlite3_column_decltype(statement, at)))
            };
            (0..count).map(column).collect()
        }
    }

    /// Returns the value in a column of the present row, as SQLite stores it: text in the database's own encoding, nothing
    /// converted. It lives until the next step, which the borrow makes sure of.
    ///
    /// The column is looked up once, as a value of its own: that is unprotected, so it must not be asked while another
    /// thread uses the connection (<https://www.sqlite.org/c3ref/value.html>), which nobody does here.
    pub(super) fn value(&self, column: c_int) -> Value<'_> {
        // SAFETY: as in `bind`; out of range it is a NULL. The type is asked for before anything could convert the value.
        unsafe {
            let value = ffi::sqlite3_column_value(self.statement.as_ptr(), column);
            match ffi::sqlite3_value_type(value) {
                ffi::SQLITE_INTEGER => Value::Integer(ffi::sqlite3_value_int64(value)),
                ffi::SQLITE_FLOAT => Value::Real(ffi::sqlite3_value_double(value)),
                ffi::SQLITE_TEXT => Value::Text(self.bytes(value)),
                ffi::SQLITE_BLOB => Value::Blob(self.bytes(value)),
                _ => Value::Null,
            }
        }
    }

    /// Returns the bytes of a text or a blob. `sqlite3_value_blob` hands out text as it is, without converting it to
    /// UTF-8, which broken UTF-16 would not survive; `sqlite3_value_bytes16` then counts without converting either.
    unsafe fn bytes(&self, value: *mut ffi::sqlite3_value) -> &[u8] {
        // SAFETY: the caller saw a text or a blob in this value of the present row. The pointer is asked for before
        // the length, in the order that <https://www.sqlite.org/c3ref/column_blob.html> recommends.
        unsafe {
            let start = ffi::sqlite3_value_blob(value);
            let length =
                if self.wide { sqlite3_value_bytes16(value) } else { ffi::sqlite3_value_bytes(value) };
            match usize::try_from(length) {
                Ok(length) if length > 0 && !start.is_null() => {
                    std::slice::from_raw_parts(start.cast::<u8>(), length)
                }
                _ => &[],
            }
        }
    }
}

impl Drop for Cursor<'_> {
    fn drop(&mut self) {
        // SAFETY: prepared in `prepare` and finalized only here.
        unsafe { ffi::sqlite3_finalize(self.statement.as_ptr()) };
    }
}

fn check(code: c_int) -> Result<()> {
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(error(code)) }
}

fn error(code: c_int) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}

fn last_error(database: *mut ffi::sqlite3, code: c_int) -> rusqlite::Error {
    // SAFETY: the handle is open, and the message is copied before anything else is called on it.
    let message = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(database)) }.to_string_lossy().into_owned();
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(patience: &Patience, tries: c_int) -> bool {
        wait_more(ptr::from_ref(patience).cast_mut().cast(), tries) == 1
    }

    #[test]
    fn a_lock_is_waited_for_until_the_limit_or_an_interruption() {
        let cancel = Cancel::new();
        let patient = Patience::new(cancel.clone(), Duration::from_secs(3600));
        assert!(waits(&patient, 0) && waits(&patient, 1));
        cancel.cancel();
        assert!(!waits(&patient, 2));
        assert!(!waits(&Patience::new(Cancel::new(), Duration::ZERO), 0));
    }
}
