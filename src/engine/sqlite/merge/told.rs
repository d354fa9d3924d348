//! Rows that another file of the same backup has as well, which are merged by that one, and values that rows had: looked up
//! in a temporary table.

use super::super::scan::Row;
use super::super::session::Session;
use super::DOING;
use super::feed::Feed;
use crate::engine::{Error, Piece, Value};
use crate::ledger::SalvageKind;
use rusqlite::Statement;

/// What rows of files hold in some columns.
#[derive(Clone)]
pub(super) struct Told {
    table: String,
    /// The places of the same columns in the rows that are looked up.
    places: Vec<usize>,
    /// Whether each of them is found as often as it is there, and no more: of whole rows without a key one file may have more.
    counted: bool,
    /// Whether those are meant that are found, and not those that are not.
    pub found: bool,
}

/// Looks rows up among those.
pub(super) struct Look<'s> {
    session: &'s Session,
    places: &'s [usize],
    select: Statement<'s>,
    counted: bool,
    row: Row,
}

impl Told {
    /// Reads what the rows of the other file are found by; none where there is none.
    pub(super) fn of(session: &Session, piece: &Piece, index: usize) -> Result<Option<Self>, Error> {
        let Some((other, same)) = piece.other_file() else { return Ok(None) };
        let table = format!("ripcord_told_{index}");
        let files = [(other, places(other))];
        let told = Self::read_where(session, table, &files, places(piece), &|values| {
            let value = |place: usize| values.get(place).copied().unwrap_or(Value::Null);
            same.is_none_or(|(ours, left)| value(ours).is_same(value(left)))
        })?;
        let counted = piece.salvage.key.is_empty() && piece.salvage.what == SalvageKind::Rows;
        Ok(Some(Self { counted, found: same.is_some(), ..told }))
    }

    /// Reads columns of files, each by their places, into a table of this name.
    pub(super) fn read(
        session: &Session,
        table: String,
        files: &[(&Piece, Vec<usize>)],
        places: Vec<usize>,
    ) -> Result<Self, Error> {
        Self::read_where(session, table, files, places, &|_| true)
    }

    fn read_where(
        session: &Session,
        table: String,
        files: &[(&Piece, Vec<usize>)],
        places: Vec<usize>,
        is_asked: &dyn Fn(&[Value<'_>]) -> bool,
    ) -> Result<Self, Error> {
        session.run(DOING, &format!("DROP TABLE IF EXISTS temp.{table}"))?;
        session.run(
            DOING,
            &format!("CREATE TEMP TABLE {table} (row BLOB PRIMARY KEY, n INTEGER) WITHOUT ROWID"),
        )?;
        let failed = |error| session.failed(DOING, error);
        let insert = format!("INSERT INTO temp.{table} VALUES (?1, 1) ON CONFLICT DO UPDATE SET n = n + 1");
        let mut insert = session.prepare(&insert).map_err(failed)?;
        let mut row = Row::default();
        for (file, there) in files {
            Feed::File(file.source.as_ref()).each(session, &mut |values| {
                if !is_asked(values) {
                    return Ok(());
                }
                insert.execute([joined(&mut row, values, there)]).map(|_| ()).map_err(failed)
            })?;
        }
        drop(insert);
        Ok(Self { table, places, counted: false, found: false })
    }

    pub(super) fn look<'s>(&'s self, session: &'s Session) -> Result<Look<'s>, Error> {
        let sql = match self.counted {
            true => format!("UPDATE temp.{} SET n = n - 1 WHERE row = ?1 AND n > 0", self.table),
            false => format!("SELECT 1 FROM temp.{} WHERE row = ?1", self.table),
        };
        let select = session.prepare(&sql).map_err(|error| session.failed(DOING, error))?;
        Ok(Look { session, places: &self.places, select, counted: self.counted, row: Row::default() })
    }
}

impl Look<'_> {
    /// Tells whether a row is among them.
    pub(super) fn has(&mut self, values: &[Value<'_>]) -> Result<bool, Error> {
        let row = [joined(&mut self.row, values, self.places)];
        let found = match self.counted {
            true => self.select.execute(row).map(|count| count > 0),
            false => self.select.exists(row),
        };
        found.map_err(|error| self.session.failed(DOING, error))
    }
}

fn places(piece: &Piece) -> Vec<usize> {
    piece.matched_by().iter().filter_map(|name| piece.place_of(name)).collect()
}

/// Returns these values of a row, as bytes that no others have.
fn joined<'r>(row: &'r mut Row, values: &[Value<'_>], places: &[usize]) -> &'r [u8] {
    row.clear();
    places.iter().for_each(|place| row.push(values.get(*place).copied().unwrap_or(Value::Null)));
    row.bytes()
}
