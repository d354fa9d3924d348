//! Rows whose key is of another row now: a position in a list, a name, a number that users or the way back give to another row.
//! A value that is put back by key alone would get into the row that moved up.
//!
//! A row is known by its name: what must be unique in its table beside the key, or all that was kept of it. Under a key whose
//! name has changed stands another row when one of the two names is that of one row then and of one row now: the old name is at
//! another key, or the new one came from there. A name that was only edited is at neither. A number that only grows is looked
//! at where something must be unique beside it; as the table is read then, each of its rows is asked whether it shows to be
//! another one, however many there are ([`recycled::others`]).

mod others;

use super::super::PostgresDatabase;
use super::super::dumped::DumpedRows;
use super::super::names::{identifier, is_held};
use super::super::session::Session;
use super::live::{self, LiveColumn};
use super::new_keys::NewKeys;
use super::recycled::{self, fields, fill, kept, unread};
use super::strangers::Strangers;
use super::unique::unique_sets;
use super::{DOING, strangers};
use crate::catalog::{Catalog, Table, TableName};
use crate::engine::{Error, Piece, Recycled};
use crate::ledger::{Doubt, Doubts, SalvageKind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What was found before anything of a turn is put back.
#[derive(Default)]
pub(super) struct Found {
    /// The tables of keys, by the places of pieces.
    pub of_pieces: BTreeMap<usize, String>,
    /// The tables of keys that rows have now, where users changed them, by the places of pieces.
    pub new_keys: BTreeMap<usize, String>,
    pub strangers: Vec<Strangers>,
    pub doubts: Doubts,
    /// The tables of which every row was looked at.
    pub read: BTreeSet<TableName>,
}

/// The temporary tables of keys of one table; none where there are none, or nobody can tell.
#[derive(Default)]
struct Keys {
    /// Those under which other rows stand.
    of_others: Option<String>,
    /// Those of then of rows that have another one now, with that one.
    new: Option<String>,
    /// Rows that are taken for those of then by their key alone.
    doubt: Doubt,
    is_read: bool,
}

impl Found {
    fn note(&mut self, table: &TableName, keys: &Keys) {
        self.doubts.note(table, &keys.doubt);
        self.read.extend(keys.is_read.then(|| table.clone()));
    }
}

/// A table that is looked at.
struct Subject<'a> {
    now: &'a TableName,
    then: &'a TableName,
    /// The columns of the key, as they are called now and were called then.
    key: Vec<(String, String)>,
    snapshot: &'a Path,
    catalog: &'a Catalog,
    remade: bool,
    /// Whether a column is one that the way there and back did not keep.
    is_about: &'a (dyn Fn(&str) -> bool + Send + Sync),
    /// What temporary tables are named after.
    name: String,
}

/// What tells rows apart: expressions of a column then (`s`) and now (`t`).
struct Name {
    columns: Vec<(String, String)>,
    /// What each of them is called.
    called: Vec<String>,
    /// Whether one of them says something where the others are NULL.
    any: bool,
}

impl Name {
    fn then(&self) -> String {
        self.of(self.columns.iter().map(|(then, _)| then.as_str()).collect())
    }

    fn now(&self) -> String {
        self.of(self.columns.iter().map(|(_, now)| now.as_str()).collect())
    }

    /// Returns the condition that nothing of it is as it was, where it is all that was kept: of a place in a list, or a number that
    /// the way back gives out anew, nothing says then that it is still that of its row.
    fn all_differ(&self) -> Option<String> {
        let differ =
            self.columns.iter().map(|(then, now)| format!("{then}::text IS DISTINCT FROM {now}::text"));
        let differ: Vec<String> = differ.collect();
        (self.any && differ.len() > 1).then(|| differ.join(" AND "))
    }

