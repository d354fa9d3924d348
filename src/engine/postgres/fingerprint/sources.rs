//! What is read for a fingerprint, and what is left out and why.

use super::{Keys, inherited};
use crate::catalog::TableName;
use crate::engine::Error;
use crate::engine::postgres::catalog::{FIRST_AT_ALL, SEQUENCE_TYPE};
use crate::engine::postgres::large_objects;
use crate::engine::postgres::names::identifier;
use crate::engine::postgres::session::{Row, Session};
use crate::fingerprint::NotCompared;
use std::borrow::Cow;
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
    /// The size in pages, when rows can be asked for by the page they are in.
    pub(super) pages: Option<u64>,
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
    fn new(name: TableName, columns: Vec<Column>, key: Vec<String>, size: Size) -> Self {
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
        Self { name, columns: names, key, bytes: size.bytes, sql, pages: size.pages }
    }

    /// Cuts a large table into parts of about `bytes`, to be read side by side; a small one is its only part.
    pub(super) fn parts(self, bytes: u64) -> Vec<Self> {
        let Some(pages) = self.pages.filter(|pages| *pages > 0 && self.bytes >= bytes.saturating_mul(2))
        else {
            return vec![self];
        };
        let count = self.bytes / bytes.max(1);
        let list: Vec<String> = self.columns.iter().map(|name| identifier(name)).collect();
        let part = |index: u64| {
            let (from, to) = (pages * index / count, pages * (index + 1) / count);
            // The last part has no end: the table may have grown since its size was asked for.
            let end = if index + 1 < count { format!(" AND ctid < '({to},0)'") } else { String::new() };
            let (list, table) = (list.join(", "), self.name.sql());
            let sql =
                format!("COPY (SELECT {list} FROM ONLY {table} WHERE ctid >= '({from},0)'{end}) TO STDOUT");
            Self { sql, bytes: self.bytes / count, pages: None, ..self.clone() }
        };
        (0..count).map(part).collect()
    }

    pub(super) fn large_objects(count: u64) -> Self {
        let names = vec!["md5".to_string(), "number".to_string()];
        Self {
            name: TableName::large_objects(),
            columns: names,
            key: vec!["number".to_string()],
            // Nobody but a superuser may ask for the size; a page each is a guess for the progress bar.
            bytes: count * 2048,
            sql: large_objects::copy_out(),
            pages: None,
        }
    }
}

/// What follows the name of a sequence that counts down.
pub(in crate::engine::postgres) const COUNTS_DOWN: &str = " (counts down, negated)";

/// How large a table is on disk.
#[derive(Clone, Copy)]
struct Size {
    bytes: u64,
    pages: Option<u64>,
}

struct Column {
    name: String,
    generated: bool,
}

/// What of that which cannot be compared there is at all: most databases have none of it, and to ask one by one costs a
/// server many times as much.
struct There {
    matviews: bool,
    sequences: bool,
    inheritance: bool,
    large_objects: u64,
}

impl There {
    async fn look(session: &mut Session) -> Result<Self, Error> {
        let sql = format!(
            "SELECT EXISTS (SELECT FROM pg_class c WHERE c.oid >= {FIRST_AT_ALL} AND c.relkind = 'm'), \
             EXISTS (SELECT FROM pg_sequence), EXISTS (SELECT FROM pg_inherits), \
             (SELECT count(*) FROM pg_largeobject_metadata)"
        );
        let rows = session.rows("looking for what cannot be compared", &sql).await?;
        let is = |index: usize| rows.iter().any(|row| row.is(index));
        let large_objects = rows.first().map(|row| row.number(3)).unwrap_or_default();
        Ok(Self { matviews: is(0), sequences: is(1), inheritance: is(2), large_objects })
    }
}

