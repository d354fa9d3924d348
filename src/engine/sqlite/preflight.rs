//! Whether an operation could succeed, before anything is begun.

use super::Site;
use super::failure::io_failed;
use super::session::sidecar;
use crate::base::fs;
use crate::catalog::{Finding, Severity};
use crate::engine::{Error, Preflight};
use rustix::fs::{Access, access};
use std::path::Path;

impl Site {
    /// Looks at the database, at the room for what will be written to `folder` (so many copies of it), and, when the live database is going to be
    /// replaced, at the room beside it.
    pub(super) fn preflight(&self, folder: &Path, copies: u64, replaces: bool) -> Result<Preflight, Error> {
        let mut findings = Vec::new();
        let bytes = self.bytes();
        if self.path.exists() {
            // A file that cannot be read is found out here, not in the middle. It may be the very reason for a restore.
            match self.look() {
                Err(error @ (Error::NotADatabase { .. } | Error::Malformed { .. }))
                    if replaces && self.path.is_file() =>
                {
                    findings.push(self.broken(&error));
                }
                looked => drop(looked?),
            }
        }
        let what = if copies > 1 { "the snapshot with a copy to rehearse on" } else { "the snapshot" };
        findings.extend(room(what, folder, bytes * copies)?);
        if replaces {
            // The journal or the WAL keeps what is overwritten until the transaction is over.
            findings.extend(room("the restore", &fs::parent(&self.path), bytes)?);
        }
        findings.extend(self.network_file_system());
        Ok(Preflight { findings, tools: vec![super::snapshot::library()], bytes })
    }

    fn broken(&self, error: &Error) -> Finding {
        Finding {
            severity: Severity::Warning,
            code: "broken".to_string(),
            subject: self.path.display().to_string(),
            detail: format!("{error}; it is kept beside the restored one"),
        }
    }

    /// Looks whether the file, and the folder in which its journal is made, can be written to: SQLite says so only when it
    /// writes, which is after the snapshot and the rehearsal.
    pub(super) fn not_writable(&self) -> Option<Finding> {
        let refused = |place: &Path, what: &str| {
            let source = std::io::Error::from(access(place, Access::WRITE_OK).err()?);
            Some(Finding {
                severity: Severity::Error,
                code: "not-writable".to_string(),
                subject: place.display().to_string(),
                detail: format!("{what} cannot be written to: {source}"),
            })
        };
        let of_folder = || refused(&fs::parent(&self.path), "the folder, in which SQLite makes its journal,");
        Some(&self.path)
            .filter(|path| path.exists())
            .and_then(|path| refused(path, "the database"))
            .or_else(of_folder)
    }

    /// Returns the size of the database with its WAL, without opening it.
    fn bytes(&self) -> u64 {
        let size = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
        size(&self.path) + size(&sidecar(&self.path, "-wal"))
    }

    /// Locks of network file systems cannot be relied on (<https://www.sqlite.org/faq.html>, question 5).
    fn network_file_system(&self) -> Option<Finding> {
        const NETWORK: [(i64, &str); 4] =
            [(0x6969, "NFS"), (0x517B, "SMB"), (0xFF53_4D42, "CIFS"), (0xFE53_4D42, "SMB2")];
        let found = rustix::fs::statfs(fs::parent(&self.path)).ok()?;
        // The width of the field differs between machines, its low 32 bits do not.
        let kind = i64::from(found.f_type as u32);
        let (_, name) = NETWORK.iter().find(|(magic, _)| *magic == kind)?;
        Some(Finding {
            severity: Severity::Warning,
            code: "network-file-system".to_string(),
            subject: self.path.display().to_string(),
            detail: format!("it lies on {name}, where SQLite's locks may not hold"),
        })
    }
}

fn room(what: &str, folder: &Path, needed: u64) -> Result<Option<Finding>, Error> {
    let free = fs::free_space(folder).map_err(|source| io_failed(folder, "looked at", source))?;
    Ok((free < needed).then(|| Finding {
        severity: Severity::Error,
        code: "no-space".to_string(),
        subject: folder.display().to_string(),
        detail: format!("{what} needs {needed} bytes, {free} are free"),
    }))
}
