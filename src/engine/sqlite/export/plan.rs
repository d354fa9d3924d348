//! How one selection is read: which columns, by which statement.

use super::super::failure::detail;
use super::super::raw::Cursor;
use super::super::scan::rowid_name;
use super::super::session::Session;
use super::utf16::Encoding;
use crate::catalog::{Catalog, Table, TableKind, TableName, quote};
use crate::engine::{Error, Selection, Shape, ShapeColumn};

/// What is read, and how.
pub(in super::super) struct Plan {
    pub shape: Shape,
    /// What names the rowid, where rows are read by its ranges.
    pub rowid: Option<String>,
    pub(super) encoding: Encoding,
    /// The columns in the order of their names, by their places.
    pub by_name: Vec<usize>,
    /// The columns as SQL, and what they are selected from.
    list: String,
    from: String,
    /// The whole statement of a query.
    query: Option<String>,
}

impl Plan {
    /// Decides how to read a selection.
    pub(in super::super) fn of(
        session: &Session,
        catalog: &Catalog,
        selection: &Selection,
    ) -> Result<Self, Error> {
        match selection {
            Selection::Query { sql, .. } => Self::of_query(session, selection, sql),
            Selection::Table(asked) => {
                let (name, is_view) = find(session, asked)?
                    .ok_or_else(|| selection.refuse("there is no table or view of that name"))?;
                let name = TableName::plain(name);
                match catalog.tables.get(&name).filter(|table| !is_view && table.kind != TableKind::Virtual) {
                    Some(table) => Self::of_table(session, name, table),
                    None => Self::of_view(session, selection, name),
                }
            }
        }
    }

    fn of_table(session: &Session, name: TableName, table: &Table) -> Result<Self, Error> {
        let (stored, generated): (Vec<_>, Vec<_>) =
            table.columns.iter().partition(|column| column.generated.is_none());
        let columns: Vec<ShapeColumn> = stored
            .into_iter()
            .map(|column| ShapeColumn { name: column.name.clone(), type_name: column.type_name.clone() })
            .collect();
        let is_stored = |part: &String| columns.iter().any(|column| column.name == *part);
        let key = if table.key.iter().all(is_stored) { table.key.clone() } else { Vec::new() };
        let encoding = Encoding::of(session)?;
        let list: Vec<String> = columns.iter().map(|column| quote(&column.name)).collect();
        let from = format!("{} NOT INDEXED", name.sql());
        let shape = Shape {
            table: Some(name),
            columns,
            key,
            left_out: generated.into_iter().map(|column| column.name.clone()).collect(),
            encoding: encoding.name().to_string(),
        };
        Ok(Self {
            rowid: rowid_name(table),
            encoding,
            by_name: shape.by_name(),
            list: list.join(", "),
            from,
            query: None,
            shape,
        })
    }

    /// A view or virtual table: its columns are those that `*` means.
    fn of_view(session: &Session, selection: &Selection, name: TableName) -> Result<Self, Error> {
        let plan = Self::of_query(session, selection, &format!("SELECT * FROM {}", name.sql()))?;
        Ok(Self { shape: Shape { table: Some(name), ..plan.shape }, ..plan })
    }

    fn of_query(session: &Session, selection: &Selection, sql: &str) -> Result<Self, Error> {
        let refused = |error: rusqlite::Error| match session.failed("preparing a query", error) {
            Error::Driver { detail, .. } => selection.refuse(detail),
            other => other,
        };
        // This one looks for a second statement, which the row loop below would leave out silently.
        let statement = session.prepare(sql).map_err(|error| match error {
            rusqlite::Error::MultipleStatement => selection.refuse("it is more than one statement"),
            rusqlite::Error::SqlInputError { .. } => selection.refuse(detail(&error)),
            other => refused(other),
        })?;
        if !statement.readonly() || statement.column_count() == 0 {
            return Err(selection.refuse("it is no statement that only reads and gives rows"));
        }
        if statement.parameter_count() > 0 {
            return Err(selection.refuse("it has parameters, which nobody fills in"));
        }
        drop(statement);
        let encoding = Encoding::of(session)?;
        let cursor = Cursor::prepare(session, sql, encoding.is_wide()).map_err(refused)?;
        let columns = cursor.columns().into_iter();
        let shape = Shape {
            table: None,
            columns: columns.map(|(name, type_name)| ShapeColumn { name, type_name }).collect(),
            key: Vec::new(),
            left_out: Vec::new(),
            encoding: encoding.name().to_string(),
        };
        Ok(Self {
            rowid: None,
            encoding,
            by_name: shape.by_name(),
            list: String::new(),
            from: String::new(),
            query: Some(sql.to_string()),
            shape,
        })
    }

