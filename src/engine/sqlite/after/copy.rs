//! Looking at the copy of a rehearsal, into which nobody writes but the scripts that are rehearsed.
//!
//! Which tables they wrote to, SQLite has told ([`Written`]): the others hold what they held at the last look, and
//! neither their rows nor a page of them is read. Indexes and structure are not checked: nobody will use the copy's, and
//! what a definition asks of rows SQLite itself has checked when they were written, or when it was altered.

use super::super::Site;
use super::super::findings;
use super::super::inventory;
use super::super::scan::Task;
use super::super::session::open_frozen;
use super::super::snapshot::file_in;
use super::super::view::View;
use super::super::written::Written;
use super::track::{Altered, Looked, Stand};
use super::trees;
use crate::catalog::{Catalog, Table, TableKind, TableName};
use crate::engine::Error;
use crate::fingerprint::{ALGORITHM, Inventory, TableFingerprint};
use crate::report::Progress;
use std::collections::BTreeMap;
use std::path::Path;

impl Site {
    /// Returns the same as a full inventory of quick checks would; `None` when what the scripts wrote is not told.
    pub(super) fn look_at_copy(
        &self,
        copy: &mut View,
        before: &Inventory,
        folder: &Path,
        checked: bool,
        progress: &Progress,
    ) -> Result<Option<Inventory>, Error> {
        let written = self.track.written();
        let last = match self.track.stand() {
            _ if written.is_untold() || before.fingerprint.algorithm != ALGORITHM => return Ok(None),
            Stand::Lost => return Ok(None),
            Stand::Looked(last) => *last,
            Stand::Snapshot => Looked::of(&open_frozen(&file_in(folder), &self.options.cancel)?, before)?,
        };
        let catalog = super::super::catalog::read(copy.first())?;
        // What is wrong with the file as a whole cannot be told table by table, nor what a module writes.
        let damaged = last.findings.iter().any(|finding| finding.subject == findings::DATABASE);
        if damaged || writes_through_modules(&catalog, &written) {
            return Ok(None);
        }
        let (known, altered) = self.told(copy, &last, &catalog, &written)?;
        let mut checks = Vec::new();
        if checked {
            checks = findings::to_check_again(copy.first(), &last.keys, &written)?;
        }
        let mut held = last.findings;
        held.retain(|finding| checked && !checks.iter().any(|check| check.is_of_keys_of(&finding.subject)));
        let task = Task { known, ..Task::everything(&catalog, checks) };
        let mut after = inventory::read(copy, task, progress)?;
        after.findings.extend(held);
        after.findings.sort();
        for change in altered {
            if let Some(found) = after.fingerprint.tables.get(change.name()).cloned() {
                self.track.saw(change, found);
            }
        }
        Ok(Some(after))
    }

    /// Returns the fingerprints that are known without reading, and the changes whose outcome is to be remembered.
    fn told(
        &self,
        copy: &View,
        last: &Looked,
        catalog: &Catalog,
        written: &Written,
    ) -> Result<(BTreeMap<TableName, TableFingerprint>, Vec<Altered>), Error> {
        let now = trees::stored(copy.first())?;
        let (mut known, mut altered) = (BTreeMap::new(), Vec::new());
        for (name, table) in catalog.tables.iter().filter(|(name, _)| !name.is_bookkeeping()) {
            let then = last.stored.get(&name.name).zip(last.tables.get(name));
            let (Some((from, rows)), Some(to)) = (then, now.get(&name.name)) else { continue };
            let untouched = from.table == to.table && !written.touches(&name.name) && table.key == rows.key;
            if untouched {
                known.insert(name.clone(), rows.clone());
            } else if let Some(change) = Altered::of(name, (from, rows), to, catalog, written) {
                match self.track.seen(&change) {
                    Some(found) => drop(known.insert(name.clone(), found)),
                    None => altered.push(change),
                }
            }
        }
        Ok((known, altered))
    }
}

/// Tells whether a table was written to whose rows lie in other tables.
fn writes_through_modules(catalog: &Catalog, written: &Written) -> bool {
    let by_module = |table: &Table| matches!(table.kind, TableKind::Virtual | TableKind::Shadow);
    catalog.tables.iter().any(|(name, table)| by_module(table) && written.touches(&name.name))
}
