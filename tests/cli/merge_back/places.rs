//! Numbers within a key of several columns: the last place of an order, given out again, is that of another line.

use super::*;

const RETAKEN: &str = "another row may have taken its key";
const NO_GIFT: &str = "ALTER TABLE line DROP COLUMN gift;";
const GIFT: &str = "ALTER TABLE line ADD COLUMN gift TEXT;";
const FILLED: &str = "INSERT INTO line VALUES (1, 1, 'SKU-A', 1, 'for ann'), (1, 2, 'SKU-B', 2, 'for bob'), (1, 3, 'SKU-C', 1, 'for cy'),
(2, 1, 'SKU-D', 1, 'for dan'), (2, 2, 'SKU-E', 5, 'for eve'), (3, 1, 'SKU-F', 1, 'for fay'), (3, 2, 'SKU-G', 1, NULL), (3, 3, 'SKU-H', 1, 'for hal'), (4, 1, 'SKU-I', 4, 'for ian');";

/// Lines of orders, with what their table says besides.
fn made(beside: &str) -> String {
    format!(
        "CREATE TABLE line (order_id INTEGER NOT NULL, line_no INTEGER NOT NULL, sku VARCHAR(20) NOT NULL, qty INTEGER, gift TEXT,
PRIMARY KEY (order_id, line_no){beside});"
    )
}

fn upgraded(db: &TestDatabase, beside: &str) -> Sandbox {
    let sandbox = project(db, &made(beside), FILLED, NO_GIFT, GIFT);
    upgrade(&sandbox);
    sandbox
}

/// The lines of one order with their gifts.
fn order(db: &TestDatabase, number: u8) -> String {
    db.query(&format!("SELECT line_no, sku, gift FROM line WHERE order_id = {number} ORDER BY line_no;"))
}

fn takes_the_last_place(db: &TestDatabase, beside: &str) {
    let sandbox = upgraded(db, beside);
    db.execute(
        "DELETE FROM line WHERE order_id = 1 AND line_no = 3; INSERT INTO line VALUES (1, 3, 'SKU-X', 1);",
    );
    let result = downgrade(&sandbox);
    assert_eq!(order(db, 1), "1|SKU-A|for ann\n2|SKU-B|for bob\n3|SKU-X|", "{result:#}");
    assert_eq!(counts(&result, db, "line", Some("gift")), [7, 0, 0, 1]);
    let kept = format!("SELECT ours, reason FROM {};", side_table(&result));
    assert_eq!(db.query(&kept), format!("for cy|{RETAKEN}"));
    sandbox.ripcord(&["verify"]).expect_code(0);
}

