//! Columns that refer to keys which are put back, without a foreign key that says so: in a temporary table, so that whoever asks
//! which foreign keys there are finds them beside these.

use super::super::session::{Session, open_frozen};
use super::super::snapshot::file_in;
use super::DOING;
use super::feed::fill;
use super::together::keys;
use crate::catalog::{Catalog, Table, TableKind, TableName, quote};
use crate::engine::{Error, Named, Piece, named, undeclared};

const NOTED: &str = "ripcord_undeclared";

/// Writes them down, as far as the live tables still have them and no foreign key says the same.
pub(super) fn note(session: &Session, catalog: &Catalog, pieces: &[Piece]) -> Result<(), Error> {
    let mut insert = fill(session, NOTED, 4)?;
    let mut found = undeclared(pieces)?;
    for one in named(pieces) {
        if held_keys(session, &one)? {
            found.push(one.what);
        }
    }
    for one in found {
        let has = |table: &TableName, column: &str| {
            let is_it = |table: &&Table| {
                let mut columns = table.columns.iter().filter(|own| own.name == column);
                table.kind == TableKind::Ordinary && columns.any(|own| own.generated.is_none())
            };
            catalog.tables.get(table).filter(is_it).is_some()
        };
        let is_own = |own: &String| own.eq_ignore_ascii_case(&one.column);
        let mut declared = keys(session, &one.table)?.into_iter();
        if has(&one.table, &one.column)
            && has(&one.parent, &one.key)
            && !declared.any(|(_, pairs)| pairs.iter().any(|(own, _)| is_own(own)))
            && !of(session, &one.table)?.iter().any(|(own, _, _)| is_own(own))
        {
            let row = [&one.table.name, &one.column, &one.parent.name, &one.key];
            insert.execute(row).map_err(|error| session.failed(DOING, error))?;
        }
    }
    Ok(())
}

/// Tells whether all that a column held then were keys.
fn held_keys(session: &Session, asked: &Named<'_>) -> Result<bool, Error> {
    let Some(folder) = &asked.piece.snapshot else { return Ok(false) };
    let (own, key) = (quote(asked.own.1), quote(asked.key.1));
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM main.{0} WHERE {own} IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM main.{0} AS r \
         WHERE r.{own} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM main.{1} AS k WHERE k.{key} = r.{own}))",
        asked.own.0.sql(),
        asked.key.0.sql()
    );
    let read = || open_frozen(&file_in(folder), &session.cancel())?.one::<i64>(DOING, &sql);
    match read() {
        Err(_) if session.cancel().is_cancelled() => Err(Error::Interrupted),
        // A snapshot that cannot be read is no reason not to merge what was salvaged out of it.
        read => Ok(read.is_ok_and(|found| found == 1)),
    }
}

/// Returns those of a table: its column, the table that this refers to, and the column there.
pub(super) fn of(session: &Session, table: &TableName) -> Result<Vec<(String, String, String)>, Error> {
    read(session, "SELECT v1, v2, v3", "v0", table)
}

/// Returns those that refer to a table: whose they are, which column, and the one that it refers to.
pub(super) fn to(session: &Session, table: &TableName) -> Result<Vec<(String, String, String)>, Error> {
    read(session, "SELECT v0, v1, v3", "v2", table)
}

fn read(
    session: &Session,
    select: &str,
    by: &str,
    table: &TableName,
) -> Result<Vec<(String, String, String)>, Error> {
    let failed = |error| session.failed("reading the keys", error);
    let sql = format!("{select} FROM temp.{NOTED} WHERE {by} = ?1 ORDER BY 1, 2, 3");
    let mut statement = session.prepare(&sql).map_err(failed)?;
    let rows = statement.query_map([&table.name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    rows.map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
}
