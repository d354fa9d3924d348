//! The native runner: one SQL file a revision.

pub mod split;
