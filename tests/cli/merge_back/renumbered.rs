//! An upgrade that gives rows other numbers, which its way back does not undo: no row is made of halves of two.

use super::*;

const MADE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(20), score INTEGER);";
const TURNED: &str = "UPDATE t SET id = -id; UPDATE t SET id = 9 + id, score = 0;";
const RETAKEN: &str = "another row may have taken its key";

/// Eight rows.
fn eight() -> String {
    let row = |at: i32| format!("({at}, 'name {at}', {})", at * 10);
    format!("INSERT INTO t VALUES {};", (1..=8).map(row).collect::<Vec<_>>().join(", "))
}

/// What rows hold that are as then.
fn as_then(ids: &[i32]) -> Vec<String> {
    ids.iter().map(|at| format!("{at}|name {at}|{}", at * 10)).collect()
}

fn all(db: &TestDatabase, which: &str) -> Vec<String> {
    let rows = db.query(&format!("SELECT id, name, score FROM t WHERE {which} ORDER BY id;"));
    rows.lines().map(str::to_owned).collect()
}

/// Key, column, both values and reason of all conflicts.
fn kept(db: &TestDatabase, result: &Value) -> String {
    let side = side_table(result);
    db.query(&format!(
        "SELECT \"key\", \"column\", ours, theirs, reason FROM {side} ORDER BY \"key\", \"column\";"
    ))
}

both_engines! {
    fn rows_that_nobody_wrote_to_are_what_they_were_under_their_numbers(db: &TestDatabase) {
        let sandbox = project(db, MADE, &eight(), TURNED, "SELECT 1;");
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "t", Some("name")), [8, 0, 0, 0]);
        assert_eq!(all(db, "true"), as_then(&[1, 2, 3, 4, 5, 6, 7, 8]));
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn where_one_of_them_was_edited_all_stay_as_they_are(db: &TestDatabase) {
        let sandbox = project(db, MADE, &eight(), TURNED, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("UPDATE t SET name = 'edited' WHERE id = 3;");
        let there = all(db, "true");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "t", Some("name")), [0, 0, 0, 8]);
        assert_eq!(counts(&result, db, "t", Some("score")), [0, 0, 0, 8]);
        assert_eq!(all(db, "true"), there);
        let both = format!("{{\"id\":3}}|name|name 3|edited|{RETAKEN}\n{{\"id\":3}}|score|30|0|{RETAKEN}");
        assert!(kept(db, &result).contains(&both));
        let backup = sandbox.path("backups").join(result["backup"]["id"].as_str().expect("a backup"));
        let csv = unzipped(&backup.join("conflicts.csv.gz"));
        assert!(csv.contains("\"name 3\",\"edited\"") && csv.contains("\"30\",\"0\""), "{csv}");
        assert!(result["notes"].to_string().contains("16 values were not put back into"), "{result:#}");
    }

    fn where_numbers_are_gone_each_row_is_known_by_what_else_it_holds(db: &TestDatabase) {
        let moved = "UPDATE t SET id = -id; UPDATE t SET id = 5 - id, score = 0;";
        let sandbox = project(db, MADE, &eight(), moved, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("UPDATE t SET name = 'edited' WHERE id = 7;");
        let result = downgrade(&sandbox);
        // Nobody knows the edited one, and it keeps the number that another one had.
        assert_eq!(counts(&result, db, "t", Some("id")), [6, 0, 1, 1], "{result:#}");
        assert_eq!(counts(&result, db, "t", Some("score")), [7, 0, 1, 0]);
        assert_eq!(all(db, "id < 9 AND id <> 7"), as_then(&[1, 3, 4, 5, 6, 8]));
        assert_eq!(all(db, "id = 7"), ["7|edited|0"]);
        assert_eq!(all(db, "id = 12"), [as_then(&[7])[0].replace("7|name", "12|name")]);
    }

    fn where_nothing_was_rehearsed_no_half_of_such_a_row_comes_back(db: &TestDatabase) {
        let sandbox = project(db, MADE, &eight(), &TURNED.replace("score = 0", "score = NULL"), "SELECT 1;");
        sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]).expect_code(0);
        let there = all(db, "true");
        let run = sandbox.ripcord(&["downgrade", "--no-rehearsal", "--accept", "opaque", "--format", "json"]);
        run.expect_code(0);
        let result = report(&run)["result"].clone();
        assert_eq!(counts(&result, db, "t", Some("name")), [0, 0, 0, 8]);
        assert_eq!(counts(&result, db, "t", Some("score")), [0, 0, 0, 8]);
        assert_eq!(all(db, "true"), there);
    }

    fn of_a_row_that_kept_its_number_only_the_column_that_was_edited_is_a_conflict(db: &TestDatabase) {
        let sandbox = project(db, MADE, &eight(), "UPDATE t SET name = upper(name), score = NULL;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("UPDATE t SET name = 'edited' WHERE id = 3;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "t", Some("name")), [7, 0, 0, 1]);
        assert_eq!(counts(&result, db, "t", Some("score")), [8, 0, 0, 0]);
        assert_eq!(all(db, "id = 3"), ["3|edited|30"]);
    }
}

