//! Rows that no key tells apart: they are found again by everything that is the same on both sides, in groups of rows that
//! are alike. What cannot be told apart is merged only where nothing has to be told apart ([`alike`]).

use super::super::PostgresDatabase;
use super::super::names::{identifier, literal};
use super::super::session::Session;
use super::rekey::{self, Rekeyed};
use super::side::Side;
use super::strangers::{Strangers, hangs_on_renumbered};
use super::target::{Target, object};
use super::{DOING, alike, fit, strangers};
use crate::engine::{
    AMBIGUOUS, Error, Merged, NOT_AS_MANY, NOTHING_TELLS, ONE_WAS, ONE_WAS_WRITTEN, Piece, SEVERAL_VALUES,
    STRANGER,
};

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
    each_column(session, target, side, &from, &literal(reason), false).await?;
    merged.iter_mut().for_each(|merged| merged.conflicts += count);
    session.run(DOING, &format!("DELETE FROM {from}")).await
}

/// The groups of loaded rows that are alike.
pub(super) struct Groups {
    /// The rows that were loaded.
    pub loaded: String,
    /// The temporary table: `ident`, `n` rows of `live` ones, whether they are `uniform` altogether or got `one_value`, and
    /// whether they are `paired`.
    pub table: String,
    /// What a loaded row is found by, and a live one, as a text.
    pub ident: String,
    pub live: String,
}

/// Leaves one loaded row for each group that has as many live rows as salvaged ones, and one value. What is told apart in
/// another way is merged here, and counted in what is returned; the others are counted and written down here. Keys to which
/// other rows refer are put back before anything else.
pub(super) async fn values(
    session: &mut Session,
    target: &mut Target<'_>,
    (strangers, known): (&[Strangers], (&PostgresDatabase, &[Piece])),
    side: &mut Side,
    merged: &mut [Merged],
) -> Result<(Vec<Merged>, Rekeyed), Error> {
    take_out_unfindable(session, target, side, merged).await?;
    // What cannot be told apart goes together.
    if hangs_on_renumbered(session, target, strangers).await? {
        take_out(session, target, side, merged, "true", STRANGER).await?;
    }
    let is_lost = target.piece.is_lost_for_rows();
    if is_lost && !target.piece.is_base_known() {
        take_out(session, target, side, merged, "true", NOTHING_TELLS).await?;
    }
    let loaded = target.loaded.clone();
    let groups = group(session, target).await?;
    let keys = rekey::put(session, target, &groups, known).await?;
    let own = target.table.clone();
    rekey::follow(session, target, &[(&own, &keys.2)]).await?;
    // What refers to the same table must not hang on whoever keeps a key that is not put back.
    let strangers = strangers::of_keys(session, target, &groups).await?;
    target.keep_away(&strangers);
    let paired = alike::put(session, target, &groups, side).await?;
    let Groups { table: made, ident, live, .. } = &groups;
    let due = format!("{loaded}_due");
    let make = format!(
        "CREATE TEMPORARY TABLE {due} ON COMMIT DROP AS SELECT DISTINCT ON (g.ident) s.*, g.ident \
         FROM pg_temp.{loaded} AS s JOIN pg_temp.{made} AS g ON g.ident = {ident} WHERE g.uniform AND g.n = g.live"
    );
    session.run(DOING, &make).await?;
    let deleted: u64 =
        number(session, &format!("SELECT coalesce(sum(n), 0) FROM pg_temp.{made} WHERE live = 0")).await?;
    merged.iter_mut().for_each(|merged| merged.deleted += deleted);
    let other = "live > 0 AND NOT paired AND NOT (uniform AND n = live)";
    let others: u64 =
        number(session, &format!("SELECT coalesce(sum(n), 0) FROM pg_temp.{made} WHERE {other}")).await?;
    if others > 0 {
        side.open(session).await?;
        let found = theirs(session, target, (made, live), other).await?;
        let from = format!(
            "pg_temp.{loaded} AS s JOIN pg_temp.{made} AS g ON g.ident = {ident} JOIN pg_temp.{found} AS l \
             ON l.ident = g.ident WHERE {other}"
        );
        let reason = match is_lost {
            true => literal(NOTHING_TELLS),
            false => format!(
                "CASE WHEN g.n <> g.live THEN {} WHEN g.one_value THEN {} ELSE {} END",
                literal(NOT_AS_MANY),
                literal(ONE_WAS_WRITTEN),
                literal(SEVERAL_VALUES)
            ),
        };
        each_column(session, target, side, &from, &reason, true).await?;
        merged.iter_mut().for_each(|merged| merged.conflicts += others);
    }
    target.loaded = due;
    target.matches = format!("s.ident = {live}");
    let (put, followed, moves) = keys;
    Ok((paired, Rekeyed { put, followed, moves, groups }))
}

