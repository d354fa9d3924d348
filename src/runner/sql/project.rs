//! The folder of a project: its revision files, the history they make, and new ones.
//!
//! Needs no database. Promises that nothing is written before everything about it was checked, and that no file is
//! ever replaced.

use std::path::{Path, PathBuf};

use super::alembic;
use super::file::{FileError, FileProblem, RevisionFile, load_directory};
use super::planning::{self, State};
use super::template::NewRevision;
use crate::base::fs;
use crate::catalog::EngineKind;
use crate::history::{Direction, History, HistoryError, Revision, RevisionId};
use crate::plan::Plan;
use crate::runner::Error;

/// A folder with revision files in its `versions`.
#[derive(Debug, Clone)]
pub struct Project {
    folder: PathBuf,
}

/// What a new revision is to be.
#[derive(Debug, Clone)]
pub struct Request {
    /// What continues where: each a form of the identifier grammar. `head` is the usual one, `base` begins a new root,
    /// several make a merge.
    pub heads: Vec<String>,
    /// Whether it may continue a revision that is no head, and so begin a branch.
    pub splice: bool,
    /// Everything else that the file says; its parents are replaced by what `heads` mean.
    pub revision: NewRevision,
}

impl Project {
    pub fn new(folder: impl Into<PathBuf>) -> Project {
        Project { folder: folder.into() }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads every revision file, in the order of their names.
    pub fn files(&self) -> Result<Vec<RevisionFile>, Error> {
        let files = load_directory(&self.folder).map_err(|error| match &*error.problem {
            FileProblem::Unreadable(source)
                if source.kind() == std::io::ErrorKind::NotFound && error.path == self.versions() =>
            {
                Error::NoProject { folder: self.folder.clone() }
            }
            _ => error.into(),
        })?;
        match alembic::revisions(&self.folder).len() as u64 {
            count if files.is_empty() && count > 0 => {
                Err(Error::AllOfAlembic { versions: self.versions(), count })
            }
            _ => Ok(files),
        }
    }

    fn versions(&self) -> PathBuf {
        self.folder.join("versions")
    }

    /// Reads the files and builds their history.
    pub fn history(&self) -> Result<History, Error> {
        history_of(&self.files()?)
    }

    /// Plans the way from these version rows without asking a database. What it remembers of applied files is not known.
    pub fn plan_from(
        &self,
        engine: EngineKind,
        rows: Vec<RevisionId>,
        direction: Direction,
        target: &str,
    ) -> Result<Plan, Error> {
        let made = planning::make(&self.files()?, &State::at(engine, rows), direction, target);
        made.map_err(|error| alembic::named(&self.folder, error))
    }

    /// Makes the folder of a new project and returns what was made.
    ///
    /// # Errors
    /// Refuses, in Alembic's words, a folder that holds anything.
    pub fn init(&self) -> Result<Vec<PathBuf>, Error> {
        let io = |place: &Path, doing| {
            let place = place.to_owned();
            move |source| Error::Io { place, doing, source }
        };
        if self.folder.exists() {
            let mut entries = std::fs::read_dir(&self.folder).map_err(io(&self.folder, "listed"))?;
            if entries.next().is_some() {
                let detail = format!("Directory {} already exists and is not empty", self.folder.display());
                return Err(Error::Usage { detail });
            }
        }
        let versions = self.versions();
        std::fs::create_dir_all(&versions).map_err(io(&versions, "created"))?;
        let readme = self.folder.join("README.md");
        // Git keeps no empty folder, and without it a clone would be no project.
        let keep = versions.join(".gitkeep");
        for (path, text) in [(&readme, README), (&keep, "")] {
            fs::write_durable_mode(path, text.as_bytes(), SHARED).map_err(io(path, "written"))?;
        }
        Ok(vec![versions, readme])
    }

    /// Writes a new revision file and returns its path.
    ///
    /// # Errors
    /// Refuses an identifier or a file name that exists, a parent that is no head unless `splice` is set, and whatever
    /// would make the history unsound (a label that is taken, an unknown dependency): all before anything is written.
    pub fn add(&self, request: Request) -> Result<PathBuf, Error> {
        let files = self.files()?;
        let history = history_of(&files)?;
        let parents = parents(&history, &request)?;
        let depends_on = dependencies(&history, &request.revision.depends_on)?;
        let new = NewRevision { parents, depends_on, ..request.revision };
        let path = self.versions().join(new.file_name());
        if let Some(existing) = history.get(&new.id) {
            return Err(Error::Exists { place: existing.place.clone() });
        }
        if path.exists() {
            return Err(Error::Exists { place: path.display().to_string() });
        }
        let text = new.text();
        // Read back what is going to be written: a file that could not be loaded would block every later command.
        let file = RevisionFile::parse(&path, text.as_bytes())?;
        let read = &file.revision;
        if (&read.labels, &read.depends_on) != (&new.labels, &new.depends_on) {
            let detail = "a label or a dependency is one word without commas".to_owned();
            return Err(Error::Usage { detail });
        }
        history_of(files.iter().chain([&file]))?;
        fs::write_durable_mode(&path, text.as_bytes(), SHARED).map_err(|source| Error::Io {
            place: path.clone(),
            doing: "written",
            source,
        })?;
        Ok(path)
    }
}

/// Revision files are source code: everybody on the project may read them.
const SHARED: u32 = 0o644;

const README: &str = "\
# Migrations

One file in `versions/` holds one revision, with its way up and its way down. `ripcord revision -m \"what it does\"`
writes the frame of a new one; `ripcord upgrade` runs what is new, after a snapshot that is proven to restore.
A file that was applied is remembered by its SHA-256, and its upgrade must not change any more: write a new revision
instead. Its downgrade may be mended.
";

/// Builds the history of these files.
pub(super) fn history_of<'a>(files: impl IntoIterator<Item = &'a RevisionFile>) -> Result<History, Error> {
    let revisions: Vec<Revision> = files.into_iter().map(|file| file.revision.clone()).collect();
    Ok(History::new(revisions)?)
}

