//! Building the database of a snapshot beside the live one.

use super::differences::Compared;
use super::names::identifier;
use super::restore::{Build, read_level};
use super::rights::Obstacle;
use super::{PostgresDatabase, names};
use crate::engine::{Error, Staged};
use crate::fingerprint::Inventory;
use crate::report::Progress;
use std::collections::BTreeMap;
use std::path::Path;

/// Facts of a staged restore.
pub(super) mod fact {
    /// `beside`, `new` or `in-place`.
    pub(in super::super) const WAY: &str = "restore.way";
    pub(in super::super) const SIDE: &str = "restore.side";
    /// Statements about the database as a whole that need more rights than we have.
    pub(in super::super) const UNSAID: &str = "restore.unsaid";
    /// Roles of the snapshot that the server does not have.
    pub(in super::super) const MISSING: &str = "restore.missing";
    pub(in super::super) const FOLDER: &str = "restore.folder";
    /// The name of the database that is about to be barred: from this line on the journal explains an outage.
    pub(in super::super) const LIVE: &str = "swap.live";
    /// The name under which it is going to be kept.
    pub(in super::super) const OLD: &str = "swap.old";
}

impl PostgresDatabase {
    pub(super) async fn stage_snapshot(
        &self,
        folder: &Path,
        expected: &Inventory,
        operation: &str,
        progress: &Progress,
    ) -> Result<Staged, Error> {
        let exists = self.is_there().await?;
        let fit = self.fit(&self.server, folder).await?;
        if exists {
            refuse_without(&fit.missing_roles)?;
            self.guard_what_is_replaced().await?;
        }
        let level = read_level(folder)?;
        if let Some(obstacle) = self.obstacles(level.extensions.keys().map(String::as_str)).await?.first() {
            return self.stage_in_place(folder, exists, expected, obstacle);
        }
        let side = names::side(operation);
        let build = Build {
            server: &self.server,
            name: &side,
            folder,
            schema_only: false,
            only: None,
            scratch: false,
            roles: fit.missing_roles.is_empty(),
            same_cluster: fit.same_cluster,
        };
        let built = async {
            let built = self.build(&build, progress).await?;
            let compared = self.unless_cancelled(async {
                self.analyze(&side).await?;
                self.compare_built(&build, &built, expected, progress).await
            });
            Ok((compared.await?, built))
        };
        let (compared, built) = match built.await {
            Ok(both) => both,
            Err(error) => {
                if !matches!(error, Error::Exists { .. }) {
                    // The cause is worth more than a second error about the leftover; `tidy` looks for it again.
                    let _ = self.drop_built(&self.server, &side).await;
                }
                return Err(error);
            }
        };
        let way = if exists {
            format!("built beside as {side}, then the names are swapped while connections are barred")
        } else {
            format!("built as {side}, then renamed to {}", self.id.name)
        };
        let mut facts = BTreeMap::from([
            (fact::WAY.to_string(), if exists { "beside" } else { "new" }.to_string()),
            (fact::SIDE.to_string(), side.clone()),
        ]);
        if !built.unsaid.is_empty() {
            facts.insert(fact::UNSAID.to_string(), built.unsaid.join("; "));
        }
        if !fit.missing_roles.is_empty() {
            facts.insert(fact::MISSING.to_string(), fit.missing_roles.join(", "));
        }
        let Compared { differences, catalog, .. } = compared;
        Ok(Staged { place: side, way, differences, catalog: Some(catalog), facts })
    }

    fn stage_in_place(
        &self,
        folder: &Path,
        exists: bool,
        expected: &Inventory,
        obstacle: &Obstacle,
    ) -> Result<Staged, Error> {
        if !exists {
            let privilege = match obstacle {
                Obstacle::Createdb => "CREATEDB".to_string(),
                other => format!("more rights: {}", other.sentence()),
            };
            return Err(Error::Privilege {
                what: format!("creating the database {}", self.id.name),
                privilege,
            });
        }
        let facts = BTreeMap::from([
            (fact::WAY.to_string(), "in-place".to_string()),
            (fact::FOLDER.to_string(), folder.display().to_string()),
        ]);
        // Another version prints the same definition in other words.
        let is_same_version = expected.version.starts_with(&format!("{}.", self.version / 10_000));
        Ok(Staged {
            place: self.id.name.clone(),
            way: format!("in place, in one transaction: {}", obstacle.sentence()),
            differences: Vec::new(),
            catalog: is_same_version.then(|| expected.catalog.clone()),
            facts,
        })
    }

    /// Collects statistics: without them the first minutes on the new database would be slow.
    async fn analyze(&self, database: &str) -> Result<(), Error> {
        let purpose = super::Purpose::Steering;
        let mut session = self.server.open(database, purpose, &self.application()).await?;
        session.run("collecting statistics", "ANALYZE").await?;
        session.give_back().await;
        Ok(())
    }

    /// Tells whether the database exists, barred or not.
    pub(super) async fn is_there(&self) -> Result<bool, Error> {
        let mut session = self.outside().await?;
        let sql = format!("SELECT 1 FROM pg_database WHERE datname = {}", names::literal(&self.id.name));
        let found = session.value("looking for the database", &sql).await?;
        session.give_back().await;
        Ok(found.is_some())
    }
}

/// Refuses to replace a live database by one without its owners and grants: its users would be locked out. A new one may
/// be without them, for nobody works in it yet.
fn refuse_without(missing: &[String]) -> Result<(), Error> {
    if missing.is_empty() {
        return Ok(());
    }
    let create: Vec<String> =
        missing.iter().map(|role| format!("CREATE ROLE {}", identifier(role))).collect();
    Err(Error::Unsupported {
        what: "putting the snapshot in the place of the live database".to_string(),
        why: format!(
            "the server lacks roles that own or were granted something in it; run first: {}",
            create.join("; ")
        ),
    })
}
