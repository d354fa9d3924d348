//! Merging salvage back, beside the SQL that a careful person would write.
//!
//! A column of a large table is dropped by a real guarded upgrade, which salvages it, and made anew, empty, by a real
//! downgrade. What is measured is the merge itself: reading the file, putting a million values where they belong by key,
//! and the check that they are there.

use crate::Setup;
use crate::data;
use crate::process::{project, run};
use crate::race::{Contestant, race};
use crate::sqlite::{runtime, sqlite3};
use ripcord::engine::sqlite::{OpenOptions, SqliteDatabase};
use ripcord::engine::{Database, MergeMode, Piece};
use ripcord::journal::ScriptLog;
use ripcord::report::Progress;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::runtime::Runtime;

const DROPS_A_COLUMN: &str = "-- Drop the rank\n--\n-- ripcord:revision    0000000000ab\n\
    -- ripcord:revises     5f2c81d0a3be\n\n-- ripcord:upgrade\nALTER TABLE training_metric DROP COLUMN process_rank;\n\n\
    -- ripcord:downgrade\nALTER TABLE training_metric ADD COLUMN process_rank INTEGER;\n";

/// How many values are merged: a million, or what the size gives.
fn values(setup: &Setup) -> u64 {
    data::rows(setup.megabytes).min(1_000_000)
}

/// Lets a guarded upgrade salvage the column and a downgrade make it anew; returns the file and what ripcord reads of it.
fn salvage(folder: &Path, url: &str) -> (PathBuf, Vec<Piece>) {
    std::fs::write(folder.join("migrations/versions/0000000000ab_drop_the_rank.sql"), DROPS_A_COLUMN)
        .expect("written");
    std::fs::remove_file(folder.join("migrations/versions/0000000000aa_add_a_note.sql")).expect("removed");
    let accept = if url.starts_with("sqlite") { "training_metric" } else { "public.training_metric" };
    let accept = format!("drops-column:{accept}.process_rank");
    run(folder, &["upgrade", "-q", "--database-url", url, "--accept", &accept]);
    run(
        folder,
        &["downgrade", "-q", "--no-merge", "--no-rehearsal", "--accept", "opaque", "--database-url", url],
    );
    let mut backups: Vec<PathBuf> = std::fs::read_dir(folder.join("backups"))
        .expect("listed")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    backups.retain(|path| path.to_string_lossy().contains("-upgrade-"));
    let exports = backups.pop().expect("a backup").join("exports");
    let found = ripcord::tabular::salvaged(&exports, &|_| true).expect("salvage");
    let file = exports.join(&found[0].0.file);
    (file, found.into_iter().map(|(_, piece)| piece).collect())
}

fn merge(runtime: &Runtime, database: &dyn Database, pieces: &[Piece], expected: u64) {
    let merged = runtime
        .block_on(database.merge_back(
            pieces,
            MergeMode::Write,
            "bench",
            &ScriptLog::unrecorded(),
            &Progress::silent(),
        ))
        .expect("merged");
    assert_eq!(merged.count(), expected);
}

/// A million values into a table of SQLite.
pub fn sqlite(setup: &Setup) {
    let runtime = runtime();
    let folder = data::fresh(&setup.folder.join("merge"));
    project(&folder);
    let live = folder.join("database.db");
    data::copy(&data::sqlite(&setup.folder, setup.megabytes), &live);
    let rows = values(setup);
    sqlite3(&live, &format!("UPDATE training_metric SET process_rank = NULL WHERE id > {rows}"));
    let (file, pieces) = salvage(&folder, "sqlite:///database.db");
    let csv = folder.join("rank.csv");
    let empty = || {
        sqlite3(&live, "UPDATE training_metric SET process_rank = NULL");
        let _ = std::fs::remove_file(&csv);
    };
    let update =
        "UPDATE training_metric SET process_rank = l.process_rank FROM l WHERE l.id = training_metric.id";
    let by_hand = format!(
        "CREATE TEMP TABLE l (id INTEGER PRIMARY KEY, process_rank INTEGER);\n.import --csv --skip 1 {} l\n{update};",
        csv.display()
    );
    race(
        &format!("Merge back of {rows} values by key, SQLite table of {} MB", setup.megabytes),
        setup.rounds,
        vec![
            Contestant::new("by hand: gunzip, .import, UPDATE … FROM", || {
                let script = format!(
                    "gunzip -c '{}' > '{}' && sqlite3 '{}'",
                    file.display(),
                    csv.display(),
                    live.display()
                );
                pipe(&script, &by_hand);
            })
            .prepared(empty),
            Contestant::new("ripcord, checked", || {
                let database = SqliteDatabase::open(&live, OpenOptions::default()).expect("opens");
                merge(&runtime, &database, &pieces, rows);
            })
            .prepared(empty),
        ],
    );
}

/// A million values into a table of PostgreSQL; and what its loading takes of that.
pub fn postgres(setup: &Setup) {
    let runtime = runtime();
    let source = crate::postgres::filled(setup);
    let folder = data::fresh(&setup.folder.join("merge"));
    project(&folder);
    let rows = values(setup);
    source.execute(&format!("UPDATE training_metric SET process_rank = NULL WHERE id > {rows}"));
    let (file, pieces) = salvage(&folder, &source.url());
    let database = crate::postgres::connect(&runtime, &source, &folder);
    let empty = || {
        source.execute("UPDATE training_metric SET process_rank = NULL WHERE process_rank IS NOT NULL");
        source.server().psql("app", "VACUUM (FULL, ANALYZE) training_metric; CHECKPOINT");
    };
    let psql =
        format!("'{}' -X -q -1 -d '{}'", source.server().bin_dir().join("psql").display(), source.url());
    let load = format!(
        "CREATE TEMP TABLE l (id INTEGER, process_rank INTEGER);\n\
         \\copy l FROM PROGRAM 'gunzip -c {}' CSV HEADER\n",
        file.display()
    );
    let update = "UPDATE training_metric t SET process_rank = l.process_rank FROM l WHERE l.id = t.id;\n";
    race(
        &format!(
            "Merge back of {rows} values by key, PostgreSQL table of {} rows",
            data::rows(setup.megabytes)
        ),
        setup.rounds,
        vec![
            Contestant::new("by hand: \\copy, ANALYZE, UPDATE … FROM", || {
                pipe(&psql, &format!("{load}ANALYZE l;\n{update}"));
            })
            .prepared(empty),
            Contestant::new("ripcord, checked", || merge(&runtime, &database, &pieces, rows)).prepared(empty),
        ],
    );
}

/// Runs a shell command with text on its standard input.
fn pipe(command: &str, input: &str) {
    use std::io::Write;
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("sh runs");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("written");
    assert!(child.wait().expect("waited for").success(), "{command}");
}
