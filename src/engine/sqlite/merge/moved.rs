//! Rows that have another key now: whoever gives one row the key of another takes its name along, by which both are known.
//!
//! A value belongs to a row, not to its key: a row can have the key of another one although nothing was inserted. It shows by a
//! name: what was the name of one row of then is that of another one now. Without such a proof a row is the one of its key,
//! whatever was edited in it, unless that is all that was kept of it, and its key is more than a number that only grows.

mod others;

use super::super::session::{Session, open_frozen};
use super::super::snapshot::file_in;
use super::DOING;
use super::feed::{Bound, Feed, fill, value};
use super::new_keys::{Named, NewKeys};
use super::recycled::{is_numbered, kept};
use super::strangers::{Guard, Strangers};
use super::together;
use crate::catalog::{Catalog, Table, TableKind, TableName, quote};
use crate::engine::{Base, Error, Piece, Value, counting};
use crate::ledger::{Doubt, Doubts, SalvageKind};
use others::Others;
use std::collections::{BTreeMap, BTreeSet};

/// The names of then, and of now: `v0`, `v1` … for the key, behind them the name, and what of that was salvaged.
const THEN: &str = "ripcord_named_then";
const NOW: &str = "ripcord_named_now";

/// What tells whether another row has a key, by the place of the piece, and what must not hang on these keys.
#[derive(Default)]
pub(super) struct Moved {
    retaken: BTreeMap<usize, (String, Vec<usize>)>,
    /// The keys that rows have now, where users changed them, by the place of the piece.
    pub new_keys: BTreeMap<usize, NewKeys>,
    pub strangers: Vec<Strangers>,
    pub doubts: Doubts,
}

/// Columns that together are the name of a row.
#[derive(Debug)]
struct Name {
    columns: Vec<String>,
    /// Whether they are salvaged themselves: then the row is known by what the way back left.
    is_salvaged: bool,
    /// Whether each of them must be there, as for a UNIQUE constraint.
    is_whole: bool,
    /// How rows show to be others by it, where it is all that was kept.
    others: Option<Others>,
}

impl Moved {
    /// Looks at the pieces of one turn, before any of them is put: what comes back whole would have names as well.
    pub(super) fn look(
        session: &Session,
        catalog: &Catalog,
        (turn, pieces): (usize, &[(usize, &Piece)]),
    ) -> Result<Self, Error> {
        let (mut found, mut asked) = (Self::default(), BTreeSet::new());
        for (index, piece) in pieces {
            let Some(live) = catalog.tables.get(&piece.salvage.table).filter(|live| is_asked(piece, live))
            else {
                continue;
            };
            let table = &piece.salvage.table;
            let keys = format!("ripcord_moved_{index}");
            let key = piece.salvage.key.as_slice();
            let places: Vec<usize> = key.iter().filter_map(|name| piece.place_of(name)).collect();
            let (then, new_keys) = (piece.table_then(), None);
            let doubt = Doubt::default();
            let mut looked = Look { session, piece, then, table, key, live, keys: &keys, new_keys, doubt };
            // Who has another number, or another place in a list, is another row.
            if matches!(key, [key] if !is_numbered(live, key)) && !piece.remade {
                looked.new_keys = Some(NewKeys::new(session, *index, places.clone())?);
            }
            asked.insert(table.clone());
            let is_any = looked.run(&|name| is_about(pieces, table, name))?;
            found.doubts.note(table, &looked.doubt);
            found.new_keys.extend(looked.new_keys.map(|keys| (*index, keys)));
            if is_any {
                found.strangers.push(Strangers::of_moved(table, &keys, key));
                found.retaken.insert(*index, (keys, places));
            }
        }
        for (_, piece) in pieces {
            for (parent, pairs) in together::keys(session, &piece.salvage.table)? {
                let puts = |(own, _): &(String, String)| {
                    piece.salvage.columns.iter().any(|name| name.eq_ignore_ascii_case(own))
                };
                let named = catalog.tables.iter().find(|(name, _)| name.name.eq_ignore_ascii_case(&parent));
                let Some((parent, live)) = named.filter(|_| pairs.iter().any(puts)) else { continue };
                if !asked.insert(parent.clone()) {
                    continue;
                }
                let name = format!("ripcord_moved_{turn}_of_{}", asked.len());
                let doubts = &mut found.doubts;
                let strangers = look_at_parent(session, piece, pieces, (parent, live), (&name, doubts))?;
                found.strangers.extend(strangers);
            }
        }
        Ok(found)
    }

