//! Columns that scripts have just made in tables that were there before, and into which nothing but their own default has
//! put anything: what stands in such a column is what the way back left, also where each row got a value of its own.
//!
//! That is told by what the server did, and by words only where it tells nothing:
//! - a plain `ALTER TABLE` of the script made the column, by its number and by the transaction that described it. What a
//!   function or a block does inside nobody sees; a column that was generated at first, or renamed, is none of these;
//! - no transaction of the scripts has inserted, updated or deleted a row of the table, as the server counts them;
//! - nothing but such an `ALTER TABLE` has written the table's file anew, and none says `USING`, which computes values
//!   from other columns.

use super::apply::{DOING, Definition};
use super::session::{Row, Session};
use super::{PostgresDatabase, effects};
use crate::catalog::TableName;
use crate::engine::{Error, MadeColumn, OtherWrites};
use crate::history::Direction;
use crate::plan::{Script, Statement};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

/// One such column, of a table by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub table: u32,
    pub number: i16,
    /// The transactions that can have written a row which nobody has written to since.
    pub transactions: Vec<u64>,
}

/// What a script did to tables, as far as columns that were made are concerned.
pub(super) struct Ended {
    own: u64,
    columns: Vec<Made>,
    named: Vec<MadeColumn>,
    /// Tables whose rows hold more than defaults now.
    written: BTreeSet<u32>,
    /// Tables whose rows were all written anew, with the values that they had.
    rewritten: BTreeSet<u32>,
}

/// Looks on while a script runs.
pub(super) struct Making {
    /// How many columns each table ever had, and the number of its file.
    tables: BTreeMap<u32, (i16, String)>,
    ended: Ended,
    /// Whether the server has counted all the time.
    counted: bool,
}

impl PostgresDatabase {
    /// Begins to look on. Nothing where no merge follows, and where event triggers do more than the script says.
    pub(super) async fn making(
        &self,
        session: &mut Session,
        script: &Script,
        (own, before): (u64, &BTreeMap<u32, Definition>),
    ) -> Result<Option<Making>, Error> {
        if self.is_copy || script.direction == Direction::Up {
            return Ok(None);
        }
        let events = "SELECT EXISTS (SELECT FROM pg_catalog.pg_event_trigger AS e WHERE e.evtenabled <> 'D')";
        if session.value(DOING, events).await?.as_deref() != Some("f") {
            return Ok(None);
        }
        let tables = before.iter().map(|(oid, table)| (*oid, (table.columns, table.file.clone())));
        let ended = Ended {
            own,
            columns: Vec::new(),
            named: Vec::new(),
            written: BTreeSet::new(),
            rewritten: BTreeSet::new(),
        };
        Ok(Some(Making { tables: tables.collect(), ended, counted: true }))
    }

    /// Keeps what a script has made, once it is committed; what nobody looked on at may have written anything.
    pub(super) fn remember_made(&self, ended: Option<Ended>) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ended) = ended else { return made.clear() };
        made.retain(|one| !ended.written.contains(&one.table));
        for one in made.iter_mut().filter(|one| ended.rewritten.contains(&one.table)) {
            one.transactions.push(ended.own);
        }
        made.extend(ended.columns);
    }

    /// Tells whether nobody but us has written since the mark.
    async fn is_alone(&self) -> Result<bool, Error> {
        match self.marked() {
            Some(mark) => Ok(self.compare_beside(&mark).await? == OtherWrites::Nobody),
            None => Ok(false),
        }
    }

    /// Returns the columns that scripts have just made.
    pub(super) fn made(&self) -> Vec<Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Ended {
    /// Returns the columns by the names that they have at the end.
    pub(super) fn named(&self) -> &[MadeColumn] {
        &self.named
    }
}

impl Made {
    /// Returns its names, if it is still there.
    async fn named(&self, session: &mut Session, script: &Script) -> Result<Option<MadeColumn>, Error> {
        let sql = format!(
            "SELECT n.nspname, c.relname, a.attname FROM pg_catalog.pg_attribute AS a \
             JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
             WHERE a.attrelid = {} AND a.attnum = {} AND NOT a.attisdropped",
            self.table, self.number
        );
        let rows = session.rows(DOING, &sql).await?;
        Ok(rows.first().map(|row| MadeColumn {
            revision: script.revision.clone(),
            table: TableName::qualified(row.text(0), row.text(1)),
            column: row.text(2).to_string(),
        }))
    }
}

