//! Tables whose definition or history makes a merge hard: no key, columns that follow, circles, places that were swapped.

use super::*;

const THIRD: &str = "aaaa00000003";

both_engines! {
    fn rows_without_a_key_whose_column_was_emptied_come_back_once(db: &TestDatabase) {
        let made = "CREATE TABLE t (a VARCHAR(5), n INTEGER, j VARCHAR(5));";
        let filled = "INSERT INTO t VALUES ('a', 1, 'ja'), ('b', 2, 'jb'), ('c', 3, 'jc');";
        let dropped = ("DELETE FROM t WHERE a = 'c'; ALTER TABLE t DROP COLUMN j;", "ALTER TABLE t ADD COLUMN j VARCHAR(5);");
        let blanked = ("DELETE FROM t WHERE a = 'c'; UPDATE t SET j = NULL;", "SELECT 1;");
        for (minute, (up, down)) in [(0, dropped), (10, blanked)] {
            db.execute("DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS alembic_version; DROP TABLE IF EXISTS ripcord_revision;");
            let sandbox = project(db, made, filled, up, down);
            at(&sandbox, minute);
            upgrade(&sandbox);
            at(&sandbox, minute + 1);
            let result = downgrade(&sandbox);
            assert_eq!(db.query("SELECT * FROM t ORDER BY a;"), "a|1|ja\nb|2|jb\nc|3|jc", "{up}");
            assert_eq!((counts(&result, db, "t", None), result["merge"]["conflict_count"].as_u64()), ([1, 0, 0, 0], Some(0)));
            sandbox.ripcord(&["verify"]).expect_code(0);
        }
    }

    fn a_row_without_a_key_beside_which_one_is_alike_is_a_conflict(db: &TestDatabase) {
        let made = "CREATE TABLE t (a VARCHAR(5), n INTEGER, j VARCHAR(5));";
        let sandbox = project(db, made, "INSERT INTO t VALUES ('a', 1, 'ja'), ('b', 2, 'jb'), ('c', 3, 'jc');",
            "DELETE FROM t WHERE a = 'c'; ALTER TABLE t DROP COLUMN j;", "ALTER TABLE t ADD COLUMN j VARCHAR(5);");
        upgrade(&sandbox);
        db.execute("INSERT INTO t VALUES ('c', 3);");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "t", None), [0, 0, 0, 1]);
        assert_eq!(db.query("SELECT a, n FROM t ORDER BY a;"), "a|1\nb|2\nc|3");
    }

    fn one_downgrade_over_two_upgrades_merges_the_newer_one_first(db: &TestDatabase) {
        let made = "CREATE TABLE t (id INTEGER PRIMARY KEY, a VARCHAR(9));";
        let sandbox = project(db, made, "INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three');", "UPDATE t SET a = NULL WHERE id < 3;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO t VALUES (4, 'four');");
        sandbox.revision(THIRD, &[SECOND], "UPDATE t SET a = 'x'; DELETE FROM t WHERE id = 3;", "UPDATE t SET a = NULL;");
        at(&sandbox, 1);
        upgrade(&sandbox);
        db.execute("INSERT INTO t VALUES (5, 'five');");
        at(&sandbox, 2);
        let run = accepting(&sandbox, &["downgrade", FIRST, "--format", "json"]);
        run.expect_code(0);
        assert_eq!(db.query("SELECT * FROM t ORDER BY id;"), "1|one\n2|two\n3|three\n4|four\n5|");
        assert_eq!(report(&run)["result"]["merge"]["from"].as_array().map(Vec::len), Some(2));
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn columns_that_are_computed_from_a_merged_one_are_no_alarm(db: &TestDatabase) {
        let made = "CREATE TABLE price (id INTEGER PRIMARY KEY, net INTEGER, gross INTEGER GENERATED ALWAYS AS (net * 2) STORED);";
        let sandbox = project(db, made, "INSERT INTO price (id, net) VALUES (1, 10), (2, 20);", "UPDATE price SET net = NULL;", "SELECT 1;");
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "price", Some("net")), [2, 0, 0, 0]);
        assert_eq!(db.query("SELECT * FROM price ORDER BY id;"), "1|10|20\n2|20|40");
    }

    fn a_foreign_key_that_follows_a_merged_value_is_no_alarm(db: &TestDatabase) {
        let made = "CREATE TABLE kind (id INTEGER PRIMARY KEY, code VARCHAR(5) NOT NULL UNIQUE);
CREATE TABLE item (id INTEGER PRIMARY KEY, code VARCHAR(5) REFERENCES kind (code) ON UPDATE CASCADE);";
        let filled = "INSERT INTO kind VALUES (1, 'a'), (2, 'b'); INSERT INTO item VALUES (10, 'a'), (11, 'b'), (12, NULL);";
        let sandbox = project(db, made, filled, "UPDATE kind SET code = 'x' || id; UPDATE item SET code = (SELECT code FROM kind WHERE kind.id = item.id - 9) WHERE id < 12;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO item VALUES (13, 'x2');");
        downgrade(&sandbox);
        assert_eq!(db.query("SELECT code FROM kind ORDER BY id; SELECT code FROM item ORDER BY id;"), "a\nb\na\nb\n\nb");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn triggers_that_did_not_fire_are_named(db: &TestDatabase) {
        let made = "CREATE TABLE person (id INTEGER PRIMARY KEY, phone VARCHAR(20)); CREATE TABLE heard (what VARCHAR(20));";
        let sandbox = project(db, made, "INSERT INTO person VALUES (1, '11');", "UPDATE person SET phone = NULL;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute(match db.backend() {
            Backend::Sqlite => "CREATE TRIGGER told AFTER UPDATE ON person BEGIN INSERT INTO heard VALUES ('told'); END;
CREATE TRIGGER other AFTER INSERT ON person BEGIN UPDATE heard SET what = 'x'; END;",
            Backend::Postgres => "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER told AFTER UPDATE ON person FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER other AFTER INSERT ON person FOR EACH ROW EXECUTE FUNCTION tell();",
        });
        let result = downgrade(&sandbox);
        let notes = result["notes"].to_string();
        let named = format!("no trigger has fired; what these do was not done: told on {}\"", named(db, "person"));
        assert!(notes.contains(&named), "{notes}");
    }
}

