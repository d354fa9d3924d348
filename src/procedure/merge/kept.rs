//! Which salvage of a backup counts, and whether it is all there.

use super::once::once;
use crate::base::hash::{self, Hashed};
use crate::catalog::Catalog;
use crate::engine::Piece;
use crate::ledger::SalvageKind;
use crate::procedure::salvage::NOT_TAKEN;
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
    let (renewed, rehearsed) = (Renewed::vouched(backup, &vouched)?, is_rehearsed(backup));
    if let Some(why) = not_taken(backup).filter(|_| rehearsed || renewed.is_none()) {
        return Err(tabular::Error::NotTaken { why });
    }
    // What the real run lost beyond its rehearsal is missing whatever the way back does; where there was none, all that went
    // was kept.
    let is_later = |file: &str| {
        let path = format!("{EXPORTS}/{file}");
        backup.manifest.artifacts.iter().all(|artifact| artifact.path != path)
    };
    match &renewed {
        None => found.extend(salvage_in(backup, EXPORTS, &vouched, &|file| !is_later(file))?),
        Some(renewed) => found.extend(salvage_in(backup, &renewed.folder, &vouched, &|_| true)?),
    }
    if rehearsed || renewed.is_none() {
        found.extend(salvage_in(backup, EXPORTS, &vouched, &is_later)?);
    }
    if found.is_empty() {
        return Ok(found);
    }
    let before = snapshot::read_inventory(backup, "before.json");
    let (fingerprint, catalog) = before.ok().map(|before| (before.fingerprint, before.catalog)).unzip();
    let (fingerprint, catalog) = (Arc::new(fingerprint.unwrap_or_default()), catalog.map(Arc::new));
    let ended = snapshot::read_inventory(backup, "after.json").ok().map(|ended| Arc::new(ended.catalog));
    let rows = found.iter().filter(|piece| piece.salvage.what == SalvageKind::Rows);
    let put_back = Arc::new(rows.cloned().collect::<Vec<_>>());
    let of_backup = |piece: Piece| Piece {
        remade: ended.as_ref().is_some_and(|ended| is_remade(&piece, ended, catalog.as_deref())),
        ended: ended.clone(),
        fingerprint: fingerprint.clone(),
        catalog: catalog.clone(),
        snapshot: Some(backup.snapshot()),
        put_back: put_back.clone(),
        ..piece
    };
    Ok(once(found.into_iter().map(of_backup).collect()))
}

/// Tells whether what an upgrade ended with has not the table of a piece, or not its key as it was, or gave out the numbers of
/// rows that are gone although it had not done so before (`AUTOINCREMENT`).
fn is_remade(piece: &Piece, ended: &Catalog, then: Option<&Catalog>) -> bool {
    let key = |catalog: &Catalog| -> Option<(bool, Vec<Option<String>>)> {
        let table = catalog.tables.get(&piece.salvage.table)?;
        let type_of = |name: &String| {
            table.columns.iter().find(|column| column.name == *name).map(|column| column.type_name.clone())
        };
        Some((table.is_counted(), piece.salvage.key.iter().map(type_of).collect()))
    };
    then.is_some_and(|then| key(ended) != key(then))
}

/// Tells whether an upgrade was rehearsed on its data, so that its salvage is what its way back leaves missing.
pub(super) fn is_rehearsed(backup: &Backup) -> bool {
    matches!(snapshot::read_ledger(backup), Ok(Some(ledger)) if ledger.rows_seen)
}

/// Returns why salvage after the fact failed, where it did.
pub(super) fn not_taken(backup: &Backup) -> Option<String> {
    let text = std::fs::read_to_string(backup.folder.join(NOT_TAKEN)).ok()?;
    Some(text.trim().to_string())
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
