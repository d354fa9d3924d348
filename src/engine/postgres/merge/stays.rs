//! What refers to keys that are put back and holds the numbers of then: nobody touched it, and it is right as soon as they are
//! back. Before the keys move it is led to the rows of then, under the keys that these have now, and then it follows like
//! everything else: whatever a foreign key does when a key changes, its rows end where they were.
//!
//! What the way back left in a row where it changed something is a number of now, and only follows ([`super::left`]). Where nobody
//! knows which row is meant, the key that is referred to stays as it is.

use super::super::PostgresDatabase;
use super::super::dumped::DumpedRows;
use super::super::names::{identifier, literal};
use super::super::session::{Row, Session};
use super::claims::is_answer;
use super::left::Left;
use super::live;
use super::recycled::{fields, fill, kept, unread};
use super::target::{Target, TargetColumn};
use super::undeclared;
use super::{DOING, live::LiveColumn};
use crate::catalog::TableName;
use crate::engine::{Error, Numbers, Piece, Shown, Since};
use crate::ledger::Followed;

/// A foreign key of rows that lie in one table, by which they refer to keys that move.
pub(super) struct Refers {
    pub table: TableName,
    /// Its column, and the other ones of the key with what they refer to.
    pub column: String,
    beside: Vec<(String, String)>,
    /// Whether the server takes its rows along.
    follows: bool,
}

/// Rows that refer by it to what moves, without those that hold what the way back gave them, in a temporary table: `place`, `v` what
/// each holds, `was` whether it held that then and was left it, `led` the key of now of the row that it referred to then, and `hit`
/// the one that it refers to now.
pub(super) struct Led {
    pub refers: Refers,
    numbers: Numbers,
    /// What is shown by what the way back left.
    shown: Shown,
    pub table: String,
    /// Whether it is led only when the keys move: each has to be of one row, and they change places.
    is_late: bool,
}

/// Looks after one column of keys.
pub(super) struct Stays<'a, 'p> {
    pub database: &'a PostgresDatabase,
    pub target: &'a Target<'p>,
    pub pieces: &'a [Piece],
    pub column: &'a TargetColumn,
    /// The temporary table of the keys that move, with its schema.
    pub keys: String,
}

/// What was led.
#[derive(Default)]
pub(super) struct Stayed {
    all: Vec<Led>,
    /// The condition on a loaded row that its key must not be put back.
    pub undecided: Option<String>,
}

impl Stayed {
    /// Returns what is still to be led.
    pub(super) fn late(&self) -> impl Iterator<Item = &Led> {
        self.all.iter().filter(|led| led.is_late)
    }
}

impl Stays<'_, '_> {
    fn numbers(&self, refers: &Refers) -> Option<Numbers> {
        Numbers::of(self.pieces, self.target.piece, &refers.table, &refers.column)
    }

    /// Tells whether rows may refer to the keys by a column that the way back did not make, so that the server must not take them
    /// along.
    pub(super) async fn any_follows(&self, session: &mut Session) -> Result<bool, Error> {
        let refer = refer(session, &self.target.table, &self.column.name).await?;
        let may_stay = |one: &Refers| self.numbers(one).is_some_and(|numbers| numbers.may_stay());
        Ok(refer.iter().any(|one| one.follows && may_stay(one)))
    }

