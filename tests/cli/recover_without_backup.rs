//! `recover` when the backup of the interrupted operation, or its journal, is damaged or gone: there is always a way out.

use std::path::PathBuf;

use crate::promise::*;
use crate::support::*;

/// Dies where the journal is about to get this line.
fn dies_before(sandbox: &Sandbox, event: &str, arguments: &[&str]) {
    sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", format!("before {{\"event\":\"{event}\""));
    sandbox.ripcord(arguments).expect_code(-6);
    sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
}

/// Moves the newest backup out of the folder of backups; returns where it was and where it is.
fn lose_the_newest(sandbox: &Sandbox) -> (PathBuf, PathBuf) {
    let was = sandbox.backups().pop().expect("a backup");
    let is = sandbox.path(name_of(&was));
    std::fs::rename(&was, &is).expect("moved away");
    (was, is)
}

fn damage_the_newest(sandbox: &Sandbox) {
    let place = sandbox.backups().pop().expect("a backup").join("before.json");
    std::fs::write(&place, "{}").expect("damaged");
}

/// The newest journal, with a line of it made unreadable: the last one whose text has this.
fn damage_the_journal(sandbox: &Sandbox, text: &str) -> PathBuf {
    let newest = sandbox.files("backups/.operations").pop().expect("a journal");
    let place = sandbox.path("backups/.operations").join(newest);
    let was = std::fs::read_to_string(&place).expect("a journal");
    let at = was.rfind(text).unwrap_or_else(|| panic!("{text} is not in {was}"));
    let line = was[..at].rfind('\n').map_or(0, |end| end + 1);
    std::fs::write(&place, format!("{}#{}", &was[..line], &was[line + 1..])).expect("damaged");
    place
}

