//! Running scripts on the live database, with the user's own settings.

use super::PostgresDatabase;
use super::beyond;
use super::bookkeeping::Tables;
use super::disarm;
use super::effects;
use super::errors::{self, code};
use super::lock_watch::LockWatch;
use super::made::Ended;
use super::session::{Purpose, Session};
use super::wait_watch::WaitWatch;
use crate::base::checkpoint;
use crate::catalog::TableName;
use crate::engine::{Applied, Bookkeeping, Error, Meanwhile};
use crate::journal::ScriptLog;
use crate::plan::{Script, Statement, TransactionMode};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a cancelled statement may take to give up before its session is ended.
const GRACE: Duration = Duration::from_secs(5);
pub(super) const DOING: &str = "running the migration";

/// Why a script stopped.
pub(super) enum Stop {
    /// Another session's lock was not given up in time: worth another try, everything is undone.
    Locked(Error),
    /// It cannot be run inside a transaction.
    NotInside(Error),
    Failed(Error),
}

impl PostgresDatabase {
    pub(super) async fn apply_script(
        &self,
        script: &Script,
        book: &Bookkeeping<'_>,
        log: &ScriptLog,
    ) -> Result<Applied, Error> {
        if self.reaches_out && !script.statements.is_empty() {
            let what = "what lies on another server, which only a superuser can keep a copy from".to_string();
            return Err(beyond::beyond(script, script.statements[0].line, what));
        }
        self.move_mark().await?;
        let applied = match script.transaction {
            TransactionMode::One => self.apply_whole(script, book).await,
            TransactionMode::None => self.apply_by_statement(script, book, log).await,
        };
        // It may have given its role or the database other settings, which a session takes on when it begins.
        self.server.forget_settings(&self.id.name).await;
        applied
    }

    /// All statements and the version rows in one transaction, tried again when another session's lock was in the way.
    async fn apply_whole(&self, script: &Script, book: &Bookkeeping<'_>) -> Result<Applied, Error> {
        let mut tries = self.retries();
        loop {
            // A session of its own for each try: a setting that a failed try left behind must not reach the next.
            let mut session = self.migrating_session().await?;
            let waits = WaitWatch::begin(self, &mut session).await?;
            let tried = self.try_whole(&mut session, script, book).await;
            match tried {
                Ok(applied) => {
                    session.close().await;
                    return Ok(applied);
                }
                Err(stop) => {
                    // An error here means that the session is gone, and its transaction with it.
                    let _ = session.execute("ROLLBACK").await;
                    session.close().await;
                    match stop {
                        Stop::Locked(error) => {
                            let error = waits.named(self, error).await;
                            if !self.try_again(&mut tries, &error).await? {
                                return Err(error);
                            }
                        }
                        Stop::NotInside(error) | Stop::Failed(error) => return Err(error),
                    }
                }
            }
        }
    }

    async fn try_whole(
        &self,
        session: &mut Session,
        script: &Script,
        book: &Bookkeeping<'_>,
    ) -> Result<Applied, Stop> {
        let tables = Tables::find(session).await?;
        session.run(DOING, "BEGIN").await?;
        let own = self.own_transaction(session).await?;
        let meanwhile = self.kept_meanwhile(session, &tables, book).await?;
        let before = definitions(session).await?;
        let mut making = self.making(session, script, (own, &before)).await?;
        let watch = if self.is_copy { LockWatch::begin(self, session).await? } else { LockWatch::none() };
        for statement in &script.statements {
            if self.is_copy {
                beyond::refuse_outside(script, statement)?;
            }
            self.run_statement(session, script, statement).await?;
            if self.is_copy {
                self.disarm_again(session, script, statement).await?;
            }
            if let Some(making) = &mut making {
                making.look(session, statement).await?;
            }
        }
        tables.write(session, script, book).await?;
        let now = definitions(session).await?;
        if self.is_copy {
            beyond::refuse_shared_writes(session, script, &script.statements).await?;
        }
        let ended = match making {
            Some(making) => making.end(session, script, self).await?,
            None => None,
        };
        let held = effects::held(session, &self.id.name).await?;
        let applied = Applied {
            rows_written: rows_written(session, &before, &now).await?,
            locks: Some(effects::named(effects::stronger(held, watch.end().await), &before)),
            rewritten: effects::rewritten(&before, &now),
            meanwhile,
            made: ended.iter().flat_map(Ended::named).cloned().collect(),
        };
        checkpoint::reached("before the commit of a script");
        self.commit(session, own).await?;
        self.remember_made(ended);
        checkpoint::reached("after the commit of a script");
        Ok(applied)
    }