    /// Leads what holds numbers of then to the rows of then, and takes the keys out of those that move which nobody knows whether
    /// rows mean; nothing where a constraint forbids it.
    pub(super) async fn lead(&self, session: &mut Session) -> Result<Option<Stayed>, Error> {
        let (mut stayed, mut open) = (Stayed::default(), Vec::new());
        let mut refer: Vec<(Refers, Numbers)> = refer(session, &self.target.table, &self.column.name)
            .await?
            .into_iter()
            .filter_map(|refers| self.numbers(&refers).map(|numbers| (refers, numbers)))
            .collect();
        // A row that is found by what is written is found no more.
        refer.sort_by_key(|(_, numbers)| numbers.is_key);
        for (refers, numbers) in refer {
            let is_same = |led: &Led| led.refers.table == refers.table && led.refers.column == refers.column;
            if stayed.all.iter().any(is_same) {
                continue;
            }
            let Some(mut led) = self.find(session, refers, numbers, stayed.all.len()).await? else {
                continue;
            };
            let table = &led.table;
            let proof = format!("SELECT EXISTS (SELECT FROM {table} WHERE was AND led IS NOT NULL)");
            let stays = session.value(DOING, &proof).await?.as_deref() == Some("t");
            let since = led.numbers.since(Shown { stays, ..led.shown });
            let held = if since == Since::Then { "true" } else { "was" };
            let unknown = if since == Since::Unknown { " OR NOT was" } else { "" };
            open.push(format!("SELECT hit FROM {table} WHERE ({held} AND led IS NULL){unknown}"));
            // What the server looks at only by itself is right when the keys are back.
            let goes_along = led.refers.beside.is_empty() || led.refers.follows;
            let leads = if goes_along { held } else { "false" };
            session.run(DOING, &format!("UPDATE {table} SET led = NULL WHERE NOT {leads}")).await?;
            // Its rows would not be found any more where others of the same table are to be led later.
            let waits = stayed.late().any(|late| late.refers.table == led.refers.table);
            led.is_late = waits || !self.write(session, &led).await?;
            if led.is_late && !led.refers.beside.is_empty() {
                return Ok(None);
            }
            stayed.all.push(led);
        }
        if !open.is_empty() {
            stayed.undecided = self.leave(session, &open.join(" UNION ALL ")).await?;
        }
        Ok(Some(stayed))
    }

    /// Writes the keys of now of the rows of then; false where a constraint forbids it.
    async fn write(&self, session: &mut Session, led: &Led) -> Result<bool, Error> {
        let write = format!(
            "UPDATE ONLY {} AS r SET {} = l.led FROM {} AS l WHERE l.place = r.ctid AND l.led IS NOT NULL",
            led.refers.table.sql(),
            identifier(&led.refers.column),
            led.table
        );
        session.run(DOING, "SAVEPOINT ripcord_lead").await?;
        let done = session.query(&write).await;
        match done {
            Err(error) if is_answer(&error) => {
                session.run(DOING, "ROLLBACK TO ripcord_lead; RELEASE ripcord_lead").await?;
                Ok(false)
            }
            done => {
                done.map_err(|error| session.failed(&error, DOING))?;
                session.run(DOING, "RELEASE ripcord_lead").await?;
                Ok(true)
            }
        }
    }

    /// Returns what the way back left in the column, where it changed something; none inside where nothing says of which row.
    async fn left(
        &self,
        session: &mut Session,
        (refers, numbers): (&Refers, &Numbers),
        name: &str,
    ) -> Result<Option<Option<Left>>, Error> {
        let Some(place) = numbers.changed else { return Ok(None) };
        let live = live::columns(session, &refers.table).await?;
        let of = (&refers.table, live.as_slice(), refers.column.as_str());
        Left::load(session, &self.pieces[place], of, name).await.map(Some)
    }

    /// Finds the rows that refer to what moves, or did so then; none where nothing says in which rows the way back changed it.
    async fn find(
        &self,
        session: &mut Session,
        refers: Refers,
        numbers: Numbers,
        at: usize,
    ) -> Result<Option<Led>, Error> {
        let keys = &self.keys;
        let table = format!("{keys}_led_{at}");
        let left = self.left(session, (&refers, &numbers), unqualified(&format!("{keys}_left_{at}"))).await?;
        if matches!(left, Some(None)) {
            return Ok(None);
        }
        let left = left.flatten();
        let is_own = numbers.finds && refers.table == self.target.table;
        let was = match is_own {
            // By this column among others it was found which row is which.
            true => {
                format!("EXISTS (SELECT FROM {keys} AS m WHERE m.now = r.{})", identifier(&self.column.name))
            }
            false => self.then(session, &refers, &numbers, &table).await?,
        };
        let (was, is_asked) = match &left {
            None => (was, "true".to_string()),
            Some(left) => (
                format!("(({was} AND NOT {}) OR {})", left.is_changed(), left.is_kept()),
                format!("NOT {}", left.is_there()),
            ),
        };
        let shown = match &left {
            Some(left) => left.shown(session, keys).await?,
            None => Shown::default(),
        };
        let own = identifier(&refers.column);
        let pairs = refers.beside.iter();
        let pairs: Vec<String> = pairs
            .map(|(own, other)| format!(" AND t.{} = r.{}", identifier(other), identifier(own)))
            .collect();
        let row = |by: &str| match pairs.is_empty() {
            true => format!("(SELECT m.now FROM {keys} AS m WHERE m.{by} = r.{own} LIMIT 1)"),
            false => format!(
                "(SELECT m.now FROM {keys} AS m JOIN ONLY {} AS t ON t.{} = m.now{} WHERE m.{by} = r.{own} LIMIT 1)",
                self.target.table.sql(),
                identifier(&self.column.name),
                pairs.concat()
            ),
        };
        let make = format!(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT r.ctid AS place, r.{own} AS v, {was} AS was, {} AS led, {} AS hit \
             FROM ONLY {} AS r WHERE (EXISTS (SELECT FROM {keys} AS m WHERE m.now = r.{own}) \
             OR EXISTS (SELECT FROM {keys} AS m WHERE m.old = r.{own})) AND {is_asked}; ANALYZE {table}",
            unqualified(&table),
            row("old"),
            row("now"),
            refers.table.sql()
        );
        session.run(DOING, &make).await?;
        Ok(Some(Led { refers, numbers, shown, table, is_late: false }))
    }

