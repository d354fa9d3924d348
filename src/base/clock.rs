//! The one door to the time of day.
#![expect(clippy::disallowed_methods, reason = "this module owns the power to ask for the time")]

use chrono::{DateTime, SubsecRound, Utc};

/// Tells the time, in UTC, to the second.
pub trait Clock: Send + Sync {
    /// Returns the present moment in UTC, truncated to whole seconds: what journals, names and manifests hold.
    fn now(&self) -> DateTime<Utc>;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(0)
    }
}

/// A clock that stands still, for tests (`RIPCORD_CLOCK`).
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(pub DateTime<Utc>);

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}
