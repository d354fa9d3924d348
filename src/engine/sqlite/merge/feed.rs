//! Rows on their way in: out of the file, or out of a table in which they wait.

use super::super::session::Session;
use super::DOING;
use super::new_keys::NewKeys;
use super::target::Target;
use super::told::Told;
use crate::engine::{Error, Inlet, Scalar, Value};
use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};
use std::cell::RefCell;

/// Where rows come from.
#[derive(Clone)]
pub(super) enum Feed<'p> {
    File(&'p dyn Inlet),
    /// The same without the rows that another file has as well.
    Rest(&'p dyn Inlet, Told),
    /// The same, each row with the key that it has now.
    NewKeys(Box<Self>, NewKeys),
    /// A temporary table, in the order in which it was filled.
    Table(String),
}

impl<'p> Feed<'p> {
    /// Returns the rows of a file that a target is to get.
    pub(super) fn of(session: &Session, target: &Target<'p>) -> Result<Self, Error> {
        let source = target.piece.source.as_ref();
        let rows = match Told::of(session, target.piece, target.index)? {
            Some(told) => Self::Rest(source, told),
            None => Self::File(source),
        };
        Ok(match &target.new_keys {
            Some(keys) => Self::NewKeys(Box::new(rows), keys.clone()),
            None => rows,
        })
    }

    /// Hands over each row.
    pub(super) fn each(
        &self,
        session: &Session,
        take: &mut dyn FnMut(&[Value<'_>]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self {
            Self::File(source) => each_of_file(session, *source, take),
            Self::Rest(source, told) => {
                let mut look = told.look(session)?;
                each_of_file(session, *source, &mut |values| match look.has(values)? == told.found {
                    true => take(values),
                    false => Ok(()),
                })
            }
            Self::NewKeys(rows, keys) => {
                keys.begin();
                rows.each(session, &mut |values| match keys.of_now(session, values)? {
                    None => take(values),
                    Some(now) => take(&now.iter().map(Scalar::as_value).collect::<Vec<_>>()),
                })
            }
            Self::Table(name) => {
                // In runs: undoing a row that was refused ends every statement that is under way.
                let mut after = 0;
                loop {
                    let (last, rows) = run_of_rows(session, name, after)?;
                    for row in &rows {
                        let values: Vec<Value<'_>> = row.iter().map(Scalar::as_value).collect();
                        take(&values)?;
                    }
                    if rows.is_empty() {
                        return Ok(());
                    }
                    after = last;
                }
            }
        }
    }
}

fn each_of_file(
    session: &Session,
    source: &dyn Inlet,
    take: &mut dyn FnMut(&[Value<'_>]) -> Result<(), Error>,
) -> Result<(), Error> {
    let cancel = session.cancel();
    source.each(&mut |values| {
        if cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        take(values)
    })
}

/// Reads the next rows of a temporary table, and returns the rowid of the last one with them.
fn run_of_rows(session: &Session, name: &str, after: i64) -> Result<(i64, Vec<Vec<Scalar>>), Error> {
    let failed = |error| session.failed(DOING, error);
    let sql = format!("SELECT rowid, * FROM temp.{name} WHERE rowid > ?1 ORDER BY rowid LIMIT 64");
    let mut statement = session.prepare_cached(&sql).map_err(failed)?;
    let width = statement.column_count();
    let mut found = statement.query([after]).map_err(failed)?;
    let (mut last, mut rows) = (after, Vec::new());
    while let Some(row) = found.next().map_err(failed)? {
        last = row.get(0).map_err(failed)?;
        let values = (1..width).map(|index| row.get_ref(index).map(|found| value(found).to_scalar()));
        rows.push(values.collect::<Result<Vec<_>, _>>().map_err(failed)?);
    }
    Ok((last, rows))
}

/// A temporary table for rows that were refused, with the reason as the last column.
pub(super) struct Aside<'s> {
    session: &'s Session,
    insert: RefCell<rusqlite::Statement<'s>>,
}

impl<'s> Aside<'s> {
    pub(super) fn name(target: &Target<'_>, round: u32) -> String {
        format!("ripcord_refused_{}_{round}", target.index)
    }

    pub(super) fn create(session: &'s Session, target: &Target<'_>, round: u32) -> Result<Self, Error> {
        let name = Self::name(target, round);
        let insert = fill(session, &name, target.width + 1)?;
        Ok(Self { session, insert: RefCell::new(insert) })
    }

    pub(super) fn keep(&self, values: &[Value<'_>], why: &str) -> Result<(), Error> {
        let all = values.iter().copied().chain([Value::Text(why.as_bytes())]).map(Bound);
        let kept = self.insert.borrow_mut().execute(rusqlite::params_from_iter(all));
        kept.map(|_| ()).map_err(|error| self.session.failed(DOING, error))
    }
}

/// Makes a temporary table of columns v0, v1 … that keep every value as it is, and returns the statement that fills it.
pub(super) fn fill<'s>(
    session: &'s Session,
    name: &str,
    width: usize,
) -> Result<rusqlite::Statement<'s>, Error> {
    let columns: Vec<String> = (0..width).map(|index| format!("v{index}")).collect();
    session.run(DOING, &format!("DROP TABLE IF EXISTS temp.{name}"))?;
    session.run(DOING, &format!("CREATE TEMP TABLE {name} ({})", columns.join(", ")))?;
    let marks = vec!["?"; width].join(", ");
    let sql = format!("INSERT INTO temp.{name} VALUES ({marks})");
    session.prepare(&sql).map_err(|error| session.failed(DOING, error))
}

/// A value as a parameter.
#[derive(Clone, Copy)]
pub(super) struct Bound<'v>(pub Value<'v>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Integer(number) => ToSqlOutput::Borrowed(ValueRef::Integer(number)),
            Value::Real(number) => ToSqlOutput::Borrowed(ValueRef::Real(number)),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text)),
            Value::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

/// A value as SQLite hands it out.
pub(super) fn value(value: ValueRef<'_>) -> Value<'_> {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(text),
        ValueRef::Blob(bytes) => Value::Blob(bytes),
    }
}
