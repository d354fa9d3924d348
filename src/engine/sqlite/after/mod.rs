//! Looking at a database after a change, without reading what did not change.
//!
//! The snapshot is a copy of the database before the change, page by page. A table whose root is still where it was, whose
//! definition is the same text, and none of whose pages differs, holds the same rows: every page that can be reached from
//! its root is a page it had. Its fingerprint is the one it had; only the others are read. The same holds for the
//! integrity of a table and its indexes and for the foreign keys between two tables.
//!
//! Which page belongs to which table is asked of SQLite itself (`dbstat`, <https://www.sqlite.org/dbstat.html>), smallest
//! tables first, and only until every page that differs has an owner. Whenever anything is out of the ordinary (another page
//! size, a page without an owner, a WAL that changes under our eyes, damage that was known before) everything is read.

mod copy;
mod pages;
mod track;
mod trees;

pub(super) use track::Track;

use super::Site;
use super::findings::{self, Check, KeyPart};
use super::inventory::{self, Depth};
use super::scan::Task;
use super::session::Session;
use super::snapshot::file_in;
use super::view::View;
use super::wal::Frames;
use super::written::Written;
use crate::catalog::{Catalog, Finding, Table, TableKind, TableName};
use crate::engine::Error;
use crate::fingerprint::{ALGORITHM, Inventory, TableFingerprint};
use crate::report::Progress;
use pages::Pages;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use track::{Altered, Looked, Stand};
use trees::Stored;

/// What is the same as before, by the name of the table.
#[derive(Debug, Default)]
struct Same {
    /// Tables with the same rows.
    rows: BTreeSet<String>,
    /// Tables with the same rows and the same indexes.
    whole: BTreeSet<String>,
    /// Tables with the same pages and the same indexes, but another definition: a column was added.
    pages: BTreeSet<String>,
    /// Tables with the same pages, but another definition: how they were stored, and are.
    altered: BTreeMap<String, (Stored, Stored)>,
    /// The foreign keys as they were.
    keys: BTreeMap<String, Vec<KeyPart>>,
}

impl Site {
    /// Returns the same as a full inventory would.
    pub(super) fn inventory_after(
        &self,
        before: &Inventory,
        folder: &Path,
        progress: &Progress,
    ) -> Result<Inventory, Error> {
        self.look_after(before, folder, true, progress)
    }

    /// Returns the same without findings.
    pub(super) fn contents_after(
        &self,
        before: &Inventory,
        folder: &Path,
        progress: &Progress,
    ) -> Result<Inventory, Error> {
        self.look_after(before, folder, false, progress)
    }

    fn look_after(
        &self,
        before: &Inventory,
        folder: &Path,
        checked: bool,
        progress: &Progress,
    ) -> Result<Inventory, Error> {
        self.note_look()?;
        let mut live = View::of_live(self, self.workers())?;
        if self.options.is_copy {
            let told = self.look_at_copy(&mut live, before, folder, checked, progress)?;
            let after = match told {
                Some(after) => after,
                None => self.look_at_pages(&mut live, before, folder, checked, progress)?,
            };
            let stand = if checked {
                Stand::Looked(Box::new(Looked::of(live.first(), &after)?))
            } else {
                Stand::Lost
            };
            self.track.looked(stand);
            return Ok(after);
        }
        self.look_at_pages(&mut live, before, folder, checked, progress)
    }

    fn look_at_pages(
        &self,
        live: &mut View,
        before: &Inventory,
        folder: &Path,
        checked: bool,
        progress: &Progress,
    ) -> Result<Inventory, Error> {
        let same = self.same_as_before(live, before, folder)?;
        let catalog = super::catalog::read(live.first())?;
        let same = match (same, checked) {
            (Some(same), _) => same,
            (None, false) => Same::default(),
            (None, true) => {
                let depth = if self.options.is_copy { Depth::Quick } else { Depth::Full };
                return inventory::take(live, depth, progress);
            }
        };
        let written = self.track.written();
        let (checks, findings) = match checked {
            true => checks(live.first(), &catalog, before, (&same, self.options.is_copy), &written)?,
            false => Default::default(),
        };
        let mut known = known(&catalog, before, &same);
        if !written.is_untold() {
            known.extend(self.seen_on_the_copy(&catalog, before, &same, &written));
        }
        let mut after =
            inventory::read(live, Task { known, ..Task::everything(&catalog, checks) }, progress)?;
        after.findings.extend(findings);
        after.findings.sort();
        Ok(after)
    }

    /// Returns what tables hold whose pages are the same and whose definition changed as it did on the copy.
    fn seen_on_the_copy(
        &self,
        catalog: &Catalog,
        before: &Inventory,
        same: &Same,
        written: &Written,
    ) -> BTreeMap<TableName, TableFingerprint> {
        let seen = |(name, (from, to)): (&String, &(Stored, Stored))| {
            let name = TableName::plain(name);
            let rows = before.fingerprint.tables.get(&name)?;
            let change = Altered::of(&name, (from, rows), to, catalog, written)?;
            Some((name, self.track.seen(&change)?))
        };
        same.altered.iter().filter_map(seen).collect()
    }