    /// Returns it in 16 bytes; NULL where there is none.
    fn of(&self, columns: Vec<&str>) -> String {
        let held: Vec<String> = columns.iter().map(|column| is_held(column)).collect();
        let held = held.join(if self.any { " OR " } else { " AND " });
        let texts: Vec<String> = columns.iter().map(|column| format!("{column}::text")).collect();
        format!("CASE WHEN {held} THEN md5(ROW({})::text)::uuid END", texts.join(", "))
    }
}

impl PostgresDatabase {
    /// Looks under which keys other rows stand than then, in the tables of pieces of one turn and in those that they refer to.
    pub(super) async fn look_for_moved(
        &self,
        session: &mut Session,
        pieces: &[Piece],
        (turn, number): (&[usize], usize),
    ) -> Result<Found, Error> {
        let (mut found, mut asked) = (Found::default(), BTreeSet::new());
        for index in turn {
            let piece = &pieces[*index];
            let Some(Salvaged { key, snapshot, catalog }) = salvaged(piece) else { continue };
            let own = piece.table_then();
            let is_about = |name: &str| is_about(pieces, &piece.salvage.table, name);
            let name = format!("ripcord_moved_{index}");
            let key = key.iter().map(|now| (now.clone(), piece.column_then(now).to_string())).collect();
            let (now, remade) = (&piece.salvage.table, piece.remade);
            let subject =
                Subject { now, then: own, key, snapshot, catalog, remade, is_about: &is_about, name };
            asked.insert(now.clone());
            let found_keys = self.moved(session, &subject).await?;
            found.note(now, &found_keys);
            found.new_keys.extend(found_keys.new.map(|keys| (*index, keys)));
            if let Some(keys) = found_keys.of_others {
                let columns = piece.salvage.key.clone();
                found.strangers.push(strangers::of_moved(session, now, &keys, columns).await?);
                found.of_pieces.insert(*index, keys);
            }
        }
        for index in turn {
            let piece = &pieces[*index];
            for parent in parents(session, piece).await? {
                if !asked.insert(parent.clone()) {
                    continue;
                }
                let name = format!("ripcord_moved_{number}_{}", asked.len());
                let keys = self.moved_parents(session, pieces, piece, &parent, name).await?;
                found.note(&parent, &keys);
                if let Some(keys) = keys.of_others {
                    let columns = key_then(piece, &parent);
                    found.strangers.push(strangers::of_moved(session, &parent, &keys, columns).await?);
                }
            }
        }
        Ok(found)
    }

    /// Looks at a table of which no values come back by its key, but to which a piece refers.
    async fn moved_parents(
        &self,
        session: &mut Session,
        pieces: &[Piece],
        piece: &Piece,
        parent: &TableName,
        name: String,
    ) -> Result<Keys, Error> {
        let (Some(snapshot), Some(catalog)) = (&piece.snapshot, &piece.catalog) else {
            return Ok(Keys::default());
        };
        let mut of_parent = pieces.iter().filter(|other| other.salvage.table == *parent);
        // Where keys are put back it is known which of them are not.
        if of_parent.any(Piece::is_rekeying) {
            return Ok(Keys::default());
        }
        let key = key_then(piece, parent);
        let key = key.iter().map(|name| (name.clone(), name.clone())).collect();
        let is_about = |name: &str| is_about(pieces, parent, name);
        let subject = Subject {
            now: parent,
            then: parent,
            key,
            snapshot,
            catalog,
            remade: false,
            is_about: &is_about,
            name,
        };
        self.moved(session, &subject).await
    }

    /// Looks under which keys other rows stand, and which rows have another one now.
    async fn moved(&self, session: &mut Session, subject: &Subject<'_>) -> Result<Keys, Error> {
        let live = live::columns(session, subject.now).await?;
        let find = |name: &String| live.iter().find(|column| column.name == *name);
        let Some(key) = subject.key.iter().map(|(now, _)| find(now)).collect::<Option<Vec<_>>>() else {
            return Ok(Keys::default());
        };
        if key.is_empty() {
            return Ok(Keys::default());
        }
        session.run(DOING, "SAVEPOINT ripcord_moved").await?;
        match self.by_names(session, subject, &live, &key).await {
            Ok(found) => {
                session.run(DOING, "RELEASE ripcord_moved").await?;
                Ok(found)
            }
            Err(Error::Interrupted) => Err(Error::Interrupted),
            // A snapshot that cannot be read is no reason not to merge what was salvaged out of it.
            Err(_) => {
                session.run(DOING, "ROLLBACK TO ripcord_moved; RELEASE ripcord_moved").await?;
                Ok(Keys::default())
            }
        }
    }

