//! A real run that went further than its rehearsal: what both have kept is merged once.

use super::*;

/// Something that is true in the real database alone: a copy has another name, and lies elsewhere.
fn is_real(db: &TestDatabase) -> String {
    match db.backend() {
        Backend::Sqlite => {
            let file = db.file().display().to_string();
            format!("EXISTS (SELECT 1 FROM pragma_database_list WHERE file = '{file}')")
        }
        Backend::Postgres => format!("current_database() = '{}'", db.query("SELECT current_database();")),
    }
}

both_engines! {
    fn a_conflict_of_what_was_kept_twice_is_counted_and_listed_once(db: &TestDatabase) {
        for key in ["PRIMARY KEY NOT NULL", ""] {
            let made = PEOPLE.replace("PRIMARY KEY", key);
            let up = format!("UPDATE person SET phone = NULL WHERE id <= CASE WHEN {} THEN 3 ELSE 2 END;", is_real(db));
            let sandbox = project(db, &made, FIVE, &up, "SELECT 1;");
            // Verification may refuse what ended otherwise than on the copy.
            accepting(&sandbox, &["upgrade", "--on-failure", "stop"]);
            let exports = sandbox.backups().pop().expect("a backup").join("exports");
            let files = ["values", "values.later"].map(|what| exports.join(format!("{}.{what}.csv.gz", named(db, "person"))));
            assert_eq!(files.each_ref().map(|file| file.exists()), [true, true], "{key}");
            db.execute("UPDATE person SET phone = '99' WHERE id = 1; UPDATE person SET phone = '88' WHERE id = 3; DELETE FROM person WHERE id = 5;");
            let result = downgrade(&sandbox);
            assert_eq!(counts(&result, db, "person", Some("phone")), [1, 1, 1, 2], "{key} {result:#}");
            let merge = &result["merge"];
            assert_eq!((merge["merged"].as_array().map(Vec::len), &merge["conflict_count"]), (Some(1), &json!(2)), "{merge:#}");
            assert_eq!(merge["conflicts"].as_array().map(Vec::len), Some(2), "{merge:#}");
            let kept = format!("SELECT ours, theirs FROM {} ORDER BY ours;", side_table(&result));
            assert_eq!(db.query(&kept), "11|99\n33|88", "{key}");
            assert_eq!(db.query("SELECT id, phone FROM person ORDER BY id;"), "1|99\n2|22\n3|88\n4|");
            forget(db);
        }
    }

    fn a_value_that_the_real_run_alone_took_from_a_row_that_lost_another_one_on_the_copy_too_is_put_back(db: &TestDatabase) {
        let made = "CREATE TABLE t (id INTEGER PRIMARY KEY, a VARCHAR(9), b VARCHAR(9));";
        let filled = "INSERT INTO t VALUES (1, 'a1', 'b1'), (2, 'a2', 'b2'), (3, 'a3', 'b3'), (4, 'a4', 'b4'), (5, 'a5', 'b5'), (6, 'a6', 'b6');";
        let up = format!("UPDATE t SET a = NULL WHERE id <= CASE WHEN {} THEN 4 ELSE 1 END; ALTER TABLE t DROP COLUMN b;", is_real(db));
        let sandbox = project(db, made, filled, &up, "ALTER TABLE t ADD COLUMN b VARCHAR(9);");
        accepting(&sandbox, &["upgrade", "--on-failure", "stop"]);
        let exports = sandbox.backups().pop().expect("a backup").join("exports");
        let files = ["values", "values.later"].map(|what| exports.join(format!("{}.{what}.csv.gz", named(db, "t"))));
        assert_eq!(files.each_ref().map(|file| file.exists()), [true, true]);
        db.execute("UPDATE t SET a = 'mine' WHERE id = 3; DELETE FROM t WHERE id = 4; UPDATE t SET a = 'also mine' WHERE id = 6;");
        let result = downgrade(&sandbox);
        let rows = db.query("SELECT id, a, b FROM t ORDER BY id;");
        assert_eq!(rows, "1|a1|b1\n2|a2|b2\n3|mine|b3\n5|a5|b5\n6|also mine|b6", "{result:#}");
        assert_eq!(counts(&result, db, "t", Some("b")), [5, 0, 1, 0], "{result:#}");
        // Nothing says that the sixth one lost nothing: the second file has it because of b.
        assert_eq!(counts(&result, db, "t", Some("a")), [2, 1, 1, 2], "{result:#}");
        let kept = format!("SELECT ours, theirs FROM {} ORDER BY ours;", side_table(&result));
        assert_eq!(db.query(&kept), "a3|mine\na6|also mine");
    }

    fn a_row_without_a_key_that_was_kept_twice_is_put_back_or_told_once(db: &TestDatabase) {
        let made = PEOPLE.replace("PRIMARY KEY", "");
        let up = format!("DELETE FROM person WHERE id <= CASE WHEN {} THEN 3 ELSE 2 END;", is_real(db));
        let sandbox = project(db, &made, FIVE, &up, "SELECT 1;");
        db.execute("INSERT INTO person VALUES (1, 'ada', '11'), (3, 'eve', '33');");
        accepting(&sandbox, &["upgrade", "--on-failure", "stop"]);
        let exports = sandbox.backups().pop().expect("a backup").join("exports");
        let files = ["rows", "rows.later"].map(|what| exports.join(format!("{}.{what}.csv.gz", named(db, "person"))));
        assert_eq!(files.each_ref().map(|file| file.exists()), [true, true]);
        db.execute("INSERT INTO person VALUES (2, 'bob', '22');");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", None), [4, 0, 0, 1], "{result:#}");
        let merge = &result["merge"];
        assert_eq!((merge["merged"].as_array().map(Vec::len), &merge["conflict_count"]), (Some(1), &json!(1)), "{merge:#}");
        let rows = "SELECT id, count(*) FROM person GROUP BY id ORDER BY id;";
        assert_eq!(db.query(rows), "1|2\n2|1\n3|2\n4|1\n5|1");
    }

    fn a_conflict_of_rows_without_a_key_is_counted_once_where_the_real_run_took_another_column_as_well(db: &TestDatabase) {
        let made = PEOPLE.replace("PRIMARY KEY", "");
        let up = format!("UPDATE person SET phone = NULL WHERE id <= 2; UPDATE person SET name = 'x' WHERE id = 3 AND {};", is_real(db));
        let sandbox = project(db, &made, FIVE, &up, "SELECT 1;");
        accepting(&sandbox, &["upgrade", "--on-failure", "stop"]);
        let exports = sandbox.backups().pop().expect("a backup").join("exports");
        let files = ["values", "values.later"].map(|what| exports.join(format!("{}.{what}.csv.gz", named(db, "person"))));
        assert_eq!(files.each_ref().map(|file| file.exists()), [true, true]);
        db.execute("UPDATE person SET phone = '99' WHERE id = 1; UPDATE person SET name = 'mine' WHERE id = 3;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("phone")), [1, 0, 0, 1], "{result:#}");
        let merge = &result["merge"];
        assert_eq!((&merge["conflict_count"], merge["conflicts"].as_array().map(Vec::len)), (&json!(2), Some(2)), "{merge:#}");
        let kept = format!("SELECT \"column\", ours, theirs FROM {} ORDER BY ours;", side_table(&result));
        assert_eq!(db.query(&kept), "phone|11|99\nname|eve|mine");
        assert_eq!(db.query("SELECT * FROM person ORDER BY id;"), "1|ada|99\n2|bob|22\n3|mine|33\n4|kim|\n5|zoe|55");
    }

    fn a_conflict_of_rows_without_a_key_is_counted_once_where_the_real_run_deleted_as_well(db: &TestDatabase) {
        let made = PEOPLE.replace("PRIMARY KEY", "");
        let up = format!("UPDATE person SET phone = NULL WHERE id <= 2; DELETE FROM person WHERE id = 3 AND {};", is_real(db));
        let sandbox = project(db, &made, FIVE, &up, "SELECT 1;");
        accepting(&sandbox, &["upgrade", "--on-failure", "stop"]);
        db.execute("UPDATE person SET phone = '99' WHERE id = 1;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("phone")), [1, 3, 0, 1], "{result:#}");
        assert_eq!(counts(&result, db, "person", None), [1, 0, 0, 0]);
        assert_eq!(result["merge"]["conflict_count"], 1);
        assert_eq!(db.query("SELECT * FROM person ORDER BY id;"), "1|ada|99\n2|bob|22\n3|eve|33\n4|kim|\n5|zoe|55");
    }

    fn what_only_the_real_run_did_to_all_columns_of_a_table_without_a_key_is_a_conflict_and_no_failure(db: &TestDatabase) {
        let made = PEOPLE.replace("PRIMARY KEY", "");
        let real = is_real(db);
        let up = format!("UPDATE person SET id = id + 10, name = name || 'x', phone = phone || '0' WHERE id < 9 AND {real};");
        let sandbox = project(db, &made, "INSERT INTO person VALUES (1, 'ada', '11'), (2, 'bob', '22');", &up, "SELECT 1;");
        accepting(&sandbox, &["upgrade", "--on-failure", "stop"]);
        let run = accepting(&sandbox, &["downgrade"]);
        run.expect_code(0).stdout_has("nothing says which row is which");
        assert_eq!(db.query("SELECT * FROM person ORDER BY id;"), "11|adax|110\n12|bobx|220");
    }
}
