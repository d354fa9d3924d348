//! Nothing is overwritten that nobody has saved: what is known of the live database between the backup of its present
//! state and the first page that is replaced.
//!
//! A snapshot remembers where the database stood at its instant. A swap compares that under its own write lock, when
//! nobody can commit any more and nothing is replaced yet. The lock is that of SQLite's backup, whose connection cannot
//! be asked anything meanwhile; so another connection looks, at bytes that need no lock: the header of the file in
//! rollback-journal mode, where each commit counts up its change counter, and the header of the WAL's index in WAL mode.
//! After a migration the mark takes the place of the snapshot. Of which nothing is known is not overwritten, and a state
//! that could not be read, and so not be saved, is copied as it is.

use super::replace::move_if_there;
use crate::base::{checkpoint, fs};
use crate::catalog::{Catalog, TableName};
use crate::engine::Error;
use crate::engine::sqlite::Site;
use crate::engine::sqlite::failure::io_failed;
use crate::engine::sqlite::scan;
use crate::engine::sqlite::session::{Session, sidecar};
use crate::engine::sqlite::snapshot::page_copy;
use crate::engine::sqlite::wal::WalState;
use crate::engine::sqlite::writer::Writer;
use crate::fingerprint::TableFingerprint;
use crate::journal::ScriptLog;
use crate::report::Progress;
use rusqlite::OpenFlags;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

/// The length of the header of a database file, and where it says that there is a WAL.
const HEADER: usize = 100;
const READ_VERSION: usize = 19;

/// Where a database stands in the stream of its commits.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::sqlite) enum Stand {
    /// The header of the file, with the change counter.
    Pages([u8; HEADER]),
    Wal(WalState),
    /// A database in WAL mode to which others write without a pause.
    Restless,
}

impl Stand {
    /// Reads where a database stands now. `session` must have read from it before.
    fn of(session: &Session) -> Result<Self, Error> {
        match session.pragma("journal_mode") {
            Ok(mode) if mode == "wal" => Ok(Self::in_wal(WalState::read(session))),
            Ok(_) => Self::in_pages(session),
            // A broken database may refuse to say; its file does not.
            Err(_) => match Self::in_pages(session)? {
                Self::Pages(header) if header[READ_VERSION] == 2 => Ok(Self::in_wal(WalState::read(session))),
                stand => Ok(stand),
            },
        }
    }

    /// The stand of a database in WAL mode, if it can be told.
    pub(in crate::engine::sqlite) fn in_wal(state: Option<WalState>) -> Self {
        state.map_or(Self::Restless, Self::Wal)
    }

    /// The stand of a database in rollback-journal mode.
    pub(in crate::engine::sqlite) fn in_pages(session: &Session) -> Result<Self, Error> {
        let mut header = [0; HEADER];
        let file = session.file()?;
        file.read(&mut header, 0).map_err(|error| session.failed("asking who wrote", error))?;
        Ok(Self::Pages(header))
    }

    /// Reads it once more, without any lock and from the same bytes.
    fn again(&self, session: &Session) -> Result<Self, Error> {
        match self {
            Self::Pages(_) => Self::in_pages(session),
            Self::Wal(_) | Self::Restless => Ok(Self::in_wal(WalState::read(session))),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pages(one), Self::Pages(other)) => one == other,
            (Self::Wal(one), Self::Wal(other)) => one == other,
            _ => false,
        }
    }
}

/// Which file is at the place of the database: another program may have put another one there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::sqlite) struct FileId {
    device: u64,
    number: u64,
}

/// What the last snapshot of this value has seen of the live database.
pub(in crate::engine::sqlite) enum Present {
    /// It is saved. The connection keeps the WAL from being begun anew by closing it, until the writer does.
    Saved {
        stand: Stand,
        file: Option<FileId>,
        witness: Option<Box<Session>>,
        tables: BTreeMap<TableName, TableFingerprint>,
    },
    /// It could not be read.
    Unreadable,
}

/// What has to be done when the database is locked and before its first page is replaced.
pub(in crate::engine::sqlite) enum Guard {
    /// Make sure that nobody wrote.
    Compare { observer: Session, stand: Stand, file: Option<FileId> },
    /// Keep a copy of what cannot be read, with `kept` as its name once it is whole.
    Keep { observer: Session, partial: PathBuf, kept: PathBuf },
}

impl Site {
    /// Remembers what a snapshot has seen.
    pub(in crate::engine::sqlite) fn remember(&self, present: Present) {
        *self.lock_present() = Some(present);
    }

    /// Forgets it, because the database is about to be written to.
    pub(in crate::engine::sqlite) fn forget_present(&self) {
        self.lock_present().take();
    }

    /// Closes the connection that has kept the WAL, when the writer keeps it from now on: only one that is alone can
    /// change the journal mode.
    pub(in crate::engine::sqlite) fn hand_over(&self, writer: &Writer) {
        if let Some(Present::Saved { witness, .. }) = &mut *self.lock_present()
            && witness.is_some()
            && writer.version().is_ok()
        {
            witness.take();
        }
    }

