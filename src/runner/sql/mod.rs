//! The native runner: one SQL file a revision, run through the database engine.
//!
//! Promises that what was planned is what runs: the plan carries the statements themselves, cut by the rules of the
//! engine they are for, and a file whose way up changed after it was applied is refused by name. How a script and its version
//! rows become one transaction is the engine's; when to run a plan at all is the procedure's.

mod alembic;
pub mod directive;
pub mod file;
pub mod offline;
mod originals;
mod planning;
pub mod project;
mod reverse;
pub mod split;
pub mod template;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::base::Cancel;
use crate::engine::{self, Applied, Bookkeeping, Database};
use crate::history::{Direction, History};
use crate::journal::ScriptLog;
use crate::plan::Plan;
use crate::runner::{Error, MigrationRunner, Reverse};
use file::RevisionFile;
use originals::Originals;
use planning::State;
pub use project::{Project, Request, absolute};

/// Runs the revision files of a project on one database.
pub struct SqlRunner {
    project: Project,
    database: Arc<dyn Database>,
    cancel: Cancel,
    /// Without them an applied file counts as edited whatever was edited in it.
    originals: Option<Originals>,
}

impl SqlRunner {
    /// Returns a runner for the project on this database, which stops between scripts when `cancel` is raised.
    pub fn new(project: Project, database: Arc<dyn Database>, cancel: Cancel) -> SqlRunner {
        SqlRunner { project, database, cancel, originals: None }
    }

    /// Returns the same runner, which knows applied files as they were by their copies in these backups.
    pub fn remembering(self, backups: &Path) -> SqlRunner {
        SqlRunner { originals: Some(Originals::new(backups)), ..self }
    }

    async fn state(&self, files: &[RevisionFile]) -> Result<State, Error> {
        let engine = self.database.identity().engine;
        // A database that is yet to be created has no rows to read; asking for them could only fail.
        if !self.database.exists().await? {
            return Ok(State::at(engine, Vec::new()));
        }
        let rows = self.database.version_rows().await?;
        let applied = self.database.applied_files().await?;
        let edited = planning::edited(files, &applied);
        let originals =
            self.originals.iter().flat_map(|kept| edited.iter().filter_map(|file| kept.find(file)));
        Ok(State { originals: originals.collect(), applied, ..State::at(engine, rows) })
    }
}

#[async_trait]
impl MigrationRunner for SqlRunner {
    fn history(&self) -> Result<History, Error> {
        self.project.history()
    }

    async fn plan(&self, direction: Direction, target: &str) -> Result<Plan, Error> {
        // Files first: a mistake in them is found without a database.
        let files = self.project.files()?;
        let made = planning::make(&files, &self.state(&files).await?, direction, target);
        made.map_err(|error| alembic::named(self.project.folder(), error))
    }

    async fn run(&self, plan: &Plan, book: &Bookkeeping<'_>, log: &ScriptLog) -> Result<Applied, Error> {
        let mut done = Applied::nothing();
        let mut guarded = book.guarded.cloned();
        for script in &plan.scripts {
            if self.cancel.is_cancelled() {
                return Err(engine::Error::Interrupted.into());
            }
            log.script_started(&script.revision, script.direction)?;
            let book = Bookkeeping { guarded: guarded.as_ref(), ..*book };
            done = done.and(self.database.apply(script, &book, log).await?);
            guarded = guarded.map(|guarded| guarded.after(&script.touches()));
            log.script_finished(&script.revision, script.direction, &script.message, &script.rows_after)?;
        }
        Ok(done)
    }

    fn reverse(&self, plan: &Plan) -> Result<Reverse, Error> {
        reverse::make(&self.project.files()?, self.database.identity().engine, plan)
    }

    fn reverse_as_kept(&self, plan: &Plan, folder: &Path) -> Result<Reverse, Error> {
        reverse::make(&originals::all(folder), self.database.identity().engine, plan)
    }

    fn on(&self, database: Arc<dyn Database>) -> Box<dyn MigrationRunner> {
        let runner = SqlRunner::new(self.project.clone(), database, self.cancel.clone());
        Box::new(SqlRunner { originals: self.originals.clone(), ..runner })
    }

    fn files(&self) -> Result<Vec<PathBuf>, Error> {
        Ok(self.project.files()?.into_iter().map(|file| file.path).collect())
    }
}
