//! Running a script together with its change of the version rows.
//!
//! `foreign_keys` is off while a script runs, because a table that is rebuilt would otherwise take the rows of its
//! children with it, silently (<https://www.sqlite.org/lang_altertable.html>, section 7). It cannot be changed inside a
//! transaction, so it is off before `BEGIN` and on again after the end; the keys are checked inside instead.

mod meanwhile;
mod rows;

pub(super) use rows::version_rows;

use super::Site;
use super::findings;
use super::session::Session;
use super::writer::Writer;
use crate::base::checkpoint;
use crate::catalog::{Finding, TableName};
use crate::engine::{Applied, Bookkeeping, Error, Meanwhile};
use crate::journal::ScriptLog;
use crate::plan::{Script, Statement, TransactionMode};
use rusqlite::ErrorCode;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use std::collections::BTreeMap;

impl Site {
    /// Runs one script. After an error of a script in one transaction the database is as it was.
    pub(super) fn apply(
        &self,
        script: &Script,
        book: &Bookkeeping<'_>,
        log: &ScriptLog,
    ) -> Result<Applied, Error> {
        if self.options.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        self.forget_present();
        let (rewritten, meanwhile) = self.with_writer(|writer| {
            let session = &writer.session;
            let before = roots(session)?;
            session.run("preparing a migration", "PRAGMA foreign_keys = OFF")?;
            if self.options.is_copy {
                refuse_other_files(script)?;
            }
            let outcome = match script.transaction {
                TransactionMode::One => self.in_one_transaction(writer, script, book),
                TransactionMode::None => self.one_by_one(writer, script, book, log),
            };
            session.end();
            let restored = session.run("ending a migration", "PRAGMA foreign_keys = ON");
            // The failure of the script is worth more than that of what comes after it.
            let meanwhile = outcome?;
            restored?;
            let after = roots(session)?;
            let moved =
                before.into_iter().filter(|(name, root)| after.get(name).is_some_and(|now| now != root));
            Ok((moved.map(|(name, _)| TableName::plain(name)).collect(), meanwhile))
        })?;
        // SQLite does not count rows by table, and locks the whole file.
        Ok(Applied { rows_written: None, locks: None, rewritten, meanwhile })
    }

    fn in_one_transaction(
        &self,
        writer: &Writer,
        script: &Script,
        book: &Bookkeeping<'_>,
    ) -> Result<Vec<Meanwhile>, Error> {
        let session = &writer.session;
        session.run("beginning a migration", "BEGIN IMMEDIATE")?;
        // Nobody else writes from here on.
        let kept = self.keep_meanwhile(writer, book)?;
        session
            .authorizer(Some(no_transaction_control))
            .map_err(|error| session.failed("preparing", error))?;
        let ran = script.statements.iter().try_for_each(|statement| {
            checkpoint::reached(&format!("before line {} of {}", statement.line, script.place));
            run(session, script, statement)
        });
        session.authorizer(None::<Guard>).map_err(|error| session.failed("preparing", error))?;
        ran?;
        finish(session, script, book)?;
        Ok(kept)
    }

    fn one_by_one(
        &self,
        writer: &Writer,
        script: &Script,
        book: &Bookkeeping<'_>,
        log: &ScriptLog,
    ) -> Result<Vec<Meanwhile>, Error> {
        let session = &writer.session;
        // What is written between this commit and the statement that takes it away, no transaction can hold.
        session.run("beginning a migration", "BEGIN IMMEDIATE")?;
        let kept = self.keep_meanwhile(writer, book)?;
        session.run("beginning a migration", "COMMIT")?;
        by_statement(session, script, book, log)?;
        Ok(kept)
    }

    fn keep_meanwhile(&self, writer: &Writer, book: &Bookkeeping<'_>) -> Result<Vec<Meanwhile>, Error> {
        match book.guarded {
            Some(guarded) => meanwhile::keep(self, writer, guarded, book.operation),
            None => Ok(Vec::new()),
        }
    }
}

