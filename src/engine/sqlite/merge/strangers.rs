//! Keys that are of other rows now. What refers to the rows of then is not put back where it would hang on these.
//!
//! A row that comes back whole may find another one under its key, and one whose key was made anew may not get its own back:
//! each is a conflict, and so is whatever refers to it.

use super::super::session::Session;
use super::DOING;
use super::feed::{Bound, Feed, fill, value};
use super::rekey::references;
use super::target::Target;
use super::together::keys;
use super::unkeyed::same_row;
use crate::catalog::{Catalog, TableName, quote};
use crate::engine::{Error, Value};
use crate::ledger::SalvageKind;
use std::collections::BTreeSet;

/// Values of columns of one table that a foreign key refers to, in a temporary table: `v0`, `v1` … for the columns.
pub(super) struct Strangers {
    of: TableName,
    keys: String,
    columns: Vec<String>,
}

/// The columns that a foreign key refers to, with their places in a piece.
type Referred = Vec<(String, usize)>;

/// What must not be put back because it would refer to one of them.
pub(super) struct Guard {
    /// The columns of the foreign key.
    pub columns: Vec<String>,
    places: Vec<usize>,
    sql: String,
}

impl Guard {
    /// Tells whether a row with these values would.
    pub(super) fn is_met(&self, session: &Session, values: &[Value<'_>]) -> Result<bool, Error> {
        let failed = |error| session.failed(DOING, error);
        let mut look = session.prepare_cached(&self.sql).map_err(failed)?;
        let asked = self.places.iter().map(|place| values.get(*place).copied().unwrap_or(Value::Null));
        look.exists(rusqlite::params_from_iter(asked.map(Bound))).map_err(failed)
    }
}

/// Looks which whole rows find another one that has what foreign keys refer to; none of them has been put back yet.
pub(super) fn of_rows(
    session: &Session,
    catalog: &Catalog,
    target: &Target<'_>,
) -> Result<Vec<Strangers>, Error> {
    let mut found = Vec::new();
    if target.piece.salvage.what != SalvageKind::Rows {
        return Ok(found);
    }
    let failed = |error| session.failed(DOING, error);
    let columns: Vec<String> = target.columns.iter().map(|column| quote(&column.name)).collect();
    for referred in referred(session, catalog, target)? {
        let one = Strangers::new(target, &referred, found.len());
        let on: Vec<String> =
            (1..).zip(&referred).map(|(at, (name, _))| format!("{} = ?{at}", quote(name))).collect();
        let sql = format!(
            "SELECT {} FROM main.{} WHERE {}",
            columns.join(", "),
            target.table.sql(),
            on.join(" AND ")
        );
        let mut select = session.prepare(&sql).map_err(failed)?;
        let mut insert = fill(session, &one.keys, referred.len())?;
        let mut any = false;
        Feed::File(target.piece.source.as_ref()).each(session, &mut |values| {
            let own = || rusqlite::params_from_iter(referred.iter().map(|(_, place)| Bound(values[*place])));
            let mut rows = select.query(own()).map_err(failed)?;
            let Some(row) = rows.next().map_err(failed)? else { return Ok(()) };
            for (index, column) in target.columns.iter().enumerate() {
                if !values[column.place].is_same(value(row.get_ref(index).map_err(failed)?)) {
                    any = true;
                    return insert.execute(own()).map(|_| ()).map_err(failed);
                }
            }
            Ok(())
        })?;
        if any {
            found.push(one);
        }
    }
    Ok(found)
}

/// Looks which rows that nothing but other columns tell apart have not got their keys, now that all have that can.
pub(super) fn of_keys(
    session: &Session,
    catalog: &Catalog,
    target: &Target<'_>,
) -> Result<Vec<Strangers>, Error> {
    let mut found = Vec::new();
    for referred in referred(session, catalog, target)? {
        let is_put = |name: &String| target.columns.iter().any(|column| column.name == *name);
        if !referred.iter().any(|(name, _)| is_put(name)) {
            continue;
        }
        let one = Strangers::new(target, &referred, found.len());
        let names: Vec<String> =
            referred.iter().enumerate().map(|(at, (_, place))| format!("p.v{place} AS v{at}")).collect();
        let held: Vec<String> =
            referred.iter().map(|(name, place)| format!("t.{} = p.v{place}", quote(name))).collect();
        let make = format!(
            "DROP TABLE IF EXISTS temp.{0}; CREATE TEMP TABLE {0} AS SELECT {1} FROM temp.ripcord_piece_{2} p \
             WHERE NOT EXISTS (SELECT 1 FROM main.{3} t WHERE {4} AND {5})",
            one.keys,
            names.join(", "),
            target.index,
            target.table.sql(),
            held.join(" AND "),
            same_row(target, "p", "t")
        );
        session.run(DOING, &make)?;
        let any = format!("SELECT EXISTS (SELECT 1 FROM temp.{})", one.keys);
        if session.one::<i64>(DOING, &any)? == 1 {
            found.push(one);
        }
    }
    Ok(found)
}

impl Strangers {
    fn new(target: &Target<'_>, referred: &Referred, number: usize) -> Self {
        let columns = referred.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        let keys = format!("ripcord_strangers_{}_{number}", target.index);
        Self { of: target.table.clone(), keys, columns }
    }
}

/// Returns what foreign keys refer to, as far as a piece has all of it: each set of columns once, in the order of names.
fn referred(session: &Session, catalog: &Catalog, target: &Target<'_>) -> Result<Vec<Referred>, Error> {
    let lower = |names: &mut dyn Iterator<Item = &str>| {
        names.map(str::to_ascii_lowercase).collect::<BTreeSet<String>>()
    };
    let refer = references(session, catalog, &target.table)?;
    let sets: BTreeSet<BTreeSet<String>> = refer.iter().map(|one| lower(&mut one.referred())).collect();
    let place = |name: &String| {
        let at = target.piece.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))?;
        Some((target.piece.columns[at].name.clone(), at))
    };
    Ok(sets.iter().filter_map(|names| names.iter().map(place).collect()).collect())
}

/// Returns what must not be put back of a piece.
pub(super) fn guards(
    session: &Session,
    target: &Target<'_>,
    known: &[Strangers],
) -> Result<Vec<Guard>, Error> {
    let mut found = Vec::new();
    if known.is_empty() {
        return Ok(found);
    }
    for (parent, pairs) in keys(session, &target.table)? {
        let own: Option<Vec<(String, usize)>> = pairs
            .iter()
            .map(|(own, _)| {
                let column = target.columns.iter().find(|column| column.name.eq_ignore_ascii_case(own))?;
                Some((column.name.clone(), column.place))
            })
            .collect();
        let Some(own) = own else { continue };
        for one in known.iter().filter(|one| one.of.name.eq_ignore_ascii_case(&parent)) {
            let place =
                |name: &String| one.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
            let Some(at) = pairs.iter().map(|(_, other)| place(other)).collect::<Option<Vec<usize>>>() else {
                continue;
            };
            let on: Vec<String> = (1..).zip(at).map(|(number, at)| format!("v{at} = ?{number}")).collect();
            found.push(Guard {
                columns: own.iter().map(|(name, _)| name.clone()).collect(),
                places: own.iter().map(|(_, place)| *place).collect(),
                sql: format!("SELECT 1 FROM temp.{} WHERE {}", one.keys, on.join(" AND ")),
            });
        }
    }
    Ok(found)
}
