//! Whole rows.

use super::super::session::Session;
use super::feed::{Bound, value};
use super::side::{self, Side};
use super::target::{Hand, Target};
use super::{DOING, TURNED, Written, guarded, written};
use crate::catalog::quote;
use crate::engine::{BOTH_CHANGED, Conflict, Error, HALF, Merged, RETAKEN, STRANGER, Value};
use rusqlite::Statement;

/// Inserts the rows of one piece that are not there.
pub(super) struct RowHand<'s> {
    session: &'s Session,
    target: &'s Target<'s>,
    select: Statement<'s>,
    insert: Statement<'s>,
}

/// The row that has the key now.
enum Live {
    Absent,
    Same,
    /// Another one, as a JSON object.
    Other(String),
}

impl<'s> RowHand<'s> {
    pub(super) fn new(session: &'s Session, target: &'s Target<'s>) -> Result<Self, Error> {
        let failed = |error| session.failed(DOING, error);
        let columns: Vec<String> = target.columns.iter().map(|column| quote(&column.name)).collect();
        let (list, table) = (columns.join(", "), target.table.sql());
        let select = format!("SELECT {list} FROM main.{table} WHERE {}", target.condition);
        let marks = vec!["?"; columns.len()].join(", ");
        // A table may ask for conflicts to be replaced or ignored, which would cost rows written since.
        let insert = format!("INSERT OR ABORT INTO main.{table} ({list}) VALUES ({marks})");
        let (select, insert) =
            (session.prepare(&select).map_err(failed)?, session.prepare(&insert).map_err(failed)?);
        Ok(Self { session, target, select, insert })
    }

    /// Inserts the row. Where a column has another type than it had, makes sure that the row holds what was salvaged; the
    /// one who called undoes what is refused.
    fn put(&mut self, values: &[Value<'_>]) -> Result<Written, Error> {
        let ours = self.target.columns.iter().map(|column| Bound(values[column.place]));
        let written = written(self.session, self.insert.execute(rusqlite::params_from_iter(ours)))?;
        if written != Written::Done || !self.target.columns.iter().any(|column| column.retyped) {
            return Ok(written);
        }
        Ok(match self.is_as_salvaged(values)? {
            true => Written::Done,
            false => Written::Refused(TURNED.to_string()),
        })
    }

    fn is_as_salvaged(&mut self, values: &[Value<'_>]) -> Result<bool, Error> {
        if !self.target.found_by.is_empty() {
            return Ok(matches!(self.look(values)?, Live::Same));
        }
        let Some(rowid) = &self.target.rowid else { return Ok(false) };
        let failed = |error| self.session.failed(DOING, error);
        let columns: Vec<String> = self.target.columns.iter().map(|column| quote(&column.name)).collect();
        let table = self.target.table.sql();
        let sql =
            format!("SELECT {} FROM main.{table} WHERE {rowid} = last_insert_rowid()", columns.join(", "));
        let mut select = self.session.prepare_cached(&sql).map_err(failed)?;
        let mut rows = select.query([]).map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else { return Ok(false) };
        for (index, column) in self.target.columns.iter().enumerate() {
            if !values[column.place].is_same(value(row.get_ref(index).map_err(failed)?)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells whether another row has its key now.
    pub(super) fn is_taken(&mut self, values: &[Value<'_>]) -> Result<bool, Error> {
        Ok(matches!(self.look(values)?, Live::Other(_)))
    }

    fn would_hang_on_another(&self, values: &[Value<'_>]) -> Result<bool, Error> {
        for guard in &self.target.guards {
            if guard.is_met(self.session, values)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn look(&mut self, values: &[Value<'_>]) -> Result<Live, Error> {
        if self.target.found_by.is_empty() {
            // Without a key those that could be meant by a live row were taken out beforehand.
            return Ok(Live::Absent);
        }
        let failed = |error| self.session.failed(DOING, error);
        let found = rusqlite::params_from_iter(self.target.found(values).map(Bound));
        let mut rows = self.select.query(found).map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else { return Ok(Live::Absent) };
        let mut theirs = Vec::with_capacity(self.target.columns.len());
        for index in 0..self.target.columns.len() {
            theirs.push(value(row.get_ref(index).map_err(failed)?));
        }
        let columns = || self.target.columns.iter();
        if columns().zip(&theirs).all(|(column, theirs)| values[column.place].is_same(*theirs)) {
            return Ok(Live::Same);
        }
        Ok(Live::Other(side::object(
            columns().zip(theirs).map(|(column, value)| (column.name.as_str(), value)),
        )))
    }

    fn conflict(
        &self,
        values: &[Value<'_>],
        theirs: Option<String>,
        reason: &str,
        side: &mut Side<'_>,
    ) -> Result<(), Error> {
        let columns = self.target.columns.iter();
        side.add(Conflict {
            table: self.target.table.clone(),
            key: side::key(self.target.piece, values),
            column: None,
            base: None,
            ours: Some(side::object(columns.map(|column| (column.name.as_str(), values[column.place])))),
            theirs,
            reason: reason.to_string(),
        })
    }
}

impl Hand for RowHand<'_> {
    fn row(
        &mut self,
        values: &[Value<'_>],
        merged: &mut [Merged],
        side: &mut Side<'_>,
    ) -> Result<Written, Error> {
        if self.target.columns.iter().any(|column| self.target.is_half(values[column.place])) {
            merged[0].conflicts += 1;
            self.conflict(values, None, HALF, side)?;
            return Ok(Written::Done);
        }
        match self.look(values)? {
            Live::Same => merged[0].already += 1,
            Live::Other(theirs) => {
                merged[0].conflicts += 1;
                self.conflict(values, Some(theirs), BOTH_CHANGED, side)?;
            }
            // Under another number it may be there.
            Live::Absent if self.target.broken => {
                merged[0].conflicts += 1;
                self.conflict(values, None, RETAKEN, side)?;
            }
            Live::Absent if self.would_hang_on_another(values)? => {
                merged[0].conflicts += 1;
                self.conflict(values, None, STRANGER, side)?;
            }
            Live::Absent => {
                let outcome = guarded(self.session, self.target, || self.put(values))?;
                if outcome != Written::Done {
                    return Ok(outcome);
                }
                merged[0].merged += 1;
            }
        }
        Ok(Written::Done)
    }

    fn vacate(&mut self, _: &[Value<'_>], _: u64) -> Result<Written, Error> {
        Ok(Written::Done)
    }

    fn place(&mut self, values: &[Value<'_>], _: u64, merged: &mut [Merged]) -> Result<Written, Error> {
        let outcome = match self.look(values)? {
            Live::Absent => self.put(values)?,
            // It has come meanwhile, and is counted when it is looked at by itself.
            Live::Same | Live::Other(_) => Written::Refused(BOTH_CHANGED.to_string()),
        };
        merged[0].merged += u64::from(outcome == Written::Done);
        Ok(outcome)
    }

    fn differing(&mut self, _: &[Value<'_>], _: &mut Side<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn give_up(
        &mut self,
        values: &[Value<'_>],
        why: &str,
        merged: &mut [Merged],
        side: &mut Side<'_>,
    ) -> Result<(), Error> {
        merged[0].conflicts += 1;
        self.conflict(values, None, why, side)
    }
}
