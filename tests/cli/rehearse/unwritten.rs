//! Tables of PostgreSQL that a migration wrote nothing to are not read again; what it did write to is seen all the same.

use super::*;

/// Large enough that looking whether anybody wrote to it is less work than reading it.
const LARGE: &str = "CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TABLE large (id INTEGER PRIMARY KEY, a TEXT NOT NULL, b TEXT DEFAULT 'b', c INTEGER DEFAULT 7);
INSERT INTO large (id, a) SELECT i, 'value ' || i || repeat('.', 40) FROM generate_series(1, 20000) i;
CREATE TABLE moods (id INTEGER PRIMARY KEY, mood mood, filler TEXT DEFAULT repeat('.', 60));
INSERT INTO moods SELECT i, 'glad' FROM generate_series(1, 20000) i;";

fn large(upgrade: &str, downgrade: &str) -> (TestDatabase, Sandbox) {
    let db = TestDatabase::postgres();
    let sandbox = with(&db, upgrade, downgrade);
    db.execute(LARGE);
    (db, sandbox)
}

/// What the ledger says of a change of `large` or `moods`, as text.
fn of(found: &Value, db: &TestDatabase, table: &str) -> String {
    entry(found, db, table).to_string()
}

#[test]
fn a_table_that_nobody_wrote_to_is_read_once_for_each_form_that_it_takes() {
    let db = TestDatabase::postgres_server(Postgres::start());
    let sandbox = with(
        &db,
        "ALTER TABLE large ADD COLUMN note TEXT DEFAULT 'n';",
        "ALTER TABLE large DROP COLUMN note;",
    );
    db.execute(LARGE);
    db.server().psql("postgres", "ALTER SYSTEM SET log_statement = 'all'; SELECT pg_reload_conf();");
    let found = ledger(&sandbox, &db, &[]);
    assert_eq!(found["again"], json!({ "again": "same" }), "{found:#}");
    assert_eq!(found["lost"], json!([]), "{found:#}");
    db.server().psql("postgres", "SELECT 'the end of the rehearsal'");
    let log = db.server().wait_for_log("the end of the rehearsal");
    let read = |part: &str| {
        let lines = log.lines().filter(|line| line.contains("COPY") && line.contains("TO STDOUT"));
        lines.filter(|line| line.contains(part)).count()
    };
    // Once in the database, once in what was restored, once with the new column.
    assert_eq!(read("\"large\" (\"a\", \"b\", \"c\", \"id\")"), 2, "{log}");
    assert_eq!(read("\"large\" (\"a\", \"b\", \"c\", \"id\", \"note\")"), 1, "{log}");
    assert_eq!(read("\"moods\" ("), 5, "a type that a migration can change\n{log}");
}

#[test]
fn a_value_and_a_row_of_a_large_table_that_go_are_seen() {
    let (db, sandbox) = large("UPDATE large SET a = 'other' WHERE id = 777;", "");
    let found = ledger(&sandbox, &db, &[]);
    assert!(of(&found, &db, "large").contains("transformed"), "{found:#}");
    let (db, sandbox) = large("DELETE FROM large WHERE id = 777;", "");
    let found = ledger(&sandbox, &db, &[]);
    assert_eq!(found["lost"][0]["what"], "rows", "{found:#}");
}

#[test]
fn names_that_change_places_are_seen_although_no_row_was_written() {
    let rename = |from: &str, to: &str| format!("ALTER TABLE large RENAME COLUMN {from} TO {to};\n");
    let (db, sandbox) = large(&[rename("a", "x"), rename("b", "a"), rename("x", "b")].concat(), "");
    let found = ledger(&sandbox, &db, &[]);
    let said = of(&found, &db, "large");
    assert!(!said.contains("\"a\":{\"fate\":\"kept\"}"), "{found:#}");
}

#[test]
fn a_column_that_is_dropped_and_made_again_has_lost_its_values_although_no_row_was_written() {
    let again = "ALTER TABLE large DROP COLUMN c; ALTER TABLE large ADD COLUMN c INTEGER DEFAULT 8;";
    let (db, sandbox) = large(again, "");
    let found = ledger(&sandbox, &db, &[]);
    assert!(!of(&found, &db, "large").contains("\"c\":{\"fate\":\"kept\"}"), "{found:#}");
    assert_ne!(found["lost"], json!([]), "{found:#}");
}

#[test]
fn a_label_that_is_renamed_changes_what_rows_say_although_none_was_written() {
    let (db, sandbox) = large("ALTER TYPE mood RENAME VALUE 'glad' TO 'merry';", "");
    let found = ledger(&sandbox, &db, &[]);
    assert!(of(&found, &db, "moods").contains("transformed"), "{found:#}");
}
