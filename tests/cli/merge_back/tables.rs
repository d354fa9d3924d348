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

#[test]
fn numbers_that_a_sequence_gave_out_before_its_table_went_are_not_given_out_again() {
    let db = TestDatabase::postgres();
    let made = "CREATE TABLE a (id SERIAL PRIMARY KEY, n INTEGER); CREATE TABLE b (id INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, n INTEGER);
CREATE TABLE c (id INTEGER GENERATED ALWAYS AS IDENTITY (INCREMENT -1 START -1 MINVALUE -100 MAXVALUE -1) PRIMARY KEY, n INTEGER);";
    let fill = |table: &str, last: &str| {
        format!(
            "INSERT INTO {table} (n) SELECT g FROM generate_series(1, 10) g; DELETE FROM {table} WHERE abs(id) > {last};"
        )
    };
    let filled = ["a", "b", "c"].map(|table| fill(table, "5")).concat();
    let sandbox = project(&db, made, &filled, "DROP TABLE a; DROP TABLE b; DROP TABLE c;", made);
    upgrade(&sandbox);
    downgrade(&sandbox);
    for (table, next) in [("a", "11"), ("b", "11"), ("c", "-11")] {
        let given = db.query(&format!("INSERT INTO {table} (n) VALUES (0) RETURNING id;"));
        assert_eq!(given.lines().next(), Some(next), "{table}");
    }
}

#[test]
fn an_insert_after_a_merge_gets_a_free_number_whatever_gives_it() {
    let db = TestDatabase::postgres();
    let made = "CREATE SEQUENCE shared; CREATE SEQUENCE bounded MAXVALUE 10; CREATE DOMAIN num AS INTEGER;
CREATE TABLE a (id BIGINT PRIMARY KEY DEFAULT nextval('shared'), n INTEGER); CREATE TABLE b (id NUMERIC PRIMARY KEY DEFAULT nextval('shared'), n INTEGER);
CREATE TABLE c (id num PRIMARY KEY DEFAULT nextval('bounded'), n INTEGER);
CREATE SEQUENCE invoices; CREATE TABLE d (id TEXT PRIMARY KEY DEFAULT 'INV-' || nextval('invoices'), n INTEGER);
CREATE TABLE e (id BIGSERIAL, d INTEGER, n INTEGER, PRIMARY KEY (id, d)) PARTITION BY LIST (d);
CREATE TABLE e1 PARTITION OF e FOR VALUES IN (1); CREATE TABLE e2 PARTITION OF e FOR VALUES IN (2);";
    // Beside what the sequences gave out there is what they cannot give: beyond their bounds, and between two numbers.
    let filled = "INSERT INTO a (n) VALUES (1), (2); INSERT INTO b (n) VALUES (1), (2); INSERT INTO b VALUES (1e40, 1), (2.5, 1);
INSERT INTO c (n) VALUES (1), (2); INSERT INTO c VALUES (300, 1); INSERT INTO d (n) VALUES (1), (2);
INSERT INTO e (d, n) VALUES (1, 1), (2, 1), (1, 1);";
    let up = "DROP TABLE a, b, c, d, e; DROP SEQUENCE shared, bounded, invoices; DROP DOMAIN num;";
    let sandbox = project(&db, made, filled, up, made);
    upgrade(&sandbox);
    downgrade(&sandbox);
    let next = |table: &str| {
        let given = db.query(&format!("INSERT INTO {table} (n) VALUES (9) RETURNING id;"));
        given.lines().next().expect("a number").to_owned()
    };
    assert_eq!(["a", "b", "c", "d"].map(next), ["5", "6", "3", "INV-3"]);
    let given = db.query("INSERT INTO e (d, n) VALUES (1, 9) RETURNING id;");
    assert_eq!(given.lines().next(), Some("4"));
}

