//! A row whose key users changed is known by what else is unique in it, and gets its values.

use super::*;

const PART: &str = "CREATE TABLE part (code VARCHAR(9) NOT NULL PRIMARY KEY, mail VARCHAR(20) UNIQUE, qty INTEGER, note VARCHAR(9));";
const FOUR: &str = "INSERT INTO part VALUES ('A', 'a@x', 1, 'note a'), ('B', 'b@x', 2, 'note b'), ('C', 'c@x', 3, 'note c'), ('D', NULL, 4, 'note d');";
const NO_NOTE: &str = "ALTER TABLE part DROP COLUMN note;";
const NOTE: &str = "ALTER TABLE part ADD COLUMN note VARCHAR(9);";
const ALL: &str = "SELECT code, coalesce(mail, '-'), coalesce(note, '-') FROM part ORDER BY code;";

fn upgraded(db: &TestDatabase, made: &str, filled: &str) -> Sandbox {
    let sandbox = project(db, made, filled, NO_NOTE, NOTE);
    upgrade(&sandbox);
    sandbox
}

both_engines! {
    fn a_value_comes_back_to_the_row_whose_key_users_changed(db: &TestDatabase) {
        let sandbox = upgraded(db, PART, FOUR);
        db.execute("UPDATE part SET code = 'Z' WHERE code = 'A'; DELETE FROM part WHERE code = 'C'; UPDATE part SET code = 'Y' WHERE code = 'D';");
        let result = downgrade(&sandbox);
        // Of the one without a mail nothing tells that it is there.
        assert_eq!(db.query(ALL), "B|b@x|note b\nY|-|-\nZ|a@x|note a", "{result:#}");
        assert_eq!(counts(&result, db, "part", Some("note")), [2, 0, 2, 0]);
        let said = notes(&result);
        assert!(said.contains("1 row of") && said.contains("has another key now"), "{said}");
        sandbox.ripcord(&["verify"]).expect_code(0);
        leaves_nothing_behind(&sandbox, db);
    }

    fn a_key_of_then_that_another_row_has_now_leads_no_value_anywhere(db: &TestDatabase) {
        let sandbox = upgraded(db, PART, FOUR);
        // One that changed places with another, one whose key was taken by a new row, and one whose mail is of another row now.
        db.execute("UPDATE part SET code = 'Z' WHERE code = 'A'; INSERT INTO part VALUES ('A', 'new@x', 9);
DELETE FROM part WHERE code = 'B'; UPDATE part SET code = 'B' WHERE code = 'C';");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT code, note FROM part WHERE note IS NOT NULL ORDER BY code;"), "D|note d", "{result:#}");
        assert!(!notes(&result).contains("has another key now"), "{result:#}");
    }

    fn a_number_that_nobody_changes_leads_to_no_new_row_of_the_same_mail(db: &TestDatabase) {
        let made = "CREATE TABLE part (id INTEGER PRIMARY KEY, mail VARCHAR(20) UNIQUE, note VARCHAR(9));";
        let sandbox = upgraded(db, made, "INSERT INTO part VALUES (1, 'a@x', 'note a'), (2, 'b@x', 'note b'), (3, 'c@x', 'note c');");
        db.execute("DELETE FROM part WHERE id = 1; INSERT INTO part VALUES (9, 'a@x');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT id, coalesce(note, '-') FROM part ORDER BY id;"), "2|note b\n3|note c\n9|-", "{result:#}");
        assert_eq!(counts(&result, db, "part", Some("note")), [2, 0, 1, 0]);
    }

    fn where_two_names_tell_of_two_rows_neither_gets_the_value(db: &TestDatabase) {
        let made = PART.replace("qty INTEGER", "login VARCHAR(9) UNIQUE");
        let filled = "INSERT INTO part VALUES ('A', 'a@x', 'la', 'note a'), ('B', 'b@x', 'lb', 'note b'), ('C', 'c@x', 'lc', 'note c');";
        let sandbox = upgraded(db, &made, filled);
        db.execute("DELETE FROM part WHERE code IN ('A', 'B'); INSERT INTO part VALUES ('X', 'a@x', 'lx'), ('Y', 'y@x', 'la'), ('Z', 'b@x', 'lb');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT code, coalesce(note, '-') FROM part ORDER BY code;"), "C|note c\nX|-\nY|-\nZ|note b", "{result:#}");
        assert_eq!(counts(&result, db, "part", Some("note")), [2, 0, 1, 0]);
    }

    fn a_value_that_somebody_wrote_since_under_another_key_is_a_conflict(db: &TestDatabase) {
        let sandbox = project(db, PART, FOUR, "UPDATE part SET note = NULL;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("UPDATE part SET code = 'Z', note = 'mine' WHERE code = 'A'; UPDATE part SET code = 'Y' WHERE code = 'B';");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT code, note FROM part ORDER BY code;"), "C|note c\nD|note d\nY|note b\nZ|mine", "{result:#}");
        assert_eq!(counts(&result, db, "part", Some("note")), [3, 0, 0, 1]);
        assert_eq!(db.query(&format!("SELECT \"key\", ours, theirs FROM {};", side_table(&result))), "{\"code\":\"Z\"}|note a|mine");
    }
}
