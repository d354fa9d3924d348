//! Tables that refer to each other.

use super::*;

const MADE: &str = "CREATE TABLE customer (id INTEGER PRIMARY KEY, main_address INTEGER);
CREATE TABLE address (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer (id));
ALTER TABLE customer ADD CONSTRAINT main FOREIGN KEY (main_address) REFERENCES address (id);";
const FILLED: &str = "INSERT INTO customer VALUES (1, NULL), (2, NULL), (3, NULL); INSERT INTO address VALUES (10, 1), (20, 2), (21, 2);
UPDATE customer SET main_address = id * 10 WHERE id < 3;";

#[test]
fn rows_of_tables_that_refer_to_each_other_come_back_together() {
    let db = TestDatabase::postgres();
    let up = "ALTER TABLE customer DROP CONSTRAINT main; DROP TABLE address; DROP TABLE customer;";
    let sandbox = project(&db, MADE, FILLED, up, MADE);
    let all = "SELECT * FROM customer ORDER BY id; SELECT * FROM address ORDER BY id;";
    let before = db.query(all);
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "customer", None), [3, 0, 0, 0]);
    assert_eq!(counts(&result, &db, "address", None), [3, 0, 0, 0]);
    assert_eq!(db.query(all), before);
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn rows_in_a_circle_whose_parent_elsewhere_is_gone_are_conflicts_and_the_others_come_back() {
    let db = TestDatabase::postgres();
    let made = format!(
        "CREATE TABLE town (id INTEGER PRIMARY KEY); {MADE} ALTER TABLE address ADD town INTEGER REFERENCES town (id);"
    );
    let filled = format!("INSERT INTO town VALUES (1), (2); {FILLED} UPDATE address SET town = customer_id;");
    let up = "UPDATE customer SET main_address = NULL; DELETE FROM address; DELETE FROM customer;";
    let sandbox = project(&db, &made, &filled, up, "SELECT 1;");
    upgrade(&sandbox);
    db.execute("DELETE FROM town WHERE id = 1;");
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "customer", None), [2, 0, 0, 1]);
    assert_eq!(counts(&result, &db, "address", None), [2, 0, 0, 1]);
    assert_eq!(
        db.query("SELECT * FROM customer ORDER BY id; SELECT * FROM address ORDER BY id;"),
        "2|20\n3|\n20|2|2\n21|2|2"
    );
}
