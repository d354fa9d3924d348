//! Where backups are kept: folders that are listed only once they are whole.
//!
//! The layout is specified in `docs/format.md`. A backup is written under a temporary name, synced, and published by
//! one rename; readers never see half of one. Its `manifest.json` is written once and never changed; what comes later
//! (`after.json`, the finished journal) is added beside it and listed in `SHA256SUMS`.

pub mod local;

mod check;
mod error;
mod folder;
mod manifest;
mod seal;
mod sums;

#[cfg(test)]
pub(crate) mod contract;
#[cfg(test)]
mod damage;
#[cfg(test)]
pub(crate) mod sample;

pub use error::{Damage, Error};
pub use manifest::{Artifact, FORMAT, Manifest, Previous, ProofFacts, ToolFact};

use crate::report::Progress;
use async_trait::async_trait;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Keeps backups.
#[async_trait]
pub trait BackupStore: Send + Sync {
    /// Returns where the backups are, for messages and for the free-space check.
    fn place(&self) -> &Path;

    /// Opens a private folder under a temporary name for a backup that is about to be taken. Its `snapshot/` is there
    /// and empty.
    async fn draft(&self, id: &str) -> Result<Draft, Error>;

    /// Seals the draft and publishes it by one rename: hashes what is not hashed yet, writes `manifest.json` (with the
    /// hash of the manifest before) and `SHA256SUMS`, syncs everything. From here on it is listed.
    ///
    /// `manifest.artifacts` may name files that were hashed while they were written: only their size is checked, they
    /// are not read again. A failure leaves the draft to [`BackupStore::tidy`].
    /// `progress` hears of the bytes that are hashed.
    async fn publish(&self, draft: Draft, manifest: Manifest, progress: &Progress) -> Result<Backup, Error>;

    /// Throws a draft away.
    async fn discard(&self, draft: Draft) -> Result<(), Error>;

    /// Adds a small file to a published backup and lists it in `SHA256SUMS`; replaces one of the same name.
    async fn add(&self, id: &str, name: &str, bytes: &[u8]) -> Result<(), Error>;

    /// Adds a file of any size to the `exports/` of a published backup, as [`BackupStore::add`] does: what was salvaged after
    /// the fact. `from` lies in a draft of this store and is no longer there afterwards.
    async fn add_file(&self, id: &str, name: &str, from: &Path) -> Result<(), Error>;

    /// Returns every backup, oldest first: whole, or damaged and why. Drafts are not listed.
    async fn list(&self) -> Result<Vec<Listed>, Error>;

    /// Opens a backup by its id or by an unambiguous part of its beginning or end; `latest` is the newest whole one.
    async fn open(&self, id: &str) -> Result<Backup, Error>;

    /// Checks every artifact of a backup against its size and SHA-256, and that no path leaves the folder.
    /// Returns what is wrong; nothing when it is whole. `progress` hears of the bytes that are read.
    async fn verify(&self, backup: &Backup, progress: &Progress) -> Result<Vec<Damage>, Error>;

    /// Checks that every backup's manifest follows the manifest that it names as the one before. A backup before that
    /// is no longer there says nothing. Returns the backups whose chain is broken, by id.
    async fn verify_chain(&self) -> Result<Vec<(String, Damage)>, Error>;

    /// Removes the drafts of an operation that did not come to its end; says which.
    async fn tidy(&self, operation: &str) -> Result<Vec<String>, Error>;
}

/// A backup that is being written.
#[derive(Debug)]
pub struct Draft {
    pub id: String,
    /// The folder under its temporary name.
    pub folder: PathBuf,
}

impl Draft {
    /// Returns the artifacts that were hashed while they were written, for [`BackupStore::publish`]. `sha256` is by
    /// path in the folder of [`Draft::snapshot`], as an engine hands it over.
    pub fn hashed(&self, sha256: &BTreeMap<String, String>) -> std::io::Result<Vec<Artifact>> {
        let artifact = |(path, sha256): (&String, &String)| {
            let size = self.snapshot().join(path).metadata()?.len();
            Ok(Artifact { path: format!("snapshot/{path}"), size, sha256: sha256.clone() })
        };
        sha256.iter().map(artifact).collect()
    }

    /// Returns the folder for the engine's own files.
    pub fn snapshot(&self) -> PathBuf {
        self.folder.join("snapshot")
    }
}

/// A published backup.
#[derive(Clone, Debug, Serialize)]
pub struct Backup {
    pub folder: PathBuf,
    pub manifest: Manifest,
}

impl Backup {
    /// Returns the folder with the engine's own files.
    pub fn snapshot(&self) -> PathBuf {
        self.folder.join("snapshot")
    }

    /// Returns the files that somebody vouches for, by path, with their SHA-256: the manifest, and where `SHA256SUMS` can be
    /// read, that one for what came later. No file is looked at.
    pub fn vouched(&self) -> BTreeMap<String, String> {
        let later = check::read_sums(&self.folder).unwrap_or_default();
        let listed = self.manifest.artifacts.iter();
        let listed = listed.map(|artifact| (artifact.path.clone(), artifact.sha256.clone()));
        later.into_iter().filter(|(path, _)| folder::may_come_later(path)).chain(listed).collect()
    }

    /// Returns the size of all artifacts in bytes.
    pub fn bytes(&self) -> u64 {
        self.manifest.artifacts.iter().map(|artifact| artifact.size).sum()
    }
}

/// One line of the list of backups.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Listed {
    Whole { backup: Box<Backup> },
    Damaged { id: String, reason: String },
}

impl Listed {
    /// Returns the backup, if it is whole.
    pub fn whole(self) -> Option<Box<Backup>> {
        match self {
            Self::Whole { backup } => Some(backup),
            Self::Damaged { .. } => None,
        }
    }
}
