//! Whole rows.

use super::super::names::{identifier, is_null, literal};
use super::super::session::Session;
use super::claims::Claims;
use super::live::ForeignKey;
use super::side::Side;
use super::target::{Target, object};
use super::{DOING, fit, parts};
use crate::engine::{BOTH_CHANGED, Error, Merged};

/// Inserts every row that is not there and whose parents are; returns how many are left.
pub(super) async fn run(
    session: &mut Session,
    target: &Target<'_>,
    merged: &mut [Merged],
) -> Result<u64, Error> {
    let (found, _) = parts::attempt(session, target, 1, Claims::Rows, |rows| insert(target, rows)).await?;
    merged[0].merged += found[0];
    left(session, target).await
}

/// Returns how many rows are not there.
pub(super) async fn left(session: &mut Session, target: &Target<'_>) -> Result<u64, Error> {
    number(session, &format!("SELECT count(*) FROM pg_temp.{} AS s WHERE {}", target.loaded, absent(target)))
        .await
}

/// The condition that a loaded row is not there. Without a key only those count as there that were inserted.
pub(super) fn absent(target: &Target<'_>) -> String {
    match &target.done {
        Some(done) => format!("NOT EXISTS (SELECT FROM pg_temp.{done} AS d WHERE d.place = s.ctid)"),
        None => format!("NOT {}", is_in(target, if target.inherited { "" } else { "ONLY " })),
    }
}

/// The condition that a row with the key of a loaded one is in the table, or without `ONLY` in one that inherits from it.
fn is_in(target: &Target<'_>, only: &str) -> String {
    format!("EXISTS (SELECT FROM {only}{} AS t WHERE {})", target.table.sql(), target.matches)
}

/// Counts the loaded rows that lie in a table which inherits from theirs: they were moved there, and are read with it.
async fn inherited(session: &mut Session, target: &Target<'_>) -> Result<u64, Error> {
    if !target.inherited || target.done.is_some() {
        return Ok(0);
    }
    let (loaded, there) = (&target.loaded, is_in(target, ""));
    let own = is_in(target, "ONLY ");
    number(session, &format!("SELECT count(*) FROM pg_temp.{loaded} AS s WHERE {there} AND NOT {own}")).await
}

fn insert(target: &Target<'_>, rows: &str) -> String {
    let names: Vec<String> = target.columns.iter().map(|column| identifier(&column.name)).collect();
    let values: Vec<String> = target.columns.iter().map(|column| format!("s.v{}", column.place)).collect();
    let fits: Vec<String> =
        target.keys.iter().filter_map(|key| Some(format!(" AND {}", has_parent(target, key)?))).collect();
    let taken = target.has_misfit().map(|misfit| format!(" AND NOT {misfit}")).unwrap_or_default();
    let (loaded, absent, fits) = (&target.loaded, absent(target), fits.concat());
    let from = format!("pg_temp.{loaded} AS s WHERE {absent}{fits}{taken} AND {rows}");
    let into = format!("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE", target.table.sql(), names.join(", "));
    let values = values.join(", ");
    match &target.done {
        Some(done) => format!(
            "WITH s AS MATERIALIZED (SELECT s.ctid AS place, s.* FROM {from}), \
             d AS (INSERT INTO pg_temp.{done} SELECT place FROM s), \
             i AS ({into} SELECT {values} FROM s RETURNING 1) SELECT count(*) FROM i"
        ),
        None => format!("WITH i AS ({into} SELECT {values} FROM {from} RETURNING 1) SELECT count(*) FROM i"),
    }
}

/// The condition that the row which a loaded one refers to is there, or comes along; none when the key has columns that
/// are not salvaged.
fn has_parent(target: &Target<'_>, key: &ForeignKey) -> Option<String> {
    let places = target.places(&key.columns)?;
    let mut ways: Vec<String> = places.iter().map(|place| is_null(&format!("s.v{place}"))).collect();
    let on = places.iter().zip(&key.referred);
    let on: Vec<String> = on.map(|(place, name)| format!("p.{} = s.v{place}", identifier(name))).collect();
    ways.push(format!("EXISTS (SELECT FROM {} AS p WHERE {})", key.parent.sql(), on.join(" AND ")));
    if key.refers_to(&target.table) {
        let on = places
            .iter()
            .zip(target.places(&key.referred)?)
            .map(|(place, own)| format!("o.v{own} = s.v{place}"));
        let on: Vec<String> = on.collect();
        ways.push(format!("EXISTS (SELECT FROM pg_temp.{} AS o WHERE {})", target.loaded, on.join(" AND ")));
    }
    Some(format!("({})", ways.join(" OR ")))
}

