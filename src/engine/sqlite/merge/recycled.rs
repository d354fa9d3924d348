//! Keys that were given out again: SQLite numbers a new row by the largest key that is there, so that of a row that was
//! deleted from the end the next one takes the number, and would get its values.
//!
//! Only the end of a table can have been given out again: a row that is still the one of then shows that all numbers below
//! it are. So the snapshot is read from its last row on, until one is recognised by a column that the way there and back
//! kept and that tells rows apart.

use super::super::session::{Session, open_frozen};
use super::super::snapshot::file_in;
use super::DOING;
use super::feed::value;
use crate::catalog::{Table, quote};
use crate::engine::{Error, Piece, Scalar, Value};
use crate::ledger::SalvageKind;
use std::path::Path;

/// So many rows of the end say whether a column tells rows apart.
const SAMPLE: u32 = 256;

/// Which keys may be of other rows now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recycled {
    /// None: the engine gives out none of them twice.
    None,
    /// Those above this one, because none of their rows holds what it held.
    Above(i64),
    /// No column tells.
    Untold,
}

impl Recycled {
    pub(super) fn holds(self, key: Option<&Value<'_>>) -> bool {
        matches!((self, key), (Self::Above(last), Some(Value::Integer(key))) if *key > last)
    }

    /// Looks at the rows from which values were salvaged.
    pub(super) fn of(session: &Session, piece: &Piece, live: &Table) -> Result<Self, Error> {
        let (Some(folder), [key]) = (&piece.snapshot, piece.salvage.key.as_slice()) else {
            return Ok(Self::None);
        };
        if piece.salvage.what == SalvageKind::Rows || !is_numbered(live, key) {
            return Ok(Self::None);
        }
        match Self::by_snapshot(session, piece, live, (folder, key)) {
            Err(Error::Interrupted) => Err(Error::Interrupted),
            // A snapshot that cannot be read is no reason not to merge what was salvaged out of it.
            Err(_) => Ok(Self::Untold),
            told => told,
        }
    }

    fn by_snapshot(
        session: &Session,
        piece: &Piece,
        live: &Table,
        (folder, key): (&Path, &str),
    ) -> Result<Self, Error> {
        let then = open_frozen(&file_in(folder), &session.cancel())?;
        let catalog = super::catalog::read(&then)?;
        let Some(table) = catalog.tables.get(&piece.salvage.table) else { return Ok(Self::Untold) };
        let kept = kept(piece, table, live);
        let ends = [End { session: &then, piece, key }, End { session, piece, key }];
        let telling = telling(&ends, &kept)?;
        if telling.is_empty() {
            return Ok(Self::Untold);
        }
        last_known(&ends, &telling).map(Self::Above)
    }
}

/// Tells whether SQLite numbers the rows by their key, and may give out a number twice.
fn is_numbered(table: &Table, key: &str) -> bool {
    let mut columns = table.columns.iter().filter(|column| column.name == key);
    let counted = |text: &String| text.to_ascii_uppercase().contains("AUTOINCREMENT");
    columns.any(|column| column.type_name.eq_ignore_ascii_case("INTEGER"))
        && !table.constraints.values().any(counted)
}

/// Returns the columns that are there now as they were then, without the key and what was salvaged.
fn kept(piece: &Piece, then: &Table, live: &Table) -> Vec<String> {
    let is_stored = |table: &Table, wanted: &crate::catalog::Column| {
        let mut columns = table.columns.iter();
        columns.any(|column| {
            column.name == wanted.name
                && column.type_name.eq_ignore_ascii_case(&wanted.type_name)
                && column.generated.is_none()
        })
    };
    let is_ours = |name: &String| piece.salvage.key.contains(name) || piece.salvage.columns.contains(name);
    let kept = then.columns.iter().filter(|column| is_stored(then, column) && is_stored(live, column));
    kept.map(|column| column.name.clone()).filter(|name| !is_ours(name)).collect()
}

/// The table then, or now.
struct End<'a> {
    session: &'a Session,
    piece: &'a Piece,
    key: &'a str,
}

impl End<'_> {
    /// Returns how many rows there are at the end, and how many different values each column has in them.
    fn sample(&self, columns: &[String]) -> Result<(u64, Vec<u64>), Error> {
        let counts = columns.iter().map(|column| {
            let column = quote(column);
            format!(", count(DISTINCT {column}) + (count({column}) < count(*))")
        });
        let (counts, table, key) =
            (counts.collect::<String>(), self.piece.salvage.table.sql(), quote(self.key));
        let sql = format!(
            "SELECT count(*){counts} FROM (SELECT * FROM main.{table} ORDER BY {key} DESC LIMIT {SAMPLE})"
        );
        let read = |row: &rusqlite::Row<'_>| {
            let counts = (1..=columns.len()).map(|at| row.get::<_, i64>(at).map(i64::unsigned_abs));
            Ok((row.get::<_, i64>(0)?.unsigned_abs(), counts.collect::<Result<_, _>>()?))
        };
        self.session.query_row(&sql, [], read).map_err(|error| self.session.failed(DOING, error))
    }
}

/// Returns the columns by which a row can be recognised: in which, then and now, most rows have a value of their own; where
/// there is none, those that had the most values.
fn telling(ends: &[End<'_>; 2], columns: &[String]) -> Result<Vec<String>, Error> {
    let samples = [ends[0].sample(columns)?, ends[1].sample(columns)?];
    let all = |is_good: &dyn Fn(u64, u64) -> bool, at: usize| {
        samples.iter().all(|(rows, counts)| *rows <= 1 || is_good(counts[at], *rows))
    };
    let chosen = |is_good: &dyn Fn(u64, u64) -> bool| -> Vec<usize> {
        (0..columns.len()).filter(|at| all(is_good, *at)).collect()
    };
    let mut places = chosen(&|count, rows| count * 2 > rows);
    if places.is_empty() {
        places = chosen(&|count, _| count > 1);
        let most = places.iter().map(|at| samples[0].1[*at]).max();
        places.retain(|at| Some(samples[0].1[*at]) == most);
    }
    Ok(places.into_iter().map(|at| columns[at].clone()).collect())
}

/// Returns the largest key whose row still holds what it held in one of these columns.
fn last_known([then, now]: &[End<'_>; 2], columns: &[String]) -> Result<i64, Error> {
    let list = columns.iter().map(|column| quote(column)).collect::<Vec<_>>().join(", ");
    let (table, key) = (then.piece.salvage.table.sql(), quote(then.key));
    let failed = |error| now.session.failed(DOING, error);
    let sql = format!("SELECT {key}, {list} FROM main.{table} ORDER BY {key} DESC");
    let mut old = then.session.prepare(&sql).map_err(failed)?;
    let sql = format!("SELECT {list} FROM main.{table} WHERE {key} IS ?1");
    let mut new = now.session.prepare(&sql).map_err(failed)?;
    let mut rows = old.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let number: Option<i64> = row.get(0).map_err(failed)?;
        let Some(number) = number else { continue };
        let mut found = new.query([number]).map_err(failed)?;
        let Some(live) = found.next().map_err(failed)? else { continue };
        for at in 0..columns.len() {
            let was: Scalar = value(row.get_ref(at + 1).map_err(failed)?).to_scalar();
            if was.as_value().is_same(value(live.get_ref(at).map_err(failed)?)) {
                return Ok(number);
            }
        }
    }
    Ok(i64::MIN)
}
