//! Trying again what another session's lock forbade, at times that two waiting programs do not share.

use crate::base::{Cancel, ids};
use crate::engine::Error;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// The tries that are left.
pub(super) struct Retries {
    left: u32,
    done: u32,
    cancel: Cancel,
}

impl Retries {
    pub(super) fn new(left: u32, cancel: &Cancel) -> Self {
        Self { left, done: 0, cancel: cancel.clone() }
    }

    /// Says how long it goes on, each try waiting for a lock this long; only of the first one, and if there is another.
    pub(super) fn outlook(&self, each: Duration) -> Option<String> {
        let pauses = (0..self.left).map(|next| pause(self.done + next, u16::MAX));
        let seconds = pauses.map(|pause| each + pause).sum::<Duration>().as_secs_f64().ceil();
        let times =
            if self.left == 1 { "once more".to_string() } else { format!("up to {} times more", self.left) };
        (self.done == 0 && self.left > 0).then(|| format!("it is tried {times}, for about {seconds} s"))
    }

    /// Waits before the next try; false when there is none left.
    pub(super) async fn wait(&mut self) -> Result<bool, Error> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        let pause = pause(self.done, random());
        self.done += 1;
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(true),
            () = self.cancel.cancelled() => Err(Error::Interrupted),
        }
    }
}

/// Doubles each time up to a limit, between half and one and a half of it.
fn pause(done: u32, random: u16) -> Duration {
    let base = FIRST.saturating_mul(1 << done.min(10)).min(LONGEST);
    base.mul_f64(0.5 + f64::from(random) / f64::from(u16::MAX))
}

fn random() -> u16 {
    u16::from_str_radix(&ids::random_hex(4), 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_differ() {
        assert_eq!(pause(0, 0), FIRST / 2);
        assert!(pause(3, 0) > pause(1, 0));
        assert!(pause(30, u16::MAX) <= LONGEST * 3 / 2);
        assert_ne!(pause(2, 10), pause(2, 40_000));
    }

    #[test]
    fn how_long_it_goes_on_is_said_once() {
        let mut tries = Retries::new(2, &Cancel::new());
        let said = tries.outlook(Duration::from_secs(3));
        assert_eq!(said.as_deref(), Some("it is tried up to 2 times more, for about 7 s"));
        tries.done = 1;
        assert_eq!(tries.outlook(Duration::from_secs(3)), None);
        assert_eq!(Retries::new(0, &Cancel::new()).outlook(Duration::from_secs(3)), None);
    }

    #[tokio::test]
    async fn an_interrupted_wait_is_no_failure_of_the_lock() {
        let cancel = Cancel::new();
        cancel.cancel();
        let waited = Retries::new(3, &cancel).wait().await;
        assert!(matches!(waited, Err(Error::Interrupted)));
        assert!(!Retries::new(0, &cancel).wait().await.expect("none left"));
    }
}
