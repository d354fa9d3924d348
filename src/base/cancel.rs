//! The wish to stop, handed from Ctrl-C, SIGTERM or SIGHUP down to every loop that can take long.
//!
//! Cancelling never aborts anything by itself: the work that is under way looks at the flag (blocking loops)
//! or waits for it (async code) where stopping is safe, and says what state it left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::watch;

/// A flag that can be raised once and observed from many places, by polling or by awaiting.
#[derive(Clone, Debug)]
pub struct Cancel {
    sender: Arc<watch::Sender<bool>>,
    wishes: Arc<AtomicU32>,
}

impl Cancel {
    /// Returns a flag that is not raised.
    pub fn new() -> Self {
        Self { sender: Arc::new(watch::Sender::new(false)), wishes: Arc::default() }
    }

    /// Raises the flag. Raising it twice changes nothing but how often somebody wished to stop.
    pub fn cancel(&self) {
        self.wishes.fetch_add(1, Ordering::SeqCst);
        self.sender.send_replace(true);
    }

    /// Lowers the flag again: the wish was heard, and what remains is to bring the data into a known state. A second
    /// signal raises it once more.
    pub fn heard(&self) {
        self.sender.send_replace(false);
    }

    /// Returns how often somebody wished to stop, heard or not.
    pub fn wishes(&self) -> u32 {
        self.wishes.load(Ordering::SeqCst)
    }

    /// Tells whether the flag is raised. Cheap enough for a row loop that asks every few thousand rows.
    pub fn is_cancelled(&self) -> bool {
        *self.sender.borrow()
    }

    /// Returns as soon as the flag is raised; never, if it is not.
    pub async fn cancelled(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender lives in self, so waiting cannot fail while we are borrowed.
        let _ = receiver.wait_for(|raised| *raised).await;
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

/// Tells whether whoever started this process wants it to outlive the terminal, as nohup(1) does. Listening for the signal
/// would end that, so it is asked before.
pub fn ignores_hangup() -> bool {
    let mut found = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action nothing is changed; the old one is written into `found`, which outlives the call and of
    // which all zeroes are a valid value.
    unsafe {
        libc::sigaction(libc::SIGHUP, std::ptr::null(), found.as_mut_ptr()) == 0
            && found.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn raising_the_flag_wakes_those_who_wait_and_shows_to_those_who_poll() {
        let cancel = Cancel::new();
        let waiting = cancel.clone();
        assert!(!cancel.is_cancelled());
        let waiter = tokio::spawn(async move { waiting.cancelled().await });
        cancel.cancel();
        waiter.await.expect("the waiter ends");
        assert!(cancel.is_cancelled());
    }
}