    /// Prepares what [`Guard::act`] does under the lock; fails at once when somebody has written already. `make_room` may
    /// change the journal mode and says whether it did.
    pub(in crate::engine::sqlite) fn guard(
        &self,
        writer: &Writer,
        make_room: impl FnOnce(&Session) -> Result<bool, Error>,
        (operation, log): (&str, &ScriptLog),
    ) -> Result<Guard, Error> {
        let (saved, is_unreadable) = match &*self.lock_present() {
            Some(Present::Saved { stand, file, .. }) => (Some((*stand, *file)), false),
            Some(Present::Unreadable) => (None, true),
            None => (None, false),
        };
        if is_unreadable {
            make_room(&writer.session)?;
            let (partial, kept) = (self.partial(operation), self.kept(operation));
            log.fact("kept", &kept.display().to_string())?;
            let observer = self.open(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            return Ok(Guard::Keep { observer, partial, kept });
        }
        let version = writer.version()?;
        let (mut stand, file) = match saved {
            Some((stand, file)) => {
                self.same(&stand, &stand.again(&writer.session)?)?;
                (stand, file)
            }
            None => {
                // What nobody saved and no mark is known of appeared after the last look.
                let marked = writer.marked().ok_or_else(|| self.wrote_meanwhile())?;
                (self.stand_since(writer, marked)?, writer.file())
            }
        };
        self.same_file(file, writer.file())?;
        if make_room(&writer.session)? {
            stand = self.stand_since(writer, version)?;
        }
        Ok(Guard::Compare { observer: self.look()?, stand, file })
    }

    /// Fails when one of these tables holds what the last snapshot has not saved. The writer holds the write lock.
    pub(in crate::engine::sqlite) fn refuse_unsaved(
        &self,
        writer: &Writer,
        live: &Catalog,
        names: &[TableName],
    ) -> Result<(), Error> {
        let present = self.lock_present();
        let Some(Present::Saved { stand, file, tables, .. }) = &*present else {
            return Err(self.wrote_meanwhile());
        };
        self.same_file(*file, writer.file())?;
        self.same_file(*file, self.file_id())?;
        if stand.is_same(&stand.again(&writer.session)?) {
            return Ok(());
        }
        for name in names {
            let Some(table) = live.tables.get(name) else { continue };
            let held = scan::one_table(&writer.session, name, table)?;
            if tables.get(name) != Some(&held) {
                return Err(Error::WroteMeanwhile {
                    place: format!("table {name} of {}", self.path.display()),
                });
            }
        }
        Ok(())
    }

    /// Returns where the database stands, if nobody else committed since the writer saw this version. The version is
    /// asked for last: who committed before the stand was read has changed it.
    fn stand_since(&self, writer: &Writer, version: i64) -> Result<Stand, Error> {
        let stand = Stand::of(&writer.session)?;
        if writer.version()? == version { Ok(stand) } else { Err(self.wrote_meanwhile()) }
    }

    fn same(&self, then: &Stand, now: &Stand) -> Result<(), Error> {
        if then.is_same(now) { Ok(()) } else { Err(self.wrote_meanwhile()) }
    }

    fn same_file(&self, then: Option<FileId>, now: Option<FileId>) -> Result<(), Error> {
        if then == now { Ok(()) } else { Err(self.wrote_meanwhile()) }
    }

    /// Returns which file is at the place of the database, without opening it.
    pub(in crate::engine::sqlite) fn file_id(&self) -> Option<FileId> {
        let metadata = self.path.metadata().ok()?;
        Some(FileId { device: metadata.dev(), number: metadata.ino() })
    }

    pub(super) fn wrote_meanwhile(&self) -> Error {
        Error::WroteMeanwhile { place: self.path.display().to_string() }
    }

    /// Copies the bytes of a database that nobody can read. Its file first: a checkpoint of others then moves nothing
    /// out of the WAL that is not in one of the two.
    fn keep_bytes(&self, observer: &Session, partial: &Path, kept: &Path) -> Result<(), Error> {
        page_copy::copy(observer, partial, &self.options.cancel, &Progress::silent())?;
        let wal = sidecar(&self.path, "-wal");
        if wal.metadata().is_ok_and(|wal| wal.len() > 0) {
            // SQLite has no locks on this file that closing it could drop.
            super::replace::copy(&wal, &sidecar(partial, "-wal"))?;
        }
        // The database last: whoever finds it finds everything that belongs to it.
        for suffix in ["-wal", ""] {
            move_if_there(&sidecar(partial, suffix), &sidecar(kept, suffix))?;
        }
        let folder = fs::parent(kept);
        fs::sync_dir(&folder).map_err(|source| io_failed(&folder, "synced", source))?;
        checkpoint::reached("broken database kept");
        Ok(())
    }

    fn lock_present(&self) -> MutexGuard<'_, Option<Present>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guard {
    /// Does it. After an error nothing has been replaced.
    pub(in crate::engine::sqlite) fn act(&self, site: &Site) -> Result<(), Error> {
        match self {
            Self::Compare { observer, stand, file } => {
                site.same_file(*file, site.file_id())?;
                site.same(stand, &stand.again(observer)?)
            }
            Self::Keep { observer, partial, kept } => {
                site.keep_bytes(observer, partial, kept).inspect_err(|_| {
                    // Half a copy is of no use; the database itself is untouched.
                    for leftover in [sidecar(partial, "-wal"), partial.clone()] {
                        let _ = std::fs::remove_file(leftover);
                    }
                })
            }
        }
    }

    /// Returns where the database that was live before is kept, if it is.
    pub(super) fn kept(&self) -> Option<String> {
        match self {
            Self::Keep { kept, .. } => Some(kept.display().to_string()),
            Self::Compare { .. } => None,
        }
    }
}
