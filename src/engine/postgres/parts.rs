//! Parts of a snapshot by themselves, for who wants to know what each of them costs (`benches/`).

use super::PostgresDatabase;
use crate::base::{Cancel, fs};
use crate::engine::Error;
use crate::fingerprint::Fingerprint;
use crate::report::Progress;
use std::path::Path;

impl PostgresDatabase {
    /// Takes the dump of a snapshot, synced, and reads no rows itself.
    pub async fn dump_only(&self, folder: &Path, progress: &Progress) -> Result<(), Error> {
        let tools = self.tools().await?;
        let exporter = self.unless_cancelled(self.export()).await?;
        let dumped = self.pg_dump(&exporter.snapshot, tools, folder, progress, &Cancel::new()).await;
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
}
