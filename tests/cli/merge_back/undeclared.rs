//! Columns that hold the keys of rows without a foreign key, where an upgrade replaced these keys and its way back made them anew.

use super::*;

/// Customers and their orders, of a kind of keys, and under these names.
fn made(customer: &str, orders: &str, kind: &str) -> String {
    format!(
        "CREATE TABLE {customer} (id {kind} PRIMARY KEY, email VARCHAR(40) NOT NULL, name VARCHAR(40));
CREATE TABLE {orders} (id INTEGER PRIMARY KEY, customer_id {kind}, item VARCHAR(40));"
    )
}

const SWAP: &str = "DROP TABLE orders; DROP TABLE customer; ALTER TABLE c2 RENAME TO customer; ALTER TABLE o2 RENAME TO orders;";

fn up() -> String {
    format!("{} INSERT INTO c2 SELECT 'key of ' || email, email, name FROM customer;
INSERT INTO o2 SELECT o.id, 'key of ' || c.email, o.item FROM orders o LEFT JOIN customer c ON c.id = o.customer_id; {SWAP}",
        made("c2", "o2", "VARCHAR(40)"))
}

fn down() -> String {
    format!("{} INSERT INTO c2 SELECT row_number() OVER (ORDER BY email), email, name FROM customer;
INSERT INTO o2 SELECT o.id, n.id, o.item FROM orders o LEFT JOIN customer c ON c.id = o.customer_id LEFT JOIN c2 n ON n.email = c.email; {SWAP}",
        made("c2", "o2", "INTEGER"))
}

const BOTH: &str =
    "SELECT id, email FROM customer ORDER BY id; SELECT id, customer_id, item FROM orders ORDER BY id;";
const BY_NAME: &str =
    "SELECT o.id, c.email FROM orders o LEFT JOIN customer c ON c.id = o.customer_id ORDER BY o.id;";

/// Staff, whose bosses are staff, of a kind of keys.
fn staff(name: &str, kind: &str) -> String {
    format!("CREATE TABLE {name} (id {kind} PRIMARY KEY, boss_id {kind}, mail VARCHAR(40) NOT NULL);")
}

