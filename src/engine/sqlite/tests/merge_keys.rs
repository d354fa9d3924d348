//! Keys that come back as values, and what refers to them.

use super::merge::{Making, constant, counts, int, merge, piece, text};
use super::support::Scratch;
use crate::engine::{MergedBack, Scalar};
use crate::ledger::{Returned, SalvageKind};

const NUMBERED: [(&str, &str); 3] = [("same", "TEXT"), ("id", "INTEGER"), ("returned id", "INTEGER")];

/// Keys of rows that their names tell apart: what each had, and what the way back left.
fn keys(table: &str, rows: &[(&str, i64, i64)]) -> Making {
    let rows = rows.iter().map(|(name, had, left)| vec![text(name), int(*had), int(*left)]).collect();
    piece(SalvageKind::Values, table, &[], &NUMBERED, rows)
        .returned("id", Returned::In("returned id".to_string()))
}

/// What children referred to; the way back left nothing.
fn parents(rows: &[(i64, i64)]) -> Making {
    let rows = rows.iter().map(|(id, parent)| vec![int(*id), int(*parent)]).collect();
    piece(SalvageKind::Values, "child", &["id"], &[("id", "INTEGER"), ("parent", "INTEGER")], rows)
        .returned("parent", constant(None))
}

fn all(done: &MergedBack) -> Vec<[u64; 4]> {
    done.merged.iter().map(counts).collect()
}

#[tokio::test]
async fn what_refers_to_a_key_that_comes_back_like_any_other_value_comes_back() {
    let scratch = Scratch::with(
        "CREATE TABLE parent (same TEXT, id INTEGER UNIQUE);
         CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent (id));
         INSERT INTO parent VALUES ('a', NULL), ('b', NULL), ('c', 3);
         INSERT INTO child VALUES (1, NULL), (2, NULL), (3, NULL);",
    );
    // What the way back left is not known.
    let rows = [("a", 11), ("b", 12), ("c", 13)].map(|(name, had)| vec![text(name), int(had)]).to_vec();
    let keys = piece(SalvageKind::Values, "parent", &[], &NUMBERED[..2], rows);
    let done = merge(&scratch.open(), vec![keys, parents(&[(1, 11), (2, 12), (3, 13)])]).await;
    assert_eq!(all(&done), [[2, 0, 0, 1], [2, 0, 0, 1]]);
    assert_eq!(scratch.ask("SELECT coalesce(parent, 0) FROM child ORDER BY id").await, "11\n12\n0");
}

#[tokio::test]
async fn one_key_that_is_refused_keeps_no_other_one_and_what_refers_to_it_from_coming_back() {
    let scratch = Scratch::with(
        "CREATE TABLE parent (same TEXT, id INTEGER PRIMARY KEY CHECK (id <> 13));
         CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent (id));
         INSERT INTO parent VALUES ('a', 1), ('b', 2), ('c', 3);
         INSERT INTO child VALUES (1, NULL), (2, NULL), (3, NULL);",
    );
    let keys = keys("parent", &[("a", 11, 1), ("b", 12, 2), ("c", 13, 3)]);
    let done = merge(&scratch.open(), vec![keys, parents(&[(1, 11), (2, 12), (3, 13)])]).await;
    assert_eq!(all(&done), [[2, 0, 0, 1], [2, 0, 0, 1]]);
    assert_eq!(scratch.ask("SELECT * FROM parent ORDER BY id").await, "c|3\na|11\nb|12");
    assert_eq!(scratch.ask("SELECT coalesce(parent, 0) FROM child ORDER BY id").await, "11\n12\n0");
}

#[tokio::test]
async fn a_key_that_an_older_backup_puts_back_is_no_stranger_s_any_more() {
    let scratch = Scratch::with(
        "CREATE TABLE parent (same TEXT, id INTEGER PRIMARY KEY);
         CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent (id));
         INSERT INTO parent VALUES ('a', 1), ('b', 2); INSERT INTO child VALUES (1, NULL), (2, NULL);",
    );
    // The older way back has numbered them once more.
    let newer = keys("parent", &[("a", 11, 91), ("b", 12, 92)]);
    let older = |mut made: Making| {
        made.0.turn = 1;
        made
    };
    let keys = older(keys("parent", &[("a", 11, 1), ("b", 12, 2)]));
    let done = merge(&scratch.open(), vec![newer, keys, older(parents(&[(1, 11), (2, 12)]))]).await;
    assert_eq!(all(&done), [[0, 0, 0, 2], [2, 0, 0, 0], [2, 0, 0, 0]]);
    assert_eq!(scratch.ask("SELECT parent FROM child ORDER BY id").await, "11\n12");
}

#[tokio::test]
async fn a_chain_of_keys_each_of_which_has_the_next_one_s_stays_as_a_whole() {
    const ROWS: i64 = 300;
    let scratch = Scratch::with(&format!(
        "CREATE TABLE t (same TEXT, id INTEGER PRIMARY KEY);
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
         INSERT INTO t SELECT 'name ' || i, i FROM n;
         INSERT INTO t VALUES ('apart', 100000);"
    ));
    // The last one has been written since, and has the number of the one before it.
    let names: Vec<String> = (1..ROWS).map(|number| format!("name {number}")).collect();
    let had = |number: i64| if number == 1 { 1 } else { number + 1 };
    let mut rows: Vec<(&str, i64, i64)> =
        (1..).zip(&names).map(|(number, name)| (name.as_str(), had(number), number)).collect();
    rows.push(("apart", 200_000, 100_000));
    let done = merge(&scratch.open(), vec![keys("t", &rows)]).await;
    assert_eq!(all(&done), [[1, 1, 0, ROWS.unsigned_abs() - 2]]);
    assert_eq!(scratch.ask("SELECT id FROM t WHERE same = 'apart'").await, "200000");
    assert_eq!(scratch.ask("SELECT count(*) FROM t WHERE same = 'name ' || id").await, ROWS.to_string());
}

#[tokio::test]
async fn what_rows_of_another_backup_held_tears_no_row() {
    let scratch = Scratch::with(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT);
         INSERT INTO t VALUES (1, 'left 1', 'mine'), (2, 'left 2', NULL), (3, 'left 3', NULL);",
    );
    let folder = scratch.snapshot_folder("then");
    let then = rusqlite::Connection::open(folder.join("database.db")).expect("a database");
    then.execute_batch(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT);
         INSERT INTO t VALUES (1, 'a', 'b'), (2, 'a', 'b'), (3, 'a', 'b');",
    )
    .expect("the SQL runs");
    drop(then);
    let row = |id: i64| vec![int(id), text("a"), text(&format!("left {id}")), text("b")];
    let columns = [("id", "INTEGER"), ("a", "TEXT"), ("returned a", "TEXT"), ("b", "TEXT")];
    let mut newer = piece(SalvageKind::Values, "t", &["id"], &columns, vec![row(1), row(2), row(3)])
        .returned("a", Returned::In("returned a".to_string()))
        .returned("b", constant(None));
    newer.0.snapshot = Some(folder);
    let row = |id: i64| vec![int(id + 6), text(&format!("left {id}")), Scalar::Null];
    let columns = [("id", "INTEGER"), ("a", "TEXT"), ("b", "TEXT")];
    let mut older = piece(SalvageKind::Rows, "t", &["id"], &columns, vec![row(1), row(2), row(3)]);
    older.0.turn = 1;
    let done = merge(&scratch.open(), vec![newer, older]).await;
    assert_eq!(all(&done), [[3, 0, 0, 0], [2, 0, 0, 1], [3, 0, 0, 0]]);
}
