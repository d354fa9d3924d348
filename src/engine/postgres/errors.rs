//! From what the driver reports to the facts of [`Error`]: which of them it is, and never a password.

use crate::engine::Error;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

/// SQLSTATE codes (<https://www.postgresql.org/docs/current/errcodes-appendix.html>) that mean something to us.
pub(super) mod code {
    pub(in super::super) const LOCK_NOT_AVAILABLE: &str = "55P03";
    pub(in super::super) const DEADLOCK_DETECTED: &str = "40P01";
    pub(in super::super) const NOT_IN_PREREQUISITE_STATE: &str = "55000";
    pub(in super::super) const INVALID_CATALOG_NAME: &str = "3D000";
    pub(in super::super) const INSUFFICIENT_PRIVILEGE: &str = "42501";
    /// A statement that must not be in a transaction block was in one.
    pub(in super::super) const ACTIVE_TRANSACTION: &str = "25001";
    /// A procedure that commits was called in a transaction block.
    pub(in super::super) const INVALID_TERMINATION: &str = "2D000";
    pub(in super::super) const DISK_FULL: &str = "53100";
    pub(in super::super) const DUPLICATE_DATABASE: &str = "42P04";
}

fn more_rights(server: &PgDatabaseError) -> String {
    // One SQLSTATE for many rights; this one is asked for by no GRANT.
    let is_policy = server.message().contains("row-level security");
    let right =
        if is_policy { "the attribute BYPASSRLS, as a row-level policy hides rows" } else { "more rights" };
    format!("{right}: {}", said(server))
}

/// Returns the server's own error, if it was the server that refused.
pub(super) fn server_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
}

/// Tells whether the server answered with this SQLSTATE.
pub(super) fn is(error: &sqlx::Error, code: &str) -> bool {
    server_error(error).is_some_and(|error| error.code() == code)
}

/// Explains why no session could be opened.
pub(super) fn connecting(error: &sqlx::Error, place: &str, user: &str, database: &str) -> Error {
    let unreachable = |detail: String| Error::Unreachable { place: place.to_string(), detail };
    let Some(server) = server_error(error) else {
        return match error {
            sqlx::Error::Configuration(detail) => {
                Error::Unsupported { what: format!("a connection to {place}"), why: detail.to_string() }
            }
            sqlx::Error::Io(source) => unreachable(source.to_string()),
            other => unreachable(other.to_string()),
        };
    };
    match server.code() {
        code::INVALID_CATALOG_NAME => Error::NotFound { place: format!("{place}, database {database}") },
        code::NOT_IN_PREREQUISITE_STATE => {
            Error::Barred { place: format!("{place}, database {database}"), detail: said(server) }
        }
        // 28xxx: wrong password, no such role, no line in pg_hba.conf.
        class if class.starts_with("28") => {
            Error::Authentication { place: place.to_string(), user: user.to_string(), detail: said(server) }
        }
        code::INSUFFICIENT_PRIVILEGE => {
            Error::Privilege { what: format!("a session in {database}"), privilege: more_rights(server) }
        }
        _ => unreachable(said(server)),
    }
}

/// Explains why a statement of ours failed; `doing` says what it was for.
pub(super) fn doing(error: &sqlx::Error, doing: &str, place: &str) -> Error {
    let Some(server) = server_error(error) else {
        return match error {
            sqlx::Error::Io(source) => {
                Error::Unreachable { place: place.to_string(), detail: format!("{doing}: {source}") }
            }
            other => Error::Driver { doing: doing.to_string(), detail: other.to_string() },
        };
    };
    match server.code() {
        code::LOCK_NOT_AVAILABLE => {
            Error::Busy { place: place.to_string(), detail: format!("{doing}: {}", said(server)) }
        }
        code::INSUFFICIENT_PRIVILEGE => {
            Error::Privilege { what: doing.to_string(), privilege: more_rights(server) }
        }
        code::DISK_FULL => {
            Error::ServerFull { place: place.to_string(), detail: format!("{doing}: {}", said(server)) }
        }
        _ => Error::Driver { doing: doing.to_string(), detail: said(server) },
    }
}

/// Returns the server's words: the message, its SQLSTATE, its detail and its hint.
pub(super) fn said(error: &PgDatabaseError) -> String {
    let mut text = format!("{} (SQLSTATE {})", error.message(), error.code());
    for (word, more) in [("DETAIL", error.detail()), ("HINT", error.hint()), ("CONTEXT", error.r#where())] {
        if let Some(more) = more {
            text.push_str(&format!("\n{word}: {more}"));
        }
    }
    text
}

/// Returns how many lines below the beginning of the statement the server found the mistake.
pub(super) fn lines_into(error: &PgDatabaseError, statement: &str) -> usize {
    match error.position() {
        // Positions count characters from 1.
        Some(PgErrorPosition::Original(position)) => {
            statement.chars().take(position.saturating_sub(1)).filter(|next| *next == '\n').count()
        }
        _ => 0,
    }
}
