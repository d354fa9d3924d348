//! Tables as compressed CSV, beside the usual pipe into gzip.

use crate::Setup;
use crate::data;
use crate::race::{Contestant, race};
use crate::sqlite::runtime;
use ripcord::base::{Clock, SystemClock};
use ripcord::engine::sqlite::{OpenOptions, SqliteDatabase};
use ripcord::engine::{Database, Selection};
use ripcord::report::Progress;
use ripcord::tabular::Draft;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// `training_metric` of SQLite.
pub fn sqlite(setup: &Setup) {
    let source = data::sqlite(&setup.folder, setup.megabytes);
    let database = SqliteDatabase::open(&source, OpenOptions::default()).expect("opens");
    let theirs = setup.folder.join("theirs.csv.gz");
    let pipe = format!(
        "sqlite3 -csv -header '{}' 'SELECT * FROM training_metric' | gzip -6 > '{}'",
        source.display(),
        theirs.display()
    );
    beside(setup, "SQLite", &database, "training_metric", ("sqlite3 -csv | gzip -6", &pipe), &theirs);
}

/// `training_metric` of PostgreSQL.
pub fn postgres(setup: &Setup) {
    let runtime = runtime();
    let source = crate::postgres::filled(setup);
    let database = crate::postgres::connect(&runtime, &source, &setup.folder);
    let theirs = setup.folder.join("theirs.csv.gz");
    let pipe = format!(
        "'{}' -X -q -d '{}' -c '\\copy training_metric to stdout csv header' | gzip -6 > '{}'",
        source.server().bin_dir().join("psql").display(),
        source.url(),
        theirs.display()
    );
    beside(
        setup,
        "PostgreSQL",
        &database,
        "public.training_metric",
        ("psql \\copy | gzip -6", &pipe),
        &theirs,
    );
}

fn beside(
    setup: &Setup,
    engine: &str,
    database: &dyn Database,
    table: &str,
    (name, pipe): (&str, &str),
    theirs: &Path,
) {
    let folder = setup.folder.join("exports");
    race(
        &format!("{engine} table to CSV.gz, {} rows", data::rows(setup.megabytes)),
        setup.rounds,
        vec![
            Contestant::new(name, || {
                assert!(Command::new("sh").args(["-c", pipe]).status().expect("sh runs").success());
            }),
            Contestant::new("ripcord, with digest and SHA-256, synced", || {
                exported(&folder, database, table);
            }),
        ],
    );
    let ours: PathBuf = folder.join(format!("{table}.csv.gz"));
    let size = |path: &Path| path.metadata().expect("written").len() as f64 / 1e6;
    let (ours, theirs) = (size(&ours), size(theirs));
    println!("size: {ours:.1} MB beside {theirs:.1} MB, {:.3}", ours / theirs);
}

/// Exports a table into a folder of its own; returns the file.
pub fn exported(folder: &Path, database: &dyn Database, table: &str) -> PathBuf {
    data::fresh(folder);
    let selections = [Selection::Table(table.to_string())];
    let draft = Arc::new(Draft::begin(folder, vec![selections[0].name().to_string()]).expect("a draft"));
    let exported = runtime()
        .block_on(database.export_rows(&selections, draft.clone(), &Progress::silent()))
        .expect("exported");
    let made = ripcord::tabular::Made::all(&selections, exported);
    draft.publish(&made, database.identity(), SystemClock.now()).expect("published");
    folder.join(format!("{table}.csv.gz"))
}
