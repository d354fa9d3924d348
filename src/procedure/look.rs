//! Looking at the live database after ripcord has written to it, so that what others wrote meanwhile is not laid to ripcord.
//!
//! A look is between two questions: the mark is set before the state that it is compared with was seen, and who wrote is
//! asked when the look is over. Then no commit of somebody else can be in what was seen and not in the answer. One that
//! comes after the look and before the question makes the answer more careful than it need be, never wrong.

use super::Ports;
use super::snapshot::Saved;
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

/// Returns a mark for the question about the look after the next one. As long as nobody has written since `mark` that one
/// does; afterwards its answer is known, and only a new one can tell that nobody wrote from here on.
pub(super) async fn mark_before(ports: &Ports<'_>, mark: &WriteMark) -> Result<WriteMark, Error> {
    match ports.database.others_wrote_since(mark).await {
        Ok(OtherWrites::Nobody) => Ok(mark.clone()),
        _ => ports.database.mark().await,
    }
}
