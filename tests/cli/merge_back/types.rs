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
