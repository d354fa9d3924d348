//! Keeping what others wrote since the snapshot, before a script takes it away.
//!
//! Runs inside the script's transaction. The doomed tables are locked against writers first (readers go on), so what is
//! found then is all there will be. Where no transaction of others has written since the snapshot, no row is looked at;
//! otherwise every row is that is newer than the snapshot, by its transaction's number.

use super::PostgresDatabase;
use super::catalog;
use super::merge::locks;
use super::names::literal;
use super::session::Session;
use crate::catalog::TableName;
use crate::engine::{Error, Guarded, Meanwhile, OtherWrites, meanwhile_table_name};
use std::collections::BTreeSet;

const DOING: &str = "keeping what others wrote since the snapshot";

impl PostgresDatabase {
    /// Copies what others wrote into doomed tables into side tables in `schema`. Fails with [`Error::SchemaMoved`] when
    /// the definitions are no longer those of the plan.
    pub(super) async fn keep_meanwhile(
        &self,
        session: &mut Session,
        guarded: &Guarded,
        (operation, schema): (&str, &str),
    ) -> Result<Vec<Meanwhile>, Error> {
        let Some(mark) = self.marked() else { return Ok(Vec::new()) };
        // Large objects lie in a table of the server's own, which nobody may lock.
        let doomed = guarded.doomed.iter().filter(|table| table.schema.as_deref() != Some("pg_catalog"));
        let doomed: BTreeSet<TableName> = doomed.cloned().collect();
        locks::lock(session, DOING, &doomed, &BTreeSet::new()).await?;
        // Another session asks: it gets a number after the lock, and sees all that were given before.
        if self.compare_beside(&mark).await? == OtherWrites::Nobody {
            return Ok(Vec::new());
        }
        if let Some(expected) = &guarded.schema {
            let mut other = self.reading_session().await?;
            let found = catalog::read(&mut other).await;
            other.give_back().await;
            if found?.sha256() != *expected {
                return Err(Error::SchemaMoved);
            }
        }
        let own: Vec<String> =
            self.own_transactions().iter().map(|number| literal(&(number % (1 << 32)).to_string())).collect();
        let mut newer = mark.newer();
        if !own.is_empty() {
            newer.push_str(&format!(" AND xmin::pg_catalog.text NOT IN ({})", own.join(", ")));
        }
        let mut kept = Vec::new();
        for table in doomed {
            let there = format!(
                "SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass({}) AND relkind = 'r')",
                literal(&table.sql())
            );
            if session.value(DOING, &there).await?.as_deref() != Some("t") {
                continue;
            }
            let rows = format!("FROM ONLY {} WHERE {newer}", table.sql());
            let count = format!(
                "SELECT pg_catalog.count(*) FILTER (WHERE {newer}), pg_catalog.count(*) FROM ONLY {}",
                table.sql()
            );
            let counted = session.rows(DOING, &count).await?;
            let (count, all): (u64, u64) =
                counted.first().map(|row| (row.number(0), row.number(1))).unwrap_or_default();
            let then = guarded.rows.get(&table).copied().unwrap_or_default();
            let gone = then.saturating_sub(all.saturating_sub(count));
            let mut side_table = None;
            if count > 0 {
                let side = free_name(session, operation, schema).await?;
                session.run(DOING, &format!("CREATE TABLE {} AS SELECT * {rows}", side.sql())).await?;
                side_table = Some(side);
            }
            if count > 0 || gone > 0 {
                kept.push(Meanwhile { table, side_table, rows: count, gone });
            }
        }
        Ok(kept)
    }
}

async fn free_name(session: &mut Session, operation: &str, schema: &str) -> Result<TableName, Error> {
    let mut number = 1;
    loop {
        let name = TableName::qualified(schema, meanwhile_table_name(operation, number));
        let sql = format!("SELECT pg_catalog.to_regclass({}) IS NULL", literal(&name.sql()));
        if session.value(DOING, &sql).await?.as_deref() == Some("t") {
            return Ok(name);
        }
        number += 1;
    }
}
