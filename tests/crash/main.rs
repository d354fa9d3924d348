//! ripcord dies at every place where dying could hurt, and `recover` answers for it.
//!
//! A procedure is run from one and the same state again and again, and aborts at checkpoint 1, 2, 3 … until a run comes
//! to its end. No checkpoint is named here: a new step is crash-tested as soon as it exists. After each death the same
//! promises are looked at, with the engines' own tools (`promises`).

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests start tools and say where they failed"
)]

#[path = "../support/mod.rs"]
mod support;

mod kills;
mod procedures;
mod promises;
mod recovery;
mod story;
