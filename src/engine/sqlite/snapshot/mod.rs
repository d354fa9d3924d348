//! Taking a snapshot and proving it.
//!
//! A database in rollback-journal mode is copied byte by byte: the copy is the database, and what it contains is read
//! from the copy, after the live file is free again. A database in WAL mode is copied page by page as one read transaction
//! sees it (or by SQLite's own backup, where anything is out of the ordinary), and what it contains is read from the live
//! database in the same view; the proof is that the copy contains the same.

mod online;
pub(super) mod page_copy;
mod wal_copy;

use super::Site;
use super::apply::version_rows;
use super::failure::io_failed;
use super::inventory::{self, Depth};
use super::scan::Errand;
use super::session::{Session, open_frozen};
use super::swap::{Present, Stand};
use super::view::View;
use super::wal::WalState;
use crate::base::{counted, fs, hash};
use crate::catalog::diff;
use crate::engine::{Error, Proof, ProofLevel, Snapshot};
use crate::fingerprint::{Inventory, compare};
use crate::report::Progress;
use crate::store::ToolFact;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The name of the snapshot in its folder.
pub(super) const FILE: &str = "database.db";

const PAGE_COPY: &str = "sqlite page copy";
const WAL_COPY: &str = "sqlite page copy with WAL";
const ONLINE: &str = "sqlite backup api";

/// A finished copy.
pub(super) struct Copied {
    pub method: &'static str,
    pub sha256: String,
}

/// Returns the snapshot's file.
pub(super) fn file_in(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

impl Site {
    /// Takes a snapshot into an empty folder; on disk when it returns, and no lock is held any more.
    pub(super) fn snapshot(&self, folder: &Path, progress: &Progress) -> Result<Snapshot, Error> {
        if !self.path.exists() {
            return self.snapshot_of_nothing(folder, progress);
        }
        self.forget_present();
        self.track.begin();
        self.snapshot_of_live(folder, progress).map_err(|error| match error {
            Error::Malformed { detail, .. } => {
                self.remember(Present::Unreadable);
                // The copy is as malformed as what it was made of.
                Error::Malformed { place: self.path.display().to_string(), detail }
            }
            error => error,
        })
    }

    fn snapshot_of_live(&self, folder: &Path, progress: &Progress) -> Result<Snapshot, Error> {
        // Before the first connection is opened: what is read is in this file or in a later one, never in an earlier one.
        let (wal_was_there, file) = (self.has_wal(), self.file_id());
        let view = View::of_live(self, self.workers())?;
        let mut facts = inventory::facts(view.first())?;
        facts.extend(self.permissions());
        let is_wal = facts.get("journal_mode").is_some_and(|mode| mode == "wal");
        let (stand, witness) = if is_wal {
            (Stand::in_wal(view.wal()), Some(Box::new(self.look_again(wal_was_there)?)))
        } else {
            (Stand::in_pages(view.first())?, None)
        };
        let (copied, inventory) = if is_wal {
            self.snapshot_of_wal(view, folder, progress)?
        } else {
            self.snapshot_of_pages(view, folder, progress)?
        };
        // The journal mode and the size are the live database's, not the copy's.
        let inventory = Inventory { facts: facts.clone(), ..inventory };
        // What the live database says now may be later than what was copied.
        let copy = open_frozen(&file_in(folder), &self.options.cancel)?;
        let version_rows = Error::no_revisions(version_rows(&copy))?;
        drop(copy);
        let tables = inventory.fingerprint.tables.clone();
        self.remember(Present::Saved { stand, file, witness, tables });
        Ok(Snapshot {
            inventory,
            version_rows,
            method: copied.method.to_string(),
            tools: vec![library()],
            sha256: BTreeMap::from([(FILE.to_string(), copied.sha256)]),
            facts,
        })
    }

    /// A database that is not there yet is an empty one, and so is its snapshot: restoring it gives an empty database.
    fn snapshot_of_nothing(&self, folder: &Path, progress: &Progress) -> Result<Snapshot, Error> {
        if !self.options.create {
            return Err(Error::NotFound { place: self.path.display().to_string() });
        }
        let target = file_in(folder);
        let io = |source| Error::Io { place: target.clone(), doing: "created", source };
        fs::create_private_file(&target).and_then(|file| file.sync_all()).map_err(io)?;
        fs::sync_dir(folder).map_err(io)?;
        let mut copy = View::of_copy(&target, 1, &self.options.cancel)?;
        let inventory = inventory::take(&mut copy, Depth::Quick, progress)?;
        drop(copy);
        let (_, sha256) = self.hash(&target, progress)?;
        Ok(Snapshot {
            facts: inventory.facts.clone(),
            inventory,
            version_rows: Vec::new(),
            method: PAGE_COPY.to_string(),
            tools: vec![library()],
            sha256: BTreeMap::from([(FILE.to_string(), sha256)]),
        })
    }

    fn snapshot_of_pages(
        &self,
        view: View,
        folder: &Path,
        progress: &Progress,
    ) -> Result<(Copied, Inventory), Error> {
        let target = file_in(folder);
        let copied = self.copy_pages(view.first(), &target, progress)?;
        // Writers may go on from here: what follows is read from the copy.
        drop(view);
        let mut copy = View::of_copy(&target, self.workers(), &self.options.cancel)?;
        Ok((copied, inventory::take(&mut copy, Depth::Quick, progress)?))
    }

    fn snapshot_of_wal(
        &self,
        mut view: View,
        folder: &Path,
        progress: &Progress,
    ) -> Result<(Copied, Inventory), Error> {
        let (target, wal) = (file_in(folder), view.wal());
        let mut copied = None;
        // Nobody waits for us in WAL mode, so one thread copies while the others read already.
        let errand: Errand<'_> = Box::new(|session| {
            copied = Some(self.copy_wal(session, wal, &target, progress)?);
            Ok(())
        });
        let inventory = inventory::take_with(&mut view, Depth::Quick, Some(errand), progress)?;
        let lost = || Error::DamagedSnapshot { detail: "it was not copied to its end".to_string() };
        Ok((copied.ok_or_else(lost)?, inventory))
    }

    /// Copies a rollback-journal database, in which `session` holds a read transaction.
    pub(super) fn copy_pages(
        &self,
        session: &Session,
        target: &Path,
        progress: &Progress,
    ) -> Result<Copied, Error> {
        let sha256 = page_copy::copy(session, target, &self.options.cancel, progress)?;
        Ok(Copied { method: PAGE_COPY, sha256 })
    }

    /// Copies a WAL database, in which `session` holds a read transaction that began at `wal`.
    pub(super) fn copy_wal(
        &self,
        session: &Session,
        wal: Option<WalState>,
        target: &Path,
        progress: &Progress,
    ) -> Result<Copied, Error> {
        if let Some(wal) = wal
            && let Some(sha256) = wal_copy::copy(session, wal, target, &self.options.cancel, progress)?
        {
            return Ok(Copied { method: WAL_COPY, sha256 });
        }
        online::copy(session, target, &self.options.cancel, progress)?;
        Ok(Copied { method: ONLINE, sha256: self.hash(target, progress)?.1 })
    }

    /// Proves that the snapshot in `folder` holds what was seen when it was taken.
    pub(super) fn prove(&self, folder: &Path, taken: &Snapshot, progress: &Progress) -> Result<Proof, Error> {
        let began = Instant::now();
        let file = file_in(folder);
        let mut differences = Vec::new();
        if let Some(expected) = taken.sha256.get(FILE) {
            let (_, found) = self.hash(&file, progress)?;
            if found != *expected {
                differences.push(format!("{FILE} has SHA-256 {found}, {expected} was written"));
            }
        }
        let method = if taken.method == PAGE_COPY && taken.sha256.contains_key(FILE) && differences.is_empty()
        {
            let copy = open_frozen(&file, &self.options.cancel)?;
            differences.extend(catalog_differences(&copy, &taken.inventory)?);
            "read back from disk: byte by byte what the live database held, and opened as a database"
        } else {
            let copy = View::of_copy(&file, self.workers(), &self.options.cancel);
            let found = copy.and_then(|mut copy| inventory::take(&mut copy, Depth::Quick, progress));
            match found {
                Ok(found) => differences.extend(inventory_differences(&taken.inventory, &found)),
                Err(error) if error.is_interrupted() => return Err(error),
                Err(error) => differences.push(format!("{FILE} cannot be read: {error}")),
            }
            "opened as a database: every row, key and definition compared with the live database's"
        };
        let fingerprint = &taken.inventory.fingerprint;
        Ok(Proof {
            level: ProofLevel::Full,
            method: method.to_string(),
            differences,
            tables: fingerprint.tables.len() as u64,
            rows: fingerprint.rows(),
            seconds: began.elapsed().as_secs_f64(),
        })
    }

    /// Returns who may use the file, for a new one in its place.
    fn permissions(&self) -> Option<(String, String)> {
        let mode = self.path.metadata().ok()?.permissions().mode();
        Some(("mode".to_string(), format!("{:o}", mode & 0o777)))
    }

    /// Hashes a snapshot's file. No connection may be open on it.
    fn hash(&self, file: &Path, progress: &Progress) -> Result<(u64, String), Error> {
        let failed = |source| io_failed(file, "read", source);
        let count = progress.count_bytes("checksum", file.metadata().map_err(failed)?.len());
        hash::file_sha256_told(file, &self.options.cancel, |bytes| count.add(bytes)).map_err(failed)
    }
}

