//! What SQLite's own checks find: `quick_check`, `integrity_check` and `foreign_key_check`, as findings.
//!
//! A database may have been dirty for years: findings are compared before and after a change, so their texts must not
//! depend on when they are made. Broken keys are counted for each foreign key, with the first rows by name, so that
//! memory does not grow with the damage.

use super::session::Session;
use super::written::Written;
use crate::base::{counted, one_or_more};
use crate::catalog::{Finding, Severity, quote};
use crate::engine::Error;
use rusqlite::ErrorCode;
use std::collections::BTreeMap;

/// The subject of what is found in the file as a whole.
pub(super) const DATABASE: &str = "database";

/// How many rows a finding names.
const ROWS_NAMED: usize = 10;

/// One check that can be run by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// The structure of the file, of every table and index, and `NOT NULL`.
    Quick,
    /// The same, and that every index has exactly the rows of its table.
    Integrity,
    /// The same as `Integrity`, for one table and its indexes.
    IntegrityOf(String),
    /// The same as `Quick`, for one table and its indexes.
    QuickOf(String),
    /// The foreign keys of one table.
    ForeignKeysOf(String),
}

impl Check {
    /// Tells whether it checks the foreign keys of this table.
    pub(super) fn is_of_keys_of(&self, table: &str) -> bool {
        matches!(self, Self::ForeignKeysOf(child) if child == table)
    }

    /// Runs the check. A check that cannot be run (a collation that only the application has) says so as a finding.
    pub(super) fn run(&self, session: &Session) -> Result<Vec<Finding>, Error> {
        match self {
            Self::Quick => integrity(session, "PRAGMA quick_check"),
            Self::Integrity => integrity(session, "PRAGMA integrity_check"),
            Self::IntegrityOf(table) => {
                integrity(session, &format!("PRAGMA integrity_check({})", quote(table)))
            }
            Self::QuickOf(table) => integrity(session, &format!("PRAGMA quick_check({})", quote(table))),
            Self::ForeignKeysOf(table) => foreign_keys(session, table),
        }
    }
}

/// Returns one check for each table that has foreign keys.
pub(super) fn foreign_key_checks(session: &Session) -> Result<Vec<Check>, Error> {
    Ok(referencing(session)?.into_keys().map(Check::ForeignKeysOf).collect())
}

/// One column of a foreign key: which key, the column's place in it, the parent, the column and what it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyPart {
    key: i64,
    place: i64,
    pub parent: String,
    from: String,
    to: Option<String>,
}

/// Returns every table that has foreign keys, with the keys.
pub(super) fn referencing(session: &Session) -> Result<BTreeMap<String, Vec<KeyPart>>, Error> {
    let failed = |error| session.failed("reading the catalog", error);
    let sql = "SELECT s.name, k.id, k.seq, k.\"table\", k.\"from\", k.\"to\"
        FROM sqlite_schema s, pragma_foreign_key_list(s.name) k
        WHERE s.type = 'table' ORDER BY s.name, k.id, k.seq";
    let mut statement = session.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut found: BTreeMap<String, Vec<KeyPart>> = BTreeMap::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let part = || {
            let (key, place, parent) = (row.get(1)?, row.get(2)?, row.get(3)?);
            Ok::<_, rusqlite::Error>(KeyPart { key, place, parent, from: row.get(4)?, to: row.get(5)? })
        };
        let child = row.get(0).map_err(failed)?;
        found.entry(child).or_default().push(part().map_err(failed)?);
    }
    Ok(found)
}

/// Returns the tables whose foreign keys can be broken in another way than before: those with other keys, those
/// into which rows were written, or into a parent of theirs, and those of which a parent is not there.
pub(super) fn to_check_again(
    session: &Session,
    before: &BTreeMap<String, Vec<KeyPart>>,
    written: &Written,
) -> Result<Vec<Check>, Error> {
    let mut checks = Vec::new();
    for (child, keys) in referencing(session)? {
        let mut again = written.has_rows_of(&child) || before.get(&child) != Some(&keys);
        for key in &keys {
            again = again || written.has_rows_of(&key.parent) || !session.has_table(&key.parent)?;
        }
        if again {
            checks.push(Check::ForeignKeysOf(child));
        }
    }
    Ok(checks)
}

