//! A live database that is broken is the reason for a restore, never an obstacle: the backup comes back, the broken file
//! is kept.

use std::fs;
use std::path::{Path, PathBuf};

use crate::promise::*;
use crate::support::*;

const PAGE: usize = 4096;

/// A filled database with a backup; its dump; and its bytes, broken by this.
fn broken(db: &TestDatabase, mode: &str, break_it: fn(&mut Vec<u8>)) -> (Sandbox, String, Vec<u8>) {
    let sandbox = filled_sample_of(db);
    db.execute(&format!(
        "PRAGMA journal_mode = {mode};
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
INSERT INTO training_metric (config_id, epoch, step, train_loss, eval_loss) SELECT 1, i, i, i, i FROM n;"
    ));
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    let before = db.dump();
    let mut bytes = fs::read(db.file()).unwrap();
    break_it(&mut bytes);
    fs::write(db.file(), &bytes).unwrap();
    at(&sandbox, 2);
    (sandbox, before, bytes)
}

/// What a restore has kept beside the database.
fn kept_beside(sandbox: &Sandbox, db: &TestDatabase) -> Vec<PathBuf> {
    let folder = db.file().parent().unwrap();
    let names = sandbox.files(folder).into_iter().filter(|name| name.contains("app.db.pre-restore-"));
    names.map(|name| folder.join(name)).collect()
}

fn is_same_file(path: &Path, bytes: &[u8]) -> bool {
    fs::read(path).unwrap() == bytes
}

/// The old bytes are kept, the old rows are back, and the database goes on as any other.
fn comes_back_after(break_it: fn(&mut Vec<u8>)) {
    for mode in ["delete", "wal"] {
        let db = TestDatabase::sqlite();
        let (sandbox, before, bytes) = broken(&db, mode, break_it);
        assert!(db.try_query("SELECT sum(step) FROM training_metric;").is_err(), "it is not broken");

        let run = sandbox.ripcord(&["restore", "latest"]);
        run.expect_code(0);
        assert_same(&before, &db.dump(), &run);
        assert_eq!(db.query("PRAGMA integrity_check; PRAGMA journal_mode;"), format!("ok\n{mode}"));
        let kept = kept_beside(&sandbox, &db);
        assert!(matches!(kept.as_slice(), [one] if is_same_file(one, &bytes)), "{mode}: {kept:?}\n{run}");
        run.stdout_has(&format!("is kept as {}", kept[0].display()));
        sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
        at(&sandbox, 3);
        sandbox.ripcord(&["downgrade"]).expect_code(0);
    }
}

#[test]
fn a_restore_replaces_a_file_whose_header_is_garbage_and_keeps_it() {
    comes_back_after(|bytes| bytes[..100].fill(0x5A));
}

#[test]
fn a_restore_replaces_a_database_with_a_malformed_page_in_the_middle_and_keeps_it() {
    comes_back_after(|bytes| {
        let middle = bytes.len() / PAGE / 2 * PAGE;
        bytes[middle..middle + PAGE].fill(0xAA);
    });
}

#[test]
fn a_restore_replaces_a_database_of_which_only_the_header_is_whole_and_keeps_it() {
    comes_back_after(|bytes| bytes[100..].fill(0xAA));
}

#[test]
fn a_restore_replaces_a_file_that_was_cut_off_and_keeps_it() {
    comes_back_after(|bytes| bytes.truncate(bytes.len() / 2));
}

#[test]
fn a_restore_replaces_a_file_whose_header_names_an_unknown_format_and_keeps_it() {
    comes_back_after(|bytes| bytes[44..48].fill(9));
}

#[test]
fn a_restore_says_that_the_present_state_is_not_sound_and_saves_it_as_it_is() {
    let db = TestDatabase::sqlite();
    // Free pages that are none: every row can be read.
    let (sandbox, before, bytes) = broken(&db, "delete", |bytes| bytes[32..40].fill(0x7F));
    let run = sandbox.ripcord(&["restore", "latest"]);
    run.expect_code(0).stderr_has("the present database is not sound");
    assert_same(&before, &db.dump(), &run);
    let saved = sandbox.backups().pop().unwrap();
    assert!(is_same_file(&saved.join("snapshot/database.db"), &bytes), "{run}");
    assert!(kept_beside(&sandbox, &db).is_empty(), "{run}");
}

