//! What is read for a fingerprint, and what is left out and why.

use crate::catalog::TableName;
use crate::engine::Error;
use crate::engine::postgres::names::identifier;
use crate::engine::postgres::session::{Row, Session};
use crate::fingerprint::NotCompared;
use std::collections::BTreeMap;

/// One table to read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) name: TableName,
    /// The columns that are read, in the order of their names.
    pub(super) columns: Vec<String>,
    pub(super) key: Vec<String>,
    /// The size on disk, for progress and for the order.
    pub(super) bytes: u64,
    /// The statement that sends its rows.
    pub(super) sql: String,
}

/// Everything that a fingerprint is going to read.
pub(super) struct Found {
    pub(super) sources: Vec<Source>,
    pub(super) not_compared: Vec<NotCompared>,
    pub(super) large_objects: u64,
}

/// Types that print the present name of another object: renaming that object changes their text, not their value.
const NAMES_OF_OBJECTS: &str = "'regproc', 'regprocedure', 'regoper', 'regoperator', 'regclass', 'regtype', \
     'regrole', 'regnamespace', 'regconfig', 'regdictionary', 'regcollation'";

impl Source {
    fn new(name: TableName, columns: Vec<Column>, key: Vec<String>, bytes: u64) -> Self {
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let list: Vec<String> = names.iter().map(|name| identifier(name)).collect();
        let list = list.join(", ");
        // COPY of the table itself is the faster of the two, but knows no generated column and no empty list.
        let sql = if columns.is_empty() || columns.iter().any(|column| column.generated) {
            format!("COPY (SELECT {list} FROM ONLY {}) TO STDOUT", name.sql())
        } else {
            format!("COPY {} ({list}) TO STDOUT", name.sql())
        };
        let key = if key.iter().all(|part| names.contains(part)) { key } else { Vec::new() };
        Self { name, columns: names, key, bytes, sql }
    }

    pub(super) fn large_objects(count: u64) -> Self {
        let names = vec!["md5".to_string(), "number".to_string()];
        Self {
            name: TableName::qualified("pg_catalog", "pg_largeobject"),
            columns: names,
            key: vec!["number".to_string()],
            // Nobody but a superuser may ask for the size; a page each is a guess for the progress bar.
            bytes: count * 2048,
            sql: "COPY (SELECT md5(lo_get(oid)), oid FROM pg_largeobject_metadata) TO STDOUT".to_string(),
        }
    }
}

struct Column {
    name: String,
    generated: bool,
}

/// Lists the tables and what cannot be compared.
pub(super) async fn find(session: &mut Session) -> Result<Found, Error> {
    let rows = session.rows("listing the tables", &tables_sql()).await?;
    let keys = keys(session).await?;
    let mut not_compared = Vec::new();
    let mut columns: BTreeMap<TableName, (u64, Vec<Column>)> = BTreeMap::new();
    for row in &rows {
        let name = TableName::qualified(row.text(0), row.text(1));
        if let Some(reason) = left_out(row) {
            let subject = format!("table {name}");
            if !not_compared.iter().any(|other: &NotCompared| other.subject == subject) {
                not_compared.push(NotCompared { subject, reason });
            }
            continue;
        }
        let entry = columns.entry(name.clone()).or_insert_with(|| (row.number(3), Vec::new()));
        let Some(column) = row.filled(5) else { continue };
        if row.is(7) {
            not_compared.push(NotCompared {
                subject: format!("column {name}.{column}"),
                reason: "its type prints the present name of another object".to_string(),
            });
        } else {
            entry.1.push(Column { name: column, generated: row.is(6) });
        }
    }
    let sources = columns.into_iter().map(|(name, (bytes, mut columns))| {
        columns.sort_by(|left, right| left.name.cmp(&right.name));
        let key = keys.get(&name).cloned().unwrap_or_default();
        Source::new(name, columns, key, bytes)
    });
    let sources = sources.collect();
    matviews(session, &mut not_compared).await?;
    let large =
        session.value("counting large objects", "SELECT count(*) FROM pg_largeobject_metadata").await?;
    let large_objects = large.and_then(|text| text.parse().ok()).unwrap_or_default();
    Ok(Found { sources, not_compared, large_objects })
}

