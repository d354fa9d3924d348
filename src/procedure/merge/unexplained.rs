//! A merge whose verification did not pass: it stands, and whoever reads of it has to know what it did.

use super::conflicts::keep_conflicts;
use super::facts;
use crate::journal::Operation;
use crate::ledger::MergedBack;
use crate::procedure::Ports;
use crate::procedure::snapshot::Saved;
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
