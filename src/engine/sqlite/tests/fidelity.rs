//! Every sort of database survives snapshot, proof and restore.

use super::support::{SHOP, Scratch, ask, silent, snapshot};
use crate::engine::Database;

/// What SQLite can hold, each made by its own SQL.
const ZOO: &[(&str, &str)] = &[
    ("plain", SHOP),
    (
        "big pages",
        "PRAGMA page_size = 65536; CREATE TABLE t (a); INSERT INTO t VALUES (randomblob(200000)), ('x');",
    ),
    (
        "small pages",
        "PRAGMA page_size = 512; CREATE TABLE t (a); INSERT INTO t VALUES (hex(randomblob(9000)));",
    ),
    (
        "utf-16",
        "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (a TEXT PRIMARY KEY); INSERT INTO t VALUES ('né'), (char(0x1F600));",
    ),
    (
        "utf-16 the other way",
        "PRAGMA encoding = 'UTF-16be'; CREATE TABLE t (a); INSERT INTO t VALUES (char(0xD83D)), (x'616263');",
    ),
    (
        "full text",
        "CREATE VIRTUAL TABLE doc USING fts5 (title, body); INSERT INTO doc VALUES ('a', 'b c'), ('d', 'e');",
    ),
    ("boxes", "CREATE VIRTUAL TABLE box USING rtree (id, x0, x1); INSERT INTO box VALUES (1, 0, 2.5);"),
    (
        "without rowid",
        "CREATE TABLE t (a TEXT, b INT, PRIMARY KEY (b, a)) WITHOUT ROWID; INSERT INTO t VALUES ('x', 1), ('y', 1);",
    ),
    (
        "strict",
        "CREATE TABLE t (a ANY, b INT NOT NULL) STRICT; INSERT INTO t VALUES ('x', 1), (x'00', 2), (1.5, 3);",
    ),
    (
        "generated",
        "CREATE TABLE t (a INT, b INT AS (a * 2), c TEXT GENERATED ALWAYS AS (a || 'x') STORED); INSERT INTO t VALUES (1), (NULL);",
    ),
    (
        "views and triggers",
        "CREATE TABLE t (a); CREATE VIEW v AS SELECT a FROM t; CREATE TRIGGER g INSTEAD OF INSERT ON v BEGIN INSERT INTO t VALUES (NEW.a); END; INSERT INTO v VALUES (7);",
    ),
    (
        "numbers",
        "PRAGMA user_version = 42; PRAGMA application_id = 7; CREATE TABLE t (a); INSERT INTO t VALUES (9223372036854775807), (-0.0), (9e999), (1e-320);",
    ),
    (
        "auto vacuum",
        "PRAGMA auto_vacuum = 2; CREATE TABLE t (a); INSERT INTO t VALUES (randomblob(50000)); DELETE FROM t;",
    ),
    (
        "broken text",
        "CREATE TABLE t (a TEXT); INSERT INTO t VALUES (CAST(x'FF00FE' AS TEXT)), ('a' || char(0) || 'b'), ('');",
    ),
    (
        "odd names",
        "CREATE TABLE \"ta\"\"ble é.x\" (\"rowid\", \"_rowid_\", \"oid\", \"co\"\"l\"); INSERT INTO \"ta\"\"ble é.x\" VALUES (1, 2, 3, 4), (1, 2, 3, 4);",
    ),
    ("statistics", "CREATE TABLE t (a PRIMARY KEY); INSERT INTO t VALUES (1), (2); ANALYZE;"),
    ("no tables", "PRAGMA user_version = 3;"),
    (
        "broken keys",
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p); INSERT INTO c VALUES (9);",
    ),
    (
        "keys to nowhere",
        "CREATE TABLE c (p REFERENCES nowhere (x), q REFERENCES c (q)); INSERT INTO c VALUES (9, 1);",
    ),
];

/// Everything that a plain SQL client can see of a database.
const EVERYTHING: &str =
    "SELECT name, sql FROM sqlite_schema ORDER BY 1; PRAGMA user_version; PRAGMA application_id;
    PRAGMA encoding; PRAGMA auto_vacuum; PRAGMA page_size; PRAGMA integrity_check;";

#[tokio::test]
async fn every_sort_of_database_comes_back_from_a_snapshot_as_it_was() {
    for (sort, sql) in ZOO {
        for mode in ["delete", "wal"] {
            // The page size and the encoding can only be chosen before there is a database.
            let scratch = Scratch::with(&format!("{sql} PRAGMA journal_mode = {mode};"));
            round_trip(&scratch, &format!("{sort}, {mode}")).await;
        }
    }
}

#[tokio::test]
async fn a_file_of_no_bytes_is_an_empty_database() {
    let scratch = Scratch::new();
    crate::base::fs::write_durable(&scratch.path(), b"").expect("written");
    let database = scratch.open();
    let (folder, taken) = snapshot(&scratch, &database, "one").await;
    let proof = database.prove(&folder, &taken, "op", &silent()).await.expect("a proof");
    assert_eq!(proof.differences, [""; 0]);
    scratch.run("CREATE TABLE t (a)");
    restore(&scratch, &folder, &taken).await;
    assert_eq!(scratch.ask("SELECT count(*) FROM sqlite_schema").await, "0");
}

async fn round_trip(scratch: &Scratch, sort: &str) {
    let database = scratch.open();
    let before = database.inventory(&silent()).await.expect(sort);
    let seen = scratch.ask(EVERYTHING).await;
    let (folder, taken) = snapshot(scratch, &database, "one").await;
    let proof = database.prove(&folder, &taken, "op", &silent()).await.expect(sort);
    assert_eq!(proof.differences, [""; 0], "{sort}");
    assert_eq!(ask(&folder.join("database.db"), EVERYTHING).await, seen, "{sort}");

    scratch.run("CREATE TABLE new_one (a); INSERT INTO new_one VALUES (1); PRAGMA user_version = 99;");
    restore(scratch, &folder, &taken).await;
    assert_eq!(scratch.ask(EVERYTHING).await, seen, "{sort}");
    let after = scratch.open().inventory(&silent()).await.expect(sort);
    assert_eq!(after.catalog, before.catalog, "{sort}");
    assert_eq!(after.fingerprint, before.fingerprint, "{sort}");
    assert_eq!(after.findings, before.findings, "{sort}");
    assert_eq!(after.facts["journal_mode"], before.facts["journal_mode"], "{sort}");
}

async fn restore(scratch: &Scratch, folder: &std::path::Path, taken: &crate::engine::Snapshot) {
    let database = scratch.open();
    // Only what was saved is replaced.
    let present = tempfile::tempdir().expect("a folder");
    database.snapshot(present.path(), &silent()).await.expect("saved");
    let staged = database.stage(folder, &taken.inventory, "op", &silent()).await.expect("staged");
    assert_eq!(staged.differences, [""; 0]);
    let operation = scratch.operation();
    let swapped = database.swap(&staged, "op", &operation.script_log()).await.expect("swapped");
    assert_eq!(swapped.notes, [""; 0]);
}
