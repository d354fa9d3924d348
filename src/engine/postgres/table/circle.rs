//! Tables that refer to each other: no order of statements keeps all keys, and one statement needs none, because keys are
//! checked at its end.

use super::super::errors;
use super::super::session::Session;
use super::{DOING, Job, rows};
use crate::engine::Error;
use std::collections::BTreeSet;

/// Returns the groups of tables that are written together, each by its places: a table alone, or all of a circle. The order
/// is the one in which they were given.
pub(super) fn groups(jobs: &[Job], order: &[usize]) -> Vec<Vec<usize>> {
    let children = |index: usize| {
        let is_child =
            move |other: &usize| jobs[index].referred.iter().any(|key| key.child == jobs[*other].table);
        (0..jobs.len()).filter(is_child)
    };
    let reached = |from: usize| {
        let (mut found, mut open): (BTreeSet<usize>, Vec<usize>) =
            (BTreeSet::new(), children(from).collect());
        while let Some(next) = open.pop() {
            if found.insert(next) {
                open.extend(children(next));
            }
        }
        found
    };
    let reach: Vec<BTreeSet<usize>> = (0..jobs.len()).map(reached).collect();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    // A circle takes the place of its last table: behind whatever any of them refers to.
    for index in order.iter().rev() {
        let is_with = |group: &&mut Vec<usize>| {
            group.iter().any(|other| reach[*index].contains(other) && reach[*other].contains(index))
        };
        match groups.iter_mut().find(is_with) {
            Some(group) => group.push(*index),
            None => groups.push(vec![*index]),
        }
    }
    groups.reverse();
    groups
}

/// Deletes from all of them what the snapshot has not, unless rows that stay refer to it still: then `write` does it.
pub(super) async fn delete(session: &mut Session, jobs: &[&Job]) -> Result<(), Error> {
    let parts: Vec<String> = jobs.iter().filter_map(|job| rows::delete_sql(job)).collect();
    let Some(sql) = together(&parts) else { return Ok(()) };
    session.run(DOING, "SAVEPOINT ripcord_circle").await?;
    match session.execute(&sql).await {
        Ok(_) => session.run(DOING, "RELEASE ripcord_circle").await,
        Err(error) if errors::server_error(&error).is_some_and(|said| said.code().starts_with("23")) => {
            session.run(DOING, "ROLLBACK TO ripcord_circle; RELEASE ripcord_circle").await
        }
        Err(error) => Err(session.failed(&error, DOING)),
    }
}

/// Makes the rows of all of them those of the snapshot.
pub(super) async fn write(session: &mut Session, jobs: &[&Job]) -> Result<(), Error> {
    let mut parts = Vec::new();
    for job in jobs {
        rows::allow_identity(session, job, true).await?;
        parts.extend(rows::delete_sql(job));
        parts.extend(rows::update_sql(job));
        parts.push(rows::insert_sql(job));
    }
    if let Some(sql) = together(&parts) {
        session.run(DOING, &sql).await?;
    }
    for job in jobs {
        rows::allow_identity(session, job, false).await?;
    }
    Ok(())
}

fn together(parts: &[String]) -> Option<String> {
    let parts: Vec<String> =
        parts.iter().enumerate().map(|(index, sql)| format!("w{index} AS ({sql} RETURNING 1)")).collect();
    (!parts.is_empty()).then(|| format!("WITH {} SELECT 1", parts.join(", ")))
}
