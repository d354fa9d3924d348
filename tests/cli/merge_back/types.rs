//! Values of types with a length or precision, and types that are others by the time of the merge.

use super::*;

#[test]
fn values_and_keys_of_types_with_a_length_or_precision_come_back() {
    let db = TestDatabase::postgres();
    let columns = [
        ("c", "CHAR(5)", "'ab'"),
        ("n", "NUMERIC(8,2)", "12.50"),
        ("b", "BIT(3)", "B'101'"),
        ("ts", "TIMESTAMP(3)", "'2026-11-23 18:15:00.123'"),
        ("v", "VARCHAR(7)", "'v  '"),
        ("iv", "INTERVAL DAY TO SECOND(1)", "'1 day 00:00:01.5'"),
    ];
    let list =
        |of: &dyn Fn(&(&str, &str, &str)) -> String| columns.iter().map(of).collect::<Vec<_>>().join(", ");
    let one = list(&|(name, kind, _)| format!("{name} {kind}"));
    let mut made = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {one});");
    let values = list(&|(.., value)| value.to_string());
    let mut filled = format!("INSERT INTO t VALUES (1, {values}), (2, NULL, NULL, NULL, NULL, NULL, NULL);");
    let drops = list(&|(name, ..)| format!("DROP COLUMN {name}"));
    let adds = list(&|(name, kind, _)| format!("ADD COLUMN {name} {kind}"));
    let (mut up, mut down) = (format!("ALTER TABLE t {drops};"), format!("ALTER TABLE t {adds};"));
    for (name, kind, value) in columns {
        made += &format!("CREATE TABLE key_{name} (k {kind} PRIMARY KEY, v INTEGER);");
        filled += &format!("INSERT INTO key_{name} VALUES ({value}, 7);");
        up += &format!("ALTER TABLE key_{name} DROP COLUMN v;");
        down += &format!("ALTER TABLE key_{name} ADD COLUMN v INTEGER;");
    }
    let sandbox = project(&db, &made, &filled, &up, &down);
    let before = db.query("SELECT * FROM t ORDER BY id;");
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(db.query("SELECT * FROM t ORDER BY id;"), before);
    for (name, ..) in columns {
        assert_eq!(counts(&result, &db, "t", Some(name)), [1, 0, 0, 0], "{name}");
        assert_eq!(counts(&result, &db, &format!("key_{name}"), Some("v")), [1, 0, 0, 0], "{name}");
    }
}

#[test]
fn a_value_that_its_enum_or_domain_does_not_take_now_is_a_conflict_and_the_others_come_back() {
    let db = TestDatabase::postgres();
    let made = "CREATE TYPE mood AS ENUM ('a', 'b', 'legacy'); CREATE DOMAIN small AS INTEGER;
CREATE TABLE t (id INTEGER PRIMARY KEY, m mood, s small, n INTEGER); CREATE TABLE gone (id INTEGER PRIMARY KEY, m mood);";
    let filled = "INSERT INTO t VALUES (1, 'legacy', 5, 10), (2, 'a', 500, 20), (3, 'b', NULL, NULL);
INSERT INTO gone VALUES (1, 'legacy'), (2, 'a');";
    let up = "ALTER TYPE mood RENAME TO mood_old; CREATE TYPE mood AS ENUM ('a', 'b'); UPDATE t SET m = 'b'; UPDATE t SET s = 0, n = 0;
ALTER TABLE t ALTER m TYPE mood USING m::text::mood; DELETE FROM gone; ALTER TABLE gone ALTER m TYPE mood USING m::text::mood;
DROP TYPE mood_old; ALTER DOMAIN small ADD CONSTRAINT below CHECK (VALUE < 100);";
    let sandbox = project(&db, made, filled, up, "SELECT 1;");
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "t", Some("m")), [1, 1, 0, 1]);
    assert_eq!(counts(&result, &db, "t", Some("s")), [2, 0, 0, 1]);
    assert_eq!(counts(&result, &db, "t", Some("n")), [3, 0, 0, 0]);
    assert_eq!(counts(&result, &db, "gone", None), [1, 0, 0, 1]);
    assert_eq!(
        db.query("SELECT * FROM t ORDER BY id; SELECT * FROM gone;"),
        "1|b|5|10\n2|a|0|20\n3|b||\n2|a"
    );
    let side = side_table(&result);
    let kept = db.query(&format!("SELECT \"table\", \"column\", ours, reason FROM {side} ORDER BY 1, 2;"));
    let why = "the type of the column does not take the value now";
    assert_eq!(
        kept,
        format!(
            "public.gone||{{\"id\":1,\"m\":\"legacy\"}}|{why}\npublic.t|m|legacy|{why}\npublic.t|s|500|{why}"
        )
    );
}

