//! Putting single tables back, out of the snapshot's file, in one transaction.
//!
//! Foreign keys are off meanwhile, because what goes comes back in the same transaction; they are asked about before and
//! after, and a new broken one undoes everything.

use super::Site;
use super::merge::silence_triggers;
use super::scan::rowid_name;
use super::session::{Session, frozen_uri};
use super::snapshot::file_in;
use super::{catalog, findings, text_index};
use crate::base::{checkpoint, counted};
use crate::catalog::{Catalog, Finding, Table, TableName, quote};
use crate::engine::{Error, RestoredTable};
use crate::report::{Amount, Progress};
use std::path::Path;

const DOING: &str = "putting tables back";
/// Under what name the snapshot's file is attached.
const BEFORE: &str = "ripcord_before";

impl Site {
    /// Puts all of these tables back, or none.
    pub(super) fn restore_tables(
        &self,
        folder: &Path,
        tables: &[TableName],
        expected: &Catalog,
        progress: &Progress,
    ) -> Result<Vec<RestoredTable>, Error> {
        if self.options.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let uri = frozen_uri(&file_in(folder))?;
        self.with_writer(|writer| {
            let session = &writer.session;
            let attached = session.execute(&format!("ATTACH ?1 AS {BEFORE}"), [uri]);
            attached.map_err(|error| session.failed("opening the snapshot", error))?;
            silence_triggers(session, true)?;
            let outcome = session
                .run(DOING, "PRAGMA foreign_keys = OFF")
                .and_then(|()| session.run(DOING, "BEGIN IMMEDIATE"))
                .and_then(|()| {
                    let live = catalog::read(session)?;
                    self.refuse_unsaved(writer, &live, tables)?;
                    in_one_transaction(session, tables, (&live, expected), progress)
                });
            self.forget_present();
            session.end();
            let keys = session.run(DOING, "PRAGMA foreign_keys = ON");
            let triggers = silence_triggers(session, false);
            let detached = session.run(DOING, &format!("DETACH {BEFORE}"));
            let done = outcome?;
            keys.and(triggers).and(detached).map(|()| done)
        })
    }
}

fn in_one_transaction(
    session: &Session,
    tables: &[TableName],
    (live, expected): (&Catalog, &Catalog),
    progress: &Progress,
) -> Result<Vec<RestoredTable>, Error> {
    for name in tables {
        if let (Some(now), Some(then)) = (live.tables.get(name), expected.tables.get(name)) {
            refuse_other_columns(name, then, now)?;
        }
    }
    let known = findings::all_foreign_keys(session)?;
    let mut done = Vec::new();
    for name in tables {
        let Some(table) = expected.tables.get(name) else { continue };
        let is_there = live.tables.contains_key(name);
        let rows_before = if is_there { count(session, name)? } else { 0 };
        if is_there {
            session.run(DOING, &format!("DELETE FROM main.{}", name.sql()))?;
        } else {
            make(session, name, "type = 'table'")?;
        }
        fill(session, name, table)?;
        if !is_there {
            make(session, name, "type <> 'table'")?;
        }
        keep_counting(session, name)?;
        let rows = count(session, name)?;
        prove(session, name, table, rows)?;
        progress.at(&name.to_string(), Amount { rows, bytes: 0 }, None);
        checkpoint::reached("a table is put back");
        done.push(RestoredTable { table: name.clone(), created: !is_there, rows_before, rows });
    }
    refuse_new_broken_keys(session, tables, expected, &known)?;
    let stale = text_index::rebuild(session, &catalog::read(session)?, &tables.iter().cloned().collect())?;
    if let Some((index, detail)) = stale.into_iter().next() {
        return Err(Error::Driver { doing: format!("rebuilding the full-text index {index}"), detail });
    }
    checkpoint::reached("before the commit of tables");
    session.run("committing the tables", "COMMIT")?;
    checkpoint::reached("after the commit of tables");
    Ok(done)
}

/// Fails when the columns are others, or of other types: what the rows mean then is nobody's to say.
fn refuse_other_columns(name: &TableName, then: &Table, now: &Table) -> Result<(), Error> {
    let said = |table: &Table| -> Vec<String> {
        let columns = table.columns.iter();
        columns
            .map(|column| format!("{} {}", quote(&column.name), column.type_name).trim().to_string())
            .collect()
    };
    let (then, now) = (said(then), said(now));
    let gone: Vec<String> =
        then.iter().filter(|column| !now.contains(column)).map(|one| format!("{one} is gone")).collect();
    let new = now.iter().filter(|column| !then.contains(column)).map(|one| format!("{one} is new"));
    let differ: Vec<String> = gone.into_iter().chain(new).collect();
    if differ.is_empty() {
        return Ok(());
    }
    Err(Error::TableDiffers { table: name.clone(), detail: differ.join(", ") })
}

/// Makes what belongs to a table by the text that the snapshot has of it, in the order in which it was made there.
fn make(session: &Session, name: &TableName, what: &str) -> Result<(), Error> {
    let failed = |error| session.failed(DOING, error);
    let sql = format!(
        "SELECT sql FROM {BEFORE}.sqlite_schema WHERE tbl_name = ?1 COLLATE NOCASE AND {what} AND sql IS NOT NULL ORDER BY rowid"
    );
    let mut statement = session.prepare(&sql).map_err(failed)?;
    let found = statement.query_map([&name.name], |row| row.get::<_, String>(0)).map_err(failed)?;
    let texts: Vec<String> = found.collect::<Result<_, _>>().map_err(failed)?;
    drop(statement);
    texts.iter().try_for_each(|text| session.run(DOING, text))
}

