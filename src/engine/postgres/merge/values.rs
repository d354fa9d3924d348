//! Values of rows that are found by their key.

use super::super::names::{identifier, literal};
use super::super::session::Session;
use super::claims::Claims;
use super::side::Side;
use super::target::{Target, TargetColumn};
use super::{DOING, fit, parts, renumbered};
use crate::engine::{Error, Merged, RETAKEN, STRANGER, TAKES_ALONG, UNDECIDED};

/// What an attempt has come to.
#[derive(Clone, Copy, Default)]
pub(super) struct Ran {
    /// How many values are left that a constraint refused.
    pub left: u64,
    /// Whether it wrote every value of every loaded row, each into a row of its own, and saw it stored.
    pub whole: bool,
}

/// Puts everything where nobody has written since.
pub(super) async fn run(
    session: &mut Session,
    target: &Target<'_>,
    merged: &mut [Merged],
) -> Result<Ran, Error> {
    allow_identity(session, target, true).await?;
    let columns: Vec<&TargetColumn> = target.columns.iter().collect();
    // Of one column the update itself tells how many there were; of several it has to be asked beforehand.
    let planned =
        if columns.len() > 1 { counts(session, target, TargetColumn::put).await? } else { Vec::new() };
    let (found, refused) = attempt(session, target, &columns).await?;
    let planned = if columns.len() > 1 { planned } else { vec![found[0]] };
    let left = match refused {
        true => counts(session, target, TargetColumn::put).await?,
        // Looked at in the end, where anything that is left is an error.
        false => vec![0; columns.len()],
    };
    // Of one column only what was written is counted, of several all that there was to write.
    for ((merged, planned), left) in merged.iter_mut().zip(&planned).zip(&left) {
        merged.merged += if columns.len() > 1 { planned.saturating_sub(*left) } else { *planned };
    }
    allow_identity(session, target, false).await?;
    let whole = !refused && planned.iter().chain(&found).all(|count| *count == target.rows);
    Ok(Ran { left: left.iter().sum(), whole: whole && target.unique })
}

/// What writing by place has come to.
pub(super) struct Placed {
    planned: Vec<u64>,
    /// Whether a constraint refused some rows.
    pub refused: bool,
}

/// Puts everything into rows that are found by where they lie, which is elsewhere once they are written.
pub(super) async fn put_by_place(session: &mut Session, target: &Target<'_>) -> Result<Placed, Error> {
    allow_identity(session, target, true).await?;
    let columns: Vec<&TargetColumn> = target.columns.iter().collect();
    let planned = counts(session, target, TargetColumn::put).await?;
    let follow = |rows: &str| {
        format!(
            "WITH u AS ({}, s.ctid AS place, t.ctid AS live), \
             m AS (UPDATE pg_temp.{} AS p SET live = u.live FROM u WHERE p.ctid = u.place) {}",
            set(target, &columns, rows),
            target.loaded,
            counted(columns.len())
        )
    };
    let (_, refused) = parts::attempt(session, target, 1 + columns.len(), Claims::Nothing, follow).await?;
    allow_identity(session, target, false).await?;
    Ok(Placed { planned, refused })
}

/// Counts what was put by place, proves that it is there, and writes down what is not.
pub(super) async fn settle_by_place(
    session: &mut Session,
    target: &Target<'_>,
    Placed { planned, refused }: Placed,
    merged: &mut [Merged],
    side: &mut Side,
) -> Result<(), Error> {
    let left = counts(session, target, TargetColumn::put).await?;
    for ((merged, planned), left) in merged.iter_mut().zip(&planned).zip(&left) {
        merged.merged += planned.saturating_sub(*left);
    }
    settle(session, target, 0..target.columns.len(), merged, refused, side).await
}

