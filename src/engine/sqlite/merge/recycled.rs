//! Keys that were given out again, looked for in the snapshot: SQLite numbers a new row by the largest key that is there,
//! unless the table counts.

use super::super::session::{Session, open_frozen};
use super::super::snapshot::file_in;
use super::DOING;
use super::feed::{Feed, value};
use crate::catalog::{Table, TableKind, TableName, quote};
use crate::engine::{Error, Mark, Marks, Piece, Recycled, SAMPLE, Value, Watch};
use crate::ledger::SalvageKind;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{Row, Rows};
use std::collections::BTreeMap;
use std::path::Path;

/// The table that is looked at: its names of now and of then.
pub(super) struct Subject<'a> {
    pub now: &'a TableName,
    pub then: &'a TableName,
    pub key: (&'a str, &'a str),
    pub live: &'a Table,
    /// How far the counters of then had come.
    pub sequences: &'a BTreeMap<String, i64>,
    /// Whether a column is one that the way there and back did not keep.
    pub is_about: &'a dyn Fn(&str) -> bool,
    /// Whether it is one of which any piece has values, so that it says nothing of who its row is not.
    pub is_changed: &'a dyn Fn(&str) -> bool,
    /// The files of rows that may have been put back, with the place of the key in each.
    pub put_back: Vec<(&'a Piece, usize)>,
    /// Whether every row holds under its key what it held, in all that was kept.
    pub is_untouched: bool,
    /// Whether the table was another one in between, which may have counted otherwise.
    pub remade: bool,
}

/// Looks at the rows from which values were salvaged.
pub(super) fn look(
    session: &Session,
    piece: &Piece,
    pieces: &[Piece],
    live: &Table,
) -> Result<Recycled, Error> {
    let named = Recycled { apart: true, ..Recycled::default() };
    let (Some(folder), [key]) = (&piece.snapshot, piece.salvage.key.as_slice()) else {
        return Ok(named);
    };
    if piece.salvage.what == SalvageKind::Rows {
        return Ok(named);
    }
    let subject = Subject {
        now: &piece.salvage.table,
        then: piece.table_then(),
        key: (key, piece.column_then(key)),
        live,
        sequences: &piece.fingerprint.sequences,
        is_untouched: piece.untouched.contains(&piece.salvage.table),
        is_about: &|name| piece.is_about(name),
        is_changed: &|name| {
            let of_table = pieces.iter().filter(|other| other.salvage.table == piece.salvage.table);
            let mut values = of_table.filter(|other| other.salvage.what == SalvageKind::Values);
            values.any(|other| other.is_about(name))
        },
        put_back: piece.put_back(&piece.salvage.table, key).collect(),
        remade: piece.remade,
    };
    look_at(session, folder, &subject)
}

/// Looks at the rows of a table, with the snapshot that has those of then.
pub(super) fn look_at(session: &Session, folder: &Path, subject: &Subject<'_>) -> Result<Recycled, Error> {
    let live = subject.live;
    if !is_numbered(live, subject.key.0) {
        return Ok(Recycled { apart: true, ..Recycled::default() });
    }
    let is_counted = live.is_counted() && !subject.remade;
    let again = match is_counted {
        true => set_back(session, subject)?,
        false => None,
    };
    // Then the end of the table was not given out again, unless somebody emptied the counter and it came as far as before.
    let is_above_all = is_counted && again.is_none();
    let found = Ends { session, subject, again }.by_snapshot(folder, is_above_all);
    let told = match found {
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        // A snapshot that cannot be read is no reason not to merge what was salvaged out of it.
        Err(_) => Recycled::unknown(again),
        Ok(told) => told,
    };
    Ok(match subject.is_untouched {
        true => told.untouched(),
        false if is_above_all => told.only_seen(),
        false => told,
    })
}

/// Tells whether rows get a number as their key.
pub(super) fn is_numbered(table: &Table, key: &str) -> bool {
    let mut columns = table.columns.iter().filter(|column| column.name == key);
    table.kind == TableKind::Virtual
        || columns.any(|column| column.type_name.to_ascii_uppercase().contains("INT"))
}

