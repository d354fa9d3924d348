//! `backup merge-back`.

use super::*;

/// The backup of the newest upgrade.
#[track_caller]
pub(super) fn upgrade_backup(sandbox: &Sandbox) -> String {
    let run = sandbox.ripcord(&["backup", "list", "--format", "json"]);
    let backups = report(&run)["result"]["backups"].clone();
    let ids = backups.as_array().expect("a list").iter();
    let ids: Vec<String> = ids
        .filter_map(|listed| listed["backup"]["manifest"]["id"].as_str().map(str::to_owned))
        .filter(|id| id.contains("-upgrade-"))
        .collect();
    ids.last().expect("an upgrade").clone()
}

const TWO: &str = "CREATE TABLE one (id INTEGER PRIMARY KEY, a INTEGER); CREATE TABLE two (id INTEGER PRIMARY KEY, b INTEGER);";
const ROWS: &str = "INSERT INTO one VALUES (1, 10); INSERT INTO two VALUES (1, 20);";
const EMPTIED: &str = "UPDATE one SET a = NULL; UPDATE two SET b = NULL;";

both_engines! {
    fn one_table_can_be_merged_alone_and_a_dry_run_changes_nothing(db: &TestDatabase) {
        let sandbox = project(db, TWO, ROWS, EMPTIED, "SELECT 1;");
        upgrade(&sandbox);
        let backup = upgrade_backup(&sandbox);
        let before = db.dump();
        let run = sandbox.ripcord(&["backup", "merge-back", &backup, "--dry-run"]);
        run.expect_code(0).stdout_has("one.a: 1 put back").stdout_has("two.b: 1 put back").stdout_has("nothing was changed");
        assert_same(&before, &db.dump(), &run);
        let run = sandbox.ripcord(&["backup", "merge-back", &backup, "--table", "two"]);
        run.expect_code(0).stdout_has("two.b: 1 put back").stdout_lacks("one.a");
        assert_eq!(db.query("SELECT a FROM one; SELECT b FROM two;"), "\n20");
        follow(&sandbox, &undo_of(&run)).expect_code(0);
        assert_same(&before, &db.dump(), &run);
    }

    fn a_dry_run_names_no_table_that_is_not_there(db: &TestDatabase) {
        let sandbox = project(db, TWO, ROWS, EMPTIED, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("UPDATE one SET a = 99;");
        let backup = upgrade_backup(&sandbox);
        let run = sandbox.ripcord(&["backup", "merge-back", &backup, "--dry-run"]);
        run.expect_code(0).stdout_has("in conflict").stdout_lacks("ripcord_conflicts_");
        run.stdout_has("a merge keeps all of them in a side table and in its backup");
        let run = sandbox.ripcord(&["backup", "merge-back", &backup, "--dry-run", "--format", "json"]);
        run.expect_code(0);
        assert_eq!(report(&run)["result"]["merge"].get("side_table"), None, "{run}");
    }

    fn recovery_of_a_merge_that_had_not_begun_says_so_and_prints_the_command_again(db: &TestDatabase) {
        let sandbox = project(db, TWO, ROWS, EMPTIED, "SELECT 1;");
        upgrade(&sandbox);
        let backup = upgrade_backup(&sandbox);
        let merge = ["backup", "merge-back", &backup, "--table", "two"];
        for (minute, step) in (1..).zip(["snapshot", "merge-back"]) {
            at(&sandbox, minute);
            sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", format!("after {{\"event\":\"started\",\"step\":\"{step}\""));
            let died = sandbox.ripcord(&merge);
            sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
            assert!(died.stderr.contains("ripcord died at checkpoint"), "{died}");
            let run = sandbox.ripcord(&["recover"]);
            run.expect_code(0).stdout_lacks("nothing to merge").stdout_has("nothing was merged");
            run.stdout_has(&format!("run it again: ripcord {}", merge.join(" ")));
        }
        at(&sandbox, 3);
        sandbox.ripcord(&merge).expect_code(0).stdout_has("two.b: 1 put back");
    }

    fn salvage_that_a_downgrade_left_is_named_by_the_next_one(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        upgrade(&sandbox);
        let first = upgrade_backup(&sandbox);
        at(&sandbox, 1);
        accepting(&sandbox, &["downgrade", "--no-merge"]).expect_code(0);
        at(&sandbox, 2);
        upgrade(&sandbox);
        at(&sandbox, 3);
        let run = accepting(&sandbox, &["downgrade"]);
        run.expect_code(0).stdout_has("never merged back").stdout_has(&format!("ripcord backup merge-back {first}"));
        at(&sandbox, 4);
        sandbox.ripcord(&["backup", "merge-back", &first]).expect_code(0).stdout_has("person.phone: 4 put back");
        // Once it is merged nothing is said of it.
        at(&sandbox, 5);
        upgrade(&sandbox);
        at(&sandbox, 6);
        accepting(&sandbox, &["downgrade"]).expect_code(0).stdout_lacks("never merged back");
    }

    fn a_downgrade_of_which_only_the_journal_is_left_names_the_backup_with_its_salvage(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        upgrade(&sandbox);
        let backup = upgrade_backup(&sandbox);
        at(&sandbox, 1);
        sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", "after {\"event\":\"started\",\"step\":\"merge-back\"");
        let died = accepting(&sandbox, &["downgrade"]);
        sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
        assert!(died.stderr.contains("ripcord died at checkpoint"), "{died}");
        std::fs::remove_dir_all(sandbox.backups().pop().expect("that of the downgrade")).expect("removed");
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0).stdout_has("nothing was compared").stdout_lacks("BACKUP");
        run.stdout_has(&format!("salvage was not merged back; later: ripcord backup merge-back {backup}\n"));
        at(&sandbox, 2);
        sandbox.ripcord(&["backup", "merge-back", &backup]).expect_code(0).stdout_has("person.phone: 4 put back");
    }

    fn salvage_whose_place_is_not_there_yet_waits_for_the_downgrade_that_is_named(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        upgrade(&sandbox);
        let backup = upgrade_backup(&sandbox);
        at(&sandbox, 1);
        let told = format!("waits for the downgrade of that upgrade, which merges it: ripcord downgrade {FIRST}\n");
        sandbox.ripcord(&["backup", "merge-back", &backup, "--dry-run"]).expect_code(0).stdout_has(&told);
        let run = sandbox.ripcord(&["backup", "merge-back", &backup]);
        run.expect_code(0).stdout_has("done       nothing was merged: there is no such column now\n").stdout_has(&told);
        at(&sandbox, 2);
        accepting(&sandbox, &["downgrade", FIRST]).expect_code(0).stdout_has("person.phone: 4 put back");
    }

    fn salvage_of_a_table_that_was_given_another_name_by_hand_is_named_with_what_leads_on(db: &TestDatabase) {
        let sandbox = project(db, TWO, ROWS, EMPTIED, "SELECT 1;");
        upgrade(&sandbox);
        let backup = upgrade_backup(&sandbox);
        db.execute("ALTER TABLE one RENAME TO uno;");
        let merge = ["backup", "merge-back", &backup, "--table", "one"];
        let run = sandbox.ripcord(&merge);
        run.expect_code(0).stdout_has("one, values: there is no such table now").stdout_lacks("one, rows");
        run.stdout_has("done       nothing was merged: there is no such table now\n");
        run.stdout_has(&format!("give it its name again, and then: ripcord backup merge-back {backup}"));
        db.execute("ALTER TABLE uno RENAME TO one;");
        at(&sandbox, 1);
        sandbox.ripcord(&["backup", "merge-back", &backup]).expect_code(0).stdout_has("one.a: 1 put back");
    }

    fn merging_twice_is_merging_once(db: &TestDatabase) {
        let sandbox = project(db, TWO, ROWS, EMPTIED, "SELECT 1;");
        upgrade(&sandbox);
        let backup = upgrade_backup(&sandbox);
        sandbox.ripcord(&["backup", "merge-back", &backup]).expect_code(0);
        let before = db.dump();
        let run = sandbox.ripcord(&["backup", "merge-back", &backup]);
        run.expect_code(0).stdout_has("0 put back, 1 there already").stdout_has("nothing to merge");
        assert_same(&before, &db.dump(), &run);
    }

    fn a_second_merge_says_that_what_users_deleted_since_the_first_one_comes_back(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, "DELETE FROM person WHERE id < 3;", "SELECT 1;");
        upgrade(&sandbox);
        let backup = upgrade_backup(&sandbox);
        let merge = ["backup", "merge-back", backup.as_str()];
        let (said, saying) = (format!("backup {backup} was merged before, by "), "come back with a second merge");
        downgrade(&sandbox);
        sandbox.ripcord(&merge).expect_code(0).stdout_lacks(saying);
        db.execute("DELETE FROM person WHERE id = 2;");
        sandbox.ripcord(&["backup", "merge-back", &backup, "--dry-run"]).expect_code(0).stdout_has(&said);
        let run = sandbox.ripcord(&merge);
        run.expect_code(0).stdout_has("1 put back").stdout_has(&said).stdout_has(saying);
    }

    fn a_backup_without_salvage_and_a_table_without_any_are_refused(db: &TestDatabase) {
        let sandbox = project(db, TWO, ROWS, "UPDATE one SET a = NULL;", "SELECT 1;");
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let run = sandbox.ripcord(&["backup", "merge-back", "latest"]);
        run.expect_code(3).stderr_has("holds no salvage").stderr_has("nothing was changed").stderr_has("next: ");
        at(&sandbox, 1);
        upgrade(&sandbox);
        let backup = upgrade_backup(&sandbox);
        let run = sandbox.ripcord(&["backup", "merge-back", &backup, "--table", "two"]);
        run.expect_code(3).stderr_has("holds no salvage of table two");
        run.stderr_has(&format!("next: see what it holds with \"ripcord backup show {backup}\"\n"));
    }
}

#[test]
fn a_session_that_a_merge_waited_for_is_named() {
    let db = TestDatabase::postgres();
    let sandbox = project(&db, TWO, ROWS, EMPTIED, "SELECT 1;");
    upgrade(&sandbox);
    let backup = upgrade_backup(&sandbox);
    sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"4s\"\nretries = 0\n");
    let mut session = db.session();
    session.execute("BEGIN; UPDATE one SET a = 7;");
    let run = sandbox.ripcord(&["backup", "merge-back", &backup]);
    run.expect_code(4).stderr_has("idle in transaction) holds a lock on public.one, in a transaction since");
    run.stderr_has("state: nothing was changed")
        .stderr_has("next: end that transaction, or its session: SELECT pg_terminate_backend(");
    session.execute("ROLLBACK;");
    sandbox.ripcord(&["backup", "merge-back", &backup]).expect_code(0).stdout_has("one.a: 1 put back");
}
