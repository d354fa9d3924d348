//! The lock that lets one operation at a time work on a database: a session-level advisory lock on a connection of its
//! own, so that the server frees it whenever we end, however we end.
//!
//! Advisory locks belong to a database's identity number, which the database keeps when it is renamed. A swap puts
//! another database under the name, so the lock is let go before it (a session in the database would forbid the
//! renaming) and taken again on the new one.

use super::names::literal;
use super::session::{Purpose, Session};
use super::{PostgresDatabase, private};
use crate::engine::{DatabaseLock, Error};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// The key of the lock: `ripcord` as bytes, and 1 for "an operation".
const KEY: i64 = i64::from_be_bytes(*b"ripcord\x01");

/// How long a session may take to end whose client has gone: for that moment the lock of an operation that is over, or
/// that has died, is still held.
const LEAVING: Duration = Duration::from_secs(1);

/// The session that holds the lock; empty while a swap is under way.
pub(super) struct Held(Mutex<Option<Locked>>);

struct Locked {
    session: Session,
    /// The server's process behind the session.
    pid: i32,
}

/// What the caller keeps.
struct Guard(#[expect(dead_code, reason = "held until it is dropped")] Arc<Held>);

impl DatabaseLock for Guard {}

impl PostgresDatabase {
    pub(super) async fn take_lock(&self, operation: &str) -> Result<Box<dyn DatabaseLock>, Error> {
        self.set_operation(operation);
        let held = Arc::new(Held(Mutex::new(Some(self.locked_session().await?))));
        // A killed operation leaves its passfile: the next one must not wait for somebody to ask for recovery.
        if let Err(error) = private::sweep(&self.options.work_dir, None) {
            tracing::warn!(%error, "private files of an earlier operation could not be removed");
        }
        *self.lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::downgrade(&held);
        Ok(Box::new(Guard(held)))
    }

    /// Calls our sessions after another operation from here on, that of the lock among them.
    ///
    /// One that waits for its next use gets its name then; until then it does nothing that recovery would have to end.
    pub(super) async fn rename_operation(&self, operation: &str) {
        self.set_operation(operation);
        let Some(held) = self.held() else { return };
        if let Some(locked) = held.0.lock().await.as_mut() {
            let named = format!("SET application_name = {}", literal(&self.application()));
            // It only helps the one who is refused, and a session that has gone is missed where the lock is needed.
            let _ = locked.session.run("naming the session that holds the lock", &named).await;
        }
    }

    /// Opens a session that holds the lock of the database, or of its name while there is no such database.
    async fn locked_session(&self) -> Result<Locked, Error> {
        let mut key = KEY;
        let mut session = match self.server.open(&self.id.name, Purpose::Steering, &self.application()).await
        {
            Ok(session) => session,
            // Not there yet, or barred by an operation that a crash cut short: the lock is on the name.
            Err(Error::NotFound { .. } | Error::Barred { .. }) => {
                key ^= i64::from(name_hash(&self.id.name));
                self.server.open_outside(&self.id.name, &self.application()).await?
            }
            Err(error) => return Err(error),
        };
        let asked = format!("SELECT pg_catalog.pg_try_advisory_lock({key})");
        let begun = Instant::now();
        loop {
            if session.value("taking the lock", &asked).await?.as_deref() == Some("t") {
                let pid = session.pid().await?;
                return Ok(Locked { session, pid });
            }
            if begun.elapsed() > LEAVING {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let holder = self.holder(&mut session, key).await?;
        Err(Error::LockedByOther { place: self.id.to_string(), holder })
    }

    async fn holder(&self, session: &mut Session, key: i64) -> Result<String, Error> {
        let (high, low) = ((key as u64) >> 32, (key as u64) & 0xffff_ffff);
        let rows = session
            .rows(
                "asking who holds the lock",
                &format!(
                    "SELECT a.application_name, l.pid, coalesce(a.client_addr::text, 'this machine'), a.backend_start \
                     FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a USING (pid) \
                     WHERE l.locktype = 'advisory' AND l.granted AND l.classid = {high} AND l.objid = {low} \
                     AND l.objsubid = 1 AND l.database = (SELECT oid FROM pg_catalog.pg_database \
                     WHERE datname = pg_catalog.current_database())"
                ),
            )
            .await?;
        Ok(rows.first().map_or("it has just been freed".to_string(), |row| {
            let name = row.filled(0).unwrap_or_else(|| "a session without a name".to_string());
            format!("{name}, process {} from {}, since {}", row.text(1), row.text(2), row.text(3))
        }))
    }

    /// Lets the lock go for the moment of a swap.
    pub(super) async fn release_lock_for_swap(&self) {
        if let Some(held) = self.held() {
            let locked = held.0.lock().await.take();
            if let Some(locked) = locked {
                locked.session.close().await;
            }
        }
    }

    /// Takes the lock again, on what now has the name.
    pub(super) async fn retake_lock(&self) -> Result<(), Error> {
        if let Some(held) = self.held() {
            *held.0.lock().await = Some(self.locked_session().await?);
        }
        Ok(())
    }

    /// Returns the server's process that holds our own lock, if we hold it.
    pub(super) async fn lock_pid(&self) -> Option<i32> {
        self.held()?.0.lock().await.as_ref().map(|locked| locked.pid)
    }

    fn held(&self) -> Option<Arc<Held>> {
        let held: Weak<Held> = self.lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        held.upgrade()
    }
}

fn name_hash(name: &str) -> u32 {
    // Half of the key stays, so that the two kinds of lock cannot be taken for each other.
    (xxhash_rust::xxh3::xxh3_64(name.as_bytes()) >> 32) as u32
}