/// Returns the page that each table begins at: another one means that the table was built anew.
fn roots(session: &Session) -> Result<BTreeMap<String, i64>, Error> {
    let failed = |error| session.failed("preparing a migration", error);
    let sql = "SELECT name, rootpage FROM sqlite_schema WHERE type = 'table' AND rootpage > 0
        AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let mut statement = session.prepare(sql).map_err(failed)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}

/// A rehearsal writes to nothing but its copy: a file that a script attaches, or copies itself to, is another one.
fn refuse_other_files(script: &Script) -> Result<(), Error> {
    let reaches = |statement: &&Statement| {
        let words: Vec<String> = statement.words().take(3).collect();
        let into = words.iter().skip(1).any(|word| word == "INTO");
        words.first().is_some_and(|first| first == "ATTACH" || first == "VACUUM" && into)
    };
    match script.statements.iter().find(reaches) {
        Some(statement) => Err(Error::BeyondCopy {
            place: script.place.clone(),
            line: statement.line,
            what: "another file".to_string(),
        }),
        None => Ok(()),
    }
}

type Guard = fn(AuthContext<'_>) -> Authorization;

/// A script that ends ripcord's transaction would break the promise that it is applied as a whole or not at all.
fn no_transaction_control(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Transaction { .. } => Authorization::Deny,
        _ => Authorization::Allow,
    }
}

fn by_statement(
    session: &Session,
    script: &Script,
    book: &Bookkeeping<'_>,
    log: &ScriptLog,
) -> Result<(), Error> {
    for (index, statement) in script.statements.iter().enumerate() {
        log.statement_started(&script.revision, index, &statement.sha256)?;
        run(session, script, statement)?;
        checkpoint::reached(&format!("after line {} of {}", statement.line, script.place));
        log.statement_finished(&script.revision, index)?;
    }
    if !session.is_autocommit() {
        let (place, line) = (script.place.clone(), script.statements.last().map_or(1, |last| last.line));
        let detail = "the script began a transaction and did not end it".to_string();
        return Err(Error::Statement { place, line, statement: String::new(), detail });
    }
    session.run("writing the version rows", "BEGIN IMMEDIATE")?;
    finish(session, script, book)
}

/// Checks the keys, writes the rows and commits.
fn finish(session: &Session, script: &Script, book: &Bookkeeping<'_>) -> Result<(), Error> {
    refuse_new_broken_keys(session, book.known)?;
    rows::change(session, &script.rows)?;
    rows::remember(session, script, book)?;
    checkpoint::reached("before COMMIT");
    session.run("committing a migration", "COMMIT")?;
    checkpoint::reached("after COMMIT");
    Ok(())
}

fn refuse_new_broken_keys(session: &Session, known: &[Finding]) -> Result<(), Error> {
    let mut broken = findings::all_foreign_keys(session)?;
    broken.retain(|finding| !known.contains(finding));
    match broken.first() {
        None => Ok(()),
        Some(first) => Err(Error::ForeignKeys {
            count: broken.len(),
            first: format!("{}: {}", first.subject, first.detail),
        }),
    }
}

/// Runs one statement to its end; rows that it gives are read and dropped.
fn run(session: &Session, script: &Script, statement: &Statement) -> Result<(), Error> {
    let outcome = (|| {
        let mut prepared = session.prepare(&statement.text)?;
        let mut rows = prepared.query([])?;
        while rows.next()?.is_some() {}
        Ok::<_, rusqlite::Error>(())
    })();
    outcome.map_err(|error| match error.sqlite_error_code() {
        // No fault of the statement.
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OperationInterrupted
            | ErrorCode::ReadOnly
            | ErrorCode::NotADatabase,
        ) => session.failed("running a migration", error),
        code => Error::Statement {
            place: script.place.clone(),
            line: statement.line,
            statement: statement.text.clone(),
            detail: match code {
                Some(ErrorCode::AuthorizationForStatementDenied) => {
                    "it would end the transaction that the whole script runs in".to_string()
                }
                _ => super::failure::detail(&error),
            },
        },
    })
}
