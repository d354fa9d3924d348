//! Single tables go back to what a backup has, and nothing else does.

mod meanwhile;
mod parts;

use crate::promise::*;
use crate::support::*;

const SHOP: &str = "CREATE TABLE customer (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE);
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer (id) ON DELETE CASCADE, amount INTEGER);
CREATE INDEX purchase_amount ON purchase (amount);
CREATE TABLE note (what VARCHAR(20));
INSERT INTO customer VALUES (1, 'ada'), (2, 'bob'), (3, 'eve');
INSERT INTO purchase VALUES (10, 1, 5), (11, 2, 6), (12, 2, NULL);
INSERT INTO note VALUES ('a'), ('a'), (NULL);";

/// A database that was backed up at this state.
fn backed_up(db: &TestDatabase, sql: &str) -> Sandbox {
    let sandbox = Sandbox::with(db);
    if db.backend() == Backend::Postgres {
        db.server().psql("postgres", "ALTER SYSTEM SET autovacuum = off; SELECT pg_reload_conf();");
    }
    db.execute(sql);
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    at(&sandbox, 1);
    sandbox
}

fn backup(sandbox: &Sandbox) -> String {
    name_of(&sandbox.backups()[0])
}

fn all(db: &TestDatabase) -> String {
    db.query("SELECT * FROM customer ORDER BY id; SELECT * FROM purchase ORDER BY id; SELECT * FROM note ORDER BY what;")
}

