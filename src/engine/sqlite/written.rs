//! What statements did to tables, as SQLite itself says while it prepares them
//! (<https://www.sqlite.org/c3ref/set_authorizer.html>).
//!
//! The authorizer is told of every table that a statement, or a trigger that it sets off, inserts into, updates or deletes
//! from, and of every table that is altered. What it is not told of table by table (cascades of foreign keys, `VACUUM`, a
//! schema written by hand, virtual tables) counts as untold, and then everything is looked at.

use rusqlite::hooks::{AuthAction, AuthContext};
use std::collections::BTreeSet;

/// The pragmas with which a statement can do what the definitions forbid.
const TRICKS: [&str; 2] = ["writable_schema", "ignore_check_constraints"];

/// What the statements of one script or several did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// The statements in their order, by their SHA-256.
    pub statements: Vec<String>,
    /// Tables into which rows were written, or that were made or dropped; in lower case, as are the altered ones.
    rows: BTreeSet<String>,
    altered: BTreeSet<String>,
    untold: bool,
}

impl Written {
    /// Returns that anything can have been written.
    pub(super) fn untold() -> Self {
        Self { untold: true, ..Self::default() }
    }

    /// Returns the same, with the statements that did it.
    pub(super) fn by(self, statements: Vec<String>) -> Self {
        Self { statements, ..self }
    }

    /// Takes what SQLite asks about while it prepares a statement.
    pub(super) fn note(&mut self, context: &AuthContext<'_>) {
        match context.action {
            AuthAction::Insert { table_name }
            | AuthAction::Delete { table_name }
            | AuthAction::Update { table_name, .. }
            | AuthAction::CreateTable { table_name }
            | AuthAction::DropTable { table_name } => {
                self.rows.insert(table_name.to_ascii_lowercase());
            }
            AuthAction::AlterTable { table_name, .. } => {
                self.altered.insert(table_name.to_ascii_lowercase());
            }
            AuthAction::Pragma { pragma_name, .. } => {
                self.untold |= TRICKS.iter().any(|trick| pragma_name.eq_ignore_ascii_case(trick));
            }
            AuthAction::CreateVtable { .. }
            | AuthAction::DropVtable { .. }
            | AuthAction::Attach { .. }
            | AuthAction::Unknown { .. } => self.untold = true,
            _ => {}
        }
    }

    /// Adds what was done afterwards.
    pub(super) fn add(&mut self, later: Written) {
        self.statements.extend(later.statements);
        self.rows.extend(later.rows);
        self.altered.extend(later.altered);
        self.untold |= later.untold;
    }

    /// Tells whether something was done that is not told table by table.
    pub(super) fn is_untold(&self) -> bool {
        self.untold
    }

    /// Tells whether rows may have been written into a table, or the table is another one now.
    pub(super) fn has_rows_of(&self, table: &str) -> bool {
        self.untold || self.rows.contains(&table.to_ascii_lowercase())
    }

    /// Tells whether rows of a table may have been written, or its definition altered.
    pub(super) fn touches(&self, table: &str) -> bool {
        self.has_rows_of(table) || self.has_altered(table)
    }

    /// Tells whether a table may have been altered.
    pub(super) fn has_altered(&self, table: &str) -> bool {
        self.untold || self.altered.contains(&table.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;
    use rusqlite::hooks::Authorization;
    use std::sync::{Arc, Mutex};

    fn written(sql: &str) -> Written {
        let connection = Connection::open_in_memory().expect("a database");
        connection
            .execute_batch(
                "CREATE TABLE Shop (id INTEGER PRIMARY KEY, name); CREATE TABLE log (a); CREATE TABLE spare (a);
                CREATE VIEW v AS SELECT * FROM shop;
                CREATE TRIGGER t AFTER UPDATE ON shop BEGIN INSERT INTO log VALUES (1); END;
                CREATE TRIGGER u INSTEAD OF DELETE ON v BEGIN DELETE FROM spare; END;",
            )
            .expect("a schema");
        let seen = Arc::new(Mutex::new(Written::default()));
        let noted = Arc::clone(&seen);
        let guard = move |context: AuthContext<'_>| {
            noted.lock().expect("one thread").note(&context);
            Authorization::Allow
        };
        connection.authorizer(Some(guard)).expect("set");
        connection.execute_batch(sql).expect("runs");
        seen.lock().expect("one thread").clone()
    }

    #[test]
    fn every_table_that_a_statement_or_its_triggers_write_to_is_told() {
        let tables = ["shop", "log", "spare"];
        let told = |sql: &str| -> Vec<&str> {
            let written = written(sql);
            assert!(!written.is_untold(), "{sql}");
            tables.into_iter().filter(|table| written.has_rows_of(table)).collect()
        };
        assert_eq!(
            told("SELECT * FROM shop; CREATE INDEX i ON shop (name); PRAGMA user_version = 3"),
            [""; 0]
        );
        assert_eq!(told("INSERT INTO shop VALUES (1, 'a')"), ["shop"]);
        assert_eq!(told("UPDATE SHOP SET name = 'b'"), ["shop", "log"]);
        assert_eq!(told("DELETE FROM v"), ["spare"]);
        assert_eq!(told("DELETE FROM log"), ["log"]);
        assert_eq!(told("REPLACE INTO spare SELECT 1"), ["spare"]);
        assert_eq!(
            told("WITH x AS (SELECT 1) UPDATE spare SET a = (SELECT * FROM x) RETURNING a"),
            ["spare"]
        );
        assert_eq!(told("DROP TABLE spare; CREATE TABLE spare (b)"), ["spare"]);
        assert_eq!(
            told(
                "CREATE TRIGGER w BEFORE INSERT ON spare BEGIN DELETE FROM log; END; INSERT INTO spare VALUES (1)"
            ),
            ["log", "spare"]
        );
    }

    #[test]
    fn an_altered_table_is_told_and_is_not_one_whose_rows_were_written() {
        for sql in [
            "ALTER TABLE shop ADD COLUMN note DEFAULT 5",
            "ALTER TABLE log RENAME COLUMN a TO b; ALTER TABLE shop DROP COLUMN name",
            "ALTER TABLE shop RENAME TO Other",
        ] {
            let written = written(sql);
            assert!(written.has_altered("shop") && !written.has_rows_of("shop"), "{sql}: {written:?}");
            assert!(!written.has_altered("spare") && !written.has_rows_of("spare"), "{sql}: {written:?}");
        }
    }

    #[test]
    fn what_goes_around_the_definitions_is_untold() {
        for sql in ["PRAGMA writable_schema = ON", "PRAGMA Ignore_Check_Constraints = 1", "VACUUM"] {
            assert!(written(sql).is_untold(), "{sql}");
        }
    }
}
