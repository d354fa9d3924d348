//! A crash right after the commit of a merge, and users who go on before anybody recovers.

use super::by_hand::upgrade_backup;
use super::*;

const MADE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(20), x VARCHAR(20));";
const ROWS: &str = "INSERT INTO t VALUES (1, 'ann', 'x1'), (2, 'bob', 'x2'), (3, 'cyd', 'x3');";
const UP: &str = "DELETE FROM t WHERE id = 2; ALTER TABLE t DROP COLUMN x;";
const DOWN: &str = "ALTER TABLE t ADD COLUMN x VARCHAR(20);";
const ALL: &str = "SELECT id, name, x FROM t ORDER BY id;";
/// What users do with what came back.
const USERS: &str = "DELETE FROM t WHERE id = 2; UPDATE t SET x = NULL WHERE id = 3;";
const THEIRS: &str = "1|ann|x1\n3|cyd|";

/// Upgraded, with the salvage in the backup of the upgrade.
fn lossy(db: &TestDatabase) -> Sandbox {
    let sandbox = project(db, MADE, ROWS, UP, DOWN);
    upgrade(&sandbox);
    at(&sandbox, 1);
    sandbox
}

#[track_caller]
fn dies(sandbox: &Sandbox, place: &str, command: &[&str]) {
    sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", place);
    let died = accepting(sandbox, command);
    sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
    assert!(died.stderr.contains("ripcord died at checkpoint"), "{died}");
}

/// Makes the journal of the operation that died one of a version that wrote down nothing of its merge.
fn forget_what_was_written_down(sandbox: &Sandbox) {
    let folder = sandbox.path("backups/.operations");
    for name in sandbox.files(&folder) {
        let place = folder.join(name);
        let kept: String = sandbox
            .read(&place)
            .split_inclusive('\n')
            .filter(|line| {
                !line.contains("\"name\":\"merge-transaction\"") && !line.contains("\"name\":\"merged\"")
            })
            .collect();
        std::fs::write(place, kept).expect("the journal is writable");
    }
}

const COMMITTED: &str = "after the commit of a merge";

both_engines! {
    fn what_users_deleted_after_a_downgrade_that_died_behind_its_merge_stays_deleted(db: &TestDatabase) {
        for place in [COMMITTED, "after {\"event\":\"finished\",\"step\":\"merge-back\""] {
            let sandbox = lossy(db);
            dies(&sandbox, place, &["downgrade"]);
            assert_eq!(db.query(ALL), "1|ann|x1\n2|bob|x2\n3|cyd|x3", "{place}");
            db.execute(USERS);
            let run = sandbox.ripcord(&["recover"]);
            run.expect_code(0).stdout_has("had taken place before the crash").stdout_has("t.x: 2 put back");
            assert_eq!(db.query(ALL), THEIRS, "{place}: {run}");
            sandbox.ripcord(&["verify"]).expect_code(0);
            sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("nothing to recover");
            assert!(!db.tables().contains("ripcord_merged"), "{}", db.tables());
            leaves_nothing_behind(&sandbox, db);
            forget(db);
        }
    }

    fn what_users_deleted_after_a_merge_by_hand_that_died_behind_its_commit_stays_deleted(db: &TestDatabase) {
        let sandbox = lossy(db);
        let backup = upgrade_backup(&sandbox);
        accepting(&sandbox, &["downgrade", "--no-merge"]).expect_code(0);
        at(&sandbox, 2);
        dies(&sandbox, COMMITTED, &["backup", "merge-back", &backup]);
        db.execute(USERS);
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0).stdout_lacks("nothing was merged").stdout_lacks("run it again");
        run.stdout_has("had taken place before the crash").stdout_has("t.x: 2 put back").stdout_has("other sessions may have written");
        assert_eq!(db.query(ALL), THEIRS, "{run}");
        sandbox.ripcord(&["verify"]).expect_code(0);
        assert!(!db.tables().contains("ripcord_merged"), "{}", db.tables());
        leaves_nothing_behind(&sandbox, db);
    }

    fn a_merge_that_died_before_its_commit_is_done_by_recovery(db: &TestDatabase) {
        let sandbox = lossy(db);
        dies(&sandbox, "before the commit of a merge", &["downgrade"]);
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0).stdout_has("t.x: 2 put back").stdout_lacks("before the crash");
        assert_eq!(db.query(ALL), "1|ann|x1\n2|bob|x2\n3|cyd|x3", "{run}");
        assert!(!db.tables().contains("ripcord_merged"), "{}", db.tables());
    }

    fn the_conflicts_of_a_merge_that_died_behind_its_commit_are_kept_as_files(db: &TestDatabase) {
        let sandbox = project(db, MADE, ROWS, "UPDATE t SET x = NULL;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("UPDATE t SET x = 'mine' WHERE id = 1;");
        at(&sandbox, 1);
        dies(&sandbox, COMMITTED, &["downgrade"]);
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0).stdout_has("t.x: 2 put back, 1 in conflict").stdout_has("ripcord_conflicts_");
        let kept = sandbox.backups().pop().expect("that of the downgrade").join("conflicts.csv.gz");
        assert!(kept.exists(), "{}", kept.display());
    }

    fn a_merge_of_which_nobody_can_tell_whether_it_took_place_is_left_to_a_person(db: &TestDatabase) {
        let sandbox = lossy(db);
        let backup = upgrade_backup(&sandbox);
        dies(&sandbox, COMMITTED, &["downgrade"]);
        db.execute(USERS);
        forget_what_was_written_down(&sandbox);
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0).stdout_has("cannot be told whether the merge had taken place").stdout_has(&format!("ripcord backup merge-back {backup} --dry-run"));
        assert_eq!(db.query(ALL), THEIRS, "{run}");
    }

    fn a_merge_by_hand_of_which_nobody_can_tell_and_nothing_is_left_is_not_said_to_have_taken_place(db: &TestDatabase) {
        let sandbox = lossy(db);
        let backup = upgrade_backup(&sandbox);
        accepting(&sandbox, &["downgrade", "--no-merge"]).expect_code(0);
        at(&sandbox, 2);
        // Before its commit: then users delete whatever it could put back.
        dies(&sandbox, "before the commit of a merge", &["backup", "merge-back", &backup]);
        db.execute("DELETE FROM t; INSERT INTO t (id, name, x) VALUES (2, 'bob', 'x2');");
        forget_what_was_written_down(&sandbox);
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0).stdout_lacks("it had taken place before the crash").stdout_lacks("the salvage is merged");
        run.stdout_has("there is nothing left to merge; whether it had taken place cannot be told");
        sandbox.ripcord(&["verify"]).expect_code(0);
        sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("nothing to recover");
    }

    fn recovery_without_a_backup_writes_down_that_a_merge_had_taken_place(db: &TestDatabase) {
        let sandbox = lossy(db);
        dies(&sandbox, COMMITTED, &["downgrade"]);
        let saved = sandbox.backups().pop().expect("that of the downgrade");
        std::fs::remove_dir_all(&saved).expect("removed");
        sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("it had taken place before the crash");
        assert!(!db.tables().contains("ripcord_merged"), "{}", db.tables());
        // Otherwise it would count as salvage that nobody has merged.
        at(&sandbox, 3);
        upgrade(&sandbox);
        accepting(&sandbox, &["downgrade"]).expect_code(0).stdout_has("put back").stdout_lacks("never merged back");
    }
}
