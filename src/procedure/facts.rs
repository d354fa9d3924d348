//! What steps say of themselves in the journal and on the screen.

use crate::engine::{Proof, Staged, Swapped};
use crate::journal::Facts;
use crate::store::Backup;

/// A value with a sentence about it.
pub(super) struct Done<T> {
    pub what: T,
    pub facts: String,
}

impl<T> Facts for Done<T> {
    fn facts(&self) -> String {
        self.facts.clone()
    }
}

impl Facts for Proof {
    fn facts(&self) -> String {
        format!("{}: {}", self.method, super::tables_and_rows(self.tables, self.rows))
    }
}

impl Facts for Backup {
    fn facts(&self) -> String {
        self.folder.display().to_string()
    }
}

impl Facts for Staged {
    fn facts(&self) -> String {
        format!("{}: {}", self.place, self.way)
    }
}

impl Facts for Swapped {
    fn facts(&self) -> String {
        match &self.kept {
            Some(kept) => {
                format!("clients waited {} ms; the old one is kept as {kept}", self.barred.as_millis())
            }
            None => format!("clients waited {} ms", self.barred.as_millis()),
        }
    }
}
