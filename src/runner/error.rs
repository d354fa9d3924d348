//! What can go wrong with migrations, as facts.

use crate::history::{HistoryError, RevisionId};
use std::io;
use std::path::PathBuf;

/// Why a runner could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} has no versions folder; it is made by \"ripcord init\"", folder.display())]
    NoProject { folder: PathBuf },
    #[error("{place}: {source}")]
    File { place: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A file that was applied is not the file that is there.
    #[error("revision {revision} was edited after it was applied: {place}")]
    EditedAfterApplied { revision: RevisionId, place: String, applied_sha256: String, found_sha256: String },
    #[error("revision {revision} has no {direction} for {engine}: {place}{}", why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default())]
    NoSection {
        revision: RevisionId,
        direction: &'static str,
        engine: String,
        place: String,
        why: Option<String>,
    },
    #[error(transparent)]
    Engine(#[from] crate::engine::Error),
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
    #[error("{} could not be {doing}: {source}", place.display())]
    Io { place: PathBuf, doing: &'static str, source: io::Error },
    #[error("{place} exists already")]
    Exists { place: String },
    #[error("{detail}")]
    Usage { detail: String },
}