both_engines! {
    fn what_was_committed_ends_as_changed_although_its_backup_is_gone(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        dies_before(&sandbox, "ended", &["downgrade"]);
        lose_the_newest(&sandbox);
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0).stdout_has(&format!("the database is at {CREATE_TABLES}"));
        run.stdout_has("there is no backup").stdout_has("nothing was compared");
        assert_eq!(db.version(), CREATE_TABLES);
        at(&sandbox, 2);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
    }

    fn what_had_not_begun_to_change_ends_as_unchanged_although_its_backup_is_damaged(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let before = db.dump();
        dies_before(&sandbox, "script-started", &["downgrade"]);
        damage_the_newest(&sandbox);
        for arguments in [["recover"].as_slice(), &["recover", "--undo"]] {
            let run = sandbox.ripcord(arguments);
            run.expect_code(0);
            assert_same(&before, &db.dump(), &run);
        }
        sandbox.ripcord(&["log"]).expect_code(0).stdout_lacks("UNFINISHED").stdout_has("unchanged");
        at(&sandbox, 2);
        sandbox.ripcord(&["downgrade"]).expect_code(0);
    }

    fn what_stands_half_way_without_a_backup_is_ended_by_a_persons_word(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let older = name_of(&sandbox.backups()[0]);
        let half_way = Revision::new("ffff00000001").revises(ADD_PROCESS_RANK).directive("transaction", "none");
        sandbox.add(&half_way.upgrade("UPDATE training_config SET epochs = 77;\nSELECT 1;").downgrade("SELECT 1;"));
        dies_before(&sandbox, "statement-finished", &["upgrade", "--no-rehearsal", "--accept", "opaque"]);
        let (was, is) = lose_the_newest(&sandbox);
        let before = db.dump();
        for arguments in [["recover"].as_slice(), &["recover", "--undo"]] {
            let run = sandbox.ripcord(arguments);
            run.expect_code(5);
            says_three_parts(&run, &format!("there is no backup {}", name_of(&was)));
            run.stderr_has("in statement 1 of revision ffff00000001").stderr_has(ADD_PROCESS_RANK);
            run.stderr_has("next: ripcord recover --accept-as-is").stderr_has(&older);
            assert_same(&before, &db.dump(), &run);
        }
        for arguments in [["backup", "create"].as_slice(), &["upgrade"], &["downgrade"], &["rehearse"], &["restore", &older], &["stamp", "head"]] {
            let run = sandbox.ripcord(arguments);
            run.expect_code(8).stderr_lacks("as it was before").stderr_has("next: ripcord recover");
            says_three_parts(&run, &format!("{} had begun to write", name_of(&was)));
        }
        let run = sandbox.ripcord(&["--format", "json", "upgrade"]);
        assert_eq!(report(&run.expect_code(8).clone())["error"]["aftermath"], "unknown");

        sandbox.env("USER", "carol");
        let run = sandbox.ripcord(&["recover", "--accept-as-is"]);
        run.expect_code(0).stdout_has("by your word").stdout_has("carol@").stdout_has(ADD_PROCESS_RANK);
        assert_same(&before, &db.dump(), &run);
        let log = sandbox.ripcord(&["log"]);
        log.expect_code(0).stdout_has("as a person said").stdout_lacks("UNFINISHED");
        at(&sandbox, 2);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        // The backup that turns up again can still be restored.
        std::fs::rename(is, &was).expect("moved back");
        at(&sandbox, 3);
        sandbox.ripcord(&["restore", &name_of(&was)]).expect_code(0);
        assert_eq!(db.query("SELECT count(*) FROM training_config WHERE epochs = 77;"), "0");
    }

    fn a_restore_that_took_place_ends_so_although_what_it_replaced_is_gone(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let restored = name_of(&sandbox.backups()[1]);
        let before = db.dump();
        db.execute("DELETE FROM training_metric;");
        at(&sandbox, 2);
        dies_before(&sandbox, "finished\",\"step\":\"swap", &["restore", &restored]);
        lose_the_newest(&sandbox);
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0).stdout_has("holds the snapshot again");
        assert_same(&before, &db.dump(), &run);
    }

    fn a_completed_restore_is_recovered_with_its_undo(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        db.execute("DELETE FROM training_metric;");
        let moved_on = db.dump();
        at(&sandbox, 2);
        dies_before(&sandbox, "ended", &["restore", "latest"]);
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0);
        at(&sandbox, 3);
        let undone = follow(&sandbox, &undo_of(&run));
        undone.expect_code(0);
        assert_same(&moved_on, &db.dump(), &undone);
    }

    fn a_damaged_journal_of_an_operation_that_ended_blocks_nothing_and_is_listed(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        damage_the_journal(&sandbox, "\"started\"");
        for arguments in [["recover"].as_slice(), &["rehearse"], &["backup", "create"], &["verify"]] {
            sandbox.ripcord(arguments).expect_code(0);
        }
        sandbox.ripcord(&["log"]).expect_code(0).stdout_has("changed, DAMAGED in line");
        at(&sandbox, 2);
        sandbox.ripcord(&["downgrade"]).expect_code(0);
    }

    fn a_damaged_journal_that_did_not_end_is_ended_by_a_persons_word(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let before = db.dump();
        dies_before(&sandbox, "started\",\"step\":\"migrate", &["downgrade"]);
        damage_the_journal(&sandbox, "\"started\"");
        for arguments in [["recover"].as_slice(), &["downgrade"], &["backup", "create"]] {
            let run = refuses(&sandbox, db, arguments, 8, "cannot be read");
            run.stderr_has("next: ripcord log ").stderr_has("next: ripcord recover --accept-as-is");
        }
        let run = sandbox.ripcord(&["recover", "--accept-as-is"]);
        run.expect_code(0);
        assert_same(&before, &db.dump(), &run);
        sandbox.ripcord(&["log"]).expect_code(0).stdout_has("as a person said, DAMAGED in line");
        at(&sandbox, 2);
        sandbox.ripcord(&["downgrade"]).expect_code(0);
    }

    fn a_journal_without_a_readable_beginning_or_end_is_named_and_can_be_moved_away(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        dies_before(&sandbox, "started\",\"step\":\"prove", &["downgrade"]);
        let place = damage_the_journal(&sandbox, "\"begun\"");
        let run = refuses(&sandbox, db, &["downgrade"], 8, "line 1 of the journal");
        run.stderr_has("move it away: mv ");
        let log = sandbox.ripcord(&["log"]);
        log.expect_code(0).stdout_has("DAMAGED in line 1: whether it ended is not known");
        std::fs::rename(&place, place.with_extension("jsonl.damaged")).expect("moved away");
        sandbox.ripcord(&["downgrade"]).expect_code(0);
    }

    fn a_verdict_is_refused_where_the_record_is_damaged(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let backup = sandbox.backups().pop().expect("a backup");
        let snapshot = match db.backend() {
            Backend::Sqlite => backup.join("snapshot/database.db"),
            Backend::Postgres => backup.join("snapshot/dump/toc.dat"),
        };
        for (place, bytes) in [
            (backup.join("before.json"), Some("{}")),
            (snapshot, Some("damaged")),
            (backup.join("SHA256SUMS"), None),
        ] {
            let was = std::fs::read(&place).expect("there");
            match bytes {
                Some(bytes) => std::fs::write(&place, bytes).expect("damaged"),
                None => std::fs::remove_file(&place).expect("removed"),
            }
            for arguments in [["verify"].as_slice(), &["verify", "latest"], &["verify", &name_of(&backup)]] {
                // A backup that lacks bytes is none that `latest` would mean.
                if !(arguments == ["verify", "latest"] || arguments == ["verify"]) || place.ends_with("SHA256SUMS") {
                    refuses(&sandbox, db, arguments, 3, "is damaged");
                }
            }
            std::fs::write(&place, was).expect("mended");
        }
        sandbox.ripcord(&["verify", "latest"]).expect_code(0);
    }

    fn a_damaged_copy_of_the_journal_keeps_no_backup_from_being_restored(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let backup = sandbox.backups().pop().expect("a backup");
        std::fs::write(backup.join("journal.jsonl"), "torn").expect("damaged");
        let before = db.dump();
        db.execute("DELETE FROM training_metric;");
        at(&sandbox, 2);
        let run = sandbox.ripcord(&["restore", &name_of(&backup)]);
        run.expect_code(0).stderr_has("journal.jsonl does not match").stderr_has("it is a copy");
        assert_same(&before, &db.dump(), &run);
        sandbox.ripcord(&["backup", "verify", &name_of(&backup)]).expect_code(6);
    }
}