    async fn by_names(
        &self,
        session: &mut Session,
        subject: &Subject<'_>,
        live: &[LiveColumn],
        key: &[&LiveColumn],
    ) -> Result<Keys, Error> {
        let Some(then) = subject.catalog.tables.get(subject.then) else { return Ok(Keys::default()) };
        let is_number = matches!(key, [key] if key.is_number());
        let is_natural = match key {
            [key] => !is_number && others::is_short(session, subject.now, key).await?,
            _ => true,
        };
        let (columns, names) = names(subject, then, live, (is_number, is_natural));
        let wanted = subject.key.iter().map(|(_, then)| then).chain(&columns).map(String::as_str);
        let fields = fields(then, wanted).filter(|_| !names.is_empty());
        let Some((fields, width)) = fields else { return Ok(Keys::default()) };
        let Some(file) = self.dumped_rows(subject.snapshot, subject.then).await? else {
            return Ok(Keys::default());
        };
        let typed =
            subject.key.iter().map(|(now, _)| now).enumerate().map(|(at, name)| (format!("k{at}"), name));
        let typed = typed.chain(columns.iter().enumerate().map(|(at, name)| (format!("c{at}"), name)));
        let typed: Vec<String> =
            typed.map(|(own, name)| format!("t.{} AS {own}", identifier(name))).collect();
        let create = format!(
            "CREATE TEMPORARY TABLE {}_then ON COMMIT DROP AS SELECT {} FROM ONLY {} AS t WITH NO DATA",
            subject.name,
            typed.join(", "),
            subject.now.sql()
        );
        session.run(DOING, &create).await?;
        let rows = DumpedRows::open(&file, fields, width, self.options.cancel.clone()).map_err(unread)?;
        fill(session, Box::new(rows), &format!("{}_then", subject.name)).await?;
        let others = match key {
            [key] if is_number => {
                let (then, of) = (format!("{}_then", subject.name), (subject.now, key.name.as_str()));
                recycled::others(session, of, then, &columns, subject.is_about).await?
            }
            _ => Recycled::default(),
        };
        let mut doubt = others.doubt.clone();
        let of_others = subject.compare(session, key, (&names, is_natural), (others, &mut doubt)).await?;
        let unique: Vec<_> =
            names.iter().filter(|name| !name.any).map(|name| (name.then(), name.now())).collect();
        let mut new = None;
        // Who has another number, or another place in a list, is another row.
        if key.len() == 1 && !is_number && !subject.remade && !unique.is_empty() {
            let (then, found) = (format!("{}_then", subject.name), format!("{}_new", subject.name));
            NewKeys { now: subject.now, key, then: &then, found: &found }.look(session, &unique).await?;
            new = is_any(session, &found).await?.then_some(found);
        }
        session.run(DOING, &format!("DROP TABLE pg_temp.{}_then", subject.name)).await?;
        Ok(Keys { of_others, new, doubt, is_read: true })
    }
}

/// Returns what was the key of a table when a piece was kept.
fn key_then(piece: &Piece, table: &TableName) -> Vec<String> {
    let then = piece.catalog.as_ref().and_then(|catalog| catalog.tables.get(table));
    then.map(|then| then.key.clone()).unwrap_or_default()
}

/// What a piece says of the rows that its values belong to.
pub(super) struct Salvaged<'p> {
    key: &'p [String],
    snapshot: &'p Path,
    catalog: &'p Catalog,
}