async fn group(session: &mut Session, target: &Target<'_>) -> Result<Groups, Error> {
    let (loaded, table) = (&target.loaded, format!("{}_groups", target.loaded));
    let by: Vec<String> = target.found_by.iter().map(|(_, place)| format!("s.v{place}")).collect();
    let ident = row_text(&by);
    let found: Vec<usize> = target.found_by.iter().map(|(_, place)| *place).collect();
    let texts = |places: &mut dyn Iterator<Item = usize>| {
        row_text(&places.map(|place| target.ours(place)).collect::<Vec<_>>())
    };
    let rest = texts(&mut (0..target.piece.columns.len()).filter(|place| !found.contains(place)));
    let ours = texts(&mut target.columns.iter().map(|column| column.place));
    let live: Vec<String> =
        target.found_by.iter().map(|(name, _)| format!("t.{}", identifier(name))).collect();
    let live = row_text(&live);
    let make = format!(
        "CREATE TEMPORARY TABLE {table} ON COMMIT DROP AS SELECT g.*, coalesce(l.n, 0) AS live, false AS paired \
         FROM (SELECT {ident} AS ident, count(*) AS n, count(DISTINCT {rest}) = 1 AS uniform, \
         count(DISTINCT {ours}) = 1 AS one_value FROM pg_temp.{loaded} AS s GROUP BY 1) AS g \
         LEFT JOIN (SELECT {live} AS ident, count(*) AS n FROM ONLY {} AS t GROUP BY 1) AS l ON l.ident = g.ident",
        target.table.sql()
    );
    session.run(DOING, &make).await?;
    Ok(Groups { loaded: loaded.clone(), table, ident, live })
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
    let is_there = match target.piece.salvage.in_any {
        _ if target.piece.alone => "false".to_string(),
        true => in_any(session, target).await?,
        false => {
            let (ours, live) = (row_text(&ours), row_text(&live_by));
            format!("{ours} IN (SELECT {live} FROM ONLY {} AS t)", target.table.sql())
        }
    };
    // What the type of a column does not take is in no live row.
    let taken = target.has_misfit().map(|misfit| format!("NOT {misfit} AND ")).unwrap_or_default();
    let is_there = format!("({taken}({is_there}))");
    // One that may have been changed, and deleted since, stays deleted.
    let doubt = target.piece.doubt().map(|place| format!(" OR s.v{place} = '1'")).unwrap_or_default();
    let clash = format!("{is_there}{doubt}");
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
        let (why, is_same) = target.piece.why_not_beside(parts.len());
        let theirs =
            if is_same { format!("CASE WHEN {is_there} THEN {row} END") } else { "NULL".to_string() };
        let why = format!("CASE WHEN {is_there} THEN {} ELSE {} END", literal(why), literal(ONE_WAS));
        let keep = format!(
            "INSERT INTO {} SELECT {}, {row}, NULL, NULL, {row}, {theirs}, {why} FROM pg_temp.{loaded} AS s WHERE {clash}",
            side.table(),
            literal(&target.table.to_string()),
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

/// Returns the condition that a loaded row holds in any of the columns by which it is told what some live row holds there, in the
/// table or in any other one of its tree.
async fn in_any(session: &mut Session, target: &Target<'_>) -> Result<String, Error> {
    let sql = format!(
        "WITH RECURSIVE up(oid) AS (SELECT {}::regclass::oid UNION SELECT h.inhparent FROM up JOIN pg_inherits h \
         ON h.inhrelid = up.oid) SELECT up.oid::regclass::text, a.attname FROM up JOIN pg_attribute a ON a.attrelid = up.oid \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = up.oid)",
        literal(&target.table.sql())
    );
    let found = session.rows(DOING, &sql).await?;
    let told = |name: &str| target.piece.told_by().iter().any(|other| other == name);
    let parts = found.iter().filter(|row| told(row.text(1))).filter_map(|row| {
        let (root, name) = (row.text(0), row.text(1));
        let (one, other) =
            (format!("s.v{}", target.piece.place_of(name)?), format!("t.{}", identifier(name)));
        Some(format!("{} IN (SELECT {} FROM {root} AS t)", row_text(&[one]), row_text(&[other])))
    });
    let parts: Vec<String> = parts.collect();
    Ok(if parts.is_empty() { "false".to_string() } else { parts.join(" OR ") })
}

/// Returns the text of these values as one row, which is the same only for the same values.
pub(super) fn row_text(values: &[String]) -> String {
    format!("ROW({})::text COLLATE \"C\"", values.join(", "))
}

/// Makes a table of what is there in these groups, `t0`, `t1` … for the columns: what all rows of a group hold. Where they differ
/// it is NULL, because nobody can tell which of them is meant.
async fn theirs(
    session: &mut Session,
    target: &Target<'_>,
    (groups, live): (&str, &str),
    which: &str,
) -> Result<String, Error> {
    let table = format!("{}_theirs", target.loaded);
    let one = |(place, name): (usize, &String)| {
        let text = format!("t.{}::text COLLATE \"C\"", identifier(name));
        let same = format!("count({text}) IN (0, count(*)) AND min({text}) IS NOT DISTINCT FROM max({text})");
        format!(", CASE WHEN {same} THEN min({text}) END AS t{place}")
    };
    let columns: String = target.columns.iter().map(|column| &column.name).enumerate().map(one).collect();
    let make = format!(
        "CREATE TEMPORARY TABLE {table} ON COMMIT DROP AS SELECT g.ident{columns} FROM ONLY {} AS t \
         JOIN (SELECT ident FROM pg_temp.{groups} WHERE {which}) AS g ON g.ident = {live} GROUP BY g.ident",
        target.table.sql()
    );
    session.run(DOING, &make).await?;
    Ok(table)
}

/// Writes down every salvaged value of these rows as a conflict; the reason is an expression. What is there stands in `l`, if it
/// is known.
async fn each_column(
    session: &mut Session,
    target: &Target<'_>,
    side: &Side,
    from: &str,
    reason: &str,
    knows_theirs: bool,
) -> Result<(), Error> {
    for (place, column) in target.columns.iter().enumerate() {
        let theirs = if knows_theirs { format!("l.t{place}") } else { "NULL".to_string() };
        let sql = format!(
            "INSERT INTO {} SELECT {}, {}, {}, {}, {}::text, {theirs}, {} FROM {from}",
            side.table(),
            literal(&target.table.to_string()),
            target.key(),
            literal(&column.name),
            column.base,
            target.ours(column.place),
            reason
        );
        session.run("writing down a conflict", &sql).await?;
    }
    Ok(())
}

async fn number(session: &mut Session, sql: &str) -> Result<u64, Error> {
    Ok(session.value(DOING, sql).await?.and_then(|text| text.parse().ok()).unwrap_or_default())
}