    /// Commits, and finds out what became of it when the server did not say.
    pub(super) async fn commit(&self, session: &mut Session, transaction: u64) -> Result<(), Error> {
        let pid = session.pid().await?;
        let Err(error) = session.execute("COMMIT").await else { return Ok(()) };
        let failed = session.failed(&error, "committing the migration");
        // Class 57P: the server ended the session, perhaps after it had committed.
        if errors::server_error(&error).is_some_and(|said| !said.code().starts_with("57P")) {
            return Err(failed);
        }
        // The connection broke: the transaction may be committed all the same, and only the server knows.
        let mut last = None;
        let asked = tokio::time::timeout(GRACE, async {
            loop {
                match self.became(transaction, pid).await {
                    Ok(Some(status)) if status == "in progress" => {
                        last = Some("it is in progress".to_string())
                    }
                    Ok(status) => return status,
                    // It may be starting again.
                    Err(error) => last = Some(error.to_string()),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        match asked.await.ok().flatten().as_deref() {
            Some("committed") => Ok(()),
            Some("aborted") => Err(failed),
            _ => {
                let detail = last.unwrap_or_else(|| "the server does not say".to_string());
                Err(Error::Undecided { detail: format!("{failed}; {detail}") })
            }
        }
    }

    /// Asks what became of a transaction. Its server process does not notice that nobody listens any more, and would
    /// go on towards its commit, so it is told to end.
    async fn became(&self, transaction: u64, pid: i32) -> Result<Option<String>, Error> {
        let doing = "asking what became of the migration";
        // Not one that has waited: should another server have taken over, it would be of the one before.
        let mut other = self.server.connect(&self.id.name, Purpose::Steering, &self.application()).await?;
        // The number beside the process: another session may have got that by now.
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = {pid} AND backend_xid::text = '{}'",
            transaction % (1 << 32)
        );
        other.rows(doing, &end).await?;
        let status = other.value(doing, &format!("SELECT pg_xact_status('{transaction}'::xid8)")).await;
        other.close().await;
        status
    }

    pub(super) async fn kept_meanwhile(
        &self,
        session: &mut Session,
        tables: &Tables,
        book: &Bookkeeping<'_>,
    ) -> Result<Vec<Meanwhile>, Error> {
        match book.guarded {
            Some(guarded) => self.keep_meanwhile(session, guarded, (book.operation, tables.schema())).await,
            None => Ok(Vec::new()),
        }
    }

    /// Opens a new session for a script, which may do with it whatever it likes.
    pub(super) async fn migrating_session(&self) -> Result<Session, Error> {
        let mut session = self.server.connect(&self.id.name, Purpose::Migrating, &self.application()).await?;
        self.act(&mut session).await?;
        self.give_own_settings(&mut session).await?;
        let lock = format!("SET lock_timeout = {}", self.options.lock_timeout.as_millis());
        session.run(DOING, &lock).await?;
        if let Some(limit) = self.options.statement_timeout {
            session.run(DOING, &format!("SET statement_timeout = {}", limit.as_millis())).await?;
        }
        Ok(session)
    }

    /// Gives the session's transaction its number, and remembers it as ours.
    pub(super) async fn own_transaction(&self, session: &mut Session) -> Result<u64, Error> {
        let number = session.value(DOING, "SELECT pg_catalog.pg_current_xact_id()").await?;
        let number = number.and_then(|text| text.parse().ok()).unwrap_or_default();
        self.remember_own(number);
        Ok(number)
    }

    /// Runs one statement of a script; stops it when the operation is cancelled.
    pub(super) async fn run_statement(
        &self,
        session: &mut Session,
        script: &Script,
        statement: &Statement,
    ) -> Result<(), Stop> {
        if self.options.cancel.is_cancelled() {
            return Err(Stop::Failed(Error::Interrupted));
        }
        let pid = session.pid().await?;
        let mut work = std::pin::pin!(session.execute(&statement.text));
        let done = tokio::select! {
            done = &mut work => done,
            () = self.options.cancel.cancelled() => {
                self.stop_backend(pid, work).await?;
                return Err(Stop::Failed(Error::Interrupted));
            }
        };
        match done {
            Ok(_) => Ok(()),
            Err(error) if self.is_copy && disarm::met(&error) => Err(Stop::Failed(beyond::beyond(
                script,
                statement.line,
                "what lies on another server".to_string(),
            ))),
            Err(error) => Err(self.stopped(script, statement, &error)),
        }
    }

    /// Asks the server to stop a statement, and waits until it has: only then is it known what stands.
    async fn stop_backend(
        &self,
        pid: i32,
        work: impl Future<Output = Result<u64, sqlx::Error>>,
    ) -> Result<(), Error> {
        let mut other = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
        let doing = "stopping the migration";
        other.value(doing, &format!("SELECT pg_cancel_backend({pid})")).await?;
        if tokio::time::timeout(GRACE, work).await.is_err() {
            other.value(doing, &format!("SELECT pg_terminate_backend({pid})")).await?;
            let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
            while other.value(doing, &gone).await?.as_deref() != Some("0") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        other.close().await;
        Ok(())
    }

    fn stopped(&self, script: &Script, statement: &Statement, error: &sqlx::Error) -> Stop {
        let (line, detail) = match errors::server_error(error) {
            Some(server) => {
                (statement.line + errors::lines_into(server, &statement.text), errors::said(server))
            }
            None => (statement.line, error.to_string()),
        };
        let place = script.place.clone();
        match errors::server_error(error).map(|error| error.code()) {
            // Of two that wait for each other the server ends one; all of it is undone, and the other has gone on.
            Some(code::LOCK_NOT_AVAILABLE | code::DEADLOCK_DETECTED) => Stop::Locked(Error::Busy {
                place: self.id.to_string(),
                detail: format!("{place}, line {line}: {detail}"),
            }),
            Some(code::ACTIVE_TRANSACTION | code::INVALID_TERMINATION) => {
                Stop::NotInside(failed(place, line, statement, detail))
            }
            _ => Stop::Failed(failed(place, line, statement, detail)),
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            // Our own bookkeeping met the lock of another session.
            Error::Busy { .. } => Self::Locked(error),
            other => Self::Failed(other),
        }
    }
}

fn failed(place: String, line: usize, statement: &Statement, detail: String) -> Error {
    Error::Statement { place, line, statement: statement.text.clone(), detail }
}

/// A table as the server's catalog describes it.
pub(super) struct Definition {
    pub(super) name: TableName,
    /// The number of the file that its rows are in.
    pub(super) file: String,
    /// How many columns it ever had.
    pub(super) columns: i16,
    /// The transaction that wrote this description.
    written_by: String,
    /// Whether our session holds the lock that emptying, rewriting and dropping take.
    held: bool,
}

/// Returns the users' tables by their identity numbers.
pub(super) async fn definitions(session: &mut Session) -> Result<BTreeMap<u32, Definition>, Error> {
    let sql = "SELECT c.oid, n.nspname, c.relname, c.xmin, c.oid IN (SELECT l.relation FROM pg_catalog.pg_locks l \
         WHERE l.locktype = 'relation' AND l.pid = pg_catalog.pg_backend_pid() AND l.granted \
         AND l.mode = 'AccessExclusiveLock' AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d \
         WHERE d.datname = pg_catalog.current_database())), c.relfilenode, c.relnatts \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
    let rows = session.rows(DOING, sql).await?;
    let read = rows.iter().map(|row| {
        let name = TableName::qualified(row.text(1), row.text(2));
        let (written_by, file) = (row.text(3).to_string(), row.text(5).to_string());
        (row.number(0), Definition { name, file, columns: row.number(6), written_by, held: row.is(4) })
    });
    Ok(read.collect())
}

/// Returns the rows that the present transaction wrote, by table; `None` when the server does not count.
///
/// TRUNCATE sets the server's counters back and a dropped table has none, so what is gone, and what was described
/// anew under our own exclusive lock, counts as written (by one row, since nobody knows how many). The lock alone does
/// not: dropping a foreign key locks the table that it points to.
async fn rows_written(
    session: &mut Session,
    before: &BTreeMap<u32, Definition>,
    now: &BTreeMap<u32, Definition>,
) -> Result<Option<BTreeMap<TableName, u64>>, Error> {
    let counts = session.value(DOING, "SELECT pg_catalog.current_setting('track_counts')").await?;
    if counts.as_deref() != Some("on") {
        return Ok(None);
    }
    let sql = effects::written(&format!("n.nspname, c.relname, {}", effects::ROWS_WRITTEN));
    let rows = session.rows(DOING, &sql).await?;
    let counted = rows.iter().map(|row| (TableName::qualified(row.text(0), row.text(1)), row.number(2)));
    let mut written: BTreeMap<TableName, u64> = counted.collect();
    for (oid, old) in before {
        let stays = now
            .get(oid)
            .filter(|new| new.name == old.name && !(new.held && new.written_by != old.written_by));
        if stays.is_none() {
            written.entry(old.name.clone()).or_insert(1);
        }
    }
    Ok(Some(written))
}
