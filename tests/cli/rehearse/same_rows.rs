//! Which row is which: nothing is called kept, moved or there that was not seen to be in the same row.

use super::*;

const PRICES: &str = "CREATE TABLE price (item TEXT, eur INTEGER);
INSERT INTO price VALUES ('bread', 2), ('car', 20000), ('pen', 1);";

fn lost(found: &Value) -> Vec<String> {
    let lost = found["lost"].as_array().expect("a list").iter();
    lost.map(|loss| format!("{} {}", loss["what"].as_str().unwrap(), loss["column"].as_str().unwrap_or("")))
        .collect()
}

both_engines! {
    fn values_that_changed_places_in_a_table_without_a_key_are_lost(db: &TestDatabase) {
        let sandbox = with(db, "UPDATE price SET eur = CASE item WHEN 'bread' THEN 20000 WHEN 'car' THEN 2 ELSE eur END;", "SELECT 1;");
        db.execute(PRICES);
        let run = sandbox.ripcord(&["rehearse", "--deny", "loss"]);
        run.expect_code(3).stdout_has("price.eur");
        let before = db.query("SELECT item, eur FROM price ORDER BY item;");
        sandbox.ripcord(&["upgrade"]).expect_code(3).stderr_has("overwrites-values:price.eur");
        assert_eq!(db.query("SELECT item, eur FROM price ORDER BY item;"), before);

        accepting(&sandbox, &["upgrade"]);
        let exports = sandbox.backups().last().expect("a backup").join("exports");
        let names: Vec<String> = std::fs::read_dir(exports).expect("exports").map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().any(|name| name.contains("price.values")), "{names:?}");
        // Nothing says where they belong, and once somebody has written that is what is said.
        db.execute("UPDATE price SET eur = 3 WHERE item = 'pen';");
        accepting(&sandbox, &["downgrade"]).stdout_has("nothing says which row is which");
    }

    fn a_table_without_a_key_whose_rows_stay_together_loses_nothing(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE price RENAME COLUMN eur TO price; ALTER TABLE price ADD COLUMN note TEXT;",
            "ALTER TABLE price DROP COLUMN note; ALTER TABLE price RENAME COLUMN price TO eur;");
        db.execute(PRICES);
        let found = ledger(&sandbox, db, &["--deny", "loss"]);
        let price = entry(&found, db, "price");
        assert_eq!(price["columns"]["item"], json!({ "fate": "kept" }), "{found:#}");
        assert_eq!(price["columns"]["eur"], json!({ "fate": "moved", "to": named(db, "price") + ".price" }));
    }

    fn a_column_that_changes_beside_others_leaves_those_kept_without_a_key(db: &TestDatabase) {
        let sandbox = with(db, "UPDATE price SET note = 'cheap' WHERE eur < 3;", "UPDATE price SET note = NULL;");
        db.execute("CREATE TABLE price (item TEXT, eur INTEGER, note TEXT); INSERT INTO price VALUES ('bread', 2, NULL), ('car', 20000, NULL), ('pen', 1, NULL);");
        let found = ledger(&sandbox, db, &["--deny", "loss"]);
        let columns = &entry(&found, db, "price")["columns"];
        assert_eq!((&columns["item"], &columns["eur"]), (&json!({ "fate": "kept" }), &json!({ "fate": "kept" })), "{found:#}");
        assert_eq!(columns["note"]["back"], true);
    }

    fn a_column_is_not_moved_where_another_one_only_happens_to_hold_the_same_constant(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE flags DROP COLUMN is_admin; ALTER TABLE flags ADD COLUMN is_banned BOOLEAN DEFAULT false;",
            "ALTER TABLE flags DROP COLUMN is_banned; ALTER TABLE flags ADD COLUMN is_admin BOOLEAN;");
        db.execute("CREATE TABLE flags (id INTEGER PRIMARY KEY, is_admin BOOLEAN); INSERT INTO flags VALUES (1, false), (2, false), (3, false);");
        let found = ledger(&sandbox, db, &[]);
        assert_eq!(lost(&found), ["column is_admin"], "{found:#}");
        assert_eq!(entry(&found, db, "flags")["columns"]["is_admin"], json!({ "fate": "lost", "count": 3 }));
        sandbox.ripcord(&["upgrade"]).expect_code(3).stderr_has("drops-column:flags.is_admin");
    }

    fn a_column_is_not_moved_where_another_one_holds_the_same_constant_in_the_rows_that_stay(db: &TestDatabase) {
        let sandbox = with(db, "DELETE FROM flags WHERE NOT is_admin; ALTER TABLE flags DROP COLUMN is_admin; ALTER TABLE flags ADD COLUMN is_banned BOOLEAN DEFAULT true;",
            "ALTER TABLE flags DROP COLUMN is_banned; ALTER TABLE flags ADD COLUMN is_admin BOOLEAN;");
        db.execute("CREATE TABLE flags (id INTEGER PRIMARY KEY, is_admin BOOLEAN); INSERT INTO flags VALUES (1, true), (2, true), (3, false);");
        let found = ledger(&sandbox, db, &[]);
        assert_eq!(entry(&found, db, "flags")["columns"]["is_admin"], json!({ "fate": "lost", "count": 3 }), "{found:#}");
    }

    fn a_column_that_moved_and_does_not_come_back_is_lost(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE training_config RENAME COLUMN model_type TO model_kind;",
            "ALTER TABLE training_config DROP COLUMN model_kind; ALTER TABLE training_config ADD COLUMN model_type VARCHAR(50);");
        let found = ledger(&sandbox, db, &[]);
        assert_eq!(lost(&found), ["column model_type"], "{found:#}");
        assert_eq!(found["lost"][0]["count"], 3);
    }

    fn a_rename_that_the_way_back_forgets_is_held_under_the_new_name(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE training_config RENAME COLUMN model_type TO model_kind;", "SELECT 1;");
        let found = ledger(&sandbox, db, &["--deny", "loss"]);
        assert_eq!(lost(&found), [""; 0], "{found:#}");
    }

    fn a_second_run_that_began_with_another_default_is_not_called_chance(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE job DROP COLUMN state; INSERT INTO job (id) VALUES (7);",
            "DELETE FROM job WHERE id = 7; ALTER TABLE job ADD COLUMN state INTEGER; ALTER TABLE job DROP COLUMN kind; ALTER TABLE job ADD COLUMN kind INTEGER;");
        db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, state INTEGER, kind INTEGER DEFAULT 5);");
        let found = ledger(&sandbox, db, &[]);
        assert_eq!(found["again"]["again"], "differs", "{found:#}");
    }
}

