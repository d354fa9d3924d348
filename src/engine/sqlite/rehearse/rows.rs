//! Comparing rows of the copy with those of the snapshot, in SQL, with both files in one connection.
//!
//! Values are compared by their type and bytes: a column's affinity and collation would call `1` and `'1'`, or `a` and
//! `A`, the same.

use super::super::Site;
use super::super::session::Session;
use super::wide::{joined, terms};
use super::{BEFORE, attach};
use crate::catalog::{TableName, quote};
use crate::engine::Error;
use crate::ledger::{Answers, Ask, Question, ROWID, RowChanges, WholeRows};
use rusqlite::OpenFlags;
use std::path::Path;

/// So many columns are summed up in one query, which may look at two thousand: two of each pair, and some more than once.
const AT_ONCE: usize = 200;

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
        Some(now) if question.key.is_empty() => without_key(session, question, &old, now)?,
        Some(now) if question.is_open && !tells(session, question, &old, now)? => {
            without_key(session, &question.whole(), &old, now)?
        }
        Some(now) => by_any_key(session, question, &old, now)?,
    };
    for names in question.held.chunks(AT_ONCE) {
        let counts: Vec<String> = names.iter().map(|name| format!("count({})", quote(name))).collect();
        let counted = numbers(session, &format!("SELECT {} FROM {old}", counts.join(", ")))?;
        changes.held.extend(names.iter().cloned().zip(counted));
    }
    changes.uniform.extend(uniform(session, &question.uniform, &format!("FROM {old} AS a"))?);
    Ok(changes)
}

/// Returns those of these columns that hold one value in all rows.
fn uniform(session: &Session, names: &[String], rows: &str) -> Result<Vec<String>, Error> {
    let mut uniform = Vec::new();
    for names in names.chunks(AT_ONCE) {
        let tests = names.iter().map(|name| {
            let name = format!("a.{}", quote(name));
            // min and max compare 1 and 1.0 as the same.
            format!(
                "count({name}) IN (0, count(*)) AND min({name} COLLATE BINARY) IS max({name} COLLATE BINARY)
                AND coalesce(min(typeof({name})) = max(typeof({name})), 1)"
            )
        });
        let found = numbers(session, &format!("SELECT {} {rows}", tests.collect::<Vec<_>>().join(", ")))?;
        let found = names.iter().zip(found).filter(|(_, is)| *is == 1);
        uniform.extend(found.map(|(name, _)| name.clone()));
    }
    Ok(uniform)
}

