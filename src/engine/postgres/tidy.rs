//! Finishing or undoing what an operation left behind, from its id, its facts and what exists on the server.

use super::names::{self, literal};
use super::session::Session;
use super::stage::fact;
use super::swap::allow;
use super::{PostgresDatabase, private, restore};
use crate::base::{counted, one_or_more};
use crate::engine::Error;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const DOING: &str = "tidying up";
/// How long sessions may take to end after they were told to.
const LEAVING: Duration = Duration::from_secs(30);

/// What a database looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    Barred,
    Open,
}

impl PostgresDatabase {
    pub(super) async fn tidy_up(
        &self,
        operation: &str,
        facts: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, Error> {
        let mut done = Vec::new();
        let mut outside = self.outside().await?;
        // First of all nothing of the operation may run any more: a statement goes on when its client is killed.
        if self.end_sessions(&mut outside, operation).await? {
            done.push("ended the sessions that the operation had left on the server".to_string());
        }
        if facts.contains_key(fact::LIVE) {
            self.reopen(&mut outside, facts.get(fact::OLD), &mut done).await?;
        }
        for name in [names::side(operation), names::rehearsal(operation), names::scratch(operation)] {
            if drop_if_there(&mut outside, &name).await? {
                done.push(format!("dropped the database {name}"));
            }
        }
        outside.give_back().await;
        let place = &self.options.work_dir;
        let swept = private::sweep(place, Some(operation));
        let swept = swept.map_err(|source| Error::Io { place: place.clone(), doing: "swept", source })?;
        if swept > 0 {
            done.push("removed private files that the operation had left".to_string());
        }
        if self.options.scratch_url.is_some() {
            let names = [names::rehearsal(operation), names::scratch(operation)];
            let elsewhere = self.scratch_server()?;
            elsewhere.forget_all().await;
            let mut elsewhere = elsewhere.open_outside(&names[0], &self.application()).await?;
            for name in names {
                if drop_if_there(&mut elsewhere, &name).await? {
                    done.push(format!("dropped the database {name} at the scratch server"));
                }
            }
            elsewhere.give_back().await;
        }
        Ok(done)
    }

    /// Ends the sessions of an operation and waits until they are gone; tells whether there were any. The session that
    /// holds our own lock may carry the operation's name as well, and stays.
    pub(super) async fn end_sessions(&self, outside: &mut Session, operation: &str) -> Result<bool, Error> {
        self.server.forget_all().await;
        let theirs = format!(
            "FROM pg_stat_activity WHERE application_name = {} AND pid NOT IN (pg_backend_pid(), {})",
            literal(&names::application(operation)),
            self.lock_pid().await.unwrap_or_default()
        );
        let mut any = false;
        let begun = Instant::now();
        loop {
            let ended = outside.rows(DOING, &format!("SELECT pg_terminate_backend(pid) {theirs}")).await?;
            if ended.is_empty() {
                return Ok(any);
            }
            any = true;
            if begun.elapsed() > LEAVING {
                let detail = format!(
                    "{} of operation {operation} {} not end",
                    counted(ended.len() as u64, "session"),
                    one_or_more(ended.len() as u64, "does", "do")
                );
                return Err(Error::Busy { place: self.id.to_string(), detail });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A crash between barring and renaming leaves the live database barred; the renames are one transaction, so
    /// either database that has the name now is whole, and clients may come in.
    async fn reopen(
        &self,
        outside: &mut Session,
        old: Option<&String>,
        done: &mut Vec<String>,
    ) -> Result<(), Error> {
        if state(outside, &self.id.name).await? == State::Barred {
            outside.run(DOING, &allow(&self.id.name, true)).await?;
            // The lock was on the name while the database let nobody in.
            self.retake_lock().await?;
            done.push(format!("let clients connect to {} again", self.id.name));
        }
        let Some(old) = old else { return Ok(()) };
        if state(outside, old).await? != State::Absent {
            done.push(format!("the names were swapped: the database from before is kept as {old}"));
        }
        Ok(())
    }
}

async fn state(outside: &mut Session, database: &str) -> Result<State, Error> {
    let sql = format!("SELECT datallowconn FROM pg_database WHERE datname = {}", literal(database));
    Ok(match outside.value(DOING, &sql).await?.as_deref() {
        None => State::Absent,
        Some("t") => State::Open,
        Some(_) => State::Barred,
    })
}

async fn drop_if_there(outside: &mut Session, name: &str) -> Result<bool, Error> {
    if state(outside, name).await? == State::Absent {
        return Ok(false);
    }
    restore::drop_database(outside, name).await?;
    Ok(true)
}
