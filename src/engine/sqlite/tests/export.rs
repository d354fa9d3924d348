//! Exports hold every row, in order, and every value comes back from them.

use super::super::OpenOptions;
use super::support::{SHOP, Scratch, silent};
use crate::base::Cancel;
use crate::catalog::{TableName, quote};
use crate::engine::{Database, Error, Scalar, Selection};
use crate::fingerprint::TableFingerprint;
use crate::tabular::csv::Reader;
use crate::tabular::{Draft, Sidecar};
use flate2::read::MultiGzDecoder;
use proptest::prelude::*;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn table(name: &str) -> Selection {
    Selection::Table(name.to_string())
}

fn query(sql: &str) -> Selection {
    Selection::Query { name: "asked".to_string(), sql: sql.to_string() }
}

async fn export_with(
    scratch: &Scratch,
    options: OpenOptions,
    folder: &Path,
    selections: &[Selection],
) -> Result<Vec<(PathBuf, Sidecar)>, Error> {
    let database = scratch.open_with(options);
    let draft = Arc::new(
        Draft::begin(folder, selections.iter().map(|asked| asked.name().to_string()).collect())
            .expect("a draft"),
    );
    let exported = database.export_rows(selections, draft.clone(), &silent()).await?;
    let at = super::support::clock().0;
    Ok(draft
        .publish(&crate::tabular::Made::all(selections, exported), database.identity(), at)
        .expect("published"))
}

async fn export(scratch: &Scratch, name: &str, selections: &[Selection]) -> Vec<(PathBuf, Sidecar)> {
    let folder = scratch.folder().join(name);
    export_with(scratch, OpenOptions::default(), &folder, selections).await.expect("exported")
}

async fn fingerprint(scratch: &Scratch, name: &str) -> TableFingerprint {
    let inventory = scratch.open().inventory(&silent()).await.expect("an inventory");
    inventory.fingerprint.tables[&TableName::plain(name)].clone()
}

fn text(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    MultiGzDecoder::new(std::fs::File::open(path).expect("the file")).read_to_end(&mut bytes).expect("gzip");
    bytes
}

/// Inserts what the CSV holds into the table of another database.
fn load(path: &Path, into: &Scratch, table: &str) {
    let bytes = text(path);
    let mut reader = Reader::new(BufReader::new(bytes.as_slice()));
    let header = reader.record().expect("CSV").expect("a header");
    let names: Vec<String> =
        header.iter().map(|field| quote(std::str::from_utf8(&field.bytes).expect("UTF-8"))).collect();
    let marks = vec!["?"; names.len()].join(", ");
    let sql = format!("INSERT INTO {} ({}) VALUES ({marks})", quote(table), names.join(", "));
    let connection = into.connect();
    let mut statement = connection.prepare(&sql).expect("an insert");
    while let Some(record) = reader.record().expect("CSV") {
        let cells: Vec<Scalar> =
            record.into_iter().map(|field| field.into_scalar().expect("a value")).collect();
        statement.execute(rusqlite::params_from_iter(cells.iter().map(bound))).expect("inserted");
    }
}

fn bound(cell: &Scalar) -> ToSqlOutput<'_> {
    match cell {
        Scalar::Null => ToSqlOutput::Owned(Value::Null),
        Scalar::Integer(number) => ToSqlOutput::Owned(Value::Integer(*number)),
        Scalar::Real(number) => ToSqlOutput::Owned(Value::Real(*number)),
        Scalar::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text)),
        Scalar::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
    }
}

fn cells() -> impl Strategy<Value = Scalar> {
    let reals = vec![0.0, -0.0, 1.0, 5e-324, 2.5e-310, f64::MAX, f64::INFINITY, f64::NEG_INFINITY];
    let texts =
        vec!["", "\\N", "\\.", "a\n\\.\nb", "\"", ",", "\r\n", "\0", "a\0b", "\\x00", "1", "1.0", "NULL"];
    prop_oneof![
        Just(Scalar::Null),
        any::<i64>().prop_map(Scalar::Integer),
        proptest::sample::select(vec![i64::MIN, i64::MAX, 0, -1]).prop_map(Scalar::Integer),
        any::<f64>().prop_map(Scalar::Real),
        proptest::sample::select(reals).prop_map(Scalar::Real),
        "\\PC{0,8}".prop_map(|text| Scalar::Text(text.into_bytes())),
        proptest::sample::select(texts).prop_map(|text| Scalar::Text(text.as_bytes().to_vec())),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Scalar::Text),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Scalar::Blob),
    ]
}

