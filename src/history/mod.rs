//! The graph of revisions, pure: no database, no files, no clock.
//!
//! Promises Alembic's semantics (several bases, branches, merges, labels, `depends_on`), its identifier grammar, its
//! order of steps and its version rows, without its accidents: names are matched whole, an ambiguous prefix lists its
//! candidates, and the rows of the version table always stay free of overlaps.
//!
//! Leaves to others: reading revision files (`runner`), reading and writing version rows (`engine`, `runner`), and
//! wording for people (`cli::render`).

mod build;
mod downgrade;
mod error;
mod graph;
mod labels;
mod order;
mod range;
mod resolve;
mod revision;
mod rows;
mod stamp;
mod symbol;
mod upgrade;
mod walk;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod sample;

pub use error::HistoryError;
pub use graph::History;
pub use revision::{Revision, RevisionId};
pub use rows::{Direction, MigrationStep, RowChange};
