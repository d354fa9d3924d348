//! Columns called as what stands in statements of ours: a name of a user's must never be taken for one of them.

use super::*;

/// Names of tables and columns in statements that compare, salvage and merge.
const OURS: [&str; 27] = [
    "x",
    "a",
    "b",
    "s",
    "t",
    "p",
    "o",
    "m",
    "n",
    "r",
    "g",
    "l",
    "u",
    "i",
    "d",
    "k0",
    "c0",
    "v0",
    "x0",
    "place",
    "live",
    "number",
    "ident",
    "ripcord_group",
    "ripcord_side",
    "ripcord_place",
    "ripcord_hit",
];

/// `name TEXT` for each of them, or whatever else is to stand there.
fn each(of: impl Fn(&str) -> String) -> String {
    OURS.map(of).join(", ")
}

both_engines! {
    fn values_and_rows_are_merged_whatever_their_columns_are_called(db: &TestDatabase) {
        let columns = each(|name| format!("{name} VARCHAR(20) NOT NULL"));
        let table = |name: &str| format!("CREATE TABLE {name} ({columns}, label VARCHAR(20), PRIMARY KEY (a, x));");
        let row = |number: &str| format!("({}, 'l{number}')", each(|name| format!("'{name}{number}'")));
        let rows = ["1", "2", "3"].map(row).join(", ");
        let up = "UPDATE points SET label = NULL, t = ''; DELETE FROM gone WHERE x <> 'x3';";
        let filled = format!("INSERT INTO points VALUES {rows}; INSERT INTO gone VALUES {rows};");
        let sandbox = project(db, &[table("points"), table("gone")].concat(), &filled, up, "SELECT 1;");
        let before = db.query("SELECT * FROM points WHERE x <> 'x2' ORDER BY x; SELECT * FROM gone WHERE x <> 'x2' ORDER BY x;");
        upgrade(&sandbox);
        db.execute(&format!("UPDATE points SET label = 'mine' WHERE x = 'x2'; INSERT INTO gone VALUES {};", row("2").replace("l2", "mine")));
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "points", Some("label")), [2, 0, 0, 1]);
        assert_eq!(counts(&result, db, "points", Some("t")), [3, 0, 0, 0]);
        assert_eq!(counts(&result, db, "gone", None), [1, 0, 0, 1]);
        let after = db.query("SELECT * FROM points WHERE x <> 'x2' ORDER BY x; SELECT * FROM gone WHERE x <> 'x2' ORDER BY x;");
        assert_eq!(after, before);
        let side = side_table(&result);
        let kept = db.query(&format!("SELECT \"key\", ours, theirs FROM {side} WHERE \"column\" = 'label';"));
        assert_eq!(kept, "{\"a\":\"a2\",\"x\":\"x2\"}|l2|mine");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn rows_without_a_key_are_merged_whatever_their_columns_are_called(db: &TestDatabase) {
        let columns = each(|name| format!("{name} VARCHAR(20)"));
        let row = |number: &str| format!("({}, 'l{number}')", each(|name| format!("'{name}{number}'")));
        let rows = ["1", "2", "3"].map(row).join(", ");
        let made = format!("CREATE TABLE loose ({columns}, label VARCHAR(20));");
        let up = "DELETE FROM loose WHERE x = 'x3'; ALTER TABLE loose DROP COLUMN label;";
        let down = "ALTER TABLE loose ADD COLUMN label VARCHAR(20);";
        let sandbox = project(db, &made, &format!("INSERT INTO loose VALUES {rows};"), up, down);
        let before = db.query("SELECT * FROM loose ORDER BY x;");
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(db.query("SELECT * FROM loose ORDER BY x;"), before);
        // That of the row that came back came with it.
        assert_eq!(counts(&result, db, "loose", Some("label")), [2, 1, 0, 0]);
        assert_eq!(counts(&result, db, "loose", None), [1, 0, 0, 0]);
        sandbox.ripcord(&["verify"]).expect_code(0);
    }
}

#[test]
fn conflicts_are_kept_in_the_schema_of_the_version_table() {
    let db = TestDatabase::postgres();
    let made =
        "CREATE SCHEMA \"Odd Schema\"; CREATE TABLE \"Odd Schema\".t (id INTEGER PRIMARY KEY, v TEXT);";
    let filled = "INSERT INTO \"Odd Schema\".t VALUES (1, 'one'), (2, 'two');";
    let sandbox = project(&db, made, filled, "UPDATE \"Odd Schema\".t SET v = NULL;", "SELECT 1;");
    upgrade(&sandbox);
    db.execute("UPDATE \"Odd Schema\".t SET v = 'mine' WHERE id = 1;");
    let side = side_table(&downgrade(&sandbox));
    assert!(side.starts_with("public.ripcord_conflicts_"), "{side}");
    assert_eq!(db.query(&format!("SELECT ours, theirs FROM {side};")), "one|mine");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn rows_of_a_table_without_columns_are_counted_and_left_to_a_person() {
    let db = TestDatabase::postgres();
    let made = "CREATE TABLE bare ();";
    let filled = "INSERT INTO bare DEFAULT VALUES; INSERT INTO bare DEFAULT VALUES;";
    let sandbox = project(&db, made, filled, "DROP TABLE bare;", made);
    upgrade(&sandbox);
    let run = accepting(&sandbox, &["downgrade"]);
    let told = "skipped    public.bare, rows: it has no columns now; put 2 rows back by hand: \
                INSERT INTO \"public\".\"bare\" DEFAULT VALUES";
    run.expect_code(0).stdout_has(told);
}