#[test]
fn a_table_that_replaces_rows_loses_none_to_a_merge() {
    let db = TestDatabase::sqlite();
    let made = "CREATE TABLE t (id INTEGER PRIMARY KEY, mail TEXT UNIQUE ON CONFLICT REPLACE);";
    let sandbox = project(
        &db,
        made,
        "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c');",
        "DELETE FROM t WHERE id = 1; UPDATE t SET mail = NULL WHERE id = 2;",
        "SELECT 1;",
    );
    upgrade(&sandbox);
    db.execute("INSERT INTO t VALUES (10, 'a'), (11, 'b');");
    let result = downgrade(&sandbox);
    assert_eq!(result["merge"]["conflict_count"], 2);
    assert_eq!(db.query("SELECT * FROM t ORDER BY id;"), "2|\n3|c\n10|a\n11|b");
}

#[test]
fn rows_of_tables_that_refer_to_each_other_and_values_that_changed_places_come_back() {
    let db = TestDatabase::sqlite();
    let made = "CREATE TABLE team (id INTEGER PRIMARY KEY, head INTEGER NOT NULL REFERENCES person);
CREATE TABLE person (id INTEGER PRIMARY KEY, team INTEGER NOT NULL REFERENCES team, place INTEGER NOT NULL);
CREATE TABLE song (id INTEGER PRIMARY KEY, place INTEGER NOT NULL UNIQUE);";
    let filled = "PRAGMA foreign_keys = OFF; INSERT INTO team VALUES (1, 1), (2, 3); INSERT INTO person VALUES (1, 1, 1), (2, 1, 2), (3, 2, 3);
INSERT INTO song VALUES (1, 1), (2, 2), (3, 3);";
    let sandbox = project(
        &db,
        made,
        filled,
        "DELETE FROM person; DELETE FROM team; UPDATE song SET place = -place; UPDATE song SET place = 4 + place;",
        "SELECT 1;",
    );
    let all = "SELECT * FROM team; SELECT * FROM person; SELECT * FROM song;";
    let before = db.query(all);
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(result["merge"]["conflict_count"], 0, "{result:#}");
    assert_eq!(db.query(all), before);
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn a_row_that_does_not_fit_another_type_is_a_conflict_and_the_others_come_back() {
    let db = TestDatabase::sqlite();
    let sandbox = project(
        &db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT);",
        "INSERT INTO t VALUES (1, '007'), (2, 'x');",
        "DROP TABLE t;",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER);",
    );
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "t", None), [1, 0, 0, 1]);
    assert_eq!(db.query("SELECT * FROM t;"), "2|x");
}

