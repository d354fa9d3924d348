//! Comparing rows of the copy with those of the snapshot, in SQL, with both files in one connection.
//!
//! Values are compared by their type and bytes: a column's affinity and collation would call `1` and `'1'`, or `a` and
//! `A`, the same.

use super::super::Site;
use super::super::session::Session;
use super::{BEFORE, attach};
use crate::catalog::{TableName, quote};
use crate::engine::Error;
use crate::ledger::{Answers, Question, ROWID, RowChanges, Telling};
use rusqlite::OpenFlags;
use std::path::Path;

/// Opens the copy, and beside it the file that stays as it was.
pub(super) fn both(site: &Site, before: &Path) -> Result<Session, Error> {
    let session = site.open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI)?;
    session.run("opening", "PRAGMA query_only = ON")?;
    attach(&session, before)?;
    Ok(session)
}

/// Answers the questions.
pub(super) fn changes(site: &Site, before: &Path, questions: &[Question]) -> Result<Answers, Error> {
    let session = both(site, before)?;
    let answers = questions.iter().map(|question| Ok((question.before.clone(), answer(&session, question)?)));
    answers.collect()
}

fn answer(session: &Session, question: &Question) -> Result<RowChanges, Error> {
    let old = format!("{BEFORE}.{}", quote(&question.before.name));
    let mut changes = match &question.after {
        None => RowChanges::default(),
        Some(now) if question.key.is_empty() => whole(session, question, &old, now)?,
        Some(now) => by_key(session, question, &old, now)?,
    };
    if !question.held.is_empty() {
        let counts: Vec<String> =
            question.held.iter().map(|name| format!("count({})", quote(name))).collect();
        let counted = numbers(session, &format!("SELECT {} FROM {old}", counts.join(", ")))?;
        changes.held = question.held.iter().cloned().zip(counted).collect();
    }
    Ok(changes)
}

fn by_key(session: &Session, question: &Question, old: &str, now: &TableName) -> Result<RowChanges, Error> {
    let new = format!("main.{}", now.sql());
    let on = question.key.iter().map(|(one, other)| same_key(one, other));
    let on = on.collect::<Vec<_>>().join(" AND ");
    let differs = question.columns.iter().map(|(one, other)| differs(one, other));
    let differs: Vec<String> = differs.collect();
    // Candidates for a rename are no change of the row.
    let own = question.columns.iter().zip(&differs).filter(|((one, other), _)| one == other);
    let own: Vec<&str> = own.map(|(_, differs)| differs.as_str()).collect();
    let any = if own.is_empty() { "0".to_string() } else { own.join(" OR ") };
    let sums = differs.iter().map(|differs| format!(", coalesce(sum({differs}), 0)"));
    let sql = format!(
        "SELECT count(*), coalesce(sum({any}), 0){} FROM {old} AS a JOIN {new} AS b ON {on}",
        sums.collect::<String>()
    );
    let found = numbers(session, &sql)?;
    let count =
        |table: &str| numbers(session, &format!("SELECT count(*) FROM {table}")).map(|found| found[0]);
    let (rows_before, rows_after) = (count(old)?, count(&new)?);
    let both = found[0];
    Ok(RowChanges {
        inserted: rows_after.saturating_sub(both),
        deleted: rows_before.saturating_sub(both),
        changed: found[1],
        columns: question.columns.iter().cloned().zip(found[2..].iter().copied()).collect(),
        ..RowChanges::default()
    })
}

/// Returns the condition that `a` and `b` have the same key. A virtual table finds a row by its number, which is never
/// NULL, and only where it is asked for with `=`.
pub(super) fn same_key(one: &str, other: &str) -> String {
    let operator = if one == ROWID && other == ROWID { "=" } else { "IS" };
    format!("a.{} {operator} b.{}", quote(one), quote(other))
}

/// Returns the condition under which a column of the row before, `a`, is not what one of the row now, `b`, is.
pub(in super::super) fn differs(one: &str, other: &str) -> String {
    let (one, other) = (format!("a.{}", quote(one)), format!("b.{}", quote(other)));
    format!("(+{one} COLLATE BINARY IS NOT +{other} OR typeof({one}) <> typeof({other}))")
}

fn whole(session: &Session, question: &Question, old: &str, now: &TableName) -> Result<RowChanges, Error> {
    let all: Vec<usize> = (0..question.columns.len()).collect();
    let (gone, new) = groups(session, question, &all, old, now)?;
    let mut changes = RowChanges::of_whole_rows(gone, new);
    if changes.changed == 0 {
        return Ok(changes);
    }
    let mut telling = Telling::new(all.len());
    while let Some(places) = telling.next() {
        if telling.take(groups(session, question, &places, old, now)?.1) {
            let distinct = |places: &[usize]| {
                let list = places.iter().map(|place| typed(&quote(&question.columns[*place].0)));
                let list = list.collect::<Vec<_>>().join(", ");
                numbers(session, &format!("SELECT count(*) FROM (SELECT DISTINCT {list} FROM {old})"))
            };
            changes.tells = distinct(&places)? == distinct(&all)?;
            changes.told_by = places.iter().map(|place| question.columns[*place].0.clone()).collect();
            break;
        }
    }
    Ok(changes)
}

fn typed(column: &str) -> String {
    format!("{column} COLLATE BINARY, typeof({column})")
}

/// Returns how many rows are fewer than before, and how many are more, by these columns.
fn groups(
    session: &Session,
    question: &Question,
    places: &[usize],
    old: &str,
    now: &TableName,
) -> Result<(u64, u64), Error> {
    let list = |side: fn(&(String, String)) -> &String| -> String {
        let names = places.iter().map(|place| (place, side(&question.columns[*place])));
        names.map(|(place, name)| format!("{} AS c{place}, ", quote(name))).collect()
    };
    let by = places.iter().map(|place| typed(&format!("c{place}")));
    let by: Vec<String> = std::iter::once("side".to_string()).chain(by).collect();
    let sql = format!(
        "SELECT coalesce(sum(CASE WHEN n < 0 THEN -n END), 0), coalesce(sum(CASE WHEN n > 0 THEN n END), 0)
        FROM (SELECT sum(n) AS n FROM (SELECT {}0 AS side, -1 AS n FROM {old}
        UNION ALL SELECT {}0, 1 FROM main.{}) GROUP BY {})",
        list(|pair| &pair.0),
        list(|pair| &pair.1),
        now.sql(),
        by.join(", ")
    );
    let found = numbers(session, &sql)?;
    Ok((found[0], found[1]))
}

/// Returns the one row of counts that a query gives.
fn numbers(session: &Session, sql: &str) -> Result<Vec<u64>, Error> {
    let failed = |error| session.failed("comparing rows", error);
    let mut statement = session.prepare(sql).map_err(failed)?;
    let width = statement.column_count();
    let row = statement.query_row([], |row| (0..width).map(|index| row.get::<_, i64>(index)).collect());
    let row: Vec<i64> = row.map_err(failed)?;
    Ok(row.into_iter().map(i64::unsigned_abs).collect())
}
