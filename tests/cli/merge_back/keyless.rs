//! Tables without a key in which the way back left other values from row to row.

use super::by_hand::upgrade_backup;
use super::*;

const LOG: &str = "CREATE TABLE log (at INTEGER, msg VARCHAR(40), n INTEGER);";
const CUT: &str = "UPDATE log SET msg = substr(msg, 1, 2), n = n / 10;";
const ALL: &str = "SELECT * FROM log ORDER BY at, msg, n;";

/// The reasons in the side table, each with where and how often.
fn reasons(db: &TestDatabase, result: &Value) -> String {
    let side = side_table(result);
    db.query(&format!(
        "SELECT \"key\", \"column\", count(*), reason FROM {side} GROUP BY \"key\", \"column\", reason ORDER BY 1, 2;"
    ))
}

both_engines! {
    fn what_the_way_back_left_without_a_key_is_told_from_what_was_written_since(db: &TestDatabase) {
        let filled = "INSERT INTO log VALUES (1, 'first', 10), (2, 'second', 21), (3, NULL, 35), (4, 'x', 4), (NULL, 'none', NULL);";
        let sandbox = project(db, LOG, filled, CUT, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("UPDATE log SET msg = 'mine' WHERE at = 2; UPDATE log SET n = 7 WHERE at = 4; INSERT INTO log VALUES (9, 'new', 9);");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "log", Some("msg")), [2, 2, 0, 1]);
        assert_eq!(counts(&result, db, "log", Some("n")), [3, 1, 0, 1]);
        let known = "SELECT * FROM log WHERE at IS NOT NULL ORDER BY at; SELECT msg, n FROM log WHERE at IS NULL;";
        assert_eq!(db.query(known), "1|first|10\n2|mine|21\n3||35\n4|x|7\n9|new|9\nnone|");
        let why = "changed since, and salvaged";
        assert_eq!(reasons(db, &result), format!("{{\"at\":2}}|msg|1|{why}\n{{\"at\":4}}|n|1|{why}"));
        let kept = db.query(&format!("SELECT base, ours, theirs FROM {} WHERE \"column\" = 'msg';", side_table(&result)));
        assert_eq!(kept, "se|second|mine");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn without_a_key_a_changed_row_is_not_said_to_be_deleted(db: &TestDatabase) {
        let made = "CREATE TABLE log (ip VARCHAR(20), hits INTEGER, note VARCHAR(20));";
        let filled = "INSERT INTO log VALUES ('1.1.1.1', 5, 'a'), ('2.2.2.2', 6, 'b');";
        let sandbox = project(db, made, filled, "ALTER TABLE log DROP COLUMN note;", "ALTER TABLE log ADD COLUMN note VARCHAR(20);");
        upgrade(&sandbox);
        db.execute("UPDATE log SET hits = hits + 1 WHERE ip = '1.1.1.1';");
        let run = accepting(&sandbox, &["downgrade"]);
        run.expect_code(0).stdout_has("log.note: 1 put back, 1 deleted or changed since");
        run.stdout_has("log has no key: of 1 value of note the row is not there as it was");
        assert_eq!(db.query("SELECT hits, note FROM log ORDER BY ip;"), "6|\n6|b");
    }

    fn rows_without_a_key_that_are_alike_get_all_their_values_back_together(db: &TestDatabase) {
        let filled = "INSERT INTO log VALUES (1, 'apple', 10), (1, 'bread', 20), (1, 'bread', 20), (1, NULL, 30), (2, 'car', 40), (2, 'door', 50),
(3, 'egg', 60), (3, 'fish', 70), (4, 'same', 80), (4, 'same', 81);";
        let sandbox = project(db, LOG, filled, CUT, "SELECT 1;");
        let before = db.query(ALL);
        upgrade(&sandbox);
        let backup = upgrade_backup(&sandbox);
        assert_eq!(downgrade(&sandbox)["merge"]["conflict_count"], 0);
        assert_eq!(db.query(ALL), before);
        let again = sandbox.ripcord(&["backup", "merge-back", &backup]);
        again.expect_code(0).stdout_has("log.msg: 0 put back, 10 there already").stdout_has("nothing to merge");
        leaves_nothing_behind(&sandbox, db);
    }

    fn rows_without_a_key_that_are_alike_are_left_alone_where_one_was_written_to(db: &TestDatabase) {
        let filled = "INSERT INTO log VALUES (1, 'apple', 10), (1, 'bread', 20), (2, 'car', 40), (2, 'door', 50),
(3, 'egg', 60), (3, 'fish', 70), (4, 'gold', 80), (4, 'gold', 80);";
        let sandbox = project(db, LOG, filled, "UPDATE log SET msg = substr(msg, 1, 2), n = n / 10 - 1;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("UPDATE log SET msg = 'mine' WHERE at = 2 AND msg = 'ca'; DELETE FROM log WHERE at = 3 AND n = 5;");
        let result = downgrade(&sandbox);
        for column in ["msg", "n"] {
            assert_eq!(counts(&result, db, "log", Some(column)), [4, 0, 0, 4], "{column}");
        }
        assert_eq!(db.query(ALL), "1|apple|10\n1|bread|20\n2|do|4\n2|mine|3\n3|fi|6\n4|gold|80\n4|gold|80");
        let several = "without a key: rows that are alike were salvaged with several values, and nothing says which is whose";
        let fewer = "without a key: not as many rows are alike now as were salvaged";
        let expected = [(2, "msg", several), (2, "n", several), (3, "msg", fewer), (3, "n", fewer)];
        let expected = expected.map(|(at, column, why)| format!("{{\"at\":{at}}}|{column}|2|{why}"));
        assert_eq!(reasons(db, &result), expected.join("\n"));
    }

    fn rows_without_a_key_that_are_alike_are_left_alone_together_where_a_constraint_refuses_one(db: &TestDatabase) {
        let made = "CREATE TABLE log (at INTEGER, msg VARCHAR(40) UNIQUE, n INTEGER);";
        let filled = "INSERT INTO log VALUES (1, 'apple', 1), (1, 'bread', 1), (1, 'cake', 1), (2, 'door', 1), (2, 'egg', 1), (3, 'fish', 1);";
        let sandbox = project(db, made, filled, "UPDATE log SET msg = substr(msg, 1, 2) WHERE at < 9;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO log VALUES (9, 'bread', 9);");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT at, msg FROM log ORDER BY at, msg;"), "1|ap\n1|br\n1|ca\n2|door\n2|egg\n3|fish\n9|bread");
        assert_eq!(counts(&result, db, "log", Some("msg")), [3, 0, 0, 3]);
        let kept = db.query(&format!("SELECT \"key\", ours FROM {} ORDER BY ours;", side_table(&result)));
        assert_eq!(kept, ["apple", "bread", "cake"].map(|ours| format!("{{\"at\":1,\"n\":1}}|{ours}")).join("\n"));
    }

    fn alike_rows_of_one_value_in_which_the_way_back_left_several_are_put_back_or_left_alone(db: &TestDatabase) {
        let filled = "INSERT INTO log VALUES (1, 'one', 10), (1, 'one', 10), (2, 'two', 20), (2, 'two', 20);";
        let up = match db.backend() {
            Backend::Sqlite => "UPDATE log SET n = rowid;",
            Backend::Postgres => "ALTER TABLE log ADD COLUMN s SERIAL; UPDATE log SET n = s; ALTER TABLE log DROP COLUMN s;",
        };
        let sandbox = project(db, LOG, filled, up, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("UPDATE log SET n = 77 WHERE n = 4;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "log", Some("n")), [2, 0, 0, 2]);
        assert_eq!(db.query(ALL), "1|one|10\n1|one|10\n2|two|3\n2|two|77");
        let why = "without a key: nothing says which of the rows that are alike was written to since";
        let key = db.query(&format!("SELECT DISTINCT reason FROM {};", side_table(&result)));
        assert_eq!(key, why);
    }

    fn alike_rows_that_a_new_column_tells_apart_are_left_alone(db: &TestDatabase) {
        let filled = "INSERT INTO log VALUES (1, 'apple', 10), (1, 'bread', 10), (2, 'car', 10), (3, 'egg', 10), (3, 'egg', 10);";
        let up = "UPDATE log SET msg = substr(msg, 1, 2); ALTER TABLE log ADD COLUMN mark INTEGER; UPDATE log SET mark = 1 WHERE msg = 'ap';";
        let sandbox = project(db, LOG, filled, up, "SELECT 1;");
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "log", Some("msg")), [3, 0, 0, 2]);
        assert_eq!(db.query("SELECT at, msg, mark FROM log ORDER BY at, msg;"), "1|ap|1\n1|br|\n2|car|\n3|egg|\n3|egg|");
    }

    fn what_a_table_lost_together_with_its_key_comes_back_by_the_columns_of_it(db: &TestDatabase) {
        let made = "CREATE TABLE item (id INTEGER PRIMARY KEY, name VARCHAR(20), n INTEGER);";
        let filled = "INSERT INTO item VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 2), (4, 'd', 4);";
        let without_key = match db.backend() {
            Backend::Postgres => "ALTER TABLE item DROP CONSTRAINT item_pkey;",
            Backend::Sqlite => "CREATE TABLE anew (id INTEGER, name VARCHAR(20), n INTEGER); INSERT INTO anew SELECT * FROM item;
DROP TABLE item; ALTER TABLE anew RENAME TO item;",
        };
        let up = format!("{without_key} UPDATE item SET n = id + 10; DELETE FROM item WHERE id = 3;");
        let sandbox = project(db, made, filled, &up, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("UPDATE item SET name = 'A' WHERE id = 1; INSERT INTO item VALUES (9, 'new', 9); UPDATE item SET n = 99 WHERE id = 4;");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT * FROM item ORDER BY id;"), "1|A|1\n2|b|2\n3|c|2\n4|d|99\n9|new|9");
        // The value of the row that came back came with it.
        assert_eq!(counts(&result, db, "item", Some("n")), [2, 1, 0, 1]);
        assert_eq!(counts(&result, db, "item", None), [1, 0, 0, 0]);
    }

    fn a_conflict_of_alike_rows_says_what_is_there_where_all_hold_the_same_and_calls_nothing_else_null(db: &TestDatabase) {
        let filled = "INSERT INTO log VALUES (1, 'one', 10), (2, 'two', 20), (NULL, 'three', 30);";
        let sandbox = project(db, LOG, filled, "UPDATE log SET n = at;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO log VALUES (1, 'one', 1), (2, 'two', 7), (NULL, 'three', NULL);");
        let run = accepting(&sandbox, &["downgrade"]);
        run.expect_code(0).stdout_has("10 was salvaged, 1 is there (without a key").stdout_has("20 was salvaged (without a key");
        let side = "SELECT name FROM sqlite_schema WHERE name LIKE 'ripcord_conflicts_%';";
        let side = match db.backend() {
            Backend::Sqlite => db.query(side),
            Backend::Postgres => db.query("SELECT relname FROM pg_class WHERE relname LIKE 'ripcord_conflicts_%';"),
        };
        assert_eq!(db.query(&format!("SELECT ours, theirs FROM {side} ORDER BY ours;")), "10|1\n20|\n30|");
    }

    fn a_table_in_which_nothing_stayed_in_its_row_comes_back_whole_or_not_at_all(db: &TestDatabase) {
        let made = "CREATE TABLE price (item VARCHAR(20), eur INTEGER);";
        let filled = "INSERT INTO price VALUES ('bread', 2), ('car', 20000), ('pen', 1);";
        let swap = "UPDATE price SET eur = CASE item WHEN 'bread' THEN 20000 WHEN 'car' THEN 2 ELSE eur END;";
        for (minute, written) in [(0, ""), (10, "UPDATE price SET eur = 3 WHERE item = 'pen';")] {
            db.execute("DROP TABLE IF EXISTS price; DROP TABLE IF EXISTS alembic_version; DROP TABLE IF EXISTS ripcord_revision;");
            let sandbox = project(db, made, filled, swap, "SELECT 1;");
            at(&sandbox, minute);
            upgrade(&sandbox);
            db.execute(written);
            at(&sandbox, minute + 1);
            let run = accepting(&sandbox, &["downgrade"]);
            let (now, tells) = (db.query("SELECT * FROM price ORDER BY item;"), "nothing says which row is which");
            if written.is_empty() {
                assert_eq!(now, "bread|2\ncar|20000\npen|1");
                run.expect_code(0).stdout_lacks(tells);
            } else {
                assert_eq!(now, "bread|20000\ncar|2\npen|3");
                run.expect_code(0).stdout_has(tells);
            }
        }
    }
}

#[test]
fn rows_that_are_alike_keep_no_key_of_a_group_of_which_a_constraint_refuses_one() {
    let db = &TestDatabase::sqlite();
    let made = "CREATE TABLE t (a TEXT UNIQUE, code TEXT UNIQUE, n INTEGER); CREATE TABLE child (id INTEGER PRIMARY KEY, code TEXT REFERENCES t (code));
CREATE TABLE other (id INTEGER PRIMARY KEY, v TEXT);";
    let filled = "INSERT INTO t VALUES ('a1', 'k1', 1), ('a2', 'k2', 2), ('a3', 'k3', 3), ('a4', 'k4', 4), ('a5', 'k5', 5);
INSERT INTO child VALUES (1, 'k1'), (2, 'k3'); INSERT INTO other VALUES (1, 'x');";
    // Each unique value goes one row further, so that no order of single rows can put them back.
    let up = "UPDATE t SET a = 'x' || a, code = 'y' || code; UPDATE other SET v = NULL;
UPDATE t SET a = 'a' || (rowid - 1), code = 'k' || (rowid % 5 + 1), n = (rowid + 2) % 5 + 1;";
    let sandbox = project(db, made, filled, up, "SELECT 1;");
    upgrade(&sandbox);
    let there = db.query("SELECT * FROM t ORDER BY rowid; SELECT * FROM child ORDER BY id;");
    let result = downgrade(&sandbox);
    assert_eq!(
        db.query("SELECT * FROM t ORDER BY rowid; SELECT * FROM child ORDER BY id;"),
        there,
        "{result:#}"
    );
    assert_eq!(counts(&result, db, "t", Some("code")), [0, 0, 0, 5]);
    assert_eq!(db.query("SELECT v FROM other;"), "x", "the rest of the merge is no worse for it");
}
