//! What every test stands on: a sandbox for the real binary, private PostgreSQL servers, databases of both engines,
//! projects with revision files, and scripted stand-ins for the tools that ripcord calls.
//!
//! A test binary mounts it at its root, under this name, since `both_engines!` looks for it there:
//!
//! ```text
//! #[path = "../support/mod.rs"]
//! mod support;
//! ```
//!
//! A test that starts a PostgreSQL server has `postgres` in its path (a module or its own name), or is in a module that only
//! PostgreSQL has. `both_engines!` sees to it by itself, and calls the others `sqlite`: `scripts/test` picks the tests to
//! repeat on another server version by what they are about, and leaves those out.
//!
//! What it promises: whatever it starts it ends, by process id; whatever it writes lies in a temporary folder that
//! goes away; nothing is installed or configured on the system. What a test compares is read with the engines' own
//! tools (`psql`, `pg_dump`, `sqlite3`), never with ripcord's code, so that a mistake cannot confirm itself.

// Each test binary uses its own part of this, and tests may start tools and write files as they like.
#![allow(dead_code, unused_imports, unused_macros)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod database;
mod engines;
mod fake_tool;
pub mod leftovers;
mod postgres;
mod project;
mod revisions;
mod run;
mod sandbox;
pub mod scene;
mod session;
mod tools;

pub use database::{Backend, TestDatabase};
pub use engines::block_on;
pub(crate) use engines::both_engines;
pub use fake_tool::HangingTool;
pub use postgres::{Installation, Options, Postgres};
pub use project::Revision;
pub use revisions::*;
pub use run::{Run, Running};
pub use rustix::process::Signal;
pub use sandbox::{CLOCK, Sandbox, ripcord_binary};
pub use session::Session;
pub use tools::find;
