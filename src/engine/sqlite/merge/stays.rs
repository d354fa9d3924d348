//! What refers to keys that are put back and holds the numbers of then: nobody touched it, and it is right as soon as they are
//! back. Before the keys move it is led to the rows of then, under the keys that these have now, and then it follows like
//! everything else: whatever a foreign key does when a key changes, its rows end where they were.
//!
//! What the way back left in a row where it changed something is a number of now, and only follows ([`super::left`]). Where nobody
//! knows which row is meant, the key that is referred to stays as it is.

use super::super::scan::rowid_name;
use super::super::session::{Session, open_frozen};
use super::super::snapshot::file_in;
use super::DOING;
use super::feed::{Bound, fill, value};
use super::left::Left;
use super::recycled::kept;
use super::references::Reference;
use super::rekey::aside;
use super::strangers::Guard;
use super::target::Target;
use crate::catalog::{Catalog, TableName, quote};
use crate::engine::{Error, Numbers, Piece, Shown, Since};
use crate::ledger::Followed;
use rusqlite::ErrorCode;

/// One foreign key, and the temporary table of the rows that refer by it to what moves, without those that hold what the way back
/// gave them: `k0`, `k1` … by which each is found, `v` what it holds, `was` whether it held that then and was left it, `led` the
/// key of now of the row that it referred to then, `hit` the rowid of the row that it refers to now, and room for `aside`.
struct Led<'a> {
    one: &'a Reference,
    column: &'a str,
    numbers: Numbers,
    /// What is shown by what the way back left.
    shown: Shown,
    table: String,
    found_by: Vec<String>,
}

/// Looks after one column of keys.
pub(super) struct Stays<'a, 's> {
    pub session: &'s Session,
    pub target: &'a Target<'a>,
    pub pieces: &'a [Piece],
    pub catalog: &'a Catalog,
    /// The column of the keys, and its place in the piece.
    pub column: (&'a str, usize),
    /// The temporary table of the keys that move.
    pub keys: &'a str,
    pub rowid: &'a str,
}

/// What was led, by the temporary tables.
#[derive(Default)]
pub(super) struct Stayed {
    all: Vec<(TableName, String, String, bool)>,
    /// The keys that must not be put back.
    pub undecided: Option<Guard>,
}

impl Stays<'_, '_> {
    /// Tells whether rows may refer to the keys by a column that the way back did not make, so that the database itself must not
    /// take them along.
    pub(super) fn any_follows(&self, refer: &[Reference]) -> bool {
        refer.iter().filter(|one| one.follows()).any(|one| {
            one.to(self.column.0).is_some_and(|column| {
                Numbers::of(self.pieces, self.target.piece, &one.table, column)
                    .is_some_and(|numbers| numbers.may_stay())
            })
        })
    }

    /// Leads what holds numbers of then to the rows of then, and takes the keys out of those that move which nobody knows whether
    /// rows mean; nothing where a constraint forbids it.
    pub(super) fn lead(&self, refer: &[Reference]) -> Result<Option<Stayed>, Error> {
        let mut all = Vec::new();
        for one in refer {
            let Some(column) = one.to(self.column.0) else { continue };
            let Some(numbers) = Numbers::of(self.pieces, self.target.piece, &one.table, column) else {
                continue;
            };
            let name = format!("ripcord_left_{}_{}_{}", self.target.index, self.column.1, all.len());
            let live = self.catalog.tables.get(&one.table);
            let left = match (numbers.changed, live) {
                (Some(place), Some(live)) => {
                    let left = Left::read(self.session, &self.pieces[place], (live, column), &name)?;
                    // Nothing says of which row.
                    if left.is_none() {
                        continue;
                    }
                    left
                }
                _ => None,
            };
            let then = self.then(one, &numbers, all.len())?;
            all.extend(self.find((one, column), numbers, (then, left), all.len())?);
        }
        // A row that is found by what is written is found no more.
        all.sort_by_key(|led| led.numbers.is_key);
        let mut stayed = Stayed::default();
        let mut open = Vec::new();
        for led in &all {
            let Led { one, column, table, .. } = led;
            let proof = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE was AND led IS NOT NULL)");
            let stays = self.session.one::<i64>(DOING, &proof)? == 1;
            let since = led.numbers.since(Shown { stays, ..led.shown });
            let held = if since == Since::Then { "1" } else { "was" };
            self.session.run(DOING, &format!("DELETE FROM {table} WHERE hit IS NULL AND NOT {held}"))?;
            let unknown = if since == Since::Unknown { " OR NOT was" } else { "" };
            open.push(format!("SELECT hit FROM {table} WHERE ({held} AND led IS NULL){unknown}"));
            self.session.run(DOING, &format!("UPDATE {table} SET led = NULL WHERE NOT {held}"))?;
            if !self.write(led)? {
                return Ok(None);
            }
            let found = (one.table.clone(), (*column).to_string(), table.clone(), led.numbers.finds);
            stayed.all.push(found);
        }
        if !open.is_empty() {
            stayed.undecided = self.leave(&open.join(" UNION ALL "))?;
        }
        Ok(Some(stayed))
    }

