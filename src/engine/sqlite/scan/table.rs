//! How one table is read: which columns in which order, by which ranges.

use super::super::raw::Cursor;
use super::super::session::Session;
use super::encode::Row;
use crate::catalog::{Column, Table, TableName, quote};
use crate::engine::Error;
use crate::fingerprint::{NotCompared, TableFingerprint, TableHasher};

/// Rowids from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub first: i64,
    pub last: i64,
}

impl Range {
    /// Returns how many rows can be in it.
    pub(super) fn room(self) -> u64 {
        u64::try_from(i128::from(self.last) - i128::from(self.first) + 1).unwrap_or_default()
    }

    /// Returns the two halves of what comes after `done`; `None` when there are not two rowids left.
    fn halves_after(self, done: i64) -> Option<(Range, Range)> {
        let first = done.checked_add(1)?;
        let left = i128::from(self.last) - i128::from(first);
        if left < 1 {
            return None;
        }
        // Fits: the middle lies between two rowids.
        let middle = i64::try_from(i128::from(first) + left / 2).ok()?;
        Some((Range { first, last: middle }, Range { first: middle + 1, last: self.last }))
    }
}

/// How to read one table.
pub(super) struct Reading {
    pub name: TableName,
    /// The columns in the order of their names.
    columns: Vec<String>,
    key: Vec<String>,
    key_places: Vec<usize>,
    /// What names the rowid, when the table has one that can be named.
    rowid: Option<String>,
    wide: bool,
}

impl Reading {
    /// Decides how to read a table. Returns what of it cannot be read as well: generated columns whose function only the
    /// application has.
    pub(super) fn plan(
        session: &Session,
        name: &TableName,
        table: &Table,
    ) -> Result<(Self, Vec<NotCompared>), Error> {
        let (readable, left_out) = readable_columns(session, name, &table.columns)?;
        let mut columns: Vec<String> = readable.into_iter().map(|column| column.name.clone()).collect();
        columns.sort();
        let place = |part: &String| columns.iter().position(|column| column == part);
        let key_places: Option<Vec<usize>> = table.key.iter().map(place).collect();
        // A key that cannot be read identifies nothing here.
        let key = if key_places.is_some() { table.key.clone() } else { Vec::new() };
        let reading = Self {
            rowid: rowid_name(table),
            key_places: key_places.unwrap_or_default(),
            key,
            columns,
            name: name.clone(),
            wide: session.is_wide()?,
        };
        Ok((reading, left_out))
    }

    /// Returns the range of all rowids; `None` when the table is read as a whole.
    pub(super) fn whole(&self, session: &Session) -> Result<Option<Range>, Error> {
        let Some(rowid) = &self.rowid else { return Ok(None) };
        let bound = |function: &str| -> Result<Option<i64>, Error> {
            // Each alone is one step to the end of the tree; both in one query would read the whole table.
            session.one("reading rows", &format!("SELECT {function}({rowid}) FROM {}", self.name.sql()))
        };
        // An empty range reads nothing, and that is what an empty table has.
        let empty = Range { first: 1, last: 0 };
        Ok(Some(match (bound("min")?, bound("max")?) {
            (Some(first), Some(last)) => Range { first, last },
            _ => empty,
        }))
    }

    pub(super) fn hasher(&self) -> TableHasher {
        TableHasher::new(self.columns.len())
    }

    /// Begins to read.
    pub(super) fn rows<'c>(&'c self, session: &'c Session, range: Option<Range>) -> Result<Rows<'c>, Error> {
        let columns: Vec<String> = self.columns.iter().map(|column| quote(column)).collect();
        let mut sql = String::from("SELECT ");
        if let (Some(rowid), Some(_)) = (&self.rowid, range) {
            sql.push_str(&format!("{rowid}, "));
        }
        sql.push_str(if columns.is_empty() { "NULL" } else { "" });
        sql.push_str(&format!("{} FROM {} NOT INDEXED", columns.join(", "), self.name.sql()));
        if let (Some(rowid), Some(_)) = (&self.rowid, range) {
            sql.push_str(&format!(" WHERE {rowid} BETWEEN ?1 AND ?2"));
        }
        let failed = |error| session.failed("reading rows", error);
        let mut cursor = Cursor::prepare(session, &sql, self.wide).map_err(failed)?;
        if let Some(range) = range {
            cursor.bind(1, range.first).and_then(|()| cursor.bind(2, range.last)).map_err(failed)?;
        }
        Ok(Rows { reading: self, cursor, range, at: i64::MIN, row: Row::default() })
    }

