//! One running operation.

use super::file::Writer;
use super::{Entry, JournalError};
use crate::history::{Direction, RevisionId};
use crate::report::{Aftermath, Event, Failure, Observer, Step};
use std::error::Error as StdError;
use std::future::Future;
use std::sync::{Arc, Mutex};

/// One running operation: writes each step down before it starts and after it ended.
pub struct Operation {
    id: String,
    writer: Arc<Mutex<Writer>>,
    observer: Arc<dyn Observer>,
    aftermath: Aftermath,
}

/// What a step can say of itself when it is done, for the journal and the reader.
pub trait Facts {
    fn facts(&self) -> String;
}

impl Facts for () {
    fn facts(&self) -> String {
        String::new()
    }
}

impl Operation {
    pub(super) fn new(id: String, writer: Writer) -> Self {
        Self {
            id,
            writer: Arc::new(Mutex::new(writer)),
            observer: Arc::new(crate::report::Silent),
            aftermath: Aftermath::Unchanged,
        }
    }

    /// Lets somebody hear what happens.
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Says what is true of the data if the next step fails.
    pub fn set_aftermath(&mut self, aftermath: Aftermath) {
        self.aftermath = aftermath;
    }

    /// Returns what is true of the data at this point.
    pub fn aftermath(&self) -> Aftermath {
        self.aftermath
    }

    /// Writes an entry; on disk when this returns.
    pub fn write(&self, entry: Entry) -> Result<(), JournalError> {
        // A poisoned lock only means that another writer panicked between lines; lines are whole or absent.
        self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).append(entry)
    }

    /// Returns a handle through which a runner journals scripts and statements.
    pub fn script_log(&self) -> ScriptLog {
        ScriptLog { writer: Some(self.writer.clone()), observer: self.observer.clone() }
    }

    /// Runs one step: writes *started*, awaits the work, writes *finished* or *failed*.
    ///
    /// Futures are lazy, so handing one over is handing over an intention: if the journal cannot record it, the work
    /// does not begin.
    pub async fn step<T: Facts, E>(
        &mut self,
        step: Step,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure>
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.write(Entry::Started { step }).map_err(|error| self.failure(step, error))?;
        self.observer.event(&Event::StepStarted { step });
        match work.await {
            Ok(value) => {
                let facts = value.facts();
                self.write(Entry::Finished { step, facts: facts.clone() })
                    .map_err(|error| self.failure(step, error))?;
                self.observer.event(&Event::StepFinished { step, facts });
                Ok(value)
            }
            Err(error) => {
                let failure = self.failure(step, error);
                let error = failure.source.to_string();
                self.observer.event(&Event::StepFailed { step, error: error.clone() });
                // The cause is worth more than a second error about writing it down: keep the cause.
                let _ = self.write(Entry::Failed { step, error });
                Err(failure)
            }
        }
    }

    /// Writes the last line: the operation is over.
    pub fn end(&self, aftermath: Aftermath, error: Option<&str>) -> Result<(), JournalError> {
        self.write(Entry::Ended { aftermath, error: error.unwrap_or_default().to_string() })
    }

    fn failure(&self, step: Step, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Failure {
        Failure {
            step: Some(step),
            operation: Some(self.id.clone()),
            aftermath: self.aftermath,
            ..Failure::refused(error)
        }
    }
}

/// Journals scripts and statements while a runner works.
#[derive(Clone)]
pub struct ScriptLog {
    /// None on a copy that is thrown away: there is nothing to recover.
    writer: Option<Arc<Mutex<Writer>>>,
    observer: Arc<dyn Observer>,
}

impl ScriptLog {
    /// Returns a handle that writes nothing down, for scripts that run on a copy.
    pub fn unrecorded() -> Self {
        Self { writer: None, observer: Arc::new(crate::report::Silent) }
    }

    fn write(&self, entry: Entry) -> Result<(), JournalError> {
        let Some(writer) = &self.writer else { return Ok(()) };
        writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).append(entry)
    }

    /// A script is about to run.
    pub fn script_started(&self, revision: &RevisionId, direction: Direction) -> Result<(), JournalError> {
        self.write(Entry::ScriptStarted { revision: revision.clone(), direction })
    }

    /// A script and its version rows are committed.
    pub fn script_finished(
        &self,
        revision: &RevisionId,
        direction: Direction,
        message: &str,
        rows: &[RevisionId],
    ) -> Result<(), JournalError> {
        self.write(Entry::ScriptFinished { revision: revision.clone(), rows: rows.to_vec() })?;
        let message = message.to_string();
        self.observer.event(&Event::Applied { revision: revision.clone(), direction, message });
        Ok(())
    }

    /// A statement of a `transaction none` script is about to run.
    pub fn statement_started(
        &self,
        revision: &RevisionId,
        index: usize,
        sha256: &str,
    ) -> Result<(), JournalError> {
        self.write(Entry::StatementStarted { revision: revision.clone(), index, sha256: sha256.to_string() })
    }

    /// A statement of a `transaction none` script has run.
    pub fn statement_finished(&self, revision: &RevisionId, index: usize) -> Result<(), JournalError> {
        self.write(Entry::StatementFinished { revision: revision.clone(), index })
    }

    /// Writes down a fact that recovery needs.
    pub fn fact(&self, name: &str, value: &str) -> Result<(), JournalError> {
        self.write(Entry::Fact { name: name.to_string(), value: value.to_string() })
    }
}
