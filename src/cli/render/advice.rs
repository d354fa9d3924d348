//! The next command for a cause: hints are data, printed in one place.

use crate::base::editor::EditorError;
use crate::base::shell_word;
use crate::config::{ConfigError, FileError};
use crate::engine;
use crate::history::HistoryError;
use crate::journal::JournalError;
use crate::procedure::Refusal;
use crate::runner;
use crate::store;
use crate::tabular;
use std::error::Error as StdError;
use std::io;

/// Returns what to do next for this cause, as whole commands or short sentences; the best first.
pub(super) fn hints(cause: &(dyn StdError + Send + Sync + 'static)) -> Vec<String> {
    if let Some(JournalError::Damaged { operation: Some(operation), .. }) = cause.downcast_ref() {
        return vec![format!("ripcord log {operation}"), "ripcord recover --accept-as-is".to_string()];
    }
    if let Some(runner::Error::AllOfAlembic { .. } | runner::Error::OfAlembic { .. }) = cause.downcast_ref() {
        return vec![
            "ripcord backup create".to_string(),
            "alembic upgrade head (Flask-Migrate: flask db upgrade)".to_string(),
            "or keep revisions of ripcord's own (.sql) in another folder: runner.directory in ripcord.toml"
                .to_string(),
        ];
    }
    if let Some(Refusal::Preflight { findings }) = cause.downcast_ref()
        && findings.iter().any(|finding| ["createdb", "extension"].contains(&finding.code.as_str()))
    {
        return vec![
            "set proof.scratch_url in ripcord.toml to a server where that is allowed, and run the same command again"
                .to_string(),
            "or run the same command with --proof none: nobody knows then whether its snapshot can be restored"
                .to_string(),
        ];
    }
    let hint = if let Some(error) = cause.downcast_ref::<engine::Error>() {
        engine_hint(error)
    } else if let Some(error) = cause.downcast_ref::<runner::Error>() {
        runner_hint(error)
    } else if let Some(error) = cause.downcast_ref::<store::Error>() {
        store_hint(error)
    } else if let Some(error) = cause.downcast_ref::<tabular::Error>() {
        tabular_hint(error)
    } else if let Some(error) = cause.downcast_ref::<JournalError>() {
        journal_hint(error)
    } else if let Some(error) = cause.downcast_ref::<ConfigError>() {
        config_hint(error)
    } else if cause.is::<EditorError>() {
        Some("set VISUAL or EDITOR to the editor of your choice, such as EDITOR=nano".to_string())
    } else {
        cause.downcast_ref::<Refusal>().and_then(refusal_hint)
    };
    hint.or_else(|| system_hint(cause)).into_iter().collect()
}

/// What to do where the system refused, whoever asked it.
fn system_hint(cause: &(dyn StdError + Send + Sync + 'static)) -> Option<String> {
    let mut at: Option<&(dyn StdError + 'static)> = Some(cause);
    let mut found = None;
    while let (Some(error), None) = (at, found) {
        found = error.downcast_ref::<io::Error>();
        at = error.source();
    }
    let text = match found.map(io::Error::kind) {
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge) => ROOM,
        // A tool's own words, which no kind says.
        None if cause.to_string().contains("No space left on device") => ROOM,
        Some(io::ErrorKind::PermissionDenied) => {
            "let this user in there (ls -ld shows who may), or run it as the one who may; then the same command again"
        }
        Some(io::ErrorKind::ReadOnlyFilesystem) => {
            "mount that file system writable, or name another place: backup.directory in ripcord.toml is that of the backups"
        }
        _ => return None,
    };
    Some(text.to_string())
}

const ROOM_OF_SERVER: &str = "free space on the server's disk, and run the same command again";

/// A disk, a quota and a limit on files look the same to whoever is refused.
const ROOM: &str =
    "free space there (df -h; a quota and ulimit -f limit it as well), and run the same command again";

fn engine_hint(error: &engine::Error) -> Option<String> {
    use engine::Error;
    let text = match error {
        Error::NotFound { .. } => {
            "check the address; a SQLite file that is not there is made by its first upgrade, a PostgreSQL database with createdb"
        }
        Error::NotADatabase { .. } => {
            "check the address; if it was a database once, list its backups with \"ripcord backup list\""
        }
        Error::Malformed { .. } => {
            "put a backup in its place: ripcord restore latest; the damaged file is kept beside it"
        }
        Error::WroteMeanwhile { .. } => {
            "run the same command again, which saves the new state first, or stop the application before"
        }
        Error::Unreachable { .. } => "check that the server runs and listens there: pg_isready",
        Error::Authentication { .. } => "check user and password in the URL, PGPASSWORD or ~/.pgpass",
        Error::LockedByOther { .. } => "wait until it ends; see what it does with \"ripcord log\"",
        Error::NotBegun { cause } => return engine_hint(cause),
        Error::Blocked { by, .. } => return Some(make_way(by)),
        Error::Barred { .. } => {
            "if an operation of ripcord was cut short: ripcord recover; else let clients in again with ALTER DATABASE … ALLOW_CONNECTIONS true"
        }
        Error::Busy { .. } => {
            "close the other program's transaction, or raise database.lock_timeout, and run it again"
        }
        Error::ToolMissing { .. } | Error::ToolTooOld { .. } => {
            "install the client programs of the server's version (Debian: apt-get install postgresql-client)"
        }
        Error::Full { .. } => ROOM,
        Error::ServerFull { .. } => ROOM_OF_SERVER,
        Error::NoFolder { folder, .. } => {
            let folder = shell_word(&folder.display().to_string());
            return Some(format!("check the address, or make the folder: mkdir -p {folder}"));
        }
        Error::NoSpace { .. } => "free space there, or set backup.directory in ripcord.toml to another disk",
        Error::NotExportable { .. } => {
            "write a table as schema.name, a part that is not plain in double quotes: '\"Odd Name\"'; a query as one SELECT"
        }
        Error::Exists { .. } => "name a database that does not exist yet",
        Error::Statement { detail, .. } if detail.contains("(SQLSTATE 42501)") => {
            "grant the user what the server names, or connect as a role that has it; on the copy of a rehearsal, which \
             belongs to the user, it may be missing unseen"
        }
        Error::Statement { detail, .. } if detail.contains("(SQLSTATE 53100)") => ROOM_OF_SERVER,
        Error::Statement { detail, .. } if needs_no_transaction(detail) => {
            "put that statement into a revision of its own, with the line \"-- ripcord:transaction none\" in its header, and \
             run the same command again"
        }
        Error::Statement { .. } => "mend the revision file and run the same command again",
        Error::BeyondCopy { .. } => {
            "put that statement into a revision of its own, and rehearse the others up to it by name"
        }
        Error::ForeignKeys { .. } => {
            "mend the revision so that every key has its row, and run the same command again"
        }
        Error::VersionRows { .. } => "see where the database is with \"ripcord current\"",
        Error::SchemaMoved => {
            "see what changes it while ripcord works on it, and run it again: the plan is made anew"
        }
        Error::DamagedSnapshot { .. } => "choose another one from \"ripcord backup list\"",
        Error::Privilege { .. } => "grant it, or connect as a role that has it",
        Error::Journal(error) => return journal_hint(error),
        _ => return None,
    };
    Some(text.to_string())
}

/// Tells whether a statement failed because it cannot be in a transaction: two SQLSTATEs of PostgreSQL, words of SQLite's.
fn needs_no_transaction(detail: &str) -> bool {
    ["(SQLSTATE 25001)", "(SQLSTATE 2D000)", "within a transaction", "inside a transaction"]
        .iter()
        .any(|words| detail.contains(words))
}

/// What to do about sessions that hold a lock: the first one is the cause.
fn make_way(by: &[engine::Blocker]) -> String {
    let end = match by.first().and_then(|blocker| blocker.process) {
        Some(process) => {
            format!("end that transaction, or its session: SELECT pg_terminate_backend({process});")
        }
        None => "commit or roll back the prepared transaction".to_string(),
    };
    format!("{end} then run it again, or raise database.lock_timeout")
}

fn runner_hint(error: &runner::Error) -> Option<String> {
    use runner::Error;
    match error {
        Error::NoProject { .. } => Some("make one with \"ripcord init\"".to_string()),
        Error::File { .. } => {
            Some("mend the file; see the form of one with \"ripcord revision -m example\"".to_string())
        }
        Error::EditedAfterApplied { place, original: Some(original), .. } => {
            let (from, to) = (shell_word(&original.display().to_string()), shell_word(place));
            Some(format!(
                "put its upgrade back as it was (the whole file: cp {from} {to}), and write what is new into a revision of \
                 its own; the downgrade may be mended in place"
            ))
        }
        Error::EditedAfterApplied { .. } => Some(
            "put the file back as it was, out of your version control, and write what is new into a revision of its own"
                .to_string(),
        ),
        Error::NoSection { .. } => {
            Some("write the missing section, or go back with a backup: ripcord backup list".to_string())
        }
        Error::History(HistoryError::UnknownRow { .. }) => Some(
            "put the file of that revision back; if it is gone for good: ripcord stamp --purge REVISION"
                .to_string(),
        ),
        Error::Usage { .. } => {
            Some("see the revisions with \"ripcord history\", and how to call it with --help".to_string())
        }
        Error::History(
            HistoryError::DuplicateId { .. }
            | HistoryError::MissingParent { .. }
            | HistoryError::UnknownDependency { .. }
            | HistoryError::AmbiguousDependency { .. }
            | HistoryError::SelfLoop { .. }
            | HistoryError::DependencySelfLoop { .. }
            | HistoryError::Cycle { .. }
            | HistoryError::DependencyCycle { .. }
            | HistoryError::LabelReused { .. },
        ) => {
            Some("mend the revision files that are named: no command can read the history before".to_string())
        }
        Error::History(_) => Some("see the revisions with \"ripcord history\"".to_string()),
        Error::Engine(error) => engine_hint(error),
        Error::Journal(error) => journal_hint(error),
        _ => None,
    }
}

fn store_hint(error: &store::Error) -> Option<String> {
    match error {
        store::Error::NotFound { .. } | store::Error::Ambiguous { .. } => {
            Some("see what there is with \"ripcord backup list\"".to_string())
        }
        store::Error::Unusable { .. } => Some("choose another one from \"ripcord backup list\"".to_string()),
        _ => None,
    }
}

fn tabular_hint(error: &tabular::Error) -> Option<String> {
    match error {
        tabular::Error::Taken { .. } => Some("move it away, or name another folder with --out".to_string()),
        tabular::Error::Twice { .. } => {
            Some("name each of them once, and each query differently".to_string())
        }
        tabular::Error::Engine(error) => engine_hint(error),
        tabular::Error::NotAsWritten { .. } => {
            Some("check the backup that it lies in: ripcord backup verify".to_string())
        }
        tabular::Error::Io { .. } | tabular::Error::NotTaken { .. } => None,
    }
}

fn journal_hint(error: &JournalError) -> Option<String> {
    match error {
        JournalError::Unfinished { .. } => Some("ripcord recover".to_string()),
        JournalError::Damaged { place, .. } => {
            let place = place.display().to_string();
            let (from, to) = (shell_word(&place), shell_word(&format!("{place}.damaged")));
            Some(format!(
                "read it; if its operation is over, or was of another database, move it away: mv {from} {to}"
            ))
        }
        JournalError::NoSuchOperation { .. } => Some("see what there is with \"ripcord log\"".to_string()),
        _ => None,
    }
}

fn config_hint(error: &ConfigError) -> Option<String> {
    match error {
        ConfigError::Url { .. } => Some(
            "write sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/name".to_string(),
        ),
        ConfigError::File { source: FileError::UnknownKey { .. } | FileError::Value { .. }, .. } => {
            Some("the keys are listed in the README, section Configuration".to_string())
        }
        ConfigError::Read { place, source } if source.kind() == io::ErrorKind::NotFound => Some(format!(
            "check the name {}, or leave --config out: without it ripcord.toml is read, if it is there",
            place.display()
        )),
        _ => None,
    }
}

fn refusal_hint(refusal: &Refusal) -> Option<String> {
    let text = match refusal {
        Refusal::AnotherDatabase { backup, found, .. } => {
            return Some(format!(
                "restore it beside: ripcord restore {backup} --to URL; if it is this database, which was moved or renamed \
                 since: add --of-database {}",
                shell_word(&found.to_string())
            ));
        }
        Refusal::NoTable { backup, .. } => {
            return Some(format!("see its tables with \"ripcord backup show {backup}\""));
        }
        Refusal::NoSalvage { backup, table: Some(_) } => {
            return Some(format!("see what it holds with \"ripcord backup show {backup}\""));
        }
        Refusal::Untraced { backup, .. } => {
            return Some(format!(
                "find out which table has its rows now, and load the file by hand under that name, as RUNBOOK.md in the \
                 folder of backup {backup} says"
            ));
        }
        Refusal::DamagedBackup { .. } | Refusal::Unreadable { .. } => {
            "choose another one from \"ripcord backup list\"; the runbook is runbooks/damaged-backup.md"
        }
        Refusal::Preflight { .. } => "mend what is named, and run the same command again",
        Refusal::NoSalvage { table: None, .. } => "see the others with \"ripcord backup list\"",
        Refusal::AnotherEngine { .. } => {
            "restore it into a database of its own kind: sqlite:///new.db or postgresql://…"
        }
        Refusal::NotProven { .. } | Refusal::NotRestored { .. } => {
            "report it: a snapshot that does not come back is what ripcord exists to find"
        }
        Refusal::Verification { .. } => {
            "mend the revision, or name in it every table that it changes on purpose and does not name yet, and run it again"
        }
        Refusal::TooLargeToProve { .. } => {
            "ask for it by name with --proof full, or prove the schema only with --proof schema"
        }
        Refusal::RowsMoved { .. } => "run it again; see who else migrates this database",
        Refusal::SchemaMoved => {
            "see what changes it while ripcord works on it, and run it again: the plan is made anew"
        }
        Refusal::PlanDiffers { .. } => {
            "look at the plan of now with --dry-run --format json, and hand that over"
        }
        Refusal::NotAtHeads { .. } => "ripcord upgrade heads",
        Refusal::PlanMoved { .. } => "put the revision files back as they were, or: ripcord recover --undo",
        _ => return None,
    };
    Some(text.to_string())
}