/// Returns how far the counter of a table has come, if it was further then.
fn set_back(session: &Session, subject: &Subject<'_>) -> Result<Option<i64>, Error> {
    let (table, before) = (&subject.now.name, &subject.then.name);
    let then = subject.sequences.iter().filter(|(name, _)| name.eq_ignore_ascii_case(before));
    let Some(then) = then.map(|(_, then)| *then).max() else { return Ok(None) };
    if !session.has_table("sqlite_sequence")? {
        return Ok(None);
    }
    let sql = "SELECT max(CAST(seq AS INTEGER)) FROM main.sqlite_sequence WHERE name = ?1 COLLATE NOCASE";
    let now: Option<i64> =
        session.query_row(sql, [table], |row| row.get(0)).map_err(|error| session.failed(DOING, error))?;
    Ok(Some(now.unwrap_or(0)).filter(|now| *now < then))
}

/// Returns the columns that are there now as they were then, without those that are left out.
pub(super) fn kept(live: &Table, then: &Table, is_left_out: &dyn Fn(&str) -> bool) -> Vec<String> {
    let is_stored = |table: &Table, wanted: &crate::catalog::Column| {
        let mut columns = table.columns.iter();
        columns.any(|column| {
            column.name == wanted.name
                && column.type_name.eq_ignore_ascii_case(&wanted.type_name)
                && column.generated.is_none()
        })
    };
    let kept = then.columns.iter().filter(|column| is_stored(then, column) && is_stored(live, column));
    let names = kept.map(|column| column.name.clone());
    names.filter(|name| !is_left_out(name)).collect()
}

/// The table then and now.
struct Ends<'a> {
    session: &'a Session,
    subject: &'a Subject<'a>,
    /// How far the counter has come that was further then.
    again: Option<i64>,
}

