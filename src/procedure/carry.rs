//! Work that comes after a commit, which a wish to stop does not end.
//!
//! What is committed stands whether the rest is done or not; what is left out is only what tells where the data is: what it
//! was compared with, what is in conflict, what a later `verify` holds the database against. So the first wish to stop is
//! heard and the work begun again. The second one stops it, and then it is said what stands and what is missing.

use super::restore::Cause;
use super::{Ports, Refusal};
use crate::base::checkpoint;
use crate::report::{Event, Failure};
use crate::{engine, runner, store, tabular};
use std::error::Error as StdError;

/// Does the work, and once more where the first wish to stop has ended it. `what` names it for the reader.
pub(super) async fn to_the_end<T, E: Into<Cause>>(
    ports: &Ports<'_>,
    what: &str,
    work: impl AsyncFn() -> Result<T, E>,
) -> Result<T, Cause> {
    let done: Result<T, Cause> = work().await.map_err(Into::into);
    let is_stopped = done.as_ref().is_err_and(|cause| is_interrupted(&**cause));
    if is_stopped && hears(ports, what) { work().await.map_err(Into::into) } else { done }
}

/// Tells whether work goes on although somebody wishes to stop, which is said: it does for the first time.
pub(super) fn hears(ports: &Ports<'_>, what: &str) -> bool {
    if ports.cancel.wishes() > 1 {
        return false;
    }
    ports.cancel.heard();
    let text = format!("what was changed stands, so {what} is brought to its end; a second signal stops it");
    ports.observer.event(&Event::Note { text });
    checkpoint::reached(&format!("{what} begins again"));
    true
}

/// Says of work that a second wish has stopped what stands (`done`) and what is missing (`left`).
pub(super) fn stopped(failure: Failure, done: &str, left: &str) -> Failure {
    if !is_interrupted(failure.source.as_ref()) {
        return failure;
    }
    let refusal = Refusal::Stopped { done: done.to_string(), left: left.to_string() };
    Failure { source: refusal.into(), ..failure }
}

/// Tells whether a signal or a person is the cause.
pub fn is_interrupted(cause: &(dyn StdError + Send + Sync + 'static)) -> bool {
    let engine = |error: &engine::Error| error.is_interrupted();
    cause.downcast_ref::<engine::Error>().is_some_and(engine)
        || matches!(cause.downcast_ref::<runner::Error>(), Some(runner::Error::Engine(error)) if engine(error))
        || matches!(cause.downcast_ref::<store::Error>(), Some(store::Error::Interrupted))
        || matches!(cause.downcast_ref(), Some(Refusal::NotVerified { .. } | Refusal::Stopped { .. }))
        || matches!(cause.downcast_ref::<tabular::Error>(), Some(tabular::Error::Engine(error)) if engine(error))
}
