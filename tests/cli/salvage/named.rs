//! Whatever is salvaged because it is lost has a hazard by name, so that `--deny loss` and consent see it.

use super::*;
use std::collections::BTreeSet;

/// One migration of one table, and whether it loses something.
struct Case {
    table: &'static str,
    made: &'static str,
    up: String,
    down: String,
    hazard: Option<&'static str>,
}

fn case(
    table: &'static str,
    made: &'static str,
    up: &str,
    down: &str,
    hazard: impl Into<Option<&'static str>>,
) -> Case {
    let named = |sql: &str| sql.replace("$t", table);
    Case { table, made, up: named(up), down: named(down), hazard: hazard.into() }
}

/// A column `c` that becomes another type and goes back to its own.
fn retyped(
    table: &'static str,
    made: &'static str,
    to: &str,
    back: &str,
    hazard: impl Into<Option<&'static str>>,
) -> Case {
    let alter = |what: &str| format!("ALTER TABLE $t ALTER COLUMN c TYPE {what};");
    case(table, made, &alter(to), &alter(back), hazard)
}

/// What both engines do alike.
fn of_both() -> Vec<Case> {
    vec![
        case(
            "gone",
            "(id INTEGER PRIMARY KEY, c INTEGER); INSERT INTO $t VALUES (1, 1)",
            "DROP TABLE $t;",
            "SELECT 1;",
            "drops-table:gone",
        ),
        case(
            "bare",
            "(id INTEGER PRIMARY KEY, c INTEGER); INSERT INTO $t VALUES (1, 1)",
            "ALTER TABLE $t DROP COLUMN c;",
            "ALTER TABLE $t ADD COLUMN c INTEGER;",
            "drops-column:bare.c",
        ),
        case(
            "fewer",
            "(id INTEGER PRIMARY KEY, c INTEGER); INSERT INTO $t VALUES (1, 1), (2, 2)",
            "DELETE FROM $t WHERE id = 2;",
            "SELECT 1;",
            "deletes-rows:fewer",
        ),
        case(
            "zeroed",
            "(id INTEGER PRIMARY KEY, c INTEGER); INSERT INTO $t VALUES (1, 1), (2, 2)",
            "UPDATE $t SET c = 0;",
            "SELECT 1;",
            "overwrites-values:zeroed.c",
        ),
        // The same rows under keys of another kind, and under new numbers in the end.
        case(
            "rekeyed",
            "(id INTEGER PRIMARY KEY, c INTEGER); INSERT INTO $t VALUES (7, 41), (8, 42)",
            "CREATE TABLE rekeyed_new (id VARCHAR(9) PRIMARY KEY, c INTEGER); INSERT INTO rekeyed_new SELECT 'k' || id, c FROM $t; DROP TABLE $t; ALTER TABLE rekeyed_new RENAME TO $t;",
            "CREATE TABLE rekeyed_new (id INTEGER PRIMARY KEY, c INTEGER); INSERT INTO rekeyed_new SELECT row_number() OVER (ORDER BY c), c FROM $t; DROP TABLE $t; ALTER TABLE rekeyed_new RENAME TO $t;",
            "narrows-type:rekeyed.id",
        ),
        // The old values are put aside, and the way back takes them away.
        case(
            "aside",
            "(id INTEGER PRIMARY KEY, c INTEGER); INSERT INTO $t VALUES (1, 1), (2, 2)",
            "ALTER TABLE $t ADD COLUMN old INTEGER; UPDATE $t SET old = c; UPDATE $t SET c = 0;",
            "ALTER TABLE $t DROP COLUMN old;",
            "overwrites-values:aside.c",
        ),
        case(
            "turned",
            "(id INTEGER PRIMARY KEY, c INTEGER); INSERT INTO $t VALUES (1, 1), (2, 2)",
            "UPDATE $t SET c = -c;",
            "UPDATE $t SET c = -c;",
            None,
        ),
    ]
}