/// Writes these columns, and fails when a row that was written does not hold what was written.
async fn attempt(
    session: &mut Session,
    target: &Target<'_>,
    columns: &[&TargetColumn],
) -> Result<(Vec<u64>, bool), Error> {
    let sql = |rows: &str| update(target, columns, rows);
    let (found, refused) =
        parts::attempt(session, target, 1 + columns.len(), Claims::Values(columns), sql).await?;
    // Of several columns a row may get one and keep another.
    if columns.len() == 1 && found[0] != found[1] {
        let what = target.table.to_string();
        return Err(Error::NotMerged { what, expected: found[0], found: found[1] });
    }
    Ok((found, refused))
}

/// Sets these columns in these rows, and counts rows: how many, and for each column in how many it is now what it should
/// be.
pub(super) fn update(target: &Target<'_>, columns: &[&TargetColumn], rows: &str) -> String {
    format!("WITH u AS ({}) {}", set(target, columns, rows), counted(columns.len()))
}

/// Counts the rows that were written, and for each column those in which it is what it should be.
fn counted(columns: usize) -> String {
    let counts: String = (0..columns).map(|at| format!(", count(*) FILTER (WHERE same{at})")).collect();
    format!("SELECT count(*){counts} FROM u")
}

/// Sets these columns in these rows, and returns of each whether it is now what it should be.
fn set(target: &Target<'_>, columns: &[&TargetColumn], rows: &str) -> String {
    let set = columns.iter().map(|column| {
        let (name, ours) = (identifier(&column.name), format!("s.v{}", column.place));
        match columns.len() {
            1 => format!("{name} = {ours}"),
            _ => format!("{name} = CASE WHEN {} THEN {ours} ELSE t.{name} END", column.put()),
        }
    });
    let put: Vec<String> = columns.iter().map(|column| column.put()).collect();
    // RETURNING shows the new row as it is stored.
    let same = columns.iter().enumerate();
    let same: Vec<String> = same.map(|(at, column)| format!("{} AS same{at}", column.same)).collect();
    format!(
        "UPDATE ONLY {} AS t SET {} FROM pg_temp.{} AS s WHERE {} AND ({}) AND {rows} RETURNING {}",
        target.table.sql(),
        set.collect::<Vec<_>>().join(", "),
        target.loaded,
        target.matches,
        put.join(" OR "),
        same.join(", ")
    )
}

/// Counts, for each column, the pairs of rows for which a condition holds.
async fn counts(
    session: &mut Session,
    target: &Target<'_>,
    condition: impl Fn(&TargetColumn) -> String,
) -> Result<Vec<u64>, Error> {
    let counts: Vec<String> = target
        .columns
        .iter()
        .map(|column| format!("count(*) FILTER (WHERE {})", condition(column)))
        .collect();
    let sql = format!("SELECT {} FROM {}", counts.join(", "), target.joined());
    let rows = session.rows(DOING, &sql).await?;
    Ok(rows.first().map(|row| (0..row.len()).map(|at| row.number(at)).collect()).unwrap_or_default())
}

/// Identity columns that are always generated may be set only while they are not.
pub(super) async fn allow_identity(
    session: &mut Session,
    target: &Target<'_>,
    allow: bool,
) -> Result<(), Error> {
    for column in target.columns.iter().filter(|column| column.always_identity) {
        let how = if allow { "BY DEFAULT" } else { "ALWAYS" };
        let sql = format!(
            "ALTER TABLE ONLY {} ALTER COLUMN {} SET GENERATED {how}",
            target.table.sql(),
            identifier(&column.name)
        );
        session.run(DOING, &sql).await?;
    }
    Ok(())
}

/// Reads everything once more: what was merged must be there, and what is not there is a conflict, which is written down.
pub(super) async fn finish(
    session: &mut Session,
    target: &Target<'_>,
    merged: &mut [Merged],
    unfinished: bool,
    side: &mut Side,
) -> Result<(), Error> {
    let all = target.columns.len();
    if !unfinished || all == 1 {
        return settle(session, target, 0..all, merged, unfinished, side).await;
    }
    // Each by itself, so that one that is refused does not keep the others from getting what is theirs. What is refused is
    // written down before the next one is tried: the reasons are those of the last try.
    for (place, column) in target.columns.iter().enumerate() {
        allow_identity(session, target, true).await?;
        let alone = renumbered::alone(target, column);
        let (found, _) = attempt(session, target, &[&alone]).await?;
        merged[place].merged += found[0];
        allow_identity(session, target, false).await?;
        settle(session, target, place..place + 1, merged, unfinished, side).await?;
    }
    Ok(())
}

