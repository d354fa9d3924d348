//! Rows without a key that are alike, and of which each got a value of its own.
//!
//! Which of them had which value nobody can tell, and nobody has to: where all together hold what the way back left in them,
//! each gets any of the salvaged rows, and all together are what they were. That is no guess as long as nothing else tells
//! them apart. Where one of them was written to since, or a constraint refuses one, none is touched.

use super::super::names::{identifier, literal};
use super::super::session::Session;
use super::side::Side;
use super::target::Target;
use super::unkeyed::{Groups, row_text};
use super::values::Placed;
use super::{DOING, values};
use crate::engine::{Base, Error, Merged};

/// Pairs the rows of groups with live ones where all of them together hold what was salvaged, or what the way back left,
/// and puts what was salvaged there. The counts are those of these rows alone; the groups are marked.
pub(super) async fn put(
    session: &mut Session,
    target: &mut Target<'_>,
    groups: &Groups,
    side: &mut Side,
) -> Result<Vec<Merged>, Error> {
    let (loaded, matches) = (target.loaded.clone(), target.matches.clone());
    let paired = format!("{loaded}_paired");
    let make = format!(
        "CREATE TEMPORARY TABLE {paired} ON COMMIT DROP AS SELECT s.*, ''::text COLLATE \"C\" AS ident, NULL::tid AS live \
         FROM pg_temp.{loaded} AS s WITH NO DATA"
    );
    session.run(DOING, &make).await?;
    // What is there already first: merging twice is merging once.
    let mut ways = vec![ours(target)];
    ways.extend(base(target));
    for way in ways {
        session.run(DOING, &pair(target, groups, &paired, &way)).await?;
    }
    target.loaded = paired;
    target.matches = "t.ctid = s.live".to_string();
    let mut merged: Vec<Merged> =
        target.columns.iter().map(|column| Merged::new(&target.piece.salvage, Some(&column.name))).collect();
    session.run(DOING, &leave_half(target, groups)).await?;
    let placed = put_whole(session, target, groups).await?;
    values::settle_by_place(session, target, placed, &mut merged, side).await?;
    (target.loaded, target.matches) = (loaded, matches);
    Ok(merged)
}

/// Puts everything, or nothing into a group of which a constraint refuses a row: each of the others got any of the values,
/// so that what the group holds is right only as a whole.
async fn put_whole(session: &mut Session, target: &Target<'_>, groups: &Groups) -> Result<Placed, Error> {
    loop {
        session.run(DOING, "SAVEPOINT ripcord_alike").await?;
        let placed = values::put_by_place(session, target).await?;
        let broken = if placed.refused { broken(session, target, groups).await? } else { Vec::new() };
        if broken.is_empty() {
            session.run(DOING, "RELEASE ripcord_alike").await?;
            return Ok(placed);
        }
        session.run(DOING, "ROLLBACK TO ripcord_alike; RELEASE ripcord_alike").await?;
        let which = format!("SELECT unnest(ARRAY[{}]) COLLATE \"C\" AS ident", broken.join(", "));
        session.run(DOING, &leave(target, groups, &which)).await?;
    }
}

/// Returns the groups of several values of which a row was refused, as literals.
async fn broken(session: &mut Session, target: &Target<'_>, groups: &Groups) -> Result<Vec<String>, Error> {
    let sql = format!(
        "SELECT DISTINCT s.ident FROM pg_temp.{} AS r JOIN pg_temp.{} AS s ON s.ctid = r.place \
         JOIN pg_temp.{} AS g ON g.ident = s.ident WHERE NOT g.one_value",
        target.refused, target.loaded, groups.table
    );
    let rows = session.rows(DOING, &sql).await?;
    Ok(rows.iter().map(|row| literal(row.text(0))).collect())
}

/// The salvaged values of a row, as one text.
fn ours(target: &Target<'_>) -> String {
    let ours = target.columns.iter().map(|column| format!("({})::text", target.ours(column.place)));
    row_text(&ours.collect::<Vec<_>>())
}

/// What the way back left in a row, as one text, where all of that is known.
fn base(target: &Target<'_>) -> Option<String> {
    let known = target.columns.iter().all(|column| target.piece.base(&column.name) != Base::Unknown);
    let base: Vec<String> = target.columns.iter().map(|column| column.base.clone()).collect();
    known.then(|| row_text(&base))
}

/// Pairs the rows of each group by the order of their texts, and keeps those groups in which all texts are the same.
fn pair(target: &Target<'_>, groups: &Groups, paired: &str, text: &str) -> String {
    let theirs = target.columns.iter().map(|column| format!("t.{}::text", identifier(&column.name)));
    let theirs = row_text(&theirs.collect::<Vec<_>>());
    let Groups { table: made, ident, live, .. } = groups;
    let loaded = &target.loaded;
    let open = "NOT g.uniform AND NOT g.paired AND g.n = g.live";
    // A column that nobody salvaged may tell the rows apart, unless they all get the same.
    let open = if target.is_whole { open.to_string() } else { format!("{open} AND g.one_value") };
    let at = |text: &str| format!("row_number() OVER (PARTITION BY g.ident ORDER BY {text}) AS at");
    format!(
        "WITH o AS (SELECT s.ctid AS place, g.ident, {text} AS text, {} FROM pg_temp.{loaded} AS s \
         JOIN pg_temp.{made} AS g ON g.ident = {ident} WHERE {open}), \
         l AS (SELECT t.ctid AS live, g.ident, {theirs} AS text, {} FROM ONLY {} AS t \
         JOIN pg_temp.{made} AS g ON g.ident = {live} WHERE {open}), \
         p AS (SELECT o.place, l.live, o.ident, bool_and(o.text = l.text) OVER (PARTITION BY o.ident) AS same \
         FROM o JOIN l ON l.ident = o.ident AND l.at = o.at), \
         m AS (UPDATE pg_temp.{made} AS g SET paired = true FROM (SELECT DISTINCT ident FROM p WHERE same) AS q \
         WHERE q.ident = g.ident) \
         INSERT INTO pg_temp.{paired} SELECT s.*, p.ident, p.live FROM p JOIN pg_temp.{loaded} AS s ON s.ctid = p.place \
         WHERE p.same",
        at(text),
        at(&theirs),
        target.table.sql()
    )
}

/// Leaves the groups alone in which some value cannot be put: the others of its row would go to one that is not its own.
fn leave_half(target: &Target<'_>, groups: &Groups) -> String {
    let cannot = |column: &super::target::TargetColumn| format!("NOT ({} OR {})", column.same, column.put());
    let cannot: Vec<String> = target.columns.iter().map(cannot).collect();
    let which = format!("SELECT DISTINCT s.ident FROM {} WHERE {}", target.joined(), cannot.join(" OR "));
    leave(target, groups, &which)
}

/// Pairs nothing in the groups of several values that a query names as `ident`.
fn leave(target: &Target<'_>, groups: &Groups, which: &str) -> String {
    format!(
        "WITH h AS ({which}), \
         m AS (UPDATE pg_temp.{} AS g SET paired = false FROM h WHERE h.ident = g.ident AND NOT g.one_value RETURNING g.ident) \
         DELETE FROM pg_temp.{} AS s USING m WHERE m.ident = s.ident",
        groups.table, target.loaded
    )
}
