//! Keys that are put back, and what refers to them follows.
//!
//! A key is only put back as a value where the way back made it anew. What others have written since refers to the new one,
//! and would otherwise forbid the old one, or hang on nothing. Where the key is the number by which SQLite finds a row, the
//! row is found by the old one from then on.

use super::super::raw;
use super::super::session::Session;
use super::DOING;
use super::target::{Target, TargetColumn};
use crate::catalog::{Catalog, TableName, quote};
use crate::engine::Error;
use crate::ledger::Followed;
use rusqlite::ErrorCode;
use std::collections::BTreeMap;

/// A foreign key that refers to a table.
pub(super) struct Reference {
    table: TableName,
    /// Its columns, and what each refers to.
    columns: Vec<(String, String)>,
    /// Whether it loses what it refers to when that changes (`ON UPDATE SET NULL`, `SET DEFAULT`).
    is_lost: bool,
}

impl Reference {
    /// Tells whether rows would lose what they refer to when this column changes.
    pub(super) fn would_lose(&self, column: &str) -> bool {
        self.is_lost && self.columns.iter().any(|(_, other)| other.eq_ignore_ascii_case(column))
    }

    /// Returns the columns that it refers to.
    pub(super) fn referred(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(_, other)| other.as_str())
    }

    /// Returns its column, where that refers to this one alone.
    fn to(&self, column: &str) -> Option<&String> {
        let [(own, other)] = self.columns.as_slice() else { return None };
        other.eq_ignore_ascii_case(column).then_some(own)
    }
}

/// Returns the foreign keys that refer to a table.
pub(super) fn references(
    session: &Session,
    catalog: &Catalog,
    table: &TableName,
) -> Result<Vec<Reference>, Error> {
    let failed = |error| session.failed("reading the keys", error);
    let sql = "SELECT id, \"from\", \"to\", on_update FROM pragma_foreign_key_list(?1) \
               WHERE \"table\" = ?2 COLLATE NOCASE ORDER BY id, seq";
    let mut statement = session.prepare(sql).map_err(failed)?;
    let key = catalog.tables.get(table).map(|table| table.key.clone()).unwrap_or_default();
    let mut found = Vec::new();
    for child in catalog.tables.keys() {
        let mut of_child: BTreeMap<i64, Reference> = BTreeMap::new();
        let mut rows = statement.query([&child.name, &table.name]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let how: String = row.get(3).map_err(failed)?;
            let reference = of_child.entry(row.get(0).map_err(failed)?).or_insert_with(|| Reference {
                table: child.clone(),
                columns: Vec::new(),
                is_lost: how.to_ascii_uppercase().starts_with("SET"),
            });
            // Without a name it is the primary key.
            let other: Option<String> = row.get(2).map_err(failed)?;
            let other = other.or_else(|| key.get(reference.columns.len()).cloned()).unwrap_or_default();
            reference.columns.push((row.get(1).map_err(failed)?, other));
        }
        found.extend(of_child.into_values());
    }
    Ok(found)
}

/// Puts back the keys of the rows that are due, as far as nobody else has one of them now; of rows that go together all or none.
/// Returns for each column that is put back how many that were, and what followed.
pub(super) fn put(
    session: &Session,
    target: &Target<'_>,
    catalog: &Catalog,
    rowid: &str,
) -> Result<(Vec<u64>, Vec<Followed>), Error> {
    let (mut put, mut followed) = (vec![0; target.columns.len()], Vec::new());
    let refer = references(session, catalog, &target.table)?;
    let key = catalog.tables.get(&target.table).map(|table| table.key.clone()).unwrap_or_default();
    for (place, column) in target.columns.iter().enumerate() {
        let is_key = key == [column.name.clone()];
        let known = if column.retyped { None } else { column.base.expression("p") };
        let Some(base) = known.filter(|_| is_key || refer.iter().any(|one| one.to(&column.name).is_some()))
        else {
            continue;
        };
        let moves = Moves { session, target, column, refer: &refer, rowid };
        session.run(DOING, "PRAGMA defer_foreign_keys = ON; SAVEPOINT ripcord_rekey")?;
        let moved = moves.make(&base)?;
        // The rest of the merge tries each by itself, and says what forbids it.
        let end = if moved.is_some() { "" } else { "ROLLBACK TO ripcord_rekey; " };
        session.run(DOING, &format!("{end}RELEASE ripcord_rekey; PRAGMA defer_foreign_keys = OFF"))?;
        if let Some((count, more)) = moved {
            put[place] = count;
            followed.extend(more);
        }
    }
    Ok((put, followed))
}

/// The keys of one column that get another value, in a temporary table: `live` is the rowid of each, `now`, `old`, the rows
/// that go `together`, and what is `aside` of all.
struct Moves<'a, 's> {
    session: &'s Session,
    target: &'a Target<'a>,
    column: &'a TargetColumn,
    refer: &'a [Reference],
    rowid: &'a str,
}

impl Moves<'_, '_> {
    fn of(&self, what: &str) -> String {
        format!("temp.ripcord_{what}_{}", self.target.index)
    }

