//! What can go wrong with migrations, as facts.

use crate::base::counted;
use crate::history::{HistoryError, RevisionId};
use std::io;
use std::path::{Path, PathBuf};

/// Why a runner could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} has no versions folder; it is made by \"ripcord init\"", folder.display())]
    NoProject { folder: PathBuf },
    /// Nothing of it is ripcord's, and taking it for empty would lead to advice that harms a database which is not.
    #[error(
        "{} holds {} of Alembic's (.py), which Alembic runs, and ripcord does not",
        versions.display(),
        counted(*count, "revision")
    )]
    AllOfAlembic { versions: PathBuf, count: u64 },
    #[error("revision {revision} is {}: one of Alembic's, which Alembic runs, and ripcord does not", place.display())]
    OfAlembic { revision: String, place: PathBuf },
    #[error("{place}: {source}")]
    File { place: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The way up in a file that was applied is not the one that is there, or nobody can tell.
    #[error("revision {revision} was edited after it was applied: {place}{}", as_it_was(original.as_deref()))]
    EditedAfterApplied {
        revision: RevisionId,
        place: String,
        applied_sha256: String,
        found_sha256: String,
        /// The file as it was applied, in a backup; without it what was edited cannot be told.
        original: Option<PathBuf>,
    },
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

fn as_it_was(original: Option<&Path>) -> String {
    match original {
        Some(place) => format!("; its upgrade is not the one that ran, which is in {}", place.display()),
        None => "; no backup has it as it was, so nobody can tell whether its upgrade is the one that ran"
            .to_string(),
    }
}
