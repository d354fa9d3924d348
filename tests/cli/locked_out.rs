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

/// Holds the version table, as a migration of another program does while it runs.
fn somebody_migrates(db: &TestDatabase) -> (Session, String) {
    let mut session = db.session();
    let pid = session.execute(
        "SET application_name = 'nightly job'; BEGIN; LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE;
SELECT pg_backend_pid();",
    );
    (session, pid)
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
