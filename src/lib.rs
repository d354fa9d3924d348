//! ripcord, a parachute for database migrations.
//!
//! Every upgrade and downgrade is wrapped: a snapshot that is proven to restore before, a verification that says what
//! really changed after, and a way back in between. [`procedure`] tells these stories, one linear function each; the
//! modules below it are listed in `ARCHITECTURE.md` in the order in which each may use the ones before.

pub mod base;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod engine;
pub mod fingerprint;
pub mod history;
pub mod journal;
pub mod ledger;
pub mod plan;
pub mod procedure;
pub mod report;
pub mod runbook;
pub mod runner;
pub mod store;
pub mod tabular;

#[cfg(test)]
mod format_page;
