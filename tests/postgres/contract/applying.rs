//! Running scripts, and telling own writes from those of others.

use super::Subject;
use crate::applying::{insert, script};
use crate::bench::OPERATION;
use crate::support::*;
use ripcord::engine::{Error, OtherWrites};
use ripcord::history::{Direction, RevisionId, RowChange};
use ripcord::plan::{Script, TransactionMode};

fn id(text: &str) -> RevisionId {
    RevisionId::new(text).expect("an id")
}

both_engines! {
    async fn a_script_its_version_row_and_its_memory_come_together_and_go_together(db: &TestDatabase) {
        let subject = Subject::new(db);
        let database = subject.open().await;
        let up = script("aaaa", insert("aaaa"), &["CREATE TABLE stock (id INTEGER)", "INSERT INTO stock VALUES (1)"]);
        subject.apply(&*database, &up).await.expect("applied");
        assert_eq!(db.query("SELECT id FROM stock;"), "1");
        assert_eq!(database.version_rows().await.expect("rows"), [id("aaaa")]);
        let files = database.applied_files().await.expect("files");
        let known: Vec<_> =
            files.iter().map(|file| (file.revision.as_str(), file.sha256.as_str(), file.operation.as_str())).collect();
        assert_eq!(known, [("aaaa", up.sha256.as_str(), OPERATION)]);

        let down = script("aaaa", vec![RowChange::Delete(id("aaaa"))], &["DROP TABLE stock"]);
        subject.apply(&*database, &Script { direction: Direction::Down, ..down }).await.expect("applied");
        assert_eq!(database.version_rows().await.expect("rows"), []);
        assert_eq!(database.applied_files().await.expect("files"), []);
    }

    async fn a_failing_statement_is_named_and_nothing_of_its_script_stays(db: &TestDatabase) {
        let subject = Subject::new(db);
        let before = db.dump();
        let statements = ["DROP TABLE purchase", "UPDATE customer SET name = 'x'", "INSERT INTO nowhere VALUES (1)"];
        let failing = script("aaaa", insert("aaaa"), &statements);
        match subject.apply(&*subject.open().await, &failing).await {
            Err(Error::Statement { place, line, statement, .. }) => assert_eq!(
                (place, line, statement.as_str()),
                (failing.place.clone(), failing.statements[2].line, statements[2])
            ),
            other => panic!("{other:?}"),
        }
        assert_eq!(db.dump(), before);
    }

    async fn version_rows_that_are_not_as_planned_undo_the_script(db: &TestDatabase) {
        let subject = Subject::new(db);
        let before = db.dump();
        for rows in [
            vec![RowChange::Delete(id("aaaa"))],
            vec![RowChange::Update { from: id("aaaa"), to: id("bbbb") }],
        ] {
            let wrong = script("bbbb", rows, &["DROP TABLE purchase"]);
            let refused = subject.apply(&*subject.open().await, &wrong).await;
            assert!(matches!(refused, Err(Error::VersionRows { .. })), "{refused:?}");
            assert_eq!(db.dump(), before);
        }
    }

    async fn statements_by_themselves_are_journalled_one_by_one_and_what_ran_stays(db: &TestDatabase) {
        let subject = Subject::new(db);
        let statements = ["VACUUM", "CREATE TABLE stock (id INTEGER)", "INSERT INTO nowhere VALUES (1)"];
        let failing =
            Script { transaction: TransactionMode::None, ..script("aaaa", insert("aaaa"), &statements) };
        let operation = subject.operation();
        let failed = subject.apply_in(&operation, &*subject.open().await, &failing).await;
        assert!(matches!(failed, Err(Error::Statement { .. })), "{failed:?}");
        assert_eq!(db.query("SELECT count(*) FROM stock;"), "0");
        assert_eq!(db.version(), "");

        let bytes = subject.journal().bytes(operation.id()).expect("a journal");
        let lines = String::from_utf8(bytes).expect("text");
        let lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        let told: Vec<_> = lines
            .filter_map(|line| {
                let event = line["event"].as_str()?.strip_prefix("statement-")?.to_owned();
                Some(format!("{event} {} {}", line["index"], line["sha256"].as_str().unwrap_or_default()))
            })
            .collect();
        let sha256 = |index: usize| failing.statements[index].sha256.as_str();
        let expected = [
            format!("started 0 {}", sha256(0)),
            "finished 0 ".to_owned(),
            format!("started 1 {}", sha256(1)),
            "finished 1 ".to_owned(),
            format!("started 2 {}", sha256(2)),
        ];
        assert_eq!(told, expected);
    }

    async fn what_a_script_wrote_is_counted_by_table_where_it_is_counted_at_all(db: &TestDatabase) {
        let subject = Subject::new(db);
        let change = script("aaaa", insert("aaaa"), &["UPDATE customer SET name = 'x' WHERE id < 3"]);
        let applied = subject.apply(&*subject.open().await, &change).await.expect("applied");
        if let Some(rows) = applied.rows_written {
            assert_eq!(rows.get(&subject.table("customer")), Some(&2));
            assert_eq!(rows.get(&subject.table("purchase")), None, "a table that was not written");
        }
    }

    async fn own_writes_are_nobody_elses(db: &TestDatabase) {
        let subject = Subject::new(db);
        let database = subject.open().await;
        let _lock = database.lock(OPERATION).await.expect("the lock");
        let mark = database.mark().await.expect("a mark");
        assert_eq!(database.others_wrote_since(&mark).await.expect("told"), OtherWrites::Nobody);
        let change = script("aaaa", insert("aaaa"), &["UPDATE customer SET name = 'x'"]);
        subject.apply(&*database, &change).await.expect("applied");
        assert_eq!(database.others_wrote_since(&mark).await.expect("told"), OtherWrites::Nobody);
    }

    async fn a_write_of_another_program_is_never_taken_for_nothing(db: &TestDatabase) {
        let subject = Subject::new(db);
        let database = subject.open().await;
        let mark = database.mark().await.expect("a mark");
        db.execute("UPDATE customer SET name = 'x' WHERE id = 1;");
        // A server's counters may not say in which database it was; then it cannot be told.
        assert_ne!(database.others_wrote_since(&mark).await.expect("told"), OtherWrites::Nobody);
    }
}
