//! Values that must be unique, looked at all at once: which rows want one that another row keeps, and which only change
//! places with each other.

use super::super::errors;
use super::super::names::{identifier, literal};
use super::super::session::Session;
use super::target::{Target, TargetColumn};
use super::{DOING, fit, parts, rows, values};
use crate::engine::Error;

/// After so many rounds over all indexes the rest is left to trying: a row that stays because of one of them may keep from
/// others what they want of another one.
const ROUNDS: usize = 64;

/// What is being written.
#[derive(Clone, Copy)]
pub(super) enum Claims<'c> {
    Rows,
    Values(&'c [&'c TargetColumn]),
    /// Nothing that is worth looking at all at once.
    Nothing,
}

/// A unique index over plain columns.
struct Unique {
    name: String,
    columns: Vec<String>,
}

/// Writes down the rows that want a value which another row keeps; returns whether there are any.
pub(super) async fn blocked(
    session: &mut Session,
    target: &Target<'_>,
    claims: Claims<'_>,
) -> Result<bool, Error> {
    let indexes = indexes(session, target).await?;
    let mut any = false;
    for _ in 0..ROUNDS {
        let mut more = false;
        for index in &indexes {
            more |= match claims {
                Claims::Nothing => false,
                Claims::Rows => blocked_rows(session, target, index).await?,
                Claims::Values(columns) => blocked_values(session, target, columns, index).await?,
            };
        }
        any |= more;
        // Of one index everything is found at once.
        if !more || indexes.len() < 2 {
            break;
        }
    }
    Ok(any)
}

fn reason(index: &Unique) -> String {
    literal(&format!("duplicate key value violates unique constraint \"{}\"", index.name))
}

async fn blocked_rows(session: &mut Session, target: &Target<'_>, index: &Unique) -> Result<bool, Error> {
    let Some(places) = target.places(&index.columns) else { return Ok(false) };
    let on =
        index.columns.iter().zip(places).map(|(name, place)| format!("x.{} = s.v{place}", identifier(name)));
    let sql = format!(
        "INSERT INTO pg_temp.{0} SELECT s.ctid, {1} FROM pg_temp.{2} AS s WHERE {3} AND {4} \
         AND EXISTS (SELECT FROM ONLY {5} AS x WHERE {6})",
        target.refused,
        reason(index),
        target.loaded,
        rows::absent(target),
        parts::rest(target),
        target.table.sql(),
        on.collect::<Vec<_>>().join(" AND ")
    );
    Ok(tried(session, &sql).await?.is_some_and(|count| count > 0))
}

async fn blocked_values(
    session: &mut Session,
    target: &Target<'_>,
    columns: &[&TargetColumn],
    index: &Unique,
) -> Result<bool, Error> {
    if !moves(session, target, columns, index, None).await? {
        return Ok(false);
    }
    let (moves, table) = (moves_of(target), target.table.sql());
    let wants = index.columns.iter().enumerate();
    let wants: Vec<String> =
        wants.map(|(place, name)| format!("x.{} = m.n{place}", identifier(name))).collect();
    let twice: Vec<String> =
        (0..index.columns.len()).map(|place| format!("y.n{place} = m.n{place}")).collect();
    // What a row wants that moves on itself is free.
    let taken = format!(
        "EXISTS (SELECT FROM ONLY {table} AS x WHERE {} AND x.ctid <> m.live \
         AND NOT EXISTS (SELECT FROM {moves} AS y WHERE y.live = x.ctid)) \
         OR EXISTS (SELECT FROM {moves} AS y WHERE {} AND y.number < m.number)",
        wants.join(" AND "),
        twice.join(" AND ")
    );
    let held: Vec<String> =
        (0..index.columns.len()).map(|place| format!("y.n{place} = x.o{place}")).collect();
    // Who stays keeps what the next one wants. Each link is looked up by itself (`OFFSET 0`): joined with all moves at once,
    // each would read all of them.
    let find = format!(
        "INSERT INTO pg_temp.{} WITH RECURSIVE staying (number) AS (\
         SELECT m.number FROM {moves} AS m WHERE {taken} UNION SELECT next.number FROM staying AS s CROSS JOIN LATERAL \
         (SELECT y.number FROM {moves} AS x JOIN {moves} AS y ON {} WHERE x.number = s.number OFFSET 0) AS next) \
         SELECT m.place, {} FROM {moves} AS m JOIN staying AS s ON s.number = m.number",
        target.refused,
        held.join(" AND "),
        reason(index)
    );
    let found = tried(session, &find).await?.is_some_and(|count| count > 0);
    session.run(DOING, &format!("DROP TABLE {moves}")).await?;
    Ok(found)
}

