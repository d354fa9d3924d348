//! Loading a file into a temporary table of the live column types.

use super::super::copy_in;
use super::super::names::{identifier, literal};
use super::super::session::Session;
use super::live::LiveColumn;
use super::{DOING, fit};
use crate::catalog::TableName;
use crate::engine::{Base, Error, Piece};
use crate::report::Progress;
use std::collections::BTreeSet;

/// What became of the columns of a file.
#[derive(Default)]
pub(super) struct Loaded {
    /// The places of columns that have values beside them which their type does not take.
    pub misfits: BTreeSet<usize>,
    /// Live columns of which what the way back left does not fit: nothing can be compared with it.
    pub unfit: Vec<String>,
    pub rows: u64,
}

/// Makes the table and fills it. A column whose type has changed is loaded as text.
pub(super) async fn load(
    session: &mut Session,
    piece: &Piece,
    table: &TableName,
    live: &[LiveColumn],
    loaded: &str,
    progress: &Progress,
) -> Result<Loaded, Error> {
    session.run(DOING, "SAVEPOINT ripcord_load").await?;
    let mut done = Loaded::default();
    match fill(session, piece, table, live, loaded, progress).await? {
        Ok(rows) => done.rows = rows,
        Err(error) if fit::is_of_value(&error) => {
            session.run(DOING, "ROLLBACK TO ripcord_load").await?;
            let refilled = fill(session, piece, table, &[], loaded, progress).await?;
            let rows = refilled.map_err(|error| session.failed(&error, DOING))?;
            done = Loaded { rows, ..fitted(session, piece, live, loaded).await? };
        }
        Err(error) => return Err(session.failed(&error, DOING)),
    }
    session.run(DOING, &format!("RELEASE ripcord_load; ANALYZE pg_temp.{loaded}")).await?;
    Ok(done)
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

/// Gives the columns of a file that was loaded as text their types, value by value.
async fn fitted(
    session: &mut Session,
    piece: &Piece,
    live: &[LiveColumn],
    loaded: &str,
) -> Result<Loaded, Error> {
    let mut done = Loaded::default();
    for place in 0..piece.columns.len() {
        let Some(column) = typed(piece, live, place) else { continue };
        if !fit::fit(session, loaded, place, &column.type_name).await? {
            continue;
        }
        let is_own = piece.columns[place].name == column.name;
        // Rows without a key are told apart by all of their values together.
        if is_own && !piece.salvage.key.is_empty() {
            done.misfits.insert(place);
        } else {
            done.unfit.push(column.name.clone());
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

fn is_retyped(piece: &Piece, column: &LiveColumn) -> bool {
    let before = piece.place_of(&column.name).map(|place| piece.columns[place].type_name.as_str());
    before.is_some_and(|before| before != column.type_name)
}

/// Returns the columns whose type has changed since.
pub(super) fn retyped(piece: &Piece, live: &[LiveColumn]) -> Vec<String> {
    let names = piece.salvage.columns.iter().chain(piece.matched_by());
    let mut found: Vec<String> = names
        .filter(|name| live.iter().any(|column| column.name == **name && is_retyped(piece, column)))
        .cloned()
        .collect();
    found.dedup();
    found
}

/// Turns the loaded values of a column into its present type; false when that would make others of them.
pub(super) async fn retype(
    session: &mut Session,
    piece: &Piece,
    live: &[LiveColumn],
    loaded: &str,
    name: &str,
) -> Result<bool, Error> {
    let Some(column) = live.iter().find(|column| column.name == name) else { return Ok(false) };
    let kind = &column.type_name;
    let before =
        piece.place_of(name).map(|place| piece.columns[place].type_name.as_str()).unwrap_or_default();
    let is_padded = |kind: &str| kind == "character" || kind.starts_with("character(");
    // What the type prints, which is what the file has: a cast to text would leave out blanks, and spell truth in full.
    let printed = |place: usize| {
        let (now, then) = (format!("format('%s', v{place}::{kind})"), format!("v{place}"));
        let (now, then) = match is_padded(kind) && is_padded(before) {
            true => (format!("rtrim({now}, ' ')"), format!("rtrim({then}, ' ')")),
            false => (now, then),
        };
        format!("v{place} IS NOT NULL AND {now} COLLATE \"C\" IS DISTINCT FROM {then} COLLATE \"C\"")
    };
    let places = (0..piece.columns.len())
        .filter(|place| column_of(piece, live, *place).is_some_and(|other| other.name == name));
    for place in places {
        session.run(DOING, "SAVEPOINT ripcord_retype").await?;
        let differs = format!("SELECT EXISTS (SELECT FROM pg_temp.{loaded} WHERE {})", printed(place));
        let same = session.value(DOING, &differs).await;
        if same.as_ref().is_ok_and(|differs| differs.as_deref() == Some("f")) {
            let alter =
                format!("ALTER TABLE pg_temp.{loaded} ALTER v{place} TYPE {kind} USING v{place}::{kind}");
            session.run(DOING, &alter).await?;
            session.run(DOING, "RELEASE ripcord_retype").await?;
        } else {
            // Values that the type does not take end in an error, which is an answer as well.
            tracing::debug!(name, detail = %literal(kind), "a salvaged column is of another type now");
            session.run(DOING, "ROLLBACK TO ripcord_retype").await?;
            return Ok(false);
        }
    }
    Ok(true)
}
