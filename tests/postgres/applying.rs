//! Scripts run whole or not at all, with the user's own settings, and say where they failed.

use crate::bench::{Bench, OPERATION};
use crate::support::block_on;
use ripcord::catalog::TableName;
use ripcord::engine::postgres::PostgresDatabase;
use ripcord::engine::{Applied, Bookkeeping, Database, Error, OtherWrites};
use ripcord::history::{Direction, RevisionId, RowChange};
use ripcord::plan::{Script, Statement, Touches, TransactionMode};
use ripcord::report::Progress;

fn id(text: &str) -> RevisionId {
    RevisionId::new(text).expect("an id")
}

pub fn script(revision: &str, rows: Vec<RowChange>, statements: &[&str]) -> Script {
    let statements = statements.iter().enumerate().map(|(index, text)| Statement {
        text: text.to_string(),
        line: 10 * (index + 1),
        sha256: ripcord::base::hash::sha256_hex(text),
        touches: Touches::default(),
    });
    Script {
        revision: id(revision),
        direction: Direction::Up,
        message: "a change".into(),
        place: "versions/a.sql".into(),
        sha256: "00".into(),
        transaction: TransactionMode::One,
        statements: statements.collect(),
        accepts: Vec::new(),
        rows,
        rows_after: vec![id(revision)],
    }
}

pub fn insert(revision: &str) -> Vec<RowChange> {
    vec![RowChange::Insert(id(revision))]
}

pub async fn apply(bench: &Bench, database: &PostgresDatabase, script: &Script) -> Result<Applied, Error> {
    let operation = bench.operation(&ripcord::base::ids::random_hex(12));
    let at = "2026-11-23T18:15:00Z".parse().expect("a time");
    let book = Bookkeeping { operation: OPERATION, at, known: &[], guarded: None };
    database.apply(script, &book, &operation.script_log()).await
}

#[test]
fn a_script_its_version_row_and_its_memory_are_one_transaction() {
    let bench = Bench::start();
    block_on(async {
        let database = bench.database().await;
        assert_eq!(database.version_rows().await.expect("rows"), []);
        let first =
            script("aaaa", insert("aaaa"), &["CREATE TABLE t (id integer)", "INSERT INTO t VALUES (1), (2)"]);
        let applied = apply(&bench, &database, &first).await.expect("applied");
        let written = applied.rows_written.expect("counted");
        assert_eq!(written[&TableName::qualified("public", "t")], 2);
        assert_eq!(database.version_rows().await.expect("rows"), [id("aaaa")]);
        let files = database.applied_files().await.expect("files");
        assert_eq!((files[0].revision.as_str(), files[0].operation.as_str()), ("aaaa", OPERATION));
        let bad = script(
            "bbbb",
            vec![RowChange::Update { from: id("aaaa"), to: id("bbbb") }],
            &["DROP TABLE t", "SELECT 1,\n  nonsense()"],
        );
        let error = apply(&bench, &database, &bad).await.expect_err("fails");
        let Error::Statement { line, place, detail, .. } = &error else { panic!("{error}") };
        assert_eq!((*line, place.as_str()), (21, "versions/a.sql"));
        assert!(detail.contains("function nonsense() does not exist"), "{detail}");
        assert_eq!(bench.server.psql("app", "SELECT count(*) FROM t;").trim(), "2");
        assert_eq!(database.version_rows().await.expect("rows"), [id("aaaa")]);
    });
}

#[test]
fn a_version_row_that_is_not_there_undoes_the_script() {
    let bench = Bench::start();
    block_on(async {
        let database = bench.database().await;
        let wrong = script("bbbb", vec![RowChange::Delete(id("aaaa"))], &["CREATE TABLE t (id integer)"]);
        let error = apply(&bench, &database, &wrong).await.expect_err("fails");
        assert!(matches!(error, Error::VersionRows { .. }), "{error}");
        assert_eq!(bench.server.psql("app", "SELECT to_regclass('t');").trim(), "");
    });
}

