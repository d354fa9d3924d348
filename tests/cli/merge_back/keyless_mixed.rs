//! Tables without a key of which an upgrade deletes rows, changes others and brings new ones, all at once.

use super::*;

const LOG: &str = "CREATE TABLE log (at INTEGER, msg VARCHAR(40), n INTEGER);";
const FOUR: &str =
    "INSERT INTO log VALUES (1, 'one', 10), (2, 'two', 20), (3, 'three', 30), (4, 'four', 40);";
/// Two rows go, one comes, and one keeps nothing but its time and its number.
const MIXED: &str = "DELETE FROM log WHERE at IN (2, 4); INSERT INTO log VALUES (9, 'nine', 90); UPDATE log SET msg = 'x' WHERE at = 3;";
const GONE_SINCE: &str = "without a key: the upgrade left a row that may be this one, changed, and it was deleted or changed since";
const ALL: &str = "SELECT * FROM log ORDER BY at, msg, n;";

fn forget_log(db: &TestDatabase) {
    db.execute("DROP TABLE IF EXISTS log; DROP TABLE IF EXISTS alembic_version; DROP TABLE IF EXISTS ripcord_revision;");
}

both_engines! {
    fn rows_that_came_with_an_upgrade_put_no_row_that_it_changed_beside_itself(db: &TestDatabase) {
        let filled = "INSERT INTO log VALUES (1, 'one', 10), (2, 'two', 20), (3, NULL, 20), (4, 'four', NULL);";
        let up = "INSERT INTO log VALUES (8, 'eight', 20), (9, 'nine', NULL); UPDATE log SET msg = 'x' WHERE at < 5;";
        let sandbox = project(db, LOG, filled, up, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("UPDATE log SET msg = 'mine' WHERE at = 2;");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(ALL), "1|one|10\n2|mine|20\n3||20\n4|four|\n8|eight|20\n9|nine|");
        assert_eq!(counts(&result, db, "log", Some("msg")), [3, 0, 0, 1]);
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn a_row_that_went_while_others_came_and_changed_is_a_conflict_where_one_that_is_there_may_be_it(db: &TestDatabase) {
        let filled = "INSERT INTO log VALUES (1, 'one', 10), (2, 'two', 20), (3, 'three', 20), (4, 'four', 40);";
        let up = "DELETE FROM log WHERE at IN (2, 4); INSERT INTO log VALUES (9, 'nine', 90); UPDATE log SET msg = 'x' WHERE at = 3;";
        let sandbox = project(db, LOG, filled, up, "SELECT 1;");
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        // Nothing that is there has anything of the fourth.
        assert_eq!(db.query(ALL), "1|one|10\n3|x|20\n4|four|40\n9|nine|90");
        assert_eq!(counts(&result, db, "log", None), [1, 0, 0, 2]);
        let side = side_table(&result);
        let why = "without a key: others came and changed when it went, and a row that is there may be this one";
        let found = db.query(&format!("SELECT ours, theirs, reason FROM {side} ORDER BY ours;"));
        let row = |at, msg| format!("{{\"at\":{at},\"msg\":\"{msg}\",\"n\":20}}||{why}");
        assert_eq!(found, [row(2, "two"), row(3, "three")].join("\n"));
    }

    fn a_row_that_an_upgrade_brought_is_not_taken_for_one_like_it_that_is_gone_since(db: &TestDatabase) {
        let filled = "INSERT INTO log VALUES (1, 'red', 3), (2, 'blue', 2);";
        let up = "DELETE FROM log WHERE at = 2; INSERT INTO log VALUES (7, 'blue', 8), (8, 'red', 9);";
        let sandbox = project(db, LOG, filled, up, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("DELETE FROM log WHERE at = 1;");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(ALL), "7|blue|8\n8|red|9");
        assert_eq!(counts(&result, db, "log", None), [0, 0, 0, 1]);
    }

    fn a_row_that_changed_while_others_went_stays_deleted_where_users_deleted_it(db: &TestDatabase) {
        for (minute, written, left) in [
            (0, "DELETE FROM log WHERE at = 3;", ""),
            (10, "UPDATE log SET at = 33, n = 99 WHERE at = 3;", "\n33|x|99"),
        ] {
            forget_log(db);
            let sandbox = project(db, LOG, FOUR, MIXED, "SELECT 1;");
            at(&sandbox, minute);
            upgrade(&sandbox);
            db.execute(written);
            at(&sandbox, minute + 1);
            let result = downgrade(&sandbox);
            // Nothing that is there after the way back has anything of the second and fourth: these did not change.
            assert_eq!(db.query(ALL), format!("1|one|10\n2|two|20\n4|four|40\n9|nine|90{left}"));
            assert_eq!(counts(&result, db, "log", None), [2, 0, 0, 1]);
            let found = db.query(&format!("SELECT ours, theirs, reason FROM {};", side_table(&result)));
            assert_eq!(found, format!("{{\"at\":3,\"msg\":\"three\",\"n\":30}}||{GONE_SINCE}"));
        }
    }

    fn a_row_that_changed_among_rows_that_are_alike_stays_deleted_where_users_deleted_it(db: &TestDatabase) {
        let filled = "INSERT INTO log VALUES (1, 'a', 10), (1, 'b', 10), (2, 'c', 20), (3, 'd', 30);";
        let up = "DELETE FROM log WHERE msg IN ('a', 'd'); UPDATE log SET msg = 'x';";
        let sandbox = project(db, LOG, filled, up, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("DELETE FROM log WHERE at = 2;");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(ALL), "1|x|10\n3|d|30");
        assert_eq!(counts(&result, db, "log", None), [1, 0, 0, 3]);
        let found = db.query(&format!("SELECT ours FROM {} WHERE reason = '{GONE_SINCE}';", side_table(&result)));
        assert_eq!(found, "{\"at\":2,\"msg\":\"c\",\"n\":20}");
    }

    fn without_a_rehearsal_a_row_that_changed_while_others_went_stays_deleted_as_well(db: &TestDatabase) {
        let sandbox = project(db, LOG, FOUR, MIXED, "SELECT 1;");
        sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]).expect_code(0);
        db.execute("DELETE FROM log WHERE at = 3;");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT count(*) FROM log WHERE at = 3;"), "0", "{result:#}");
    }

    fn a_row_that_only_went_comes_back_as_often_as_it_went(db: &TestDatabase) {
        let filled = "INSERT INTO log VALUES (1, 'one', 10), (1, 'one', 10), (2, 'two', 20), (3, 'three', 30), (3, 'three', 30);";
        let up = "DELETE FROM log WHERE at = 1; UPDATE log SET msg = 'x' WHERE at = 3;";
        let sandbox = project(db, LOG, filled, up, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("DELETE FROM log WHERE at = 3;");
        downgrade(&sandbox);
        assert_eq!(db.query(ALL), "1|one|10\n1|one|10\n2|two|20");
    }
}
