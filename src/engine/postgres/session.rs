//! One session with a server: its settings, and statements that return text.
//!
//! Everything is sent by the simple protocol, one statement at a time: nothing is prepared, so that a schema that
//! moves under us cannot make a cached plan fail, and every value arrives as the text that `psql` would print.

use super::errors;
use super::idle::Home;
use super::names::literal;
use crate::engine::Error;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row as _};
use std::collections::VecDeque;

/// What a session is for, which decides its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Reads data: everything that changes how a value is printed, or which rows are seen, is pinned.
    Reading,
    /// Creates, drops, renames and bars databases, looks at other sessions.
    Steering,
    /// Runs migrations and reads the version rows: the user's own settings.
    Migrating,
}

/// What changes the text of a value without changing the value, and what would hide rows or end the session.
///
/// `row_security = off` makes a query fail where it would otherwise return a part of the rows, silently.
pub(super) const PINNED: [(&str, &str); 13] = [
    ("row_security", "off"),
    ("search_path", ""),
    ("client_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("xmloption", "content"),
    ("lc_monetary", "C"),
    ("quote_all_identifiers", "off"),
    ("jit", "off"),
];

/// A server's own limits would end a long snapshot half-way: `pg_dump` switches them off for itself, so do we.
const LIMITS: [(&str, u32); 5] = [
    ("statement_timeout", 0),
    ("lock_timeout", 0),
    ("idle_in_transaction_session_timeout", 0),
    ("idle_session_timeout", 140_000),
    ("transaction_timeout", 170_000),
];

/// One session.
pub(super) struct Session {
    connection: PgConnection,
    /// Which database, for messages.
    place: String,
    /// The server's version as a number: 150018.
    pub(super) version: u32,
    pid: Option<i32>,
    /// What stands between us and the server, if anything does.
    tape: Option<Tape>,
    /// Where it may wait for its next use.
    pub(super) home: Home,
    /// Whether a statement was sent that has not been answered well, yet or at all.
    asking: bool,
    /// Whether another one followed such a statement.
    failed: bool,
}

/// What is asked in a session, for asking it elsewhere, or what was answered there.
enum Tape {
    Recording(Vec<String>),
    Playing(VecDeque<Vec<Row>>),
}

/// One row, every value as text.
#[derive(Clone, Debug)]
pub(super) struct Row(Vec<Option<String>>);

impl Session {
    /// Takes over a new connection.
    pub(super) async fn begin(connection: PgConnection, place: String, home: Home) -> Result<Self, Error> {
        let version = connection.server_version_num().unwrap_or_default();
        let (pid, tape, asking, failed) = (None, None, false, false);
        let mut session = Self { connection, place, version, pid, tape, home, asking, failed };
        if !session.home.has_own_settings() {
            session.set(session.pinned()).await?;
        }
        Ok(session)
    }

    /// Uses again what has waited, under another name. An error means that it is gone meanwhile.
    pub(super) async fn wake(mut self, name: &str, purpose: Purpose) -> Result<Self, Error> {
        self.home.purpose = purpose;
        let mut settings = vec![("application_name", name)];
        if !self.home.has_own_settings() {
            settings.extend(self.pinned());
        }
        self.set(settings).await?;
        Ok(self)
    }

    /// Lets the session wait for its next use. Ends it where a statement failed or was given up half-way, and where a
    /// transaction is open: the caller ends that.
    pub(super) async fn give_back(mut self) {
        let idle = self.home.idle.upgrade();
        // It forgets all that a session can have of its own, the role it acts as among it, and fails in a transaction
        // (https://www.postgresql.org/docs/current/sql-discard.html).
        if self.asking || self.failed || idle.is_none() || self.execute("DISCARD ALL").await.is_err() {
            return self.close().await;
        }
        if let Some(one_too_many) = idle.and_then(|idle| idle.put(self)) {
            one_too_many.close().await;
        }
    }

    fn pinned(&self) -> Vec<(&'static str, &'static str)> {
        let limits = LIMITS.iter().filter(|(_, since)| *since <= self.version).map(|(name, _)| (*name, "0"));
        // Where the user has switched this off, each part of a large table would cost a look at the whole table.
        PINNED.into_iter().chain(limits).chain([("enable_tidscan", "on")]).collect()
    }

    async fn set(&mut self, settings: Vec<(&str, &str)>) -> Result<(), Error> {
        let call = |(name, value): (&str, &str)| {
            format!("pg_catalog.set_config({}, {}, false)", literal(name), literal(value))
        };
        let calls: Vec<String> = settings.into_iter().map(call).collect();
        self.run("setting up a session", &format!("SELECT {}", calls.join(", "))).await
    }

    /// Returns the connection for a statement; when its answer has been read to the end, [`Self::answered`] is told.
    pub(super) fn asking(&mut self) -> &mut PgConnection {
        self.failed |= self.asking;
        self.asking = true;
        &mut self.connection
    }

    /// Says that the last statement did all that was asked.
    pub(super) fn answered(&mut self) {
        self.asking = false;
    }

    /// Runs one statement of ours; `doing` says what for, should it fail.
    pub(super) async fn run(&mut self, doing: &str, sql: &str) -> Result<(), Error> {
        self.execute(sql).await.map(|_| ()).map_err(|error| errors::doing(&error, doing, &self.place))
    }

    /// Runs one statement and leaves its error as the driver reports it; returns the number of rows it affected.
    pub(super) async fn execute(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_string())).execute(self.asking()).await?;
        self.answered();
        Ok(done.rows_affected())
    }

    /// Returns the rows of a query.
    pub(super) async fn rows(&mut self, doing: &str, sql: &str) -> Result<Vec<Row>, Error> {
        match &mut self.tape {
            Some(Tape::Playing(answers)) => {
                let detail = "there is no such answer".to_string();
                return answers.pop_front().ok_or_else(|| Error::Driver { doing: doing.to_string(), detail });
            }
            Some(Tape::Recording(asked)) => asked.push(sql.to_string()),
            None => {}
        }
        self.query(sql).await.map_err(|error| errors::doing(&error, doing, &self.place))
    }

    /// Remembers from here on the queries that are asked.
    pub(super) fn record(&mut self) {
        self.tape = Some(Tape::Recording(Vec::new()));
    }

    /// Returns the queries that were asked meanwhile, and forgets them.
    pub(super) fn recorded(&mut self) -> Vec<String> {
        match self.tape.take() {
            Some(Tape::Recording(asked)) => asked,
            _ => Vec::new(),
        }
    }

    /// Tells whether what is asked is asked elsewhere, too.
    pub(super) fn is_taped(&self) -> bool {
        self.tape.is_some()
    }

    /// Answers the next queries with these rows, whatever they ask.
    pub(super) fn play(&mut self, answers: Vec<Vec<Row>>) {
        self.tape = Some(Tape::Playing(answers.into()));
    }

    /// Returns the rows of a query, and leaves its error as the driver reports it.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Vec<Row>, sqlx::Error> {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_string())).fetch_all(self.asking()).await?;
        self.answered();
        rows.iter().map(Row::read).collect()
    }

    /// Returns the first value of the first row.
    pub(super) async fn value(&mut self, doing: &str, sql: &str) -> Result<Option<String>, Error> {
        Ok(self.rows(doing, sql).await?.into_iter().next().and_then(|row| row.0.into_iter().next().flatten()))
    }

    /// Returns the process id of the server's process behind this session.
    pub(super) async fn pid(&mut self) -> Result<i32, Error> {
        if let Some(pid) = self.pid {
            return Ok(pid);
        }
        let pid = self.ask_for_pid().await?;
        self.pid = Some(pid);
        Ok(pid)
    }

    /// Asks the server once more: behind a pooler the answer can be another one each time.
    pub(super) async fn ask_for_pid(&mut self) -> Result<i32, Error> {
        let text = self.value("asking for the process id", "SELECT pg_catalog.pg_backend_pid()").await?;
        Ok(text.and_then(|text| text.parse().ok()).unwrap_or_default())
    }

    /// Returns the major version: 15.
    pub(super) fn major(&self) -> u32 {
        self.version / 10_000
    }

    /// Ends the session in order; whatever it held is free when the server has read it.
    pub(super) async fn close(self) {
        // A session that cannot say goodbye is ended by the server all the same.
        let _ = self.connection.close().await;
    }

    pub(super) fn failed(&self, error: &sqlx::Error, doing: &str) -> Error {
        errors::doing(error, doing, &self.place)
    }
}

