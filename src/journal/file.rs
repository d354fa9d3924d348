//! Journals as files of JSON lines, each line synced before the call returns.

use super::{Entry, JournalDamage, Line, Operation, OperationState};
use crate::base::{Clock, checkpoint, fs, ids};
use crate::catalog::{DatabaseId, EngineKind};
use crate::report::{Aftermath, HalfWay, Kind};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// All journals of one backup folder.
#[derive(Clone)]
pub struct Journal {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    #[cfg(test)]
    disk: Disk,
}

/// Hears every entry before it is written, and tells whether the disk takes it: no test can fill a real one in time.
#[cfg(test)]
pub(crate) type Disk = Arc<dyn Fn(&Entry) -> bool + Send + Sync>;

/// Why a journal could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal {} could not be {doing}: {source}", place.display())]
    Io { place: PathBuf, doing: &'static str, source: io::Error },
    /// `operation` is known where the journal still says that it is of this database.
    #[error(
        "line {line} of the journal {} cannot be read ({detail}), and whether its operation ended is not known",
        place.display()
    )]
    Damaged { place: PathBuf, line: usize, detail: String, operation: Option<String> },
    #[error("operation {operation} on this database did not finish")]
    Unfinished {
        operation: String,
        /// Whether a step that writes to the database had begun.
        may_have_changed: bool,
    },
    #[error("there is no operation {asked}")]
    NoSuchOperation { asked: String },
}

impl Journal {
    /// Returns the journals below a backup folder. Creates nothing: reading commands must not leave traces.
    pub fn open(backups: &Path, clock: Arc<dyn Clock>) -> Self {
        let folder = backups.join(".operations");
        Self {
            folder,
            clock,
            #[cfg(test)]
            disk: Arc::new(|_| true),
        }
    }

    /// Returns the same journals on another disk.
    #[cfg(test)]
    pub(crate) fn on_disk(self, disk: Disk) -> Self {
        Self { disk, ..self }
    }

    /// Returns a name for a new operation that sorts behind every other: two operations of the same second, or a clock
    /// that went back, must not make `latest` mean an older one.
    pub fn new_id(&self, kind: Kind) -> String {
        let stamps = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let newest = stamps.filter_map(|entry| ids::time_of(&entry.file_name().to_string_lossy())).max();
        let now = self.clock.now();
        let time = match newest {
            Some(newest) if newest >= now => newest + chrono::TimeDelta::seconds(1),
            _ => now,
        };
        ids::operation_id(time, kind.word())
    }

