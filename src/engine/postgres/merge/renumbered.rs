//! Rows that the way there and back gave the key of another one: an upgrade numbered them anew and its way back did not undo
//! that. As long as nobody has written, all of such a row becomes what the row of its key was. Where somebody has, all of the
//! table stays as it is ([`intact`](super::intact)): the rows that stand in the places of others would be lost.

use super::super::names::{identifier, is_held};
use super::super::session::Session;
use super::DOING;
use super::target::{Target, TargetColumn};
use crate::engine::{Base, Error, SAMPLE};
use crate::ledger::SalvageKind;

/// Looks whether rows have what others had, and notes beside each loaded one whether it has, and whether it was written to.
/// `gone` are whole rows that are not there any more.
pub(super) async fn look(
    session: &mut Session,
    target: &mut Target<'_>,
    gone: &[&Target<'_>],
) -> Result<(), Error> {
    let (mut moved, mut is_word) = (Vec::new(), false);
    for column in &target.columns {
        let Some(left) = left(target, column) else { continue };
        let then = then(target, column, gone);
        if is_of_others(session, target, (column, &left), &then).await? {
            is_word |= column.is_word;
            moved.push((column.place, left, then));
        }
    }
    // A number alone says nothing: one that is one more than it was is soon that of another row.
    if moved.is_empty() || !is_word && target.columns.len() < 2 {
        return Ok(());
    }
    note(session, target, &moved).await?;
    target.whole = is_word || has_whole(session, target).await?;
    let fits: Vec<String> = target.columns.iter().map(|column| column.fits.clone()).collect();
    for column in &mut target.columns {
        // What stands there is not theirs alone.
        column.kept = None;
        column.is_base = format!("(NOT s.torn AND {})", column.is_base);
        column.fits = format!("(CASE WHEN s.moved THEN {} ELSE {} END)", fits.join(" AND "), column.fits);
    }
    let retaken = target.retaken.iter().cloned().chain(["s.torn".to_string()]);
    target.retaken = Some(format!("({})", retaken.collect::<Vec<_>>().join(" OR ")));
    target.renumbered = true;
    Ok(())
}

/// Notes beside the loaded rows what is asked of them afterwards, before anything is written.
async fn note(
    session: &mut Session,
    target: &Target<'_>,
    moved: &[(usize, Left, String)],
) -> Result<(), Error> {
    let (loaded, table) = (&target.loaded, target.table.sql());
    let add = |name: &str| format!("ADD {name} boolean NOT NULL DEFAULT false");
    session.run(DOING, &format!("ALTER TABLE pg_temp.{loaded} {}, {}", add("moved"), add("torn"))).await?;
    for (place, left, then) in moved {
        let differs = format!("{}::text IS DISTINCT FROM s.v{place}::text", left.text);
        // What somebody has written since hides what was there.
        let sql = match left.is_live {
            true => format!(
                "UPDATE pg_temp.{loaded} AS s SET moved = true FROM ONLY {table} AS t WHERE {} AND {differs}",
                target.matches
            ),
            false => format!(
                "UPDATE pg_temp.{loaded} AS s SET moved = true \
                 WHERE {differs} AND {}::text COLLATE \"C\" IN (SELECT o.v COLLATE \"C\" FROM ({then}) AS o)",
                left.text
            ),
        };
        session.run(DOING, &sql).await?;
    }
    let whole: Vec<String> =
        target.columns.iter().map(|column| format!("({} OR {})", column.same, column.is_base)).collect();
    let torn = format!(
        "UPDATE pg_temp.{loaded} AS s SET torn = true FROM ONLY {table} AS t WHERE {} AND s.moved AND NOT ({}); \
         ANALYZE pg_temp.{loaded}",
        target.matches,
        whole.join(" AND ")
    );
    session.run(DOING, &torn).await
}

/// Tells whether a row holds all that another one had, in two columns or more in which not all were left the same.
async fn has_whole(session: &mut Session, target: &Target<'_>) -> Result<bool, Error> {
    let loaded = &target.loaded;
    let mut columns = Vec::new();
    for column in &target.columns {
        match target.piece.base(&column.name) {
            Base::Constant(_) => {}
            Base::Column(place) => columns.push((place, column.place)),
            Base::Unknown => return Ok(false),
        }
    }
    if columns.len() < 2 {
        return Ok(false);
    }
    let left: Vec<String> = columns.iter().map(|(left, _)| format!("s.v{left}::text")).collect();
    let had: Vec<String> = columns.iter().map(|(_, had)| format!("o.v{had}::text")).collect();
    // As one text, so that the server joins by it.
    let row = |texts: &[String]| format!("ROW({})::text COLLATE \"C\"", texts.join(", "));
    let whole = format!("s.moved AND {} IN (SELECT {} FROM pg_temp.{loaded} AS o)", row(&left), row(&had));
    let any = format!("SELECT EXISTS (SELECT FROM pg_temp.{loaded} AS s WHERE {whole})");
    Ok(session.value(DOING, &any).await?.as_deref() == Some("t"))
}

/// Returns a column as it is to be put back by itself, where others of its row are refused.
pub(super) fn alone(target: &Target<'_>, column: &TargetColumn) -> TargetColumn {
    let mut alone = column.clone();
    if target.renumbered {
        alone.is_base = format!("(NOT s.moved AND {})", column.is_base);
    }
    alone
}

/// What stood in a row at the end of the way there and back.
struct Left {
    /// An expression.
    text: String,
    /// Whether that is only what is there now.
    is_live: bool,
}

/// Returns it as far as it can be another thing in each row. Numbers that the way back gives out anew are none of those that
/// rows had.
fn left(target: &Target<'_>, column: &TargetColumn) -> Option<Left> {
    if column.makes_its_own {
        return None;
    }
    let place = match target.piece.base(&column.name) {
        Base::Constant(_) => return None,
        Base::Column(place) => Some(place),
        Base::Unknown => None,
    };
    let is_unfit = [Some(column.place), place].into_iter().flatten().any(|at| target.misfits.contains(&at));
    let text = place.map_or_else(|| format!("t.{}", identifier(&column.name)), |place| format!("s.v{place}"));
    (!is_unfit).then_some(Left { text, is_live: place.is_none() })
}

/// Returns the statement that reads what rows had in a column, `v`, with their keys, `k`.
fn then(target: &Target<'_>, column: &TargetColumn, gone: &[&Target<'_>]) -> String {
    // Those whose keys are gone are in a file of their own.
    let gone = gone.iter().copied().filter(|other| {
        other.table == target.table && other.piece.salvage.what == SalvageKind::Rows && other.done.is_none()
    });
    let all = std::iter::once(target).chain(gone).filter_map(|one| {
        let key = one.piece.place_of(&target.found_by.first()?.0)?;
        let own = one.piece.place_of(&column.name)?;
        let loaded = &one.loaded;
        Some(format!("SELECT s.v{key}::text AS k, s.v{own}::text AS v FROM pg_temp.{loaded} AS s"))
    });
    all.collect::<Vec<_>>().join(" UNION ALL ")
}

/// Tells whether most rows in which another value stands have the one that just one other row had. Values that many rows
/// have say nothing.
async fn is_of_others(
    session: &mut Session,
    target: &Target<'_>,
    (column, left): (&TargetColumn, &Left),
    then: &str,
) -> Result<bool, Error> {
    let Some((_, key)) = target.found_by.first() else { return Ok(false) };
    let from = if left.is_live { target.joined() } else { format!("pg_temp.{} AS s", target.loaded) };
    let left = &left.text;
    let sql = format!(
        "WITH x AS (SELECT s.v{key}::text AS k, {left}::text AS v FROM {from} WHERE {} \
         AND {left}::text IS DISTINCT FROM s.v{}::text LIMIT {SAMPLE}), \
         f AS (SELECT x.k FROM x JOIN ({then}) AS o ON o.v COLLATE \"C\" = x.v COLLATE \"C\" GROUP BY x.k \
         HAVING count(*) = 1 AND bool_and(o.k <> x.k)) \
         SELECT (SELECT count(*) FROM f) * 2 > (SELECT count(*) FROM x)",
        is_held(left),
        column.place
    );
    Ok(session.value(DOING, &sql).await?.as_deref() == Some("t"))
}
