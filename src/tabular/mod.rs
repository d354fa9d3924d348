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
pub use salvaged::{csv_gz, salvaged};
pub use sidecar::{Made, Sidecar, SidecarColumn};

use std::path::{Path, PathBuf};

/// The folder for exports in that of a backup.
pub const EXPORTS: &str = "exports";

/// Returns the salvage in the folder of a backup, by name: the JSON of each file, and where the CSV is. Empty when there is
/// none. What else lies there is passed over.
pub fn salvage_in(backup: &Path) -> std::io::Result<Vec<(PathBuf, Sidecar)>> {
    let folder = backup.join(EXPORTS);
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let place = entry?.path();
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || !name.ends_with(".json") {
            continue;
        }
        let sidecar: Sidecar = serde_json::from_slice(&std::fs::read(&place)?)?;
        // The name is a part of the data: it must not lead out of the folder.
        if sidecar.salvage.is_some() && !sidecar.file.contains('/') {
            found.push((folder.join(&sidecar.file), sidecar));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

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
    /// There is none, because taking it failed.
    #[error("what the upgrade took away was not kept: {why}")]
    NotTaken { why: String },
    #[error(transparent)]
    Engine(#[from] crate::engine::Error),
}