/// A column whose values went from row to row, beside one that says that the rows are the same.
#[track_caller]
fn is_known_by_its_mark(db: &TestDatabase, key: &str) {
    let made =
        format!("CREATE TABLE t (id INTEGER {key}, mark VARCHAR(9), name VARCHAR(20), score INTEGER);");
    let row = |at: u8| format!("({at}, '{}', '{}', {at})", char::from(b'a' + at), at * 10);
    let filled = format!("INSERT INTO t VALUES {};", (1..=8).map(row).collect::<Vec<_>>().join(", "));
    let up = "UPDATE t SET name = CAST(id * 10 + 10 AS VARCHAR(20)), score = 0;";
    let sandbox = project(db, &made, &filled, up, "SELECT 1;");
    upgrade(&sandbox);
    db.execute("UPDATE t SET name = 'edited' WHERE id = 3;");
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, db, "t", Some("name")), [7, 0, 0, 1], "{key}");
    assert_eq!(counts(&result, db, "t", Some("score")), [8, 0, 0, 0], "{key}");
    assert_eq!(all(db, "id = 3"), ["3|edited|3"], "{key}");
}

#[test]
fn a_row_whose_other_columns_tell_that_it_is_the_one_of_then_is_not_of_another_number() {
    is_known_by_its_mark(&TestDatabase::postgres(), "PRIMARY KEY");
    is_known_by_its_mark(&TestDatabase::sqlite(), "PRIMARY KEY");
    is_known_by_its_mark(&TestDatabase::sqlite(), "PRIMARY KEY AUTOINCREMENT");
}

/// Persons of two kinds in one table, which an upgrade divides and its way back numbers anew.
fn divided(db: &TestDatabase) -> Sandbox {
    let number = match db.backend() {
        Backend::Sqlite => "INTEGER PRIMARY KEY",
        Backend::Postgres => "SERIAL PRIMARY KEY",
    };
    let person = format!(
        "CREATE TABLE person (id {number}, kind VARCHAR(9) NOT NULL, name VARCHAR(9) NOT NULL, salary INTEGER, discount INTEGER);"
    );
    let up = format!(
        "CREATE TABLE staff (id {number}, name VARCHAR(9) NOT NULL, salary INTEGER);
CREATE TABLE customer (id {number}, name VARCHAR(9) NOT NULL, discount INTEGER);
INSERT INTO staff (name, salary) SELECT name, salary FROM person WHERE kind = 's' ORDER BY id;
INSERT INTO customer (name, discount) SELECT name, discount FROM person WHERE kind = 'c' ORDER BY id; DROP TABLE person;"
    );
    let down = format!(
        "{person}
INSERT INTO person (kind, name, salary) SELECT 's', name, salary FROM staff ORDER BY id;
INSERT INTO person (kind, name, discount) SELECT 'c', name, discount FROM customer ORDER BY id;
DROP TABLE staff; DROP TABLE customer;"
    );
    let filled = "INSERT INTO person (kind, name, salary, discount) VALUES ('s', 'Sam', 100, NULL), ('c', 'Carl', NULL, 5), ('s', 'Sue', 300, NULL), ('c', 'Cleo', NULL, 10);";
    let sandbox = project(db, &person, filled, &up, &down);
    upgrade(&sandbox);
    sandbox
}

const PERSONS: &str = "SELECT name, coalesce(salary, discount) FROM person ORDER BY name;";

both_engines! {
    fn no_living_row_gives_way_to_one_that_was_deleted_where_the_way_back_numbers_anew(db: &TestDatabase) {
        let sandbox = divided(db);
        db.execute("DELETE FROM customer WHERE name = 'Carl';");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(PERSONS), "Cleo|10\nSam|100\nSue|300", "{result:#}");
    }

    fn nor_where_another_one_was_added(db: &TestDatabase) {
        let sandbox = divided(db);
        db.execute("DELETE FROM customer WHERE name = 'Carl'; INSERT INTO staff (name, salary) VALUES ('Steve', 400);");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(PERSONS), "Cleo|10\nSam|100\nSteve|400\nSue|300", "{result:#}");
    }

    fn where_nobody_wrote_every_row_has_its_old_number_again(db: &TestDatabase) {
        let sandbox = divided(db);
        downgrade(&sandbox);
        assert_eq!(db.query("SELECT id, name FROM person ORDER BY id;"), "1|Sam\n2|Carl\n3|Sue\n4|Cleo");
    }
}
