//! A column that the way back makes with a value of its own for each row has not come back, even where the values are the
//! old ones on the copy.

use super::*;

const ROWS: &str =
    "INSERT INTO cust (email, name) VALUES ('a@x', 'a'); INSERT INTO cust (email, name) VALUES ('b@x', 'b');";

/// A table with two rows, of which a column is dropped and made again.
#[track_caller]
fn is_lost(db: &TestDatabase, made: &str, up: &str, down: &str) {
    let sandbox = with(db, up, down);
    db.execute(&format!("{made} {ROWS}"));
    let found = ledger(&sandbox, db, &[]);
    let lost = json!([{ "what": "column", "table": named(db, "cust"), "column": "made", "count": 2 }]);
    assert_eq!(found["lost"], lost, "{found:#}");
    sandbox.ripcord(&["rehearse", "--deny", "loss"]).expect_code(3);
}

#[test]
fn numbers_that_the_way_back_gives_out_again_are_lost_although_they_are_the_same_on_the_copy() {
    for column in ["INTEGER GENERATED ALWAYS AS IDENTITY", "SERIAL", "DATE DEFAULT CURRENT_DATE"] {
        let made =
            format!("CREATE TABLE cust (email VARCHAR(20) PRIMARY KEY, made {column}, name VARCHAR(20));");
        let down = format!("ALTER TABLE cust ADD COLUMN made {column};");
        is_lost(&TestDatabase::postgres(), &made, "ALTER TABLE cust DROP COLUMN made;", &down);
    }
}

#[test]
fn numbers_of_rows_that_sqlite_gives_out_again_are_lost_although_they_are_the_same_on_the_copy() {
    let with = "(made INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT)";
    let without = "(email TEXT NOT NULL UNIQUE, name TEXT)";
    let rebuilt = |columns: &str| {
        format!(
            "CREATE TABLE c2 {columns}; INSERT INTO c2 (email, name) SELECT email, name FROM cust ORDER BY email; DROP TABLE cust; ALTER TABLE c2 RENAME TO cust;"
        )
    };
    let made = format!("CREATE TABLE cust {with};");
    is_lost(&TestDatabase::start(Backend::Sqlite), &made, &rebuilt(without), &rebuilt(with));
}

both_engines! {
    fn a_column_that_was_only_renamed_meanwhile_is_not_lost_whatever_its_default_is(db: &TestDatabase) {
        let there = "ALTER TABLE cust RENAME COLUMN made TO other;";
        let sandbox = super::with(db, there, "ALTER TABLE cust RENAME COLUMN other TO made;");
        let made = "CREATE TABLE cust (email VARCHAR(20) PRIMARY KEY, made DATE DEFAULT CURRENT_DATE, name VARCHAR(20));";
        db.execute(&format!("{made} {ROWS}"));
        sandbox.ripcord(&["rehearse", "--deny", "loss"]).expect_code(0);
    }
}
