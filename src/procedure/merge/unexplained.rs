//! A merge whose verification did not pass: it stands, and whoever reads of it has to know what it did.

use super::conflicts::keep_conflicts;
use super::facts;
use crate::journal::Operation;
use crate::ledger::MergedBack;
use crate::procedure::snapshot::Saved;
use crate::procedure::{Ports, carry};
use crate::report::Failure;

/// Returns the failure with what was merged out of these backups, and keeps the conflicts as files as after a merge that
/// passed. Where that fails they are in their side table, which is named as well.
pub(super) async fn told(
    ports: &Ports<'_>,
    op: &Operation,
    saved: &Saved,
    (from, merged): (&[String], MergedBack),
    failure: Failure,
) -> Failure {
    // A wish to stop was heard: it has ended the look.
    ports.cancel.heard();
    let files = keep_conflicts(ports, op.id(), saved, &merged).await.unwrap_or_default();
    Failure { merge: Some(Box::new(facts(from, merged, files))), ..failure }
}

/// The same of a merge that passed its verification, and whose conflicts could not be kept as files.
pub(super) fn not_kept(saved: &Saved, (from, merged): (&[String], MergedBack), failure: Failure) -> Failure {
    let next = vec!["ripcord verify".to_string(), format!("ripcord restore {}", saved.backup.manifest.id)];
    let failure =
        carry::stopped(failure, "the salvage is merged and verified", "its conflicts are not in the backup");
    Failure { merge: Some(Box::new(facts(from, merged, Vec::new()))), next, ..failure }
}