/// Names that are awkward in SQL, in CSV or as a file.
const NAMES: [&str; 8] = ["Select", "we\"ird", "two words", "new\nline", "é", "a,b", "zz", "../up"];
const TYPES: [&str; 6] = ["", "INTEGER", "TEXT", "REAL", "NUMERIC", "BLOB"];
const ENCODINGS: [&str; 3] = ["UTF-8", "UTF-16le", "UTF-16be"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_table_comes_back_from_its_export(
        rows in proptest::collection::vec(proptest::collection::vec(cells(), 4), 0..12),
        first in 0usize..8, types in proptest::collection::vec(0usize..6, 4), encoding in 0usize..3, shape in 0u8..3,
    ) {
        let name = |place: usize| NAMES[(first + place) % NAMES.len()];
        let columns: Vec<String> =
            (0..4).map(|place| format!("{} {}", quote(name(place)), TYPES[types[place]])).collect();
        let (extra, ending) = match shape {
            0 => ("", ""),
            1 => ("k INTEGER PRIMARY KEY, g AS (k + 1), ", ""),
            _ => ("k INTEGER, g AS (k + 1) STORED, ", ", PRIMARY KEY (k)) WITHOUT ROWID; --"),
        };
        let schema = format!(
            "PRAGMA encoding = '{}'; CREATE TABLE {} ({extra}{}{ending})",
            ENCODINGS[encoding], quote(name(5)), columns.join(", ")
        );
        let (source, target) = (Scratch::with(&schema), Scratch::with(&schema));
        {
            let connection = source.connect();
            for (number, row) in rows.iter().enumerate() {
                let (names, marks) = if shape == 0 { ("", "?, ?, ?, ?".to_string()) } else { ("k, ", format!("{number}, ?, ?, ?, ?")) };
                let names = (0..4).fold(names.to_string(), |list, place| list + &quote(name(place)) + ", ");
                let sql = format!("INSERT INTO {} ({}) VALUES ({marks})", quote(name(5)), names.trim_end_matches(", "));
                connection.execute(&sql, rusqlite::params_from_iter(row.iter().map(bound))).expect("inserted");
            }
        }
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (sidecar, before, after) = runtime.block_on(async {
            let (path, sidecar) = export(&source, "out", &[table(name(5))]).await.remove(0);
            load(&path, &target, name(5));
            (sidecar, fingerprint(&source, name(5)).await, fingerprint(&target, name(5)).await)
        });
        prop_assert_eq!(&after, &before);
        prop_assert_eq!(sidecar.rows, before.rows);
        prop_assert_eq!(&sidecar.key, &before.key);
        if shape == 0 {
            prop_assert_eq!(sidecar.digest, before.digest);
        } else {
            prop_assert_eq!(sidecar.left_out, ["g"]);
        }
    }
}

#[tokio::test]
async fn any_number_of_workers_writes_the_same_rows_in_the_same_order() {
    let scratch = Scratch::with(
        "CREATE TABLE rows (id INTEGER PRIMARY KEY, a TEXT, b REAL);
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
        INSERT INTO rows SELECT i, printf('%100d', i), i / 7.0 FROM n;
        -- A gap, rows far apart, rows close together, and both ends of what a rowid can be.
        INSERT INTO rows SELECT 100000 + id * id * 4000000, a, b FROM rows WHERE id < 9000;
        INSERT INTO rows VALUES (-9223372036854775808, 'first', 1), (9223372036854775807, 'last', 2);
        CREATE TABLE pairs (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID;
        INSERT INTO pairs SELECT id, a FROM rows;",
    );
    let selections = [table("rows"), table("pairs"), query("SELECT * FROM rows ORDER BY id")];
    let mut seen: Option<Vec<Vec<u8>>> = None;
    for workers in [1, 2, 8] {
        let options = OpenOptions { workers, ..OpenOptions::default() };
        let folder = scratch.folder().join(format!("by{workers}"));
        let exports = export_with(&scratch, options, &folder, &selections).await.expect("exported");
        let texts: Vec<Vec<u8>> = exports.iter().map(|(path, _)| text(path)).collect();
        assert!(texts[0] == texts[2], "{workers} workers keep the order of the rowids");
        assert!(*seen.get_or_insert_with(|| texts.clone()) == texts, "{workers} workers");
        for (_, sidecar) in &exports[..2] {
            let print = fingerprint(&scratch, &sidecar.name).await;
            assert_eq!((sidecar.rows, sidecar.digest), (print.rows, print.digest), "{}", sidecar.name);
        }
    }
    let lines = seen.expect("seen")[0].iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, 1 + 60_000 + 8_999 + 2);
}

