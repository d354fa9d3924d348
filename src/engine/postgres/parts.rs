//! Parts of the larger jobs by themselves, for who wants to know what each of them costs (`benches/`).

use super::{PostgresDatabase, copy_in};
use crate::base::{Cancel, fs};
use crate::catalog::TableName;
use crate::engine::{Error, Inlet};
use crate::fingerprint::Fingerprint;
use crate::report::Progress;
use std::path::Path;
use std::sync::Arc;

impl PostgresDatabase {
    /// Takes the dump of a snapshot, synced, and reads no rows itself.
    pub async fn dump_only(&self, folder: &Path, progress: &Progress) -> Result<(), Error> {
        let tools = self.tools().await?;
        let exporter = self.unless_cancelled(self.export()).await?;
        let dumped = self
            .pg_dump((&exporter.snapshot, self.options.jobs.max(1)), tools, folder, progress, &Cancel::new())
            .await;
        exporter.release().await;
        dumped?;
        let failed = |source| Error::Io { place: folder.to_path_buf(), doing: "synced", source };
        fs::sync_tree(folder).map_err(failed)
    }

    /// Computes the fingerprint of the live database and checks nothing.
    pub async fn fingerprint_only(&self, progress: &Progress) -> Result<Fingerprint, Error> {
        let mut exporter = self.unless_cancelled(self.export()).await?;
        let reading = self.reading(&self.server, &self.id.name, progress);
        let snapshot = exporter.snapshot.clone();
        let read = self.unless_cancelled(reading.fingerprint(&mut exporter.session, &snapshot)).await;
        exporter.release().await;
        read
    }

    /// Loads CSV with a header into a table that has these columns in this order; returns how many rows there were.
    pub async fn load_only(
        &self,
        table: &TableName,
        source: Arc<dyn Inlet>,
        progress: &Progress,
    ) -> Result<u64, Error> {
        let doing = "loading a file";
        let mut session = self.reading_session().await?;
        let copy = format!("COPY {} FROM STDIN (FORMAT csv, HEADER true)", table.sql());
        let sent = copy_in::send(&mut session, source, &copy, (doing, &table.to_string()), progress).await?;
        let loaded = sent.map_err(|error| session.failed(&error, doing));
        session.close().await;
        loaded
    }
}
