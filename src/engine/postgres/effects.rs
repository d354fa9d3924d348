//! What a script did to tables besides writing rows, read in its own transaction just before the commit: locks are kept
//! until then, so the answer does not depend on who looks when.

use super::apply::{DOING, Definition};
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

/// Returns the strongest lock that the session holds on each table that was there before: nobody can wait for a table
/// that nobody sees yet.
pub(super) async fn locks(
    session: &mut Session,
    before: &BTreeMap<u32, Definition>,
) -> Result<BTreeMap<TableName, String>, Error> {
    let sql = "SELECT l.relation, l.mode FROM pg_catalog.pg_locks l WHERE l.locktype = 'relation' AND l.granted \
         AND l.pid = pg_catalog.pg_backend_pid() AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d \
         WHERE d.datname = pg_catalog.current_database())";
    let mut strongest: BTreeMap<TableName, usize> = BTreeMap::new();
    for row in session.rows(DOING, sql).await? {
        let table = before.get(&row.number::<u32>(0)).filter(|table| !table.name.is_bookkeeping());
        let mode = MODES.iter().position(|mode| *mode == row.text(1));
        if let (Some(table), Some(mode)) = (table, mode) {
            let known = strongest.entry(table.name.clone()).or_insert(mode);
            *known = mode.max(*known);
        }
    }
    Ok(strongest.into_iter().map(|(table, mode)| (table, MODES[mode].to_string())).collect())
}

/// Returns the tables whose rows now lie in another file: they were all written anew, or thrown away by TRUNCATE.
pub(super) fn rewritten(
    before: &BTreeMap<u32, Definition>,
    now: &BTreeMap<u32, Definition>,
) -> Vec<TableName> {
    let moved = before.iter().filter(|(oid, old)| now.get(oid).is_some_and(|new| new.file != old.file));
    moved.map(|(_, old)| old.name.clone()).collect()
}