    /// Finds out what is the same; `None` when that cannot be told.
    fn same_as_before(
        &self,
        live: &mut View,
        before: &Inventory,
        folder: &Path,
    ) -> Result<Option<Same>, Error> {
        let snapshot = file_in(folder);
        // What the checks of the whole file say cannot be told table by table.
        let damaged_before = before.findings.iter().any(|finding| finding.subject == findings::DATABASE);
        if damaged_before || before.fingerprint.algorithm != ALGORITHM || !self.path.exists() {
            return Ok(None);
        }
        let mut copies = match View::of_copy(&snapshot, live.sessions().len(), &self.options.cancel) {
            Ok(copies) => copies,
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            // The way back is gone, but that is not what was asked here.
            Err(_) => return Ok(None),
        };
        let page_size = |session: &Session| session.one::<i64>("reading the settings", "PRAGMA page_size");
        let size = page_size(copies.first())?.unsigned_abs();
        if page_size(live.first())?.unsigned_abs() != size {
            return Ok(None);
        }
        let frames = match (live.first().pragma("journal_mode")?.as_str(), live.wal()) {
            ("wal", None) => return Ok(None),
            ("wal", Some(state)) => match Frames::find(live.first(), state)? {
                None => return Ok(None),
                frames => frames,
            },
            _ => None,
        };
        let cancel = &self.options.cancel;
        match pages::changed(copies.sessions(), live.sessions(), frames.as_ref(), size, cancel)? {
            Some(changed) => compare_trees(copies.first(), live.first(), changed, before, size),
            None => Ok(None),
        }
    }
}

fn compare_trees(
    copy: &Session,
    live: &Session,
    mut changed: Pages,
    before: &Inventory,
    page_size: u64,
) -> Result<Option<Same>, Error> {
    let (old, new) = (trees::stored(copy)?, trees::stored(live)?);
    pages::take_out_unowned(&mut changed, copy, page_size)?;
    let mut same = Same { keys: findings::referencing(copy)?, ..Same::default() };
    for (name, stored) in smallest_first(&old, before) {
        let mut rows_same = true;
        let mut whole_same = true;
        if !changed.is_empty() {
            rows_same = !trees::take_pages_of(&stored.table, &mut changed, copy)?;
            for index in &stored.indexes {
                whole_same &= changed.is_empty() || !trees::take_pages_of(index, &mut changed, copy)?;
            }
        }
        let Some(now) = new.get(name).filter(|now| rows_same && now.table.root == stored.table.root) else {
            continue;
        };
        let same_indexes = whole_same && now.indexes == stored.indexes;
        let same_text = now.table.sql == stored.table.sql;
        if !same_text {
            same.altered.insert(name.clone(), (stored.clone(), now.clone()));
        }
        for (holds, set) in [
            (same_text, &mut same.rows),
            (same_text && same_indexes, &mut same.whole),
            (!same_text && same_indexes, &mut same.pages),
        ] {
            if holds {
                set.insert(name.clone());
            }
        }
    }
    // A page that differs and belongs to nobody means that something was not understood.
    Ok(changed.is_empty().then_some(same))
}

/// Orders tables by how long it takes to walk through their pages, as far as their rows tell.
fn smallest_first<'t>(
    stored: &'t BTreeMap<String, Stored>,
    before: &Inventory,
) -> Vec<(&'t String, &'t Stored)> {
    let rows =
        |name: &String| before.fingerprint.tables.get(&TableName::plain(name)).map_or(0, |table| table.rows);
    let mut tables: Vec<_> = stored.iter().collect();
    tables.sort_by_key(|(name, _)| rows(name));
    tables
}

/// Returns the fingerprints that need not be computed again.
fn known(catalog: &Catalog, before: &Inventory, same: &Same) -> BTreeMap<TableName, TableFingerprint> {
    let key = |catalog: &Catalog, name: &TableName| catalog.tables.get(name).map(|table| table.key.clone());
    // The digests of columns are bound to the key, and a new index can make another one of the same columns.
    let is_same =
        |name: &TableName| same.rows.contains(&name.name) && key(catalog, name) == key(&before.catalog, name);
    let tables = before.fingerprint.tables.iter().filter(|(name, _)| is_same(name));
    tables.map(|(name, table)| (name.clone(), table.clone())).collect()
}

/// Returns the checks that have to be run again, and what the others found before.
fn checks(
    live: &Session,
    catalog: &Catalog,
    before: &Inventory,
    (same, is_copy): (&Same, bool),
    written: &Written,
) -> Result<(Vec<Check>, Vec<Finding>), Error> {
    let (mut checks, mut found) = (Vec::new(), Vec::new());
    let is_same = |name: &str| same.whole.iter().any(|whole| whole.eq_ignore_ascii_case(name));
    let stored = |table: &Table| table.kind != TableKind::Virtual;
    let a_shadow_changed =
        catalog.tables.iter().any(|(name, table)| table.kind == TableKind::Shadow && !is_same(&name.name));
    for (name, table) in &catalog.tables {
        let is_new = !before.catalog.tables.contains_key(name);
        // A virtual table has no pages; whether it fits its shadow tables is a check of its own.
        if (stored(table) && !is_same(&name.name)) || (!stored(table) && (a_shadow_changed || is_new)) {
            // Where no page differs the indexes still have the rows of the table; only what the new definition asks of
            // the rows has to be looked at, and where it was altered by a statement SQLite has done that.
            let same_pages = same.pages.contains(&name.name);
            if same_pages && !written.has_rows_of(&name.name) && written.has_altered(&name.name) {
                continue;
            }
            // Nor has more to be looked at on a copy, whose pages nobody will use.
            let quick = is_copy || same_pages;
            let check = if quick { Check::QuickOf } else { Check::IntegrityOf };
            checks.push(check(name.name.clone()));
        }
    }
    let same_rows =
        |name: &str| is_same(name) || same.pages.iter().any(|pages| pages.eq_ignore_ascii_case(name));
    for (child, keys) in findings::referencing(live)? {
        let same_keys = same.keys.get(&child) == Some(&keys);
        if same_keys && same_rows(&child) && keys.iter().all(|key| same_rows(&key.parent)) {
            found.extend(before.findings.iter().filter(|finding| finding.subject == child).cloned());
        } else {
            checks.push(Check::ForeignKeysOf(child));
        }
    }
    Ok((checks, found))
}
