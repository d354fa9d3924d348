//! Salvage as it lies in a backup: which files there are, whole and of this format, and their rows.

use super::csv::{CsvError, Field, Reader};
use super::sidecar::FORMAT;
use super::{Error, Sidecar};
use crate::base::hash::Hashed;
use crate::engine::{self, Inlet, Piece, Scalar, ShapeColumn, Value};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much is read of a file at once.
const BLOCK: usize = 128 << 10;

/// Returns the salvage in a folder, by the names of its files, of those that `counts` tells. Other exports are passed over;
/// nothing when there is no such folder. Only the JSON is read: whether a CSV is as it says, [`Inlet::check`] tells.
pub fn salvaged(folder: &Path, counts: &dyn Fn(&str) -> bool) -> Result<Vec<(Sidecar, Piece)>, Error> {
    let mut found = Vec::new();
    for place in sidecars(folder)? {
        if !place.file_name().and_then(|name| name.to_str()).is_some_and(counts) {
            continue;
        }
        let bytes = std::fs::read(&place).map_err(|source| io_error(&place, "read", source))?;
        let sidecar: Sidecar = serde_json::from_slice(&bytes)
            .map_err(|error| Error::NotAsWritten { place: place.clone(), detail: error.to_string() })?;
        let Some(salvage) = sidecar.salvage.clone() else { continue };
        let not_as_written = |detail: String| Error::NotAsWritten { place: place.clone(), detail };
        if sidecar.format > FORMAT {
            return Err(not_as_written(format!("its format {} is newer than {FORMAT}", sidecar.format)));
        }
        if Path::new(&sidecar.file).components().count() != 1 || sidecar.file.starts_with('.') {
            return Err(not_as_written("it names a file outside its folder".to_string()));
        }
        let columns = sidecar.columns.iter();
        let columns = columns
            .map(|column| ShapeColumn { name: column.name.clone(), type_name: column.type_name.clone() });
        let source = Arc::new(CsvGz {
            place: folder.join(&sidecar.file),
            width: sidecar.columns.len(),
            written: Some((sidecar.size, sidecar.sha256.clone())),
        });
        let piece = Piece::new(salvage, columns.collect(), sidecar.rows, source);
        let names = piece.matched_by().iter().chain(&piece.salvage.columns);
        if let Some(name) = names.into_iter().find(|name| piece.place_of(name).is_none()) {
            return Err(not_as_written(format!("its CSV has no column {name}")));
        }
        found.push((sidecar, piece));
    }
    Ok(found)
}

/// Hands out the rows of one exported file, which has this many columns; nothing is checked beforehand.
pub fn csv_gz(place: &Path, width: usize) -> Arc<dyn Inlet> {
    Arc::new(CsvGz { place: place.to_path_buf(), width, written: None })
}

fn sidecars(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| io_error(folder, "listed", source))?,
    };
    let mut places = Vec::new();
    for entry in entries {
        let place = entry.map_err(|source| io_error(folder, "listed", source))?.path();
        if place.extension().is_some_and(|extension| extension == "json") {
            places.push(place);
        }
    }
    places.sort();
    Ok(places)
}

/// One file.
struct CsvGz {
    place: PathBuf,
    width: usize,
    /// Its size and its SHA-256, where somebody wrote them down.
    written: Option<(u64, String)>,
}

impl CsvGz {
    fn unreadable(&self, source: std::io::Error) -> engine::Error {
        engine::Error::Io { place: self.place.clone(), doing: "read", source }
    }

    fn malformed(&self, detail: impl ToString) -> engine::Error {
        let place = self.place.display();
        engine::Error::Driver { doing: format!("reading {place}"), detail: detail.to_string() }
    }
}

impl Inlet for CsvGz {
    fn check(&self, hashed: &mut Hashed) -> Result<(), engine::Error> {
        let found = hashed.file_sha256(&self.place).map_err(|source| self.unreadable(source))?;
        match self.written.as_ref().is_none_or(|written| *written == found) {
            true => Ok(()),
            false => Err(self.malformed("its bytes are not those that were written")),
        }
    }

    fn open(&self) -> Result<Box<dyn Read + Send>, engine::Error> {
        let file = File::open(&self.place).map_err(|source| self.unreadable(source))?;
        Ok(Box::new(MultiGzDecoder::new(BufReader::with_capacity(BLOCK, file))))
    }

    fn each(
        &self,
        take: &mut dyn FnMut(&[Value<'_>]) -> Result<(), engine::Error>,
    ) -> Result<(), engine::Error> {
        let mut reader = Reader::new(BufReader::with_capacity(BLOCK, self.open()?));
        let mut header = true;
        loop {
            let record = reader.record().map_err(|error| match error {
                CsvError::Io(source) => self.unreadable(source),
                malformed => self.malformed(malformed),
            })?;
            let Some(record) = record else { return Ok(()) };
            if std::mem::take(&mut header) {
                continue;
            }
            if record.len() != self.width {
                return Err(self.malformed(format!("a row of {} fields, not {}", record.len(), self.width)));
            }
            let cells: Option<Vec<Scalar>> = record.into_iter().map(Field::into_scalar).collect();
            let cells = cells.ok_or_else(|| self.malformed("a field that no SQLite database has written"))?;
            let values: Vec<Value<'_>> = cells.iter().map(Scalar::as_value).collect();
            take(&values)?;
        }
    }

    fn value(&self, text: &str, quoted: bool) -> Option<Scalar> {
        Field { bytes: text.as_bytes().to_vec(), quoted }.into_scalar()
    }
}

fn io_error(place: &Path, doing: &'static str, source: std::io::Error) -> Error {
    Error::Io { place: place.to_path_buf(), doing, source }
}
