//! Salvage that a table, its keys or an index over it makes hard to put back.

use super::merge::{constant, counts, int, merge, piece, text};
use super::support::Scratch;
use crate::engine::Scalar;
use crate::fingerprint::Fingerprint;
use crate::ledger::{Returned, SalvageKind};
use std::sync::Arc;

#[tokio::test]
async fn a_merge_replaces_and_ignores_no_row_whatever_the_table_asks_for() {
    for clause in ["REPLACE", "IGNORE", "ROLLBACK", "FAIL"] {
        let scratch = Scratch::with(&format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT {clause}, rank INTEGER UNIQUE ON CONFLICT {clause});
             CREATE TABLE u (id INTEGER PRIMARY KEY, rank INTEGER UNIQUE ON CONFLICT {clause});
             INSERT INTO t VALUES (7, 10); INSERT INTO u VALUES (1, NULL), (7, 20), (8, NULL);"
        ));
        let columns = [("id", "INTEGER"), ("rank", "INTEGER")];
        let rows = vec![vec![int(1), int(10)], vec![int(2), int(20)]];
        let whole = piece(SalvageKind::Rows, "t", &["id"], &columns, rows);
        let rows = vec![vec![int(1), int(20)], vec![int(8), int(30)]];
        let values = piece(SalvageKind::Values, "u", &["id"], &columns, rows);
        let done = merge(&scratch.open(), vec![whole, values]).await;
        assert_eq!(done.merged.iter().map(counts).collect::<Vec<_>>(), [[1, 0, 0, 1]; 2], "{clause}");
        assert_eq!(
            scratch.ask("SELECT * FROM t; SELECT * FROM u").await,
            "2|20\n7|10\n1|\n7|20\n8|30",
            "{clause}"
        );
    }
}

#[tokio::test]
async fn a_row_whose_column_would_hold_another_value_is_a_conflict_and_the_others_go_in() {
    let scratch =
        Scratch::with("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); CREATE TABLE u (n INTEGER);");
    let rows = || vec![vec![int(1), text("5")], vec![int(2), text("x")]];
    let keyed = piece(SalvageKind::Rows, "t", &["id"], &[("id", "INTEGER"), ("n", "TEXT")], rows());
    let rows = vec![vec![text("5")], vec![text("x")]];
    let unkeyed = piece(SalvageKind::Rows, "u", &[], &[("n", "TEXT")], rows);
    let done = merge(&scratch.open(), vec![keyed, unkeyed]).await;
    assert_eq!(done.merged.iter().map(counts).collect::<Vec<_>>(), [[1, 0, 0, 1]; 2]);
    assert_eq!(scratch.ask("SELECT * FROM t; SELECT * FROM u").await, "2|x\nx");
    assert_eq!(done.conflicts[0].reason, "the column has another type now, and would hold another value");
}

#[tokio::test]
async fn a_key_that_another_type_would_turn_into_one_that_is_there_is_not_taken_for_it() {
    let scratch =
        Scratch::with("CREATE TABLE t (k INTEGER, v TEXT); INSERT INTO t VALUES (5, NULL), (6, NULL);");
    let rows = vec![vec![text("05"), text("a")], vec![text("6"), text("b")]];
    let values = piece(SalvageKind::Values, "t", &["k"], &[("k", "TEXT"), ("v", "TEXT")], rows);
    let done = merge(&scratch.open(), vec![values]).await;
    assert_eq!(counts(&done.merged[0]), [1, 0, 1, 0]);
    assert_eq!(scratch.ask("SELECT * FROM t").await, "5|\n6|b");
}

