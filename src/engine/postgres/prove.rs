//! Proving a snapshot: it is restored into a scratch database and compared with what was seen when it was taken.

use super::restore::{Build, Compared};
use super::server::Server;
use super::{PostgresDatabase, names};
use crate::engine::{Error, Proof, ProofLevel, Snapshot};
use crate::report::Progress;
use std::path::Path;
use std::time::Instant;

/// The fact of a snapshot that says how far it is to be proven (`full`, `schema`, `none`); `full` when it is absent.
pub(super) const LEVEL: &str = "proof.level";

impl PostgresDatabase {
    pub(super) async fn prove_snapshot(
        &self,
        folder: &Path,
        taken: &Snapshot,
        operation: &str,
        progress: &Progress,
    ) -> Result<Proof, Error> {
        let begun = Instant::now();
        let level = match taken.facts.get(LEVEL).map(String::as_str) {
            Some("schema") => ProofLevel::Schema,
            Some("none") => ProofLevel::None,
            _ => ProofLevel::Full,
        };
        if level == ProofLevel::None {
            let method = "not restored".to_string();
            return Ok(Proof { level, method, differences: Vec::new(), tables: 0, rows: 0, seconds: 0.0 });
        }
        let elsewhere = self.options.scratch_url.as_ref().map(Server::new).transpose()?;
        let server = elsewhere.as_ref().unwrap_or(&self.server);
        let name = names::scratch(operation);
        let build = Build {
            server,
            name: &name,
            folder,
            schema_only: level == ProofLevel::Schema,
            scratch: true,
            same_server: elsewhere.is_none(),
        };
        let compared = self.build_and_compare(&build, taken, progress).await;
        // Whatever happened: a scratch database holds a copy of all data and must not stay. A name that was taken
        // before is not ours to drop.
        if !matches!(compared, Err(Error::Exists { .. })) {
            let dropped = self.drop_built(server, &name).await;
            if compared.is_ok() {
                dropped?;
            }
        }
        let Compared { differences, tables, rows } = compared?;
        let what =
            if build.schema_only { "without rows, the catalog compared" } else { "every row compared" };
        let place = if build.same_server { String::new() } else { format!(" at {}", server.place) };
        Ok(Proof {
            level,
            method: format!("restored into the scratch database {name}{place}, {what}"),
            differences,
            tables,
            rows,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    async fn build_and_compare(
        &self,
        build: &Build<'_>,
        taken: &Snapshot,
        progress: &Progress,
    ) -> Result<Compared, Error> {
        // Not dropped half-way: a server goes on creating a database when its client has gone.
        self.build(build, progress).await?;
        self.unless_cancelled(self.compare_built(build, &taken.inventory, progress)).await
    }
}
