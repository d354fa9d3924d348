//! Who stands in the way: the sessions whose locks keep a table from being read.

use super::PostgresDatabase;
use super::retry::Retries;
use super::session::{Purpose, Row};
use crate::engine::{Blocker, Error};
use crate::report::Event;

/// How many are named; where more wait behind each other, the first ones are the cause.
pub(super) const NAMED: usize = 3;

impl PostgresDatabase {
    /// Adds to an error about a lock who holds it. Whatever goes wrong meanwhile, the error itself stays.
    pub(super) async fn naming_blockers<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        let (place, detail) = match done {
            Err(Error::Busy { place, detail }) => (place, detail),
            other => return other,
        };
        match self.blockers().await {
            Ok(by) if !by.is_empty() => Err(Error::Blocked { place, detail, by }),
            _ => Err(Error::Busy { place, detail }),
        }
    }

    /// Waits before the next try of what a lock forbade; false when there is none left. Says at the first time who is in the
    /// way and how long it goes on: a command that does nothing for so long looks as if it hung.
    pub(super) async fn try_again(&self, tries: &mut Retries, error: &Error) -> Result<bool, Error> {
        if let Some(outlook) = tries.outlook(self.options.lock_timeout) {
            let text = format!("{}; {outlook}", self.unless_cancelled(self.told(error)).await?);
            self.options.observer.event(&Event::Note { text });
        }
        tries.wait().await
    }

    /// Returns the words of an error about a lock, with who holds it where that can be found out.
    async fn told(&self, error: &Error) -> Result<String, Error> {
        let Error::Busy { place, detail } = error else { return Ok(error.to_string()) };
        let busy = Error::Busy { place: place.clone(), detail: detail.clone() };
        let named: Result<(), Error> = self.naming_blockers(Err(busy)).await;
        Ok(named.err().map_or_else(String::new, |error| error.to_string()))
    }

    /// Returns who holds, or waits for, the one lock that forbids reading; those who hold it first.
    async fn blockers(&self) -> Result<Vec<Blocker>, Error> {
        let mut session = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
        // The catalog itself may be what is locked.
        self.limit_waiting(&mut session).await?;
        // A prepared transaction holds its locks without a process. What others do is hidden from some users: then the
        // time and the state are missing, and the process is told all the same.
        let sql = format!(
            "SELECT l.pid, a.application_name, a.usename, date_trunc('second', a.xact_start), a.state, \
             string_agg(DISTINCT format('%I.%I', n.nspname, c.relname), ', '), bool_or(l.granted) \
             FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid \
             JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
             AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) \
             AND l.pid IS DISTINCT FROM pg_backend_pid() GROUP BY 1, 2, 3, 4, 5 ORDER BY 7 DESC, 4 LIMIT {NAMED}"
        );
        let rows = session.rows("asking who holds the lock", &sql).await?;
        session.give_back().await;
        let named = |row: &Row| blocker(row, format!("the exclusive lock on {}", row.text(5)));
        Ok(rows.iter().map(named).collect())
    }
}

/// Reads who it is: process, application, user, beginning and state; the seventh says whether the lock is held.
pub(super) fn blocker(row: &Row, lock: String) -> Blocker {
    Blocker {
        // Nothing, or zero, stands for a prepared transaction.
        process: row.maybe(0).and_then(|pid| pid.parse().ok()).filter(|pid| *pid != 0),
        application: row.filled(1),
        user: row.filled(2),
        since: row.filled(3),
        state: row.filled(4),
        lock,
        holds: row.is(6),
    }
}