/// Checks the foreign keys of the whole database.
pub(super) fn all_foreign_keys(session: &Session) -> Result<Vec<Finding>, Error> {
    let mut found = Vec::new();
    for check in foreign_key_checks(session)? {
        found.extend(check.run(session)?);
    }
    found.sort();
    Ok(found)
}

fn integrity(session: &Session, sql: &str) -> Result<Vec<Finding>, Error> {
    let lines = (|| {
        let mut statement = session.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    })();
    let lines = match lines {
        Ok(lines) => lines,
        Err(error) => return not_run(session, DATABASE, error).map(|finding| vec![finding]),
    };
    let bad = lines.into_iter().filter(|line| line != "ok");
    Ok(bad.map(|detail| finding(Severity::Error, "integrity", DATABASE, detail)).collect())
}

/// The broken rows of one foreign key.
#[derive(Default)]
struct Broken {
    count: u64,
    rows: Vec<String>,
}

fn foreign_keys(session: &Session, table: &str) -> Result<Vec<Finding>, Error> {
    match broken_keys(session, table) {
        Ok(found) => Ok(found),
        // A key that names what is no key at the other end cannot be checked, and no row of it can be written either.
        Err(error) => not_run(session, table, error).map(|finding| vec![finding]),
    }
}

fn broken_keys(session: &Session, table: &str) -> rusqlite::Result<Vec<Finding>> {
    let mut statement = session.prepare(&format!("PRAGMA foreign_key_check({})", quote(table)))?;
    let mut rows = statement.query([])?;
    let mut broken: BTreeMap<(String, i64), Broken> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (rowid, parent, key): (Option<i64>, String, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let entry = broken.entry((parent, key)).or_default();
        entry.count += 1;
        if let Some(rowid) = rowid.filter(|_| entry.rows.len() < ROWS_NAMED) {
            entry.rows.push(rowid.to_string());
        }
    }
    let mut found = Vec::new();
    for ((parent, key), broken) in broken {
        let columns = key_columns(session, table, key)?;
        let mut detail = format!(
            "{} {} no row in {parent} for {} {columns}",
            counted(broken.count, "row"),
            one_or_more(broken.count, "has", "have"),
            one_or_more(broken.count, "its", "their")
        );
        if !broken.rows.is_empty() {
            let more = if broken.count > broken.rows.len() as u64 { " …" } else { "" };
            detail.push_str(&format!(" (rowid {}{more})", broken.rows.join(", ")));
        }
        found.push(finding(Severity::Warning, "foreign-key", table, detail));
    }
    Ok(found)
}

fn key_columns(session: &Session, table: &str, key: i64) -> rusqlite::Result<String> {
    let sql = "SELECT \"from\" FROM pragma_foreign_key_list(?1) WHERE id = ?2 ORDER BY seq";
    let mut statement = session.prepare(sql)?;
    let columns = statement.query_map(rusqlite::params![table, key], |row| row.get::<_, String>(0))?;
    Ok(columns.collect::<rusqlite::Result<Vec<_>>>()?.join(", "))
}

fn not_run(session: &Session, subject: &str, error: rusqlite::Error) -> Result<Finding, Error> {
    match error.sqlite_error_code() {
        // Something that a schema can bring about: a mismatch of keys, a missing collation, a missing module.
        Some(ErrorCode::Unknown) => {
            let detail = format!("a check could not be run: {}", super::failure::detail(&error));
            Ok(finding(Severity::Warning, "not-checked", subject, detail))
        }
        Some(ErrorCode::DatabaseCorrupt) => {
            let detail = super::failure::detail(&error);
            Ok(finding(Severity::Error, "integrity", subject, detail))
        }
        _ => Err(session.failed("checking the database", error)),
    }
}

fn finding(severity: Severity, code: &str, subject: &str, detail: String) -> Finding {
    Finding { severity, code: code.to_string(), subject: subject.to_string(), detail }
}
