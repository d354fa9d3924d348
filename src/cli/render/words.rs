//! Words and figures for people.

use crate::base::counted;
use crate::history::RevisionId;
use crate::journal::JournalError;
use crate::ledger::SalvageKind;
use crate::procedure::{Refusal, rows_text};
use crate::report::{Aftermath, Failure, Kind, SalvageFacts, Step};
use std::collections::BTreeSet;

/// Returns the name of a step as it stands at the beginning of a line.
pub(super) fn step(step: Step) -> &'static str {
    match step {
        Step::Preflight => "preflight",
        Step::Plan => "plan",
        Step::Snapshot => "snapshot",
        Step::Prove => "prove",
        Step::Publish => "publish",
        Step::Export => "export",
        Step::Migrate => "migrate",
        Step::Stamp => "stamp",
        Step::Verify => "verify",
        Step::Stage => "stage",
        Step::Swap => "swap",
        Step::PutBack => "put back",
        Step::Consent => "consent",
        Step::Rehearse => "rehearse",
        Step::RehearseBack => "go back",
        Step::RehearseAgain => "again",
        Step::Salvage => "salvage",
        Step::Renew => "renew",
        Step::MergeBack => "merge back",
        Step::RestoreTables => "tables",
        Step::Finish => "finish",
    }
}

pub(super) fn kind(kind: Kind) -> &'static str {
    kind.word()
}

/// Says what one salvaged file holds.
pub(super) fn salvage(file: &SalvageFacts) -> String {
    let rows = count(usize::try_from(file.rows).unwrap_or(usize::MAX), "row");
    let what = match file.what {
        SalvageKind::Rows => format!("{rows} of {}", file.table),
        SalvageKind::Values => {
            let columns: Vec<String> =
                file.columns.iter().map(|column| format!("{}.{column}", file.table)).collect();
            format!("{} in {rows}", columns.join(", "))
        }
    };
    format!("{what}: {}", file.file)
}

/// Says what is true of the data now: the one line an operator looks for.
pub(super) fn aftermath(aftermath: Aftermath) -> &'static str {
    match aftermath {
        Aftermath::Unchanged => "nothing was changed: the data is as it was before",
        Aftermath::Changed => "the database was changed, and the change stands",
        Aftermath::PutBack => "the snapshot was put back: the data is as it was before",
        Aftermath::Unknown => "it is not known what state the data is in",
    }
}

/// Returns what is true of the data after a failure. A refusal changes nothing, and does not make known what an operation
/// left that nobody has looked at yet.
pub(super) fn true_now(failure: &Failure) -> Aftermath {
    match failure.source.downcast_ref::<JournalError>() {
        Some(JournalError::Unfinished { may_have_changed: true, .. } | JournalError::Damaged { .. })
            if failure.aftermath == Aftermath::Unchanged =>
        {
            Aftermath::Unknown
        }
        _ => failure.aftermath,
    }
}

/// Says what is true of the data after a failure.
pub(super) fn state(failure: &Failure) -> String {
    let Some(legs) = failure.legs.as_deref() else { return state_of(failure, failure.aftermath) };
    if failure.is_done {
        let which = stand_together(legs.stand.len(), legs.of);
        return format!("{which}; of the last one the end could not be written into its journal");
    }
    let number = legs.stand.len() + 1;
    let stand = match legs.stand.len() {
        0 => String::new(),
        last => format!("{}; ", stand_together(last, legs.of)),
    };
    format!("{stand}of step {number}: {}", state_of(failure, legs.failed))
}

fn stand_together(last: usize, of: usize) -> String {
    match last {
        1 => format!("step 1 of {of} stands"),
        last => format!("steps 1 to {last} of {of} stand"),
    }
}

fn state_of(failure: &Failure, of_it: Aftermath) -> String {
    if let Some(Refusal::NotVerified { backup }) = failure.source.downcast_ref() {
        return format!("the database holds the snapshot of {backup}, which was not compared once more");
    }
    match (failure.source.downcast_ref::<JournalError>(), failure.step, of_it, &failure.half_way) {
        (
            Some(JournalError::Unfinished { operation, may_have_changed: true }),
            _,
            Aftermath::Unchanged,
            _,
        ) => format!(
            "nothing was changed by this command; {operation} had begun to write, and how it left the data is what \
             \"ripcord recover\" finds out"
        ),
        (Some(JournalError::Damaged { .. }), _, Aftermath::Unchanged, _) => {
            "nothing was changed by this command; whether that operation changed the data is not known"
                .to_string()
        }
        (_, Some(Step::Migrate), Aftermath::Changed, _) => HALF_WAY.to_string(),
        (_, _, Aftermath::Unchanged, Some(left)) => {
            format!(
                "nothing was changed by this command: the database is half-way, as {} left it",
                left.operation
            )
        }
        (_, _, end, _) => aftermath(end).to_string(),
    }
}

/// The same of a migration that failed in the middle and was not undone as a whole.
const HALF_WAY: &str = "the change stands half-way: what was committed before the failure is in the database";

/// Says whether the version rows moved.
pub(super) fn rows_then(before: &[RevisionId], now: &[RevisionId]) -> String {
    let sorted = |rows: &[RevisionId]| rows.iter().cloned().collect::<BTreeSet<_>>();
    match sorted(before) == sorted(now) {
        true => format!("the version rows are as they were, at {}", rows_text(now)),
        false => format!("the version rows moved from {} to {}", rows_text(before), rows_text(now)),
    }
}

pub(super) fn aftermath_word(aftermath: Aftermath) -> &'static str {
    match aftermath {
        Aftermath::Unchanged => "unchanged",
        Aftermath::Changed => "changed",
        Aftermath::PutBack => "put back",
        Aftermath::Unknown => "unknown",
    }
}

/// Returns a size with a binary unit: `12.3 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// Returns a number with its noun, in the plural where it needs one: `1 table`, `2 tables`.
pub(super) fn count(number: usize, noun: &str) -> String {
    counted(number as u64, noun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_at_a_glance() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 40), "3.0 TiB");
    }
}