    /// Reads what the rows held then out of the snapshot, by their keys; none where it does not tell.
    fn then(&self, one: &Reference, numbers: &Numbers, at: usize) -> Result<Option<Then>, Error> {
        let Some(folder) = self.target.piece.snapshot.as_ref().filter(|_| numbers.is_keyed) else {
            return Ok(None);
        };
        let read = || -> Result<Option<Then>, Error> {
            let then = open_frozen(&file_in(folder), &self.session.cancel())?;
            let catalog = super::catalog::read(&then)?;
            let tables = (self.catalog.tables.get(&one.table), catalog.tables.get(&numbers.table_then));
            let (Some(live), Some(table)) = tables else { return Ok(None) };
            let columns: Vec<String> =
                table.key.iter().map(String::as_str).chain(one.own()).map(str::to_string).collect();
            let kept = kept(live, table, &|_| false);
            let is_kept = |name: &String| kept.iter().any(|other| other.eq_ignore_ascii_case(name));
            if table.key.is_empty() || !columns.iter().all(is_kept) {
                return Ok(None);
            }
            let list: Vec<String> = columns.iter().map(|name| quote(name)).collect();
            let of_key = columns.len() - table.key.len();
            let held: Vec<String> =
                list[list.len() - of_key..].iter().map(|name| format!("{name} IS NOT NULL")).collect();
            let sql = format!(
                "SELECT {} FROM main.{} WHERE {}",
                list.join(", "),
                numbers.table_then.sql(),
                held.join(" AND ")
            );
            let name = format!("ripcord_refers_then_{}_{}_{at}", self.target.index, self.column.1);
            self.copy(&then, &sql, &name, columns.len())?;
            let by: Vec<String> = (0..table.key.len()).map(|place| format!("v{place}")).collect();
            self.session
                .run(DOING, &format!("CREATE INDEX temp.{name}_key ON {name} ({})", by.join(", ")))?;
            Ok(Some(Then { table: name, columns }))
        };
        match read() {
            Err(_) if self.session.cancel().is_cancelled() => Err(Error::Interrupted),
            // A snapshot that cannot be read is no reason not to merge what was salvaged out of it.
            read => Ok(read.ok().flatten()),
        }
    }

