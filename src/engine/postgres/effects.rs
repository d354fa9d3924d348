//! What a script did to tables besides writing rows: which locks it held on them, and which it wrote anew.

use super::apply::{DOING, Definition};
use super::names::literal;
use super::session::Session;
use crate::catalog::TableName;
use crate::engine::Error;
use std::collections::BTreeMap;

/// The modes from the weakest to the strongest (<https://www.postgresql.org/docs/current/explicit-locking.html>).
const MODES: [&str; 8] = [
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
];

/// The strongest lock on each relation, by the relation's number: its place among the modes.
pub(super) type Held = BTreeMap<u32, usize>;

/// What the present transaction wrote to a table `c` of `pg_class`, in rows as the server counts them. The server's own views
/// describe all tables with their indexes before they say it.
pub(super) const ROWS_WRITTEN: &str = "(pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) \
     + pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) + pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid))";

/// Returns a query for these columns of the users' tables `c`, in schemas `n`, that the present transaction wrote to.
pub(super) fn written(columns: &str) -> String {
    format!(
        "SELECT {columns} FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 't', 'm', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
         AND n.nspname !~ '^pg_toast' AND {ROWS_WRITTEN} > 0"
    )
}

/// Returns what the session itself holds; just before a commit that is nearly all that it took.
pub(super) async fn held(session: &mut Session, database: &str) -> Result<Held, Error> {
    let pid = session.pid().await?;
    held_by(session, pid, database).await
}

/// Returns what the server process `pid` holds in a database.
pub(super) async fn held_by(session: &mut Session, pid: i32, database: &str) -> Result<Held, Error> {
    let sql = format!(
        "SELECT l.relation, l.mode FROM pg_catalog.pg_locks l WHERE l.locktype = 'relation' AND l.granted \
         AND l.pid = {pid} AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = {})",
        literal(database)
    );
    let mut held = Held::new();
    for row in session.rows(DOING, &sql).await? {
        if let Some(mode) = MODES.iter().position(|mode| *mode == row.text(1)) {
            let known = held.entry(row.number::<u32>(0)).or_insert(mode);
            *known = mode.max(*known);
        }
    }
    Ok(held)
}

/// Returns the stronger of both on each relation.
pub(super) fn stronger(mut one: Held, other: Held) -> Held {
    for (relation, mode) in other {
        let known = one.entry(relation).or_insert(mode);
        *known = mode.max(*known);
    }
    one
}

/// Names the tables that were there before: nobody can wait for a table that nobody sees yet.
pub(super) fn named(held: Held, before: &BTreeMap<u32, Definition>) -> BTreeMap<TableName, String> {
    let tables = held.into_iter().filter_map(|(relation, mode)| Some((before.get(&relation)?, mode)));
    let own = tables.filter(|(table, _)| !table.name.is_bookkeeping());
    own.map(|(table, mode)| (table.name.clone(), MODES[mode].to_string())).collect()
}

/// Returns the tables whose rows now lie in another file: they were all written anew, or thrown away by TRUNCATE.
pub(super) fn rewritten(
    before: &BTreeMap<u32, Definition>,
    now: &BTreeMap<u32, Definition>,
) -> Vec<TableName> {
    let moved = before.iter().filter(|(oid, old)| now.get(oid).is_some_and(|new| new.file != old.file));
    moved.map(|(_, old)| old.name.clone()).collect()
}
