//! Several connections that all see one instant of a database.
//!
//! A copy that nobody writes to has one instant only. Of a live database, several read transactions see the same instant
//! if nobody committed between the first and the last of them; `PRAGMA data_version` of one more connection tells.

use super::Site;
use super::session::{Session, open_frozen};
use crate::base::Cancel;
use crate::engine::Error;
use std::path::Path;

/// How often somebody may commit in between before one connection has to do.
const TRIES: usize = 20;

/// Connections with the same view, at least one.
pub(super) struct View {
    sessions: Vec<Session>,
}

impl View {
    /// Looks at a finished copy.
    pub(super) fn of_copy(path: &Path, workers: usize, cancel: &Cancel) -> Result<Self, Error> {
        let sessions = (0..workers.max(1)).map(|_| open_frozen(path, cancel));
        Ok(Self { sessions: sessions.collect::<Result<_, _>>()? })
    }

    /// Looks at the live database, with fewer connections than asked for where somebody commits without a pause.
    pub(super) fn of_live(site: &Site, workers: usize) -> Result<Self, Error> {
        let wal_was_there = site.has_wal();
        let first = site.look_again(wal_was_there)?;
        if workers < 2 || !site.path.exists() {
            first.begin_read()?;
            return Ok(Self { sessions: vec![first] });
        }
        let mut sessions = vec![first];
        for _ in 1..workers {
            sessions.push(site.look_again(wal_was_there)?);
        }
        let witness = site.look_again(wal_was_there)?;
        for _ in 0..TRIES {
            let before: i64 = witness.one("beginning to read", "PRAGMA data_version")?;
            for session in &sessions {
                session.begin_read()?;
            }
            if before == witness.one::<i64>("beginning to read", "PRAGMA data_version")? {
                return Ok(Self { sessions });
            }
            sessions.iter().for_each(Session::end);
        }
        sessions.truncate(1);
        sessions[0].begin_read()?;
        Ok(Self { sessions })
    }

    /// Returns the connection for what is read once.
    pub(super) fn first(&self) -> &Session {
        &self.sessions[0]
    }

    /// Returns all connections, one for each thread.
    pub(super) fn sessions(&mut self) -> &mut [Session] {
        &mut self.sessions
    }

    /// Takes one connection out, if one stays.
    pub(super) fn take_one(&mut self) -> Option<Session> {
        if self.sessions.len() > 1 { self.sessions.pop() } else { None }
    }
}
