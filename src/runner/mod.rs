//! Migration runners: what knows the revisions of a project and can run them.

pub mod sql;

#[cfg(test)]
pub(crate) mod contract;
mod error;

pub use error::Error;

use crate::base::hash;
use crate::engine::{Applied, Bookkeeping, Database};
use crate::history::{Direction, History};
use crate::journal::ScriptLog;
use crate::ledger::Irreversible;
use crate::plan::Plan;
use async_trait::async_trait;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Knows the revisions of a project and runs them on one database.
#[async_trait]
pub trait MigrationRunner: Send + Sync {
    /// Returns the graph of revisions. Reads files only.
    fn history(&self) -> Result<History, Error>;

    /// Plans the way from the database's version rows to `target`. Refuses what must not run: an applied file that was
    /// edited, a version row without a file, a step without a section for this engine. Writes nothing.
    async fn plan(&self, direction: Direction, target: &str) -> Result<Plan, Error>;

    /// Runs the plan, script by script, journalling through `log`. Stops at the first failure, and between scripts
    /// when the operation is cancelled.
    async fn run(&self, plan: &Plan, book: &Bookkeeping<'_>, log: &ScriptLog) -> Result<Applied, Error>;

    /// Returns the way back from where a plan leads to where it begins: the same revisions in reverse order. Asks no
    /// database.
    fn reverse(&self, plan: &Plan) -> Result<Reverse, Error>;

    /// Returns the way back as the copies of the files in the folder of a backup have it. A revision without a copy has none.
    fn reverse_as_kept(&self, plan: &Plan, folder: &Path) -> Result<Reverse, Error>;

    /// Returns the same runner for another database: a copy on which a migration is rehearsed.
    fn on(&self, database: Arc<dyn Database>) -> Box<dyn MigrationRunner>;

    /// Returns the files that a backup keeps a copy of, so that the way down is there even if the project moves on.
    fn files(&self) -> Result<Vec<PathBuf>, Error>;
}

/// The way back of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reverse {
    Plan(Plan),
    /// There is none: these revisions cannot be taken back.
    Irreversible(Vec<Irreversible>),
}

impl Reverse {
    /// Returns a SHA-256 of what it does, in hexadecimal: the statements as they are written, and how they run. Two that
    /// differ only in what stands between statements, comments or empty lines, have the same.
    pub fn sha256(&self) -> String {
        let Self::Plan(plan) = self else { return hash::sha256_hex("irreversible") };
        let mut text = String::new();
        for script in &plan.scripts {
            text.push_str(&format!("{} {:?}\n", script.revision, script.transaction));
            for statement in &script.statements {
                text.push_str(&statement.sha256);
                text.push('\n');
            }
        }
        hash::sha256_hex(text)
    }
}
