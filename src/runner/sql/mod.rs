//! The native runner: one SQL file a revision.

pub mod directive;
pub mod file;
pub mod split;
pub mod template;
