//! Keys that are put back, and what refers to them follows.
//!
//! A key is only put back as a value where the way back made it anew. What others have written since refers to the new one,
//! and would otherwise forbid the old one, or hang on nothing. Where the key is the number by which SQLite finds a row, the
//! row is found by the old one from then on. What holds the numbers of then stays ([`super::stays`]).

use super::super::raw;
use super::super::session::Session;
use super::DOING;
use super::references::{Reference, references, would_lose};
use super::stays::Stays;
use super::strangers::Guard;
use super::target::{Target, TargetColumn};
use crate::catalog::{Catalog, TableName, quote};
use crate::engine::{Error, Piece};
use crate::ledger::Followed;
use rusqlite::ErrorCode;
use std::collections::BTreeMap;

/// So many keys at least are worth an index of what refers to them.
const MANY: i64 = 256;

/// What was put beforehand.
pub(super) struct Rekeyed {
    /// How many keys, by the place of the column among those that are put back.
    pub put: Vec<u64>,
    pub followed: Vec<Followed>,
    pub undecided: BTreeMap<usize, Undecided>,
    /// The columns whose keys moved, each with the temporary table that has them: `now`, before they moved, and `old`.
    pub moves: Vec<(String, String)>,
}

/// Which keys of a column must not be put back, because nobody knows whether rows mean the row that has it now.
pub(super) enum Undecided {
    All,
    These(Guard),
}

/// Puts back the keys of the rows that are due, as far as nobody else has one of them now; of rows that go together all or none.
pub(super) fn put(
    session: &Session,
    target: &Target<'_>,
    (catalog, pieces): (&Catalog, &[Piece]),
    rowid: &str,
) -> Result<Rekeyed, Error> {
    let (mut put, mut followed) = (vec![0; target.columns.len()], Vec::new());
    let (mut undecided, mut moved_keys) = (BTreeMap::new(), Vec::new());
    let refer = references(session, catalog, &target.table)?;
    let key = catalog.tables.get(&target.table).map(|table| table.key.clone()).unwrap_or_default();
    for (place, column) in target.columns.iter().enumerate() {
        let is_key = key == [column.name.clone()];
        let known = if column.retyped { None } else { column.base.expression("p") };
        let is_referred = refer.iter().any(|one| one.only_to(&column.name).is_some());
        let keys = format!("temp.ripcord_keys_{}", target.index);
        let at = (column.name.as_str(), column.place);
        let stays = Stays { session, target, pieces, catalog, column: at, keys: &keys, rowid };
        let is_left = || stays.any_follows(&refer).then_some(Undecided::All);
        if !is_key && !is_referred {
            continue;
        }
        let costs = would_cost(session, catalog, &refer, &column.name)?;
        let Some(base) = known.filter(|_| !costs) else {
            undecided.extend(is_left().map(|left| (place, left)));
            continue;
        };
        let moves = Moves { session, target, column, refer: &refer, rowid, stays: &stays };
        session.run(DOING, "PRAGMA defer_foreign_keys = ON; SAVEPOINT ripcord_rekey")?;
        let moved = moves.make(&base)?;
        // The rest of the merge tries each by itself, and says what forbids it.
        let end = if moved.is_some() { "" } else { "ROLLBACK TO ripcord_rekey; " };
        session.run(DOING, &format!("{end}RELEASE ripcord_rekey; PRAGMA defer_foreign_keys = OFF"))?;
        let left = match moved {
            Some(Moved { count, followed: more, undecided }) => {
                put[place] = count;
                followed.extend(more);
                if count > 0 {
                    moved_keys.push((column.name.clone(), moves.keep(place)?));
                }
                undecided.map(Undecided::These)
            }
            None => is_left(),
        };
        undecided.extend(left.map(|left| (place, left)));
    }
    Ok(Rekeyed { put, followed, undecided, moves: moved_keys })
}

/// What came of the keys of one column.
struct Moved {
    count: u64,
    followed: Vec<Followed>,
    undecided: Option<Guard>,
}

/// The keys of one column that get another value, in a temporary table: `live` is the rowid of each, `now`, `old`, the rows
/// that go `together` (a row by itself has a number that no other one has), and what is `aside` of all.
struct Moves<'a, 's> {
    session: &'s Session,
    target: &'a Target<'a>,
    column: &'a TargetColumn,
    refer: &'a [Reference],
    rowid: &'a str,
    stays: &'a Stays<'a, 's>,
}

impl Moves<'_, '_> {
    fn of(&self, what: &str) -> String {
        format!("temp.ripcord_{what}_{}", self.target.index)
    }

