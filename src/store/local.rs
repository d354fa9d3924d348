//! Backups in a folder of this machine, one folder each.
//!
//! Promises that a backup is listed only once it is whole on disk, that nothing is created by reading, and that a
//! draft is private from its first byte. Leaves retention to whoever removes backups.

use super::folder::{self, MANIFEST, SUMS, TEMPORARY, may_come_later};
use super::seal::{io_error, seal};
use super::sums::{self, Sums};
use super::{Backup, BackupStore, Damage, Draft, Error, Listed, Manifest, Previous, check};
use crate::base::{Cancel, checkpoint, fs, hash};
use crate::report::Progress;
use async_trait::async_trait;
use std::io;
use std::path::{Path, PathBuf};

/// How the folder of a draft begins.
const DRAFT: &str = ".partial-";

/// What the backups folder says of itself to somebody who finds it.
const README: &str = include_str!("readme.md");

/// Keeps backups out of version control: they hold the data of the database.
const GITIGNORE: &str = "*\n!.gitignore\n!README.md\n";

/// A folder of backups.
#[derive(Clone, Debug)]
pub struct LocalStore {
    place: PathBuf,
    cancel: Cancel,
}

impl LocalStore {
    /// Returns the store in this folder. Creates nothing: a folder that does not exist is an empty list.
    pub fn open(place: impl Into<PathBuf>, cancel: Cancel) -> Self {
        Self { place: place.into(), cancel }
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.place.join(id)
    }

    fn ids(&self) -> Result<Vec<String>, Error> {
        folder::backups(&self.place).map_err(io_error(&self.place, "listed"))
    }

    /// Reads one backup, or says what keeps it from being whole as far as names and sizes can say.
    fn whole(&self, id: &str) -> Result<Backup, Damage> {
        let backup = self.readable(id)?;
        folder::first_damage(&backup.folder, &backup.manifest).map_or(Ok(backup), Err)
    }

    fn readable(&self, id: &str) -> Result<Backup, Damage> {
        let folder = self.folder(id);
        let manifest = folder::read_manifest(&folder, id)?;
        Ok(Backup { folder, manifest })
    }

    fn newest_whole(&self) -> Result<Option<Backup>, Error> {
        Ok(self.ids()?.iter().rev().find_map(|id| self.whole(id).ok()))
    }

    fn begin(&self, id: &str) -> Result<Draft, Error> {
        refuse_bad_id(id).map_err(io_error(&self.folder(id), "created"))?;
        self.create_place().map_err(io_error(&self.place, "created"))?;
        let taken = self.folder(id);
        if taken.exists() {
            return Err(io_error(&taken, "created")(io::ErrorKind::AlreadyExists.into()));
        }
        let folder = self.place.join(format!("{DRAFT}{id}"));
        // A draft that is there already belongs to somebody else.
        fs::create_new_private_dir(&folder).map_err(io_error(&folder, "created"))?;
        let draft = Draft { id: id.to_string(), folder };
        fs::create_new_private_dir(&draft.snapshot()).map_err(io_error(&draft.folder, "created"))?;
        Ok(draft)
    }

    /// Creates the backups folder, and tells those who find it what it is.
    fn create_place(&self) -> io::Result<()> {
        if !self.place.exists() {
            fs::create_private_dir(&self.place)?;
            fs::sync_dir(&fs::parent(&self.place))?;
        }
        let readme = self.place.join("README.md");
        if !readme.exists() {
            fs::write_durable(&self.place.join(".gitignore"), GITIGNORE.as_bytes())?;
            fs::write_durable(&readme, README.as_bytes())?;
        }
        Ok(())
    }

    fn finish(&self, draft: Draft, mut manifest: Manifest, progress: &Progress) -> Result<Backup, Error> {
        if manifest.id != draft.id {
            return Err(Error::Unusable {
                id: draft.id,
                damage: Damage::AnotherBackup { found: manifest.id },
            });
        }
        manifest.previous = self.previous()?;
        let manifest = seal(&draft.folder, manifest, &self.cancel, progress)?;
        checkpoint::reached("a backup is sealed and not published");
        let folder = self.folder(&draft.id);
        fs::publish(&draft.folder, &folder).map_err(io_error(&folder, "published"))?;
        Ok(Backup { folder, manifest })
    }

    fn previous(&self) -> Result<Option<Previous>, Error> {
        let Some(newest) = self.newest_whole()? else { return Ok(None) };
        let place = newest.folder.join(MANIFEST);
        let bytes = std::fs::read(&place).map_err(io_error(&place, "read"))?;
        Ok(Some(Previous { id: newest.manifest.id, manifest_sha256: hash::sha256_hex(bytes) }))
    }

