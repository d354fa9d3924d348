//! Short-lived folders that only their owner may enter: passfiles, and scripts that hold all data.
//!
//! Promises that none outlives its process for long: each is removed with its value, and one that a killed process left
//! behind is told from one in use by a lock that the system gives back with the process, and swept.

use crate::base::fs;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

/// What the folders are called; then follow the operation, a dot and something random.
const KINDS: [&str; 2] = [PASSFILE, RESTORE];
pub(super) const PASSFILE: &str = ".ripcord-pass-";
pub(super) const RESTORE: &str = ".ripcord-restore-";

/// How often a folder is made anew that another process swept before it was locked.
const TRIES: usize = 20;

/// A folder in use; removed with the value.
pub(super) struct PrivateFolder {
    folder: TempDir,
    _in_use: File,
}

impl PrivateFolder {
    /// Makes a folder (0700) of a kind for an operation.
    pub(super) fn new(parent: &Path, kind: &str, operation: &str) -> io::Result<Self> {
        fs::create_private_dir(parent)?;
        let prefix = prefix(kind, operation);
        for _ in 0..TRIES {
            let mut builder = tempfile::Builder::new();
            let folder =
                builder.prefix(&prefix).permissions(PermissionsExt::from_mode(0o700)).tempdir_in(parent)?;
            match File::open(folder.path()) {
                // A file system without locks: the operation's name has to do. Between its making and the lock the folder
                // looked like one that nobody uses, so it can be gone.
                Ok(file)
                    if !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
                        && folder.path().exists() =>
                {
                    return Ok(Self { folder, _in_use: file });
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Err(io::Error::other("a private folder is swept away again and again"))
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders that nobody uses any more, whosever they were, and tells how many. Where the file system has no
/// locks, only those of `operation`, which is over.
pub(super) fn sweep(parent: &Path, operation: Option<&str>) -> io::Result<usize> {
    let entries = match std::fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !KINDS.iter().any(|kind| name.starts_with(kind)) {
            continue;
        }
        let Ok(folder) = File::open(entry.path()) else { continue };
        let over = match folder.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(_)) => operation
                .is_some_and(|operation| KINDS.iter().any(|kind| name.starts_with(&prefix(kind, operation)))),
        };
        if over {
            std::fs::remove_dir_all(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn prefix(kind: &str, operation: &str) -> String {
    let plain: String = operation
        .chars()
        .map(|next| if next.is_ascii_alphanumeric() { next } else { '-' })
        .take(80)
        .collect();
    format!("{kind}{plain}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_that_nobody_uses_are_swept() {
        let parent = tempfile::tempdir().expect("a folder");
        let used = PrivateFolder::new(parent.path(), PASSFILE, "one").expect("made");
        let mode = used.path().metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, 0o700);
        let left = parent.path().join(".ripcord-restore-two.abc");
        fs::create_private_dir(&left).expect("made");
        fs::write_durable(&left.join("restore.sql"), b"all data").expect("written");
        fs::create_private_dir(&parent.path().join("other")).expect("made");
        assert_eq!(sweep(parent.path(), Some("one")).expect("swept"), 1);
        assert!(!left.exists() && used.path().exists() && parent.path().join("other").exists());
        drop(used);
        assert_eq!(sweep(parent.path(), None).expect("swept"), 0);
        assert_eq!(std::fs::read_dir(parent.path()).expect("list").count(), 1);
    }
}
