//! Facts without wording: what happens while it happens ([`Event`]), how it ended ([`Report`], [`Failure`]) and what
//! is true of the data now ([`Aftermath`]). The wording is made in `cli::render`.

mod progress;

pub use progress::{ByteCount, Progress};

use crate::catalog::{Change, DatabaseId, Finding, TableName};
use crate::fingerprint::Comparison;
use crate::history::RevisionId;
use crate::ledger::{Conflict, Ledger, Merged, SalvageKind};
use crate::plan::{Accepted, Plan};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What an operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Upgrade,
    Downgrade,
    Backup,
    Restore,
    /// Version rows set by hand; no migration runs.
    Stamp,
    /// A migration run on a copy; the database is only read.
    Rehearse,
    /// Salvage put back into the live tables.
    MergeBack,
    /// The rows of single tables put back.
    RestoreTable,
}

impl Kind {
    /// Returns the word that stands in an operation's id.
    pub fn word(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Stamp => "stamp",
            Self::Rehearse => "rehearse",
            Self::MergeBack => "merge-back",
            Self::RestoreTable => "restore-table",
        }
    }
}

/// One step of an operation, as the journal and the events name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    Preflight,
    Plan,
    Snapshot,
    Prove,
    Publish,
    /// Write rows into files.
    Export,
    Migrate,
    /// Write the version rows and nothing else.
    Stamp,
    Verify,
    /// Build the restored database where nobody sees it.
    Stage,
    /// Put it in the place of the live one.
    Swap,
    /// Put the snapshot back after a failure.
    PutBack,
    /// Have what the migration loses accepted, name by name.
    Consent,
    /// Run the migration on a copy.
    Rehearse,
    /// Run it back there.
    RehearseBack,
    /// Run it there once more.
    RehearseAgain,
    /// Keep what the migration destroys and its way back does not bring back.
    Salvage,
    /// Migrate an upgrade's snapshot there and back anew, because its way back was edited, and keep what is missing then.
    Renew,
    /// Put salvage back into the live tables.
    MergeBack,
    /// Put the rows of single tables back.
    RestoreTables,
    Finish,
}

/// What is true of the data at the end: the one thing an operator wants to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aftermath {
    /// The data is as it was before the operation.
    Unchanged,
    /// The operation changed the data and stands.
    Changed,
    /// The data was changed and is again as the snapshot has it.
    PutBack,
    /// Nobody can say without looking.
    Unknown,
}

/// A fact as it happens.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Which database is meant and where that was read from (`--database-url`, `DATABASE_URL`, …).
    Target {
        database: DatabaseId,
        source: String,
    },
    Begun {
        operation: String,
        kind: Kind,
    },
    Planned {
        plan: Plan,
    },
    /// The plan runs in several legs, each a guarded operation of its own.
    Legs {
        legs: Vec<Leg>,
    },
    StepStarted {
        step: Step,
    },
    Progress {
        step: Step,
        done: Amount,
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<Amount>,
        what: String,
    },
    StepFinished {
        step: Step,
        facts: String,
    },
    StepFailed {
        step: Step,
        error: String,
    },
    /// One revision of the plan is done.
    Applied {
        revision: RevisionId,
        direction: crate::history::Direction,
        message: String,
    },
    /// Something found beforehand that does not stop the operation.
    Found {
        finding: Finding,
    },
    /// A plain remark for the reader.
    Note {
        text: String,
    },
}

/// One leg of a way down that runs in several, because salvage has to come back before the next one begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leg {
    /// What it leads to, as a target of the command line.
    pub target: String,
    /// The version rows at its end.
    pub to: Vec<RevisionId>,
    /// What it undoes, in order.
    pub revisions: Vec<RevisionId>,
    /// The backups whose salvage has to be back at its end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub brings_back: Vec<String>,
    /// The revision that may not be undone before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<RevisionId>,
}

/// One leg that came to its end.
#[derive(Clone, Debug, Serialize)]
pub struct LegDone {
    pub operation: String,
    pub from: Vec<RevisionId>,
    pub to: Vec<RevisionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge: Option<MergeFacts>,
}

/// How far a way down came of which one leg failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LegsThen {
    /// The operations of the legs that stand.
    pub stand: Vec<String>,
    /// How many there were to be.
    pub of: usize,
    /// What is true of the leg that failed.
    pub failed: Aftermath,
    /// The command that runs what is left.
    pub go_on: String,
    /// Whether the merge of the one that failed has to be done first: once an older way back has run, its salvage is held back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub merge_first: bool,
    /// The command that leads back to before the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
}

/// How much of something: either figure may be unknown to the one who reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    pub rows: u64,
    pub bytes: u64,
}

/// Receives events, in order. Must not block for long: row loops report through it.
pub trait Observer: Send + Sync {
    fn event(&self, event: &Event);
}

/// Hears everything and says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: &Event) {}
}

/// The story of an operation that reached its end.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    pub kind: Kind,
    pub database: DatabaseId,
    pub aftermath: Aftermath,
    pub from: Vec<RevisionId>,
    pub to: Vec<RevisionId>,
    /// The backup that can put everything back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// What the rehearsal saw, where the way back does not bring everything back or a second run failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Box<Ledger>>,
    /// What was merged back, if anything was to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge: Option<MergeFacts>,
    /// Salvage that was not merged back, because it may not mean any more what it meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_back: Vec<HeldBack>,
    /// The legs, where there were several: the rest speaks of all of them together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub legs: Vec<LegDone>,
    /// The tables whose rows were put back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restored: Vec<RestoredTable>,
    /// What it destroyed, and who accepted that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<Accepted>,
    /// The command that undoes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// Remarks that belong to the end: what stays behind, what was not compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Report {
    /// Of an operation of which nothing is to be told yet but what it is for and where it leaves the data.
    pub fn new(kind: Kind, database: &DatabaseId, aftermath: Aftermath) -> Self {
        Self {
            operation: None,
            kind,
            database: database.clone(),
            aftermath,
            from: Vec::new(),
            to: Vec::new(),
            backup: None,
            check: None,
            ledger: None,
            merge: None,
            held_back: Vec::new(),
            legs: Vec::new(),
            restored: Vec::new(),
            accepted: Vec::new(),
            undo: None,
            notes: Vec::new(),
        }
    }
}

