//! Salvage is merged three-way, by key or by everything that is alike, and never guessed.

use super::super::SqliteDatabase;
use super::support::{Scratch, silent};
use crate::catalog::TableName;
use crate::engine::{Database, Inlet, MergeMode, Merged, MergedBack, Piece, Scalar, ShapeColumn, Value};
use crate::ledger::{Returned, Salvage, SalvageKind};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

/// Rows in memory, in place of a file.
struct Rows(Vec<Vec<Scalar>>);

impl Inlet for Rows {
    fn open(&self) -> Result<Box<dyn Read + Send>, crate::engine::Error> {
        Ok(Box::new(std::io::empty()))
    }

    fn each(
        &self,
        take: &mut dyn FnMut(&[Value<'_>]) -> Result<(), crate::engine::Error>,
    ) -> Result<(), crate::engine::Error> {
        self.0.iter().try_for_each(|row| take(&row.iter().map(Scalar::as_value).collect::<Vec<_>>()))
    }

    fn value(&self, text: &str, quoted: bool) -> Option<Scalar> {
        if quoted { Some(Scalar::Text(text.into())) } else { text.parse().ok().map(Scalar::Integer) }
    }
}

fn int(number: i64) -> Scalar {
    Scalar::Integer(number)
}

fn text(text: &str) -> Scalar {
    Scalar::Text(text.into())
}

struct Making(Piece);

fn piece(
    what: SalvageKind,
    table: &str,
    key: &[&str],
    columns: &[(&str, &str)],
    rows: Vec<Vec<Scalar>>,
) -> Making {
    let own = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let lost = columns.iter().map(|(name, _)| *name).filter(|name| match what {
        SalvageKind::Rows => true,
        SalvageKind::Values => {
            !key.contains(name) && !name.starts_with("returned ") && !name.starts_with("same")
        }
    });
    let lost: Vec<&str> = lost.collect();
    let identity =
        columns.iter().map(|(name, _)| *name).filter(|name| key.is_empty() && name.starts_with("same"));
    let salvage = Salvage {
        what,
        table: TableName::plain(table),
        key: own(key),
        identity: own(&identity.collect::<Vec<_>>()),
        columns: own(&lost),
        returned: BTreeMap::new(),
    };
    let shape = |(name, type_name): &(&str, &str)| ShapeColumn {
        name: name.to_string(),
        type_name: type_name.to_string(),
    };
    Making(Piece {
        salvage,
        columns: columns.iter().map(shape).collect(),
        rows: rows.len() as u64,
        source: Arc::new(Rows(rows)),
        turn: 0,
    })
}

impl Making {
    fn returned(mut self, column: &str, returned: Returned) -> Self {
        self.0.salvage.returned.insert(column.to_string(), returned);
        self
    }
}

fn constant(field: Option<&str>) -> Returned {
    Returned::Constant(field.map(str::to_string))
}

async fn merge(database: &SqliteDatabase, pieces: Vec<Making>) -> MergedBack {
    let pieces: Vec<Piece> = pieces.into_iter().map(|making| making.0).collect();
    database.merge_back(&pieces, MergeMode::Write, "op", &silent()).await.expect("merged")
}

/// Merged, already there, deleted since, conflicts.
fn counts(merged: &Merged) -> [u64; 4] {
    [merged.merged, merged.already, merged.deleted, merged.conflicts]
}

fn ranks(rows: &[(i64, Option<i64>)]) -> Making {
    let rows = rows.iter().map(|(id, rank)| vec![int(*id), rank.map_or(Scalar::Null, int)]).collect();
    piece(SalvageKind::Values, "t", &["id"], &[("id", "INTEGER"), ("rank", "INTEGER")], rows)
}

#[tokio::test]
async fn each_value_is_decided_by_all_three_sides() {
    let scratch = Scratch::with(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, rank INTEGER);
         INSERT INTO t VALUES (1, NULL), (2, 20), (3, 77), (5, NULL);",
    );
    let salvage = || {
        vec![
            ranks(&[(1, Some(10)), (2, Some(20)), (3, Some(30)), (4, Some(40))])
                .returned("rank", constant(None)),
        ]
    };
    let database = scratch.open();
    let done = merge(&database, salvage()).await;
    assert_eq!(counts(&done.merged[0]), [1, 1, 1, 1]);
    assert_eq!(scratch.ask("SELECT id, rank FROM t").await, "1|10\n2|20\n3|77\n5|");
    let side = scratch.ask("SELECT * FROM ripcord_conflicts_op").await;
    assert_eq!(side, "t|{\"id\":3}|rank||30|77|changed since, and salvaged");
    assert_eq!((done.conflicts.len(), done.conflicts[0].theirs.as_deref()), (1, Some("77")));
    // Once more changes nothing and finds the same conflict.
    let again = merge(&database, salvage()).await;
    assert_eq!(counts(&again.merged[0]), [0, 2, 1, 1]);
    assert_eq!(scratch.ask("SELECT count(*) FROM ripcord_conflicts_op").await, "1");
}

#[tokio::test]
async fn what_the_way_back_left_may_differ_from_row_to_row_or_be_unknown() {
    let scratch = Scratch::with(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, rank INTEGER);
         CREATE TABLE u (id INTEGER PRIMARY KEY, state TEXT NOT NULL DEFAULT 'new', note TEXT);
         INSERT INTO t VALUES (1, 1), (2, 5);
         INSERT INTO u VALUES (1, 'new', NULL), (2, 'paid', 'x');",
    );
    let rows = vec![vec![int(1), int(100), int(1)], vec![int(2), int(200), int(2)]];
    let columns = [("id", "INTEGER"), ("rank", "INTEGER"), ("returned rank", "INTEGER")];
    let by_row = piece(SalvageKind::Values, "t", &["id"], &columns, rows)
        .returned("rank", Returned::In("returned rank".to_string()));
    let rows = vec![vec![int(1), text("old"), text("a")], vec![int(2), text("old"), text("b")]];
    let columns = [("id", "INTEGER"), ("state", "TEXT"), ("note", "TEXT")];
    let unknown = piece(SalvageKind::Values, "u", &["id"], &columns, rows);
    let done = merge(&scratch.open(), vec![by_row, unknown]).await;
    assert_eq!(scratch.ask("SELECT rank FROM t").await, "100\n5");
    assert_eq!(scratch.ask("SELECT state, note FROM u").await, "old|a\npaid|x");
    assert_eq!(done.merged.iter().map(counts).collect::<Vec<_>>(), [[1, 0, 0, 1]; 3]);
}

