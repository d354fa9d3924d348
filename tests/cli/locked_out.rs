//! A table that somebody holds keeps nobody waiting for ever: each look ends, and says who it is.

use crate::promise::*;
use crate::support::*;

/// Everything that asks the database where it is.
const LOOKS: &[&[&str]] = &[
    &["current"],
    &["history", "-i"],
    &["history", "-r", "current:head"],
    &["verify"],
    &["stamp", "base"],
    &["upgrade"],
    &["downgrade"],
    &["downgrade", "--dry-run"],
    &["backup", "create"],
    &["restore", "latest"],
];

/// Holds a table, under this name of an application; returns its session and the server's process.
fn somebody_holds(db: &TestDatabase, table: &str, application: &str) -> (Session, String) {
    let mut session = db.session();
    let pid = session.execute(&format!(
        "SET application_name = '{application}'; BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT pg_backend_pid();"
    ));
    (session, pid)
}

/// Holds the version table, as a migration of another program does while it runs.
fn somebody_migrates(db: &TestDatabase) -> (Session, String) {
    somebody_holds(db, "alembic_version", "nightly job")
}

#[test]
fn a_look_behind_a_lock_ends_and_names_who_holds_it() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    at(&sandbox, 2);
    sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"50ms\"\nretries = 0\n");
    let (mut session, pid) = somebody_migrates(&db);
    for arguments in LOOKS {
        let run = sandbox.ripcord(arguments);
        run.expect_code(4);
        says_three_parts(&run, "alembic_version");
        run.stderr_has("state: nothing was changed");
        run.stderr_has(&format!("process {pid} (nightly job, user app, idle in transaction)"))
            .stderr_has("since 2");
        run.stderr_has(&format!(
            "next: end that transaction, or its session: SELECT pg_terminate_backend({pid})"
        ));
    }
    // What needs no database is no longer for it.
    for arguments in [&["log"][..], &["heads"], &["backup", "list"]] {
        sandbox.ripcord(arguments).expect_code(0);
    }
    session.execute("ROLLBACK;");
    sandbox.ripcord(&["current"]).expect_code(0);
}

#[test]
fn a_look_ends_by_itself_where_nothing_is_configured() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    let (_session, pid) = somebody_migrates(&db);
    sandbox.ripcord(&["current"]).expect_code(4).stderr_has(&pid);
}

/// Holds a table, as a long maintenance does.
fn somebody_holds_a_table(db: &TestDatabase) -> (Session, String) {
    somebody_holds(db, "training_config", "vacuum full")
}

#[test]
fn who_waits_for_a_table_says_at_once_for_whom_and_for_how_long() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"50ms\"\nretries = 2\n");
    let (mut session, pid) = somebody_holds_a_table(&db);
    let commands: [&[&str]; 3] =
        [&["backup", "create"], &["verify"], &["backup", "export", "training_config"]];
    for (minute, arguments) in (1..).zip(commands) {
        at(&sandbox, minute);
        let run = sandbox.ripcord(arguments);
        run.expect_code(4);
        says_three_parts(&run, "training_config");
        let who =
            format!("process {pid} (vacuum full, user app, idle in transaction) holds the exclusive lock");
        let said: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("note: ")).collect();
        assert!(said.len() == 1 && said[0].contains(&who) && said[0].contains("since 2"), "{run}");
        assert!(said[0].ends_with("; it is tried up to 2 times more, for about 1 s"), "{run}");
    }
    session.execute("ROLLBACK;");
    at(&sandbox, 10);
    let run = sandbox.ripcord(&["backup", "create"]);
    run.expect_code(0).stderr_lacks("note: ");
}

#[test]
fn a_backup_goes_on_as_soon_as_the_table_is_given_up() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"50ms\"\nretries = 1000\n");
    let (mut session, _) = somebody_holds_a_table(&db);
    let mut running = sandbox.spawn(&["backup", "create"]);
    running.wait_for_line("holds the exclusive lock on public.training_config");
    session.execute("ROLLBACK;");
    running.wait().expect_code(0);
}

#[test]
fn a_backup_that_waits_for_a_table_is_stopped_at_once() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    // Far longer than this test may take: within a try, and between two of them.
    for (lock_timeout, minute) in [("2min", 1), ("50ms", 2)] {
        at(&sandbox, minute);
        sandbox.write(
            "ripcord.toml",
            format!("[database]\nlock_timeout = \"{lock_timeout}\"\nretries = 1000\n"),
        );
        let (mut session, _) = somebody_holds_a_table(&db);
        let mut running = sandbox.spawn(&["backup", "create"]);
        match lock_timeout {
            "50ms" => running.wait_for_line("it is tried up to 1000 times more"),
            _ => db
                .server()
                .ends_with("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", "1"),
        };
        running.signal(Signal::INT);
        running.wait().expect_code(130).stderr_has("state: nothing was changed");
        session.execute("ROLLBACK;");
        leaves_nothing_behind(&sandbox, &db);
    }
}