    /// Moves what can be moved; nothing where a constraint forbids it.
    fn make(&self, base: &str) -> Result<Option<(u64, Vec<Followed>)>, Error> {
        let moves = self.of("keys");
        self.find(base)?;
        self.leave_taken()?;
        let count: i64 = self.session.one(DOING, &format!("SELECT count(*) FROM {moves}"))?;
        if count == 0 {
            return Ok(Some((0, Vec::new())));
        }
        let overlap =
            format!("SELECT EXISTS (SELECT 1 FROM {moves} AS x JOIN {moves} AS y ON x.old = y.now)");
        let changed = match self.session.one::<i64>(DOING, &overlap)? {
            0 => self.change("now", "old")?,
            _ => self.change_places()?,
        };
        let is_open = raw::has_deferred_keys_open(self.session);
        let is_open = is_open.map_err(|error| self.session.failed(DOING, error))?;
        let Some(followed) = changed.filter(|_| !is_open) else { return Ok(None) };
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
        Ok(Some((count.unsigned_abs(), followed)))
    }

    fn find(&self, base: &str) -> Result<(), Error> {
        let (moves, at) = (self.of("keys"), self.target.index);
        let theirs = format!("t.{}", quote(&self.column.name));
        let ours = format!("p.v{}", self.column.place);
        let same = |value: &str| {
            format!("({theirs} COLLATE BINARY IS {value} AND typeof({theirs}) = typeof({value}))")
        };
        let make = format!(
            "DROP TABLE IF EXISTS {moves}; CREATE TABLE {moves} AS SELECT p.live, {theirs} AS now, {ours} AS old, \
             p.together, NULL AS aside FROM {} p JOIN main.{} t ON t.{} = p.live \
             WHERE {ours} IS NOT NULL AND {} AND NOT {}; \
             CREATE INDEX {} ON ripcord_keys_{at} (now); CREATE INDEX {} ON ripcord_keys_{at} (old)",
            self.of("due"),
            self.target.table.sql(),
            self.rowid,
            same(base),
            same(&ours),
            self.of("keys_now"),
            self.of("keys_old"),
        );
        self.session.run(DOING, &make)
    }

    /// Leaves those alone that would take a key which another row keeps, round by round: each that stays keeps its own.
    fn leave_taken(&self) -> Result<(), Error> {
        let (moves, name) = (self.of("keys"), quote(&self.column.name));
        let taken = format!(
            "WITH taken AS (SELECT m.rowid AS place, m.together FROM {moves} AS m \
             WHERE EXISTS (SELECT 1 FROM main.{} AS x WHERE x.{name} = m.old \
             AND NOT EXISTS (SELECT 1 FROM {moves} AS y WHERE y.now = x.{name})) \
             OR m.old IN (SELECT old FROM {moves} GROUP BY old HAVING count(*) > 1)) \
             DELETE FROM {moves} WHERE rowid IN (SELECT place FROM taken) \
             OR (together <> 0 AND together IN (SELECT together FROM taken))",
            self.target.table.sql()
        );
        let round = || self.session.execute(&taken, []).map_err(|error| self.session.failed(DOING, error));
        while round()? > 0 {}
        Ok(())
    }

    /// Where keys change places, gives each row one that nobody has first.
    fn change_places(&self) -> Result<Option<Vec<Followed>>, Error> {
        let moves = self.of("keys");
        let aside = format!(
            "UPDATE {moves} SET aside = CASE typeof(now) WHEN 'integer' \
             THEN (SELECT min(coalesce(min({}), 0), 0) FROM main.{}) - rowid ELSE 'ripcord ' || rowid || hex(randomblob(8)) END; \
             CREATE INDEX {} ON ripcord_keys_{} (aside)",
            quote(&self.column.name),
            self.target.table.sql(),
            self.of("keys_aside"),
            self.target.index,
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
        let own = &self.target.table;
        let mut tables: BTreeMap<&TableName, Vec<&String>> = BTreeMap::new();
        for one in self.refer {
            let of_table = one.to(&self.column.name).map(|column| (&one.table, column));
            if let Some((table, column)) = of_table.filter(|(table, _)| *table != own) {
                tables.entry(table).or_default().push(column);
            }
        }
        let to_itself = self.refer.iter().filter(|one| one.table == *own);
        let to_itself = to_itself.filter_map(|one| one.to(&self.column.name));
        let all = std::iter::once(&self.column.name).chain(to_itself).collect();
        let mut followed = Vec::new();
        for (table, columns) in tables.into_iter().chain([(own, all)]) {
            match self.session.execute(&self.update(table, &columns, (from, to)), []) {
                Ok(0) => {}
                Ok(rows) => followed.push(Followed {
                    table: table.clone(),
                    columns: columns.into_iter().cloned().collect(),
                    rows: rows as u64,
                }),
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    return Ok(None);
                }
                Err(error) => return Err(self.session.failed(DOING, error)),
            }
        }
        Ok(Some(followed))
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
