//! What is known of a merge before it begins, written down: after a crash the one that looked it up is gone.

use super::sources::{SALVAGE, Sources};
use crate::journal::{Entry, JournalError, Operation, OperationState};
use crate::report::HeldBack;
use serde::{Deserialize, Serialize};

/// The fact in a downgrade's journal that says it, as JSON.
const TOLD: &str = "merge-told";

/// What a merge after a downgrade says besides what it does.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Told {
    /// The backups of which anything is merged.
    pub from: Vec<String>,
    /// What is to be said at the end, of what is not merged above all.
    pub notes: Vec<String>,
    pub held_back: Vec<HeldBack>,
}

impl Told {
    /// Writes down what was found for a merge that is about to begin.
    pub(super) fn write(op: &Operation, found: &Sources) -> Result<(), JournalError> {
        let told = Self {
            from: found.merged_from(),
            notes: found.notes.clone(),
            held_back: found.held_back.clone(),
        };
        let value = serde_json::to_string(&told).unwrap_or_default();
        op.write(Entry::Fact { name: TOLD.to_string(), value })
    }

    /// Returns what an operation wrote down; none where its merge did not begin, or it is of a version that did not.
    pub(super) fn of(state: &OperationState) -> Option<Self> {
        serde_json::from_str(state.facts.get(TOLD)?).ok()
    }

    /// Returns the same for a recovery, which has to say something of those, too.
    pub(super) fn or_all(state: &OperationState) -> Self {
        let all = || state.facts.get(SALVAGE).into_iter().flat_map(|ids| ids.lines()).map(str::to_string);
        Self::of(state).unwrap_or_else(|| Self { from: all().collect(), ..Self::default() })
    }
}