    pub(super) fn finish(self, hasher: TableHasher) -> (TableName, TableFingerprint) {
        let fingerprint = hasher.finish(&self.columns, &self.key);
        (self.name, fingerprint)
    }
}

/// The rows of one range.
pub(super) struct Rows<'c> {
    reading: &'c Reading,
    cursor: Cursor<'c>,
    range: Option<Range>,
    at: i64,
    row: Row,
}

impl Rows<'_> {
    /// Goes to the next row.
    pub(super) fn next(&mut self, session: &Session) -> Result<bool, Error> {
        if !self.cursor.step().map_err(|error| session.failed("reading rows", error))? {
            return Ok(false);
        }
        let Some(range) = self.range else { return Ok(true) };
        self.at = self.cursor.integer(0);
        // The range ends earlier than the statement when its second half was given away.
        Ok(self.at <= range.last)
    }

    /// Returns the range as it is now: what was given away is not in it.
    pub(super) fn range(&self) -> Option<Range> {
        self.range
    }

    /// Adds the present row.
    pub(super) fn add_to(&mut self, hasher: &mut TableHasher) {
        let first = i32::from(self.range.is_some());
        // SQLite has at most 32767 columns.
        let count = i32::try_from(self.reading.columns.len()).unwrap_or(i32::MAX);
        self.row.fill(&self.cursor, first, count);
        self.row.join_key(&self.reading.key_places);
        hasher.add_row(self.row.bytes(), self.row.key(), self.row.values());
    }

    /// Gives away the second half of what is left to read, if there is enough.
    pub(super) fn give_away(&mut self) -> Option<Range> {
        let range = self.range.as_mut()?;
        let (mine, theirs) = range.halves_after(self.at)?;
        range.last = mine.last;
        Some(theirs)
    }
}

/// Returns the columns that a query can name here and a note on every other one.
fn readable_columns<'t>(
    session: &Session,
    name: &TableName,
    columns: &'t [Column],
) -> Result<(Vec<&'t Column>, Vec<NotCompared>), Error> {
    let (mut readable, mut left_out) = (Vec::new(), Vec::new());
    for column in columns {
        if column.generated.is_some() {
            let sql = format!("SELECT {} FROM {} NOT INDEXED", quote(&column.name), name.sql());
            match session.prepare(&sql) {
                Ok(_) => {}
                Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown) => {
                    let detail = super::super::failure::detail(&error);
                    let reason = format!("its value cannot be computed here: {detail}");
                    left_out.push(NotCompared { subject: format!("{name}.{}", column.name), reason });
                    continue;
                }
                Err(error) => return Err(session.failed("reading rows", error)),
            }
        }
        readable.push(column);
    }
    Ok((readable, left_out))
}

/// Returns a word that means the rowid in this table: a column may bear each of the three names.
pub(in super::super) fn rowid_name(table: &Table) -> Option<String> {
    if table.options.contains_key("without rowid") {
        return None;
    }
    let taken = |word: &&str| table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(word));
    ["rowid", "_rowid_", "oid"].into_iter().find(|word| !taken(word)).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_halves_are_what_is_left_and_nothing_twice(mut rowids in any::<[i64; 3]>()) {
            rowids.sort_unstable();
            let [first, done, last] = rowids;
            match (Range { first, last }).halves_after(done) {
                None => prop_assert!(i128::from(last) - i128::from(done) <= 1),
                Some((left, right)) => {
                    prop_assert_eq!((left.first, right.last), (done + 1, last));
                    prop_assert_eq!(left.last + 1, right.first);
                    prop_assert!(left.first <= left.last && right.first <= right.last);
                }
            }
        }
    }
}
