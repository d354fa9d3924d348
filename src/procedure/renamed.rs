//! What a table of a backup is called now: an upgrade may have renamed it, and another table may have its name since.
//!
//! Every operation that changed the database since the snapshot is followed, in order. Its ledger says where the rows of a
//! table went; where nothing was rehearsed, the inventories of its two ends say it, and beside both what its statements rename
//! themselves. Where these leave it open nothing is guessed: it is said which operation nobody can see through. A table that
//! was dropped keeps its name, because whoever makes one again under that name means it. What was renamed by other
//! programs is in no journal; only that another table has the name now is seen, by its columns.

mod change;

use super::snapshot::read_inventory;
use super::{Ports, readable};
use crate::catalog::{Catalog, Column, TableName};
use crate::history::RevisionId;
use crate::journal::{self, OperationState};
use crate::report::{Aftermath, Kind};
use crate::store::Backup;
use std::collections::{BTreeMap, BTreeSet};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What a table and some columns of it are called now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Now {
    pub table: TableName,
    /// By the name of then; each of those that were asked for.
    pub columns: BTreeMap<String, String>,
    /// The last operation that renamed one of them.
    pub by: Option<String>,
}

/// Why nobody can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unsure {
    /// The operation that nobody can see through.
    pub operation: String,
    /// What the table may be called now.
    pub perhaps: Option<String>,
}

/// What happened to a database since a snapshot.
pub(super) struct Trail {
    /// The version rows at the snapshot.
    home: BTreeSet<RevisionId>,
    legs: Vec<Leg>,
    /// What the database consisted of when the last change was over, where that is known.
    known: Option<Catalog>,
}

/// One operation.
struct Leg {
    id: String,
    kind: Kind,
    ended: Option<Aftermath>,
    /// The version rows that it ended with.
    to: BTreeSet<RevisionId>,
    /// The backup that it put back.
    restores: Option<String>,
    /// The backup that was taken before it.
    backup: Option<Backup>,
}

impl Now {
    /// Tells whether the table of that name, or one of its columns, has another name now.
    pub(super) fn is_renamed(&self, table: &TableName) -> bool {
        self.table != *table || self.columns.iter().any(|(then, now)| then != now)
    }

    fn same(table: &TableName, columns: &[String]) -> Self {
        let columns = columns.iter().map(|column| (column.clone(), column.clone())).collect();
        Self { table: table.clone(), columns, by: None }
    }
}

impl Trail {
    /// Finds what happened since the snapshot of a backup.
    pub(super) async fn since(ports: &Ports<'_>, backup: &Backup) -> Result<Self, Cause> {
        let home = rows(&backup.manifest.from);
        // Where the database is back where the snapshot was taken, everything has its name of then, whoever led it there.
        if rows(&ports.database.version_rows().await?) == home {
            return Ok(Self { home, legs: Vec::new(), known: None });
        }
        let names = [ports.identity(), &backup.manifest.database];
        let mut listed: BTreeMap<String, Backup> = BTreeMap::new();
        for found in readable(ports).await? {
            listed.insert(found.manifest.id.clone(), found);
        }
        let mut legs = Vec::new();
        for state in ports.journal.operations()? {
            let found = listed.remove(&state.operation);
            if names.iter().any(|name| state.database.is_same(name)) {
                legs.push((state.begun, Leg::of(&state, found)));
            }
        }
        // The copy of a journal in its backup is what is left when a folder of backups was moved.
        for (_, found) in listed {
            if names.iter().any(|name| found.manifest.database.is_same(name)) {
                legs.push((found.manifest.created, Leg::of_backup(found)));
            }
        }
        legs.sort_by(|one, other| (one.0, &one.1.id).cmp(&(other.0, &other.1.id)));
        let mut legs: Vec<Leg> = legs.into_iter().map(|(_, leg)| leg).collect();
        let first = legs.iter().position(|leg| leg.id == backup.manifest.id).unwrap_or(legs.len());
        legs.drain(..first);
        let mut trail = Self { home, legs, known: None };
        trail.known = trail.last_known(backup);
        Ok(trail)
    }

