//! What an export is going to look like: its columns, and the statement that sends its rows.

use super::super::errors;
use super::super::names::{identifier, literal};
use super::super::session::{Row, Session};
use super::{OWN_PATH, PINNED_PATH, Relation};
use crate::catalog::TableName;
use crate::engine::postgres::catalog::keys_sql;
use crate::engine::{Error, Selection, Shape, ShapeColumn};
use sqlx::{AssertSqlSafe, Column as _, Executor as _, Row as _, SqlSafeStr as _, Statement as _};
use std::collections::BTreeSet;

/// How one selection is read.
pub(in super::super) struct Plan {
    pub shape: Shape,
    /// The statement that sends its rows.
    pub sql: String,
    /// The search path under which the statement means what its author meant.
    pub path: &'static str,
}

/// Whether values of a type are text: then they stand in quotes always, and not only where they must. `t` is `pg_type`.
const IS_TEXT: &str = "t.typcategory IN ('S', 'E') OR t.typname IN ('char', 'json', 'jsonb', 'xml')";

impl Plan {
    /// Decides how to read a selection; `relation` is what it names, unless it is a query.
    pub(super) async fn of(
        session: &mut Session,
        selection: &Selection,
        relation: Option<Relation>,
    ) -> Result<Self, Error> {
        match (selection, relation) {
            (Selection::Query { sql, .. }, _) => Self::of_query(session, selection, sql).await,
            (_, Some(relation)) => Self::of_relation(session, relation).await,
            (Selection::Table(_), None) => Err(selection.refuse("it was not looked for")),
        }
    }

    /// Reads a table in a session that sees one state of it anyway.
    pub(in super::super) async fn of_table(
        session: &mut Session,
        selection: &Selection,
    ) -> Result<Self, Error> {
        let relation = super::find(session, selection, selection.name()).await?;
        Self::of_relation(session, relation).await
    }

    /// Reads what a query of ours gives, under pinned settings: these columns of a table, and after them others by their
    /// own names that hold texts of such a column. The types are those of the table, each with its length and precision.
    pub(in super::super) async fn of_columns(
        session: &mut Session,
        table: &TableName,
        names: &[String],
        texts: &[(String, String)],
        sql: &str,
    ) -> Result<Self, Error> {
        if table.is_large_objects() {
            // What is salvaged of them are no columns of a table.
            let selection = Selection::Query { name: table.to_string(), sql: sql.to_string() };
            return Ok(Self { path: PINNED_PATH, ..Self::of_query(session, &selection, sql).await? });
        }
        let of_table = format!(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod), {IS_TEXT} \
             FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
             WHERE a.attrelid = to_regclass({}) AND a.attnum > 0 AND NOT a.attisdropped",
            literal(&table.sql())
        );
        let known = session.rows("reading the columns", &of_table).await?;
        let own = names.iter().map(|name| (name, name, false));
        let all = own.chain(texts.iter().map(|(of, name)| (of, name, true)));
        let mut columns = Vec::new();
        for (of, name, is_text) in all {
            let row = known.iter().find(|row| row.text(0) == of).ok_or_else(|| Error::Driver {
                doing: "reading the columns".to_string(),
                detail: format!("{table} has no column {of}"),
            })?;
            let (name, type_name) = (name.clone(), row.text(1).to_string());
            columns.push((ShapeColumn { name, type_name }, is_text || row.is(2)));
        }
        let sql = copy(&format!("(\n{sql}\n)"), &columns);
        Ok(Self { shape: Shape::of(columns), sql, path: PINNED_PATH })
    }

    async fn of_relation(session: &mut Session, relation: Relation) -> Result<Self, Error> {
        let sql = format!(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod), {IS_TEXT}, a.attgenerated <> '' \
             FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
             WHERE a.attrelid = {} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            relation.number
        );
        let rows = session.rows("reading the columns", &sql).await?;
        let (generated, stored): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.is(3));
        let name = relation.name;
        let stored = columns(&stored);
        let columns: Vec<ShapeColumn> = stored.iter().map(|(column, _)| column.clone()).collect();
        let list = columns.iter().map(|column| identifier(&column.name)).collect::<Vec<_>>().join(", ");
        // COPY of the table itself is the faster of the two, but knows only tables, and no empty list. ONLY as it does.
        let source = match relation.kind.as_str() {
            "r" if !columns.is_empty() => format!("{} ({list})", name.sql()),
            "r" => format!("(SELECT FROM ONLY {})", name.sql()),
            _ => format!("(SELECT {list} FROM {})", name.sql()),
        };
        let key = key(session, &name, &columns).await?;
        let shape = Shape {
            table: Some(name),
            columns,
            key,
            left_out: generated.iter().map(|row| row.text(0).to_string()).collect(),
            encoding: "UTF8".to_string(),
        };
        Ok(Self { sql: copy(&source, &stored), shape, path: PINNED_PATH })
    }

    async fn of_query(session: &mut Session, selection: &Selection, sql: &str) -> Result<Self, Error> {
        let sql = sql.trim().trim_end_matches(';').trim_end();
        let types = described(session, selection, sql).await?;
        let values: Vec<String> = types
            .iter()
            .enumerate()
            .map(|(place, (name, number))| format!("({place}, {}, {number}::oid)", literal(name)))
            .collect();
        let types = format!(
            "SELECT q.name, format_type(q.type, NULL), {IS_TEXT} FROM (VALUES {}) q (place, name, type) \
             JOIN pg_type t ON t.oid = q.type ORDER BY q.place",
            values.join(", ")
        );
        let rows = session.rows("reading the columns", &types).await?;
        let columns = columns(&rows);
        // On lines of its own: the query may end in a comment.
        Ok(Self { sql: copy(&format!("(\n{sql}\n)"), &columns), shape: Shape::of(columns), path: OWN_PATH })
    }
}

