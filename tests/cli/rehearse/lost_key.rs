//! A table that loses its key, or gets another one: rows are found by the columns of the key as long as these tell them
//! apart, so that what stays in them is not called lost.

use super::*;

const ITEM: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY, name VARCHAR(20), n INTEGER);
INSERT INTO item VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 2);";

/// Takes the key away.
fn without_key(db: &TestDatabase) -> &'static str {
    match db.backend() {
        Backend::Postgres => "ALTER TABLE item DROP CONSTRAINT item_pkey;",
        Backend::Sqlite => {
            "CREATE TABLE anew (id INTEGER, name VARCHAR(20), n INTEGER); INSERT INTO anew SELECT * FROM item;
DROP TABLE item; ALTER TABLE anew RENAME TO item;"
        }
    }
}

/// Gives the table a key.
fn keyed_by(db: &TestDatabase, column: &str) -> String {
    let spelled =
        |name: &str, kind: &str| format!("{name} {kind}{}", if name == column { " PRIMARY KEY" } else { "" });
    match db.backend() {
        Backend::Postgres => format!("ALTER TABLE item ADD PRIMARY KEY ({column});"),
        Backend::Sqlite => format!(
            "CREATE TABLE again ({}, {}, n INTEGER); INSERT INTO again SELECT * FROM item;
DROP TABLE item; ALTER TABLE again RENAME TO item;",
            spelled("id", "INTEGER"),
            spelled("name", if column == "name" { "VARCHAR(20) NOT NULL" } else { "VARCHAR(20)" })
        ),
    }
}

both_engines! {
    fn a_key_that_goes_takes_no_value_with_it(db: &TestDatabase) {
        let sandbox = with(db, &format!("{} UPDATE item SET n = 0 WHERE id = 2;", without_key(db)), "SELECT 1;");
        db.execute(ITEM);
        let found = ledger(&sandbox, db, &[]);
        let lost = json!([{ "what": "values", "table": named(db, "item"), "column": "n", "count": 1 }]);
        assert_eq!(found["lost"], lost, "{found:#}");
        let item = entry(&found, db, "item");
        assert_eq!((&item["columns"]["id"]["fate"], &item["columns"]["name"]["fate"]), (&json!("kept"), &json!("kept")));
        assert_eq!((&item["inserted"], &item["deleted"], &item["changed"]), (&json!(0), &json!(0), &json!(1)));
        let other = json!({ "how": "other-values", "column": named(db, "item") + ".n", "count": 1 });
        assert_eq!(found["dishonest"], json!([other]), "{found:#}");
        let gone = subjects(&found["not_brought_back"]);
        assert!(gone.iter().any(|subject| subject.starts_with(&format!("constraint {}.", named(db, "item")))), "{gone:?}");
    }

    fn a_key_that_goes_and_comes_back_loses_nothing(db: &TestDatabase) {
        let up = format!("{} UPDATE item SET n = n + 1;", without_key(db));
        let sandbox = with(db, &up, &format!("UPDATE item SET n = n - 1; {}", keyed_by(db, "id")));
        db.execute(ITEM);
        let found = ledger(&sandbox, db, &["--deny", "loss"]);
        assert_eq!(entry(&found, db, "item")["columns"]["n"], json!({ "fate": "transformed", "count": 3, "back": true }));
        assert_eq!((&found["lost"], &found["dishonest"]), (&json!([]), &json!([])), "{found:#}");
    }

    fn rows_that_go_together_with_the_key_are_counted_as_rows(db: &TestDatabase) {
        let sandbox = with(db, &format!("{} DELETE FROM item WHERE id = 3; INSERT INTO item VALUES (7, 'x', 7);", without_key(db)), "SELECT 1;");
        db.execute(ITEM);
        let found = ledger(&sandbox, db, &[]);
        let lost = json!([{ "what": "rows", "table": named(db, "item"), "count": 1 }]);
        assert_eq!(found["lost"], lost, "{found:#}");
    }

    fn another_key_takes_no_value_with_it(db: &TestDatabase) {
        let up = format!("{} UPDATE item SET n = 0 WHERE id = 2; {}", without_key(db), keyed_by(db, "name"));
        let sandbox = with(db, &up, "SELECT 1;");
        db.execute(ITEM);
        let found = ledger(&sandbox, db, &[]);
        let lost = json!([{ "what": "values", "table": named(db, "item"), "column": "n", "count": 1 }]);
        assert_eq!(found["lost"], lost, "{found:#}");
    }

    fn a_column_that_was_the_key_and_tells_rows_apart_no_longer_is_lost(db: &TestDatabase) {
        let sandbox = with(db, &format!("{} UPDATE item SET id = 1;", without_key(db)), "SELECT 1;");
        db.execute(ITEM);
        let run = sandbox.ripcord(&["rehearse", "--deny", "loss"]);
        run.expect_code(3).stdout_has("overwrites-values:item.id");
    }
}
