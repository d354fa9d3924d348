//! The lines of a journal. Their JSON is specified in `docs/format.md`, section "Journal".

use crate::catalog::DatabaseId;
use crate::history::{Direction, RevisionId};
use crate::report::{Aftermath, Kind, Step};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// One line: when, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub at: DateTime<Utc>,
    #[serde(flatten)]
    pub entry: Entry,
}

/// What happened, or is about to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Entry {
    /// The first line of every journal.
    Begun {
        operation: String,
        kind: Kind,
        database: DatabaseId,
        /// The direction and the target of a migration, as asked for.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        direction: Option<Direction>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        target: Option<String>,
        from: Vec<RevisionId>,
        to: Vec<RevisionId>,
        /// Who ran it, and which ripcord: `name@host`, the process id, the version.
        who: String,
        process: u32,
        version: String,
    },
    Started {
        step: Step,
    },
    Finished {
        step: Step,
        #[serde(skip_serializing_if = "String::is_empty", default)]
        facts: String,
    },
    Failed {
        step: Step,
        error: String,
    },
    /// A backup was published and can be used from here on.
    Published {
        backup: String,
    },
    /// A statement of a `transaction none` script is about to run, has run.
    StatementStarted {
        revision: RevisionId,
        index: usize,
        sha256: String,
    },
    StatementFinished {
        revision: RevisionId,
        index: usize,
    },
    /// A script is about to run, has been committed together with its version rows.
    ScriptStarted {
        revision: RevisionId,
        direction: Direction,
    },
    ScriptFinished {
        revision: RevisionId,
        rows: Vec<RevisionId>,
    },
    /// A fact that recovery needs: a side database's name, a file counter.
    Fact {
        name: String,
        value: String,
    },
    /// The last line of every journal that came to an end.
    Ended {
        aftermath: Aftermath,
        #[serde(skip_serializing_if = "String::is_empty", default)]
        error: String,
    },
}
