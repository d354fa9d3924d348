//! Keys that were given out again, looked for in the snapshot. A sequence gives out no number twice unless it is set back
//! (`TRUNCATE … RESTART IDENTITY`); an application that asks for `max(id) + 1`, or for a gap, does.

use super::super::PostgresDatabase;
use super::super::copy_in;
use super::super::dumped::DumpedRows;
use super::super::names::{identifier, is_held};
use super::super::session::{Row, Session};
use super::live::{self, LiveColumn};
use super::target::Target;
use super::{DOING, moved, sequences};
use crate::catalog::{Catalog, Table, TableName};
use crate::engine::{Among, Error, Mark, Marks, Piece, Recycled, SAMPLE, Watch};
use crate::ledger::SalvageKind;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// So many rows of the end, and bytes of them, are looked at first.
const END: (usize, usize) = (4096, 16 << 20);
/// Of a table of no more rows, and bytes, each row is looked at, which takes a fraction of a second.
const WHOLE: (usize, usize) = (100_000, 16 << 20);
/// A longer value is compared by its hash.
const LONG: usize = 64;
const PAIRS: &str = "ripcord_pairs";

/// The table that is looked at: its names of now and of then.
pub(super) struct Subject<'a> {
    pub now: &'a TableName,
    pub then: &'a TableName,
    pub key: (&'a str, &'a str),
    /// The folder of the snapshot, what it consisted of, and how far its sequences had come.
    pub snapshot: &'a Path,
    pub catalog: Option<&'a Catalog>,
    pub sequences: &'a BTreeMap<String, i64>,
    /// Whether every row holds under its key what it held, in all that was kept.
    pub is_untouched: bool,
    /// Whether a column is one that the way there and back did not keep.
    pub is_about: &'a (dyn Fn(&str) -> bool + Send + Sync),
    /// Whether it is one of which any piece has values, so that it says nothing of who its row is not.
    pub is_changed: &'a (dyn Fn(&str) -> bool + Send + Sync),
    /// The files of rows that may have been put back, with the place of the key in each.
    pub put_back: Vec<(&'a Piece, usize)>,
    /// What temporary tables are named after.
    pub name: &'a str,
}

/// The table then and now.
struct Ends {
    key: String,
    kept: Vec<String>,
    now: TableName,
    /// The temporary table with the rows of then: `k0`, and c0, c1 … for what was kept.
    then: String,
}

/// The file with the rows of then.
struct Dump {
    file: PathBuf,
    /// Which of their fields are the key and what was kept, and how many they have.
    fields: Vec<usize>,
    width: usize,
}

impl PostgresDatabase {
    /// Looks whether rows from which values were salvaged may be others now, and lets nothing be put into those. Returns
    /// whether it is known that the way there and back gave no row the key of another one.
    pub(super) async fn look_for_recycled(
        &self,
        session: &mut Session,
        target: &mut Target<'_>,
        pieces: &[Piece],
    ) -> Result<bool, Error> {
        let piece = target.piece;
        let ([key], SalvageKind::Values, Some(snapshot)) =
            (piece.salvage.key.as_slice(), piece.salvage.what, &piece.snapshot)
        else {
            return Ok(true);
        };
        if target.is_found_by_misfit().is_some() {
            // A key that means something is no number to be given to another row.
            return Ok(true);
        }
        let is_about = |name: &str| piece.is_about(name);
        let is_changed = |name: &str| moved::is_about(pieces, &piece.salvage.table, name);
        let subject = Subject {
            now: &target.table,
            then: piece.table_then(),
            key: (key, piece.column_then(key)),
            snapshot,
            catalog: piece.catalog.as_deref(),
            sequences: &piece.fingerprint.sequences,
            is_untouched: piece.untouched.contains(&target.table),
            is_about: &is_about,
            is_changed: &is_changed,
            put_back: piece.put_back(&target.table, key).collect(),
            name: &target.loaded,
        };
        let Some(found) = self.look_at(session, &subject).await? else { return Ok(true) };
        let apart = found.apart;
        target.leave_retaken(session, found).await?;
        Ok(apart)
    }

