//! A new private file that is written in one go and is on disk when it is finished.
//!
//! Write-back is started every few mebibytes, so that the disk works while the next block is read; the fsync at the end
//! then finds little left to do. On Linux that is `sync_file_range`, which promises nothing by itself; elsewhere only the
//! fsync remains.

use crate::base::fs;
use crate::engine::Error;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How much is written before write-back is started for it.
const WINDOW: u64 = 8 << 20;

/// The file while it is being written.
pub(super) struct Sink {
    file: File,
    place: PathBuf,
    written: u64,
    started: u64,
}

impl Sink {
    /// Creates the file (0600) and reserves room for it, so that a full disk is noticed before anything is copied.
    pub(super) fn create(place: &Path, size: u64) -> Result<Self, Error> {
        let file = fs::create_private_file(place).map_err(|source| io_failed(place, "created", source))?;
        reserve(&file, size).map_err(|source| no_room(place, size, source))?;
        Ok(Self { file, place: place.to_path_buf(), written: 0, started: 0 })
    }

    /// Appends a block.
    pub(super) fn write(&mut self, block: &[u8]) -> Result<(), Error> {
        let failed = |source| no_room(&self.place, block.len() as u64, source);
        self.file.write_all(block).map_err(failed)?;
        self.written += block.len() as u64;
        if self.written - self.started >= WINDOW {
            start_write_back(&self.file, self.started, self.written - self.started);
            self.started = self.written;
        }
        Ok(())
    }

    /// Makes content and name survive a power cut.
    pub(super) fn finish(self) -> Result<(), Error> {
        let failed = |source| io_failed(&self.place, "synced", source);
        self.file.sync_all().map_err(failed)?;
        fs::sync_dir(&fs::parent(&self.place)).map_err(failed)
    }
}

fn reserve(file: &File, size: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    if size == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, size) {
        // Some file systems cannot reserve; writing then finds out by itself.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => Ok(()),
        outcome => Ok(outcome?),
    }
}

#[cfg(target_os = "linux")]
fn start_write_back(file: &File, offset: u64, length: u64) {
    use std::os::fd::AsRawFd;
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else { return };
    // SAFETY: the descriptor is open, and the call neither reads nor writes memory of ours. Its result does not matter:
    // the fsync at the end is what the promise rests on.
    let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
}

#[cfg(not(target_os = "linux"))]
fn start_write_back(_: &File, _: u64, _: u64) {}

fn no_room(place: &Path, needed: u64, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::StorageFull {
        let free = fs::free_space(place).unwrap_or_default();
        return Error::NoSpace { what: "the snapshot".to_string(), place: place.to_path_buf(), needed, free };
    }
    io_failed(place, "written", source)
}

fn io_failed(place: &Path, doing: &'static str, source: io::Error) -> Error {
    super::failure::io_failed(place, doing, source)
}
