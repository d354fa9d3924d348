//! ripcord, a parachute for database migrations.
//!
//! Every upgrade and downgrade is wrapped: a snapshot that is proven to restore before, a verification that says what
//! really changed after, and a way back in between. [`procedure`] tells these stories, one linear function each; the
//! modules below it are listed in `ARCHITECTURE.md` in the order in which each may use the ones before.
//!
//! The procedures ask everything of a [`Database`](engine::Database). Here one is asked for a snapshot, which counts only
//! once it was restored and compared, and then whether anything is different:
//!
//! ```
//! use ripcord::engine::{Database, sqlite::{OpenOptions, SqliteDatabase}};
//! use ripcord::fingerprint::compare;
//! use ripcord::report::{Progress, Silent, Step};
//! use std::sync::Arc;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("shop.db");
//! let shop = rusqlite::Connection::open(&file)?;
//! shop.execute_batch("CREATE TABLE customer (name TEXT); INSERT INTO customer VALUES ('ada'), ('bob');")?;
//!
//! let database = SqliteDatabase::open(&file, OpenOptions::default())?;
//! let snapshot = folder.path().join("snapshot");
//! std::fs::create_dir(&snapshot)?;
//! let silent = |step| Progress::new(Arc::new(Silent), step);
//! let taken = database.snapshot(&snapshot, &silent(Step::Snapshot)).await?;
//! let proof = database.prove(&snapshot, &taken, "example", &silent(Step::Prove)).await?;
//! assert!(proof.differences.is_empty(), "what came back is what was there");
//!
//! shop.execute("UPDATE customer SET name = 'eve' WHERE name = 'bob'", [])?;
//! let now = database.inventory(&silent(Step::Verify)).await?;
//! let comparison = compare(&taken.inventory.fingerprint, &now.fingerprint);
//! let changed: Vec<String> = comparison.differing().map(|(table, _)| table.to_string()).collect();
//! assert_eq!(changed, ["customer"]);
//! # Ok(())
//! # }
//! ```

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