    /// Looks which numbers of a table may be of other rows now; nothing where rows have no numbers.
    pub(super) async fn look_at(
        &self,
        session: &mut Session,
        subject: &Subject<'_>,
    ) -> Result<Option<Recycled>, Error> {
        let live = live::columns(session, subject.now).await?;
        if !live.iter().filter(|column| column.is_number()).any(|column| column.name == subject.key.0) {
            return Ok(None);
        }
        let again = sequences::set_back(session, subject.now, subject.key.0, subject.sequences).await?;
        session.run(DOING, "SAVEPOINT ripcord_recycled").await?;
        let found = match self.by_dump(session, subject, &live, again).await {
            Ok(found) => {
                session.run(DOING, "RELEASE ripcord_recycled").await?;
                found
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            // A snapshot that cannot be read is no reason not to merge what was salvaged out of it.
            Err(_) => {
                session.run(DOING, "ROLLBACK TO ripcord_recycled; RELEASE ripcord_recycled").await?;
                None
            }
        };
        let found = found.unwrap_or_else(|| Recycled::unknown(again));
        Ok(Some(if subject.is_untouched { found.untouched() } else { found }))
    }

    /// Compares with the dump; none where nothing tells.
    async fn by_dump(
        &self,
        session: &mut Session,
        subject: &Subject<'_>,
        live: &[LiveColumn],
        again: Option<i64>,
    ) -> Result<Option<Recycled>, Error> {
        let Some(then) = subject.catalog.and_then(|then| then.tables.get(subject.then)) else {
            return Ok(None);
        };
        let is_key = |name: &str| name == subject.key.0 || name == subject.key.1;
        let kept: Vec<String> =
            kept(then, live).into_iter().filter(|name| !is_key(name) && !(subject.is_about)(name)).collect();
        let names = std::iter::once(subject.key.1).chain(kept.iter().map(String::as_str));
        let fields = fields(then, names).filter(|_| !kept.is_empty());
        let Some((fields, width)) = fields else { return Ok(None) };
        let Some(file) = self.dumped_rows(subject.snapshot, subject.then).await? else { return Ok(None) };
        let (key, now) = (subject.key.0.to_string(), subject.now.clone());
        let changed = places(&kept, subject.is_changed);
        let ends = Ends { key, kept, now, then: format!("{}_then", subject.name) };
        let dump = Dump { file, fields, width };
        // Of what a sequence gives out again every row counts.
        let mut more = self.bring(session, &ends, &dump, again.is_none()).await?;
        put_back(session, &ends.put_back(), &subject.put_back).await?;
        let mut watch = ends.watch(session, again).await?.without(&changed);
        if !watch.tells() {
            return Ok(None);
        }
        let mut last = ends.compare(session, &mut watch, i64::MAX).await?;
        if watch.is_looking() && more {
            session.run(DOING, &format!("DROP TABLE pg_temp.{}", ends.then)).await?;
            more = self.bring(session, &ends, &dump, false).await?;
            last = ends.compare(session, &mut watch, last).await?;
        }
        let is_asked = !watch.is_looking() && watch.asks();
        if is_asked && !more {
            ends.compare(session, &mut watch, last).await?;
        }
        session.run(DOING, &format!("DROP TABLE pg_temp.{}, pg_temp.{}", ends.then, ends.put_back())).await?;
        Ok(Some(Recycled { unread: is_asked && more, ..watch.end() }))
    }

    /// Makes the table of the rows of then: of the end of a large one, or of all; returns whether there are others.
    async fn bring(
        &self,
        session: &mut Session,
        ends: &Ends,
        dump: &Dump,
        only_end: bool,
    ) -> Result<bool, Error> {
        let typed =
            ends.kept.iter().enumerate().map(|(at, name)| format!(", t.{} AS c{at}", identifier(name)));
        let create = format!(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT t.{}::bigint AS k0{} FROM ONLY {} AS t WITH NO DATA",
            ends.then,
            identifier(&ends.key),
            typed.collect::<String>(),
            ends.now.sql()
        );
        session.run(DOING, &create).await?;
        let rows = DumpedRows::open(&dump.file, dump.fields.clone(), dump.width, self.options.cancel.clone());
        let rows = rows.map_err(unread)?;
        let (input, more): (Box<dyn Read + Send>, bool) = if only_end {
            let read = tokio::task::spawn_blocking(move || rows.last(WHOLE, END)).await;
            let (text, more) = read.map_err(|_| Error::Interrupted)?.map_err(unread)?;
            (Box::new(io::Cursor::new(text)), more)
        } else {
            (Box::new(rows), false)
        };
        fill(session, input, &ends.then).await?;
        Ok(more)
    }
}

/// Looks which numbers are of rows that show to be others, or are in doubt, with all rows of then in a table that is there: `k0`, and c0, c1 … for
/// these columns.
pub(super) async fn others(
    session: &mut Session,
    (now, key): (&TableName, &str),
    then: String,
    kept: &[String],
    is_changed: &(dyn Fn(&str) -> bool + Send + Sync),
) -> Result<Recycled, Error> {
    let ends = Ends { key: key.to_string(), kept: kept.to_vec(), now: now.clone(), then };
    let mut watch = ends.watch(session, None).await?.without(&places(kept, is_changed)).only_others();
    if watch.asks() {
        ends.compare(session, &mut watch, i64::MAX).await?;
    }
    Ok(watch.end())
}

fn places(kept: &[String], is_changed: &(dyn Fn(&str) -> bool + Send + Sync)) -> Vec<usize> {
    (0..kept.len()).filter(|at| is_changed(&kept[*at])).collect()
}

/// Copies rows of then into a temporary table.
pub(super) async fn fill(
    session: &mut Session,
    input: Box<dyn Read + Send>,
    table: &str,
) -> Result<(), Error> {
    let copy = format!("COPY pg_temp.{table} FROM STDIN");
    let progress = crate::report::Progress::silent();
    let sent = copy_in::send_from(session, || Ok(input), &copy, (DOING, ""), &progress).await?;
    sent.map_err(|error| session.failed(&error, DOING))?;
    session.run(DOING, &format!("ANALYZE pg_temp.{table}")).await
}

/// Returns which fields of a dump these columns are, and how many a row has.
pub(super) fn fields<'n>(then: &Table, names: impl Iterator<Item = &'n str>) -> Option<(Vec<usize>, usize)> {
    let dumped: Vec<&str> = then
        .columns
        .iter()
        .filter(|column| column.generated.is_none())
        .map(|column| column.name.as_str())
        .collect();
    let place = |name: &str| dumped.iter().position(|other| *other == name);
    Some((names.map(place).collect::<Option<_>>()?, dumped.len()))
}

