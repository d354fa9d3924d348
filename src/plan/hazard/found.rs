//! From the loss ledger to hazards.

use super::Hazard;
use crate::catalog::EngineKind;
use crate::ledger::{Irreversible, Ledger, Loss, LossKind};
use serde::{Deserialize, Serialize};

/// A hazard and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub hazard: Hazard,
    /// Rows, or values that are not NULL; absent where nobody can count them, and where there is nothing to count.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<u64>,
    /// The length of all of it as text, in bytes; absent where nobody looked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
    /// The first few, by key, each with its key.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub examples: Vec<String>,
    /// What else is to be known of it, such as why a revision has no way back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}

impl Held {
    pub(super) fn new(hazard: Hazard, count: Option<u64>, detail: Option<String>) -> Self {
        Self { hazard, count, bytes: None, examples: Vec::new(), detail }
    }

    /// Returns the noun for what is counted; none where nothing is.
    pub fn unit(&self) -> Option<&'static str> {
        match self.hazard {
            Hazard::DropsTable { .. } | Hazard::DeletesRows { .. } | Hazard::Opaque => Some("row"),
            Hazard::DropsColumn { .. } | Hazard::NarrowsType { .. } | Hazard::OverwritesValues { .. } => {
                Some("value")
            }
            Hazard::Irreversible { .. } => None,
        }
    }
}

/// Returns what a rehearsal saw go for good, as far as it holds data, and revisions without a way back. What the way
/// back brings home is no hazard.
pub fn hazards(ledger: &Ledger, engine: EngineKind) -> Vec<Held> {
    let lost = ledger.lost.iter().filter(|loss| loss.count != Some(0));
    let lost = lost.filter_map(|loss| {
        let detail = loss.retyped.as_ref().map(|types| format!("{} becomes {}", types.before, types.after));
        Some(Held::new(of_loss(loss)?.within(engine), loss.count, detail))
    });
    let no_return = ledger.irreversible.iter().map(no_return);
    let failed = ledger.back_failed_at.iter().map(|revision| {
        let why =
            ledger.back_failed.as_ref().map(|error| format!("its way back failed on the copy: {error}"));
        Held::new(Hazard::Irreversible { revision: revision.clone() }, None, why)
    });
    lost.chain(no_return).chain(failed).collect()
}

/// Returns the hazard of a revision without a way back, which nothing has to be run for to be seen.
pub fn no_return(found: &Irreversible) -> Held {
    Held::new(Hazard::Irreversible { revision: found.revision.clone() }, None, found.why.clone())
}

pub(super) fn of_loss(loss: &Loss) -> Option<Hazard> {
    let (table, column) = (loss.table.clone(), loss.column.clone());
    Some(match loss.what {
        LossKind::Table => Hazard::DropsTable { table },
        LossKind::Rows => Hazard::DeletesRows { table },
        LossKind::Column => Hazard::DropsColumn { table, column: column? },
        LossKind::Values if loss.retyped.is_some() => Hazard::NarrowsType { table, column: column? },
        LossKind::Values => Hazard::OverwritesValues { table, column: column? },
    })
}
