//! Every value comes out of salvage as it was, whatever it is and whatever its column is called.

use super::*;

/// A table of hard values whose names are hard as well.
fn odd(db: &TestDatabase) -> &'static str {
    match db.backend() {
        Backend::Sqlite => {
            "CREATE TABLE \"Odd \"\"table\"\"\" (\"Id\" INTEGER PRIMARY KEY, \"group\" TEXT, \"B b\" BLOB, \"né\" NUMERIC);
INSERT INTO \"Odd \"\"table\"\"\" VALUES (1, NULL, NULL, NULL), (2, '', x'', 0), (3, 'say \"ah\", no', x'00ff0a', 1e300),
(4, 'line' || char(10) || 'two', 'a text', -9223372036854775808), (5, '\\N', 7, 'NaN'), (6, 'é漢😀', x'22', 0.1),
(7, 'a' || char(0) || 'b', 1.5, '12x'), (8, '\\x00', '\\x00', -0.0);"
        }
        Backend::Postgres => {
            "CREATE TABLE \"Odd \"\"table\"\"\" (\"Id\" INTEGER PRIMARY KEY, \"group\" TEXT, \"B b\" BYTEA, \"né\" NUMERIC, t TIMESTAMPTZ, r FLOAT8, a TEXT[], j JSONB);
INSERT INTO \"Odd \"\"table\"\"\" (\"Id\") VALUES (1);
INSERT INTO \"Odd \"\"table\"\"\" VALUES (2, '', '', 0, 'infinity', 'NaN', '{}', '{}'),
(3, 'say \"ah\", no', '\\x00ff0a', repeat('9', 500)::numeric, '0044-03-15 BC', '-Infinity', '{NULL,\"NULL\",\"a,b\"}', '[1, null]'),
(4, E'line\\ntwo', '\\x5c78', -0.10, '2026-11-24 01:02:03.000004+02', '-0', '{{a},{b}}', '\"\\\"\"'), (5, '\\N', '\\x22', 'NaN', NULL, 5e-324, NULL, 'null'),
(6, 'é漢😀', NULL, 1e-20, 'epoch', 0.1, '{\"\"}', '{\"k\": \"v\\n\"}'), (7, E'\\\\.', '\\x', 1, 'now', 1, '{x}', '0');"
        }
    }
}

const TABLE: &str = "\"Odd \"\"table\"\"\"";

/// The first file of this kind.
#[track_caller]
fn csv(sandbox: &Sandbox, kind: &str) -> String {
    let names = files(sandbox);
    let name = names.iter().find(|name| name.ends_with(&format!(".{kind}.csv.gz")));
    let name = name.unwrap_or_else(|| panic!("{names:?}"));
    newest(sandbox).join("exports").join(name).to_str().unwrap().to_owned()
}

fn unpacked(sandbox: &Sandbox, file: &str) -> Vec<u8> {
    let run =
        std::process::Command::new("gunzip").arg("-c").arg(sandbox.path(file)).output().expect("gunzip");
    assert!(run.status.success() && !run.stdout.is_empty(), "{run:?}");
    run.stdout
}

both_engines! {
    fn rows_of_a_dropped_table_are_those_of_an_export_by_hand(db: &TestDatabase) {
        let sandbox = with(db, &format!("DROP TABLE {TABLE};"), "");
        db.execute(odd(db));
        sandbox.ripcord(&["backup", "export", TABLE]).expect_code(0);
        at(&sandbox, 2);
        accepting(&sandbox, &["upgrade"]);
        let by_hand = sandbox.files("exports").into_iter().find(|name| name.ends_with(".csv.gz")).unwrap();
        let (kept, by_hand) = (unpacked(&sandbox, &csv(&sandbox, "rows")), unpacked(&sandbox, &format!("exports/{by_hand}")));
        assert!(kept == by_hand, "{}", String::from_utf8_lossy(&kept));
    }

    fn values_of_overwritten_columns_are_those_of_an_export_by_hand(db: &TestDatabase) {
        let columns = match db.backend() {
            Backend::Sqlite => vec!["group", "B b", "né"],
            Backend::Postgres => vec!["group", "B b", "né", "t", "r", "a", "j"],
        };
        let drop = |column: &&str| format!("ALTER TABLE {TABLE} DROP COLUMN \"{column}\";");
        let drops: String = columns.iter().map(drop).collect();
        let sandbox = with(db, &drops, "");
        db.execute(odd(db));
        let list: Vec<String> = columns.iter().map(|column| format!("\"{column}\"")).collect();
        let query = format!("all=SELECT \"Id\", {} FROM {TABLE} WHERE \"Id\" > 1", list.join(", "));
        sandbox.ripcord(&["backup", "export", "--query", &query]).expect_code(0);
        at(&sandbox, 2);
        accepting(&sandbox, &["upgrade"]);
        let (kept, by_hand) = (unpacked(&sandbox, &csv(&sandbox, "values")), unpacked(&sandbox, "exports/all.csv.gz"));
        assert!(kept == by_hand, "{}", String::from_utf8_lossy(&kept));
    }
}

#[test]
fn a_column_that_names_other_objects_is_salvaged_only_where_it_changed() {
    let db = TestDatabase::postgres();
    let sandbox = with(
        &db,
        "UPDATE named SET n = 0; UPDATE other SET rc = 'training_metric' WHERE id = 1;",
        "SELECT 1;",
    );
    for table in ["named", "other", "still"] {
        db.execute(&format!(
            "CREATE TABLE {table} (id INTEGER PRIMARY KEY, rc regclass, n INTEGER); \
             INSERT INTO {table} VALUES (1, 'training_config', 1), (2, 'training_config', 2);"
        ));
    }
    accepting(&sandbox, &["upgrade"]).expect_code(0);
    let names: Vec<String> = files(&sandbox).into_iter().filter(|file| file.ends_with(".csv.gz")).collect();
    assert_eq!(names, ["public.named.values.csv.gz", "public.other.values.csv.gz"]);
    assert_eq!(rows(&sandbox, &db, "named", "values")[0], "id,rc,n");
}

#[test]
fn without_a_way_back_a_composite_value_is_kept_although_a_field_of_it_is_null() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    let up = "ALTER TABLE t DROP COLUMN lives;";
    let path = sandbox.revision(NEXT, &[ADD_PROCESS_RANK], up, "");
    let text = std::fs::read_to_string(&path).unwrap();
    let (start, _) = text.split_once("-- ripcord:downgrade").unwrap();
    std::fs::write(&path, start).unwrap();
    db.execute(
        "CREATE TYPE address AS (street TEXT, zip INTEGER); CREATE TABLE t (id INTEGER PRIMARY KEY, lives address);
INSERT INTO t VALUES (1, ROW('Main St', NULL)), (2, ROW(NULL, NULL)), (3, NULL);",
    );
    accepting(&sandbox, &["upgrade"]).stdout_has("lives in 2 rows");
    assert_eq!(rows(&sandbox, &db, "t", "values"), ["id,lives", "1,\"(\"\"Main St\"\",)\"", "2,\"(,)\""]);
}