both_engines! {
    fn a_line_that_took_the_last_place_of_an_order_gets_nothing_of_the_one_before(db: &TestDatabase) {
        takes_the_last_place(db, "");
    }

    fn so_it_does_where_a_line_is_unique_in_its_order(db: &TestDatabase) {
        takes_the_last_place(db, ", UNIQUE (order_id, sku)");
    }

    fn so_it_does_where_a_line_is_unique_in_all_orders(db: &TestDatabase) {
        takes_the_last_place(db, ", UNIQUE (sku)");
    }

    fn lines_that_were_edited_keep_their_gifts(db: &TestDatabase) {
        let sandbox = upgraded(db, "");
        // At the end of an order by what tells least, before its end by anything.
        db.execute("UPDATE line SET qty = 9 WHERE order_id = 1 AND line_no = 3; UPDATE line SET sku = 'SKU-Y' WHERE order_id = 2 AND line_no = 1;
INSERT INTO line VALUES (4, 2, 'SKU-Z', 1), (5, 1, 'SKU-W', 1); DELETE FROM line WHERE order_id = 3 AND line_no = 3;");
        let result = downgrade(&sandbox);
        assert_eq!(order(db, 1), "1|SKU-A|for ann\n2|SKU-B|for bob\n3|SKU-C|for cy", "{result:#}");
        assert_eq!(order(db, 2), "1|SKU-Y|for dan\n2|SKU-E|for eve", "{result:#}");
        assert_eq!(order(db, 3), "1|SKU-F|for fay\n2|SKU-G|", "{result:#}");
        assert_eq!(order(db, 4), "1|SKU-I|for ian\n2|SKU-Z|", "{result:#}");
    }

    fn a_row_of_which_nothing_is_as_it_was_gets_nothing_though_something_in_it_is_unique(db: &TestDatabase) {
        let sandbox = upgraded(db, ", UNIQUE (sku)");
        db.execute("DELETE FROM line WHERE order_id = 1 AND line_no = 1; INSERT INTO line VALUES (1, 1, 'SKU-X', 9);");
        let result = downgrade(&sandbox);
        assert_eq!(order(db, 1), "1|SKU-X|\n2|SKU-B|for bob\n3|SKU-C|for cy", "{result:#}");
        assert_eq!(counts(&result, db, "line", Some("gift")), [7, 0, 0, 1]);
    }

    fn nothing_hangs_on_a_line_that_took_the_place_of_another(db: &TestDatabase) {
        let note = "CREATE TABLE note (id INTEGER PRIMARY KEY, order_id INTEGER, line_no INTEGER, text TEXT, FOREIGN KEY (order_id, line_no) REFERENCES line (order_id, line_no));";
        let filled = format!("{FILLED} INSERT INTO note VALUES (1, 1, 3, 'of cy'), (2, 1, 2, 'of bob');");
        let sandbox = project(db, &format!("{}{note}", made("")), &filled, "DELETE FROM note;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("DELETE FROM line WHERE order_id = 1 AND line_no = 3; INSERT INTO line VALUES (1, 3, 'SKU-X', 1, NULL);");
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT id, line_no FROM note;"), "2|2", "{result:#}");
        assert_eq!(counts(&result, db, "note", None), [1, 0, 0, 1]);
    }

    fn a_name_that_somebody_else_registered_again_gives_nothing_of_the_one_before(db: &TestDatabase) {
        let made = "CREATE TABLE account (username VARCHAR(20) NOT NULL PRIMARY KEY, email VARCHAR(40) UNIQUE, full_name VARCHAR(40), active INTEGER, phone TEXT);
CREATE TABLE message (id INTEGER PRIMARY KEY, owner VARCHAR(20) REFERENCES account (username), text TEXT);";
        let filled = "INSERT INTO account VALUES ('anna', 'anna@x', 'Anna Ash', 1, '111'), ('bert', 'bert@x', 'Bert Birch', 1, '222'),
('dora', 'dora@x', 'Dora Dill', 1, '333'), ('emil', 'emil@x', 'Emil Elm', 0, '444'); INSERT INTO message VALUES (1, 'dora', 'mine'), (2, 'bert', 'his');";
        let up = "DELETE FROM message; ALTER TABLE account DROP COLUMN phone;";
        let sandbox = project(db, made, filled, up, "ALTER TABLE account ADD COLUMN phone TEXT;");
        upgrade(&sandbox);
        db.execute("DELETE FROM account WHERE username = 'dora'; INSERT INTO account VALUES ('dora', 'dd@y', 'Dora Duck', 1);
UPDATE account SET email = 'b@z' WHERE username = 'bert'; UPDATE account SET full_name = 'Anna Oak', active = 0 WHERE username = 'anna';");
        let result = downgrade(&sandbox);
        let phones = db.query("SELECT username, phone FROM account ORDER BY username;");
        assert_eq!(phones, "anna|111\nbert|222\ndora|\nemil|444", "{result:#}");
        assert_eq!(db.query("SELECT id, owner FROM message;"), "2|bert", "{result:#}");
        assert_eq!(counts(&result, db, "account", Some("phone")), [3, 0, 0, 1]);
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn what_changes_every_day_under_a_name_says_nothing_of_it(db: &TestDatabase) {
        let made = "CREATE TABLE rate (code VARCHAR(3) NOT NULL PRIMARY KEY, value VARCHAR(9), at VARCHAR(9), source TEXT);";
        let filled = "INSERT INTO rate VALUES ('EUR', '1.07', '10:00', 'ecb'), ('USD', '1.00', '10:01', 'fed'), ('CHF', '0.93', '10:02', 'snb');";
        let sandbox = project(db, made, filled, "ALTER TABLE rate DROP COLUMN source;", "ALTER TABLE rate ADD COLUMN source TEXT;");
        upgrade(&sandbox);
        db.execute("UPDATE rate SET value = '2' || value, at = '11' || at;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "rate", Some("source")), [3, 0, 0, 0], "{result:#}");
    }

    fn what_a_foreign_key_is_over_counts_nothing(db: &TestDatabase) {
        // Who is in which group has no place among others: its key says who it is, whatever else was edited.
        let made = "CREATE TABLE person (id INTEGER PRIMARY KEY); CREATE TABLE club (id INTEGER PRIMARY KEY);
CREATE TABLE member (person INTEGER NOT NULL REFERENCES person (id), club INTEGER NOT NULL REFERENCES club (id), role VARCHAR(20), since TEXT, PRIMARY KEY (person, club));";
        let filled = "INSERT INTO person VALUES (1), (2), (3); INSERT INTO club VALUES (7), (8);
INSERT INTO member VALUES (1, 7, 'chair', '2001'), (2, 7, 'guest', '2002'), (3, 8, 'clerk', '2003');";
        let sandbox = project(db, made, filled, "ALTER TABLE member DROP COLUMN since;", "ALTER TABLE member ADD COLUMN since TEXT;");
        upgrade(&sandbox);
        db.execute("UPDATE member SET role = 'boss' WHERE person = 3;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "member", Some("since")), [3, 0, 0, 0], "{result:#}");
    }
}
