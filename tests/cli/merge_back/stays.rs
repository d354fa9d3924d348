//! Foreign keys that neither the upgrade nor its way back touched: they hold the numbers of then, which are right again as soon
//! as the keys are back, and lead to another row if they follow.

use super::*;

const MADE: &str = "CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent (id) HOW, note VARCHAR(20));";
const FILLED: &str = "INSERT INTO parent VALUES (2, 'zoe'), (5, 'yan'), (1, 'ann');
INSERT INTO child VALUES (10, 2, 'of zoe'), (20, 1, 'of ann');";

/// Takes the numbers of the parents away; the children keep theirs, without the foreign key.
const UP: &str = "CREATE TABLE c2 (id INTEGER PRIMARY KEY, parent_id INTEGER, note VARCHAR(20));
INSERT INTO c2 SELECT * FROM child; DROP TABLE child; ALTER TABLE c2 RENAME TO child;
CREATE TABLE p2 (name VARCHAR(20) PRIMARY KEY NOT NULL); INSERT INTO p2 SELECT name FROM parent;
DROP TABLE parent; ALTER TABLE p2 RENAME TO parent;";

/// Numbers the parents anew by their names, and gives the foreign key back.
const DOWN: &str = "CREATE TABLE p2 (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE);
INSERT INTO p2 SELECT row_number() OVER (ORDER BY name), name FROM parent; DROP TABLE parent; ALTER TABLE p2 RENAME TO parent;
CREATE TABLE c2 (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent (id) HOW, note VARCHAR(20));
INSERT INTO c2 SELECT * FROM child; DROP TABLE child; ALTER TABLE c2 RENAME TO child;";

/// The project, whatever the foreign key does when a key changes.
fn families(db: &TestDatabase, how: &str, filled: &str, down: &str) -> Sandbox {
    project(db, &MADE.replace("HOW", how), filled, UP, &down.replace("HOW", how))
}

const BY_NAME: &str =
    "SELECT c.id, c.parent_id, p.name FROM child c LEFT JOIN parent p ON p.id = c.parent_id ORDER BY c.id;";
const PARENTS: &str = "SELECT id, name FROM parent ORDER BY id;";