both_engines! {
    fn the_rows_of_one_table_are_back_and_everything_else_stays(db: &TestDatabase) {
        let sandbox = backed_up(db, SHOP);
        db.execute("UPDATE purchase SET amount = 99; DELETE FROM purchase WHERE id = 10; INSERT INTO purchase VALUES (13, 3, 1);
INSERT INTO customer VALUES (4, 'new'); DELETE FROM note;");
        let run = sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "purchase"]);
        run.expect_code(0).stdout_has("purchase: 3 -> 3 rows");
        assert_eq!(all(db), "1|ada\n2|bob\n3|eve\n4|new\n10|1|5\n11|2|6\n12|2|");
        sandbox.ripcord(&["verify"]).expect_code(0);
        leaves_nothing_behind(&sandbox, db);
        // What was replaced is in the backup that was taken first.
        follow(&sandbox, &undo_of(&run)).expect_code(0);
        assert_eq!(db.query("SELECT id, amount FROM purchase ORDER BY id;"), "11|99\n12|99\n13|1");
    }

    fn definitions_that_are_not_those_of_the_backup_are_named(db: &TestDatabase) {
        let sandbox = backed_up(db, SHOP);
        let trigger = match db.backend() {
            Backend::Sqlite => "CREATE TRIGGER later AFTER INSERT ON purchase BEGIN SELECT 1; END;",
            Backend::Postgres => "CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER later AFTER INSERT ON purchase EXECUTE FUNCTION later();",
        };
        db.execute(&format!("DROP INDEX purchase_amount; UPDATE purchase SET amount = 1; {trigger}"));
        let run = sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "purchase", "--table", "note"]);
        run.expect_code(0).stdout_lacks("done       the tables are");
        run.stdout_has("purchase.purchase_amount is gone").stdout_has("purchase.later is new").stdout_lacks("note are");
        assert_eq!(db.query("SELECT coalesce(amount, 0) FROM purchase ORDER BY id;"), "5\n6\n0");
    }

    fn rows_that_are_referred_to_are_written_where_they_differ_and_nothing_goes_with_them(db: &TestDatabase) {
        let sandbox = backed_up(db, SHOP);
        db.execute("UPDATE customer SET name = 'changed' WHERE id = 2; DELETE FROM customer WHERE id = 3; INSERT INTO purchase VALUES (13, 1, 1);");
        let run = sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "customer", "--format", "json"]);
        run.expect_code(0);
        let restored = report(&run)["result"]["restored"].clone();
        assert_eq!((restored[0]["rows_before"].as_u64(), restored[0]["rows"].as_u64()), (Some(2), Some(3)));
        assert_eq!(db.query("SELECT * FROM customer ORDER BY id; SELECT id FROM purchase ORDER BY id;"), "1|ada\n2|bob\n3|eve\n10\n11\n12\n13");
    }

    fn a_table_to_whose_new_rows_others_refer_is_refused_and_nothing_is_changed(db: &TestDatabase) {
        let sandbox = backed_up(db, SHOP);
        db.execute("INSERT INTO customer VALUES (4, 'new'); INSERT INTO purchase VALUES (13, 4, 1);");
        let before = db.dump();
        let run = sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "customer"]);
        run.expect_code(3);
        says_three_parts(&run, "1 row of table");
        run.stderr_has("purchase").stderr_has("customer");
        assert_same(&before, &db.dump(), &run);
        leaves_nothing_behind(&sandbox, db);
        // Both together leave nobody alone: what is named can be run as it stands.
        at(&sandbox, 2);
        let next = run.stderr.lines().find_map(|line| line.strip_prefix("next: put both back together: ripcord "));
        let next: Vec<String> = next.expect("a command").split(' ').map(str::to_owned).collect();
        follow(&sandbox, &next).expect_code(0);
        assert_eq!(db.query("SELECT count(*) FROM customer; SELECT count(*) FROM purchase;"), "3\n3");
    }

    fn rows_whose_parents_are_gone_are_refused_with_the_command_that_brings_both_back(db: &TestDatabase) {
        let sandbox = backed_up(db, SHOP);
        let then = all(db);
        db.execute("DELETE FROM purchase WHERE id > 10; DELETE FROM customer WHERE id = 2;");
        let before = db.dump();
        let run = sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "purchase"]);
        run.expect_code(3);
        says_three_parts(&run, "2 rows of table");
        let (child, parent) = (crate::merge_back::named(db, "purchase"), crate::merge_back::named(db, "customer"));
        run.stderr_has(&format!("table {child} in the backup refer to rows of table {parent} that are not there"));
        run.stderr_lacks("salvage").stderr_lacks("mend the revision");
        assert_same(&before, &db.dump(), &run);
        leaves_nothing_behind(&sandbox, db);
        at(&sandbox, 2);
        follow(&sandbox, &next_of(&run)).expect_code(0);
        assert_eq!(all(db), then);
    }

    fn a_table_with_other_columns_now_is_refused_and_nothing_is_changed(db: &TestDatabase) {
        let sandbox = backed_up(db, SHOP);
        db.execute("ALTER TABLE note ADD COLUMN more INTEGER;");
        let before = db.dump();
        let run = sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "note"]);
        run.expect_code(3);
        says_three_parts(&run, "is not as it was in the backup");
        run.stderr_has("\"more\"").stderr_has("is new");
        run.stderr_has(&format!("ripcord restore {} --to URL", backup(&sandbox)));
        assert_same(&before, &db.dump(), &run);
    }

    fn a_table_that_is_gone_is_made_as_it_was(db: &TestDatabase) {
        let sandbox = backed_up(db, SHOP);
        let (schema, rows) = (db.schema(), all(db));
        db.execute("DROP TABLE purchase;");
        let run = sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "purchase"]);
        run.expect_code(0).stdout_has("made again");
        let sorted = |text: &str| { let mut lines: Vec<_> = text.lines().map(str::to_owned).collect(); lines.sort(); lines };
        assert_eq!(sorted(&db.schema()), sorted(&schema));
        assert_eq!(all(db), rows);
        sandbox.ripcord(&["verify", &backup(&sandbox)]).expect_code(0);
        leaves_nothing_behind(&sandbox, db);
    }

    fn a_table_without_a_key_has_each_row_as_often_as_then(db: &TestDatabase) {
        let sandbox = backed_up(db, SHOP);
        db.execute("INSERT INTO note VALUES ('a'), ('b'); DELETE FROM note WHERE what IS NULL;");
        sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "note"]).expect_code(0);
        assert_eq!(db.query("SELECT coalesce(what, '-') FROM note ORDER BY 1;"), "-\na\na");
    }

    fn triggers_are_silent_and_as_before(db: &TestDatabase) {
        let sandbox = backed_up(db, SHOP);
        db.execute(match db.backend() {
            Backend::Sqlite => "CREATE TRIGGER told AFTER INSERT ON note BEGIN INSERT INTO customer VALUES (99, 'told'); END;",
            Backend::Postgres => "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.customer VALUES (99, 'told'); RETURN NEW; END $$;
CREATE TRIGGER told AFTER INSERT ON note FOR EACH ROW EXECUTE FUNCTION tell();",
        });
        let schema = db.schema();
        sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "note"]).expect_code(0);
        assert_eq!((db.query("SELECT count(*) FROM customer;").as_str(), db.schema()), ("3", schema));
    }

    fn what_cannot_be_meant_is_refused(db: &TestDatabase) {
        let sandbox = backed_up(db, SHOP);
        let before = db.dump();
        let backup = backup(&sandbox);
        let run = sandbox.ripcord(&["restore", &backup, "--table", "nothing"]);
        run.expect_code(3);
        says_three_parts(&run, "it holds none of that name");
        run.stderr_has(&format!("next: see its tables with \"ripcord backup show {backup}\"\n"));
        sandbox.ripcord(&["restore", &backup, "--table", "note", "--to", "sqlite:///new.db"]).expect_code(2).stderr_has("--to");
        assert_same(&before, &db.dump(), &run);
    }
}

