//! Shares work between the threads that read one database.
//!
//! Promises that work is shared out to the end, however unevenly it is spread: a worker that has a range of rows looks
//! whether others are idle, and then gives half of what is left of it away. Ends all workers at the first error.

use crate::engine::Error;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The jobs that wait, and who works.
pub(super) struct Board<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
    idle: AtomicUsize,
    stopped: AtomicBool,
}

struct State<J> {
    waiting: VecDeque<J>,
    working: usize,
    error: Option<Error>,
}

impl<J> Board<J> {
    /// Returns a board with these jobs; the first is taken first.
    pub(super) fn new(jobs: impl IntoIterator<Item = J>) -> Self {
        let state = State { waiting: jobs.into_iter().collect(), working: 0, error: None };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            idle: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    /// Does jobs until there are none left and nobody works on one that could give rise to more.
    pub(super) fn work(&self, mut job: impl FnMut(J) -> Result<(), Error>) {
        while let Some(next) = self.take() {
            let outcome = job(next);
            let mut state = self.lock();
            state.working -= 1;
            if let Err(error) = outcome {
                self.stopped.store(true, Ordering::Relaxed);
                state.error.get_or_insert(error);
                state.waiting.clear();
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Tells whether somebody waits for work that is not there.
    pub(super) fn is_anybody_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed) > 0
    }

    /// Tells whether another worker failed, so that going on is in vain.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Adds a job: a part of the one that the caller works on.
    pub(super) fn add(&self, job: J) {
        let mut state = self.lock();
        if state.error.is_none() {
            state.waiting.push_back(job);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Returns the first error, when all workers have ended.
    pub(super) fn outcome(self) -> Result<(), Error> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.error.map_or(Ok(()), Err)
    }

    fn take(&self) -> Option<J> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                state.working += 1;
                return Some(job);
            }
            if state.working == 0 {
                return None;
            }
            self.idle.fetch_add(1, Ordering::Relaxed);
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            self.idle.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // A worker that panicked ends the whole scope; until then the state is whole: it changes between jobs only.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
