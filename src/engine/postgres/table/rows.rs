//! Making the rows of a live table those of the loaded one.

use super::super::names::identifier;
use super::super::session::Session;
use super::{Column, DOING, Job, list};
use crate::base::counted;
use crate::engine::Error;
use futures_util::StreamExt;

/// How much is sent at once; the server sends a message for each row.
const BLOCK: usize = 256 * 1024;

/// Streams what one session sends into another one.
pub(super) async fn pour(
    from: &mut Session,
    into: &mut Session,
    out: &str,
    copy: &str,
) -> Result<(), sqlx::Error> {
    let mut sink = into.asking().copy_in_raw(copy).await?;
    let mut messages = from.asking().copy_out_raw(out).await?;
    let mut block = Vec::with_capacity(BLOCK);
    while let Some(message) = messages.next().await {
        block.extend_from_slice(&message?);
        if block.len() >= BLOCK {
            sink.send(block.as_slice()).await?;
            block.clear();
        }
    }
    sink.send(block.as_slice()).await?;
    sink.finish().await.map(|_| ())
}

/// Returns how many rows each table has.
pub(super) async fn count_all(session: &mut Session, jobs: &[Job]) -> Result<Vec<u64>, Error> {
    let mut counts = Vec::new();
    for job in jobs {
        counts.push(number(session, &format!("SELECT count(*) FROM ONLY {}", job.table.sql())).await?);
    }
    Ok(counts)
}

/// Fails when rows of tables that stay as they are refer to rows that are about to go: they would be left alone, or go
/// with them.
pub(super) async fn refuse_referred(session: &mut Session, jobs: &[Job]) -> Result<(), Error> {
    for job in jobs.iter().filter(|job| !job.created) {
        for key in &job.referred {
            if jobs.iter().any(|other| other.table == key.child) {
                continue;
            }
            let pairs = |one: &str, other: &str| -> String {
                let both = key.columns.iter().zip(&key.referred);
                let name = |of: &str, own: &String, referred: &String| match of {
                    "c" => format!("c.{}", identifier(own)),
                    of => format!("{of}.{}", identifier(referred)),
                };
                let pairs = both.map(|(own, referred)| {
                    format!("{} = {}", name(one, own, referred), name(other, own, referred))
                });
                pairs.collect::<Vec<_>>().join(" AND ")
            };
            let sql = format!(
                "SELECT count(*) FROM {} AS c JOIN ONLY {} AS t ON {} \
                 WHERE NOT EXISTS (SELECT FROM pg_temp.{} AS s WHERE {})",
                key.child.sql(),
                job.table.sql(),
                pairs("c", "t"),
                job.loaded,
                pairs("s", "t")
            );
            let count = number(session, &sql).await?;
            if count > 0 {
                let rows = counted(count, "row");
                return Err(Error::ReferredTo { table: job.table.clone(), by: key.child.clone(), rows });
            }
        }
    }
    Ok(())
}

/// Tells whether rows can be told apart and something refers to them, so that only what differs may be written.
fn by_difference(job: &Job) -> bool {
    !job.key.is_empty() && !job.referred.is_empty() && !job.created
}

fn same_key(job: &Job) -> String {
    let parts = job.key.iter().map(|name| format!("t.{0} = s.{0}", identifier(name)));
    parts.collect::<Vec<_>>().join(" AND ")
}

/// Deletes what the snapshot has not.
pub(super) async fn delete(session: &mut Session, job: &Job) -> Result<(), Error> {
    match delete_sql(job) {
        Some(sql) => session.run(DOING, &sql).await,
        None => Ok(()),
    }
}

/// Writes what the live table has not, or has otherwise.
pub(super) async fn write(session: &mut Session, job: &Job) -> Result<(), Error> {
    if let Some(sql) = update_sql(job) {
        allow_identity(session, job, true).await?;
        session.run(DOING, &sql).await?;
        allow_identity(session, job, false).await?;
    }
    session.run(DOING, &insert_sql(job)).await
}

