//! Unique values that cannot be put back because a row that stays holds what they want: whoever wants what that one holds
//! stays as well, and so on.
//!
//! A try of all rows finds one link of such a chain, so that a chain of all of them would take as many tries as it has rows.
//! Here a whole chain is followed in one go: by what each row held before a try, and what it holds after one.

use super::super::session::Session;
use super::DOING;
use super::feed::{Aside, Bound, Feed, value};
use super::target::Target;
use crate::catalog::{TableName, quote};
use crate::engine::{Error, Scalar, Value};
use rusqlite::{Statement, params_from_iter};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// Reads what a row holds; none where it is not one row.
type Reading<'r> = dyn FnMut() -> Result<Option<Vec<Scalar>>, Error> + 'r;

/// What the waiting rows of one job hold and want, in a temporary table: of each row its `place`, whether it stays `out`, and
/// of each column of a unique index what it held, `h0`, `h1` …, and what it got, `w0`, `w1` ….
pub(super) struct Chain<'s> {
    session: &'s Session,
    table: String,
    /// Which of the columns belong to each index.
    indexes: Vec<Range<usize>>,
    /// Reads them of one row.
    look: Statement<'s>,
}

impl<'s> Chain<'s> {
    /// Writes down what each waiting row holds; none where nothing has to be unique that could be put back.
    pub(super) fn hold(session: &'s Session, target: &Target<'_>) -> Result<Option<Self>, Error> {
        let failed = |error| session.failed(DOING, error);
        let is_put = |name: &String| target.columns.iter().any(|column| column.name == *name);
        let mut unique = indexes(session, &target.table)?;
        unique.retain(|columns| columns.iter().any(|(name, _)| is_put(name)));
        let mut first = 0;
        let ranges = unique.iter().map(|columns| {
            first += columns.len();
            first - columns.len()..first
        });
        let ranges: Vec<Range<usize>> = ranges.collect();
        if ranges.is_empty() {
            return Ok(None);
        }
        let columns = unique.concat();
        let table = format!("ripcord_chain_{}", target.index);
        session.run(DOING, &make(&table, &columns, &ranges))?;
        let names: Vec<String> = columns.iter().map(|(name, _)| quote(name)).collect();
        let (names, own) = (names.join(", "), target.table.sql());
        let select = format!("SELECT {names} FROM main.{own} WHERE {}", target.condition);
        let look = session.prepare(&select).map_err(failed)?;
        let mut chain = Self { session, table, indexes: ranges, look };
        let (places, marks) = (list("h", columns.len()), vec!["?"; columns.len() + 1].join(", "));
        let insert = format!("INSERT INTO temp.{} (place, {places}) VALUES ({marks})", chain.table);
        let mut insert = session.prepare(&insert).map_err(failed)?;
        chain.each(target, &mut |place, held| {
            let Some(held) = held()? else { return Ok(()) };
            let all = [Scalar::Integer(place.cast_signed())].into_iter().chain(held).collect::<Vec<_>>();
            insert.execute(params_from_iter(all.iter().map(bound))).map(drop).map_err(failed)
        })?;
        drop(insert);
        Ok(Some(chain))
    }

    /// Adds those to the rows that stay out which want what one of these holds. All others must have got what they want, in a
    /// try that is undone afterwards.
    pub(super) fn follow(&mut self, target: &Target<'_>, out: &mut HashSet<u64>) -> Result<(), Error> {
        let (session, table) = (self.session, self.table.clone());
        let failed = |error| session.failed(DOING, error);
        let stays = format!("UPDATE temp.{table} SET out = 1 WHERE place = ?1");
        let mut stays = session.prepare(&stays).map_err(failed)?;
        let width = self.indexes.last().map_or(0, |last| last.end);
        let want = format!(
            "UPDATE temp.{table} SET ({}) = ({}) WHERE place = ?1",
            list("w", width),
            (0..width).map(|at| format!("?{}", at + 2)).collect::<Vec<_>>().join(", ")
        );
        let mut want = session.prepare(&want).map_err(failed)?;
        self.each(target, &mut |place, got| {
            let at = Scalar::Integer(place.cast_signed());
            if out.contains(&place) {
                return stays.execute([bound(&at)]).map(drop).map_err(failed);
            }
            let Some(got) = got()? else { return Ok(()) };
            let all = [at].into_iter().chain(got).collect::<Vec<_>>();
            want.execute(params_from_iter(all.iter().map(bound))).map(drop).map_err(failed)
        })?;
        let mut staying = session.prepare(&self.staying()).map_err(failed)?;
        let found = staying.query_map([], |row| row.get::<_, i64>(0)).map_err(failed)?;
        for place in found {
            out.insert(place.map_err(failed)?.cast_unsigned());
        }
        Ok(())
    }

