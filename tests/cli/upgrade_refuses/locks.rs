//! Somebody else is at the database.

use crate::promise::*;
use crate::support::*;

fn impatient(sandbox: &Sandbox) {
    sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"50ms\"\nretries = 0\n");
}

/// A session that holds what a migration of `training_metric` needs.
fn somebody_locks(db: &TestDatabase) -> Session {
    let mut session = db.session();
    session.execute(match db.backend() {
        Backend::Sqlite => "BEGIN IMMEDIATE; UPDATE training_metric SET step = step + 1;",
        Backend::Postgres => "BEGIN; LOCK TABLE training_metric IN ACCESS EXCLUSIVE MODE;",
    });
    session
}

both_engines! {
    fn a_database_that_another_program_locks_is_left_alone(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        impatient(&sandbox);
        let before = db.dump();
        let mut session = somebody_locks(db);
        let run = sandbox.ripcord(&["downgrade"]);
        assert!(run.code == 3 || run.code == 4, "{run}");
        says_three_parts(&run, "lock");
        run.stderr_has("state: nothing was changed");
        session.execute("ROLLBACK;");
        drop(session);
        assert_same(&before, &db.dump(), &run);
        leaves_nothing_behind(&sandbox, db);
        at(&sandbox, 2);
        sandbox.ripcord(&["downgrade"]).expect_code(0);
    }

    fn an_unfinished_operation_must_be_recovered_first(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", "4");
        let died = sandbox.ripcord(&["downgrade"]);
        died.expect_code(-6).stderr_has("ripcord died at checkpoint 4");
        sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
        at(&sandbox, 2);
        for arguments in [&["upgrade"][..], &["downgrade"], &["backup", "create"], &["restore", "latest"]] {
            let run = refuses(&sandbox, db, arguments, 8, "did not finish");
            run.stderr_has("next: ripcord recover");
        }
        sandbox.ripcord(&["log"]).expect_code(0).stdout_has("UNFINISHED");
        sandbox.ripcord(&["recover"]).expect_code(0);
        at(&sandbox, 3);
        sandbox.ripcord(&["downgrade"]).expect_code(0);
    }

    fn an_unfinished_operation_of_another_database_is_no_obstacle(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", "4");
        sandbox.ripcord(&["--database-url", "sqlite:///other.db", "upgrade"]).expect_code(-6);
        sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
        sandbox.ripcord(&["downgrade"]).expect_code(0);
    }
}

#[test]
fn of_two_ripcords_at_once_on_sqlite_the_second_is_refused() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    // The first one waits for a lock of SQLite's own, and holds ripcord's meanwhile.
    sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"2min\"\n");
    let mut session = db.session();
    session.execute("BEGIN IMMEDIATE;");
    let mut first = sandbox.spawn(&["downgrade"]);
    first.wait_for_line("operation");
    at(&sandbox, 2);
    for arguments in
        [&["upgrade"][..], &["downgrade"], &["backup", "create"], &["restore", "latest"], &["recover"]]
    {
        let second = sandbox.ripcord(arguments);
        second.expect_code(7);
        says_three_parts(&second, "another operation holds the lock");
    }
    session.execute("ROLLBACK;");
    first.wait().expect_code(0);
    assert_eq!(db.version(), CREATE_TABLES);
}

mod postgres {
    use super::*;

