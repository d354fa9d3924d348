//! Keys that were made anew, and foreign keys of several columns that refer to them.

use super::*;

const MADE: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, email VARCHAR(40) NOT NULL, UNIQUE (tenant, id));
CREATE TABLE doc (id INTEGER PRIMARY KEY, tenant INTEGER, owner INTEGER, title VARCHAR(20), FOREIGN KEY (tenant, owner) REFERENCES users (tenant, id) HOW);
CREATE TABLE post (id INTEGER PRIMARY KEY, author INTEGER NOT NULL REFERENCES users (id));";
const FILLED: &str = "INSERT INTO users VALUES (1001, 1, 'ann@x'), (1002, 1, 'bob@x'), (1003, 2, 'eve@x');
INSERT INTO doc VALUES (1, 1, 1001, 'a'), (2, 2, 1003, 'b'), (3, 1, NULL, 'c'); INSERT INTO post VALUES (1, 1001), (2, 1002);";

/// Replaces the keys of users by another kind of value, and what refers to them follows.
fn rebuilt(kind: &str, key: &str, how: &str) -> String {
    format!(
        "CREATE TABLE u2 (id {kind} PRIMARY KEY, tenant INTEGER NOT NULL, email VARCHAR(40) NOT NULL, UNIQUE (tenant, id));
INSERT INTO u2 SELECT {key}, tenant, email FROM users;
CREATE TABLE d2 (id INTEGER PRIMARY KEY, tenant INTEGER, owner {kind}, title VARCHAR(20), FOREIGN KEY (tenant, owner) REFERENCES u2 (tenant, id) {how});
INSERT INTO d2 SELECT d.id, d.tenant, n.id, d.title FROM doc d LEFT JOIN users u ON u.id = d.owner LEFT JOIN u2 n ON n.email = u.email;
CREATE TABLE p2 (id INTEGER PRIMARY KEY, author {kind} NOT NULL REFERENCES u2 (id));
INSERT INTO p2 SELECT p.id, n.id FROM post p JOIN users u ON u.id = p.author JOIN u2 n ON n.email = u.email;
DROP TABLE post; DROP TABLE doc; DROP TABLE users;
ALTER TABLE u2 RENAME TO users; ALTER TABLE d2 RENAME TO doc; ALTER TABLE p2 RENAME TO post;"
    )
}

/// The project, whatever the foreign key of two columns does when a key changes.
fn tenants(db: &TestDatabase, how: &str) -> Sandbox {
    let anew = how.replace("users", "u2");
    let up = rebuilt("VARCHAR(40)", "'key of ' || email", &anew);
    let down = rebuilt("INTEGER", "row_number() OVER (ORDER BY email)", &anew);
    project(db, &MADE.replace("HOW", how), FILLED, &up, &down)
}

/// Documents and posts with the addresses of the users that they refer to.
const BY_NAME: &str = "SELECT d.id, d.tenant, u.email, d.title FROM doc d LEFT JOIN users u ON u.tenant = d.tenant AND u.id = d.owner ORDER BY d.id;
SELECT p.id, u.email FROM post p JOIN users u ON u.id = p.author ORDER BY p.id;";

