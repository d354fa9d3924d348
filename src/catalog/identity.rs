//! Which database it is, and what can be found wrong with one.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The kind of database server or library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    Sqlite,
    Postgresql,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgresql => "PostgreSQL",
        })
    }
}

/// Identifies one database, without any password.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DatabaseId {
    pub engine: EngineKind,
    /// SQLite: the absolute path of the file. PostgreSQL: `host:port` or the socket folder, as connected.
    pub place: String,
    /// SQLite: the file's name. PostgreSQL: the database's name.
    pub name: String,
    /// PostgreSQL: the cluster's system identifier, which stays the same whatever address it is reached by.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub system: Option<String>,
}

impl DatabaseId {
    /// Tells whether both name the same database: the same file, or the same name in the same cluster.
    pub fn is_same(&self, other: &DatabaseId) -> bool {
        let same_place = match (&self.system, &other.system) {
            (Some(left), Some(right)) => left == right,
            _ => self.place == other.place,
        };
        self.engine == other.engine && self.name == other.name && same_place
    }
}

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.engine {
            EngineKind::Sqlite => write!(f, "SQLite {}", self.place),
            EngineKind::Postgresql => write!(f, "PostgreSQL {} at {}", self.name, self.place),
        }
    }
}

/// Something that an engine's own checks, or ours, found. Findings are compared before and after a change: what
/// was there before is reported, what is new is a difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    pub severity: Severity,
    /// A stable word: `integrity`, `foreign-key`, `invalid-index`, `not-valid-constraint`, `disabled-trigger`,
    /// `sequence-behind`, `unpopulated-matview`, `long-transaction` …
    pub code: String,
    /// The object it is about.
    pub subject: String,
    /// The fact, in one sentence without a full stop.
    pub detail: String,
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Dangerous, but no reason to stop by itself.
    Warning,
    /// A reason to refuse.
    Error,
}
