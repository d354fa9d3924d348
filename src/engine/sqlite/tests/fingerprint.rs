//! Fingerprints and catalogs of live databases.

use super::super::OpenOptions;
use super::support::{SHOP, Scratch, silent};
use crate::catalog::{TableKind, TableName, diff};
use crate::engine::Database;
use crate::fingerprint::{Fingerprint, Inventory, compare};
use crate::report::{Event, Observer, Progress, Step};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

async fn inventory(scratch: &Scratch) -> Inventory {
    scratch.open().inventory(&silent()).await.expect("an inventory")
}

async fn fingerprint_by(scratch: &Scratch, workers: usize) -> Fingerprint {
    let database = scratch.open_with(OpenOptions { workers, ..OpenOptions::default() });
    database.inventory(&silent()).await.expect("an inventory").fingerprint
}

#[tokio::test]
async fn any_number_of_workers_finds_the_same() {
    let scratch = Scratch::with(
        "CREATE TABLE dense (id INTEGER PRIMARY KEY, a TEXT, b REAL);
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
        INSERT INTO dense SELECT i, 'row ' || i, i / 7.0 FROM n;
        CREATE TABLE sparse (a);
        INSERT INTO sparse (rowid, a) SELECT id * id * 4000000000, a FROM dense WHERE id < 9000;
        INSERT INTO sparse (rowid, a) VALUES (-9223372036854775808, 1), (9223372036854775807, 2);
        CREATE TABLE pairs (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID;
        INSERT INTO pairs SELECT id, a FROM dense;",
    );
    let one = fingerprint_by(&scratch, 1).await;
    assert_eq!(one.rows(), 40_000 + 9_001 + 40_000);
    for workers in [2, 3, 8] {
        assert_eq!(fingerprint_by(&scratch, workers).await, one, "{workers} workers");
    }
}

/// Remembers the rows that were done and how many there were said to be.
#[derive(Default)]
struct Told(Mutex<Vec<(u64, Option<u64>)>>);

impl Observer for Told {
    fn event(&self, event: &Event) {
        if let Event::Progress { done, total, .. } = event {
            self.0.lock().expect("whole").push((done.rows, total.map(|total| total.rows)));
        }
    }
}

async fn told(sql: &str) -> Vec<(u64, Option<u64>)> {
    let told = Arc::new(Told::default());
    let progress = Progress::new(told.clone(), Step::Verify);
    Scratch::with(sql).open().inventory(&progress).await.expect("an inventory");
    told.0.lock().expect("whole").clone()
}

#[tokio::test]
async fn reading_rows_says_how_many_there_are_where_their_numbers_tell() {
    let gap = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
        INSERT INTO t SELECT i, 'a row of the table, number ' || i FROM n;
        CREATE TABLE u (a); INSERT INTO u SELECT id FROM t; DELETE FROM t WHERE id BETWEEN 9000 AND 9999;";
    let told_of = told(gap).await;
    assert!(told_of.iter().all(|(done, total)| total.is_some_and(|total| *done <= total)), "{told_of:?}");
    // Whatever the gaps, at the end it is exact.
    assert_eq!(told_of.iter().max(), Some(&(59_000, Some(59_000))));

    let sparse =
        told("CREATE TABLE t (a); INSERT INTO t (rowid, a) VALUES (1, 1), (9223372036854775807, 2);").await;
    assert_eq!(
        sparse.last(),
        Some(&(2, None)),
        "two rows are not told to be as many as the numbers between them"
    );
}

#[tokio::test]
async fn every_column_is_bound_to_its_row() {
    let scratch = Scratch::with(SHOP);
    let before = inventory(&scratch).await;
    scratch.run("UPDATE customer SET name = CASE id WHEN 1 THEN 'grace' WHEN 2 THEN 'ada' ELSE name END");
    let after = inventory(&scratch).await;
    let name = TableName::plain("customer");
    let (old, new) = (&before.fingerprint.tables[&name], &after.fingerprint.tables[&name]);
    assert_eq!(old.columns["id"], new.columns["id"]);
    assert_ne!(old.columns["name"], new.columns["name"], "two names changed places");
    assert_eq!(
        before.fingerprint.tables[&TableName::plain("purchase")],
        after.fingerprint.tables[&TableName::plain("purchase")]
    );
}

#[tokio::test]
async fn an_added_column_leaves_the_digests_of_the_others() {
    let scratch = Scratch::with(SHOP);
    let before = inventory(&scratch).await;
    scratch.run("ALTER TABLE purchase ADD COLUMN note TEXT DEFAULT 'x'");
    let after = inventory(&scratch).await;
    let found = compare(&before.fingerprint, &after.fingerprint);
    let table = &found.tables[&TableName::plain("purchase")];
    let verdicts: Vec<_> =
        table.columns.iter().map(|(name, verdict)| format!("{name} {verdict:?}")).collect();
    assert_eq!(verdicts, ["amount Kept", "customer_id Kept", "id Kept", "note Added"]);
}

#[tokio::test]
async fn storage_classes_count_and_not_only_what_compares_equal() {
    let seen = async |value: &str| {
        inventory(&Scratch::with(&format!("CREATE TABLE t (a); INSERT INTO t VALUES ({value})")))
            .await
            .fingerprint
    };
    let values = ["1", "1.0", "'1'", "x'31'", "NULL", "''", "x''", "0"];
    for (index, one) in values.iter().enumerate() {
        for other in &values[index + 1..] {
            assert_ne!(seen(one).await, seen(other).await, "{one} and {other}");
        }
    }
}

#[tokio::test]
async fn nothing_is_skipped_silently() {
    let scratch = Scratch::with(&format!(
        "{SHOP} CREATE VIRTUAL TABLE doc USING fts5 (body); INSERT INTO doc VALUES ('a b'); ANALYZE;
        CREATE VIEW big AS SELECT * FROM purchase WHERE amount > 1; CREATE TRIGGER t AFTER DELETE ON customer BEGIN SELECT 1; END;"
    ));
    let found = inventory(&scratch).await;
    let tables: Vec<_> = found.fingerprint.tables.keys().map(ToString::to_string).collect();
    assert_eq!(
        tables,
        ["customer", "doc_config", "doc_content", "doc_data", "doc_docsize", "doc_idx", "purchase"]
    );
    let left_out: Vec<_> =
        found.fingerprint.not_compared.iter().map(|entry| entry.subject.as_str()).collect();
    assert_eq!(left_out, ["doc", "sqlite_stat1", "sqlite_stat4"]);
    assert_eq!(found.fingerprint.sequences["customer"], 3);
    assert_eq!(found.catalog.tables[&TableName::plain("doc")].kind, TableKind::Virtual);
    assert_eq!(found.catalog.tables[&TableName::plain("doc_data")].kind, TableKind::Shadow);
    assert!(found.catalog.objects.contains_key("view big"));
    assert!(found.catalog.tables[&TableName::plain("customer")].triggers.contains_key("t"));
    assert!(found.catalog.tables[&TableName::plain("purchase")].indexes.contains_key("purchase_customer"));
}

#[tokio::test]
async fn the_key_is_the_primary_key_or_a_unique_index_that_cannot_be_null() {
    let scratch = Scratch::with(
        "CREATE TABLE a (x INTEGER PRIMARY KEY, y);
        CREATE TABLE b (x, y, PRIMARY KEY (y, x)) WITHOUT ROWID;
        CREATE TABLE c (x NOT NULL, y NOT NULL, z UNIQUE); CREATE UNIQUE INDEX c_xy ON c (x, y);
        CREATE TABLE d (x NOT NULL); CREATE UNIQUE INDEX d_x ON d (x) WHERE x > 0;
        CREATE TABLE e (x NOT NULL); CREATE UNIQUE INDEX e_x ON e (abs(x));
        CREATE TABLE f (x TEXT PRIMARY KEY); CREATE TABLE g (x TEXT PRIMARY KEY) STRICT;
        CREATE TABLE h (x INTEGER PRIMARY KEY DESC, y NOT NULL UNIQUE);
        CREATE TABLE i (x TEXT NOT NULL, y INT, PRIMARY KEY (x, y)); CREATE TABLE j (x TEXT NOT NULL PRIMARY KEY);",
    );
    let catalog = scratch.open().catalog().await.expect("a catalog");
    let key = |name: &str| catalog.tables[&TableName::plain(name)].key.join(",");
    assert_eq!(["a", "b", "c", "d", "e"].map(key), ["x", "y,x", "x,y", "", ""]);
    // A primary key may be NULL, in many rows, unless something keeps it from that.
    assert_eq!(["f", "g", "h", "i", "j"].map(key), ["", "x", "", "", "x"]);
    let nullable = |name: &str| catalog.tables[&TableName::plain(name)].nullable_key.join(",");
    assert_eq!(["f", "g", "h", "i", "j"].map(nullable), ["x", "", "x", "x,y", ""]);
}

#[tokio::test]
async fn a_catalog_tells_every_change_of_a_definition() {
    let base =
        "CREATE TABLE t (a INT NOT NULL DEFAULT 1 CHECK (a > 0), b TEXT COLLATE NOCASE, c INT AS (a + 1))";
    let variants = [
        "CREATE TABLE t (a INTEGER NOT NULL DEFAULT 1 CHECK (a > 0), b TEXT COLLATE NOCASE, c INT AS (a + 1))",
        "CREATE TABLE t (a INT DEFAULT 1 CHECK (a > 0), b TEXT COLLATE NOCASE, c INT AS (a + 1))",
        "CREATE TABLE t (a INT NOT NULL DEFAULT 2 CHECK (a > 0), b TEXT COLLATE NOCASE, c INT AS (a + 1))",
        "CREATE TABLE t (a INT NOT NULL DEFAULT 1 CHECK (a >= 0), b TEXT COLLATE NOCASE, c INT AS (a + 1))",
        "CREATE TABLE t (a INT NOT NULL DEFAULT 1 CHECK (a > 0), b TEXT COLLATE RTRIM, c INT AS (a + 1))",
        "CREATE TABLE t (a INT NOT NULL DEFAULT 1 CHECK (a > 0), b TEXT COLLATE NOCASE, c INT AS (a + 2))",
        "CREATE TABLE t (a INT NOT NULL DEFAULT 1 CHECK (a > 0), b TEXT COLLATE NOCASE, c INT AS (a + 1) STORED)",
        "CREATE TABLE t (a INT NOT NULL DEFAULT 1 CHECK (a > 0), b TEXT COLLATE NOCASE UNIQUE, c INT AS (a + 1))",
        "CREATE TABLE t (a INT NOT NULL ON CONFLICT FAIL DEFAULT 1 CHECK (a > 0), b TEXT COLLATE NOCASE, c INT AS (a + 1))",
        "CREATE TABLE t (a INT PRIMARY KEY NOT NULL DEFAULT 1 CHECK (a > 0), b TEXT COLLATE NOCASE, c INT AS (a + 1))",
        "CREATE TABLE t (a INT NOT NULL DEFAULT 1 CHECK (a > 0) REFERENCES t, b TEXT COLLATE NOCASE, c INT AS (a + 1))",
        "CREATE TABLE t (a INT NOT NULL DEFAULT 1 CHECK (a > 0), b TEXT COLLATE NOCASE, c INT AS (a + 1)) STRICT",
    ];
    let catalog = async |sql: &str| Scratch::with(sql).open().catalog().await.expect("a catalog");
    let before = catalog(base).await;
    for variant in variants {
        assert_ne!(diff(&before, &catalog(variant).await), [], "{variant}");
    }
    let reformatted = base.replace(", ", " ,\n  /* note */ ");
    assert_eq!(diff(&before, &catalog(&reformatted).await), [], "white space is no change");
}

#[tokio::test]
async fn damage_and_broken_keys_are_findings() {
    let scratch = Scratch::with(SHOP);
    scratch.run("INSERT INTO purchase VALUES (4, 77, 1), (5, 78, 1)");
    let found = inventory(&scratch).await.findings;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].code.as_str(), found[0].subject.as_str()), ("foreign-key", "purchase"));
    assert_eq!(found[0].detail, "2 rows have no row in customer for their customer_id (rowid 4, 5)");
    // An index that lacks a row: only the full check sees it.
    scratch.run(
        "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = 'CREATE INDEX purchase_customer ON purchase (amount)'
        WHERE name = 'purchase_customer'; PRAGMA writable_schema = 0;",
    );
    let found = inventory(&scratch).await.findings;
    assert!(found.iter().any(|finding| finding.code == "integrity"), "{found:?}");
}

fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("NULL".to_string()),
        any::<i64>().prop_map(|number| if number == i64::MIN { "0".to_string() } else { number.to_string() }),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        "[a-z' ]{0,5}".prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
        "[0-9a-f]{2}".prop_map(|hex| format!("x'{hex}'")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_order_of_rows_does_not_matter_and_every_value_does(
        mut rows in proptest::collection::vec((values(), values()), 1..12), at in 0usize..12, other in values(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let seen = |rows: &[(String, String)]| {
            let rows: Vec<_> = rows.iter().map(|(a, b)| format!("INSERT INTO t VALUES ({a}, {b});")).collect();
            let scratch = Scratch::with(&format!("CREATE TABLE t (a, b); {}", rows.join("")));
            runtime.block_on(inventory(&scratch)).fingerprint
        };
        let whole = seen(&rows);
        rows.reverse();
        prop_assert_eq!(seen(&rows), whole.clone());
        let at = at % rows.len();
        prop_assume!(rows[at].1 != other);
        // 1e0 and 1 are written differently and are different; -0e0 and 0e0 as well.
        rows[at].1 = other;
        prop_assert_ne!(seen(&rows), whole);
    }
}