#[test]
fn rows_that_an_upgrade_deletes_from_a_full_text_table_come_back_and_an_index_over_a_table_knows_its_rows() {
    let db = TestDatabase::sqlite();
    let made = "CREATE VIRTUAL TABLE page USING fts5(title, body); CREATE TABLE doc (id INTEGER PRIMARY KEY, body TEXT);
CREATE VIRTUAL TABLE doc_index USING fts5(body, content='doc', content_rowid='id');
CREATE TRIGGER doc_new AFTER INSERT ON doc BEGIN INSERT INTO doc_index (rowid, body) VALUES (new.id, new.body); END;
CREATE TRIGGER doc_gone AFTER DELETE ON doc BEGIN INSERT INTO doc_index (doc_index, rowid, body) VALUES ('delete', old.id, old.body); END;";
    let filled = "INSERT INTO page (rowid, title, body) VALUES (1, 'one', 'apples'), (5, 'five', 'pears'), (6, 'six', NULL);
INSERT INTO doc VALUES (1, 'apples'), (2, 'pears');";
    let sandbox = project(
        &db,
        made,
        filled,
        "DELETE FROM page WHERE rowid = 5; UPDATE page SET body = 'gone' WHERE rowid = 1; DELETE FROM doc WHERE id = 2;",
        "SELECT 1;",
    );
    upgrade(&sandbox);
    db.execute("INSERT INTO page (rowid, title) VALUES (9, 'nine'); DELETE FROM page WHERE rowid = 6;");
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "page", None), [1, 0, 0, 0]);
    assert_eq!(counts(&result, &db, "page", Some("body")), [1, 0, 0, 0]);
    assert_eq!(db.query("SELECT rowid, title, body FROM page;"), "1|one|apples\n5|five|pears\n9|nine|");
    assert_eq!(db.query("SELECT rowid FROM page WHERE page MATCH 'pears';"), "5");
    assert_eq!(db.query("SELECT rowid FROM doc_index WHERE doc_index MATCH 'pears';"), "2");
    assert!(result["notes"].to_string().contains("doc_new on doc"), "{result:#}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn numbers_that_a_table_gave_out_are_not_given_out_again_after_it_was_made_anew() {
    let db = TestDatabase::sqlite();
    let made = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER);";
    let filled = "INSERT INTO t (n) VALUES (1), (2), (3), (4); DELETE FROM t WHERE id > 2;";
    let sandbox = project(&db, made, filled, "DROP TABLE t;", made);
    upgrade(&sandbox);
    downgrade(&sandbox);
    assert_eq!(
        db.query("SELECT count(*), (SELECT seq FROM sqlite_sequence WHERE name = 't') FROM t;"),
        "2|4"
    );
}