#[test]
fn a_materialized_view_is_named_that_a_merge_does_not_refresh() {
    let db = TestDatabase::postgres();
    let sandbox = project(
        &db,
        &format!("{PEOPLE} CREATE MATERIALIZED VIEW phones AS SELECT phone FROM person;"),
        FIVE,
        "UPDATE person SET phone = NULL;",
        "SELECT 1;",
    );
    upgrade(&sandbox);
    let run = accepting(&sandbox, &["downgrade"]);
    run.expect_code(0).stdout_has("REFRESH MATERIALIZED VIEW public.phones");
}

both_engines! {
    fn a_required_column_whose_way_back_has_no_values_leads_to_the_backup_that_has_them(db: &TestDatabase) {
        let made = "CREATE TABLE item (id INTEGER PRIMARY KEY, lvl INTEGER NOT NULL, n INTEGER);";
        let sandbox = project(db, made, "INSERT INTO item VALUES (1, 10, 1), (2, 20, 2);",
            "ALTER TABLE item DROP COLUMN lvl;", "ALTER TABLE item ADD COLUMN lvl INTEGER NOT NULL;");
        upgrade(&sandbox);
        let backup = name_of(sandbox.backups().last().expect("a backup"));
        at(&sandbox, 3);
        let before = db.dump();
        let run = sandbox.ripcord(&["downgrade"]);
        run.expect_code(4).stderr_has("without NOT NULL, or with a DEFAULT").stderr_has(&backup);
        assert_same(&before, &db.dump(), &run);
    }
}

const TOLD: &str = "ALTER TABLE item REPLICA IDENTITY FULL; ALTER TABLE item ENABLE ROW LEVEL SECURITY;
ALTER TABLE item ALTER COLUMN a SET STATISTICS 500; COMMENT ON COLUMN item.a IS 'c'; GRANT SELECT ON item TO PUBLIC;
CREATE INDEX item_a ON item (a); CREATE PUBLICATION part FOR TABLE item;";

#[test]
fn what_a_table_had_that_its_downgrade_does_not_make_again_is_named_beside_its_rows() {
    let db = TestDatabase::postgres();
    let made = "CREATE TABLE item (id INTEGER PRIMARY KEY, a TEXT);";
    let filled = format!("INSERT INTO item VALUES (1, 'a'), (2, 'b'); {TOLD}");
    let sandbox = project(&db, made, &filled, "DROP TABLE item;", made);
    let run = upgrade(&sandbox);
    run.stdout_has("not back   publication part").stdout_has("replica identity");
    let backup = name_of(&sandbox.backups().pop().unwrap());
    at(&sandbox, 3);
    let run = accepting(&sandbox, &["downgrade"]);
    run.expect_code(0)
        .stdout_has(&format!("the downgrade made public.item again, and not as backup {backup} has it: "));
    for lost in [
        "column public.item.a is another",
        "index public.item.item_a is gone",
        "publication part has it no more",
        "option public.item.replica identity is gone",
        "option public.item.row security is gone",
        "option public.item.grants is another",
    ] {
        run.stdout_has(lost);
    }
    assert_eq!(db.query("SELECT * FROM item ORDER BY id;"), "1|a\n2|b");
}

#[test]
fn of_a_table_that_its_downgrade_makes_as_it_was_nothing_is_said() {
    let db = TestDatabase::postgres();
    let made = "CREATE TABLE item (id INTEGER PRIMARY KEY, a TEXT);";
    let down = format!("{made} {TOLD}")
        .replace("CREATE PUBLICATION part FOR TABLE item", "ALTER PUBLICATION part ADD TABLE item");
    let sandbox =
        project(&db, made, &format!("INSERT INTO item VALUES (1, 'a'); {TOLD}"), "DROP TABLE item;", &down);
    upgrade(&sandbox).stdout_lacks("not back");
    at(&sandbox, 3);
    accepting(&sandbox, &["downgrade"]).expect_code(0).stdout_lacks("and not as backup");
}
