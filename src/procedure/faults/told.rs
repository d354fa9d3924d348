//! Real ports that can be told to fail where a real one cannot be made to, and that remember what was asked of them.
//!
//! They add nothing of their own: what is not told is what a real SQLite database and a real folder of backups do.

use crate::catalog::{Catalog, DatabaseId, TableName};
use crate::engine::{self, *};
use crate::fingerprint::Inventory;
use crate::history::RevisionId;
use crate::journal::ScriptLog;
use crate::plan::Script;
use crate::report::Progress;
use crate::store::{self, Backup, BackupStore, Damage, Draft, Listed, Manifest};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What the ports are told, and what they have heard.
#[derive(Default)]
pub(super) struct Told {
    rules: Mutex<BTreeMap<&'static str, Rule>>,
    heard: Mutex<Vec<String>>,
}

type Deed = Arc<dyn Fn() + Send + Sync>;
type Reason = Arc<dyn Fn() -> engine::Error + Send + Sync>;

#[derive(Clone)]
enum Rule {
    /// Fails and does nothing.
    Fails(Reason),
    /// Does it and fails nevertheless.
    FailsAfterwards,
    /// Something else happens first.
    Meanwhile(Deed),
    /// Something else happens right after it.
    Afterwards(Deed),
    /// Says that nobody wrote, whoever did: the merge itself is then the only one who can have.
    Nobody,
}

impl Told {
    pub(super) fn fails(&self, what: &'static str) -> &Self {
        self.fails_with(what, move || as_told(what))
    }

    pub(super) fn fails_with(
        &self,
        what: &'static str,
        reason: impl Fn() -> engine::Error + Send + Sync + 'static,
    ) -> &Self {
        self.set(what, Rule::Fails(Arc::new(reason)))
    }

    pub(super) fn fails_afterwards(&self, what: &'static str) -> &Self {
        self.set(what, Rule::FailsAfterwards)
    }

    pub(super) fn meanwhile(&self, what: &'static str, deed: impl Fn() + Send + Sync + 'static) -> &Self {
        self.set(what, Rule::Meanwhile(Arc::new(deed)))
    }

    pub(super) fn afterwards(&self, what: &'static str, deed: impl Fn() + Send + Sync + 'static) -> &Self {
        self.set(what, Rule::Afterwards(Arc::new(deed)))
    }

    pub(super) fn says_that_nobody_wrote(&self) -> &Self {
        self.set("others wrote", Rule::Nobody)
    }

    fn set(&self, what: &'static str, rule: Rule) -> &Self {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).insert(what, rule);
        self
    }