pub(super) fn salvaged(piece: &Piece) -> Option<Salvaged<'_>> {
    let (key, snapshot, catalog) = (&piece.salvage.key, piece.snapshot.as_ref()?, piece.catalog.as_ref()?);
    let is_by_key = piece.salvage.what == SalvageKind::Values && !key.is_empty();
    is_by_key.then_some(Salvaged { key, snapshot, catalog })
}

/// Tells whether values of a column come back, so that it says nothing about who its row is.
pub(super) fn is_about(pieces: &[Piece], table: &TableName, column: &str) -> bool {
    let of_table = pieces.iter().filter(|piece| piece.salvage.table == *table);
    let mut values = of_table.filter(|piece| piece.salvage.what == SalvageKind::Values);
    values.any(|piece| {
        piece.salvage.columns.iter().any(|name| name == column || piece.column_then(name) == column)
    })
}

/// Returns the tables whose rows a piece would refer to.
pub(super) async fn parents(session: &mut Session, piece: &Piece) -> Result<Vec<TableName>, Error> {
    let keys = live::foreign_keys(session, &piece.salvage.table).await?;
    let puts = |name: &String| piece.salvage.columns.contains(name);
    let puts = keys.iter().filter(|key| key.columns.iter().any(puts));
    Ok(puts.flat_map(|key| key.parents().cloned().collect::<Vec<_>>()).collect())
}

/// Returns the names that rows of a table have, and the columns that they are made of beside the key; where a key is a number also
/// those that were kept beside the names. Under one that people choose all that was kept is a name.
fn names(
    subject: &Subject<'_>,
    then: &Table,
    live: &[LiveColumn],
    (is_number, is_natural): (bool, bool),
) -> (Vec<String>, Vec<Name>) {
    let in_key = |name: &str| subject.key.iter().position(|(_, own)| own == name);
    let is_free = |name: &String| in_key(name).is_none() && !(subject.is_about)(name);
    let kept: Vec<String> = kept(then, live).into_iter().filter(is_free).collect();
    let is_name = |set: &Vec<String>| {
        set.iter().all(|name| in_key(name).is_some() || kept.contains(name))
            && set.iter().any(|name| kept.contains(name))
    };
    let sets: Vec<Vec<String>> = unique_sets(then).into_iter().filter(is_name).collect();
    let is_remade = subject.remade && sets.is_empty();
    // Where nothing is unique beside it, all that stands under a word may be what changes every day: a rate, a stock.
    let is_asked = is_natural && (subject.key.len() > 1 || !sets.is_empty());
    let any = !kept.is_empty() && (is_asked || is_remade);
    let columns: Vec<String> = kept
        .iter()
        .filter(|name| is_number || any || sets.iter().any(|set| set.contains(name)))
        .cloned()
        .collect();
    let expressions = |name: &String| match (in_key(name), columns.iter().position(|own| own == name)) {
        (Some(at), _) => Some((format!("s.k{at}"), format!("t.{}", identifier(&subject.key[at].0)))),
        (None, at) => Some((format!("s.c{}", at?), format!("t.{}", identifier(name)))),
    };
    let name = |set: &Vec<String>, any| {
        let found = set.iter().filter_map(|name| Some((expressions(name)?, name.clone())));
        let (columns, called) = found.unzip();
        Name { columns, called, any }
    };
    let mut names: Vec<Name> = sets.iter().map(|set| name(set, false)).collect();
    names.extend(any.then(|| name(&kept, true)));
    (columns, names)
}

