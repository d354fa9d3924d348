//! Rows in files: gzip-compressed CSV from which every value comes back as it was, and a small JSON beside it.
//!
//! The format is specified in `docs/format.md`, section "Exports". [`Draft`] takes in what an engine hands out and
//! publishes all files of one command or none; [`csv`] is the dialect, in both directions; [`Sidecar`] is the JSON.
//! Knows no engine: which rows, and of which instant, is theirs to say.

pub mod csv;
mod folder;
mod gzip;
mod salvaged;
mod sidecar;

pub use crate::ledger::{Returned, Salvage, SalvageKind};
pub use folder::{Draft, file_stem};
pub use salvaged::salvaged;
pub use sidecar::{Made, Sidecar, SidecarColumn};

use std::path::PathBuf;

/// Why files could not be made of an export.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An earlier export, or something else of that name; it was left alone.
    #[error("{} exists already", place.display())]
    Taken { place: PathBuf },
    /// Two exports of one command would be one file.
    #[error("two exports would be called {name}")]
    Twice { name: String },
    #[error("{} could not be {doing}: {source}", place.display())]
    Io { place: PathBuf, doing: &'static str, source: std::io::Error },
    /// Salvage, or the JSON beside it, is not what was written.
    #[error("{} cannot be used: {detail}", place.display())]
    NotAsWritten { place: PathBuf, detail: String },
    #[error(transparent)]
    Engine(#[from] crate::engine::Error),
}
