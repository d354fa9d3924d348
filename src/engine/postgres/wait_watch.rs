//! A second session that sees who keeps ours waiting for a lock: when the server has given up on it, nobody says any more
//! who held it.

use super::PostgresDatabase;
use super::blockers::{NAMED, blocker};
use super::session::{Row, Session};
use crate::engine::{Blocker, Error};
use crate::report::Event;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How often it looks at least, and at most: each wait that ends in an error is to be seen several times.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// After how long it is said that something is waited for: a command that does nothing for so long looks as if it hung.
const SILENCE: Duration = Duration::from_secs(3);

/// Who was in the way when it last looked, and when that was.
type Seen = Arc<Mutex<Option<(Instant, Vec<Waiting>)>>>;

/// A session in the way, and the number of the relation that it is about.
struct Waiting {
    blocker: Blocker,
    relation: Option<String>,
}

/// Looks until it is dropped.
pub(super) struct WaitWatch {
    seen: Seen,
    looking: Option<JoinHandle<()>>,
}

impl WaitWatch {
    /// Begins to look at who is in the way of `session`. Where it cannot look, it sees nobody.
    pub(super) async fn begin(database: &PostgresDatabase, session: &mut Session) -> Result<Self, Error> {
        let seen = Seen::default();
        // Nobody but us is in a copy.
        if database.is_copy {
            return Ok(Self { seen, looking: None });
        }
        let pid = session.pid().await?;
        // Without a limit it is waited for as long as it takes.
        let patience = Some(database.options.lock_timeout).filter(|limit| !limit.is_zero());
        let interval = patience.map_or(INTERVALS.1, |limit| (limit / 4).clamp(INTERVALS.0, INTERVALS.1));
        let (server, name) = (database.server.clone(), database.id.name.clone());
        let (application, told) = (database.application(), Arc::clone(&seen));
        let observer = Arc::clone(&database.options.observer);
        let looking = tokio::spawn(async move {
            // What is done before the first look costs the server no second session.
            tokio::time::sleep(interval).await;
            // From another database: in this one a session could itself be in the way.
            let Ok(mut second) = server.open_outside(&name, &application).await else { return };
            let (mut since, mut is_said) = (None, false);
            while let Ok(by) = in_the_way(&mut second, pid).await {
                match by.first() {
                    None => since = None,
                    Some(first) => {
                        let begun: &mut Instant = since.get_or_insert_with(Instant::now);
                        if begun.elapsed() >= SILENCE && !is_said {
                            is_said = true;
                            observer.event(&Event::Note { text: waited_for(&first.blocker, patience) });
                        }
                        remember(&told, by);
                    }
                }
                tokio::time::sleep(interval).await;
            }
        });
        Ok(Self { seen, looking: Some(looking) })
    }

    /// Adds to an error about a lock who held it, if that was seen. To be called when our own transaction has ended.
    pub(super) async fn named(&self, database: &PostgresDatabase, error: Error) -> Error {
        let Error::Busy { place, detail } = error else { return error };
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        // One wait that failed lasted for the whole patience; what was seen before it was another one.
        let patience = database.options.lock_timeout + 2 * INTERVALS.0;
        match seen.filter(|(at, _)| at.elapsed() <= patience) {
            Some((_, waiting)) => Error::Blocked { place, detail, by: database.on_what(waiting).await },
            None => Error::Busy { place, detail },
        }
    }
}

impl Drop for WaitWatch {
    fn drop(&mut self) {
        if let Some(looking) = &self.looking {
            looking.abort();
        }
    }
}

/// Remembers who is in the way. The server is asked twice in one query, and between the two the wait may have ended: what was
/// known of the same session's lock before is not forgotten for that.
fn remember(seen: &Seen, by: Vec<Waiting>) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let process = |by: &[Waiting]| by.first().and_then(|one| one.blocker.process);
    let by = match seen.take() {
        Some((_, before)) if relation_of(&by).is_none() && process(&before) == process(&by) => before,
        _ => by,
    };
    *seen = Some((Instant::now(), by));
}

/// Returns the number of the relation that is waited for: a session waits for one lock at a time.
fn relation_of(by: &[Waiting]) -> Option<&str> {
    by.iter().find_map(|one| one.relation.as_deref())
}

fn waited_for(blocker: &Blocker, patience: Option<Duration>) -> String {
    let limit = patience.map(|limit| format!(", for up to {} s each time", limit.as_secs()));
    format!("waiting for another session{}: {blocker}", limit.unwrap_or_default())
}

/// Asks the server who keeps a session waiting, and for what; nobody when it does not wait.
async fn in_the_way(session: &mut Session, pid: i32) -> Result<Vec<Waiting>, Error> {
    // Who waits for a row waits for the end of another transaction, and has locked the row of its table meanwhile.
    let sql = format!(
        "SELECT b.pid, a.application_name, a.usename, date_trunc('second', a.xact_start), a.state, w.relation, \
         w.relation IS NULL OR w.granted OR EXISTS (SELECT FROM pg_catalog.pg_locks h WHERE h.granted \
         AND h.locktype = 'relation' AND h.relation = w.relation AND h.database = w.database \
         AND h.pid IS NOT DISTINCT FROM nullif(b.pid, 0)) \
         FROM (SELECT DISTINCT unnest(pg_catalog.pg_blocking_pids({pid}))) AS b(pid) \
         LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid \
         LEFT JOIN LATERAL (SELECT l.relation, l.database, l.granted FROM pg_catalog.pg_locks l WHERE l.pid = {pid} \
         AND l.relation IS NOT NULL AND (NOT l.granted OR l.locktype = 'tuple') ORDER BY l.granted LIMIT 1) w ON true \
         ORDER BY 7 DESC, 4 LIMIT {NAMED}"
    );
    let rows = session.rows("asking who is in the way", &sql).await?;
    Ok(rows.iter().map(waiting).collect())
}

fn waiting(row: &Row) -> Waiting {
    Waiting { blocker: blocker(row, "a lock".to_string()), relation: row.filled(5) }
}

impl PostgresDatabase {
    /// Adds the names of the tables that the locks are on, where they can be asked for.
    async fn on_what(&self, waiting: Vec<Waiting>) -> Vec<Blocker> {
        let names = match relation_of(&waiting) {
            Some(relation) => self.table_of(relation).await,
            None => None,
        };
        let on = names.map(|name| format!("a lock on {name}"));
        let named = |one: Waiting| Blocker { lock: on.clone().unwrap_or(one.blocker.lock), ..one.blocker };
        waiting.into_iter().map(named).collect()
    }

    /// Returns the table with this number, or the table of the index.
    async fn table_of(&self, relation: &str) -> Option<String> {
        let mut session = self.reading_session().await.ok()?;
        let sql = format!(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = coalesce((SELECT i.indrelid FROM pg_index i \
             WHERE i.indexrelid = {relation}), {relation})"
        );
        let name = session.value("asking what is locked", &sql).await.ok().flatten();
        session.give_back().await;
        name
    }
}
