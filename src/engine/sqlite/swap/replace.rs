//! New files in the place of none, or of one that SQLite cannot open any more.
//!
//! The new file is complete and synced under a name of its own before anything is moved. The old file and what lies beside
//! it are moved away together and before the new one appears: SQLite would apply an old `-wal` or `-journal` to it.

use super::{Staged, set_journal_mode};
use crate::base::{checkpoint, fs};
use crate::engine::Error;
use crate::engine::sqlite::Site;
use crate::engine::sqlite::failure::io_failed;
use crate::engine::sqlite::session::{open_unsynced, sidecar};
use crate::engine::sqlite::sink::Sink;
use crate::journal::ScriptLog;
use std::fs::{File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The database and everything that SQLite keeps beside it.
const SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

impl Site {
    /// Creates the database, which must not be there. Returns remarks on what an earlier one has left in its place.
    pub(in crate::engine::sqlite) fn create_from(
        &self,
        source: &Path,
        staged: &Staged,
        operation: &str,
    ) -> Result<Vec<String>, Error> {
        self.close_writer();
        let partial = self.build(source, staged, operation)?;
        checkpoint::reached("new database built, not in place");
        // A database that somebody made meanwhile keeps what lies beside it.
        self.refuse_existing()?;
        let moved = self.move_away(&SUFFIXES[1..], &self.kept(operation))?;
        self.publish(&partial)?;
        let note = |place: &PathBuf| format!("what an earlier database left is kept as {}", place.display());
        Ok(moved.iter().map(note).collect())
    }

    /// Moves the broken file away and puts a new one in its place. Returns where the old one is.
    pub(super) fn replace_with(
        &self,
        source: &Path,
        staged: &Staged,
        operation: &str,
        log: &ScriptLog,
    ) -> Result<String, Error> {
        self.close_writer();
        let partial = self.build(source, staged, operation)?;
        let kept = self.kept(operation);
        log.fact("kept", &kept.display().to_string())?;
        self.move_away(&SUFFIXES, &kept)?;
        self.publish(&partial)?;
        Ok(kept.display().to_string())
    }

    /// Moves the database, or what lies beside it, to their kept names, for good. Returns the new places.
    fn move_away(&self, suffixes: &[&str], kept: &Path) -> Result<Vec<PathBuf>, Error> {
        let mut moved = Vec::new();
        for suffix in suffixes {
            let place = sidecar(kept, suffix);
            if move_if_there(&sidecar(&self.path, suffix), &place)? {
                moved.push(place);
                checkpoint::reached(&format!("database{suffix} moved away"));
            }
        }
        if !moved.is_empty() {
            let folder = fs::parent(&self.path);
            fs::sync_dir(&folder).map_err(|source| io_failed(&folder, "synced", source))?;
        }
        Ok(moved)
    }

    /// Removes what an operation left unfinished, and undoes a replacement that stopped half-way.
    pub(in super::super) fn tidy(&self, operation: &str) -> Result<Vec<String>, Error> {
        let mut done = Vec::new();
        if let Some(kept) = self.last_kept(operation).filter(|_| !self.path.exists()) {
            // The database last: as long as it is not in its place, a crash here is tidied up the same way.
            for suffix in SUFFIXES.iter().rev() {
                if move_if_there(&sidecar(&kept, suffix), &sidecar(&self.path, suffix))? {
                    checkpoint::reached(&format!("database{suffix} moved back"));
                }
            }
            done.push(format!("moved {} back", kept.display()));
        }
        let partial = self.partial(operation);
        for suffix in SUFFIXES {
            let leftover = sidecar(&partial, suffix);
            if leftover.exists() {
                std::fs::remove_file(&leftover).map_err(|source| io_failed(&leftover, "removed", source))?;
                done.push(format!("removed {}", leftover.display()));
            }
        }
        done.extend(self.tidy_journal()?);
        if !done.is_empty() {
            let folder = fs::parent(&self.path);
            fs::sync_dir(&folder).map_err(|source| io_failed(&folder, "synced", source))?;
        }
        Ok(done)
    }

    /// Undoes the transaction that a crash interrupted, and removes the journal of one that had not come as far as
    /// writing to the database: SQLite leaves such a journal where it is until somebody writes.
    fn tidy_journal(&self) -> Result<Option<String>, Error> {
        let journal = sidecar(&self.path, "-journal");
        if !journal.exists() || !self.path.exists() {
            return Ok(None);
        }
        // Looking makes SQLite undo what is half written.
        let session = match self.look() {
            // Recovery must come to its end where there is nothing that a journal could be applied to.
            Err(Error::NotADatabase { .. } | Error::Malformed { .. }) => return Ok(None),
            looked => looked?,
        };
        if !journal.exists() {
            return Ok(Some("let SQLite undo the transaction that was interrupted".to_string()));
        }
        // Leaving the mode PERSIST deletes the journal under the lock that keeps writers out. It changes no other
        // connection and not the file.
        for mode in ["PERSIST", "DELETE"] {
            session.one::<String>("removing a journal", &format!("PRAGMA journal_mode = {mode}"))?;
        }
        Ok((!journal.exists()).then(|| format!("removed {}", journal.display())))
    }

    /// Builds the new database beside its place: complete, in its journal mode, with its permissions, synced.
    fn build(&self, source: &Path, staged: &Staged, operation: &str) -> Result<PathBuf, Error> {
        let partial = self.partial(operation);
        copy(source, &partial)?;
        let session = open_unsynced(&partial, &self.options.cancel)?;
        set_journal_mode(&session, staged);
        drop(session);
        let file = File::open(&partial).map_err(|source| io_failed(&partial, "opened", source))?;
        if let Some(mode) = staged.facts.get("mode").and_then(|mode| u32::from_str_radix(mode, 8).ok()) {
            // Whoever could read and write the old one has to be able to use this one.
            let permissions = Permissions::from_mode(mode & 0o666);
            file.set_permissions(permissions).map_err(|source| io_failed(&partial, "opened up", source))?;
        }
        file.sync_all().map_err(|source| io_failed(&partial, "synced", source))?;
        Ok(partial)
    }

    fn publish(&self, partial: &Path) -> Result<(), Error> {
        fs::publish(partial, &self.path).map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => self.wrote_meanwhile(),
            _ => io_failed(&self.path, "put in place", source),
        })?;
        checkpoint::reached("new database in place");
        Ok(())
    }

    fn refuse_existing(&self) -> Result<(), Error> {
        if self.path.exists() { Err(self.wrote_meanwhile()) } else { Ok(()) }
    }

    pub(super) fn partial(&self, operation: &str) -> PathBuf {
        self.path.with_file_name(format!(".{}.{operation}.partial", self.name()))
    }

    /// Returns the name under which something can be kept: one that is free, whatever an earlier attempt has kept.
    pub(super) fn kept(&self, operation: &str) -> PathBuf {
        self.kept_names(operation).find(|kept| !is_in_use(kept)).unwrap_or_else(|| self.path.clone())
    }

    /// Returns the newest name under which this operation has kept something.
    fn last_kept(&self, operation: &str) -> Option<PathBuf> {
        self.kept_names(operation).take_while(|kept| is_in_use(kept)).last()
    }

    fn kept_names(&self, operation: &str) -> impl Iterator<Item = PathBuf> + '_ {
        let first = format!("{}.pre-restore-{operation}", self.name());
        let name = move |number: u32| match number {
            1 => first.clone(),
            number => format!("{first}-{number}"),
        };
        (1..).map(move |number| self.path.with_file_name(name(number)))
    }
}

/// Tells whether a database, or something that belongs to one, has this name.
fn is_in_use(database: &Path) -> bool {
    SUFFIXES.iter().any(|suffix| sidecar(database, suffix).symlink_metadata().is_ok())
}

/// Copies a file that no connection has open.
pub(super) fn copy(source: &Path, target: &Path) -> Result<(), Error> {
    let failed = |error| io_failed(source, "read", error);
    let mut file = File::open(source).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut sink = Sink::create(target, size)?;
    let mut block = vec![0; 256 << 10];
    loop {
        match file.read(&mut block) {
            Ok(0) => return sink.finish(),
            Ok(length) => sink.write(&block[..length])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Returns whether there was anything to move. Never moves anything over what is there.
pub(super) fn move_if_there(from: &Path, to: &Path) -> Result<bool, Error> {
    match fs::rename_to_new(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        outcome => outcome.map(|()| true).map_err(|source| io_failed(from, "moved", source)),
    }
}
