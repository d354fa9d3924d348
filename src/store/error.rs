//! What can go wrong with backups, as facts.

use crate::base::counted;
use serde::Serialize;
use std::io;
use std::path::PathBuf;

/// Why the store could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no backup {asked}")]
    NotFound { asked: String },
    #[error("{asked} could mean {}", candidates.join(", "))]
    Ambiguous { asked: String, candidates: Vec<String> },
    #[error("backup {id} cannot be used: {damage}")]
    Unusable { id: String, damage: Damage },
    /// Only the files that come later may be added to a published backup.
    #[error("{name} cannot be added to a backup that is published")]
    NotAllowed { name: String },
    #[error("the work on backups was interrupted")]
    Interrupted,
    #[error("{} could not be {doing}: {source}", place.display())]
    Io { place: PathBuf, doing: &'static str, source: io::Error },
}

/// What is wrong with a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "damage", rename_all = "kebab-case")]
pub enum Damage {
    #[error("it has no manifest.json")]
    NoManifest,
    #[error("its manifest cannot be read: {detail}")]
    UnreadableManifest { detail: String },
    #[error("its format is {found}, this ripcord reads up to {supported}")]
    NewerFormat { found: u32, supported: u32 },
    #[error("{path} is missing")]
    Missing { path: String },
    #[error("{path} has {}, {expected} were written", counted(*found, "byte"))]
    Size { path: String, expected: u64, found: u64 },
    #[error("{path} does not match its SHA-256")]
    Digest { path: String },
    #[error("{path} leaves the backup's folder")]
    LeavesFolder { path: String },
    #[error("{path} is not in the manifest")]
    Unlisted { path: String },
    #[error("{path} is in the manifest twice")]
    Duplicate { path: String },
    #[error("{path} cannot be read: {detail}")]
    Unreadable { path: String, detail: String },
    #[error("its SHA256SUMS cannot be read: {detail}")]
    UnreadableSums { detail: String },
    #[error("SHA256SUMS and manifest.json disagree about {path}")]
    Disagree { path: String },
    #[error("the manifest is of backup {found}")]
    AnotherBackup { found: String },
    #[error("the manifest of the backup before, {previous}, is not the one that this one followed")]
    BrokenChain { previous: String },
}

impl Damage {
    /// Tells whether it concerns nothing but the copy of the journal, from which nothing is restored and nothing judged.
    pub fn is_of_journal_copy(&self) -> bool {
        match self {
            Self::Missing { path } | Self::Digest { path } | Self::Unreadable { path, .. } => {
                path == super::folder::JOURNAL
            }
            _ => false,
        }
    }

    /// Returns the file of salvage that it concerns, if it concerns nothing else: no snapshot is restored from one.
    pub fn of_salvage(&self) -> Option<&str> {
        match self {
            Self::Missing { path }
            | Self::Size { path, .. }
            | Self::Digest { path }
            | Self::Unreadable { path, .. } => {
                Some(path.as_str()).filter(|path| super::folder::is_salvage(path))
            }
            _ => None,
        }
    }
}
