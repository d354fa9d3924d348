//! Revisions of Alembic in the folder of a project: they are not run here, but what is wrong with a name may be that it is one
//! of theirs.

use crate::history::HistoryError;
use crate::runner::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the files of Alembic's revisions in the folder of a project, in the order of their names.
pub(super) fn revisions(folder: &Path) -> Vec<PathBuf> {
    // What cannot be read is no hint; whoever needs the folder says that it cannot be.
    let entries = fs::read_dir(folder.join("versions")).into_iter().flatten().flatten();
    let python = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.ends_with(".py") && !name.starts_with(['.', '_']) && !path.is_dir()
    };
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(python).collect();
    found.sort();
    found
}

/// Returns the same error, or that the revision which nobody knows is one of Alembic's.
pub(super) fn named(folder: &Path, error: Error) -> Error {
    let revision = match &error {
        Error::History(HistoryError::UnknownRow { row, .. }) => row.as_str(),
        Error::History(HistoryError::Unknown { symbol, .. }) => symbol.as_str(),
        _ => return error,
    };
    match revisions(folder).into_iter().find(|path| is_of(path, revision)) {
        Some(place) => Error::OfAlembic { revision: revision.to_string(), place },
        None => error,
    }
}

/// Tells whether a file is of this revision: it says so in itself, whatever the file is called.
fn is_of(path: &Path, revision: &str) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut said = text.lines().filter_map(|line| line.strip_prefix("revision")?.split_once('='));
    said.any(|(_, value)| value.trim().trim_matches(['"', '\'']) == revision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs::write_durable;

    #[test]
    fn a_revision_is_known_by_what_its_file_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let versions = folder.path().join("versions");
        fs::create_dir(&versions).expect("made");
        let says =
            |name: &str, text: &str| write_durable(&versions.join(name), text.as_bytes()).expect("written");
        says("b.py", "\"\"\"two\"\"\"\nrevision: str = 'bbbb'\ndown_revision = 'aaaa'\n");
        says("a.py", "revision = \"aaaa\"\n");
        says("__init__.py", "");
        let unknown = |symbol: &str| {
            let error = HistoryError::Unknown { symbol: symbol.to_string(), near: Vec::new() };
            named(folder.path(), error.into()).to_string()
        };
        assert_eq!(revisions(folder.path()), [versions.join("a.py"), versions.join("b.py")]);
        assert!(unknown("bbbb").contains("b.py"), "{}", unknown("bbbb"));
        assert!(unknown("aaaa").contains("a.py"), "a parent that another file names is not that file");
        assert!(unknown("cccc").starts_with("Can't locate"));
    }
}