#[test]
fn what_refuses_a_transaction_runs_by_itself() {
    let bench = Bench::start();
    bench.server.psql_as("app", "app", "CREATE TABLE t (id integer);");
    block_on(async {
        let database = bench.database().await;
        let mut concurrent =
            script("aaaa", insert("aaaa"), &["CREATE INDEX CONCURRENTLY i ON t (id)", "VACUUM t"]);
        concurrent.transaction = TransactionMode::None;
        let applied = apply(&bench, &database, &concurrent).await.expect("applied");
        assert_eq!(applied.rows_written, None);
        assert_eq!(database.version_rows().await.expect("rows"), [id("aaaa")]);
    });
}

#[test]
fn a_lock_of_another_session_is_waited_for_a_limited_time() {
    let bench = Bench::start();
    bench.server.psql_as("app", "app", "CREATE TABLE t (id integer);");
    block_on(async {
        let database = bench.database().await;
        let mut other = bench.server.session("app");
        other.execute("BEGIN; LOCK TABLE t IN ACCESS SHARE MODE;");
        let change = script("aaaa", insert("aaaa"), &["ALTER TABLE t ADD COLUMN more text"]);
        let error = apply(&bench, &database, &change).await.expect_err("locked");
        assert!(error.to_string().contains("lock timeout"), "{error}");
        drop(other);
        apply(&bench, &database, &change).await.expect("applied");
    });
}

#[test]
fn a_migration_sees_the_settings_that_its_user_has_without_ripcord() {
    let bench = Bench::start();
    bench.server.psql(
        "app",
        "ALTER DATABASE app SET search_path = inner_schema; ALTER ROLE app SET TimeZone = 'Asia/Tokyo'; \
        ALTER DATABASE app SET DateStyle = 'German';",
    );
    bench.server.psql_as("app", "app", "CREATE SCHEMA inner_schema;");
    block_on(async {
        let database = bench.database().await;
        let text = "CREATE TABLE seen AS SELECT current_setting('search_path') AS a, current_setting('TimeZone') AS b, \
            current_setting('DateStyle') AS c, current_setting('lock_timeout') AS d";
        apply(&bench, &database, &script("aaaa", insert("aaaa"), &[text])).await.expect("applied");
        let seen = bench.server.psql("app", "SELECT * FROM inner_schema.seen;");
        assert_eq!(seen.trim(), "inner_schema|Asia/Tokyo|German, DMY|300ms");
        assert_eq!(database.version_rows().await.expect("rows"), [id("aaaa")]);
    });
}

#[test]
fn an_interrupted_statement_is_ended_on_the_server_and_undone() {
    let bench = Bench::start();
    block_on(async {
        let database = bench.database().await;
        let slow = script("aaaa", insert("aaaa"), &["CREATE TABLE t (id integer)", "SELECT pg_sleep(600)"]);
        let running = apply(&bench, &database, &slow);
        let interrupt = async {
            let asleep = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active';";
            while bench.server.psql("postgres", asleep).trim() != "1" {
                tokio::task::yield_now().await;
            }
            bench.cancel.cancel();
        };
        let (ended, ()) = tokio::join!(running, interrupt);
        assert!(ended.expect_err("interrupted").is_interrupted());
        let left = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND application_name LIKE 'ripcord:%';";
        assert_eq!(bench.server.ends_with(left, "0"), "0");
        assert_eq!(bench.server.psql("app", "SELECT to_regclass('t');").trim(), "");
    });
}

#[test]
fn own_writes_are_told_from_those_of_others() {
    let bench = Bench::start();
    block_on(async {
        let database = bench.database().await;
        let mark = database.mark().await.expect("a mark");
        apply(&bench, &database, &script("aaaa", insert("aaaa"), &["CREATE TABLE t (id integer)"]))
            .await
            .expect("applied");
        let failing = script("bbbb", insert("bbbb"), &["INSERT INTO t VALUES (1)", "nonsense"]);
        apply(&bench, &database, &failing).await.expect_err("fails");
        assert_eq!(database.others_wrote_since(&mark).await.expect("an answer"), OtherWrites::Nobody);
        bench.server.psql_as("app", "app", "INSERT INTO t VALUES (1);");
        let answer = database.others_wrote_since(&mark).await.expect("an answer");
        assert!(matches!(answer, OtherWrites::Unknown(_)), "{answer:?}");
    });
}

