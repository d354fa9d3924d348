//! Numbers that were given out again below rows that stayed: the row that fills a gap is another one.

use super::*;

const PERSON: &str =
    "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, mail TEXT, active INTEGER, ssn TEXT);";
const NO_SSN: &str = "ALTER TABLE person DROP COLUMN ssn;";
const SSN: &str = "ALTER TABLE person ADD COLUMN ssn TEXT;";
const RETAKEN: &str = "another row may have taken its key";
const NAMES: [&str; 9] = ["ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal", "ida"];

/// Nine people with the numbers from 1 on.
fn nine() -> String {
    let row = |(at, name): (usize, &&str)| format!("({}, '{name}', '{name}@x', 1, 's-{name}')", at + 1);
    format!("INSERT INTO person VALUES {};", NAMES.iter().enumerate().map(row).collect::<Vec<_>>().join(", "))
}

fn upgraded(db: &TestDatabase, made: &str, filled: &str) -> Sandbox {
    let sandbox = project(db, made, filled, NO_SSN, SSN);
    upgrade(&sandbox);
    sandbox
}

/// Whoever has another one's number of the nine.
const WRONG: &str = "SELECT name, ssn FROM person WHERE ssn <> 's-' || name;";

/// The keys and reasons of all conflicts.
fn kept(db: &TestDatabase, result: &Value) -> String {
    db.query(&format!("SELECT \"key\", ours, reason FROM {} ORDER BY \"key\";", side_table(result)))
}

