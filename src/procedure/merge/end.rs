//! How the upgrade ended that a backup was taken for.

use crate::journal;
use crate::procedure::Ports;
use crate::report::Aftermath;
use crate::store::Backup;

/// How an upgrade ended, as its backup and its journal say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Passed,
    /// It did not pass, and the database was left as it is.
    Stands,
    /// It has undone itself, or its snapshot was put back.
    Undone,
    Unknown,
}

impl End {
    pub(super) fn of(ports: &Ports<'_>, backup: &Backup) -> Self {
        if backup.folder.join("after.json").exists() {
            return Self::Passed;
        }
        // The copy in the backup is what is left when a folder of backups was moved.
        let own = ports.journal.state(&backup.manifest.id);
        let state = own.or_else(|| journal::state_in(&backup.folder.join("journal.jsonl")));
        match state.and_then(|state| state.ended) {
            Some(Aftermath::Changed) => Self::Stands,
            Some(Aftermath::Unchanged | Aftermath::PutBack) => Self::Undone,
            Some(Aftermath::Unknown) | None => Self::Unknown,
        }
    }
}
