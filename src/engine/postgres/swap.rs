//! Putting a staged database in the place of the live one: two renames in one transaction, while nobody is connected.

use super::names::{self, identifier, literal};
use super::session::{Purpose, Session};
use super::stage::fact;
use super::writes::{Before, Present};
use super::{PostgresDatabase, errors};
use crate::base::{checkpoint, counted, one_or_more, shell_word};
use crate::engine::{Error, Staged, Swapped};
use crate::journal::ScriptLog;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long sessions may take to end after they were told to.
const LEAVING: Duration = Duration::from_secs(10);
const DOING: &str = "swapping the databases";

/// What is ready before clients are barred.
struct Bar {
    outside: Session,
    /// The server's process behind it.
    pid: i32,
    /// The name under which the live database is going to be kept.
    old: String,
    watcher: Option<Watcher>,
}

/// A session of ours in the live database that outlasts all others.
struct Watcher {
    session: Session,
    pid: i32,
    since: Since,
}

/// Since when it is looked what others wrote.
enum Since {
    /// The present state was saved: what came later is kept with the old database, and is told.
    Saved(Arc<Present>),
    /// Nobody saved it, so nothing may have come later.
    Proven(Arc<Before>),
}

impl PostgresDatabase {
    pub(super) async fn swap_staged(
        &self,
        staged: &Staged,
        operation: &str,
        log: &ScriptLog,
    ) -> Result<Swapped, Error> {
        if !staged.differences.is_empty() {
            let why = format!("it differs from the snapshot: {}", staged.differences.join("; "));
            let what = "putting the restored database in place".to_string();
            return Err(Error::Unsupported { what, why }.not_begun());
        }
        match staged.facts.get(fact::WAY).map(String::as_str) {
            Some("in-place") => self.restore_in_place(staged, log).await,
            Some("new") => self.name_the_new(staged, log).await,
            _ => self.swap_names(staged, operation, log).await,
        }
    }

    async fn name_the_new(&self, staged: &Staged, log: &ScriptLog) -> Result<Swapped, Error> {
        let ready = async {
            let mut outside = self.outside().await?;
            self.write_facts(&staged.place, None, log)?;
            self.empty_of_sessions(&mut outside, &staged.place).await?;
            Ok(outside)
        };
        let mut outside = ready.await.map_err(Error::not_begun)?;
        let rename = rename(&staged.place, &self.id.name);
        outside.execute(&rename).await.map_err(|error| {
            if errors::is(&error, errors::code::DUPLICATE_DATABASE) {
                return Error::Exists { place: self.id.to_string() }.not_begun();
            }
            let failed = outside.failed(&error, DOING);
            // What the server refused, it did not do; a connection that broke leaves it open.
            if errors::server_error(&error).is_some() { failed.not_begun() } else { failed }
        })?;
        checkpoint::reached("the new database has its name");
        outside.close().await;
        let mut notes = self.unsaid(staged);
        notes.extend(self.lock_again().await);
        Ok(Swapped { kept: None, barred: Duration::ZERO, notes })
    }

