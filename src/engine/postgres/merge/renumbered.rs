//! Rows that the way there and back gave the key of another one: an upgrade numbered them anew and its way back did not undo
//! that. As long as nobody has written to such a row, all of it becomes what the row of its key was. Where somebody has, what is
//! left of the one in it would stand beside what comes back of the other: it is put back as a whole or not at all, and with it all that were numbered anew, since the
//! rows that stand in their places would be lost.

use super::super::names::{identifier, is_held};
use super::super::session::Session;
use super::target::{Target, TargetColumn};
use super::{DOING, Job};
use crate::engine::{Base, Error, SAMPLE};
use crate::ledger::SalvageKind;

/// Looks whether rows have what others had, and notes beside each loaded one whether it has, and whether it was written to.
/// `jobs` are about what was merged before.
pub(super) async fn look(
    session: &mut Session,
    target: &mut Target<'_>,
    jobs: &[Job<'_>],
) -> Result<(), Error> {
    if target.columns.len() < 2 {
        return Ok(());
    }
    let mut moved = Vec::new();
    for column in &target.columns {
        let Some(left) = left(target, column) else { continue };
        let then = then(target, column, jobs);
        if is_of_others(session, target, (column, &left), &then).await? {
            moved.push((column.place, left, then));
        }
    }
    if moved.is_empty() {
        return Ok(());
    }
    note(session, target, &moved).await?;
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
    session.run(DOING, &torn).await?;
    leave_broken(session, target).await
}

/// Leaves all rows as they are that hold all that another one had, in the columns in which not all were left the same, where
/// one of them is gone or somebody has written to it: what stands in one of them has its place in another one, and would be
/// lost.
async fn leave_broken(session: &mut Session, target: &Target<'_>) -> Result<(), Error> {
    let (loaded, table) = (&target.loaded, target.table.sql());
    let mut columns = Vec::new();
    for column in &target.columns {
        match target.piece.base(&column.name) {
            Base::Constant(_) => {}
            Base::Column(place) => columns.push((place, column.place)),
            Base::Unknown => return Ok(()),
        }
    }
    // One column says nothing: a number that is one more than it was is soon that of another row.
    if columns.len() < 2 {
        return Ok(());
    }
    let left: Vec<String> = columns.iter().map(|(left, _)| format!("s.v{left}::text")).collect();
    let had: Vec<String> = columns.iter().map(|(_, had)| format!("o.v{had}::text")).collect();
    // As one text, so that the server joins by it.
    let row = |texts: &[String]| format!("ROW({})::text COLLATE \"C\"", texts.join(", "));
    let whole = format!("s.moved AND {} IN (SELECT {} FROM pg_temp.{loaded} AS o)", row(&left), row(&had));
    let broken = format!(
        "SELECT EXISTS (SELECT FROM pg_temp.{loaded} AS s WHERE {whole} \
         AND (s.torn OR NOT EXISTS (SELECT FROM ONLY {table} AS t WHERE {})))",
        target.matches
    );
    if session.value(DOING, &broken).await?.as_deref() == Some("t") {
        session.run(DOING, &format!("UPDATE pg_temp.{loaded} AS s SET torn = true WHERE {whole}")).await?;
    }
    Ok(())
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
fn then(target: &Target<'_>, column: &TargetColumn, jobs: &[Job<'_>]) -> String {
    // Those whose keys are gone are in a file of their own.
    let gone = jobs.iter().map(|job| &job.target).filter(|other| {
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
