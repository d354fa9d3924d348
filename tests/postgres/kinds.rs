//! Each kind of object is in the catalog, also where it is the only one of its kind: of kinds that there are none of nothing
//! is asked.

use crate::bench::Bench;
use crate::support::block_on;
use ripcord::catalog::TableName;
use ripcord::engine::Database;
use ripcord::report::Progress;

/// What makes one, what drops it, and what it is called in the catalog.
const KINDS: [(&str, &str, &str); 26] = [
    ("CREATE VIEW v AS SELECT 1 AS a", "DROP VIEW v", "view public.v"),
    ("CREATE MATERIALIZED VIEW v AS SELECT 1 AS a", "DROP MATERIALIZED VIEW v", "materialized view public.v"),
    ("CREATE SEQUENCE s", "DROP SEQUENCE s", "sequence public.s"),
    ("CREATE TYPE e AS ENUM ('a')", "DROP TYPE e", "type public.e"),
    ("CREATE TYPE c AS (a integer)", "DROP TYPE c", "type public.c"),
    ("CREATE TYPE r AS RANGE (subtype = date)", "DROP TYPE r CASCADE", "type public.r"),
    ("CREATE TYPE shell", "DROP TYPE shell", "type public.shell"),
    ("CREATE DOMAIN d AS integer", "DROP DOMAIN d", "domain public.d"),
    (
        "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "DROP FUNCTION f",
        "function public.f()",
    ),
    ("CREATE PROCEDURE p() LANGUAGE sql AS ''", "DROP PROCEDURE p", "procedure public.p()"),
    (
        "CREATE AGGREGATE g(integer) (SFUNC = int4pl, STYPE = integer)",
        "DROP AGGREGATE g(integer)",
        "aggregate public.g(integer)",
    ),
    (
        "CREATE OPERATOR ## (FUNCTION = int4pl, LEFTARG = integer, RIGHTARG = integer)",
        "DROP OPERATOR ## (integer, integer)",
        "operator public.##(integer,integer)",
    ),
    (
        "CREATE OPERATOR CLASS o FOR TYPE integer USING btree AS OPERATOR 1 <",
        "DROP OPERATOR FAMILY o USING btree",
        "operator class public.o USING btree",
    ),
    ("CREATE CAST (integer AS point) WITH INOUT", "DROP CAST (integer AS point)", "cast integer AS point"),
    ("CREATE COLLATION o FROM \"C\"", "DROP COLLATION o", "collation public.o"),
    ("CREATE LANGUAGE l HANDLER plpgsql_call_handler", "DROP LANGUAGE l", "language l"),
    (
        "CREATE TEXT SEARCH CONFIGURATION o (COPY = simple)",
        "DROP TEXT SEARCH CONFIGURATION o",
        "text search configuration public.o",
    ),
    (
        "CREATE TEXT SEARCH DICTIONARY o (TEMPLATE = simple)",
        "DROP TEXT SEARCH DICTIONARY o",
        "text search dictionary public.o",
    ),
    ("CREATE FOREIGN DATA WRAPPER w", "DROP FOREIGN DATA WRAPPER w", "foreign data wrapper w"),
    (
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w",
        "DROP FOREIGN DATA WRAPPER w CASCADE",
        "foreign server s",
    ),
    ("CREATE PUBLICATION p", "DROP PUBLICATION p", "publication p"),
    (
        "CREATE FUNCTION ev() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER t ON \
         sql_drop WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION ev()",
        "DROP EVENT TRIGGER t; DROP FUNCTION ev",
        "event trigger t",
    ),
    (
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app",
        "ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM app",
        "default privileges postgres everywhere r",
    ),
    ("SELECT lo_create(7)", "SELECT lo_unlink(7)", "large objects all"),
    ("CREATE STATISTICS o ON a, b FROM t", "DROP STATISTICS o", "statistics public.o"),
    ("CREATE RULE o AS ON DELETE TO t DO INSTEAD NOTHING", "DROP RULE o ON t", "rule public.t.o"),
];

#[test]
fn each_kind_of_object_is_in_the_catalog_also_where_it_is_the_only_one() {
    let bench = Bench::start();
    bench.server.psql("app", "CREATE TABLE t (a integer, b integer)");
    block_on(async {
        let database = bench.database().await;
        let empty = database.catalog().await.expect("read");
        for (made, dropped, name) in KINDS {
            bench.server.psql("app", made);
            let found = database.catalog().await.expect("read");
            let names: Vec<_> = found.objects.keys().collect();
            assert!(found.objects.contains_key(name), "{made}: no {name:?} in {names:?}");
            bench.server.psql("app", dropped);
            assert_eq!(database.catalog().await.expect("read"), empty, "{dropped}");
        }
    });
}

#[test]
fn a_policy_and_a_trigger_are_in_the_catalog_also_where_they_are_the_only_ones() {
    let bench = Bench::start();
    bench.server.psql("app", "CREATE TABLE t (a integer)");
    block_on(async {
        let database = bench.database().await;
        bench.server.psql("app", "CREATE POLICY p ON t USING (a > 0)");
        let found = database.catalog().await.expect("read");
        assert_eq!(found.tables.values().map(|table| table.policies.len()).sum::<usize>(), 1);
        bench.server.psql(
            "app",
            "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        );
        let found = database.catalog().await.expect("read");
        assert_eq!(found.tables.values().map(|table| table.triggers.len()).sum::<usize>(), 1);
    });
}

#[test]
fn whom_a_table_inherits_from_and_where_its_rows_are_is_in_the_catalog_also_of_the_only_one() {
    let bench = Bench::start();
    bench.server.psql("app", "CREATE TABLE t (a integer)");
    block_on(async {
        let database = bench.database().await;
        for (made, table, option, said) in [
            ("CREATE TABLE child () INHERITS (t)", "child", "inherits", "public.t"),
            (
                "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; \
                 CREATE FOREIGN TABLE far (a integer) SERVER s OPTIONS (x 'y')",
                "far",
                "server",
                "s x=y",
            ),
        ] {
            bench.server.psql("app", made);
            let found = database.catalog().await.expect("read");
            let options = &found.tables[&TableName::qualified("public", table)].options;
            assert_eq!(options.get(option).map(String::as_str), Some(said), "{made}: {options:?}");
        }
    });
}

#[test]
fn what_prints_the_name_of_another_object_or_is_computed_anew_is_named_as_not_compared() {
    let bench = Bench::start();
    let make = |sql: &str| bench.server.psql_as("app", "app", sql);
    make("CREATE DOMAIN d AS regtype; CREATE DOMAIN many AS d[]; CREATE DOMAIN n AS integer[]");
    make("CREATE TABLE t (a regclass, b regclass[], c d, d d[], e many, f n, g oid, h text)");
    make("CREATE MATERIALIZED VIEW v AS SELECT 1 AS a");
    block_on(async {
        let database = bench.database().await;
        let print = database.inventory(&Progress::silent()).await.expect("read").fingerprint;
        let left_out: Vec<_> = print.not_compared.iter().map(|one| one.subject.as_str()).collect();
        let columns = ["a", "b", "c", "d", "e"].map(|name| format!("column public.t.{name}"));
        assert_eq!(left_out, [&columns[..], &["materialized view public.v".to_string()]].concat());
        let kept: Vec<_> =
            print.tables[&TableName::qualified("public", "t")].columns.keys().cloned().collect();
        assert_eq!(kept, ["f", "g", "h"]);
    });
}