    /// Reads what the rows held then out of the dump, and returns the condition that one holds that now.
    async fn then(
        &self,
        session: &mut Session,
        refers: &Refers,
        numbers: &Numbers,
        name: &str,
    ) -> Result<String, Error> {
        session.run(DOING, "SAVEPOINT ripcord_stays").await?;
        match self.by_dump(session, refers, numbers, &format!("{name}_then")).await {
            Ok(found) => {
                session.run(DOING, "RELEASE ripcord_stays").await?;
                Ok(found.unwrap_or_else(|| "false".to_string()))
            }
            Err(Error::Interrupted) => Err(Error::Interrupted),
            // A snapshot that cannot be read is no reason not to merge what was salvaged out of it.
            Err(_) => {
                session.run(DOING, "ROLLBACK TO ripcord_stays; RELEASE ripcord_stays").await?;
                Ok("false".to_string())
            }
        }
    }

    async fn by_dump(
        &self,
        session: &mut Session,
        refers: &Refers,
        numbers: &Numbers,
        name: &str,
    ) -> Result<Option<String>, Error> {
        let piece = self.target.piece;
        let then = piece.catalog.as_ref().and_then(|catalog| catalog.tables.get(&numbers.table_then));
        let (Some(then), Some(snapshot), true) = (then, &piece.snapshot, numbers.is_keyed) else {
            return Ok(None);
        };
        let live = live::columns(session, &refers.table).await?;
        let beside = refers.beside.iter().map(|(own, _)| own);
        let columns: Vec<&String> = then.key.iter().chain([&refers.column]).chain(beside).collect();
        let kept = kept(then, &live);
        let fields = fields(then, columns.iter().map(|name| name.as_str()));
        let Some((fields, width)) = fields.filter(|_| columns.iter().all(|name| kept.contains(name))) else {
            return Ok(None);
        };
        let Some(file) = self.database.dumped_rows(snapshot, &numbers.table_then).await? else {
            return Ok(None);
        };
        let typed = columns.iter().enumerate();
        let typed: Vec<String> = typed.map(|(at, name)| format!("t.{} AS c{at}", identifier(name))).collect();
        let create = format!(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM ONLY {} AS t WITH NO DATA",
            unqualified(name),
            typed.join(", "),
            refers.table.sql()
        );
        session.run(DOING, &create).await?;
        let rows = DumpedRows::open(&file, fields, width, self.database.options.cancel.clone());
        fill(session, Box::new(rows.map_err(unread)?), unqualified(name)).await?;
        let by: Vec<String> = (0..then.key.len()).map(|at| format!("c{at}")).collect();
        session.run(DOING, &format!("CREATE INDEX ON {name} ({}); ANALYZE {name}", by.join(", "))).await?;
        let find = |name: &String| live.iter().find(|column| column.name == *name);
        let same = columns.iter().enumerate().filter_map(|(at, name)| {
            let column: &LiveColumn = find(name)?;
            Some(column.equals(&format!("x.c{at}"), &format!("r.{}", identifier(name))))
        });
        let same: Vec<String> = same.collect();
        Ok(Some(format!("EXISTS (SELECT FROM {name} AS x WHERE {})", same.join(" AND "))))
    }

