//! Looking at the live database after ripcord has written to it, so that what others wrote meanwhile is not laid to ripcord.
//!
//! A look is between two questions: the mark is set before the state that it is compared with was seen, and who wrote is
//! asked when the look is over. Then no commit of somebody else can be in what was seen and not in the answer. One that
//! comes after the look and before the question makes the answer more careful than it need be, never wrong.

use super::facts::Done;
use super::restore::Cause;
use super::snapshot::Saved;
use super::{Ports, Refusal, carry};
use crate::base::counted;
use crate::engine::{Error, OtherWrites, WriteMark};
use crate::fingerprint::Inventory;
use crate::journal::Operation;
use crate::report::{Check, Failure, Step};

/// What was seen, and whether anybody else wrote between the mark and the end of the look.
pub(super) struct Looked {
    pub inventory: Inventory,
    pub others: OtherWrites,
}

/// Looks at the database after a change. The mark must be older than whatever the look is compared with.
pub(super) async fn after(
    ports: &Ports<'_>,
    step: Step,
    saved: &Saved,
    mark: &WriteMark,
) -> Result<Looked, Error> {
    let (folder, progress) = (saved.backup.snapshot(), ports.progress(step));
    let inventory = ports.database.inventory_after(&saved.inventory, &folder, &progress).await?;
    let others = ports.database.others_wrote_since(mark).await;
    let others = others.unwrap_or_else(|error| OtherWrites::Unknown(error.to_string()));
    Ok(Looked { inventory, others })
}

/// What a look is called where a wish to stop does not end it.
pub(super) const COMPARING: &str = "the comparison with what was there before";

/// What is missing where the second one did.
pub(super) const NOT_LOOKED_AT: &str = "whether anything else changed was not looked at";

/// The same of a change that stands whatever is seen: only the second wish to stop ends the look.
async fn to_the_end(ports: &Ports<'_>, step: Step, saved: &Saved, mark: &WriteMark) -> Result<Looked, Cause> {
    carry::to_the_end(ports, COMPARING, async || after(ports, step, saved, mark).await).await
}

/// What of the database is put back by something that is no migration, and what is said of it.
pub(super) struct PutBack {
    /// What stands although nobody looked.
    pub done: &'static str,
    /// Why it ends where something else has changed; takes how much.
    pub refusal: fn(usize) -> Refusal,
}

/// Looks, in a step of its own, at what was put back, and holds it against what may have changed.
pub(super) async fn and_judge(
    ports: &Ports<'_>,
    op: &mut Operation,
    (saved, mark): (&Saved, &WriteMark),
    what: PutBack,
    judge: impl Fn(&Inventory, &OtherWrites) -> Check,
) -> Result<(Inventory, Check), Failure> {
    let mut held_against = None;
    let work = async {
        let Looked { inventory: after, others } = to_the_end(ports, Step::Verify, saved, mark).await?;
        let check = judge(&after, &others);
        match check.wrong.len() {
            0 => {
                let facts = format!("{} as expected", counted(check.comparison.tables.len() as u64, "table"));
                Ok(Done { what: (after, check), facts })
            }
            count => {
                held_against = Some(Box::new(check));
                Err(Cause::from((what.refusal)(count)))
            }
        }
    };
    match op.step(Step::Verify, work).await {
        Ok(done) => Ok(done.what),
        Err(failure) => {
            // First what differs now from what there was before.
            let next =
                vec!["ripcord verify".to_string(), format!("ripcord restore {}", saved.backup.manifest.id)];
            let failure = carry::stopped(failure, what.done, NOT_LOOKED_AT);
            Err(Failure { check: held_against, next, ..failure })
        }
    }
}

/// Returns a mark for the question about the look after the next one. As long as nobody has written since `mark` that one
/// does; afterwards its answer is known, and only a new one can tell that nobody wrote from here on.
pub(super) async fn mark_before(ports: &Ports<'_>, mark: &WriteMark) -> Result<WriteMark, Error> {
    match ports.database.others_wrote_since(mark).await {
        Ok(OtherWrites::Nobody) => Ok(mark.clone()),
        _ => ports.database.mark().await,
    }
}
