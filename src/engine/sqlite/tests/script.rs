//! `RESTORE.sh`, run by a plain shell.

use super::super::OpenOptions;
use super::support::{SHOP, Scratch, ask, snapshot};
use crate::base::{Cancel, Tool, ToolError, fs};
use crate::engine::Database;
use std::path::{Path, PathBuf};

/// A backup folder with nothing but a snapshot and the script.
async fn backup(scratch: &Scratch, name: &str) -> PathBuf {
    let database = scratch.open_with(OpenOptions::default());
    let (folder, taken) = snapshot(scratch, &database, name).await;
    let backup = folder.parent().expect("a backup folder").to_path_buf();
    fs::write_durable_mode(&backup.join("RESTORE.sh"), database.restore_script(&taken).as_bytes(), 0o700)
        .expect("written");
    backup
}

async fn run(backup: &Path, arguments: &[&str], directory: &Path) -> Result<String, ToolError> {
    let tool = Tool::new("/bin/sh").arg(backup.join("RESTORE.sh")).args(arguments).current_dir(directory);
    tool.run(&Cancel::new()).await.map(|output| output.stdout)
}

#[tokio::test]
async fn the_script_makes_a_new_database_from_any_folder_and_any_name() {
    for mode in ["delete", "wal"] {
        let scratch = Scratch::with(&format!("PRAGMA journal_mode = {mode}; {SHOP}"));
        let backup = backup(&scratch, "it's \"one\" $HOME").await;
        for name in ["new.db", "a b'c\"d$(x).db", "-dash.db"] {
            run(&backup, &[name], scratch.folder()).await.expect(name);
            let path = scratch.folder().join(name);
            assert_eq!(
                ask(&path, "SELECT count(*) FROM customer; PRAGMA journal_mode").await,
                format!("3\n{mode}")
            );
        }
    }
}

#[tokio::test]
async fn the_script_overwrites_only_when_told_to() {
    let scratch = Scratch::with(SHOP);
    let backup = backup(&scratch, "one").await;
    scratch.run("DELETE FROM purchase");
    let path = scratch.path().display().to_string();
    let error = run(&backup, &[&path], Path::new("/")).await.expect_err("refused").to_string();
    assert!(error.contains("exists") && error.contains("--overwrite"), "{error}");
    assert_eq!(scratch.ask("SELECT count(*) FROM purchase").await, "0");
    run(&backup, &[&path, "--force"], Path::new("/")).await.expect_err("not a word it knows");
    run(&backup, &[], Path::new("/")).await.expect_err("no database named");
    run(&backup, &[&path, "--overwrite"], Path::new("/")).await.expect("restored");
    assert_eq!(scratch.ask("SELECT count(*) FROM purchase").await, "3");
}

#[tokio::test]
async fn the_script_refuses_a_damaged_snapshot_before_it_touches_anything() {
    let scratch = Scratch::with(SHOP);
    let backup = backup(&scratch, "one").await;
    let file = backup.join("snapshot/database.db");
    let mut bytes = std::fs::read(&file).expect("the snapshot");
    bytes[5000] ^= 1;
    fs::write_durable(&file, &bytes).expect("damaged");
    let error = run(&backup, &["new.db"], scratch.folder()).await.expect_err("refused").to_string();
    assert!(error.contains("damaged"), "{error}");
    assert!(!scratch.folder().join("new.db").exists());
}

/// `quick_check` of sqlite3 3.40 takes the first column for one that is NULL.
#[tokio::test]
async fn the_script_says_of_a_good_restore_that_it_is_one_whatever_the_order_of_the_key() {
    let table = "CREATE TABLE w (a TEXT, b INTEGER, PRIMARY KEY (b, a)) WITHOUT ROWID; INSERT INTO w VALUES ('x', 1);";
    let scratch = Scratch::with(table);
    let backup = backup(&scratch, "one").await;
    let said = run(&backup, &["new.db"], scratch.folder()).await.expect("restored");
    assert!(said.contains("restored "), "{said}");
    assert_eq!(ask(&scratch.folder().join("new.db"), "SELECT a, b FROM w").await, "x|1");
}

/// What was wrong before the snapshot is restored as it was, and said.
#[tokio::test]
async fn the_script_restores_a_database_that_was_not_sound_and_says_so() {
    let scratch = Scratch::with(
        "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (NULL);
         PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE t (a INTEGER NOT NULL)' WHERE name = 't';",
    );
    let backup = backup(&scratch, "one").await;
    let said = run(&backup, &["new.db"], scratch.folder()).await.expect("restored");
    assert!(said.contains("restored "), "{said}");
}
