//! The tables that migration tools keep: Alembic's version rows, and which file ripcord applied.

use super::super::Site;
use super::super::session::Session;
use crate::base::counted;
use crate::engine::{AppliedFile, Bookkeeping, Error};
use crate::history::{Direction, RevisionId, RowChange};
use crate::plan::Script;
use rusqlite::params;

/// Exactly the table that Alembic makes, so that a database can move there and back.
const CREATE_VERSIONS: &str = "CREATE TABLE IF NOT EXISTS alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)";

/// ripcord's own, which Alembic does not look at.
const CREATE_FILES: &str = "CREATE TABLE IF NOT EXISTS ripcord_revision (
	revision VARCHAR(32) NOT NULL,
	sha256 VARCHAR(64) NOT NULL,
	applied_at TIMESTAMP NOT NULL,
	operation VARCHAR(64) NOT NULL,
	CONSTRAINT ripcord_revision_pkc PRIMARY KEY (revision)
)";

const READING: &str = "reading the version rows";

impl Site {
    /// Reads the version rows, sorted.
    pub(in super::super) fn version_rows(&self) -> Result<Vec<RevisionId>, Error> {
        version_rows(&self.look()?)
    }

    /// Reads which files ripcord applied.
    pub(in super::super) fn applied_files(&self) -> Result<Vec<AppliedFile>, Error> {
        let session = self.look()?;
        if !session.has_table("ripcord_revision")? {
            return Ok(Vec::new());
        }
        let failed = |error| session.failed(READING, error);
        let sql = "SELECT revision, sha256, applied_at, operation FROM ripcord_revision ORDER BY revision";
        let mut statement = session.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut files = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let text = |column| row.get::<_, String>(column).map_err(failed);
            let (sha256, applied_at, operation) = (text(1)?, text(2)?, text(3)?);
            files.push(AppliedFile { revision: revision(text(0)?)?, sha256, applied_at, operation });
        }
        Ok(files)
    }
}

/// Reads the version rows as a session sees them, sorted.
pub(in super::super) fn version_rows(session: &Session) -> Result<Vec<RevisionId>, Error> {
    if !session.has_table("alembic_version")? {
        return Ok(Vec::new());
    }
    let failed = |error| session.failed(READING, error);
    let sql = "SELECT version_num FROM alembic_version ORDER BY version_num";
    let mut statement = session.prepare(sql).map_err(failed)?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
    rows.map(|row| revision(row.map_err(failed)?)).collect()
}

fn revision(text: String) -> Result<RevisionId, Error> {
    RevisionId::new(text).map_err(|error| Error::VersionRows { detail: error.to_string() })
}

/// Makes the changes of the version rows that belong to a script. Each must meet exactly one row: another number means
/// that the plan was made for another database.
pub(super) fn change(session: &Session, changes: &[RowChange]) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    session.run("creating the version table", CREATE_VERSIONS)?;
    for change in changes {
        let (what, outcome) = match change {
            RowChange::Insert(to) => {
                let sql = "INSERT INTO alembic_version (version_num) VALUES (?1)";
                (format!("insert {to}"), session.execute(sql, [to.as_str()]))
            }
            RowChange::Delete(from) => {
                let sql = "DELETE FROM alembic_version WHERE version_num = ?1";
                (format!("delete {from}"), session.execute(sql, [from.as_str()]))
            }
            RowChange::Update { from, to } => {
                let sql = "UPDATE alembic_version SET version_num = ?2 WHERE version_num = ?1";
                let outcome = session.execute(sql, [from.as_str(), to.as_str()]);
                (format!("update {from} to {to}"), outcome)
            }
        };
        match outcome {
            Ok(1) => {}
            Ok(rows) => {
                return Err(Error::VersionRows {
                    detail: format!("{what} met {}", counted(rows as u64, "row")),
                });
            }
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                return Err(Error::VersionRows { detail: format!("{what}: the row is there already") });
            }
            Err(error) => return Err(session.failed("writing the version rows", error)),
        }
    }
    Ok(())
}

/// Remembers the file of a revision that was applied, or forgets that of one that was taken back.
pub(super) fn remember(session: &Session, script: &Script, book: &Bookkeeping<'_>) -> Result<(), Error> {
    session.run("creating ripcord's table", CREATE_FILES)?;
    let revision = script.revision.as_str();
    let outcome = match script.direction {
        Direction::Up => {
            let at = book.at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
            let sql = "INSERT OR REPLACE INTO ripcord_revision (revision, sha256, applied_at, operation)
                VALUES (?1, ?2, ?3, ?4)";
            session.execute(sql, params![revision, script.sha256, at, book.operation])
        }
        Direction::Down => session.execute("DELETE FROM ripcord_revision WHERE revision = ?1", [revision]),
    };
    outcome.map(|_| ()).map_err(|error| session.failed("remembering the applied file", error))
}