#[test]
fn a_proof_on_the_same_server_does_not_hide_that_nobody_wrote() {
    let bench = Bench::start();
    bench.server.psql_as(
        "app",
        "app",
        "CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t DEFAULT VALUES;",
    );
    block_on(async {
        let database = bench.database().await;
        let proven = async |name: &str| {
            let mark = database.mark().await.expect("a mark");
            let taken = bench.snapshot(&database, name).await;
            let folder = bench.snapshots(name);
            database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("a proof");
            mark
        };
        let mark = proven("first").await;
        let up = script("aaaa", insert("aaaa"), &["ALTER TABLE t ADD COLUMN more text"]);
        apply(&bench, &database, &up).await.expect("applied");
        assert_eq!(database.others_wrote_since(&mark).await.expect("an answer"), OtherWrites::Nobody);
        for write in ["UPDATE t SET more = 'x'", "DELETE FROM t WHERE id = 1"] {
            let mark = proven(&write.replace(' ', "-")).await;
            bench.server.psql_as("app", "app", write);
            let next = script("bbbb", vec![], &["SELECT 1"]);
            apply(&bench, &database, &next).await.expect("applied");
            let answer = database.others_wrote_since(&mark).await.expect("an answer");
            assert!(matches!(&answer, OtherWrites::Unknown(_)), "{write}: {answer:?}");
        }
    });
}

#[test]
fn a_transaction_that_was_open_at_the_mark_counts_as_another_writer() {
    let bench = Bench::start();
    let table = "CREATE TABLE t (id integer PRIMARY KEY, more text); INSERT INTO t VALUES (1);";
    bench.server.psql_as("app", "app", table);
    block_on(async {
        let database = bench.database().await;
        let mut other = bench.server.session("app");
        // The row is written in a part of the transaction that has a number of its own.
        other.execute(
            "BEGIN; SELECT pg_current_xact_id(); SAVEPOINT part; UPDATE t SET more = 'x'; RELEASE part;",
        );
        let mark = database.mark().await.expect("a mark");
        let taken = bench.snapshot(&database, "snapshot").await;
        let folder = bench.snapshots("snapshot");
        database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("a proof");
        other.execute("COMMIT;");
        apply(&bench, &database, &script("aaaa", insert("aaaa"), &["SELECT 1"])).await.expect("applied");
        let answer = database.others_wrote_since(&mark).await.expect("an answer");
        assert!(matches!(&answer, OtherWrites::Unknown(_)), "{answer:?}");
    });
}

#[test]
fn what_a_script_empties_or_drops_without_naming_it_is_its_own_doing() {
    let bench = Bench::start();
    bench.server.psql_as(
        "app",
        "app",
        "CREATE TABLE parent (id integer PRIMARY KEY); INSERT INTO parent VALUES (1);
        CREATE TABLE child (parent integer REFERENCES parent); INSERT INTO child VALUES (1);
        CREATE TABLE hidden (id integer); INSERT INTO hidden VALUES (1);
        CREATE FUNCTION empty_it() RETURNS void LANGUAGE sql AS 'TRUNCATE hidden';
        CREATE SCHEMA x; CREATE TABLE x.inside (id integer); INSERT INTO x.inside VALUES (1);
        CREATE TABLE referred (id integer PRIMARY KEY); CREATE TABLE refers (id integer REFERENCES referred);
        CREATE TABLE aside (id integer); INSERT INTO aside VALUES (1);",
    );
    block_on(async {
        let database = bench.database().await;
        let statements = [
            "TRUNCATE parent CASCADE",
            "SELECT empty_it()",
            "DROP SCHEMA x CASCADE",
            // Locks the table that the key points to, and writes nothing to it.
            "ALTER TABLE refers DROP CONSTRAINT refers_id_fkey",
        ];
        let applied = apply(&bench, &database, &script("aaaa", insert("aaaa"), &statements)).await;
        let written = applied.expect("applied").rows_written.expect("counted");
        for (schema, name) in
            [("public", "parent"), ("public", "child"), ("public", "hidden"), ("x", "inside")]
        {
            let name = TableName::qualified(schema, name);
            assert!(written.get(&name).is_some_and(|rows| *rows > 0), "{name}: {written:?}");
        }
        for name in ["referred", "aside"] {
            assert!(!written.contains_key(&TableName::qualified("public", name)), "{name}: {written:?}");
        }
    });
}
