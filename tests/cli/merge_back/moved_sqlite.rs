//! A value belongs to a row, not to its key: where rows changed their keys since, it does not come to the one that has the key now.

use super::*;

const RETAKEN: &str = "another row may have taken its key";
const STEP: &str = "CREATE TABLE step (flow INT NOT NULL, pos INT NOT NULL, name TEXT UNIQUE, script TEXT, PRIMARY KEY (flow, pos));";
const STEPS: &str = "INSERT INTO step VALUES (1, 1, 'build', 'make'), (1, 2, 'test', 'make test'), (1, 3, 'deploy', 'rsync'), (2, 1, 'lint', 'clippy');";
const NO_SCRIPT: &str = "ALTER TABLE step DROP COLUMN script;";
const SCRIPT: &str = "ALTER TABLE step ADD COLUMN script TEXT;";
const SHOWN: &str = "SELECT name, coalesce(script, '-') FROM step ORDER BY flow, pos;";

fn upgraded(db: &TestDatabase, made: &str, filled: &str, up: &str, down: &str) -> Sandbox {
    let sandbox = project(db, made, filled, up, down);
    upgrade(&sandbox);
    sandbox
}

fn steps(db: &TestDatabase, made: &str) -> Sandbox {
    upgraded(db, made, STEPS, NO_SCRIPT, SCRIPT)
}

