//! The files of one command: all of them under their names, or none.

use super::Error;
use super::gzip::GzipFile;
use super::sidecar::{CsvFile, Made, Sidecar};
use crate::base::{fs, hash};
use crate::catalog::DatabaseId;
use crate::engine::{self, Outlet, RowSink, Shape};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::{NamedTempFile, TempPath};

/// The longest file name without its suffix, in bytes: with it and a temporary one it stays below the usual 255.
const LONGEST: usize = 180;

/// Exports that nobody sees yet. What is not published is removed when the value goes.
pub struct Draft {
    folder: PathBuf,
    /// Whether the folder was made for this.
    made: bool,
    names: Vec<String>,
    open: Mutex<Vec<Option<Open>>>,
}

/// One file under its temporary name.
struct Open {
    gzip: GzipFile,
    path: TempPath,
}

impl Draft {
    /// Makes the folder (0700) if it is not there, and removes what killed processes left in it. Fails if a file of any of these names is.
    pub fn begin(folder: &Path, names: Vec<String>) -> Result<Self, Error> {
        let mut stems = BTreeSet::new();
        for name in &names {
            let stem = file_stem(name);
            for place in [csv_path(folder, &stem), json_path(folder, &stem)] {
                if place.symlink_metadata().is_ok() {
                    return Err(Error::Taken { place });
                }
            }
            if !stems.insert(stem.clone()) {
                return Err(Error::Twice { name: stem });
            }
        }
        let made = !folder.exists();
        fs::create_private_dir(folder).map_err(|source| io_error(folder, "created", source))?;
        remove_abandoned(folder);
        Ok(Self {
            folder: folder.to_path_buf(),
            made,
            open: Mutex::new(names.iter().map(|_| None).collect()),
            names,
        })
    }

    /// Makes everything durable and gives it its names: a CSV first, the JSON that vouches for it second. Removes again
    /// what it has named when one of them fails. Returns what was published, with the paths of the CSV files.
    pub fn publish(
        &self,
        made: &[Made],
        database: &DatabaseId,
        at: DateTime<Utc>,
    ) -> Result<Vec<(PathBuf, Sidecar)>, Error> {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        let mut ready = Vec::new();
        for ((name, made), open) in self.names.iter().zip(made).zip(open) {
            if made.salvage.is_some() && made.exported.rows == 0 {
                continue;
            }
            // An engine that returns opened what it returns.
            let open = open.ok_or(engine::Error::Interrupted)?;
            let stem = file_stem(name);
            let target = csv_path(&self.folder, &stem);
            let sealed = open.gzip.seal()?;
            let file = CsvFile { name: format!("{stem}.csv.gz"), size: sealed.size, sha256: sealed.sha256 };
            let sidecar = Sidecar::new(name, made, database, at, file);
            let json = self.written(&sidecar)?;
            ready.push((open.path, target, json, json_path(&self.folder, &stem), sidecar));
        }
        let mut named = Named::default();
        let mut published = Vec::new();
        for (csv, csv_path, json, json_path, sidecar) in ready {
            named.give(csv, &csv_path)?;
            named.give(json, &json_path)?;
            published.push((csv_path, sidecar));
        }
        fs::sync_dir(&self.folder).map_err(|source| io_error(&self.folder, "synced", source))?;
        named.keep();
        Ok(published)
    }

    fn written(&self, sidecar: &Sidecar) -> Result<TempPath, Error> {
        let mut file = self.temporary()?;
        let write = |file: &mut NamedTempFile| -> io::Result<()> {
            serde_json::to_writer_pretty(file.as_file_mut(), sidecar)?;
            file.as_file_mut().write_all(b"\n")?;
            file.as_file().sync_all()
        };
        write(&mut file).map_err(|source| io_error(file.path(), "written", source))?;
        Ok(file.into_temp_path())
    }

    fn temporary(&self) -> Result<NamedTempFile, Error> {
        // Private (0600) by itself.
        let made = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder);
        let made = made.map_err(|source| io_error(&self.folder, "written to", source))?;
        // It says that somebody is at work. Where there are no locks the file of a killed process stays.
        let _ = made.as_file().try_lock();
        Ok(made)
    }
}

/// How the name of a file begins that is being written.
const UNFINISHED: &str = ".ripcord-export-";

/// Removes what killed processes left in a folder: files that nobody has locked. One that is empty was perhaps made just
/// now, and is about to be locked.
fn remove_abandoned(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_unfinished = entry.file_name().as_bytes().starts_with(UNFINISHED.as_bytes());
        let is_file = entry.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0);
        if !is_unfinished || !is_file {
            continue;
        }
        // What cannot be opened or removed is somebody else's, and in nobody's way.
        let file = OpenOptions::new().append(true).open(entry.path());
        if file.is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