    fn add_later(&self, id: &str, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.add_by(id, name, |place| fs::write_durable(place, bytes).map(|()| hash::sha256_hex(bytes)))
    }

    /// Adds a file by giving it its new name.
    fn move_later(&self, id: &str, name: &str, from: &Path) -> Result<(), Error> {
        let (_, sha256) = hash::file_sha256(from).map_err(io_error(from, "read"))?;
        self.add_by(id, name, |place| {
            let above = fs::parent(place);
            fs::create_private_dir(&above)?;
            std::fs::rename(from, place)?;
            fs::sync_dir(&above)?;
            fs::sync_dir(&fs::parent(&above)).map(|()| sha256)
        })
    }

    /// Adds what comes later; `write` puts it in its place, durably, and returns its SHA-256.
    fn add_by(
        &self,
        id: &str,
        name: &str,
        write: impl FnOnce(&Path) -> io::Result<String>,
    ) -> Result<(), Error> {
        if !may_come_later(name) {
            return Err(Error::NotAllowed { name: name.to_string() });
        }
        let id = self.exactly(id)?;
        let folder = self.folder(&id);
        let unusable = |damage| Error::Unusable { id: id.clone(), damage };
        let manifest = folder::read_manifest(&folder, &id).map_err(unusable)?;
        if manifest.artifacts.iter().any(|artifact| artifact.path == name) {
            return Err(Error::NotAllowed { name: name.to_string() });
        }
        let mut sums = check::read_sums(&folder).map_err(unusable)?;
        // Forget the old checksum first, write the file, then list the new one: a crash at any instant leaves at
        // worst a file without a checksum, never a file that contradicts its checksum.
        if sums.remove(name).is_some() {
            write_sums(&folder, &sums)?;
            checkpoint::reached("the old checksum is forgotten");
        }
        let place = folder.join(name);
        let sha256 = write(&place).map_err(io_error(&place, "written"))?;
        checkpoint::reached("a later file is written and not listed");
        sums.insert(name.to_string(), sha256);
        write_sums(&folder, &sums)
    }

    fn exactly(&self, id: &str) -> Result<String, Error> {
        let found = self.ids()?.into_iter().find(|known| known == id);
        found.ok_or_else(|| Error::NotFound { asked: id.to_string() })
    }

    fn find(&self, asked: &str) -> Result<Backup, Error> {
        if asked == "latest" {
            let none = || Error::NotFound { asked: asked.to_string() };
            return self.newest_whole()?.ok_or_else(none);
        }
        let id = pick(self.ids()?, asked)?;
        let unusable = |damage| Error::Unusable { id: id.clone(), damage };
        let backup = self.readable(&id).map_err(unusable)?;
        // A missing file is for `verify` to say; a path that leads elsewhere must not even be opened.
        for artifact in &backup.manifest.artifacts {
            if let Err(damage @ Damage::LeavesFolder { .. }) = folder::resolve(&backup.folder, &artifact.path)
            {
                return Err(unusable(damage));
            }
        }
        Ok(backup)
    }

    fn all(&self) -> Result<Vec<Listed>, Error> {
        let look = |id: String| match self.whole(&id) {
            Ok(backup) => Listed::Whole { backup: Box::new(backup) },
            Err(damage) => Listed::Damaged { id, reason: damage.to_string() },
        };
        Ok(self.ids()?.into_iter().map(look).collect())
    }

    fn broken_chains(&self) -> Result<Vec<(String, Damage)>, Error> {
        let ids = self.ids()?;
        let mut broken = Vec::new();
        for id in &ids {
            let Ok(Backup { manifest, .. }) = self.readable(id) else { continue };
            let Some(previous) = manifest.previous.filter(|previous| ids.contains(&previous.id)) else {
                continue;
            };
            let found = folder::manifest_bytes(&self.folder(&previous.id)).map(hash::sha256_hex);
            if found.as_ref() != Ok(&previous.manifest_sha256) {
                broken.push((id.clone(), Damage::BrokenChain { previous: previous.id }));
            }
        }
        Ok(broken)
    }

