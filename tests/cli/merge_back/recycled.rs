//! A key that was given out again does not lead values of one row into another one.

use super::*;

const PERSON: &str = "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, kind TEXT, ssn TEXT);";
const THREE: &str =
    "INSERT INTO person VALUES (1, 'ann', 'x', '111'), (2, 'bob', 'x', '222'), (3, 'eve', 'x', '333');";
const NO_SSN: &str = "ALTER TABLE person DROP COLUMN ssn;";
const SSN: &str = "ALTER TABLE person ADD COLUMN ssn TEXT;";
const RETAKEN: &str = "another row may have taken its key";

fn upgraded(db: &TestDatabase, made: &str, filled: &str) -> Sandbox {
    let sandbox = project(db, made, filled, NO_SSN, SSN);
    upgrade(&sandbox);
    sandbox
}

/// A row with the number after the largest one, as applications number them, and SQLite.
fn next(name: &str) -> String {
    format!("INSERT INTO person (id, name, kind) SELECT max(id) + 1, '{name}', 'x' FROM person;")
}

/// The reasons and keys of all conflicts.
fn kept(db: &TestDatabase, result: &Value) -> String {
    db.query(&format!("SELECT \"key\", ours, reason FROM {} ORDER BY \"key\";", side_table(result)))
}

both_engines! {
    fn a_row_that_took_the_key_of_a_deleted_one_does_not_get_its_value(db: &TestDatabase) {
        let sandbox = upgraded(db, PERSON, THREE);
        db.execute(&format!("DELETE FROM person WHERE id > 1; {}", next("carl")));
        assert_eq!(db.query("SELECT id FROM person WHERE name = 'carl';"), "2");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("ssn")), [1, 0, 1, 1]);
        assert_eq!(db.query("SELECT name, ssn FROM person ORDER BY id;"), "ann|111\ncarl|");
        assert_eq!(kept(db, &result), format!("{{\"id\":2}}|222|{RETAKEN}"));
        sandbox.ripcord(&["verify"]).expect_code(0);
        // By hand it is the same, and a look says so.
        let backup = by_hand::upgrade_backup(&sandbox);
        sandbox.ripcord(&["backup", "merge-back", &backup, "--dry-run"]).expect_code(0).stdout_has(RETAKEN);
        sandbox.ripcord(&["backup", "merge-back", &backup]).expect_code(0).stdout_has(RETAKEN);
        assert_eq!(db.query("SELECT coalesce(ssn, '-') FROM person WHERE name = 'carl';"), "-");
    }

    fn rows_that_were_edited_since_get_their_values_where_a_later_row_is_still_the_one_of_then(db: &TestDatabase) {
        let sandbox = upgraded(db, PERSON, THREE);
        db.execute(&format!("UPDATE person SET name = upper(name), kind = 'y' WHERE id < 3; {}", next("new")));
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("ssn")), [3, 0, 0, 0]);
        assert_eq!(db.query("SELECT coalesce(ssn, '-') FROM person ORDER BY id;"), "111\n222\n333\n-");
    }

    fn what_many_rows_hold_says_nothing_of_whose_row_it_is(db: &TestDatabase) {
        let filled = "INSERT INTO person VALUES (1, 'ann', 'x', '111'), (2, 'bob', 'x', '222'), (3, 'eve', 'x', '333'), (4, NULL, 'x', '444');";
        let sandbox = upgraded(db, PERSON, filled);
        // Nothing else being written, the table would be as it was, and that row the one that it is like.
        db.execute("DELETE FROM person WHERE id = 4; INSERT INTO person VALUES (4, NULL, 'x'); UPDATE person SET name = 'anna' WHERE id = 1;");
        assert_eq!(counts(&downgrade(&sandbox), db, "person", Some("ssn")), [3, 0, 0, 1]);
        assert_eq!(db.query("SELECT coalesce(ssn, '-') FROM person WHERE id = 4;"), "-");
    }

    fn rows_whose_names_were_all_edited_are_known_by_their_other_columns(db: &TestDatabase) {
        let made = "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, town TEXT, kind TEXT, ssn TEXT);";
        let row = |at: i32| format!("({at}, 'name {}', 'town {}', 'kind {}', '{at}')", 1000 - at, at / 3, at % 3);
        let filled: Vec<String> = (1..=9).map(row).collect();
        let sandbox = upgraded(db, made, &format!("INSERT INTO person VALUES {};", filled.join(", ")));
        db.execute("UPDATE person SET name = upper(name);");
        assert_eq!(counts(&downgrade(&sandbox), db, "person", Some("ssn")), [9, 0, 0, 0]);
    }

    fn where_all_that_tells_was_edited_nothing_is_put_and_the_report_says_how_it_is_done_by_hand(db: &TestDatabase) {
        let sandbox = upgraded(db, PERSON, THREE);
        db.execute("UPDATE person SET name = upper(name);");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("ssn")), [0, 0, 0, 3]);
        let notes = result["notes"].as_array().expect("notes");
        let note = notes.iter().filter_map(Value::as_str).find(|note| note.contains("not put back into")).expect("a note");
        assert!(note.starts_with("3 values were not put back into"), "{note}");
        let (_, look) = note.split_once("set its value by hand: ").expect("a query");
        let found = db.query(&format!("{look};"));
        let mut found: Vec<&str> = found.lines().collect();
        found.sort_unstable();
        assert_eq!(found, ["{\"id\":1}|ssn|111", "{\"id\":2}|ssn|222", "{\"id\":3}|ssn|333"]);
    }

    fn where_no_column_tells_whether_a_key_was_given_out_again_the_merge_says_so(db: &TestDatabase) {
        let made = "CREATE TABLE person (id INTEGER PRIMARY KEY, ssn TEXT);";
        let sandbox = upgraded(db, made, "INSERT INTO person VALUES (1, '111'), (2, '222'), (3, '333');");
        db.execute("DELETE FROM person WHERE id > 1; INSERT INTO person SELECT max(id) + 1 FROM person;");
        let run = accepting(&sandbox, &["downgrade"]);
        run.expect_code(0).stdout_has("person.ssn: 2 put back, 1 deleted since");
        run.stdout_has("no column tells whether a row of").stdout_has("is the one of then");
    }
}