fn tables_sql() -> String {
    format!(
        "SELECT n.nspname, c.relname, c.relkind, pg_relation_size(c.oid), \
         (SELECT x.extname FROM pg_depend e JOIN pg_extension x ON x.oid = e.refobjid \
         WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e' LIMIT 1), \
         a.attname, a.attgenerated <> '', \
         coalesce((WITH RECURSIVE inner_type(oid) AS (SELECT a.atttypid UNION \
         SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END FROM inner_type i \
         JOIN pg_type t ON t.oid = i.oid WHERE t.typtype = 'd' OR t.typelem <> 0) \
         SELECT bool_or(t.typname IN ({NAMES_OF_OBJECTS}) AND t.typnamespace = 'pg_catalog'::regnamespace) \
         FROM inner_type i JOIN pg_type t ON t.oid = i.oid), false) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         WHERE c.relkind IN ('r', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    )
}

fn left_out(row: &Row) -> Option<String> {
    match (row.text(2), row.filled(4)) {
        (_, Some(extension)) => Some(format!("it belongs to the extension {extension}")),
        ("f", None) => Some("it is a foreign table: its rows are on another server".to_string()),
        _ => None,
    }
}

async fn matviews(session: &mut Session, not_compared: &mut Vec<NotCompared>) -> Result<(), Error> {
    let sql = "SELECT schemaname, matviewname FROM pg_matviews";
    for row in session.rows("listing the materialized views", sql).await? {
        not_compared.push(NotCompared {
            subject: format!("materialized view {}", TableName::qualified(row.text(0), row.text(1))),
            reason: "a restore computes it anew".to_string(),
        });
    }
    Ok(())
}

/// Returns the columns that identify a row of each table, by the same rule as the catalog.
async fn keys(session: &mut Session) -> Result<BTreeMap<TableName, Vec<String>>, Error> {
    let mut keys: BTreeMap<TableName, Vec<String>> = BTreeMap::new();
    let sql = crate::engine::postgres::catalog::keys_sql();
    for row in session.rows("reading the keys", &sql).await? {
        let table = TableName::qualified(row.text(0), row.text(1));
        keys.entry(table).or_default().push(row.text(2).to_string());
    }
    Ok(keys)
}

/// Returns the last value that each sequence gave out: what it would give next, less one step.
///
/// A sequence that counts down is entered with its sign turned, so that "went back" means the same for all.
pub(in crate::engine::postgres) async fn sequences(
    session: &mut Session,
) -> Result<BTreeMap<String, i64>, Error> {
    let sql = "SELECT n.nspname, c.relname, s.seqincrement FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' ORDER BY 1, 2";
    let listed = session.rows("listing the sequences", sql).await?;
    let mut sequences = BTreeMap::new();
    // One statement for many: a thousand sequences must not cost a thousand round trips.
    for part in listed.chunks(200) {
        let queries = part.iter().enumerate().map(|(index, row)| {
            let name = TableName::qualified(row.text(0), row.text(1)).sql();
            format!("SELECT {index}, last_value, is_called FROM {name}")
        });
        let sql = queries.collect::<Vec<_>>().join(" UNION ALL ");
        for value in session.rows("reading the sequences", &sql).await? {
            let Some(row) = part.get(value.number::<usize>(0)) else { continue };
            let increment: i64 = row.number(2);
            let last: i64 = value.number(1);
            let given = if value.is(2) { last } else { last.saturating_sub(increment) };
            let name = TableName::qualified(row.text(0), row.text(1)).to_string();
            if increment < 0 {
                sequences.insert(format!("{name} (counts down, negated)"), given.saturating_neg());
            } else {
                sequences.insert(name, given);
            }
        }
    }
    Ok(sequences)
}
