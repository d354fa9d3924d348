//! The side table of conflicts; made with the first one.

use super::super::names::literal;
use super::super::session::Session;
use super::DOING;
use crate::catalog::TableName;
use crate::engine::{CONFLICTS_NAMED, Conflict, Error, RETAKEN, Twice, side_table_name};
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

    /// Takes out the conflicts of a column that the later of two files repeats; returns how many.
    pub(super) async fn leave_out_twice(
        &self,
        session: &mut Session,
        table: &TableName,
        twice: &Twice<'_>,
        column: &str,
    ) -> Result<u64, Error> {
        if !self.made {
            return Ok(0);
        }
        let by = twice.by.iter().map(|name| format!("s.\"key\"::json -> {}", literal(name)));
        let by = format!("json_build_array({})::text", by.collect::<Vec<_>>().join(", "));
        // A conflict of either file is told by as many columns as that one tells rows by, and by these.
        let of = |told_by: &[String]| {
            let names: Vec<String> = told_by.iter().map(|name| literal(name)).collect();
            format!(
                "FROM {} AS s WHERE s.\"table\" = {} AND s.\"column\" = {} AND (SELECT count(*) = {count} AND \
                 count(*) FILTER (WHERE k IN ({})) = {count} FROM json_object_keys(s.\"key\"::json) AS k)",
                self.table.sql(),
                literal(&table.to_string()),
                literal(column),
                names.join(", "),
                count = names.len(),
            )
        };
        let sql = format!(
            "DELETE FROM {} AS d USING (SELECT s.ctid AS place, {by} AS told, s.ours, row_number() OVER \
             (PARTITION BY {by}, s.ours) AS at {}) AS l JOIN (SELECT {by} AS told, s.ours, count(*) AS n {} GROUP BY 1, 2) AS f \
             ON f.told = l.told AND f.ours IS NOT DISTINCT FROM l.ours AND l.at <= f.n WHERE d.ctid = l.place",
            self.table.sql(),
            of(twice.later),
            of(twice.first)
        );
        session.execute(&sql).await.map_err(|error| session.failed(&error, DOING))
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