/// Counts what became of some of the columns, and writes down what is not there.
async fn settle(
    session: &mut Session,
    target: &Target<'_>,
    which: std::ops::Range<usize>,
    merged: &mut [Merged],
    unfinished: bool,
    side: &mut Side,
) -> Result<(), Error> {
    let (columns, merged) = (&target.columns[which.clone()], &mut merged[which]);
    let per_column = |column: &TargetColumn| {
        format!(", count(*) FILTER (WHERE {}), count(*) FILTER (WHERE {})", column.settled(), column.put())
    };
    let lists: String = columns.iter().map(per_column).collect();
    let sql = format!("SELECT count(*){lists} FROM {}", target.joined());
    let rows = session.rows(DOING, &sql).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let pairs: u64 = row.number(0);
    // Without a key those that are gone were counted when the groups were made.
    let gone = match target.piece.salvage.key.is_empty() {
        true => 0,
        false => {
            let total =
                session.value(DOING, &format!("SELECT count(*) FROM pg_temp.{}", target.loaded)).await?;
            total.and_then(|text| text.parse::<u64>().ok()).unwrap_or_default().saturating_sub(pairs)
        }
    };
    for (index, (column, merged)) in columns.iter().zip(merged.iter_mut()).enumerate() {
        let (same, left): (u64, u64) = (row.number(1 + 2 * index), row.number(2 + 2 * index));
        if same < merged.merged || (left > 0 && !unfinished) {
            let what = format!("{}.{}", merged.table, column.name);
            return Err(Error::NotMerged { what, expected: merged.merged + left, found: same });
        }
        merged.already += same - merged.merged;
        merged.deleted += gone;
        let conflicts = pairs - same;
        if conflicts > 0 {
            merged.conflicts += conflicts;
            side.open(session).await?;
            write_down(session, target, column, side).await?;
        }
    }
    Ok(())
}

async fn write_down(
    session: &mut Session,
    target: &Target<'_>,
    column: &TargetColumn,
    side: &Side,
) -> Result<(), Error> {
    let taken = match target.misfits.contains(&column.place) {
        true => format!("WHEN s.{} IS NOT NULL THEN {} ", fit::beside(column.place), literal(fit::NOT_TAKEN)),
        false => String::new(),
    };
    let retaken = target.retaken.as_ref();
    let retaken = retaken.map(|which| format!("WHEN {which} THEN {} ", literal(RETAKEN))).unwrap_or_default();
    let along = match column.would_take_along {
        true => format!("WHEN true THEN {} ", literal(TAKES_ALONG)),
        false => String::new(),
    };
    let stranger = column.stranger.as_ref();
    let stranger =
        stranger.map(|which| format!("WHEN {which} THEN {} ", literal(STRANGER))).unwrap_or_default();
    let undecided = column.undecided.as_ref();
    let undecided =
        undecided.map(|which| format!("WHEN {which} THEN {} ", literal(UNDECIDED))).unwrap_or_default();
    let reason = format!(
        "CASE {retaken}WHEN NOT {} THEN {} {taken}{along}{stranger}{undecided}WHEN NOT ({}) THEN 'a required value or a foreign key forbids it' \
         ELSE coalesce(r.reason, 'a constraint forbids it') END",
        column.is_base,
        literal(column.changed),
        column.fits
    );
    let sql = format!(
        "INSERT INTO {} SELECT {}, {}, {}, {}, {}::text, t.{}::text, {reason} FROM {} \
         LEFT JOIN pg_temp.{} AS r ON r.place = s.ctid WHERE NOT {}",
        side.table(),
        literal(&target.table.to_string()),
        target.key(),
        literal(&column.name),
        column.base,
        target.ours(column.place),
        identifier(&column.name),
        target.joined(),
        target.refused,
        column.settled()
    );
    session.run("writing down a conflict", &sql).await
}
