//! Rows of the snapshot whose parents are not there: the server names the key, and not what has to come back with it.

use super::super::names::{identifier, literal};
use super::super::session::Session;
use super::{DOING, Job, rows};
use crate::base::counted;
use crate::catalog::TableName;
use crate::engine::Error;
use std::collections::BTreeMap;

/// A foreign key of a table that is put back.
struct Key {
    parent: TableName,
    /// How its rows are read: those of an inheritance tree are not what a key refers to, those of partitions are.
    from: String,
    pairs: Vec<(String, String)>,
}

/// Says of rows that could not be written because of a key which table lacks theirs; the error as it was where that is not
/// why, or cannot be seen. It is asked only now, because most rows have their parents.
pub(super) async fn named(session: &mut Session, jobs: &[Job], error: Error) -> Error {
    let is_of_a_key = matches!(&error, Error::Driver { detail, .. } if detail.contains("(SQLSTATE 23503)"));
    if !is_of_a_key || session.run(DOING, "ROLLBACK TO ripcord_rows").await.is_err() {
        return error;
    }
    match lacking(session, jobs).await {
        Ok(Some(found)) => found,
        _ => error,
    }
}

async fn lacking(session: &mut Session, jobs: &[Job]) -> Result<Option<Error>, Error> {
    for job in jobs {
        for key in keys(session, &job.table).await? {
            if jobs.iter().any(|other| other.table == key.parent) {
                continue;
            }
            let is_set = key.pairs.iter().map(|(own, _)| format!("s.{} IS NOT NULL", identifier(own)));
            let same =
                key.pairs.iter().map(|(own, to)| format!("p.{} = s.{}", identifier(to), identifier(own)));
            let sql = format!(
                "SELECT count(*) FROM pg_temp.{} AS s WHERE {} AND NOT EXISTS (SELECT FROM {} AS p WHERE {})",
                job.loaded,
                is_set.collect::<Vec<_>>().join(" AND "),
                key.from,
                same.collect::<Vec<_>>().join(" AND ")
            );
            let count = rows::number(session, &sql).await?;
            if count > 0 {
                let rows = counted(count, "row");
                return Ok(Some(Error::RefersTo { table: job.table.clone(), to: key.parent, rows }));
            }
        }
    }
    Ok(None)
}

/// Returns the keys of a table, without those to the partitions of one to which it has a key.
async fn keys(session: &mut Session, table: &TableName) -> Result<Vec<Key>, Error> {
    let sql = format!(
        "SELECT k.oid, n.nspname, c.relname, c.relkind = 'p', a.attname, pa.attname FROM pg_constraint k \
         JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace, \
         unnest(k.conkey, k.confkey) WITH ORDINALITY AS x(own, other, place) \
         JOIN pg_attribute a ON a.attnum = x.own JOIN pg_attribute pa ON pa.attnum = x.other \
         WHERE k.contype = 'f' AND k.conrelid = to_regclass({}) AND a.attrelid = k.conrelid AND pa.attrelid = k.confrelid \
         AND NOT EXISTS (SELECT FROM pg_constraint u WHERE u.oid = k.conparentid AND u.conrelid = k.conrelid) \
         ORDER BY k.oid, x.place",
        literal(&table.sql())
    );
    let mut found: BTreeMap<u32, Key> = BTreeMap::new();
    for row in session.rows("reading the keys", &sql).await? {
        let parent = TableName::qualified(row.text(1), row.text(2));
        let only = if row.is(3) { "" } else { "ONLY " };
        let from = format!("{only}{}", parent.sql());
        let key = found.entry(row.number(0)).or_insert(Key { parent, from, pairs: Vec::new() });
        key.pairs.push((row.text(4).to_string(), row.text(5).to_string()));
    }
    Ok(found.into_values().collect())
}
