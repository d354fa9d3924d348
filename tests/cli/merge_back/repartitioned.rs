//! PostgreSQL: rows that an upgrade moves to another partition, or into a table that inherits, are rows of the same table.

use super::*;

const MADE: &str = "CREATE TABLE e (id INTEGER PRIMARY KEY, name VARCHAR(20), phone VARCHAR(20)) PARTITION BY RANGE (id);
CREATE TABLE e1 PARTITION OF e FOR VALUES FROM (0) TO (100); CREATE TABLE e2 PARTITION OF e FOR VALUES FROM (100) TO (200);";
const FILLED: &str = "INSERT INTO e VALUES (1, 'a', '11'), (60, 'b', '22'), (61, 'c', '33'), (70, 'd', '44'), (101, 'e', '55');";
/// Two partitions in the place of the first one.
const SPLIT: &str = "ALTER TABLE e DETACH PARTITION e1; CREATE TABLE e1a PARTITION OF e FOR VALUES FROM (0) TO (50);
CREATE TABLE e1b PARTITION OF e FOR VALUES FROM (50) TO (100); INSERT INTO e SELECT * FROM e1; DROP TABLE e1;";
const JOIN: &str = "ALTER TABLE e DETACH PARTITION e1a; ALTER TABLE e DETACH PARTITION e1b;
CREATE TABLE e1 PARTITION OF e FOR VALUES FROM (0) TO (100); INSERT INTO e SELECT * FROM e1a UNION ALL SELECT * FROM e1b;
DROP TABLE e1a, e1b;";
const ROWS: &str = "SELECT id, name, phone FROM e ORDER BY id;";

/// Upgrades without accepting anything: nothing is lost.
#[track_caller]
fn upgrade_unasked(sandbox: &Sandbox) -> Value {
    let run = sandbox.ripcord(&["upgrade", "--format", "json"]);
    run.expect_code(0);
    report(&run)["result"].clone()
}

