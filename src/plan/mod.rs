//! A plan is data: from where, to where, the scripts in order, and the schema it was made for. Pure.
//!
//! A runner makes it, a guard shows it and takes it in its name, an engine runs its scripts: the text that was
//! shown is the text that runs.

mod chance;
pub mod hazard;
mod renames;
mod touches;
mod words;

pub use chance::chance;
pub use hazard::{Accept, Accepted, Hazard};
pub use renames::Renamed;
pub use touches::Touches;

use crate::history::{Direction, RevisionId, RowChange};
use serde::{Deserialize, Serialize};

/// What an upgrade or downgrade is going to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub direction: Direction,
    /// What the user asked for: `head`, `-1`, `5f2c81d0a3be`.
    pub target: String,
    /// The version rows before.
    pub from: Vec<RevisionId>,
    /// The version rows after.
    pub to: Vec<RevisionId>,
    /// SHA-256 of the catalog that it was made for; absent where no database was asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub schema: Option<String>,
    /// In the order in which they run.
    pub scripts: Vec<Script>,
    /// What it destroys and was accepted, known once it was rehearsed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub accepted: Vec<Accepted>,
}

/// One revision in one direction, ready to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    pub revision: RevisionId,
    pub direction: Direction,
    /// The revision's message, its first line.
    pub message: String,
    /// The file it comes from, as the user would open it.
    pub place: String,
    /// SHA-256 of the whole file.
    pub sha256: String,
    pub transaction: TransactionMode,
    pub statements: Vec<Statement>,
    /// The hazards that its file accepts, for both directions.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub accepts: Vec<Accept>,
    /// The changes of the version table that belong to it, in the order in which Alembic writes them.
    pub rows: Vec<RowChange>,
    /// The version rows when it is done.
    pub rows_after: Vec<RevisionId>,
}

/// One SQL statement of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// As it is written in the file, without the separator.
    pub text: String,
    /// The line in the file where it begins, from 1.
    pub line: usize,
    /// SHA-256 of the text.
    pub sha256: String,
    /// What it names.
    pub touches: Touches,
}

/// Whether the statements of a script run in one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransactionMode {
    /// All statements and the change of the version rows: all or nothing.
    #[default]
    One,
    /// Each statement by itself, for what refuses to run in a transaction (`CREATE INDEX CONCURRENTLY`, `VACUUM`).
    None,
}

impl Statement {
    /// Returns its words in upper case, comments left out; those inside quotes are among them, and each single quote is
    /// a word by itself.
    pub fn words(&self) -> Vec<String> {
        words::of(&self.text)
    }
}

impl Script {
    /// Returns what all its statements together name.
    pub fn touches(&self) -> Touches {
        let statements = self.statements.iter();
        statements.fold(Touches::default(), |whole, statement| whole.and(&statement.touches))
    }
}

impl Plan {
    /// Tells whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.scripts.is_empty()
    }

    /// Returns what all scripts together name.
    pub fn touches(&self) -> Touches {
        self.scripts.iter().fold(Touches::default(), |whole, script| whole.and(&script.touches()))
    }

    /// Tells whether every script undoes itself when it fails.
    pub fn is_transactional(&self) -> bool {
        self.scripts.iter().all(|script| script.transaction == TransactionMode::One)
    }
}
