//! Keys that are of other rows now. What refers to the rows of then is not put back where it would hang on these.
//!
//! A row that comes back whole may find another one under its key, and one whose key was made anew may not get its own back:
//! each is a conflict, and so is whatever refers to it. So is what refers to a row that nothing was lost of, whose number was
//! given out again since ([`recycled`]).

use super::super::session::Session;
use super::DOING;
use super::feed::{Bound, Feed, fill, value};
use super::recycled::{self, Subject};
use super::references::references;
use super::target::Target;
use super::together::{all_keys, keys};
use super::unkeyed::{same_in, same_row};
use super::values::ValueHand;
use crate::catalog::{Catalog, TableName, quote};
use crate::engine::{Error, Piece, Recycled, Value};
use crate::ledger::{Doubts, SalvageKind};
use std::collections::BTreeSet;

/// Values of columns of one table that a foreign key refers to, in a temporary table: `v0`, `v1` … for the columns.
pub(super) struct Strangers {
    of: TableName,
    keys: String,
    columns: Vec<String>,
    /// Looks for them anew, where they are keys that their rows may get yet.
    again: Option<String>,
    /// Whether all rows of the table keep the numbers that the way there gave them.
    renumbered: bool,
}

/// The columns that a foreign key refers to, with their places in a piece.
type Referred = Vec<(String, usize)>;

/// What must not be put back because it would refer to one of them.
pub(super) struct Guard {
    /// The columns of the foreign key.
    pub columns: Vec<String>,
    places: Vec<usize>,
    sql: String,
    /// Whether all rows of the table that it is about keep the numbers that the way there gave them.
    pub renumbered: bool,
}

impl Guard {
    /// Asks a table of keys for the values at these places.
    pub(super) fn of_keys(keys: &str, places: Vec<usize>) -> Self {
        let on: Vec<String> = (0..places.len()).map(|at| format!("v{at} = ?{}", at + 1)).collect();
        let sql = format!("SELECT 1 FROM temp.{keys} WHERE {}", on.join(" AND "));
        Self { columns: Vec::new(), places, sql, renumbered: false }
    }

    /// Tells whether a row with these values would.
    pub(super) fn is_met(&self, session: &Session, values: &[Value<'_>]) -> Result<bool, Error> {
        let failed = |error| session.failed(DOING, error);
        let mut look = session.prepare_cached(&self.sql).map_err(failed)?;
        let asked = self.places.iter().map(|place| values.get(*place).copied().unwrap_or(Value::Null));
        look.exists(rusqlite::params_from_iter(asked.map(Bound))).map_err(failed)
    }
}

/// Looks which rows of tables that pieces of one turn refer to have a number that was given out again since, while nothing of
/// the turn has been put back: what comes back would vouch for all numbers below its own.
pub(super) fn given_again(
    session: &Session,
    catalog: &Catalog,
    pieces: &[&Piece],
    turn: usize,
    doubts: &mut Doubts,
) -> Result<Vec<Strangers>, Error> {
    let (mut asked, mut found) = (BTreeSet::new(), Vec::new());
    for piece in pieces {
        let Some(folder) = &piece.snapshot else { continue };
        for (parent, pairs) in keys(session, &piece.salvage.table)? {
            let [(own, other)] = pairs.as_slice() else { continue };
            let named = catalog.tables.iter().find(|(name, _)| name.name.eq_ignore_ascii_case(&parent));
            let Some((parent, table)) = named else { continue };
            let puts = piece.salvage.columns.iter().any(|name| name.eq_ignore_ascii_case(own));
            let of_parent = || pieces.iter().filter(|other| other.salvage.table == *parent);
            let column = table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(other));
            // Where keys are put back it is known which of them are not.
            let Some(column) = column.filter(|_| puts && !of_parent().any(|other| other.is_rekeying()))
            else {
                continue;
            };
            if !asked.insert((parent.clone(), column.name.clone())) {
                continue;
            }
            let is_about = |name: &str| {
                of_parent().any(|other| other.salvage.what == SalvageKind::Values && other.is_about(name))
            };
            let subject = Subject {
                now: parent,
                then: parent,
                key: (&column.name, &column.name),
                live: table,
                sequences: &piece.fingerprint.sequences,
                is_untouched: piece.untouched.contains(parent),
                is_about: &is_about,
                is_changed: &is_about,
                put_back: piece.put_back(parent, &column.name).collect(),
                remade: piece.remade,
            };
            let recycled = recycled::look_at(session, folder, &subject)?;
            doubts.take(parent, &recycled);
            let one = Strangers {
                of: parent.clone(),
                keys: format!("ripcord_parent_{turn}_{}", asked.len()),
                columns: vec![column.name.to_ascii_lowercase()],
                again: None,
                renumbered: false,
            };
            if one.fill_with(session, &column.name, &recycled)? {
                found.push(one);
            }
        }
    }
    Ok(found)
}

