//! What the way back left in a column that refers to keys which are put back, row by row: a file of salvage says it of those in
//! which it changed something.

use super::super::session::Session;
use super::DOING;
use super::feed::{Bound, Feed, fill};
use super::target::{Known, known};
use crate::catalog::{Table, quote};
use crate::engine::{Error, Piece, Shown};

/// The rows of the file in a temporary table: `v0`, `v1` … by which each is found, then what was salvaged of the column, and what
/// the way back left in it.
pub(super) struct Left {
    table: String,
    found_by: Vec<String>,
}

impl Left {
    /// Reads them into a table of this name; none where they do not say which row is which.
    pub(super) fn read(
        session: &Session,
        piece: &Piece,
        (live, column): (&Table, &str),
        name: &str,
    ) -> Result<Option<Self>, Error> {
        let find = |wanted: &str| live.columns.iter().find(|own| own.name.eq_ignore_ascii_case(wanted));
        let found_by = piece.matched_by().to_vec();
        let places: Option<Vec<usize>> = found_by.iter().map(|name| piece.place_of(name)).collect();
        let (Some(places), Some(column)) = (places, find(column)) else { return Ok(None) };
        let (Some(ours), true) =
            (piece.place_of(&column.name), found_by.iter().all(|name| find(name).is_some()))
        else {
            return Ok(None);
        };
        let base = known(session, piece, column)?;
        if matches!(base, Known::Unknown(_)) {
            return Ok(None);
        }
        let mut insert = fill(session, name, places.len() + 2)?;
        Feed::File(piece.source.as_ref()).each(session, &mut |values| {
            let by = places.iter().map(|place| values[*place]);
            let row = by.chain([values[ours], base.value(values)]).map(Bound);
            let added = insert.execute(rusqlite::params_from_iter(row));
            added.map(drop).map_err(|error| session.failed(DOING, error))
        })?;
        let by: Vec<String> = (0..places.len()).map(|at| format!("v{at}")).collect();
        let by = by.join(", ");
        session.run(DOING, &format!("CREATE INDEX temp.{name}_key ON {name} ({by})"))?;
        let left = Self { table: format!("temp.{name}"), found_by };
        let alike = format!("SELECT EXISTS (SELECT 1 FROM {} GROUP BY {by} HAVING count(*) > 1)", left.table);
        // What was left in rows that are alike only all of them together mean.
        Ok((session.one::<i64>(DOING, &alike)? == 0).then_some(left))
    }

    fn ours(&self) -> String {
        format!("x.v{}", self.found_by.len())
    }

    fn base(&self) -> String {
        format!("x.v{}", self.found_by.len() + 1)
    }

    fn has(&self, row: &str, condition: &str) -> String {
        let same = self.found_by.iter().enumerate();
        let same = same.map(|(at, name)| format!("x.v{at} IS +{row}.{}", quote(name)));
        let same: Vec<String> = same.collect();
        format!("EXISTS (SELECT 1 FROM {} AS x WHERE {} AND {condition})", self.table, same.join(" AND "))
    }

    /// Returns the condition that the way back left something else in a row than it held.
    pub(super) fn is_changed(&self, row: &str) -> String {
        self.has(row, &format!("{} IS NOT {}", self.base(), self.ours()))
    }

    /// Returns the condition that it left something else, and that is there.
    pub(super) fn is_there(&self, row: &str, column: &str) -> String {
        let (base, ours) = (self.base(), self.ours());
        self.has(row, &format!("{base} IS NOT {ours} AND {base} IS +{row}.{}", quote(column)))
    }

    /// Returns the condition that it left what the row held, and that is there.
    pub(super) fn is_kept(&self, row: &str, column: &str) -> String {
        let (base, ours) = (self.base(), self.ours());
        self.has(row, &format!("{base} IS {ours} AND {base} IS +{row}.{}", quote(column)))
    }

    /// Returns what its rows show beside the keys that move.
    pub(super) fn shown(&self, session: &Session, keys: &str) -> Result<Shown, Error> {
        let (table, base, ours) = (&self.table, self.base(), self.ours());
        let is = |what: &str| {
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} AS x {what})");
            Ok::<bool, Error>(session.one::<i64>(DOING, &sql)? == 1)
        };
        let follows = is(&format!("JOIN {keys} AS m ON m.old = {ours} WHERE m.now IS {base}"))?;
        let gives = is(&format!("WHERE {base} IS NOT NULL AND {base} IS NOT {ours}"))?;
        let strays = is(&format!(
            "LEFT JOIN {keys} AS m ON m.old = {ours} WHERE {base} IS NOT {ours} AND {base} IS NOT m.now \
             AND (m.now IS NOT NULL OR {ours} IS NULL)"
        ))?;
        Ok(Shown { follows, gives, strays, ..Shown::default() })
    }
}
