//! Keeping what others wrote since the snapshot, before a script takes it away.
//!
//! Runs inside the script's transaction, so that nobody writes any more. The rows are found by another connection, which
//! has the snapshot beside the live file (nothing can be attached inside a transaction), are put down in a table of its
//! own that is not in the file, and go from there into the side table: reading and writing the same file at once would
//! make the two connections wait for each other.

use super::super::Site;
use super::super::rehearse::{BEFORE, attach, differs, wide};
use super::super::scan::rowid_name;
use super::super::session::Session;
use super::super::snapshot::file_in;
use super::super::writer::Writer;
use crate::catalog::{Table, TableName, quote};
use crate::engine::{Error, Guarded, Meanwhile, meanwhile_table_name};
use rusqlite::OpenFlags;
use rusqlite::types::ToSqlOutput;

const DOING: &str = "keeping what others wrote since the snapshot";
/// Where the rows lie in between.
const KEPT: &str = "temp.ripcord_kept";

/// Copies what others wrote into doomed tables into side tables. Fails with [`Error::SchemaMoved`] when the definitions
/// are no longer those of the plan.
pub(super) fn keep(
    site: &Site,
    writer: &Writer,
    guarded: &Guarded,
    operation: &str,
) -> Result<Vec<Meanwhile>, Error> {
    if writer.marked() == Some(writer.version()?) {
        return Ok(Vec::new());
    }
    let session = &writer.session;
    let catalog = super::super::catalog::read(session)?;
    if guarded.schema.as_ref().is_some_and(|expected| catalog.sha256() != *expected) {
        return Err(Error::SchemaMoved);
    }
    let reader = site.open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI)?;
    attach(&reader, &file_in(&guarded.folder))?;
    let mut kept = Vec::new();
    for table in &guarded.doomed {
        // One that an earlier script has dropped is no longer there.
        let Some(definition) = catalog.tables.get(table) else { continue };
        let rows = set_aside(&reader, table, definition, guarded)?;
        let gone = gone(&reader, table, definition, guarded);
        let mut side_table = None;
        if rows > 0 {
            let side = free_name(session, operation)?;
            copy(&reader, session, &side)?;
            side_table = Some(TableName::plain(side));
        }
        if rows > 0 || gone > 0 {
            kept.push(Meanwhile { table: table.clone(), side_table, rows, gone });
        }
        reader.run(DOING, &format!("DROP TABLE {KEPT}"))?;
    }
    Ok(kept)
}

/// Puts the rows of a table aside that are not in the snapshot as they are; returns how many.
fn set_aside(
    reader: &Session,
    table: &TableName,
    definition: &Table,
    guarded: &Guarded,
) -> Result<u64, Error> {
    let failed = |error| reader.failed(DOING, error);
    let live = format!("main.{}", quote(&table.name));
    let columns = columns(reader, &live).map_err(failed)?;
    let names: Vec<String> = columns.iter().map(|name| quote(name)).collect();
    // Without types: every value stays what it is.
    reader.run(DOING, &format!("CREATE TABLE {KEPT} ({})", names.join(", ")))?;
    let insert = format!("INSERT INTO {KEPT} SELECT a.* FROM {live} AS a");
    let newer = newer(reader, table, definition, &columns, guarded).map(|join| format!("{insert} {join}"));
    // What SQLite cannot compare with the snapshot (a virtual table without rowids) is kept whole.
    let newer = newer.filter(|sql| reader.prepare(sql).is_ok());
    let rows = reader.execute(&newer.unwrap_or(insert), []).map_err(failed)?;
    Ok(rows as u64)
}

/// Returns the join and the condition that leave out the rows which the snapshot has as they are; nothing where rows of
/// the two cannot be told to be the same.
fn newer(
    reader: &Session,
    table: &TableName,
    definition: &Table,
    now: &[String],
    guarded: &Guarded,
) -> Option<String> {
    let old = format!("{BEFORE}.{}", quote(&table.name));
    let same_columns = columns(reader, &old).is_ok_and(|then| then == now);
    if guarded.named.mentions(table) || !same_columns {
        return None;
    }
    let (first, on) = by_key(definition)?;
    let differ: Vec<String> = now.iter().map(|name| differs(name, name)).collect();
    let differ = wide::joined(&differ, "OR", "0");
    Some(format!("LEFT JOIN {old} AS b ON {on} WHERE b.{first} IS NULL OR {differ}"))
}

/// Returns the first column of what tells rows apart, and the condition that a row `a` and a row `b` are the same one.
fn by_key(definition: &Table) -> Option<(String, String)> {
    let key = match rowid_name(definition) {
        Some(rowid) => vec![rowid],
        None => definition.key.iter().map(|name| quote(name)).collect(),
    };
    let on: Vec<String> = key.iter().map(|name| format!("b.{name} IS a.{name}")).collect();
    Some((key.into_iter().next()?, on.join(" AND ")))
}

/// Returns how many rows of the snapshot are not there any more, of a table of which the migration takes rows; none where
/// that cannot be told.
fn gone(reader: &Session, table: &TableName, definition: &Table, guarded: &Guarded) -> u64 {
    let Some((first, on)) = by_key(definition).filter(|_| guarded.rows.contains_key(table)) else { return 0 };
    let name = quote(&table.name);
    let sql = format!(
        "SELECT count(*) FROM {BEFORE}.{name} AS b LEFT JOIN main.{name} AS a ON {on} WHERE a.{first} IS NULL"
    );
    let counted = reader.prepare(&sql).and_then(|mut count| count.query_row([], |row| row.get::<_, i64>(0)));
    counted.ok().and_then(|count| count.try_into().ok()).unwrap_or_default()
}

fn columns(reader: &Session, table: &str) -> rusqlite::Result<Vec<String>> {
    let statement = reader.prepare(&format!("SELECT * FROM {table}"))?;
    Ok(statement.column_names().into_iter().map(str::to_string).collect())
}

fn free_name(session: &Session, operation: &str) -> Result<String, Error> {
    for number in 1.. {
        let name = meanwhile_table_name(operation, number);
        if !session.has_table(&name)? {
            return Ok(name);
        }
    }
    unreachable!("there are more numbers than tables")
}

/// Copies what was put aside into a new side table.
fn copy(reader: &Session, session: &Session, side: &str) -> Result<(), Error> {
    let failed = |error| session.failed(DOING, error);
    let mut statement = reader.prepare(&format!("SELECT * FROM {KEPT}")).map_err(failed)?;
    let names: Vec<String> = statement.column_names().into_iter().map(quote).collect();
    session.run(DOING, &format!("CREATE TABLE main.{} ({})", quote(side), names.join(", ")))?;
    let places = vec!["?"; names.len()].join(", ");
    let sql = format!("INSERT INTO main.{} VALUES ({places})", quote(side));
    let mut insert = session.prepare(&sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        // Borrowed, so that text that is no UTF-8 passes as it is.
        let values = (0..names.len()).map(|index| row.get_ref(index).map(ToSqlOutput::Borrowed));
        let values = values.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        insert.execute(rusqlite::params_from_iter(values)).map_err(failed)?;
    }
    Ok(())
}
