//! A backup of a PostgreSQL server comes back on another one, which need not have its roles nor its version.

use crate::promise::*;
use crate::support::*;

/// Three rows and a role that may read them.
fn with_a_reader() -> (TestDatabase, Sandbox, String) {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    db.server().create_role("reader", "");
    db.execute("GRANT SELECT ON training_config TO reader;");
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    let backup = name_of(&sandbox.backups().pop().unwrap());
    at(&sandbox, 2);
    (db, sandbox, backup)
}

const ROWS: &str = "SELECT count(*) FROM training_metric;";

#[test]
fn a_backup_comes_back_on_a_server_that_lacks_its_roles() {
    let (_db, sandbox, backup) = with_a_reader();
    let other = Postgres::start();
    let run = sandbox.ripcord(&["restore", &backup, "--to", &other.url("fresh")]);
    run.expect_code(0).stdout_has("reader");
    assert_eq!(other.psql("fresh", ROWS), "60\n");
    assert_eq!(other.databases(), ["app", "fresh", "postgres"]);
}

#[test]
fn the_live_database_is_not_replaced_by_one_without_its_grants() {
    let (db, sandbox, backup) = with_a_reader();
    db.execute("REVOKE SELECT ON training_config FROM reader;");
    db.server().psql("app", "DROP ROLE reader;");
    let run = refuses(&sandbox, &db, &["restore", &backup], 3, "reader");
    run.stderr_has("CREATE ROLE");
    leaves_nothing_behind(&sandbox, &db);
    db.server().create_role("reader", "");
    at(&sandbox, 3);
    sandbox.ripcord(&["restore", &backup]).expect_code(0);
    assert_eq!(db.server().psql_as("reader", "app", "SELECT count(*) FROM training_config;"), "3\n");
}

#[test]
fn a_backup_of_an_older_server_comes_back_on_a_newer_one() {
    let mut versions = Installation::all();
    assert!(versions.len() > 1, "only one PostgreSQL is installed: run scripts/test");
    let (newest, oldest) = (versions.pop().unwrap(), versions.swap_remove(0));
    let db = TestDatabase::postgres_server(Postgres::options().installation(oldest).start());
    let other = Postgres::options().installation(newest.clone()).start();
    let sandbox = Sandbox::with_clients(newest);
    sandbox.sample().env("DATABASE_URL", db.url());
    sandbox.ripcord(&["upgrade"]).expect_code(0);
    db.fill_sample(3, 20);
    at(&sandbox, 1);
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    at(&sandbox, 2);
    let backup = name_of(&sandbox.backups().pop().unwrap());
    sandbox.ripcord(&["restore", &backup, "--to", &other.url("fresh")]).expect_code(0);
    assert_eq!(other.psql("fresh", ROWS), "60\n");
}
