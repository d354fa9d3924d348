//! Comparing what is there with what should be there.

mod present_names;

use super::rehearse::Rehearsal;
use super::snapshot::{Saved, read_inventory};
use super::{Circumstances, Ports, judge, look, refused, restore};
use crate::base::counted;
use crate::catalog::{TableName, diff};
use crate::engine::{Applied, OtherWrites, WriteMark};
use crate::fingerprint::{Inventory, TableVerdict, compare};
use crate::history::Direction;
use crate::journal::Facts;
use crate::plan::Plan;
use crate::report::{Check, Failure, Step, Wrong};
use crate::store::{Backup, Listed};
use std::borrow::Cow;

/// The database after a change, and what verification says of it.
pub(super) struct Verified {
    pub after: Inventory,
    pub check: Check,
    /// Whether others wrote since the snapshot.
    pub others: OtherWrites,
    /// A mark from before the look, for what is done and looked at next.
    pub mark: WriteMark,
}

impl Facts for Verified {
    fn facts(&self) -> String {
        match self.check.wrong.len() {
            0 => format!("{} as expected", counted(self.check.comparison.tables.len() as u64, "table")),
            count => format!("{} that no migration explains", counted(count as u64, "difference")),
        }
    }
}

/// Verifies a migration that has just run; `mark` is from before the snapshot.
pub(super) async fn after(
    ports: &Ports<'_>,
    plan: &Plan,
    saved: &Saved,
    applied: &Applied,
    mark: &WriteMark,
) -> Result<Verified, crate::engine::Error> {
    let next = match plan.direction {
        // Nothing is written after it.
        Direction::Up => mark.clone(),
        Direction::Down => look::mark_before(ports, mark).await?,
    };
    let look::Looked { inventory: after, others } = look::after(ports, Step::Verify, saved, mark).await?;
    let rows = ports.database.version_rows().await?;
    let around = Circumstances {
        touches: &plan.touches(),
        applied,
        others: &others,
        rows_expected: &plan.to,
        rows_found: &rows,
        rehearsed: saved.rehearsal.as_ref().map(Rehearsal::as_rehearsed),
    };
    let check = judge(&saved.inventory, &after, &around);
    Ok(Verified { after, check, others, mark: next })
}

/// With what a database is compared.
#[derive(Clone, Debug)]
pub enum Against {
    /// The state in this backup's snapshot.
    Backup(String),
    /// The end of the newest upgrade, downgrade or backup of this database.
    Newest,
}

/// What `verify` found.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Verification {
    pub backup: String,
    /// `before` (the snapshot) or `after` (the end of the operation).
    pub state: &'static str,
    pub check: Check,
    /// The operation that did not come to its end, if there is one: the database may be on its way between two states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<String>,
}

/// Compares the live database with a known state, at any time. Differences are listed in [`Check::wrong`].
pub async fn verify(ports: &Ports<'_>, against: &Against) -> Result<Verification, Failure> {
    // Before anything else: without a database no backup is worth looking for.
    ports.database.must_exist().await.map_err(refused)?;
    // A file that is no database says so here, whatever backups there are.
    ports.database.version_rows().await.map_err(|error| ports.cannot_look(error))?;
    let backup = match against {
        Against::Backup(id) => id.clone(),
        Against::Newest => newest(ports).await?.manifest.id,
    };
    // A verdict is worth what the record is worth that the database is held against.
    let backup = restore::whole(ports, &backup).await?;
    let ends_after = matches!(against, Against::Newest) && backup.folder.join("after.json").exists();
    let (state, name) = if ends_after { ("after", "after.json") } else { ("before", "before.json") };
    let expected = read_inventory(&backup, name).map_err(refused)?;
    let found = ports.database.inventory(&ports.progress(Step::Verify)).await.map_err(refused)?;
    let (expected, renamed) = match ends_after {
        true => (expected, Vec::new()),
        false => present_names::given(ports, &backup, expected, &found).await.map_err(refused)?,
    };
    let mut check = strict(&expected, &found);
    check.wrong.splice(0..0, renamed);
    let unfinished = ports.journal.unfinished(ports.identity()).ok().flatten().map(|state| state.operation);
    Ok(Verification { backup: backup.manifest.id.clone(), state, check, unfinished })
}

async fn newest(ports: &Ports<'_>) -> Result<Backup, Failure> {
    let all = ports.store.list().await.map_err(refused)?;
    let mut whole = all.into_iter().rev().filter_map(Listed::whole);
    let mine = whole.find(|backup| backup.manifest.database.is_same(ports.identity()));
    mine.map(|backup| *backup)
        .ok_or_else(|| refused(crate::store::Error::NotFound { asked: "of this database".to_string() }))
}

/// Compares two inventories without any allowance: every difference is wrong.
pub(super) fn strict(expected: &Inventory, found: &Inventory) -> Check {
    let (expected, found) = (&*without_side_tables(expected), &*without_side_tables(found));
    let comparison = compare(&expected.fingerprint, &found.fingerprint);
    let catalog = diff(&expected.catalog, &found.catalog);
    let mut wrong: Vec<Wrong> = catalog
        .iter()
        .map(|change| Wrong {
            code: "catalog".to_string(),
            subject: change.subject.clone(),
            detail: match (&change.before, &change.after) {
                // A setting has nothing but its value to be known by.
                (None, Some(after)) if change.subject.starts_with("setting ") => format!("is new: {after}"),
                (None, _) => "is new".to_string(),
                (_, None) => "is gone".to_string(),
                (Some(before), Some(after)) => format!("was {before}, is {after}"),
            },
        })
        .collect();
    for (name, table) in comparison.differing() {
        let (code, detail) = match (table.verdict, table.rows_before, table.rows_after) {
            // Named by the catalog already.
            (TableVerdict::Added | TableVerdict::Removed, ..) => continue,
            (_, Some(before), Some(after)) if before != after => {
                ("rows", format!("has {}, expected {before}", super::rows_of(after)))
            }
            _ => ("digest", "holds other values".to_string()),
        };
        wrong.push(Wrong { code: code.to_string(), subject: name.to_string(), detail });
    }
    for (name, before, after) in &comparison.sequences_behind {
        let detail = format!("is at {after}, was at {before}");
        wrong.push(Wrong { code: "sequence".to_string(), subject: name.clone(), detail });
    }
    Check { catalog, comparison, wrong, ..Check::default() }
}

/// Leaves out the tables in which conflicts of a merge are kept: whoever has looked at them may drop them.
fn without_side_tables(inventory: &Inventory) -> Cow<'_, Inventory> {
    if !inventory.catalog.tables.keys().any(TableName::is_side_table) {
        return Cow::Borrowed(inventory);
    }
    let mut rest = inventory.clone();
    rest.catalog.tables.retain(|name, _| !name.is_side_table());
    rest.fingerprint.tables.retain(|name, _| !name.is_side_table());
    Cow::Owned(rest)
}

/// Returns the differences as sentences, for a refusal.
pub(super) fn sentences(check: &Check) -> Vec<String> {
    check.wrong.iter().map(|wrong| format!("{} {}", wrong.subject, wrong.detail)).collect()
}

/// Tells whether the database is what it was at the snapshot, as far as nobody else wrote.
pub(super) async fn is_as_before(ports: &Ports<'_>, saved: &Saved) -> Result<Check, crate::engine::Error> {
    let progress = ports.progress(Step::Verify);
    let now = ports.database.inventory_after(&saved.inventory, &saved.backup.snapshot(), &progress).await?;
    Ok(strict(&saved.inventory, &now))
}
