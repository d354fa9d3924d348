//! The side table of conflicts; made with the first one.

use super::super::names::literal;
use super::super::session::Session;
use super::DOING;
use crate::catalog::TableName;
use crate::engine::{CONFLICTS_NAMED, Conflict, Error, RETAKEN, side_table_name};
use std::collections::BTreeMap;

/// What is in the side table at the end.
#[derive(Default)]
pub(super) struct Conflicts {
    /// The table, if there is one.
    pub table: Option<TableName>,
    pub first: Vec<Conflict>,
    /// How many there are of rows that may be others, in each table.
    pub retaken: BTreeMap<TableName, u64>,
}

/// The side table of one operation, in the schema of the version table: that of a table that is merged into may be read by
/// programs which know every table in it.
pub(super) struct Side {
    table: TableName,
    made: bool,
}

impl Side {
    /// Begins with nothing: what an earlier attempt of the same operation wrote is written again.
    pub(super) async fn new(session: &mut Session, operation: &str, schema: &str) -> Result<Self, Error> {
        let table = TableName::qualified(schema, side_table_name(operation));
        let there = format!("SELECT to_regclass({}) IS NOT NULL", literal(&table.sql()));
        if session.value(DOING, &there).await?.as_deref() == Some("t") {
            session.run(DOING, &format!("DROP TABLE {}", table.sql())).await?;
        }
        Ok(Self { table, made: false })
    }

    /// Makes the table if it is not there.
    pub(super) async fn open(&mut self, session: &mut Session) -> Result<(), Error> {
        if self.made {
            return Ok(());
        }
        self.made = true;
        let create = format!(
            "CREATE TABLE {} (\"table\" text NOT NULL, \"key\" text NOT NULL, \"column\" text, base text, ours text, \
             theirs text, reason text NOT NULL)",
            self.table.sql()
        );
        session.run("making the side table", &create).await
    }

    pub(super) fn table(&self) -> String {
        self.table.sql()
    }

    pub(super) async fn end(self, session: &mut Session) -> Result<Conflicts, Error> {
        if !self.made {
            return Ok(Conflicts::default());
        }
        let named = |text: &str| TableName::parse(text).unwrap_or_else(|| TableName::plain(text));
        let sql = format!(
            "SELECT \"table\", \"key\", \"column\", base, ours, theirs, reason FROM {} LIMIT {CONFLICTS_NAMED}",
            self.table.sql()
        );
        let rows = session.rows("reading the conflicts", &sql).await?;
        let own = |text: Option<&str>| text.map(str::to_string);
        let conflicts = rows.iter().map(|row| Conflict {
            table: named(row.text(0)),
            key: row.text(1).to_string(),
            column: own(row.maybe(2)),
            base: own(row.maybe(3)),
            ours: own(row.maybe(4)),
            theirs: own(row.maybe(5)),
            reason: row.text(6).to_string(),
        });
        let first = conflicts.collect();
        let sql = format!(
            "SELECT \"table\", count(*) FROM {} WHERE reason = {} GROUP BY 1",
            self.table.sql(),
            literal(RETAKEN)
        );
        let rows = session.rows("reading the conflicts", &sql).await?;
        let retaken = rows.iter().map(|row| (named(row.text(0)), row.number(1))).collect();
        Ok(Conflicts { table: Some(self.table), first, retaken })
    }
}