/// The least number has no literal of its own: with its sign it would be a real number.
fn literal(number: i64) -> String {
    match number {
        i64::MIN => format!("({} - 1)", i64::MIN + 1),
        number => format!("({number})"),
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
    let table = catalog.tables.get(&target.table);
    let is_number = |name: &String| table.is_some_and(|table| recycled::is_numbered(table, name));
    for referred in referred(session, catalog, target)? {
        // A key that means something names its row, whoever inserted it last.
        if !referred.iter().any(|(name, _)| is_number(name)) {
            continue;
        }
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
        drop(insert);
        if any {
            session.run(DOING, &one.index())?;
            found.push(one);
        }
    }
    Ok(found)
}

/// Looks which rows keep what stands in them because it is of others, and not what was salvaged; nothing has been put yet.
pub(super) fn of_kept(session: &Session, target: &Target<'_>) -> Result<Option<Strangers>, Error> {
    let key = &target.piece.salvage.key;
    let places: Vec<usize> = key.iter().filter_map(|name| target.piece.place_of(name)).collect();
    let one = Strangers {
        of: target.table.clone(),
        keys: format!("ripcord_kept_{}", target.index),
        columns: key.iter().map(|name| name.to_ascii_lowercase()).collect(),
        again: None,
        renumbered: target.broken,
    };
    let (mut hand, mut any) = (ValueHand::new(session, target)?, false);
    let mut insert = fill(session, &one.keys, places.len())?;
    Feed::File(target.piece.source.as_ref()).each(session, &mut |values| {
        if hand.is_left_alone(values)? {
            any = true;
            let own = places.iter().map(|place| Bound(values[*place]));
            insert.execute(rusqlite::params_from_iter(own)).map_err(|error| session.failed(DOING, error))?;
        }
        Ok(())
    })?;
    drop(insert);
    session.run(DOING, &one.index())?;
    Ok(any.then_some(one))
}

/// Looks which rows that nothing but other columns tell apart have not got their keys, now that all have that can at once. Those
/// in the table of the waiting ones may get them yet: as long as nobody else has such a key, what refers to it waits as well.
pub(super) fn of_keys(
    session: &Session,
    catalog: &Catalog,
    target: &Target<'_>,
    waiting: Option<&str>,
) -> Result<Vec<Strangers>, Error> {
    let mut found = Vec::new();
    for referred in referred(session, catalog, target)? {
        let is_put = |name: &String| target.columns.iter().any(|column| column.name == *name);
        if !referred.iter().any(|(name, _)| is_put(name)) {
            continue;
        }
        let mut one = Strangers::new(target, &referred, found.len());
        session.run(DOING, &one.make_of_keys(target, &referred, waiting))?;
        let any = format!("SELECT EXISTS (SELECT 1 FROM temp.{})", one.keys);
        if session.one::<i64>(DOING, &any)? == 1 || waiting.is_some() {
            one.again = Some(one.make_of_keys(target, &referred, None));
            found.push(one);
        }
    }
    Ok(found)
}

/// Looks once more which rows of a table have not got their keys.
pub(super) fn renew(session: &Session, table: &TableName, known: &[Strangers]) -> Result<(), Error> {
    let mut again = known.iter().filter(|one| one.of == *table).filter_map(|one| one.again.as_ref());
    again.try_for_each(|again| session.run(DOING, again))
}

impl Strangers {
    /// The keys, in a table that is there, of rows that have another key now.
    pub(super) fn of_moved(table: &TableName, keys: &str, key: &[String]) -> Self {
        let columns = key.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { of: table.clone(), keys: keys.to_string(), columns, again: None, renumbered: false }
    }

    /// Takes the numbers that were given out again; tells whether there are any.
    fn fill_with(&self, session: &Session, key: &str, recycled: &Recycled) -> Result<bool, Error> {
        let column = quote(key);
        let mut ways: Vec<String> = Vec::new();
        ways.extend(recycled.above.map(|last| format!("{column} > {}", literal(last))));
        ways.extend(recycled.up_to.map(|last| format!("{column} <= {}", literal(last))));
        drop(fill(session, &self.keys, 1)?);
        let some = format!(
            "INSERT INTO temp.{} SELECT {column} FROM main.{} WHERE typeof({column}) = 'integer' AND {column} BETWEEN ?1 AND ?2",
            self.keys,
            self.of.sql()
        );
        let mut some = session.prepare(&some).map_err(|error| session.failed(DOING, error))?;
        for (first, last) in recycled.among.ranges() {
            some.execute([first, last]).map_err(|error| session.failed(DOING, error))?;
        }
        drop(some);
        if !ways.is_empty() {
            let all = format!(
                "INSERT INTO temp.{} SELECT {column} FROM main.{} WHERE typeof({column}) = 'integer' AND ({})",
                self.keys,
                self.of.sql(),
                ways.join(" OR ")
            );
            session.run(DOING, &all)?;
        }
        session.run(DOING, &self.index())?;
        let known = format!("DELETE FROM temp.{} WHERE v0 BETWEEN ?1 AND ?2", self.keys);
        let mut known = session.prepare(&known).map_err(|error| session.failed(DOING, error))?;
        for (first, last) in recycled.known.ranges() {
            known.execute([first, last]).map_err(|error| session.failed(DOING, error))?;
        }
        drop(known);
        let any = format!("SELECT EXISTS (SELECT 1 FROM temp.{})", self.keys);
        Ok(session.one::<i64>(DOING, &any)? == 1)
    }

    fn new(target: &Target<'_>, referred: &Referred, number: usize) -> Self {
        let columns = referred.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        let keys = format!("ripcord_strangers_{}_{number}", target.index);
        Self { of: target.table.clone(), keys, columns, again: None, renumbered: false }
    }

    /// Returns the statement without which each row that is merged would be compared with all of them.
    fn index(&self) -> String {
        let columns: Vec<String> = (0..self.columns.len()).map(|at| format!("v{at}")).collect();
        format!("CREATE INDEX temp.{0}_values ON {0} ({1})", self.keys, columns.join(", "))
    }

    /// Returns the statements that take the keys which their rows have not got.
    fn make_of_keys(&self, target: &Target<'_>, referred: &Referred, waiting: Option<&str>) -> String {
        let list = |of: &dyn Fn(usize, &String, usize) -> String| -> Vec<String> {
            referred.iter().enumerate().map(|(at, (name, place))| of(at, name, *place)).collect()
        };
        let held = list(&|_, name, place| format!("t.{} = p.v{place}", quote(name))).join(" AND ");
        // Where nothing tells rows apart, the one under a key is the one of then only if it holds all that was salvaged of that.
        let row = match target.piece.matched_by().is_empty() {
            true => same_in(target, target.columns.iter().map(|column| &column.name), "p", "t"),
            false => same_row(target, "p", "t"),
        };
        let table = target.table.sql();
        let waits = waiting.map(|waiting| {
            format!(
                " AND (EXISTS (SELECT 1 FROM main.{table} t WHERE {held}) \
                 OR NOT coalesce(({}) IN (SELECT {} FROM temp.{waiting} w WHERE {}), 0))",
                list(&|_, _, place| format!("p.v{place}")).join(", "),
                list(&|_, _, place| format!("w.v{place}")).join(", "),
                list(&|_, _, place| format!("w.v{place} IS NOT NULL")).join(" AND "),
            )
        });
        format!(
            "DROP TABLE IF EXISTS temp.{0}; CREATE TEMP TABLE {0} AS SELECT {1} FROM temp.ripcord_piece_{2} p \
             WHERE NOT EXISTS (SELECT 1 FROM main.{table} t WHERE {held} AND {row}){3}; {4}",
            self.keys,
            list(&|at, _, place| format!("p.v{place} AS v{at}")).join(", "),
            target.index,
            waits.unwrap_or_default(),
            self.index()
        )
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
    for (parent, pairs) in all_keys(session, &target.table)? {
        for one in known.iter().filter(|one| one.of.name.eq_ignore_ascii_case(&parent)) {
            let place =
                |name: &String| one.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
            // What a foreign key refers to beside a number that is of another row now makes no difference.
            let named = pairs.iter().filter_map(|(own, other)| Some((own, place(other)?)));
            let named: Vec<(&String, usize)> = named.collect();
            let is_part = named.len() == one.columns.len();
            if named.is_empty() || !(is_part || named.len() == pairs.len()) {
                continue;
            }
            let own = named.iter().map(|(own, _)| {
                let column = target.columns.iter().find(|column| column.name.eq_ignore_ascii_case(own))?;
                Some((column.name.clone(), column.place))
            });
            let Some(own) = own.collect::<Option<Vec<_>>>() else { continue };
            let at = named.iter().map(|(_, at)| *at);
            let on: Vec<String> = (1..).zip(at).map(|(number, at)| format!("v{at} = ?{number}")).collect();
            found.push(Guard {
                columns: own.iter().map(|(name, _)| name.clone()).collect(),
                places: own.iter().map(|(_, place)| *place).collect(),
                sql: format!("SELECT 1 FROM temp.{} WHERE {}", one.keys, on.join(" AND ")),
                renumbered: one.renumbered,
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Cancel;

    #[test]
    fn a_key_is_looked_up_among_strangers_by_an_index() {
        let session = Session::in_memory(&Cancel::default()).expect("a database");
        let strangers = Strangers {
            of: TableName::plain("t"),
            keys: "ripcord_strangers_0_0".to_string(),
            columns: vec!["a".to_string(), "b".to_string()],
            again: None,
            renumbered: false,
        };
        drop(fill(&session, &strangers.keys, 2).expect("a table"));
        session.run(DOING, &strangers.index()).expect("an index");
        let plan =
            format!("EXPLAIN QUERY PLAN SELECT 1 FROM temp.{} WHERE v1 = ?1 AND v0 = ?2", strangers.keys);
        let plan: String = session.query_row(&plan, [1, 2], |row| row.get(3)).expect("a plan");
        assert!(plan.contains("SEARCH") && plan.contains("v0=? AND v1=?"), "{plan}");
    }
}
