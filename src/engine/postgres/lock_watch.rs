//! A second session that looks at the locks of the one that migrates a copy, again and again: what is given up before
//! the commit (by a savepoint, by `CREATE INDEX CONCURRENTLY`, by `VACUUM`) is held by nobody when the script ends.

use super::PostgresDatabase;
use super::effects::{self, Held};
use super::session::Session;
use crate::engine::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// A lock that is held for less is in nobody's way.
const INTERVAL: Duration = Duration::from_millis(5);

/// Looks until it is ended, or dropped.
pub(super) struct LockWatch {
    ends: Arc<AtomicBool>,
    looking: Option<JoinHandle<Held>>,
}

impl LockWatch {
    /// Returns one that sees nothing.
    pub(super) fn none() -> Self {
        Self { ends: Arc::default(), looking: None }
    }

    /// Begins to look at the locks of `session`, from another database: in this one a session could be in the way.
    pub(super) async fn begin(database: &PostgresDatabase, session: &mut Session) -> Result<Self, Error> {
        let (pid, name) = (session.pid().await?, database.id.name.clone());
        let mut second = database.server.open_outside(&name, &database.application()).await?;
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let looking = tokio::spawn(async move {
            let mut seen = Held::new();
            while !told.load(Ordering::Relaxed) {
                // What was seen stays true when the server stops answering.
                let Ok(held) = effects::held_by(&mut second, pid, &name).await else { break };
                seen = effects::stronger(seen, held);
                tokio::time::sleep(INTERVAL).await;
            }
            second.give_back().await;
            seen
        });
        Ok(Self { ends, looking: Some(looking) })
    }

    /// Stops looking, and returns the strongest lock that was seen on each relation.
    pub(super) async fn end(mut self) -> Held {
        self.ends.store(true, Ordering::Relaxed);
        match self.looking.take() {
            Some(looking) => looking.await.unwrap_or_default(),
            None => Held::new(),
        }
    }
}

impl Drop for LockWatch {
    fn drop(&mut self) {
        if let Some(looking) = &self.looking {
            looking.abort();
        }
    }
}