    /// Reads what a query of ours gives, whose columns are known.
    pub(in super::super) fn of_known(session: &Session, sql: String, shape: Shape) -> Result<Self, Error> {
        let encoding = Encoding::of(session)?;
        let shape = Shape { encoding: encoding.name().to_string(), ..shape };
        Ok(Self {
            rowid: None,
            encoding,
            by_name: shape.by_name(),
            list: String::new(),
            from: String::new(),
            query: Some(sql),
            shape,
        })
    }

    /// Begins to read everything.
    pub(super) fn all<'c>(&self, session: &'c Session) -> Result<Cursor<'c>, Error> {
        let sql = match &self.query {
            Some(sql) => sql.clone(),
            None => format!("SELECT {} FROM {}", self.list, self.from),
        };
        let cursor = Cursor::prepare(session, &sql, self.encoding.is_wide());
        cursor.map_err(|error| session.failed("reading rows", error))
    }

    /// Begins to read the rows with these rowids, both included, in their order; the rowid is the first column.
    pub(super) fn between<'c>(
        &self,
        session: &'c Session,
        rowid: &str,
        (first, last): (i64, i64),
    ) -> Result<Cursor<'c>, Error> {
        let (list, from) = (&self.list, &self.from);
        let sql =
            format!("SELECT {rowid}, {list} FROM {from} WHERE {rowid} BETWEEN ?1 AND ?2 ORDER BY {rowid}");
        let failed = |error| session.failed("reading rows", error);
        let mut cursor = Cursor::prepare(session, &sql, self.encoding.is_wide()).map_err(failed)?;
        cursor.bind(1, first).and_then(|()| cursor.bind(2, last)).map_err(failed)?;
        Ok(cursor)
    }

    /// Returns the first rowid from this one on.
    pub(super) fn next_rowid(&self, session: &Session, rowid: &str, from: i64) -> Result<Option<i64>, Error> {
        let table = &self.from;
        let sql =
            format!("SELECT (SELECT {rowid} FROM {table} WHERE {rowid} >= ?1 ORDER BY {rowid} LIMIT 1)");
        session
            .query_row(&sql, [from], |row| row.get(0))
            .map_err(|error| session.failed("reading rows", error))
    }
}

/// Finds a table or view by its name as it was typed: plain, or in double quotes. As everywhere in SQLite, case does
/// not matter.
fn find(session: &Session, asked: &str) -> Result<Option<(String, bool)>, Error> {
    let unquoted = TableName::parse(asked).filter(|name| name.schema.is_none()).map(|name| name.name);
    let sql = "SELECT name, type = 'view' FROM sqlite_schema WHERE type IN ('table', 'view') \
         AND name = ?1 COLLATE NOCASE ORDER BY name <> ?1 LIMIT 1";
    for name in [Some(asked.to_string()), unquoted].into_iter().flatten() {
        let found = session.query_row(sql, [name], |row| Ok((row.get(0)?, row.get(1)?)));
        match found {
            Ok(found) => return Ok(Some(found)),
            Err(rusqlite::Error::QueryReturnedNoRows) => {}
            Err(error) => return Err(session.failed("reading the catalog", error)),
        }
    }
    Ok(None)
}
