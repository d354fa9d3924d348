//! Keys that an upgrade replaced and its downgrade made anew: the rows are the same, and their numbers come back as values.

use super::*;

const MADE: &str = "CREATE TABLE customer (id INTEGER PRIMARY KEY, email VARCHAR(40) NOT NULL, name VARCHAR(40));
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer (id), item VARCHAR(40));";
const FILLED: &str = "INSERT INTO customer VALUES (1001, 'ann@x', 'Ann'), (1002, 'bob@x', 'Bob'), (1003, 'eve@x', NULL), (1004, 'zoe@x', 'Zoe');
INSERT INTO orders VALUES (1, 1001, 'pen'), (2, 1003, 'ink'), (3, 1001, 'cup'), (4, 1004, 'cup');";

/// Replaces the keys of customers by texts, and the orders follow.
const UP: &str = "CREATE TABLE c2 (id VARCHAR(40) PRIMARY KEY, email VARCHAR(40) NOT NULL, name VARCHAR(40));
INSERT INTO c2 SELECT 'key of ' || email, email, name FROM customer;
CREATE TABLE o2 (id INTEGER PRIMARY KEY, customer_id VARCHAR(40) NOT NULL REFERENCES c2 (id), item VARCHAR(40));
INSERT INTO o2 SELECT o.id, 'key of ' || c.email, o.item FROM orders o JOIN customer c ON c.id = o.customer_id;
DROP TABLE orders; DROP TABLE customer;
ALTER TABLE c2 RENAME TO customer; ALTER TABLE o2 RENAME TO orders;";

/// Numbers the customers from one on, in the order of their addresses.
const DOWN: &str = "CREATE TABLE c2 (id INTEGER PRIMARY KEY, email VARCHAR(40) NOT NULL, name VARCHAR(40));
INSERT INTO c2 SELECT row_number() OVER (ORDER BY email), email, name FROM customer;
CREATE TABLE o2 (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES c2 (id), item VARCHAR(40));
INSERT INTO o2 SELECT o.id, n.id, o.item FROM orders o JOIN customer c ON c.id = o.customer_id JOIN c2 n ON n.email = c.email;
DROP TABLE orders; DROP TABLE customer;
ALTER TABLE c2 RENAME TO customer; ALTER TABLE o2 RENAME TO orders;";

const BOTH: &str = "SELECT id, email, name FROM customer ORDER BY id; SELECT id, customer_id, item FROM orders ORDER BY id;";

