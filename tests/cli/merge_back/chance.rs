//! Random edits in between: what was there then and is there now holds what it held.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[derive(Debug, Clone)]
enum Edit {
    Insert(u32),
    Delete(u32),
    Name(u32),
    Phone(u32),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let id = || 1..30u32;
    let edit = prop_oneof![
        id().prop_map(Edit::Insert),
        id().prop_map(Edit::Delete),
        id().prop_map(Edit::Name),
        id().prop_map(Edit::Phone),
    ];
    proptest::collection::vec(edit, 0..12)
}

fn sql(edits: &[Edit]) -> String {
    let one = |edit: &Edit| match edit {
        Edit::Insert(id) => format!(
            "INSERT INTO person (id, name) SELECT {id} + 100, 'new' WHERE NOT EXISTS (SELECT 1 FROM person WHERE id = {id} + 100);"
        ),
        Edit::Delete(id) => format!("DELETE FROM person WHERE id = {id};"),
        Edit::Name(id) => format!("UPDATE person SET name = 'changed' WHERE id = {id};"),
        Edit::Phone(id) => format!("UPDATE person SET phone = 'theirs' WHERE id = {id};"),
    };
    edits.iter().map(one).collect::<Vec<_>>().join("\n")
}

both_engines! {
    fn every_row_of_then_that_is_still_there_holds_its_value_or_is_a_conflict(db: &TestDatabase) {
        let values: Vec<String> = (1..30).map(|id| match id % 4 { 0 => format!("({id}, 'n', NULL)"), _ => format!("({id}, 'n', '{id}{id}')") }).collect();
        let filled = format!("INSERT INTO person VALUES {};", values.join(", "));
        let sandbox = project(db, PEOPLE, &filled, "UPDATE person SET phone = 'gone';", "SELECT 1;");
        sandbox.write("ripcord.toml", "[proof]\nmax_size = \"1GB\"\n");
        let minute = std::cell::Cell::new(1);
        let runner = Config { cases: 4, failure_persistence: None, ..Config::default() };
        TestRunner::new(runner).run(&edits(), |edits| {
            db.execute(&format!("DELETE FROM person; {filled}"));
            at(&sandbox, minute.get());
            upgrade(&sandbox);
            db.execute(&sql(&edits));
            let theirs = db.query("SELECT id, phone FROM person ORDER BY id;");
            at(&sandbox, minute.get() + 1);
            minute.set(minute.get() + 2);
            let result = downgrade(&sandbox);
            let now = db.query("SELECT id, phone FROM person ORDER BY id;");
            let expected: Vec<String> = theirs.lines().map(|line| {
                let (id, phone) = line.split_once('|').expect("two values");
                let number: u32 = id.parse().expect("a number");
                match (number < 30, phone, number % 4) {
                    (true, "gone", 0) => format!("{id}|"),
                    (true, "gone", _) => format!("{id}|{id}{id}"),
                    _ => line.to_owned(),
                }
            }).collect();
            prop_assert_eq!(now, expected.join("\n"));
            let conflicts = theirs.lines().filter(|line| line.ends_with("|theirs") && line.split('|').next().is_some_and(|id| id.parse::<u32>().is_ok_and(|id| id < 30))).count();
            prop_assert_eq!(counts(&result, db, "person", Some("phone"))[3], conflicts as u64);
            Ok(())
        }).unwrap();
    }
}

#[test]
fn values_that_a_rebuilt_table_gave_each_row_are_conflicts_that_say_so() {
    let db = TestDatabase::sqlite();
    let with = "(email TEXT PRIMARY KEY, mark TEXT DEFAULT (hex(randomblob(4))), no INTEGER NOT NULL DEFAULT (random()), name TEXT)";
    let made = format!("CREATE TABLE cust {with};");
    let filled = "INSERT INTO cust VALUES ('a@x', 'one', 1, 'a'), ('b@x', 'two', 2, 'b');";
    let there =
        "ALTER TABLE cust DROP COLUMN mark; ALTER TABLE cust DROP COLUMN no; UPDATE cust SET name = 'x';";
    let back = format!(
        "CREATE TABLE c2 {with}; INSERT INTO c2 (email, name) SELECT email, name FROM cust; DROP TABLE cust; ALTER TABLE c2 RENAME TO cust;"
    );
    let sandbox = project(&db, &made, filled, there, &back);
    upgrade(&sandbox);
    db.execute("UPDATE cust SET name = 'theirs' WHERE email = 'a@x';");
    let result = downgrade(&sandbox);
    let side = side_table(&result);
    let kept = db.query(&format!("SELECT \"key\", \"column\", ours, reason FROM {side} ORDER BY 1, 2;"));
    let own = "given by the way back, which makes a value of its own for each row, or changed since";
    let row = |key: &str, column, ours, why| format!("{{\"email\":\"{key}\"}}|{column}|{ours}|{why}");
    let expected = [
        row("a@x", "mark", "one", own),
        row("a@x", "name", "a", "changed since, and salvaged"),
        row("a@x", "no", "1", own),
        row("b@x", "mark", "two", own),
        row("b@x", "no", "2", own),
    ];
    assert_eq!(kept, expected.join("\n"));
}

#[test]
fn of_a_column_whose_default_is_an_expression_values_are_listed_where_nothing_was_rehearsed() {
    let expressions =
        ["(datetime('now'))", "(1 + 2)", "(upper('x'))", "CURRENT_TIMESTAMP"].map(|one| (one, false));
    for (default, is_literal) in expressions.into_iter().chain([("'x'", true), ("(1)", true)]) {
        let db = &TestDatabase::sqlite();
        let made = format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, made TEXT NOT NULL DEFAULT {default});"
        );
        let back = format!(
            "{} INSERT INTO n (id, name) SELECT id, name FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t;",
            made.replace("TABLE t", "TABLE n")
        );
        let filled = "INSERT INTO t VALUES (1, 'ann', '2020'), (2, 'bob', '2021');";
        let sandbox = project(db, &made, filled, "ALTER TABLE t DROP COLUMN made;", &back);
        sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]).expect_code(0);
        let run = sandbox.ripcord(&["downgrade", "--no-rehearsal", "--accept", "opaque", "--format", "json"]);
        run.expect_code(0);
        // Nobody can tell what an expression gave from what a user wrote.
        let expected = if is_literal { [2, 0, 0, 0] } else { [0, 0, 0, 2] };
        assert_eq!(counts(&report(&run)["result"], db, "t", Some("made")), expected, "{default}\n{run}");
    }
}