#[test]
fn a_key_that_is_never_given_out_again_is_enough() {
    let db = &TestDatabase::sqlite();
    let sandbox = upgraded(db, &PERSON.replace("PRIMARY KEY", "PRIMARY KEY AUTOINCREMENT"), THREE);
    db.execute("UPDATE person SET name = upper(name);");
    assert_eq!(counts(&downgrade(&sandbox), db, "person", Some("ssn")), [3, 0, 0, 0]);
}

#[test]
fn a_counter_that_somebody_emptied_is_not_relied_on() {
    let db = &TestDatabase::sqlite();
    let sandbox = upgraded(db, &PERSON.replace("PRIMARY KEY", "PRIMARY KEY AUTOINCREMENT"), THREE);
    db.execute("DELETE FROM person WHERE id > 1; DELETE FROM sqlite_sequence; INSERT INTO person (name) VALUES ('carl');");
    assert_eq!(counts(&downgrade(&sandbox), db, "person", Some("ssn")), [1, 0, 1, 1]);
    assert_eq!(db.query("SELECT name, ssn FROM person ORDER BY id;"), "ann|111\ncarl|");
}

#[test]
fn a_row_of_a_virtual_table_that_took_the_number_of_a_deleted_one_does_not_get_its_values() {
    let db = &TestDatabase::sqlite();
    let made = "CREATE VIRTUAL TABLE page USING fts5(title, body); CREATE VIRTUAL TABLE box USING rtree(id, x0, x1, +note);";
    let filled =
        "INSERT INTO page (title, body) VALUES ('first', 'apples'), ('second', 'pears'), ('third', 'plums');
INSERT INTO box VALUES (1, 0, 2.5, 'one'), (2, 1, 4, 'two'), (3, 2, 8, 'six');";
    let up = "UPDATE page SET body = 'gone'; UPDATE box SET note = 'gone';";
    let sandbox = project(db, made, filled, up, "SELECT 1;");
    upgrade(&sandbox);
    db.execute(
        "DELETE FROM page WHERE rowid > 1; INSERT INTO page (title, body) VALUES ('other', 'gone');
DELETE FROM box WHERE id = 3; INSERT INTO box VALUES (NULL, 7, 9, 'gone');",
    );
    assert_eq!(
        db.query("SELECT rowid FROM page WHERE title = 'other'; SELECT id FROM box WHERE x0 = 7;"),
        "2\n3"
    );
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, db, "page", Some("body")), [1, 0, 1, 1]);
    assert_eq!(db.query("SELECT title, body FROM page;"), "first|apples\nother|gone");
    assert_eq!(counts(&result, db, "box", Some("note")), [2, 0, 0, 1]);
    assert_eq!(db.query("SELECT note FROM box ORDER BY id;"), "one\ntwo\ngone");
}