    /// Keeps what moved for those that refer to it; returns the name of that table.
    fn keep(&self, place: usize) -> Result<String, Error> {
        let name = format!("ripcord_moved_keys_{}_{place}", self.target.index);
        let make = format!(
            "DROP TABLE IF EXISTS temp.{name}; CREATE TEMP TABLE {name} AS SELECT now, old FROM {}; \
             CREATE INDEX temp.{name}_now ON {name} (now)",
            self.of("keys")
        );
        self.session.run(DOING, &make)?;
        Ok(name)
    }

    /// Moves what can be moved; nothing where a constraint forbids it.
    fn make(&self, base: &str) -> Result<Option<Moved>, Error> {
        let moves = self.of("keys");
        self.find(base)?;
        let Some(stayed) = self.stays.lead(self.refer)? else { return Ok(None) };
        self.leave_taken()?;
        let count: i64 = self.session.one(DOING, &format!("SELECT count(*) FROM {moves}"))?;
        let moved = match count {
            0 => Some(Vec::new()),
            _ => self.move_all(count)?,
        };
        let Some(mut followed) = moved else { return Ok(None) };
        let is_settled = self.stays.settle(&stayed, &mut followed)?;
        let undecided = stayed.undecided;
        Ok(is_settled.then_some(Moved { count: count.unsigned_abs(), followed, undecided }))
    }

    /// Moves all that are left, and returns what followed; nothing where a constraint forbids it.
    fn move_all(&self, count: i64) -> Result<Option<Vec<Followed>>, Error> {
        let moves = self.of("keys");
        let indexes = if count > MANY { self.index_what_refers()? } else { Vec::new() };
        let overlap =
            format!("SELECT EXISTS (SELECT 1 FROM {moves} AS x JOIN {moves} AS y ON x.old = y.now)");
        let changed = match self.session.one::<i64>(DOING, &overlap)? {
            0 => self.change("now", "old")?,
            _ => self.change_places()?,
        };
        let is_open = raw::has_deferred_keys_open(self.session);
        let is_open = is_open.map_err(|error| self.session.failed(DOING, error))?;
        // Where a constraint forbids it, the indexes go with everything else.
        let Some(followed) = changed.filter(|_| !is_open) else { return Ok(None) };
        indexes.iter().try_for_each(|name| self.session.run(DOING, &format!("DROP INDEX main.{name}")))?;
        // A row that is found by its key lies under the old one now; any other one lies where it lay.
        let (due, table, name) = (self.of("due"), self.target.table.sql(), quote(&self.column.name));
        let stays = format!(
            "SELECT EXISTS (SELECT 1 FROM {moves} AS m JOIN main.{table} AS t ON t.{} = m.live \
             WHERE t.{name} = m.old AND m.old <> m.live)",
            self.rowid
        );
        if self.session.one::<i64>(DOING, &stays)? == 0 {
            let follow = format!(
                "UPDATE {due} AS x SET live = (SELECT m.old FROM {moves} AS m WHERE m.live = x.live) \
                 WHERE live IN (SELECT live FROM {moves})"
            );
            self.session.run(DOING, &follow)?;
        }
        Ok(Some(followed))
    }

    /// Makes an index of each foreign key that has none, and returns their names: SQLite looks for the rows that refer to a key
    /// with every key that changes, and would read their whole table each time.
    fn index_what_refers(&self) -> Result<Vec<String>, Error> {
        let mut made = Vec::new();
        for one in self.refer {
            let Some(first) = one.to(&self.column.name) else { continue };
            let columns = one.columns_from(first);
            if is_indexed(self.session, &one.table, &columns)? {
                continue;
            }
            let name = format!("ripcord_refers_{}_{}", self.target.index, made.len());
            let list: Vec<String> = columns.iter().map(|column| quote(column)).collect();
            let make = format!("CREATE INDEX main.{name} ON {} ({})", one.table.sql(), list.join(", "));
            self.session.run(DOING, &make)?;
            made.push(name);
        }
        Ok(made)
    }

    fn index(&self, column: &str) -> String {
        let name = self.of(&format!("keys_{column}"));
        format!("CREATE INDEX {name} ON ripcord_keys_{} ({column})", self.target.index)
    }

