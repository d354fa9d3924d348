//! Rows of the snapshot whose parents are not there: the server names the key, and not what has to come back with it.

use super::super::merge::live::foreign_keys;
use super::super::names::identifier;
use super::super::session::Session;
use super::{DOING, Job, rows};
use crate::base::counted;
use crate::engine::Error;

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
        for key in foreign_keys(session, &job.table).await? {
            if jobs.iter().any(|other| other.table == key.parent) {
                continue;
            }
            // Those of an inheritance tree are not what a key refers to, those of partitions are.
            let only = if key.partitions.is_empty() { "ONLY " } else { "" };
            let is_set = key.columns.iter().map(|own| format!("s.{} IS NOT NULL", identifier(own)));
            let pairs = key.columns.iter().zip(&key.referred);
            let same = pairs.map(|(own, to)| format!("p.{} = s.{}", identifier(to), identifier(own)));
            let sql = format!(
                "SELECT count(*) FROM pg_temp.{} AS s WHERE {} AND NOT EXISTS (SELECT FROM {only}{} AS p WHERE {})",
                job.loaded,
                is_set.collect::<Vec<_>>().join(" AND "),
                key.parent.sql(),
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
