//! Conflicts: written into a side table as they are found, the first few returned.

use super::super::session::Session;
use super::DOING;
use crate::catalog::{TableName, quote};
use crate::engine::{CONFLICTS_NAMED, Conflict, Error, Piece, RETAKEN, Twice, Value, side_table_name};
use rusqlite::params;
use std::collections::BTreeMap;

/// The side table of one operation; made with the first conflict.
pub(super) struct Side<'s> {
    session: &'s Session,
    name: String,
    made: bool,
    first: Vec<Conflict>,
    retaken: BTreeMap<TableName, u64>,
}

impl<'s> Side<'s> {
    /// Begins with nothing: what an earlier attempt of the same operation wrote is written again.
    pub(super) fn new(session: &'s Session, operation: &str) -> Result<Self, Error> {
        let name = side_table_name(operation);
        session.run(DOING, &format!("DROP TABLE IF EXISTS main.{}", quote(&name)))?;
        Ok(Self { session, name, made: false, first: Vec::new(), retaken: BTreeMap::new() })
    }

    pub(super) fn add(&mut self, conflict: Conflict) -> Result<(), Error> {
        let name = quote(&self.name);
        if !self.made {
            let create = format!(
                "CREATE TABLE main.{name} (\"table\" TEXT NOT NULL, \"key\" TEXT NOT NULL, \"column\" TEXT, \
                 base TEXT, ours TEXT, theirs TEXT, reason TEXT NOT NULL)"
            );
            self.session.run("making the side table", &create)?;
            self.made = true;
        }
        let sql = format!("INSERT INTO main.{name} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
        let failed = |error| self.session.failed("writing down a conflict", error);
        let values = params![
            conflict.table.to_string(),
            conflict.key,
            conflict.column,
            conflict.base,
            conflict.ours,
            conflict.theirs,
            conflict.reason
        ];
        self.session.prepare_cached(&sql).and_then(|mut insert| insert.execute(values)).map_err(failed)?;
        if conflict.reason == RETAKEN {
            *self.retaken.entry(conflict.table.clone()).or_default() += 1;
        }
        if self.first.len() < CONFLICTS_NAMED {
            self.first.push(conflict);
        }
        Ok(())
    }

    /// Takes out the conflicts of a column that the later of two files repeats; returns how many.
    pub(super) fn leave_out_twice(
        &mut self,
        table: &TableName,
        twice: &Twice<'_>,
        column: &str,
    ) -> Result<u64, Error> {
        if !self.made {
            return Ok(0);
        }
        let (name, literal) = (quote(&self.name), |text: &str| format!("'{}'", text.replace('\'', "''")));
        let by = twice.by.iter().map(|name| {
            format!("(SELECT j.value FROM json_each(s.\"key\") AS j WHERE j.key = {})", literal(name))
        });
        let by = format!("json_array({})", by.collect::<Vec<_>>().join(", "));
        // A conflict of either file is told by as many columns as that one tells rows by, and by these.
        let of = |told_by: &[String]| {
            let names: Vec<String> = told_by.iter().map(|name| literal(name)).collect();
            format!(
                "FROM main.{name} AS s WHERE s.\"table\" = ?1 AND s.\"column\" = ?2 AND (SELECT count(*) = {count} AND \
                 coalesce(sum(j.key IN ({})), 0) = {count} FROM json_each(s.\"key\") AS j)",
                names.join(", "),
                count = names.len(),
            )
        };
        let sql = format!(
            "DELETE FROM main.{name} WHERE rowid IN (SELECT l.place FROM (SELECT s.rowid AS place, {by} AS told, s.ours, \
             row_number() OVER (PARTITION BY {by}, s.ours) AS at {}) AS l JOIN (SELECT {by} AS told, s.ours, count(*) AS n {} \
             GROUP BY 1, 2) AS f ON f.told = l.told AND f.ours IS l.ours AND l.at <= f.n)",
            of(twice.later),
            of(twice.first)
        );
        let failed = |error| self.session.failed("writing down a conflict", error);
        let values = params![table.to_string(), column];
        let mut statement = self.session.prepare(&sql).map_err(failed)?;
        let count = statement.execute(values).map_err(failed)? as u64;
        if count > 0 {
            drop(statement);
            self.first = self.named()?;
        }
        Ok(count)
    }

    /// Reads the first conflicts.
    fn named(&self) -> Result<Vec<Conflict>, Error> {
        let sql = format!(
            "SELECT \"table\", \"key\", \"column\", base, ours, theirs, reason FROM main.{} ORDER BY rowid LIMIT {CONFLICTS_NAMED}",
            quote(&self.name)
        );
        let failed = |error| self.session.failed("reading the conflicts", error);
        let named = |text: String| TableName::parse(&text).unwrap_or_else(|| TableName::plain(text));
        let mut statement = self.session.prepare(&sql).map_err(failed)?;
        let rows = statement.query_map([], |row| {
            Ok(Conflict {
                table: named(row.get(0)?),
                key: row.get(1)?,
                column: row.get(2)?,
                base: row.get(3)?,
                ours: row.get(4)?,
                theirs: row.get(5)?,
                reason: row.get(6)?,
            })
        });
        rows.map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
    }

    /// Returns the table, if there is one, the first conflicts, and how many there are of rows that may be others.
    pub(super) fn end(self) -> (Option<TableName>, Vec<Conflict>, BTreeMap<TableName, u64>) {
        (self.made.then(|| TableName::plain(self.name)), self.first, self.retaken)
    }
}

/// Returns a value as text, `None` for NULL; a blob in hexadecimal.
pub(super) fn text(value: Value<'_>) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Integer(number) => Some(number.to_string()),
        Value::Real(number) => Some(format!("{number:?}")),
        Value::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
        Value::Blob(bytes) => {
            Some(bytes.iter().fold("\\x".to_string(), |text, byte| text + &format!("{byte:02x}")))
        }
    }
}

/// Returns columns and their values as a JSON object.
pub(super) fn object<'v>(columns: impl Iterator<Item = (&'v str, Value<'v>)>) -> String {
    let json = |value: Value<'_>| match value {
        Value::Integer(number) => serde_json::Value::from(number),
        Value::Real(number) if number.is_finite() => serde_json::Value::from(number),
        other => text(other).map_or(serde_json::Value::Null, serde_json::Value::from),
    };
    let object: serde_json::Map<_, _> =
        columns.map(|(name, value)| (name.to_string(), json(value))).collect();
    serde_json::Value::Object(object).to_string()
}

/// Returns what identifies a row of a piece; where nothing does, what was salvaged of it.
pub(super) fn key(piece: &Piece, values: &[Value<'_>]) -> String {
    let by = match piece.matched_by() {
        [] => piece.salvage.columns.as_slice(),
        by => by,
    };
    let found = by.iter().filter_map(|name| {
        let place = piece.place_of(name)?;
        Some((name.as_str(), *values.get(place)?))
    });
    object(found)
}
