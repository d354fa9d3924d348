//! Hazards: what a migration destroys, each under a name by which it is accepted, and by which alone.
//!
//! Promises that a name means one thing: what is printed is read back as the same hazard whatever characters a table has,
//! and nothing but a whole name is read at all. There is no pattern and no word for "all".

mod code;
mod found;
mod name;
mod opaque;
mod sample;
mod weigh;

#[cfg(test)]
mod tests;

pub use found::{Held, hazards, no_return};
pub use name::HazardError;
pub use opaque::{Reach, Unseen, opaque};
pub use sample::{EXAMPLES, SHOWN_CHARACTERS, Sample, Sampled, Which, sample};
pub use weigh::{Accept, Accepted, AcceptedBy, Weighed, weigh};

use crate::catalog::{EngineKind, TableName};
use crate::history::RevisionId;

/// Something that a migration destroys, or that nobody can look into.
///
/// Printed as `drops-column:training_metric.process_rank`. A part of a name that is not a plain lower-case identifier
/// is written in double quotes, as in SQL; the schema is left out when it is the default one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hazard {
    /// A table goes with its rows.
    DropsTable { table: TableName },
    /// A column goes with its values.
    DropsColumn { table: TableName, column: String },
    /// A column gets another type, and values are not what they were.
    NarrowsType { table: TableName, column: String },
    /// Values of a column that stays as it is are overwritten.
    OverwritesValues { table: TableName, column: String },
    /// Rows of a table that stays are deleted.
    DeletesRows { table: TableName },
    /// A revision has no way back, or its way back failed on the copy.
    Irreversible { revision: RevisionId },
    /// Nothing was rehearsed, or not with rows, so nobody knows what is lost.
    Opaque,
}

impl Hazard {
    /// Returns the table, where it is about one.
    pub fn table(&self) -> Option<&TableName> {
        match self {
            Self::DropsTable { table }
            | Self::DropsColumn { table, .. }
            | Self::NarrowsType { table, .. }
            | Self::OverwritesValues { table, .. }
            | Self::DeletesRows { table } => Some(table),
            Self::Irreversible { .. } | Self::Opaque => None,
        }
    }

    /// Returns the column, where it is about one.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::DropsColumn { column, .. }
            | Self::NarrowsType { column, .. }
            | Self::OverwritesValues { column, .. } => Some(column),
            _ => None,
        }
    }

    /// Returns the same hazard with its table's schema left out if that is the default one of this engine: however it
    /// was written, it is one hazard.
    pub fn within(mut self, engine: EngineKind) -> Self {
        let default = match engine {
            EngineKind::Sqlite => "main",
            EngineKind::Postgresql => "public",
        };
        if let Some(table) = self.table_mut()
            && table.schema.as_deref() == Some(default)
        {
            table.schema = None;
        }
        self
    }

    fn table_mut(&mut self) -> Option<&mut TableName> {
        match self {
            Self::DropsTable { table }
            | Self::DropsColumn { table, .. }
            | Self::NarrowsType { table, .. }
            | Self::OverwritesValues { table, .. }
            | Self::DeletesRows { table } => Some(table),
            Self::Irreversible { .. } | Self::Opaque => None,
        }
    }
}
