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

/// Rows that hold their own number, up to this one.
fn numbered(up_to: u32) -> String {
    format!(
        "WITH RECURSIVE g (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < {up_to}) INSERT INTO t SELECT i, i FROM g;"
    )
}

const PLACES: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, pos INTEGER UNIQUE);";

both_engines! {
    // Tried one after another these would take as many tries of all rows as there are rows, which nobody waits for.
    fn of_a_long_chain_of_values_all_stay_where_others_have_taken_the_first_and_the_rest_changes_places(db: &TestDatabase) {
        let filled = format!("{} INSERT INTO t VALUES (9001, 9001), (9002, 9002);", numbered(5000));
        let up = "UPDATE t SET pos = -pos; UPDATE t SET pos = CASE WHEN id < 9000 THEN 1 - pos WHEN id = 9001 THEN 9002 ELSE 9001 END;";
        let sandbox = project(db, PLACES, &filled, up, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO t VALUES (10000, 1);");
        // Each row that is tried by itself takes a savepoint, and each savepoint that writes a number of a transaction.
        let number = || match db.backend() {
            Backend::Postgres => db.query("SELECT pg_current_xact_id();").parse::<u64>().expect("a number"),
            Backend::Sqlite => 0,
        };
        let before = number();
        let result = downgrade(&sandbox);
        assert!(number() - before < 2000, "rows are tried one by one");
        assert_eq!(counts(&result, db, "t", Some("pos")), [2, 0, 0, 5000]);
        let moved = "SELECT count(*) FROM t WHERE pos = id + 1; SELECT id, pos FROM t WHERE id > 9000 ORDER BY id;";
        assert_eq!(db.query(moved), "5000\n9001|9001\n9002|9002\n10000|1");
        let side = side_table(&result);
        assert_eq!(db.query(&format!("SELECT count(*), count(DISTINCT reason) FROM {side};")), "5000|1");
    }

    fn a_long_chain_of_values_comes_back_whichever_end_of_it_is_free(db: &TestDatabase) {
        let up = "UPDATE t SET pos = -pos - 100000; UPDATE t SET pos = -pos - 100001;";
        let sandbox = project(db, PLACES, &numbered(8000), up, "SELECT 1;");
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "t", Some("pos")), [8000, 0, 0, 0]);
        assert_eq!(db.query("SELECT count(*) FROM t WHERE pos = id;"), "8000");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn in_a_chain_over_two_constraints_each_value_comes_back_that_is_free_in_the_end(db: &TestDatabase) {
        let made = "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER UNIQUE, b INTEGER UNIQUE);";
        let filled = "INSERT INTO t VALUES (1, 1, 11), (2, 2, 12), (3, 3, 13), (4, 4, 14);";
        // 1 wants what others have taken, 2 the a of 1, 3 the b of 2; 4 wants nothing of theirs.
        let up = "UPDATE t SET a = a + 100, b = b + 100; UPDATE t SET a = CASE id WHEN 1 THEN 2 ELSE a END, b = CASE id WHEN 2 THEN 13 ELSE b END;";
        let sandbox = project(db, made, filled, up, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO t VALUES (9, 1, 11);");
        let result = downgrade(&sandbox);
        let rows = db.query("SELECT id, a, b FROM t ORDER BY id;");
        assert_eq!(rows, "1|2|111\n2|102|12\n3|3|13\n4|4|14\n9|1|11", "{result:#}");
    }
}
