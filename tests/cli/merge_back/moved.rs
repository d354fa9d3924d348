//! A value belongs to its row, not to the key: where users moved rows, none of it gets into another one.

use super::*;

const RETAKEN: &str = "another row may have taken its key";

/// A project whose upgrade drops a column that its way back makes anew, upgraded.
fn dropped(db: &TestDatabase, made: &str, filled: &str, table: &str, column: &str) -> Sandbox {
    let up = format!("ALTER TABLE {table} DROP COLUMN {column};");
    let sandbox = project(db, made, filled, &up, &format!("ALTER TABLE {table} ADD COLUMN {column} TEXT;"));
    upgrade(&sandbox);
    sandbox
}

const STEPS: &str = "CREATE TABLE step (flow INT NOT NULL, pos INT NOT NULL, name TEXT UNIQUE, script TEXT, PRIMARY KEY (flow, pos));";
const FOUR_STEPS: &str = "INSERT INTO step VALUES (1, 1, 'build', 'make'), (1, 2, 'test', 'make test'), (1, 3, 'deploy', 'rsync'), (2, 1, 'lint', 'clippy');";
const ALL_STEPS: &str = "SELECT flow, pos, name, coalesce(script, '-') FROM step ORDER BY 1, 2;";

#[test]
fn a_script_does_not_come_back_to_another_step_that_moved_up() {
    let db = &TestDatabase::postgres();
    let sandbox = dropped(db, STEPS, FOUR_STEPS, "step", "script");
    db.execute("DELETE FROM step WHERE flow = 1 AND pos = 1; UPDATE step SET pos = 1 WHERE flow = 1 AND pos = 2; UPDATE step SET pos = 2 WHERE flow = 1 AND pos = 3;");
    let result = downgrade(&sandbox);
    assert_eq!(db.query(ALL_STEPS), "1|1|test|-\n1|2|deploy|-\n2|1|lint|clippy");
    assert_eq!(counts(&result, db, "step", Some("script")), [1, 0, 1, 2]);
    let kept = db.query(&format!("SELECT \"key\", ours, reason FROM {} ORDER BY 1;", side_table(&result)));
    assert_eq!(
        kept,
        format!("{{\"flow\":1,\"pos\":1}}|make|{RETAKEN}\n{{\"flow\":1,\"pos\":2}}|make test|{RETAKEN}")
    );
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn what_users_do_to_the_names_of_steps_that_stay_where_they_are_keeps_no_script_back() {
    let db = &TestDatabase::postgres();
    let sandbox = dropped(db, STEPS, FOUR_STEPS, "step", "script");
    db.execute("UPDATE step SET name = 'compile' WHERE name = 'build'; UPDATE step SET name = NULL WHERE name = 'test';
DELETE FROM step WHERE name = 'deploy'; INSERT INTO step VALUES (1, 4, 'publish'), (3, 1, 'clean');");
    assert_eq!(counts(&downgrade(&sandbox), db, "step", Some("script")), [3, 0, 1, 0]);
    assert_eq!(
        db.query(ALL_STEPS).replace("1|2||", "1|2|-|"),
        "1|1|compile|make\n1|2|-|make test\n1|4|publish|-\n2|1|lint|clippy\n3|1|clean|-"
    );
}

#[test]
fn a_name_that_is_unique_with_a_part_of_the_key_names_a_row() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE step (flow INT NOT NULL, pos INT NOT NULL, name TEXT, hint TEXT, script TEXT, PRIMARY KEY (flow, pos));
CREATE UNIQUE INDEX \"by, name\" ON step (name text_pattern_ops DESC, flow) INCLUDE (hint);";
    let filled = "INSERT INTO step VALUES (1, 1, 'build', 'a', 'make'), (1, 2, 'test', 'b', 'make test'), (2, 1, 'build', 'c', 'cargo'), (2, 2, 'test', 'd', 'nextest');";
    let sandbox = dropped(db, made, filled, "step", "script");
    // One step changes its place in the first flow; in the second their hints are rewritten.
    db.execute("UPDATE step SET pos = 3 WHERE flow = 1 AND pos = 1; UPDATE step SET pos = 1 WHERE flow = 1 AND pos = 2; UPDATE step SET hint = 'd' WHERE flow = 2;");
    assert_eq!(counts(&downgrade(&sandbox), db, "step", Some("script")), [2, 0, 1, 1]);
    assert_eq!(db.query(ALL_STEPS), "1|1|test|-\n1|3|build|-\n2|1|build|cargo\n2|2|test|nextest");
}

#[test]
fn where_nothing_is_unique_all_of_a_row_of_a_key_of_two_columns_is_its_name() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE line (ord INT NOT NULL, no INT NOT NULL, sku TEXT, qty INT, memo TEXT, PRIMARY KEY (ord, no));";
    let filled = "INSERT INTO line VALUES (1, 1, 'apple', 1, 'of apple'), (1, 2, 'bread', 2, 'of bread'), (1, 3, 'cheese', 3, 'of cheese'), (2, 1, 'dates', 5, 'of dates');";
    let up = "CREATE TABLE line2 (id SERIAL PRIMARY KEY, ord INT NOT NULL, sku TEXT, qty INT);
INSERT INTO line2 (ord, sku, qty) SELECT ord, sku, qty FROM line ORDER BY ord, no; DROP TABLE line;";
    let down = format!(
        "{made} INSERT INTO line (ord, no, sku, qty) SELECT ord, row_number() OVER (PARTITION BY ord ORDER BY id), sku, qty FROM line2; DROP TABLE line2;"
    );
    let sandbox = project(db, made, filled, up, &down);
    upgrade(&sandbox);
    db.execute("DELETE FROM line2 WHERE sku = 'apple'; INSERT INTO line2 (ord, sku, qty) VALUES (2, 'zucchini', 9); UPDATE line2 SET qty = 50 WHERE sku = 'dates';");
    assert_eq!(counts(&downgrade(&sandbox), db, "line", Some("memo")), [1, 0, 1, 2]);
    assert_eq!(
        db.query("SELECT ord, no, sku, coalesce(memo, '-') FROM line ORDER BY 1, 2;"),
        "1|1|bread|-\n1|2|cheese|-\n2|1|dates|of dates\n2|2|zucchini|-"
    );
}

