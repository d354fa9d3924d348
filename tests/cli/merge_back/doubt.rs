//! Rows that nothing but their key shows to be those of then: they get their values, and the report names them.

use super::*;

const MADE: &str = "CREATE TABLE person (id INTEGER PRIMARY KEY, name VARCHAR(20), phone VARCHAR(20));";
const NAMES: [&str; 9] = ["anna", "bert", "carl", "dora", "emil", "fred", "gina", "hans", "ines"];
const BY_KEY: &str = "went by the key alone";

/// The nine in rows of this shape.
fn nine(table: &str, row: impl Fn(usize, &str) -> String) -> String {
    let rows: Vec<String> = (1..).zip(NAMES).map(|(at, name)| row(at, name)).collect();
    format!("INSERT INTO {table} VALUES {};", rows.join(", "))
}

fn people() -> String {
    nine("person", |at, name| format!("({at}, '{name}', 'p-{name}')"))
}

both_engines! {
    fn a_row_whose_only_name_is_another_one_gets_its_value_by_key_and_is_named(db: &TestDatabase) {
        let sandbox = project(db, MADE, &people(), NO_PHONE, PHONE);
        upgrade(&sandbox);
        db.execute("DELETE FROM person WHERE id = 3; INSERT INTO person VALUES (3, 'zoe'); UPDATE person SET name = 'bertha' WHERE id = 2;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("phone")), [9, 0, 0, 0], "{result:#}");
        let said = format!("2 rows of {} (key 3; 2) hold another name than they did", named(db, "person"));
        assert!(notes(&result).contains(&said) && notes(&result).contains(BY_KEY), "{result:#}");
    }

    fn nobody_is_in_doubt_where_names_stayed_or_were_cleared_or_other_rows_came_and_went(db: &TestDatabase) {
        let made = MADE.replace("name VARCHAR(20)", "name VARCHAR(20), town VARCHAR(20)");
        let filled = people().replace("', 'p-", "', 'Oslo', 'p-");
        let sandbox = project(db, &made, &filled, NO_PHONE, PHONE);
        upgrade(&sandbox);
        db.execute("UPDATE person SET town = 'Rome' WHERE id < 4; UPDATE person SET name = NULL WHERE id = 5;
DELETE FROM person WHERE id = 7; INSERT INTO person VALUES (10, 'zoe', 'Lima');");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("phone")), [8, 0, 1, 0], "{result:#}");
        assert!(!notes(&result).contains(BY_KEY), "{result:#}");
    }

    fn what_is_as_it_was_and_repeats_the_key_is_said_to_show_nothing(db: &TestDatabase) {
        let made = MADE.replace("name VARCHAR(20)", "name VARCHAR(20), mail VARCHAR(20) UNIQUE");
        let filled = nine("person", |at, name| format!("({at}, '{name}', 'user{at}@x', 'p-{name}')"));
        let sandbox = project(db, &made, &filled, NO_PHONE, PHONE);
        upgrade(&sandbox);
        db.execute("UPDATE person SET name = 'zoe' WHERE id = 3;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("phone")), [9, 0, 0, 0], "{result:#}");
        assert!(notes(&result).contains("(mail repeats the key, and would be the same in a new row)"), "{result:#}");
    }

    fn a_parent_whose_only_name_is_another_one_is_named_where_rows_that_refer_to_it_come_back(db: &TestDatabase) {
        let made = "CREATE TABLE person (id INTEGER PRIMARY KEY, name VARCHAR(20));
CREATE TABLE pet (id INTEGER PRIMARY KEY, name VARCHAR(20), owner INTEGER REFERENCES person (id));";
        let filled = nine("person", |at, name| format!("({at}, '{name}')"));
        let filled = format!("{filled} INSERT INTO pet VALUES (1, 'rex', 3), (2, 'tom', 4);");
        let sandbox = project(db, made, &filled, "DELETE FROM pet;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("DELETE FROM person WHERE id = 3; INSERT INTO person VALUES (3, 'zoe');");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "pet", None), [2, 0, 0, 0], "{result:#}");
        let said = format!("1 row of {} (key 3) holds another name than it did", named(db, "person"));
        assert!(notes(&result).contains(&said), "{result:#}");
    }

    fn a_place_in_the_middle_of_a_group_that_holds_another_name_is_named(db: &TestDatabase) {
        let made = "CREATE TABLE line (list INTEGER NOT NULL, place INTEGER NOT NULL, song VARCHAR(20), note VARCHAR(20), PRIMARY KEY (list, place));";
        let filled = nine("line", |at, name| format!("({}, {at}, 'song of {name}', 'n-{name}')", at / 5));
        let (drops, adds) = ("ALTER TABLE line DROP COLUMN note;", "ALTER TABLE line ADD COLUMN note VARCHAR(20);");
        let sandbox = project(db, made, &filled, drops, adds);
        upgrade(&sandbox);
        db.execute("DELETE FROM line WHERE place = 2; INSERT INTO line VALUES (0, 2, 'blue moon');");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "line", Some("note")), [9, 0, 0, 0], "{result:#}");
        let said = format!("1 row of {} (key 0, 2) holds another song than it did", named(db, "line"));
        assert!(notes(&result).contains(&said), "{result:#}");
    }

    fn a_name_that_was_registered_again_is_in_doubt_where_one_column_tells_rows_apart(db: &TestDatabase) {
        let made = "CREATE TABLE account (code VARCHAR(9) NOT NULL PRIMARY KEY, mail VARCHAR(20) UNIQUE, phone VARCHAR(20));";
        let filled = nine("account", |_, name| format!("('{name}', '{name}@x', 'p-{name}')"));
        let (drops, adds) = ("ALTER TABLE account DROP COLUMN phone;", "ALTER TABLE account ADD COLUMN phone VARCHAR(20);");
        let sandbox = project(db, made, &filled, drops, adds);
        upgrade(&sandbox);
        db.execute("DELETE FROM account WHERE code = 'carl'; INSERT INTO account VALUES ('carl', 'other@x');");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "account", Some("phone")), [9, 0, 0, 0], "{result:#}");
        let said = format!("1 row of {} (key carl) holds another mail than it did", named(db, "account"));
        assert!(notes(&result).contains(&said), "{result:#}");
    }
}

#[test]
fn guests_of_two_partitions_who_change_seats_are_named() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE seat (hall INTEGER NOT NULL, no INTEGER NOT NULL, guest VARCHAR(20), meal VARCHAR(20), PRIMARY KEY (hall, no)) PARTITION BY LIST (hall);
CREATE TABLE seat_1 PARTITION OF seat FOR VALUES IN (1); CREATE TABLE seat_2 PARTITION OF seat FOR VALUES IN (2);";
    let filled = nine("seat", |at, name| format!("({}, {at}, '{name}', 'm-{name}')", at % 2 + 1));
    let (drops, adds) =
        ("ALTER TABLE seat DROP COLUMN meal;", "ALTER TABLE seat ADD COLUMN meal VARCHAR(20);");
    let sandbox = project(db, made, &filled, drops, adds);
    upgrade(&sandbox);
    // Not the last ones of their halls.
    db.execute("UPDATE seat SET guest = 'bert' WHERE no = 1; UPDATE seat SET guest = 'anna' WHERE no = 2;");
    let result = downgrade(&sandbox);
    let said = ["seat_1 (key 1, 2) holds another guest", "seat_2 (key 2, 1) holds another guest"];
    assert!(said.iter().all(|said| notes(&result).contains(said)), "{result:#}");
}

#[test]
fn a_table_that_is_too_large_to_be_held_against_the_snapshot_is_named() {
    let db = &TestDatabase::postgres();
    let filled = "INSERT INTO person SELECT n, 'name ' || n * 7 % 1000003, n FROM generate_series(1, 110000) AS g (n);";
    let sandbox = project(db, MADE, filled, NO_PHONE, PHONE);
    upgrade(&sandbox);
    db.execute("DELETE FROM person WHERE id = 3; INSERT INTO person VALUES (3, 'zoe');");
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, db, "person", Some("phone")), [110_000, 0, 0, 0], "{result:#}");
    assert!(notes(&result).contains("public.person is too large to hold each of its rows"), "{result:#}");
}
