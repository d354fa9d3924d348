//! A key that SQLite has given out again does not lead values of one row into another one.

use super::*;

const PERSON: &str = "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, kind TEXT, ssn TEXT);";
const THREE: &str =
    "INSERT INTO person VALUES (1, 'ann', 'x', '111'), (2, 'bob', 'x', '222'), (3, 'eve', 'x', '333');";
const NO_SSN: &str = "ALTER TABLE person DROP COLUMN ssn;";
const SSN: &str = "ALTER TABLE person ADD COLUMN ssn TEXT;";

fn upgraded(db: &TestDatabase, made: &str, filled: &str) -> Sandbox {
    let sandbox = project(db, made, filled, NO_SSN, SSN);
    upgrade(&sandbox);
    sandbox
}

#[test]
fn a_row_that_took_the_key_of_a_deleted_one_does_not_get_its_value() {
    let db = &TestDatabase::sqlite();
    let sandbox = upgraded(db, PERSON, THREE);
    db.execute("DELETE FROM person WHERE id > 1; INSERT INTO person (name, kind) VALUES ('carl', 'x');");
    assert_eq!(db.query("SELECT id FROM person WHERE name = 'carl';"), "2");
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, db, "person", Some("ssn")), [1, 0, 1, 1]);
    assert_eq!(db.query("SELECT name, ssn FROM person ORDER BY id;"), "ann|111\ncarl|");
    assert_eq!(result["merge"]["conflicts"][0]["reason"], "another row may have taken its key");
    assert_eq!(result["merge"]["conflicts"][0]["ours"], "222");
    sandbox.ripcord(&["verify"]).expect_code(0);
    // By hand it is the same.
    let backup = by_hand::upgrade_backup(&sandbox);
    sandbox
        .ripcord(&["backup", "merge-back", &backup])
        .expect_code(0)
        .stdout_has("another row may have taken its key");
    assert_eq!(db.query("SELECT ssn FROM person WHERE name = 'carl';"), "");
}

#[test]
fn rows_that_were_edited_since_get_their_values_where_a_later_row_is_still_the_one_of_then() {
    let db = &TestDatabase::sqlite();
    let sandbox = upgraded(db, PERSON, THREE);
    db.execute("UPDATE person SET name = upper(name), kind = 'y' WHERE id < 3; INSERT INTO person (name) VALUES ('new');");
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, db, "person", Some("ssn")), [3, 0, 0, 0]);
    assert_eq!(db.query("SELECT coalesce(ssn, '-') FROM person ORDER BY id;"), "111\n222\n333\n-");
}

#[test]
fn a_key_that_is_never_given_out_again_is_enough() {
    let db = &TestDatabase::sqlite();
    let sandbox = upgraded(db, &PERSON.replace("PRIMARY KEY", "PRIMARY KEY AUTOINCREMENT"), THREE);
    db.execute("UPDATE person SET name = upper(name);");
    assert_eq!(counts(&downgrade(&sandbox), db, "person", Some("ssn")), [3, 0, 0, 0]);
}

#[test]
fn where_no_column_tells_whether_a_key_was_given_out_again_the_merge_says_so() {
    let db = &TestDatabase::sqlite();
    let made = "CREATE TABLE person (id INTEGER PRIMARY KEY, ssn TEXT);";
    let sandbox = upgraded(db, made, "INSERT INTO person VALUES (1, '111'), (2, '222'), (3, '333');");
    db.execute("DELETE FROM person WHERE id > 1; INSERT INTO person DEFAULT VALUES;");
    let run = accepting(&sandbox, &["downgrade"]);
    run.expect_code(0).stdout_has("person.ssn: 2 put back, 1 deleted since");
    run.stdout_has("no column tells whether a row is the one of then");
}
