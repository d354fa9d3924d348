//! What a killed ripcord leaves on disk does not stay there.

use crate::support::{Postgres, Sandbox, TestDatabase};
use rustix::process::Signal;

fn secrets(sandbox: &Sandbox) -> Vec<String> {
    let mut files = sandbox.files("backups");
    files.retain(|name| name.contains("pgpass"));
    files
}

/// Lets a backup be killed while `pg_dump` hangs.
fn killed_while_dumping() -> (TestDatabase, Sandbox) {
    let db = TestDatabase::postgres_server(Postgres::options().passwords().start());
    let sandbox = Sandbox::with(&db);
    sandbox.env("DATABASE_URL", db.server().url_with_password("app", "app", "app"));
    sandbox.ripcord(&["init"]).expect_code(0);
    db.execute("CREATE TABLE t (id integer);");
    let mut tool = sandbox.hanging_tool("pg_dump");
    let run = sandbox.spawn(&["backup", "create"]);
    tool.wait_until_it_hangs();
    run.signal(Signal::KILL);
    assert_eq!(run.wait().code, -9);
    drop(tool);
    std::fs::remove_file(sandbox.fakes().join("pg_dump")).expect("the fake is there");
    std::fs::remove_file(sandbox.fakes().join("pg_restore")).expect("the link is there");
    std::fs::remove_file(sandbox.fakes().join("psql")).expect("the link is there");
    assert_eq!(secrets(&sandbox).len(), 1, "{:?}", sandbox.files("backups"));
    (db, sandbox)
}

#[test]
fn the_password_of_a_killed_operation_is_gone_after_recovery() {
    let (_db, sandbox) = killed_while_dumping();
    sandbox.ripcord(&["recover"]).expect_code(0);
    assert_eq!(secrets(&sandbox), Vec::<String>::new());
}

#[test]
fn the_password_of_a_killed_operation_is_gone_after_the_next_one_even_of_another_database() {
    let (db, sandbox) = killed_while_dumping();
    db.server().create_database("other");
    sandbox.env("DATABASE_URL", db.server().url_with_password("app", "app", "other"));
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    assert_eq!(secrets(&sandbox), Vec::<String>::new());
}
