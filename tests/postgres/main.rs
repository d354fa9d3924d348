//! What the PostgreSQL engine promises, on a private server, through the library; and what every engine promises
//! (`contract`), on both.

#![allow(clippy::disallowed_methods, reason = "tests may start tools and write files as they like")]

#[path = "../support/mod.rs"]
mod support;

mod applying;
mod bench;
mod broken_commit;
mod contract;
mod exporting;
mod faults;
mod killed;
mod kinds;
mod restore_script;
mod restoring;
mod rich;
mod snapshots;
mod versions;