    /// Finds the rows. What they hold now is also where `aside` gets its type from: without one SQLite would use no index of it.
    fn find(&self, base: &str) -> Result<(), Error> {
        let moves = self.of("keys");
        let theirs = format!("t.{}", quote(&self.column.name));
        let ours = format!("p.v{}", self.column.place);
        let same = |value: &str| {
            format!("({theirs} COLLATE BINARY IS {value} AND typeof({theirs}) = typeof({value}))")
        };
        let make = format!(
            "DROP TABLE IF EXISTS {moves}; CREATE TABLE {moves} AS SELECT p.live, {theirs} AS now, {ours} AS old, \
             CASE p.together WHEN 0 THEN -p.rowid ELSE p.together END AS together, {theirs} AS aside \
             FROM {} p JOIN main.{} t ON t.{} = p.live WHERE {ours} IS NOT NULL AND {} AND NOT {}; {}",
            self.of("due"),
            self.target.table.sql(),
            self.rowid,
            same(base),
            same(&ours),
            ["now", "old", "live", "together"].map(|column| self.index(column)).join("; "),
        );
        self.session.run(DOING, &make)
    }

    /// Leaves those alone that would take a key which another row keeps: each that stays keeps its own, so that a whole chain
    /// of them may have to stay.
    fn leave_taken(&self) -> Result<(), Error> {
        let (moves, name) = (self.of("keys"), quote(&self.column.name));
        // The sign keeps the type of the other column out of it, with which no index could be used.
        let taken = format!(
            "WITH RECURSIVE staying (together) AS (SELECT m.together FROM {moves} AS m \
             WHERE EXISTS (SELECT 1 FROM main.{} AS x WHERE x.{name} = m.old \
             AND NOT EXISTS (SELECT 1 FROM {moves} AS y WHERE y.now = x.{name})) \
             OR m.old IN (SELECT old FROM {moves} GROUP BY old HAVING count(*) > 1) \
             UNION SELECT m.together FROM staying AS s JOIN {moves} AS t ON t.together = s.together \
             JOIN {moves} AS m ON m.old = +t.now) \
             DELETE FROM {moves} WHERE together IN (SELECT together FROM staying)",
            self.target.table.sql()
        );
        // Once more for keys that only the collation of the column takes for the same.
        let round = || self.session.execute(&taken, []).map_err(|error| self.session.failed(DOING, error));
        while round()? > 0 {}
        Ok(())
    }

    /// Where keys change places, gives each row one that nobody has first.
    fn change_places(&self) -> Result<Option<Vec<Followed>>, Error> {
        let moves = self.of("keys");
        let aside = format!(
            "UPDATE {moves} SET aside = {}; {}",
            aside("now", &self.target.table, &self.column.name),
            self.index("aside"),
        );
        self.session.run(DOING, &aside)?;
        // What stands there for a moment need not be one that the table allows.
        self.session.run(DOING, "PRAGMA ignore_check_constraints = ON")?;
        let first = self.change("now", "aside");
        self.session.run(DOING, "PRAGMA ignore_check_constraints = OFF")?;
        match first? {
            Some(_) => self.change("aside", "old"),
            None => Ok(None),
        }
    }

    /// Changes the keys from one column of the moves to another, and first everything that refers to them, which has
    /// nothing left to lose then; nothing where a constraint forbids it.
    fn change(&self, from: &str, to: &str) -> Result<Option<Vec<Followed>>, Error> {
        let (own, name) = (&self.target.table, &self.column.name);
        let mut alone: BTreeMap<&TableName, Vec<&String>> = BTreeMap::new();
        let (mut itself, mut together) = (vec![name], Vec::new());
        for one in self.refer {
            match (one.only_to(name), one.to(name)) {
                // Looked at later, it may change in the same statement: what a row must be in itself, it is before and after.
                (Some(column), _) if one.table == *own && !one.acts() => itself.push(column),
                (Some(column), _) => alone.entry(&one.table).or_default().push(column),
                (None, Some(column)) => together.push((one, column)),
                (None, None) => {}
            }
        }
        let mut updates: Vec<(&TableName, Vec<&String>, String)> = Vec::new();
        for (table, columns) in alone {
            let update = self.update(table, &columns, (from, to));
            updates.push((table, columns, update));
        }
        for (one, column) in together {
            updates.push((&one.table, vec![column], self.update_of_several(one, column, (from, to))));
        }
        let mut followed = Vec::new();
        for (table, columns, update) in updates {
            let Some(rows) = self.try_update(&update)? else { return Ok(None) };
            followed.extend(following(table, &columns, rows));
        }
        if self.would_empty(from)? {
            return Ok(None);
        }
        let Some(rows) = self.try_update(&self.update(own, &itself, (from, to)))? else { return Ok(None) };
        followed.extend(following(own, &itself, rows));
        Ok(Some(followed))
    }

    /// Returns how many rows a statement changed; none when a constraint forbids it.
    fn try_update(&self, update: &str) -> Result<Option<usize>, Error> {
        match self.session.execute(update, []) {
            Ok(rows) => Ok(Some(rows)),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(None),
            Err(error) => Err(self.session.failed(DOING, error)),
        }
    }