#[test]
fn guests_who_change_their_seats_keep_what_they_are_to_eat() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE slot (code TEXT PRIMARY KEY, who TEXT NOT NULL UNIQUE, mood TEXT, meal TEXT);";
    let filled = "INSERT INTO slot VALUES ('A1', 'Ann', 'good', 'vegan'), ('A2', 'Bob', 'bad', 'meat'), ('A3', 'Cy', 'so', 'fish'), ('A4', 'Di', 'sad', 'soup');";
    let sandbox = dropped(db, made, filled, "slot", "meal");
    // What is not unique may be swapped in rows of a key that means something.
    db.execute(
        "DELETE FROM slot WHERE who = 'Bob'; UPDATE slot SET code = 'A2' WHERE who = 'Cy';
UPDATE slot SET mood = CASE mood WHEN 'sad' THEN 'good' ELSE 'sad' END WHERE code IN ('A1', 'A4');",
    );
    assert_eq!(counts(&downgrade(&sandbox), db, "slot", Some("meal")), [2, 0, 1, 1]);
    assert_eq!(
        db.query("SELECT code, who, coalesce(meal, '-') FROM slot ORDER BY 1;"),
        "A1|Ann|vegan\nA2|Cy|-\nA4|Di|soup"
    );
}

/// Items with numbers, which an upgrade takes and its way back gives out anew.
fn items(db: &TestDatabase) -> Sandbox {
    let made = "CREATE TABLE item (id SERIAL PRIMARY KEY, name TEXT NOT NULL, qty INT, note TEXT);";
    let filled = "INSERT INTO item (name, qty, note) VALUES ('Apple', 1, 'n-apple'), ('Bread', 2, 'n-bread'), ('Cheese', 3, 'n-cheese'), ('Dates', 4, 'n-dates');";
    let up = "CREATE TABLE stock (name TEXT PRIMARY KEY, qty INT); INSERT INTO stock SELECT name, qty FROM item; DROP TABLE item;";
    let down = format!(
        "{made} INSERT INTO item (name, qty) SELECT name, qty FROM stock ORDER BY name; DROP TABLE stock;"
    );
    let sandbox = project(db, made, filled, up, &down);
    upgrade(&sandbox);
    sandbox
}

#[test]
fn numbers_that_the_way_back_gives_out_anew_bring_no_note_to_another_item() {
    let db = &TestDatabase::postgres();
    let sandbox = items(db);
    db.execute("DELETE FROM stock WHERE name = 'Bread'; INSERT INTO stock VALUES ('Anchovy', 77);");
    assert_eq!(counts(&downgrade(&sandbox), db, "item", Some("note")), [2, 0, 0, 2]);
    assert_eq!(
        db.query("SELECT id, name, coalesce(note, '-') FROM item ORDER BY 1;"),
        "1|Anchovy|-\n2|Apple|-\n3|Cheese|n-cheese\n4|Dates|n-dates"
    );
}

#[test]
fn nor_where_nothing_of_the_old_item_is_left_under_its_number() {
    let db = &TestDatabase::postgres();
    let sandbox = items(db);
    db.execute("DELETE FROM stock WHERE name = 'Bread'; INSERT INTO stock VALUES ('Bacon', 77);");
    assert_eq!(counts(&downgrade(&sandbox), db, "item", Some("note")), [3, 0, 0, 1]);
    assert_eq!(
        db.query("SELECT id, name, coalesce(note, '-') FROM item ORDER BY 1;"),
        "1|Apple|n-apple\n2|Bacon|-\n3|Cheese|n-cheese\n4|Dates|n-dates"
    );
}

