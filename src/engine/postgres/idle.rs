//! Sessions that wait for their next use: one more costs the server a process, which knows nothing of the database yet,
//! and a client behind TLS several round trips.
//!
//! What waits is clean: outside of any transaction, without settings, locks or temporary tables. So it is in nobody's way,
//! but for one thing: it counts as connected. Whoever drops, renames, bars or copies a database, or counts who is in it,
//! has those in it ended first ([`super::server::Server::forget`]).

use super::session::{Purpose, Session};
use std::sync::{Mutex, PoisonError, Weak};

/// Whoever creates a database copies this one, and has to be alone in it.
const COPIED_BY_ALL: &str = "template1";

/// Those of one server, at most one for each database and kind of settings.
#[derive(Default)]
pub(super) struct Idle(Mutex<Vec<Session>>);

/// Where a session may wait.
pub(super) struct Home {
    pub(super) idle: Weak<Idle>,
    pub(super) database: String,
    pub(super) purpose: Purpose,
}

impl Home {
    /// Tells whether the settings of the session are the user's own, as the server gave them when it began.
    pub(super) fn has_own_settings(&self) -> bool {
        self.purpose == Purpose::Migrating
    }
}

impl Idle {
    /// Returns one that waits in a database and can be used for this purpose.
    pub(super) fn take(&self, database: &str, purpose: Purpose) -> Option<Session> {
        let mut waiting = self.waiting();
        let own = purpose == Purpose::Migrating;
        let place = waiting.iter().position(|session| {
            session.home.database == database && session.home.has_own_settings() == own
        })?;
        Some(waiting.swap_remove(place))
    }

    /// Lets a clean session wait; returns it where it may not, or where another one does already.
    pub(super) fn put(&self, session: Session) -> Option<Session> {
        let home = &session.home;
        if home.database == COPIED_BY_ALL {
            return Some(session);
        }
        let mut waiting = self.waiting();
        let own = home.has_own_settings();
        let same =
            |other: &Session| other.home.database == home.database && other.home.has_own_settings() == own;
        if waiting.iter().any(same) {
            return Some(session);
        }
        waiting.push(session);
        None
    }

    /// Returns those for which this is true; they wait no longer.
    pub(super) fn remove(&self, is_one: impl Fn(&Home) -> bool) -> Vec<Session> {
        self.waiting().extract_if(.., |session| is_one(&session.home)).collect()
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
