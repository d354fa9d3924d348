//! The stories: what ripcord does, one linear function each.
//!
//! [`change`] guards an upgrade or a downgrade ([`consent`] is part of it; a way down may run in several legs), [`rehearse`] tries one on a copy, [`backup`] takes a backup by hand, [`mod@export`] writes
//! tables and queries into files, [`restore`] puts one back, [`restore_table`] single tables of it,
//! [`merge`] puts salvage into the live tables,
//! [`recover`] finishes or undoes what a crash interrupted, [`stamp`] sets version rows, [`verify`] compares at any time. They know traits, never an
//! engine, a file format or a word of output; each step is in the journal before it starts.

pub mod backup;
mod carry;
pub mod change;
pub mod consent;
mod copies;
mod definitions;
mod doomed;
pub mod export;
mod facts;
mod half_way;
mod instead;
mod judge;
mod legs;
mod look;
pub mod merge;
pub mod recover;
pub mod rehearse;
mod renamed;
pub mod restore;
pub mod restore_table;
pub mod salvage;
mod settle;
mod shown;
mod snapshot;
pub mod stamp;
pub mod verify;
mod way_back;
mod whose;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;

pub use carry::is_interrupted;
use judge::new_findings;
pub use judge::{Circumstances, Rehearsed, judge};
pub use legs::{BetweenSteps, between};
pub use snapshot::read_inventory;

use crate::base::{Cancel, Clock, counted, one_or_more};
use crate::catalog::{DatabaseId, EngineKind, Finding};
use crate::engine::{Database, ProofLevel};
use crate::history::{Direction, RevisionId};
use crate::journal::{Entry, Journal, JournalError, Operation};
use crate::plan::hazard::Held;
use crate::plan::{Hazard, Plan};
use crate::report::{Event, Failure, Kind, Observer, Progress, Step};
use crate::runner::MigrationRunner;
use crate::store::{self, Backup, BackupStore, Damage, Listed};
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that a procedure may reach: the roots, never an adapter.
pub struct Ports<'a> {
    pub database: &'a dyn Database,
    pub runner: &'a dyn MigrationRunner,
    pub store: &'a dyn BackupStore,
    pub journal: &'a Journal,
    pub observer: Arc<dyn Observer>,
    pub clock: Arc<dyn Clock>,
    pub cancel: Cancel,
    /// Who runs it, for the journal: `name@host`.
    pub who: String,
}

impl Ports<'_> {
    /// Begins an operation: from here on a crash is remembered.
    async fn begin(
        &self,
        id: &str,
        kind: Kind,
        plan: Option<&Plan>,
        (from, to): (&[RevisionId], &[RevisionId]),
    ) -> Result<Operation, JournalError> {
        let asked = plan.map_or((None, None), |plan| (Some(plan.direction), Some(plan.target.clone())));
        self.begin_with(id, kind, asked, (from.to_vec(), to.to_vec())).await
    }

    /// The same without a plan: what was asked for, and the rows before and after.
    async fn begin_with(
        &self,
        id: &str,
        kind: Kind,
        (direction, target): (Option<Direction>, Option<String>),
        (from, to): (Vec<RevisionId>, Vec<RevisionId>),
    ) -> Result<Operation, JournalError> {
        let begun = Entry::Begun {
            operation: id.to_string(),
            kind,
            database: self.identity().clone(),
            direction,
            target,
            from,
            to,
            who: self.who.clone(),
            process: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_string(),
        };
        let operation = self.journal.begin(id, begun)?.observed_by(self.observer.clone());
        // The lock may have been taken for an operation before this one, and recovery ends what works under its own name.
        self.database.begun(id).await;
        self.observer.event(&Event::Begun { operation: id.to_string(), kind });
        Ok(operation)
    }

    /// Plans, and writes down the schema that the plan is made for.
    async fn plan(&self, direction: Direction, target: &str) -> Result<Plan, Failure> {
        let plan = self.runner.plan(direction, target).await.map_err(refused)?;
        if plan.is_empty() {
            return Ok(plan);
        }
        let schema = self.database.catalog().await.map_err(refused)?.sha256();
        Ok(Plan { schema: Some(schema), ..plan })
    }

    fn identity(&self) -> &DatabaseId {
        self.database.identity()
    }

    /// Refuses when there is no database. One that an interrupted restore was about to put here is not missing: it waits
    /// for `recover`.
    async fn refuse_missing(&self) -> Result<(), Failure> {
        if self.database.exists().await.map_err(refused)? {
            return Ok(());
        }
        self.journal.refuse_unfinished(self.identity()).map_err(refused)?;
        Err(refused(crate::engine::Error::no_database(self.identity())))
    }

    /// Returns a failure to look at the database. One that lets nobody in, because an operation was cut short while it was
    /// swapped, is told as that.
    pub fn cannot_look(&self, error: crate::engine::Error) -> Failure {
        let barred = matches!(error, crate::engine::Error::Barred { .. });
        match self.journal.refuse_unfinished(self.identity()) {
            Err(unfinished @ crate::journal::JournalError::Unfinished { .. }) if barred => {
                refused(unfinished)
            }
            _ => refused(error),
        }
    }

    fn progress(&self, step: Step) -> Progress {
        Progress::new(self.observer.clone(), step)
    }

    /// Fails when a person or a signal asked to stop: asked between steps, so that none begins that nobody wants.
    fn go_on(&self) -> Result<(), crate::engine::Error> {
        if self.cancel.is_cancelled() { Err(crate::engine::Error::Interrupted) } else { Ok(()) }
    }
}