    #[test]
    fn of_two_ripcords_at_once_the_second_is_refused() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        let mut tool = sandbox.hanging_tool("pg_dump");
        let first = sandbox.spawn(&["downgrade"]);
        tool.wait_until_it_hangs();
        at(&sandbox, 2);
        for arguments in
            [&["upgrade"][..], &["downgrade"], &["backup", "create"], &["restore", "latest"], &["recover"]]
        {
            let second = refuses(&sandbox, &db, arguments, 7, "another operation holds the lock");
            second.stderr_has("downgrade");
        }
        // Looking does not need the lock.
        sandbox.ripcord(&["current"]).expect_code(0);
        sandbox.ripcord(&["log"]).expect_code(0);
        first.signal(Signal::TERM);
        first.wait().expect_code(130);
        assert_eq!(db.version(), ADD_PROCESS_RANK);
    }

    #[test]
    fn the_lock_of_one_database_is_not_that_of_another() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        db.server().create_database("other");
        let mut tool = sandbox.hanging_tool("pg_dump");
        let first = sandbox.spawn(&["downgrade"]);
        tool.wait_until_it_hangs();
        let other = sample_of(&db);
        other.env("DATABASE_URL", db.server().url("other"));
        other.ripcord(&["upgrade"]).expect_code(0);
        first.signal(Signal::TERM);
        first.wait().expect_code(130);
    }

    #[test]
    fn a_lock_that_is_given_up_in_time_is_waited_for_with_retries() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"50ms\"\nretries = 1000\n");
        sandbox.revision(
            "eeee00000001",
            &[ADD_PROCESS_RANK],
            "ALTER TABLE training_metric ADD COLUMN extra INTEGER;",
            "",
        );
        // Reading stays possible, so the snapshot is taken; the migration has to wait.
        let mut session = db.session();
        session.execute("BEGIN; SELECT count(*) FROM training_metric;");
        let mut running = sandbox.spawn(&["upgrade"]);
        running.wait_for_line("publish");
        db.server().wait_for_log("canceling statement due to lock timeout");
        session.execute("COMMIT;");
        running.wait().expect_code(0);
        assert_eq!(db.version(), "eeee00000001");
    }

    /// Waits long enough to be seen several times, and not again.
    const ONCE: &str = "[database]\nlock_timeout = \"4s\"\nretries = 0\n";

    /// The process behind a session of a test, as a message names it.
    fn process(db: &TestDatabase, query: &str) -> String {
        let sql = format!(
            "SELECT pid FROM pg_stat_activity WHERE query LIKE '%{query}%' AND pid <> pg_backend_pid();"
        );
        db.query(&sql).trim().to_string()
    }

    fn names_the_session(run: &Run, process: &str, lock: &str) {
        run.expect_code(4).stderr_has(&format!("process {process} ("));
        run.stderr_has("idle in transaction").stderr_has(lock).stderr_has("state: nothing was changed");
        run.stderr_has(&format!(
            "next: end that transaction, or its session: SELECT pg_terminate_backend({process});"
        ));
        run.stderr_lacks("mend the revision file").stderr_lacks("ripcord restore");
    }

    #[test]
    fn a_session_that_a_migration_waited_for_is_named() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        sandbox.write("ripcord.toml", ONCE);
        let mut session = db.session();
        session.execute("BEGIN; SELECT count(*) FROM training_metric AS somebody;");
        let process = process(&db, "AS somebody");
        let run = sandbox.ripcord(&["downgrade"]);
        names_the_session(&run, &process, "holds a lock on public.training_metric, in a transaction since");
        session.execute("ROLLBACK;");
        sandbox.ripcord(&["downgrade"]).expect_code(0);
    }

    #[test]
    fn a_session_that_is_waited_for_is_told_while_it_is() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"10min\"\n");
        let mut session = db.session();
        session.execute("BEGIN; SELECT count(*) FROM training_metric AS somebody;");
        let process = process(&db, "AS somebody");
        let mut running = sandbox.spawn(&["downgrade"]);
        let said = running.wait_for_line("waiting for another session, for up to 600 s each time");
        assert!(said.contains(&format!("process {process} (")) && said.contains("holds a lock"), "{said}");
        session.execute("COMMIT;");
        running.wait().expect_code(0);
    }

    #[test]
    fn a_session_that_holds_a_row_is_named() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        sandbox.write("ripcord.toml", ONCE);
        let revision =
            Revision::new("eeee00000001").revises(ADD_PROCESS_RANK).directive("transaction", "none");
        sandbox.add(&revision.upgrade("UPDATE training_metric SET step = step + 1;"));
        let mut session = db.session();
        session.execute("BEGIN; UPDATE training_metric AS somebody SET step = step;");
        let process = process(&db, "AS somebody");
        let run = accepting(&sandbox, &["upgrade"]);
        names_the_session(&run, &process, "holds a lock on public.training_metric");
        session.execute("ROLLBACK;");
    }
}