both_engines! {
    fn rows_whose_key_was_made_anew_get_their_old_one_and_are_there_once(db: &TestDatabase) {
        let sandbox = project(db, MADE, FILLED, UP, DOWN);
        let before = db.query(BOTH);
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(db.query(BOTH), before, "{result:#}");
        assert_eq!(counts(&result, db, "customer", Some("id")), [4, 0, 0, 0]);
        assert!(result["merge"].get("side_table").is_none(), "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn the_loss_of_the_numbers_is_a_hazard_by_name(db: &TestDatabase) {
        let sandbox = project(db, MADE, FILLED, UP, DOWN);
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(3).stderr_has("customer.id: 4 values");
        run.stderr_lacks("deletes-rows");
    }

    fn what_was_written_since_refers_to_the_old_numbers_of_the_rows_it_referred_to(db: &TestDatabase) {
        let sandbox = project(db, MADE, FILLED, UP, DOWN);
        upgrade(&sandbox);
        db.execute("INSERT INTO customer VALUES ('key of new', 'new@x', 'New');
INSERT INTO orders VALUES (5, 'key of ann@x', 'hat'), (6, 'key of new', 'pin');
DELETE FROM orders WHERE id = 4; DELETE FROM customer WHERE id = 'key of zoe@x';");
        let result = downgrade(&sandbox);
        assert_eq!(
            db.query(BOTH),
            "4|new@x|New\n1001|ann@x|Ann\n1002|bob@x|Bob\n1003|eve@x|\n1|1001|pen\n2|1003|ink\n3|1001|cup\n5|1001|hat\n6|4|pin",
            "{result:#}"
        );
        assert_eq!(counts(&result, db, "customer", Some("id")), [3, 0, 1, 0]);
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn numbers_that_changed_places_come_back(db: &TestDatabase) {
        let filled = "INSERT INTO customer VALUES (3, 'ann@x', 'Ann'), (1, 'bob@x', 'Bob'), (4, 'eve@x', NULL), (7, 'zoe@x', 'Zoe');
INSERT INTO orders VALUES (1, 3, 'pen'), (2, 4, 'ink'), (3, 1, 'cup'), (4, 7, 'cup');";
        let sandbox = project(db, MADE, filled, UP, DOWN);
        let before = db.query(BOTH);
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(db.query(BOTH), before, "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn a_number_that_another_row_has_now_is_a_conflict_and_nothing_refers_to_the_wrong_row(db: &TestDatabase) {
        let filled = "INSERT INTO customer VALUES (4, 'ann@x', 'Ann'), (1002, 'bob@x', 'Bob'), (1003, 'eve@x', NULL);
INSERT INTO orders VALUES (1, 4, 'pen'), (2, 1003, 'ink');";
        let sandbox = project(db, MADE, filled, UP, DOWN);
        upgrade(&sandbox);
        db.execute("INSERT INTO customer VALUES ('key of new', 'new@x', 'New'); INSERT INTO orders VALUES (5, 'key of new', 'hat');");
        // The downgrade numbers the new one 4.
        let result = downgrade(&sandbox);
        let by_name = "SELECT o.id, c.email FROM orders o JOIN customer c ON c.id = o.customer_id ORDER BY o.id; SELECT count(*) FROM customer;";
        assert_eq!(db.query(by_name), "1|ann@x\n2|eve@x\n5|new@x\n4", "{result:#}");
        assert_eq!(counts(&result, db, "customer", Some("id")), [2, 0, 0, 1]);
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn rows_that_nothing_tells_apart_are_conflicts_and_never_there_twice(db: &TestDatabase) {
        let made = "CREATE TABLE line (id INTEGER PRIMARY KEY, product VARCHAR(40), amount INTEGER);";
        let filled = "INSERT INTO line VALUES (11, 'pen', 1), (12, 'pen', 1), (13, 'ink', 2), (14, 'pen', 2), (15, 'ink', 1);";
        let up = "CREATE TABLE l2 (id VARCHAR(40) PRIMARY KEY, product VARCHAR(40), amount INTEGER);
INSERT INTO l2 SELECT 'key ' || id, product, amount * 10 FROM line; DROP TABLE line; ALTER TABLE l2 RENAME TO line;";
        let down = "CREATE TABLE l2 (id INTEGER PRIMARY KEY, product VARCHAR(40), amount INTEGER);
INSERT INTO l2 SELECT row_number() OVER (ORDER BY id), product, 7 FROM line; DROP TABLE line; ALTER TABLE l2 RENAME TO line;";
        let sandbox = project(db, made, filled, up, down);
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT id, product FROM line ORDER BY id;"), "1|pen\n2|pen\n3|ink\n4|pen\n5|ink", "{result:#}");
        assert_eq!(counts(&result, db, "line", None), [0, 0, 0, 5]);
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn rows_that_are_alike_but_for_their_numbers_get_them_all_or_none(db: &TestDatabase) {
        let made = "CREATE TABLE line (id INTEGER PRIMARY KEY, product VARCHAR(40));";
        let filled = "INSERT INTO line VALUES (11, 'pen'), (12, 'pen'), (13, 'ink'), (14, 'pen');";
        let up = "CREATE TABLE l2 (id VARCHAR(40) PRIMARY KEY, product VARCHAR(40));
INSERT INTO l2 SELECT 'key ' || id, product FROM line; DROP TABLE line; ALTER TABLE l2 RENAME TO line;";
        let down = "CREATE TABLE l2 (id INTEGER PRIMARY KEY, product VARCHAR(40));
INSERT INTO l2 SELECT row_number() OVER (ORDER BY id), product FROM line; DROP TABLE line; ALTER TABLE l2 RENAME TO line;";
        let sandbox = project(db, made, filled, up, down);
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT id, product FROM line ORDER BY id;"), "11|pen\n12|pen\n13|ink\n14|pen", "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }
}
