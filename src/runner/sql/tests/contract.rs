//! The native runner keeps the contract of all runners.

use super::*;
use crate::runner::contract::{self, Subject};

impl Subject for Bench {
    fn runner(&self) -> &dyn MigrationRunner {
        &self.runner
    }

    fn rows(&self) -> Vec<String> {
        Bench::rows(self)
    }

    fn everything(&self) -> String {
        let mut text = format!("{:?} {:?}", Bench::rows(self), self.ran());
        let files = std::fs::read_dir(self.folder.path().join("versions")).expect("the folder can be listed");
        let mut files: Vec<_> = files.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        for file in files {
            text.push_str(&format!("{}\n{}", file.display(), std::fs::read_to_string(&file).expect("text")));
        }
        text
    }

    fn edit(&self, revision: &str) {
        self.write(revision, parent(revision), &up_down("another"));
    }

    fn remove(&self, revision: &str) {
        let file = self.folder.path().join(format!("versions/{revision}.sql"));
        std::fs::remove_file(file).expect("it was there");
    }

    fn spoil(&self, revision: &str) {
        self.write(revision, parent(revision), "-- ripcord:upgrade\nFAIL;\n-- ripcord:downgrade\n");
    }

    fn make_irreversible(&self, revision: &str) {
        self.write(revision, parent(revision), "-- ripcord:upgrade\nCREATE TABLE a (a);\n");
    }

    fn stop_during(&self, revision: &str) {
        self.write(revision, parent(revision), "-- ripcord:upgrade\nCANCEL;\n-- ripcord:downgrade\n");
    }
}

/// The parent of each revision of [`linear`].
fn parent(revision: &str) -> &'static str {
    match revision {
        "bbbb" => "aaaa",
        "cccc" => "bbbb",
        _ => "",
    }
}

#[tokio::test]
async fn the_native_runner_keeps_the_contract() {
    contract::check(linear).await;
}
