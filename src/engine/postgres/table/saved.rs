//! Whether live tables still are what was saved of them: asked once nobody can write to them, and before a row goes.

use super::super::PostgresDatabase;
use super::super::session::Session;
use super::super::writes::Present;
use super::DOING;
use crate::catalog::TableName;
use crate::engine::Error;
use crate::report::Progress;
use std::collections::BTreeSet;

impl PostgresDatabase {
    /// Fails with [`Error::WroteMeanwhile`] where a table holds what nobody saved. The tables are locked against writers.
    pub(super) async fn refuse_unsaved(
        &self,
        session: &mut Session,
        tables: &BTreeSet<TableName>,
        present: &Present,
    ) -> Result<(), Error> {
        let newer = match &present.before {
            Some(before) => before.mark.newer(),
            // Where the server stood was not told; each row may be newer.
            None => "true".to_string(),
        };
        let mut doubtful = BTreeSet::new();
        for table in tables {
            let saved = present.seen.rows.get(table).ok_or_else(|| self.wrote_to(table))?;
            let sql = format!("SELECT count(*), count(*) FILTER (WHERE {newer}) FROM ONLY {}", table.sql());
            let found = session.rows(DOING, &sql).await?;
            let number = |column| found.first().map_or(0, |row| row.number::<u64>(column));
            if number(0) != *saved {
                return Err(self.wrote_to(table));
            }
            if number(1) != 0 {
                doubtful.insert(table);
            }
        }
        if doubtful.is_empty() {
            return Ok(());
        }
        // Rows are taken for newer as well that were written while a transaction of somebody else was open.
        let reading = self.reading(&self.server, &self.id.name, &Progress::silent());
        let held = reading.held_by(session, &doubtful).await?;
        for table in doubtful {
            if held.get(table).map(|print| print.digest) != present.seen.digests.get(table).copied() {
                return Err(self.wrote_to(table));
            }
        }
        Ok(())
    }

    fn wrote_to(&self, table: &TableName) -> Error {
        Error::WroteMeanwhile { place: format!("table {table} of {}", self.id) }
    }
}