    /// Begins an operation: its first line is on disk when this returns.
    pub fn begin(&self, operation: &str, begun: Entry) -> Result<Operation, JournalError> {
        let place = self.place(operation);
        let doing = |doing: &'static str| {
            let place = place.clone();
            move |source| JournalError::Io { place, doing, source }
        };
        let is_first = !self.folder.exists();
        fs::create_private_dir(&self.folder).map_err(doing("created"))?;
        let file = fs::create_private_file(&place).map_err(doing("created"))?;
        let mut writer = self.writer(file, &place, 0);
        writer.append(begun)?;
        // The name must survive a power cut as well as the line, and so must the names of the folders above it.
        let above = if is_first { 3 } else { 1 };
        for name in place.ancestors().take(above) {
            fs::sync_dir(&fs::parent(name)).map_err(doing("synced"))?;
        }
        Ok(Operation::new(operation.to_string(), writer))
    }

    /// Goes on with the journal of an operation that was interrupted.
    pub fn resume(&self, operation: &str) -> Result<Operation, JournalError> {
        let place = self.place(operation);
        let failed = |source| JournalError::Io { place: place.clone(), doing: "opened", source };
        if !place.exists() {
            return Err(JournalError::NoSuchOperation { asked: operation.to_string() });
        }
        let whole = whole_lines(&std::fs::read(&place).map_err(failed)?).len() as u64;
        let file = fs::append_private(&place).map_err(failed)?;
        // What follows the last whole line was cut off by the crash: it goes before the next line comes.
        let writer = Writer { torn: true, ..self.writer(file, &place, whole) };
        Ok(Operation::new(operation.to_string(), writer))
    }

    /// Returns every operation, oldest first, as far as its lines can be read.
    pub fn operations(&self) -> Result<Vec<OperationState>, JournalError> {
        Ok(self.look()?.0)
    }

    /// Returns the journals of which not even the first line can be read: nobody knows whose they are.
    pub fn unreadable(&self) -> Result<Vec<Unreadable>, JournalError> {
        Ok(self.look()?.1)
    }

    /// Reads each journal by itself: one that is damaged says nothing about the others.
    fn look(&self) -> Result<(Vec<OperationState>, Vec<Unreadable>), JournalError> {
        let (mut states, mut unreadable) = (Vec::new(), Vec::new());
        for place in self.places()? {
            let lines = read(&place).unwrap_or_else(|error| Lines {
                damage: Some(JournalDamage { line: 1, detail: error.to_string() }),
                ..Lines::default()
            });
            match OperationState::fold(&lines.whole) {
                Some(state) => states.push(OperationState { damage: lines.damage, ..state }),
                None => unreadable.extend(lines.damage.map(|damage| Unreadable {
                    ended: lines.whole.iter().any(|line| matches!(line.entry, Entry::Ended { .. })),
                    place,
                    damage,
                })),
            }
        }
        Ok((states, unreadable))
    }

    fn places(&self) -> Result<Vec<PathBuf>, JournalError> {
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
        Ok(places)
    }

    /// Returns the operation of this database that did not come to its end, if there is one. Fails where a damaged journal
    /// leaves open whether there is: a missing line may be the one that says that writing had begun.
    pub fn unfinished(&self, database: &DatabaseId) -> Result<Option<OperationState>, JournalError> {
        let found = self.unfinished_damaged_too(database)?;
        if let Some(OperationState { operation, damage: Some(damage), .. }) = &found {
            return Err(self.damaged(self.place(operation), damage, Some(operation.clone())));
        }
        if found.is_none()
            && let Some(unknown) = self.unreadable()?.into_iter().find(|unknown| !unknown.ended)
        {
            return Err(self.damaged(unknown.place, &unknown.damage, None));
        }
        Ok(found)
    }

    /// The same for a person who ends an operation by their word: its journal need not be whole for that.
    pub fn unfinished_damaged_too(
        &self,
        database: &DatabaseId,
    ) -> Result<Option<OperationState>, JournalError> {
        let mut all = self.operations()?;
        all.retain(|state| state.is_unfinished() && concerns(state, database));
        Ok(all.into_iter().next())
    }

    fn damaged(&self, place: PathBuf, damage: &JournalDamage, operation: Option<String>) -> JournalError {
        JournalError::Damaged { place, line: damage.line, detail: damage.detail.clone(), operation }
    }

    /// Returns the operations of other databases that did not come to their end, oldest first.
    pub fn unfinished_elsewhere(&self, database: &DatabaseId) -> Result<Vec<OperationState>, JournalError> {
        let mut all = self.operations()?;
        all.retain(|state| state.is_unfinished() && !concerns(state, database));
        Ok(all)
    }

    /// Fails when an operation of this database did not come to its end.
    pub fn refuse_unfinished(&self, database: &DatabaseId) -> Result<(), JournalError> {
        match self.unfinished(database)? {
            Some(state) => Err(JournalError::Unfinished {
                may_have_changed: state.may_have_changed(),
                operation: state.operation,
            }),
            None => Ok(()),
        }
    }

    /// Returns the revision of this database that an operation left in the middle and no later one has ended. Of several
    /// attempts it is the first: what its backup holds is the state before all of them.
    pub fn left_half_way(&self, database: &DatabaseId) -> Result<Option<HalfWay>, JournalError> {
        let own = self.operations()?.into_iter().filter(|state| concerns(state, database));
        Ok(own.fold(None, |left, state| match left {
            Some(_) if state.settles() => None,
            Some(left) => Some(left),
            None => state.half_way(),
        }))
    }

    /// Returns the last operation of this database that did not leave it as it was, as far as that is known.
    pub fn last_change(&self, database: &DatabaseId) -> Result<Option<OperationState>, JournalError> {
        let mut own = self.operations()?.into_iter().filter(|state| concerns(state, database));
        Ok(own.rfind(|state| state.ended != Some(Aftermath::Unchanged)))
    }

    /// Returns the state of one operation; none where its journal is not there or cannot be read.
    pub fn state(&self, operation: &str) -> Option<OperationState> {
        state_in(&self.place(operation))
    }

    /// Returns the journal of an operation as it is on disk, for the copy in its backup.
    pub fn bytes(&self, operation: &str) -> Result<Vec<u8>, JournalError> {
        let place = self.place(operation);
        std::fs::read(&place).map_err(|source| JournalError::Io { place, doing: "read", source })
    }

    fn place(&self, operation: &str) -> PathBuf {
        self.folder.join(format!("{operation}.jsonl"))
    }

    fn writer(&self, file: File, place: &Path, whole: u64) -> Writer {
        Writer {
            file,
            place: place.to_path_buf(),
            clock: self.clock.clone(),
            whole,
            torn: false,
            #[cfg(test)]
            disk: self.disk.clone(),
        }
    }
}

