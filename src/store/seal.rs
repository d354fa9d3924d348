//! Sealing a draft: from here on every byte of it has a checksum.
//!
//! Promises that when [`seal`] returns, the manifest lists every file that is in the folder, private to its owner and
//! on disk. Leaves the rename that publishes the folder to the store.

use super::folder::{self, Entry, JOURNAL, LATER, MANIFEST, SUMS};
use super::sums::{self, Sums};
use super::{Artifact, Damage, Error, Manifest};
use crate::base::{Cancel, fs, hash};
use crate::report::Progress;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Hashes what is not hashed yet, writes `manifest.json` and `SHA256SUMS` into the folder, and syncs everything.
pub(super) fn seal(
    folder: &Path,
    mut manifest: Manifest,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<Manifest, Error> {
    let (mut artifacts, mut later) = (Vec::new(), Vec::new());
    for Entry { path, place, ordinary } in folder::walk(folder).map_err(io_error(folder, "listed"))? {
        let refused = |why: &str| io_error(&place, "sealed")(io::Error::new(io::ErrorKind::InvalidData, why));
        let path = path.ok_or_else(|| refused("its name has characters that a checksum file cannot hold"))?;
        if !ordinary {
            return Err(refused("it is not an ordinary file"));
        }
        tighten(&place)?;
        match path.as_str() {
            JOURNAL => {}
            name if LATER.contains(&name) => later.push(path),
            _ => artifacts.push(path),
        }
    }
    manifest.artifacts = hash_artifacts(folder, artifacts, &manifest, (cancel, progress))?;
    let mut sums: Sums =
        manifest.artifacts.iter().map(|known| (known.path.clone(), known.sha256.clone())).collect();
    for (path, hashed) in later.iter().zip(hash_all(folder, &later, cancel, &Progress::silent())) {
        sums.insert(path.clone(), read_result(folder, path, hashed, cancel)?.1);
    }
    let mut text = serde_json::to_string_pretty(&manifest)
        .map_err(|error| io_error(&folder.join(MANIFEST), "written")(error.into()))?;
    text.push('\n');
    sums.insert(MANIFEST.to_string(), hash::sha256_hex(&text));
    create(&folder.join(MANIFEST), text.as_bytes())?;
    create(&folder.join(SUMS), sums::text(&sums).as_bytes())?;
    fs::sync_tree(folder).map_err(io_error(folder, "synced"))?;
    Ok(manifest)
}

/// Returns the artifacts with their sizes and checksums. Files whose SHA-256 is known already are not read again:
/// they were hashed while they were written, and on a large database reading them a second time costs minutes.
fn hash_artifacts(
    folder: &Path,
    paths: Vec<String>,
    manifest: &Manifest,
    (cancel, progress): (&Cancel, &Progress),
) -> Result<Vec<Artifact>, Error> {
    let unusable = |damage| Error::Unusable { id: manifest.id.clone(), damage };
    let mut known = BTreeMap::new();
    for artifact in manifest.artifacts.iter().filter(|artifact| sums::is_sha256(&artifact.sha256)) {
        folder::size_damage(folder, &artifact.path, artifact.size).map_err(unusable)?;
        if known.insert(artifact.path.clone(), artifact.clone()).is_some() {
            return Err(unusable(Damage::Duplicate { path: artifact.path.clone() }));
        }
    }
    let unknown: Vec<String> = paths.into_iter().filter(|path| !known.contains_key(path)).collect();
    let hashed = hash_all(folder, &unknown, cancel, progress);
    for (path, hashed) in unknown.into_iter().zip(hashed) {
        let (size, sha256) = read_result(folder, &path, hashed, cancel)?;
        known.insert(path.clone(), Artifact { path, size, sha256 });
    }
    Ok(known.into_values().collect())
}

/// Size in bytes and SHA-256, or why the file could not be read.
pub(super) type Hashed = io::Result<(u64, String)>;

/// Hashes files on all cores, each in blocks of 256 KiB, and returns the results in the order of `paths`.
pub(super) fn hash_all(folder: &Path, paths: &[String], cancel: &Cancel, progress: &Progress) -> Vec<Hashed> {
    let places: Vec<PathBuf> = paths.iter().map(|path| folder.join(path)).collect();
    // The largest first: a big file that begins last would leave all other cores waiting for it.
    let mut order: Vec<(u64, usize)> = places
        .iter()
        .enumerate()
        .map(|(index, place)| (place.metadata().map_or(0, |facts| facts.len()), index))
        .collect();
    order.sort_unstable_by(|left, right| right.cmp(left));
    let total = order.iter().map(|(size, _)| size).sum();
    let count = progress.count_bytes("checksums", total);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((_, index)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((*index, hash::file_sha256_told(&places[*index], cancel, |bytes| count.add(bytes))));
        }
        done
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(places.len());
    let mut results: Vec<Hashed> =
        places.iter().map(|_| Err(io::Error::other("the thread that read it ended"))).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for (index, hashed) in threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()) {
            results[index] = hashed;
        }
    });
    results
}

fn read_result(folder: &Path, path: &str, hashed: Hashed, cancel: &Cancel) -> Result<(u64, String), Error> {
    match hashed {
        Err(_) if cancel.is_cancelled() => Err(Error::Interrupted),
        hashed => hashed.map_err(io_error(&folder.join(path), "read")),
    }
}

/// Takes away every right of others: engines and their tools write with the mode that the umask leaves.
fn tighten(place: &Path) -> Result<(), Error> {
    let failed = io_error(place, "made private");
    let change = || -> io::Result<()> {
        let mode = place.metadata()?.permissions().mode();
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(mode & 0o700))?;
        let above = fs::parent(place);
        let mode = above.metadata()?.permissions().mode();
        if mode & 0o077 != 0 {
            std::fs::set_permissions(&above, std::fs::Permissions::from_mode(mode & 0o700))?;
        }
        Ok(())
    };
    change().map_err(failed)
}

fn create(place: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::create_private_file(place)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(io_error(place, "written"))
}

/// Says where an operation on files failed and what it was.
pub(super) fn io_error(place: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Error + use<> {
    let place = place.to_path_buf();
    move |source| Error::Io { place, doing, source }
}
