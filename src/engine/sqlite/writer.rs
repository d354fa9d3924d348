//! The one connection that ripcord writes through.
//!
//! It stays open from the first write of an operation to its last, because `PRAGMA data_version` of one connection tells
//! whether *another* one committed: that is how ripcord knows that nobody else wrote.

use super::Site;
use super::failure::io_failed;
use super::session::Session;
use super::swap::FileId;
use crate::base::ids;
use crate::engine::{Error, OtherWrites, WriteMark};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{MutexGuard, PoisonError};

/// The mark of a database that is not there yet.
const ABSENT: &str = "absent";

/// The connection, and what it was when it was opened.
pub(super) struct Writer {
    pub session: Session,
    /// Tells this connection from every other one, also of another process.
    name: String,
    /// The version that the file had when this connection created it.
    created_at: Option<i64>,
    /// The version at the last mark.
    marked: Option<i64>,
    /// The version before the last look at the whole database.
    looked: Option<i64>,
    /// The file that it writes to, whatever is at the place of the database later.
    file: Option<FileId>,
}

impl Writer {
    /// Returns the version since which others are watched, if anybody asked for that.
    pub(super) fn marked(&self) -> Option<i64> {
        self.marked.or(self.created_at)
    }

    /// Returns the file that the connection writes to.
    pub(super) fn file(&self) -> Option<FileId> {
        self.file
    }

    /// Returns the version before the last look at the whole database, where this connection was there already.
    pub(super) fn looked(&self) -> Option<i64> {
        self.looked
    }

    /// Returns what changes whenever another connection commits.
    pub(super) fn version(&self) -> Result<i64, Error> {
        self.session.one("asking who wrote", "PRAGMA data_version")
    }
}

impl Site {
    /// Runs something with the writer, which is opened (and the database created) if need be.
    pub(super) fn with_writer<T>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut slot = self.lock_writer();
        let writer = match slot.take() {
            Some(writer) => writer,
            None => self.open_writer()?,
        };
        self.hand_over(&writer);
        work(slot.insert(writer))
    }

    /// Closes the writer, because the file behind it is about to be replaced.
    pub(super) fn close_writer(&self) {
        self.lock_writer().take();
        self.forget_present();
    }

    /// Remembers what has been committed so far.
    pub(super) fn mark(&self) -> Result<WriteMark, Error> {
        if !self.path.exists() {
            return Ok(WriteMark(ABSENT.to_string()));
        }
        self.with_writer(|writer| {
            let version = writer.version()?;
            writer.marked = Some(version);
            Ok(WriteMark(format!("{}:{version}", writer.name)))
        })
    }

    /// Tells whether another connection than the writer committed since the mark.
    pub(super) fn others_wrote_since(&self, mark: &WriteMark) -> Result<OtherWrites, Error> {
        let slot = self.lock_writer();
        let unknown = |why: &str| Ok(OtherWrites::Unknown(why.to_string()));
        let writer = match (&*slot, self.path.exists()) {
            (_, false) if mark.0 == ABSENT => return Ok(OtherWrites::Nobody),
            (_, false) => return Ok(OtherWrites::Somebody),
            (None, true) => return unknown("the connection that made the mark is closed"),
            (Some(writer), true) => writer,
        };
        let then = if mark.0 == ABSENT {
            writer.created_at
        } else {
            let made_by = mark.0.split_once(':').filter(|(name, _)| *name == writer.name);
            made_by.and_then(|(_, version)| version.parse().ok())
        };
        match then {
            Some(then) if writer.version()? == then => Ok(OtherWrites::Nobody),
            Some(_) => Ok(OtherWrites::Somebody),
            None => unknown("another connection made the mark"),
        }
    }

    /// Remembers what has been committed before the database is looked at, for what relies on that look.
    pub(super) fn note_look(&self) -> Result<(), Error> {
        if let Some(writer) = &mut *self.lock_writer() {
            writer.looked = Some(writer.version()?);
        }
        Ok(())
    }

    fn open_writer(&self) -> Result<Writer, Error> {
        // Only who created the file knows that nobody wrote to it before.
        let is_new = self.options.create && self.create_empty()?;
        let session = self.open_for_writing()?;
        let name = ids::random_hex(16);
        let mut writer =
            Writer { session, name, created_at: None, marked: None, looked: None, file: self.file_id() };
        if is_new {
            writer.created_at = Some(writer.version()?);
        }
        Ok(writer)
    }

    /// Creates the file as SQLite would; `false` when there is one.
    fn create_empty(&self) -> Result<bool, Error> {
        match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&self.path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(io_failed(&self.path, "created", error)),
        }
    }

    fn lock_writer(&self) -> MutexGuard<'_, Option<Writer>> {
        // What a panic left in it is a connection that rolls back when it is closed.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