    /// Returns what tells of a row of this piece whether another one has its key.
    pub(super) fn guard(&self, index: usize) -> Option<Guard> {
        let (keys, places) = self.retaken.get(&index)?;
        Some(Guard::of_keys(keys, places.clone()))
    }
}

/// Looks at a table of which no values come back by its key, but to which a piece refers.
fn look_at_parent(
    session: &Session,
    piece: &Piece,
    pieces: &[(usize, &Piece)],
    (table, live): (&TableName, &Table),
    (keys, doubts): (&str, &mut Doubts),
) -> Result<Option<Strangers>, Error> {
    let then = piece.catalog.as_ref().and_then(|catalog| catalog.tables.get(table));
    let is_there = |name: &String| live.columns.iter().any(|column| column.name == *name);
    let key = then.map(|then| &then.key).filter(|key| !key.is_empty() && key.iter().all(is_there));
    // Where keys are put back it is known which of them are not.
    let is_rekeying = pieces.iter().any(|(_, other)| other.salvage.table == *table && other.is_rekeying());
    let Some(key) = key.filter(|_| !is_rekeying && live.kind == TableKind::Ordinary) else { return Ok(None) };
    let doubt = Doubt::default();
    let mut look = Look { session, piece, then: table, table, key, live, keys, new_keys: None, doubt };
    let found = look.run(&|name| is_about(pieces, table, name))?;
    doubts.note(table, &look.doubt);
    Ok(found.then(|| Strangers::of_moved(table, keys, key)))
}

/// Tells whether values of a column come back, so that it says nothing about who its row is.
fn is_about(pieces: &[(usize, &Piece)], table: &TableName, column: &str) -> bool {
    let of_table = pieces.iter().map(|(_, other)| *other).filter(|other| other.salvage.table == *table);
    let mut values = of_table.filter(|other| other.salvage.what == SalvageKind::Values);
    values.any(|other| other.is_about(column))
}

/// Tells whether a row can have the key of another one without having been inserted.
fn is_asked(piece: &Piece, live: &Table) -> bool {
    let key = piece.salvage.key.as_slice();
    let is_there = |name: &String| live.columns.iter().any(|column| column.name == *name);
    let of_values = piece.salvage.what == SalvageKind::Values && live.kind == TableKind::Ordinary;
    of_values && piece.snapshot.is_some() && !key.is_empty() && key.iter().all(is_there)
}

/// One table that is looked at: that of a piece, or one to which it refers.
struct Look<'a> {
    session: &'a Session,
    piece: &'a Piece,
    then: &'a TableName,
    table: &'a TableName,
    key: &'a [String],
    live: &'a Table,
    /// The table that takes the keys.
    keys: &'a str,
    /// Takes the keys of rows that have another one now; none where no key can be another one.
    new_keys: Option<NewKeys>,
    /// Rows that are taken for those of then by their key alone.
    doubt: Doubt,
}

