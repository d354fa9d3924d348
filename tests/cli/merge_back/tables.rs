//! What tables have besides columns: triggers, generated columns, identity, sequences, no key.

use super::*;

both_engines! {
    fn triggers_do_not_fire_and_are_as_before(db: &TestDatabase) {
        let made = "CREATE TABLE person (id INTEGER PRIMARY KEY, phone VARCHAR(20)); CREATE TABLE heard (what VARCHAR(20));";
        let sandbox = project(db, made, "INSERT INTO person VALUES (1, '11'), (2, '22');", "UPDATE person SET phone = NULL;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute(match db.backend() {
            Backend::Sqlite => "CREATE TRIGGER told AFTER UPDATE ON person BEGIN INSERT INTO heard VALUES ('told'); END;",
            Backend::Postgres => "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.heard VALUES (TG_NAME); RETURN NEW; END $$;
CREATE TRIGGER told AFTER UPDATE ON person FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER off AFTER UPDATE ON person FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER always AFTER UPDATE ON person FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER elsewhere AFTER UPDATE ON person FOR EACH ROW EXECUTE FUNCTION tell();
ALTER TABLE person DISABLE TRIGGER off; ALTER TABLE person ENABLE ALWAYS TRIGGER always; ALTER TABLE person ENABLE REPLICA TRIGGER elsewhere;",
        });
        let schema = db.schema();
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("phone")), [2, 0, 0, 0]);
        assert_eq!(db.query("SELECT count(*) FROM heard;"), "0");
        assert_eq!(db.schema(), schema);
        db.execute("UPDATE person SET phone = 'x' WHERE id = 1;");
        let fired = if db.backend() == Backend::Sqlite { "told" } else { "always\ntold" };
        assert_eq!(db.query("SELECT what FROM heard ORDER BY 1;"), fired);
    }

    fn generated_columns_follow_and_are_no_hindrance(db: &TestDatabase) {
        let made = "CREATE TABLE price (id INTEGER PRIMARY KEY, net INTEGER, gross INTEGER GENERATED ALWAYS AS (net * 2) STORED);";
        let sandbox = project(db, made, "INSERT INTO price (id, net) VALUES (1, 10), (2, 20), (3, 30);",
            "UPDATE price SET net = NULL WHERE id < 3; DELETE FROM price WHERE id = 3;", "SELECT 1;");
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "price", Some("net")), [2, 0, 0, 0]);
        assert_eq!(db.query("SELECT id, net, gross FROM price ORDER BY id;"), "1|10|20\n2|20|40\n3|30|60");
    }

    fn values_of_a_table_without_a_key_are_found_by_the_rest_of_the_row(db: &TestDatabase) {
        let made = "CREATE TABLE note (what VARCHAR(20), rank INTEGER);";
        let sandbox = project(db, made, "INSERT INTO note VALUES ('a', 1), ('a', 1), ('b', 2), (NULL, 3), ('d', 4);",
            "UPDATE note SET rank = 0;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO note VALUES ('b', 0), ('new', 5); DELETE FROM note WHERE what = 'd';");
        let result = downgrade(&sandbox);
        // Two of b are there now, and nobody can tell which was there then.
        assert_eq!(counts(&result, db, "note", Some("rank")), [3, 0, 1, 1]);
        assert_eq!(db.query("SELECT rank FROM note WHERE what = 'a';"), "1\n1");
        assert_eq!(db.query("SELECT rank FROM note WHERE what IS NULL;"), "3");
        assert_eq!(db.query("SELECT rank FROM note WHERE what = 'b';"), "0\n0");
    }

    fn names_that_need_quotes_and_awkward_values_come_back(db: &TestDatabase) {
        let made = "CREATE TABLE \"Odd \"\"Name\" (\"The Key\" VARCHAR(20) PRIMARY KEY, \"select\" VARCHAR(40));";
        let filled = "INSERT INTO \"Odd \"\"Name\" VALUES ('a\"b', ''), ('c,d', 'NULL'), ('e
f', 'x
y'), ('', '\\N'), ('é€', NULL);";
        let sandbox = project(db, made, filled, "ALTER TABLE \"Odd \"\"Name\" DROP COLUMN \"select\";",
            "ALTER TABLE \"Odd \"\"Name\" ADD COLUMN \"select\" VARCHAR(40);");
        let before = db.query("SELECT * FROM \"Odd \"\"Name\" ORDER BY 1;");
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(result["merge"]["conflict_count"], 0, "{result:#}");
        assert_eq!(db.query("SELECT * FROM \"Odd \"\"Name\" ORDER BY 1;"), before);
    }
}

#[test]
fn identity_columns_and_sequences_go_on_after_the_rows_that_came_back() {
    let db = TestDatabase::postgres();
    let made = "CREATE TABLE person (id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT);
CREATE TABLE item (id SERIAL PRIMARY KEY, name TEXT);";
    let filled =
        "INSERT INTO person (name) VALUES ('a'), ('b'), ('c'); INSERT INTO item (name) VALUES ('x'), ('y');";
    let sandbox = project(&db, made, filled, "DROP TABLE person; DROP TABLE item;", made);
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "person", None), [3, 0, 0, 0]);
    db.execute("INSERT INTO person (name) VALUES ('d'); INSERT INTO item (name) VALUES ('z');");
    assert_eq!(db.query("SELECT id, name FROM person ORDER BY id;"), "1|a\n2|b\n3|c\n4|d");
    assert_eq!(db.query("SELECT id, name FROM item ORDER BY id;"), "1|x\n2|y\n3|z");
}

#[test]
fn a_column_that_is_always_an_identity_gets_its_values_and_stays_one() {
    let db = TestDatabase::postgres();
    let made = "CREATE TABLE person (name TEXT PRIMARY KEY, number INTEGER GENERATED ALWAYS AS IDENTITY);";
    let filled = "INSERT INTO person (name, number) OVERRIDING SYSTEM VALUE VALUES ('a', 70), ('b', 80);";
    let sandbox = project(
        &db,
        made,
        filled,
        "ALTER TABLE person DROP COLUMN number;",
        "ALTER TABLE person ADD COLUMN number INTEGER GENERATED ALWAYS AS IDENTITY;",
    );
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "person", Some("number")), [2, 0, 0, 0]);
    assert_eq!(
        db.query("INSERT INTO person (name) VALUES ('c') RETURNING number;").lines().next(),
        Some("81")
    );
    assert_eq!(
        db.query(
            "SELECT attidentity FROM pg_attribute WHERE attrelid = 'person'::regclass AND attname = 'number';"
        ),
        "a"
    );
}

#[test]
fn a_table_that_refers_to_itself_and_a_key_checked_at_the_commit_come_back() {
    let db = TestDatabase::postgres();
    let made = "CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree DEFERRABLE INITIALLY DEFERRED);";
    let filled = "INSERT INTO tree VALUES (1, 2), (2, 3), (3, NULL), (4, 4);";
    let sandbox = project(&db, made, filled, "DROP TABLE tree;", made);
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "tree", None), [4, 0, 0, 0]);
    assert_eq!(db.query("SELECT * FROM tree ORDER BY id;"), "1|2\n2|3\n3|\n4|4");
}