mod sqlite {
    use super::*;

    /// Rows that go under a key that does not identify a row.
    #[test]
    fn rows_are_counted_whatever_the_key_is_worth() {
        let db = TestDatabase::sqlite();
        let sandbox = with(
            &db,
            "DELETE FROM nulls WHERE id IS NOT NULL; DELETE FROM folded WHERE v = 'z'; DELETE FROM finer WHERE a = 'A'; DELETE FROM down WHERE id = 2;",
            "SELECT 1;",
        );
        db.execute(
            "CREATE TABLE nulls (id TEXT PRIMARY KEY, v TEXT);
INSERT INTO nulls VALUES (NULL, 'a'), (NULL, 'b'), (NULL, 'c'), ('x', 'd'), ('y', 'e');
CREATE TABLE folded (id TEXT NOT NULL COLLATE NOCASE, v TEXT); CREATE UNIQUE INDEX folded_id ON folded (id COLLATE BINARY);
INSERT INTO folded VALUES ('a', 'x'), ('A', 'y'), ('b', 'z'), ('c', 'z');
CREATE TABLE finer (a TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, v); INSERT INTO finer VALUES ('A', 1), ('b', 2);
CREATE TABLE down (id INTEGER PRIMARY KEY DESC, v); INSERT INTO down VALUES (NULL, 1), (NULL, 1), (2, 1);",
        );
        let found = ledger(&sandbox, &db, &[]);
        for (table, deleted) in [("nulls", 2), ("folded", 2), ("finer", 1), ("down", 1)] {
            let entry = entry(&found, &db, table);
            assert_eq!((&entry["deleted"], &entry["inserted"]), (&json!(deleted), &json!(0)), "{found:#}");
            let loss = json!({ "what": "rows", "table": table, "count": deleted });
            assert!(found["lost"].as_array().unwrap().contains(&loss), "{found:#}");
        }
        accepting(&sandbox, &["upgrade"]);
        accepting(&sandbox, &["downgrade"]);
        let rows = |table: &str| db.query(&format!("SELECT count(*) FROM {table};"));
        assert_eq!(["nulls", "folded", "finer", "down"].map(rows), ["5", "4", "2", "3"]);
    }

    #[test]
    fn tables_of_a_thousand_columns_and_more_are_compared_like_others() {
        let db = TestDatabase::sqlite();
        let sandbox =
            with(&db, "UPDATE wide SET c7 = 'y'; UPDATE loose SET c7 = 'y' WHERE c8 = 1;", "SELECT 1;");
        let columns =
            |count: usize| (0..count).map(|number| format!("c{number}")).collect::<Vec<_>>().join(", ");
        let (wide, loose) = (columns(1050), columns(450));
        db.execute(&format!(
            "CREATE TABLE wide (id INTEGER PRIMARY KEY, {wide}); CREATE TABLE loose ({loose});
INSERT INTO wide (c7, c8) VALUES ('x', 1), ('x', 2); INSERT INTO loose (c7, c8) VALUES ('x', 1), ('x', 2);"
        ));
        let found = ledger(&sandbox, &db, &[]);
        assert_eq!(lost(&found), ["values c7", "values c7"], "{found:#}");
        assert_eq!(entry(&found, &db, "loose")["changed"], 1);
        accepting(&sandbox, &["upgrade"]).expect_code(0);
        accepting(&sandbox, &["downgrade"]).expect_code(0);
        assert_eq!(db.query("SELECT c7 FROM wide;"), "x\nx");
        // Found by the columns that stayed the same in their rows, and nobody wrote since.
        assert_eq!(db.query("SELECT c7 FROM loose;"), "x\nx");
    }

    #[test]
    fn a_key_of_other_letters_is_another_key_of_a_row_that_something_else_tells() {
        let db = TestDatabase::sqlite();
        let changes = "UPDATE folded SET id = 'A' WHERE id = 'a'; UPDATE bare SET id = 'A' WHERE id = 'a';";
        let sandbox = with(&db, changes, "SELECT 1;");
        db.execute("CREATE TABLE folded (id TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, v TEXT); INSERT INTO folded VALUES ('a', 'x'), ('b', 'y');
CREATE TABLE bare (id TEXT NOT NULL PRIMARY KEY COLLATE NOCASE); INSERT INTO bare VALUES ('a'), ('b');");
        let found = ledger(&sandbox, &db, &[]);
        let counts = |table: &str| {
            let entry = entry(&found, &db, table);
            ["inserted", "deleted", "changed"].map(|name| entry[name].as_u64().expect("a number"))
        };
        assert_eq!(counts("folded"), [0, 0, 1], "{found:#}");
        assert_eq!(counts("bare"), [1, 1, 0], "{found:#}");
    }
}