    /// Takes all rules back and forgets what was heard.
    pub(super) fn forget(&self) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn hear(&self, what: impl Into<String>) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(what.into());
    }

    /// Everything that was asked for, in order.
    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn has_heard(&self, what: &str) -> bool {
        self.heard().iter().any(|heard| heard == what)
    }

    fn rule(&self, what: &str) -> Option<Rule> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).get(what).cloned()
    }

    fn before(&self, what: &str) -> Result<(), engine::Error> {
        self.hear(what);
        match self.rule(what) {
            Some(Rule::Fails(reason)) => Err(reason()),
            Some(Rule::Meanwhile(deed)) => {
                deed();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn after<T>(&self, what: &'static str, done: T) -> Result<T, engine::Error> {
        match self.rule(what) {
            Some(Rule::FailsAfterwards) => Err(as_told(what)),
            Some(Rule::Afterwards(deed)) => {
                deed();
                Ok(done)
            }
            _ => Ok(done),
        }
    }
}

fn as_told(what: &str) -> engine::Error {
    engine::Error::Driver { doing: what.to_string(), detail: "as told".to_string() }
}

/// A store's own error of the same kind.
fn no_room(error: engine::Error) -> store::Error {
    let source = std::io::Error::other(error.to_string());
    store::Error::Io { place: "the store".into(), doing: "written", source }
}

pub(super) struct ToldDatabase {
    pub(super) inner: engine::sqlite::SqliteDatabase,
    pub(super) told: Arc<Told>,
}

/// Asks the real one, unless told otherwise.
macro_rules! told {
    ($self:ident, $what:literal, $work:expr) => {{
        $self.told.before($what)?;
        let done = $work.await?;
        $self.told.after($what, done)
    }};
}

#[async_trait]
impl Database for ToldDatabase {
    fn identity(&self) -> &DatabaseId {
        self.inner.identity()
    }

    async fn exists(&self) -> Result<bool, Error> {
        self.inner.exists().await
    }

    async fn lock(&self, operation: &str) -> Result<Box<dyn DatabaseLock>, Error> {
        told!(self, "lock", self.inner.lock(operation))
    }

    async fn begun(&self, operation: &str) {
        self.inner.begun(operation).await;
    }

    async fn preflight(&self, need: &Need<'_>) -> Result<Preflight, Error> {
        told!(self, "preflight", self.inner.preflight(need))
    }

    async fn catalog(&self) -> Result<Catalog, Error> {
        told!(self, "catalog", self.inner.catalog())
    }

    async fn inventory(&self, progress: &Progress) -> Result<Inventory, Error> {
        told!(self, "inventory", self.inner.inventory(progress))
    }

    async fn inventory_after(
        &self,
        before: &Inventory,
        folder: &Path,
        progress: &Progress,
    ) -> Result<Inventory, Error> {
        told!(self, "inventory after", self.inner.inventory_after(before, folder, progress))
    }

    async fn contents_after(
        &self,
        before: &Inventory,
        folder: &Path,
        progress: &Progress,
    ) -> Result<Inventory, Error> {
        told!(self, "contents after", self.inner.contents_after(before, folder, progress))
    }

    async fn snapshot(&self, folder: &Path, progress: &Progress) -> Result<Snapshot, Error> {
        told!(self, "snapshot", self.inner.snapshot(folder, progress))
    }

    async fn prove(
        &self,
        folder: &Path,
        taken: &Snapshot,
        operation: &str,
        progress: &Progress,
    ) -> Result<Proof, Error> {
        told!(self, "prove", self.inner.prove(folder, taken, operation, progress))
    }

    async fn rehearsal(
        &self,
        folder: &Path,
        taken: &Snapshot,
        operation: &str,
        progress: &Progress,
    ) -> Result<Box<dyn RehearsalCopy>, Error> {
        told!(self, "rehearsal", self.inner.rehearsal(folder, taken, operation, progress))
    }

    async fn earlier(
        &self,
        folder: &Path,
        tables: &[TableName],
        operation: &str,
        progress: &Progress,
    ) -> Result<Box<dyn Earlier>, Error> {
        told!(self, "earlier", self.inner.earlier(folder, tables, operation, progress))
    }

    async fn version_rows(&self) -> Result<Vec<RevisionId>, Error> {
        told!(self, "version rows", self.inner.version_rows())
    }

    async fn applied_files(&self) -> Result<Vec<AppliedFile>, Error> {
        self.inner.applied_files().await
    }

    async fn apply(
        &self,
        script: &Script,
        book: &Bookkeeping<'_>,
        log: &ScriptLog,
    ) -> Result<Applied, Error> {
        told!(self, "apply", self.inner.apply(script, book, log))
    }

    async fn mark(&self) -> Result<WriteMark, Error> {
        told!(self, "mark", self.inner.mark())
    }

    async fn others_wrote_since(&self, mark: &WriteMark) -> Result<OtherWrites, Error> {
        let wrote = told!(self, "others wrote", self.inner.others_wrote_since(mark))?;
        let denied = matches!(self.told.rule("others wrote"), Some(Rule::Nobody));
        Ok(if denied { OtherWrites::Nobody } else { wrote })
    }

    async fn stage(
        &self,
        folder: &Path,
        expected: &Inventory,
        operation: &str,
        progress: &Progress,
    ) -> Result<Staged, Error> {
        told!(self, "stage", self.inner.stage(folder, expected, operation, progress))
    }

    async fn swap(&self, staged: &Staged, operation: &str, log: &ScriptLog) -> Result<Swapped, Error> {
        told!(self, "swap", self.inner.swap(staged, operation, log))
    }

    async fn tidy(&self, operation: &str, facts: &BTreeMap<String, String>) -> Result<Vec<String>, Error> {
        told!(self, "tidy", self.inner.tidy(operation, facts))
    }

    async fn restore_tables(
        &self,
        folder: &Path,
        tables: &[crate::catalog::TableName],
        expected: &Catalog,
        operation: &str,
        progress: &Progress,
    ) -> Result<Vec<crate::engine::RestoredTable>, Error> {
        let done = self.inner.restore_tables(folder, tables, expected, operation, progress);
        told!(self, "restore tables", done)
    }

    async fn merge_back(
        &self,
        pieces: &[Piece],
        mode: MergeMode,
        operation: &str,
        log: &ScriptLog,
        progress: &Progress,
    ) -> Result<MergedBack, Error> {
        told!(self, "merge back", self.inner.merge_back(pieces, mode, operation, log, progress))
    }

    async fn merge_became(
        &self,
        operation: &str,
        facts: &BTreeMap<String, String>,
    ) -> Result<engine::MergeBecame, Error> {
        told!(self, "merge became", self.inner.merge_became(operation, facts))
    }

    async fn forget_merge(&self, operation: &str) -> Result<(), Error> {
        told!(self, "forget merge", self.inner.forget_merge(operation))
    }

    async fn export_rows(
        &self,
        selections: &[Selection],
        outlet: Arc<dyn Outlet>,
        progress: &Progress,
    ) -> Result<Vec<Exported>, Error> {
        told!(self, "export rows", self.inner.export_rows(selections, outlet, progress))
    }

    fn restore_script(&self, taken: &Snapshot) -> String {
        self.inner.restore_script(taken)
    }
}

pub(super) struct ToldStore {
    pub(super) inner: store::local::LocalStore,
    pub(super) told: Arc<Told>,
}

#[async_trait]
impl BackupStore for ToldStore {
    fn place(&self) -> &Path {
        self.inner.place()
    }

    async fn draft(&self, id: &str) -> Result<Draft, store::Error> {
        self.told.before("draft").map_err(no_room)?;
        self.inner.draft(id).await
    }

    async fn publish(
        &self,
        draft: Draft,
        manifest: Manifest,
        progress: &Progress,
    ) -> Result<Backup, store::Error> {
        self.told.before("publish").map_err(no_room)?;
        self.inner.publish(draft, manifest, progress).await
    }

    async fn discard(&self, draft: Draft) -> Result<(), store::Error> {
        self.told.before("discard").map_err(no_room)?;
        self.inner.discard(draft).await
    }

    async fn add(&self, id: &str, name: &str, bytes: &[u8]) -> Result<(), store::Error> {
        self.told.before(&format!("add {name}")).map_err(no_room)?;
        self.inner.add(id, name, bytes).await
    }

    async fn add_file(&self, id: &str, name: &str, from: &Path) -> Result<(), store::Error> {
        self.told.before(&format!("add {name}")).map_err(no_room)?;
        self.inner.add_file(id, name, from).await
    }

    async fn list(&self) -> Result<Vec<Listed>, store::Error> {
        self.inner.list().await
    }

    async fn open(&self, id: &str) -> Result<Backup, store::Error> {
        self.inner.open(id).await
    }

    async fn verify(&self, backup: &Backup, progress: &Progress) -> Result<Vec<Damage>, store::Error> {
        self.told.before("verify backup").map_err(no_room)?;
        self.inner.verify(backup, progress).await
    }

    async fn verify_chain(&self) -> Result<Vec<(String, Damage)>, store::Error> {
        self.inner.verify_chain().await
    }

    async fn tidy(&self, operation: &str) -> Result<Vec<String>, store::Error> {
        self.told.before("tidy backups").map_err(no_room)?;
        self.inner.tidy(operation).await
    }
}