#[tokio::test]
async fn rows_are_inserted_parents_first_and_one_without_its_parent_is_a_conflict() {
    let scratch = Scratch::with(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY, up INTEGER REFERENCES parent);
         CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO parent VALUES (1, NULL); INSERT INTO child VALUES (1, 1), (9, NULL);",
    );
    let both = |table, column| {
        move |rows| piece(SalvageKind::Rows, table, &["id"], &[("id", "INTEGER"), (column, "INTEGER")], rows)
    };
    let child = both("child", "parent")(vec![
        vec![int(1), int(1)],
        vec![int(2), int(3)],
        vec![int(4), int(77)],
        vec![int(9), int(1)],
    ]);
    // A row before the one that it refers to.
    let parent = both("parent", "up")(vec![vec![int(3), int(4)], vec![int(4), Scalar::Null]]);
    let done = merge(&scratch.open(), vec![child, parent]).await;
    assert_eq!(done.merged.iter().map(counts).collect::<Vec<_>>(), [[2, 0, 0, 0], [1, 1, 0, 2]]);
    assert_eq!(scratch.ask("SELECT * FROM parent").await, "1|\n3|4\n4|");
    assert_eq!(scratch.ask("SELECT * FROM child").await, "1|1\n2|3\n9|");
    assert_eq!(scratch.ask("PRAGMA foreign_key_check").await, "");
    let reasons: Vec<_> = done.conflicts.iter().map(|conflict| conflict.reason.as_str()).collect();
    assert_eq!(reasons, ["changed since, and salvaged", "FOREIGN KEY constraint failed"]);
}

#[tokio::test]
async fn triggers_are_silent_and_stay_as_they_are() {
    let scratch = Scratch::with(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, rank INTEGER); CREATE TABLE log (what TEXT);
         INSERT INTO t VALUES (1, NULL);
         CREATE TRIGGER told AFTER UPDATE ON t BEGIN INSERT INTO log VALUES ('updated'); END;",
    );
    let database = scratch.open();
    merge(&database, vec![ranks(&[(1, Some(10))])]).await;
    assert_eq!(scratch.ask("SELECT rank FROM t; SELECT count(*) FROM log").await, "10\n0");
    scratch.run("UPDATE t SET rank = 3");
    assert_eq!(scratch.ask("SELECT count(*) FROM log").await, "1");
}

#[tokio::test]
async fn a_unique_value_that_was_taken_since_is_a_conflict_and_one_that_gets_free_is_merged() {
    let scratch = Scratch::with(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, rank INTEGER UNIQUE);
         INSERT INTO t VALUES (1, 102), (2, 103), (3, 101), (9, 30);",
    );
    let rows = [(1, 101, 102), (2, 102, 103), (3, 30, 101)];
    let rows = rows.map(|(id, rank, returned)| vec![int(id), int(rank), int(returned)]).to_vec();
    let columns = [("id", "INTEGER"), ("rank", "INTEGER"), ("returned rank", "INTEGER")];
    let made = || {
        piece(SalvageKind::Values, "t", &["id"], &columns, rows.clone())
            .returned("rank", Returned::In("returned rank".to_string()))
    };
    let done = merge(&scratch.open(), vec![made()]).await;
    // 3 keeps 101 because 9 has taken 30, so 1 cannot have it, so 2 cannot have 102.
    assert_eq!(counts(&done.merged[0]), [0, 0, 0, 3]);
    scratch.run("DELETE FROM t WHERE id = 9");
    let done = merge(&scratch.open(), vec![made()]).await;
    assert_eq!(counts(&done.merged[0]), [3, 0, 0, 0]);
    assert_eq!(scratch.ask("SELECT * FROM t").await, "1|101\n2|102\n3|30");
}