#[test]
fn a_table_with_a_type_that_no_driver_knows_is_salvaged_and_merged() {
    let db = TestDatabase::postgres();
    if db.server().major() < 14 {
        return;
    }
    let made = "CREATE TABLE t (id INTEGER PRIMARY KEY, m int4multirange, r int4range, n INTEGER);";
    let filled = "INSERT INTO t VALUES (1, '{[1,3),[5,7)}', '[1,2)', 1), (2, '{}', NULL, 2);";
    let sandbox = project(
        &db,
        made,
        filled,
        "ALTER TABLE t DROP COLUMN m; DELETE FROM t WHERE id = 2; UPDATE t SET r = NULL;",
        "ALTER TABLE t ADD COLUMN m int4multirange;",
    );
    upgrade(&sandbox);
    downgrade(&sandbox);
    assert_eq!(db.query("SELECT id, m, r, n FROM t ORDER BY id;"), "1|{[1,3),[5,7)}|[1,2)|1\n2|{}||2");
}

#[test]
fn a_composite_value_of_which_a_field_is_null_is_a_value() {
    let db = TestDatabase::postgres();
    let made = "CREATE TYPE address AS (street TEXT, zip INTEGER);
CREATE TABLE t (id INTEGER PRIMARY KEY, lives address); CREATE TABLE loose (n INTEGER, lives address);";
    let filled =
        "INSERT INTO t VALUES (1, ROW('Main St', NULL)), (2, ROW('a', 1)), (3, ROW(NULL, NULL)), (4, NULL);
INSERT INTO loose VALUES (1, ROW('x', NULL)), (1, ROW('x', NULL)), (2, ROW(NULL, 5));";
    let up = "ALTER TABLE t DROP COLUMN lives; ALTER TABLE loose DROP COLUMN lives;";
    let down = "ALTER TABLE t ADD COLUMN lives address; ALTER TABLE loose ADD COLUMN lives address;";
    let sandbox = project(&db, made, filled, up, down);
    let all = "SELECT * FROM t ORDER BY id; SELECT * FROM loose ORDER BY n;";
    let before = db.query(all);
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "t", Some("lives")), [3, 0, 0, 0]);
    assert_eq!(counts(&result, &db, "loose", Some("lives")), [3, 0, 0, 0]);
    assert_eq!(db.query(all), before);
}

#[test]
fn a_composite_value_of_which_every_field_is_null_is_neither_overwritten_nor_refused() {
    let db = TestDatabase::postgres();
    let made = "CREATE TYPE address AS (street TEXT, zip INTEGER);
CREATE TABLE t (id INTEGER PRIMARY KEY, lives address, works address NOT NULL);";
    let filled =
        "INSERT INTO t VALUES (1, ROW('a', 1), ROW(NULL, NULL)), (2, ROW('b', 2), ROW('Main St', NULL));";
    let up = "UPDATE t SET lives = NULL, works = ROW('', 0);";
    let sandbox = project(&db, made, filled, up, "SELECT 1;");
    upgrade(&sandbox);
    db.execute("UPDATE t SET lives = ROW(NULL, NULL) WHERE id = 1;");
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "t", Some("lives")), [1, 0, 0, 1]);
    assert_eq!(counts(&result, &db, "t", Some("works")), [2, 0, 0, 0]);
    assert_eq!(db.query("SELECT * FROM t ORDER BY id;"), "1|(,)|(,)\n2|(b,2)|(\"Main St\",)");
}

