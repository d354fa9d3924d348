//! What comes back never hangs on a row that took the key of the one which it belonged to.

use super::*;

const STRANGER: &str = "the row that it refers to is not there, and its key is of another row now";
const FAMILY: &str = "CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(20));
CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent (id), note VARCHAR(20));
CREATE TABLE grandchild (id INTEGER PRIMARY KEY, child_id INTEGER NOT NULL REFERENCES child (id));";
const FILLED: &str = "INSERT INTO parent VALUES (1, 'ann'), (2, 'bob'), (3, 'eve');
INSERT INTO child VALUES (11, 1, 'of ann'), (12, 2, 'of bob'), (13, 3, 'of eve'), (14, 2, 'of bob');
INSERT INTO grandchild VALUES (21, 11), (22, 12), (23, 13);";

/// The tables, keys and reasons of all conflicts.
fn kept(db: &TestDatabase, result: &Value) -> String {
    let sql = format!("SELECT \"table\", \"key\", reason FROM {} ORDER BY \"key\";", side_table(result));
    db.query(&sql).replace("public.", "")
}

both_engines! {
    fn rows_are_not_put_back_under_a_new_row_that_took_the_number_of_their_parent(db: &TestDatabase) {
        let up = "DELETE FROM grandchild WHERE id > 21; DELETE FROM child WHERE id > 11; DELETE FROM parent WHERE id > 1;";
        let sandbox = project(db, FAMILY, FILLED, up, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO parent VALUES (2, 'new');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT id, name FROM parent ORDER BY id; SELECT id, parent_id FROM child ORDER BY id; SELECT id FROM grandchild ORDER BY id;"),
            "1|ann\n2|new\n3|eve\n11|1\n13|3\n21\n23");
        let reasons = kept(db, &result);
        let lines: Vec<&str> = reasons.lines().collect();
        assert_eq!(lines[0], format!("child|{{\"id\":12}}|{STRANGER}"));
        assert_eq!(lines[1], format!("child|{{\"id\":14}}|{STRANGER}"));
        assert!(lines[2].starts_with("grandchild|{\"id\":22}|"), "{reasons}");
        assert_eq!(lines[3], "parent|{\"id\":2}|changed since, and salvaged");
        assert_eq!(lines.len(), 4);
        sandbox.ripcord(&["verify"]).expect_code(0);
        // By hand it is the same, and merging twice is merging once.
        let backup = by_hand::upgrade_backup(&sandbox);
        sandbox.ripcord(&["backup", "merge-back", &backup]).expect_code(0);
        assert_eq!(db.query("SELECT count(*) FROM child; SELECT count(*) FROM grandchild;"), "2\n2");
    }

    fn values_are_not_put_back_that_refer_to_a_new_row_with_the_old_number(db: &TestDatabase) {
        let up = "UPDATE child SET parent_id = NULL WHERE id > 11; DELETE FROM parent WHERE id > 1;";
        let sandbox = project(db, FAMILY, FILLED, up, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO parent VALUES (2, 'new');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT id, coalesce(parent_id, 0) FROM child ORDER BY id;"), "11|1\n12|0\n13|3\n14|0");
        assert_eq!(counts(&result, db, "child", Some("parent_id")), [1, 0, 0, 2]);
        assert!(kept(db, &result).contains(&format!("child|{{\"id\":12}}|{STRANGER}")));
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn a_key_of_two_columns_is_one_key(db: &TestDatabase) {
        let made = "CREATE TABLE place (town INTEGER, street INTEGER, name VARCHAR(20), PRIMARY KEY (town, street));
CREATE TABLE house (id INTEGER PRIMARY KEY, street INTEGER, town INTEGER, FOREIGN KEY (town, street) REFERENCES place (town, street));";
        let filled = "INSERT INTO place VALUES (1, 1, 'a'), (1, 2, 'b'), (2, 1, 'c');
INSERT INTO house VALUES (1, 1, 1), (2, 2, 1), (3, 1, 2), (4, NULL, 1);";
        let sandbox = project(db, made, filled, "DELETE FROM house; DELETE FROM place;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO place VALUES (1, 2, 'new'), (2, 2, 'other');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT id FROM house ORDER BY id;"), "1\n3\n4");
        assert_eq!(counts(&result, db, "house", None), [3, 0, 0, 1]);
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn rows_of_one_tree_are_not_hung_on_a_new_branch(db: &TestDatabase) {
        let made = "CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree (id), name VARCHAR(20));";
        let filled = "INSERT INTO tree VALUES (1, NULL, 'root'), (2, 1, 'oak'), (3, 2, 'leaf'), (4, 1, 'elm'), (5, 4, 'leaf');";
        let sandbox = project(db, made, filled, "DELETE FROM tree WHERE id IN (3, 5); DELETE FROM tree WHERE id > 1;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO tree VALUES (2, 1, 'new');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT id, name FROM tree ORDER BY id;"), "1|root\n2|new\n4|elm\n5|leaf");
        assert_eq!(counts(&result, db, "tree", None), [2, 0, 0, 2]);
        sandbox.ripcord(&["verify"]).expect_code(0);
    }
}

#[test]
fn a_postgres_key_that_no_row_has_any_more_keeps_nothing_from_an_older_row_of_that_key() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(40) NOT NULL);
CREATE TABLE doc (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL REFERENCES users (id));";
    let filled = "INSERT INTO users VALUES (1, 'ann@x'), (2, 'bob@x'), (3, 'eve@x'); INSERT INTO doc VALUES (1, 1), (2, 2), (3, 3);";
    let up = "DELETE FROM doc WHERE id = 2; DELETE FROM users WHERE id = 2;";
    let sandbox = project(db, made, filled, up, "SELECT 1;");
    upgrade(&sandbox);
    db.execute("INSERT INTO users VALUES (2, 'new@x');");
    let rebuilt = |kind: &str, key: &str| {
        format!(
            "CREATE TABLE u2 (id {kind} PRIMARY KEY, email VARCHAR(40) NOT NULL); INSERT INTO u2 SELECT {key}, email FROM users;
CREATE TABLE d2 (id INTEGER PRIMARY KEY, owner {kind} NOT NULL REFERENCES u2 (id));
INSERT INTO d2 SELECT d.id, n.id FROM doc d JOIN users u ON u.id = d.owner JOIN u2 n ON n.email = u.email;
DROP TABLE doc; DROP TABLE users; ALTER TABLE u2 RENAME TO users; ALTER TABLE d2 RENAME TO doc;"
        )
    };
    let (up, down) = (
        rebuilt("VARCHAR(60)", "'key of ' || email"),
        rebuilt("INTEGER", "10 + row_number() OVER (ORDER BY email)"),
    );
    sandbox.revision("aaaa00000003", &[SECOND], &up, &down);
    upgrade(&sandbox);
    // The row of then is gone, and so nobody has its key when the older upgrade's rows come back.
    db.execute("DELETE FROM users WHERE email = 'new@x';");
    let run = accepting(&sandbox, &["downgrade", "-2", "--format", "json"]);
    run.expect_code(0);
    let rows = "SELECT id, email FROM users ORDER BY id; SELECT id, owner FROM doc ORDER BY id;";
    assert_eq!(db.query(rows), "1|ann@x\n2|bob@x\n3|eve@x\n1|1\n2|2\n3|3", "{run}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

both_engines! {
    fn children_stay_with_their_parents_where_nothing_tells_which_parent_had_which_number(db: &TestDatabase) {
        let key = match db.backend() {
            Backend::Sqlite => "INTEGER PRIMARY KEY",
            Backend::Postgres => "SERIAL PRIMARY KEY",
        };
        let parent = |name: &str| format!("CREATE TABLE {name} (id {key}, name VARCHAR(9) NOT NULL UNIQUE, town VARCHAR(9), phone VARCHAR(9));");
        let child = |name: &str| format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent (id), note VARCHAR(9));");
        let filled = "INSERT INTO parent VALUES (1, 'zoe', 't1', 'p1'), (2, 'yan', 't2', 'p2'), (3, 'ann', 't1', 'p3'), (4, 'bob', 't2', 'p4');
INSERT INTO child VALUES (10, 1, 'zoe'), (20, 3, 'ann'), (30, 2, 'yan'), (40, 4, 'bob');";
        let up = "CREATE TABLE c2 (id INTEGER PRIMARY KEY, parent VARCHAR(9), note VARCHAR(9));
INSERT INTO c2 SELECT c.id, p.name, c.note FROM child c JOIN parent p ON p.id = c.parent_id; DROP TABLE child; ALTER TABLE c2 RENAME TO child;
CREATE TABLE p2 (name VARCHAR(9) NOT NULL UNIQUE, town VARCHAR(9)); INSERT INTO p2 SELECT name, town FROM parent; DROP TABLE parent; ALTER TABLE p2 RENAME TO parent;";
        let down = format!("{} INSERT INTO p2 (name, town) SELECT name, town FROM parent ORDER BY name; DROP TABLE parent; ALTER TABLE p2 RENAME TO parent;
{} INSERT INTO c2 SELECT c.id, p.id, c.note FROM child c JOIN parent p ON p.name = c.parent; DROP TABLE child; ALTER TABLE c2 RENAME TO child;", parent("p2"), child("c2"));
        let sandbox = project(db, &(parent("parent") + &child("child")), filled, up, &down);
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        let linked = "SELECT c.id, p.name FROM child c JOIN parent p ON p.id = c.parent_id WHERE p.name = c.note ORDER BY c.id;";
        assert_eq!(db.query(linked), "10|zoe\n20|ann\n30|yan\n40|bob", "{result:#}");
    }
}

both_engines! {
    fn rows_do_not_come_back_under_a_new_parent_although_later_ones_come_back_too(db: &TestDatabase) {
        let made = "CREATE TABLE person (id INTEGER PRIMARY KEY, name VARCHAR(9)); CREATE TABLE orders (id INTEGER PRIMARY KEY, person_id INTEGER NOT NULL REFERENCES person (id), what VARCHAR(9));";
        let filled = "INSERT INTO person VALUES (1, 'anna'), (2, 'bert'), (3, 'cleo'), (4, 'dora'), (5, 'emil');
INSERT INTO orders VALUES (1, 1, 'anna'), (2, 2, 'bert'), (3, 3, 'cleo'), (4, 4, 'dora'), (5, 5, 'emil');";
        let sandbox = project(db, made, filled, "DELETE FROM orders; DELETE FROM person WHERE id > 4;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("DELETE FROM person WHERE id = 4; INSERT INTO person VALUES (4, 'new');");
        let result = downgrade(&sandbox);
        let wrong = "SELECT count(*) FROM orders o JOIN person p ON p.id = o.person_id WHERE o.what <> p.name;";
        assert_eq!(db.query(wrong), "0", "{result:#}");
        assert_eq!(counts(&result, db, "orders", None), [4, 0, 0, 1]);
    }
}
