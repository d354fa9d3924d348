//! The second look, which is spared what did not change, says exactly what a full look says.

use super::super::{OpenOptions, SqliteDatabase};
use super::support::{SHOP, Scratch, book, script, silent, snapshot};
use crate::catalog::TableName;
use crate::engine::{Database, Snapshot};
use crate::fingerprint::{Digest, Inventory};
use crate::journal::ScriptLog;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

/// A bit of everything: rows that need several pages, overflow pages, free pages, all sorts of tables.
const WIDE: &str = "
    CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
    CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, parent_id INT REFERENCES parent (id), body BLOB);
    CREATE INDEX child_parent ON child (parent_id);
    CREATE TABLE pairs (a TEXT, b INT, note TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
    CREATE TABLE loose (a, b NOT NULL);
    CREATE TABLE spare (a);
    CREATE VIRTUAL TABLE doc USING fts5 (body);
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
        INSERT INTO parent SELECT i, 'parent ' || i FROM n;
    INSERT INTO child (parent_id, body) SELECT id, zeroblob(id * 40) FROM parent;
    INSERT INTO pairs SELECT name, id, hex(zeroblob(id)) FROM parent;
    INSERT INTO loose SELECT name, id FROM parent;
    INSERT INTO spare SELECT zeroblob(3000) FROM parent; DELETE FROM spare WHERE rowid % 2;
    INSERT INTO doc SELECT name FROM parent;";

/// What may happen between two looks.
const CHANGES: &[&str] = &[
    "ALTER TABLE parent ADD COLUMN flag INT NOT NULL DEFAULT 0",
    "UPDATE parent SET name = name || '!' WHERE id = 7",
    "UPDATE child SET body = CAST(replace(hex(body), '00', 'x') AS BLOB) WHERE id = 250",
    // The same length, so that SQLite writes over the overflow pages and leaves the leaf as it is.
    "UPDATE child SET body = replace(body, substr(body, -1), x'07') WHERE id = 299",
    "UPDATE child SET parent_id = 1 WHERE id = 40",
    "INSERT INTO child (parent_id, body) VALUES (99999, x'01')",
    "DELETE FROM child WHERE id > 280",
    "DELETE FROM parent WHERE id = 300",
    "UPDATE pairs SET note = 'x' WHERE b = 150",
    "DELETE FROM loose WHERE b < 5",
    "INSERT INTO loose VALUES ('new', 0)",
    "INSERT INTO doc VALUES ('one more')",
    "DELETE FROM spare",
    "INSERT INTO spare SELECT zeroblob(5000) FROM parent LIMIT 20",
    "ALTER TABLE loose ADD COLUMN c DEFAULT 5",
    "ALTER TABLE pairs ADD COLUMN d",
    "CREATE INDEX IF NOT EXISTS loose_b ON loose (b)",
    "CREATE UNIQUE INDEX IF NOT EXISTS loose_b2 ON loose (b, a)",
    "DROP INDEX IF EXISTS child_parent",
    "REINDEX parent",
    "CREATE TABLE IF NOT EXISTS fresh AS SELECT * FROM parent",
    "DROP TABLE IF EXISTS fresh",
    "CREATE TABLE new_loose (a, b NOT NULL); INSERT INTO new_loose SELECT a, b FROM loose; DROP TABLE loose; ALTER TABLE new_loose RENAME TO loose",
    "CREATE TABLE new_spare (a); INSERT INTO new_spare SELECT a FROM spare; DROP TABLE spare; ALTER TABLE new_spare RENAME TO spare",
    "PRAGMA user_version = 7",
    "ANALYZE",
    "VACUUM",
    "CREATE VIEW IF NOT EXISTS v AS SELECT * FROM parent",
    "ALTER TABLE parent RENAME COLUMN name TO label; ALTER TABLE parent RENAME COLUMN label TO name",
    "INSERT INTO pairs SELECT a || a, b, zeroblob(9000) FROM pairs LIMIT 3",
    "CREATE VIRTUAL TABLE IF NOT EXISTS box USING rtree (id, x0, x1); INSERT OR REPLACE INTO box VALUES (1, 2, 3)",
];

async fn both_looks(database: &SqliteDatabase, folder: &Path, taken: &Snapshot) -> (Inventory, Inventory) {
    let spared = database.inventory_after(&taken.inventory, folder, &silent()).await.expect("a second look");
    let full = database.inventory(&silent()).await.expect("a full look");
    // The look that checks nothing says the same of what is there.
    let contents = database.contents_after(&taken.inventory, folder, &silent()).await.expect("the contents");
    assert_eq!(contents, Inventory { findings: Vec::new(), ..full.clone() });
    (spared, full)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_second_look_says_what_a_full_look_says(
        changes in proptest::collection::vec(0..CHANGES.len(), 0..5),
        page_size in prop_oneof![Just(512), Just(4096), Just(65536)],
        auto_vacuum in 0..3,
        mode in prop_oneof![Just("delete"), Just("wal")],
        stays_open in any::<bool>(),
    ) {
        let pragmas = format!(
            "PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = {auto_vacuum}; PRAGMA journal_mode = {mode};"
        );
        let scratch = Scratch::with(&format!("{pragmas} {WIDE}"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (spared, full) = runtime.block_on(async {
            let database = scratch.open_with(OpenOptions { workers: 2, ..OpenOptions::default() });
            let (folder, taken) = snapshot(&scratch, &database, "one").await;
            // While an application has it open, a WAL keeps its frames.
            let app = stays_open.then(|| scratch.connect());
            let read_something = |app| rusqlite::Connection::query_row(app, "SELECT count(*) FROM parent", [], |_| Ok(()));
            app.as_ref().map(read_something).transpose().expect("the application reads");
            for change in &changes {
                // One that cannot follow the others (a column that is there already) changes nothing.
                let _ = scratch.connect().execute_batch(CHANGES[*change]);
            }
            both_looks(&database, &folder, &taken).await
        });
        prop_assert_eq!(spared, full);
    }
}

/// A snapshot whose fingerprints are marked, so that a fingerprint that was taken over can be told from one that was
/// computed.
async fn marked(scratch: &Scratch) -> (SqliteDatabase, PathBuf, Snapshot) {
    let database = scratch.open();
    let (folder, mut taken) = snapshot(scratch, &database, "one").await;
    for table in taken.inventory.fingerprint.tables.values_mut() {
        table.digest = Digest(1);
    }
    (database, folder, taken)
}

async fn tables_not_read(scratch: &Scratch, change: &str) -> Vec<String> {
    let (database, folder, taken) = marked(scratch).await;
    // A value that has taken a snapshot holds on to the WAL, and the journal mode with it.
    drop(database);
    scratch.run(change);
    let after =
        scratch.open().inventory_after(&taken.inventory, &folder, &silent()).await.expect("a second look");
    let not_read = after.fingerprint.tables.iter().filter(|(_, table)| table.digest == Digest(1));
    not_read.map(|(name, _)| name.to_string()).collect()
}

#[tokio::test]
async fn a_table_that_did_not_change_is_not_read() {
    let read = async |change: &str| tables_not_read(&Scratch::with(SHOP), change).await;
    assert_eq!(read("CREATE TABLE t (a)").await, ["customer", "purchase"]);
    assert_eq!(read("UPDATE customer SET name = 'x' WHERE id = 1").await, ["purchase"]);
    assert_eq!(read("ALTER TABLE purchase ADD COLUMN note").await, ["customer"]);
    assert_eq!(read("DROP TABLE purchase").await, ["customer"]);
    assert_eq!(read("CREATE INDEX i ON customer (name)").await, ["customer", "purchase"]);
    assert_eq!(read("PRAGMA journal_mode = wal").await, ["customer", "purchase"]);
    let wal = format!("PRAGMA journal_mode = wal; {SHOP}");
    let read = async |change: &str| tables_not_read(&Scratch::with(&wal), change).await;
    assert_eq!(read("UPDATE customer SET name = 'x' WHERE id = 1").await, ["purchase"]);
    assert_eq!(read("PRAGMA journal_mode = delete; DROP TABLE purchase").await, ["customer"]);
}

#[tokio::test]
async fn a_table_that_was_rebuilt_under_its_name_is_read() {
    let scratch = Scratch::with(SHOP);
    let rebuild = "CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);
        INSERT INTO n SELECT * FROM customer; DROP TABLE customer; ALTER TABLE n RENAME TO customer;";
    assert_eq!(tables_not_read(&scratch, rebuild).await, ["purchase"]);
}

#[tokio::test]
async fn a_key_that_appears_without_a_page_changing_is_noticed() {
    let scratch = Scratch::with("CREATE TABLE t (a NOT NULL, b); INSERT INTO t VALUES (1, 2), (2, 1);");
    let database = scratch.open();
    let (folder, taken) = snapshot(&scratch, &database, "one").await;
    scratch.run("CREATE UNIQUE INDEX i ON t (a)");
    let (spared, full) = both_looks(&database, &folder, &taken).await;
    assert_eq!(spared, full);
    let name = TableName::plain("t");
    assert_ne!(spared.fingerprint.tables[&name].key, taken.inventory.fingerprint.tables[&name].key);
}

#[tokio::test]
async fn keys_that_were_broken_before_are_still_found_where_nothing_was_read() {
    let scratch = Scratch::with(SHOP);
    scratch.run("INSERT INTO purchase VALUES (9, 77, 1)");
    let (database, folder, taken) = marked(&scratch).await;
    scratch.run("CREATE TABLE t (a)");
    let after = database.inventory_after(&taken.inventory, &folder, &silent()).await.expect("a second look");
    assert_eq!(after.findings, taken.inventory.findings);
    assert_eq!(after.findings.len(), 1);
    // A row that another table loses breaks a key of a table that did not change.
    scratch.run("DELETE FROM customer WHERE id = 3");
    let after = database.inventory_after(&taken.inventory, &folder, &silent()).await.expect("a second look");
    assert!(after.findings[0].detail.starts_with("2 rows"), "{:?}", after.findings);
}

#[tokio::test]
async fn without_the_snapshot_everything_is_read() {
    let scratch = Scratch::with(SHOP);
    let database = scratch.open();
    let (folder, taken) = snapshot(&scratch, &database, "one").await;
    std::fs::remove_file(folder.join("database.db")).expect("gone");
    let (spared, full) = both_looks(&database, &folder, &taken).await;
    assert_eq!(spared, full);
}

/// Runs statements on a copy as one script; says whether they could be run.
async fn on_the_copy(copy: &dyn Database, revision: usize, statements: &[&str]) -> bool {
    let mut script = script(&format!("{revision:04}"), statements);
    script.rows = vec![];
    let done = copy.apply(&script, &book(), &ScriptLog::unrecorded()).await;
    done.is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The legs of a rehearsal, each with statements of its own, some of which write to tables through triggers.
    #[test]
    fn a_look_at_a_copy_says_what_a_full_look_says(
        legs in proptest::collection::vec(proptest::collection::vec(0..CHANGES.len(), 0..3), 1..4),
        with_trigger in any::<bool>(),
    ) {
        let scratch = Scratch::with(WIDE);
        if with_trigger {
            scratch.run("CREATE TRIGGER t AFTER UPDATE ON parent BEGIN INSERT INTO loose VALUES (new.name, new.id); END");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let looks = runtime.block_on(async {
            let database = scratch.open_with(OpenOptions { workers: 2, ..OpenOptions::default() });
            let (folder, taken) = snapshot(&scratch, &database, "one").await;
            let copy = database.rehearsal(&folder, &taken, "one", &silent()).await.expect("a copy");
            let mut looks = Vec::new();
            for (number, leg) in legs.iter().enumerate() {
                for (place, change) in leg.iter().enumerate() {
                    // One that cannot follow the others, or not in a transaction, changes nothing.
                    let statements: Vec<&str> = CHANGES[*change].split("; ").collect();
                    on_the_copy(copy.database().as_ref(), number * 10 + place, &statements).await;
                }
                let spared = copy.database().inventory_after(&taken.inventory, &folder, &silent()).await;
                let full = copy.database().inventory(&silent()).await;
                looks.push((spared.expect("a look"), full.expect("a full look")));
            }
            looks
        });
        for (spared, full) in looks {
            prop_assert_eq!(spared, full);
        }
    }
}

/// What a rehearsal and the real run after it read of `purchase`, told by marks in what is known: before, after each
/// leg, and at last in the live database.
async fn told_by_marks(up: &[&str], down: &[&str]) -> [Digest; 4] {
    let scratch = Scratch::with(SHOP);
    let database = scratch.open();
    let (folder, mut taken) = snapshot(&scratch, &database, "one").await;
    let name = TableName::plain("purchase");
    let copy = database.rehearsal(&folder, &taken, "one", &silent()).await.expect("a copy");
    taken.inventory.fingerprint.tables.get_mut(&name).expect("it is there").digest = Digest(1);
    let mut digests = Vec::new();
    for (number, statements) in [up, down, up].into_iter().enumerate() {
        assert!(on_the_copy(copy.database().as_ref(), number, statements).await);
        let look = copy.database().inventory_after(&taken.inventory, &folder, &silent()).await;
        digests.push(look.expect("a look").fingerprint.tables[&name].digest);
    }
    assert!(on_the_copy(&database, 9, up).await);
    let look = database.inventory_after(&taken.inventory, &folder, &silent()).await.expect("a look");
    digests.push(look.fingerprint.tables[&name].digest);
    digests.try_into().expect("four")
}

#[tokio::test]
async fn a_table_that_no_statement_writes_to_is_not_read_on_the_copy() {
    let other = ["UPDATE customer SET name = 'x' WHERE id = 1"];
    assert_eq!(told_by_marks(&other, &other).await, [Digest(1); 4]);
}

/// The live table is known by its pages and by what the copy's was read to hold; a way back that writes nothing into the
/// table leaves it as it was read.
#[tokio::test]
async fn a_table_that_only_gained_a_column_is_read_once_for_the_rehearsal_and_the_real_run() {
    let [there, back, again, live] = told_by_marks(
        &["ALTER TABLE purchase ADD COLUMN note DEFAULT 5"],
        &["ALTER TABLE purchase DROP COLUMN note"],
    )
    .await;
    // The way back has read the rows, so that it does not end with the mark, and the second way there begins otherwise.
    assert!(there != Digest(1) && back != Digest(1) && again == there);
    // As the first way there did, the real run begins with the mark.
    assert_eq!(live, there);
}

#[tokio::test]
async fn what_the_copy_held_is_not_said_of_a_live_table_into_which_somebody_wrote() {
    let scratch = Scratch::with(SHOP);
    let database = scratch.open();
    let (folder, taken) = snapshot(&scratch, &database, "one").await;
    let copy = database.rehearsal(&folder, &taken, "one", &silent()).await.expect("a copy");
    let up = ["ALTER TABLE purchase ADD COLUMN note DEFAULT 5"];
    assert!(on_the_copy(copy.database().as_ref(), 0, &up).await);
    let there = copy.database().inventory_after(&taken.inventory, &folder, &silent()).await.expect("a look");
    scratch.run("UPDATE purchase SET amount = 11 WHERE id = 1");
    assert!(on_the_copy(&database, 0, &up).await);
    let (spared, full) = both_looks(&database, &folder, &taken).await;
    assert_eq!(spared, full);
    assert_ne!(spared.fingerprint, there.fingerprint);
}

#[tokio::test]
async fn a_key_that_a_script_breaks_is_found_on_the_copy_whatever_it_broke_it_with() {
    for (change, broken) in [
        ("DELETE FROM customer WHERE id = 3", 1),
        ("UPDATE purchase SET customer_id = 77 WHERE id = 1", 1),
        ("ALTER TABLE purchase ADD COLUMN other INT REFERENCES nowhere (id) DEFAULT 5", 3),
        ("CREATE TRIGGER t AFTER UPDATE ON customer BEGIN DELETE FROM customer WHERE id = 1; END", 0),
    ] {
        let scratch = Scratch::with(SHOP);
        let database = scratch.open();
        let before = database.inventory(&silent()).await.expect("an inventory");
        let done = on_the_copy(&database, 0, &[change]).await;
        assert_eq!(done, broken == 0, "{change}: a script that breaks keys is refused");
        let after = database.inventory(&silent()).await.expect("an inventory");
        assert_eq!(
            after.fingerprint.tables[&TableName::plain("purchase")],
            before.fingerprint.tables[&TableName::plain("purchase")]
        );
    }
}