/// What stands in the side table: where, what was salvaged, and why it is there.
fn side_rows(db: &TestDatabase, result: &Value) -> String {
    let side = side_table(result);
    db.query(&format!("SELECT \"table\", \"key\", \"column\", ours, reason FROM {side} ORDER BY 1, 2, 3;"))
}

#[test]
fn a_value_that_does_not_fit_the_type_its_column_has_now_is_a_conflict_and_the_others_come_back() {
    let db = TestDatabase::postgres();
    let made = "CREATE TABLE t (id INTEGER PRIMARY KEY, v VARCHAR(20), n BIGINT, d NUMERIC);
CREATE TABLE u (a INTEGER, v VARCHAR(20)); CREATE TABLE gone (id INTEGER PRIMARY KEY, v VARCHAR(20)); CREATE TABLE lost (v VARCHAR(20));";
    let filled = "INSERT INTO t VALUES (1, 'abcdefgh', 5000000000, 1.25), (2, 'abcde', 70000, 2.5), (3, NULL, 30, 3);
INSERT INTO u VALUES (1, 'abcdefgh'), (2, 'abcde'), (2, 'abcde');
INSERT INTO gone VALUES (1, 'abcdefgh'), (2, 'abcde'); INSERT INTO lost VALUES ('abcdefgh'), ('abcde'), ('abcde');";
    let up = "ALTER TABLE t ALTER v TYPE VARCHAR(3) USING left(v, 3), ALTER n TYPE SMALLINT USING 0, ALTER d TYPE INTEGER USING 0;
ALTER TABLE u ALTER v TYPE VARCHAR(3) USING left(v, 3); DELETE FROM gone; DELETE FROM lost;";
    let down = "ALTER TABLE t ALTER v TYPE VARCHAR(5), ALTER n TYPE INTEGER, ALTER d TYPE NUMERIC(8,1);
ALTER TABLE u ALTER v TYPE VARCHAR(5); ALTER TABLE gone ALTER v TYPE VARCHAR(5); ALTER TABLE lost ALTER v TYPE VARCHAR(5);";
    let sandbox = project(&db, made, filled, up, down);
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "t", Some("v")), [1, 1, 0, 1]);
    assert_eq!(counts(&result, &db, "t", Some("n")), [2, 0, 0, 1]);
    assert_eq!(counts(&result, &db, "t", Some("d")), [1, 0, 0, 2]);
    assert_eq!(counts(&result, &db, "u", Some("v")), [2, 0, 0, 1]);
    assert_eq!(counts(&result, &db, "gone", None), [1, 0, 0, 1]);
    assert_eq!(counts(&result, &db, "lost", None), [2, 0, 0, 1]);
    let all =
        "SELECT * FROM t ORDER BY id; SELECT * FROM u ORDER BY a; SELECT * FROM gone; SELECT * FROM lost;";
    assert_eq!(
        db.query(all),
        "1|abc|0|0.0\n2|abcde|70000|2.5\n3||30|0.0\n1|abc\n2|abcde\n2|abcde\n2|abcde\nabcde\nabcde"
    );
    let why = "the type of the column does not take the value now";
    let expected = [
        "public.gone|{\"id\":1}||{\"id\":1,\"v\":\"abcdefgh\"}",
        "public.lost|{\"v\":\"abcdefgh\"}||{\"v\":\"abcdefgh\"}",
        "public.t|{\"id\":1}|d|1.25",
        "public.t|{\"id\":1}|n|5000000000",
        "public.t|{\"id\":1}|v|abcdefgh",
        "public.t|{\"id\":3}|d|3",
        "public.u|{\"a\":1}|v|abcdefgh",
    ];
    let expected: Vec<String> = expected.iter().map(|row| format!("{row}|{why}")).collect();
    assert_eq!(side_rows(&db, &result), expected.join("\n"));
    sandbox.ripcord(&["verify"]).expect_code(0);
    leaves_nothing_behind(&sandbox, &db);
}

