//! Wherever ripcord dies, and whatever recovery does then: what another program wrote in between is in the database
//! afterwards, or in a backup.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::promise::*;
use crate::support::*;

const THEIRS: &str = "INSERT INTO training_config (model_type, dataset_name, batch_size, learning_rate, epochs, max_seq_length, warmup_steps)
VALUES ('theirs', 'd', 1, 0.5, 1, 1, 1);";
const COUNT_THEIRS: &str = "SELECT count(*) FROM training_config WHERE model_type = 'theirs';";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success(), "{} cannot be copied", from.display());
}

/// Goes back to a copy of the project and of the database's folder.
fn reset(sandbox: &Sandbox, db: &TestDatabase, kept: &Path) {
    for (name, place) in places(sandbox, db) {
        fs::remove_dir_all(&place).unwrap();
        copy(&kept.join(name), &place);
    }
}

fn places(sandbox: &Sandbox, db: &TestDatabase) -> [(&'static str, PathBuf); 2] {
    [("project", sandbox.project()), ("database", db.file().parent().unwrap().to_path_buf())]
}

/// Runs a command that dies at every checkpoint in turn; somebody writes, and recovery comes to its end.
fn survive(sandbox: &Sandbox, db: &TestDatabase, command: &[&str], code: i32) {
    let kept = tempfile::tempdir().unwrap();
    for (name, place) in places(sandbox, db) {
        copy(&place, &kept.path().join(name));
    }
    for checkpoint in 1.. {
        reset(sandbox, db, kept.path());
        sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", checkpoint.to_string());
        let died = sandbox.ripcord(command);
        sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
        if !died.stderr.contains("ripcord died at checkpoint") {
            died.expect_code(code);
            assert!(checkpoint > 20, "checkpoints are missing\n{died}");
            return;
        }
        let was_put_back = journals(sandbox).contains(r#""name":"put-back""#);
        db.execute(THEIRS);
        let mut recovered = sandbox.ripcord(&["recover"]);
        if recovered.stderr.contains("recover --undo") {
            recovered = sandbox.ripcord(&["recover", "--undo"]);
        }
        assert!([0, 4].contains(&recovered.code), "{died}\n{recovered}");
        let is_saved = |backup: &PathBuf| {
            let file = backup.join("snapshot/database.db");
            // The first backup is of a database without any table.
            sandbox.run("sqlite3", &["-readonly", file.to_str().unwrap(), COUNT_THEIRS]).stdout == "1\n"
        };
        let is_named = |backup: &PathBuf| recovered.stdout.contains(&format!("restore {}", name_of(backup)));
        let live = db.query(COUNT_THEIRS) == "1";
        let saved = sandbox.backups().iter().any(|backup| is_saved(backup) && is_named(backup));
        assert!(live || saved, "a row of others is lost\n{died}\n{recovered}");
        assert!(live || !was_put_back, "it was put back twice\n{died}\n{recovered}");
        sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
    }
}

fn journals(sandbox: &Sandbox) -> String {
    let folder = sandbox.path("backups/.operations");
    sandbox.files(&folder).into_iter().map(|name| sandbox.read(folder.join(name))).collect()
}

#[test]
fn what_others_write_when_a_restore_died_is_not_lost() {
    for mode in ["delete", "wal"] {
        let db = TestDatabase::sqlite();
        let sandbox = filled_sample_of(&db);
        db.execute(&format!("PRAGMA journal_mode = {mode};"));
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let backup = name_of(&sandbox.backups().pop().unwrap());
        db.execute("DELETE FROM training_metric WHERE id > 7;");
        at(&sandbox, 2);
        survive(&sandbox, &db, &["restore", &backup], 0);
    }
}

#[test]
fn what_others_write_when_a_putting_back_died_is_not_lost() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    // Verification holds against the migration what the trigger does, and the snapshot is put back.
    db.execute(
        "CREATE TRIGGER forget AFTER UPDATE ON training_config
BEGIN DELETE FROM training_metric WHERE config_id = NEW.id AND step > 10; END;",
    );
    sandbox.add(&changes_data(ADD_PROCESS_RANK));
    survive(&sandbox, &db, &["upgrade", "--no-rehearsal", "--accept", "opaque"], 4);
}
