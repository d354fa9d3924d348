//! One backup's folder: what its manifest says, and which files are really there.
//!
//! A manifest comes from a disk and may have been damaged or written by somebody else. Nothing is opened on its word
//! before [`read_manifest`] and [`resolve`] have looked at the path.

use super::{Damage, FORMAT, Manifest};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const SUMS: &str = "SHA256SUMS";

/// The copy of the journal: it grows until the operation ends, so it is sealed last.
pub(super) const JOURNAL: &str = "journal.jsonl";

/// The files that come after the manifest is written, and so are not in it: `SHA256SUMS` alone vouches for them.
pub(super) const LATER: [&str; 7] =
    [JOURNAL, "after.json", "outcome.json", "report.html", "conflicts.csv.gz", "conflicts.json", RENEWED];

/// Tells whether a file may come after the manifest is written: those above, what is salvaged after the fact, and what is
/// salvaged anew.
pub(super) fn may_come_later(path: &str) -> bool {
    let is_name = |name: &str| !name.contains('/') && !name.starts_with('.') && stays_inside(name);
    let in_exports = |(folder, name)| (folder == EXPORTS || is_renewed(folder)) && is_name(name);
    LATER.contains(&path) || path.split_once('/').is_some_and(in_exports)
}

/// The folder of exports.
const EXPORTS: &str = "exports";

/// Says which salvage counts.
const RENEWED: &str = "renewed.json";

/// Tells whether a file is salvage, or says which of it counts.
pub(super) fn is_salvage(path: &str) -> bool {
    let folder = path.split_once('/').map(|(folder, _)| folder);
    path == RENEWED || folder.is_some_and(|folder| folder == EXPORTS || is_renewed(folder))
}

fn is_renewed(folder: &str) -> bool {
    folder.starts_with("renewed-") && stays_inside(folder)
}

/// How the temporary files of a durable write begin; a crash can leave one behind.
pub(super) const TEMPORARY: &str = ".ripcord-";

/// Reads and checks the manifest of the backup in `folder`, which must be of `id`: a format that this program knows,
/// no path that leaves the folder by its wording, no path twice.
pub(super) fn read_manifest(folder: &Path, id: &str) -> Result<Manifest, Damage> {
    let bytes = manifest_bytes(folder)?;
    let unreadable = |error: serde_json::Error| Damage::UnreadableManifest { detail: error.to_string() };
    // The format first and by itself: a newer manifest need not have the fields of this one.
    let Version { format } = serde_json::from_slice(&bytes).map_err(unreadable)?;
    if format > FORMAT {
        return Err(Damage::NewerFormat { found: format, supported: FORMAT });
    }
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(unreadable)?;
    if manifest.id != id {
        return Err(Damage::AnotherBackup { found: manifest.id });
    }
    let mut seen = BTreeSet::new();
    for artifact in &manifest.artifacts {
        let path = artifact.path.clone();
        if !stays_inside(&path) {
            return Err(Damage::LeavesFolder { path });
        }
        if !seen.insert(&artifact.path) {
            return Err(Damage::Duplicate { path });
        }
    }
    Ok(manifest)
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// Reads the bytes of the manifest, unless it is a link.
pub(super) fn manifest_bytes(folder: &Path) -> Result<Vec<u8>, Damage> {
    let path = folder.join(MANIFEST);
    let read = || -> io::Result<Option<Vec<u8>>> {
        let is_link = path.symlink_metadata()?.file_type().is_symlink();
        if is_link { Ok(None) } else { std::fs::read(&path).map(Some) }
    };
    match read() {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(Damage::LeavesFolder { path: MANIFEST.to_string() }),
        Err(error) if is_absent(&error) => Err(Damage::NoManifest),
        Err(error) => Err(Damage::UnreadableManifest { detail: error.to_string() }),
    }
}

/// Tells whether a path, as written in a manifest, names something below the folder.
fn stays_inside(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains(char::is_control)
}

/// Returns where a file of the backup really is, links followed. Fails when that is outside of the folder, when it is
/// not there or when it is not a file.
pub(super) fn resolve(folder: &Path, path: &str) -> Result<PathBuf, Damage> {
    let leaves = || Damage::LeavesFolder { path: path.to_string() };
    if !stays_inside(path) {
        return Err(leaves());
    }
    let real = |place: &Path| {
        place.canonicalize().map_err(|error| match error {
            error if is_absent(&error) => Damage::Missing { path: path.to_string() },
            error if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => leaves(),
            error => Damage::Unreadable { path: path.to_string(), detail: error.to_string() },
        })
    };
    let (folder, file) = (real(folder)?, real(&folder.join(path))?);
    if !file.starts_with(&folder) {
        return Err(leaves());
    }
    if file.is_file() { Ok(file) } else { Err(Damage::Missing { path: path.to_string() }) }
}

/// Returns whether an error says that there is no such file.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Returns the first thing that keeps a backup from being whole, as far as names and sizes can say: no file is read.
pub(super) fn first_damage(folder: &Path, manifest: &Manifest) -> Option<Damage> {
    manifest.artifacts.iter().find_map(|artifact| size_damage(folder, &artifact.path, artifact.size).err())
}

/// Checks that a file is there, inside of the folder and of this size; returns where it really is.
pub(super) fn size_damage(folder: &Path, path: &str, expected: u64) -> Result<PathBuf, Damage> {
    let file = resolve(folder, path)?;
    let found = file
        .metadata()
        .map_err(|error| Damage::Unreadable { path: path.to_string(), detail: error.to_string() })?
        .len();
    match found == expected {
        true => Ok(file),
        false => Err(Damage::Size { path: path.to_string(), expected, found }),
    }
}

/// One thing in a folder that is not a folder itself.
pub(super) struct Entry {
    /// Relative, parts joined by `/`; `None` when the name cannot be written in a manifest.
    pub path: Option<String>,
    pub place: PathBuf,
    /// An ordinary file: neither a link nor a device nor a pipe.
    pub ordinary: bool,
}

/// Lists everything below a folder that is not a folder, sorted; links are not followed.
pub(super) fn walk(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(place) = waiting.pop() {
        for entry in std::fs::read_dir(&place)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                waiting.push(entry.path());
            } else {
                let place = entry.path();
                let path = relative(folder, &place);
                found.push(Entry { path, place, ordinary: kind.is_file() });
            }
        }
    }
    found.sort_by(|left, right| left.place.cmp(&right.place));
    Ok(found)
}

fn relative(folder: &Path, place: &Path) -> Option<String> {
    let path = place.strip_prefix(folder).ok()?.to_str()?;
    stays_inside(path).then(|| path.to_string())
}

/// Returns the folders in a backups folder that are, or should be, backups, oldest first. Hidden names are drafts and
/// journals. None when the backups folder does not exist.
pub(super) fn backups(place: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let entry = entry?;
        // A name that is not UTF-8 is none of ours: ids are plain ASCII.
        let Ok(id) = entry.file_name().into_string() else { continue };
        if !id.starts_with('.') && entry.path().is_dir() {
            ids.push(id);
        }
    }
    ids.sort();
    Ok(ids)
}
