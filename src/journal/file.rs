//! Journals as files of JSON lines, each line synced before the call returns.

use super::{Entry, Line, Operation, OperationState};
use crate::base::{Clock, checkpoint, fs};
use crate::catalog::DatabaseId;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// All journals of one backup folder.
#[derive(Clone)]
pub struct Journal {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
}

/// Why a journal could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal {} could not be {doing}", place.display())]
    Io { place: PathBuf, doing: &'static str, source: io::Error },
    #[error("line {line} of the journal {} cannot be read: {detail}", place.display())]
    Damaged { place: PathBuf, line: usize, detail: String },
    #[error("operation {operation} on this database did not finish")]
    Unfinished { operation: String },
    #[error("there is no operation {asked}")]
    NoSuchOperation { asked: String },
}

impl Journal {
    /// Returns the journals below a backup folder. Creates nothing: reading commands must not leave traces.
    pub fn open(backups: &Path, clock: Arc<dyn Clock>) -> Self {
        Self { folder: backups.join(".operations"), clock }
    }

    /// Begins an operation: its first line is on disk when this returns.
    pub fn begin(&self, operation: &str, begun: Entry) -> Result<Operation, JournalError> {
        let place = self.place(operation);
        let doing = |doing: &'static str| {
            let place = place.clone();
            move |source| JournalError::Io { place, doing, source }
        };
        fs::create_private_dir(&self.folder).map_err(doing("created"))?;
        let file = fs::create_private_file(&place).map_err(doing("created"))?;
        let mut writer = Writer { file, place: place.clone(), clock: self.clock.clone() };
        writer.append(begun)?;
        // The name must survive a power cut as well as the line.
        fs::sync_dir(&self.folder).map_err(doing("synced"))?;
        Ok(Operation::new(operation.to_string(), writer))
    }

    /// Goes on with the journal of an operation that was interrupted.
    pub fn resume(&self, operation: &str) -> Result<Operation, JournalError> {
        let place = self.place(operation);
        let failed = |source| JournalError::Io { place: place.clone(), doing: "opened", source };
        if !place.exists() {
            return Err(JournalError::NoSuchOperation { asked: operation.to_string() });
        }
        mend_last_line(&place).map_err(failed)?;
        let file = fs::append_private(&place).map_err(failed)?;
        let writer = Writer { file, place: place.clone(), clock: self.clock.clone() };
        Ok(Operation::new(operation.to_string(), writer))
    }

    /// Returns every operation, oldest first.
    pub fn operations(&self) -> Result<Vec<OperationState>, JournalError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                return Err(JournalError::Io { place: self.folder.clone(), doing: "listed", source });
            }
        };
        let mut places: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
            .collect();
        places.sort();
        let states = places.iter().map(|place| Ok(OperationState::fold(&read(place)?)));
        Ok(states.collect::<Result<Vec<_>, JournalError>>()?.into_iter().flatten().collect())
    }

    /// Returns the operation of this database that did not come to its end, if there is one.
    pub fn unfinished(&self, database: &DatabaseId) -> Result<Option<OperationState>, JournalError> {
        let mut all = self.operations()?;
        all.retain(|state| state.is_unfinished() && state.database.is_same(database));
        Ok(all.into_iter().next())
    }

    /// Fails when an operation of this database did not come to its end.
    pub fn refuse_unfinished(&self, database: &DatabaseId) -> Result<(), JournalError> {
        match self.unfinished(database)? {
            Some(state) => Err(JournalError::Unfinished { operation: state.operation }),
            None => Ok(()),
        }
    }

    /// Returns the journal of an operation as it is on disk, for the copy in its backup.
    pub fn bytes(&self, operation: &str) -> Result<Vec<u8>, JournalError> {
        let place = self.place(operation);
        std::fs::read(&place).map_err(|source| JournalError::Io { place, doing: "read", source })
    }

    fn place(&self, operation: &str) -> PathBuf {
        self.folder.join(format!("{operation}.jsonl"))
    }
}

/// Appends lines to one journal.
pub struct Writer {
    file: File,
    place: PathBuf,
    clock: Arc<dyn Clock>,
}

impl Writer {
    /// Writes one line and syncs it; both sides of the write are crash checkpoints.
    pub fn append(&mut self, entry: Entry) -> Result<(), JournalError> {
        let name = serde_json::to_string(&entry).unwrap_or_default();
        checkpoint::reached(&format!("before {name}"));
        let line = Line { at: self.clock.now(), entry };
        let failed =
            |source: io::Error| JournalError::Io { place: self.place.clone(), doing: "written", source };
        let mut text = serde_json::to_string(&line).map_err(|error| failed(error.into()))?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(failed)?;
        self.file.sync_data().map_err(failed)?;
        checkpoint::reached(&format!("after {name}"));
        Ok(())
    }
}

/// Reads the lines of a journal. A last line without its end was cut off by a crash while it was being written: the
/// step it announces never began, so it does not count.
fn read(place: &Path) -> Result<Vec<Line>, JournalError> {
    let text = std::fs::read_to_string(place).map_err(|source| JournalError::Io {
        place: place.to_path_buf(),
        doing: "read",
        source,
    })?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| JournalError::Damaged {
                place: place.to_path_buf(),
                line: index + 1,
                detail: error.to_string(),
            })
        })
        .collect()
}

/// Cuts off a last line that a crash left half written, so that the next line starts on its own.
fn mend_last_line(place: &Path) -> io::Result<()> {
    let bytes = std::fs::read(place)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if whole < bytes.len() {
        let file = File::options().write(true).open(place)?;
        file.set_len(whole as u64)?;
        file.sync_all()?;
    }
    Ok(())
}