impl Look<'_> {
    /// Looks which keys are of other rows, and which rows have another one; tells whether there are any of the former.
    fn run(&mut self, is_about: &dyn Fn(&str) -> bool) -> Result<bool, Error> {
        let (session, key) = (self.session, self.key);
        drop(fill(session, self.keys, key.len())?);
        let new_keys = self.new_keys.take();
        let Some((then, names)) = self.readable(self.names(is_about))?.flatten() else { return Ok(false) };
        for name in &names {
            let own = if name.is_salvaged { name.columns.len() } else { 0 };
            drop(fill(session, THEN, key.len() + name.columns.len() + own)?);
            let is_read = match name.is_salvaged {
                true => self.read_salvaged(name).map(|()| true)?,
                false => self.read_then(&then, name)?,
            };
            if is_read {
                self.read_now(name)?;
                self.compare(name)?;
                if let Some(others) = &name.others {
                    let alone = self.others(name, others)?;
                    if let Some(at) = alone {
                        self.doubt = self.in_doubt(name, at)?;
                    }
                }
                let widths = (key.len(), name.columns.len());
                let named = Named { then: THEN, now: NOW, widths };
                if let Some(keys) = new_keys.as_ref().filter(|_| name.is_whole && !name.is_salvaged) {
                    keys.take(session, (self.table, key), &named)?;
                }
            }
        }
        if let Some(keys) = new_keys {
            let of_then: Vec<&str> = key.iter().map(|name| self.piece.column_then(name)).collect();
            let is_any = keys.settle(session, &then, (self.piece.table_then(), &of_then));
            self.new_keys = self.readable(is_any)?.is_some_and(|is_any| is_any).then_some(keys);
        }
        session.run(DOING, &format!("DROP TABLE IF EXISTS temp.{THEN}; DROP TABLE IF EXISTS temp.{NOW}"))?;
        let list = columns("", 0..key.len()).join(", ");
        session.run(DOING, &format!("CREATE INDEX temp.{0}_values ON {0} ({list})", self.keys))?;
        let any = format!("SELECT EXISTS (SELECT 1 FROM temp.{})", self.keys);
        Ok(session.one::<i64>(DOING, &any)? == 1)
    }

    /// A snapshot that cannot be read is no reason not to merge what was salvaged out of it.
    fn readable<T>(&self, read: Result<T, Error>) -> Result<Option<T>, Error> {
        match read {
            Err(_) if self.session.cancel().is_cancelled() => Err(Error::Interrupted),
            read => Ok(read.ok()),
        }
    }

    /// Opens the snapshot, and returns by what its rows are known; none where the table is not in it.
    fn names(&self, is_about: &dyn Fn(&str) -> bool) -> Result<Option<(Session, Vec<Name>)>, Error> {
        let piece = self.piece;
        let Some(folder) = &piece.snapshot else { return Ok(None) };
        let then = open_frozen(&file_in(folder), &self.session.cancel())?;
        let catalog = super::catalog::read(&then)?;
        let Some(table) = catalog.tables.get(self.then) else { return Ok(None) };
        let is_key = |name: &str| self.key.iter().any(|key| key == name);
        let kept = kept(self.live, table, &|name| is_about(name) || is_key(name));
        let mut names: Vec<Name> = Vec::new();
        for unique in unique(&then, &self.then.name)? {
            names.extend(self.name(&unique, &kept));
        }
        let key: Vec<String> = self.key.iter().map(|name| self.column_then(name).to_string()).collect();
        let is_word = |name: &String| !is_numbered(table, name) && others::is_short(&then, self.then, name);
        // Where nothing is unique beside it, all that stands under a word may be what changes every day: a rate, a stock.
        let is_natural = key.len() > 1 || (!names.is_empty() && key.iter().all(is_word));
        let is_remade = self.is_own() && piece.remade && names.is_empty();
        if !kept.is_empty() && (is_remade || is_natural) {
            let others = is_natural.then(|| Others { counting: counting(&catalog, self.then, &key) });
            names.push(Name { columns: kept, is_salvaged: false, is_whole: false, others });
        }
        Ok(Some((then, names)))
    }

    /// Tells whether it is the table of the piece, whose columns may have had other names.
    fn is_own(&self) -> bool {
        self.piece.salvage.table == *self.table
    }

    fn column_then<'s>(&'s self, column: &'s str) -> &'s str {
        if self.is_own() { self.piece.column_then(column) } else { column }
    }

    /// Returns the name that the columns of a unique index are, if they were kept, or what was left in them is known. What
    /// stands beside them in the key may be part of it, but not all of the key: that never is another row's.
    fn name(&self, unique: &[String], kept: &[String]) -> Option<Name> {
        let piece = self.piece;
        let is_key = |name: &String| self.key.iter().any(|key| self.column_then(key) == name);
        let own: Vec<&String> = unique.iter().filter(|name| !is_key(name)).collect();
        let has_all = self.key.iter().all(|key| unique.iter().any(|name| self.column_then(key) == name));
        if own.is_empty() || has_all {
            return None;
        }
        let now = |name: &String| {
            let salvaged = piece.salvage.columns.iter().filter(|_| self.is_own());
            let mut all = self.key.iter().chain(salvaged);
            all.find(|now| self.column_then(now) == name).unwrap_or(name).clone()
        };
        let columns: Vec<String> = unique.iter().map(now).collect();
        let is_left = |name: &&String| {
            let name = now(name);
            let live = self.live.columns.iter().find(|column| column.name == name);
            self.is_own()
                && piece.salvage.columns.contains(&name)
                && matches!(piece.base(&name), Base::Column(_))
                && live.is_some_and(|live| live.generated.is_none())
        };
        let is_salvaged = own.iter().all(is_left);
        (is_salvaged || own.iter().all(|name| kept.contains(name))).then_some(Name {
            columns,
            is_salvaged,
            is_whole: true,
            others: None,
        })
    }

    /// Reads the names of then out of the snapshot; false where that cannot be read.
    fn read_then(&self, then: &Session, name: &Name) -> Result<bool, Error> {
        let of_then =
            |names: &[String]| names.iter().map(|name| self.column_then(name).to_string()).collect();
        let (key, columns): (Vec<String>, Vec<String>) = (of_then(self.key), of_then(&name.columns));
        let sql = select(&self.then.sql(), &key, &columns, name.is_whole);
        let mut insert = self.insert(THEN, key.len() + columns.len())?;
        let Some(mut statement) =
            self.readable(then.prepare(&sql).map_err(|error| then.failed(DOING, error)))?
        else {
            return Ok(false);
        };
        let width = statement.column_count();
        let Some(mut rows) = self.readable(statement.query([]).map_err(|error| then.failed(DOING, error)))?
        else {
            return Ok(false);
        };
        loop {
            let next = rows.next().map_err(|error| then.failed(DOING, error));
            let row = match self.readable(next)? {
                Some(Some(row)) => row,
                Some(None) => return Ok(true),
                None => return Ok(false),
            };
            let values = (0..width).map(|at| row.get_ref(at).map(|one| Bound(value(one))));
            let values = values.collect::<Result<Vec<_>, _>>().map_err(|error| then.failed(DOING, error))?;
            insert.execute(rusqlite::params_from_iter(values)).map_err(|error| self.failed(error))?;
        }
    }

    /// Reads what the way back left as names, with what was salvaged. Numbers are no names here: a way back may count its rows,
    /// and each has another one as soon as one is gone.
    fn read_salvaged(&self, name: &Name) -> Result<(), Error> {
        let piece = self.piece;
        let place = |column: &String| piece.place_of(column);
        let left = |column: &String| match piece.base(column) {
            Base::Column(place) if piece.salvage.columns.contains(column) => Some(place),
            _ => piece.place_of(column),
        };
        let key: Option<Vec<usize>> = piece.salvage.key.iter().map(place).collect();
        let base: Option<Vec<usize>> = name.columns.iter().map(left).collect();
        let ours: Option<Vec<usize>> = name.columns.iter().map(place).collect();
        let (Some(key), Some(base), Some(ours)) = (key, base, ours) else { return Ok(()) };
        let is_own = |at: usize| !piece.salvage.key.contains(&name.columns[at]);
        let mut insert = self.insert(THEN, key.len() + base.len() + ours.len())?;
        Feed::File(piece.source.as_ref()).each(self.session, &mut |values| {
            let get = |place: &usize| values.get(*place).copied().unwrap_or(Value::Null);
            let is_name = |(at, place): (usize, &usize)| {
                !is_own(at) || matches!(get(place), Value::Text(_) | Value::Blob(_))
            };
            if !base.iter().enumerate().all(is_name) {
                return Ok(());
            }
            let all = key.iter().chain(&base).chain(&ours).map(|place| Bound(get(place)));
            insert.execute(rusqlite::params_from_iter(all)).map(|_| ()).map_err(|error| self.failed(error))
        })
    }

    /// Reads the names of now.
    fn read_now(&self, name: &Name) -> Result<(), Error> {
        let key = self.key;
        drop(fill(self.session, NOW, key.len() + name.columns.len())?);
        let select = select(&self.table.sql(), key, &name.columns, name.is_whole);
        self.session.run(DOING, &format!("INSERT INTO temp.{NOW} {select}"))
    }

    /// Takes the keys of both rows where the name of just one row of then is that of just one row of now, and that one has
    /// another key: neither is the row of its key any more. A row without a name, then or now, is left out of it.
    fn compare(&self, name: &Name) -> Result<(), Error> {
        let (keys, wide) = (self.key.len(), name.columns.len());
        let (key, of_name) = (0..keys, keys..keys + wide);
        for (table, what, range) in [
            (THEN, "keys", key.clone()),
            (THEN, "names", of_name.clone()),
            (NOW, "keys", key.clone()),
            (NOW, "names", of_name.clone()),
        ] {
            let list = columns("", range).join(", ");
            self.session.run(DOING, &format!("CREATE INDEX temp.{table}_{what} ON {table} ({list})"))?;
        }
        let same = |one: &str, range: std::ops::Range<usize>, other: &str| {
            let pairs = columns(one, range.clone()).into_iter().zip(columns(other, range));
            pairs.map(|(one, other)| format!("{one} IS {other}")).collect::<Vec<_>>().join(" AND ")
        };
        let elsewhere = format!(
            "DROP TABLE IF EXISTS temp.ripcord_elsewhere; CREATE TEMP TABLE ripcord_elsewhere AS \
             SELECT t.rowid AS t, n.rowid AS n \
             FROM (SELECT max(rowid) AS row FROM temp.{THEN} GROUP BY {list} HAVING count(*) = 1) AS one \
             CROSS JOIN temp.{THEN} AS t ON t.rowid = one.row CROSS JOIN temp.{NOW} AS n ON {named} \
             WHERE NOT ({same_key}) \
             AND NOT EXISTS (SELECT 1 FROM temp.{NOW} AS o WHERE {twice} AND o.rowid <> n.rowid)",
            list = columns("", of_name.clone()).join(", "),
            named = same("n", of_name.clone(), "t"),
            same_key = same("n", key.clone(), "t"),
            twice = same("o", of_name.clone(), "n"),
        );
        self.session.run(DOING, &elsewhere)?;
        if !name.is_whole && wide > 1 {
            // Of a place in a list, or a number that the way back gives out anew, nothing says any more that it is still that of
            // its row.
            let pairs = columns("t", of_name.clone()).into_iter().zip(columns("n", of_name.clone()));
            let differ: Vec<String> = pairs.map(|(then, now)| format!("{then} IS NOT {now}")).collect();
            let other = format!(
                "INSERT INTO temp.{} SELECT {} FROM temp.{THEN} AS t CROSS JOIN temp.{NOW} AS n ON {} WHERE {}",
                self.keys,
                columns("t", key.clone()).join(", "),
                same("n", key.clone(), "t"),
                differ.join(" AND ")
            );
            self.session.run(DOING, &other)?;
        }
        // A row that has what was salvaged already is the one of then.
        let ours = columns("t", keys + wide..keys + 2 * wide).into_iter().zip(columns("n", of_name));
        let ours = ours.map(|(ours, theirs)| format!("{ours} IS {theirs}")).collect::<Vec<_>>().join(" AND ");
        let is_ours = if name.is_salvaged { format!(" AND NOT ({ours})") } else { String::new() };
        let take = format!(
            "INSERT INTO temp.{into} SELECT {list_e} FROM (\
             SELECT {list_t} FROM temp.ripcord_elsewhere AS x CROSS JOIN temp.{THEN} AS t ON t.rowid = x.t UNION \
             SELECT {list_n} FROM temp.ripcord_elsewhere AS x CROSS JOIN temp.{NOW} AS n ON n.rowid = x.n) AS e \
             WHERE EXISTS (SELECT 1 FROM temp.{THEN} AS t CROSS JOIN temp.{NOW} AS n ON {both} \
             WHERE {own}{is_ours}); DROP TABLE temp.ripcord_elsewhere",
            into = self.keys,
            list_e = columns("e", key.clone()).join(", "),
            list_t = named(&columns("t", key.clone())),
            list_n = named(&columns("n", key.clone())),
            both = same("n", key.clone(), "t"),
            own = same("t", key, "e"),
        );
        self.session.run(DOING, &take)
    }

    fn insert(&self, table: &str, width: usize) -> Result<rusqlite::Statement<'_>, Error> {
        let sql = format!("INSERT INTO temp.{table} VALUES ({})", vec!["?"; width].join(", "));
        self.session.prepare(&sql).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: rusqlite::Error) -> Error {
        self.session.failed(DOING, error)
    }
}

