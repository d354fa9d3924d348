//! Foreign keys of which the way back changed a part, or that it made anew although the upgrade had kept them: which numbers a
//! row holds is told by what was salvaged of it.

use super::*;

const PARENT: &str = "CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE);";
const FILLED: &str = "INSERT INTO parent VALUES (2, 'zoe'), (5, 'yan'), (1, 'ann');
INSERT INTO child VALUES (10, 2, 'of zoe'), (20, 1, 'of ann'), (30, 5, 'of yan'), (31, 5, 'of yan, too');";

fn child(name: &str, refers: &str) -> String {
    format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY, parent_id INTEGER {refers}, note VARCHAR(20));")
}

/// Copies the children into a table of their own, and gives it their name.
fn copied(table: &str, columns: &str) -> String {
    format!(
        "{table} INSERT INTO c2 SELECT {columns} FROM child; DROP TABLE child; ALTER TABLE c2 RENAME TO child;"
    )
}

/// Takes the numbers of the parents away; the children keep theirs, without the foreign key, and these columns.
fn up(kept: &str) -> String {
    let plain = child("c2", "");
    let (children, lost) = (copied(&plain, "*"), "ALTER TABLE child DROP COLUMN note;");
    let lost = if kept == WITH_NOTES { "" } else { lost };
    format!("{children} {lost} CREATE TABLE p2 (name VARCHAR(20) PRIMARY KEY NOT NULL); INSERT INTO p2 SELECT name FROM parent;
DROP TABLE parent; ALTER TABLE p2 RENAME TO parent;")
}

/// Numbers the parents anew by their names, and gives the foreign key back, without what would refer to nothing.
fn down(kept: &str, left: &str) -> String {
    format!("CREATE TABLE p2 (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE);
INSERT INTO p2 SELECT row_number() OVER (ORDER BY name), name FROM parent; DROP TABLE parent; ALTER TABLE p2 RENAME TO parent;
UPDATE child SET parent_id = {left} WHERE parent_id NOT IN (SELECT id FROM parent);
{}", copied(&child("c2", "REFERENCES parent (id)"), kept))
}

/// The project, in which the way back leaves this in what would refer to nothing.
fn families(db: &TestDatabase, kept: &str, left: &str) -> Sandbox {
    let made = format!("{PARENT} {}", child("child", "REFERENCES parent (id)"));
    project(db, &made, FILLED, &up(kept), &down(kept, left))
}

const WITH_NOTES: &str = "id, parent_id, note";
const WITHOUT_NOTES: &str = "id, parent_id, NULL";

const BY_NAME: &str =
    "SELECT c.id, c.parent_id, p.name FROM child c LEFT JOIN parent p ON p.id = c.parent_id ORDER BY c.id;";
const PARENTS: &str = "SELECT id, name FROM parent ORDER BY id;";

both_engines! {
    fn what_the_way_back_changed_comes_back_and_all_others_stay_with_their_parents(db: &TestDatabase) {
        for left in ["NULL", "CASE id WHEN 31 THEN 2 ELSE 1 END", "CASE id WHEN 31 THEN 2 END"] {
            for kept in [WITH_NOTES, WITHOUT_NOTES] {
                let db = &match db.backend() {
                    Backend::Sqlite => TestDatabase::sqlite(),
                    Backend::Postgres => TestDatabase::postgres(),
                };
                let sandbox = families(db, kept, left);
                upgrade(&sandbox);
                let result = downgrade(&sandbox);
                assert_eq!(db.query(PARENTS), "1|ann\n2|zoe\n5|yan", "{kept}, {left}: {result:#}");
                assert_eq!(db.query(BY_NAME), "10|2|zoe\n20|1|ann\n30|5|yan\n31|5|yan", "{kept}, {left}: {result:#}");
                assert_eq!(db.query("SELECT note FROM child WHERE id = 31;"), "of yan, too", "{kept}, {left}");
                sandbox.ripcord(&["verify"]).expect_code(0);
            }
        }
    }

    fn what_was_written_before_a_way_back_that_only_empties_holds_the_numbers_of_then(db: &TestDatabase) {
        let sandbox = families(db, WITHOUT_NOTES, "NULL");
        upgrade(&sandbox);
        db.execute("INSERT INTO child VALUES (40, 2); UPDATE child SET parent_id = 2 WHERE id IN (20, 31);");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(PARENTS), "1|ann\n2|zoe\n5|yan", "{result:#}");
        assert_eq!(db.query(BY_NAME), "10|2|zoe\n20|2|zoe\n30|5|yan\n31|2|zoe\n40|2|zoe", "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn where_the_way_back_gives_some_a_number_what_was_written_since_may_hold_either(db: &TestDatabase) {
        let sandbox = families(db, WITHOUT_NOTES, "CASE id WHEN 31 THEN 2 ELSE 1 END");
        upgrade(&sandbox);
        db.execute("INSERT INTO child VALUES (40, 2);");
        let result = downgrade(&sandbox);
        // Child 40 refers to whoever has number 2, and that stays yan, so that zoe does not get it.
        assert_eq!(db.query(PARENTS), "1|ann\n2|yan\n3|zoe", "{result:#}");
        assert_eq!(db.query("SELECT parent_id FROM child WHERE id = 40;"), "2", "{result:#}");
        assert_eq!(db.query("SELECT p.name FROM child c JOIN parent p ON p.id = c.parent_id WHERE c.id IN (10, 20) ORDER BY c.id;"), "zoe\nann", "{result:#}");
        let [_, _, _, conflicts] = counts(&result, db, "parent", Some("id"));
        assert_eq!(conflicts, 2, "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn a_kept_column_that_the_way_back_makes_anew_holds_the_numbers_of_now(db: &TestDatabase) {
        let named = "CREATE TABLE p2 (name VARCHAR(20) PRIMARY KEY NOT NULL, former INTEGER);";
        let up = format!("{} {named} INSERT INTO p2 SELECT name, id FROM parent; DROP TABLE parent; ALTER TABLE p2 RENAME TO parent;",
            copied(&child("c2", ""), "*"));
        let numbered = "CREATE TABLE p2 (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE, former INTEGER);";
        let down = format!("{numbered} INSERT INTO p2 SELECT row_number() OVER (ORDER BY name), name, former FROM parent; DROP TABLE parent;
UPDATE child SET parent_id = (SELECT p.id FROM p2 p WHERE p.former = child.parent_id);
ALTER TABLE p2 DROP COLUMN former; ALTER TABLE p2 RENAME TO parent; {}", copied(&child("c2", "REFERENCES parent (id)"), "*"));
        let made = format!("{PARENT} {}", child("child", "REFERENCES parent (id)"));
        let sandbox = project(db, &made, FILLED, &up, &down);
        upgrade(&sandbox);
        // Yan gets number 2, which child 10 held as that of zoe.
        db.execute("UPDATE child SET parent_id = 5 WHERE id = 10; INSERT INTO child VALUES (40, 2, 'new of zoe');");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(PARENTS), "1|ann\n2|zoe\n5|yan", "{result:#}");
        assert_eq!(db.query(BY_NAME), "10|5|yan\n20|1|ann\n30|5|yan\n31|5|yan\n40|2|zoe", "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn a_child_that_was_led_to_another_parent_stays_there_where_all_got_the_same_number(db: &TestDatabase) {
        let up = "CREATE TABLE c2 (id INTEGER PRIMARY KEY, parent VARCHAR(20), note VARCHAR(20));
INSERT INTO c2 SELECT c.id, p.name, note FROM child c JOIN parent p ON p.id = parent_id; DROP TABLE child; ALTER TABLE c2 RENAME TO child;
CREATE TABLE p2 (name VARCHAR(20) PRIMARY KEY NOT NULL); INSERT INTO p2 SELECT name FROM parent; DROP TABLE parent; ALTER TABLE p2 RENAME TO parent;";
        let down = format!("CREATE TABLE p2 (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE);
INSERT INTO p2 SELECT row_number() OVER (ORDER BY name), name FROM parent; DROP TABLE parent; ALTER TABLE p2 RENAME TO parent;
{} INSERT INTO c2 SELECT c.id, p.id, note FROM child c JOIN parent p ON p.name = c.parent; DROP TABLE child; ALTER TABLE c2 RENAME TO child;",
            child("c2", "REFERENCES parent (id)"));
        let filled = "INSERT INTO parent VALUES (2, 'zoe'), (3, 'yan'), (1, 'ann'); INSERT INTO child VALUES (10, 2, 'a'), (20, 2, 'b');";
        let made = format!("{PARENT} {}", child("child", "REFERENCES parent (id)"));
        let sandbox = project(db, &made, filled, up, &down);
        upgrade(&sandbox);
        db.execute("UPDATE child SET parent = 'yan' WHERE id = 10;");
        let result = downgrade(&sandbox);
        assert_eq!(db.query(PARENTS), "1|ann\n2|zoe\n3|yan", "{result:#}");
        assert_eq!(db.query(BY_NAME), "10|3|yan\n20|2|zoe", "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn of_parents_with_one_child_each_all_get_their_keys_back(db: &TestDatabase) {
        for unique in ["UNIQUE", "NOT NULL UNIQUE"] {
            let db = &match db.backend() {
                Backend::Sqlite => TestDatabase::sqlite(),
                Backend::Postgres => TestDatabase::postgres(),
            };
            let filled = "INSERT INTO parent VALUES (2, 'zoe'), (3, 'yan'), (1, 'ann');
INSERT INTO child VALUES (10, 2, 'of zoe'), (20, 3, 'of yan'), (30, 1, 'of ann');";
            let up = format!("{} CREATE TABLE p2 (name VARCHAR(20) PRIMARY KEY NOT NULL); INSERT INTO p2 SELECT name FROM parent;
DROP TABLE parent; ALTER TABLE p2 RENAME TO parent;", copied(&child("c2", unique), "*"));
            let refers = format!("{unique} REFERENCES parent (id)");
            let down = format!("CREATE TABLE p2 (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE);
INSERT INTO p2 SELECT row_number() OVER (ORDER BY name), name FROM parent; DROP TABLE parent; ALTER TABLE p2 RENAME TO parent; {}",
                copied(&child("c2", &refers), "*"));
            let sandbox = project(db, &format!("{PARENT} {}", child("child", &refers)), filled, &up, &down);
            upgrade(&sandbox);
            let result = downgrade(&sandbox);
            assert_eq!(db.query(PARENTS), "1|ann\n2|zoe\n3|yan", "{unique}: {result:#}");
            assert_eq!(db.query(BY_NAME), "10|2|zoe\n20|3|yan\n30|1|ann", "{unique}: {result:#}");
            let notes = result["notes"].to_string();
            assert!(!notes.contains("followed the keys"), "{unique}: {notes}");
            sandbox.ripcord(&["verify"]).expect_code(0);
        }
    }

    fn a_row_that_shares_the_key_of_its_parent_stays_with_it(db: &TestDatabase) {
        let detail = |name: &str, refers: &str, other: &str| {
            format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY {refers}, aunt INTEGER {other}, note VARCHAR(20));")
        };
        let filled = "INSERT INTO parent VALUES (2, 'zoe'), (3, 'yan'), (1, 'ann');
INSERT INTO child VALUES (2, 3, 'of zoe'), (3, 2, 'of yan');";
        let up = format!("{} CREATE TABLE p2 (name VARCHAR(20) PRIMARY KEY NOT NULL); INSERT INTO p2 SELECT name FROM parent;
DROP TABLE parent; ALTER TABLE p2 RENAME TO parent;", copied(&detail("c2", "", ""), "*"));
        let refers = "REFERENCES parent (id)";
        let down = format!("CREATE TABLE p2 (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE);
INSERT INTO p2 SELECT row_number() OVER (ORDER BY name), name FROM parent; DROP TABLE parent; ALTER TABLE p2 RENAME TO parent; {}",
            copied(&detail("c2", refers, refers), "*"));
        let sandbox = project(db, &format!("{PARENT} {}", detail("child", refers, refers)), filled, &up, &down);
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(db.query(PARENTS), "1|ann\n2|zoe\n3|yan", "{result:#}");
        assert_eq!(db.query("SELECT id, aunt, note FROM child ORDER BY id;"), "2|3|of zoe\n3|2|of yan", "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn where_a_column_had_another_type_and_nothing_is_seen_nobody_knows_whose_numbers_it_holds(db: &TestDatabase) {
        let text = "CREATE TABLE c2 (id INTEGER PRIMARY KEY, parent_id VARCHAR(20), note VARCHAR(20));";
        let up = format!("{} CREATE TABLE p2 (name VARCHAR(20) PRIMARY KEY NOT NULL); INSERT INTO p2 SELECT name FROM parent;
DROP TABLE parent; ALTER TABLE p2 RENAME TO parent;", copied(text, "id, CAST(parent_id AS VARCHAR(20)), note"));
        let down = format!("CREATE TABLE p2 (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE);
INSERT INTO p2 SELECT row_number() OVER (ORDER BY name), name FROM parent; DROP TABLE parent; ALTER TABLE p2 RENAME TO parent; {}",
            copied(&child("c2", "REFERENCES parent (id)"), "id, CAST(parent_id AS INTEGER), note"));
        let filled = "INSERT INTO parent VALUES (2, 'zoe'), (5, 'yan'), (1, 'ann'); INSERT INTO child VALUES (20, 1, 'of ann');";
        let made = format!("{PARENT} {}", child("child", "REFERENCES parent (id)"));
        let sandbox = project(db, &made, filled, &up, &down);
        upgrade(&sandbox);
        db.execute("INSERT INTO child VALUES (40, '2', 'new of zoe');");
        let result = downgrade(&sandbox);
        // It would be led to number 5 beside yan.
        assert_eq!(db.query(PARENTS), "1|ann\n2|yan\n3|zoe", "{result:#}");
        assert_eq!(db.query("SELECT id, parent_id FROM child ORDER BY id;"), "20|1\n40|2", "{result:#}");
        let [_, _, _, conflicts] = counts(&result, db, "parent", Some("id"));
        assert_eq!(conflicts, 2, "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn a_row_does_not_refer_to_another_one_of_its_table_where_keys_do_not_come_back(db: &TestDatabase) {
        let staff = |name: &str, boss: &str| {
            format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY, boss INTEGER {boss}, name VARCHAR(20) NOT NULL UNIQUE);")
        };
        let pet = |name: &str, refers: &str| format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY, owner INTEGER {refers});");
        let filled = "INSERT INTO staff VALUES (2, NULL, 'zoe'), (5, NULL, 'yan'), (1, NULL, 'ann'); UPDATE staff SET boss = id;
INSERT INTO pet VALUES (20, 1);";
        let moved = |table: &str, columns: &str| format!("{table} INSERT INTO t2 SELECT {columns} FROM pet; DROP TABLE pet; ALTER TABLE t2 RENAME TO pet;");
        let up = format!("{} CREATE TABLE s2 (name VARCHAR(20) PRIMARY KEY NOT NULL, boss VARCHAR(20));
INSERT INTO s2 SELECT s.name, b.name FROM staff s JOIN staff b ON b.id = s.boss; DROP TABLE staff; ALTER TABLE s2 RENAME TO staff;",
            moved(&pet("t2", ""), "id, owner"));
        let down = format!("{}
INSERT INTO s2 SELECT row_number() OVER (ORDER BY name), row_number() OVER (ORDER BY name), name FROM staff;
DROP TABLE staff; ALTER TABLE s2 RENAME TO staff; {}", staff("s2", "REFERENCES s2 (id)"),
            moved(&pet("t2", "REFERENCES staff (id)"), "id, owner"));
        let made = format!("{} {}", staff("staff", "REFERENCES staff (id)"), pet("pet", "REFERENCES staff (id)"));
        let sandbox = project(db, &made, filled, &up, &down);
        upgrade(&sandbox);
        // Whether it is of zoe or of yan nobody can tell, so that neither gets the number of then.
        db.execute("INSERT INTO pet VALUES (40, 2);");
        let result = downgrade(&sandbox);
        let by_name = "SELECT s.id, s.name, b.name FROM staff s LEFT JOIN staff b ON b.id = s.boss ORDER BY s.id;";
        assert_eq!(db.query(by_name), "1|ann|ann\n2|yan|yan\n3|zoe|zoe", "{result:#}");
        assert_eq!(db.query("SELECT owner FROM pet WHERE id = 40;"), "2", "{result:#}");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }
}