pub(super) fn unread(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::Interrupted => Error::Interrupted,
        _ => Error::Driver { doing: "reading a dump".to_string(), detail: error.to_string() },
    }
}

/// Returns the columns that are there now as they were then.
pub(super) fn kept(then: &Table, live: &[LiveColumn]) -> Vec<String> {
    let is_there = |column: &&crate::catalog::Column| {
        let is_same = |other: &LiveColumn| {
            other.name == column.name && other.type_name == column.type_name && !other.generated
        };
        column.generated.is_none() && live.iter().any(is_same)
    };
    then.columns.iter().filter(is_there).map(|column| column.name.clone()).collect()
}

/// Makes the table of the keys of these files, `k`.
async fn put_back(session: &mut Session, table: &str, files: &[(&Piece, usize)]) -> Result<(), Error> {
    session.run(DOING, &format!("CREATE TEMPORARY TABLE {table} (k bigint) ON COMMIT DROP")).await?;
    let raw = format!("{table}_raw");
    for (rows, place) in files {
        let columns: Vec<String> = (0..rows.columns.len()).map(|place| format!("v{place} text")).collect();
        let make = format!("CREATE TEMPORARY TABLE {raw} ({}) ON COMMIT DROP", columns.join(", "));
        session.run(DOING, &make).await?;
        let copy = format!("COPY pg_temp.{raw} FROM STDIN (FORMAT csv, HEADER true)");
        let progress = crate::report::Progress::silent();
        let sent = copy_in::send(session, rows.source.clone(), &copy, (DOING, ""), &progress).await?;
        sent.map_err(|error| session.failed(&error, DOING))?;
        let take = format!(
            "INSERT INTO pg_temp.{table} SELECT v{place}::bigint FROM pg_temp.{raw}; DROP TABLE pg_temp.{raw}"
        );
        session.run(DOING, &take).await?;
    }
    session.run(DOING, &format!("CREATE INDEX ON pg_temp.{table} (k); ANALYZE pg_temp.{table}")).await
}

