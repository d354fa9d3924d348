//! The write-ahead log, as far as a copy of the database needs it: which frames belong to what a read transaction sees.
//!
//! A database in WAL mode is its file with the newest frame of each page laid over it, up to the last frame that was
//! committed when the transaction began (<https://www.sqlite.org/fileformat2.html>, section 4). While a read transaction is
//! open, nobody moves a later frame into the file, and nobody begins the WAL anew unless everything that the transaction sees
//! is in the file already (<https://www.sqlite.org/walformat.html>, section 2.3); [`Overlay::held`] notices that.

use super::raw::OpenFile;
use super::session::Session;
use crate::engine::Error;
use std::collections::HashMap;
use std::sync::Arc;

/// The header of the index: two copies of 48 bytes, of which a writer changes one after the other.
const COPY: usize = 48;
const SALT: std::ops::Range<usize> = 32..40;
const VERSION: u32 = 3_007_000;
const WAL_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;
/// So many frames are kept in mind, in a few dozen mebibytes; a WAL that is longer is left to SQLite.
const MOST_FRAMES: u32 = 1 << 20;

/// The state of the WAL at one instant: equal states are the same instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WalState([u8; COPY]);

impl WalState {
    /// Reads the state; `None` when there is none to be read or a writer is just changing it. The database must be in WAL
    /// mode and have been read from: SQLite would create an index for any other.
    pub(super) fn read(session: &Session) -> Option<Self> {
        let both: [u8; 2 * COPY] = session.file().ok()?.wal_index()?;
        let (one, other) = both.split_at(COPY);
        let state = Self(one.try_into().ok()?);
        (one == other && state.word(0) == VERSION && one[12] == 1).then_some(state)
    }

    /// The number of the last frame that is committed.
    fn last_frame(&self) -> u32 {
        self.word(16)
    }

    /// What tells this WAL from one that began later in the same file, as each frame carries it.
    fn salt(&self) -> &[u8] {
        &self.0[SALT]
    }

    /// The index is in the byte order of the machine.
    fn word(&self, at: usize) -> u32 {
        self.0[at..at + 4].try_into().map_or(0, u32::from_ne_bytes)
    }
}

/// The newest frame of each page that is in the WAL at one instant.
#[derive(Clone)]
pub(super) struct Frames {
    state: WalState,
    page_size: u64,
    pages: u64,
    by_page: Arc<HashMap<u32, u32>>,
}

impl Frames {
    /// Finds the frames that `session` sees, whose read transaction began at `state`. `None` when something is out of the
    /// ordinary, and SQLite itself had better read the pages.
    pub(super) fn find(session: &Session, state: WalState) -> Result<Option<Self>, Error> {
        let failed = |error| session.failed("reading the WAL", error);
        let number = |sql: &str| session.one::<i64>("reading the WAL", sql).map(i64::unsigned_abs);
        let (page_size, pages) = (number("PRAGMA page_size")?, number("PRAGMA page_count")?);
        if state.last_frame() > MOST_FRAMES {
            return Ok(None);
        }
        let wal = OpenFile::wal_of(session).map_err(failed)?;
        let mut by_page = HashMap::new();
        let mut header = [0; FRAME_HEADER as usize];
        for frame in 1..=state.last_frame() {
            let whole = wal.read(&mut header, offset(frame, page_size)).map_err(failed)?;
            if !whole || header[8..16] != *state.salt() {
                return Ok(None);
            }
            by_page.insert(u32::from_be_bytes([header[0], header[1], header[2], header[3]]), frame);
        }
        let frames = Self { state, page_size, pages, by_page: Arc::new(by_page) };
        // A page behind the end of the file has to be in the WAL.
        let in_file = session.file()?.size().map_err(failed)? / page_size;
        let all_there = (in_file + 1..=pages).all(|page| frames.frame(page).is_some());
        Ok(all_there.then_some(frames))
    }

    fn frame(&self, page: u64) -> Option<u32> {
        self.by_page.get(&u32::try_from(page).ok()?).copied()
    }
}

fn offset(frame: u32, page_size: u64) -> u64 {
    WAL_HEADER + u64::from(frame - 1) * (FRAME_HEADER + page_size)
}

/// The pages of a database as a read transaction sees them.
pub(super) struct Overlay<'s> {
    session: &'s Session,
    main: OpenFile<'s>,
    wal: OpenFile<'s>,
    frames: Frames,
}

impl<'s> Overlay<'s> {
    /// Lays the frames over the file of a session that sees the same instant as the one that they were found with.
    pub(super) fn of(session: &'s Session, frames: Frames) -> Result<Self, Error> {
        let wal = OpenFile::wal_of(session).map_err(|error| session.failed("reading the WAL", error))?;
        Ok(Self { session, main: session.file()?, wal, frames })
    }

    /// The size of the database in bytes.
    pub(super) fn size(&self) -> u64 {
        self.frames.page_size * self.frames.pages
    }

    /// Reads whole pages from `offset` on; the first one says that there is no WAL any more. Behind the end are zeros.
    pub(super) fn read(&self, block: &mut [u8], offset: u64) -> rusqlite::Result<()> {
        self.main.read(block, offset)?;
        let page_size = self.frames.page_size;
        let size = usize::try_from(page_size).unwrap_or(block.len());
        for (index, bytes) in block.chunks_mut(size).enumerate() {
            let page = offset / page_size + index as u64 + 1;
            if page > self.frames.pages {
                // The file may be longer than the database, as long as nobody made a checkpoint.
                bytes.fill(0);
            } else if let Some(frame) = self.frames.frame(page) {
                self.wal.read(bytes, self::offset(frame, page_size) + FRAME_HEADER)?;
            }
            if page == 1 && bytes.len() > 20 {
                // Read and write version: rollback journal. A copy is one file.
                bytes[18..20].fill(1);
            }
        }
        Ok(())
    }

    /// Tells whether all frames were left alone until now. If not, the WAL was begun anew, which happens only when all of
    /// them are in the file: the pages without the frames are then the right ones. The new salt is in the index before the
    /// first frame is overwritten; a commit that is under way changes other parts of the header only.
    pub(super) fn held(&self) -> bool {
        let both: Option<[u8; 2 * COPY]> = self.main.wal_index();
        both.is_some_and(|both| both.chunks(COPY).all(|copy| copy[SALT] == *self.frames.state.salt()))
    }

    /// Forgets the frames, after [`Overlay::held`] was false.
    pub(super) fn without_frames(self) -> Self {
        let frames = Frames { by_page: Arc::default(), ..self.frames };
        Self { frames, ..self }
    }

    /// Says what an error of [`Overlay::read`] means.
    pub(super) fn failed(&self, error: rusqlite::Error) -> Error {
        self.session.failed("reading the WAL", error)
    }
}