both_engines! {
    fn a_table_that_nobody_touched_gets_everything_back_whatever_its_rows_share(db: &TestDatabase) {
        // Names that repeat the number, and towns that some share: nothing tells for sure, and nothing differs.
        let made =
            "CREATE TABLE person (id INTEGER PRIMARY KEY, name VARCHAR(20) UNIQUE, ssn TEXT, town TEXT);";
        let row = |at: u8| format!("({at}, 'name{at}', 's-name{at}', 'Town{}')", at % 7);
        let filled =
            format!("INSERT INTO person VALUES {};", (1..=10).map(row).collect::<Vec<_>>().join(", "));
        let sandbox = upgraded(db, made, &filled);
        db.execute("DELETE FROM person WHERE id = 7;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("ssn")), [9, 0, 1, 0], "{result:#}");
    }

    fn a_row_that_fills_a_gap_below_rows_that_stayed_does_not_get_the_value_of_the_one_before(db: &TestDatabase) {
        let sandbox = upgraded(db, PERSON, &nine());
        db.execute("DELETE FROM person WHERE id = 3; INSERT INTO person VALUES (3, 'zoe', 'zoe@z', 1);");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(WRONG), "", "{result:#}");
        assert_eq!(counts(&result, db, "person", Some("ssn")), [8, 0, 0, 1]);
        assert_eq!(kept(db, &result), format!("{{\"id\":3}}|s-cid|{RETAKEN}"));
        sandbox.ripcord(&["verify"]).expect_code(0);
        let backup = by_hand::upgrade_backup(&sandbox);
        sandbox.ripcord(&["backup", "merge-back", &backup, "--dry-run"]).expect_code(0).stdout_has(RETAKEN);
    }

    fn gaps_that_lie_side_by_side_and_apart_are_left_alone_and_nothing_between_them(db: &TestDatabase) {
        let sandbox = upgraded(db, PERSON, &nine());
        db.execute("DELETE FROM person WHERE id IN (1, 3, 4, 7);
INSERT INTO person VALUES (1, 'una', 'u@z', 1), (3, 'zoe', 'z@z', 1), (4, 'yve', NULL, 1), (7, 'xia', 'x@z', 0);");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(WRONG), "", "{result:#}");
        assert_eq!(counts(&result, db, "person", Some("ssn")), [5, 0, 0, 4]);
    }

    fn what_users_edit_fill_and_clear_in_rows_that_stay_keeps_no_value_back(db: &TestDatabase) {
        let filled = nine().replace("'cid@x'", "NULL");
        let sandbox = upgraded(db, PERSON, &filled);
        db.execute("UPDATE person SET name = upper(name) WHERE id IN (1, 2); UPDATE person SET mail = 'new@x', active = 0 WHERE id = 4;
UPDATE person SET name = 'sid', mail = 'sid@x' WHERE id = 3; UPDATE person SET name = NULL, mail = NULL WHERE id = 5;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("ssn")), [9, 0, 0, 0], "{result:#}");
    }

    fn a_column_that_was_emptied_in_all_rows_keeps_no_value_back(db: &TestDatabase) {
        // Mails that repeat the number, as fixtures have them, so that the names alone told rows apart.
        let row = |(at, name): (usize, &&str)| format!("({0}, '{name}', 'user{0}@x', 1, 's-{name}')", at + 1);
        let rows: Vec<String> = NAMES.iter().enumerate().map(row).collect();
        let sandbox = upgraded(db, PERSON, &format!("INSERT INTO person VALUES {};", rows.join(", ")));
        db.execute("UPDATE person SET name = NULL;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("ssn")), [9, 0, 0, 0], "{result:#}");
    }

    fn nothing_hangs_on_a_row_that_fills_a_gap(db: &TestDatabase) {
        let made = format!("{PERSON} CREATE TABLE pet (id INTEGER PRIMARY KEY, name TEXT, owner INTEGER REFERENCES person (id));");
        let filled = format!("{} INSERT INTO pet VALUES (1, 'rex', 3), (2, 'tom', 4);", nine());
        let sandbox = project(db, &made, &filled, "DELETE FROM pet;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("DELETE FROM person WHERE id = 3; INSERT INTO person VALUES (3, 'zoe', 'zoe@z', 1, NULL);");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT id, owner FROM pet;"), "2|4", "{result:#}");
        assert_eq!(counts(&result, db, "pet", None), [1, 0, 0, 1]);
    }

    fn a_column_that_the_migration_changed_tells_no_row_from_another(db: &TestDatabase) {
        // What the way back leaves in two columns is of its own making in every row.
        let up = format!("{NO_SSN} UPDATE person SET mail = 'm' || id WHERE id <> 9;");
        let sandbox = project(db, PERSON, &nine(), &up, SSN);
        upgrade(&sandbox);
        db.execute("UPDATE person SET name = upper(name) WHERE id = 3;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("ssn")), [9, 0, 0, 0], "{result:#}");
        assert_eq!(db.query("SELECT mail FROM person WHERE id = 3;"), "cid@x");
    }
}

#[test]
fn a_counter_that_somebody_emptied_and_that_came_as_far_as_before_is_not_relied_on() {
    let db = &TestDatabase::sqlite();
    let sandbox = upgraded(db, &PERSON.replace("PRIMARY KEY", "PRIMARY KEY AUTOINCREMENT"), &nine());
    let row = |(at, name): (usize, &&str)| format!("('new {name}', 'new{at}@z', 1)");
    let rows: Vec<String> = NAMES.iter().enumerate().map(row).collect();
    db.execute(&format!(
        "DELETE FROM person; DELETE FROM sqlite_sequence WHERE name = 'person'; INSERT INTO person (name, mail, active) VALUES {};",
        rows.join(", ")
    ));
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, db, "person", Some("ssn")), [0, 0, 0, 9], "{result:#}");
    assert_eq!(db.query("SELECT count(*), count(ssn) FROM person;"), "9|0");
}

#[test]
fn of_a_table_that_was_emptied_and_filled_up_to_a_row_that_is_known_the_others_get_nothing() {
    let db = &TestDatabase::postgres();
    let made = PERSON.replace("id INTEGER", "id INTEGER GENERATED BY DEFAULT AS IDENTITY");
    let sandbox = upgraded(db, &made, &nine());
    let row = |(at, name): (usize, &&str)| match at {
        8 => format!("('{name}', '{name}@x', 1)"),
        _ => format!("('new {name}', 'new{at}@z', 1)"),
    };
    let rows: Vec<String> = NAMES.iter().enumerate().map(row).collect();
    db.execute(&format!(
        "TRUNCATE person RESTART IDENTITY; INSERT INTO person (name, mail, active) VALUES {}; SELECT setval('person_id_seq', 20);",
        rows.join(", ")
    ));
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, db, "person", Some("ssn")), [1, 0, 0, 8], "{result:#}");
    assert_eq!(db.query("SELECT name, ssn FROM person WHERE ssn IS NOT NULL;"), "ida|s-ida");
}

#[test]
fn a_gap_in_a_large_table_is_seen_where_something_is_unique_beside_the_number() {
    let db = &TestDatabase::postgres();
    let made = PERSON.replace("mail TEXT", "mail TEXT UNIQUE");
    let filled = "INSERT INTO person SELECT n, 'name ' || md5(n::text), md5(n::text), 1, n FROM generate_series(1, 110000) AS g (n);";
    let sandbox = upgraded(db, &made, filled);
    db.execute(
        "DELETE FROM person WHERE id = 3; INSERT INTO person VALUES (3, 'zoe', 'zoe@z', 1);
UPDATE person SET mail = 'new@x' WHERE id = 4;",
    );
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, db, "person", Some("ssn")), [109_999, 0, 0, 1], "{result:#}");
    assert_eq!(db.query("SELECT name, coalesce(ssn, '-') FROM person WHERE id = 3;"), "zoe|-");
}
