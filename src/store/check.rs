//! Verifying a backup: every byte that the manifest and `SHA256SUMS` vouch for is read and compared.

use super::folder::{self, Entry, MANIFEST, SUMS, TEMPORARY, may_come_later};
use super::seal::{Hashed, hash_all, io_error};
use super::sums::{self, Sums};
use super::{Damage, Error, Manifest};
use crate::base::Cancel;
use crate::report::Progress;
use std::collections::BTreeSet;
use std::path::Path;

/// Returns everything that is wrong with the backup in `folder`; nothing when it is whole.
///
/// The manifest is read again from the disk: what is verified is what is there now. `Err` means that looking failed,
/// not that the backup is bad.
pub(super) fn check(
    folder: &Path,
    id: &str,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<Vec<Damage>, Error> {
    let manifest = match folder::read_manifest(folder, id) {
        Ok(manifest) => manifest,
        Err(damage) => return Ok(vec![damage]),
    };
    let listed: BTreeSet<&str> = manifest.artifacts.iter().map(|artifact| artifact.path.as_str()).collect();
    let mut wrong = artifacts(folder, &manifest, cancel, progress);
    match read_sums(folder) {
        Ok(sums) => {
            wrong.extend(disagreements(&manifest, &listed, &sums));
            wrong.extend(outside_of_manifest(folder, &listed, &sums, cancel));
        }
        Err(damage) => wrong.push(damage),
    }
    wrong.extend(unlisted(folder, &listed)?);
    // A verdict on half of the files would look like a verdict on all of them.
    if cancel.is_cancelled() { Err(Error::Interrupted) } else { Ok(wrong) }
}

fn artifacts(folder: &Path, manifest: &Manifest, cancel: &Cancel, progress: &Progress) -> Vec<Damage> {
    let (mut wrong, mut readable) = (Vec::new(), Vec::new());
    for artifact in &manifest.artifacts {
        match folder::size_damage(folder, &artifact.path, artifact.size) {
            Ok(_) => readable.push((artifact.path.clone(), artifact.sha256.clone())),
            Err(damage) => wrong.push(damage),
        }
    }
    wrong.extend(digests(folder, readable, cancel, progress));
    wrong
}

/// Hashes files and returns those that differ from what is expected of them.
fn digests(
    folder: &Path,
    expected: Vec<(String, String)>,
    cancel: &Cancel,
    progress: &Progress,
) -> Vec<Damage> {
    let (paths, sha256): (Vec<String>, Vec<String>) = expected.into_iter().unzip();
    let hashed = hash_all(folder, &paths, cancel, progress);
    let compare = |((path, expected), hashed): ((String, String), Hashed)| match hashed {
        Ok((_, found)) if found == expected => None,
        Ok(_) => Some(Damage::Digest { path }),
        Err(error) => Some(Damage::Unreadable { path, detail: error.to_string() }),
    };
    paths.into_iter().zip(sha256).zip(hashed).filter_map(compare).collect()
}

/// Reads `SHA256SUMS`.
pub(super) fn read_sums(folder: &Path) -> Result<Sums, Damage> {
    let place = folder::resolve(folder, SUMS)?;
    let text = std::fs::read_to_string(place)
        .map_err(|error| Damage::UnreadableSums { detail: error.to_string() })?;
    sums::parse(&text).map_err(|detail| Damage::UnreadableSums { detail })
}

/// Returns the names about which the two lists disagree.
fn disagreements(manifest: &Manifest, listed: &BTreeSet<&str>, sums: &Sums) -> Vec<Damage> {
    let differing =
        manifest.artifacts.iter().filter(|artifact| sums.get(&artifact.path) != Some(&artifact.sha256));
    let is_known = |name: &&str| listed.contains(name) || may_come_later(name) || *name == MANIFEST;
    let unknown = sums.keys().map(String::as_str).filter(|name| !is_known(name));
    let absent = (!sums.contains_key(MANIFEST)).then_some(MANIFEST);
    let names = differing.map(|artifact| artifact.path.as_str()).chain(unknown).chain(absent);
    names.map(|path| Damage::Disagree { path: path.to_string() }).collect()
}

/// Checks the files that only `SHA256SUMS` vouches for: the manifest itself and what came after it.
fn outside_of_manifest(folder: &Path, listed: &BTreeSet<&str>, sums: &Sums, cancel: &Cancel) -> Vec<Damage> {
    let (mut wrong, mut readable) = (Vec::new(), Vec::new());
    let later = sums
        .iter()
        .filter(|(name, _)| *name == MANIFEST || (may_come_later(name) && !listed.contains(name.as_str())));
    for (name, sha256) in later {
        match folder::resolve(folder, name) {
            Ok(_) => readable.push((name.to_string(), sha256.clone())),
            Err(damage) => wrong.push(damage),
        }
    }
    // Small files: not worth a word.
    wrong.extend(digests(folder, readable, cancel, &Progress::silent()));
    wrong
}

/// Returns the files that nobody vouches for. The files that come later may be there before `SHA256SUMS` says so: a
/// crash between the two writes leaves them, and harms nothing.
fn unlisted(folder: &Path, listed: &BTreeSet<&str>) -> Result<Vec<Damage>, Error> {
    let is_ours = |name: &str| {
        [MANIFEST, SUMS].contains(&name)
            || may_come_later(name)
            || (name.starts_with(TEMPORARY) && !name.contains('/'))
    };
    let mut wrong = Vec::new();
    for Entry { path, place, ordinary } in folder::walk(folder).map_err(io_error(folder, "listed"))? {
        let known = path.as_deref().is_some_and(|path| listed.contains(path) || (ordinary && is_ours(path)));
        if !known {
            wrong.push(Damage::Unlisted { path: path.unwrap_or(place.display().to_string()) });
        }
    }
    Ok(wrong)
}