impl Row {
    /// Returns the values of one line of `COPY … TO`, in its text format
    /// (<https://www.postgresql.org/docs/current/sql-copy.html>).
    pub(super) fn of_copy(line: &str) -> Self {
        let value = |text: &str| {
            let mut value = String::with_capacity(text.len());
            let mut characters = text.chars();
            while let Some(next) = characters.next() {
                let next = if next == '\\' {
                    characters.next()
                } else {
                    value.push(next);
                    continue;
                };
                value.push(match next {
                    Some('b') => '\u{8}',
                    Some('f') => '\u{c}',
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    Some('v') => '\u{b}',
                    other => other.unwrap_or('\\'),
                });
            }
            value
        };
        Self(line.split('\t').map(|text| (text != "\\N").then(|| value(text))).collect())
    }

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let values = (0..row.len()).map(|index| row.try_get_unchecked(index));
        Ok(Self(values.collect::<Result<_, _>>()?))
    }

    /// Returns the number of values.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns a value as text; empty for NULL.
    pub(super) fn text(&self, index: usize) -> &str {
        self.maybe(index).unwrap_or_default()
    }

    /// Returns a value, `None` for NULL.
    pub(super) fn maybe(&self, index: usize) -> Option<&str> {
        self.0.get(index)?.as_deref()
    }

    /// Returns a value as text of its own, `None` for NULL and for nothing.
    pub(super) fn filled(&self, index: usize) -> Option<String> {
        self.maybe(index).filter(|text| !text.is_empty()).map(str::to_string)
    }

    pub(super) fn is(&self, index: usize) -> bool {
        self.maybe(index) == Some("t")
    }

    pub(super) fn number<N: std::str::FromStr + Default>(&self, index: usize) -> N {
        self.text(index).parse().unwrap_or_default()
    }
}
