//! Whole rows: of dropped tables, and deleted ones.

use super::*;

const SHOP: &str = "CREATE TABLE customer (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL);
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer (id), amount INTEGER);
CREATE INDEX purchase_customer ON purchase (customer_id);";
const SALES: &str = "INSERT INTO customer VALUES (1, 'ada'), (2, 'bob'), (3, 'eve');
INSERT INTO purchase VALUES (10, 1, 5), (11, 2, 6), (12, 2, NULL);";

both_engines! {
    fn a_dropped_table_that_is_made_again_empty_gets_its_rows_parents_first(db: &TestDatabase) {
        let (one, other) = SHOP.split_once('\n').expect("two parts");
        let sandbox = project(db, SHOP, SALES, "DROP TABLE purchase; DROP TABLE customer;", &format!("{one}\n{other}"));
        let before = db.query("SELECT * FROM customer ORDER BY id; SELECT * FROM purchase ORDER BY id;");
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "customer", None), [3, 0, 0, 0]);
        assert_eq!(counts(&result, db, "purchase", None), [3, 0, 0, 0]);
        assert_eq!(db.query("SELECT * FROM customer ORDER BY id; SELECT * FROM purchase ORDER BY id;"), before);
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn deleted_rows_come_back_and_one_whose_parent_is_gone_is_a_conflict(db: &TestDatabase) {
        let sandbox = project(db, SHOP, SALES, "DELETE FROM purchase WHERE customer_id = 2;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("DELETE FROM customer WHERE id = 2; INSERT INTO purchase VALUES (20, 3, 7);");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "purchase", None), [0, 0, 0, 2]);
        assert_eq!(db.query("SELECT id FROM purchase ORDER BY id;"), "10\n20");
        let side = side_table(&result);
        assert_eq!(db.query(&format!("SELECT count(*) FROM {side} WHERE ours LIKE '%\"customer_id\":2%' AND theirs IS NULL;")), "2");
    }

    fn a_key_that_was_used_again_since_is_a_conflict(db: &TestDatabase) {
        let sandbox = project(db, SHOP, SALES, "DELETE FROM purchase WHERE customer_id = 2;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO purchase VALUES (11, 3, 99);");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "purchase", None), [1, 0, 0, 1]);
        assert_eq!(db.query("SELECT id, customer_id, amount FROM purchase ORDER BY id;"), "10|1|5\n11|3|99\n12|2|");
    }

    fn a_unique_value_that_was_taken_since_is_a_conflict_and_no_failure(db: &TestDatabase) {
        let made = "CREATE TABLE person (id INTEGER PRIMARY KEY, mail VARCHAR(20) UNIQUE);";
        let sandbox = project(db, made, "INSERT INTO person VALUES (1, 'a'), (2, 'b'), (3, 'c');",
            "UPDATE person SET mail = NULL; DELETE FROM person WHERE id = 3;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO person VALUES (7, 'b'), (8, 'c');");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("mail")), [1, 0, 0, 1]);
        assert_eq!(counts(&result, db, "person", None), [0, 0, 0, 1]);
        assert_eq!(db.query("SELECT id, mail FROM person ORDER BY id;"), "1|a\n2|\n7|b\n8|c");
    }

    fn rows_of_a_table_without_a_key_come_back_as_often_as_they_were_there(db: &TestDatabase) {
        let made = "CREATE TABLE note (what VARCHAR(20), rank INTEGER);";
        let sandbox = project(db, made, "INSERT INTO note VALUES ('a', 1), ('a', 1), ('b', NULL), (NULL, 3), ('d', 4);",
            "DELETE FROM note WHERE what = 'a' OR what IS NULL; ", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO note VALUES ('new', 9);");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "note", None), [3, 0, 0, 0]);
        assert_eq!(db.query("SELECT what, rank FROM note ORDER BY rank, what;").lines().filter(|line| *line == "a|1").count(), 2);
        assert_eq!(db.query("SELECT count(*) FROM note;"), "6");
    }
}

/// What verification counts before the rows come back is not what is true in the end.
#[test]
fn rows_that_miss_their_parents_are_counted_after_the_parents_came_back() {
    let db = TestDatabase::postgres();
    let made = "CREATE TABLE owner (id INTEGER PRIMARY KEY);
CREATE TABLE owned (id INTEGER PRIMARY KEY, owner INTEGER CONSTRAINT of_owner REFERENCES owner (id));";
    let filled = "INSERT INTO owner VALUES (1), (2); INSERT INTO owned VALUES (1, 1), (2, 2), (3, 2);";
    let back =
        "ALTER TABLE owned ADD CONSTRAINT of_owner FOREIGN KEY (owner) REFERENCES owner (id) NOT VALID;";
    let sandbox =
        project(&db, made, filled, "ALTER TABLE owned DROP CONSTRAINT of_owner; DELETE FROM owner;", back);
    upgrade(&sandbox);
    db.execute("INSERT INTO owned VALUES (4, 9);");
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "owner", None), [2, 0, 0, 0]);
    let found = &result["check"]["new_findings"];
    assert_eq!(found[0]["detail"], "1 row points to a row that is not there", "{found:#}");
}
