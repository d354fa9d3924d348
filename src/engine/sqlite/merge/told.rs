//! Rows that another file of the same backup has as well: they are merged by that one.

use super::super::scan::Row;
use super::super::session::Session;
use super::DOING;
use crate::engine::{Error, Piece, Value};
use rusqlite::Statement;

/// What the rows of the other file are found by, in a temporary table.
#[derive(Clone)]
pub(super) struct Told {
    table: String,
    /// The places of the same columns in the file that is read.
    places: Vec<usize>,
}

/// Looks rows up among those.
pub(super) struct Look<'s> {
    session: &'s Session,
    places: &'s [usize],
    select: Statement<'s>,
    row: Row,
}

impl Told {
    /// Reads the other file; none where there is none.
    pub(super) fn of(session: &Session, piece: &Piece, index: usize) -> Result<Option<Self>, Error> {
        let Some(other) = &piece.beyond else { return Ok(None) };
        let table = format!("ripcord_told_{index}");
        session.run(DOING, &format!("DROP TABLE IF EXISTS temp.{table}"))?;
        session.run(DOING, &format!("CREATE TEMP TABLE {table} (row BLOB PRIMARY KEY) WITHOUT ROWID"))?;
        let failed = |error| session.failed(DOING, error);
        let insert = format!("INSERT OR IGNORE INTO temp.{table} VALUES (?1)");
        let mut insert = session.prepare(&insert).map_err(failed)?;
        let (there, mut row) = (places(other), Row::default());
        other.source.each(&mut |values| {
            insert.execute([found_by(&mut row, values, &there)]).map(|_| ()).map_err(failed)
        })?;
        Ok(Some(Self { table, places: places(piece) }))
    }

    pub(super) fn look<'s>(&'s self, session: &'s Session) -> Result<Look<'s>, Error> {
        let sql = format!("SELECT 1 FROM temp.{} WHERE row = ?1", self.table);
        let select = session.prepare(&sql).map_err(|error| session.failed(DOING, error))?;
        Ok(Look { session, places: &self.places, select, row: Row::default() })
    }
}

impl Look<'_> {
    /// Tells whether the other file has a row.
    pub(super) fn has(&mut self, values: &[Value<'_>]) -> Result<bool, Error> {
        let found = self.select.exists([found_by(&mut self.row, values, self.places)]);
        found.map_err(|error| self.session.failed(DOING, error))
    }
}

fn places(piece: &Piece) -> Vec<usize> {
    piece.matched_by().iter().filter_map(|name| piece.place_of(name)).collect()
}

/// Returns what a row is found by, as bytes that no other row has.
fn found_by<'r>(row: &'r mut Row, values: &[Value<'_>], places: &[usize]) -> &'r [u8] {
    row.clear();
    places.iter().for_each(|place| row.push(values.get(*place).copied().unwrap_or(Value::Null)));
    row.bytes()
}