fn moves_of(target: &Target<'_>) -> String {
    format!("pg_temp.{}_moves", target.loaded)
}

/// Makes the table of the rows that get another value of an index: where they are, which one they get, `n0`, `n1` …, and which
/// one they have, `o0`, `o1` …. With `only` just those that get it in this column. Returns whether that could be asked.
async fn moves(
    session: &mut Session,
    target: &Target<'_>,
    columns: &[&TargetColumn],
    index: &Unique,
    only: Option<&TargetColumn>,
) -> Result<bool, Error> {
    let of = |name: &String| columns.iter().find(|column| column.name == *name);
    let put: Vec<String> = match only {
        Some(column) => vec![column.put()],
        None => index.columns.iter().filter_map(of).map(|column| column.put()).collect(),
    };
    if put.is_empty() {
        return Ok(false);
    }
    let new = index.columns.iter().enumerate().map(|(place, name)| {
        let theirs = format!("t.{}", identifier(name));
        match of(name) {
            Some(column) => {
                format!("CASE WHEN {} THEN s.v{} ELSE {theirs} END AS n{place}", column.put(), column.place)
            }
            None => format!("{theirs} AS n{place}"),
        }
    });
    let old = index.columns.iter().enumerate();
    let old = old.map(|(place, name)| format!("t.{} AS o{place}", identifier(name)));
    let sql = format!(
        "CREATE TEMPORARY TABLE {}_moves ON COMMIT DROP AS SELECT s.ctid AS place, t.ctid AS live, \
         row_number() OVER () AS number, {} FROM {} WHERE ({}) AND {}",
        target.loaded,
        new.chain(old).collect::<Vec<_>>().join(", "),
        target.joined(),
        put.join(" OR "),
        parts::rest(target)
    );
    let made = tried(session, &sql).await?.is_some();
    if made {
        let moves = moves_of(target);
        // Each row is asked for among all of them: who wants the same value, who leaves a place, and what the one that stays has.
        let wanted: Vec<String> = (0..index.columns.len()).map(|place| format!("n{place}")).collect();
        for by in [wanted.join(", "), "live".to_string(), "number".to_string()] {
            tried(session, &format!("CREATE INDEX ON {moves} ({by})")).await?;
        }
        session.run(DOING, &format!("ANALYZE {moves}")).await?;
    }
    Ok(made)
}

/// Lets values change places: each row first gives up its own, and all get theirs then. Returns what the update of all the
/// rest counted, or nothing where that cannot be done.
pub(super) async fn exchange(
    session: &mut Session,
    target: &Target<'_>,
    columns: &[&TargetColumn],
) -> Result<Option<Vec<u64>>, Error> {
    let indexes = indexes(session, target).await?;
    session.run(DOING, "SAVEPOINT ripcord_exchange").await?;
    let mut freed: Vec<TargetColumn> = columns.iter().map(|column| (*column).clone()).collect();
    let mut any = false;
    for index in &indexes {
        let place = freed.iter().position(|column| index.columns.contains(&column.name));
        let Some(place) = place.filter(|place| freed[*place].vacant.is_some()) else { continue };
        any |= give_up(session, target, columns, index, &mut freed[place]).await?;
    }
    let done = match any {
        true => {
            let freed: Vec<&TargetColumn> = freed.iter().collect();
            session.query(&values::update(target, &freed, &parts::rest(target))).await
        }
        false => Ok(Vec::new()),
    };
    match done {
        Ok(rows) if any => {
            session.run(DOING, "RELEASE ripcord_exchange").await?;
            Ok(rows.first().map(|row| (0..row.len()).map(|at| row.number(at)).collect()))
        }
        Err(error) if !fit::is_of_value(&error) => Err(session.failed(&error, DOING)),
        _ => {
            session.run(DOING, "ROLLBACK TO ripcord_exchange; RELEASE ripcord_exchange").await?;
            Ok(None)
        }
    }
}

