//! Several connections that all see one instant of a database.
//!
//! A copy that nobody writes to has one instant only. Of a live database, several read transactions see the same instant
//! if nobody committed between the first and the last of them; `PRAGMA data_version` of one more connection tells.

use super::Site;
use super::session::{Session, open_frozen};
use super::wal::WalState;
use crate::base::Cancel;
use crate::engine::Error;
use std::path::Path;

/// How often somebody may commit in between before one connection has to do.
const TRIES: usize = 20;

/// Connections with the same view, at least one.
pub(super) struct View {
    sessions: Vec<Session>,
    wal: Option<WalState>,
}

/// What changes whenever somebody commits.
#[derive(PartialEq, Eq)]
struct Moment {
    version: i64,
    wal: Option<WalState>,
}

impl Moment {
    fn of(witness: &Session, is_wal: bool) -> Result<Self, Error> {
        let version = witness.one("beginning to read", "PRAGMA data_version")?;
        Ok(Self { version, wal: if is_wal { WalState::read(witness) } else { None } })
    }
}

impl View {
    /// Looks at a finished copy.
    pub(super) fn of_copy(path: &Path, workers: usize, cancel: &Cancel) -> Result<Self, Error> {
        let sessions = (0..workers.max(1)).map(|_| open_frozen(path, cancel));
        Ok(Self { sessions: sessions.collect::<Result<_, _>>()?, wal: None })
    }

    /// Looks through a connection that sees one instant already.
    pub(super) fn of_session(session: Session) -> Self {
        Self { sessions: vec![session], wal: None }
    }

    /// Looks at the live database, with fewer connections than asked for where somebody commits without a pause.
    pub(super) fn of_live(site: &Site, workers: usize) -> Result<Self, Error> {
        let wal_was_there = site.has_wal();
        let mut sessions = vec![site.look_again(wal_was_there)?];
        let is_wal = sessions[0].pragma("journal_mode")? == "wal";
        if site.path.exists() && (is_wal || workers > 1) {
            for _ in 1..workers {
                sessions.push(site.look_again(wal_was_there)?);
            }
            let witness = site.look_again(wal_was_there)?;
            for _ in 0..TRIES {
                let before = Moment::of(&witness, is_wal)?;
                for session in &sessions {
                    session.begin_read()?;
                }
                if before == Moment::of(&witness, is_wal)? {
                    return Ok(Self { sessions, wal: before.wal });
                }
                sessions.iter().for_each(Session::end);
            }
            sessions.truncate(1);
        }
        sessions[0].begin_read()?;
        Ok(Self { sessions, wal: None })
    }

    /// Returns the state of the WAL that all connections see, when the database has one and its state is known.
    pub(super) fn wal(&self) -> Option<WalState> {
        self.wal
    }

    /// Returns the connection for what is read once.
    pub(super) fn first(&self) -> &Session {
        &self.sessions[0]
    }

    /// Returns all connections, one for each thread.
    pub(super) fn sessions(&mut self) -> &mut [Session] {
        &mut self.sessions
    }
}
