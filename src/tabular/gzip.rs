//! One gzip file, compressed by whoever has a part of it ready.
//!
//! Each block becomes a gzip member of its own; members behind each other are one file to `gunzip`
//! (<https://www.rfc-editor.org/rfc/rfc1952>, 2.2). Members are compressed by the threads that bring them and written
//! in the order of their parts. What may wait for its turn is bounded, so memory does not grow with the file; the
//! part whose turn it is never waits, so there is always one that goes on.

use super::csv::{push_header, push_value};
use crate::base::{fs, hash};
use crate::engine::{BLOCK, Error, MOST_WORKERS, Part, RowSink, Shape, Value};
use libdeflater::{CompressionLvl, Compressor};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// libdeflate's levels, in turns from member to member (<https://github.com/ebiggers/libdeflate>, 0 to 12). The second one is
/// twice as fast as the first one and its members are a twentieth larger; there is no level between them, and half of
/// each is what is wanted: in a sixth of the time of a pipe into `gzip -6`, files a few percent larger.
const LEVELS: [i32; 2] = [2, 1];
/// How much goes into one member at most. A value can be a gigabyte, and it must not be held a second time.
const MEMBER: usize = BLOCK + BLOCK / 4;
/// How many finished parts may wait for the ones before them.
const MOST_WAITING: usize = 2 * MOST_WORKERS;
/// How much compressed data an unfinished part holds before it waits for its turn.
const MOST_HELD: usize = BLOCK;

/// A gzip file that is being written.
#[derive(Clone)]
pub(super) struct GzipFile {
    shared: Arc<Shared>,
}

struct Shared {
    place: PathBuf,
    state: Mutex<State>,
    moved: Condvar,
}

struct State {
    file: File,
    hasher: Sha256,
    size: u64,
    /// The number of the part that may write.
    turn: u64,
    waiting: BTreeMap<u64, Vec<u8>>,
    /// Whether a part was lost, so that the ones behind it wait in vain.
    broken: bool,
}

/// A file that is whole and on disk.
pub(super) struct Sealed {
    pub size: u64,
    pub sha256: String,
}

