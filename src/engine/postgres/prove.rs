//! Proving a snapshot: it is restored into a scratch database and compared with what was seen when it was taken.

use super::differences::{Compared, beyond};
use super::restore::Build;
use super::snapshot::SEQUENCES;
use super::{PostgresDatabase, names};
use crate::base::one_or_more;
use crate::engine::{Error, Proof, ProofLevel, Snapshot};
use crate::report::Progress;
use std::path::Path;
use std::time::Instant;

/// The fact of a snapshot that says how far it is to be proven (`full`, `schema`, `none`); `full` when it is absent.
pub(super) const LEVEL: &str = "proof.level";

/// Returns how far a snapshot is to be proven.
pub(super) fn proof_level(taken: &Snapshot) -> ProofLevel {
    match taken.facts.get(LEVEL).map(String::as_str) {
        Some("schema") => ProofLevel::Schema,
        Some("none") => ProofLevel::None,
        _ => ProofLevel::Full,
    }
}

impl PostgresDatabase {
    pub(super) async fn prove_snapshot(
        &self,
        folder: &Path,
        taken: &Snapshot,
        operation: &str,
        progress: &Progress,
    ) -> Result<Proof, Error> {
        let level = proof_level(taken);
        if level == ProofLevel::None {
            let method = "not restored".to_string();
            return Ok(Proof { level, method, differences: Vec::new(), tables: 0, rows: 0, seconds: 0.0 });
        }
        self.prove_in_scratch(folder, taken, operation, progress, false).await
    }

    /// Proves a snapshot and leaves the scratch database there; after an error it is dropped all the same.
    pub(super) async fn prove_and_keep(
        &self,
        folder: &Path,
        taken: &Snapshot,
        operation: &str,
        progress: &Progress,
    ) -> Result<Proof, Error> {
        self.prove_in_scratch(folder, taken, operation, progress, true).await
    }

    async fn prove_in_scratch(
        &self,
        folder: &Path,
        taken: &Snapshot,
        operation: &str,
        progress: &Progress,
        keep: bool,
    ) -> Result<Proof, Error> {
        let begun = Instant::now();
        let level = proof_level(taken);
        let server = self.scratch_server()?;
        let name = names::scratch(operation);
        let fit = self.fit(server, folder).await?;
        let build = Build {
            server,
            name: &name,
            folder,
            schema_only: level == ProofLevel::Schema,
            only: None,
            scratch: true,
            roles: fit.roles(),
            same_cluster: fit.same_cluster,
        };
        let compared = self.build_and_compare(&build, taken, progress).await;
        // Whatever happened: a scratch database holds a copy of all data and must not stay unasked. A name that was taken
        // before is not ours to drop.
        let kept = keep && compared.is_ok();
        if !kept && !matches!(compared, Err(Error::Exists { .. })) {
            let dropped = self.drop_built(server, &name).await;
            if compared.is_ok() {
                dropped?;
            }
        }
        let (Compared { differences, tables, rows, .. }, unsaid) = compared?;
        let what =
            if build.schema_only { "without rows, the catalog compared" } else { "every row compared" };
        let mut method = match &self.options.scratch_url {
            Some(_) => format!("restored into the scratch database {name} at {}, {what}", server.place),
            None => format!("restored into the scratch database {name}, {what}"),
        };
        if !build.roles {
            method.push_str(&format!(", without owners and grants ({})", fit.why_without_roles()));
        }
        if unsaid > 0 {
            method.push_str(&format!(
                ", without {} of the database that need{} more rights",
                one_or_more(unsaid as u64, "1 property", &format!("{unsaid} properties")),
                one_or_more(unsaid as u64, "s", "")
            ));
        }
        Ok(Proof { level, method, differences, tables, rows, seconds: begun.elapsed().as_secs_f64() })
    }

    async fn build_and_compare(
        &self,
        build: &Build<'_>,
        taken: &Snapshot,
        progress: &Progress,
    ) -> Result<(Compared, usize), Error> {
        // Not dropped half-way: a server goes on creating a database when its client has gone.
        let built = self.build(build, progress).await?;
        let mut compared =
            self.unless_cancelled(self.compare_built(build, &built, &taken.inventory, progress)).await?;
        // Snapshots of before do not say, and there may have been no telling.
        let moved = taken.facts.get(SEQUENCES).and_then(|json| serde_json::from_str(json).ok());
        if let Some(moved) = moved {
            let further = beyond(&taken.inventory.fingerprint, &moved, &compared.sequences);
            compared.differences.extend(further);
        }
        Ok((compared, built.unsaid.len()))
    }
}
