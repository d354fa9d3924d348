//! How far a step is, while it works.

use super::{Amount, Event, Observer, Silent, Step};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A handle for reporting progress of one step, cheap to clone into a worker thread.
#[derive(Clone)]
pub struct Progress {
    observer: Arc<dyn Observer>,
    step: Step,
}

impl Progress {
    pub fn new(observer: Arc<dyn Observer>, step: Step) -> Self {
        Self { observer, step }
    }

    /// A handle that nobody listens to.
    pub fn silent() -> Self {
        Self::new(Arc::new(Silent), Step::Verify)
    }

    /// Reports how far `what` is. Call it every few thousand rows or mebibytes, not for each.
    pub fn at(&self, what: &str, done: Amount, total: Option<Amount>) {
        self.observer.event(&Event::Progress { step: self.step, done, total, what: what.to_string() });
    }

    /// Passes on a plain remark.
    pub fn note(&self, text: impl Into<String>) {
        self.observer.event(&Event::Note { text: text.into() });
    }

    /// Returns a count of bytes out of a total, which reports itself every few mebibytes and at the end.
    pub fn count_bytes(&self, what: &'static str, total: u64) -> ByteCount<'_> {
        ByteCount { progress: self, what, total, done: AtomicU64::new(0) }
    }
}

/// How many bytes of one thing are done, counted by as many threads as work on it.
pub struct ByteCount<'p> {
    progress: &'p Progress,
    what: &'static str,
    total: u64,
    done: AtomicU64,
}

impl ByteCount<'_> {
    /// So many bytes lie between two reports.
    const BETWEEN: u64 = 8 << 20;

    pub fn add(&self, bytes: u64) {
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        let now = before + bytes;
        if before / Self::BETWEEN != now / Self::BETWEEN || now == self.total {
            let amount = |bytes| Amount { rows: 0, bytes };
            self.progress.at(self.what, amount(now), Some(amount(self.total)));
        }
    }
}
