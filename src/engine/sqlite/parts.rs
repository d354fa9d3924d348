//! Parts of a snapshot by themselves, for who wants to know what each of them costs (`benches/`).

use super::SqliteDatabase;
use super::scan::{Task, scan};
use super::snapshot::file_in;
use super::view::View;
use crate::engine::Error;
use crate::fingerprint::Fingerprint;
use crate::report::Progress;
use std::path::Path;

impl SqliteDatabase {
    /// Takes the sealed copy of a snapshot and reads no rows: the bytes on disk and their SHA-256, which is returned.
    pub async fn copy_only(&self, folder: &Path, progress: &Progress) -> Result<String, Error> {
        let (target, progress) = (file_in(folder), progress.clone());
        self.blocking(move |site| {
            let view = View::of_live(site, 1)?;
            let is_wal =
                super::inventory::facts(view.first())?.get("journal_mode").is_some_and(|mode| mode == "wal");
            let copied = if is_wal {
                site.copy_wal(view.first(), view.wal(), &target, &progress)?
            } else {
                site.copy_pages(view.first(), &target, &progress)?
            };
            Ok(copied.sha256)
        })
        .await
    }

    /// Computes the fingerprint of the live database and checks nothing.
    pub async fn fingerprint_only(&self, progress: &Progress) -> Result<Fingerprint, Error> {
        let progress = progress.clone();
        self.blocking(move |site| {
            let mut view = View::of_live(site, site.workers())?;
            let catalog = super::catalog::read(view.first())?;
            Ok(scan(&mut view, Task::everything(&catalog, Vec::new()), &progress)?.fingerprint)
        })
        .await
    }
}
