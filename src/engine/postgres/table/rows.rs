//! Making the rows of a live table those of the loaded one.

use super::super::merge::DOING;
use super::super::names::identifier;
use super::super::session::Session;
use super::{Column, Job, list};
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
    let mut sink = into.connection.copy_in_raw(copy).await?;
    let mut messages = from.connection.copy_out_raw(out).await?;
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
                let rows = if count == 1 { "1 row".to_string() } else { format!("{count} rows") };
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
    if job.created {
        return Ok(());
    }
    let mut sql = format!("DELETE FROM ONLY {} AS t", job.table.sql());
    if by_difference(job) {
        sql.push_str(&format!(
            " WHERE NOT EXISTS (SELECT FROM pg_temp.{} AS s WHERE {})",
            job.loaded,
            same_key(job)
        ));
    }
    session.run(DOING, &sql).await
}

/// Writes what the live table has not, or has otherwise.
pub(super) async fn write(session: &mut Session, job: &Job) -> Result<(), Error> {
    let (table, loaded) = (job.table.sql(), &job.loaded);
    let mut absent = String::new();
    if by_difference(job) {
        update(session, job).await?;
        absent = format!(" WHERE NOT EXISTS (SELECT FROM ONLY {table} AS t WHERE {})", same_key(job));
    }
    let sql = format!(
        "INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM pg_temp.{loaded} AS s{absent}",
        list(&job.columns, ""),
        list(&job.columns, "s.")
    );
    session.run(DOING, &sql).await
}

async fn update(session: &mut Session, job: &Job) -> Result<(), Error> {
    let others: Vec<&Column> = job.columns.iter().filter(|column| !job.key.contains(&column.name)).collect();
    if others.is_empty() {
        return Ok(());
    }
    let identities: Vec<&&Column> = others.iter().filter(|column| column.always_identity).collect();
    for (how, when) in [("BY DEFAULT", true), ("ALWAYS", false)] {
        if !when {
            let set: Vec<String> =
                others.iter().map(|column| format!("{0} = s.{0}", identifier(&column.name))).collect();
            let differs = others.iter().map(|column| {
                let name = identifier(&column.name);
                format!("t.{name}::text COLLATE \"C\" IS DISTINCT FROM s.{name}::text COLLATE \"C\"")
            });
            let sql = format!(
                "UPDATE ONLY {} AS t SET {} FROM pg_temp.{} AS s WHERE {} AND ({})",
                job.table.sql(),
                set.join(", "),
                job.loaded,
                same_key(job),
                differs.collect::<Vec<_>>().join(" OR ")
            );
            session.run(DOING, &sql).await?;
        }
        for column in &identities {
            let (table, name) = (job.table.sql(), identifier(&column.name));
            session
                .run(DOING, &format!("ALTER TABLE {table} ALTER COLUMN {name} SET GENERATED {how}"))
                .await?;
        }
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

async fn number(session: &mut Session, sql: &str) -> Result<u64, Error> {
    Ok(session.value(DOING, sql).await?.and_then(|text| text.parse().ok()).unwrap_or_default())
}