const COUNTED: &str = "CREATE TABLE person (id INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name TEXT, kind TEXT, ssn TEXT);";
const NAMED: &str = "INSERT INTO person (name, kind, ssn) VALUES ('ann', 'x', '111'), ('bob', 'x', '222'), ('eve', 'x', '333');";

#[test]
fn rows_of_a_table_that_was_emptied_and_counted_anew_do_not_get_the_values_of_the_ones_before() {
    let db = &TestDatabase::postgres();
    let sandbox = upgraded(db, COUNTED, NAMED);
    // More of them than there were: the sequence is further than it was.
    db.execute(
        "TRUNCATE person RESTART IDENTITY; INSERT INTO person (name) VALUES ('al'), ('bo'), ('cy'), ('di'), ('ed');",
    );
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, db, "person", Some("ssn")), [0, 0, 0, 3]);
    assert_eq!(db.query("SELECT count(*), count(ssn) FROM person;"), "5|0");
    assert!(result["merge"]["conflicts"].to_string().contains(RETAKEN), "{result:#}");
}

#[test]
fn of_numbers_that_a_sequence_gave_out_again_below_rows_that_stayed_each_row_is_looked_at() {
    let db = &TestDatabase::postgres();
    let sandbox = upgraded(db, COUNTED, NAMED);
    db.execute("DELETE FROM person WHERE id = 1; ALTER TABLE person ALTER COLUMN id RESTART WITH 1; INSERT INTO person (name) VALUES ('nora');");
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, db, "person", Some("ssn")), [2, 0, 0, 1]);
    assert_eq!(
        db.query("SELECT name, coalesce(ssn, '-') FROM person ORDER BY id;"),
        "nora|-\nbob|222\neve|333"
    );
    assert_eq!(kept(db, &result), format!("{{\"id\":1}}|111|{RETAKEN}"));
}

#[test]
fn where_no_column_tells_nothing_is_put_into_what_a_sequence_gave_out_again() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE person (id BIGSERIAL PRIMARY KEY, ssn TEXT);";
    let sandbox = upgraded(db, made, "INSERT INTO person (ssn) VALUES ('111'), ('222'), ('333');");
    db.execute("DELETE FROM person WHERE id < 3; ALTER SEQUENCE person_id_seq RESTART; INSERT INTO person DEFAULT VALUES;");
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, db, "person", Some("ssn")), [1, 0, 1, 1]);
    assert_eq!(db.query("SELECT id, coalesce(ssn, '-') FROM person ORDER BY id;"), "1|-\n3|333");
}

#[test]
fn a_table_whose_end_is_gone_is_looked_at_to_its_beginning() {
    let db = &TestDatabase::postgres();
    let filled = "INSERT INTO person SELECT n, 'name ' || md5(n::text), 'x', n FROM generate_series(1, 9000) AS g (n);";
    let sandbox = upgraded(db, PERSON, filled);
    db.execute("UPDATE person SET name = 'new ' || md5(id::text) WHERE id > 2000;");
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, db, "person", Some("ssn")), [2000, 0, 0, 7000]);
}

