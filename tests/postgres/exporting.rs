//! Exports come back by stock `COPY`, value by value.

use crate::bench::Bench;
use crate::support::block_on;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ripcord::catalog::{TableName, quote};
use ripcord::engine::sqlite::{OpenOptions, SqliteDatabase};
use ripcord::engine::{Database, Error, Selection};
use ripcord::report::Progress;
use ripcord::tabular::{Draft, Sidecar};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

async fn try_export(
    database: &dyn Database,
    folder: &Path,
    selections: &[Selection],
) -> Result<Vec<(PathBuf, Sidecar)>, Error> {
    let draft = Arc::new(
        Draft::begin(folder, selections.iter().map(|asked| asked.name().to_string()).collect())
            .expect("a draft"),
    );
    let exported = database.export_rows(selections, draft.clone(), &Progress::silent()).await?;
    let at = "2026-11-23T18:15:00Z".parse().expect("a time");
    Ok(draft
        .publish(&ripcord::tabular::Made::all(selections, exported), database.identity(), at)
        .expect("published"))
}

fn export(bench: &Bench, folder: &str, selections: &[Selection]) -> Vec<(PathBuf, Sidecar)> {
    let folder = bench.folder.path().join(folder);
    block_on(async { try_export(&bench.database().await, &folder, selections).await }).expect("exported")
}

fn table(name: &str) -> Selection {
    Selection::Table(name.to_string())
}

fn query(sql: &str) -> Selection {
    Selection::Query { name: "asked".to_string(), sql: sql.to_string() }
}

/// Unpacks a CSV to where the server's own user may read it.
fn unpacked(path: &Path) -> tempfile::TempPath {
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    let mode = PermissionsExt::from_mode(0o644);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in("/tmp").unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    file.into_temp_path()
}

/// Loads a CSV with plain `COPY`, by the server itself.
fn load(bench: &Bench, path: &Path, into: &str) {
    let file = unpacked(path);
    let copy = format!("COPY {into} FROM '{}' (FORMAT csv, HEADER);", file.display());
    // Money has no spelling that every locale reads.
    bench.server.psql("app", &format!("SET lc_monetary = 'C'; {copy}"));
}

fn digests(bench: &Bench, names: &[&TableName]) -> Vec<(u64, String)> {
    let inventory =
        block_on(async { bench.as_superuser().await.inventory(&Progress::silent()).await }).expect("read");
    let one = |name: &&TableName| {
        let print = &inventory.fingerprint.tables[*name];
        (print.rows, print.digest.to_string())
    };
    names.iter().map(one).collect()
}

