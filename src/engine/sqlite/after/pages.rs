//! Which pages of a file differ from those of another one, and which pages belong to nobody.

use super::super::raw::OpenFile;
use super::super::session::Session;
use super::super::wal::{Frames, Overlay};
use crate::base::Cancel;
use crate::engine::Error;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much of both files is read at a time.
const BLOCK: u64 = 256 << 10;
/// The page that holds this byte is never used, because locks are taken on it.
const PENDING_BYTE: u64 = 1 << 30;

/// A set of page numbers, one bit for each page of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    bits: Vec<u64>,
    count: u64,
}

impl Pages {
    /// Adds a page; twice is once.
    pub(super) fn add(&mut self, page: u64) {
        let (word, bit) = place(page);
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        self.count += u64::from(self.bits[word] & bit == 0);
        self.bits[word] |= bit;
    }

    /// Takes a page out; tells whether it was in.
    pub(super) fn take(&mut self, page: u64) -> bool {
        let (word, bit) = place(page);
        let found = self.bits.get(word).is_some_and(|bits| bits & bit != 0);
        if found {
            self.bits[word] &= !bit;
            self.count -= 1;
        }
        found
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn add_all(&mut self, other: &Pages) {
        self.bits.resize(self.bits.len().max(other.bits.len()), 0);
        for (mine, theirs) in self.bits.iter_mut().zip(&other.bits) {
            *mine |= theirs;
        }
        self.count = self.bits.iter().map(|bits| u64::from(bits.count_ones())).sum();
    }
}

fn place(page: u64) -> (usize, u64) {
    (usize::try_from(page / 64).unwrap_or(usize::MAX), 1 << (page % 64))
}

/// The pages of the live database, as its read transaction sees them.
enum Live<'s> {
    File(&'s Session, OpenFile<'s>),
    Wal(Overlay<'s>),
}

impl<'s> Live<'s> {
    fn of(session: &'s Session, frames: Option<Frames>) -> Result<Self, Error> {
        Ok(match frames {
            Some(frames) => Self::Wal(Overlay::of(session, frames)?),
            None => Self::File(session, session.file()?),
        })
    }

    /// What lies behind the end is zeros, which no page that is in use consists of.
    fn read(&self, block: &mut [u8], offset: u64) -> Result<(), Error> {
        match self {
            Self::File(session, file) => {
                let read = file.read(block, offset).map(|_| ());
                read.map_err(|error| session.failed("comparing pages", error))
            }
            Self::Wal(overlay) => overlay.read(block, offset).map_err(|error| overlay.failed(error)),
        }
    }

    /// Tells whether what was read is what the transaction sees.
    fn held(&self) -> bool {
        match self {
            Self::File(..) => true,
            Self::Wal(overlay) => overlay.held(),
        }
    }
}

/// Returns the pages of `before` that are not the same in `after`, or not there any more; `None` when that cannot be
/// told. Each pair of connections is used by one thread; all of the same side see the same bytes, those `after` through
/// the frames of a WAL if there is one.
pub(super) fn changed(
    before: &mut [Session],
    after: &mut [Session],
    frames: Option<&Frames>,
    page_size: u64,
    cancel: &Cancel,
) -> Result<Option<Pages>, Error> {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let pairs = before.iter_mut().zip(after);
        let workers: Vec<_> = pairs
            .map(|(before, after)| {
                let (next, frames) = (&next, frames.cloned());
                scope.spawn(move || {
                    let live = Live::of(after, frames)?;
                    let found = compare_blocks(before, &live, page_size, next, cancel)?;
                    Ok::<_, Error>(live.held().then_some(found))
                })
            })
            .collect();
        let mut whole = Some(Pages::default());
        for worker in workers {
            let found = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            whole = whole.zip(found).map(|(mut whole, found)| {
                whole.add_all(&found);
                whole
            });
        }
        Ok(whole)
    })
}

fn compare_blocks(
    before: &Session,
    live: &Live<'_>,
    page_size: u64,
    next: &AtomicU64,
    cancel: &Cancel,
) -> Result<Pages, Error> {
    let failed = |error| before.failed("comparing pages", error);
    let old = before.file()?;
    let size = old.size().map_err(failed)?;
    let block = BLOCK.max(page_size);
    let length = usize::try_from(block).unwrap_or_default();
    let (mut left, mut right) = (vec![0; length], vec![0; length]);
    let mut found = Pages::default();
    loop {
        let offset = next.fetch_add(block, Ordering::Relaxed);
        if offset >= size {
            return Ok(found);
        }
        if cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let length = usize::try_from((size - offset).min(block)).unwrap_or(length);
        old.read(&mut left[..length], offset).map_err(failed)?;
        live.read(&mut right[..length], offset)?;
        if left[..length] == right[..length] {
            continue;
        }
        let size = usize::try_from(page_size).unwrap_or(length).max(1);
        for (index, (old, new)) in left[..length].chunks(size).zip(right[..length].chunks(size)).enumerate() {
            if old != new {
                found.add(offset / page_size + index as u64 + 1);
            }
        }
    }
}

/// Takes out the pages that no table and no index can have: those on the list of free pages, the maps of an auto-vacuum
/// database, the page that locks are taken on (<https://www.sqlite.org/fileformat2.html>, 1.4 to 1.8).
pub(super) fn take_out_unowned(pages: &mut Pages, session: &Session, page_size: u64) -> Result<(), Error> {
    let failed = |error| session.failed("reading the list of free pages", error);
    let file = session.file()?;
    let mut header = [0; 100];
    file.read(&mut header, 0).map_err(failed)?;
    let last = file.size().map_err(failed)? / page_size;
    pages.take(PENDING_BYTE / page_size + 1);
    let usable = page_size - u64::from(header[20]);
    if number(&header, 52) != 0 {
        // One map for each usable/5 pages after it, the first on page 2.
        (0..).map(|map| 2 + map * (usable / 5 + 1)).take_while(|page| *page <= last).for_each(|page| {
            pages.take(page);
        });
    }
    let mut trunk = number(&header, 32);
    let mut block = vec![0; usize::try_from(page_size).unwrap_or_default()];
    // A list that is damaged may go round in circles; no list is longer than the file.
    for _ in 0..last {
        if trunk == 0 || trunk > last {
            break;
        }
        file.read(&mut block, (trunk - 1) * page_size).map_err(failed)?;
        pages.take(trunk);
        let leaves = number(&block, 4).min(usable / 4 - 2);
        for leaf in 0..leaves {
            pages.take(number(&block, 8 + 4 * usize::try_from(leaf).unwrap_or_default()));
        }
        trunk = number(&block, 0);
    }
    Ok(())
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 4).map_or(0, |four| four.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_in_the_set_once_however_often_it_is_added() {
        let mut pages = Pages::default();
        for page in [7, 64, 7, 100_000] {
            pages.add(page);
        }
        assert!(pages.take(7) && !pages.take(7) && !pages.take(8) && !pages.take(1 << 40));
        assert!(pages.take(64) && pages.take(100_000) && pages.is_empty());
    }
}
