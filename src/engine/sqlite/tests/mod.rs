//! Promises of the whole engine, on real files.

mod after;
mod apply;
mod export;
mod fidelity;
mod fingerprint;
mod lock;
mod looking;
mod merge;
mod merge_keys;
mod merge_together;
mod present;
mod restore;
mod script;
mod snapshot;
mod support;
mod wal;
