//! What scripts did since the last snapshot, and what looks have found then.
//!
//! A definition that the same statements change in the same way, over the same rows, while none of them writes into the
//! table, gives the same rows: what one look has read under it, the next one need not read. That is the case of the second
//! way there of a rehearsal, and of the real run after it.

use super::super::findings;
use super::super::findings::KeyPart;
use super::super::session::Session;
use super::super::written::Written;
use super::trees::{self, Stored};
use crate::catalog::{Catalog, Finding, TableName};
use crate::engine::Error;
use crate::fingerprint::{Inventory, TableFingerprint};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is known of one database since its last snapshot. A copy of it shares what was seen.
#[derive(Debug, Default)]
pub(in super::super) struct Track {
    written: Mutex<Written>,
    stand: Mutex<Stand>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// How a copy was left by the last look at it.
#[derive(Clone, Debug, Default)]
pub(super) enum Stand {
    /// Nobody has looked: it is as the snapshot.
    #[default]
    Snapshot,
    Looked(Box<Looked>),
    /// Nobody can tell.
    Lost,
}

/// What a look has found, as far as the next one needs it.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    pub stored: BTreeMap<String, Stored>,
    pub keys: BTreeMap<String, Vec<KeyPart>>,
    pub tables: BTreeMap<TableName, TableFingerprint>,
    pub findings: Vec<Finding>,
}

impl Looked {
    /// Reads what is stored through `session`; rows and findings are those of `inventory`.
    pub(super) fn of(session: &Session, inventory: &Inventory) -> Result<Self, Error> {
        Ok(Self {
            stored: trees::stored(session)?,
            keys: findings::referencing(session)?,
            tables: inventory.fingerprint.tables.clone(),
            findings: inventory.findings.clone(),
        })
    }
}

/// What a table holds that was altered: by what, from what, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    change: Altered,
    found: TableFingerprint,
}

/// A table whose definition changed, and nothing was written into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Altered {
    name: TableName,
    statements: Vec<String>,
    from: Option<String>,
    rows: TableFingerprint,
    to: Option<String>,
    /// The digests of columns are bound to it.
    key: Vec<String>,
}

impl Altered {
    pub(super) fn name(&self) -> &TableName {
        &self.name
    }

    /// Returns the change of a table, if it was one of its definition alone: it begins at the page where it began.
    pub(super) fn of(
        name: &TableName,
        (from, rows): (&Stored, &TableFingerprint),
        to: &Stored,
        catalog: &Catalog,
        written: &Written,
    ) -> Option<Self> {
        let is_altered = from.table.root == to.table.root && !written.has_rows_of(&name.name);
        is_altered.then(|| Self {
            name: name.clone(),
            statements: written.statements.clone(),
            from: from.table.sql.clone(),
            rows: rows.clone(),
            to: to.table.sql.clone(),
            key: catalog.tables.get(name).map(|table| table.key.clone()).unwrap_or_default(),
        })
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Track {
    /// Returns what a copy of the database starts with.
    pub(in super::super) fn of_copy(&self) -> Self {
        Self { seen: Arc::clone(&self.seen), ..Self::default() }
    }

    /// Begins anew, with a snapshot.
    pub(in super::super) fn begin(&self) {
        *lock(&self.written) = Written::default();
        *lock(&self.stand) = Stand::default();
        lock(&self.seen).clear();
    }

    /// Takes what a script did.
    pub(in super::super) fn wrote(&self, written: Written) {
        lock(&self.written).add(written);
    }

    /// Returns what scripts did since the snapshot, or since the last look at a copy.
    pub(super) fn written(&self) -> Written {
        lock(&self.written).clone()
    }

    pub(super) fn stand(&self) -> Stand {
        lock(&self.stand).clone()
    }

    /// Remembers how a look has left a copy; what scripts do is told from here on.
    pub(super) fn looked(&self, stand: Stand) {
        *lock(&self.stand) = stand;
        *lock(&self.written) = Written::default();
    }

    /// Remembers what a table holds that was altered.
    pub(super) fn saw(&self, change: Altered, found: TableFingerprint) {
        lock(&self.seen).push(Seen { change, found });
    }

    /// Returns what a table holds that was altered in the same way before.
    pub(super) fn seen(&self, change: &Altered) -> Option<TableFingerprint> {
        lock(&self.seen).iter().find(|seen| seen.change == *change).map(|seen| seen.found.clone())
    }
}