/// Returns columns of the temporary tables.
fn columns(of: &str, range: std::ops::Range<usize>) -> Vec<String> {
    let dot = if of.is_empty() { "" } else { "." };
    range.map(|at| format!("{of}{dot}v{at}")).collect()
}

/// Gives columns the names of the temporary tables.
fn named(columns: &[String]) -> String {
    let named = columns.iter().enumerate().map(|(at, column)| format!("{column} AS v{at}"));
    named.collect::<Vec<_>>().join(", ")
}

/// Returns the statement that reads keys with names, of rows that have both.
fn select(table: &str, key: &[String], name: &[String], is_whole: bool) -> String {
    let list: Vec<String> = key.iter().chain(name).map(|column| quote(column)).collect();
    let held = |names: &[String], between: &str| {
        let held = names.iter().map(|column| format!("{} IS NOT NULL", quote(column)));
        held.collect::<Vec<_>>().join(between)
    };
    let between = if is_whole { " AND " } else { " OR " };
    let (of_key, of_name) = (held(key, " AND "), held(name, between));
    format!("SELECT {} FROM main.{table} WHERE {of_key} AND ({of_name})", list.join(", "))
}

/// Returns the columns of each unique index of a table that is over all rows and over nothing but columns.
fn unique(session: &Session, table: &str) -> Result<BTreeSet<Vec<String>>, Error> {
    let failed = |error| session.failed("reading the keys", error);
    let sql = "SELECT l.name, i.name FROM pragma_index_list(?1) l, pragma_index_info(l.name) i \
               WHERE l.\"unique\" AND NOT l.partial ORDER BY l.name, i.name";
    let mut statement = session.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([table]).map_err(failed)?;
    let mut indexes: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    while let Some(row) = rows.next().map_err(failed)? {
        // The name is NULL for an expression and for the rowid.
        indexes.entry(row.get(0).map_err(failed)?).or_default().push(row.get(1).map_err(failed)?);
    }
    Ok(indexes.into_values().filter_map(|parts| parts.into_iter().collect()).collect())
}