fn staff_up() -> String {
    format!("{} INSERT INTO s2 SELECT 'key of ' || s.mail, 'key of ' || b.mail, s.mail FROM staff s LEFT JOIN staff b ON b.id = s.boss_id;
DROP TABLE staff; ALTER TABLE s2 RENAME TO staff;", staff("s2", "VARCHAR(40)"))
}

fn staff_down() -> String {
    format!("{} INSERT INTO s2 SELECT row_number() OVER (ORDER BY mail), NULL, mail FROM staff;
UPDATE s2 SET boss_id = (SELECT b2.id FROM staff s JOIN staff b ON b.id = s.boss_id JOIN s2 b2 ON b2.mail = b.mail WHERE s.mail = s2.mail);
DROP TABLE staff; ALTER TABLE s2 RENAME TO staff;", staff("s2", "INTEGER"))
}

const BOSSES: &str =
    "SELECT s.mail, b.mail FROM staff s LEFT JOIN staff b ON b.id = s.boss_id ORDER BY s.mail;";

both_engines! {
    fn what_was_written_since_goes_with_the_row_that_it_means_without_a_foreign_key(db: &TestDatabase) {
        let filled = "INSERT INTO customer VALUES (1001, 'ann@x', 'Ann'), (1002, 'bob@x', 'Bob'), (2, 'eve@x', NULL);
INSERT INTO orders VALUES (1, 1001, 'pen'), (2, 2, 'ink'), (3, 1002, 'cup'), (4, NULL, 'mug');";
        let sandbox = project(db, &made("customer", "orders", "INTEGER"), filled, &up(), &down());
        let before = db.query(BOTH);
        upgrade(&sandbox);
        db.execute("INSERT INTO orders VALUES (5, 'key of bob@x', 'hat'), (6, 'key of eve@x', 'pin');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(BOTH), format!("{before}\n5|1002|hat\n6|2|pin"), "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn nothing_is_led_to_the_row_that_has_the_number_now_without_a_foreign_key(db: &TestDatabase) {
        // The way back numbers the new one 4, which is the number that Ann had.
        let filled = "INSERT INTO customer VALUES (4, 'ann@x', 'Ann'), (1002, 'bob@x', 'Bob'), (1003, 'eve@x', NULL);
INSERT INTO orders VALUES (1, 4, 'pen'), (2, 1003, 'ink');";
        let sandbox = project(db, &made("customer", "orders", "INTEGER"), filled, &up(), &down());
        upgrade(&sandbox);
        db.execute("INSERT INTO customer VALUES ('key of new', 'new@x', 'New'); INSERT INTO orders VALUES (5, 'key of new', 'hat');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(BY_NAME), "1|ann@x\n2|eve@x\n5|new@x", "{result:#}");
        assert_eq!(counts(&result, db, "customer", Some("id")), [2, 0, 0, 1], "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn numbers_that_the_way_back_gave_to_others_lead_nothing_astray_without_a_foreign_key(db: &TestDatabase) {
        let filled = "INSERT INTO customer VALUES (1, 'ann@x', 'Ann'), (3, 'bob@x', 'Bob'), (2, 'eve@x', NULL), (7, 'zoe@x', 'Zoe');
INSERT INTO orders VALUES (1, 1, 'pen'), (2, 2, 'ink'), (3, 3, 'cup'), (4, 7, 'mug');";
        let sandbox = project(db, &made("customer", "orders", "INTEGER"), filled, &up(), &down());
        upgrade(&sandbox);
        // Numbered anew all but the first are others than on the copy.
        db.execute("DELETE FROM orders WHERE id = 3; DELETE FROM customer WHERE email = 'bob@x'; INSERT INTO orders VALUES (5, 'key of zoe@x', 'hat');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(BY_NAME), "1|ann@x\n2|eve@x\n4|zoe@x\n5|zoe@x", "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn what_refers_to_its_own_table_is_right_without_a_foreign_key_where_the_numbers_are_taken(db: &TestDatabase) {
        let filled = "INSERT INTO staff VALUES (3, NULL, 'anna'), (5, 3, 'bert'), (8, 5, 'gerd'), (9, 5, 'hanna');";
        let sandbox = project(db, &staff("staff", "INTEGER"), filled, &staff_up(), &staff_down());
        upgrade(&sandbox);
        db.execute("INSERT INTO staff VALUES ('c', 'key of anna', 'carl'), ('d', 'key of anna', 'dora'), ('e', 'key of bert', 'emil');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(BOSSES), "anna|\nbert|anna\ncarl|anna\ndora|anna\nemil|bert\ngerd|bert\nhanna|bert", "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn what_refers_to_its_own_table_is_right_without_a_foreign_key_where_numbers_change_places(db: &TestDatabase) {
        let filled = "INSERT INTO staff VALUES (3, NULL, 'anna'), (1, 3, 'bert'), (2, 1, 'gerd'), (9, 1, 'hanna');";
        let sandbox = project(db, &staff("staff", "INTEGER"), filled, &staff_up(), &staff_down());
        let rows = "SELECT id, boss_id, mail FROM staff ORDER BY id;";
        let before = db.query(rows);
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(db.query(rows), before, "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn a_column_that_nothing_touched_means_the_rows_of_then_where_its_name_says_whose_they_are(db: &TestDatabase) {
        let customer = |name: &str, kind: &str| format!("CREATE TABLE {name} (id {kind} PRIMARY KEY, email VARCHAR(40) NOT NULL);");
        let orders = "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, item VARCHAR(40));";
        let filled = "INSERT INTO customer VALUES (4, 'ann@x'), (1, 'bob@x'), (1003, 'eve@x');
INSERT INTO orders VALUES (1, 4, 'pen'), (2, 1003, 'ink'), (3, 1, 'cup'), (4, NULL, 'mug');";
        let rebuilt = |kind: &str, key: &str| format!("{} INSERT INTO c2 SELECT {key}, email FROM customer; DROP TABLE customer; ALTER TABLE c2 RENAME TO customer;", customer("c2", kind));
        let (up, down) = (rebuilt("VARCHAR(40)", "'key of ' || email"), rebuilt("INTEGER", "row_number() OVER (ORDER BY email)"));
        let sandbox = project(db, &format!("{} {orders}", customer("customer", "INTEGER")), filled, &up, &down);
        upgrade(&sandbox);
        // The way back numbers the new one 4, which is the number that Ann had.
        db.execute("INSERT INTO customer VALUES ('key of new', 'new@x');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(BY_NAME), "1|ann@x\n2|eve@x\n3|bob@x\n4|", "{result:#}");
        assert!(result["notes"].to_string().contains("2 rows held numbers of then and refer to the rows of then again"), "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }
}