impl Making {
    /// Looks what a statement did to the tables that the transaction has for itself: nothing else can have changed them so.
    pub(super) async fn look(&mut self, session: &mut Session, statement: &Statement) -> Result<(), Error> {
        let words = statement.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // It sets the server's books back, and what follows may give a number out again.
        self.counted &= words.first() != Some(&"ROLLBACK");
        let is_plain = matches!(words.as_slice(), ["ALTER", "TABLE", ..]) && !says_using(&statement.text);
        let sql = "SELECT c.oid, c.relnatts, c.relfilenode, pg_catalog.current_setting('track_counts') \
             FROM pg_catalog.pg_class AS c WHERE c.relkind = 'r' AND c.oid IN (SELECT l.relation FROM pg_catalog.pg_locks AS l \
             WHERE l.locktype = 'relation' AND l.pid = pg_catalog.pg_backend_pid() AND l.granted \
             AND l.mode = 'AccessExclusiveLock' AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d \
             WHERE d.datname = pg_catalog.current_database()))";
        for row in session.rows(DOING, sql).await? {
            self.counted &= row.text(3) == "on";
            let (oid, columns, file) = (row.number(0), row.number::<i16>(1), row.text(2));
            // Of a table that was not there before nothing is merged by this.
            let Some((had, lay)) = self.tables.get(&oid).cloned() else { continue };
            if lay != file {
                let of = if is_plain { &mut self.ended.rewritten } else { &mut self.ended.written };
                of.insert(oid);
            }
            if columns > had && is_plain {
                let found = new_columns(session, (oid, had), self.ended.own).await?;
                self.ended.columns.extend(found);
            }
            self.tables.insert(oid, (columns, file.to_string()));
        }
        Ok(())
    }

    /// Returns what was made, just before the commit; nothing where that cannot be told.
    pub(super) async fn end(
        self,
        session: &mut Session,
        script: &Script,
        database: &PostgresDatabase,
    ) -> Result<Option<Ended>, Error> {
        let Self { mut ended, counted, .. } = self;
        let counts = session.value(DOING, "SELECT pg_catalog.current_setting('track_counts')").await?;
        if !counted || counts.as_deref() != Some("on") {
            return Ok(None);
        }
        let sql = effects::written("c.oid");
        ended.written.extend(session.rows(DOING, &sql).await?.iter().map(|row| row.number::<u32>(0)));
        let Ended { columns, written, rewritten, .. } = &mut ended;
        columns.retain(|made| !written.contains(&made.table));
        // With what an earlier script made, what others wrote between the two was written anew, unless nobody did: the
        // table is locked by now, so that whoever has not ended has not written to it.
        if database.made().iter().any(|made| rewritten.contains(&made.table)) && !database.is_alone().await? {
            written.append(rewritten);
        }
        for made in &ended.columns {
            ended.named.extend(made.named(session, script).await?);
        }
        Ok(Some(ended))
    }
}

/// Returns the columns that a table has got besides those it had, as far as the transaction made them and their default
/// filled them.
async fn new_columns(session: &mut Session, (table, had): (u32, i16), own: u64) -> Result<Vec<Made>, Error> {
    let sql = format!(
        "SELECT a.attnum FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = {table} AND a.attnum > {had} \
         AND NOT a.attisdropped AND a.attgenerated = '' AND a.xmin::pg_catalog.text = '{}'",
        own % (1 << 32)
    );
    let rows = session.rows(DOING, &sql).await?;
    let made = |row: &Row| Made { table, number: row.number(0), transactions: vec![own] };
    Ok(rows.iter().map(made).collect())
}

/// Tells whether the word stands anywhere in the text, be it in a comment or a string.
fn says_using(text: &str) -> bool {
    let is_part = |next: char| next.is_alphanumeric() || next == '_';
    text.split(|next| !is_part(next)).any(|word| word.eq_ignore_ascii_case("USING"))
}

#[cfg(test)]
mod tests {
    use super::says_using;

    #[test]
    fn the_word_is_found_wherever_it_stands_and_only_as_a_word() {
        for text in ["ALTER c TYPE int USING f(x)", "x'using'", "/*Using*/", "a\nusing\tb"] {
            assert!(says_using(text), "{text}");
        }
        for text in ["", "ALTER TABLE t ADD COLUMN using_it int", "refusing", "usin g"] {
            assert!(!says_using(text), "{text}");
        }
    }
}
