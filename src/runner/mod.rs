//! Migration runners: what can run a migration.

pub mod sql;