    /// Returns the query for the places of all rows that stay, from link to link. In this order, each link is found by an index.
    fn staying(&self) -> String {
        let table = &self.table;
        let links = self.indexes.iter().map(|columns| {
            let same: Vec<String> = columns.clone().map(|at| format!("m.w{at} = t.h{at}")).collect();
            format!(
                " UNION SELECT m.place FROM staying AS s CROSS JOIN temp.{table} AS t ON t.place = s.place \
                 CROSS JOIN temp.{table} AS m ON {}",
                same.join(" AND ")
            )
        });
        let links: String = links.collect();
        format!(
            "WITH RECURSIVE staying (place) AS (SELECT place FROM temp.{table} WHERE out{links}) SELECT place FROM staying"
        )
    }

    /// Hands over each waiting row by its place, with a way to read what it holds now.
    fn each(
        &mut self,
        target: &Target<'_>,
        take: &mut dyn FnMut(u64, &mut Reading<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (session, look) = (self.session, &mut self.look);
        let mut place = 0;
        Feed::Table(Aside::name(target, target.round)).each(session, &mut |values| {
            place += 1;
            take(place - 1, &mut || {
                let found: Vec<Value<'_>> = target.found(values).collect();
                read(look, &found).map_err(|error| session.failed(DOING, error))
            })
        })
    }
}

/// Reads the one row that is found by these values.
fn read(look: &mut Statement<'_>, found: &[Value<'_>]) -> rusqlite::Result<Option<Vec<Scalar>>> {
    let width = look.column_count();
    let mut rows = look.query(params_from_iter(found.iter().copied().map(Bound)))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let all = (0..width).map(|at| row.get_ref(at).map(|found| value(found).to_scalar()));
    let all = all.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(rows.next()?.is_none().then_some(all))
}

fn bound(value: &Scalar) -> Bound<'_> {
    Bound(value.as_value())
}

fn list(kind: &str, width: usize) -> String {
    (0..width).map(|at| format!("{kind}{at}")).collect::<Vec<_>>().join(", ")
}

/// Returns the statements that make the table. Its columns have no type, which would make others of the values.
fn make(table: &str, columns: &[(String, String)], indexes: &[Range<usize>]) -> String {
    let of = |kind: &str| -> String {
        let each = columns.iter().enumerate();
        each.map(|(at, (_, collation))| format!(", {kind}{at} COLLATE {}", quote(collation))).collect()
    };
    let index = |columns: &Range<usize>| {
        let wanted: Vec<String> = columns.clone().map(|at| format!("w{at}")).collect();
        format!("; CREATE INDEX temp.{table}_{} ON {table} ({})", columns.start, wanted.join(", "))
    };
    let indexes: String = indexes.iter().map(index).collect();
    format!(
        "DROP TABLE IF EXISTS temp.{table}; \
         CREATE TEMP TABLE {table} (place INTEGER PRIMARY KEY, out INTEGER NOT NULL DEFAULT 0{}{}){indexes}",
        of("h"),
        of("w")
    )
}

/// Returns the columns of each unique index with their collations. One over expressions, or over some of the rows, is left to
/// trying: who is in it, only SQLite can say.
fn indexes(session: &Session, table: &TableName) -> Result<Vec<Vec<(String, String)>>, Error> {
    let failed = |error| session.failed("reading the keys", error);
    let sql = "SELECT l.name, x.name, x.coll FROM pragma_index_list(?1) l, pragma_index_xinfo(l.name) x \
               WHERE l.\"unique\" AND NOT l.partial AND x.key ORDER BY l.seq, x.seqno";
    let mut statement = session.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([&table.name]).map_err(failed)?;
    let mut found: BTreeMap<String, Option<Vec<(String, String)>>> = BTreeMap::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let columns = found.entry(row.get(0).map_err(failed)?).or_insert_with(|| Some(Vec::new()));
        let name: Option<String> = row.get(1).map_err(failed)?;
        match (name, columns.as_mut()) {
            (Some(name), Some(columns)) => columns.push((name, row.get(2).map_err(failed)?)),
            _ => *columns = None,
        }
    }
    Ok(found.into_values().flatten().collect())
}