/// Returns the columns of a table that hold something, with its rowid where it has one.
fn stored(table: &Table) -> Vec<String> {
    let columns = table.columns.iter().filter(|column| column.generated.is_none());
    let columns = columns.map(|column| quote(&column.name));
    // What refers to a row by its rowid must find it there again. A column that is the rowid says the same twice.
    rowid_name(table).into_iter().chain(columns).collect()
}

fn fill(session: &Session, name: &TableName, table: &Table) -> Result<(), Error> {
    let (list, name) = (stored(table).join(", "), name.sql());
    // Whatever the table asks for on a conflict: one must be an error here.
    let from = format!("SELECT {list} FROM {BEFORE}.{name}");
    session.run(DOING, &format!("INSERT OR ABORT INTO main.{name} ({list}) {from}"))
}

/// Lets the counter of an AUTOINCREMENT column go on from where it is, or was when the snapshot was taken: a number that
/// was given out is not given out again.
fn keep_counting(session: &Session, name: &TableName) -> Result<(), Error> {
    let counted: i64 = session
        .one(DOING, &format!("SELECT count(*) FROM {BEFORE}.sqlite_schema WHERE name = 'sqlite_sequence'"))?;
    if counted == 0 {
        return Ok(());
    }
    let sql = format!(
        "SELECT max(CAST(seq AS INTEGER)) FROM {BEFORE}.sqlite_sequence WHERE name = ?1 COLLATE NOCASE"
    );
    let failed = |error| session.failed(DOING, error);
    let then: Option<i64> = session.query_row(&sql, [&name.name], |row| row.get(0)).map_err(failed)?;
    then.map_or(Ok(()), |then| count_from(session, name, then))
}

/// Sets the counter of a table to no less than this. Where it has none, one is made only for a table that is counted.
pub(super) fn count_from(session: &Session, name: &TableName, then: i64) -> Result<(), Error> {
    if !session.has_table("sqlite_sequence")? {
        return Ok(());
    }
    let failed = |error| session.failed("setting sequences", error);
    let sql = "UPDATE sqlite_sequence SET seq = ?2 WHERE name = ?1 COLLATE NOCASE AND coalesce(CAST(seq AS INTEGER), 0) < ?2";
    session.execute(sql, rusqlite::params![name.name, then]).map_err(failed)?;
    let sql = "INSERT INTO sqlite_sequence (name, seq) SELECT s.name, ?2 FROM sqlite_schema s WHERE s.type = 'table'
        AND s.name = ?1 COLLATE NOCASE AND s.sql LIKE '%AUTOINCREMENT%'
        AND NOT EXISTS (SELECT 1 FROM sqlite_sequence q WHERE q.name = s.name)";
    session.execute(sql, rusqlite::params![name.name, then]).map(|_| ()).map_err(failed)
}

fn count(session: &Session, name: &TableName) -> Result<u64, Error> {
    let count: i64 = session.one(DOING, &format!("SELECT count(*) FROM main.{}", name.sql()))?;
    Ok(count.unsigned_abs())
}

/// Makes sure that the rows are those of the snapshot: as many, and none that is not there as well.
fn prove(session: &Session, name: &TableName, table: &Table, rows: u64) -> Result<(), Error> {
    let typed = |column: &String| format!("{column} COLLATE BINARY, typeof({column})");
    let (list, sql) = (stored(table).iter().map(typed).collect::<Vec<_>>().join(", "), name.sql());
    let expected: i64 = session.one(DOING, &format!("SELECT count(*) FROM {BEFORE}.{sql}"))?;
    let differ: i64 = session.one(
        DOING,
        &format!(
            "SELECT count(*) FROM (SELECT {list} FROM {BEFORE}.{sql} EXCEPT SELECT {list} FROM main.{sql})"
        ),
    )?;
    let expected = expected.unsigned_abs();
    if rows == expected && differ == 0 {
        return Ok(());
    }
    let found = rows.min(expected.saturating_sub(differ.unsigned_abs()));
    Err(Error::NotMerged { what: name.to_string(), expected, found })
}

/// Fails when a key points nowhere that did not before.
fn refuse_new_broken_keys(
    session: &Session,
    tables: &[TableName],
    expected: &Catalog,
    known: &[Finding],
) -> Result<(), Error> {
    let mut broken = findings::all_foreign_keys(session)?;
    broken.retain(|finding| !known.contains(finding));
    let Some(first) = broken.first() else { return Ok(()) };
    let failed = |error| session.failed(DOING, error);
    let mut statement = session
        .prepare("SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2")
        .map_err(failed)?;
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)))
        .map_err(failed)?;
    for row in rows {
        let (child, parent, count) = row.map_err(failed)?;
        let is_new = broken.iter().any(|finding| {
            finding.subject == child && finding.detail.contains(&format!(" no row in {parent} for "))
        });
        if !is_new {
            continue;
        }
        let rows = counted(count.unsigned_abs(), "row");
        let put_back = |name: &str| tables.iter().find(|table| table.name.eq_ignore_ascii_case(name));
        match (put_back(&child), put_back(&parent)) {
            (None, Some(table)) => {
                return Err(Error::ReferredTo { table: table.clone(), by: TableName::plain(child), rows });
            }
            (Some(table), None) => {
                // A key may spell it otherwise.
                let then = expected.tables.keys().find(|table| table.name.eq_ignore_ascii_case(&parent));
                let to = then.cloned().unwrap_or(TableName::plain(parent));
                return Err(Error::RefersTo { table: table.clone(), to, rows });
            }
            _ => {}
        }
    }
    Err(Error::ForeignKeys { count: broken.len(), first: format!("{}: {}", first.subject, first.detail) })
}
