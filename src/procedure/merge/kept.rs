//! Which salvage of a backup counts, and whether it is all there.

use crate::base::hash::{self, Hashed};
use crate::engine::Piece;
use crate::procedure::snapshot;
use crate::store::Backup;
use crate::tabular::{self, EXPORTS};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

/// Says in a backup's folder which of its salvage counts.
pub(super) const RENEWED: &str = "renewed.json";

/// What that file says.
#[derive(Serialize, Deserialize)]
pub(super) struct Renewed {
    /// The folder with the salvage, in that of the backup; absent where that way back leaves nothing missing.
    pub folder: String,
    /// [`crate::runner::Reverse::sha256`] of the way back that it is for.
    pub way_back: String,
}

impl Renewed {
    /// Returns what a backup says; `None` where the salvage of its upgrade counts.
    pub(super) fn of(backup: &Backup) -> Result<Option<Self>, tabular::Error> {
        Self::vouched(backup, &backup.vouched())
    }

    fn vouched(backup: &Backup, vouched: &BTreeMap<String, String>) -> Result<Option<Self>, tabular::Error> {
        let place = backup.folder.join(RENEWED);
        let not_as_written =
            |detail: &str| tabular::Error::NotAsWritten { place: place.clone(), detail: detail.to_string() };
        let bytes = match std::fs::read(&place) {
            Err(error) if error.kind() == ErrorKind::NotFound && !vouched.contains_key(RENEWED) => {
                return Ok(None);
            }
            Err(source) => return Err(tabular::Error::Io { place, doing: "read", source }),
            Ok(bytes) => bytes,
        };
        // A crash between the two writes leaves it without a checksum.
        if vouched.get(RENEWED).is_some_and(|sha256| *sha256 != hash::sha256_hex(&bytes)) {
            return Err(not_as_written(OTHER_BYTES));
        }
        let read: Self =
            serde_json::from_slice(&bytes).map_err(|error| not_as_written(&error.to_string()))?;
        // The name comes from a disk: it must not lead out of the folder.
        match read.folder.starts_with("renewed-") && !read.folder.contains('/') {
            true => Ok(Some(read)),
            false => Err(not_as_written("it names a folder outside that of its backup")),
        }
    }
}

const OTHER_BYTES: &str = "its bytes are not those that were written";

/// Returns the salvage of a backup that counts. Fails where one of its files is missing, or the JSON of one is not as it was
/// written; whether the CSVs are, [`look_through`] tells.
pub(super) fn pieces(backup: &Backup) -> Result<Vec<Piece>, tabular::Error> {
    let vouched = backup.vouched();
    let mut found = Vec::new();
    match Renewed::vouched(backup, &vouched)? {
        None => found.extend(salvage_in(backup, EXPORTS, &vouched, &|_| true)?),
        Some(renewed) => {
            // What the real run lost beyond its rehearsal is missing whatever the way back does.
            let is_later = |file: &str| {
                let path = format!("{EXPORTS}/{file}");
                backup.manifest.artifacts.iter().all(|artifact| artifact.path != path)
            };
            found.extend(salvage_in(backup, EXPORTS, &vouched, &is_later)?);
            found.extend(salvage_in(backup, &renewed.folder, &vouched, &|_| true)?);
        }
    }
    let before = snapshot::read_inventory(backup, "before.json");
    let (sequences, catalog) =
        before.ok().map(|before| (before.fingerprint.sequences, before.catalog)).unzip();
    let (sequences, catalog) = (Arc::new(sequences.unwrap_or_default()), catalog.map(Arc::new));
    let of_backup = |piece| Piece {
        sequences: sequences.clone(),
        catalog: catalog.clone(),
        snapshot: Some(backup.snapshot()),
        ..piece
    };
    Ok(found.into_iter().map(of_backup).collect())
}

/// Reads every file of salvage, and says which one is not as it was written.
pub(super) fn look_through<'p>(
    pieces: impl IntoIterator<Item = &'p Piece>,
    hashed: &mut Hashed,
) -> Result<(), crate::engine::Error> {
    pieces.into_iter().try_for_each(|piece| piece.source.check(hashed))
}

fn salvage_in(
    backup: &Backup,
    folder: &str,
    vouched: &BTreeMap<String, String>,
    counts: &dyn Fn(&str) -> bool,
) -> Result<Vec<Piece>, tabular::Error> {
    let place = backup.folder.join(folder);
    let files = vouched.iter().filter_map(|(path, sha256)| Some((path.split_once('/')?, sha256)));
    for ((_, name), sha256) in files.filter(|((of, name), _)| *of == folder && counts(name)) {
        is_there(&place.join(name), sha256)?;
    }
    Ok(tabular::salvaged(&place, counts)?.into_iter().map(|(_, piece)| piece).collect())
}

/// The JSON vouches for its CSV, which is large and need only be there.
fn is_there(place: &Path, sha256: &str) -> Result<(), tabular::Error> {
    let unreadable = |source| tabular::Error::Io { place: place.to_path_buf(), doing: "read", source };
    if place.extension().is_none_or(|kind| kind != "json") {
        return std::fs::metadata(place).map(drop).map_err(unreadable);
    }
    let (_, found) = hash::file_sha256(place).map_err(unreadable)?;
    match found == *sha256 {
        true => Ok(()),
        false => {
            Err(tabular::Error::NotAsWritten { place: place.to_path_buf(), detail: OTHER_BYTES.to_string() })
        }
    }
}