#[tokio::test]
async fn rows_that_refer_to_each_other_go_in_together() {
    let scratch = Scratch::with(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER NOT NULL REFERENCES b);
         CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER NOT NULL REFERENCES a, u INTEGER UNIQUE);
         CREATE TABLE c (id TEXT, n INTEGER, up TEXT REFERENCES c, PRIMARY KEY (id)) WITHOUT ROWID;
         CREATE TABLE d (a INTEGER REFERENCES a ON DELETE CASCADE);
         INSERT INTO a VALUES (9, 9); INSERT INTO b VALUES (9, 9, 7); INSERT INTO d VALUES (9);",
    );
    let row = |columns: &'static [(&'static str, &'static str)]| {
        move |table, rows| piece(SalvageKind::Rows, table, &["id"], columns, rows)
    };
    let a = row(&[("id", "INTEGER"), ("b", "INTEGER")])(
        "a",
        vec![vec![int(1), int(1)], vec![int(2), int(2)], vec![int(3), int(3)], vec![int(4), int(77)]],
    );
    let b = row(&[("id", "INTEGER"), ("a", "INTEGER"), ("u", "INTEGER")])(
        "b",
        // The second one's value was taken since, and the fourth refers to a row that cannot be put back.
        vec![
            vec![int(1), int(3), int(1)],
            vec![int(2), int(2), int(7)],
            vec![int(3), int(1), int(3)],
            vec![int(4), int(4), int(4)],
        ],
    );
    let c = row(&[("id", "TEXT"), ("n", "INTEGER"), ("up", "TEXT")])(
        "c",
        vec![
            vec![text("x"), int(1), text("y")],
            vec![text("y"), int(2), text("x")],
            vec![text("z"), int(3), text("no")],
        ],
    );
    let done = merge(&scratch.open(), vec![a, b, c]).await;
    let mut found: Vec<_> = done.merged.iter().map(|one| (one.table.to_string(), counts(one))).collect();
    found.sort();
    let expected = [("a", [2, 0, 0, 2]), ("b", [2, 0, 0, 2]), ("c", [2, 0, 0, 1])];
    assert_eq!(found, expected.map(|(table, counts)| (table.to_string(), counts)));
    assert_eq!(scratch.ask("SELECT * FROM a; SELECT * FROM b").await, "1|1\n3|3\n9|9\n1|3|1\n3|1|3\n9|9|7");
    assert_eq!(scratch.ask("SELECT * FROM c; SELECT * FROM d").await, "x|1|y\ny|2|x\n9");
    assert_eq!(scratch.ask("PRAGMA foreign_key_check").await, "");
    assert!(
        done.conflicts
            .iter()
            .all(|conflict| conflict.reason.ends_with(" failed") || conflict.reason.contains("UNIQUE")),
        "{done:?}"
    );
}

#[tokio::test]
async fn values_that_only_changed_places_change_back() {
    let scratch = Scratch::with(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, place INTEGER NOT NULL UNIQUE CHECK (place > 0), name TEXT UNIQUE, n INTEGER);
         CREATE TABLE u (place INTEGER REFERENCES t (place) ON UPDATE CASCADE);
         INSERT INTO t VALUES (1, 2, 'b', 1), (2, 3, 'c', 1), (3, 1, 'a', 9), (4, 5, 'e', 1), (5, 6, 'f', 1), (9, 4, 'x', 0);
         INSERT INTO u VALUES (3), (4);",
    );
    let row = |id, ours: i64, name: &str, back: i64, left: &str| {
        vec![int(id), int(ours), text(name), int(8), int(back), text(left), int(1)]
    };
    let rows = vec![
        row(1, 1, "a", 2, "b"),
        row(2, 2, "b", 3, "c"),
        row(3, 3, "c", 1, "a"),
        // The first has lost its place to a row that is new, and the second waits for it.
        row(4, 4, "d", 5, "e"),
        row(5, 5, "y", 6, "f"),
    ];
    let columns = [
        ("id", "INTEGER"),
        ("place", "INTEGER"),
        ("name", "TEXT"),
        ("n", "INTEGER"),
        ("returned place", "INTEGER"),
        ("returned name", "TEXT"),
        ("returned n", "INTEGER"),
    ];
    let mut made = piece(SalvageKind::Values, "t", &["id"], &columns, rows);
    for column in ["place", "name", "n"] {
        made = made.returned(column, Returned::In(format!("returned {column}")));
    }
    let done = merge(&scratch.open(), vec![made]).await;
    let counted: Vec<_> = done.merged.iter().map(counts).collect();
    assert_eq!(counted, [[3, 0, 0, 2], [5, 0, 0, 0], [4, 0, 0, 1]]);
    let now = "1|1|a|8\n2|2|b|8\n3|3|c|9\n4|5|d|8\n5|6|y|8\n9|4|x|0";
    assert_eq!(scratch.ask("SELECT * FROM t").await, now);
    assert_eq!(scratch.ask("SELECT * FROM u").await, "2\n4");
    assert_eq!(
        scratch.ask("SELECT \"key\", \"column\" FROM ripcord_conflicts_op ORDER BY 1").await,
        "{\"id\":3}|n\n{\"id\":4}|place\n{\"id\":5}|place"
    );
}