impl GzipFile {
    /// Begins the file with its header line; `place` is its name for messages.
    pub(super) fn begin(file: File, place: &Path, shape: &Shape) -> Result<Self, Error> {
        let mut header = Vec::new();
        push_header(&mut header, shape.columns.iter().map(|column| column.name.as_str()));
        let state =
            State { file, hasher: Sha256::new(), size: 0, turn: 0, waiting: BTreeMap::new(), broken: false };
        let shared = Shared { place: place.to_path_buf(), state: Mutex::new(state), moved: Condvar::new() };
        let mut packed = Vec::new();
        Packer::default().pack(&header, &mut packed).map_err(|source| shared.failed(source))?;
        shared.write(&mut shared.lock(), &packed)?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Makes the file durable; fails if parts are missing.
    pub(super) fn seal(&self) -> Result<Sealed, Error> {
        let state = self.shared.lock();
        if state.broken || !state.waiting.is_empty() {
            return Err(Error::Interrupted);
        }
        state.file.sync_all().map_err(|source| self.shared.failed(source))?;
        Ok(Sealed { size: state.size, sha256: hash::hex(&state.hasher.clone().finalize()) })
    }
}

impl RowSink for GzipFile {
    fn part(&self, number: u64) -> Box<dyn Part> {
        Box::new(Member {
            shared: self.shared.clone(),
            number,
            // Whether a part is one member or several, neighbours differ.
            packer: Packer { turn: usize::try_from(number % 2).unwrap_or_default(), ..Packer::default() },
            raw: Vec::with_capacity(MEMBER),
            packed: Vec::new(),
            row_begun: false,
            finished: false,
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, state: &mut State, bytes: &[u8]) -> Result<(), Error> {
        state.file.write_all(bytes).map_err(|source| self.failed(source))?;
        state.hasher.update(bytes);
        state.size += bytes.len() as u64;
        Ok(())
    }

    /// Returns with the lock when it is this part's turn, or `until` says that it need not be.
    fn wait<'s>(
        &self,
        mut state: MutexGuard<'s, State>,
        number: u64,
        until: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'s, State>, Error> {
        while !state.broken && state.turn != number && !until(&state) {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.broken { Err(Error::Interrupted) } else { Ok(state) }
    }

    fn failed(&self, source: io::Error) -> Error {
        let place = self.place.clone();
        match source.kind() {
            ErrorKind::StorageFull => {
                let free = fs::free_space(&place).unwrap_or_default();
                Error::NoSpace { what: "the export".to_string(), place, needed: BLOCK as u64, free }
            }
            _ => Error::Io { place, doing: "written", source },
        }
    }
}

/// One part: what is not yet compressed, and what is not yet written.
struct Member {
    shared: Arc<Shared>,
    number: u64,
    packer: Packer,
    raw: Vec<u8>,
    packed: Vec<u8>,
    row_begun: bool,
    finished: bool,
}

impl Member {
    fn pack(&mut self) -> Result<(), Error> {
        if !self.raw.is_empty() {
            let packed = self.packer.pack(&self.raw, &mut self.packed);
            packed.map_err(|source| self.shared.failed(source))?;
            self.raw.clear();
        }
        Ok(())
    }
}

impl Part for Member {
    fn value(&mut self, value: Value<'_>) {
        if self.row_begun {
            self.raw.push(b',');
        }
        self.row_begun = true;
        push_value(&mut self.raw, value);
    }

    fn end_row(&mut self) {
        self.raw.push(b'\n');
        self.row_begun = false;
    }

    fn csv(&mut self, rows: &[u8]) {
        self.raw.extend_from_slice(rows);
    }

    fn waiting(&self) -> usize {
        self.raw.len()
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.pack()?;
        let state = self.shared.lock();
        if state.turn != self.number && self.packed.len() < MOST_HELD {
            return Ok(());
        }
        let mut state = self.shared.wait(state, self.number, |_| false)?;
        self.shared.write(&mut state, &self.packed)?;
        self.packed.clear();
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        self.pack()?;
        let packed = std::mem::take(&mut self.packed);
        let shared = self.shared.clone();
        let has_room = |state: &State| state.waiting.len() < MOST_WAITING;
        let mut state = shared.wait(shared.lock(), self.number, has_room)?;
        state.waiting.insert(self.number, packed);
        loop {
            let turn = state.turn;
            let Some(packed) = state.waiting.remove(&turn) else { break };
            if let Err(error) = shared.write(&mut state, &packed) {
                state.broken = true;
                shared.moved.notify_all();
                return Err(error);
            }
            state.turn += 1;
        }
        self.finished = true;
        drop(state);
        shared.moved.notify_all();
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if !self.finished {
            // Those behind it must not wait for ever.
            self.shared.lock().broken = true;
            self.shared.moved.notify_all();
        }
    }
}

/// Makes gzip members.
#[derive(Default)]
struct Packer {
    /// One for each of [`LEVELS`], made when it is first needed.
    compressors: [Option<Compressor>; LEVELS.len()],
    turn: usize,
}

impl Packer {
    /// Appends gzip members to `out`.
    fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        for piece in raw.chunks(MEMBER) {
            let level = || Compressor::new(CompressionLvl::new(LEVELS[self.turn]).unwrap_or_default());
            let compressor = self.compressors[self.turn].get_or_insert_with(level);
            self.turn = (self.turn + 1) % LEVELS.len();
            let start = out.len();
            out.resize(start + compressor.gzip_compress_bound(piece.len()), 0);
            let size = compressor.gzip_compress(piece, &mut out[start..]).map_err(io::Error::other)?;
            out.truncate(start + size);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ShapeColumn;
    use flate2::read::MultiGzDecoder;
    use std::io::Read;

    fn file() -> (tempfile::NamedTempFile, GzipFile) {
        let place = tempfile::NamedTempFile::new().expect("a file");
        let columns = vec![ShapeColumn { name: "n".to_string(), type_name: String::new() }];
        let shape =
            Shape { table: None, columns, key: Vec::new(), left_out: Vec::new(), encoding: String::new() };
        let file = place.reopen().expect("the file");
        let gzip = GzipFile::begin(file, place.path(), &shape).expect("a header");
        (place, gzip)
    }

    fn content(path: &Path) -> String {
        let mut text = String::new();
        MultiGzDecoder::new(File::open(path).expect("the file")).read_to_string(&mut text).expect("gzip");
        text
    }

    #[test]
    fn parts_that_end_in_any_order_are_written_in_the_order_of_their_numbers() {
        let (place, gzip) = file();
        let next = std::sync::atomic::AtomicU64::new(0);
        // More workers than may wait, and parts of very different length.
        std::thread::scope(|scope| {
            for _ in 0..24 {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if number >= 400 {
                            return;
                        }
                        let mut part = gzip.part(number);
                        for index in 0..(400 - number) {
                            part.value(Value::Integer(i64::try_from(number * 1000 + index).expect("small")));
                            part.end_row();
                            if index % 100 == 0 {
                                part.flush().expect("written");
                            }
                        }
                        part.finish().expect("written");
                    }
                });
            }
        });
        let sealed = gzip.seal().expect("whole");
        assert_eq!(hash::file_sha256(place.path()).expect("read"), (sealed.size, sealed.sha256));
        let mut expected = String::from("n\n");
        for number in 0..400 {
            (0..400 - number).for_each(|index| expected.push_str(&format!("{}\n", number * 1000 + index)));
        }
        assert_eq!(content(place.path()), expected);
    }

    #[test]
    fn a_part_that_is_dropped_breaks_the_file_and_holds_up_nobody() {
        let (_place, gzip) = file();
        let first = gzip.part(0);
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..40)
                .map(|number| {
                    scope.spawn({
                        let part = gzip.part(number);
                        move || part.finish()
                    })
                })
                .collect();
            drop(first);
            for other in others {
                // Either it was put behind the first before that was dropped, or it hears of it.
                drop(other.join().expect("it ends"));
            }
        });
        assert!(gzip.seal().is_err());
    }
}
