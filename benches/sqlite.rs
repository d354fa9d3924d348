//! SQLite: snapshot, fingerprint, restore.

use crate::Setup;
use crate::data;
use crate::race::{Contestant, race};
use ripcord::engine::sqlite::{OpenOptions, SqliteDatabase};
use ripcord::engine::{Database, Snapshot};
use ripcord::journal::Journal;
use ripcord::report::Progress;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn open(path: &Path) -> SqliteDatabase {
    SqliteDatabase::open(path, OpenOptions::default()).expect("opens")
}

pub fn sqlite3(database: &Path, command: &str) {
    let status = Command::new("sqlite3").arg(database).arg(command).status().expect("sqlite3 runs");
    assert!(status.success());
}

/// A sealed copy (synced, with its SHA-256) beside `cp` + fsync, which is not even safe, and `.backup`.
pub fn snapshot(setup: &Setup) {
    let source = data::sqlite(&setup.folder, setup.megabytes);
    snapshot_of(setup, &source, "SQLite snapshot, rollback journal");
}

/// The same in WAL mode, while another process writes all the time.
pub fn snapshot_wal(setup: &Setup) {
    let source = setup.folder.join("wal.db");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", source.display()));
    }
    data::copy(&data::sqlite(&setup.folder, setup.megabytes), &source);
    sqlite3(&source, "PRAGMA journal_mode = WAL");
    let writer = Writer::start(&source);
    snapshot_of(setup, &source, "SQLite snapshot, WAL, with a live writer");
    drop(writer);
}

/// Another process that commits small transactions until it is ended, or for a quarter of an hour at most.
struct Writer(std::process::Child);

impl Writer {
    fn start(database: &Path) -> Self {
        let script = format!(
            "while true; do echo \"UPDATE training_config SET epochs = epochs + 1 WHERE id = 1;\"; done | \
             exec timeout 900 sqlite3 -cmd '.timeout 20000' '{}'",
            database.display()
        );
        let child = Command::new("sh").process_group(0).args(["-c", &script]).spawn().expect("a writer");
        Self(child)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The shell's pipeline is a group of processes: all of it ends, not only the shell.
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

const BACKUP: &str = "sqlite3 .backup (20 s: given up)";

fn snapshot_of(setup: &Setup, source: &Path, title: &str) {
    let runtime = runtime();
    let copies = data::fresh(&setup.folder.join("copies"));
    let clear = || {
        data::fresh(&copies);
        setup.cool(source);
    };
    let (cp, backup, ours) = (copies.join("cp.db"), copies.join("backup.db"), copies.join("ours"));
    let database = open(source);
    race(
        &format!("{title}, {} MB, {}", setup.megabytes, setup.temperature()),
        setup.rounds,
        vec![
            Contestant::new("cp + fsync", || {
                data::copy(source, &cp);
                data::sync(&cp);
            })
            .prepared(clear),
            Contestant::new(BACKUP, || {
                // It begins anew whenever another process commits: beside a busy writer it never comes to an end.
                let status = Command::new("timeout")
                    .args(["20", "sqlite3"])
                    .arg(source)
                    .arg(format!(".backup '{}'", backup.display()))
                    .status()
                    .expect("sqlite3 runs");
                assert!(status.success() || status.code() == Some(124));
            })
            .prepared(clear),
            Contestant::new("ripcord, sealed", || {
                runtime.block_on(database.copy_only(&ours, &Progress::silent())).expect("a snapshot");
            })
            .prepared(|| {
                clear();
                std::fs::create_dir(&ours).expect("made");
            }),
        ],
    );
}

/// Rows and every column, beside a scan that steps over the rows and reads none of them.
pub fn fingerprint(setup: &Setup) {
    let source = data::sqlite(&setup.folder, setup.megabytes);
    let runtime = runtime();
    let database = open(&source);
    race(
        &format!("SQLite fingerprint, {} MB, {}", setup.megabytes, setup.temperature()),
        setup.rounds,
        vec![
            Contestant::new("step-only scan, one thread", || step_only(&source))
                .prepared(|| setup.cool(&source)),
            Contestant::new("ripcord, rows and every column", || {
                let print =
                    runtime.block_on(database.fingerprint_only(&Progress::silent())).expect("a fingerprint");
                assert!(print.rows() > data::rows(setup.megabytes));
            })
            .prepared(|| setup.cool(&source)),
        ],
    );
}

fn step_only(path: &Path) {
    let connection = rusqlite::Connection::open(path).expect("opens");
    let mut statement = connection.prepare("SELECT * FROM training_metric").expect("prepares");
    let mut rows = statement.query([]).expect("queries");
    let mut count = 0_u64;
    while rows.next().expect("steps").is_some() {
        count += 1;
    }
    assert!(count > 0);
}

/// Into the live file, beside `sqlite3 .restore`.
pub fn restore(setup: &Setup) {
    let source = data::sqlite(&setup.folder, setup.megabytes);
    let runtime = runtime();
    let folder = data::fresh(&setup.folder.join("snapshot"));
    let taken: Snapshot =
        runtime.block_on(open(&source).snapshot(&folder, &Progress::silent())).expect("a snapshot");
    let (theirs, mine) = (setup.folder.join("theirs.db"), setup.folder.join("mine.db"));
    let live = |path: &Path| {
        data::copy(&source, path);
        sqlite3(path, "UPDATE training_metric SET process_rank = 0 WHERE id % 100 = 0");
        data::sync(path);
        setup.cool(path);
        setup.cool(&folder);
    };
    let journal = Journal::open(&setup.folder.join("journal"), Arc::new(ripcord::base::SystemClock));
    let file = folder.join("database.db");
    race(
        &format!("SQLite restore in place, {} MB, {}", setup.megabytes, setup.temperature()),
        setup.rounds,
        vec![
            Contestant::new("sqlite3 .restore", || {
                sqlite3(&theirs, &format!(".restore '{}'", file.display()))
            })
            .prepared(|| live(&theirs)),
            Contestant::new("ripcord, stage and swap", || {
                let database = open(&mine);
                let operation = crate::process::operation(&journal, database.identity());
                runtime
                    .block_on(async {
                        // What is replaced must be known to be saved: nobody has written since the mark.
                        database.mark().await?;
                        let staged = database
                            .stage(&folder, &taken.inventory, operation.id(), &Progress::silent())
                            .await?;
                        assert!(staged.differences.is_empty(), "{:?}", staged.differences);
                        database.swap(&staged, operation.id(), &operation.script_log()).await
                    })
                    .expect("restored");
            })
            .prepared(|| live(&mine)),
        ],
    );
}
