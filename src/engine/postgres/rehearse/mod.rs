//! The copy on which a migration is rehearsed: the scratch database that the proof was made in stays as it is, and a
//! second one is made from it by the server, which copies files and is many times faster than another restore.

mod earlier;
mod rows;
mod salvage;
mod sample;
mod tree;

use super::fingerprint::Unwritten;
use super::names::{self, identifier};
use super::prove::{LEVEL, proof_level};
use super::restore::read_level;
use super::server::Server;
use super::session::Purpose;
use super::{PostgresDatabase, bookkeeping, system_of, writes};
use crate::base::checkpoint;
use crate::catalog::{DatabaseId, EngineKind};
use crate::engine::{Beside, Database, Error, Outlet, Proof, ProofLevel, RehearsalCopy, Salvaged, Snapshot};
use crate::ledger::{Answers, Keep, Question, Recast};
use crate::plan::hazard::{Sample, Sampled};
use crate::report::Progress;
use async_trait::async_trait;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use tokio::sync::OnceCell;

/// Both databases, on the server where the proof was made.
pub(super) struct PostgresCopy {
    /// The one that stays as it was restored.
    before: String,
    /// The one that is migrated.
    database: Arc<PostgresDatabase>,
    /// What of the world outside it cannot show.
    unseen: Vec<String>,
    proof: Proof,
}

