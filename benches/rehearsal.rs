//! A rehearsal beyond the restore that it shares with the proof, beside the same migration by hand: up, down, up.

use crate::Setup;
use crate::data;
use crate::process::{ADDS_A_COLUMN, RIPCORD, project};
use crate::race::median;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const UP: &str = "ALTER TABLE training_metric ADD COLUMN note TEXT";
const DOWN: &str = "ALTER TABLE training_metric DROP COLUMN note";
const FILL: &str = "UPDATE training_metric SET note = 'epoch ' || epoch";
/// The steps of a rehearsal that the proof does not share.
const STEPS: [&str; 3] = ["rehearse", "rehearse-back", "rehearse-again"];

/// The usual small change of a large table of SQLite.
pub fn sqlite(setup: &Setup) {
    let source = data::sqlite(&setup.folder, setup.megabytes);
    let folder = setup.folder.join("project");
    project(&folder);
    let live = folder.join("database.db");
    data::copy(&source, &live);
    let copy = setup.folder.join("copy.db");
    let by_hand = || {
        let _ = std::fs::remove_file(&copy);
        data::copy(&source, &copy);
        let began = Instant::now();
        for sql in [UP, DOWN, UP] {
            crate::sqlite::sqlite3(&copy, sql);
        }
        began.elapsed().as_secs_f64()
    };
    side_by_side(setup, "SQLite", by_hand, || rehearsed(&folder, "sqlite:///database.db"));
}

/// The same on PostgreSQL, where such a change writes no row; and one that fills the column, which writes them all.
pub fn postgres(setup: &Setup) {
    let source = crate::postgres::filled(setup);
    let folder = setup.folder.join("project");
    project(&folder);
    let url = source.url();
    for (engine, up) in [("PostgreSQL", UP.to_string()), ("PostgreSQL, filled", format!("{UP}; {FILL}"))] {
        std::fs::write(
            folder.join("migrations/versions/0000000000aa_add_a_note.sql"),
            ADDS_A_COLUMN.replace(UP, &up),
        )
        .expect("written");
        let by_hand = || {
            let began = Instant::now();
            for sql in [&up, DOWN, &up] {
                source.execute(&format!("BEGIN; {sql}; COMMIT"));
            }
            let took = began.elapsed().as_secs_f64();
            source.execute(DOWN);
            source.server().psql("app", "VACUUM (FULL, ANALYZE) training_metric; CHECKPOINT");
            took
        };
        side_by_side(setup, engine, by_hand, || rehearsed(&folder, &url));
    }
}

fn side_by_side(setup: &Setup, engine: &str, mut by_hand: impl FnMut() -> f64, ripcord: impl Fn() -> f64) {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..setup.rounds {
        theirs.push(by_hand());
        ours.push(ripcord());
    }
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    println!(
        "\nRehearsal beyond the restore, one column added and dropped, {engine}, {} MB, {} rounds:\n\
         up, down, up by hand {:.3} s; ripcord {:.3} s; ratio {:.2}",
        setup.megabytes,
        setup.rounds,
        median(&theirs),
        median(&ours),
        median(&ratios)
    );
}

/// Rehearses, and returns how many seconds lay between the beginnings and ends of the rehearsal's own steps.
fn rehearsed(folder: &Path, url: &str) -> f64 {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(RIPCORD)
        .args(["rehearse", "--format", "json", "--database-url", url])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("ripcord runs");
    let mut seconds = 0.0;
    let mut began = None;
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        let line: serde_json::Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        // Events come as they happen; the clock here is good enough for seconds.
        let is_own = line["step"].as_str().is_some_and(|step| STEPS.contains(&step));
        match line["event"].as_str() {
            Some("step-started") if is_own => began = Some(Instant::now()),
            Some("step-finished") if is_own => {
                seconds += began.take().map_or(0.0, |began: Instant| began.elapsed().as_secs_f64());
            }
            _ => {}
        }
    }
    assert!(child.wait().expect("waited for").success());
    assert!(seconds > 0.0, "no step of a rehearsal was seen");
    seconds
}