impl Outlet for Draft {
    fn open(&self, place: usize, shape: &Shape) -> Result<Arc<dyn RowSink>, engine::Error> {
        let file = self.temporary().map_err(|error| match error {
            Error::Io { place, doing, source } => engine::Error::Io { place, doing, source },
            other => {
                engine::Error::Driver { doing: "opening an export".to_string(), detail: other.to_string() }
            }
        })?;
        let (file, path) = file.into_parts();
        let gzip = GzipFile::begin(file, &path, shape)?;
        self.open.lock().unwrap_or_else(PoisonError::into_inner)[place] =
            Some(Open { gzip: gzip.clone(), path });
        Ok(Arc::new(gzip))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if self.made {
            // It stays where something was published into it.
            let _ = std::fs::remove_dir(&self.folder);
        }
    }
}

/// Files that have their names already, and lose them again unless they are kept.
#[derive(Default)]
struct Named(Vec<PathBuf>);

impl Named {
    fn give(&mut self, file: TempPath, name: &Path) -> Result<(), Error> {
        file.persist_noclobber(name).map_err(|failed| match failed.error.kind() {
            io::ErrorKind::AlreadyExists => Error::Taken { place: name.to_path_buf() },
            _ => io_error(name, "named", failed.error),
        })?;
        self.0.push(name.to_path_buf());
        Ok(())
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Returns the name of an export as a file can bear it: letters, digits, `_`, `-` and inner points stay, every other
/// byte becomes `%` and two hexadecimal digits; what is too long ends in a digest of the whole.
pub fn file_stem(name: &str) -> String {
    let mut stem = String::new();
    for character in name.chars() {
        let plain = character.is_alphanumeric() || "_-".contains(character);
        if plain || (character == '.' && !stem.is_empty()) {
            stem.push(character);
        } else {
            let mut bytes = [0; 4];
            character.encode_utf8(&mut bytes).bytes().for_each(|byte| stem.push_str(&format!("%{byte:02X}")));
        }
    }
    if stem.len() <= LONGEST {
        return stem;
    }
    let mut end = LONGEST - 17;
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{}", &stem[..end], &hash::sha256_hex(name)[..16])
}

fn csv_path(folder: &Path, stem: &str) -> PathBuf {
    folder.join(format!("{stem}.csv.gz"))
}

fn json_path(folder: &Path, stem: &str) -> PathBuf {
    folder.join(format!("{stem}.json"))
}

fn io_error(place: &Path, doing: &'static str, source: io::Error) -> Error {
    Error::Io { place: place.to_path_buf(), doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_stay_readable() {
        assert_eq!(file_stem("public.training_metric"), "public.training_metric");
        assert_eq!(file_stem("Größe-2"), "Größe-2");
        assert_eq!(file_stem("../etc"), "%2E.%2Fetc");
        assert_eq!(file_stem("a\nb \"c\""), "a%0Ab%20%22c%22");
    }

    #[test]
    fn what_a_killed_export_left_goes_and_what_is_being_written_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name);
        let names = [".ripcord-export-dead", ".ripcord-export-empty", ".ripcord-export-busy", "notes.txt"];
        names.iter().for_each(|name| fs::write_durable(&place(name), b"half").expect("a file"));
        fs::write_durable(&place(names[1]), b"").expect("a file");
        let busy = OpenOptions::new().append(true).open(place(names[2])).expect("a file");
        busy.lock().expect("a lock");
        let draft = Draft::begin(folder.path(), vec!["t".to_string()]).expect("a draft");
        let own = draft.temporary().expect("a file");
        let left: Vec<bool> = names.iter().map(|name| place(name).exists()).collect();
        assert_eq!(left, [false, true, true, true]);
        // A second one at work in the same folder leaves it alone.
        own.as_file().write_all(b"half").expect("written");
        Draft::begin(folder.path(), vec!["u".to_string()]).expect("a draft");
        assert!(own.path().exists());
    }

    proptest! {
        #[test]
        fn any_name_is_one_short_visible_file(name in "\\PC{1,300}") {
            let stem = file_stem(&name);
            prop_assert!(stem.len() <= LONGEST && !stem.starts_with('.') && !stem.contains('/'));
        }

        #[test]
        fn two_names_are_two_files(one in "[a-c%./ ]{1,6}|[a-b]{181,190}", other in "[a-c%./ ]{1,6}|[a-b]{181,190}") {
            prop_assume!(one != other);
            prop_assert_ne!(file_stem(&one), file_stem(&other));
        }
    }
}
