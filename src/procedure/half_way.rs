//! What an earlier operation left in the middle: said before the next one begins, and again where that one fails of it.

use super::Ports;
use crate::report::{Event, Failure, HalfWay, Step};

/// Says what was left half-way, and how it is put back; none where nothing was.
pub(super) fn told(ports: &Ports<'_>) -> Option<HalfWay> {
    // A journal that cannot be read has been refused before.
    let left = ports.journal.left_half_way(ports.identity()).ok().flatten()?;
    let text = match &left.backup {
        Some(backup) => format!("{left}; to put back what was there before: ripcord restore {backup}"),
        None => left.to_string(),
    };
    ports.observer.event(&Event::Note { text });
    Some(left)
}

/// Adds it to a failure that it can be the cause of: one of the revision's own statements, on the copy or on the database.
pub(super) fn explained(left: Option<HalfWay>, failure: Failure) -> Failure {
    let ran = matches!(
        failure.step,
        Some(Step::Rehearse | Step::RehearseBack | Step::RehearseAgain | Step::Migrate | Step::Verify)
    );
    Failure { half_way: left.filter(|_| ran).map(Box::new), ..failure }
}