both_engines! {
    fn a_row_that_comes_back_vouches_for_no_number_below_its_own(db: &TestDatabase) {
        let gone = "DELETE FROM person WHERE name = 'eve';";
        let sandbox = project(db, PERSON, THREE, &format!("{gone} {NO_SSN}"), SSN);
        upgrade(&sandbox);
        db.execute(&format!("DELETE FROM person WHERE name = 'bob'; {}", next("carl")));
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT name, ssn FROM person ORDER BY id;"), "ann|111\ncarl|\neve|333", "{result:#}");
        assert_eq!(counts(&result, db, "person", Some("ssn")), [1, 0, 0, 1]);
    }

    fn a_row_that_an_earlier_merge_put_back_vouches_for_no_number_below_its_own(db: &TestDatabase) {
        let sandbox = upgraded(db, PERSON, THREE);
        sandbox.revision("aaaa00000003", &[SECOND], "DELETE FROM person WHERE name = 'eve';", "SELECT 1;");
        upgrade(&sandbox);
        db.execute(&format!("DELETE FROM person WHERE name = 'bob'; {}", next("carl")));
        accepting(&sandbox, &["downgrade"]).expect_code(0);
        let result = downgrade(&sandbox);
        // It is still the one of then itself.
        assert_eq!(db.query("SELECT name, ssn FROM person ORDER BY id;"), "ann|111\ncarl|\neve|333", "{result:#}");
        assert_eq!(counts(&result, db, "person", Some("ssn")), [2, 0, 0, 1]);
    }

    fn ids_that_the_way_back_gives_out_anew_under_the_same_key_keep_no_value(db: &TestDatabase) {
        let numbered = match db.backend() {
            Backend::Sqlite => "CREATE TABLE p2 (id INTEGER PRIMARY KEY, name TEXT, kind TEXT, ssn TEXT);",
            Backend::Postgres => "CREATE TABLE p2 (id SERIAL PRIMARY KEY, name TEXT, kind TEXT, ssn TEXT);",
        };
        let made = numbered.replace("p2", "person");
        let back = format!(
            "{numbered} INSERT INTO p2 (name, kind) SELECT name, kind FROM person ORDER BY name; DROP TABLE person; ALTER TABLE p2 RENAME TO person;"
        );
        let sandbox = project(db, &made, THREE, NO_SSN, &back);
        upgrade(&sandbox);
        db.execute("INSERT INTO person (id, name, kind) VALUES (9, 'abe', 'x'), (10, 'zoe', 'x');");
        let result = downgrade(&sandbox);
        let wrong = "SELECT name, ssn FROM person WHERE ssn IS NOT NULL AND (name, ssn) NOT IN (VALUES ('ann', '111'), ('bob', '222'), ('eve', '333'));";
        assert_eq!(db.query(wrong), "", "{result:#}");
    }

    fn a_new_row_under_an_old_number_gets_nothing_though_what_tells_repeats_the_number(db: &TestDatabase) {
        let made = "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL, email VARCHAR(20) NOT NULL UNIQUE, status VARCHAR(9) DEFAULT 'on', bio VARCHAR(20));";
        let rows: Vec<String> = (1..41).map(|id| format!("({id}, 'User {id}', 'user{id}@x', 'on', 'secret {id}')")).collect();
        let filled = format!("INSERT INTO users VALUES {};", rows.join(", "));
        let sandbox = project(db, made, &filled, "ALTER TABLE users DROP COLUMN bio;", "ALTER TABLE users ADD COLUMN bio VARCHAR(20);");
        upgrade(&sandbox);
        db.execute("DELETE FROM users WHERE id = 40; INSERT INTO users (id, name, email) VALUES (40, 'Zoe', 'zoe@x');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT id, coalesce(bio, '-') FROM users WHERE id > 38 ORDER BY id;"), "39|secret 39\n40|-", "{result:#}");
        assert_eq!(counts(&result, db, "users", Some("bio")), [39, 0, 0, 1]);
    }

    fn rows_in_which_users_filled_what_was_empty_get_their_values_back(db: &TestDatabase) {
        let made = "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR(20), email VARCHAR(20) UNIQUE, created VARCHAR(20) NOT NULL, bio VARCHAR(20));";
        let filled = "INSERT INTO users VALUES (1, 'Ann', NULL, '2024-01-01', 'b1'), (2, 'Bob', NULL, '2024-01-02', 'b2'), (3, 'Cy', NULL, '2024-01-03', 'b3'), (4, 'Di', NULL, '2024-01-04', 'b4');";
        let sandbox = project(db, made, filled, "ALTER TABLE users DROP COLUMN bio;", "ALTER TABLE users ADD COLUMN bio VARCHAR(20);");
        upgrade(&sandbox);
        db.execute("UPDATE users SET email = name; DELETE FROM users WHERE id = 4; INSERT INTO users (id, name, email, created) VALUES (4, 'Eve', 'eve', '2024-02-02');");
        downgrade(&sandbox);
        assert_eq!(db.query("SELECT id, coalesce(bio, '-') FROM users ORDER BY id;"), "1|b1\n2|b2\n3|b3\n4|-");
    }

    fn what_users_write_where_the_migration_changed_nothing_is_no_conflict(db: &TestDatabase) {
        let made = "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(20), a INTEGER, note VARCHAR(20));";
        let filled = "INSERT INTO t VALUES (1, 'one', 1, 'n1'), (2, 'two', 2, 'n2'), (3, 'three', 3, 'n3');";
        let up = "UPDATE t SET a = 0 WHERE id = 2; ALTER TABLE t DROP COLUMN note;";
        let sandbox = project(db, made, filled, up, "ALTER TABLE t ADD COLUMN note VARCHAR(20);");
        upgrade(&sandbox);
        db.execute("UPDATE t SET a = 12 WHERE id = 1;");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT id, a, note FROM t ORDER BY id;"), "1|12|n1\n2|2|n2\n3|3|n3");
        assert!(result["merge"].get("side_table").is_none(), "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }
}

both_engines! {
    fn two_rows_that_changed_places_under_their_numbers_get_no_value_of_each_other(db: &TestDatabase) {
        let made = "CREATE TABLE seat (no INTEGER NOT NULL PRIMARY KEY, guest VARCHAR(9) NOT NULL UNIQUE, meal VARCHAR(9));";
        let filled = "INSERT INTO seat VALUES (1, 'Ann', 'veg'), (2, 'Bob', 'nuts'), (3, 'Cid', 'fish'), (4, 'Dan', 'meat');";
        let sandbox = project(db, made, filled, "ALTER TABLE seat DROP COLUMN meal;", "ALTER TABLE seat ADD COLUMN meal VARCHAR(9);");
        upgrade(&sandbox);
        db.execute("UPDATE seat SET guest = 'tmp' WHERE no = 1; UPDATE seat SET guest = 'Ann' WHERE no = 2; UPDATE seat SET guest = 'Bob' WHERE no = 1; UPDATE seat SET guest = 'Cyd' WHERE no = 3;");
        let result = downgrade(&sandbox);
        let rows = db.query("SELECT guest, coalesce(meal, '-') FROM seat ORDER BY no;");
        assert_eq!(rows, "Bob|-\nAnn|-\nCyd|fish\nDan|meat", "{result:#}");
        assert_eq!(counts(&result, db, "seat", Some("meal")), [2, 0, 0, 2]);
    }

    fn a_line_of_which_nothing_is_as_it_was_gets_no_value_of_the_one_that_had_its_number(db: &TestDatabase) {
        let made = "CREATE TABLE line (ord INTEGER NOT NULL, no INTEGER NOT NULL, article VARCHAR(20), qty INTEGER, discount VARCHAR(9), PRIMARY KEY (ord, no));";
        let filled = "INSERT INTO line VALUES (1, 1, 'oak chair', 4, 'none'), (1, 2, 'fjord poster', 1, '90%'), (2, 1, 'lamp', 2, '5%');";
        let sandbox = project(db, made, filled, "ALTER TABLE line DROP COLUMN discount;", "ALTER TABLE line ADD COLUMN discount VARCHAR(9);");
        upgrade(&sandbox);
        db.execute("DELETE FROM line WHERE ord = 1 AND no = 2; INSERT INTO line VALUES (1, 2, 'diamond ring', 3); UPDATE line SET qty = 5 WHERE ord = 2;");
        let result = downgrade(&sandbox);
        let rows = db.query("SELECT article, coalesce(discount, '-') FROM line ORDER BY ord, no;");
        assert_eq!(rows, "oak chair|none\ndiamond ring|-\nlamp|5%", "{result:#}");
        assert_eq!(counts(&result, db, "line", Some("discount")), [2, 0, 0, 1]);
    }
}

#[test]
fn a_counter_that_the_upgrade_lost_and_the_way_back_made_anew_is_not_relied_on() {
    let db = &TestDatabase::sqlite();
    let table = |name: &str, key: &str, more: &str| {
        format!("CREATE TABLE {name} (id {key}, name TEXT, mail TEXT{more});")
    };
    let made = table("person", "INTEGER PRIMARY KEY AUTOINCREMENT", ", secret TEXT");
    let filled = "INSERT INTO person VALUES (1, 'ann', 'a@x', 's1'), (2, 'bob', 'b@x', 's2'), (3, 'eve', 'e@x', 's3');";
    let rebuilt = "INSERT INTO p2 (id, name, mail) SELECT id, name, mail FROM person; DROP TABLE person; ALTER TABLE p2 RENAME TO person;";
    let up = table("p2", "INTEGER NOT NULL PRIMARY KEY", "") + rebuilt;
    let down = made.replace("person", "p2") + rebuilt;
    let sandbox = project(db, &made, filled, &up, &down);
    upgrade(&sandbox);
    db.execute("DELETE FROM person WHERE id = 3; INSERT INTO person (name, mail) VALUES ('new', 'n@x');");
    let result = downgrade(&sandbox);
    let rows = db.query("SELECT id, name, coalesce(secret, '-') FROM person ORDER BY id;");
    assert_eq!(rows, "1|ann|s1\n2|bob|s2\n3|new|-", "{result:#}");
}