pub(super) fn delete_sql(job: &Job) -> Option<String> {
    let table = job.table.sql();
    match (job.created, by_difference(job)) {
        (true, _) => None,
        (_, true) => Some(format!(
            "DELETE FROM ONLY {table} AS t WHERE NOT EXISTS (SELECT FROM pg_temp.{} AS s WHERE {})",
            job.loaded,
            same_key(job)
        )),
        _ => Some(format!("DELETE FROM ONLY {table} AS t")),
    }
}

pub(super) fn insert_sql(job: &Job) -> String {
    let (table, loaded) = (job.table.sql(), &job.loaded);
    let absent = match by_difference(job) {
        true => format!(" WHERE NOT EXISTS (SELECT FROM ONLY {table} AS t WHERE {})", same_key(job)),
        false => String::new(),
    };
    // Of a table without columns that hold anything only the number of its rows comes back; a list must not be empty.
    let names = match job.columns.is_empty() {
        true => String::new(),
        false => format!(" ({})", list(&job.columns, "")),
    };
    format!(
        "INSERT INTO {table}{names} OVERRIDING SYSTEM VALUE SELECT {} FROM pg_temp.{loaded} AS s{absent}",
        list(&job.columns, "s.")
    )
}

/// The columns that an update writes.
fn updated(job: &Job) -> Vec<&Column> {
    if !by_difference(job) {
        return Vec::new();
    }
    job.columns.iter().filter(|column| !job.key.contains(&column.name)).collect()
}

pub(super) fn update_sql(job: &Job) -> Option<String> {
    let others = updated(job);
    let set: Vec<String> =
        others.iter().map(|column| format!("{0} = s.{0}", identifier(&column.name))).collect();
    let differs: Vec<String> = others
        .iter()
        .map(|column| {
            let name = identifier(&column.name);
            format!("t.{name}::text COLLATE \"C\" IS DISTINCT FROM s.{name}::text COLLATE \"C\"")
        })
        .collect();
    (!others.is_empty()).then(|| {
        format!(
            "UPDATE ONLY {} AS t SET {} FROM pg_temp.{} AS s WHERE {} AND ({})",
            job.table.sql(),
            set.join(", "),
            job.loaded,
            same_key(job),
            differs.join(" OR ")
        )
    })
}

/// Identity columns that are always generated may be set by an update only while they are not.
pub(super) async fn allow_identity(session: &mut Session, job: &Job, allow: bool) -> Result<(), Error> {
    let how = if allow { "BY DEFAULT" } else { "ALWAYS" };
    for column in updated(job).into_iter().filter(|column| column.always_identity) {
        let (table, name) = (job.table.sql(), identifier(&column.name));
        session.run(DOING, &format!("ALTER TABLE {table} ALTER COLUMN {name} SET GENERATED {how}")).await?;
    }
    Ok(())
}

/// Makes sure that the rows are those of the snapshot, each as often.
pub(super) async fn prove(session: &mut Session, job: &Job) -> Result<(), Error> {
    let text = |of: &str| format!("ROW({})::text COLLATE \"C\"", list(&job.columns, of));
    let differ = format!(
        "SELECT count(*) FROM (SELECT {} FROM pg_temp.{} AS s EXCEPT ALL SELECT {} FROM ONLY {} AS t) AS x",
        text("s."),
        job.loaded,
        text("t."),
        job.table.sql()
    );
    let differ = number(session, &differ).await?;
    let expected = number(session, &format!("SELECT count(*) FROM pg_temp.{}", job.loaded)).await?;
    let found = number(session, &format!("SELECT count(*) FROM ONLY {}", job.table.sql())).await?;
    if differ == 0 && found == expected {
        return Ok(());
    }
    Err(Error::NotMerged { what: job.table.to_string(), expected, found: expected - differ })
}

pub(super) async fn number(session: &mut Session, sql: &str) -> Result<u64, Error> {
    Ok(session.value(DOING, sql).await?.and_then(|text| text.parse().ok()).unwrap_or_default())
}