/// Why a guard refused, or a check failed: facts that no single port knows.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("{}", findings.iter().map(|finding| format!("{}: {}", finding.subject, finding.detail)).collect::<Vec<_>>().join("; "))]
    Preflight { findings: Vec<Finding> },
    #[error("the snapshot did not come back as it was taken: {}", differences.join("; "))]
    NotProven { differences: Vec<String> },
    #[error("what was restored is not what the backup holds: {}", differences.join("; "))]
    NotRestored { differences: Vec<String> },
    #[error("interrupted before what was restored was compared once more")]
    NotVerified { backup: String },
    /// A second wish to stop after something was committed: what stands, and what is missing.
    #[error("interrupted: {done}, {left}")]
    Stopped { done: String, left: String },
    #[error("backup {backup} is damaged: {}", damage.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    DamagedBackup { backup: String, damage: Vec<Damage> },
    #[error("backup {backup} is of {found}, not of {expected}")]
    AnotherDatabase { backup: String, found: DatabaseId, expected: DatabaseId },
    #[error("backup {backup} is of a {found} database and cannot become a {wanted} one")]
    AnotherEngine { backup: String, found: EngineKind, wanted: EngineKind },
    #[error("backup {backup} holds no salvage{}", table.as_ref().map(|table| format!(" of table {table}")).unwrap_or_default())]
    NoSalvage { backup: String, table: Option<String> },
    #[error(
        "the salvage in backup {backup} cannot be used ({detail}), and cannot be taken out of its snapshot again: \
         {why}"
    )]
    DamagedSalvage { backup: String, detail: String, why: String },
    #[error("nothing of the salvage in backup {backup} can be merged: {}", told.join("; "))]
    Untraced { backup: String, told: Vec<String> },
    #[error("table {table} of backup {backup} cannot be put back: {detail}")]
    NoTable { backup: String, table: String, detail: String },
    #[error("backup {backup} has no usable {name}: {detail}")]
    Unreadable { backup: String, name: String, detail: String },
    #[error(
        "Database is not on all head revisions: it is at {}, the heads are {}",
        rows_text(rows),
        rows_text(heads)
    )]
    NotAtHeads { rows: Vec<RevisionId>, heads: Vec<RevisionId> },
    #[error("verification found {} that the migration does not explain", counted(*count as u64, "difference"))]
    Verification { count: usize },
    #[error("the salvage is merged, and verification found {} that the merge does not explain", counted(*count as u64, "difference"))]
    MergeVerification { count: usize },
    #[error(
        "the migrations that are left lead to {found}, the interrupted operation was on its way to {expected}"
    )]
    PlanMoved { found: String, expected: String },
    #[error("the database was at {planned} when this was planned, and is at {found} now")]
    RowsMoved { planned: String, found: String },
    #[error("the plan that was shown cannot be run: {detail}")]
    PlanDiffers { detail: String },
    #[error("the schema of the database is not the one that this was planned for")]
    SchemaMoved,
    #[error(
        "{} not accepted: {}",
        format!("{} {}", counted(open.len() as u64, "hazard"), one_or_more(open.len() as u64, "is", "are")),
        open.iter().map(|held| held.hazard.to_string()).collect::<Vec<_>>().join(", ")
    )]
    Hazards {
        open: Vec<Held>,
        /// Those that a flag or a person has accepted.
        accepted: Vec<Hazard>,
    },
    #[error("operation {operation} stopped {at}, and going on by itself could lose data")]
    NeedsChoice { operation: String, at: String },
    #[error("operation {operation} cannot be ended by what is left: {why}; {at}")]
    WithoutBackup { operation: String, why: String, at: String },
    #[error("the {what} is larger than proof.max_size: {bytes} bytes")]
    TooLargeToProve { what: String, bytes: u64 },
    #[error("{} could not be {doing}: {source}", place.display())]
    Io { place: PathBuf, doing: &'static str, source: std::io::Error },
}

/// Opens a backup of the list, whatever of it but its manifest is damaged; else returns its id, and what is wrong with it.
async fn opened(ports: &Ports<'_>, listed: Listed) -> Result<Backup, (String, String)> {
    match listed {
        Listed::Whole { backup } => Ok(*backup),
        Listed::Damaged { id, reason } => ports.store.open(&id).await.map_err(|_| (id, reason)),
    }
}

/// Returns the backups that can be opened so, oldest first.
async fn readable(ports: &Ports<'_>) -> Result<Vec<Backup>, store::Error> {
    let mut found = Vec::new();
    for listed in ports.store.list().await? {
        found.extend(opened(ports, listed).await.ok());
    }
    Ok(found)
}

/// Returns a number of rows in words: `1 row`, `2 rows`.
fn rows_of(count: u64) -> String {
    counted(count, "row")
}

/// Returns how much was looked at, in words: `2 tables, 1 row`.
fn tables_and_rows(tables: u64, rows: u64) -> String {
    format!("{}, {}", counted(tables, "table"), rows_of(rows))
}

/// The name of a direction's operation.
pub fn kind_of(direction: Direction) -> Kind {
    match direction {
        Direction::Up => Kind::Upgrade,
        Direction::Down => Kind::Downgrade,
    }
}

/// Returns version rows as a target of the command line: `base` when there are none.
pub fn rows_text(rows: &[RevisionId]) -> String {
    if rows.is_empty() {
        return "base".to_string();
    }
    rows.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// How a snapshot is to be treated.
#[derive(Clone, Copy, Debug, Default)]
pub struct SnapshotPolicy {
    pub proof: ProofLevel,
    /// Databases above this size are not proven without being asked for by name, in bytes.
    pub max_size: Option<u64>,
}

fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::refused(error)
}
