//! Whose backup it is: of the database at hand, also where that has another place or name since.
//!
//! A backup names its database by place and name. Both change when a folder is renamed. A SQLite file proves then that it is the
//! same one: it holds the operation of the backup in `ripcord_revision`, and nothing lies at the old place, so that it is no
//! copy beside it. Everything else a person has to say, naming the database as the backup does.

use super::{Ports, Refusal, readable, refused};
use crate::catalog::{DatabaseId, EngineKind};
use crate::engine::AppliedFile;
use crate::journal::may_have_moved;
use crate::report::{Failure, Kind};
use crate::store::Backup;

/// The fact in a journal that says which backups bear another name and are of this database all the same.
pub(super) const MOVED: &str = "moved";

/// Refuses a backup of another database, unless it is proven or said to be this one.
pub(super) async fn refuse_another(
    ports: &Ports<'_>,
    backup: &Backup,
    said: Option<&str>,
) -> Result<(), Failure> {
    let (found, expected) = (&backup.manifest.database, ports.identity());
    let is_said = found.engine == expected.engine && said == Some(found.to_string().as_str());
    if found.is_same(expected) || is_said {
        return Ok(());
    }
    // One that cannot be read proves nothing.
    let applied = ports.database.applied_files().await.unwrap_or_default();
    if is_moved(expected, found, &backup.manifest.id, &applied) {
        return Ok(());
    }
    let (backup, found, expected) = (backup.manifest.id.clone(), found.clone(), expected.clone());
    Err(refused(Refusal::AnotherDatabase { backup, found, expected }))
}

/// Returns the backups of upgrades that were taken of this database before it was moved.
pub(super) async fn moved(ports: &Ports<'_>) -> Vec<String> {
    if ports.identity().engine != EngineKind::Sqlite {
        return Vec::new();
    }
    let (Ok(listed), Ok(applied)) = (readable(ports).await, ports.database.applied_files().await) else {
        return Vec::new();
    };
    let each = listed.into_iter().map(|backup| backup.manifest);
    let upgrades = each.filter(|manifest| manifest.kind == Kind::Upgrade);
    let mine =
        upgrades.filter(|manifest| is_moved(ports.identity(), &manifest.database, &manifest.id, &applied));
    mine.map(|manifest| manifest.id).collect()
}

fn is_moved(now: &DatabaseId, then: &DatabaseId, operation: &str, applied: &[AppliedFile]) -> bool {
    applied.iter().any(|file| file.operation == operation) && may_have_moved(then, now)
}
