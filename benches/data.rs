//! The data: mostly rows of `training_metric`, with an index, as the sample project has them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Rows of `training_metric` that make about a megabyte of SQLite file.
const ROWS_A_MEGABYTE: u64 = 15_900;

pub const CONFIGS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) \
    INSERT INTO training_config (model_type, dataset_name, batch_size, learning_rate, epochs, max_seq_length, \
    warmup_steps) SELECT 'model-' || (i % 7), 'data-' || (i % 13), 16 + i % 5, 0.001 * i, 3, 512, 100 FROM n";

pub fn rows(megabytes: u64) -> u64 {
    megabytes * ROWS_A_MEGABYTE
}

/// Makes (once for each size) a SQLite database at the sample's head, and returns its path.
pub fn sqlite(folder: &Path, megabytes: u64) -> PathBuf {
    let path = folder.join(format!("source-{megabytes}.db"));
    if path.exists() {
        return path;
    }
    let partial = path.with_extension("partial");
    let _ = std::fs::remove_file(&partial);
    let connection = rusqlite::Connection::open(&partial).expect("a database");
    let sql = format!(
        "PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;
         CREATE TABLE training_config (id INTEGER PRIMARY KEY AUTOINCREMENT, model_type VARCHAR(50) NOT NULL,
           dataset_name VARCHAR(100) NOT NULL, batch_size INTEGER NOT NULL, learning_rate FLOAT NOT NULL,
           epochs INTEGER NOT NULL, max_seq_length INTEGER NOT NULL, warmup_steps INTEGER NOT NULL,
           created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
         CREATE TABLE training_metric (id INTEGER PRIMARY KEY AUTOINCREMENT,
           config_id INTEGER NOT NULL REFERENCES training_config (id), epoch INTEGER NOT NULL, step INTEGER NOT NULL,
           train_loss FLOAT NOT NULL, eval_loss FLOAT NOT NULL, timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
           process_rank INTEGER);
         {CONFIGS};
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO training_metric (config_id, epoch, step, train_loss, eval_loss, timestamp, process_rank)
           SELECT 1 + i % 400, i % 10, i, 1.0 / (i % 9973 + 1), 1.1 / (i % 7919 + 1), '2026-11-23 18:15:00', i % 8 FROM n;
         CREATE INDEX ix_metric_config ON training_metric (config_id);
         CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,
           CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
         INSERT INTO alembic_version VALUES ('5f2c81d0a3be');",
        rows = rows(megabytes)
    );
    connection.execute_batch(&sql).expect("the data is made");
    drop(connection);
    sync(&partial);
    std::fs::rename(&partial, &path).expect("renamed");
    path
}

/// Copies a file with the system's cp.
pub fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status().expect("cp runs");
    assert!(status.success());
}

pub fn sync(path: &Path) {
    std::fs::File::open(path).and_then(|file| file.sync_all()).expect("synced");
}

/// Drops a file, or every file below a folder, from the page cache (posix_fadvise(2)), so that the next read is cold.
pub fn forget(path: &Path) {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("listed").flatten();
        return entries.for_each(|entry| forget(&entry.path()));
    }
    if !path.is_file() {
        return;
    }
    let file = std::fs::File::open(path).expect("opened");
    file.sync_all().expect("synced");
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advised");
}

/// Makes an empty folder.
pub fn fresh(path: &Path) -> PathBuf {
    let _ = std::fs::remove_dir_all(path);
    std::fs::create_dir_all(path).expect("made");
    path.to_path_buf()
}
