//! NULL is a value as any other: where the way back puts something in its place, it comes back.

use super::*;

const DROPS: &str = "ALTER TABLE cust DROP COLUMN made;";
const ROWS: &str = "SELECT email, coalesce(CAST(made AS TEXT), '-') FROM cust ORDER BY email;";

fn cust(key: &str, column: &str) -> String {
    format!("CREATE TABLE cust (email VARCHAR(20) {key}, made {column}, name VARCHAR(20));")
}

fn adds(column: &str) -> String {
    format!("ALTER TABLE cust ADD COLUMN made {column};")
}

/// Three rows, of which one holds a value.
fn filled(value: &str) -> String {
    format!("INSERT INTO cust (email, made) VALUES ('a@x', NULL), ('b@x', {value}), ('c@x', NULL);")
}

#[test]
fn what_was_null_is_null_again_in_a_column_that_makes_values_of_its_own() {
    for (column, value) in [
        ("TIMESTAMPTZ DEFAULT now()", "'2001-01-01'"),
        ("DATE DEFAULT CURRENT_DATE", "'infinity'"),
        ("UUID DEFAULT gen_random_uuid()", "'00000000-0000-4000-8000-000000000001'"),
        ("INTEGER DEFAULT (random() * 9)::integer + 1", "77"),
    ] {
        for key in ["PRIMARY KEY", ""] {
            let db = TestDatabase::postgres();
            let sandbox = project(&db, &cust(key, column), &filled(value), DROPS, &adds(column));
            let before = db.query(ROWS);
            upgrade(&sandbox);
            let result = downgrade(&sandbox);
            assert_eq!(counts(&result, &db, "cust", Some("made")), [3, 0, 0, 0], "{column} {key}");
            assert_eq!(db.query(ROWS), before, "{column} {key}");
            sandbox.ripcord(&["verify"]).expect_code(0);
        }
    }
}

#[test]
fn a_null_that_the_column_does_not_take_any_more_is_a_conflict() {
    let db = TestDatabase::postgres();
    let sandbox = project(&db, &cust("PRIMARY KEY", "INTEGER"), &filled("7"), DROPS, &adds("SERIAL UNIQUE"));
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "cust", Some("made")), [1, 0, 0, 2]);
    let kept = db.query(&format!("SELECT \"key\", ours IS NULL, reason FROM {};", side_table(&result)));
    let why = "a required value or a foreign key forbids it";
    assert_eq!(kept, format!("{{\"email\":\"a@x\"}}|t|{why}\n{{\"email\":\"c@x\"}}|t|{why}"));
}

#[test]
fn where_nothing_tells_whose_the_value_in_the_place_of_null_is_both_are_written_down() {
    let db = TestDatabase::sqlite();
    let column = "TEXT DEFAULT (hex(randomblob(8)))";
    let rebuilt = |made: &str| {
        let columns = "(email VARCHAR(20) PRIMARY KEY NOT NULL, name VARCHAR(20)";
        format!(
            "CREATE TABLE c2 {columns}{made}); INSERT INTO c2 (email, name) SELECT email, name FROM cust; DROP TABLE cust; ALTER TABLE c2 RENAME TO cust;"
        )
    };
    let sandbox = project(
        &db,
        &cust("PRIMARY KEY NOT NULL", column),
        &filled("'old'"),
        &rebuilt(""),
        &rebuilt(&format!(", made {column}")),
    );
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "cust", Some("made")), [0, 0, 0, 3]);
    let kept = format!("SELECT \"key\", ours IS NULL, length(theirs) FROM {};", side_table(&result));
    assert_eq!(
        db.query(&kept),
        "{\"email\":\"a@x\"}|1|16\n{\"email\":\"b@x\"}|0|16\n{\"email\":\"c@x\"}|1|16"
    );
}

both_engines! {
    fn what_was_null_is_null_again_where_the_way_back_fills_the_column(db: &TestDatabase) {
        let default = "INTEGER DEFAULT 7";
        let fills = format!("{} UPDATE cust SET made = 7 WHERE email <> 'c@x';", adds("INTEGER"));
        for (column, down) in [(default, adds(default)), ("INTEGER", adds(default)), ("INTEGER", fills)] {
            for key in ["PRIMARY KEY NOT NULL", ""] {
                let sandbox = project(db, &cust(key, column), &filled("3"), DROPS, &down);
                let before = db.query(ROWS);
                upgrade(&sandbox);
                let result = downgrade(&sandbox);
                assert_eq!(counts(&result, db, "cust", Some("made"))[3], 0, "{down} {key}");
                assert_eq!(db.query(ROWS), before, "{down} {key}");
                forget(db);
            }
        }
    }

    fn what_was_null_is_null_again_although_nothing_was_rehearsed_where_the_column_has_a_default(db: &TestDatabase) {
        for key in ["PRIMARY KEY NOT NULL", ""] {
            for filled in [&filled("3"), "INSERT INTO cust (email, made) VALUES ('a@x', NULL);"] {
                let column = "INTEGER DEFAULT 7";
                let sandbox = project(db, &cust(key, column), filled, DROPS, &adds(column));
                let before = db.query(ROWS);
                sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]).expect_code(0);
                assert_eq!(counts(&downgrade(&sandbox), db, "cust", Some("made"))[3], 0, "{key} {filled}");
                assert_eq!(db.query(ROWS), before, "{key} {filled}");
                forget(db);
            }
        }
    }

    fn a_null_that_was_written_over_is_kept_although_nothing_was_rehearsed(db: &TestDatabase) {
        let sandbox = project(db, &cust("PRIMARY KEY NOT NULL", "INTEGER"), &filled("3"), "UPDATE cust SET made = 9;", "SELECT 1;");
        sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]).expect_code(0);
        let file = format!("exports/{}.values.csv.gz", named(db, "cust"));
        let newest = sandbox.backups().pop().expect("a backup");
        assert_eq!(unzipped(&newest.join(file)), "email,made\n\"a@x\",\n\"b@x\",3\n\"c@x\",\n");
    }
}
