//! What the documents say is what the program does.

#![allow(clippy::disallowed_methods, reason = "tests may start tools and read files as they like")]

#[path = "../support/mod.rs"]
mod support;

mod console;
mod links;
mod reference;
mod runbooks;
mod tour;

use std::path::{Path, PathBuf};

/// The top of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn read(relative: impl AsRef<Path>) -> String {
    let path = root().join(relative);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Puts ripcord among the tools of the sandbox, under its name.
fn on_the_path(sandbox: &support::Sandbox) {
    let tools = sandbox.project().with_file_name("tools");
    std::os::unix::fs::symlink(support::ripcord_binary(), tools.join("ripcord")).expect("linked once");
}

/// The Markdown files at the top and below the folders that hold documents, relative to the top.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = ["docs", "runbooks", "migrations", "backups"].map(PathBuf::from).to_vec();
    collect(Path::new(""), &mut found, &mut Vec::new());
    while let Some(folder) = open.pop() {
        // A folder that is not there is noticed by the links that lead to it.
        if root().join(&folder).is_dir() {
            collect(&folder, &mut found, &mut open);
        }
    }
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>, folders: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(root().join(folder)).expect("the folder can be listed") {
        let entry = entry.expect("the folder can be listed");
        let path = folder.join(entry.file_name());
        if entry.path().is_dir() {
            folders.push(path);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}