impl Subject<'_> {
    /// Compares rows of then with those under their keys now.
    async fn compare(
        &self,
        session: &mut Session,
        key: &[&LiveColumn],
        (names, is_natural): (&[Name], bool),
        (others, doubt): (Recycled, &mut Doubt),
    ) -> Result<Option<String>, Error> {
        let (own, live) = (&self.name, self.now.sql());
        let now: Vec<String> = key.iter().map(|column| format!("t.{}", identifier(&column.name))).collect();
        let on = key.iter().zip(&now).enumerate();
        let on: Vec<String> = on.map(|(at, (column, now))| column.equals(now, &format!("s.k{at}"))).collect();
        let (now, on) = (now.join(", "), on.join(" AND "));
        let make = format!(
            "CREATE TEMPORARY TABLE {own}_keys ON COMMIT DROP AS SELECT {now} FROM ONLY {live} AS t WITH NO DATA"
        );
        session.run(DOING, &make).await?;
        let others = Recycled { among: others.among, ..Recycled::default() };
        if let Some(holds) = recycled::holds(session, &others, &now, &format!("{own}_others")).await? {
            let take =
                format!("INSERT INTO pg_temp.{own}_keys SELECT {now} FROM ONLY {live} AS t WHERE {holds}");
            session.run(DOING, &take).await?;
        }
        for (at, name) in names.iter().enumerate() {
            let (then, now_named) = (name.then(), name.now());
            let changed = format!("{own}_changed_{at}");
            let find = format!(
                "CREATE TEMPORARY TABLE {changed} ON COMMIT DROP AS SELECT {now}, {then} AS \"ripcord then\", \
                 {now_named} AS \"ripcord now\" FROM pg_temp.{own}_then AS s JOIN ONLY {live} AS t ON {on} \
                 WHERE {then} IS DISTINCT FROM {now_named}; ANALYZE pg_temp.{changed}"
            );
            session.run(DOING, &find).await?;
            if !is_any(session, &changed).await? {
                continue;
            }
            if let Some(differ) = name.all_differ() {
                let other = format!(
                    "INSERT INTO pg_temp.{own}_keys SELECT {now} FROM pg_temp.{own}_then AS s \
                     JOIN ONLY {live} AS t ON {on} WHERE {differ}"
                );
                session.run(DOING, &other).await?;
            }
            let alone = match name.any && is_natural {
                true => self.others(session, key, name, &on).await?,
                false => None,
            };
            let once = |named: &str, from: &str| {
                format!(
                    "SELECT x.v FROM (SELECT {named} AS v FROM {from}) AS x JOIN names USING (v) GROUP BY x.v HAVING count(*) = 1"
                )
            };
            let columns: Vec<String> =
                key.iter().map(|column| format!("m.{}", identifier(&column.name))).collect();
            let columns = columns.join(", ");
            // Joined, and not looked up: a list that does not fit into memory would be read through for each row.
            let keep = format!(
                "WITH names AS (SELECT \"ripcord then\" AS v FROM pg_temp.{changed} UNION SELECT \"ripcord now\" FROM pg_temp.{changed}), \
                 once AS MATERIALIZED ({} INTERSECT {}) INSERT INTO pg_temp.{own}_keys \
                 SELECT {columns} FROM pg_temp.{changed} AS m JOIN once ON once.v = m.\"ripcord then\" \
                 UNION ALL SELECT {columns} FROM pg_temp.{changed} AS m JOIN once ON once.v = m.\"ripcord now\"",
                once(&then, &format!("pg_temp.{own}_then AS s")),
                once(&now_named, &format!("ONLY {live} AS t"))
            );
            session.run(DOING, &keep).await?;
            if let Some(at) = alone {
                *doubt = self.in_doubt(session, key, (name, at), &on).await?;
            }
            session.run(DOING, &format!("DROP TABLE pg_temp.{changed}")).await?;
        }
        session.run(DOING, &format!("ANALYZE pg_temp.{own}_keys")).await?;
        Ok(is_any(session, &format!("{own}_keys")).await?.then(|| format!("{own}_keys")))
    }
}

async fn is_any(session: &mut Session, table: &str) -> Result<bool, Error> {
    let any = session.value(DOING, &format!("SELECT EXISTS (SELECT FROM pg_temp.{table})")).await?;
    Ok(any.as_deref() == Some("t"))
}