fn of_postgres() -> Vec<Case> {
    vec![
        // What four bytes print may be what eight printed, and is another number.
        retyped(
            "digits",
            "(id INTEGER PRIMARY KEY, c FLOAT8); INSERT INTO $t VALUES (1, 0.1), (2, 0.5)",
            "REAL",
            "FLOAT8",
            "narrows-type:digits.c",
        ),
        retyped(
            "loose",
            "(id INTEGER, c FLOAT8); INSERT INTO $t VALUES (1, 0.1), (2, 0.5)",
            "REAL",
            "FLOAT8",
            "narrows-type:loose.c",
        ),
        retyped(
            "keyed",
            "(c FLOAT8 PRIMARY KEY, v INTEGER); INSERT INTO $t VALUES (0.1, 1), (0.5, 2)",
            "REAL",
            "FLOAT8",
            "narrows-type:keyed.c",
        ),
        retyped(
            "scale",
            "(id INTEGER PRIMARY KEY, c NUMERIC(12,4)); INSERT INTO $t VALUES (1, 1.2345), (2, 1)",
            "NUMERIC(12,2)",
            "NUMERIC(12,4)",
            "narrows-type:scale.c",
        ),
        retyped(
            "day",
            "(id INTEGER PRIMARY KEY, c TIMESTAMPTZ); INSERT INTO $t VALUES (1, '2026-11-23 18:15:00+00')",
            "DATE",
            "TIMESTAMPTZ",
            "narrows-type:day.c",
        ),
        retyped(
            "fraction",
            "(id INTEGER PRIMARY KEY, c TIMESTAMP(6)); INSERT INTO $t VALUES (1, '2026-11-23 18:15:00.123456')",
            "TIMESTAMP(0)",
            "TIMESTAMP(6)",
            "narrows-type:fraction.c",
        ),
        retyped(
            "big",
            "(id INTEGER PRIMARY KEY, c BIGINT); INSERT INTO $t VALUES (1, 16777217), (2, 3)",
            "REAL",
            "BIGINT",
            "narrows-type:big.c",
        ),
        retyped(
            "cut",
            "(id INTEGER PRIMARY KEY, c TEXT); INSERT INTO $t VALUES (1, 'abcdef'), (2, 'ab')",
            "VARCHAR(3) USING left(c, 3)",
            "TEXT",
            "narrows-type:cut.c",
        ),
        retyped(
            "spelling",
            "(id INTEGER PRIMARY KEY, c JSON); INSERT INTO $t VALUES (1, '{\"a\":1,  \"a\":2}')",
            "JSONB",
            "JSON",
            "narrows-type:spelling.c",
        ),
        // The hour that comes twice a year.
        retyped(
            "clock",
            "(id INTEGER PRIMARY KEY, c TIMESTAMPTZ); INSERT INTO $t VALUES (1, '2026-10-25 00:30:00+00'), (2, '2026-10-25 01:30:00+00')",
            "TIMESTAMP USING c AT TIME ZONE 'Europe/Berlin'",
            "TIMESTAMPTZ USING c AT TIME ZONE 'Europe/Berlin'",
            "narrows-type:clock.c",
        ),
        retyped(
            "wider",
            "(id INTEGER PRIMARY KEY, c INTEGER); INSERT INTO $t VALUES (1, 7)",
            "BIGINT",
            "INTEGER",
            None,
        ),
        retyped(
            "enough",
            "(id INTEGER PRIMARY KEY, c FLOAT8); INSERT INTO $t VALUES (1, 0.1)",
            "REAL",
            "FLOAT8 USING c::text::float8",
            None,
        ),
    ]
}

/// A table that is made anew with other columns.
fn rebuilt(
    table: &'static str,
    made: &'static str,
    columns: [&str; 2],
    selected: [&str; 2],
    hazard: &'static str,
) -> Case {
    let anew = |place: usize| {
        format!(
            "CREATE TABLE $t_anew ({}); INSERT INTO $t_anew SELECT {} FROM $t; DROP TABLE $t; ALTER TABLE $t_anew RENAME TO $t;",
            columns[place], selected[place]
        )
    };
    case(table, made, &anew(0), &anew(1), hazard)
}

fn of_sqlite() -> Vec<Case> {
    vec![
        rebuilt(
            "number",
            "(id INTEGER PRIMARY KEY, c TEXT); INSERT INTO $t VALUES (1, '007'), (2, '7')",
            ["id INTEGER PRIMARY KEY, c INTEGER", "id INTEGER PRIMARY KEY, c TEXT"],
            ["id, CAST(c AS INTEGER)", "id, CAST(c AS TEXT)"],
            "narrows-type:number.c",
        ),
        // Not cast, and turned all the same by what the column prefers.
        rebuilt(
            "affinity",
            "(id INTEGER PRIMARY KEY, c TEXT); INSERT INTO $t VALUES (1, '1.50'), (2, 'x')",
            ["id INTEGER PRIMARY KEY, c NUMERIC", "id INTEGER PRIMARY KEY, c TEXT"],
            ["id, c", "id, c"],
            "narrows-type:affinity.c",
        ),
        rebuilt(
            "whole",
            "(id INTEGER PRIMARY KEY, c REAL); INSERT INTO $t VALUES (1, 1.5), (2, 2.0)",
            ["id INTEGER PRIMARY KEY, c INTEGER", "id INTEGER PRIMARY KEY, c REAL"],
            ["id, CAST(c AS INTEGER)", "id, c"],
            "narrows-type:whole.c",
        ),
    ]
}