fn keeps_what_refers(how: &str) {
    let db = &TestDatabase::postgres();
    let sandbox = tenants(db, how);
    let before = db.query(BY_NAME);
    upgrade(&sandbox);
    db.execute("INSERT INTO doc VALUES (4, 1, 'key of bob@x', 'd');");
    let result = downgrade(&sandbox);
    let expected = before.replace("3|1||c", "3|1||c\n4|1|bob@x|d");
    assert_eq!(db.query(BY_NAME), expected, "{how}: {result:#}");
    assert_eq!(counts(&result, db, "users", Some("id")), [0, 0, 0, 3], "{how}: {result:#}");
    let reason = "rows refer to it by a foreign key that is emptied when it changes";
    let side = side_table(&result);
    let kept = format!("SELECT DISTINCT reason FROM {side} WHERE \"table\" = 'public.users';");
    assert_eq!(db.query(&kept), reason, "{how}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn a_postgres_key_of_two_columns_that_would_be_emptied_keeps_the_numbers_from_coming_back() {
    keeps_what_refers("ON UPDATE SET NULL");
}

#[test]
fn a_postgres_key_of_two_columns_that_would_get_its_defaults_does_so_too() {
    keeps_what_refers("ON UPDATE SET DEFAULT");
}

#[test]
fn a_postgres_key_of_two_columns_that_goes_along_follows_the_numbers() {
    let db = &TestDatabase::postgres();
    let sandbox = tenants(db, "ON UPDATE CASCADE");
    let rows =
        "SELECT id, tenant, owner, title FROM doc ORDER BY id; SELECT id, author FROM post ORDER BY id;";
    let before = db.query(rows);
    upgrade(&sandbox);
    db.execute("INSERT INTO doc VALUES (4, 1, 'key of bob@x', 'd');");
    let result = downgrade(&sandbox);
    assert_eq!(db.query(rows), before.replace("3|1||c", "3|1||c\n4|1|1002|d"), "{result:#}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn a_postgres_key_of_two_columns_whose_column_refers_by_itself_too_follows_the_numbers() {
    let db = &TestDatabase::postgres();
    let sandbox = tenants(db, "ON UPDATE SET NULL, FOREIGN KEY (owner) REFERENCES users (id)");
    let rows =
        "SELECT id, tenant, owner, title FROM doc ORDER BY id; SELECT id, author FROM post ORDER BY id;";
    let before = db.query(rows);
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(db.query(rows), before, "{result:#}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn what_refers_to_a_postgres_key_of_two_columns_comes_back_after_that_key() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE users (tenant INTEGER, id INTEGER, email VARCHAR(40) NOT NULL, PRIMARY KEY (tenant, id));
CREATE TABLE doc (id INTEGER PRIMARY KEY, tenant INTEGER, owner INTEGER, FOREIGN KEY (tenant, owner) REFERENCES users (tenant, id));";
    let filled = "INSERT INTO users VALUES (1, 1001, 'ann@x'), (1, 1002, 'bob@x'), (2, 1001, 'eve@x');
INSERT INTO doc VALUES (1, 1, 1001), (2, 2, 1001), (3, 1, 1002), (4, 1, NULL);";
    let up = "ALTER TABLE doc DROP COLUMN owner, DROP COLUMN tenant; ALTER TABLE users DROP CONSTRAINT users_pkey;
ALTER TABLE users ALTER COLUMN id TYPE VARCHAR(60) USING 'key of ' || email; ALTER TABLE users ADD PRIMARY KEY (tenant, id);";
    let down = "CREATE TABLE u2 (tenant INTEGER, id INTEGER, email VARCHAR(40) NOT NULL, PRIMARY KEY (tenant, id));
INSERT INTO u2 SELECT tenant, row_number() OVER (ORDER BY email), email FROM users; DROP TABLE users; ALTER TABLE u2 RENAME TO users;
ALTER TABLE doc ADD COLUMN tenant INTEGER, ADD COLUMN owner INTEGER, ADD FOREIGN KEY (tenant, owner) REFERENCES users (tenant, id);";
    let sandbox = project(db, made, filled, up, down);
    let rows =
        "SELECT tenant, id, email FROM users ORDER BY email; SELECT id, tenant, owner FROM doc ORDER BY id;";
    let before = db.query(rows);
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(db.query(rows), before, "{result:#}");
    assert_eq!(counts(&result, db, "doc", Some("owner")), [3, 1, 0, 0], "{result:#}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn what_refers_to_postgres_rows_that_are_alike_comes_back_after_their_keys() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE line (id INTEGER PRIMARY KEY, product VARCHAR(40));
CREATE TABLE note (id INTEGER PRIMARY KEY, line_id INTEGER REFERENCES line (id), text VARCHAR(20));";
    let filled = "INSERT INTO line VALUES (11, 'pen'), (12, 'pen'), (13, 'ink'), (14, 'pen');
INSERT INTO note VALUES (1, 12, 'a'), (2, 13, 'b'), (3, 14, 'c');";
    let up = "ALTER TABLE note DROP COLUMN line_id;
CREATE TABLE l2 (id VARCHAR(40) PRIMARY KEY, product VARCHAR(40)); INSERT INTO l2 SELECT 'key ' || id, product FROM line;
DROP TABLE line; ALTER TABLE l2 RENAME TO line;";
    let down = "CREATE TABLE l2 (id INTEGER PRIMARY KEY, product VARCHAR(40));
INSERT INTO l2 SELECT row_number() OVER (ORDER BY id), product FROM line; DROP TABLE line; ALTER TABLE l2 RENAME TO line;
ALTER TABLE note ADD COLUMN line_id INTEGER REFERENCES line (id);";
    let sandbox = project(db, made, filled, up, down);
    let rows = "SELECT id, product FROM line ORDER BY id; SELECT id, line_id FROM note ORDER BY id;";
    let before = db.query(rows);
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(db.query(rows), before, "{result:#}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn what_refers_to_a_postgres_key_comes_back_also_where_another_key_is_refused() {
    let db = &TestDatabase::postgres();
    // Of three numbers one is below what a constraint of the way back allows: each is tried by itself.
    let made = "CREATE TABLE item (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL);
CREATE TABLE note (id INTEGER PRIMARY KEY, item_id INTEGER REFERENCES item (id));";
    let filled = "INSERT INTO item VALUES (-5, 'a'), (1002, 'b'), (1003, 'c'); INSERT INTO note VALUES (1, -5), (2, 1002), (3, 1003);";
    let up = "ALTER TABLE note DROP COLUMN item_id;
CREATE TABLE i2 (id VARCHAR(40) PRIMARY KEY, name VARCHAR(20) NOT NULL); INSERT INTO i2 SELECT 'key of ' || name, name FROM item;
DROP TABLE item; ALTER TABLE i2 RENAME TO item;";
    let down = "CREATE TABLE i2 (id INTEGER PRIMARY KEY CHECK (id > 0), name VARCHAR(20) NOT NULL);
INSERT INTO i2 SELECT row_number() OVER (ORDER BY name), name FROM item; DROP TABLE item; ALTER TABLE i2 RENAME TO item;
ALTER TABLE note ADD COLUMN item_id INTEGER REFERENCES item (id);";
    let sandbox = project(db, made, filled, up, down);
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    let rows =
        "SELECT id, name FROM item ORDER BY name; SELECT id, coalesce(item_id, 0) FROM note ORDER BY id;";
    assert_eq!(db.query(rows), "1|a\n1002|b\n1003|c\n1|0\n2|1002\n3|1003", "{result:#}");
}

#[test]
fn a_postgres_value_that_is_one_half_of_a_key_is_not_put_beside_the_other_half_where_that_names_a_new_row() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE users (tenant INTEGER, id INTEGER, email VARCHAR(40) NOT NULL, PRIMARY KEY (tenant, id));
CREATE TABLE doc (id INTEGER PRIMARY KEY, tenant INTEGER, owner INTEGER, FOREIGN KEY (tenant, owner) REFERENCES users (tenant, id));";
    let filled = "INSERT INTO users VALUES (1, 1, 'ann@x'), (1, 2, 'bob@x'), (2, 2, 'eve@x');
INSERT INTO doc VALUES (1, 1, 1), (2, 1, 2), (3, 2, 2);";
    let up = "ALTER TABLE doc DROP COLUMN owner; DELETE FROM users WHERE id = 2;";
    let down = "ALTER TABLE doc ADD COLUMN owner INTEGER, ADD FOREIGN KEY (tenant, owner) REFERENCES users (tenant, id);";
    let sandbox = project(db, made, filled, up, down);
    upgrade(&sandbox);
    db.execute("INSERT INTO users VALUES (1, 2, 'new@x');");
    let result = downgrade(&sandbox);
    let rows = "SELECT id, tenant, owner FROM doc ORDER BY id; SELECT email FROM users ORDER BY tenant, id;";
    assert_eq!(db.query(rows), "1|1|1\n2|1|\n3|2|2\nann@x\nnew@x\neve@x", "{result:#}");
    assert_eq!(counts(&result, db, "doc", Some("owner")), [2, 0, 0, 1]);
}

both_engines! {
    fn a_value_that_is_put_back_into_the_last_column_of_a_key_is_no_change_of_the_others(db: &TestDatabase) {
        let made = "CREATE TABLE t (a INTEGER NOT NULL, b INTEGER NOT NULL, x VARCHAR(9), PRIMARY KEY (a, b));";
        let filled = "INSERT INTO t VALUES (1, 1, 'alpha'), (1, 2, 'beta'), (2, 1, 'gamma');";
        let sandbox = project(db, made, filled, "UPDATE t SET b = b + 100;", "SELECT 1;");
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT * FROM t ORDER BY a, b;"), "1|1|alpha\n1|2|beta\n2|1|gamma", "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }
}
