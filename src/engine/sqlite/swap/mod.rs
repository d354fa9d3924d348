//! Putting a snapshot in the place of the live database.
//!
//! Three ways. Into the live file through SQLite's backup API, in one transaction: programs that have it open go on with
//! the restored content, and a crash leaves the old or the new, never a mixture. As a new file, when there is none. And
//! by replacing the file, only where SQLite cannot work with it any more: renaming over a file that others hold open would let
//! them write into nowhere, and a `-wal` left beside the new file would undo the restore. [`present`] sees to it that
//! nothing is overwritten that is not saved.

mod present;
mod replace;

pub(super) use present::{FileId, Guard, Present, Stand};

use super::Site;
use super::session::{Session, open_frozen};
use super::snapshot::{catalog_differences, file_in};
use super::writer::Writer;
use crate::base::{Cancel, checkpoint};
use crate::engine::{Error, Staged, Swapped};
use crate::fingerprint::Inventory;
use crate::journal::ScriptLog;
use rusqlite::backup::{Backup, StepResult};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How the snapshot gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    InPlace,
    NewFile,
    Replace,
}

impl Way {
    fn text(self) -> &'static str {
        match self {
            Self::InPlace => "into the live file, through SQLite's backup API, in one transaction",
            Self::NewFile => "as a new file",
            Self::Replace => "in place of a file that SQLite cannot work with any more, which is kept",
        }
    }
}

impl Site {
    /// Makes sure that the snapshot can be restored. SQLite needs no database to be built beforehand.
    pub(super) fn stage(&self, folder: &Path, expected: &Inventory) -> Result<Staged, Error> {
        let file = file_in(folder);
        let differences = open_frozen(&file, &self.options.cancel)
            .and_then(|copy| catalog_differences(&copy, expected))
            .map_err(damaged)?;
        let mut facts = BTreeMap::new();
        for name in ["journal_mode", "mode"] {
            facts.extend(expected.facts.get(name).map(|value| (name.to_string(), value.clone())));
        }
        let way = self.way()?.text().to_string();
        Ok(Staged { place: file.display().to_string(), way, differences, catalog: None, facts })
    }

    /// Puts the staged snapshot in place.
    pub(super) fn swap(&self, staged: &Staged, operation: &str, log: &ScriptLog) -> Result<Swapped, Error> {
        if !staged.differences.is_empty() {
            return Err(Error::DamagedSnapshot { detail: staged.differences.join("; ") });
        }
        let began = Instant::now();
        let source = PathBuf::from(&staged.place);
        let mut swapped = Swapped { kept: None, barred: Duration::ZERO, notes: Vec::new() };
        match self.way()? {
            Way::InPlace => self.restore_in_place(&source, staged, (operation, log), &mut swapped)?,
            Way::NewFile => swapped.notes.extend(self.create_from(&source, staged, operation)?),
            Way::Replace => swapped.kept = Some(self.replace_with(&source, staged, operation, log)?),
        }
        self.forget_present();
        swapped.barred = began.elapsed();
        Ok(swapped)
    }

    fn way(&self) -> Result<Way, Error> {
        if !self.path.exists() {
            return Ok(Way::NewFile);
        }
        match self.look() {
            Err(Error::NotADatabase { .. }) if self.path.is_file() => Ok(Way::Replace),
            Err(Error::Malformed { .. }) if self.refuses_transactions()? => Ok(Way::Replace),
            // Whatever is wrong inside of it, its pages are going to be overwritten.
            Ok(_) | Err(Error::Malformed { .. } | Error::Driver { .. }) => Ok(Way::InPlace),
            Err(error) => Err(error),
        }
    }

    fn restore_in_place(
        &self,
        source: &Path,
        staged: &Staged,
        operation: (&str, &ScriptLog),
        swapped: &mut Swapped,
    ) -> Result<(), Error> {
        let source = open_frozen(source, &self.options.cancel).map_err(damaged)?;
        let source = not_empty(source, &self.options.cancel)?;
        self.with_writer(|writer| {
            swapped.kept = self.replace_pages(&source, writer, operation, |guard| guard.act(self))?;
            swapped.notes.extend(set_journal_mode(&writer.session, staged));
            Ok(())
        })
    }