#[test]
fn a_row_whose_key_does_not_fit_the_type_that_it_has_now_is_a_conflict_and_not_called_deleted() {
    let db = TestDatabase::postgres();
    let made = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE u (a INTEGER, v TEXT);";
    let filled =
        "INSERT INTO t VALUES (1, 'one'), (70000, 'many'); INSERT INTO u VALUES (1, 'one'), (70000, 'many');";
    let drops = "ALTER TABLE t DROP COLUMN v; ALTER TABLE u DROP COLUMN v;";
    let adds = "ALTER TABLE t ADD COLUMN v TEXT; ALTER TABLE u ADD COLUMN v TEXT;";
    let sandbox = project(&db, made, filled, drops, adds);
    let backup =
        report(&accepting(&sandbox, &["upgrade", "--format", "json"]))["result"]["backup"]["id"].clone();
    accepting(&sandbox, &["downgrade", "--no-merge"]).expect_code(0);
    db.execute("UPDATE t SET id = 2 WHERE id = 70000; UPDATE u SET a = 2 WHERE a = 70000;");
    db.execute("ALTER TABLE t ALTER id TYPE SMALLINT; ALTER TABLE u ALTER a TYPE SMALLINT;");
    let run =
        sandbox.ripcord(&["backup", "merge-back", backup.as_str().expect("a backup"), "--format", "json"]);
    run.expect_code(0);
    let result = report(&run)["result"].clone();
    assert_eq!(counts(&result, &db, "t", Some("v")), [1, 0, 0, 1]);
    assert_eq!(counts(&result, &db, "u", Some("v")), [1, 0, 0, 1]);
    assert_eq!(db.query("SELECT * FROM t ORDER BY id; SELECT * FROM u ORDER BY a;"), "1|one\n2|\n1|one\n2|");
    let why = "the type of the column does not take the value now";
    let expected =
        format!("public.t|{{\"id\":\"70000\"}}|v|many|{why}\npublic.u|{{\"a\":\"70000\"}}|v|many|{why}");
    assert_eq!(side_rows(&db, &result), expected);
}

#[test]
fn a_value_that_its_column_would_turn_into_another_is_a_conflict_and_the_others_come_back() {
    let db = TestDatabase::sqlite();
    let made = "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT); CREATE TABLE u (a INTEGER, n TEXT);";
    let filled = "INSERT INTO t VALUES (1, '007'), (2, 'x'), (3, '9 lives'), (4, NULL); INSERT INTO u SELECT * FROM t;";
    let anew = |table: &str, first: &str| {
        format!("CREATE TABLE anew ({first}, n INTEGER); INSERT INTO anew SELECT {}, 0 FROM {table}; DROP TABLE {table};
ALTER TABLE anew RENAME TO {table};", first.split(' ').next().expect("a name"))
    };
    let up = format!("{}{}", anew("t", "id INTEGER PRIMARY KEY"), anew("u", "a INTEGER"));
    let sandbox = project(&db, made, filled, &up, "SELECT 1;");
    upgrade(&sandbox);
    let result = downgrade(&sandbox);
    assert_eq!(counts(&result, &db, "t", Some("n")), [3, 0, 0, 1]);
    assert_eq!(counts(&result, &db, "u", Some("n")), [3, 0, 0, 1]);
    let rows = "1|0\n2|x\n3|9 lives\n4|";
    assert_eq!(db.query("SELECT * FROM t; SELECT * FROM u ORDER BY a;"), format!("{rows}\n{rows}"));
    let why = "the column has another type now, and would hold another value";
    let expected = format!("t|{{\"id\":1}}|n|007|{why}\nu|{{\"a\":1}}|n|007|{why}");
    assert_eq!(side_rows(&db, &result), expected);
}