/// Returns which SQLite did the work.
pub(super) fn library() -> ToolFact {
    ToolFact { name: "SQLite".to_string(), version: rusqlite::version().to_string(), path: String::new() }
}

/// Says how the catalog of a copy differs from what was expected.
pub(super) fn catalog_differences(copy: &Session, expected: &Inventory) -> Result<Vec<String>, Error> {
    let found = super::catalog::read(copy)?;
    Ok(diff(&expected.catalog, &found).into_iter().map(|change| change_text(&change)).collect())
}

fn inventory_differences(expected: &Inventory, found: &Inventory) -> Vec<String> {
    let mut differences: Vec<String> =
        diff(&expected.catalog, &found.catalog).iter().map(change_text).collect();
    let comparison = compare(&expected.fingerprint, &found.fingerprint);
    differences.extend(comparison.differing().map(|(name, table)| {
        let rows = |rows: Option<u64>| rows.map_or("no rows".to_string(), |rows| counted(rows, "row"));
        let (before, after) = (rows(table.rows_before), rows(table.rows_after));
        format!("table {name}: {before} when it was taken, {after} in the copy, and other digests")
    }));
    if expected.fingerprint.sequences != found.fingerprint.sequences {
        differences.push("the AUTOINCREMENT counters differ".to_string());
    }
    if expected.findings != found.findings {
        differences.push("the integrity checks say something else of the copy".to_string());
    }
    differences
}

fn change_text(change: &crate::catalog::Change) -> String {
    let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_string());
    format!(
        "{}: {} when it was taken, {} in the copy",
        change.subject,
        side(&change.before),
        side(&change.after)
    )
}
