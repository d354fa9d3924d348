//! One table from causes to exit codes (`docs/cli-contract.md`).

use crate::base::editor::EditorError;
use crate::config::ConfigError;
use crate::journal::JournalError;
use crate::procedure::{Refusal, is_interrupted};
use crate::report::{Aftermath, Failure};
use crate::{engine, runner, store, tabular};
use std::error::Error as StdError;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    Done = 0,
    /// A bug of ripcord's.
    Bug = 1,
    /// Usage or configuration.
    Usage = 2,
    /// Refused by a guard, nothing touched.
    Refused = 3,
    /// Failed, data as before.
    Failed = 4,
    /// Failed, needs a person.
    NeedsPerson = 5,
    /// Verification found a difference.
    Difference = 6,
    /// Locked by another operation.
    Locked = 7,
    /// An unfinished operation must be recovered first.
    Unfinished = 8,
    /// Interrupted; the state is reported.
    Interrupted = 130,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

impl ExitCode {
    /// Returns the exit code of a failure. What is true of the data weighs more than why: a database that needs a
    /// person is 5, whatever the cause.
    pub fn of(failure: &Failure) -> Self {
        let interrupted = is_interrupted(failure.source.as_ref());
        match failure.aftermath {
            Aftermath::Changed | Aftermath::Unknown if failure.step.is_some() => Self::NeedsPerson,
            Aftermath::Changed | Aftermath::Unknown => Self::NeedsPerson,
            _ if interrupted => Self::Interrupted,
            Aftermath::PutBack => Self::Failed,
            Aftermath::Unchanged => of_cause(failure.source.as_ref()),
        }
    }
}

type Cause = dyn StdError + Send + Sync + 'static;

fn of_cause(cause: &Cause) -> ExitCode {
    if cause.is::<ConfigError>() {
        ExitCode::Usage
    } else if let Some(error) = cause.downcast_ref::<engine::Error>() {
        of_engine(error)
    } else if let Some(error) = cause.downcast_ref::<runner::Error>() {
        of_runner(error)
    } else if let Some(error) = cause.downcast_ref::<store::Error>() {
        of_store(error)
    } else if let Some(error) = cause.downcast_ref::<tabular::Error>() {
        of_tabular(error)
    } else if let Some(error) = cause.downcast_ref::<JournalError>() {
        of_journal(error)
    } else if let Some(error) = cause.downcast_ref::<Refusal>() {
        of_refusal(error)
    } else if let Some(EditorError::NotSet | EditorError::Missing { .. }) =
        cause.downcast_ref::<EditorError>()
    {
        ExitCode::Usage
    } else {
        ExitCode::Failed
    }
}

fn of_engine(error: &engine::Error) -> ExitCode {
    use engine::Error;
    match error {
        Error::NotFound { .. }
        | Error::NoFolder { .. }
        | Error::NotADatabase { .. }
        | Error::Authentication { .. }
        | Error::NotExportable { .. }
        | Error::Exists { .. } => ExitCode::Usage,
        Error::LockedByOther { .. } => ExitCode::Locked,
        Error::Privilege { .. }
        | Error::ToolTooOld { .. }
        | Error::ToolMissing { .. }
        | Error::NoSpace { .. }
        | Error::DamagedSnapshot { .. }
        | Error::BeyondCopy { .. }
        | Error::SchemaMoved
        | Error::TableDiffers { .. }
        | Error::ReferredTo { .. }
        | Error::RefersTo { .. }
        | Error::Unsupported { .. } => ExitCode::Refused,
        Error::Journal(error) => of_journal(error),
        Error::NotBegun { cause } => of_engine(cause),
        _ => ExitCode::Failed,
    }
}

fn of_runner(error: &runner::Error) -> ExitCode {
    use runner::Error;
    match error {
        Error::NoProject { .. }
        | Error::AllOfAlembic { .. }
        | Error::OfAlembic { .. }
        | Error::File { .. }
        | Error::History(_)
        | Error::Exists { .. }
        | Error::Usage { .. } => ExitCode::Usage,
        Error::EditedAfterApplied { .. } | Error::NoSection { .. } => ExitCode::Refused,
        Error::Engine(error) => of_engine(error),
        Error::Journal(error) => of_journal(error),
        _ => ExitCode::Failed,
    }
}

fn of_store(error: &store::Error) -> ExitCode {
    match error {
        store::Error::NotFound { .. } | store::Error::Ambiguous { .. } => ExitCode::Usage,
        store::Error::Unusable { .. } => ExitCode::Refused,
        _ => ExitCode::Failed,
    }
}

fn of_tabular(error: &tabular::Error) -> ExitCode {
    match error {
        tabular::Error::Taken { .. } | tabular::Error::Twice { .. } => ExitCode::Usage,
        tabular::Error::Engine(error) => of_engine(error),
        tabular::Error::NotAsWritten { .. } | tabular::Error::NotTaken { .. } => ExitCode::Refused,
        tabular::Error::Io { .. } => ExitCode::Failed,
    }
}

fn of_journal(error: &JournalError) -> ExitCode {
    match error {
        JournalError::Unfinished { .. } | JournalError::Damaged { .. } => ExitCode::Unfinished,
        JournalError::NoSuchOperation { .. } => ExitCode::Usage,
        _ => ExitCode::Failed,
    }
}

fn of_refusal(refusal: &Refusal) -> ExitCode {
    match refusal {
        Refusal::Preflight { .. }
        | Refusal::DamagedBackup { .. }
        | Refusal::DamagedSalvage { .. }
        | Refusal::AnotherDatabase { .. }
        | Refusal::AnotherEngine { .. }
        | Refusal::Unreadable { .. }
        | Refusal::NoSalvage { .. }
        | Refusal::Untraced { .. }
        | Refusal::NoTable { .. }
        | Refusal::RowsMoved { .. }
        | Refusal::SchemaMoved
        | Refusal::PlanDiffers { .. }
        | Refusal::Hazards { .. }
        | Refusal::TooLargeToProve { .. } => ExitCode::Refused,
        Refusal::NotAtHeads { .. } => ExitCode::Difference,
        _ => ExitCode::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(aftermath: Aftermath, source: impl Into<Box<Cause>>) -> Failure {
        Failure { aftermath, ..Failure::refused(source) }
    }

    #[test]
    fn what_is_true_of_the_data_weighs_more_than_the_cause() {
        let locked = || engine::Error::LockedByOther { place: "x".into(), holder: "y".into() };
        assert_eq!(ExitCode::of(&with(Aftermath::Unchanged, locked())), ExitCode::Locked);
        assert_eq!(ExitCode::of(&with(Aftermath::Changed, locked())), ExitCode::NeedsPerson);
        assert_eq!(
            ExitCode::of(&with(Aftermath::Unknown, engine::Error::Interrupted)),
            ExitCode::NeedsPerson
        );
        assert_eq!(
            ExitCode::of(&with(Aftermath::Unchanged, engine::Error::Interrupted)),
            ExitCode::Interrupted
        );
        assert_eq!(ExitCode::of(&with(Aftermath::PutBack, locked())), ExitCode::Failed);
    }

    #[test]
    fn an_unfinished_operation_is_told_apart_from_a_held_lock() {
        let unfinished = JournalError::Unfinished { operation: "x".into(), may_have_changed: true };
        assert_eq!(ExitCode::of(&with(Aftermath::Unchanged, unfinished)), ExitCode::Unfinished);
    }
}