/// A backup, as a report names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFacts {
    pub id: String,
    pub place: PathBuf,
    pub bytes: u64,
    pub proven: bool,
    /// What of the migration's losses it holds as files by themselves.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub salvage: Vec<SalvageFacts>,
}

/// One salvaged file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SalvageFacts {
    /// The CSV, relative to the backup's folder.
    pub file: String,
    pub what: SalvageKind,
    pub table: TableName,
    /// The columns whose values were salvaged.
    pub columns: Vec<String>,
    pub rows: u64,
}

/// What was merged back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MergeFacts {
    /// The backups whose salvage it was.
    pub from: Vec<String>,
    pub merged: Vec<Merged>,
    pub conflict_count: u64,
    /// The first conflicts.
    pub conflicts: Vec<Conflict>,
    /// Where all conflicts are in the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side_table: Option<TableName>,
    /// Where they are in the backup of this operation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

impl MergeFacts {
    /// Returns how many values and rows were put back.
    pub fn count(&self) -> u64 {
        self.merged.iter().map(|merged| merged.merged).sum()
    }
}

/// Salvage in a backup that is held back: a way back of an older revision may have touched what it is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    pub backup: String,
    pub what: SalvageKind,
    pub table: TableName,
    pub columns: Vec<String>,
    pub rows: u64,
    /// The revisions whose ways back may have touched it.
    pub undone: Vec<RevisionId>,
}

/// A table whose rows were put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoredTable {
    pub table: TableName,
    /// Whether it was not there and was made.
    pub created: bool,
    /// How many rows it had before.
    pub rows_before: u64,
    /// How many it has now.
    pub rows: u64,
}

/// What verification saw after a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Differences between the catalogs before and after.
    pub catalog: Vec<Change>,
    pub comparison: Comparison,
    /// Findings that were not there before.
    pub new_findings: Vec<Finding>,
    /// What is wrong: empty when verification passed.
    pub wrong: Vec<Wrong>,
    /// What differs and may be the doing of other sessions, one sentence each.
    #[serde(default)]
    pub unsure: Vec<String>,
    /// What changed without being named, and did on the copy as well, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub expected: Vec<String>,
}

/// One thing that verification holds against a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    /// A stable word: `not-as-rehearsed`, `kept-column-changed`, `more-lost-than-rehearsed` (where there was a rehearsal),
    /// `untouched-table-changed`, `untouched-table-removed`, `untouched-table-schema`, `version-rows`, `new-finding`, `catalog`,
    /// `rows`, `digest`, `renamed`.
    pub code: String,
    pub subject: String,
    pub detail: String,
}

/// A revision that an earlier operation left in the middle: what its statements did before one failed is in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HalfWay {
    pub operation: String,
    pub revision: RevisionId,
    /// The last statement that was begun, from 1.
    pub statement: usize,
    /// The backup that holds the state before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
}

impl std::fmt::Display for HalfWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { operation, revision, statement, .. } = self;
        write!(
            f,
            "operation {operation} stopped in statement {statement} of revision {revision}, which runs statement by \
             statement: what was done until then is in the database"
        )
    }
}

/// How an operation failed: where, what is true of the data now, and why.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct Failure {
    /// The step that failed; `None` when no operation had begun.
    pub step: Option<Step>,
    pub operation: Option<String>,
    pub aftermath: Aftermath,
    /// The backup that holds the state before, if one was published.
    pub backup: Option<BackupFacts>,
    pub source: Box<dyn std::error::Error + Send + Sync>,
    /// The work is done, and only the last line of its journal could not be written.
    pub is_done: bool,
    /// The second cause, when the way back failed as well.
    pub during_put_back: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// The commands to run next, the best first.
    pub next: Vec<String>,
    /// Another way, after those and after what the cause suggests.
    pub otherwise: Option<String>,
    /// What verification saw, when it was verification that failed.
    pub check: Option<Box<Check>>,
    /// What a merge did that stands all the same.
    pub merge: Option<Box<MergeFacts>>,
    /// Where the version rows are, when the data is not simply as it was; `None` where they cannot be read either.
    pub rows: Option<Box<RowsThen>>,
    /// What an earlier operation left in the middle, where that can be why.
    pub half_way: Option<Box<HalfWay>>,
    /// Which legs of a way down stand, where there were several.
    pub legs: Option<Box<LegsThen>>,
}

/// The version rows before an operation, and after it went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowsThen {
    pub before: Vec<RevisionId>,
    pub now: Vec<RevisionId>,
}

impl Failure {
    /// A refusal before anything was begun.
    pub fn refused(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            step: None,
            operation: None,
            aftermath: Aftermath::Unchanged,
            backup: None,
            source: source.into(),
            is_done: false,
            during_put_back: None,
            next: Vec::new(),
            otherwise: None,
            check: None,
            merge: None,
            rows: None,
            half_way: None,
            legs: None,
        }
    }
}