#[tokio::test]
async fn views_virtual_tables_and_queries_are_exported_as_well() {
    let scratch = Scratch::with(SHOP);
    scratch.run(
        "CREATE VIEW dear AS SELECT name, amount FROM customer JOIN purchase ON customer.id = customer_id;
        CREATE VIRTUAL TABLE words USING fts5(word); INSERT INTO words VALUES ('parachute');",
    );
    let selections =
        [table("Dear"), table("words"), table("\"customer\""), query("SELECT 1 AS a, 'x' AS a; -- end")];
    let exports = export(&scratch, "out", &selections).await;
    let shown: Vec<String> =
        exports.iter().map(|(path, _)| String::from_utf8(text(path)).expect("UTF-8")).collect();
    assert_eq!(shown[0], "name,amount\n\"ada\",10.5\n\"ada\",\n\"edsger\",-0.25\n");
    assert_eq!(shown[1], "word\n\"parachute\"\n");
    assert_eq!(shown[2], "id,name\n1,\"ada\"\n2,\"grace\"\n3,\"edsger\"\n");
    assert_eq!(shown[3], "a,a\n1,\"x\"\n");
    assert_eq!(exports[0].1.table, Some(TableName::plain("dear")));
    assert_eq!(exports[3].1.columns[0].type_name, "");
}

#[tokio::test]
async fn what_has_no_rows_or_would_write_is_refused_and_nothing_stays() {
    let scratch = Scratch::with(SHOP);
    let before = scratch.files();
    let wrong = [
        table("nowhere"),
        query("SELEC 1"),
        query("DELETE FROM customer"),
        query("SELECT 1; SELECT 2"),
        query("SELECT ?1"),
        query("SELECT nothing FROM customer"),
    ];
    for selection in wrong {
        let folder = scratch.folder().join("out");
        let selections = [table("customer"), selection];
        let outcome = export_with(&scratch, OpenOptions::default(), &folder, &selections).await;
        assert!(matches!(outcome, Err(Error::NotExportable { .. })), "{outcome:?}");
        assert_eq!(scratch.files(), before);
    }
}

#[tokio::test]
async fn an_export_that_is_stopped_leaves_nothing() {
    let scratch = Scratch::with(SHOP);
    let before = scratch.files();
    let endless = query("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n");
    let cancel = Cancel::new();
    let options = OpenOptions { cancel: cancel.clone(), ..OpenOptions::default() };
    let folder = scratch.folder().join("out");
    let stop = async {
        let begun = || std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
        while !begun() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let selections = [endless];
    let (outcome, ()) = tokio::join!(export_with(&scratch, options, &folder, &selections), stop);
    assert!(matches!(outcome, Err(Error::Interrupted)), "{outcome:?}");
    assert_eq!(scratch.files(), before);
}

#[tokio::test]
async fn rows_wider_than_a_block_come_back() {
    let scratch = Scratch::with(
        "CREATE TABLE wide (id INTEGER PRIMARY KEY, b BLOB);
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12)
        INSERT INTO wide SELECT i, zeroblob(3000000) FROM n;",
    );
    let (path, sidecar) = export(&scratch, "out", &[table("wide")]).await.remove(0);
    let target = Scratch::with("CREATE TABLE wide (id INTEGER PRIMARY KEY, b BLOB)");
    load(&path, &target, "wide");
    assert_eq!(fingerprint(&target, "wide").await.digest, sidecar.digest);
}
