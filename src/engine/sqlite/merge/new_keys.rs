//! Rows whose key users changed, found by what else is unique in them: their values come back to them.

use super::super::session::Session;
use super::DOING;
use super::feed::{Bound, fill, value};
use crate::catalog::{TableName, quote};
use crate::engine::{Error, Scalar, Value};
use std::cell::Cell;
use std::rc::Rc;

/// The keys of then of rows that have another one now, with that one, in a temporary table: `v0`, `v1` … for both.
#[derive(Clone)]
pub(super) struct NewKeys {
    table: String,
    /// Where the parts of the key stand in a row of the file.
    places: Vec<usize>,
    /// Looks up the key of now.
    look: String,
    /// How many rows had one when the file was read last.
    met: Rc<Cell<u64>>,
}

/// The temporary tables in which names stand: `v0`, `v1` … for the key, and behind them the name.
pub(super) struct Named<'a> {
    pub then: &'a str,
    pub now: &'a str,
    /// How many columns the key has, and how many the name.
    pub widths: (usize, usize),
}

impl NewKeys {
    /// Makes an empty table.
    pub(super) fn new(session: &Session, index: usize, places: Vec<usize>) -> Result<Self, Error> {
        let table = format!("ripcord_new_keys_{index}");
        let width = places.len();
        drop(fill(session, &table, 2 * width)?);
        let list: Vec<String> = (width..2 * width).map(|at| format!("v{at}")).collect();
        let on: Vec<String> = (0..width).map(|at| format!("v{at} IS ?{}", at + 1)).collect();
        let look = format!("SELECT {} FROM temp.{table} WHERE {}", list.join(", "), on.join(" AND "));
        Ok(Self { table, places, look, met: Rc::default() })
    }

    /// Takes the rows whose name is that of just one row of then, which is gone by its key, and of just one row of now.
    pub(super) fn take(
        &self,
        session: &Session,
        (table, key): (&TableName, &[String]),
        named: &Named<'_>,
    ) -> Result<(), Error> {
        let (keys, wide) = named.widths;
        let list = |of: &str| (0..keys).map(|at| format!("{of}.v{at}")).collect::<Vec<_>>().join(", ");
        let same_name = |one: &str, other: &str| {
            let pairs = (keys..keys + wide).map(|at| format!("{one}.v{at} IS {other}.v{at}"));
            pairs.collect::<Vec<_>>().join(" AND ")
        };
        let held: Vec<String> =
            key.iter().enumerate().map(|(at, name)| format!("x.{} IS t.v{at}", quote(name))).collect();
        let once = |table: &str, one: &str| {
            format!(
                "NOT EXISTS (SELECT 1 FROM temp.{table} AS o WHERE {} AND o.rowid <> {one}.rowid)",
                same_name("o", one)
            )
        };
        let take = format!(
            "INSERT INTO temp.{own} SELECT {of_then}, {of_now} FROM temp.{then} AS t CROSS JOIN temp.{now} AS n ON {named} \
             WHERE NOT EXISTS (SELECT 1 FROM main.{live} AS x WHERE {held}) AND {once_then} AND {once_now}",
            own = self.table,
            of_then = list("t"),
            of_now = list("n"),
            then = named.then,
            now = named.now,
            named = same_name("n", "t"),
            live = table.sql(),
            held = held.join(" AND "),
            once_then = once(named.then, "t"),
            once_now = once(named.now, "n"),
        );
        session.run(DOING, &take)
    }

    /// Leaves those out whose key of now a row had then, by the snapshot, and those of which two names say different things; tells
    /// whether there are any.
    pub(super) fn settle(
        &self,
        session: &Session,
        then: &Session,
        (table, key): (&TableName, &[&str]),
    ) -> Result<bool, Error> {
        let (own, width) = (&self.table, self.places.len());
        let failed = |error| session.failed(DOING, error);
        let held: Vec<String> =
            (1..).zip(key).map(|(at, name)| format!("{} IS ?{at}", quote(name))).collect();
        let held = format!("SELECT 1 FROM main.{} WHERE {}", table.sql(), held.join(" AND "));
        let mut held = then.prepare(&held).map_err(failed)?;
        let mut taken = Vec::new();
        {
            let all = format!("SELECT rowid, * FROM temp.{own}");
            let mut all = session.prepare(&all).map_err(failed)?;
            let mut rows = all.query([]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let new = (1 + width..1 + 2 * width).map(|at| row.get_ref(at).map(|one| Bound(value(one))));
                let new = new.collect::<Result<Vec<_>, _>>().map_err(failed)?;
                if held.exists(rusqlite::params_from_iter(new)).map_err(failed)? {
                    taken.push(row.get::<_, i64>(0).map_err(failed)?);
                }
            }
        }
        let delete = format!("DELETE FROM temp.{own} WHERE rowid = ?1");
        let mut delete = session.prepare(&delete).map_err(failed)?;
        taken.into_iter().try_for_each(|row| delete.execute([row]).map(drop)).map_err(failed)?;
        let same = |from: usize| {
            let pairs = (from..from + width).map(|at| format!("o.v{at} IS {own}.v{at}"));
            pairs.collect::<Vec<_>>().join(" AND ")
        };
        let list =
            |range: std::ops::Range<usize>| range.map(|at| format!("v{at}")).collect::<Vec<_>>().join(", ");
        let (old, new) = (same(0), same(width));
        // Each key of then stands there once.
        let settle = format!(
            "CREATE INDEX temp.{own}_then ON {own} ({}); CREATE INDEX temp.{own}_now ON {own} ({}); \
             DELETE FROM temp.{own} WHERE rowid IN (SELECT {own}.rowid FROM temp.{own} \
             WHERE EXISTS (SELECT 1 FROM temp.{own} AS o WHERE {old} AND NOT ({new})) \
             OR EXISTS (SELECT 1 FROM temp.{own} AS o WHERE {new} AND NOT ({old}))); \
             DELETE FROM temp.{own} WHERE EXISTS (SELECT 1 FROM temp.{own} AS o WHERE {old} AND o.rowid < {own}.rowid)",
            list(0..width),
            list(width..2 * width)
        );
        session.run(DOING, &settle)?;
        Ok(session.one::<i64>(DOING, &format!("SELECT EXISTS (SELECT 1 FROM temp.{own})"))? == 1)
    }

    /// Returns a row with the key that it has now; nothing where that is the one of then.
    pub(super) fn of_now(
        &self,
        session: &Session,
        values: &[Value<'_>],
    ) -> Result<Option<Vec<Scalar>>, Error> {
        let failed = |error| session.failed(DOING, error);
        let mut look = session.prepare_cached(&self.look).map_err(failed)?;
        let asked = self.places.iter().map(|place| Bound(values.get(*place).copied().unwrap_or(Value::Null)));
        let mut rows = look.query(rusqlite::params_from_iter(asked)).map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
        let mut now: Vec<Scalar> = values.iter().map(|value| value.to_scalar()).collect();
        for (at, place) in self.places.iter().enumerate() {
            now[*place] = value(row.get_ref(at).map_err(failed)?).to_scalar();
        }
        self.met.set(self.met.get() + 1);
        Ok(Some(now))
    }

    /// Begins to count rows that have another key now.
    pub(super) fn begin(&self) {
        self.met.set(0);
    }

    /// Returns how many rows of the file have another key now.
    pub(super) fn count(&self) -> u64 {
        self.met.get()
    }
}
