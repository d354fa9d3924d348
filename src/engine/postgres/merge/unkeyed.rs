//! Rows that no key tells apart: they are found again by everything that is the same on both sides, in groups of rows that
//! are alike. What cannot be told apart is merged only where nothing has to be told apart.

use super::super::names::{identifier, literal};
use super::super::session::Session;
use super::side::Side;
use super::target::{Target, object};
use super::{DOING, fit};
use crate::engine::{AMBIGUOUS, Error, Merged, NOT_AS_MANY};

/// Why rows without a key are not inserted where such rows are.
const THERE_ARE_SUCH: &str = "without a key: such rows are there, and nobody can tell whether they are these";

/// Takes out the rows that nothing can be found by: the type of a column by which they are found does not take the value.
pub(super) async fn take_out_unfindable(
    session: &mut Session,
    target: &Target<'_>,
    side: &mut Side,
    merged: &mut [Merged],
) -> Result<(), Error> {
    match target.is_found_by_misfit() {
        Some(which) => take_out(session, target, side, merged, &which, fit::NOT_TAKEN).await,
        None => Ok(()),
    }
}

/// Takes out the rows whose key is of several live rows, which only a table can have whose key was dropped since.
pub(super) async fn take_out_ambiguous(
    session: &mut Session,
    target: &Target<'_>,
    side: &mut Side,
    merged: &mut [Merged],
) -> Result<(), Error> {
    if target.unique {
        return Ok(());
    }
    let several = format!("SELECT s.ctid FROM {} GROUP BY s.ctid HAVING count(*) > 1", target.joined());
    take_out(session, target, side, merged, &format!("s.ctid IN ({several})"), AMBIGUOUS).await
}

/// Takes out loaded rows of which all values are conflicts.
async fn take_out(
    session: &mut Session,
    target: &Target<'_>,
    side: &mut Side,
    merged: &mut [Merged],
    which: &str,
    reason: &str,
) -> Result<(), Error> {
    let from = format!("pg_temp.{} AS s WHERE {which}", target.loaded);
    let count: u64 = number(session, &format!("SELECT count(*) FROM {from}")).await?;
    if count == 0 {
        return Ok(());
    }
    side.open(session).await?;
    each_column(session, target, side, &from, reason).await?;
    merged.iter_mut().for_each(|merged| merged.conflicts += count);
    session.run(DOING, &format!("DELETE FROM {from}")).await
}

/// Leaves one loaded row for each group that has as many live rows as salvaged ones, and one value. The others are counted
/// and written down here.
pub(super) async fn values(
    session: &mut Session,
    target: &mut Target<'_>,
    side: &mut Side,
    merged: &mut [Merged],
) -> Result<(), Error> {
    take_out_unfindable(session, target, side, merged).await?;
    let loaded = target.loaded.clone();
    let (groups, due) = (format!("{loaded}_groups"), format!("{loaded}_due"));
    let by: Vec<String> = target.found_by.iter().map(|(_, place)| format!("s.v{place}")).collect();
    let ident = row_text(&by);
    let found: Vec<usize> = target.found_by.iter().map(|(_, place)| *place).collect();
    let rest = (0..target.piece.columns.len()).filter(|place| !found.contains(place));
    let rest = row_text(&rest.map(|place| target.ours(place)).collect::<Vec<_>>());
    let live: Vec<String> =
        target.found_by.iter().map(|(name, _)| format!("t.{}", identifier(name))).collect();
    let live = row_text(&live);
    let make = format!(
        "CREATE TEMPORARY TABLE {groups} ON COMMIT DROP AS SELECT g.ident, g.n, g.uniform, coalesce(l.n, 0) AS live \
         FROM (SELECT {ident} AS ident, count(*) AS n, count(DISTINCT {rest}) = 1 AS uniform \
         FROM pg_temp.{loaded} AS s GROUP BY 1) AS g \
         LEFT JOIN (SELECT {live} AS ident, count(*) AS n FROM ONLY {} AS t GROUP BY 1) AS l ON l.ident = g.ident",
        target.table.sql()
    );
    session.run(DOING, &make).await?;
    let make = format!(
        "CREATE TEMPORARY TABLE {due} ON COMMIT DROP AS SELECT DISTINCT ON (g.ident) s.*, g.ident \
         FROM pg_temp.{loaded} AS s JOIN pg_temp.{groups} AS g ON g.ident = {ident} WHERE g.uniform AND g.n = g.live"
    );
    session.run(DOING, &make).await?;
    let deleted: u64 =
        number(session, &format!("SELECT coalesce(sum(n), 0) FROM pg_temp.{groups} WHERE live = 0")).await?;
    let other = "live > 0 AND NOT (uniform AND n = live)";
    let others: u64 =
        number(session, &format!("SELECT coalesce(sum(n), 0) FROM pg_temp.{groups} WHERE {other}")).await?;
    if others > 0 {
        side.open(session).await?;
        let from =
            format!("pg_temp.{loaded} AS s JOIN pg_temp.{groups} AS g ON g.ident = {ident} WHERE {other}");
        each_column(session, target, side, &from, NOT_AS_MANY).await?;
    }
    for merged in merged {
        merged.deleted += deleted;
        merged.conflicts += others;
    }
    target.loaded = due;
    target.matches = format!("s.ident = {live}");
    Ok(())
}

