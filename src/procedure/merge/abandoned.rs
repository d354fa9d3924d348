//! Which operations a restore took back: the rows of now do not come from them.
//!
//! A backup that was taken while an older upgrade stood leads back to what that one had made, whatever ran since. What the
//! later ones salvaged is of another course of things: values that were written in it would land in rows that never saw them.

use crate::base::ids;
use crate::catalog::DatabaseId;
use crate::journal::OperationState;
use crate::report::{Aftermath, Kind};
use std::collections::BTreeSet;

/// An operation, and the backup that it put in the place of the database, if it did that.
type Ran<'s> = (&'s str, Option<&'s str>);

/// Returns the operations of a journal, the oldest first, that a restore took back and no later one brought here again.
pub(super) fn abandoned<'s>(operations: &'s [OperationState], database: &DatabaseId) -> BTreeSet<&'s str> {
    let own = operations.iter().filter(|state| state.database.is_same(database));
    between(&own.map(|state| (state.operation.as_str(), restored(state))).collect::<Vec<_>>())
}

fn restored(state: &OperationState) -> Option<&str> {
    let is_done = matches!(state.ended, Some(Aftermath::Changed | Aftermath::PutBack));
    state.facts.get("restores").filter(|_| is_done && state.kind == Kind::Restore).map(String::as_str)
}

/// Returns those that ran between a backup and its restore, as far as that was not taken back itself. Pure.
fn between<'s>(ran: &[Ran<'s>]) -> BTreeSet<&'s str> {
    let mut gone = BTreeSet::new();
    for (at, (restore, backup)) in ran.iter().enumerate().rev() {
        let taken = backup
            .filter(|_| !gone.contains(restore))
            .and_then(|backup| Some((backup, ids::time_of(backup)?)));
        let Some((backup, taken)) = taken else { continue };
        // The backup that an operation takes for itself is older than what it does. One that was only taken did nothing.
        let is_later = |id: &&str| *id == backup || ids::time_of(id).is_some_and(|time| time > taken);
        gone.extend(ran[..at].iter().map(|(id, _)| *id).filter(is_later));
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "20261123T181501Z-upgrade-aaaa";
    const NIGHTLY: &str = "20261123T181502Z-backup-bbbb";
    const BACK: &str = "20261123T181503Z-downgrade-cccc";
    const C: &str = "20261123T181504Z-upgrade-dddd";
    const RESTORE: &str = "20261123T181505Z-restore-eeee";

    fn gone(ran: &[Ran<'static>]) -> Vec<&'static str> {
        between(ran).into_iter().collect()
    }

    #[test]
    fn what_ran_after_the_backup_that_was_restored_is_gone() {
        let ran = [(A, None), (NIGHTLY, None), (BACK, None), (C, None), (RESTORE, Some(NIGHTLY))];
        assert_eq!(gone(&ran), [NIGHTLY, BACK, C]);
        assert_eq!(gone(&ran[..4]), [""; 0]);
    }

    #[test]
    fn an_upgrade_whose_own_backup_was_restored_is_gone_with_it() {
        assert_eq!(gone(&[(A, None), (RESTORE, Some(A))]), [A]);
    }

    #[test]
    fn a_restore_that_was_taken_back_took_nothing_back() {
        let undone = "20261123T181506Z-restore-ffff";
        let ran = [(A, None), (NIGHTLY, None), (C, None), (RESTORE, Some(NIGHTLY)), (undone, Some(RESTORE))];
        assert_eq!(gone(&ran), [RESTORE]);
    }

    #[test]
    fn what_ran_since_the_restore_counts() {
        let later = "20261123T181507Z-upgrade-abab";
        assert_eq!(gone(&[(A, None), (RESTORE, Some(A)), (later, None)]), [A]);
    }
}
