//! Revision files as they were when they were applied: each backup keeps copies, and the SHA-256 that was remembered tells
//! which of them was the one.

use super::file::RevisionFile;
use crate::base::hash::sha256_hex;
use crate::engine::AppliedFile;
use std::path::{Path, PathBuf};

/// Where the copies lie: the folder of the backups, each with its `migrations/`.
#[derive(Debug, Clone)]
pub(super) struct Originals {
    backups: PathBuf,
}

impl Originals {
    pub(super) fn new(backups: &Path) -> Originals {
        Originals { backups: backups.to_owned() }
    }

    /// Returns the file that was applied; `None` when no backup has it any more. First the backup of the operation that
    /// applied it is asked, then every other, the newest first.
    pub(super) fn find(&self, applied: &AppliedFile) -> Option<RevisionFile> {
        let of_operation = self.backups.join(&applied.operation);
        let mut others = entries(&self.backups);
        others.sort();
        let folders = std::iter::once(of_operation).chain(others.into_iter().rev());
        folders.flat_map(|folder| entries(&folder.join("migrations"))).find_map(|path| {
            let bytes = std::fs::read(&path).ok().filter(|bytes| sha256_hex(bytes) == applied.sha256)?;
            RevisionFile::parse(&path, &bytes).ok().filter(|file| file.revision.id == applied.revision)
        })
    }
}

/// Returns the revision files in a folder. What is none is passed over.
pub(super) fn all(folder: &Path) -> Vec<RevisionFile> {
    let read = |path: PathBuf| RevisionFile::parse(&path, &std::fs::read(&path).ok()?).ok();
    entries(folder).into_iter().filter_map(read).collect()
}

/// What is in a folder; nothing when it cannot be listed: a copy that cannot be read is no copy.
fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
