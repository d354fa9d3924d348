//! One operation at a time: an operating system's lock on a small file beside the database.
//!
//! The file goes with the lock, so that nothing stays beside a database, nor beside what turned out to be none. Removing
//! it could let two operations each lock "the" file, one the removed and one the new; two rules keep that from
//! happening. Only who holds the lock removes the file, and a lock counts only if the name still leads to the file that
//! was locked: who opened it before it was removed starts again. What a crash leaves is taken over by the next operation,
//! or removed by `recover`. A mere look leaves it: it would have to lock it, and an operation that begins in that moment
//! would be refused.

use super::Site;
use super::failure::io_failed;
use crate::engine::{DatabaseLock, Error};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The lock, held as long as the file is open: the system frees it when the process dies.
struct FileLock {
    file: File,
    place: PathBuf,
}

impl DatabaseLock for FileLock {}

impl Drop for FileLock {
    /// Removes the file while it is still locked: afterwards it could be the lock of somebody else.
    fn drop(&mut self) {
        if leads_to(&self.place, &self.file) {
            let _ = std::fs::remove_file(&self.place);
        }
    }
}

/// The lock where no file can be made.
struct FolderLock(#[expect(dead_code, reason = "held for its lock")] File);

impl DatabaseLock for FolderLock {}

impl Site {
    /// Takes the lock, or says who holds it.
    pub(super) fn lock(&self, operation: &str) -> Result<Box<dyn DatabaseLock>, Error> {
        let place = self.lock_file();
        let mut lock = loop {
            let mut file = match open(&place) {
                Ok(file) => file,
                Err(error) if is_read_only(&error) => return self.lock_folder(),
                Err(source) => return Err(io_failed(&place, "opened for locking", source)),
            };
            self.take(&mut file, &place)?;
            // Otherwise its holder has removed it since it was opened: it locks nobody out.
            if leads_to(&place, &file) {
                break FileLock { file, place };
            }
        };
        write_holder(&mut lock.file, operation);
        Ok(Box::new(lock))
    }

    /// Writes into the lock that we hold which operation is under way now. Where its file could not be made there is none.
    pub(super) fn name_holder(&self, operation: &str) {
        if let Ok(mut file) = OpenOptions::new().write(true).open(self.lock_file()) {
            write_holder(&mut file, operation);
        }
    }

    /// Removes the file of a lock that nobody holds: by holding it, as everybody else who removes one. Makes none.
    pub(super) fn tidy_lock(&self) {
        let place = self.lock_file();
        let Ok(file) = OpenOptions::new().read(true).write(true).open(&place) else { return };
        if file.try_lock().is_ok() {
            drop(FileLock { file, place });
        }
    }

    /// Where no file can be made, nothing can be migrated either: two backups are all that could meet here, and the
    /// folder itself is a thing that can be locked.
    fn lock_folder(&self) -> Result<Box<dyn DatabaseLock>, Error> {
        let folder = crate::base::fs::parent(&self.path);
        let mut file =
            File::open(&folder).map_err(|source| io_failed(&folder, "opened for locking", source))?;
        self.take(&mut file, &folder)?;
        Ok(Box::new(FolderLock(file)))
    }

    fn take(&self, file: &mut File, place: &Path) -> Result<(), Error> {
        match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let holder = if holder.is_empty() { "an unnamed operation" } else { holder };
                Err(Error::LockedByOther {
                    place: self.path.display().to_string(),
                    holder: holder.to_string(),
                })
            }
            Err(TryLockError::Error(source)) => Err(io_failed(place, "locked", source)),
        }
    }

    fn lock_file(&self) -> PathBuf {
        self.path.with_file_name(format!(".{}.ripcord-lock", self.name()))
    }
}

/// The name only helps the one who is refused: a disk that is full must not stop the operation here.
fn write_holder(file: &mut File, operation: &str) {
    let holder = format!("{operation} (process {})\n", std::process::id());
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(holder.as_bytes()));
}

fn open(place: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(place)
}

/// Whether the name is still that of the open file.
fn leads_to(place: &Path, file: &File) -> bool {
    let inode = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let named = std::fs::symlink_metadata(place).map(inode);
    named.is_ok_and(|named| file.metadata().map(inode).is_ok_and(|opened| named == opened))
}

fn is_read_only(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}