    fn remove_drafts(&self, operation: &str) -> Result<Vec<String>, Error> {
        let mut removed = Vec::new();
        let drafts = format!("{DRAFT}{operation}");
        for name in names_beginning(&self.place, &drafts).map_err(io_error(&self.place, "listed"))? {
            let place = self.place.join(&name);
            std::fs::remove_dir_all(&place).map_err(io_error(&place, "removed"))?;
            removed.push(format!("removed {name}, a backup that was not finished"));
        }
        // A crash in the middle of a durable write leaves its temporary file in the published backup.
        let published = self.folder(operation);
        for name in names_beginning(&published, TEMPORARY).map_err(io_error(&published, "listed"))? {
            let place = published.join(&name);
            std::fs::remove_file(&place).map_err(io_error(&place, "removed"))?;
            removed.push(format!("removed {operation}/{name}, a file that was not finished"));
        }
        Ok(removed)
    }

    /// Runs blocking work on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.unwrap_or_else(|error| Err(io_error(&self.place, "worked on")(io::Error::other(error))))
    }
}

#[async_trait]
impl BackupStore for LocalStore {
    fn place(&self) -> &Path {
        &self.place
    }

    async fn draft(&self, id: &str) -> Result<Draft, Error> {
        let id = id.to_string();
        self.blocking(move |store| store.begin(&id)).await
    }

    async fn publish(&self, draft: Draft, manifest: Manifest, progress: &Progress) -> Result<Backup, Error> {
        let progress = progress.clone();
        self.blocking(move |store| store.finish(draft, manifest, &progress)).await
    }

    async fn discard(&self, draft: Draft) -> Result<(), Error> {
        let remove = move || match std::fs::remove_dir_all(&draft.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error(&draft.folder, "removed")(error))
            }
            _ => Ok(()),
        };
        self.blocking(move |_| remove()).await
    }

    async fn add(&self, id: &str, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let (id, name, bytes) = (id.to_string(), name.to_string(), bytes.to_vec());
        self.blocking(move |store| store.add_later(&id, &name, &bytes)).await
    }

    async fn add_file(&self, id: &str, name: &str, from: &Path) -> Result<(), Error> {
        let (id, name, from) = (id.to_string(), name.to_string(), from.to_path_buf());
        self.blocking(move |store| store.move_later(&id, &name, &from)).await
    }

    async fn list(&self) -> Result<Vec<Listed>, Error> {
        self.blocking(Self::all).await
    }

    async fn open(&self, id: &str) -> Result<Backup, Error> {
        let id = id.to_string();
        self.blocking(move |store| store.find(&id)).await
    }

    async fn verify(&self, backup: &Backup, progress: &Progress) -> Result<Vec<Damage>, Error> {
        let (folder, id) = (backup.folder.clone(), backup.manifest.id.clone());
        let progress = progress.clone();
        self.blocking(move |store| check::check(&folder, &id, &store.cancel, &progress)).await
    }

    async fn verify_chain(&self) -> Result<Vec<(String, Damage)>, Error> {
        self.blocking(Self::broken_chains).await
    }

    async fn tidy(&self, operation: &str) -> Result<Vec<String>, Error> {
        let operation = operation.to_string();
        self.blocking(move |store| store.remove_drafts(&operation)).await
    }
}

/// An id becomes a folder's name: it must be one, and never one that `list` passes over or that `open` reads as a word.
fn refuse_bad_id(id: &str) -> io::Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.starts_with('.') || id == "latest" || !id.chars().all(plain) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a name for a backup"));
    }
    Ok(())
}

/// Picks the backup that was asked for by its id, or by a part of its beginning or end that no other one has.
fn pick(mut ids: Vec<String>, asked: &str) -> Result<String, Error> {
    if ids.iter().any(|id| id == asked) {
        return Ok(asked.to_string());
    }
    ids.retain(|id| !asked.is_empty() && (id.starts_with(asked) || id.ends_with(asked)));
    match (ids.len(), ids.pop()) {
        (1, Some(only)) => Ok(only),
        (0, _) | (_, None) => Err(Error::NotFound { asked: asked.to_string() }),
        (_, Some(last)) => {
            ids.push(last);
            Err(Error::Ambiguous { asked: asked.to_string(), candidates: ids })
        }
    }
}

fn write_sums(folder: &Path, sums: &Sums) -> Result<(), Error> {
    let place = folder.join(SUMS);
    fs::write_durable(&place, sums::text(sums).as_bytes()).map_err(io_error(&place, "written"))
}

/// Returns the names in a folder that begin like this, sorted; none when there is no such folder.
fn names_beginning(place: &Path, beginning: &str) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(place) {
        Err(error) if folder::is_absent(&error) => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok().filter(|name| name.starts_with(beginning)));
    }
    names.sort();
    Ok(names)
}