/// A type, and values of it that are easily damaged.
const TYPES: [(&str, &[&str]); 36] = [
    (
        "text",
        &[
            "''",
            "E'\\\\N'",
            "E'\\\\.'",
            "E'a\\n\\\\.\\nb'",
            "'\"'",
            "','",
            "E'\\r'",
            "E'\\n'",
            "E'a\\r\\nb'",
            "E'\\t\\b\\f\\x0b\\x01'",
            "' x '",
            "'NULL'",
            "'é€𝄞'",
            "repeat('wide', 100000)",
        ],
    ),
    ("varchar(9)", &["''", "'\"\"'", "'a,b'"]),
    ("char(3)", &["'a'", "''", "'\"'"]),
    ("\"char\"", &["'a'", "''", "','"]),
    ("name", &["'n'", "'\"'"]),
    ("mood", &["'sad'", "'it''s, ok'", "'\"'"]),
    ("smallint", &["-32768", "32767"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807", "0"]),
    ("oid", &["4294967295"]),
    ("boolean", &["true", "false"]),
    ("float4", &["'NaN'", "'-Infinity'", "1e-45", "3.4028235e38", "0.1"]),
    (
        "float8",
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "'-0'",
            "5e-324",
            "1.7976931348623157e308",
            "0.1",
            "2.2250738585072011e-308",
        ],
    ),
    (
        "numeric",
        &[
            "repeat('9', 1000)::numeric",
            "('0.' || repeat('0', 999) || '1')::numeric",
            "'NaN'",
            "1.10",
            "-0.00",
        ],
    ),
    ("numeric(20, 6)", &["1.1", "-99999999999999.999999"]),
    ("money", &["12.5", "-1234567.89", "0"]),
    ("date", &["'4713-01-01 BC'", "'infinity'", "'-infinity'", "'5874897-12-31'", "'0044-03-15 BC'"]),
    ("timestamp", &["'4713-11-24 00:00:00 BC'", "'infinity'", "'2026-11-23 18:15:00.000001'"]),
    ("timestamptz", &["'-infinity'", "'2026-11-23 18:15:00+05:45'", "'0001-01-01 00:00:00 BC'"]),
    ("time", &["'24:00:00'", "'00:00:00.000001'"]),
    ("timetz", &["'12:00:00-15:59'", "'00:00:00+00'"]),
    ("interval", &["'1 mon -2 days +03:04:05.6'", "'-178000000 years'", "'0'"]),
    ("bytea", &["''", "'\\x00ff0a0d225c'", "decode(repeat('00', 2000), 'hex')"]),
    ("uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    ("inet", &["'10.0.0.1/8'", "'::1'"]),
    ("cidr", &["'10.0.0.0/8'"]),
    ("bit(3)", &["'101'"]),
    ("varbit", &["''", "'1010101'"]),
    ("json", &["E'{ \"a\":  [1, \"\\\\u00e9\\\\n\"],\\n\"b\": null}'", "'\"\"'", "'null'"]),
    ("jsonb", &["'{\"a\": 1.10, \"b\": \"\\\"\"}'", "'[]'", "'\"\"'"]),
    ("text[]", &["'{}'", "ARRAY[NULL, 'NULL', '', E'a\"b\\\\,\\n', '{']", "ARRAY[ARRAY['a'], ARRAY[NULL]]"]),
    ("int4[]", &["'[0:1]={1,2}'", "'{{1},{NULL}}'"]),
    ("pair", &["ROW(NULL, NULL)", "ROW(1, E'a,\"b\\n\\\\')", "ROW(2, '')"]),
    ("pair[]", &["ARRAY[ROW(1, '{\"x\"}')::pair, NULL]"]),
    ("int4range", &["'empty'", "'(,)'", "'[1,5)'"]),
    ("tsvector", &["'a:1 ''b''''c'':2A'::tsvector"]),
    ("point", &["'(NaN,-Infinity)'", "'(0.1,1e-320)'"]),
];

const NAMES: [&str; 8] = ["Select", "we\"ird", "two words", "new\nline", "é", "a,b", "zz", "../up"];

/// Types that not every server has.
fn optional(bench: &Bench) -> Vec<(&'static str, &'static [&'static str])> {
    let mut types: Vec<(&str, &[&str])> = Vec::new();
    if bench.server.try_psql_as("postgres", "app", "SELECT '<a/>'::xml;").is_ok() {
        types.push(("xml", &["'<a b=\"1\">\n</a>'", "'just text, \"quoted\"'"]));
    }
    if bench.server.major() >= 14 {
        types.push(("int4multirange", &["'{}'", "'{[1,3),[5,)}'"]));
    }
    if bench.server.try_psql_as("postgres", "app", "CREATE EXTENSION hstore;").is_ok() {
        types.push(("hstore", &["'a=>NULL, \"b,\"=>\"\\\"\"'", "''"]));
    }
    types
}

#[test]
fn any_table_of_postgres_comes_back_from_its_export() {
    let bench = Bench::start();
    bench.server.psql_as(
        "app",
        "app",
        "CREATE SCHEMA loaded; CREATE TYPE mood AS ENUM ('sad', 'it''s, ok', '\"'); CREATE TYPE pair AS (a integer, b text);",
    );
    let mut types = TYPES.to_vec();
    types.extend(optional(&bench));
    let picks = proptest::collection::vec(any::<proptest::sample::Index>(), 5);
    let shape = (0usize..8, picks.clone(), proptest::collection::vec(picks, 0..8));
    let mut runner = TestRunner::new(Config { failure_persistence: None, cases: 14, ..Config::default() });
    // Every type with all its values, then chosen ones side by side.
    for (number, group) in types.chunks(6).enumerate() {
        let most = group.iter().map(|of_type| of_type.1.len()).max().unwrap_or(0);
        let value = |row: usize, values: &[&'static str]| values.get(row).copied().unwrap_or("NULL");
        let rows =
            (0..=most).map(|row| group.iter().map(|of_type| value(row, of_type.1)).collect()).collect();
        let names: Vec<&str> = NAMES[..group.len()].to_vec();
        comes_back(&bench, number, &names, &group.iter().map(|of_type| of_type.0).collect::<Vec<_>>(), rows);
    }
    let outcome = runner.run(&shape, |(first, columns, rows)| {
        let columns: Vec<_> = columns.iter().map(|pick| pick.get(&types)).collect();
        let names: Vec<&str> = (0..columns.len()).map(|place| NAMES[(first + place) % NAMES.len()]).collect();
        let value =
            |(pick, column): (&proptest::sample::Index, &&(&'static str, &'static [&'static str]))| {
                let place = pick.index(column.1.len() + 1);
                column.1.get(place).copied().unwrap_or("NULL")
            };
        let rows = rows.iter().map(|row| row.iter().zip(&columns).map(value).collect()).collect();
        comes_back(&bench, first, &names, &columns.iter().map(|column| column.0).collect::<Vec<_>>(), rows);
        Ok(())
    });
    outcome.unwrap();
}

/// Makes a table, exports it, loads the file into another one and compares.
fn comes_back(bench: &Bench, number: usize, names: &[&str], types: &[&str], rows: Vec<Vec<&str>>) {
    let name = TableName::qualified("public", NAMES[number % NAMES.len()]);
    let twin = TableName::qualified("loaded", name.name.clone());
    let columns: Vec<String> =
        names.iter().zip(types).map(|(name, of_type)| format!("{} {of_type}", quote(name))).collect();
    let mut sql = format!("DROP TABLE IF EXISTS {}, {};", name.sql(), twin.sql());
    sql += &format!("CREATE TABLE {} ({});", name.sql(), columns.join(", "));
    sql += &format!("CREATE TABLE {} (LIKE {});", twin.sql(), name.sql());
    for row in &rows {
        sql += &format!("INSERT INTO {} VALUES ({});", name.sql(), row.join(", "));
    }
    bench.server.psql_as("app", "app", &sql);
    let folder = tempfile::tempdir_in(bench.folder.path()).unwrap();
    let folder = folder.path().join("out");
    let selection = [table(&name.to_string())];
    let exports = block_on(async { try_export(&bench.database().await, &folder, &selection).await });
    let (path, sidecar) = exports.expect("exported").remove(0);
    load(bench, &path, &twin.sql());
    let [before, after] = digests(bench, &[&name, &twin]).try_into().expect("two");
    assert_eq!(after, before, "{types:?} {rows:?}");
    assert_eq!((sidecar.rows, sidecar.digest.to_string()), before, "{types:?} {rows:?}");
    assert_eq!(before.0, rows.len() as u64);
}

#[test]
fn tables_views_partitions_and_queries_of_postgres_are_exported_at_one_instant() {
    let bench = Bench::start();
    bench.server.psql_as(
        "app",
        "app",
        "CREATE SCHEMA shop; ALTER ROLE app SET search_path = shop;
         CREATE TABLE shop.item (id integer PRIMARY KEY, name text, twice integer GENERATED ALWAYS AS (id * 2) STORED);
         INSERT INTO shop.item VALUES (1, 'a'), (2, NULL), (3, '');
         CREATE VIEW shop.named AS SELECT name FROM shop.item WHERE name IS NOT NULL;
         CREATE TABLE shop.part (id integer) PARTITION BY LIST (id);
         CREATE TABLE shop.part_1 PARTITION OF shop.part FOR VALUES IN (1);
         INSERT INTO shop.part VALUES (1); CREATE TABLE shop.nothing (); INSERT INTO shop.nothing DEFAULT VALUES;",
    );
    let asked = query("SELECT id, name AS n, name AS n FROM item ORDER BY id DESC -- the last first");
    if bench.server.major() >= 14 {
        let ranges =
            query("SELECT int4multirange(int4range(1, 2)) AS m, 'x' AS t -- a type that no driver knows");
        let (path, sidecar) = export(&bench, "ranges", &[ranges]).remove(0);
        assert_eq!(std::fs::read_to_string(unpacked(&path)).unwrap(), "m,t\n\"{[1,2)}\",\"x\"\n");
        assert_eq!(sidecar.columns[0].type_name, "int4multirange");
    }
    let selections = [table("item"), table("shop.named"), table("part"), table("nothing"), asked];
    let exports = export(&bench, "out", &selections);
    let shown: Vec<String> =
        exports.iter().map(|(path, _)| std::fs::read_to_string(unpacked(path)).unwrap()).collect();
    assert_eq!(shown[0], "id,name\n1,\"a\"\n2,\n3,\"\"\n");
    assert_eq!(shown[1], "name\n\"a\"\n\"\"\n");
    assert_eq!(shown[2], "id\n1\n");
    assert_eq!(shown[3], "\n\n");
    assert_eq!(shown[4], "id,n,n\n\"3\",\"\",\"\"\n\"2\",,\n\"1\",\"a\",\"a\"\n");
    let item = &exports[0].1;
    assert_eq!(item.table, Some(TableName::qualified("shop", "item")));
    assert_eq!(
        (item.key.as_slice(), item.left_out.as_slice()),
        (&["id".to_string()][..], &["twice".to_string()][..])
    );
    assert_eq!(exports[4].1.columns[1].type_name, "text");
}

#[test]
fn what_is_no_table_of_postgres_is_refused_and_nothing_stays() {
    let bench = Bench::start();
    bench.server.psql_as(
        "app",
        "app",
        "CREATE TABLE t (a integer); CREATE SEQUENCE s; CREATE INDEX i ON t (a);",
    );
    let folder = bench.folder.path().join("out");
    let wrong = [
        table("nowhere"),
        table("s"),
        table("i"),
        query("SELEC 1"),
        query("SELECT 1) TO STDOUT; DROP TABLE t; SELECT (1"),
        query("SELECT 1; SELECT 2"),
        query("SELECT nothing FROM t"),
    ];
    block_on(async {
        let database = bench.database().await;
        for selection in wrong {
            let outcome = try_export(&database, &folder, &[table("t"), selection]).await;
            assert!(matches!(outcome, Err(Error::NotExportable { .. })), "{outcome:?}");
            assert!(!folder.exists());
        }
        // Found while the rows are read: the query's own doing as well.
        let outcome =
            try_export(&database, &folder, &[query("SELECT 1 / (a - a) FROM (VALUES (1)) AS v (a)")]).await;
        assert!(
            matches!(&outcome, Err(Error::NotExportable { detail, .. }) if detail.contains("division by zero")),
            "{outcome:?}"
        );
        // The transaction that reads may not write.
        let writes = query("SELECT nextval('s')");
        assert!(try_export(&database, &folder, &[writes]).await.is_err());
        assert!(!folder.exists());
    });
    assert_eq!(bench.server.psql("app", "SELECT count(*) FROM t;").trim(), "0");
}

#[test]
fn a_large_table_of_postgres_comes_back_whole_and_in_order() {
    let bench = Bench::start();
    bench.server.psql_as(
        "app",
        "app",
        "CREATE TABLE t (z integer, a text); CREATE TABLE twin (LIKE t);
         INSERT INTO t SELECT g, repeat(E'line\\n\"', g % 40) FROM generate_series(1, 60000) g;",
    );
    let (path, sidecar) = export(&bench, "out", &[table("t")]).remove(0);
    load(&bench, &path, "twin");
    let name = |name: &str| TableName::qualified("public", name);
    let found = digests(&bench, &[&name("t"), &name("twin")]);
    assert_eq!(found, vec![(60_000, sidecar.digest.to_string()); 2]);
    let mut reader = ripcord::tabular::csv::Reader::new(std::io::BufReader::new(
        std::fs::File::open(unpacked(&path)).unwrap(),
    ));
    let mut numbers = Vec::new();
    while let Some(record) = reader.record().unwrap() {
        numbers.push(String::from_utf8(record[0].bytes.clone()).unwrap());
    }
    let scanned = bench.server.psql("app", "SELECT z FROM t;");
    assert!(numbers[1..].iter().map(String::as_str).eq(scanned.lines()), "the order of the server");
}

/// `psql` before version 18 looks for a line that is only `\.` even inside quotes. It is the tool, not the file: the server
/// reads it, and `psql` fails instead of loading a part.
#[test]
fn psql_before_18_stops_at_a_line_of_postgres_end_mark_and_says_so() {
    let bench = Bench::start();
    bench.server.psql_as(
        "app",
        "app",
        "CREATE TABLE t (a text); INSERT INTO t VALUES (E'a\\n\\\\.\\nb'); CREATE TABLE twin (a text);",
    );
    let (path, _) = export(&bench, "out", &[table("t")]).remove(0);
    let file = unpacked(&path);
    let copy = format!("\\copy twin from '{}' csv header\n", file.display());
    let loaded = bench.server.try_psql_as("app", "app", &copy);
    let rows = bench.server.psql("app", "SELECT count(*) FROM twin;");
    let expected = if bench.server.major() < 18 { (false, "0") } else { (true, "1") };
    assert_eq!((loaded.is_ok(), rows.trim()), expected, "{loaded:?}");
}

#[test]
fn an_export_of_sqlite_loads_into_postgres() {
    let bench = Bench::start();
    let place = bench.folder.path().join("app.db");
    let connection = rusqlite::Connection::open(&place).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE t (i INTEGER, r REAL, s TEXT, b BLOB);
             INSERT INTO t VALUES (9223372036854775807, 1.0, 'say \"ah\"', x'00ff'), (NULL, 9e999, '', x''),
                (-9223372036854775808, -9e999, char(10) || '\\.' || char(10), NULL), (0, 5e-324, '\\x00', x'0a');",
        )
        .unwrap();
    drop(connection);
    let folder = bench.folder.path().join("out");
    let database = SqliteDatabase::open(&place, OpenOptions::default()).unwrap();
    let (path, _) = block_on(try_export(&database, &folder, &[table("t")])).expect("exported").remove(0);
    bench.server.psql("app", "CREATE TABLE t (i bigint, r float8, s text, b bytea);");
    load(&bench, &path, "t");
    let same = "SELECT count(*) FROM t JOIN (VALUES
        (9223372036854775807, 1.0::float8, 'say \"ah\"', '\\x00ff'::bytea), (NULL, 'Infinity', '', ''),
        (-9223372036854775808, '-Infinity', E'\\n\\\\.\\n', NULL), (0, '5e-324', E'\\\\x00', '\\x0a')) v (i, r, s, b)
        ON (t.i, t.r, t.s, t.b) IS NOT DISTINCT FROM (v.i, v.r, v.s, v.b);";
    assert_eq!(bench.server.psql("app", same).trim(), "4");
}