    async fn swap_names(&self, staged: &Staged, operation: &str, log: &ScriptLog) -> Result<Swapped, Error> {
        let ready = self.ready_to_bar(staged, operation, log);
        let Bar { mut outside, pid, old, watcher } = ready.await.map_err(Error::not_begun)?;
        self.release_lock_for_swap().await;
        let begun = Instant::now();
        let swapped = self.bar_and_rename(&mut outside, &staged.place, &old, watcher).await;
        let barred = begun.elapsed();
        outside.close().await;
        let written = match swapped {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "the swap did not go through, looking which database is live");
                if !self.was_renamed(&old, pid).await? {
                    // Should somebody else have the lock meanwhile, the first error is still the news.
                    self.lock_again().await;
                    return Err(error.not_begun());
                }
                0
            }
        };
        let mut notes = self.unsaid(staged);
        notes.extend(self.lock_again().await);
        if written > 0 {
            notes.push(format!(
                "up to {} may have been written after the present state was saved and before clients were barred; \
                 such rows are in {old} only",
                counted(written, "row")
            ));
        }
        // A client that still has the old name must not write into it by mistake, so somebody has to open it on purpose.
        notes.push(format!(
            "it lets nobody in; to look into it, first: {}; then: psql -d {}",
            allow(&old, true),
            shell_word(&old)
        ));
        notes.push(format!("drop it when it is no longer needed: DROP DATABASE {}", identifier(&old)));
        Ok(Swapped { kept: Some(old), barred, notes })
    }

    /// Prepares everything for the moment in which clients are barred; the last of it is a line in the journal.
    async fn ready_to_bar(&self, staged: &Staged, operation: &str, log: &ScriptLog) -> Result<Bar, Error> {
        let mut outside = self.outside().await?;
        let pid = outside.pid().await?;
        // While clients are barred, nobody else's lock is waited for longer than configured.
        self.limit_waiting(&mut outside).await?;
        let old = self.free_name(&mut outside, operation).await?;
        self.refuse_what_stays_behind(&mut outside).await?;
        self.refuse_who_stays(&mut outside).await?;
        let watcher = self.watcher().await?;
        // From here on recovery must know: a barred database is an outage that only the journal can explain.
        self.write_facts(&staged.place, Some(&old), log)?;
        Ok(Bar { outside, pid, old, watcher })
    }

    /// Finds out on which side of the renames we are after an error, and lets clients in again if it is the first one.
    ///
    /// The connection may have broken at the commit, so the session is ended first: until it is gone, its answer may
    /// still change.
    async fn was_renamed(&self, old: &str, pid: i32) -> Result<bool, Error> {
        // Should another server have taken over, a session that has waited would be of the one before.
        self.server.forget_all().await;
        let mut outside = self.reach_again().await?;
        // Whoever holds one of the names back holds clients out; better to say so than to wait for him without end.
        outside.run(DOING, &format!("SET lock_timeout = {}", LEAVING.as_millis())).await?;
        // The name beside the number: after a restart of the server it may be somebody else's.
        let gone = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = {pid} AND application_name = {}",
            literal(&self.application())
        );
        let begun = Instant::now();
        while !outside.rows(DOING, &gone).await?.is_empty() {
            if begun.elapsed() > LEAVING {
                let detail = format!("the session of process {pid} does not end");
                return Err(Error::Busy { place: self.id.to_string(), detail });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let renamed = outside.value(DOING, &taken(old)).await?.is_some();
        if !renamed {
            // What is live under the name is what was live before.
            outside.run(DOING, &allow(&self.id.name, true)).await?;
        }
        outside.close().await;
        Ok(renamed)
    }

    /// Opens a session outside, and tries for a while: nobody gets in as long as we do not, and a server that starts
    /// again needs a moment.
    async fn reach_again(&self) -> Result<Session, Error> {
        let begun = Instant::now();
        loop {
            match self.outside().await {
                Err(error) if begun.elapsed() > LEAVING => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                reached => return reached,
            }
        }
    }

    /// Takes the lock on what now has the name; returns a remark where somebody else was quicker. What was done is
    /// done, so it is no error.
    async fn lock_again(&self) -> Option<String> {
        let error = self.retake_lock().await.err()?;
        Some(format!("the lock could not be taken again after the swap: {error}"))
    }

    /// Opens the session that is going to look, when nobody else is left, what was written meanwhile: nobody can connect
    /// by then. Without a backup of the present state the swap depends on it, else only a remark.
    async fn watcher(&self) -> Result<Option<Watcher>, Error> {
        let since = match (self.present(), self.guard()) {
            (Some(present), _) => Since::Saved(present),
            (None, Some(guard)) => Since::Proven(guard),
            (None, None) => return Ok(None),
        };
        let open = async {
            let mut session = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
            let pid = session.pid().await?;
            Ok((session, pid))
        };
        match (open.await, since) {
            (Ok((session, pid)), since) => Ok(Some(Watcher { session, pid, since })),
            (Err(_), Since::Saved(_)) => Ok(None),
            (Err(error), Since::Proven(_)) => Err(error),
        }
    }

    /// What is still missing from the new database, and who has to say it; it was built under another name.
    fn unsaid(&self, staged: &Staged) -> Vec<String> {
        let missing = staged.facts.get(fact::MISSING);
        let mut notes: Vec<String> = missing
            .map(|roles| format!("owners and grants were left out: the server lacks the roles {roles}"))
            .into_iter()
            .collect();
        if let Some(unsaid) = staged.facts.get(fact::UNSAID) {
            let said = unsaid.replace(&identifier(&staged.place), &identifier(&self.id.name));
            notes.push(format!("a role with more rights must still run: {said}"));
        }
        notes
    }

    /// Returns the name for the database that is live now; one that an earlier swap of this operation kept stays.
    async fn free_name(&self, outside: &mut Session, operation: &str) -> Result<String, Error> {
        let mut attempt = 1;
        loop {
            let name = names::old(&self.id.name, operation, attempt);
            if outside.value(DOING, &taken(&name)).await?.is_none() {
                return Ok(name);
            }
            attempt += 1;
        }
    }

    /// Returns about how many rows were written between the saving of the present state and the bar.
    async fn bar_and_rename(
        &self,
        outside: &mut Session,
        side: &str,
        old: &str,
        watcher: Option<Watcher>,
    ) -> Result<u64, Error> {
        checkpoint::reached("before the live database is barred");
        outside.run(DOING, &allow(&self.id.name, false)).await?;
        checkpoint::reached("the live database is barred");
        let mut written = 0;
        if let Some(mut watcher) = watcher {
            self.end_sessions_but(outside, &self.id.name, watcher.pid).await?;
            written = match &watcher.since {
                Since::Saved(present) => {
                    present.written_since(&mut watcher.session).await.unwrap_or_default()
                }
                Since::Proven(guard) => {
                    if guard.written_since(&mut watcher.session).await? > 0 {
                        return Err(self.wrote_meanwhile());
                    }
                    0
                }
            };
            watcher.session.close().await;
        }
        self.empty_of_sessions(outside, &self.id.name).await?;
        self.empty_of_sessions(outside, side).await?;
        checkpoint::reached("the live database is barred and empty of sessions");
        // One transaction: at no moment is there no database of this name.
        outside.run(DOING, "BEGIN").await?;
        let renamed = async {
            outside.run(DOING, &rename(&self.id.name, old)).await?;
            outside.run(DOING, &rename(side, &self.id.name)).await?;
            checkpoint::reached("before the commit of the renames");
            outside.run(DOING, "COMMIT").await
        };
        let renamed = renamed.await;
        match renamed {
            Ok(()) => {
                checkpoint::reached("the names are swapped");
                Ok(written)
            }
            Err(error) => {
                let _ = outside.run(DOING, "ROLLBACK").await;
                Err(error)
            }
        }
    }

    fn write_facts(&self, side: &str, old: Option<&str>, log: &ScriptLog) -> Result<(), Error> {
        log.fact(fact::SIDE, side)?;
        log.fact(fact::LIVE, &self.id.name)?;
        if let Some(old) = old {
            log.fact(fact::OLD, old)?;
        }
        Ok(())
    }

    /// Ends the sessions of a database until none is left.
    pub(super) async fn empty_of_sessions(&self, outside: &mut Session, database: &str) -> Result<(), Error> {
        // No session has this number.
        self.end_sessions_but(outside, database, 0).await
    }

    async fn end_sessions_but(&self, outside: &mut Session, database: &str, stays: i32) -> Result<(), Error> {
        self.server.forget(database).await;
        // Autovacuum has no user. Few users may end it, and the renaming does so by itself.
        let these = format!(
            "FROM pg_stat_activity WHERE datname = {} AND pid <> {stays} AND usesysid IS NOT NULL",
            literal(database)
        );
        let end = format!("SELECT pg_terminate_backend(pid) {these} AND pid <> pg_backend_pid()");
        let left = format!("SELECT count(*) {these}");
        let begun = Instant::now();
        loop {
            outside.rows("ending the sessions of the database", &end).await?;
            let count = outside.value("counting the sessions of the database", &left).await?;
            if count.as_deref() == Some("0") {
                return Ok(());
            }
            if begun.elapsed() > LEAVING {
                let count = count.and_then(|count| count.parse().ok()).unwrap_or_default();
                let verb = one_or_more(count, "does", "do");
                let detail = format!("{} {verb} not end", counted(count, "session"));
                return Err(Error::Busy { place: database.to_string(), detail });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Refuses a swap that would leave something with the old database: prepared transactions forbid the renaming,
    /// logical slots and subscriptions would go on with the old one, silently.
    async fn refuse_what_stays_behind(&self, outside: &mut Session) -> Result<(), Error> {
        let name = literal(&self.id.name);
        let sql = format!(
            "SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts WHERE database = {name} UNION ALL \
             SELECT 'logical replication slot ' || slot_name FROM pg_replication_slots WHERE database = {name} \
             UNION ALL SELECT 'subscription ' || s.subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid \
             WHERE d.datname = {name}"
        );
        let found = outside.rows("looking for what a swap would leave behind", &sql).await?;
        let Some(first) = found.first() else { return Ok(()) };
        Err(Error::Unsupported {
            what: "swapping the databases".to_string(),
            why: format!("{} belongs to the live one", first.text(0)),
        })
    }
}

pub(super) fn allow(database: &str, yes: bool) -> String {
    format!("ALTER DATABASE {} ALLOW_CONNECTIONS {yes}", identifier(database))
}

fn taken(database: &str) -> String {
    format!("SELECT 1 FROM pg_database WHERE datname = {}", literal(database))
}

fn rename(from: &str, to: &str) -> String {
    format!("ALTER DATABASE {} RENAME TO {}", identifier(from), identifier(to))
}
