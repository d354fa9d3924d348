//! Asking the kernel to read a cold file before we get there.
//!
//! The advice needs a descriptor of the file, and it has to be one that SQLite has open anyway: opening the file once more
//! and closing that would drop SQLite's locks (<https://www.sqlite.org/howtocorrupt.html>, section 2.2). It is found among
//! those of this process by its inode. It is advice: whatever fails here, the file is read all the same.

#[cfg(target_os = "linux")]
use std::os::fd::RawFd;
use std::path::Path;

/// How far ahead of the reader the kernel is asked to read.
const WINDOW: u64 = 16 << 20;

/// A file that is read from its beginning to its end.
pub(super) struct ReadAhead {
    #[cfg(target_os = "linux")]
    descriptor: RawFd,
    advised: u64,
}

impl ReadAhead {
    /// Finds the file among those that this process has open.
    #[cfg(target_os = "linux")]
    pub(super) fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let wanted = path.metadata().ok()?;
        let same = |entry: &std::fs::DirEntry| {
            // Follows the link to what is open, whatever its name is by now.
            let found = std::fs::metadata(entry.path());
            found.is_ok_and(|found| (found.dev(), found.ino()) == (wanted.dev(), wanted.ino()))
        };
        let found = std::fs::read_dir("/proc/self/fd").ok()?.flatten().find(same)?;
        let descriptor = found.file_name().to_str()?.parse().ok()?;
        Some(Self { descriptor, advised: 0 })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(_: &Path) -> Option<Self> {
        None
    }

    /// Asks for what comes after `offset`, where it has not been asked for yet.
    pub(super) fn at(&mut self, offset: u64) {
        if self.advised >= offset + WINDOW / 2 {
            return;
        }
        self.advise(self.advised.max(offset));
    }

    #[cfg(target_os = "linux")]
    fn advise(&mut self, from: u64) {
        let (Ok(start), Ok(length)) = (i64::try_from(from), i64::try_from(WINDOW)) else { return };
        // SAFETY: neither reads nor writes memory of ours. Should the descriptor have been closed meanwhile, the call
        // fails, or advises about another file, which changes nothing of it.
        let _ = unsafe { libc::posix_fadvise(self.descriptor, start, length, libc::POSIX_FADV_WILLNEED) };
        self.advised = from + WINDOW;
    }

    #[cfg(not(target_os = "linux"))]
    fn advise(&mut self, from: u64) {
        self.advised = from + WINDOW;
    }
}