    /// Takes these rows out of those whose keys move, and returns the condition that a loaded row has one of their keys.
    async fn leave(&self, session: &mut Session, rows: &str) -> Result<Option<String>, Error> {
        let (keys, undecided) = (&self.keys, format!("{}_undecided", self.keys));
        let take = format!(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT m.old FROM {keys} AS m WHERE m.now IN ({rows}); \
             CREATE INDEX ON {undecided} (old); DELETE FROM {keys} WHERE old IN (SELECT old FROM {undecided})",
            unqualified(&undecided)
        );
        session.run(DOING, &take).await?;
        let any = session.value(DOING, &format!("SELECT EXISTS (SELECT FROM {undecided})")).await?;
        let is_met =
            || format!("EXISTS (SELECT FROM {undecided} AS x WHERE x.old = s.v{})", self.column.place);
        Ok((any.as_deref() == Some("t")).then(is_met))
    }

    /// Takes those that followed to where they were out of what followed, and notes those whose row of then has another key now;
    /// false where by such a row's column others are found, so that they would not be any more.
    pub(super) async fn settle(
        &self,
        session: &mut Session,
        stayed: &Stayed,
        followed: &mut Vec<Followed>,
    ) -> Result<bool, Error> {
        for led in &stayed.all {
            let count = format!(
                "SELECT count(*) FILTER (WHERE m.now IS NOT NULL), count(*) FILTER (WHERE m.now IS NULL) \
                 FROM {} AS l LEFT JOIN {} AS m ON m.now = l.led WHERE l.led IS NOT NULL",
                led.table, self.keys
            );
            let rows = session.rows(DOING, &count).await?;
            let (stays, strays): (u64, u64) =
                rows.first().map(|row| (row.number(0), row.number(1))).unwrap_or_default();
            if led.numbers.finds && strays > 0 {
                return Ok(false);
            }
            let Refers { table, column, .. } = &led.refers;
            Followed::settle(followed, (table, column), stays, strays);
        }
        Ok(true)
    }
}

/// Returns the tables in which rows lie that refer to a column beside others.
pub(super) async fn beside_others(
    session: &mut Session,
    table: &TableName,
    column: &str,
) -> Result<Vec<TableName>, Error> {
    let refer = refer(session, table, column).await?;
    Ok(refer.into_iter().filter(|one| !one.beside.is_empty()).map(|one| one.table).collect())
}

/// Returns the columns that refer to one by foreign keys, with the tables in which their rows lie.
pub(super) async fn referring(
    session: &mut Session,
    table: &TableName,
    column: &str,
) -> Result<Vec<(TableName, String)>, Error> {
    let refer = refer(session, table, column).await?;
    Ok(refer.into_iter().map(|one| (one.table, one.column)).collect())
}

/// Returns the foreign keys that refer to a column, those that refer to it alone first, of each table in which rows lie; and what
/// does so without one.
async fn refer(session: &mut Session, table: &TableName, column: &str) -> Result<Vec<Refers>, Error> {
    let sql = format!(
        "SELECT n.nspname, c.relname, a.attname, k.confupdtype = 'c', \
         (SELECT json_agg(ARRAY[o.attname, p.attname])::text FROM unnest(k.conkey, k.confkey) AS y(own, other) \
         JOIN pg_attribute o ON o.attrelid = k.conrelid AND o.attnum = y.own \
         JOIN pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = y.other WHERE y.own <> x.own) \
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace, \
         unnest(k.conkey, k.confkey) AS x(own, other) JOIN pg_attribute a ON a.attnum = x.own \
         JOIN pg_attribute r ON r.attnum = x.other \
         WHERE k.contype = 'f' AND c.relkind = 'r' AND a.attrelid = k.conrelid AND r.attrelid = k.confrelid \
         AND k.confrelid = to_regclass({}) AND r.attname = {} ORDER BY cardinality(k.conkey), 1, 2, 3",
        literal(&table.sql()),
        literal(column)
    );
    let rows = session.rows("reading the keys", &sql).await?;
    let refers = |row: &Row| {
        let beside: Vec<[String; 2]> =
            row.maybe(4).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        Refers {
            table: TableName::qualified(row.text(0), row.text(1)),
            column: row.text(2).to_string(),
            beside: beside.into_iter().map(|[own, other]| (own, other)).collect(),
            follows: row.is(3),
        }
    };
    let mut found: Vec<Refers> = rows.iter().map(refers).collect();
    let more = undeclared::to(session, table, column).await?.into_iter();
    found.extend(more.map(|(table, column)| Refers { table, column, beside: Vec::new(), follows: false }));
    Ok(found)
}

/// A temporary table is made, and filled, without naming its schema.
fn unqualified(table: &str) -> &str {
    table.trim_start_matches("pg_temp.")
}