/// Tells whether the key tells all rows apart on both sides.
fn tells(session: &Session, question: &Question, old: &str, now: &TableName) -> Result<bool, Error> {
    let (before, after): (Vec<String>, Vec<String>) = question.key.iter().cloned().unzip();
    for (names, table) in [(before, old.to_string()), (after, format!("main.{}", now.sql()))] {
        let rows = numbers(session, &format!("SELECT count(*) FROM {table}"))?[0];
        if distinct(session, &names, &table)? != rows
            || (question.is_nullable && has_null(session, &names, &table)?)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn has_null(session: &Session, names: &[String], table: &str) -> Result<bool, Error> {
    let empty: Vec<String> = names.iter().map(|name| format!("{} IS NULL", quote(name))).collect();
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE {})", empty.join(" OR "));
    Ok(numbers(session, &sql)?[0] == 1)
}

/// Finds rows by their key, and where that leaves some open by everything else.
fn by_any_key(
    session: &Session,
    question: &Question,
    old: &str,
    now: &TableName,
) -> Result<RowChanges, Error> {
    let is_count = question.may_be_luck && counts(session, question, old)?;
    let found = RowChanges { is_count, ..by_key(session, question, old, now)? };
    let Some(beside) = question.beside_key(&found) else { return Ok(found) };
    let groups = without_key(session, &beside, old, now)?;
    let told = question.by(&groups.told(&beside));
    if !told.key.is_empty() && tells(session, &told, old, now)? {
        return Ok(found.or_found(question, by_key(session, &told, old, now)?));
    }
    Ok(found.or_grouped(question, &beside, groups))
}

/// Tells whether the key counted the rows before, one number after the other.
fn counts(session: &Session, question: &Question, old: &str) -> Result<bool, Error> {
    let [(name, _)] = question.key.as_slice() else { return Ok(false) };
    let name = quote(name);
    let sql = format!(
        "SELECT coalesce(min(typeof({name})) = 'integer' AND max(typeof({name})) = 'integer' \
         AND max({name}) - min({name}) + 1 = count(*), 0) FROM {old}"
    );
    Ok(numbers(session, &sql)?[0] == 1)
}

fn by_key(session: &Session, question: &Question, old: &str, now: &TableName) -> Result<RowChanges, Error> {
    let new = format!("main.{}", now.sql());
    let on = same_row(&question.key);
    let differs = question.columns.iter().map(|(one, other)| differs(one, other));
    let differs: Vec<String> = differs.collect();
    // Candidates for a rename are no change of the row.
    let own = question.columns.iter().zip(&differs).filter(|((one, other), _)| one == other);
    let own: Vec<String> = own.map(|(_, differs)| differs.clone()).collect();
    let any = joined(&own, "OR", "0");
    let rows = format!("FROM {old} AS a JOIN {new} AS b ON {on}");
    let mut sums: Vec<String> = differs.iter().map(|is| format!("coalesce(sum({is}), 0)")).collect();
    let mut found = Vec::with_capacity(sums.len() + 1);
    if sums.len() < AT_ONCE {
        sums.insert(0, format!("coalesce(sum({any}), 0)"));
    } else {
        found.extend(numbers(session, &format!("SELECT count(*) {rows} WHERE {any}"))?);
    }
    for sums in sums.chunks(AT_ONCE) {
        found.extend(numbers(session, &format!("SELECT {} {rows}", sums.join(", ")))?);
    }
    let count = |from: &str| numbers(session, &format!("SELECT count(*) FROM {from}")).map(|found| found[0]);
    let alone = |one: &str, other: &str, missing: &str| {
        // Columns that are found to tell all rows apart may be NULL, and find one row each.
        if question.is_open {
            return Ok(count(one)?.saturating_sub(count(&format!("{one} JOIN {other} ON {on}"))?));
        }
        // Each row that has no other is counted once, however many others a key should find.
        let part = question.key.first().map(|(one, other)| if missing == "a" { one } else { other });
        let part = part.map(|name| quote(name)).unwrap_or_default();
        count(&format!("{one} LEFT JOIN {other} ON {on} WHERE {missing}.{part} IS NULL"))
    };
    let (a, b) = (format!("{old} AS a"), format!("{new} AS b"));
    let changes = RowChanges {
        inserted: alone(&b, &a, "a")?,
        deleted: alone(&a, &b, "b")?,
        changed: found[0],
        columns: question.columns.iter().cloned().zip(found[1..].iter().copied()).collect(),
        found_by: question.found_by(),
        ..RowChanges::default()
    };
    let uniform = uniform(session, &changes.like_others(), &rows)?.into_iter().collect();
    Ok(RowChanges { uniform, ..changes })
}

/// Returns the condition under which a row before, `a`, and one now, `b`, have the same key, by type and bytes. What comes
/// first in it says less, and is there for an index of the key, whatever its collation. A virtual table finds a row by its
/// number, which is never NULL, and only where it is asked for with `=`.
pub(super) fn same_row(key: &[(String, String)]) -> String {
    let parts = key.iter().map(|(one, other)| {
        let is_rowid = one == ROWID && other == ROWID;
        let (one, other) = (format!("a.{}", quote(one)), format!("b.{}", quote(other)));
        match is_rowid {
            true => format!("{one} = {other}"),
            false => format!(
                "{other} IS {one} AND +{other} COLLATE BINARY IS +{one} AND typeof({other}) = typeof({one})"
            ),
        }
    });
    parts.collect::<Vec<_>>().join(" AND ")
}

/// Returns the condition under which a column of the row before, `a`, is not what one of the row now, `b`, is.
pub(in super::super) fn differs(one: &str, other: &str) -> String {
    let (one, other) = (format!("a.{}", quote(one)), format!("b.{}", quote(other)));
    format!("(+{one} COLLATE BINARY IS NOT +{other} OR typeof({one}) <> typeof({other}))")
}

fn without_key(
    session: &Session,
    question: &Question,
    old: &str,
    now: &TableName,
) -> Result<RowChanges, Error> {
    let mut rows = WholeRows::new(question);
    while let Some(ask) = rows.next() {
        rows.take(match &ask {
            Ask::More(columns) => whole(session, columns, old, now)?,
            Ask::Distinct(some, all) => {
                let of = |pairs: &[(String, String)]| {
                    let names: Vec<String> = pairs.iter().map(|(name, _)| name.clone()).collect();
                    distinct(session, &names, old)
                };
                (of(some)?, of(all)?)
            }
            Ask::Grown(columns) => (grown(session, columns, old, now)?, 0),
            Ask::Shared(columns, place) => (shared(session, (columns, *place), old, now)?, 0),
        });
    }
    Ok(rows.into_changes())
}

/// Returns how many rows a table has that are not alike in these columns.
fn distinct(session: &Session, names: &[String], table: &str) -> Result<u64, Error> {
    let list: Vec<String> = terms(names).iter().map(|term| typed(term)).collect();
    let sql = format!("SELECT count(*) FROM (SELECT DISTINCT {} FROM {table})", list.join(", "));
    Ok(numbers(session, &sql)?[0])
}

fn typed(term: &str) -> String {
    format!("{term} COLLATE BINARY, typeof({term})")
}

/// Returns how many rows there were more before and how many there are more now, by these columns together.
fn whole(
    session: &Session,
    columns: &[(String, String)],
    old: &str,
    now: &TableName,
) -> Result<(u64, u64), Error> {
    let sql = format!(
        "SELECT coalesce(sum(CASE WHEN n < 0 THEN -n END), 0), coalesce(sum(CASE WHEN n > 0 THEN n END), 0) FROM ({})",
        counted(columns, "sum(n) AS n", old, now)
    );
    let found = numbers(session, &sql)?;
    Ok((found[0], found[1]))
}

/// Returns how many values of the column at this place are in rows that there were more before, and in some that there are more
/// now as well.
fn shared(
    session: &Session,
    (columns, place): (&[(String, String)], usize),
    old: &str,
    now: &TableName,
) -> Result<u64, Error> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM ({}) WHERE n <> 0 GROUP BY {} HAVING min(n) < 0 AND max(n) > 0)",
        counted(columns, &format!("c{place} AS v, sum(n) AS n"), old, now),
        typed("v")
    );
    Ok(numbers(session, &sql)?[0])
}

