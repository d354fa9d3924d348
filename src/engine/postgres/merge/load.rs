//! Loading a file into a temporary table of the live column types.

use super::super::copy_in;
use super::super::names::identifier;
use super::super::session::Session;
use super::DOING;
use super::fit::{self, Fitted, Texts};
use super::live::LiveColumn;
use super::target::shown;
use super::unkeyed::row_text;
use crate::catalog::TableName;
use crate::engine::{Base, Error, Piece};
use crate::ledger::SalvageKind;
use crate::report::Progress;
use std::collections::BTreeSet;

/// What became of the columns of a file.
#[derive(Default)]
pub(super) struct Loaded {
    /// The places of columns that have values beside them which their type does not take.
    pub misfits: BTreeSet<usize>,
    /// Live columns whose type takes nothing in the place of such a value, so that they are left out.
    pub unfit: Vec<String>,
    pub rows: u64,
}

/// Makes the table and fills it. A column whose type has changed is loaded as text, and so are all of them where a type
/// does not take a value; the texts then get the type one by one.
pub(super) async fn load(
    session: &mut Session,
    piece: &Piece,
    table: &TableName,
    live: &[LiveColumn],
    loaded: &str,
    progress: &Progress,
) -> Result<Loaded, Error> {
    session.run(DOING, "SAVEPOINT ripcord_load").await?;
    let (rows, all_texts) = match fill(session, piece, table, live, loaded, progress).await? {
        Ok(rows) => (rows, false),
        Err(error) if fit::is_of_value(&error) => {
            session.run(DOING, "ROLLBACK TO ripcord_load").await?;
            let refilled = fill(session, piece, table, &[], loaded, progress).await?;
            (refilled.map_err(|error| session.failed(&error, DOING))?, true)
        }
        Err(error) => return Err(session.failed(&error, DOING)),
    };
    session.run(DOING, "RELEASE ripcord_load").await?;
    let done = fitted(session, piece, live, loaded, all_texts).await?;
    session.run(DOING, &format!("ANALYZE pg_temp.{loaded}")).await?;
    Ok(Loaded { rows, ..done })
}

/// Takes out the rows that the other file of the backup has as well, which are merged by that one; returns how many.
pub(super) async fn leave_out(
    session: &mut Session,
    piece: &Piece,
    (table, live): (&TableName, &[LiveColumn]),
    (loaded, misfits): (&str, &BTreeSet<usize>),
) -> Result<u64, Error> {
    let Some((other, same)) = piece.other_file() else { return Ok(0) };
    let told = format!("{loaded}_told");
    let theirs = load(session, other, table, live, &told, &Progress::silent()).await?.misfits;
    let found_by = |piece: &Piece, misfits: &BTreeSet<usize>| {
        let places = piece.matched_by().iter().filter_map(|name| piece.place_of(name));
        row_text(&places.map(|place| shown(place, misfits)).collect::<Vec<_>>())
    };
    let (own, theirs) = (found_by(piece, misfits), found_by(other, &theirs));
    let sql = match piece.salvage.key.is_empty() && piece.salvage.what == SalvageKind::Rows {
        // Of whole rows without a key one file may have more.
        true => format!(
            "DELETE FROM pg_temp.{loaded} AS d USING \
             (SELECT s.ctid AS place, {own} AS row, row_number() OVER (PARTITION BY {own}) AS at FROM pg_temp.{loaded} AS s) AS x \
             JOIN (SELECT {theirs} AS row, count(*) AS n FROM pg_temp.{told} AS s GROUP BY 1) AS o ON o.row = x.row AND x.at <= o.n \
             WHERE d.ctid = x.place"
        ),
        false => {
            let (found, which) = match same {
                None => ("IN", String::new()),
                Some((ours, left)) => {
                    ("NOT IN", format!(" WHERE s.v{ours}::text IS NOT DISTINCT FROM s.v{left}::text"))
                }
            };
            format!(
                "DELETE FROM pg_temp.{loaded} AS s WHERE {own} {found} (SELECT {theirs} FROM pg_temp.{told} AS s{which})"
            )
        }
    };
    let count = session.execute(&sql).await.map_err(|error| session.failed(&error, DOING))?;
    session.run(DOING, &format!("DROP TABLE pg_temp.{told}; ANALYZE pg_temp.{loaded}")).await?;
    Ok(count)
}

/// Makes the table, with the types of the live columns that it is told, and fills it; returns how many rows it has.
async fn fill(
    session: &mut Session,
    piece: &Piece,
    table: &TableName,
    live: &[LiveColumn],
    loaded: &str,
    progress: &Progress,
) -> Result<Result<u64, sqlx::Error>, Error> {
    let columns = piece.columns.iter().enumerate().map(|(place, _)| match typed(piece, live, place) {
        Some(column) => format!("t.{} AS v{place}", identifier(&column.name)),
        None => format!("NULL::text AS v{place}"),
    });
    let columns: Vec<String> = columns.collect();
    let create = format!(
        "CREATE TEMPORARY TABLE {loaded} ON COMMIT DROP AS SELECT {} FROM ONLY {} AS t WITH NO DATA",
        columns.join(", "),
        table.sql()
    );
    session.run(DOING, &create).await?;
    let copy = format!("COPY pg_temp.{loaded} FROM STDIN (FORMAT csv, HEADER true)");
    copy_in::send(session, piece.source.clone(), &copy, (DOING, &table.to_string()), progress).await
}

/// Gives the columns that were loaded as text their types, value by value.
async fn fitted(
    session: &mut Session,
    piece: &Piece,
    live: &[LiveColumn],
    loaded: &str,
    all_texts: bool,
) -> Result<Loaded, Error> {
    let mut done = Loaded::default();
    for place in 0..piece.columns.len() {
        let Some(column) = column_of(piece, live, place) else { continue };
        let before = type_before(piece, column).unwrap_or(&column.type_name);
        if before == column.type_name && !all_texts {
            continue;
        }
        let texts = Texts { loaded, place, before, now: &column.type_name };
        match texts.fit(session).await? {
            Fitted::All => {}
            Fitted::Some => {
                done.misfits.insert(place);
            }
            Fitted::None => done.unfit.push(column.name.clone()),
        }
    }
    Ok(done)
}

/// Returns the live column whose type the values at this place have.
fn typed<'l>(piece: &Piece, live: &'l [LiveColumn], place: usize) -> Option<&'l LiveColumn> {
    column_of(piece, live, place).filter(|column| !is_retyped(piece, column))
}

/// Returns the live column whose values stand at this place of the CSV: its own, or what the way back left in it.
fn column_of<'l>(piece: &Piece, live: &'l [LiveColumn], place: usize) -> Option<&'l LiveColumn> {
    let own = live.iter().find(|column| piece.columns[place].name == column.name);
    let left_in = || live.iter().find(|column| piece.base(&column.name) == Base::Column(place));
    own.filter(|column| {
        piece.salvage.columns.contains(&column.name) || piece.matched_by().contains(&column.name)
    })
    .or_else(left_in)
}

fn type_before<'p>(piece: &'p Piece, column: &LiveColumn) -> Option<&'p str> {
    piece.place_of(&column.name).map(|place| piece.columns[place].type_name.as_str())
}

fn is_retyped(piece: &Piece, column: &LiveColumn) -> bool {
    type_before(piece, column).is_some_and(|before| before != column.type_name)
}
