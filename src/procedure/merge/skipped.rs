//! What leads on from a merge by hand that could not put something back.

use super::older::applied;
use crate::history::RevisionId;
use crate::ledger::{Merged, MergedBack};
use crate::procedure::Ports;
use crate::procedure::snapshot::{read_inventory, read_plan};
use crate::report::Kind;
use crate::store::Backup;

/// Returns the next command where something was skipped; none where nothing was.
pub(super) async fn way_on(
    ports: &Ports<'_>,
    backup: &Backup,
    rows: &[RevisionId],
    merged: &MergedBack,
) -> Option<String> {
    let skipped: Vec<&Merged> = merged.merged.iter().filter(|one| one.skipped.is_some()).collect();
    if skipped.is_empty() {
        return None;
    }
    let id = &backup.manifest.id;
    if let Some(went) = gone_since(ports, backup, &skipped).await {
        return Some(format!(
            "{} was there after that upgrade: give it its name again, and then: ripcord backup merge-back {id}",
            went.table
        ));
    }
    Some(match (stands(ports, backup, rows), backup.manifest.from.as_slice()) {
        (false, _) => format!(
            "what was skipped stays in backup {id}: RUNBOOK.md in its folder says how it is loaded by hand"
        ),
        (true, []) => waits("ripcord downgrade base"),
        (true, [home]) => waits(&format!("ripcord downgrade {home}")),
        (true, _) => "what was skipped waits for the downgrade of that upgrade, which merges it".to_string(),
    })
}

fn waits(downgrade: &str) -> String {
    format!("what was skipped waits for the downgrade of that upgrade, which merges it: {downgrade}")
}

/// Returns something of a table that is not there now although the upgrade had left it: no downgrade brings that back.
async fn gone_since<'m>(ports: &Ports<'_>, backup: &Backup, skipped: &[&'m Merged]) -> Option<&'m Merged> {
    let after = read_inventory(backup, "after.json").ok()?.catalog;
    let live = ports.database.catalog().await.ok()?;
    let is_gone =
        |one: &&&Merged| after.tables.contains_key(&one.table) && !live.tables.contains_key(&one.table);
    skipped.iter().find(is_gone).copied()
}

/// Tells whether anything of the upgrade of a backup is applied.
fn stands(ports: &Ports<'_>, backup: &Backup, rows: &[RevisionId]) -> bool {
    let Ok(plan) = read_plan(backup) else { return false };
    let history = ports.runner.history().ok();
    let applied = history.and_then(|history| applied(&history, rows));
    let is_applied = |revision: &RevisionId| match &applied {
        Some(applied) => applied.contains(revision),
        None => rows.contains(revision),
    };
    backup.manifest.kind == Kind::Upgrade && plan.scripts.iter().any(|script| is_applied(&script.revision))
}