both_engines! {
    fn a_child_that_nobody_touched_stays_with_its_parent(db: &TestDatabase) {
        for how in ["", "ON UPDATE CASCADE", "ON UPDATE SET NULL", "ON UPDATE RESTRICT"] {
            let db = &match db.backend() {
                Backend::Sqlite => TestDatabase::sqlite(),
                Backend::Postgres => TestDatabase::postgres(),
            };
            let sandbox = families(db, how, FILLED, DOWN);
            upgrade(&sandbox);
            let result = downgrade(&sandbox);
            assert_eq!(db.query(PARENTS), "1|ann\n2|zoe\n5|yan", "{how}: {result:#}");
            assert_eq!(db.query(BY_NAME), "10|2|zoe\n20|1|ann", "{how}: {result:#}");
            let notes = result["notes"].to_string();
            assert!(!notes.contains("followed the keys"), "{how}: {notes}");
            sandbox.ripcord(&["verify"]).expect_code(0);
        }
    }

    fn children_written_while_their_parents_had_no_numbers_hold_those_of_then(db: &TestDatabase) {
        let sandbox = families(db, "", FILLED, DOWN);
        upgrade(&sandbox);
        db.execute("INSERT INTO child VALUES (30, 2, 'new of zoe'), (40, NULL, 'of nobody'); UPDATE child SET parent_id = 2 WHERE id = 20;");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(PARENTS), "1|ann\n2|zoe\n5|yan", "{result:#}");
        assert_eq!(db.query(BY_NAME), "10|2|zoe\n20|2|zoe\n30|2|zoe\n40||", "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn a_child_that_the_way_back_remade_follows_beside_one_that_stays(db: &TestDatabase) {
        let more = "CREATE TABLE pet (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES parent (id));";
        let up = "CREATE TABLE t2 (id INTEGER PRIMARY KEY, owner VARCHAR(20));
INSERT INTO t2 SELECT t.id, p.name FROM pet t JOIN parent p ON p.id = t.owner; DROP TABLE pet; ALTER TABLE t2 RENAME TO pet;";
        let down = "CREATE TABLE t2 (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES parent (id));
INSERT INTO t2 SELECT t.id, p.id FROM pet t JOIN parent p ON p.name = t.owner; DROP TABLE pet; ALTER TABLE t2 RENAME TO pet;";
        let plain = |text: &str| text.replace("HOW", "");
        let sandbox = project(db, &format!("{}\n{more}", plain(MADE)), &format!("{FILLED} INSERT INTO pet VALUES (1, 2), (2, 5);"),
            &format!("{up}\n{UP}"), &format!("{}\n{down}", plain(DOWN)));
        upgrade(&sandbox);
        db.execute("INSERT INTO pet VALUES (3, 'yan');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(BY_NAME), "10|2|zoe\n20|1|ann", "{result:#}");
        assert_eq!(db.query("SELECT id, owner FROM pet ORDER BY id;"), "1|2\n2|5\n3|5", "{result:#}");
        let notes = result["notes"].to_string();
        let pet = named(db, "pet");
        assert!(notes.contains(&format!("owner of {pet} followed the keys that were put back: 3 rows")), "{notes}");
        assert!(!notes.contains("parent_id"), "{notes}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn rows_that_refer_to_their_own_table_stay_with_the_numbers_of_then(db: &TestDatabase) {
        let table = |name: &str, refers: &str| {
            format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY, boss INTEGER {refers}, name VARCHAR(20) NOT NULL UNIQUE);")
        };
        let filled = "INSERT INTO staff VALUES (2, NULL, 'zoe'), (5, 2, 'yan'), (1, 2, 'ann');";
        let up = "CREATE TABLE s2 (name VARCHAR(20) PRIMARY KEY NOT NULL, boss INTEGER); INSERT INTO s2 SELECT name, boss FROM staff;
DROP TABLE staff; ALTER TABLE s2 RENAME TO staff;";
        let down = format!("{}
INSERT INTO s2 SELECT row_number() OVER (ORDER BY name), boss, name FROM staff; DROP TABLE staff; ALTER TABLE s2 RENAME TO staff;",
            table("s2", "REFERENCES s2 (id)"));
        let sandbox = project(db, &table("staff", "REFERENCES staff (id)"), filled, up, &down);
        let rows = "SELECT id, boss, name FROM staff ORDER BY id;";
        upgrade(&sandbox);
        db.execute("INSERT INTO staff VALUES ('zzz', 2);");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(rows), "1|2|ann\n2||zoe\n4|2|zzz\n5|2|yan", "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn a_foreign_key_that_carried_its_rows_along_all_the_time_comes_back_with_its_keys(db: &TestDatabase) {
        let up = "UPDATE parent SET id = id + 1000;";
        let down = "UPDATE parent SET id = (SELECT count(*) FROM parent p WHERE p.name <= parent.name);";
        // SQLite runs a revision without foreign keys, so that it has to carry them along itself.
        let (own_up, own_down) = match db.backend() {
            Backend::Postgres => ("", ""),
            Backend::Sqlite => ("UPDATE child SET parent_id = parent_id + 1000;",
                "UPDATE child SET parent_id = (SELECT count(*) FROM parent p JOIN parent o ON p.name <= o.name WHERE o.id = parent_id);"),
        };
        let (up, down) = (&format!("{own_up} {up}"), &format!("{own_down} {down}"));
        let made = MADE.replace("HOW", "ON UPDATE CASCADE");
        let sandbox = project(db, &made, FILLED, up, down);
        upgrade(&sandbox);
        db.execute("INSERT INTO child VALUES (30, 1005, 'new of yan');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(PARENTS), "1|ann\n2|zoe\n5|yan", "{result:#}");
        assert_eq!(db.query(BY_NAME), "10|2|zoe\n20|1|ann\n30|5|yan", "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn of_children_written_after_the_way_back_nobody_knows_which_numbers_they_hold(db: &TestDatabase) {
        for how in ["", "ON UPDATE CASCADE"] {
            let db = &match db.backend() {
                Backend::Sqlite => TestDatabase::sqlite(),
                Backend::Postgres => TestDatabase::postgres(),
            };
            let sandbox = families(db, how, FILLED, DOWN);
            upgrade(&sandbox);
            let run = accepting(&sandbox, &["downgrade", "--no-merge"]);
            let note = run.stdout.lines().find(|line| line.contains("ripcord backup merge-back ")).expect("the command");
            let words: Vec<&str> = note.split("ripcord ").last().expect("words").split_whitespace().take(3).collect();
            db.execute("INSERT INTO child VALUES (30, 2, 'new of yan');");
            let merge = sandbox.ripcord(&words);
            merge.expect_code(0).stdout_has("2 in conflict");
            assert_eq!(db.query("SELECT p.name FROM child c JOIN parent p ON p.id = c.parent_id WHERE c.id = 30;"), "yan", "{how}");
            assert_eq!(db.query(PARENTS), "1|ann\n2|yan\n3|zoe", "{how}");
            // What is known to be of zoe is led to her again.
            assert_eq!(db.query(BY_NAME), "10|3|zoe\n20|1|ann\n30|2|yan", "{how}");
            sandbox.ripcord(&["verify"]).expect_code(0);
        }
    }

    fn a_child_whose_parent_was_deleted_since_is_not_led_to_another_one(db: &TestDatabase) {
        for how in ["", "ON UPDATE CASCADE"] {
            let db = &match db.backend() {
                Backend::Sqlite => TestDatabase::sqlite(),
                Backend::Postgres => TestDatabase::postgres(),
            };
            let sandbox = families(db, how, FILLED, DOWN);
            upgrade(&sandbox);
            db.execute("DELETE FROM parent WHERE name = 'zoe';");
            let result = downgrade(&sandbox);
            // The way back has numbered yan 2, and its foreign key takes child 10 for his.
            assert_eq!(db.query(BY_NAME), "10|2|yan\n20|1|ann", "{how}: {result:#}");
            let [merged, _, deleted, conflicts] = counts(&result, db, "parent", Some("id"));
            assert_eq!([merged, deleted, conflicts], [0, 1, 1], "{how}: {result:#}");
            sandbox.ripcord(&["verify"]).expect_code(0);
        }
    }

    fn what_refers_by_several_columns_stays_as_well(db: &TestDatabase) {
        for how in ["", "ON UPDATE CASCADE"] {
            let db = &match db.backend() {
                Backend::Sqlite => TestDatabase::sqlite(),
                Backend::Postgres => TestDatabase::postgres(),
            };
            let users = |name: &str| format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, email VARCHAR(20) NOT NULL UNIQUE, UNIQUE (tenant, id));");
            let doc = |name: &str| format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY, tenant INTEGER, owner INTEGER, FOREIGN KEY (tenant, owner) REFERENCES users (tenant, id) {how});");
            let filled = "INSERT INTO users VALUES (2, 1, 'zoe@x'), (5, 1, 'yan@x'), (1, 1, 'ann@x'); INSERT INTO doc VALUES (10, 1, 2), (20, 1, 1);";
            let up = "CREATE TABLE d2 (id INTEGER PRIMARY KEY, tenant INTEGER, owner INTEGER); INSERT INTO d2 SELECT * FROM doc; DROP TABLE doc;
ALTER TABLE d2 RENAME TO doc; CREATE TABLE u2 (tenant INTEGER NOT NULL, email VARCHAR(20) PRIMARY KEY NOT NULL);
INSERT INTO u2 SELECT tenant, email FROM users; DROP TABLE users; ALTER TABLE u2 RENAME TO users;";
            let down = format!("{} INSERT INTO u2 SELECT row_number() OVER (ORDER BY email), tenant, email FROM users; DROP TABLE users;
ALTER TABLE u2 RENAME TO users; {} INSERT INTO d2 SELECT * FROM doc; DROP TABLE doc; ALTER TABLE d2 RENAME TO doc;", users("u2"), doc("d2"));
            let sandbox = project(db, &format!("{} {}", users("users"), doc("doc")), filled, up, &down);
            upgrade(&sandbox);
            let result = downgrade(&sandbox);
            let by_name = "SELECT d.id, u.email FROM doc d LEFT JOIN users u ON u.tenant = d.tenant AND u.id = d.owner ORDER BY d.id;";
            assert_eq!(db.query(by_name), "10|zoe@x\n20|ann@x", "{how}: {result:#}");
            let [merged, _, deleted, conflicts] = counts(&result, db, "users", Some("id"));
            assert_eq!([merged, deleted, conflicts], [2, 0, 0], "{how}: {result:#}");
            sandbox.ripcord(&["verify"]).expect_code(0);
        }
    }
}