/// Takes out the rows like which there are some, and makes the table of those that were inserted.
pub(super) async fn rows(
    session: &mut Session,
    target: &mut Target<'_>,
    side: &mut Side,
    merged: &mut [Merged],
) -> Result<(), Error> {
    let loaded = target.loaded.clone();
    let by: Vec<String> = target.columns.iter().map(|column| format!("s.v{}", column.place)).collect();
    let live: Vec<String> =
        target.columns.iter().map(|column| format!("t.{}", identifier(&column.name))).collect();
    let told_by: Vec<(String, usize)> = target
        .piece
        .told_by()
        .iter()
        .filter_map(|name| Some((identifier(name), target.piece.place_of(name)?)))
        .collect();
    let ours: Vec<String> = told_by.iter().map(|(_, place)| format!("s.v{place}")).collect();
    let live_by: Vec<String> = told_by.iter().map(|(name, _)| format!("t.{name}")).collect();
    // What the type of a column does not take is in no live row.
    let taken = target.has_misfit().map(|misfit| format!("NOT {misfit} AND ")).unwrap_or_default();
    let clash = format!(
        "{taken}{} IN (SELECT {} FROM ONLY {} AS t)",
        row_text(&ours),
        row_text(&live_by),
        target.table.sql()
    );
    let count: u64 =
        number(session, &format!("SELECT count(*) FROM pg_temp.{loaded} AS s WHERE {clash}")).await?;
    if count > 0 {
        side.open(session).await?;
        let parts = target.columns.iter();
        let parts: Vec<String> = parts
            .map(|column| format!("{} AS {}", target.ours(column.place), identifier(&column.name)))
            .collect();
        let row = object(&parts.join(", "));
        // Which of those that are alike only in part is meant, nobody can tell.
        let theirs = if told_by.len() == parts.len() { row.as_str() } else { "NULL" };
        let keep = format!(
            "INSERT INTO {} SELECT {}, {row}, NULL, NULL, {row}, {theirs}, {} FROM pg_temp.{loaded} AS s WHERE {clash}",
            side.table(),
            literal(&target.table.to_string()),
            literal(THERE_ARE_SUCH)
        );
        session.run("writing down a conflict", &keep).await?;
        session.run(DOING, &format!("DELETE FROM pg_temp.{loaded} AS s WHERE {clash}")).await?;
    }
    merged[0].conflicts += count;
    session.run(DOING, &format!("CREATE TEMPORARY TABLE {loaded}_done (place tid) ON COMMIT DROP")).await?;
    target.done = Some(format!("{loaded}_done"));
    target.matches = format!("{} = {}", row_text(&by), row_text(&live));
    Ok(())
}

/// Returns the text of these values as one row, which is the same only for the same values.
fn row_text(values: &[String]) -> String {
    format!("ROW({})::text COLLATE \"C\"", values.join(", "))
}

/// Writes down every salvaged value of these rows as a conflict.
async fn each_column(
    session: &mut Session,
    target: &Target<'_>,
    side: &Side,
    from: &str,
    reason: &str,
) -> Result<(), Error> {
    for column in &target.columns {
        let sql = format!(
            "INSERT INTO {} SELECT {}, {}, {}, {}, {}::text, NULL, {} FROM {from}",
            side.table(),
            literal(&target.table.to_string()),
            target.key(),
            literal(&column.name),
            column.base,
            target.ours(column.place),
            literal(reason)
        );
        session.run("writing down a conflict", &sql).await?;
    }
    Ok(())
}

async fn number(session: &mut Session, sql: &str) -> Result<u64, Error> {
    Ok(session.value(DOING, sql).await?.and_then(|text| text.parse().ok()).unwrap_or_default())
}