#[test]
fn rows_that_moved_to_new_partitions_are_not_lost_and_stay_where_they_are_at_the_downgrade() {
    let db = &TestDatabase::postgres();
    let sandbox = project(db, MADE, FILLED, SPLIT, "SELECT 1;");
    upgrade_unasked(&sandbox);
    db.execute("DELETE FROM e WHERE id = 60; UPDATE e SET name = 'C' WHERE id = 61; INSERT INTO e VALUES (5, 'new', NULL);");
    let before = db.query(ROWS);
    let run = accepting(&sandbox, &["downgrade", "--format", "json"]);
    run.expect_code(0);
    assert_eq!(db.query(ROWS), before, "{run}");
    assert!(report(&run)["result"]["merge"].is_null(), "{run}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn rows_that_moved_to_new_partitions_and_back_are_those_that_users_left() {
    let db = &TestDatabase::postgres();
    let sandbox = project(db, MADE, FILLED, SPLIT, JOIN);
    upgrade_unasked(&sandbox);
    db.execute("DELETE FROM e WHERE id = 60; UPDATE e SET name = 'C' WHERE id = 61; INSERT INTO e VALUES (5, 'new', NULL);");
    let before = db.query(ROWS);
    let run = sandbox.ripcord(&["downgrade"]);
    run.expect_code(0);
    assert_eq!(db.query(ROWS), before, "{run}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn values_lost_in_rows_that_moved_to_new_partitions_come_back_to_them() {
    let db = &TestDatabase::postgres();
    for back in ["SELECT 1;", JOIN] {
        let up = format!("{SPLIT} ALTER TABLE e DROP COLUMN phone;");
        let down = format!("{} ALTER TABLE e ADD COLUMN phone VARCHAR(20);", back);
        let sandbox = project(db, MADE, FILLED, &up, &down);
        upgrade(&sandbox);
        db.execute("DELETE FROM e WHERE id = 60; UPDATE e SET name = 'C' WHERE id = 61; INSERT INTO e VALUES (5, 'new');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(ROWS), "1|a|11\n5|new|\n61|C|33\n70|d|44\n101|e|55", "{result:#}");
        assert_eq!(result["merge"]["conflict_count"], 0, "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
        db.execute("DROP TABLE e, alembic_version;");
    }
}

#[test]
fn values_come_back_to_rows_that_users_moved_to_another_partition() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE e (id INTEGER, year INTEGER, name VARCHAR(20), phone VARCHAR(20), PRIMARY KEY (id, year)) PARTITION BY LIST (year);
CREATE TABLE old PARTITION OF e FOR VALUES IN (1, 2); CREATE TABLE new PARTITION OF e FOR VALUES IN (3);";
    let filled =
        "INSERT INTO e VALUES (1, 1, 'a', '11'), (2, 2, 'b', '22'), (3, 2, 'c', '33'), (4, 3, 'd', '44');";
    let (up, down) = ("ALTER TABLE e DROP COLUMN phone;", "ALTER TABLE e ADD COLUMN phone VARCHAR(20);");
    let sandbox = project(db, made, filled, up, down);
    upgrade(&sandbox);
    db.execute("ALTER TABLE e DETACH PARTITION old; CREATE TABLE older PARTITION OF e FOR VALUES IN (2); \
         INSERT INTO e SELECT * FROM old WHERE year = 2; DELETE FROM old WHERE year = 2; ALTER TABLE e ATTACH PARTITION old FOR VALUES IN (1);");
    let result = downgrade(&sandbox);
    assert_eq!(db.query("SELECT id, phone FROM e ORDER BY id;"), "1|11\n2|22\n3|33\n4|44", "{result:#}");
    assert_eq!(counts(&result, db, "older", Some("phone")), [2, 0, 0, 0]);
}

#[test]
fn rows_that_are_deleted_beside_others_that_move_are_told_and_come_back_to_the_partition_that_takes_them() {
    let db = &TestDatabase::postgres();
    let up = format!("DELETE FROM e WHERE id IN (60, 101); {SPLIT}");
    let sandbox = project(db, MADE, FILLED, &up, "SELECT 1;");
    let asked = sandbox.ripcord(&["upgrade"]);
    asked.expect_code(3).stderr_has("drops-table:e1: 1 row\n").stderr_has("deletes-rows:e2: 1 row");
    upgrade(&sandbox);
    db.execute("DELETE FROM e WHERE id = 1; UPDATE e SET name = 'C' WHERE id = 61;");
    let result = downgrade(&sandbox);
    assert_eq!(db.query(ROWS), "60|b|22\n61|C|33\n70|d|44\n101|e|55", "{result:#}");
    assert_eq!(counts(&result, db, "e1b", None), [1, 0, 0, 0]);
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn rows_of_a_partition_that_takes_less_now_come_back_to_the_one_that_takes_them() {
    let db = &TestDatabase::postgres();
    let up = "DELETE FROM e WHERE id IN (60, 1); ALTER TABLE e DETACH PARTITION e1; CREATE TABLE e1b PARTITION OF e FOR VALUES FROM (50) TO (100);
WITH gone AS (DELETE FROM e1 WHERE id >= 50 RETURNING *) INSERT INTO e SELECT * FROM gone; ALTER TABLE e ATTACH PARTITION e1 FOR VALUES FROM (0) TO (50);";
    let sandbox = project(db, MADE, FILLED, up, "SELECT 1;");
    let before = db.query(ROWS);
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(db.query(ROWS), before, "{result:#}");
    assert_eq!(counts(&result, db, "e1", None), [1, 0, 0, 0]);
    assert_eq!(counts(&result, db, "e1b", None), [1, 0, 0, 0]);
}

#[test]
fn a_table_that_is_divided_into_partitions_loses_nothing() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE e (id INTEGER PRIMARY KEY, name VARCHAR(20), phone VARCHAR(20));";
    let up = format!("ALTER TABLE e RENAME TO was; {MADE} INSERT INTO e SELECT * FROM was; DROP TABLE was;")
        .replace("PRIMARY KEY,", "CONSTRAINT k PRIMARY KEY,");
    let down =
        format!("ALTER TABLE e RENAME TO parts; {made} INSERT INTO e SELECT * FROM parts; DROP TABLE parts;")
            .replace("PRIMARY KEY,", "CONSTRAINT l PRIMARY KEY,");
    let sandbox = project(db, made, FILLED, &up, &down);
    let rows = db.query(ROWS);
    upgrade_unasked(&sandbox);
    db.execute("DELETE FROM e WHERE id = 60;");
    let run = accepting(&sandbox, &["downgrade"]);
    run.expect_code(0).stdout_lacks("put back");
    assert_eq!(db.query(ROWS), rows.replace("60|b|22\n", ""), "{run}");
}

#[test]
fn rows_without_a_key_that_moved_to_new_partitions_are_not_lost() {
    let db = &TestDatabase::postgres();
    let made = MADE.replace(" PRIMARY KEY", "");
    let sandbox = project(db, &made, FILLED, SPLIT, JOIN);
    db.execute("INSERT INTO e VALUES (60, 'b', '22');");
    upgrade_unasked(&sandbox);
    db.execute("DELETE FROM e WHERE id = 60;");
    let before = db.query(ROWS);
    sandbox.ripcord(&["downgrade"]).expect_code(0);
    assert_eq!(db.query(ROWS), before);
    // One of two that are alike is gone: that is told.
    sandbox.revision("aaaa00000003", &[SECOND], &format!("DELETE FROM e WHERE id = 70; {JOIN}"), "SELECT 1;");
    let asked = sandbox.ripcord(&["upgrade"]);
    asked.expect_code(3);
}

const INHERITING: &str = "CREATE TABLE par (id INTEGER PRIMARY KEY, name VARCHAR(20), phone VARCHAR(20));
CREATE TABLE kid (more VARCHAR(20)) INHERITS (par);";
const HEIRS: &str = "INSERT INTO par VALUES (1, 'a', '11'), (2, 'b', '22'), (3, 'c', '33'), (5, 'e', '55'); INSERT INTO kid VALUES (4, 'd', '44', 'x');";
const INHERIT: &str = "INSERT INTO kid (id, name, phone) SELECT * FROM ONLY par WHERE id < 4; DELETE FROM ONLY par WHERE id < 4;";
const THROUGH: &str = "SELECT id, name, phone FROM par ORDER BY id;";

#[test]
fn rows_that_moved_into_an_inheriting_table_are_not_lost_and_stay_deleted_there() {
    let db = &TestDatabase::postgres();
    let sandbox = project(db, INHERITING, HEIRS, INHERIT, "SELECT 1;");
    upgrade_unasked(&sandbox);
    db.execute("DELETE FROM kid WHERE id = 2; UPDATE kid SET name = 'A' WHERE id = 1;");
    let before = db.query(THROUGH);
    let run = accepting(&sandbox, &["downgrade", "--format", "json"]);
    run.expect_code(0);
    assert_eq!(db.query(THROUGH), before, "{run}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn values_lost_in_rows_that_moved_into_an_inheriting_table_come_back_to_them() {
    let db = &TestDatabase::postgres();
    let up = format!("{INHERIT} UPDATE par SET phone = NULL WHERE id < 4;");
    let sandbox = project(db, INHERITING, HEIRS, &up, "SELECT 1;");
    upgrade(&sandbox);
    db.execute("DELETE FROM kid WHERE id = 2; UPDATE kid SET phone = '99' WHERE id = 1;");
    let result = downgrade(&sandbox);
    assert_eq!(db.query(THROUGH), "1|a|99\n3|c|33\n4|d|44\n5|e|55", "{result:#}");
    assert_eq!(result["merge"]["conflict_count"], 1, "{result:#}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn of_a_number_that_two_tables_of_a_tree_have_no_row_counts_as_moved() {
    let db = &TestDatabase::postgres();
    let filled = "INSERT INTO par VALUES (1, 'a', '11'), (2, 'b', '22'); INSERT INTO kid VALUES (1, 'other', '44', 'x'), (9, 'd', NULL, NULL);";
    let sandbox = project(
        db,
        INHERITING,
        filled,
        "DELETE FROM ONLY par WHERE id = 1; UPDATE kid SET more = 'y' WHERE id = 9;",
        "SELECT 1;",
    );
    sandbox.ripcord(&["upgrade"]).expect_code(3).stderr_has("deletes-rows:par: 1 row");
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    let rows =
        db.query("SELECT id, name FROM ONLY par ORDER BY id; SELECT id, name, phone FROM kid ORDER BY id;");
    assert!(rows.ends_with("1|other|44\n9|d|"), "{result:#}");
}

#[test]
fn rows_without_a_key_that_move_and_lose_a_value_are_not_put_back_beside_themselves() {
    let (made, split) =
        (MADE.replace(" PRIMARY KEY", ""), format!("{SPLIT} UPDATE e SET phone = NULL WHERE id < 70;"));
    let emptied = format!("{SPLIT} ALTER TABLE e DROP COLUMN phone;");
    let again = "ALTER TABLE e ADD COLUMN phone VARCHAR(20);".to_string();
    let joined = format!("{JOIN} {again}");
    let kid = (
        INHERITING.replace(" PRIMARY KEY", ""),
        format!("{INHERIT} UPDATE par SET phone = NULL WHERE id < 4;"),
    );
    let by_key = "CREATE TABLE e (id INTEGER, name VARCHAR(20), phone VARCHAR(20)) PARTITION BY LIST (name);
CREATE TABLE e1 PARTITION OF e FOR VALUES IN ('a', 'b', 'c', 'e'); CREATE TABLE e2 PARTITION OF e FOR VALUES IN ('d', 'z');";
    let nothing = "SELECT 1;".to_string();
    for (made, up, down, through, filled) in [
        (&made, &split, &nothing, ROWS, FILLED),
        (&made, &emptied, &again, ROWS, FILLED),
        (&made, &emptied, &joined, ROWS, FILLED),
        (&kid.0, &kid.1, &nothing, THROUGH, HEIRS),
        (&by_key.to_string(), &"UPDATE e SET name = 'z' WHERE id = 60;".to_string(), &nothing, ROWS, FILLED),
    ] {
        let db = &TestDatabase::postgres();
        let sandbox = project(db, made, filled, up, down);
        let count = |rows: String| rows.lines().count();
        let before = db.query(through);
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        let after = db.query(through);
        assert_eq!(count(after.clone()), count(before.clone()), "{up}\n{after}\n{result:#}");
        let is_said = result["merge"]["conflict_count"].as_u64().is_some_and(|count| count > 0);
        assert!(after == before || is_said, "{up}\n{after}\n{result:#}");
    }
}