impl Ends<'_> {
    fn by_snapshot(&self, folder: &Path, is_above_all: bool) -> Result<Recycled, Error> {
        match self.watch(folder)? {
            Some((then, kept, watch)) if watch.tells() => {
                let mut watch = if is_above_all { watch.only_others() } else { watch };
                self.compare(&then, &kept, &mut watch)?;
                Ok(watch.end())
            }
            _ => Ok(Recycled::unknown(self.again)),
        }
    }

    /// Opens the snapshot, and looks at both ends for what tells rows apart; none where the table is not in it.
    fn watch(&self, folder: &Path) -> Result<Option<(Session, Vec<String>, Watch)>, Error> {
        let then = open_frozen(&file_in(folder), &self.session.cancel())?;
        let catalog = super::catalog::read(&then)?;
        let Some(table) = catalog.tables.get(self.subject.then) else { return Ok(None) };
        let (key, is_about) = (self.subject.key, self.subject.is_about);
        let kept = kept(self.subject.live, table, &|name| name == key.0 || name == key.1 || is_about(name));
        let old = self.sample(&then, &self.select_then(&kept), kept.len())?;
        let now = self.select(self.subject.now, self.subject.key.0, &kept, &[]);
        let new: Vec<Marks> =
            self.sample(self.session, &now, kept.len())?.into_iter().map(|(_, marks)| marks).collect();
        let is_changed = |at: &usize| (self.subject.is_changed)(&kept[*at]);
        let changed: Vec<usize> = (0..kept.len()).filter(is_changed).collect();
        let watch = Watch::new(&old, &new, self.again).of(&kept).without(&changed);
        Ok(Some((then, kept, watch)))
    }

    /// Returns rows of the end, with their keys.
    fn sample(&self, of: &Session, select: &str, width: usize) -> Result<Vec<(i64, Marks)>, Error> {
        let failed = |error| self.session.failed(DOING, error);
        let sql = format!("{select} LIMIT {SAMPLE}");
        let mut statement = of.prepare(&sql).map_err(failed)?;
        let read = |row: &Row<'_>| Ok((row.get::<_, Option<i64>>(0)?, marks(row, 1, width)?));
        let rows = statement.query_map([], read).map_err(failed)?;
        let rows: Vec<(Option<i64>, Marks)> = rows.collect::<Result<_, _>>().map_err(failed)?;
        Ok(rows.into_iter().filter_map(|(key, marks)| Some((key?, marks))).collect())
    }

    /// Returns the statement that reads the table of then from its last row on.
    fn select_then(&self, columns: &[String]) -> String {
        self.select(self.subject.then, self.subject.key.1, columns, &[])
    }

    /// Returns the statement that reads a table from its last row on, and what else is to be read of each.
    fn select(&self, table: &TableName, key: &str, columns: &[String], more: &[String]) -> String {
        let columns = columns.iter().map(|name| quote(name)).chain(more.iter().cloned());
        let list: String = columns.map(|column| format!(", {column}")).collect();
        let (table, key) = (table.sql(), quote(key));
        format!("SELECT {key}{list} FROM main.{table} WHERE typeof({key}) = 'integer' ORDER BY {key} DESC")
    }

    /// Goes down both tables side by side, until the watch has seen what there is to see.
    fn compare(&self, then: &Session, columns: &[String], watch: &mut Watch) -> Result<(), Error> {
        let failed = |error| self.session.failed(DOING, error);
        let mut old = then.prepare(&self.select_then(columns)).map_err(failed)?;
        let more = [self.put_back()?];
        let live = self.select(self.subject.now, self.subject.key.0, columns, &more);
        let mut new = self.session.prepare(&live).map_err(failed)?;
        let (mut old, mut new) = (old.query([]).map_err(failed)?, new.query([]).map_err(failed)?);
        new.advance().map_err(failed)?;
        let (asked, width) = (watch.asked(), columns.len());
        while let Some(was) = old.next().map_err(failed)? {
            if !watch.is_looking() && !watch.asks() {
                return Ok(());
            }
            let key: i64 = was.get(0).map_err(failed)?;
            while key_of(&new).map_err(failed)?.is_some_and(|live| live > key) {
                new.advance().map_err(failed)?;
            }
            let Some(is) = new.get() else { return Ok(()) };
            if is.get::<_, i64>(0).map_err(failed)? == key
                && (watch.is_looking() || differ(was, is, &asked).map_err(failed)?)
            {
                let (then, now) = (marks(was, 1, width), marks(is, 1, width));
                let is_put_back = is.get(width + 1).map_err(failed)?;
                watch.see(key, &then.map_err(failed)?, &now.map_err(failed)?, is_put_back);
            }
        }
        Ok(())
    }

    /// Returns the condition that a row may have been put back.
    fn put_back(&self) -> Result<String, Error> {
        if self.subject.put_back.is_empty() {
            return Ok("0".to_string());
        }
        let failed = |error| self.session.failed(DOING, error);
        let make = "DROP TABLE IF EXISTS temp.ripcord_put_back; CREATE TEMP TABLE ripcord_put_back (k INTEGER PRIMARY KEY)";
        self.session.run(DOING, make)?;
        let insert = "INSERT OR IGNORE INTO temp.ripcord_put_back VALUES (?1)";
        let mut insert = self.session.prepare(insert).map_err(failed)?;
        for (rows, place) in &self.subject.put_back {
            Feed::File(rows.source.as_ref()).each(self.session, &mut |values| match values[*place] {
                Value::Integer(key) => insert.execute([key]).map(drop).map_err(failed),
                _ => Ok(()),
            })?;
        }
        Ok(format!("EXISTS (SELECT 1 FROM temp.ripcord_put_back WHERE k = {})", quote(self.subject.key.0)))
    }
}

fn key_of(rows: &Rows<'_>) -> rusqlite::Result<Option<i64>> {
    rows.get().map(|row| row.get(0)).transpose()
}

/// Tells whether a row holds something else than it did in more than one of the first columns, or in all of the others; what was
/// NULL does not count.
fn differ(was: &Row<'_>, is: &Row<'_>, [several, all]: &[Vec<usize>; 2]) -> rusqlite::Result<bool> {
    let count = |columns: &[usize]| -> rusqlite::Result<(usize, usize)> {
        let (mut held, mut others) = (0, 0);
        for at in columns.iter().map(|at| at + 1) {
            let (was, is) = (value(was.get_ref(at)?), value(is.get_ref(at)?));
            let is_held = !matches!(was, Value::Null);
            held += usize::from(is_held);
            others += usize::from(is_held && !was.is_same(is));
        }
        Ok((held, others))
    };
    let (held, others) = count(all)?;
    Ok(count(several)?.1 > 1 || (held > 0 && held == others))
}

fn marks(row: &Row<'_>, from: usize, count: usize) -> rusqlite::Result<Marks> {
    (from..from + count).map(|at| Ok(Mark::of(value(row.get_ref(at)?)))).collect()
}