/// The tables that something is salvaged of.
fn salvaged(sandbox: &Sandbox, db: &TestDatabase) -> BTreeSet<String> {
    let names = files(sandbox).into_iter().filter_map(|file| {
        let name = file.strip_suffix(".csv.gz")?.to_owned();
        name.strip_suffix(".values").or(name.strip_suffix(".rows")).map(str::to_owned)
    });
    let schema = if db.backend() == Backend::Postgres { "public." } else { "" };
    names.map(|name| name.strip_prefix(schema).unwrap_or(&name).to_owned()).collect()
}

both_engines! {
    fn whatever_is_salvaged_has_a_hazard_by_name_and_nothing_else_has(db: &TestDatabase) {
        let own = if db.backend() == Backend::Postgres { of_postgres() } else { of_sqlite() };
        let cases: Vec<Case> = of_both().into_iter().chain(own).collect();
        let joined = |part: &dyn Fn(&Case) -> String| cases.iter().map(part).collect::<Vec<_>>().join("\n");
        let sandbox = with(db, &joined(&|case| case.up.clone()), &joined(&|case| case.down.clone()));
        db.execute(&joined(&|case| format!("CREATE TABLE {} {};", case.table, case.made.replace("$t", case.table))));
        let expected: BTreeSet<String> = cases.iter().filter_map(|case| case.hazard.map(str::to_owned)).collect();

        let run = sandbox.ripcord(&["rehearse", "--deny", "loss", "--format", "json"]);
        run.expect_code(3);
        let hazards = report(&run)["result"]["hazards"].as_array().expect("a list").clone();
        let found: BTreeSet<String> = hazards.iter().map(|held| held["hazard"].as_str().expect("a name").to_owned()).collect();
        assert_eq!(found, expected, "{run}");

        at(&sandbox, 2);
        accepting(&sandbox, &["upgrade"]);
        let named = cases.iter().filter(|case| case.hazard.is_some()).map(|case| case.table.to_owned());
        assert_eq!(salvaged(&sandbox, db), named.collect::<BTreeSet<_>>());
    }
}

#[test]
fn values_that_read_the_same_in_another_type_are_named_and_kept_where_there_is_no_way_back() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    let up = "ALTER TABLE digits ALTER COLUMN c TYPE REAL; ALTER TABLE wider ALTER COLUMN c TYPE BIGINT;
ALTER TABLE coded ALTER COLUMN c TYPE TEXT; DROP TYPE code;";
    let path = sandbox.revision(NEXT, &[ADD_PROCESS_RANK], up, "");
    let text = std::fs::read_to_string(&path).unwrap();
    let (start, _) = text.split_once("-- ripcord:downgrade").unwrap();
    std::fs::write(&path, start).unwrap();
    db.execute(
        "CREATE TABLE digits (id INTEGER PRIMARY KEY, c FLOAT8); INSERT INTO digits VALUES (1, 0.1), (2, 0.5);
CREATE TABLE wider (id INTEGER PRIMARY KEY, c INTEGER); INSERT INTO wider VALUES (1, 7);
CREATE TYPE code AS ENUM ('a', 'b'); CREATE TABLE coded (id INTEGER PRIMARY KEY, c code); INSERT INTO coded VALUES (1, 'b');",
    );
    let run = sandbox.ripcord(&["rehearse", "--deny", "loss", "--format", "json"]);
    run.expect_code(3);
    let lost = json!([{ "what": "values", "table": "public.digits", "column": "c", "count": 1,
        "retyped": { "before": "double precision", "after": "real" } }]);
    assert_eq!(report(&run)["result"]["ledger"]["lost"], lost, "{run}");
    at(&sandbox, 2);
    accepting(&sandbox, &["upgrade"]);
    assert_eq!(salvaged(&sandbox, &db), BTreeSet::from(["digits".to_owned()]));
    assert_eq!(rows(&sandbox, &db, "digits", "values"), ["id,c", "1,0.1", "2,0.5"]);
}