#[tokio::test]
async fn a_full_text_index_knows_what_was_put_back() {
    let scratch = Scratch::with(
        "CREATE TABLE doc (id INTEGER PRIMARY KEY, body TEXT);
         CREATE VIRTUAL TABLE doc_index USING fts5(body, content='doc', content_rowid='id');
         CREATE TRIGGER doc_new AFTER INSERT ON doc BEGIN INSERT INTO doc_index (rowid, body) VALUES (new.id, new.body); END;
         CREATE TRIGGER doc_gone AFTER DELETE ON doc BEGIN
             INSERT INTO doc_index (doc_index, rowid, body) VALUES ('delete', old.id, old.body); END;
         CREATE VIRTUAL TABLE own USING fts5(body); CREATE VIRTUAL TABLE place USING rtree(id, x0, x1);
         INSERT INTO doc VALUES (1, 'apples'); INSERT INTO own (rowid, body) VALUES (1, 'apples'), (3, 'cherries');",
    );
    let rows = || vec![vec![int(1), text("apples")], vec![int(2), text("pears")]];
    let doc = piece(SalvageKind::Rows, "doc", &["id"], &[("id", "INTEGER"), ("body", "TEXT")], rows());
    let columns = [("rowid", ""), ("body", "")];
    let own = piece(SalvageKind::Rows, "own", &["rowid"], &columns, rows());
    let rows = vec![vec![int(3), text("plums")]];
    let values = piece(SalvageKind::Values, "own", &["rowid"], &columns, rows)
        .returned("body", constant(Some("\"cherries\"")));
    let columns = [("rowid", ""), ("id", "INT"), ("x0", "REAL"), ("x1", "REAL")];
    let rows = vec![vec![int(5), int(5), Scalar::Real(0.5), Scalar::Real(1.5)]];
    let place = piece(SalvageKind::Rows, "place", &["rowid"], &columns, rows);
    let done = merge(&scratch.open(), vec![doc, own, values, place]).await;
    let counted: Vec<_> = done.merged.iter().map(|one| (one.table.to_string(), counts(one))).collect();
    assert_eq!(counted.iter().filter(|(_, counts)| counts[0] == 1).count(), 4, "{counted:?}");
    assert_eq!(scratch.ask("SELECT rowid FROM doc_index WHERE doc_index MATCH 'pears'").await, "2");
    assert_eq!(scratch.ask("SELECT rowid FROM own WHERE own MATCH 'pears OR plums'").await, "2\n3");
    assert_eq!(scratch.ask("SELECT id, x0 FROM place; PRAGMA integrity_check").await, "5|0.5\nok");
    assert_eq!((done.silent, done.stale.len()), (vec!["doc_new on doc".to_string()], 0));
}

#[tokio::test]
async fn numbers_that_were_given_out_are_not_given_out_again() {
    let scratch = Scratch::with(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER); CREATE TABLE u (id INTEGER PRIMARY KEY, n INTEGER);",
    );
    let rows = |table| {
        let rows = vec![vec![int(1), int(1)], vec![int(2), int(2)]];
        let mut made = piece(SalvageKind::Rows, table, &["id"], &[("id", "INTEGER"), ("n", "INTEGER")], rows);
        let sequences = [("t".to_string(), 4), ("u".to_string(), 9)].into();
        made.0.fingerprint = Arc::new(Fingerprint { sequences, ..Fingerprint::new() });
        made
    };
    merge(&scratch.open(), vec![rows("t"), rows("u")]).await;
    assert_eq!(scratch.ask("SELECT name, seq FROM sqlite_sequence").await, "t|4");
    scratch.run("INSERT INTO t (n) VALUES (5), (6)");
    merge(&scratch.open(), vec![rows("t")]).await;
    assert_eq!(scratch.ask("SELECT seq FROM sqlite_sequence").await, "6");
}
