//! Running a script together with its change of the version rows.
//!
//! `foreign_keys` is off while a script runs, because a table that is rebuilt would otherwise take the rows of its
//! children with it, silently (<https://www.sqlite.org/lang_altertable.html>, section 7). It cannot be changed inside a
//! transaction, so it is off before `BEGIN` and on again after the end; the keys are checked inside instead.

mod meanwhile;
mod rows;

pub(super) use rows::version_rows;

use super::Site;
use super::findings::{self, Check};
use super::session::Session;
use super::writer::Writer;
use super::written::Written;
use crate::base::checkpoint;
use crate::catalog::{Finding, TableName};
use crate::engine::{Applied, Bookkeeping, Error, Meanwhile};
use crate::journal::ScriptLog;
use crate::plan::{Script, Statement, TransactionMode};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{ErrorCode, ffi};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
            let fence = Fence::new(self.options.is_copy);
            let outcome = match script.transaction {
                TransactionMode::One => self.in_one_transaction(writer, script, book, &fence),
                TransactionMode::None => self.one_by_one(writer, script, book, log, &fence),
            };
            session.end();
            let restored = session.run("ending a migration", "PRAGMA foreign_keys = ON");
            if script.transaction == TransactionMode::None {
                // Also of one that failed something stays.
                self.track.wrote(Written::untold());
            }
            // The failure of the script is worth more than that of what comes after it.
            let meanwhile = outcome?;
            let statements = script.statements.iter().map(|statement| statement.sha256.clone()).collect();
            self.track.wrote(fence.written().by(statements));
            restored?;
            let after = roots(session)?;
            let moved =
                before.into_iter().filter(|(name, root)| after.get(name).is_some_and(|now| now != root));
            Ok((moved.map(|(name, _)| TableName::plain(name)).collect(), meanwhile))
        })?;
        // SQLite does not count rows by table, and locks the whole file.
        Ok(Applied { rewritten, meanwhile, ..Applied::default() })
    }

    fn in_one_transaction(
        &self,
        writer: &Writer,
        script: &Script,
        book: &Bookkeeping<'_>,
        fence: &Fence,
    ) -> Result<Vec<Meanwhile>, Error> {
        let session = &writer.session;
        session.run("beginning a migration", "BEGIN IMMEDIATE")?;
        // Nobody else writes from here on.
        let kept = self.keep_meanwhile(writer, book)?;
        let keys = findings::referencing(session)?;
        let ran = fence.around(session, true, || {
            script.statements.iter().try_for_each(|statement| {
                checkpoint::reached(&format!("before line {} of {}", statement.line, script.place));
                run(session, script, statement, fence)
            })
        })?;
        ran?;
        let checks = findings::to_check_again(session, &keys, &fence.written())?;
        finish(session, script, book, &checks)?;
        Ok(kept)
    }

    fn one_by_one(
        &self,
        writer: &Writer,
        script: &Script,
        book: &Bookkeeping<'_>,
        log: &ScriptLog,
        fence: &Fence,
    ) -> Result<Vec<Meanwhile>, Error> {
        let session = &writer.session;
        let mut kept = Vec::new();
        if book.guarded.is_some() {
            // What is written between this commit and the statement that takes it away, no transaction can hold.
            session.run("beginning a migration", "BEGIN IMMEDIATE")?;
            kept = self.keep_meanwhile(writer, book)?;
            session.run("beginning a migration", "COMMIT")?;
        }
        by_statement(session, script, book, log, fence)?;
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

/// What the statements of a script may not do. SQLite is asked and not their words, so that no way of writing them, and
/// no trigger, is overlooked.
struct Fence {
    /// A rehearsal writes to nothing but its copy: a file that a script attaches, or copies itself to (which SQLite
    /// does by attaching it), is another one.
    is_copy: bool,
    /// Whether a statement wanted to reach another file.
    reached: Arc<AtomicBool>,
    /// What the statements write to.
    written: Arc<Mutex<Written>>,
}

impl Fence {
    fn new(is_copy: bool) -> Self {
        Self { is_copy, reached: Arc::default(), written: Arc::default() }
    }

    fn written(&self) -> Written {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does `work` inside the fence. In a transaction of ours, a script that ended it would break the promise that it is
    /// applied as a whole or not at all.
    fn around<T>(
        &self,
        session: &Session,
        in_transaction: bool,
        work: impl FnOnce() -> T,
    ) -> Result<T, Error> {
        let failed = |error| session.failed("preparing", error);
        let (is_copy, reached, written) =
            (self.is_copy, Arc::clone(&self.reached), Arc::clone(&self.written));
        let guard = move |context: AuthContext<'_>| {
            written.lock().unwrap_or_else(PoisonError::into_inner).note(&context);
            match context.action {
                AuthAction::Transaction { .. } if in_transaction => Authorization::Deny,
                // Without a name, and in memory, it is no file of anybody's: VACUUM itself attaches one.
                AuthAction::Attach { filename: "" | ":memory:" } => Authorization::Allow,
                // A name that is computed is not told beforehand, and the action then is one without its parts.
                AuthAction::Attach { .. } | AuthAction::Unknown { code: ffi::SQLITE_ATTACH, .. }
                    if is_copy =>
                {
                    reached.store(true, Ordering::Relaxed);
                    Authorization::Deny
                }
                _ => Authorization::Allow,
            }
        };
        session.authorizer(Some(guard)).map_err(failed)?;
        let done = work();
        session.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).map_err(failed)?;
        Ok(done)
    }

    fn was_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }
}

fn by_statement(
    session: &Session,
    script: &Script,
    book: &Bookkeeping<'_>,
    log: &ScriptLog,
    fence: &Fence,
) -> Result<(), Error> {
    for (index, statement) in script.statements.iter().enumerate() {
        log.statement_started(&script.revision, index, &statement.sha256)?;
        fence.around(session, false, || run(session, script, statement, fence))??;
        checkpoint::reached(&format!("after line {} of {}", statement.line, script.place));
        log.statement_finished(&script.revision, index)?;
    }
    if !session.is_autocommit() {
        let (place, line) = (script.place.clone(), script.statements.last().map_or(1, |last| last.line));
        let detail = "the script began a transaction and did not end it".to_string();
        return Err(Error::Statement { place, line, statement: String::new(), detail });
    }
    session.run("writing the version rows", "BEGIN IMMEDIATE")?;
    finish(session, script, book, &findings::foreign_key_checks(session)?)
}

/// Checks the keys that can be broken, writes the rows and commits.
fn finish(session: &Session, script: &Script, book: &Bookkeeping<'_>, checks: &[Check]) -> Result<(), Error> {
    refuse_new_broken_keys(session, book.known, checks)?;
    rows::change(session, &script.rows)?;
    rows::remember(session, script, book)?;
    checkpoint::reached("before COMMIT");
    session.run("committing a migration", "COMMIT")?;
    checkpoint::reached("after COMMIT");
    Ok(())
}

fn refuse_new_broken_keys(session: &Session, known: &[Finding], checks: &[Check]) -> Result<(), Error> {
    let mut broken = Vec::new();
    for check in checks {
        broken.extend(check.run(session)?);
    }
    broken.sort();
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
fn run(session: &Session, script: &Script, statement: &Statement, fence: &Fence) -> Result<(), Error> {
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
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::NotADatabase,
        ) => session.failed("running a migration", error),
        _ if fence.was_reached() => Error::BeyondCopy {
            place: script.place.clone(),
            line: statement.line,
            what: "another file".to_string(),
        },
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
