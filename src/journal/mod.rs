//! The memory of what was begun: every step is written down before it starts, on disk before it runs.
//!
//! One file of JSON lines for each operation, under `backups/.operations/`. Nothing is ever rewritten: the state of
//! an operation is the fold of its lines ([`OperationState`]). A last line that says *started* is an unfinished
//! operation; [`OperationState::is_unfinished`] is what every other command asks before it begins.

mod entry;
mod file;
mod operation;
mod state;

#[cfg(test)]
mod sample;

pub use entry::{Entry, Line};
pub use file::{Journal, JournalError, Unreadable, may_have_moved, state_in};
pub use operation::{Facts, Operation, ScriptLog};
pub use state::{ACCEPTED, JournalDamage, OperationState, Progressed};
