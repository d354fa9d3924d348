//! A plan as a script for `sqlite3` or `psql`, to be read and run by somebody else (`--sql`). Pure.
//!
//! Promises that the script does what a guarded run does, revision by revision: one transaction each, the version rows
//! changed inside it as Alembic writes them, ripcord's memory of applied files too. Each transaction begins by looking at
//! the version rows and stops the script when the database is elsewhere. Leaves out what only a guarded run can do: the
//! snapshot, its proof and the verification.

mod postgres;
mod sqlite;

#[cfg(test)]
mod tests;

use crate::catalog::EngineKind;
use crate::history::{Direction, RevisionId, RowChange};
use crate::plan::{Plan, Script, TransactionMode};
use std::time::Duration;

/// Who is said to have applied a file, in the place of an operation.
const OPERATION: &str = "offline script";

/// The parts of a script that engines write differently; each ends with a line break.
trait Dialect {
    /// How to run the script, for the reader.
    fn usage(&self) -> &'static str;
    /// What comes before the first transaction.
    fn prologue(&self) -> String;
    /// What comes after the last one.
    fn epilogue(&self) -> &'static str;
    fn begin(&self) -> &'static str;
    /// Stops the script unless the version rows are these; `first` where the tables may not be there yet.
    fn guard(&self, rows: &[RevisionId], first: bool) -> String;
    /// What comes before the statements of a revision, inside its first transaction.
    fn before_statements(&self) -> &'static str;
    /// What comes between them and the change of the version rows, inside its last transaction.
    fn after_statements(&self, script: &Script) -> String;
    /// Writes down that the file was applied.
    fn remember(&self, revision: &str, sha256: &str, first: bool) -> String;
}

/// Returns the script of a plan. `lock_timeout` is how long a statement may wait for a lock, where the engine has that.
pub fn script(plan: &Plan, engine: EngineKind, lock_timeout: Duration) -> String {
    match engine {
        EngineKind::Sqlite => write(plan, &sqlite::Sqlite),
        EngineKind::Postgresql => write(plan, &postgres::Postgres { lock_timeout }),
    }
}

fn write(plan: &Plan, dialect: &dyn Dialect) -> String {
    let (word, from) = (word(plan.direction), named(&plan.from));
    if plan.is_empty() {
        return format!("-- ripcord {word}: nothing to do, the version rows are {from}\n");
    }
    let mut text = format!(
        "-- ripcord {word}: {from} -> {}\n-- Run it with: {}\n\
         -- It stops before it changes anything unless the version rows are: {from}\n",
        named(&plan.to),
        dialect.usage()
    );
    text.push_str(&dialect.prologue());
    let mut rows = plan.from.as_slice();
    for (index, script) in plan.scripts.iter().enumerate() {
        text.push_str(&format!("\n-- {}\n", headline(script)));
        text.push_str(&one(script, rows, index == 0, dialect));
        rows = &script.rows_after;
    }
    text.push_str(dialect.epilogue());
    text
}

/// One revision.
fn one(script: &Script, rows: &[RevisionId], first: bool, dialect: &dyn Dialect) -> String {
    let begin = dialect.begin();
    let mut text = format!("{begin}{}{}", dialect.guard(rows, first), dialect.before_statements());
    let statements: String = script.statements.iter().map(|statement| ended(&statement.text)).collect();
    match script.transaction {
        TransactionMode::One => text.push_str(&statements),
        // Looked at again afterwards: between the two anybody could have moved the rows.
        TransactionMode::None => {
            text.push_str(&format!("COMMIT;\n{statements}{begin}{}", dialect.guard(rows, false)));
        }
    }
    text.push_str(&dialect.after_statements(script));
    text.extend(script.rows.iter().map(row));
    text.push_str(&memory(script, first, dialect));
    text.push_str("COMMIT;\n");
    text
}

/// The change of one version row, in Alembic's words.
fn row(change: &RowChange) -> String {
    match change {
        RowChange::Insert(to) => {
            format!("INSERT INTO alembic_version (version_num) VALUES ({});\n", literal(to.as_str()))
        }
        RowChange::Delete(from) => format!(
            "DELETE FROM alembic_version WHERE alembic_version.version_num = {};\n",
            literal(from.as_str())
        ),
        RowChange::Update { from, to } => format!(
            "UPDATE alembic_version SET version_num={} WHERE alembic_version.version_num = {};\n",
            literal(to.as_str()),
            literal(from.as_str())
        ),
    }
}

fn memory(script: &Script, first: bool, dialect: &dyn Dialect) -> String {
    let revision = literal(script.revision.as_str());
    match script.direction {
        Direction::Up => dialect.remember(&revision, &literal(&script.sha256), first),
        Direction::Down => {
            let forget = format!("DELETE FROM ripcord_revision WHERE revision = {revision};\n");
            // Empty, or the table is there: with nothing remembered there is nothing to forget.
            format!("{}{forget}", if first { dialect.remember("", "", true) } else { String::new() })
        }
    }
}

/// The line above a revision, as Alembic prints it. Without control characters: a line break would end the comment.
fn headline(script: &Script) -> String {
    let before = script.rows.iter().filter_map(|change| match change {
        RowChange::Delete(from) | RowChange::Update { from, .. } => Some(from),
        RowChange::Insert(_) => None,
    });
    let after = script.rows.iter().filter_map(|change| match change {
        RowChange::Insert(to) | RowChange::Update { to, .. } => Some(to),
        RowChange::Delete(_) => None,
    });
    let list = |ids: Vec<&RevisionId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let way = match script.direction {
        Direction::Up => format!("{} -> {}", list(before.collect()), script.revision),
        Direction::Down => format!("{} -> {}", script.revision, list(after.collect())),
    };
    let line = format!("Running {} {way}, {}", word(script.direction), script.message);
    line.replace(char::is_control, " ")
}

/// A statement with its semicolon, which a comment at its end must not swallow.
fn ended(statement: &str) -> String {
    let last = statement.lines().last().unwrap_or_default();
    format!("{statement}{};\n", if last.contains("--") { "\n" } else { "" })
}

fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "upgrade",
        Direction::Down => "downgrade",
    }
}

/// Version rows for the reader, on one line.
fn named(rows: &[RevisionId]) -> String {
    if rows.is_empty() {
        return "base".to_owned();
    }
    listed(rows, RevisionId::to_string).replace(char::is_control, " ")
}

fn listed(rows: &[RevisionId], show: impl Fn(&RevisionId) -> String) -> String {
    rows.iter().map(show).collect::<Vec<_>>().join(", ")
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
