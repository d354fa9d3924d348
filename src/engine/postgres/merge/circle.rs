//! Rows of tables that refer to each other: none can be the first one.
//!
//! The keys of one statement are checked at its end, also of one that inserts into several tables. So all of them come in
//! one statement, after those have been left out whose parents neither are there nor come with them.

use super::super::names::{identifier, is_null};
use super::super::session::Session;
use super::live::ForeignKey;
use super::rows::absent;
use super::target::Target;
use super::{DOING, Job, fit};
use crate::catalog::TableName;
use crate::engine::Error;
use crate::ledger::SalvageKind;

/// Inserts what the circle through the newest job lacks, where it is one of whole rows and there is such a circle.
pub(super) async fn close(session: &mut Session, jobs: &mut [Job<'_>]) -> Result<(), Error> {
    let is_waiting = |job: &Job<'_>| {
        job.unfinished && job.target.piece.salvage.what == SalvageKind::Rows && job.target.done.is_none()
    };
    let Some(newest) = jobs.last().filter(|job| is_waiting(job)).map(|job| job.target.table.clone()) else {
        return Ok(());
    };
    let mut waiting: Vec<&mut Job<'_>> = jobs.iter_mut().filter(|job| is_waiting(job)).collect();
    let parents = |table: &TableName| -> Vec<TableName> {
        let of = waiting.iter().filter(|job| job.target.table == *table);
        of.flat_map(|job| &job.target.keys).flat_map(|key| key.parents().cloned()).collect()
    };
    let members: Vec<TableName> = reached(&newest, &parents)
        .into_iter()
        .filter(|table| reached(table, &parents).contains(&newest))
        .collect();
    waiting.retain(|job| members.contains(&job.target.table));
    if members.len() < 2 {
        return Ok(());
    }
    for job in &waiting {
        candidates(session, &job.target).await?;
    }
    while drop_orphans(session, &waiting).await? {}
    let inserted = insert(session, &waiting).await?;
    for (job, count) in waiting.iter_mut().zip(inserted) {
        job.merged[0].merged += count;
        session.run(DOING, &format!("DROP TABLE pg_temp.{}", circle(&job.target))).await?;
        job.unfinished = super::rows::left(session, &job.target).await? > 0;
    }
    Ok(())
}

/// Returns the tables that one refers to, directly and through others.
fn reached(table: &TableName, parents: &dyn Fn(&TableName) -> Vec<TableName>) -> Vec<TableName> {
    let mut found: Vec<TableName> = Vec::new();
    let mut open = parents(table);
    while let Some(next) = open.pop() {
        if !found.contains(&next) {
            open.extend(parents(&next));
            found.push(next);
        }
    }
    found
}

fn circle(target: &Target<'_>) -> String {
    format!("{}_circle", target.loaded)
}

/// Makes the table of the rows that are not there.
async fn candidates(session: &mut Session, target: &Target<'_>) -> Result<(), Error> {
    let taken: String =
        target.misfits.iter().map(|place| format!(" AND s.{} IS NULL", fit::beside(*place))).collect();
    let sql = format!(
        "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT s.* FROM pg_temp.{} AS s WHERE {}{taken}",
        circle(target),
        target.loaded,
        absent(target)
    );
    session.run(DOING, &sql).await?;
    session.run(DOING, &format!("ANALYZE pg_temp.{}", circle(target))).await
}

/// Leaves out rows whose parents neither are there nor come along; tells whether there were any.
async fn drop_orphans(session: &mut Session, jobs: &[&mut Job<'_>]) -> Result<bool, Error> {
    let mut any = false;
    for job in jobs {
        for key in &job.target.keys {
            let Some(has_parent) = has_parent(jobs, &job.target, key) else { continue };
            let sql = format!("DELETE FROM pg_temp.{} AS s WHERE NOT ({has_parent})", circle(&job.target));
            any |= session.execute(&sql).await.map_err(|error| session.failed(&error, DOING))? > 0;
        }
    }
    Ok(any)
}

fn has_parent(jobs: &[&mut Job<'_>], target: &Target<'_>, key: &ForeignKey) -> Option<String> {
    let places = target.places(&key.columns)?;
    let mut ways: Vec<String> = places.iter().map(|place| is_null(&format!("s.v{place}"))).collect();
    let on = |other: &dyn Fn(usize) -> String| -> String {
        let pairs = places.iter().enumerate().map(|(index, place)| format!("{} = s.v{place}", other(index)));
        pairs.collect::<Vec<_>>().join(" AND ")
    };
    let live = on(&|index| format!("p.{}", identifier(&key.referred[index])));
    ways.push(format!("EXISTS (SELECT FROM {} AS p WHERE {live})", key.parent.sql()));
    for parent in jobs.iter().map(|job| &job.target).filter(|parent| key.refers_to(&parent.table)) {
        let Some(referred) = parent.places(&key.referred) else { continue };
        let along = on(&|index| format!("o.v{}", referred[index]));
        ways.push(format!("EXISTS (SELECT FROM pg_temp.{} AS o WHERE {along})", circle(parent)));
    }
    Some(ways.join(" OR "))
}

/// Inserts all of them by one statement; returns how many into each, none where a constraint refuses it.
async fn insert(session: &mut Session, jobs: &[&mut Job<'_>]) -> Result<Vec<u64>, Error> {
    let insert = |(index, job): (usize, &&mut Job<'_>)| {
        let columns = &job.target.columns;
        let names: Vec<String> = columns.iter().map(|column| identifier(&column.name)).collect();
        let values: Vec<String> = columns.iter().map(|column| format!("s.v{}", column.place)).collect();
        format!(
            "i{index} AS (INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM pg_temp.{} AS s RETURNING 1)",
            job.target.table.sql(),
            names.join(", "),
            values.join(", "),
            circle(&job.target)
        )
    };
    let inserts: Vec<String> = jobs.iter().enumerate().map(insert).collect();
    let counts: Vec<String> =
        (0..jobs.len()).map(|index| format!("(SELECT count(*) FROM i{index})")).collect();
    let sql = format!("WITH {} SELECT {}", inserts.join(", "), counts.join(", "));
    session.run(DOING, "SAVEPOINT ripcord_circle").await?;
    match session.query(&sql).await {
        Ok(rows) => {
            session.run(DOING, "RELEASE ripcord_circle").await?;
            let row = rows.first();
            Ok(row.map(|row| (0..row.len()).map(|at| row.number(at)).collect()).unwrap_or_default())
        }
        Err(error) if fit::is_of_value(&error) => {
            session.run(DOING, "ROLLBACK TO ripcord_circle; RELEASE ripcord_circle").await?;
            Ok(vec![0; jobs.len()])
        }
        Err(error) => Err(session.failed(&error, DOING)),
    }
}
