//! A database that stores UTF-16 may hold half a character, which nothing but its own bytes can say: such a text is left alone
//! and named, and neither looked for nor put back as another one.

use super::*;

const WHY: &str = "the text has half a character of UTF-16, which can only be written by hand";

/// `x`, half a character and `y`.
fn half(encoding: &str) -> &'static str {
    if encoding == "UTF-16le" { "CAST(x'780000d87900' AS TEXT)" } else { "CAST(x'0078d8000079' AS TEXT)" }
}

/// A database of this encoding, and a project for it.
fn of(encoding: &str, made: &str, filled: &str, up: &str, down: &str) -> (TestDatabase, Sandbox) {
    let db = TestDatabase::sqlite();
    db.execute(&format!("PRAGMA encoding = '{encoding}'; CREATE TABLE first (x);"));
    let sandbox = project(&db, made, &filled.replace("$half", half(encoding)), up, down);
    (db, sandbox)
}

/// What is in conflict, and why.
fn conflicts(db: &TestDatabase, result: &Value) -> String {
    db.query(&format!("SELECT \"table\", \"column\", reason FROM {} ORDER BY 1, 2;", side_table(result)))
}

#[test]
fn a_row_whose_key_has_half_a_character_is_a_conflict_and_not_called_deleted() {
    for encoding in ["UTF-16le", "UTF-16be"] {
        let made =
            "CREATE TABLE person (name TEXT NOT NULL PRIMARY KEY, phone TEXT); CREATE TABLE gone (name TEXT NOT NULL PRIMARY KEY);
CREATE TABLE loose (name TEXT, phone TEXT);";
        let filled =
            "INSERT INTO person VALUES ('ada', '11'), ($half, '22'), (char(0x78, 0xfffd, 0x79), '33');
INSERT INTO gone VALUES ('ada'), ($half); INSERT INTO loose SELECT * FROM person;";
        let up =
            "ALTER TABLE person DROP COLUMN phone; DELETE FROM gone; ALTER TABLE loose DROP COLUMN phone;";
        let down = "ALTER TABLE person ADD COLUMN phone TEXT; ALTER TABLE loose ADD COLUMN phone TEXT;";
        let (db, sandbox) = of(encoding, made, filled, up, down);
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, &db, "person", Some("phone")), [2, 0, 0, 1], "{encoding}");
        assert_eq!(counts(&result, &db, "loose", Some("phone")), [2, 0, 0, 1], "{encoding}");
        assert_eq!(counts(&result, &db, "gone", None), [1, 0, 0, 1], "{encoding}");
        assert_eq!(conflicts(&db, &result), format!("gone||{WHY}\nloose|phone|{WHY}\nperson|phone|{WHY}"));
        let phones = "SELECT phone FROM person ORDER BY phone; SELECT phone FROM loose ORDER BY phone;";
        assert_eq!(db.query(phones), "\n11\n33\n\n11\n33");
    }
}

#[test]
fn a_value_that_has_half_a_character_is_a_conflict_and_the_others_come_back() {
    for encoding in ["UTF-16le", "UTF-16be"] {
        let made = "CREATE TABLE person (id INTEGER PRIMARY KEY, note TEXT, n INTEGER);";
        let filled = "INSERT INTO person VALUES (1, 'one', 1), (2, $half, 2);";
        let (db, sandbox) = of(encoding, made, filled, "UPDATE person SET note = NULL, n = 0;", "SELECT 1;");
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, &db, "person", Some("note")), [1, 0, 0, 1], "{encoding}");
        assert_eq!(counts(&result, &db, "person", Some("n")), [2, 0, 0, 0], "{encoding}");
        assert_eq!(db.query("SELECT * FROM person;"), "1|one|1\n2||2");
        assert_eq!(conflicts(&db, &result), format!("person|note|{WHY}"));
    }
}
