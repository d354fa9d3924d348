//! How a change is undone: the command that is printed at its end, and what that does not bring back. Pure.

use super::consent::Given;
use crate::catalog::Change;
use crate::history::Direction;
use crate::ledger::{Again, Ledger};
use crate::plan::Plan;
use crate::report::{BackupFacts, Check};

/// A change that is done, as far as its way back goes.
pub(super) struct Done<'a> {
    pub plan: &'a Plan,
    pub backup: &'a BackupFacts,
    pub given: &'a Given,
    /// What the rehearsal saw, if there was one.
    pub ledger: Option<&'a Ledger>,
    /// Whether all that was to be salvaged is.
    pub is_kept: bool,
    /// What beside the database was changed as well, as far as that is known.
    pub beyond: Option<&'a str>,
}

impl Done<'_> {
    /// The command that undoes a change: an upgrade is undone by its downgrade, which keeps the rows written since; a
    /// downgrade by its snapshot, because an upgrade would not bring back what it dropped. So is an upgrade whose way back
    /// was seen not to lead back.
    pub(super) fn undo(&self) -> String {
        match self.downgrade() {
            Some(command) if self.leads_back() => command,
            _ => self.restore(),
        }
    }

    fn restore(&self) -> String {
        format!("ripcord restore {}", self.backup.id)
    }

    /// Returns the downgrade, where there is one.
    fn downgrade(&self) -> Option<String> {
        match (self.plan.direction, self.plan.from.as_slice()) {
            _ if self.given.is_irreversible() => None,
            (Direction::Up, []) => Some("ripcord downgrade base".to_string()),
            (Direction::Up, [row]) => Some(format!("ripcord downgrade {row}")),
            _ => None,
        }
    }

    /// Tells whether the way back brings everything back but the order of columns, in which nothing is lost. Values and rows
    /// that were salvaged are merged by it.
    fn leads_back(&self) -> bool {
        let leads_back = self.ledger.is_none_or(|ledger| {
            let is_honest = ledger.dishonest.is_empty() || !self.backup.salvage.is_empty();
            let is_back = ledger.not_brought_back.iter().all(Change::is_order);
            ledger.back_failed.is_none() && is_back && is_honest
        });
        self.is_kept && leads_back
    }

    /// Returns the remarks for the end of the change.
    pub(super) fn notes(&self, check: &Check) -> Vec<String> {
        let mut notes = [check.unsure.clone(), check.expected.clone()].concat();
        notes.extend(self.given.notes());
        match self.downgrade() {
            Some(_) if self.leads_back() => {
                notes.extend(self.reordered());
                notes.push(format!("to put the whole database back as it was before: {}", self.restore()));
            }
            Some(command) => notes.push(format!(
                "the downgrade keeps what is written since, and does not bring everything back: {command}"
            )),
            None => {}
        }
        notes.extend(self.beyond.map(|what| {
            format!("beside the database this changes {what}: that is not in the backup, and no restore puts it back")
        }));
        notes
    }

    /// Returns a remark on the tables whose columns the way back leaves in another order.
    fn reordered(&self) -> Option<String> {
        let changes = self.ledger.iter().flat_map(|ledger| &ledger.not_brought_back);
        let tables: Vec<&str> =
            changes.filter(|change| change.is_order()).filter_map(|change| change.table.as_deref()).collect();
        (!tables.is_empty()).then(|| {
            format!("after the downgrade the order of columns is another one in {}", tables.join(", "))
        })
    }

    /// Returns the ledger, where a reader must know what it says of the way back.
    pub(super) fn told(&self) -> Option<Box<Ledger>> {
        let ledger = self.ledger.filter(|ledger| {
            let is_clean = ledger.dishonest.is_empty() && ledger.not_brought_back.is_empty();
            let failed = ledger.back_failed.is_some() || matches!(ledger.again, Again::Failed { .. });
            !is_clean || failed
        })?;
        Some(Box::new(ledger.clone()))
    }
}
