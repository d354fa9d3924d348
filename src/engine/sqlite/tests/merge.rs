//! Salvage is merged three-way, by key or by everything that is alike, and never guessed.

use super::super::SqliteDatabase;
use super::support::{Scratch, silent};
use crate::base::hash::Hashed;
use crate::catalog::TableName;
use crate::engine::{Database, Inlet, MergeMode, Merged, MergedBack, Piece, Scalar, ShapeColumn, Value};
use crate::journal::ScriptLog;
use crate::ledger::{Returned, Salvage, SalvageKind};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

/// Rows in memory, in place of a file.
struct Rows(Vec<Vec<Scalar>>);

impl Inlet for Rows {
    fn check(&self, _: &mut Hashed) -> Result<(), crate::engine::Error> {
        Ok(())
    }

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

pub(super) fn int(number: i64) -> Scalar {
    Scalar::Integer(number)
}

pub(super) fn text(text: &str) -> Scalar {
    Scalar::Text(text.into())
}

pub(super) struct Making(pub(super) Piece);

pub(super) fn piece(
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
        in_any: false,
        doubt: None,
        columns: own(&lost),
        returned: BTreeMap::new(),
        in_tree: false,
    };
    let shape = |(name, type_name): &(&str, &str)| ShapeColumn {
        name: name.to_string(),
        type_name: type_name.to_string(),
    };
    let columns = columns.iter().map(shape).collect();
    Making(Piece::new(salvage, columns, rows.len() as u64, Arc::new(Rows(rows))))
}

impl Making {
    pub(super) fn returned(mut self, column: &str, returned: Returned) -> Self {
        self.0.salvage.returned.insert(column.to_string(), returned);
        self
    }
}

pub(super) fn constant(field: Option<&str>) -> Returned {
    Returned::Constant(field.map(str::to_string))
}

pub(super) async fn merge(database: &SqliteDatabase, pieces: Vec<Making>) -> MergedBack {
    let pieces: Vec<Piece> = pieces.into_iter().map(|making| making.0).collect();
    database
        .merge_back(&pieces, MergeMode::Write, "op", &ScriptLog::unrecorded(), &silent())
        .await
        .expect("merged")
}

/// Merged, already there, deleted since, conflicts.
pub(super) fn counts(merged: &Merged) -> [u64; 4] {
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
    let looked = scratch
        .open()
        .merge_back(&pieces, MergeMode::Look, "op", &ScriptLog::unrecorded(), &silent())
        .await
        .expect("looked");
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