/// Wherever the restore dies, recovery comes to an end without help, the broken file or the backup is in its place, and
/// the restore can be run again.
fn can_be_recovered_after(break_it: fn(&mut Vec<u8>)) {
    let db = TestDatabase::sqlite();
    let (sandbox, before, bytes) = broken(&db, "delete", break_it);
    let backup = name_of(&sandbox.backups().pop().unwrap());
    let folder = db.file().parent().unwrap();
    for checkpoint in 1.. {
        for name in sandbox.files(folder) {
            fs::remove_file(folder.join(name)).unwrap();
        }
        fs::write(db.file(), &bytes).unwrap();
        sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", checkpoint.to_string());
        let died = sandbox.ripcord(&["restore", &backup]);
        sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
        if died.code == 0 {
            assert!(checkpoint > 20, "checkpoints are missing\n{died}");
            return;
        }
        assert!(died.stderr.contains("ripcord died at checkpoint"), "{died}");
        let recovered = sandbox.ripcord(&["recover"]);
        recovered.expect_code(0);
        match is_same_file(db.file(), &bytes) {
            true => drop(recovered.stdout_lacks("holds the snapshot again")),
            false => assert_same(&before, &db.dump(), &died),
        }
        let again = sandbox.ripcord(&["restore", &backup]);
        again.expect_code(0);
        assert_same(&before, &db.dump(), &died);
        let kept = kept_beside(&sandbox, &db);
        assert!(kept.iter().any(|kept| is_same_file(kept, &bytes)), "{kept:?}\n{died}\n{recovered}\n{again}");
        let left: Vec<_> =
            sandbox.files(folder).into_iter().filter(|name| name.contains("partial")).collect();
        assert_eq!(left, [""; 0], "{died}");
    }
}

#[test]
fn a_restore_over_a_malformed_page_that_dies_anywhere_can_be_recovered() {
    can_be_recovered_after(|bytes| bytes[PAGE..2 * PAGE].fill(0xAA));
}

#[test]
fn a_restore_over_a_garbage_header_that_dies_anywhere_can_be_recovered() {
    can_be_recovered_after(|bytes| bytes[..100].fill(0x5A));
}

#[test]
fn an_upgrade_that_died_and_whose_file_broke_then_is_undone_when_that_is_asked_for() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    sandbox.add(&changes_data(ADD_PROCESS_RANK));
    let before = db.dump();
    // Until it dies in the migration.
    for checkpoint in 1.. {
        sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", checkpoint.to_string());
        let died = sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]);
        sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
        if died.stderr.contains("before line") {
            break;
        }
        assert!(died.stderr.contains("ripcord died at checkpoint"), "{died}");
        sandbox.ripcord(&["recover"]).expect_code(0);
    }
    let mut bytes = fs::read(db.file()).unwrap();
    bytes.truncate(PAGE);
    fs::write(db.file(), &bytes).unwrap();

    let run = sandbox.ripcord(&["recover"]);
    run.expect_code(5);
    assert_eq!(next_of(&run), ["recover", "--undo"], "{run}");
    assert!(is_same_file(db.file(), &bytes), "{run}");
    sandbox.ripcord(&["restore", "latest"]).expect_code(8);
    let undone = follow(&sandbox, &next_of(&run));
    undone.expect_code(0);
    assert_same(&before, &db.dump(), &undone);
    let kept = kept_beside(&sandbox, &db);
    assert!(matches!(kept.as_slice(), [one] if is_same_file(one, &bytes)), "{kept:?}\n{undone}");
    undone.stdout_has(&format!("is kept as {}", kept[0].display()));
    sandbox.ripcord(&["upgrade"]).expect_code(0);
}