#[test]
fn a_table_with_a_sequence_an_identity_and_a_unique_value_that_moved_comes_back() {
    let db = TestDatabase::postgres();
    let sandbox = backed_up(&db, "CREATE TABLE item (id SERIAL PRIMARY KEY, place INTEGER UNIQUE, number INTEGER GENERATED ALWAYS AS IDENTITY);
INSERT INTO item (place) VALUES (1), (2), (3); COMMENT ON TABLE item IS 'things'; GRANT SELECT ON item TO PUBLIC;");
    let schema = db.schema();
    // Each has the place of the next one: no order of single writes leads back.
    db.execute("UPDATE item SET place = place + 10; UPDATE item SET place = (place - 10) % 3 + 1;");
    sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "public.item"]).expect_code(0);
    assert_eq!(db.query("SELECT id, place, number FROM item ORDER BY id;"), "1|1|1\n2|2|2\n3|3|3");
    db.execute("DROP TABLE item;");
    at(&sandbox, 2);
    sandbox.ripcord(&["restore", &backup(&sandbox), "--table", "item"]).expect_code(0);
    assert_eq!(db.schema(), schema);
    assert_eq!(
        db.query("INSERT INTO item (place) VALUES (4) RETURNING id, number;").lines().next(),
        Some("4|4")
    );
}

#[test]
fn a_counter_goes_on_and_an_index_over_the_table_knows_its_rows() {
    let db = TestDatabase::sqlite();
    let sandbox = backed_up(
        &db,
        "CREATE TABLE doc (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT UNIQUE ON CONFLICT IGNORE);
CREATE VIRTUAL TABLE doc_index USING fts5(body, content='doc', content_rowid='id');
CREATE TABLE other (id INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TRIGGER doc_new AFTER INSERT ON doc BEGIN INSERT INTO doc_index (rowid, body) VALUES (new.id, new.body); END;
CREATE TRIGGER doc_gone AFTER DELETE ON doc BEGIN INSERT INTO doc_index (doc_index, rowid, body) VALUES ('delete', old.id, old.body); END;
INSERT INTO doc (body) VALUES ('apples'), ('pears'), ('plums'), ('figs'); DELETE FROM doc WHERE id = 4; INSERT INTO other VALUES (7); DELETE FROM other;",
    );
    db.execute("DELETE FROM doc WHERE id > 1; DROP TABLE other;");
    let tables = ["--table", "doc", "--table", "other"];
    let id = backup(&sandbox);
    let run = sandbox.ripcord(&[&["restore", id.as_str()][..], &tables].concat());
    run.expect_code(0);
    assert_eq!(db.query("SELECT rowid FROM doc_index WHERE doc_index MATCH 'pears OR plums';"), "2\n3");
    assert_eq!(db.query("SELECT name, seq FROM sqlite_sequence ORDER BY name;"), "doc|4\nother|7");
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn a_table_without_columns_that_hold_anything_comes_back_with_as_many_rows_as_it_had() {
    let db = TestDatabase::postgres();
    let made = "CREATE TABLE hollow (); CREATE TABLE computed (n INTEGER GENERATED ALWAYS AS (7) STORED);";
    let filled = "INSERT INTO hollow DEFAULT VALUES; INSERT INTO computed DEFAULT VALUES;".repeat(3);
    let sandbox = backed_up(&db, &format!("{made} {filled}"));
    let id = backup(&sandbox);
    let restore = ["restore", &id, "--table", "hollow", "--table", "computed"];
    let rows = "SELECT count(*), (SELECT sum(n) FROM computed) FROM hollow;";
    for (minute, changed) in (2..)
        .zip(["DELETE FROM hollow; INSERT INTO computed DEFAULT VALUES;", "DROP TABLE hollow, computed;"])
    {
        db.execute(changed);
        sandbox.ripcord(&restore).expect_code(0);
        assert_eq!(db.query(rows), "3|21", "{changed}");
        at(&sandbox, minute);
    }
    sandbox.ripcord(&["verify"]).expect_code(0);
}

#[test]
fn rows_have_the_rowids_that_they_had_whatever_column_reads_like_one() {
    let db = TestDatabase::sqlite();
    let made = "CREATE TABLE t (id INTEGER PRIMARY KEY DESC, v TEXT); CREATE TABLE u (id INTEGER NOT NULL UNIQUE, v TEXT);
CREATE TABLE w (id INTEGER PRIMARY KEY, v TEXT);
INSERT INTO t (rowid, id, v) VALUES (100, 1, 'a'), (200, 2, 'b'); INSERT INTO u (rowid, id, v) VALUES (100, 1, 'a'), (200, 2, 'b');
INSERT INTO w VALUES (7, 'x'), (9, 'y');";
    let sandbox = backed_up(&db, made);
    db.execute("DELETE FROM t; DELETE FROM u; DELETE FROM w;");
    let backup = backup(&sandbox);
    let tables = ["--table", "t", "--table", "u", "--table", "w"];
    sandbox.ripcord(&[&["restore", backup.as_str()][..], &tables].concat()).expect_code(0);
    let rows = db.query("SELECT rowid, * FROM t ORDER BY 1; SELECT rowid, * FROM u ORDER BY 1; SELECT rowid, * FROM w ORDER BY 1;");
    assert_eq!(rows, "100|1|a\n200|2|b\n100|1|a\n200|2|b\n7|7|x\n9|9|y");
}