impl Ends {
    fn put_back(&self) -> String {
        format!("{}_put_back", self.then)
    }

    /// Returns what each of the kept columns holds, as texts of which two are the same only for the same values.
    fn marks(&self, column: impl Fn(usize) -> String) -> String {
        let text = |at: usize| {
            let text = format!("{}::text", column(at));
            format!(", CASE WHEN length({text}) > {LONG} THEN md5({text}) ELSE {text} END")
        };
        (0..self.kept.len()).map(text).collect()
    }

    fn now(&self, at: usize) -> String {
        format!("t.{}", identifier(&self.kept[at]))
    }

    fn marks_then(&self) -> String {
        self.marks(then)
    }

    fn marks_now(&self) -> String {
        self.marks(|at| self.now(at))
    }

    /// Returns the condition that more than one of the first columns holds something else than it did, or all of the others; what was
    /// NULL does not count.
    fn differ(&self, [several, all]: &[Vec<usize>; 2]) -> String {
        let differs = |at: &usize| {
            let (then, now) = (then(*at), self.now(*at));
            format!("({} AND {then}::text IS DISTINCT FROM {now}::text)::int", is_held(&then))
        };
        let differing = |columns: &[usize]| columns.iter().map(differs).collect::<Vec<_>>().join(" + ");
        let held: Vec<String> = all.iter().map(|at| format!("({})::int", is_held(&then(*at)))).collect();
        let several = format!("{} > 1", differing(several));
        match all.is_empty() {
            true => several,
            false => format!("({several} OR {} BETWEEN 1 AND {})", held.join(" + "), differing(all)),
        }
    }

    /// Looks at both ends for what tells rows apart.
    async fn watch(&self, session: &mut Session, again: Option<i64>) -> Result<Watch, Error> {
        let then = format!(
            "SELECT s.k0{} FROM pg_temp.{} AS s ORDER BY s.k0 DESC LIMIT {SAMPLE}",
            self.marks_then(),
            self.then
        );
        let key = identifier(&self.key);
        let now = format!(
            "SELECT t.{key}{} FROM ONLY {} AS t WHERE t.{key} IS NOT NULL ORDER BY t.{key} DESC LIMIT {SAMPLE}",
            self.marks_now(),
            self.now.sql()
        );
        let keyed = |row: &Row| (row.number(0), self.read(row, 1));
        let then: Vec<(i64, Marks)> = session.rows(DOING, &then).await?.iter().map(keyed).collect();
        let now: Vec<Marks> = session.rows(DOING, &now).await?.iter().map(|row| self.read(row, 1)).collect();
        Ok(Watch::new(&then, &now, again).of(&self.kept))
    }

    fn read(&self, row: &Row, from: usize) -> Marks {
        (from..from + self.kept.len())
            .map(|at| row.maybe(at).map(|text| Mark::text(text.as_bytes())))
            .collect()
    }

