//! What comes back hangs on the row that it hung on, or stays out: never on another one that has its number now.

use super::*;

const SHOP: &str = "CREATE TABLE customer (id INTEGER PRIMARY KEY, name VARCHAR(20), ssn VARCHAR(20));
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customer (id), what VARCHAR(20));
CREATE TABLE line (id INTEGER PRIMARY KEY, purchase INTEGER NOT NULL REFERENCES purchase (id), n INTEGER);";
const FILLED: &str = "INSERT INTO customer VALUES (1, 'ada', '11'), (2, 'bob', '22'), (3, 'eve', '33');
INSERT INTO purchase VALUES (10, 1, 'tea'), (20, 2, 'rum'), (30, 3, 'ale'); INSERT INTO line VALUES (100, 10, 1), (200, 20, 2), (300, 30, 3);";
const ALL: &str = "SELECT id, name FROM customer ORDER BY id; SELECT id, customer FROM purchase ORDER BY id; SELECT id, purchase FROM line ORDER BY id;";
const ANOTHER: &str = "the row that it refers to is not there, and its key is of another row now";

/// The reason of the conflict about a whole row.
#[track_caller]
fn why(db: &TestDatabase, result: &Value, table: &str, key: &str) -> String {
    let table = named(db, table);
    db.query(&format!(
        "SELECT reason FROM {} WHERE \"table\" = '{table}' AND \"key\" = '{key}';",
        side_table(result)
    ))
}

both_engines! {
    fn rows_whose_parent_s_number_another_row_has_taken_stay_out_down_to_the_grandchildren(db: &TestDatabase) {
        let up = "DELETE FROM line; DELETE FROM purchase; DELETE FROM customer;";
        let sandbox = project(db, SHOP, FILLED, up, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO customer VALUES (1, 'mallory', NULL);");
        let run = accepting(&sandbox, &["downgrade", "--format", "json"]);
        run.expect_code(0);
        let result = report(&run)["result"].clone();
        for table in ["customer", "purchase", "line"] {
            assert_eq!(counts(&result, db, table, None), [2, 0, 0, 1], "{table}");
        }
        assert_eq!(db.query(ALL), "1|mallory\n2|bob\n3|eve\n20|2\n30|3\n200|20\n300|30");
        assert_eq!(why(db, &result, "purchase", "{\"id\":10}"), ANOTHER);
        let backup = sandbox.path("backups").join(result["backup"]["id"].as_str().expect("a backup"));
        let csv = unzipped(&backup.join("conflicts.csv.gz"));
        assert!(csv.contains("tea") && csv.contains(ANOTHER), "{csv}");
        sandbox.ripcord(&["verify"]).expect_code(0);
        // Once more, by hand, they stay out as well.
        let backup = by_hand::upgrade_backup(&sandbox);
        sandbox.ripcord(&["backup", "merge-back", &backup]).expect_code(0).stdout_has(ANOTHER);
        assert_eq!(db.query(ALL), "1|mallory\n2|bob\n3|eve\n20|2\n30|3\n200|20\n300|30");
    }

    fn rows_whose_parent_has_a_key_of_several_columns_that_another_row_has_taken_stay_out(db: &TestDatabase) {
        let made = "CREATE TABLE room (house VARCHAR(9) NOT NULL, number INTEGER NOT NULL, name VARCHAR(20), PRIMARY KEY (house, number));
CREATE TABLE bed (id INTEGER PRIMARY KEY, house VARCHAR(9), number INTEGER, FOREIGN KEY (house, number) REFERENCES room (house, number));";
        let filled = "INSERT INTO room VALUES ('a', 1, 'red'), ('b', 1, 'blue'); INSERT INTO bed VALUES (1, 'a', 1), (2, 'b', 1), (3, 'a', NULL);";
        let sandbox = project(db, made, filled, "DELETE FROM bed; DELETE FROM room;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO room VALUES ('a', 1, 'green');");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "room", None), [1, 0, 0, 1]);
        assert_eq!(counts(&result, db, "bed", None), [2, 0, 0, 1]);
        assert_eq!(db.query("SELECT id FROM bed ORDER BY id;"), "2\n3");
        assert_eq!(why(db, &result, "bed", "{\"id\":1}"), ANOTHER);
    }

    fn rows_of_a_table_that_refers_to_itself_stay_out_with_their_parent(db: &TestDatabase) {
        let made = "CREATE TABLE node (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES node (id), name VARCHAR(20));";
        let filled = "INSERT INTO node VALUES (7, NULL, 'root'), (8, NULL, 'other'); INSERT INTO node VALUES (2, 7, 'child'), (4, 8, 'niece');
INSERT INTO node VALUES (1, 2, 'grandchild');";
        let sandbox = project(db, made, filled, "DELETE FROM node;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO node VALUES (7, NULL, 'new');");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "node", None), [2, 0, 0, 3]);
        assert_eq!(db.query("SELECT id, name FROM node ORDER BY id;"), "4|niece\n7|new\n8|other");
        assert_eq!(why(db, &result, "node", "{\"id\":2}"), ANOTHER);
    }

    fn a_value_that_would_refer_to_another_row_than_it_did_is_a_conflict(db: &TestDatabase) {
        let made = "CREATE TABLE customer (id INTEGER PRIMARY KEY, name VARCHAR(20));
CREATE TABLE pet (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES customer (id), name VARCHAR(20));";
        let filled = "INSERT INTO customer VALUES (1, 'ada'), (2, 'bob'); INSERT INTO pet VALUES (1, 1, 'rex'), (2, 2, 'tom');";
        let up = "UPDATE pet SET owner = NULL; DELETE FROM customer;";
        let sandbox = project(db, made, filled, up, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO customer VALUES (1, 'mallory');");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "pet", Some("owner")), [1, 0, 0, 1]);
        assert_eq!(db.query("SELECT id, coalesce(owner, 0) FROM pet ORDER BY id;"), "1|0\n2|2");
        assert_eq!(why(db, &result, "pet", "{\"id\":1}"), ANOTHER);
    }

    fn rows_whose_parent_lost_only_a_value_stay_out_where_its_number_was_given_again(db: &TestDatabase) {
        let up = "DELETE FROM line; DELETE FROM purchase; ALTER TABLE customer DROP COLUMN ssn;";
        let sandbox = project(db, SHOP, FILLED, up, "ALTER TABLE customer ADD COLUMN ssn VARCHAR(20);");
        upgrade(&sandbox);
        db.execute("DELETE FROM customer WHERE id > 1; INSERT INTO customer (id, name) SELECT max(id) + 1, 'carl' FROM customer;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "customer", Some("ssn")), [1, 0, 1, 1]);
        assert_eq!(counts(&result, db, "purchase", None), [1, 0, 0, 2]);
        assert_eq!(db.query(ALL), "1|ada\n2|carl\n10|1\n100|10");
        assert_eq!(why(db, &result, "purchase", "{\"id\":20}"), ANOTHER);
    }

    fn rows_whose_parent_lost_nothing_stay_out_where_its_number_was_given_again(db: &TestDatabase) {
        let sandbox = project(db, SHOP, FILLED, "DELETE FROM line; DELETE FROM purchase;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("DELETE FROM customer WHERE id > 1; INSERT INTO customer (id, name) SELECT max(id) + 1, 'carl' FROM customer;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "purchase", None), [1, 0, 0, 2]);
        assert_eq!(db.query(ALL), "1|ada\n2|carl\n10|1\n100|10");
        assert_eq!(why(db, &result, "purchase", "{\"id\":20}"), ANOTHER);
    }

    fn rows_come_back_to_a_parent_that_was_edited_and_to_one_whose_key_means_something(db: &TestDatabase) {
        let made = format!("{SHOP} CREATE TABLE land (code VARCHAR(9) NOT NULL PRIMARY KEY, name VARCHAR(20));
CREATE TABLE town (id INTEGER PRIMARY KEY, land VARCHAR(9) REFERENCES land (code));");
        let filled = format!("{FILLED} INSERT INTO land VALUES ('de', 'Germany'); INSERT INTO town VALUES (1, 'de');");
        let up = "DELETE FROM line; DELETE FROM purchase; DELETE FROM town; DELETE FROM land;";
        let sandbox = project(db, &made, &filled, up, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("UPDATE customer SET ssn = '99' WHERE id < 3; INSERT INTO land VALUES ('de', 'Deutschland');");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "purchase", None), [3, 0, 0, 0]);
        assert_eq!(counts(&result, db, "land", None), [0, 0, 0, 1]);
        assert_eq!(counts(&result, db, "town", None), [1, 0, 0, 0]);
        sandbox.ripcord(&["verify"]).expect_code(0);
    }
}

