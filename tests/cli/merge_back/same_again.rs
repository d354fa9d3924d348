//! Keys that the way back makes anew, and that happen to be the same ones on the copy: in the real run they are others.

use super::*;

const MADE: &str =
    "CREATE TABLE customer (id INTEGER PRIMARY KEY, email VARCHAR(40) NOT NULL, name VARCHAR(40));";
const UP: &str = "CREATE TABLE c2 (id VARCHAR(40) PRIMARY KEY, email VARCHAR(40) NOT NULL, name VARCHAR(40));
INSERT INTO c2 SELECT 'key of ' || email, email, name FROM customer; DROP TABLE customer; ALTER TABLE c2 RENAME TO customer;";
/// Numbers the customers from one on, in the order of their addresses.
const DOWN: &str = "CREATE TABLE c2 (id INTEGER PRIMARY KEY, email VARCHAR(40) NOT NULL, name VARCHAR(40));
INSERT INTO c2 SELECT row_number() OVER (ORDER BY email), email, name FROM customer; DROP TABLE customer; ALTER TABLE c2 RENAME TO customer;";

/// Returns the numbers of then in the side table, each with that of now.
fn left(result: &Value, db: &TestDatabase) -> String {
    let sql =
        format!("SELECT ours, theirs FROM {} WHERE \"column\" = 'id' ORDER BY ours;", side_table(result));
    db.query(&sql)
}

both_engines! {
    fn a_number_that_was_the_same_on_the_copy_and_is_another_one_in_the_real_run_is_named(db: &TestDatabase) {
        let filled = "INSERT INTO customer VALUES (1, 'ann@x', 'Ann'), (2, 'bob@x', 'Bob'), (5, 'eve@x', NULL), (9, 'zoe@x', 'Zoe');";
        let sandbox = project(db, MADE, filled, UP, DOWN);
        upgrade(&sandbox);
        db.execute("DELETE FROM customer WHERE email = 'ann@x';");
        let result = downgrade(&sandbox);
        let [merged, already, deleted, conflicts] = counts(&result, db, "customer", Some("id"));
        assert_eq!([merged + already + conflicts, deleted], [3, 1], "{result:#}");
        assert!(left(&result, db).lines().any(|line| line == "2|1"), "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn numbers_that_were_all_the_same_on_the_copy_are_named_where_the_real_run_gives_others(db: &TestDatabase) {
        let filled = "INSERT INTO customer VALUES (1, 'ann@x', 'Ann'), (2, 'bob@x', 'Bob'), (3, 'eve@x', NULL), (4, 'zoe@x', 'Zoe');";
        let sandbox = project(db, MADE, filled, UP, DOWN);
        upgrade(&sandbox);
        db.execute("DELETE FROM customer WHERE email = 'bob@x';");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "customer", Some("id")), [0, 1, 1, 2], "{result:#}");
        assert_eq!(left(&result, db), "3|2\n4|3", "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn of_rows_that_are_alike_no_number_is_lost_that_was_the_same_on_the_copy(db: &TestDatabase) {
        let made = "CREATE TABLE line (id INTEGER PRIMARY KEY, product VARCHAR(40));";
        let filled = "INSERT INTO line VALUES (1, 'ink'), (2, 'pen'), (3, 'pen'), (7, 'rug');";
        let rebuilt = |kind: &str, key: &str| format!("CREATE TABLE l2 (id {kind} PRIMARY KEY, product VARCHAR(40));
INSERT INTO l2 SELECT {key}, product FROM line; DROP TABLE line; ALTER TABLE l2 RENAME TO line;");
        let down = rebuilt("INTEGER", "row_number() OVER (ORDER BY product, id)");
        let sandbox = project(db, made, filled, &rebuilt("VARCHAR(20)", "'key ' || id"), &down);
        upgrade(&sandbox);
        db.execute("DELETE FROM line WHERE product = 'ink';");
        let result = downgrade(&sandbox);
        assert_eq!(left(&result, db).lines().map(|line| &line[..1]).collect::<String>(), "237", "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn numbers_that_the_way_back_really_brings_back_are_no_loss(db: &TestDatabase) {
        let filled = "INSERT INTO customer VALUES (1, 'ann@x', 'Ann'), (2, 'bob@x', 'Bob'), (5, 'eve@x', NULL);";
        let up = UP.replace("'key of ' || email", "'c' || id");
        let down = DOWN.replace("row_number() OVER (ORDER BY email)", "CAST(substr(id, 2) AS INTEGER)");
        let sandbox = project(db, MADE, filled, &up, &down);
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(0).stdout_lacks("salvage");
        db.execute("DELETE FROM customer WHERE email = 'ann@x';");
        sandbox.ripcord(&["downgrade"]).expect_code(0);
        assert_eq!(db.query("SELECT id, email FROM customer ORDER BY id;"), "2|bob@x\n5|eve@x");
    }
}
