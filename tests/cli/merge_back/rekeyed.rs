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

/// The same, whatever a foreign key does when what it refers to changes.
fn with(how: &str) -> String {
    DOWN.replace("REFERENCES c2 (id)", &format!("REFERENCES c2 (id) {how}"))
}

const BOTH: &str =
    "SELECT id, email, name FROM customer ORDER BY id; SELECT id, customer_id, item FROM orders ORDER BY id;";

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
        run.expect_code(3).stderr_has("customer.id: 4 values, 16 B; ");
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

    fn numbers_that_are_the_same_ones_in_another_order_come_back_to_their_rows(db: &TestDatabase) {
        let filled = "INSERT INTO customer VALUES (1, 'zoe@x', 'Zoe'), (2, 'yan@x', 'Yan'), (3, 'ann@x', 'Ann'), (4, 'bob@x', NULL);
INSERT INTO orders VALUES (1, 1, 'pen'), (2, 3, 'ink'), (3, 2, 'cup'), (4, 3, 'cup');";
        let up = UP.replace("id VARCHAR(40) PRIMARY KEY, email VARCHAR(40) NOT NULL", "email VARCHAR(40) PRIMARY KEY");
        let up = up.replace("SELECT 'key of ' || email, email", "SELECT email").replace("'key of ' || c.email", "c.email").replace("c2 (id)", "c2");
        let down = DOWN.replace("c.id = o.customer_id", "c.email = o.customer_id");
        let sandbox = project(db, MADE, filled, &up, &down);
        let before = db.query(BOTH);
        upgrade(&sandbox);
        db.execute("INSERT INTO customer VALUES ('zzz@x', 'New'); INSERT INTO orders VALUES (5, 'zzz@x', 'hat'), (6, 'zoe@x', 'hat');");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "customer", Some("id")), [4, 0, 0, 0], "{result:#}");
        let by_name = "SELECT o.id, c.email FROM orders o JOIN customer c ON c.id = o.customer_id WHERE o.id > 4 ORDER BY o.id;";
        assert_eq!(db.query(by_name), "5|zzz@x\n6|zoe@x", "{result:#}");
        db.execute("DELETE FROM orders WHERE id > 4; DELETE FROM customer WHERE email = 'zzz@x';");
        assert_eq!(db.query(BOTH), before);
    }

    fn a_row_that_users_led_to_another_parent_stays_there_whatever_numbers_both_had(db: &TestDatabase) {
        let filled = "INSERT INTO customer VALUES (2, 'ann@x', 'Ann'), (5, 'bob@x', 'Bob'), (6, 'eve@x', NULL);
INSERT INTO orders VALUES (1, 2, 'pen'), (2, 5, 'ink'), (3, 6, 'cup');";
        let sandbox = project(db, MADE, filled, UP, DOWN);
        upgrade(&sandbox);
        // Bob had got number 2 on the way back, which is the number that Ann has again.
        db.execute("UPDATE orders SET customer_id = 'key of ann@x' WHERE id = 2;");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT id, customer_id FROM orders ORDER BY id;"), "1|2\n2|2\n3|6", "{result:#}");
        // Following the keys has undone all that the way back had done to it: nothing is left to be in conflict.
        assert_eq!(counts(&result, db, "orders", Some("customer_id")), [0, 3, 0, 0], "{result:#}");
    }

    fn numbers_that_were_texts_in_between_come_back_to_their_rows_where_they_are_the_same_ones_in_another_order(db: &TestDatabase) {
        let filled = "INSERT INTO customer VALUES (1, 'zoe@x', 'Zoe'), (2, 'yan@x', 'Yan'), (3, 'ann@x', 'Ann'), (4, 'bob@x', NULL);
INSERT INTO orders VALUES (1, 1, 'pen'), (2, 3, 'ink'), (3, 2, 'cup'), (4, 3, 'cup');";
        let sandbox = project(db, MADE, filled, UP, DOWN);
        let before = db.query(BOTH);
        upgrade(&sandbox);
        db.execute("INSERT INTO orders VALUES (5, 'key of ann@x', 'hat');");
        let result = downgrade(&sandbox);
        let since = "SELECT c.email FROM orders o JOIN customer c ON c.id = o.customer_id WHERE o.id = 5;";
        assert_eq!(db.query(since), "ann@x", "{result:#}");
        db.execute("DELETE FROM orders WHERE id = 5;");
        assert_eq!(db.query(BOTH), before);
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

    fn a_number_that_another_row_has_now_keeps_all_of_its_chain_from_moving_and_nothing_else(db: &TestDatabase) {
        // Numbered anew they are 1 to 8: b wants the number of c, c that of d, and d that of a new row; e, f and g change places.
        let filled = "INSERT INTO customer VALUES (1, 'a@x', 'A'), (3, 'b@x', 'B'), (4, 'c@x', 'C'), (9, 'd@x', 'D'), (7, 'e@x', 'E'),
(5, 'f@x', 'F'), (6, 'g@x', 'G'), (1001, 'h@x', 'H'); INSERT INTO orders VALUES (1, 3, 'pen'), (2, 9, 'ink'), (3, 7, 'cup'), (4, 1001, 'hat');";
        let sandbox = project(db, MADE, filled, UP, DOWN);
        upgrade(&sandbox);
        db.execute("INSERT INTO customer VALUES ('key of z@x', 'z@x', 'New'); INSERT INTO orders VALUES (5, 'key of z@x', 'pin');");
        let result = downgrade(&sandbox);
        let rows = db.query("SELECT id, name FROM customer ORDER BY name;");
        assert_eq!(rows, "1|A\n2|B\n3|C\n4|D\n7|E\n5|F\n6|G\n1001|H\n9|New", "{result:#}");
        let by_name = "SELECT o.id, c.name FROM orders o JOIN customer c ON c.id = o.customer_id ORDER BY o.id;";
        assert_eq!(db.query(by_name), "1|B\n2|D\n3|E\n4|H\n5|New");
        assert_eq!(counts(&result, db, "customer", Some("id")), [4, 1, 0, 3]);
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

    fn whatever_a_foreign_key_does_when_a_key_changes_its_rows_follow(db: &TestDatabase) {
        let how = ["ON UPDATE CASCADE", "ON UPDATE SET NULL", "ON UPDATE SET DEFAULT", "ON UPDATE RESTRICT"];
        // The tables of each have names of their own.
        let own = |at: usize, text: &str| ["customer", "orders", "c2", "o2"].iter().fold(text.to_string(), |text, name| {
            let renamed = text.replace(&format!("{name} "), &format!("{name}_{at} "));
            renamed.replace(&format!("{name};"), &format!("{name}_{at};"))
        });
        let each = |text: &dyn Fn(&str) -> String| {
            how.iter().enumerate().map(|(at, how)| own(at, &text(how))).collect::<Vec<_>>().join("\n")
        };
        let made = each(&|how| MADE.replace("REFERENCES customer (id)", &format!("REFERENCES customer (id) {how}")));
        let sandbox = project(db, &made, &each(&|_| FILLED.to_string()), &each(&|_| UP.to_string()), &each(&with));
        let both = |at| own(at, BOTH);
        let before: Vec<String> = (0..how.len()).map(|at| db.query(&both(at))).collect();
        upgrade(&sandbox);
        db.execute(&each(&|_| "INSERT INTO orders VALUES (5, 'key of ann@x', 'hat');".to_string()));
        let result = downgrade(&sandbox);
        for (at, how) in how.iter().enumerate() {
            assert_eq!(db.query(&both(at)), format!("{}\n5|1001|hat", before[at]), "{how}: {result:#}");
        }
        let notes = result["notes"].to_string();
        assert_eq!(notes.matches("followed the keys that were put back").count(), how.len(), "{notes}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn a_row_that_refers_to_another_one_of_its_own_table_follows(db: &TestDatabase) {
        let made = "CREATE TABLE staff (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES staff (id), name VARCHAR(20));";
        let filled = "INSERT INTO staff VALUES (9, NULL, 'ann'), (4, 9, 'bob'), (1, 4, 'eve'), (2, 9, 'zoe');";
        let up = "CREATE TABLE s2 (id VARCHAR(20) PRIMARY KEY, boss VARCHAR(20) REFERENCES s2 (id), name VARCHAR(20));
INSERT INTO s2 SELECT s.name, b.name, s.name FROM staff s LEFT JOIN staff b ON b.id = s.boss ORDER BY s.boss IS NOT NULL, s.id DESC;
DROP TABLE staff; ALTER TABLE s2 RENAME TO staff;";
        let down = "CREATE TABLE s2 (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES s2 (id), name VARCHAR(20));
INSERT INTO s2 (id, name) SELECT row_number() OVER (ORDER BY name), name FROM staff;
UPDATE s2 SET boss = (SELECT b.id FROM staff s JOIN s2 b ON b.name = s.boss WHERE s.name = s2.name);
DROP TABLE staff; ALTER TABLE s2 RENAME TO staff;";
        let sandbox = project(db, made, filled, up, down);
        let rows = "SELECT id, coalesce(boss, 0), name FROM staff ORDER BY id;";
        let before = db.query(rows);
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(db.query(rows), before, "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn what_refers_to_its_own_table_stays_where_the_numbers_are_taken(db: &TestDatabase) {
        let made = |table: &str, kind: &str| {
            format!("CREATE TABLE {table} (id {kind} NOT NULL PRIMARY KEY, mail VARCHAR(40) UNIQUE, boss {kind} REFERENCES {table} (id));")
        };
        let rebuilt = |kind: &str, key: &str| {
            format!(
                "{} INSERT INTO n SELECT {key}, mail, NULL FROM emp ORDER BY mail;
UPDATE n SET boss = (SELECT b2.id FROM emp e JOIN emp b ON b.id = e.boss JOIN n b2 ON b2.mail = b.mail WHERE e.mail = n.mail);
DROP TABLE emp; ALTER TABLE n RENAME TO emp;",
                made("n", kind)
            )
        };
        let filled = "INSERT INTO emp VALUES (3, 'anna', NULL), (5, 'bert', 3), (8, 'gerd', 5), (9, 'hanna', 5);";
        let (up, down) = (rebuilt("VARCHAR(40)", "'key of ' || mail"), rebuilt("INTEGER", "row_number() OVER (ORDER BY mail)"));
        let sandbox = project(db, &made("emp", "INTEGER"), filled, &up, &down);
        upgrade(&sandbox);
        db.execute("INSERT INTO emp VALUES ('c', 'carl', 'key of anna'), ('d', 'dora', 'key of anna'), ('e', 'emil', 'key of anna');");
        let result = downgrade(&sandbox);
        let bosses = db.query("SELECT e.mail, b.mail FROM emp e LEFT JOIN emp b ON b.id = e.boss ORDER BY 1;");
        assert_eq!(bosses, "anna|\nbert|anna\ncarl|anna\ndora|anna\nemil|anna\ngerd|bert\nhanna|bert", "{result:#}");
        assert_eq!(counts(&result, db, "emp", Some("id"))[3], 4, "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn numbers_that_were_given_out_then_are_not_given_out_again(db: &TestDatabase) {
        let number = match db.backend() {
            Backend::Sqlite => "INTEGER PRIMARY KEY AUTOINCREMENT",
            Backend::Postgres => "INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        };
        let made = format!("CREATE TABLE item (id {number}, name VARCHAR(20));");
        let filled = "INSERT INTO item (name) VALUES ('a'), ('b'), ('c'), ('d'), ('e'); DELETE FROM item WHERE id IN (1, 5);";
        let up = "CREATE TABLE i2 (id VARCHAR(20) PRIMARY KEY, name VARCHAR(20)); INSERT INTO i2 SELECT 'k' || id, name FROM item;
DROP TABLE item; ALTER TABLE i2 RENAME TO item;";
        let down = format!("CREATE TABLE i2 (id {number}, name VARCHAR(20)); INSERT INTO i2 (name) SELECT name FROM item ORDER BY name;
DROP TABLE item; ALTER TABLE i2 RENAME TO item;");
        let sandbox = project(db, &made, filled, up, &down);
        upgrade(&sandbox);
        downgrade(&sandbox);
        db.execute("INSERT INTO item (name) VALUES ('new');");
        assert_eq!(db.query("SELECT id, name FROM item ORDER BY id;"), "2|b\n3|c\n4|d\n6|new");
    }
}

#[test]
fn a_key_of_a_postgres_table_that_became_a_uuid_and_a_serial_again_gets_its_numbers_back() {
    let db = &TestDatabase::postgres();
    let up = "ALTER TABLE orders DROP CONSTRAINT orders_customer_id_fkey;
ALTER TABLE customer ADD COLUMN uid UUID NOT NULL DEFAULT gen_random_uuid(); ALTER TABLE orders ADD COLUMN customer_uid UUID;
UPDATE orders o SET customer_uid = c.uid FROM customer c WHERE c.id = o.customer_id;
ALTER TABLE orders DROP COLUMN customer_id; ALTER TABLE orders RENAME COLUMN customer_uid TO customer_id;
ALTER TABLE customer DROP COLUMN id; ALTER TABLE customer RENAME COLUMN uid TO id; ALTER TABLE customer ADD PRIMARY KEY (id);
ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customer (id);";
    let down = "ALTER TABLE orders DROP CONSTRAINT orders_customer_id_fkey;
ALTER TABLE customer ADD COLUMN num SERIAL; ALTER TABLE orders ADD COLUMN customer_num INTEGER;
UPDATE orders o SET customer_num = c.num FROM customer c WHERE c.id = o.customer_id;
ALTER TABLE orders DROP COLUMN customer_id; ALTER TABLE orders RENAME COLUMN customer_num TO customer_id;
ALTER TABLE customer DROP COLUMN id; ALTER TABLE customer RENAME COLUMN num TO id; ALTER TABLE customer ADD PRIMARY KEY (id);
ALTER TABLE orders ALTER COLUMN customer_id SET NOT NULL, ADD FOREIGN KEY (customer_id) REFERENCES customer (id);";
    let made = MADE.replace("customer (id INTEGER PRIMARY KEY", "customer (id SERIAL PRIMARY KEY");
    let sandbox = project(db, &made, FILLED, up, down);
    let before = db.query(BOTH);
    upgrade(&sandbox);
    db.execute(
        "INSERT INTO orders (id, customer_id, item) SELECT 5, id, 'hat' FROM customer WHERE name = 'Bob';",
    );
    let result = downgrade(&sandbox);
    assert_eq!(db.query(BOTH), format!("{before}\n5|1002|hat"), "{result:#}");
    sandbox.ripcord(&["verify"]).expect_code(0);
    db.execute("INSERT INTO customer (email) VALUES ('next@x');");
    assert_eq!(db.query("SELECT id FROM customer WHERE email = 'next@x';"), "1005");
}

/// Users of tenants: an upgrade replaces their numbers by texts, and its way back numbers them anew. What refers to them by
/// tenant and number does `how` when the number changes.
fn tenants(how: &str) -> [String; 4] {
    let tables = |users: &str, doc: &str, number: &str| {
        format!(
            "CREATE TABLE {users} (id {number} PRIMARY KEY, tenant INTEGER NOT NULL, email VARCHAR(20) NOT NULL, UNIQUE (tenant, id));
CREATE TABLE {doc} (id INTEGER PRIMARY KEY, tenant INTEGER, owner {number}, \
FOREIGN KEY (tenant, owner) REFERENCES {users} (tenant, id) {how});"
        )
    };
    let swap =
        "DROP TABLE doc; DROP TABLE users; ALTER TABLE u2 RENAME TO users; ALTER TABLE d2 RENAME TO doc;";
    let filled = "INSERT INTO users VALUES (11, 1, 'ann@x'), (12, 1, 'bob@x'), (13, 2, 'eve@x');
INSERT INTO doc VALUES (1, 1, 11), (2, 1, 12), (3, 2, 13), (4, NULL, 11), (5, 1, NULL);";
    let up = format!(
        "{}
INSERT INTO u2 SELECT 'key of ' || email, tenant, email FROM users;
INSERT INTO d2 SELECT d.id, d.tenant, 'key of ' || u.email FROM doc d LEFT JOIN users u ON u.id = d.owner;
{swap}",
        tables("u2", "d2", "VARCHAR(20)")
    );
    let down = format!(
        "{}
INSERT INTO u2 SELECT row_number() OVER (ORDER BY email), tenant, email FROM users;
INSERT INTO d2 SELECT d.id, d.tenant, n.id FROM doc d LEFT JOIN u2 n ON 'key of ' || n.email = d.owner;
{swap}",
        tables("u2", "d2", "INTEGER")
    );
    [tables("users", "doc", "INTEGER"), filled.to_string(), up, down]
}

#[test]
fn what_refers_to_a_key_by_several_columns_follows_whatever_its_foreign_key_does() {
    for how in ["ON UPDATE SET NULL", "", "ON UPDATE CASCADE", "ON UPDATE SET DEFAULT", "ON UPDATE RESTRICT"]
    {
        let db = &TestDatabase::sqlite();
        let [made, filled, up, down] = tenants(how);
        let sandbox = project(db, &made, &filled, &up, &down);
        let rows = "SELECT id, tenant, email FROM users ORDER BY id; SELECT id, tenant, owner FROM doc WHERE id <> 4 ORDER BY id;";
        let before = db.query(rows);
        upgrade(&sandbox);
        db.execute("INSERT INTO doc VALUES (6, 2, 'key of eve@x');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(rows), format!("{before}\n6|2|13"), "{how}: {result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }
}

#[test]
fn a_row_that_would_lose_another_one_of_its_own_table_follows() {
    for how in ["ON UPDATE SET NULL", "ON UPDATE RESTRICT", "ON UPDATE CASCADE"] {
        let db = &TestDatabase::sqlite();
        let table = |name: &str, key: &str| {
            format!(
                "CREATE TABLE {name} (id {key} PRIMARY KEY, boss {key} REFERENCES {name} (id) {how}, name VARCHAR(20));"
            )
        };
        let filled =
            "INSERT INTO staff VALUES (11, NULL, 'ann'), (12, 11, 'bob'), (13, 12, 'eve'), (14, 11, 'zoe');";
        let up = format!(
            "{}
INSERT INTO s2 SELECT s.name, b.name, s.name FROM staff s LEFT JOIN staff b ON b.id = s.boss ORDER BY s.id;
DROP TABLE staff; ALTER TABLE s2 RENAME TO staff;",
            table("s2", "VARCHAR(20)")
        );
        let down = format!(
            "{}
INSERT INTO s2 (id, name) SELECT row_number() OVER (ORDER BY name), name FROM staff;
UPDATE s2 SET boss = (SELECT b.id FROM staff s JOIN s2 b ON b.name = s.boss WHERE s.name = s2.name);
DROP TABLE staff; ALTER TABLE s2 RENAME TO staff;",
            table("s2", "INTEGER")
        );
        let sandbox = project(db, &table("staff", "INTEGER"), filled, &up, &down);
        let rows = "SELECT id, coalesce(boss, 0), name FROM staff ORDER BY id;";
        let before = db.query(rows);
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(db.query(rows), before, "{how}: {result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }
}

#[test]
fn a_key_that_would_cost_what_refers_to_its_children_something_stays() {
    for how in ["", "ON UPDATE CASCADE"] {
        let db = &TestDatabase::sqlite();
        let tables = |of: [&str; 3], key: &str| {
            let [users, profile, note] = of;
            format!(
                "CREATE TABLE {users} (id {key} PRIMARY KEY, email VARCHAR(20) NOT NULL);
CREATE TABLE {profile} (user {key} PRIMARY KEY REFERENCES {users} (id) {how});
CREATE TABLE {note} (id INTEGER PRIMARY KEY, user {key} REFERENCES {profile} (user) ON UPDATE SET NULL);"
            )
        };
        let swap = "DROP TABLE note; DROP TABLE profile; DROP TABLE users; ALTER TABLE u2 RENAME TO users;
ALTER TABLE p2 RENAME TO profile; ALTER TABLE n2 RENAME TO note;";
        let filled =
            "INSERT INTO users VALUES (11, 'ann@x'), (12, 'bob@x'); INSERT INTO profile VALUES (11), (12);
INSERT INTO note VALUES (1, 11), (2, 12);";
        let new = ["u2", "p2", "n2"];
        let up = format!(
            "{}
INSERT INTO u2 SELECT 'key of ' || email, email FROM users;
INSERT INTO p2 SELECT 'key of ' || u.email FROM profile p JOIN users u ON u.id = p.user;
INSERT INTO n2 SELECT n.id, 'key of ' || u.email FROM note n JOIN users u ON u.id = n.user;
{swap}",
            tables(new, "VARCHAR(20)")
        );
        let down = format!(
            "{}
INSERT INTO u2 SELECT row_number() OVER (ORDER BY email), email FROM users;
INSERT INTO p2 SELECT n.id FROM profile p JOIN u2 n ON 'key of ' || n.email = p.user;
INSERT INTO n2 SELECT o.id, n.id FROM note o JOIN u2 n ON 'key of ' || n.email = o.user;
{swap}",
            tables(new, "INTEGER")
        );
        let sandbox = project(db, &tables(["users", "profile", "note"], "INTEGER"), filled, &up, &down);
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        let by_name = "SELECT n.id, u.email FROM note n JOIN profile p ON p.user = n.user JOIN users u ON u.id = p.user ORDER BY n.id;";
        assert_eq!(db.query(by_name), "1|ann@x\n2|bob@x", "{how}: {result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }
}
