//! From SQLite's result codes to the engine's facts.

use crate::base::fs;
use crate::engine::Error;
use rusqlite::ErrorCode;
use std::io;
use std::path::Path;

/// Says what a SQLite error means for somebody who was `doing` something with the database at `place`.
pub(super) fn failed(place: &Path, doing: &str, error: rusqlite::Error) -> Error {
    let shown = place.display().to_string();
    if place.is_dir() {
        return Error::NotADatabase { place: shown, engine: "SQLite", detail: "it is a folder".to_string() };
    }
    let detail = detail(&error);
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Error::NotADatabase { place: shown, engine: "SQLite", detail },
        Some(ErrorCode::DatabaseCorrupt) => Error::Malformed { place: shown, detail },
        // The format number in the header is one that no SQLite ever wrote.
        _ if detail == "unsupported file format" => Error::Malformed { place: shown, detail },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Busy { place: shown, detail },
        Some(ErrorCode::OperationInterrupted) => Error::Interrupted,
        Some(ErrorCode::ReadOnly) => {
            Error::Privilege { what: doing.to_string(), privilege: format!("permission to write {shown}") }
        }
        Some(ErrorCode::PermissionDenied) => {
            Error::Privilege { what: doing.to_string(), privilege: format!("permission to use {shown}") }
        }
        Some(ErrorCode::CannotOpen) if !place.exists() => Error::NotFound { place: shown },
        // SQLite does not say why; the system does.
        Some(ErrorCode::CannotOpen) => match std::fs::File::open(place) {
            Err(source) => Error::Io { place: place.to_path_buf(), doing: "opened", source },
            Ok(_) => Error::Driver { doing: doing.to_string(), detail },
        },
        // A limit on the size of files is told as any other failure of the disk.
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => {
            let folder = fs::parent(place);
            let free = fs::free_space(&folder).ok();
            Error::Full { doing: doing.to_string(), folder, detail, free }
        }
        _ => Error::Driver { doing: doing.to_string(), detail },
    }
}

/// Returns what SQLite says, without the driver's own words around it.
pub(super) fn detail(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqliteFailure(code, None) => code.to_string(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

/// Says which file could not be used, and how.
pub(super) fn io_failed(place: &Path, doing: &'static str, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::Interrupted {
        return Error::Interrupted;
    }
    Error::Io { place: place.to_path_buf(), doing, source }
}