/// Returns how many groups of rows that were alike in these columns before have more rows now.
fn grown(session: &Session, columns: &[(String, String)], old: &str, now: &TableName) -> Result<u64, Error> {
    let groups = counted(columns, "sum(n) AS n, min(n) AS one", old, now);
    Ok(numbers(session, &format!("SELECT count(*) FROM ({groups}) WHERE n > 0 AND one < 0"))?[0])
}

/// Returns the query of the groups of rows that are alike in these columns, in which `n` is 1 for one of now and -1 for one of
/// before.
fn counted(columns: &[(String, String)], list_of: &str, old: &str, now: &TableName) -> String {
    let list = |side: fn(&(String, String)) -> &String| -> Vec<String> {
        let names: Vec<String> = columns.iter().map(|pair| side(pair).clone()).collect();
        let terms = terms(&names).into_iter().enumerate();
        terms.map(|(index, term)| format!("{term} AS c{index}, ")).collect()
    };
    let (before, after) = (list(|pair| &pair.0), list(|pair| &pair.1));
    let by = (0..before.len()).map(|index| typed(&format!("c{index}")));
    let by: Vec<String> = std::iter::once("side".to_string()).chain(by).collect();
    format!(
        "SELECT {list_of} FROM (SELECT {}0 AS side, -1 AS n FROM {old} UNION ALL SELECT {}0, 1 FROM main.{}) GROUP BY {}",
        before.concat(),
        after.concat(),
        now.sql(),
        by.join(", ")
    )
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