    /// Replaces everything, after `check` has looked under the lock. Returns where what was there before is kept, if it
    /// is. After an error everything is as it was.
    pub(super) fn replace_pages(
        &self,
        source: &Session,
        writer: &mut Writer,
        operation: (&str, &ScriptLog),
        check: impl Fn(&Guard) -> Result<(), Error>,
    ) -> Result<Option<String>, Error> {
        let has_left_wal = Cell::new(false);
        let make_room = |live: &Session| {
            has_left_wal.set(make_room_for_pages(source, live)?);
            Ok(has_left_wal.get())
        };
        let replaced = self.guard(writer, make_room, operation).and_then(|guard| {
            copy_into(source, &mut writer.session, || check(&guard))?;
            Ok(guard.kept())
        });
        if replaced.is_err() && has_left_wal.get() {
            // It may fail only where somebody else has come meanwhile, who can work with either mode.
            let _ = writer.session.one::<String>("going back to WAL mode", "PRAGMA journal_mode = WAL");
        }
        replaced
    }
}

/// Returns a database of one page in the place of one that has none. SQLite copies nothing at once: there would be no
/// moment at which the live database is locked and not emptied yet.
pub(super) fn not_empty(source: Session, cancel: &Cancel) -> Result<Session, Error> {
    if source.one::<i64>("reading the settings", "PRAGMA page_count")? > 0 {
        return Ok(source);
    }
    let page_size: i64 = source.one("reading the settings", "PRAGMA page_size")?;
    let blank = Session::in_memory(cancel)?;
    // Setting anything makes the first page.
    blank.run("preparing a restore", &format!("PRAGMA page_size = {page_size}; PRAGMA user_version = 0"))?;
    Ok(blank)
}

/// A WAL belongs to one page size, so a database that gets another one has to leave WAL mode first; that needs everybody
/// else to let go of it. Returns whether it did.
fn make_room_for_pages(source: &Session, live: &Session) -> Result<bool, Error> {
    let page_size = |session: &Session| session.one::<i64>("reading the settings", "PRAGMA page_size");
    // A database with damaged pages may refuse to say; SQLite then refuses below if it has to.
    let mode = live.pragma("journal_mode").unwrap_or_default();
    let has_to_leave = mode == "wal" && page_size(source)? != page_size(live)?;
    if has_to_leave {
        live.one::<String>("leaving WAL mode", "PRAGMA journal_mode = DELETE")?;
    }
    Ok(has_to_leave)
}

/// Replaces everything in one transaction; `guard` runs when nobody else can write any more and nothing is replaced yet,
/// and can still stop it. `source` has a page at least.
pub(super) fn copy_into(
    source: &Session,
    live: &mut Session,
    guard: impl Fn() -> Result<(), Error>,
) -> Result<(), Error> {
    let place = live.path().unwrap_or_default().to_string();
    let failed = |error| super::failure::failed(Path::new(&place), "restoring", error);
    let cancel = live.cancel();
    let backup = Backup::new(source, live.connection_mut()).map_err(failed)?;
    checkpoint::reached("restore begun, nothing written");
    // No page, which only locks; then one, so that the crash test can die between two of them; then all.
    let mut steps = [0, 1].into_iter();
    loop {
        let pages = steps.next().unwrap_or(-1);
        match backup.step(pages).map_err(failed)? {
            StepResult::Done => break,
            StepResult::More if pages == 0 => guard()?,
            StepResult::More => checkpoint::reached("in the middle of the restore"),
            _ if cancel.is_cancelled() => return Err(Error::Interrupted),
            _ => {
                let detail = "another program is working with the database".to_string();
                return Err(Error::Busy { place, detail });
            }
        }
    }
    drop(backup);
    checkpoint::reached("restore committed");
    Ok(())
}

/// Gives the database the journal mode that it had. Not worth failing for: only how it is written depends on it.
fn set_journal_mode(live: &Session, staged: &Staged) -> Option<String> {
    let wanted =
        staged.facts.get("journal_mode").filter(|mode| ["wal", "delete"].contains(&mode.as_str()))?;
    let found = live.pragma("journal_mode").unwrap_or_default();
    if found == *wanted {
        return None;
    }
    let outcome: Result<String, Error> =
        live.one("setting the journal mode", &format!("PRAGMA journal_mode = {wanted}"));
    match outcome {
        Ok(mode) if mode == *wanted => None,
        _ => Some(format!(
            "the journal mode is {found}, it was {wanted}; another program has the database open"
        )),
    }
}

fn damaged(error: Error) -> Error {
    match error {
        Error::Interrupted => Error::Interrupted,
        error => Error::DamagedSnapshot { detail: error.to_string() },
    }
}
