//! PostgreSQL: what refers to a partitioned table, whose rows lie in its partitions.

use super::*;

const MADE: &str = "CREATE TABLE e (id INTEGER PRIMARY KEY, name VARCHAR(20)) PARTITION BY RANGE (id);
CREATE TABLE e1 PARTITION OF e FOR VALUES FROM (0) TO (100);
CREATE TABLE e2 PARTITION OF e FOR VALUES FROM (100) TO (1000) PARTITION BY RANGE (id);
CREATE TABLE e2_1 PARTITION OF e2 FOR VALUES FROM (100) TO (200); CREATE TABLE e2_2 PARTITION OF e2 FOR VALUES FROM (200) TO (1000);
CREATE TABLE note (id INTEGER PRIMARY KEY, e_id INTEGER REFERENCES e, text VARCHAR(20));";
const FILLED: &str = "INSERT INTO e VALUES (1, 'a'), (2, 'b'), (101, 'c'), (201, 'd');
INSERT INTO note VALUES (1, 1, 'x'), (2, 101, 'y'), (3, 201, 'z'), (4, NULL, 'w'), (5, 2, 'v');";
const ROWS: &str = "SELECT id, name FROM e ORDER BY id; SELECT id, e_id, text FROM note ORDER BY id;";

#[track_caller]
fn comes_back(made: &str, up: &str, down: &str) {
    let db = &TestDatabase::postgres();
    let sandbox = project(db, made, FILLED, up, down);
    let before = db.query(ROWS);
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(db.query(ROWS), before, "{result:#}");
    assert_eq!(result["merge"]["conflict_count"], 0, "{result:#}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn values_that_refer_to_a_partitioned_table_come_back() {
    let down = "ALTER TABLE note ADD COLUMN e_id INTEGER REFERENCES e;";
    let db = &TestDatabase::postgres();
    let sandbox = project(db, MADE, FILLED, "ALTER TABLE note DROP COLUMN e_id;", down);
    let before = db.query(ROWS);
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(db.query(ROWS), before, "{result:#}");
    assert_eq!(counts(&result, db, "note", Some("e_id")), [4, 0, 0, 0]);
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn rows_that_refer_to_a_partitioned_table_come_back() {
    comes_back(MADE, "DELETE FROM note WHERE id <> 2;", "SELECT 1;");
}

#[test]
fn rows_of_a_partitioned_table_come_back_before_those_that_refer_to_them() {
    comes_back(MADE, "DELETE FROM note; DELETE FROM e;", "SELECT 1;");
}

#[test]
fn rows_of_partitions_that_refer_to_a_partitioned_table_come_back() {
    let parted = "CREATE TABLE note (id INTEGER PRIMARY KEY, e_id INTEGER REFERENCES e, text VARCHAR(20)) PARTITION BY RANGE (id);
CREATE TABLE a_note PARTITION OF note FOR VALUES FROM (0) TO (3); CREATE TABLE note_2 PARTITION OF note FOR VALUES FROM (3) TO (99);";
    let (tables, _) = MADE.split_once("CREATE TABLE note").expect("the last table");
    comes_back(&format!("{tables}{parted}"), "DELETE FROM note; DELETE FROM e;", "SELECT 1;");
}

#[test]
fn rows_of_a_partitioned_tree_come_back_with_the_rows_that_they_refer_to() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree, name VARCHAR(20)) PARTITION BY RANGE (id);
CREATE TABLE tree_1 PARTITION OF tree FOR VALUES FROM (0) TO (10); CREATE TABLE tree_2 PARTITION OF tree FOR VALUES FROM (10) TO (99);";
    let filled = "INSERT INTO tree VALUES (1, NULL, 'root'), (2, 1, 'oak'), (11, 2, 'leaf'), (3, 11, 'bud'), (12, 3, 'eye');";
    let sandbox = project(db, made, filled, "DELETE FROM tree;", "SELECT 1;");
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    let rows = db.query("SELECT id, up FROM tree ORDER BY id;");
    assert_eq!(rows, "1|\n2|1\n3|11\n11|2\n12|3", "{result:#}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn what_refers_to_a_row_of_a_partition_whose_number_another_one_took_is_a_conflict() {
    let db = &TestDatabase::postgres();
    let sandbox = project(db, MADE, FILLED, "DELETE FROM note; DELETE FROM e;", "SELECT 1;");
    upgrade(&sandbox);
    db.execute("INSERT INTO e VALUES (2, 'new'), (201, 'other');");
    let result = downgrade(&sandbox);
    assert_eq!(db.query(ROWS), "1|a\n2|new\n101|c\n201|other\n1|1|x\n2|101|y\n4||w", "{result:#}");
    assert_eq!(counts(&result, db, "note", None), [3, 0, 0, 2]);
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn what_refers_to_a_partition_whose_keys_were_made_anew_follows_them() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE e (id INTEGER PRIMARY KEY, name VARCHAR(20)) PARTITION BY RANGE (id);
CREATE TABLE e1 PARTITION OF e FOR VALUES FROM (0) TO (1000); CREATE TABLE e2 PARTITION OF e FOR VALUES FROM (1000) TO (2000);
CREATE TABLE note (id INTEGER PRIMARY KEY, e_id INTEGER NOT NULL REFERENCES e);";
    let filled =
        "INSERT INTO e VALUES (11, 'a'), (12, 'b'), (13, 'c'); INSERT INTO note VALUES (1, 11), (2, 13);";
    let up = "ALTER TABLE note DROP CONSTRAINT note_e_id_fkey; ALTER TABLE note ALTER COLUMN e_id TYPE VARCHAR(20);
UPDATE note n SET e_id = (SELECT name FROM e WHERE e.id::text = n.e_id);
CREATE TABLE f (id VARCHAR(20), name VARCHAR(20)); INSERT INTO f SELECT name, name FROM e;
DROP TABLE e; ALTER TABLE f RENAME TO e1; ALTER TABLE e1 ADD PRIMARY KEY (id);";
    let down = "ALTER TABLE e1 RENAME TO f; CREATE TABLE e (id INTEGER PRIMARY KEY, name VARCHAR(20)) PARTITION BY RANGE (id);
CREATE TABLE e1 PARTITION OF e FOR VALUES FROM (0) TO (1000); CREATE TABLE e2 PARTITION OF e FOR VALUES FROM (1000) TO (2000);
INSERT INTO e SELECT row_number() OVER (ORDER BY name), name FROM f; DROP TABLE f;
ALTER TABLE note RENAME COLUMN e_id TO was; ALTER TABLE note ADD COLUMN e_id INTEGER;
UPDATE note n SET e_id = (SELECT e.id FROM e WHERE e.name = n.was); ALTER TABLE note DROP COLUMN was;
ALTER TABLE note ALTER COLUMN e_id SET NOT NULL, ADD FOREIGN KEY (e_id) REFERENCES e;";
    let sandbox = project(db, made, filled, up, down);
    let rows = "SELECT id, name FROM e ORDER BY id; SELECT id, e_id FROM note ORDER BY id;";
    let before = db.query(rows);
    upgrade(&sandbox);
    db.execute("INSERT INTO note VALUES (3, 'b');");
    let result = downgrade(&sandbox);
    assert_eq!(db.query(rows), format!("{before}\n3|12"), "{result:#}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}
