//! Statements that a restore in place runs under its locks, before anything is dropped and after: each fails where
//! others wrote what nobody saved, and the transaction with it.

use super::writes::{Before, LOOKED_AT, Mark, Present, not_told};
use super::{PostgresDatabase, names};
use crate::catalog::TableName;
use crate::engine::Error;

/// What all of them say.
pub(super) const WRITTEN: &str = "was written after the present state was saved";

impl PostgresDatabase {
    /// Returns the statement that fails, with [`WRITTEN`] in its words, when a transaction but ours was committed since
    /// the mark. True once the tables are locked: what has not been committed by then has not written to them.
    pub(super) fn check_of_transactions(&self, guard: &Before) -> String {
        let Mark { number, running } = &guard.mark;
        let own = self.own_transactions();
        let list = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let said = names::literal(&format!("the database {WRITTEN}, transactions: "));
        let end =
            "pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.int8";
        format!(
            "SELECT CASE WHEN {end} - {number} > {LOOKED_AT} THEN ({said} || {end})::pg_catalog.int4 ELSE (SELECT \
             CASE WHEN count(*) <> 0 THEN ({said} || count(*))::pg_catalog.int4 END FROM (SELECT g FROM \
             pg_catalog.generate_series({number}::pg_catalog.int8 + 1, {end} - 1) AS s(g) UNION ALL SELECT g FROM \
             pg_catalog.unnest('{{{}}}'::pg_catalog.int8[]) AS r(g)) AS c WHERE c.g <> ALL ('{{{}}}'::pg_catalog.int8[]) \
             AND c.g <> pg_catalog.pg_current_xact_id()::pg_catalog.text::pg_catalog.int8 AND coalesce(\
             pg_catalog.pg_xact_status(c.g::pg_catalog.text::pg_catalog.xid8), 'committed') = 'committed') END",
            list(running),
            list(&own)
        )
    }
}

impl Present {
    /// Returns a statement for each table that fails, with [`WRITTEN`] in its words, where the table was written since.
    pub(super) fn checks(&self) -> Result<Vec<String>, Error> {
        let unknown = || not_told("the server did not say where it stood before the snapshot".to_string());
        let before = self.before.as_ref().ok_or_else(unknown)?;
        let newer = before.mark.newer();
        // Large objects may be read by a superuser only; which there are, by everybody. What is written into one that
        // stays is not seen here.
        let large = |name: &TableName| name.schema.as_deref() == Some("pg_catalog");
        let objects = self.seen.rows.iter().find(|(name, _)| large(name)).map_or(0, |(_, rows)| *rows);
        let of_objects = (TableName::qualified("pg_catalog", "pg_largeobject_metadata"), objects);
        let tables = self.seen.rows.iter().filter(|(name, _)| !large(name));
        let tables = tables.map(|(name, rows)| (name.clone(), *rows));
        Ok(tables
            .chain([of_objects])
            .map(|(name, rows)| {
                // Not in PL/pgSQL, which a database need not have. The count keeps the planner from making the
                // number out of the text beforehand.
                let said = names::literal(&format!("table {name} {WRITTEN}, rows: "));
                format!(
                    "SELECT CASE WHEN count(*) <> {rows} OR count(*) FILTER (WHERE {newer}) <> 0 \
                     THEN ({said} || count(*))::pg_catalog.int4 END FROM ONLY {}",
                    name.sql()
                )
            })
            .collect())
    }
}

/// Returns the statement that fails, with [`WRITTEN`] in its words, when another relation than `known` was dropped: one
/// that somebody made after the drops were listed, in a schema that goes as a whole. The server locks what it drops.
pub(super) fn check_of_drops(known: &[String]) -> String {
    let said = names::literal(&format!("a new table {WRITTEN}, its number: "));
    format!(
        "SELECT CASE WHEN count(*) <> 0 THEN ({said} || min(l.relation::pg_catalog.text))::pg_catalog.int4 END \
         FROM pg_catalog.pg_locks AS l WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' \
         AND l.mode = 'AccessExclusiveLock' AND l.relation >= 16384 AND l.database = (SELECT d.oid FROM \
         pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()) \
         AND l.relation <> ALL ('{{{}}}'::pg_catalog.oid[])",
        known.join(",")
    )
}