impl PostgresDatabase {
    pub(super) async fn open_rehearsal(
        &self,
        folder: &Path,
        taken: &Snapshot,
        operation: &str,
        progress: &Progress,
    ) -> Result<PostgresCopy, Error> {
        let level = proof_level(taken);
        if level == ProofLevel::None {
            return Err(Error::Unsupported {
                what: format!("a rehearsal with {LEVEL} none"),
                why: "there would be no copy to rehearse on".to_string(),
            });
        }
        let proof = self.prove_and_keep(folder, taken, operation, progress).await?;
        let server = self.scratch_server()?;
        let second = match self.second(server, folder, operation, level).await {
            Ok(database) => match database.begin_copy(&proof, taken).await {
                Ok(unseen) => Ok((database, unseen)),
                // Not every role may do that: such a copy stands for the proof, and nothing is run on it.
                Err(Error::Privilege { .. }) => {
                    Ok((PostgresDatabase { reaches_out: true, ..database }, Vec::new()))
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match second {
            Ok((database, unseen)) => {
                let before = names::scratch(operation);
                Ok(PostgresCopy { before, database: Arc::new(database), unseen, proof })
            }
            Err(error) => {
                // The failure is the news; `tidy` looks for what could not be dropped now.
                for name in [names::rehearsal(operation), names::scratch(operation)] {
                    let _ = self.drop_built(server, &name).await;
                }
                Err(error)
            }
        }
    }

    /// Makes of a fresh copy what a migration may run on; returns what of the world outside it cannot show.
    async fn begin_copy(&self, proof: &Proof, taken: &Snapshot) -> Result<Vec<String>, Error> {
        // Before anything runs on it, and only where it was proven to hold what the snapshot saw.
        if proof.level == ProofLevel::Full && proof.differences.is_empty() {
            let mut session = self.reading_session().await?;
            let mark = self.look(&mut session).await?;
            let known = Unwritten::begin(&mut session, mark, &taken.inventory.fingerprint).await?;
            session.give_back().await;
            let _ = self.unwritten.set(Arc::new(known));
        }
        self.disarm().await
    }

    /// Returns a database of its own for the rest: no state of this one goes over.
    pub(super) fn another(
        &self,
        server: Server,
        id: DatabaseId,
        version: u32,
        operation: &str,
    ) -> PostgresDatabase {
        PostgresDatabase {
            server,
            id,
            options: super::Options { scratch_url: None, ..self.options.clone() },
            version,
            elsewhere: OnceLock::new(),
            operation: Mutex::new(operation.to_string()),
            lock: Mutex::new(Weak::new()),
            own_transactions: Mutex::default(),
            made: Mutex::default(),
            watch: Mutex::<writes::Watch>::default(),
            looked: Mutex::default(),
            own_settings: OnceCell::new(),
            tools: if version == self.version { self.tools.clone() } else { OnceCell::new() },
            is_copy: false,
            reaches_out: false,
            unwritten: OnceLock::new(),
            acts_as: None,
        }
    }

    /// Makes the second database and gives it what belongs to a database and not to its content.
    async fn second(
        &self,
        server: &Server,
        folder: &Path,
        operation: &str,
        level: ProofLevel,
    ) -> Result<PostgresDatabase, Error> {
        let (name, template) = (names::rehearsal(operation), names::scratch(operation));
        server.forget(&template).await;
        let fit = self.fit(server, folder).await?;
        let mut outside = server.open_outside(&name, &self.application()).await?;
        let (system, version) = (system_of(&mut outside).await, outside.version);
        // Since 15 the other strategy is the default, which writes every page to the WAL.
        let strategy = if outside.major() >= 15 { " STRATEGY FILE_COPY" } else { "" };
        let create =
            format!("CREATE DATABASE {} TEMPLATE {}{strategy}", identifier(&name), identifier(&template));
        // The server copies no database that somebody is connected to, and looks again after a tenth of a second only: a
        // session that has been told goodbye is there for a moment longer.
        self.empty_of_sessions(&mut outside, &template).await?;
        outside.run("copying the scratch database", &create).await?;
        checkpoint::reached("the copy for a rehearsal is made");
        if fit.roles() {
            for statement in read_level(folder)?.replay(&identifier(&name)) {
                match outside.run("giving the copy the properties of the database", &statement).await {
                    // Said by the proof already, which met the same.
                    Err(Error::Privilege { .. }) => {}
                    said => said?,
                }
            }
        }
        outside.give_back().await;
        let place = server.place.clone();
        let id = DatabaseId { engine: EngineKind::Postgresql, place, name, system };
        let another = self.another(server.clone(), id, version, operation);
        // The live database's, whatever the copy lacks of them and whichever server it is on.
        let own_settings = OnceCell::new_with(Some(self.own_settings().await?.clone()));
        let copy = PostgresDatabase { is_copy: true, acts_as: fit.acts_as, own_settings, ..another };
        if level == ProofLevel::Schema {
            // A migration counts on its version rows, whatever else is empty.
            let rows = self.read_version_rows().await?;
            let mut session = server.open(&copy.id.name, Purpose::Migrating, &self.application()).await?;
            let filled = bookkeeping::fill_versions(&mut session, &rows).await;
            session.close().await;
            filled?;
        }
        Ok(copy)
    }
}

#[async_trait]
impl Beside for PostgresCopy {
    async fn row_changes(&self, questions: &[Question]) -> Result<Answers, Error> {
        self.database
            .unless_cancelled(rows::changes(&self.database, (&self.database.server, &self.before), questions))
            .await
    }

    async fn recast(&self, asked: &[Recast]) -> Result<Vec<u64>, Error> {
        self.database.unless_cancelled(rows::recast(&self.database, asked)).await
    }

    async fn salvage(
        &self,
        keeps: &[Keep],
        outlet: Arc<dyn Outlet>,
        progress: &Progress,
    ) -> Result<Vec<Salvaged>, Error> {
        let before = (&self.database.server, self.before.as_str());
        let work = salvage::salvage(&self.database, before, keeps, outlet.as_ref(), progress);
        self.database.unless_cancelled(work).await
    }
}

#[async_trait]
impl RehearsalCopy for PostgresCopy {
    fn database(&self) -> Arc<dyn Database> {
        self.database.clone()
    }

    fn proof(&self) -> &Proof {
        &self.proof
    }

    fn holds_rows(&self) -> bool {
        self.proof.level == ProofLevel::Full
    }

    fn cannot_see(&self) -> Vec<String> {
        self.unseen.clone()
    }

    async fn sample(&self, asked: &Sample) -> Result<Sampled, Error> {
        self.database.unless_cancelled(sample::of(&self.database, &self.before, asked)).await
    }

    async fn remove(self: Box<Self>) -> Result<(), Error> {
        let server = &self.database.server;
        let second = self.database.drop_built(server, &self.database.id.name).await;
        // Both are tried: each holds a copy of all data.
        self.database.drop_built(server, &self.before).await.and(second)
    }
}
