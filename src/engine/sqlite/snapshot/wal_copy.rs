//! The snapshot of a WAL database: its file with the frames of one read transaction laid over it, as one file without a
//! WAL. As fast as copying the file; SQLite's own backup takes several times as long and hashes nothing meanwhile.

use super::super::session::Session;
use super::super::wal::{Frames, Overlay, WalState};
use super::page_copy;
use crate::base::Cancel;
use crate::engine::Error;
use crate::engine::sqlite::failure::io_failed;
use crate::report::Progress;
use std::path::Path;

/// Copies what `source` sees, whose read transaction began at `wal`. Returns the SHA-256 of the copy, or `None`, and no
/// file, when SQLite had better do it.
pub(super) fn copy(
    source: &Session,
    wal: WalState,
    target: &Path,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<Option<String>, Error> {
    let Some(frames) = Frames::find(source, wal)? else { return Ok(None) };
    let overlay = Overlay::of(source, frames)?;
    let write = |overlay: &Overlay<'_>| {
        let read = |block: &mut [u8], at| overlay.read(block, at).map_err(|error| overlay.failed(error));
        page_copy::write(overlay.size(), read, target, cancel, progress)
    };
    let sha256 = write(&overlay)?;
    if overlay.held() {
        return Ok(Some(sha256));
    }
    std::fs::remove_file(target).map_err(|source| io_failed(target, "removed", source))?;
    write(&overlay.without_frames()).map(Some)
}
