//! The snapshot beside the live database, after the fact: what is needed of it, restored into a scratch database.

use super::super::restore::Build;
use super::super::server::Server;
use super::super::{PostgresDatabase, names};
use super::{rows, salvage};
use crate::catalog::TableName;
use crate::engine::{Beside, Earlier, Error, Outlet, Salvaged};
use crate::ledger::{Answers, Keep, Question};
use crate::report::Progress;
use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;

/// The scratch database, and the live one.
pub(in super::super) struct PostgresEarlier {
    server: Server,
    before: String,
    live: PostgresDatabase,
}

impl PostgresDatabase {
    pub(in super::super) async fn open_earlier(
        &self,
        folder: &Path,
        tables: &[TableName],
        operation: &str,
        progress: &Progress,
    ) -> Result<PostgresEarlier, Error> {
        let server = self.scratch_server()?.clone();
        let before = names::scratch(operation);
        let fit = self.fit(&server, folder).await?;
        let build = Build {
            server: &server,
            name: &before,
            folder,
            schema_only: false,
            only: Some(tables),
            scratch: true,
            roles: fit.roles(),
            same_cluster: fit.same_cluster,
        };
        let built = self.build(&build, progress).await;
        let earlier = PostgresEarlier {
            live: self.another(self.server.clone(), self.id.clone(), self.version, operation),
            server,
            before,
        };
        match built {
            Ok(_) => Ok(earlier),
            Err(error) => {
                if !matches!(error, Error::Exists { .. }) {
                    // The failure is the news; `tidy` looks for what could not be dropped now.
                    let _ = Box::new(earlier).close().await;
                }
                Err(error)
            }
        }
    }
}

#[async_trait]
impl Beside for PostgresEarlier {
    async fn row_changes(&self, questions: &[Question]) -> Result<Answers, Error> {
        let work = rows::changes(&self.live, (&self.server, &self.before), questions);
        self.live.unless_cancelled(work).await
    }

    async fn salvage(
        &self,
        keeps: &[Keep],
        outlet: Arc<dyn Outlet>,
        progress: &Progress,
    ) -> Result<Vec<Salvaged>, Error> {
        let before = (&self.server, self.before.as_str());
        let work = salvage::salvage(&self.live, before, keeps, outlet.as_ref(), progress);
        self.live.unless_cancelled(work).await
    }
}

#[async_trait]
impl Earlier for PostgresEarlier {
    async fn close(self: Box<Self>) -> Result<(), Error> {
        self.live.drop_built(&self.server, &self.before).await
    }
}