#[test]
fn a_snapshot_that_cannot_be_read_is_no_reason_not_to_merge_by_keys_of_several_columns() {
    let db = &TestDatabase::postgres();
    let sandbox = dropped(db, STEPS, FOUR_STEPS, "step", "script");
    let backup = sandbox.path("backups").join(by_hand::upgrade_backup(&sandbox));
    std::fs::remove_dir_all(backup.join("snapshot").join("dump")).expect("there is a dump");
    db.execute("UPDATE step SET name = 'compile' WHERE name = 'build';");
    assert_eq!(counts(&downgrade(&sandbox), db, "step", Some("script")), [4, 0, 0, 0]);
}

#[test]
fn links_do_not_come_back_to_tags_that_got_the_numbers_of_others() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE tag (id SERIAL PRIMARY KEY, name TEXT UNIQUE, color TEXT); CREATE TABLE pt (post INT, tag_id INT REFERENCES tag (id), PRIMARY KEY (post, tag_id));";
    let filled = "INSERT INTO tag (name, color) VALUES ('red', '#f00'), ('green', '#0f0'), ('blue', '#00f'); INSERT INTO pt VALUES (1, 1), (1, 2), (2, 3);";
    let up = "CREATE TABLE pt2 (post INT, tag TEXT, PRIMARY KEY (post, tag)); INSERT INTO pt2 SELECT post, name FROM pt JOIN tag ON tag.id = tag_id; DROP TABLE pt; DROP TABLE tag;";
    let down = "CREATE TABLE tag (id SERIAL PRIMARY KEY, name TEXT UNIQUE, color TEXT); INSERT INTO tag (name) SELECT DISTINCT tag FROM pt2 ORDER BY tag;
CREATE TABLE pt (post INT, tag_id INT REFERENCES tag (id), PRIMARY KEY (post, tag_id)); INSERT INTO pt SELECT post, tag.id FROM pt2 JOIN tag ON tag.name = pt2.tag; DROP TABLE pt2;";
    let linked = "SELECT post, name, coalesce(color, '-') FROM pt JOIN tag ON tag.id = tag_id ORDER BY 1, 2;";
    let sandbox = project(db, made, filled, up, down);
    upgrade(&sandbox);
    db.execute("DELETE FROM pt2 WHERE tag = 'red'; INSERT INTO pt2 VALUES (3, 'amber'), (3, 'blue');");
    let result = downgrade(&sandbox);
    // Each tag is known by its name, so that its color comes back whatever number it has now.
    assert_eq!(db.query(linked), "1|green|#0f0\n2|blue|#00f\n3|amber|-\n3|blue|#00f", "{result:#}");
    assert_eq!(counts(&result, db, "tag", Some("color")), [2, 0, 1, 0], "{result:#}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn seats_are_not_taken_for_guests_who_have_other_numbers_now() {
    let db = &TestDatabase::postgres();
    let made = "CREATE TABLE seat (room INT NOT NULL, no INT NOT NULL, who TEXT UNIQUE, PRIMARY KEY (room, no));
CREATE TABLE ticket (id INT PRIMARY KEY, room INT NOT NULL, no INT NOT NULL, FOREIGN KEY (room, no) REFERENCES seat (room, no));";
    let filled = "INSERT INTO seat VALUES (1, 1, 'Ann'), (1, 2, 'Bob'), (1, 3, 'Cy'), (1, 4, 'Dee'); INSERT INTO ticket VALUES (1, 1, 1), (2, 1, 2), (3, 1, 3);";
    let sandbox = project(db, made, filled, "DELETE FROM ticket;", "SELECT 1;");
    upgrade(&sandbox);
    db.execute("UPDATE seat SET who = NULL; UPDATE seat SET who = 'Bob' WHERE no = 1; UPDATE seat SET who = 'Ann' WHERE no = 2; UPDATE seat SET who = 'Cyrus' WHERE no = 3; UPDATE seat SET who = 'Dee' WHERE no = 4;");
    assert_eq!(counts(&downgrade(&sandbox), db, "ticket", None), [1, 0, 0, 2]);
    assert_eq!(db.query("SELECT id FROM ticket;"), "3");
}

#[test]
fn rows_that_were_moved_into_a_table_that_inherits_do_not_come_back_beside_themselves() {
    let db = &TestDatabase::postgres();
    let filled = "INSERT INTO ev VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd');";
    let up = "CREATE TABLE IF NOT EXISTS ev_new (CHECK (id > 2)) INHERITS (ev); WITH d AS (DELETE FROM ONLY ev WHERE id > 2 RETURNING *) INSERT INTO ev_new SELECT * FROM d;";
    let sandbox = project(db, "CREATE TABLE ev (id INT PRIMARY KEY, v TEXT);", filled, up, "SELECT 1;");
    upgrade(&sandbox);
    db.execute("UPDATE ev SET v = 'mine' WHERE id = 3;");
    downgrade(&sandbox);
    assert_eq!(db.query("SELECT id, v FROM ev ORDER BY 1;"), "1|a\n2|b\n3|mine\n4|d");
    sandbox.ripcord(&["verify"]).expect_code(0);
}