impl Shape {
    /// The shape of rows that are no table's.
    fn of(columns: Vec<(ShapeColumn, bool)>) -> Self {
        Self {
            table: None,
            columns: columns.into_iter().map(|(column, _)| column).collect(),
            key: Vec::new(),
            left_out: Vec::new(),
            encoding: "UTF8".to_string(),
        }
    }
}

/// Returns columns, each with whether its values are text.
fn columns(rows: &[Row]) -> Vec<(ShapeColumn, bool)> {
    let column =
        |row: &Row| ShapeColumn { name: row.text(0).to_string(), type_name: row.text(1).to_string() };
    rows.iter().map(|row| (column(row), row.is(2))).collect()
}

/// Returns the statement that sends the rows of a source; of each column it must be known whether it is text.
fn copy(source: &str, columns: &[(ShapeColumn, bool)]) -> String {
    let names: BTreeSet<&str> = columns.iter().map(|(column, _)| column.name.as_str()).collect();
    let text = columns.iter().filter(|(_, is_text)| *is_text);
    let text: Vec<String> = text.map(|(column, _)| identifier(&column.name)).collect();
    let quoted = match text.len() {
        0 => String::new(),
        // A query may give two columns the same name, which a list could not tell apart.
        _ if names.len() < columns.len() => ", FORCE_QUOTE *".to_string(),
        _ => format!(", FORCE_QUOTE ({})", text.join(", ")),
    };
    format!("COPY {source} TO STDOUT (FORMAT csv{quoted})")
}

/// Returns the columns that identify a row, by the same rule as the catalog, if all of them are exported.
async fn key(
    session: &mut Session,
    table: &TableName,
    columns: &[ShapeColumn],
) -> Result<Vec<String>, Error> {
    let rows = session.rows("reading the keys", &keys_sql()).await?;
    let mine =
        rows.iter().filter(|row| Some(row.text(0)) == table.schema.as_deref() && row.text(1) == table.name);
    let key: Vec<String> = mine.map(|row| row.text(2).to_string()).collect();
    let exported = |part: &String| columns.iter().any(|column| column.name == *part);
    Ok(if key.iter().all(exported) { key } else { Vec::new() })
}

/// Asks the server for the columns of a query: their names, and the numbers of their types. Preparing it by itself
/// shows as well that it is one statement.
async fn described(
    session: &mut Session,
    selection: &Selection,
    sql: &str,
) -> Result<Vec<(String, u32)>, Error> {
    session.run("preparing a query", OWN_PATH).await?;
    let text = AssertSqlSafe(sql.to_string()).into_sql_str();
    let prepared = session.asking().prepare(text).await;
    let number =
        |column: &sqlx::postgres::PgColumn| Some((column.name().to_string(), column.type_info().oid()?.0));
    let known = match prepared {
        Ok(statement) => statement.columns().iter().map(number).collect(),
        Err(error) if errors::server_error(&error).is_none() => None,
        Err(error) => return Err(refused(session, selection, &error)),
    };
    let columns: Vec<(String, u32)> = match known {
        Some(columns) => columns,
        // The server took the statement, and it is one; there are types, multiranges among them, that the driver does not
        // know. A row that is made of nothing shows them as well, and runs nothing of the query.
        None => {
            let one = format!("SELECT q.* FROM (SELECT) AS one LEFT JOIN (\n{sql}\n) AS q ON false");
            let asked = sqlx::raw_sql(AssertSqlSafe(one)).fetch_one(session.asking()).await;
            let row = asked.map_err(|error| refused(session, selection, &error))?;
            row.columns().iter().filter_map(number).collect()
        }
    };
    session.run("preparing a query", PINNED_PATH).await?;
    if columns.is_empty() {
        return Err(selection.refuse("it gives no columns"));
    }
    Ok(columns)
}

/// What the server says of a query is said of that query.
pub(super) fn refused(session: &Session, selection: &Selection, error: &sqlx::Error) -> Error {
    match session.failed(error, "preparing a query") {
        Error::Driver { detail, .. } => selection.refuse(detail),
        other => other,
    }
}
