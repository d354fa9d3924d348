//! A table or column that has another name when its salvage is merged by hand: no other one that has its name gets anything.

use super::by_hand::upgrade_backup;
use super::*;

const THIRD: &str = "aaaa00000003";
const STAFF: &str =
    "CREATE TABLE staff (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL, phone VARCHAR(20));";
const THREE: &str = "INSERT INTO staff VALUES (1, 'ada', '11'), (2, 'bob', '22'), (3, 'eve', '33');";
const ANOTHER: &str = "CREATE TABLE staff (id INTEGER PRIMARY KEY, phone VARCHAR(20)); INSERT INTO staff VALUES (1, NULL), (2, NULL);";
const PHONES: &str = "SELECT id, phone FROM person ORDER BY id;";
const OLD_PHONES: &str = "1|11\n2|22\n3|33";

/// At the third revision, each upgraded to by itself; returns the backup of the second one.
fn upgraded(sandbox: &Sandbox, third: &str) -> String {
    upgrade(sandbox);
    let backup = upgrade_backup(sandbox);
    sandbox.revision(THIRD, &[SECOND], third, "SELECT 1;");
    at(sandbox, 1);
    upgrade(sandbox);
    at(sandbox, 2);
    backup
}

both_engines! {
    fn a_rename_back_loses_nothing_where_an_older_upgrade_would_write_over_the_column_again(db: &TestDatabase) {
        let sandbox = project(db, STAFF, THREE, "UPDATE staff SET phone = 'x' || id;", "SELECT 1;");
        upgrade(&sandbox);
        let (there, back) = ("ALTER TABLE staff RENAME COLUMN phone TO tel;", "ALTER TABLE staff RENAME COLUMN tel TO phone;");
        sandbox.revision(THIRD, &[SECOND], there, back);
        at(&sandbox, 1);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        db.execute("UPDATE staff SET tel = 'mine' WHERE id = 2;");
        at(&sandbox, 2);
        sandbox.ripcord(&["rehearse", "--downgrade", FIRST]).expect_code(0).stdout_lacks("LOST");
        sandbox.ripcord(&["downgrade", FIRST]).expect_code(0);
        assert_eq!(db.query("SELECT id, phone FROM staff ORDER BY id;"), "1|11\n2|mine\n3|33");
    }

    fn salvage_follows_a_table_that_its_own_upgrade_renamed(db: &TestDatabase) {
        let up = "ALTER TABLE staff RENAME TO person; UPDATE person SET phone = NULL;";
        let sandbox = project(db, STAFF, THREE, up, "ALTER TABLE person RENAME TO staff;");
        upgrade(&sandbox);
        let backup = upgrade_backup(&sandbox);
        at(&sandbox, 1);
        let run = sandbox.ripcord(&["backup", "merge-back", &backup, "--dry-run"]);
        run.expect_code(0).stdout_has(&format!("{}.phone: 3 put back", named(db, "person")));
        let run = sandbox.ripcord(&["backup", "merge-back", &backup, "--table", "staff"]);
        run.expect_code(0).stdout_has(&format!("{}.phone: 3 put back", named(db, "person")));
        run.stdout_has(&format!("{} is called {} now, and its salvage goes there", named(db, "staff"), named(db, "person")));
        assert_eq!(db.query(PHONES), OLD_PHONES);
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn another_table_that_has_the_name_now_gets_nothing(db: &TestDatabase) {
        let up = format!("ALTER TABLE staff RENAME TO person; UPDATE person SET phone = NULL; {ANOTHER}");
        let down = "DROP TABLE staff; ALTER TABLE person RENAME TO staff;";
        let sandbox = project(db, STAFF, THREE, &up, down);
        upgrade(&sandbox);
        at(&sandbox, 1);
        let run = sandbox.ripcord(&["backup", "merge-back", &upgrade_backup(&sandbox)]);
        run.expect_code(0).stdout_has(&format!("{}.phone: 3 put back", named(db, "person")));
        assert_eq!(db.query(PHONES), OLD_PHONES);
        assert_eq!(db.query("SELECT id, phone FROM staff ORDER BY id;"), "1|\n2|");
    }

    fn a_column_that_its_upgrade_dropped_under_another_name_of_its_table_is_said_to_be_gone(db: &TestDatabase) {
        let up = format!("ALTER TABLE staff RENAME TO person; ALTER TABLE person DROP COLUMN phone; {ANOTHER}");
        let down = "DROP TABLE staff; ALTER TABLE person RENAME TO staff; ALTER TABLE staff ADD COLUMN phone VARCHAR(20);";
        let sandbox = project(db, STAFF, THREE, &up, down);
        upgrade(&sandbox);
        let before = db.dump();
        at(&sandbox, 1);
        let run = sandbox.ripcord(&["backup", "merge-back", &upgrade_backup(&sandbox)]);
        run.expect_code(0).stdout_has(&format!("skipped    {}.phone: there is no such column now", named(db, "person")));
        assert_same(&before, &db.dump(), &run);
        at(&sandbox, 2);
        downgrade(&sandbox);
        assert_eq!(db.query("SELECT id, phone FROM staff ORDER BY id;"), OLD_PHONES);
    }

    fn salvage_follows_what_a_later_upgrade_renamed(db: &TestDatabase) {
        let sandbox = project(db, STAFF, THREE, "UPDATE staff SET phone = NULL WHERE id < 3;", "SELECT 1;");
        let third = format!(
            "ALTER TABLE staff RENAME TO person; ALTER TABLE person RENAME COLUMN phone TO mobile;
ALTER TABLE person RENAME COLUMN id TO number; {ANOTHER}"
        );
        let backup = upgraded(&sandbox, &third);
        let run = sandbox.ripcord(&["backup", "merge-back", &backup]);
        run.expect_code(0).stdout_has(&format!("{}.mobile: 2 put back", named(db, "person")));
        run.stdout_has(&format!("{}.phone is called {}.mobile now", named(db, "staff"), named(db, "person")));
        assert_eq!(db.query("SELECT number, mobile FROM person ORDER BY number;"), OLD_PHONES);
        assert_eq!(db.query("SELECT id, phone FROM staff ORDER BY id;"), "1|\n2|");
    }

    fn a_table_is_followed_where_nothing_was_rehearsed(db: &TestDatabase) {
        let sandbox = project(db, STAFF, THREE, "UPDATE staff SET phone = NULL;", "SELECT 1;");
        upgrade(&sandbox);
        let backup = upgrade_backup(&sandbox);
        sandbox.revision(THIRD, &[SECOND], &format!("ALTER TABLE staff RENAME TO person; {ANOTHER}"), "SELECT 1;");
        at(&sandbox, 1);
        sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]).expect_code(0);
        at(&sandbox, 2);
        sandbox.ripcord(&["backup", "merge-back", &backup]).expect_code(0).stdout_has("person.phone: 3 put back");
        assert_eq!(db.query(PHONES), OLD_PHONES);
    }

    fn where_nobody_can_tell_nothing_is_merged_and_it_is_said_why(db: &TestDatabase) {
        let sandbox = project(db, STAFF, THREE, "UPDATE staff SET phone = NULL;", "SELECT 1;");
        let backup = upgraded(&sandbox, &format!("ALTER TABLE staff RENAME TO person; {ANOTHER}"));
        let later = upgrade_backup(&sandbox);
        std::fs::remove_dir_all(sandbox.path("backups").join(&later)).expect("removed");
        let before = db.dump();
        let run = sandbox.ripcord(&["backup", "merge-back", &backup]);
        run.expect_code(3);
        says_three_parts(&run, "nothing of the salvage in backup");
        run.stderr_has(&format!("{}: nobody can tell what it is called since {later}", named(db, "staff")));
        assert_same(&before, &db.dump(), &run);
    }

    fn a_table_that_took_the_name_without_ripcord_gets_nothing(db: &TestDatabase) {
        let sandbox = project(db, STAFF, THREE, "UPDATE staff SET phone = NULL;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute(&format!("ALTER TABLE staff RENAME TO person; {ANOTHER}"));
        let before = db.dump();
        at(&sandbox, 1);
        let run = sandbox.ripcord(&["backup", "merge-back", &upgrade_backup(&sandbox)]);
        run.expect_code(3).stderr_has(&format!("{} is another table now", named(db, "staff")));
        assert_same(&before, &db.dump(), &run);
    }

    fn a_table_that_was_brought_back_is_found_under_its_old_name(db: &TestDatabase) {
        let up = "ALTER TABLE staff RENAME TO person; UPDATE person SET phone = NULL;";
        let sandbox = project(db, STAFF, THREE, up, "ALTER TABLE person RENAME TO staff;");
        upgrade(&sandbox);
        let backup = upgrade_backup(&sandbox);
        at(&sandbox, 1);
        accepting(&sandbox, &["downgrade", "--no-merge"]).expect_code(0);
        at(&sandbox, 2);
        sandbox.ripcord(&["backup", "merge-back", &backup]).expect_code(0).stdout_has("staff.phone: 3 put back");
        assert_eq!(db.query("SELECT id, phone FROM staff ORDER BY id;"), OLD_PHONES);
    }

    fn a_look_back_compares_what_was_renamed_with_what_it_is_called_now(db: &TestDatabase) {
        let up = format!("ALTER TABLE staff RENAME TO person; ALTER TABLE person RENAME COLUMN phone TO mobile; {ANOTHER}");
        let down = "DROP TABLE staff; ALTER TABLE person RENAME TO staff; ALTER TABLE staff RENAME COLUMN mobile TO phone;";
        let sandbox = project(db, STAFF, THREE, &up, down);
        upgrade(&sandbox);
        let backup = upgrade_backup(&sandbox);
        sandbox.ripcord(&["verify"]).expect_code(0);
        let run = sandbox.ripcord(&["verify", &backup]);
        let (staff, person) = (named(db, "staff"), named(db, "person"));
        let told = [
            format!("table {staff} is called {person} now, since {backup}"),
            format!("column {staff}.phone is called mobile now, since {backup}"),
            format!("table {staff} is new"),
        ];
        for told in told {
            run.stdout_has(&told);
        }
        run.stdout_lacks(&format!("{person} holds")).stdout_lacks(&format!("{staff} holds"));
        db.execute("UPDATE person SET name = 'zoe' WHERE id = 1;");
        let run = sandbox.ripcord(&["verify", &backup]);
        run.expect_code(6).stdout_has(&format!("{person} holds other values"));
    }
}