#[test]
fn rows_that_moved_up_in_a_list_do_not_get_the_values_of_those_before_them() {
    // By the name alone, by the name within the list, and by all that was kept.
    let within = STEP
        .replace("name TEXT UNIQUE", "name TEXT")
        .replace("PRIMARY KEY", "UNIQUE (flow, name), PRIMARY KEY");
    for made in [STEP.to_string(), within, STEP.replace(" UNIQUE", "")] {
        let db = &TestDatabase::sqlite();
        let sandbox = steps(db, &made);
        db.execute(
            "DELETE FROM step WHERE flow = 1 AND pos = 1; UPDATE step SET pos = pos - 1 WHERE flow = 1;",
        );
        let result = downgrade(&sandbox);
        assert_eq!(db.query(SHOWN), "test|-\ndeploy|-\nlint|clippy", "{made}: {result:#}");
        assert_eq!(counts(&result, db, "step", Some("script")), [1, 0, 1, 2], "{made}");
        assert!(result["merge"]["conflicts"].to_string().contains(RETAKEN), "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }
}

#[test]
fn a_row_that_took_the_natural_key_of_another_one_does_not_get_its_value() {
    let db = &TestDatabase::sqlite();
    let made = "CREATE TABLE slot (code TEXT NOT NULL PRIMARY KEY, who TEXT NOT NULL UNIQUE, meal TEXT);";
    let filled =
        "INSERT INTO slot VALUES ('A1', 'Ann', 'vegan'), ('A2', 'Bob', 'meat'), ('A3', 'Cy', 'fish');";
    let sandbox = upgraded(
        db,
        made,
        filled,
        "ALTER TABLE slot DROP COLUMN meal;",
        "ALTER TABLE slot ADD COLUMN meal TEXT;",
    );
    db.execute("DELETE FROM slot WHERE who = 'Bob'; UPDATE slot SET code = 'A2' WHERE who = 'Cy';");
    let result = downgrade(&sandbox);
    assert_eq!(
        db.query("SELECT code, who, coalesce(meal, '-') FROM slot ORDER BY code;"),
        "A1|Ann|vegan\nA2|Cy|-"
    );
    assert_eq!(counts(&result, db, "slot", Some("meal")), [1, 0, 1, 1]);
}

#[test]
fn numbers_that_the_way_back_counts_anew_are_not_those_of_then() {
    let db = &TestDatabase::sqlite();
    let made = "CREATE TABLE line (ord INT NOT NULL, no INT NOT NULL, sku TEXT, qty INT, memo TEXT, PRIMARY KEY (ord, no));";
    let filled = "INSERT INTO line VALUES (1, 1, 'apple', 1, 'a'), (1, 2, 'bread', 2, 'b'), (1, 3, 'cheese', 3, 'c'), (2, 1, 'dates', 5, 'd');";
    let up = "CREATE TABLE flat (id INTEGER PRIMARY KEY, ord INT, sku TEXT, qty INT);
INSERT INTO flat (ord, sku, qty) SELECT ord, sku, qty FROM line ORDER BY ord, no;
DROP TABLE line;";
    let down = format!(
        "{made} INSERT INTO line (ord, no, sku, qty) SELECT ord, row_number() OVER (PARTITION BY ord ORDER BY id), sku, qty FROM flat;
DROP TABLE flat;"
    );
    let sandbox = upgraded(db, made, filled, up, &down);
    db.execute(
        "DELETE FROM flat WHERE sku = 'apple'; INSERT INTO flat (ord, sku, qty) VALUES (2, 'zucchini', 9);",
    );
    let result = downgrade(&sandbox);
    assert_eq!(
        db.query("SELECT sku, coalesce(memo, '-') FROM line ORDER BY ord, no;"),
        "bread|-\ncheese|-\ndates|d\nzucchini|-",
        "{result:#}"
    );
}

const ITEM: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, qty INT, note TEXT);";
const ITEMS: &str = "INSERT INTO item VALUES (1, 'Apple', 1, 'a'), (2, 'Bread', 2, 'b'), (3, 'Cheese', 3, 'c'), (4, 'Dates', 4, 'd');";

fn items(db: &TestDatabase) -> Sandbox {
    let up = "CREATE TABLE stock (name TEXT NOT NULL PRIMARY KEY, qty INT); INSERT INTO stock SELECT name, qty FROM item; DROP TABLE item;";
    let down = format!(
        "{ITEM} INSERT INTO item (name, qty) SELECT name, qty FROM stock ORDER BY name; DROP TABLE stock;"
    );
    upgraded(db, ITEM, ITEMS, up, &down)
}

#[test]
fn an_id_that_the_way_back_gives_out_anew_is_of_another_row_where_names_say_so() {
    let db = &TestDatabase::sqlite();
    let sandbox = items(db);
    db.execute("DELETE FROM stock WHERE name = 'Bread'; INSERT INTO stock VALUES ('Anchovy', 77);");
    let result = downgrade(&sandbox);
    assert_eq!(
        db.query("SELECT name, coalesce(note, '-') FROM item ORDER BY id;"),
        "Anchovy|-\nApple|-\nCheese|c\nDates|d",
        "{result:#}"
    );
}

#[test]
fn nor_does_an_id_that_the_way_back_gives_out_anew_keep_its_value_where_nothing_of_its_row_is_left() {
    let db = &TestDatabase::sqlite();
    let sandbox = items(db);
    db.execute("DELETE FROM stock WHERE name = 'Bread'; INSERT INTO stock VALUES ('Bacon', 77);");
    let result = downgrade(&sandbox);
    assert_eq!(
        db.query("SELECT name, coalesce(note, '-') FROM item ORDER BY id;"),
        "Apple|a\nBacon|-\nCheese|c\nDates|d",
        "{result:#}"
    );
}

#[test]
fn a_value_is_not_put_into_a_row_whose_unique_name_is_another_rows() {
    let db = &TestDatabase::sqlite();
    let made = "CREATE TABLE tag (id INTEGER PRIMARY KEY, name TEXT UNIQUE, color TEXT);";
    let filled = "INSERT INTO tag VALUES (1, 'red', '#f00'), (2, 'green', '#0f0'), (3, 'blue', '#00f');";
    let down = format!("{made} INSERT INTO tag (name) SELECT name FROM word ORDER BY name; DROP TABLE word;");
    let sandbox = upgraded(
        db,
        made,
        filled,
        "CREATE TABLE word (name TEXT PRIMARY KEY); INSERT INTO word SELECT name FROM tag; DROP TABLE tag;",
        &down,
    );
    db.execute("DELETE FROM word WHERE name = 'red'; INSERT INTO word VALUES ('amber');");
    let result = downgrade(&sandbox);
    assert_eq!(
        db.query("SELECT name, coalesce(color, '-') FROM tag ORDER BY id;"),
        // Each is known by its name.
        "amber|-\nblue|#00f\ngreen|#0f0",
        "{result:#}"
    );
}

#[test]
fn what_refers_to_a_key_that_another_row_has_does_not_come_back() {
    let db = &TestDatabase::sqlite();
    let made = format!(
        "{STEP} CREATE TABLE run (id INTEGER PRIMARY KEY, flow INT, pos INT, FOREIGN KEY (flow, pos) REFERENCES step (flow, pos));
CREATE TABLE hold (id INTEGER PRIMARY KEY, flow INT, pos INT, FOREIGN KEY (flow, pos) REFERENCES step (flow, pos));"
    );
    let filled = format!(
        "{STEPS} INSERT INTO run VALUES (1, 1, 1), (2, 2, 1); INSERT INTO hold VALUES (1, 1, 2), (2, 2, 1);"
    );
    let up = format!("{NO_SCRIPT} DELETE FROM run; UPDATE hold SET flow = NULL, pos = NULL;");
    let sandbox = upgraded(db, &made, &filled, &up, SCRIPT);
    db.execute("DELETE FROM step WHERE flow = 1 AND pos = 1; UPDATE step SET pos = pos - 1 WHERE flow = 1;");
    let result = downgrade(&sandbox);
    assert_eq!(db.query("SELECT id, flow, pos FROM run;"), "2|2|1", "{result:#}");
    assert_eq!(
        db.query("SELECT id, coalesce(flow, '-'), coalesce(pos, '-') FROM hold ORDER BY id;"),
        "1|-|-\n2|2|1",
        "{result:#}"
    );
}

#[test]
fn rows_that_were_edited_inserted_or_deleted_get_what_is_theirs() {
    let db = &TestDatabase::sqlite();
    let sandbox = steps(db, STEP);
    db.execute(
        "UPDATE step SET name = 'compile' WHERE flow = 1 AND pos = 1; UPDATE step SET name = NULL WHERE flow = 1 AND pos = 2;
DELETE FROM step WHERE flow = 2; INSERT INTO step VALUES (1, 4, 'new'), (2, 2, 'lint');",
    );
    let result = downgrade(&sandbox);
    assert_eq!(db.query(SHOWN), "compile|make\n|make test\ndeploy|rsync\nnew|-\nlint|-", "{result:#}");
    assert_eq!(counts(&result, db, "step", Some("script")), [3, 0, 1, 0]);
}

#[test]
fn values_that_changed_places_in_a_table_of_a_natural_key_say_nothing() {
    let db = &TestDatabase::sqlite();
    let made = "CREATE TABLE seat (code TEXT NOT NULL PRIMARY KEY, colour TEXT, size TEXT, meal TEXT);";
    let filled =
        "INSERT INTO seat VALUES ('a', 'red', 'S', '1'), ('b', 'blue', 'L', '2'), ('c', 'pink', 'M', '3');";
    let sandbox = upgraded(
        db,
        made,
        filled,
        "ALTER TABLE seat DROP COLUMN meal;",
        "ALTER TABLE seat ADD COLUMN meal TEXT;",
    );
    db.execute("UPDATE seat SET colour = CASE code WHEN 'a' THEN 'blue' ELSE 'red' END, size = CASE code WHEN 'a' THEN 'L' ELSE 'S' END WHERE code < 'c';");
    assert_eq!(counts(&downgrade(&sandbox), db, "seat", Some("meal")), [3, 0, 0, 0]);
}

#[test]
fn an_id_that_the_way_back_gives_out_anew_keeps_its_value_where_its_row_was_edited() {
    let db = &TestDatabase::sqlite();
    let sandbox = items(db);
    db.execute("UPDATE stock SET name = 'Bagel' WHERE name = 'Bread'; UPDATE stock SET qty = 40 WHERE name = 'Dates'; INSERT INTO stock VALUES ('Eggs', 3);");
    let result = downgrade(&sandbox);
    assert_eq!(
        db.query("SELECT name, coalesce(note, '-') FROM item ORDER BY id;"),
        "Apple|a\nBagel|b\nCheese|c\nDates|d\nEggs|-",
        "{result:#}"
    );
}

#[test]
fn many_keys_come_back_where_what_refers_to_them_has_no_index_and_none_stays() {
    let made = "CREATE TABLE owner (id INTEGER PRIMARY KEY, mail TEXT NOT NULL);
CREATE TABLE thing (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owner (id));";
    let filled = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 600)
INSERT INTO owner SELECT 5000 + n, printf('m%05d', n) FROM n;
INSERT INTO thing SELECT id, id FROM owner;";
    let up = "CREATE TABLE o2 (id TEXT NOT NULL PRIMARY KEY, mail TEXT NOT NULL); INSERT INTO o2 SELECT 'o' || mail, mail FROM owner;
CREATE TABLE t2 (id INTEGER PRIMARY KEY, owner TEXT REFERENCES o2 (id)); INSERT INTO t2 SELECT t.id, 'o' || o.mail FROM thing t JOIN owner o ON o.id = t.owner;
DROP TABLE thing; DROP TABLE owner; ALTER TABLE o2 RENAME TO owner; ALTER TABLE t2 RENAME TO thing;";
    let down = "CREATE TABLE o2 (id INTEGER PRIMARY KEY, mail TEXT NOT NULL); INSERT INTO o2 SELECT row_number() OVER (ORDER BY mail), mail FROM owner;
CREATE TABLE t2 (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES o2 (id)); INSERT INTO t2 SELECT t.id, n.id FROM thing t JOIN owner o ON o.id = t.owner JOIN (SELECT row_number() OVER (ORDER BY mail) AS id, mail FROM owner) n ON n.mail = o.mail;
DROP TABLE thing; DROP TABLE owner; ALTER TABLE o2 RENAME TO owner; ALTER TABLE t2 RENAME TO thing;";
    let db = &TestDatabase::sqlite();
    let sandbox = upgraded(db, made, filled, up, down);
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, db, "owner", Some("id")), [600, 0, 0, 0], "{result:#}");
    assert_eq!(db.query("SELECT count(*) FROM thing WHERE id = owner;"), "600");
    assert_eq!(db.query("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'ripcord_refers%';"), "0");
    sandbox.ripcord(&["verify"]).expect_code(0);
}