    /// Tells whether a row still refers to one of the keys by a foreign key that is emptied when the key changes: what SQLite
    /// takes for the same key need not have the same bytes, and has not followed then.
    fn would_empty(&self, from: &str) -> Result<bool, Error> {
        let name = &self.column.name;
        // In this order, because what is referred to always has an index, and what refers to it need not have one.
        for one in self.refer.iter().filter(|one| one.loses() && one.to(name).is_some()) {
            let left = format!(
                "SELECT EXISTS (SELECT 1 FROM main.{} AS r CROSS JOIN main.{} AS t ON {} WHERE t.{} IN (SELECT {from} FROM {}))",
                one.table.sql(),
                self.target.table.sql(),
                one.holds("r", "t"),
                quote(name),
                self.of("keys")
            );
            if self.session.one::<i64>(DOING, &left)? == 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the statement that changes a column which refers to the keys beside others: only in rows that refer to one.
    fn update_of_several(&self, one: &Reference, column: &str, (from, to): (&str, &str)) -> String {
        let (moves, name) = (self.of("keys"), quote(column));
        format!(
            "UPDATE OR ABORT main.{} AS r SET {name} = (SELECT m.{to} FROM {moves} AS m WHERE m.{from} = r.{name}) \
             WHERE r.{name} IN (SELECT {from} FROM {moves}) AND EXISTS (SELECT 1 FROM main.{} AS t WHERE {})",
            one.table.sql(),
            self.target.table.sql(),
            one.holds("r", "t")
        )
    }

    fn update(&self, table: &TableName, columns: &[&String], (from, to): (&str, &str)) -> String {
        let moves = self.of("keys");
        let set = columns.iter().map(|column| {
            let name = quote(column);
            format!(
                "{name} = coalesce((SELECT m.{to} FROM {moves} AS m WHERE m.{from} = r.{name}), r.{name})"
            )
        });
        let hit = columns.iter().map(|column| format!("r.{} IN (SELECT {from} FROM {moves})", quote(column)));
        format!(
            "UPDATE OR ABORT main.{} AS r SET {} WHERE {}",
            table.sql(),
            set.collect::<Vec<_>>().join(", "),
            hit.collect::<Vec<_>>().join(" OR ")
        )
    }
}

/// Returns a value in the place of what a row of a temporary table holds that no row has in a column.
pub(super) fn aside(held: &str, table: &TableName, column: &str) -> String {
    format!(
        "CASE typeof({held}) WHEN 'integer' THEN (SELECT min(coalesce(min({}), 0), 0) FROM main.{}) - rowid \
         ELSE 'ripcord ' || rowid || hex(randomblob(8)) END",
        quote(column),
        table.sql()
    )
}

/// Tells whether a table has an index that begins with these columns, in any order.
fn is_indexed(session: &Session, table: &TableName, columns: &[&str]) -> Result<bool, Error> {
    let failed = |error| session.failed("reading the keys", error);
    let sql = "SELECT l.name, lower(i.name) FROM pragma_index_list(?1) l, pragma_index_info(l.name) i \
               WHERE NOT l.partial ORDER BY l.name, i.seqno";
    let mut statement = session.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([&table.name]).map_err(failed)?;
    let mut indexes: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    while let Some(row) = rows.next().map_err(failed)? {
        // The name is NULL for an expression.
        indexes.entry(row.get(0).map_err(failed)?).or_default().push(row.get(1).map_err(failed)?);
    }
    let begins = |index: &Vec<Option<String>>| {
        let first: Vec<&str> = index.iter().take(columns.len()).filter_map(Option::as_deref).collect();
        columns.iter().all(|column| first.contains(&column.to_ascii_lowercase().as_str()))
    };
    Ok(indexes.values().any(begins))
}

fn following(table: &TableName, columns: &[&String], rows: usize) -> Option<Followed> {
    let columns = columns.iter().copied().cloned().collect();
    (rows > 0).then(|| Followed { table: table.clone(), columns, rows: rows as u64, led: 0 })
}

/// Tells whether putting a key back would cost others something: what refers to it follows, so that rows which refer to that
/// may lose what they refer to.
fn would_cost(
    session: &Session,
    catalog: &Catalog,
    refer: &[Reference],
    column: &str,
) -> Result<bool, Error> {
    for one in refer {
        let Some(own) = one.to(column) else { continue };
        if would_lose(session, catalog, &references(session, catalog, &one.table)?, own)? {
            return Ok(true);
        }
    }
    Ok(false)
}
