//! The script as `sqlite3` runs it.
//!
//! SQLite has no statement that fails on a condition outside of a trigger, so a guard is a row that a CHECK constraint
//! refuses; the constraint's name is the message. A failed statement ends the script under `-bail` only, and the open
//! transaction ends with the connection.

use super::{Dialect, OPERATION, literal, named};
use crate::history::RevisionId;
use crate::plan::Script;

pub(super) struct Sqlite;

/// Letter by letter what Alembic creates, also in `sqlite_schema`.
const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS alembic_version (
\tversion_num VARCHAR(32) NOT NULL, 
\tCONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
";

const MEMORY: &str = "CREATE TABLE IF NOT EXISTS ripcord_revision (
\trevision VARCHAR(32) NOT NULL,
\tsha256 VARCHAR(64) NOT NULL,
\tapplied_at TIMESTAMP NOT NULL,
\toperation VARCHAR(64) NOT NULL,
\tCONSTRAINT ripcord_revision_pkc PRIMARY KEY (revision)
);
";

impl Dialect for Sqlite {
    fn usage(&self) -> &'static str {
        "sqlite3 -bail DATABASE < SCRIPT    (without -bail it would go on after an error)"
    }

    fn prologue(&self) -> String {
        // Before the first BEGIN, inside of which it has no effect: a table that is rebuilt would otherwise take the rows
        // of its children with it.
        "PRAGMA foreign_keys = OFF;\n".to_owned()
    }

    fn epilogue(&self) -> &'static str {
        "\nPRAGMA foreign_keys = ON;\n"
    }

    fn begin(&self) -> &'static str {
        "BEGIN IMMEDIATE;\n"
    }

    fn guard(&self, rows: &[RevisionId], first: bool) -> String {
        let count = rows.len();
        let all = format!("(SELECT count(*) FROM alembic_version) = {count}");
        let condition = match count {
            0 => all,
            _ => {
                let list = super::listed(rows, |row| literal(row.as_str()));
                format!(
                    "{all} AND (SELECT count(*) FROM alembic_version WHERE version_num IN ({list})) = {count}"
                )
            }
        };
        let message = format!("the version rows are not {}, so the script stops here", named(rows));
        format!("{}{}", if first { VERSIONS } else { "" }, check(&message, &condition))
    }

    fn before_statements(&self) -> &'static str {
        "CREATE TEMP TABLE ripcord_keys AS SELECT * FROM pragma_foreign_key_check;\n"
    }

    fn after_statements(&self, _: &Script) -> String {
        let condition = "(SELECT count(*) FROM (SELECT * FROM pragma_foreign_key_check \
                         EXCEPT SELECT * FROM temp.ripcord_keys)) = 0";
        let message = "foreign keys would point nowhere, so the script stops here";
        format!("{}DROP TABLE temp.ripcord_keys;\n", check(message, condition))
    }

    fn remember(&self, revision: &str, sha256: &str, first: bool) -> String {
        let create = if first { MEMORY } else { "" };
        if revision.is_empty() {
            return create.to_owned();
        }
        format!(
            "{create}INSERT OR REPLACE INTO ripcord_revision (revision, sha256, applied_at, operation) \
             VALUES ({revision}, {sha256}, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), {});\n",
            literal(OPERATION)
        )
    }
}

/// Statements of which one fails with this message unless the condition holds.
fn check(message: &str, condition: &str) -> String {
    let name = message.replace('"', "\"\"");
    format!(
        "CREATE TEMP TABLE ripcord_guard (holds INTEGER, CONSTRAINT \"{name}\" CHECK (holds));
INSERT INTO temp.ripcord_guard SELECT {condition};
DROP TABLE temp.ripcord_guard;
"
    )
}
