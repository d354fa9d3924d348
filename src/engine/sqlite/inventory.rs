//! Everything that is known of a SQLite database at one instant.

use super::findings::{Check, foreign_key_checks};
use super::scan::{Errand, Task, scan};
use super::session::Session;
use super::view::View;
use crate::catalog::EngineKind;
use crate::engine::Error;
use crate::fingerprint::Inventory;
use crate::report::Progress;
use std::collections::BTreeMap;

/// How far the structure of the database is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// `quick_check`, a third of the time: enough for a copy whose original is checked in full afterwards.
    Quick,
    /// `integrity_check`.
    Full,
}

/// Reads everything in one view, checks the structure to this depth, and always checks the foreign keys.
pub(super) fn take(view: &mut View, depth: Depth, progress: &Progress) -> Result<Inventory, Error> {
    take_with(view, depth, None, progress)
}

/// The same, with something else to be done in the same view.
pub(super) fn take_with(
    view: &mut View,
    depth: Depth,
    errand: Option<Errand<'_>>,
    progress: &Progress,
) -> Result<Inventory, Error> {
    let catalog = super::catalog::read(view.first())?;
    let mut checks = match depth {
        Depth::Quick => vec![Check::Quick],
        Depth::Full => vec![Check::Integrity],
    };
    checks.extend(foreign_key_checks(view.first())?);
    read(view, Task { errand, ..Task::everything(&catalog, checks) }, progress)
}

/// Reads and checks what the task names, in one view.
pub(super) fn read(view: &mut View, task: Task<'_>, progress: &Progress) -> Result<Inventory, Error> {
    let facts = facts(view.first())?;
    let catalog = task.catalog.clone();
    let scanned = scan(view, task, progress)?;
    Ok(Inventory {
        engine: EngineKind::Sqlite,
        version: rusqlite::version().to_string(),
        facts,
        catalog,
        fingerprint: scanned.fingerprint,
        findings: scanned.findings,
    })
}

/// Returns what a restore needs and a reader wants to know, and what is no part of the schema.
pub(super) fn facts(session: &Session) -> Result<BTreeMap<String, String>, Error> {
    Ok(BTreeMap::from([
        ("journal_mode".to_string(), session.pragma("journal_mode")?),
        ("page_size".to_string(), session.pragma("page_size")?),
        ("bytes".to_string(), session.bytes()?.to_string()),
    ]))
}
