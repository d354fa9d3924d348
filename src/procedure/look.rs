//! Looking at the live database after ripcord has written to it, so that what others wrote meanwhile is not laid to ripcord.
//!
//! A look is between two questions: the mark is set before the state that it is compared with was seen, and who wrote is
//! asked when the look is over. Then no commit of somebody else can be in what was seen and not in the answer. One that
//! comes after the look and before the question makes the answer more careful than it need be, never wrong.

use super::restore::Cause;
use super::snapshot::Saved;
use super::{Ports, carry};
use crate::engine::{Error, OtherWrites, WriteMark};
use crate::fingerprint::Inventory;
use crate::report::Step;

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
pub(super) async fn to_the_end(
    ports: &Ports<'_>,
    step: Step,
    saved: &Saved,
    mark: &WriteMark,
) -> Result<Looked, Cause> {
    carry::to_the_end(ports, COMPARING, async || after(ports, step, saved, mark).await).await
}

/// Returns a mark for the question about the look after the next one. As long as nobody has written since `mark` that one
/// does; afterwards its answer is known, and only a new one can tell that nobody wrote from here on.
pub(super) async fn mark_before(ports: &Ports<'_>, mark: &WriteMark) -> Result<WriteMark, Error> {
    match ports.database.others_wrote_since(mark).await {
        Ok(OtherWrites::Nobody) => Ok(mark.clone()),
        _ => ports.database.mark().await,
    }
}