    fn copy(&self, then: &Session, sql: &str, name: &str, width: usize) -> Result<(), Error> {
        let mut insert = fill(self.session, name, width)?;
        let failed = |error| then.failed(DOING, error);
        let mut statement = then.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let values = (0..width).map(|at| row.get_ref(at).map(|one| Bound(value(one))));
            let values = values.collect::<Result<Vec<_>, _>>().map_err(failed)?;
            let added = insert.execute(rusqlite::params_from_iter(values));
            added.map_err(|error| self.session.failed(DOING, error))?;
        }
        Ok(())
    }

    /// Finds the rows that refer to what moves, or did so then; none where nothing finds a row again.
    fn find<'r>(
        &self,
        (one, column): (&'r Reference, &'r str),
        numbers: Numbers,
        (then, left): (Option<Then>, Option<Left>),
        at: usize,
    ) -> Result<Option<Led<'r>>, Error> {
        let Some(live) = self.catalog.tables.get(&one.table) else { return Ok(None) };
        let found_by: Vec<String> = match rowid_name(live) {
            Some(rowid) => vec![rowid],
            None => live.key.iter().map(|name| quote(name)).collect(),
        };
        let table = format!("temp.ripcord_led_{}_{}_{at}", self.target.index, self.column.1);
        let (keys, own) = (self.keys, quote(column));
        let was = match (&then, numbers.finds && one.table == self.target.table) {
            // By this column among others it was found which row is which.
            (_, true) => {
                format!("EXISTS (SELECT 1 FROM {keys} AS m WHERE m.live = r.{})", self.rowid)
            }
            (Some(then), _) => then.holds("r"),
            (None, _) => "0".to_string(),
        };
        let (was, is_asked) = match &left {
            None => (was, "1".to_string()),
            Some(left) => (
                format!("(({was} AND NOT {}) OR {})", left.is_changed("r"), left.is_kept("r", column)),
                format!("NOT {}", left.is_there("r", column)),
            ),
        };
        let shown = left.map_or(Ok(Shown::default()), |left| left.shown(self.session, keys))?;
        let beside = one.beside(self.column.0, "r", "t");
        let row = |what: &str, by: &str| {
            // The sign keeps the type of the column out of it, with which no index could be used.
            let value = if by == "old" { "+" } else { "" };
            match &beside {
                None => format!("(SELECT m.{what} FROM {keys} AS m WHERE m.{by} = {value}r.{own} LIMIT 1)"),
                Some(beside) => format!(
                    "(SELECT m.{what} FROM {keys} AS m CROSS JOIN main.{} AS t ON t.{} = m.live \
                     WHERE m.{by} = {value}r.{own} AND {beside} LIMIT 1)",
                    self.target.table.sql(),
                    self.rowid
                ),
            }
        };
        let by = found_by.iter().enumerate().map(|(at, name)| format!("r.{name} AS k{at}, "));
        let make = format!(
            "DROP TABLE IF EXISTS {table}; CREATE TABLE {table} AS SELECT {}r.{own} AS v, {was} AS was, {} AS led, {} AS hit, NULL AS aside \
             FROM main.{} AS r WHERE (r.{own} IN (SELECT now FROM {keys}) OR +r.{own} IN (SELECT old FROM {keys})) AND {is_asked}",
            by.collect::<String>(),
            row("now", "old"),
            row("live", "now"),
            one.table.sql()
        );
        self.session.run(DOING, &make)?;
        let index: Vec<String> = (0..found_by.len()).map(|at| format!("k{at}")).collect();
        let name = table.trim_start_matches("temp.").to_string();
        self.session.run(DOING, &format!("CREATE INDEX {table}_key ON {name} ({})", index.join(", ")))?;
        Ok(Some(Led { one, column, numbers, shown, table, found_by }))
    }

    /// Writes the keys of now of the rows of then; false where a constraint forbids it.
    fn write(&self, led: &Led<'_>) -> Result<bool, Error> {
        let Led { one, column, table, found_by, .. } = led;
        let list = |of: &str| (0..found_by.len()).map(|at| format!("{of}k{at}")).collect::<Vec<_>>();
        let on = found_by.iter().zip(list("l.")).map(|(name, own)| format!("{own} = r.{name}"));
        let on = on.collect::<Vec<_>>().join(" AND ");
        let by: Vec<String> = found_by.iter().map(|name| format!("r.{name}")).collect();
        let (child, name) = (one.table.sql(), quote(column));
        let update = |what: &str| {
            format!(
                "UPDATE OR ABORT main.{child} AS r SET {name} = (SELECT l.{what} FROM {table} AS l WHERE {on}) \
                 WHERE ({}) IN (SELECT {} FROM {table} WHERE led IS NOT NULL)",
                by.join(", "),
                list("").join(", ")
            )
        };
        if self.try_update(&update("led"))? {
            return Ok(true);
        }
        // Each may have to be of one row, and they change places.
        let index = table.trim_start_matches("temp.");
        let aside = format!(
            "UPDATE {table} SET aside = {} WHERE led IS NOT NULL; CREATE INDEX {table}_aside ON {index} (aside); \
             PRAGMA ignore_check_constraints = ON",
            aside("v", &one.table, column)
        );
        self.session.run(DOING, &aside)?;
        let is_aside = self.try_update(&update("aside"));
        self.session.run(DOING, "PRAGMA ignore_check_constraints = OFF")?;
        let back = format!(
            "UPDATE OR ABORT main.{child} AS r SET {name} = (SELECT l.led FROM {table} AS l WHERE l.aside = r.{name}) \
             WHERE r.{name} IN (SELECT aside FROM {table} WHERE aside IS NOT NULL)"
        );
        Ok(is_aside? && self.try_update(&back)?)
    }

    /// Tells whether no constraint forbids an update.
    fn try_update(&self, update: &str) -> Result<bool, Error> {
        match self.session.execute(update, []) {
            Ok(_) => Ok(true),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(false),
            Err(error) => Err(self.session.failed(DOING, error)),
        }
    }

    /// Takes these rows out of those whose keys move, with those that go together, and returns what their keys were.
    fn leave(&self, rows: &str) -> Result<Option<Guard>, Error> {
        let (keys, index, place) = (self.keys, self.target.index, self.column.1);
        let name = format!("ripcord_undecided_{index}_{place}");
        let groups = format!("together IN (SELECT together FROM {keys} WHERE live IN ({rows}))");
        let take = format!(
            "DROP TABLE IF EXISTS temp.{name}; CREATE TEMP TABLE {name} AS SELECT old AS v0 FROM {keys} WHERE {groups}; \
             CREATE INDEX temp.{name}_key ON {name} (v0); DELETE FROM {keys} WHERE {groups}"
        );
        self.session.run(DOING, &take)?;
        let any = self.session.one::<i64>(DOING, &format!("SELECT EXISTS (SELECT 1 FROM temp.{name})"))?;
        Ok((any == 1).then(|| Guard::of_keys(&name, vec![place])))
    }

    /// Takes those that followed to where they were out of what followed, and notes those whose row of then has another key now;
    /// false where by such a row's column others are found, so that they would not be any more.
    pub(super) fn settle(&self, stayed: &Stayed, followed: &mut Vec<Followed>) -> Result<bool, Error> {
        for (table, column, led, finds) in &stayed.all {
            let count = |not: &str| {
                let sql = format!(
                    "SELECT count(*) FROM {led} WHERE led IS NOT NULL AND led {not}IN (SELECT now FROM {})",
                    self.keys
                );
                Ok::<u64, Error>(self.session.one::<i64>(DOING, &sql)?.unsigned_abs())
            };
            let (stays, strays) = (count("")?, count("NOT ")?);
            if *finds && strays > 0 {
                return Ok(false);
            }
            Followed::settle(followed, (table, column), stays, strays);
        }
        Ok(true)
    }
}

/// The rows of then: the temporary table, and of which columns its values are, first those of the key.
struct Then {
    table: String,
    columns: Vec<String>,
}

impl Then {
    /// Returns the condition that a row holds what it held then.
    fn holds(&self, row: &str) -> String {
        let same = self.columns.iter().enumerate();
        let same = same.map(|(at, name)| format!("x.v{at} IS +{row}.{}", quote(name)));
        format!(
            "EXISTS (SELECT 1 FROM temp.{} AS x WHERE {})",
            self.table,
            same.collect::<Vec<_>>().join(" AND ")
        )
    }
}
