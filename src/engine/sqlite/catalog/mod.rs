//! The catalog of a SQLite database.
//!
//! Every row of `sqlite_schema` ends up somewhere. `sqlite_sequence` and the statistics tables are the engine's own
//! notes about other tables and are no tables of the catalog: see the fingerprint for what becomes of them.

mod definition;
mod tokens;

use super::session::Session;
use crate::catalog::{Catalog, Column, Object, Table, TableKind, TableName};
use crate::engine::Error;
use rusqlite::{Connection, Result};
use std::collections::BTreeMap;

/// Settings of the whole database that a schema includes. The page size is none: it changes where bytes lie, not what
/// the database means.
const SETTINGS: [&str; 4] = ["user_version", "application_id", "encoding", "auto_vacuum"];

/// Selects the names of the tables that virtual tables make for themselves.
pub(super) const SHADOWS: &str =
    "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow'";

/// Reads the catalog in the view that the session has.
pub(super) fn read(session: &Session) -> Result<Catalog, Error> {
    let failed = |error| session.failed("reading the catalog", error);
    let mut catalog = Catalog::default();
    for listed in list(session).map_err(failed)? {
        let table = table(session, &listed).map_err(failed)?;
        catalog.tables.insert(TableName::plain(listed.name), table);
    }
    add_others(session, &mut catalog).map_err(failed)?;
    for name in SETTINGS {
        catalog.settings.insert(name.to_string(), session.pragma(name)?);
    }
    Ok(catalog)
}

/// A table as `PRAGMA table_list` lists it.
struct Listed {
    name: String,
    kind: TableKind,
    without_rowid: bool,
    strict: bool,
    sql: String,
}

fn list(connection: &Connection) -> Result<Vec<Listed>> {
    let sql = "SELECT l.name, l.type, l.wr, l.strict, coalesce(s.sql, '') FROM pragma_table_list l
        JOIN sqlite_schema s ON s.name = l.name AND s.type = 'table'
        WHERE l.schema = 'main' AND l.type <> 'view' AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY l.name";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let kind = match row.get::<_, String>(1)?.as_str() {
            "virtual" => TableKind::Virtual,
            "shadow" => TableKind::Shadow,
            _ => TableKind::Ordinary,
        };
        let (name, without_rowid, strict, sql) = (row.get(0)?, row.get(2)?, row.get(3)?, row.get(4)?);
        Ok(Listed { name, kind, without_rowid, strict, sql })
    })?;
    rows.collect()
}

fn table(connection: &Connection, listed: &Listed) -> Result<Table> {
    let mut table = Table { kind: listed.kind, ..Table::default() };
    for (is, name) in [(listed.without_rowid, "without rowid"), (listed.strict, "strict")] {
        if is {
            table.options.insert(name.to_string(), "yes".to_string());
        }
    }
    match (add_columns(connection, &listed.name, &mut table), listed.kind) {
        (Ok(()), _) => {}
        // The module of a virtual table may be missing here; its rows are in its shadow tables all the same.
        (Err(_), TableKind::Virtual) => table.columns.clear(),
        (Err(error), _) => return Err(error),
    }
    if listed.kind == TableKind::Virtual {
        table.options.insert("definition".to_string(), tokens::canonical(&listed.sql));
        (table.key, table.nullable_key) = (Vec::new(), Vec::new());
        return Ok(table);
    }
    add_clauses(&mut table, definition::read(&listed.sql));
    // Of a primary key that can be NULL the rows are asked, as long as it is one: what else is unique is edited by users.
    if table.key.is_empty() && table.nullable_key.is_empty() {
        table.key = unique_key(connection, &listed.name, &table.columns)?;
    }
    Ok(table)
}

/// Adds the columns in order, and those of the primary key in key order, as the key if they identify a row: SQLite lets a
/// primary key be NULL, and that in many rows, unless it is the rowid, the table has none, or the column says otherwise.
/// See <https://www.sqlite.org/lang_createtable.html#the_primary_key>.
fn add_columns(connection: &Connection, name: &str, table: &mut Table) -> Result<()> {
    let sql = "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([name])?;
    let mut key = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let place: i64 = row.get(4)?;
        if place > 0 {
            key.insert(place, name.clone());
        }
        table.columns.push(Column {
            name,
            type_name: row.get(1)?,
            not_null: row.get(2)?,
            default: row.get(3)?,
            ..Column::default()
        });
    }
    let key: Vec<String> = key.into_values().collect();
    let never_null =
        |name: &String| table.columns.iter().any(|column| column.name == *name && column.not_null);
    // The rowid needs no index; a column that is declared like one and descends has one, and is none.
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM pragma_index_list(?1) WHERE origin = 'pk')";
    let identifies = key.iter().all(never_null) || connection.query_row(sql, [name], |row| row.get(0))?;
    if identifies {
        table.key = key;
    } else {
        table.nullable_key = key;
    }
    Ok(())
}

fn add_clauses(table: &mut Table, definition: definition::Definition) {
    table.constraints = definition.constraints;
    for (column, clauses) in table.columns.iter_mut().zip(definition.columns) {
        if column.name == clauses.name {
            (column.generated, column.options) = (clauses.generated, clauses.options);
        }
    }
}

/// Returns the columns of a unique index over columns that cannot be NULL: the shortest, then the first by name.
fn unique_key(connection: &Connection, table: &str, columns: &[Column]) -> Result<Vec<String>> {
    let sql = "SELECT l.name, i.name FROM pragma_index_list(?1) l, pragma_index_info(l.name) i
        WHERE l.\"unique\" AND NOT l.partial ORDER BY l.name, i.seqno";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([table])?;
    let mut indexes: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        // The name is NULL for an expression and for the rowid.
        indexes.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    let never_null = |name: &String| columns.iter().any(|column| column.name == *name && column.not_null);
    let keys = indexes.into_values().filter_map(|parts| parts.into_iter().collect::<Option<Vec<String>>>());
    let mut keys: Vec<_> = keys.filter(|key| key.iter().all(never_null)).collect();
    keys.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    Ok(keys.into_iter().next().unwrap_or_default())
}

/// Adds indexes and triggers to their tables, views and the triggers of views to the objects.
fn add_others(connection: &Connection, catalog: &mut Catalog) -> Result<()> {
    let sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE type <> 'table' AND sql IS NOT NULL";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name, owner): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let definition = tokens::canonical(&row.get::<_, String>(3)?);
        // Text may name the table in another case than the table itself.
        let table = catalog.tables.iter_mut().find(|(table, _)| table.name.eq_ignore_ascii_case(&owner));
        match (kind.as_str(), table) {
            ("index", Some((_, table))) => table.indexes.insert(name, definition),
            ("trigger", Some((_, table))) => table.triggers.insert(name, definition),
            _ => {
                let object = Object { kind: kind.clone(), definition, ..Object::default() };
                catalog.objects.insert(format!("{kind} {name}"), object);
                None
            }
        };
    }
    Ok(())
}