/// Whose journal it is decides; the folder of backups may serve many databases.
#[test]
fn a_journal_that_is_damaged_keeps_no_other_database_from_its_work() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    dies_before(&sandbox, "started\",\"step\":\"migrate", &["downgrade"]);
    damage_the_journal(&sandbox, "\"started\"");
    at(&sandbox, 2);
    sandbox.ripcord(&["--database-url", "sqlite:///other.db", "upgrade"]).expect_code(0);
}

#[test]
fn an_operation_is_still_unfinished_when_the_folder_of_its_database_was_renamed() {
    let db = &TestDatabase::sqlite();
    let sandbox = filled_sample_of(db);
    dies_before(&sandbox, "ended", &["downgrade"]);
    let there = sandbox.path("renamed");
    std::fs::create_dir(&there).expect("made");
    let there = there.join(db.file().file_name().expect("a name"));
    std::fs::rename(db.file(), &there).expect("renamed");
    let url = format!("sqlite:///{}", there.display());
    sandbox.ripcord(&["upgrade", "--database-url", &url]).expect_code(8).stderr_has("next: ripcord recover");
    let run = sandbox.ripcord(&["recover", "--database-url", &url]);
    run.expect_code(0).stdout_has(&format!("the database is at {CREATE_TABLES}"));
    sandbox.ripcord(&["upgrade", "--database-url", &url]).expect_code(0);
    // Where the one of then is there, the other one is a copy, and nothing of it is unfinished.
    std::fs::copy(&there, db.file()).expect("copied");
    dies_before(&sandbox, "ended", &["downgrade"]);
    sandbox.ripcord(&["downgrade", "--database-url", &url]).expect_code(0);
}
