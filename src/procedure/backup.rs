//! A backup by hand, and the care of backups.

use super::change::{Wants, preflight};
use super::snapshot::{self, Purpose};
use super::{Ports, SnapshotPolicy, refused, settle};
use crate::report::{Aftermath, Failure, Kind, Report, Step};
use crate::store::Damage;

/// Takes a backup: snapshot, proof, publication. The database is only read.
pub async fn create(ports: &Ports<'_>, policy: &SnapshotPolicy) -> Result<Report, Failure> {
    let id = ports.journal.new_id(Kind::Backup);
    ports.refuse_missing().await?;
    let _lock = ports.database.lock(&id).await.map_err(refused)?;
    ports.journal.refuse_unfinished(ports.identity()).map_err(refused)?;
    preflight(ports, policy, Wants::default()).await?;
    let rows = ports.database.version_rows().await.map_err(refused)?;

    let mut op = ports.begin(&id, Kind::Backup, None, (&rows, &rows)).await.map_err(refused)?;
    let purpose = Purpose {
        id: id.clone(),
        kind: Kind::Backup,
        plan: None,
        rehearse: false,
        consent: None,
        ahead: None,
    };
    let outcome = snapshot::keep(ports, &mut op, &purpose, policy).await.map(|saved| Report {
        operation: Some(id),
        // Of the snapshot's instant, as the backup's manifest has them.
        from: saved.backup.manifest.from.clone(),
        to: saved.backup.manifest.to.clone(),
        backup: Some(saved.facts()),
        ..Report::new(Kind::Backup, ports.identity(), Aftermath::Unchanged)
    });
    settle::end(ports, &op, outcome).await
}

/// Returns what is wrong with a backup; nothing when every artifact is as it was written.
pub async fn check(ports: &Ports<'_>, id: &str) -> Result<(String, Vec<Damage>), Failure> {
    let backup = ports.store.open(id).await.map_err(refused)?;
    let damage = ports.store.verify(&backup, &ports.progress(Step::Verify)).await.map_err(refused)?;
    Ok((backup.manifest.id, damage))
}