/// Lists the tables and what cannot be compared.
pub(super) async fn find(session: &mut Session, known: Option<&Keys>) -> Result<Found, Error> {
    let rows = session.rows("listing the tables", &tables_sql()).await?;
    let keys = match known {
        Some(keys) => Cow::Borrowed(keys),
        None => Cow::Owned(keys(session).await?),
    };
    let mut not_compared = Vec::new();
    let mut columns: BTreeMap<TableName, (Size, Vec<Column>)> = BTreeMap::new();
    // Since 14 a condition on the place of a row reads those pages only; before, it would read the whole table.
    let by_page = session.major() >= 14;
    for row in &rows {
        let name = TableName::qualified(row.text(0), row.text(1));
        if let Some(reason) = left_out(row) {
            let subject = format!("table {name}");
            if !not_compared.iter().any(|other: &NotCompared| other.subject == subject) {
                not_compared.push(NotCompared { subject, reason });
            }
            continue;
        }
        let entry = columns.entry(name.clone()).or_insert_with(|| (size(row, by_page), Vec::new()));
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
    let sources = columns.into_iter().map(|(name, (size, mut columns))| {
        columns.sort_by(|left, right| left.name.cmp(&right.name));
        let key = keys.get(&name).cloned().unwrap_or_default();
        Source::new(name, columns, key, size)
    });
    let sources = sources.collect();
    let there = There::look(session).await?;
    if there.matviews {
        matviews(session, &mut not_compared).await?;
    }
    if there.sequences {
        types_of_sequences(session, &mut not_compared).await?;
    }
    if there.inheritance {
        inherited::not_compared(session, &mut not_compared).await?;
    }
    let large_objects = there.large_objects;
    Ok(Found { sources, not_compared, large_objects })
}

fn size(row: &Row, by_page: bool) -> Size {
    let bytes: u64 = row.number(3);
    let page: u64 = row.number(8);
    Size { bytes, pages: (by_page && page > 0).then(|| bytes / page) }
}

fn tables_sql() -> String {
    // A domain prints what it is over, an array what its elements are.
    format!(
        "WITH RECURSIVE naming(oid) AS (SELECT t.oid FROM pg_type t WHERE t.typname IN ({NAMES_OF_OBJECTS}) \
         AND t.typnamespace = 'pg_catalog'::regnamespace UNION SELECT t.oid FROM naming m JOIN pg_type t \
         ON m.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END) \
         SELECT n.nspname, c.relname, c.relkind, pg_relation_size(c.oid), \
         (SELECT x.extname FROM pg_depend e JOIN pg_extension x ON x.oid = e.refobjid \
         WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e' LIMIT 1), \
         a.attname, a.attgenerated <> '', a.atttypid IN (SELECT m.oid FROM naming m), \
         (SELECT current_setting('block_size') FROM pg_am am WHERE am.oid = c.relam AND am.amname = 'heap') \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         WHERE c.oid >= {FIRST_AT_ALL} AND c.relkind IN ('r', 'f') AND n.nspname !~ '^pg_' \
         AND n.nspname <> 'information_schema'"
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

/// Names the sequences whose type a restore makes another one; what they give out is the same.
async fn types_of_sequences(session: &mut Session, not_compared: &mut Vec<NotCompared>) -> Result<(), Error> {
    let sql = format!(
        "SELECT n.nspname, c.relname, format_type(s.seqtypid, NULL), format_type({SEQUENCE_TYPE}, NULL) \
         FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE s.seqtypid <> {SEQUENCE_TYPE} AND n.nspname !~ '^pg_'"
    );
    for row in session.rows("listing the types of sequences", &sql).await? {
        not_compared.push(NotCompared {
            subject: format!("the type of sequence {}", TableName::qualified(row.text(0), row.text(1))),
            reason: format!(
                "it is {} and that of its column {}, which a dump does not hold",
                row.text(2),
                row.text(3)
            ),
        });
    }
    Ok(())
}

/// Returns the columns that identify a row of each table, by the same rule as the catalog.
async fn keys(session: &mut Session) -> Result<Keys, Error> {
    let mut keys = Keys::new();
    let sql = crate::engine::postgres::catalog::keys_sql();
    for row in session.rows("reading the keys", &sql).await? {
        let table = TableName::qualified(row.text(0), row.text(1));
        keys.entry(table).or_default().push(row.text(2).to_string());
    }
    Ok(keys)
}

/// Returns the last value that each sequence gave out: what it would give next, less one step.
///
/// A sequence that counts down is entered with its sign turned, so that "went back" means the same for all. One that begins
/// again at its end goes back by itself, and is left out.
pub(in crate::engine::postgres) async fn sequences(
    session: &mut Session,
) -> Result<BTreeMap<String, i64>, Error> {
    let sql = "SELECT n.nspname, c.relname, s.seqincrement FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND NOT s.seqcycle AND NOT EXISTS (SELECT FROM \
         pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e') ORDER BY 1, 2";
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
                sequences.insert(format!("{name}{COUNTS_DOWN}"), given.saturating_neg());
            } else {
                sequences.insert(name, given);
            }
        }
    }
    Ok(sequences)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(bytes: u64) -> Source {
        let size = Size { bytes, pages: Some(bytes / 8192) };
        let column = Column { name: "a".into(), generated: false };
        Source::new(TableName::qualified("public", "t"), vec![column], Vec::new(), size)
    }

    #[test]
    fn the_parts_of_a_table_touch_and_the_last_one_has_no_end() {
        let parts = table(100 * 8192).parts(25 * 8192);
        let places: Vec<&str> =
            parts.iter().filter_map(|part| part.sql.split_once("WHERE ")).map(|(_, w)| w).collect();
        assert_eq!(
            places,
            [
                "ctid >= '(0,0)' AND ctid < '(25,0)') TO STDOUT",
                "ctid >= '(25,0)' AND ctid < '(50,0)') TO STDOUT",
                "ctid >= '(50,0)' AND ctid < '(75,0)') TO STDOUT",
                "ctid >= '(75,0)') TO STDOUT",
            ]
        );
    }

    #[test]
    fn a_small_table_is_read_in_one_go() {
        let parts = table(40 * 8192).parts(25 * 8192);
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].sql, "COPY \"public\".\"t\" (\"a\") TO STDOUT");
    }
}
