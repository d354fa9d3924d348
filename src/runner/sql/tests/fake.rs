//! A database in memory that keeps version rows and memories as an engine would, and runs no SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::base::Cancel;
use crate::catalog::{Catalog, DatabaseId, EngineKind, TableName};
use crate::engine::*;
use crate::fingerprint::Inventory;
use crate::history::{Direction, RevisionId, RowChange};
use crate::journal::ScriptLog;
use crate::plan::Script;
use crate::report::Progress;

/// The fake. A statement that contains `FAIL` fails; one that contains `CANCEL` raises the flag once it has run.
pub(super) struct Fake {
    identity: DatabaseId,
    pub(super) cancel: Cancel,
    pub(super) state: Mutex<Content>,
}

#[derive(Default)]
pub(super) struct Content {
    pub(super) missing: bool,
    pub(super) rows: BTreeSet<RevisionId>,
    pub(super) applied: BTreeMap<RevisionId, AppliedFile>,
    /// Every statement that ran, in order.
    pub(super) ran: Vec<String>,
}

impl Fake {
    pub(super) fn new(engine: EngineKind) -> Fake {
        let identity = DatabaseId { engine, place: "memory".into(), name: "fake".into(), system: None };
        Fake { identity, cancel: Cancel::new(), state: Mutex::default() }
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Content) -> T) -> T {
        look(&mut self.state.lock().expect("no test panics while it holds this"))
    }
}

impl Content {
    fn change_rows(&mut self, change: &RowChange) -> Result<(), Error> {
        let (gone, new) = match change {
            RowChange::Insert(new) => (None, Some(new)),
            RowChange::Delete(gone) => (Some(gone), None),
            RowChange::Update { from, to } => (Some(from), Some(to)),
        };
        let fits = gone.is_none_or(|gone| self.rows.remove(gone));
        if fits && new.is_none_or(|new| self.rows.insert(new.clone())) {
            return Ok(());
        }
        Err(Error::VersionRows { detail: format!("{change:?} does not match one row") })
    }
}

fn unsupported<T>(what: &str) -> Result<T, Error> {
    Err(Error::Unsupported { what: what.into(), why: "a runner never asks for it".into() })
}

#[async_trait]
impl Database for Fake {
    fn identity(&self) -> &DatabaseId {
        &self.identity
    }

    async fn exists(&self) -> Result<bool, Error> {
        Ok(self.with(|content| !content.missing))
    }

    async fn earlier(
        &self,
        _: &Path,
        _: &[TableName],
        _: &str,
        _: &Progress,
    ) -> Result<Box<dyn Earlier>, Error> {
        unsupported("earlier")
    }

    async fn version_rows(&self) -> Result<Vec<RevisionId>, Error> {
        self.with(|content| match content.missing {
            true => Err(Error::NotFound { place: "memory".into() }),
            false => Ok(content.rows.iter().cloned().collect()),
        })
    }

    async fn applied_files(&self) -> Result<Vec<AppliedFile>, Error> {
        Ok(self.with(|content| content.applied.values().cloned().collect()))
    }

    async fn apply(
        &self,
        script: &Script,
        book: &Bookkeeping<'_>,
        _log: &ScriptLog,
    ) -> Result<Applied, Error> {
        if let Some(bad) = script.statements.iter().find(|statement| statement.text.contains("FAIL")) {
            return Err(Error::Statement {
                place: script.place.clone(),
                line: bad.line,
                statement: bad.text.clone(),
                detail: "it was told to".into(),
            });
        }
        self.with(|content| {
            content.missing = false;
            script.rows.iter().try_for_each(|change| content.change_rows(change))?;
            content.ran.extend(script.statements.iter().map(|statement| statement.text.clone()));
            match script.direction {
                Direction::Up => content.applied.insert(script.revision.clone(), memory(script, book)),
                Direction::Down => content.applied.remove(&script.revision),
            };
            Ok::<_, Error>(())
        })?;
        if script.statements.iter().any(|statement| statement.text.contains("CANCEL")) {
            self.cancel.cancel();
        }
        Ok(Applied::nothing())
    }

    async fn export_rows(
        &self,
        _: &[Selection],
        _: Arc<dyn Outlet>,
        _: &Progress,
    ) -> Result<Vec<Exported>, Error> {
        unsupported("export_rows")
    }

    async fn restore_tables(
        &self,
        folder: &Path,
        tables: &[crate::catalog::TableName],
        expected: &Catalog,
        operation: &str,
        progress: &Progress,
    ) -> Result<Vec<crate::engine::RestoredTable>, Error> {
        let _ = (folder, tables, expected, operation, progress);
        unsupported("restore_tables")
    }

    async fn merge_back(
        &self,
        _: &[crate::engine::Piece],
        _: crate::engine::MergeMode,
        _: &str,
        _: &ScriptLog,
        _: &Progress,
    ) -> Result<crate::engine::MergedBack, Error> {
        unsupported("merge_back")
    }

    async fn merge_became(
        &self,
        _: &str,
        _: &BTreeMap<String, String>,
    ) -> Result<crate::engine::MergeBecame, Error> {
        unsupported("merge_became")
    }

    async fn lock(&self, _: &str) -> Result<Box<dyn DatabaseLock>, Error> {
        unsupported("lock")
    }

    async fn preflight(&self, _: &Need<'_>) -> Result<Preflight, Error> {
        unsupported("preflight")
    }

    async fn catalog(&self) -> Result<Catalog, Error> {
        unsupported("catalog")
    }

    async fn inventory(&self, _: &Progress) -> Result<Inventory, Error> {
        unsupported("inventory")
    }

    async fn snapshot(&self, _: &Path, _: &Progress) -> Result<Snapshot, Error> {
        unsupported("snapshot")
    }

    async fn rehearsal(
        &self,
        _: &Path,
        _: &Snapshot,
        _: &str,
        _: &Progress,
    ) -> Result<Box<dyn RehearsalCopy>, Error> {
        unsupported("rehearsal")
    }

    async fn prove(&self, _: &Path, _: &Snapshot, _: &str, _: &Progress) -> Result<Proof, Error> {
        unsupported("prove")
    }

    async fn mark(&self) -> Result<WriteMark, Error> {
        unsupported("mark")
    }

    async fn others_wrote_since(&self, _: &WriteMark) -> Result<OtherWrites, Error> {
        unsupported("others_wrote_since")
    }

    async fn stage(&self, _: &Path, _: &Inventory, _: &str, _: &Progress) -> Result<Staged, Error> {
        unsupported("stage")
    }

    async fn swap(&self, _: &Staged, _: &str, _: &ScriptLog) -> Result<Swapped, Error> {
        unsupported("swap")
    }

    async fn tidy(&self, _: &str, _: &BTreeMap<String, String>) -> Result<Vec<String>, Error> {
        unsupported("tidy")
    }

    fn restore_script(&self, _: &Snapshot) -> String {
        String::new()
    }
}

fn memory(script: &Script, book: &Bookkeeping<'_>) -> AppliedFile {
    AppliedFile {
        revision: script.revision.clone(),
        sha256: script.sha256.clone(),
        applied_at: book.at.to_rfc3339(),
        operation: book.operation.to_owned(),
    }
}
