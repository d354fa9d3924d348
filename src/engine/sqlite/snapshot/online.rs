//! The snapshot of a WAL database: SQLite's online backup, inside one read transaction.
//!
//! A backup starts again whenever somebody else commits, which on a busy database is for ever; inside a read transaction
//! of its own connection it goes on with what that transaction sees (<https://www.sqlite.org/backup.html>).

use super::super::session::{Session, open_unsynced};
use crate::base::{Cancel, fs};
use crate::engine::Error;
use crate::report::{Amount, Progress};
use rusqlite::backup::{Backup, StepResult};
use std::fs::File;
use std::path::Path;

/// How many pages are copied between two looks at the cancel flag.
const PAGES: i32 = 4096;

/// Copies what `source` sees, which holds a read transaction, into a new private file of its own: one file, without a WAL.
pub(in crate::engine::sqlite) fn copy(
    source: &Session,
    target: &Path,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<(), Error> {
    let io_failed = |doing| move |error| super::super::failure::io_failed(target, doing, error);
    // Created here and not by SQLite, so that nobody else can read it from its first moment on.
    drop(fs::create_private_file(target).map_err(io_failed("created"))?);
    let mut copy = open_unsynced(target, cancel)?;
    run(source, &mut copy, cancel, progress)?;
    // The copy has the source's journal mode; a snapshot is one file.
    let mode: String = copy.one("finishing the snapshot", "PRAGMA journal_mode = DELETE")?;
    if mode != "delete" {
        return Err(Error::DamagedSnapshot { detail: format!("it stays in journal mode {mode}") });
    }
    drop(copy);
    crate::base::checkpoint::reached("snapshot written, not synced");
    File::open(target).and_then(|file| file.sync_all()).map_err(io_failed("synced"))?;
    fs::sync_dir(&fs::parent(target)).map_err(io_failed("synced"))
}

fn run(source: &Session, copy: &mut Session, cancel: &Cancel, progress: &Progress) -> Result<(), Error> {
    let failed = |error| source.failed("copying the database", error);
    let page_size: i64 = source.one("reading the settings", "PRAGMA page_size")?;
    let backup = Backup::new(source, copy.connection_mut()).map_err(failed)?;
    loop {
        if cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        match backup.step(PAGES).map_err(failed)? {
            StepResult::Done => return Ok(()),
            StepResult::More => report(progress, backup.progress(), page_size),
            // The read transaction is ours and nobody knows the copy: there is nothing to wait for.
            _ => {
                let detail = "the snapshot's own files are locked".to_string();
                return Err(Error::Busy { place: source.path().unwrap_or_default().to_string(), detail });
            }
        }
    }
}

fn report(progress: &Progress, state: rusqlite::backup::Progress, page_size: i64) {
    let bytes = |pages: i32| Amount { rows: 0, bytes: (i64::from(pages) * page_size).unsigned_abs() };
    progress.at("database", bytes(state.pagecount - state.remaining), Some(bytes(state.pagecount)));
}
