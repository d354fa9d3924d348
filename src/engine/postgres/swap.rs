//! Putting a staged database in the place of the live one: two renames in one transaction, while nobody is connected.

use super::names::{self, identifier, literal};
use super::session::{Purpose, Session};
use super::stage::fact;
use super::writes::Present;
use super::{PostgresDatabase, errors};
use crate::base::checkpoint;
use crate::engine::{Error, Staged, Swapped};
use crate::journal::ScriptLog;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long sessions may take to end after they were told to.
const LEAVING: Duration = Duration::from_secs(10);
const DOING: &str = "swapping the databases";

/// A session of ours in the live database that outlasts all others.
struct Watcher {
    session: Session,
    pid: i32,
    present: Arc<Present>,
}

impl PostgresDatabase {
    pub(super) async fn swap_staged(
        &self,
        staged: &Staged,
        operation: &str,
        log: &ScriptLog,
    ) -> Result<Swapped, Error> {
        if !staged.differences.is_empty() {
            return Err(Error::Unsupported {
                what: "putting the restored database in place".to_string(),
                why: format!("it differs from the snapshot: {}", staged.differences.join("; ")),
            });
        }
        match staged.facts.get(fact::WAY).map(String::as_str) {
            Some("in-place") => self.restore_in_place(staged, log).await,
            Some("new") => self.name_the_new(staged, log).await,
            _ => self.swap_names(staged, operation, log).await,
        }
    }

    async fn name_the_new(&self, staged: &Staged, log: &ScriptLog) -> Result<Swapped, Error> {
        let mut outside = self.outside().await?;
        self.write_facts(&staged.place, None, log)?;
        self.empty_of_sessions(&mut outside, &staged.place).await?;
        let rename = rename(&staged.place, &self.id.name);
        outside.execute(&rename).await.map_err(|error| {
            if errors::is(&error, errors::code::DUPLICATE_DATABASE) {
                return Error::Exists { place: self.id.to_string() };
            }
            outside.failed(&error, DOING)
        })?;
        checkpoint::reached("the new database has its name");
        outside.close().await;
        self.retake_lock().await?;
        Ok(Swapped { kept: None, barred: Duration::ZERO, notes: self.unsaid(staged) })
    }

    async fn swap_names(&self, staged: &Staged, operation: &str, log: &ScriptLog) -> Result<Swapped, Error> {
        let mut outside = self.outside().await?;
        let old = self.free_name(&mut outside, operation).await?;
        self.refuse_what_stays_behind(&mut outside).await?;
        let watcher = self.watcher().await;
        // From here on recovery must know: a barred database is an outage that only the journal can explain.
        self.write_facts(&staged.place, Some(&old), log)?;
        self.release_lock_for_swap().await;
        let begun = Instant::now();
        let swapped = self.bar_and_rename(&mut outside, &staged.place, &old, watcher).await;
        let barred = begun.elapsed();
        outside.close().await;
        let mut written = 0;
        match swapped {
            Ok(rows) => written = rows,
            Err(error) => {
                // The connection may have broken at the commit, so the server is asked which side of it we are on.
                let mut outside = self.outside().await?;
                let renamed = outside.value(DOING, &taken(&old)).await?.is_some();
                if !renamed {
                    // What is live under the name is what was live before: let clients in again.
                    outside.run(DOING, &allow(&self.id.name, true)).await?;
                    self.retake_lock().await?;
                    return Err(error);
                }
                outside.close().await;
            }
        }
        self.retake_lock().await?;
        let mut notes = self.unsaid(staged);
        if written > 0 {
            notes.push(format!(
                "up to {written} rows were written after the present state was saved and before clients were barred; \
                 they are in {old} only"
            ));
        }
        notes.push(format!("drop it when it is no longer needed: DROP DATABASE {}", identifier(&old)));
        Ok(Swapped { kept: Some(old), barred, notes })
    }

    /// Opens the session that is going to look, when nobody else is left, what was written since the present state was
    /// saved: nobody can connect by then.
    async fn watcher(&self) -> Option<Watcher> {
        let present = self.present()?;
        // Only a note depends on it, and a restore is wanted.
        let opened = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await;
        let mut session = opened.ok()?;
        let pid = session.pid().await.ok()?;
        Some(Watcher { session, pid, present })
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
            written = watcher.present.written_since(&mut watcher.session).await.unwrap_or_default();
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
    async fn empty_of_sessions(&self, outside: &mut Session, database: &str) -> Result<(), Error> {
        // No session has this number.
        self.end_sessions_but(outside, database, 0).await
    }

    async fn end_sessions_but(&self, outside: &mut Session, database: &str, stays: i32) -> Result<(), Error> {
        let these = format!("FROM pg_stat_activity WHERE datname = {} AND pid <> {stays}", literal(database));
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
                let detail = format!("{} sessions do not end", count.unwrap_or_default());
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