/// Tells whether an operation is of this database, also where that is a SQLite file whose folder was moved or renamed since:
/// it has the same name, and nothing lies where it was. Taking another one for it makes a command refuse that need not.
fn concerns(state: &OperationState, database: &DatabaseId) -> bool {
    let then = &state.database;
    // A restore into a new file may have died before the file was there; it saves no present state.
    let was_there = state.kind != Kind::Restore || state.backup.is_some();
    then.is_same(database) || (was_there && then.name == database.name && may_have_moved(then, database))
}

/// Tells whether a SQLite file may be the one that was at another place then: nothing lies there any more, so it is no copy.
pub fn may_have_moved(then: &DatabaseId, now: &DatabaseId) -> bool {
    let is_sqlite = [then, now].iter().all(|id| id.engine == EngineKind::Sqlite);
    is_sqlite && then.place != now.place && !Path::new(&then.place).exists()
}

/// Appends lines to one journal.
pub struct Writer {
    file: File,
    place: PathBuf,
    clock: Arc<dyn Clock>,
    /// The length of all whole lines in bytes.
    whole: u64,
    /// Whether something may follow them that is not a whole line.
    torn: bool,
    #[cfg(test)]
    disk: Disk,
}

impl Writer {
    /// Writes one line and syncs it; both sides of the write are crash checkpoints.
    pub fn append(&mut self, entry: Entry) -> Result<(), JournalError> {
        let name = serde_json::to_string(&entry).unwrap_or_default();
        checkpoint::reached(&format!("before {name}"));
        let line = Line { at: self.clock.now(), entry };
        self.append_line(&line).map_err(|source| JournalError::Io {
            place: self.place.clone(),
            doing: "written",
            source,
        })?;
        checkpoint::reached(&format!("after {name}"));
        Ok(())
    }

    fn append_line(&mut self, line: &Line) -> io::Result<()> {
        #[cfg(test)]
        if !(self.disk)(&line.entry) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        if self.torn {
            // A full disk can leave half a line; a line written after it would make both unreadable.
            self.file.set_len(self.whole)?;
        }
        self.torn = true;
        self.file.seek(SeekFrom::Start(self.whole))?;
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()?;
        self.whole += text.len() as u64;
        self.torn = false;
        Ok(())
    }
}

/// Returns the state that a journal's file tells of, also of the copy in a backup; none where it cannot be read whole.
pub fn state_in(place: &Path) -> Option<OperationState> {
    let lines = read(place).ok().filter(|lines| lines.damage.is_none())?;
    OperationState::fold(&lines.whole)
}

/// A journal of which not even the first line can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    pub place: PathBuf,
    pub damage: JournalDamage,
    /// Whether a line of it says that the operation ended.
    pub ended: bool,
}

/// The lines of one journal that can be read, and the first that cannot.
#[derive(Default)]
struct Lines {
    whole: Vec<Line>,
    damage: Option<JournalDamage>,
}

/// Reads the lines of a journal. A last line without its end was cut off by a crash while it was being written: the
/// step it announces never began, so it does not count.
fn read(place: &Path) -> Result<Lines, JournalError> {
    let bytes = std::fs::read(place).map_err(|source| JournalError::Io {
        place: place.to_path_buf(),
        doing: "read",
        source,
    })?;
    let mut lines = Lines::default();
    for (index, line) in whole_lines(&bytes).split_inclusive(|byte| *byte == b'\n').enumerate() {
        match serde_json::from_slice(line) {
            Ok(line) => lines.whole.push(line),
            Err(error) => {
                let damage = JournalDamage { line: index + 1, detail: error.to_string() };
                lines.damage.get_or_insert(damage);
            }
        }
    }
    Ok(lines)
}

/// Returns the bytes up to the end of the last whole line. What a crash leaves after it need not even be text.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests;