    /// Follows a table and columns of it from the snapshot on.
    pub(super) fn follow(&self, table: &TableName, columns: &[String]) -> Result<Now, Unsure> {
        let begun = Ok(Now::same(table, columns));
        let (mut now, mut before) = (begun.clone(), BTreeMap::new());
        for leg in &self.legs {
            before.insert(leg.id.as_str(), now.clone());
            if leg.changed_nothing() {
                continue;
            }
            now = match &leg.restores {
                _ if leg.ended != Some(Aftermath::Changed) => Err(leg.unsure(None)),
                Some(restored) => match before.get(restored.as_str()) {
                    Some(then) => then.clone(),
                    None => Err(leg.unsure(None)),
                },
                // The way back leads home, where everything has its names of then.
                None if leg.to == self.home => begun.clone(),
                None => now.and_then(|now| change::follow(leg, now)),
            };
        }
        now
    }

    /// Tells whether a live table is another one than the one that was known by this name last: nothing beside `except` is left
    /// of what its columns were.
    pub(super) fn is_another(&self, live: &Catalog, table: &TableName, except: &[String]) -> bool {
        let known = self.known.as_ref().and_then(|known| known.tables.get(table));
        let (Some(known), Some(live)) = (known, live.tables.get(table)) else { return false };
        let mut told = known.columns.iter().filter(|column| !except.contains(&column.name)).peekable();
        let is_there = |wanted: &Column| live.columns.iter().any(|column| column.name == wanted.name);
        told.peek().is_some() && !told.any(is_there)
    }

    fn last_known(&self, backup: &Backup) -> Option<Catalog> {
        let mut before: BTreeMap<&str, &Leg> = BTreeMap::new();
        let mut known = Some((backup, "before.json"));
        for leg in &self.legs {
            before.insert(&leg.id, leg);
            if leg.changed_nothing() {
                continue;
            }
            known = match &leg.restores {
                Some(restored) => before
                    .get(restored.as_str())
                    .and_then(|then| Some((then.backup.as_ref()?, "before.json"))),
                None => leg.backup.as_ref().map(|backup| (backup, "after.json")),
            };
        }
        let (backup, name) = known?;
        read_inventory(backup, name).ok().map(|inventory| inventory.catalog)
    }
}

impl Leg {
    fn of(state: &OperationState, backup: Option<Backup>) -> Self {
        let restores = state.facts.get("restores").filter(|_| state.kind == Kind::Restore);
        Self {
            id: state.operation.clone(),
            kind: state.kind,
            ended: state.ended,
            to: rows(&state.to),
            restores: restores.cloned(),
            backup,
        }
    }

    fn of_backup(backup: Backup) -> Self {
        match journal::state_in(&backup.folder.join("journal.jsonl")) {
            Some(state) => Self::of(&state, Some(backup)),
            None => Self {
                id: backup.manifest.id.clone(),
                kind: backup.manifest.kind,
                ended: backup.folder.join("after.json").exists().then_some(Aftermath::Changed),
                to: rows(&backup.manifest.to),
                restores: None,
                backup: Some(backup),
            },
        }
    }

    /// Tells whether every table is called as before it.
    fn changed_nothing(&self) -> bool {
        let renames = matches!(self.kind, Kind::Upgrade | Kind::Downgrade | Kind::Restore);
        !renames || matches!(self.ended, Some(Aftermath::Unchanged | Aftermath::PutBack))
    }

    fn unsure(&self, perhaps: Option<String>) -> Unsure {
        Unsure { operation: self.id.clone(), perhaps }
    }
}

fn rows(rows: &[RevisionId]) -> BTreeSet<RevisionId> {
    rows.iter().cloned().collect()
}
