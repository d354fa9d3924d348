//! Keys in which the case of letters makes no difference are found as the table itself finds them.

use super::*;

/// A table with a key whose type makes no difference between upper and lower case; none on a server that has no such type.
fn goods(db: &TestDatabase) -> Option<String> {
    let caseless = match db.backend() {
        Backend::Sqlite => "TEXT COLLATE NOCASE",
        Backend::Postgres if !has_extension(db, "citext") => return None,
        Backend::Postgres => {
            db.server().psql("app", "CREATE EXTENSION IF NOT EXISTS citext;");
            "citext"
        }
    };
    Some(format!("CREATE TABLE good (code {caseless} NOT NULL PRIMARY KEY, note VARCHAR(20));"))
}

const THREE: &str = "INSERT INTO good VALUES ('ABC', 'one'), ('Def', 'two'), ('ghi', 'three');";

both_engines! {
    fn a_row_whose_key_was_spelled_otherwise_since_is_found_all_the_same(db: &TestDatabase) {
        let Some(made) = goods(db) else { return };
        let (drops, adds) = ("ALTER TABLE good DROP COLUMN note;", "ALTER TABLE good ADD COLUMN note VARCHAR(20);");
        let sandbox = project(db, &made, THREE, drops, adds);
        upgrade(&sandbox);
        db.execute("UPDATE good SET code = lower(code);");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "good", Some("note")), [3, 0, 0, 0]);
        assert_eq!(db.query("SELECT code, note FROM good ORDER BY code;"), "abc|one\ndef|two\nghi|three");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn a_row_whose_key_the_migration_spelled_otherwise_is_a_conflict_that_shows_what_is_there(db: &TestDatabase) {
        let Some(made) = goods(db) else { return };
        let up = "UPDATE good SET code = lower(code), note = NULL;";
        let sandbox = project(db, &made, THREE, up, "SELECT 1;");
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "good", None), [0, 0, 0, 2]);
        assert_eq!(counts(&result, db, "good", Some("note")), [1, 0, 0, 0]);
        let side = side_table(&result);
        let kept = db.query(&format!("SELECT ours, theirs FROM {side} ORDER BY ours;"));
        assert_eq!(
            kept,
            r#"{"code":"ABC","note":"one"}|{"code":"abc","note":null}
{"code":"Def","note":"two"}|{"code":"def","note":null}"#
        );
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn rows_of_which_nothing_says_which_is_which_are_conflicts_that_are_listed(db: &TestDatabase) {
        let made = "CREATE TABLE good (code VARCHAR(9), note VARCHAR(20));";
        let sandbox = project(db, made, THREE, "UPDATE good SET code = lower(code), note = NULL;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO good VALUES ('new', 'x');");
        let run = accepting(&sandbox, &["downgrade", "--format", "json"]);
        run.expect_code(0);
        let result = report(&run)["result"].clone();
        assert_eq!(counts(&result, db, "good", Some("note")), [0, 0, 0, 3]);
        assert_eq!(counts(&result, db, "good", Some("code")), [0, 0, 0, 3]);
        let side = side_table(&result);
        // What was salvaged of a row stands together.
        let kept = db.query(&format!("SELECT \"key\", ours FROM {side} WHERE \"column\" = 'note' ORDER BY ours;"));
        assert_eq!(
            kept,
            r#"{"code":"ABC","note":"one"}|one
{"code":"ghi","note":"three"}|three
{"code":"Def","note":"two"}|two"#
        );
        assert_eq!(db.query("SELECT code, coalesce(note, '-') FROM good ORDER BY code;"), "abc|-\ndef|-\nghi|-\nnew|x");
    }
}

#[test]
fn a_key_that_tells_cases_apart_is_found_by_its_bytes_whatever_the_collation_of_its_column() {
    let db = &TestDatabase::sqlite();
    let made = "CREATE TABLE good (code TEXT COLLATE NOCASE NOT NULL, note TEXT); CREATE UNIQUE INDEX good_code ON good (code COLLATE BINARY);";
    let (drops, adds) =
        ("ALTER TABLE good DROP COLUMN note;", "ALTER TABLE good ADD COLUMN note VARCHAR(20);");
    let sandbox =
        project(db, made, "INSERT INTO good VALUES ('a', 'small'), ('A', 'big'), ('b', 'two');", drops, adds);
    upgrade(&sandbox);
    db.execute("DELETE FROM good WHERE code = 'b' COLLATE BINARY; INSERT INTO good VALUES ('B');");
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, db, "good", Some("note")), [2, 0, 1, 0]);
    assert_eq!(
        db.query("SELECT code, coalesce(note, '-') FROM good ORDER BY code COLLATE BINARY;"),
        "A|big\nB|-\na|small"
    );
}