#[test]
fn on_postgres_rows_in_a_circle_whose_parent_elsewhere_is_another_row_stay_out_and_the_others_come_back() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE town (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE customer (id INTEGER PRIMARY KEY, main_address INTEGER);
CREATE TABLE address (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer (id), town INTEGER REFERENCES town (id));
ALTER TABLE customer ADD CONSTRAINT main FOREIGN KEY (main_address) REFERENCES address (id);";
    let filled = "INSERT INTO town VALUES (1, 'bonn'), (2, 'rome'); INSERT INTO customer VALUES (1, NULL), (2, NULL), (3, NULL);
INSERT INTO address VALUES (10, 1, 1), (20, 2, 2), (21, 2, 2); UPDATE customer SET main_address = id * 10 WHERE id < 3;";
    let up = "UPDATE customer SET main_address = NULL; DELETE FROM address; DELETE FROM customer; DELETE FROM town;";
    let sandbox = project(db, made, filled, up, "SELECT 1;");
    upgrade(&sandbox);
    db.execute("INSERT INTO town VALUES (1, 'paris');");
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, db, "town", None), [1, 0, 0, 1]);
    assert_eq!(counts(&result, db, "customer", None), [2, 0, 0, 1]);
    assert_eq!(counts(&result, db, "address", None), [2, 0, 0, 1]);
    assert_eq!(
        db.query("SELECT * FROM customer ORDER BY id; SELECT * FROM address ORDER BY id;"),
        "2|20\n3|\n20|2|2\n21|2|2"
    );
}
