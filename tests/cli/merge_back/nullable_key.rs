//! Primary keys of SQLite that can be NULL: they tell rows apart as long as they are NULL nowhere.

use super::*;

const PERSON: &str = "CREATE TABLE person (id TEXT PRIMARY KEY, name TEXT, phone TEXT);";
const PEOPLE: &str = "INSERT INTO person VALUES ('a', 'Ann', '1'), ('b', 'Bob', '2'), ('c', 'Cid', '3');";
const NO_PHONE: &str = "ALTER TABLE person DROP COLUMN phone;";
const PHONE: &str = "ALTER TABLE person ADD COLUMN phone TEXT;";

fn people(db: &TestDatabase) -> String {
    db.query(
        "SELECT coalesce(id, '-'), name, coalesce(phone, '-') FROM person ORDER BY id IS NULL, id, name;",
    )
}

#[test]
fn values_of_edited_rows_come_back_by_a_key_that_could_be_null() {
    let db = &TestDatabase::sqlite();
    let sandbox = project(db, PERSON, PEOPLE, NO_PHONE, PHONE);
    upgrade(&sandbox);
    db.execute("UPDATE person SET name = 'Anna' WHERE id = 'a'; DELETE FROM person WHERE id = 'b'; INSERT INTO person VALUES ('d', 'Dot');");
    let result = downgrade(&sandbox);
    assert_eq!(people(db), "a|Anna|1\nc|Cid|3\nd|Dot|-", "{result:#}");
    assert_eq!(counts(&result, db, "person", Some("phone")), [2, 0, 1, 0]);
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn values_of_edited_rows_come_back_by_a_key_of_several_columns_that_could_be_null() {
    let db = &TestDatabase::sqlite();
    let made = "CREATE TABLE seat (room INT, no INT, who TEXT, note TEXT, PRIMARY KEY (room, no));";
    let filled = "INSERT INTO seat VALUES (1, 1, 'Ann', 'x'), (1, 2, 'Bob', 'y'), (2, 1, 'Cid', 'z');";
    let (up, down) = ("ALTER TABLE seat DROP COLUMN note;", "ALTER TABLE seat ADD COLUMN note TEXT;");
    let sandbox = project(db, made, filled, up, down);
    upgrade(&sandbox);
    db.execute("UPDATE seat SET who = 'Eve' WHERE room = 1 AND no = 1; DELETE FROM seat WHERE room = 2;");
    let result = downgrade(&sandbox);
    assert_eq!(db.query("SELECT * FROM seat ORDER BY room, no;"), "1|1|Eve|x\n1|2|Bob|y", "{result:#}");
    assert_eq!(counts(&result, db, "seat", Some("note")), [2, 0, 1, 0]);
}

#[test]
fn a_row_without_a_key_that_came_since_keeps_no_value_from_coming_back() {
    let db = &TestDatabase::sqlite();
    let sandbox = project(db, PERSON, PEOPLE, NO_PHONE, PHONE);
    upgrade(&sandbox);
    db.execute("UPDATE person SET name = 'Anna' WHERE id = 'a'; INSERT INTO person VALUES (NULL, 'Nil'), (NULL, 'Non');");
    let result = downgrade(&sandbox);
    assert_eq!(people(db), "a|Anna|1\nb|Bob|2\nc|Cid|3\n-|Nil|-\n-|Non|-", "{result:#}");
    assert_eq!(counts(&result, db, "person", Some("phone")), [3, 0, 0, 0]);
}

#[test]
fn rows_that_were_without_a_key_and_are_as_they_were_have_their_values_back() {
    let db = &TestDatabase::sqlite();
    let filled = format!("{PEOPLE} INSERT INTO person VALUES (NULL, 'Nil', '8'), (NULL, 'Non', '9');");
    let sandbox = project(db, PERSON, &filled, NO_PHONE, PHONE);
    upgrade(&sandbox);
    db.execute("INSERT INTO person VALUES ('d', 'Dot');");
    let result = downgrade(&sandbox);
    assert_eq!(people(db), "a|Ann|1\nb|Bob|2\nc|Cid|3\nd|Dot|-\n-|Nil|8\n-|Non|9", "{result:#}");
}

#[test]
fn a_migration_that_removes_what_had_no_key_loses_just_that() {
    let db = &TestDatabase::sqlite();
    let filled = format!("{PEOPLE} INSERT INTO person VALUES (NULL, 'Nil', '8'), (NULL, 'Non', '9');");
    let up = "DELETE FROM person WHERE id IS NULL; UPDATE person SET phone = '+' || phone;";
    let sandbox = project(db, PERSON, &filled, up, "UPDATE person SET phone = substr(phone, 2);");
    upgrade(&sandbox);
    db.execute("UPDATE person SET name = 'Anna' WHERE id = 'a'; DELETE FROM person WHERE id = 'b';");
    let result = downgrade(&sandbox);
    assert_eq!(people(db), "a|Anna|1\nc|Cid|3\n-|Nil|8\n-|Non|9", "{result:#}");
    assert_eq!(counts(&result, db, "person", None), [2, 0, 0, 0]);
}

#[test]
fn rows_that_an_upgrade_deletes_come_back_by_a_key_that_could_be_null_and_never_twice() {
    let db = &TestDatabase::sqlite();
    let sandbox = project(db, PERSON, PEOPLE, "DELETE FROM person WHERE id <> 'a';", "SELECT 1;");
    upgrade(&sandbox);
    db.execute("INSERT INTO person VALUES ('b', 'Ben', '7');");
    let result = downgrade(&sandbox);
    assert_eq!(people(db), "a|Ann|1\nb|Ben|7\nc|Cid|3", "{result:#}");
    assert_eq!(counts(&result, db, "person", None), [1, 0, 0, 1]);
}

#[test]
fn a_number_that_was_given_out_again_keeps_no_value_whatever_the_key_is_declared_as() {
    for key in
        ["INT PRIMARY KEY", "BIGINT PRIMARY KEY", "INTEGER PRIMARY KEY DESC", "INT NOT NULL PRIMARY KEY"]
    {
        let db = &TestDatabase::sqlite();
        let made = format!("CREATE TABLE person (id {key}, name TEXT, phone TEXT);");
        let filled =
            "INSERT INTO person VALUES (1, 'Ann', '1'), (2, 'Bob', '2'), (3, 'Cid', '3'), (4, 'Dot', '4');";
        let sandbox = project(db, &made, filled, NO_PHONE, PHONE);
        upgrade(&sandbox);
        db.execute("DELETE FROM person WHERE id = 4; INSERT INTO person VALUES (4, 'Eve'); UPDATE person SET name = 'Bobby' WHERE id = 2;");
        let result = downgrade(&sandbox);
        assert_eq!(people(db), "1|Ann|1\n2|Bobby|2\n3|Cid|3\n4|Eve|-", "{key}: {result:#}");
        assert_eq!(counts(&result, db, "person", Some("phone")), [3, 0, 0, 1], "{key}");
    }
}

#[test]
fn a_key_that_could_be_null_is_called_a_key_and_finds_rows_as_its_table_does() {
    let db = &TestDatabase::sqlite();
    let made = PERSON.replace("id TEXT", "id TEXT COLLATE NOCASE");
    let sandbox = project(db, &made, PEOPLE, NO_PHONE, PHONE);
    sandbox.ripcord(&["upgrade"]).expect_code(3).stderr_has("id=a: 1");
    upgrade(&sandbox);
    db.execute("UPDATE person SET id = 'A' WHERE id = 'a'; DELETE FROM person WHERE id = 'b';");
    let run = accepting(&sandbox, &["downgrade"]);
    run.expect_code(0).stdout_has("1 deleted since");
    assert!(!run.stdout.contains("no key"), "{run}");
    assert_eq!(people(db), "A|Ann|1\nc|Cid|3");
}

#[test]
fn a_key_that_could_be_null_goes_before_what_is_unique_beside_it() {
    let db = &TestDatabase::sqlite();
    let made = "CREATE TABLE user (id CHAR(36) PRIMARY KEY, email TEXT NOT NULL UNIQUE, balance TEXT);";
    let filled = "INSERT INTO user VALUES ('u-1', 'ann@x', '1.25'), ('u-2', 'bob@x', '2.25'), ('u-3', 'cid@x', '3.25');";
    let (up, down) = ("ALTER TABLE user DROP COLUMN balance;", "ALTER TABLE user ADD COLUMN balance TEXT;");
    let sandbox = project(db, made, filled, up, down);
    upgrade(&sandbox);
    db.execute("UPDATE user SET email = 'ann@new' WHERE id = 'u-1';");
    let result = downgrade(&sandbox);
    assert_eq!(
        db.query("SELECT id, balance FROM user ORDER BY id;"),
        "u-1|1.25\nu-2|2.25\nu-3|3.25",
        "{result:#}"
    );
}