/// Puts something into the column that no row has, wherever it is to get its own; from then on that counts as base.
async fn give_up(
    session: &mut Session,
    target: &Target<'_>,
    columns: &[&TargetColumn],
    index: &Unique,
    column: &mut TargetColumn,
) -> Result<bool, Error> {
    let Some(vacant) = column.vacant.take() else { return Ok(false) };
    // What refers to the value would follow it, or lose it.
    if is_referred_to(session, target, &column.name).await?
        || !moves(session, target, columns, index, Some(column)).await?
    {
        return Ok(false);
    }
    let (moves, moved) = (moves_of(target), format!("pg_temp.{}_moved_{}", target.loaded, column.place));
    let update = format!(
        "UPDATE ONLY {} AS t SET {} = {vacant} FROM {moves} AS m WHERE t.ctid = m.live",
        target.table.sql(),
        identifier(&column.name)
    );
    let given = tried(session, &update).await?.is_some_and(|count| count > 0);
    if given {
        session.run(DOING, &format!("DROP TABLE IF EXISTS {moved}")).await?;
        let keep = format!(
            "CREATE TEMPORARY TABLE {}_moved_{} ON COMMIT DROP AS SELECT place FROM {moves}",
            target.loaded, column.place
        );
        session.run(DOING, &keep).await?;
        column.is_base = format!("({} OR s.ctid IN (SELECT place FROM {moved}))", column.is_base);
    }
    session.run(DOING, &format!("DROP TABLE {moves}")).await?;
    Ok(given)
}

/// Runs a statement and returns how many rows it wrote; nothing where it was undone: how a type is compared is for its
/// index to know, and where that is not the plain way, rows are tried one by one.
async fn tried(session: &mut Session, sql: &str) -> Result<Option<u64>, Error> {
    session.run(DOING, "SAVEPOINT ripcord_claim").await?;
    match session.execute(sql).await {
        Ok(count) => session.run(DOING, "RELEASE ripcord_claim").await.map(|()| Some(count)),
        Err(error) if is_answer(&error) => {
            session.run(DOING, "ROLLBACK TO ripcord_claim; RELEASE ripcord_claim").await.map(|()| None)
        }
        Err(error) => Err(session.failed(&error, DOING)),
    }
}

pub(super) fn is_answer(error: &sqlx::Error) -> bool {
    let class = |said: &sqlx::postgres::PgDatabaseError| {
        ["22", "23", "42", "54"].iter().any(|class| said.code().starts_with(class))
    };
    errors::server_error(error).is_some_and(class)
}

async fn is_referred_to(session: &mut Session, target: &Target<'_>, column: &str) -> Result<bool, Error> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.confrelid \
         AND a.attnum = ANY (k.confkey) WHERE k.contype = 'f' AND k.confrelid = to_regclass({}) AND a.attname = {})",
        literal(&target.table.sql()),
        literal(column)
    );
    Ok(session.value("reading the keys", &sql).await?.as_deref() == Some("t"))
}

async fn indexes(session: &mut Session, target: &Target<'_>) -> Result<Vec<Unique>, Error> {
    let sql = format!(
        "SELECT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid, \
         unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (number, place) \
         JOIN pg_attribute a ON a.attnum = k.number WHERE a.attrelid = i.indrelid \
         AND i.indrelid = to_regclass({}) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL \
         AND i.indexprs IS NULL ORDER BY c.relname, k.place",
        literal(&target.table.sql())
    );
    let mut found: Vec<Unique> = Vec::new();
    for row in session.rows("reading the keys", &sql).await? {
        if found.last().is_none_or(|last| last.name != row.text(0)) {
            found.push(Unique { name: row.text(0).to_string(), columns: Vec::new() });
        }
        if let Some(last) = found.last_mut() {
            last.columns.push(row.text(1).to_string());
        }
    }
    Ok(found)
}
