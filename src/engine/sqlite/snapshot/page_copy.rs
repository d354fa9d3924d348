//! The snapshot of a rollback-journal database: its bytes, read through SQLite's own file handle under its read lock.
//!
//! By SQLite's locking rules nobody writes to the file while the SHARED lock of a read transaction is held, and taking it
//! undid what a crash had left half written; so the bytes are those of a whole database. The copy is hashed on a second
//! thread while it is written: what is sealed is what was read, not what the disk made of it.

use super::super::read_ahead::ReadAhead;
use super::super::session::Session;
use super::super::sink::Sink;
use crate::base::{Cancel, hash};
use crate::engine::Error;
use crate::report::{Amount, Progress};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Measured: 64 to 256 KiB copy at full speed, a mebibyte may take twice as long.
const BLOCK: usize = 256 << 10;
/// How many blocks may wait to be hashed.
const BLOCKS: usize = 16;
/// How many blocks are copied between two reports.
const BLOCKS_BETWEEN_REPORTS: u64 = 64;

/// Copies the file behind `source`, which holds a read transaction. Returns the SHA-256 of the bytes that were read.
pub(in crate::engine::sqlite) fn copy(
    source: &Session,
    target: &Path,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<String, Error> {
    let failed = |error| source.failed("reading the database file", error);
    let file = source.file()?;
    let size = file.size().map_err(failed)?;
    let mut ahead = source.path().and_then(|place| ReadAhead::of(Path::new(place)));
    let read = |block: &mut [u8], offset| {
        if let Some(ahead) = &mut ahead {
            ahead.at(offset);
        }
        file.read(block, offset).map(|_| ()).map_err(failed)
    };
    write(size, read, target, cancel, progress)
}

/// Writes a new file from what `read` gives, block by block from the beginning, and seals it: on disk when this returns.
/// Returns the SHA-256 of what was read.
pub(super) fn write(
    size: u64,
    mut read: impl FnMut(&mut [u8], u64) -> Result<(), Error>,
    target: &Path,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<String, Error> {
    let mut sink = Sink::create(target, size)?;
    let (full, to_hash) = sync_channel::<(Vec<u8>, usize)>(BLOCKS);
    let (empty, reused) = sync_channel::<Vec<u8>>(BLOCKS);
    for _ in 0..BLOCKS {
        // The channel has room for all of them.
        let _ = empty.send(vec![0; BLOCK]);
    }
    std::thread::scope(|scope| {
        let hasher = scope.spawn(move || digest(&to_hash, &empty));
        let mut done = 0;
        while done < size {
            if cancel.is_cancelled() {
                return Err(Error::Interrupted);
            }
            // Both channels only close when the hashing thread ended, which it does after us.
            let Ok(mut block) = reused.recv() else { break };
            let length = usize::try_from(size - done).unwrap_or(BLOCK).min(BLOCK);
            read(&mut block[..length], done)?;
            sink.write(&block[..length])?;
            if full.send((block, length)).is_err() {
                break;
            }
            done += length as u64;
            if (done / BLOCK as u64).is_multiple_of(BLOCKS_BETWEEN_REPORTS) {
                report(progress, done, size);
            }
        }
        drop(full);
        crate::base::checkpoint::reached("snapshot written, not synced");
        sink.finish()?;
        report(progress, size, size);
        hasher
            .join()
            .map_err(|_| Error::DamagedSnapshot { detail: "it was not hashed to its end".to_string() })
    })
}

fn digest(blocks: &Receiver<(Vec<u8>, usize)>, empty: &SyncSender<Vec<u8>>) -> String {
    let mut hasher = Sha256::new();
    for (block, length) in blocks {
        hasher.update(&block[..length]);
        // Nobody takes it back after the last block.
        let _ = empty.try_send(block);
    }
    hash::hex(&hasher.finalize())
}

fn report(progress: &Progress, done: u64, size: u64) {
    let bytes = |bytes| Amount { rows: 0, bytes };
    progress.at("database file", bytes(done), Some(bytes(size)));
}
