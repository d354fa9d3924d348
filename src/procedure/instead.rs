//! A way back that does not work: the backup from before the upgrade is the other one, and loses what was written since.

use super::{Ports, settle};
use crate::engine;
use crate::history::Direction;
use crate::plan::Plan;
use crate::report::{Aftermath, Failure, Kind};
use crate::store::Listed;

/// Names that backup, where a statement of a downgrade failed and nothing was changed.
pub(super) async fn offered(ports: &Ports<'_>, plan: &Plan, mut failure: Failure) -> Failure {
    let failed = matches!(
        settle::of_engine(&failure),
        Some(engine::Error::Statement { .. } | engine::Error::ForeignKeys { .. })
    );
    if plan.direction != Direction::Down || failure.aftermath != Aftermath::Unchanged || !failed {
        return failure;
    }
    let backups = ports.store.list().await.unwrap_or_default().into_iter().rev();
    let before = backups.filter_map(Listed::whole).map(|backup| backup.manifest);
    let leads_there = before.filter(|manifest| {
        manifest.kind == Kind::Upgrade
            && manifest.database.is_same(ports.identity())
            && settle::same(&manifest.from, &plan.to)
    });
    failure.otherwise = leads_there.map(|manifest| manifest.id).next().map(|id| {
        format!(
            "or go back to before the upgrade, without what was written since; the present state is saved first: ripcord restore {id}"
        )
    });
    failure
}
