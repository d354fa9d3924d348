//! The whole program, from the outside.

use crate::Setup;
use crate::data;
use crate::race::{Contestant, race};
use ripcord::catalog::DatabaseId;
use ripcord::journal::{Entry, Journal, Operation};
use ripcord::report::Kind;
use std::path::Path;
use std::process::{Command, Stdio};

pub const RIPCORD: &str = env!("CARGO_BIN_EXE_ripcord");

/// A revision on top of the sample's head: the usual small change of a large table.
pub const ADDS_A_COLUMN: &str = "-- Add a note\n--\n-- ripcord:revision    0000000000aa\n\
    -- ripcord:revises     5f2c81d0a3be\n\n-- ripcord:upgrade\nALTER TABLE training_metric ADD COLUMN note TEXT;\n\n\
    -- ripcord:downgrade\nALTER TABLE training_metric DROP COLUMN note;\n";

pub fn run(folder: &Path, arguments: &[&str]) {
    let status = Command::new(RIPCORD)
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::null())
        .env_remove("DATABASE_URL")
        .status()
        .expect("ripcord runs");
    assert!(status.success(), "{arguments:?}: {status}");
}

/// Makes a project with the sample and one revision more.
pub fn project(folder: &Path) {
    data::fresh(folder);
    let status = Command::new("cp").args(["-r", "migrations"]).arg(folder).status().expect("cp runs");
    assert!(status.success());
    std::fs::write(folder.join("migrations/versions/0000000000aa_add_a_note.sql"), ADDS_A_COLUMN)
        .expect("written");
}

/// Begins an operation, for calls that want to journal.
pub fn operation(journal: &Journal, database: &DatabaseId) -> Operation {
    let id = journal.new_id(Kind::Restore);
    let begun = Entry::Begun {
        operation: id.clone(),
        kind: Kind::Restore,
        database: database.clone(),
        direction: None,
        target: None,
        from: Vec::new(),
        to: Vec::new(),
        who: "bench".to_string(),
        process: std::process::id(),
        version: "bench".to_string(),
    };
    journal.begin(&id, begun).expect("begun")
}

/// A guarded upgrade of a large file, full proof, beside a bare copy of the file.
pub fn sqlite_upgrade(setup: &Setup) {
    let source = data::sqlite(&setup.folder, setup.megabytes);
    let folder = setup.folder.join("project");
    let copy = setup.folder.join("copy.db");
    race(
        &format!("Guarded upgrade of SQLite, full proof, {} MB", setup.megabytes),
        setup.rounds,
        vec![
            Contestant::new("cp + fsync of the file", || {
                data::copy(&source, &copy);
                data::sync(&copy);
            })
            .prepared(|| {
                let _ = std::fs::remove_file(&copy);
            }),
            Contestant::new("ripcord upgrade", || run(&folder, &["upgrade", "-q"])).prepared(|| {
                project(&folder);
                data::copy(&source, &folder.join("database.db"));
                data::sync(&folder.join("database.db"));
            }),
        ],
    );
}

/// What must feel instant.
pub fn small(setup: &Setup) {
    let folder = setup.folder.join("small");
    let ready = setup.folder.join("ready");
    project(&ready);
    run(&ready, &["upgrade", "-q"]);
    race(
        "Whole process, empty database",
        setup.rounds.max(11),
        vec![
            Contestant::new("true(1), for scale", || {
                assert!(Command::new("true").status().expect("true runs").success());
            }),
            Contestant::new("ripcord current", || run(&ready, &["current"])),
            Contestant::new("ripcord upgrade of the sample", || run(&folder, &["upgrade", "5f2c81d0a3be"]))
                .prepared(|| project(&folder)),
        ],
    );
}
