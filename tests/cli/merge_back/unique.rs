//! Values that must be unique, and keys of several columns.

use super::*;

#[test]
fn unique_values_that_only_changed_places_come_back() {
    let db = TestDatabase::postgres();
    let made = "CREATE TABLE item (id INTEGER PRIMARY KEY, pos INTEGER UNIQUE, place INTEGER NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE, n INTEGER);";
    let filled = "INSERT INTO item SELECT g, g, g, 'name ' || g, g FROM generate_series(1, 4) g;";
    let up = "UPDATE item SET pos = NULL, place = -place, name = 'x' || name, n = 0; UPDATE item SET pos = 5 - id, place = 5 - id, name = 'name ' || (5 - id);";
    let sandbox = project(&db, made, filled, up, "SELECT 1;");
    let before = db.query("SELECT * FROM item ORDER BY id;");
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    for column in ["pos", "place", "name", "n"] {
        assert_eq!(counts(&result, &db, "item", Some(column)), [4, 0, 0, 0], "{column}");
    }
    assert_eq!(db.query("SELECT * FROM item ORDER BY id;"), before);
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn unique_values_that_others_have_taken_are_conflicts_and_the_rest_changes_places() {
    let db = TestDatabase::postgres();
    let made = "CREATE TABLE item (id INTEGER PRIMARY KEY, pos INTEGER UNIQUE, n INTEGER);";
    let filled = "INSERT INTO item SELECT g, g, g FROM generate_series(1, 6) g;";
    let up = "UPDATE item SET pos = -pos, n = 0; UPDATE item SET pos = CASE WHEN id < 5 THEN 5 - id ELSE id + 100 END;";
    let sandbox = project(&db, made, filled, up, "SELECT 1;");
    upgrade(&sandbox);
    db.execute("INSERT INTO item VALUES (9, 5, 9);");
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "item", Some("pos")), [5, 0, 0, 1]);
    assert_eq!(counts(&result, &db, "item", Some("n")), [6, 0, 0, 0]);
    assert_eq!(db.query("SELECT id, pos FROM item ORDER BY id;"), "1|1\n2|2\n3|3\n4|4\n5|105\n6|6\n9|5");
    let side = side_table(&result);
    let kept = db.query(&format!("SELECT \"column\", ours, theirs, reason FROM {side};"));
    assert_eq!(kept, "pos|5|105|duplicate key value violates unique constraint \"item_pos_key\"");
}

#[test]
fn many_values_and_rows_that_others_have_taken_are_found_at_once() {
    let db = TestDatabase::postgres();
    let made = "CREATE TABLE t (id INTEGER PRIMARY KEY, mail VARCHAR(20) UNIQUE); CREATE TABLE gone (id INTEGER PRIMARY KEY, mail VARCHAR(20) UNIQUE);";
    let filled =
        "INSERT INTO t SELECT g, 'm' || g FROM generate_series(1, 5000) g; INSERT INTO gone SELECT * FROM t;";
    let sandbox = project(&db, made, filled, "UPDATE t SET mail = NULL; DELETE FROM gone;", "SELECT 1;");
    upgrade(&sandbox);
    db.execute("INSERT INTO t SELECT g + 10000, 'm' || g FROM generate_series(1, 3000) g; INSERT INTO gone SELECT g + 10000, 'm' || g FROM generate_series(1, 3000) g;");
    // Each row that is tried by itself takes a savepoint, and each savepoint that writes a number of a transaction.
    let number = || db.query("SELECT pg_current_xact_id();").parse::<u64>().expect("a number");
    let before = number();
    let result = downgrade(&sandbox);
    assert!(number() - before < 2000, "rows are tried one by one");
    assert_eq!(counts(&result, &db, "t", Some("mail")), [2000, 0, 0, 3000]);
    assert_eq!(counts(&result, &db, "gone", None), [2000, 0, 0, 3000]);
}

#[test]
fn the_columns_of_a_key_go_together() {
    let db = TestDatabase::postgres();
    let made = "CREATE TABLE p (a INTEGER, b INTEGER, PRIMARY KEY (a, b));
CREATE TABLE c (id INTEGER PRIMARY KEY, pa INTEGER, pb INTEGER, note TEXT, FOREIGN KEY (pa, pb) REFERENCES p);";
    let filled = "INSERT INTO p VALUES (1, 1), (2, 2); INSERT INTO c VALUES (1, 1, 1, 'x'), (2, 2, 2, 'y');";
    let sandbox = project(&db, made, filled, "UPDATE c SET pa = NULL, pb = NULL, note = NULL;", "SELECT 1;");
    upgrade(&sandbox);
    db.execute("DELETE FROM p WHERE a = 1;");
    let result = downgrade(&sandbox);
    assert_eq!(db.query("SELECT * FROM c ORDER BY id;"), "1|||x\n2|2|2|y");
    assert_eq!(counts(&result, &db, "c", Some("pa")), [1, 0, 0, 1]);
    assert_eq!(counts(&result, &db, "c", Some("note")), [2, 0, 0, 0]);
}