    /// Looks at the rows below a key, from the last one on: at each, until the watch has seen enough, or where it has, at those in
    /// which several columns differ. Returns the last key.
    async fn compare(&self, session: &mut Session, watch: &mut Watch, below: i64) -> Result<i64, Error> {
        let looks = watch.is_looking();
        let (put_back, which) = match looks {
            true => (
                format!("EXISTS (SELECT FROM pg_temp.{} AS p WHERE p.k = s.k0)", self.put_back()),
                "true".to_string(),
            ),
            false => ("false".to_string(), self.differ(&watch.asked())),
        };
        let open = format!(
            "DECLARE {PAIRS} NO SCROLL CURSOR FOR SELECT s.k0{}{}, {put_back} \
             FROM pg_temp.{} AS s JOIN ONLY {} AS t ON t.{} = s.k0 WHERE s.k0 < {below} AND {which} ORDER BY s.k0 DESC",
            self.marks_then(),
            self.marks_now(),
            self.then,
            self.now.sql(),
            identifier(&self.key)
        );
        session.run(DOING, &open).await?;
        let mut last = below;
        'all: loop {
            let rows = session.rows(DOING, &format!("FETCH {SAMPLE} FROM {PAIRS}")).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                last = row.number(0);
                let (then, now) = (self.read(&row, 1), self.read(&row, 1 + self.kept.len()));
                watch.see(last, &then, &now, row.text(1 + 2 * self.kept.len()) == "t");
                if looks && !watch.is_looking() {
                    break 'all;
                }
            }
        }
        session.run(DOING, &format!("CLOSE {PAIRS}")).await?;
        Ok(last)
    }
}

/// Returns a column of the table with the rows of then.
fn then(at: usize) -> String {
    format!("s.c{at}")
}

/// Returns the condition that a number may be of another row; none when no number is. The ranges of those that were
/// looked at one by one go into temporary tables, which are named after this one.
pub(super) async fn holds(
    session: &mut Session,
    recycled: &Recycled,
    key: &str,
    table: &str,
) -> Result<Option<String>, Error> {
    let mut ways = Vec::new();
    if let Some(last) = recycled.above {
        let known = match recycled.known.is_empty() {
            true => String::new(),
            false => {
                format!(" AND NOT {}", is_in(session, &recycled.known, key, &format!("{table}_known")).await?)
            }
        };
        ways.push(format!("({key} > '{last}'::bigint{known})"));
    }
    ways.extend(recycled.up_to.map(|last| format!("{key} <= '{last}'::bigint")));
    if !recycled.among.is_empty() {
        ways.push(is_in(session, &recycled.among, key, table).await?);
    }
    Ok((!ways.is_empty()).then(|| format!("({})", ways.join(" OR "))))
}

/// Returns the condition that a number is in one of these ranges, which go into a temporary table.
async fn is_in(session: &mut Session, among: &Among, key: &str, table: &str) -> Result<String, Error> {
    let make = format!(
        "CREATE TEMPORARY TABLE {table} (first bigint NOT NULL, last bigint PRIMARY KEY) ON COMMIT DROP"
    );
    session.run(DOING, &make).await?;
    let ranges: Vec<String> = among.ranges().map(|(first, last)| format!("({first}, {last})")).collect();
    for ranges in ranges.chunks(1000) {
        let fill = format!("INSERT INTO pg_temp.{table} VALUES {}", ranges.join(", "));
        session.run(DOING, &fill).await?;
    }
    // The range that ends next after it, by the index.
    Ok(format!(
        "coalesce({key} >= (SELECT r.first FROM pg_temp.{table} AS r WHERE r.last >= {key} ORDER BY r.last LIMIT 1), false)"
    ))
}

impl Target<'_> {
    /// Lets nothing be put into rows that may be others.
    async fn leave_retaken(&mut self, session: &mut Session, recycled: Recycled) -> Result<(), Error> {
        self.untold = recycled.untold;
        self.doubts.take(&self.table, &recycled);
        let Some((_, place)) = self.found_by.first() else { return Ok(()) };
        let name = format!("{}_retaken", self.loaded);
        let holds = holds(session, &recycled, &format!("s.v{place}"), &name).await?;
        let Some(retaken) = holds else { return Ok(()) };
        let any = format!("SELECT EXISTS (SELECT FROM pg_temp.{} AS s WHERE {retaken})", self.loaded);
        if session.value(DOING, &any).await?.as_deref() != Some("t") {
            return Ok(());
        }
        self.keep_apart(&retaken);
        Ok(())
    }
}
