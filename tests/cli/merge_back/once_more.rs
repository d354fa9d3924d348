//! Down and up again: what users had written into what the upgrade makes is in the backup of the downgrade.

use super::by_hand::upgrade_backup;
use super::*;

const MADE: &str = "CREATE TABLE person (id INTEGER PRIMARY KEY, name VARCHAR(20));";
const FILLED: &str = "INSERT INTO person VALUES (1, 'ann'), (2, 'bob');";
const UP: &str = "ALTER TABLE person ADD COLUMN email VARCHAR(40);
CREATE TABLE visit (id INTEGER PRIMARY KEY, person INTEGER);";
const DOWN: &str = "DROP TABLE visit; ALTER TABLE person DROP COLUMN email;";
const WRITTEN: &str = "UPDATE person SET email = 'ann@x' WHERE id = 1; INSERT INTO visit VALUES (5, 1);";
const ALL: &str = "SELECT id, coalesce(email, '-') FROM person ORDER BY id; SELECT id, person FROM visit;";

fn backup_of(run: &Run) -> String {
    report(run)["result"]["backup"]["id"].as_str().expect("a backup").to_string()
}

both_engines! {
    fn going_up_again_names_the_backup_with_what_the_downgrade_took(db: &TestDatabase) {
        let sandbox = project(db, MADE, FILLED, UP, DOWN);
        let first = upgrade(&sandbox);
        first.stdout_lacks("does not come back by itself");
        db.execute(WRITTEN);
        let written = db.query(ALL);
        at(&sandbox, 1);
        let down = accepting(&sandbox, &["downgrade", "--format", "json"]);
        down.expect_code(0);
        let backup = backup_of(&down);
        at(&sandbox, 2);
        let again = upgrade(&sandbox);
        let (person, visit) = (named(db, "person"), named(db, "visit"));
        again.stdout_has(&format!(
            "what was in {person}.email, {visit} before the downgrade {backup} does not come back by itself"
        ));
        let merge = format!("ripcord backup merge-back {backup}");
        again.stdout_has(&merge);
        at(&sandbox, 3);
        sandbox.ripcord(&["backup", "merge-back", &backup]).expect_code(0);
        assert_eq!(db.query(ALL), written);
        // It is merged: a later upgrade speaks of the newest downgrade alone.
        db.execute("DELETE FROM visit; UPDATE person SET email = NULL;");
        at(&sandbox, 4);
        accepting(&sandbox, &["downgrade"]).expect_code(0);
        at(&sandbox, 5);
        upgrade(&sandbox).stdout_lacks("does not come back by itself");
        assert_ne!(upgrade_backup(&sandbox), backup);
    }

    fn an_upgrade_after_a_downgrade_that_took_nothing_says_nothing_of_it(db: &TestDatabase) {
        let sandbox = project(db, MADE, FILLED, UP, DOWN);
        upgrade(&sandbox);
        at(&sandbox, 1);
        accepting(&sandbox, &["downgrade"]).expect_code(0);
        at(&sandbox, 2);
        upgrade(&sandbox).stdout_lacks("does not come back by itself");
    }
}
