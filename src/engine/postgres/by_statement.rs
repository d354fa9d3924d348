//! Scripts of which each statement runs by itself (`transaction none`).
//!
//! On a copy each statement runs in a transaction of its own all the same, as far as the server lets it: what it wrote to
//! what all databases share, and which locks it held, can only be asked before a commit.

use super::PostgresDatabase;
use super::apply::{DOING, Stop, definitions};
use super::beyond;
use super::bookkeeping::Tables;
use super::effects::{self, Held};
use super::lock_watch::LockWatch;
use super::session::Session;
use super::wait_watch::WaitWatch;
use crate::engine::{Applied, Bookkeeping, Error, Meanwhile};
use crate::journal::ScriptLog;
use crate::plan::{Script, Statement};
use std::slice;

/// First words of statements that are about a transaction of the script's own, or need one.
const CONTROL: [&str; 13] = [
    "ABORT",
    "BEGIN",
    "COMMIT",
    "DECLARE",
    "END",
    "FETCH",
    "LOCK",
    "MOVE",
    "PREPARE",
    "RELEASE",
    "ROLLBACK",
    "SAVEPOINT",
    "START",
];

/// What is known of a script on a copy while it runs.
#[derive(Default)]
struct OnCopy {
    /// Whether the script has begun a transaction itself.
    in_block: bool,
    held: Held,
}

impl PostgresDatabase {
    /// Each statement by itself, for what refuses to run in a transaction; journalled one by one, because a failure
    /// leaves what ran before it.
    pub(super) async fn apply_by_statement(
        &self,
        script: &Script,
        book: &Bookkeeping<'_>,
        log: &ScriptLog,
    ) -> Result<Applied, Error> {
        self.remember_made(None);
        let mut session = self.migrating_session().await?;
        let tables = Tables::find(&mut session).await?;
        let waits = WaitWatch::begin(self, &mut session).await?;
        let meanwhile = self.keep_beforehand(&mut session, &waits, &tables, book).await?;
        let (watch, before) = match self.is_copy {
            true => (LockWatch::begin(self, &mut session).await?, Some(definitions(&mut session).await?)),
            false => (LockWatch::none(), None),
        };
        let mut on_copy = OnCopy::default();
        for (index, statement) in script.statements.iter().enumerate() {
            log.statement_started(&script.revision, index, &statement.sha256)?;
            let mut tries = self.retries();
            loop {
                let ran = match self.is_copy {
                    true => self.run_on_copy(&mut session, script, statement, &mut on_copy).await,
                    false => self.run_statement(&mut session, script, statement).await,
                };
                match ran {
                    Ok(()) => break,
                    Err(Stop::Locked(error)) => {
                        let error = waits.named(self, error).await;
                        // An index that CONCURRENTLY could not finish stays behind, invalid: not clean to try again.
                        if leaves_traces(&statement.text) || !self.try_again(&mut tries, &error).await? {
                            return Err(error);
                        }
                    }
                    Err(Stop::NotInside(error) | Stop::Failed(error)) => return Err(error),
                }
            }
            log.statement_finished(&script.revision, index)?;
        }
        // No one transaction knows what all of them wrote.
        let mut applied = Applied { meanwhile, ..Applied::default() };
        if let Some(before) = &before {
            let now = definitions(&mut session).await?;
            applied.locks = Some(effects::named(effects::stronger(on_copy.held, watch.end().await), before));
            applied.rewritten = effects::rewritten(before, &now);
        }
        session.run(DOING, "BEGIN").await?;
        let own = self.own_transaction(&mut session).await?;
        tables.write(&mut session, script, book).await?;
        self.commit(&mut session, own).await?;
        session.close().await;
        Ok(applied)
    }

    /// Keeps what others wrote since the snapshot, tried again when another session's lock was in the way: nothing has run yet.
    /// What is written between this commit and the statement that takes it away, no transaction can hold.
    async fn keep_beforehand(
        &self,
        session: &mut Session,
        waits: &WaitWatch,
        tables: &Tables,
        book: &Bookkeeping<'_>,
    ) -> Result<Vec<Meanwhile>, Error> {
        if book.guarded.is_none() {
            return Ok(Vec::new());
        }
        let mut tries = self.retries();
        loop {
            session.run(DOING, "BEGIN").await?;
            let own = self.own_transaction(session).await?;
            match self.kept_meanwhile(session, tables, book).await {
                Ok(kept) => {
                    self.commit(session, own).await?;
                    return Ok(kept);
                }
                Err(error) => {
                    session.run(DOING, "ROLLBACK").await?;
                    let error = waits.named(self, error).await;
                    if !error.is_locked() || !self.try_again(&mut tries, &error).await? {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn run_on_copy(
        &self,
        session: &mut Session,
        script: &Script,
        statement: &Statement,
        on_copy: &mut OnCopy,
    ) -> Result<(), Stop> {
        beyond::refuse_outside(script, statement)?;
        let words = statement.words();
        let first = words.first().map(String::as_str).unwrap_or_default();
        if on_copy.in_block || CONTROL.contains(&first) {
            return self.run_in_block(session, script, statement, on_copy, &words).await;
        }
        session.run(DOING, "BEGIN").await?;
        match self.run_statement(session, script, statement).await {
            Ok(()) => {
                self.disarm_again(session, script, statement).await?;
                self.before_commit(session, script, slice::from_ref(statement), on_copy).await?;
                session.run(DOING, "COMMIT").await?;
                Ok(())
            }
            Err(stop) => {
                session.run(DOING, "ROLLBACK").await?;
                let Stop::NotInside(_) = stop else { return Err(stop) };
                beyond::refuse_by_words(script, statement)?;
                self.run_statement(session, script, statement).await?;
                Ok(self.disarm_again(session, script, statement).await?)
            }
        }
    }

    /// Runs a statement of a transaction that the script has begun, or one that begins it.
    async fn run_in_block(
        &self,
        session: &mut Session,
        script: &Script,
        statement: &Statement,
        on_copy: &mut OnCopy,
        words: &[String],
    ) -> Result<(), Stop> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (begins, ends) = match words.as_slice() {
            ["BEGIN" | "START", ..] => (true, false),
            ["ROLLBACK" | "COMMIT", "PREPARED", ..] => (false, false),
            ["COMMIT" | "END" | "ABORT", ..] | ["PREPARE", "TRANSACTION", ..] => (false, true),
            ["ROLLBACK", rest @ ..] => (false, !rest.contains(&"TO")),
            _ => (false, false),
        };
        if ends && on_copy.in_block && !matches!(words[0], "ROLLBACK" | "ABORT") {
            self.before_commit(session, script, slice::from_ref(statement), on_copy).await?;
        }
        self.run_statement(session, script, statement).await?;
        on_copy.in_block = begins || on_copy.in_block && !ends;
        Ok(self.disarm_again(session, script, statement).await?)
    }

    async fn before_commit(
        &self,
        session: &mut Session,
        script: &Script,
        statements: &[Statement],
        on_copy: &mut OnCopy,
    ) -> Result<(), Error> {
        beyond::refuse_shared_writes(session, script, statements).await?;
        let held = effects::held(session, &self.id.name).await?;
        on_copy.held = effects::stronger(std::mem::take(&mut on_copy.held), held);
        Ok(())
    }
}

/// Tells whether a statement that failed half-way leaves something behind although it was no transaction.
fn leaves_traces(statement: &str) -> bool {
    statement.to_ascii_uppercase().contains("CONCURRENTLY")
}
