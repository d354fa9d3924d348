//! Keys that were given out again, looked for in the snapshot: SQLite numbers a new row by the largest key that is there,
//! unless the table counts.

use super::super::session::{Session, open_frozen};
use super::super::snapshot::file_in;
use super::DOING;
use super::feed::{Feed, value};
use crate::catalog::{Table, TableKind, TableName, quote};
use crate::engine::{Error, Mark, Marks, Piece, Recycled, SAMPLE, Value, Watch};
use crate::ledger::SalvageKind;
use rusqlite::{OptionalExtension, Row};
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
    /// The files of rows that may have been put back, with the place of the key in each.
    pub put_back: Vec<(&'a Piece, usize)>,
    /// Whether the table was another one in between, which may have counted otherwise.
    pub remade: bool,
}

/// Looks at the rows from which values were salvaged.
pub(super) fn look(session: &Session, piece: &Piece, live: &Table) -> Result<Recycled, Error> {
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
        sequences: &piece.sequences,
        is_about: &|name| piece.is_about(name),
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
    let ends = Ends { session, subject, again };
    let found = match is_counted && again.is_none() {
        // No number was given out twice, unless by the way there and back.
        true => ends.watch(folder).map(|watch| {
            let apart = watch.is_some_and(|(_, _, watch)| watch.tells_apart());
            Recycled { apart, ..Recycled::default() }
        }),
        false => ends.by_snapshot(folder),
    };
    match found {
        Err(Error::Interrupted) => Err(Error::Interrupted),
        // A snapshot that cannot be read is no reason not to merge what was salvaged out of it.
        Err(_) if is_counted && again.is_none() => Ok(Recycled::default()),
        Err(_) => Ok(Recycled::unknown(again)),
        told => told,
    }
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
    fn by_snapshot(&self, folder: &Path) -> Result<Recycled, Error> {
        match self.watch(folder)? {
            Some((then, kept, mut watch)) if watch.tells() => {
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
        let now = self.select(self.subject.now, self.subject.key.0, &kept);
        let new: Vec<Marks> =
            self.sample(self.session, &now, kept.len())?.into_iter().map(|(_, marks)| marks).collect();
        let watch = Watch::new(&old, &new, self.again);
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
        self.select(self.subject.then, self.subject.key.1, columns)
    }

    /// Returns the statement that reads a table from its last row on.
    fn select(&self, table: &TableName, key: &str, columns: &[String]) -> String {
        let list: String = columns.iter().map(|name| format!(", {}", quote(name))).collect();
        let (table, key) = (table.sql(), quote(key));
        format!("SELECT {key}{list} FROM main.{table} WHERE typeof({key}) = 'integer' ORDER BY {key} DESC")
    }

    fn compare(&self, then: &Session, columns: &[String], watch: &mut Watch) -> Result<(), Error> {
        let failed = |error| self.session.failed(DOING, error);
        let mut old = then.prepare(&self.select_then(columns)).map_err(failed)?;
        let list: Vec<String> = columns.iter().map(|name| quote(name)).collect();
        let put_back = self.put_back()?;
        // A virtual table finds a row by `=` alone.
        let sql = format!(
            "SELECT {}{put_back} FROM main.{} WHERE {} = ?1",
            list.iter().map(|name| format!("{name}, ")).collect::<String>(),
            self.subject.now.sql(),
            quote(self.subject.key.0)
        );
        let mut new = self.session.prepare(&sql).map_err(failed)?;
        let mut rows = old.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let key: i64 = row.get(0).map_err(failed)?;
            let was = marks(row, 1, columns.len()).map_err(failed)?;
            let read = |live: &Row<'_>| Ok((marks(live, 0, columns.len())?, live.get(columns.len())?));
            let is = new.query_row([key], read).optional().map_err(failed)?;
            if is.is_some_and(|(is, put_back)| !watch.see(key, &was, &is, put_back)) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns the condition that the row of this key may have been put back.
    fn put_back(&self) -> Result<&'static str, Error> {
        if self.subject.put_back.is_empty() {
            return Ok("0");
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
        Ok("EXISTS (SELECT 1 FROM temp.ripcord_put_back WHERE k = ?1)")
    }
}

fn marks(row: &Row<'_>, from: usize, count: usize) -> rusqlite::Result<Marks> {
    (from..from + count).map(|at| Ok(Mark::of(value(row.get_ref(at)?)))).collect()
}
