//! The wish to stop, handed from Ctrl-C or SIGTERM down to every loop that can take long.
//!
//! Cancelling never aborts anything by itself: the work that is under way looks at the flag (blocking loops)
//! or waits for it (async code) where stopping is safe, and says what state it left behind.

use std::sync::Arc;
use tokio::sync::watch;

/// A flag that can be raised once and observed from many places, by polling or by awaiting.
#[derive(Clone, Debug)]
pub struct Cancel {
    sender: Arc<watch::Sender<bool>>,
}

impl Cancel {
    /// Returns a flag that is not raised.
    pub fn new() -> Self {
        Self { sender: Arc::new(watch::Sender::new(false)) }
    }

    /// Raises the flag. Raising it twice changes nothing.
    pub fn cancel(&self) {
        self.sender.send_replace(true);
    }

    /// Lowers the flag again: the wish was heard, and what remains is to bring the data into a known state. A second
    /// signal raises it once more.
    pub fn heard(&self) {
        self.sender.send_replace(false);
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
