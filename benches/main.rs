//! Side-by-side benchmarks: each job beside its peer, on the same data, in the same run, in turn.
//!
//! ```text
//! cargo bench -- all                                250 MB, five rounds, warm
//! cargo bench -- sqlite-snapshot --megabytes 1000 --rounds 7 --cold
//! ```
//!
//! Prints for each contestant the median wall time, the median of the ratios to the first one, round by round, the CPU
//! time of this process and its children, and the peak of resident memory. The figures of record are in
//! `docs/performance.md`. Nothing here is a test: a machine has good and bad days.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a benchmark measures and speaks for itself"
)]

mod data;
mod export;
mod load;
mod merge;
mod postgres;
mod process;
mod race;
mod rehearsal;
mod sqlite;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

/// What is asked for on the command line.
pub struct Setup {
    pub megabytes: u64,
    pub rounds: usize,
    /// Drop the source from the page cache before each run. A server's own buffers stay filled.
    pub cold: bool,
    /// Where data and results lie while it runs; a disk, not memory.
    pub folder: PathBuf,
}

type Job = (&'static str, fn(&Setup));

const JOBS: [Job; 17] = [
    ("sqlite-snapshot", sqlite::snapshot),
    ("sqlite-snapshot-wal", sqlite::snapshot_wal),
    ("sqlite-fingerprint", sqlite::fingerprint),
    ("sqlite-restore", sqlite::restore),
    ("sqlite-upgrade", process::sqlite_upgrade),
    ("small", process::small),
    ("postgres-snapshot", postgres::snapshot),
    ("postgres-fingerprint", postgres::fingerprint),
    ("postgres-swap", postgres::swap),
    ("postgres-upgrade", postgres::upgrade),
    ("export-sqlite", export::sqlite),
    ("export-postgres", export::postgres),
    ("load-postgres", load::postgres),
    ("merge-sqlite", merge::sqlite),
    ("merge-postgres", merge::postgres),
    ("rehearsal-sqlite", rehearsal::sqlite),
    ("rehearsal-postgres", rehearsal::postgres),
];

impl Setup {
    fn temperature(&self) -> &'static str {
        if self.cold { "cold" } else { "warm" }
    }

    /// Makes a file, or all files of a folder, as cold as was asked for.
    fn cool(&self, place: &Path) {
        if self.cold {
            data::forget(place);
        }
    }
}

fn main() {
    let mut setup =
        Setup { megabytes: 250, rounds: 5, cold: false, folder: PathBuf::from("target/bench-data") };
    let mut asked = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|text| text.parse().ok()).expect("a number follows");
        match word.as_str() {
            "--megabytes" => setup.megabytes = number(),
            "--rounds" => setup.rounds = number() as usize,
            "--cold" => setup.cold = true,
            "--folder" => setup.folder = words.next().expect("a folder follows").into(),
            // What `cargo bench` adds by itself.
            "--bench" => {}
            _ => asked.push(word),
        }
    }
    std::fs::create_dir_all(&setup.folder).expect("the folder can be made");
    for (name, job) in JOBS {
        let engine = name.split('-').next().unwrap_or(name);
        if asked.iter().any(|word| word == "all" || word == name || word == engine) {
            job(&setup);
        }
    }
    if asked.is_empty() {
        println!("jobs: all, sqlite, postgres, {}", JOBS.map(|(name, _)| name).join(", "));
    }
}