/// What the requested heads mean, in order, each once.
fn parents(history: &History, request: &Request) -> Result<Vec<RevisionId>, Error> {
    let heads = history.heads();
    if request.heads.iter().any(|head| head == "head") && heads.len() > 1 {
        let heads: Vec<&str> = heads.iter().map(|head| head.id.as_str()).collect();
        let detail = format!(
            "Multiple heads are present; please specify the head revision on which the new revision should be based, \
             or perform a merge (the heads are {})",
            heads.join(", ")
        );
        return Err(Error::Usage { detail });
    }
    let mut parents: Vec<RevisionId> = Vec::new();
    for head in &request.heads {
        for found in absolute(history, head)? {
            if !history.is_head(&found.id) && !request.splice {
                let detail = format!(
                    "Revision {} is not a head revision; please specify --splice to create a new branch from this revision",
                    found.id
                );
                return Err(Error::Usage { detail });
            }
            if !parents.contains(&found.id) {
                parents.push(found.id.clone());
            }
        }
    }
    Ok(parents)
}

/// What dependencies mean, by their full identifiers. A branch label stays as it is written: it says more than where it
/// is at present.
fn dependencies(history: &History, written: &[String]) -> Result<Vec<String>, Error> {
    let is_label = |name: &String| history.in_load_order().iter().any(|other| other.labels.contains(name));
    let mut found = Vec::new();
    for name in written {
        if is_label(name) {
            found.push(name.clone());
            continue;
        }
        let revisions = absolute(history, name)?;
        if revisions.is_empty() {
            return Err(Error::Usage { detail: format!("a revision cannot depend on '{name}'") });
        }
        found.extend(revisions.iter().map(|revision| revision.id.to_string()));
    }
    Ok(found)
}

/// Resolves a symbol in a place where no database is asked.
pub fn absolute<'a>(history: &'a History, symbol: &str) -> Result<Vec<&'a Revision>, HistoryError> {
    if symbol.starts_with('+') || symbol.contains("@+") {
        return Err(HistoryError::OffsetNotAccepted { symbol: symbol.to_owned() });
    }
    if symbol == "current" {
        return Err(HistoryError::Unknown { symbol: symbol.to_owned(), near: Vec::new() });
    }
    history.resolve_many(symbol, &[])
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Error {
        Error::File { place: error.place(), source: error.problem }
    }
}