#[tokio::test]
async fn rows_without_a_key_are_found_by_what_is_alike() {
    let scratch = Scratch::with(
        "CREATE TABLE t (same TEXT, rank INTEGER);
         INSERT INTO t VALUES ('a', NULL), ('a', NULL), ('b', NULL), (NULL, NULL), ('d', NULL), ('e', 5);",
    );
    let row = |same: Scalar, rank| vec![same, int(rank)];
    let rows = vec![
        row(text("a"), 1),
        row(text("a"), 1),
        row(text("b"), 2),
        row(text("b"), 3),
        row(Scalar::Null, 4),
        row(text("gone"), 6),
        row(text("e"), 7),
        row(text("d"), 8),
    ];
    let columns = [("same", "TEXT"), ("rank", "INTEGER")];
    let made = piece(SalvageKind::Values, "t", &[], &columns, rows).returned("rank", constant(None));
    let done = merge(&scratch.open(), vec![made]).await;
    assert_eq!(counts(&done.merged[0]), [4, 0, 1, 3]);
    assert_eq!(scratch.ask("SELECT * FROM t").await, "a|1\na|1\nb|\n|4\nd|8\ne|5");
}

#[tokio::test]
async fn whole_rows_without_a_key_are_inserted_only_where_there_are_none_like_them() {
    let scratch = Scratch::with("CREATE TABLE t (a TEXT, b INTEGER); INSERT INTO t VALUES ('x', 1);");
    let rows = vec![vec![text("x"), int(1)], vec![text("y"), int(2)], vec![text("y"), int(2)]];
    let made = piece(SalvageKind::Rows, "t", &[], &[("a", "TEXT"), ("b", "INTEGER")], rows);
    let done = merge(&scratch.open(), vec![made]).await;
    assert_eq!(counts(&done.merged[0]), [2, 0, 0, 1]);
    assert_eq!(scratch.ask("SELECT * FROM t").await, "x|1\ny|2\ny|2");
}

#[tokio::test]
async fn what_is_not_there_now_is_skipped_and_said() {
    let scratch = Scratch::with(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, twice INTEGER AS (id * 2)); INSERT INTO t (id) VALUES (1);",
    );
    let gone = piece(SalvageKind::Rows, "gone", &["id"], &[("id", "INTEGER")], vec![vec![int(1)]]);
    let columns = [("id", "INTEGER"), ("rank", "INTEGER"), ("twice", "INTEGER")];
    let half = piece(SalvageKind::Values, "t", &["id"], &columns, vec![vec![int(1), int(2), int(3)]]);
    let before = scratch.sha256();
    let done = merge(&scratch.open(), vec![gone, half]).await;
    let said: Vec<_> = done.merged.iter().map(|merged| merged.skipped.clone().expect("skipped")).collect();
    assert_eq!(
        said,
        ["there is no such table now", "there is no such column now", "the column is generated now"]
    );
    assert_eq!(scratch.sha256(), before);
}

#[tokio::test]
async fn a_look_says_what_a_merge_would_do_and_changes_nothing() {
    let scratch = Scratch::with(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, rank INTEGER); INSERT INTO t VALUES (1, NULL), (2, 5);",
    );
    let before = scratch.sha256();
    let pieces = [ranks(&[(1, Some(10)), (2, Some(20))]).0];
    let looked = scratch.open().merge_back(&pieces, MergeMode::Look, "op", &silent()).await.expect("looked");
    assert_eq!(counts(&looked.merged[0]), [1, 0, 0, 1]);
    assert_eq!(scratch.sha256(), before);
}

#[tokio::test]
async fn a_column_that_would_hold_another_value_keeps_what_it_has() {
    let scratch =
        Scratch::with("CREATE TABLE t (id INTEGER PRIMARY KEY, rank TEXT); INSERT INTO t VALUES (1, NULL);");
    let done = merge(&scratch.open(), vec![ranks(&[(1, Some(10))])]).await;
    assert_eq!(counts(&done.merged[0]), [0, 0, 0, 1]);
    assert_eq!(scratch.ask("SELECT typeof(rank) FROM t").await, "null");
}

#[tokio::test]
async fn a_required_value_of_a_column_made_again_with_a_default_is_put_back() {
    let scratch = Scratch::with(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, state TEXT NOT NULL DEFAULT 'new', UNIQUE (state, id));
         INSERT INTO t (id) VALUES (1), (2);",
    );
    let rows = vec![vec![int(1), text("paid")], vec![int(2), text("open")]];
    let made = piece(SalvageKind::Values, "t", &["id"], &[("id", "INTEGER"), ("state", "TEXT")], rows)
        .returned("state", constant(Some("\"new\"")));
    assert_eq!(counts(&merge(&scratch.open(), vec![made]).await.merged[0]), [2, 0, 0, 0]);
    assert_eq!(scratch.ask("SELECT state FROM t").await, "paid\nopen");
}

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
