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
