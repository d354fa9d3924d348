//! Rows without a key that are alike, and of which each got a value of its own.
//!
//! Which of them had which value nobody can tell, and nobody has to: where all together hold what the way back left in them,
//! each gets any of the salvaged rows, and all together are what they were. That is no guess as long as nothing else tells
//! them apart. Where one of them was written to since, or a constraint refuses one, none is touched.

use super::super::rehearse::wide;
use super::super::session::Session;
use super::feed::Feed;
use super::side::Side;
use super::target::Target;
use super::{DOING, Written};
use crate::catalog::quote;
use crate::engine::{Error, Merged, Value};

/// Pairs the rows of groups with live ones where all of them together hold what was salvaged, or what the way back left.
/// Behind each stands its group, where that got several values.
pub(super) fn pair(session: &Session, target: &Target<'_>, rowid: &str, group: &str) -> Result<(), Error> {
    let name = |what: &str| format!("ripcord_{what}_{}", target.index);
    let (piece, groups, pairs, due) = (name("piece"), name("groups"), name("pairs"), name("due"));
    let ours = target.columns.iter().map(|column| format!("p.v{}", column.place)).collect::<Vec<_>>();
    let base: Option<Vec<String>> = target.columns.iter().map(|column| column.base.expression("p")).collect();
    let theirs = target.columns.iter().map(|column| format!("t.{}", quote(&column.name))).collect::<Vec<_>>();
    let theirs = wide::text(&theirs);
    // A column that nobody salvaged may tell the rows apart, unless they all get the same.
    let open = if target.is_whole { "" } else { " AND g.one_value" };
    let open = format!("NOT g.uniform AND NOT g.paired AND g.n = g.live{open}");
    // What is there already first: merging twice is merging once.
    for way in [Some(ours), base].into_iter().flatten() {
        let same = name("same");
        let way = wide::text(&way);
        session.run(DOING, &format!("DROP TABLE IF EXISTS temp.{same}"))?;
        session.run(
            DOING,
            &format!(
                "CREATE TEMP TABLE {same} AS WITH \
                 m AS (SELECT rowid AS place, *, min(rowid) OVER (PARTITION BY {group}) AS first FROM temp.{piece}), \
                 o AS (SELECT p.place, p.first, {way} AS text, row_number() OVER (PARTITION BY p.first ORDER BY {way}) AS at \
                 FROM m p JOIN temp.{groups} g ON g.first = p.first WHERE {open}), \
                 l AS (SELECT x.live, x.first, {theirs} AS text, row_number() OVER (PARTITION BY x.first ORDER BY {theirs}) AS at \
                 FROM temp.{pairs} x JOIN temp.{groups} g ON g.first = x.first JOIN main.{} t ON t.{rowid} = x.live \
                 WHERE {open}), \
                 c AS (SELECT o.place, l.live, o.first, min(o.text = l.text) OVER (PARTITION BY o.first) AS same \
                 FROM o JOIN l ON l.first = o.first AND l.at = o.at) \
                 SELECT place, live, first FROM c WHERE same",
                target.table.sql()
            ),
        )?;
        session.run(
            DOING,
            &format!(
                "INSERT INTO temp.{due} SELECT p.*, c.live, iif(g.one_value, 0, g.first) FROM temp.{same} c \
                 JOIN temp.{piece} p ON p.rowid = c.place JOIN temp.{groups} g ON g.first = c.first ORDER BY g.first"
            ),
        )?;
        session.run(
            DOING,
            &format!("UPDATE temp.{groups} SET paired = 1 WHERE first IN (SELECT first FROM temp.{same})"),
        )?;
    }
    Ok(())
}

/// Puts what was salvaged into the groups that got several values, and returns what that was: into all rows of a group, or
/// into none where a constraint refuses one. Each of the others got any of the values, so that what the group holds is right
/// only as a whole. Returns the groups that were refused as well.
pub(super) fn put(
    session: &Session,
    target: &Target<'_>,
    side: &mut Side<'_>,
) -> Result<(Vec<Merged>, Vec<i64>), Error> {
    let none: Vec<Merged> =
        target.columns.iter().map(|column| Merged::new(&target.piece.salvage, Some(&column.name))).collect();
    let (mut done, mut tally) = (none.clone(), none.clone());
    let (mut open, mut broken) = (None, Vec::new());
    let mut hand = target.hand(session)?;
    let name = |what: &str| format!("ripcord_{what}_{}", target.index);
    let close = |done: &mut [Merged], tally: &[Merged]| {
        done.iter_mut().zip(tally).for_each(|(done, tally)| done.merged += tally.merged);
        session.run(DOING, "RELEASE ripcord_group")
    };
    Feed::Table(name("due")).each(session, &mut |values| {
        let Some(group) = values.last().and_then(of_several) else { return Ok(()) };
        if broken.last() == Some(&group) {
            return Ok(());
        }
        if open != Some(group) {
            if open.replace(group).is_some() {
                close(&mut done, &tally)?;
            }
            tally.clone_from(&none);
            session.run(DOING, "SAVEPOINT ripcord_group")?;
        }
        if hand.row(values, &mut tally, side)? != Written::Done {
            broken.push(group);
            open = None;
            session.run(DOING, "ROLLBACK TO ripcord_group; RELEASE ripcord_group")?;
        }
        Ok(())
    })?;
    if open.is_some() {
        close(&mut done, &tally)?;
    }
    Ok((done, broken))
}

/// Returns the group of a row that goes together with others.
fn of_several(last: &Value<'_>) -> Option<i64> {
    match last {
        Value::Integer(group) if *group != 0 => Some(*group),
        _ => None,
    }
}

/// Pairs nothing in these groups.
pub(super) fn leave(session: &Session, target: &Target<'_>, broken: &[i64]) -> Result<(), Error> {
    let name = |what: &str| format!("ripcord_{what}_{}", target.index);
    let (due, groups) = (name("due"), name("groups"));
    if !broken.is_empty() {
        let make = format!("CREATE INDEX IF NOT EXISTS temp.{due}_together ON {due} (together)");
        session.run(DOING, &make)?;
    }
    for group in broken {
        let leave = format!(
            "UPDATE temp.{groups} SET paired = 0 WHERE first = {group}; DELETE FROM temp.{due} WHERE together = {group}"
        );
        session.run(DOING, &leave)?;
    }
    Ok(())
}