/// Reads everything once more: what was inserted must be there as it was, and what is not is a conflict, which is written
/// down.
pub(super) async fn finish(
    session: &mut Session,
    target: &Target<'_>,
    merged: &mut [Merged],
    side: &mut Side,
) -> Result<(), Error> {
    let merged = &mut merged[0];
    let same: Vec<&str> = target.columns.iter().map(|column| column.same.as_str()).collect();
    let same = same.join(" AND ");
    let left = left(session, target).await?;
    let found = match &target.done {
        Some(done) => {
            let there = format!(
                "SELECT count(*) FROM pg_temp.{} AS s JOIN pg_temp.{done} AS d ON d.place = s.ctid \
                 WHERE EXISTS (SELECT FROM ONLY {} AS t WHERE {})",
                target.loaded,
                target.table.sql(),
                target.matches
            );
            number(session, &there).await?
        }
        None => number(session, &format!("SELECT count(*) FROM {} WHERE {same}", target.joined())).await?,
    };
    let total = number(session, &format!("SELECT count(*) FROM pg_temp.{}", target.loaded)).await?;
    let inherited = inherited(session, target).await?;
    if found < merged.merged || total < found + left + inherited {
        let what = target.table.to_string();
        return Err(Error::NotMerged { what, expected: merged.merged, found });
    }
    merged.already += found + inherited - merged.merged;
    let conflicts = total - found - inherited;
    if conflicts > 0 {
        merged.conflicts += conflicts;
        side.open(session).await?;
        write_down(session, target, &same, side).await?;
    }
    Ok(())
}

async fn number(session: &mut Session, sql: &str) -> Result<u64, Error> {
    Ok(session.value(DOING, sql).await?.and_then(|text| text.parse().ok()).unwrap_or_default())
}

async fn write_down(
    session: &mut Session,
    target: &Target<'_>,
    same: &str,
    side: &Side,
) -> Result<(), Error> {
    let list = |of: &dyn Fn(usize, &str) -> String| {
        let parts: Vec<String> = target
            .columns
            .iter()
            .map(|column| format!("{} AS {}", of(column.place, &column.name), identifier(&column.name)))
            .collect();
        object(&parts.join(", "))
    };
    let ours = list(&|place, _| target.ours(place));
    let theirs = list(&|_, name| format!("t.{}", identifier(name)));
    let (table, key) = (literal(&target.table.to_string()), target.key());
    if target.done.is_none() {
        let differ = format!(
            "INSERT INTO {} SELECT {table}, {key}, NULL, NULL, {ours}, {theirs}, {} FROM {} WHERE NOT ({same})",
            side.table(),
            literal(BOTH_CHANGED),
            target.joined()
        );
        session.run("writing down a conflict", &differ).await?;
    }
    let missing = target.keys.iter().filter_map(|key| {
        let parent = has_parent(target, key)?;
        let why = format!("foreign key {}: the row it refers to is not there", key.name);
        Some(format!("WHEN NOT {parent} THEN {} ", literal(&why)))
    });
    let taken = target.has_misfit();
    let taken = taken.map(|misfit| format!("WHEN {misfit} THEN {} ", literal(fit::NOT_TAKEN)));
    let missing: String = taken.into_iter().chain(missing).collect();
    let reason = match missing.is_empty() {
        true => "coalesce(r.reason, 'a constraint forbids it')".to_string(),
        false => format!("CASE {missing}ELSE coalesce(r.reason, 'a constraint forbids it') END"),
    };
    let gone = format!(
        "INSERT INTO {} SELECT {table}, {key}, NULL, NULL, {ours}, NULL, {reason} FROM pg_temp.{} AS s \
         LEFT JOIN pg_temp.{} AS r ON r.place = s.ctid WHERE {}",
        side.table(),
        target.loaded,
        target.refused,
        absent(target)
    );
    session.run("writing down a conflict", &gone).await
}
