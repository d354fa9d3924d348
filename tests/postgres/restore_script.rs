//! `RESTORE.sh` brings a snapshot back with stock tools only.

use crate::bench::Bench;
use crate::rich;
use crate::support::block_on;
use ripcord::engine::Database;
use std::path::Path;
use std::process::{Command, Output};

/// Puts a snapshot and its script into a folder as the store would.
async fn sealed(bench: &Bench) {
    let database = bench.as_superuser().await;
    let taken = bench.snapshot(&database, "backup/snapshot").await;
    let backup = bench.snapshots("backup");
    let script = database.restore_script(&taken);
    ripcord::base::fs::write_durable_mode(&backup.join("RESTORE.sh"), script.as_bytes(), 0o700)
        .expect("written");
    let seal = "find snapshot -type f | xargs -d '\\n' sha256sum > SHA256SUMS";
    let sealed = Command::new("sh").args(["-c", seal]).current_dir(&backup).status().expect("sh runs");
    assert!(sealed.success());
}

fn run(bench: &Bench, backup: &Path, database: &str) -> Output {
    run_as(bench, backup, database, "postgres")
}

fn run_as(bench: &Bench, backup: &Path, database: &str, user: &str) -> Output {
    let mut script = Command::new("sh");
    // From another folder, with nothing but the server's variables.
    script.arg(backup.join("RESTORE.sh")).arg(database).current_dir("/").env_clear();
    let path = format!("{}:/usr/bin:/bin", bench.server.bin_dir().display());
    script.env("PATH", path).env("PGHOST", bench.server.socket_folder()).env("PGUSER", user);
    script.output().expect("sh runs")
}

#[test]
fn the_script_restores_everything_into_a_new_database_and_never_over_one() {
    let bench = Bench::start();
    bench.server.psql("app", rich::AROUND);
    bench.server.psql_as("app", "app", rich::OBJECTS);
    bench.server.psql_as("app", "app", rich::ROWS);
    block_on(async {
        sealed(&bench).await;
        let name = "it's \"odd\" = \\ here";
        let done = run(&bench, &bench.snapshots("backup"), name);
        assert!(done.status.success(), "{done:?}");
        let (one, other) = (bench.as_superuser().await, {
            let encoded = "it%27s%20%22odd%22%20%3D%20%5C%20here";
            bench
                .connect(&bench.server.url_as("postgres", encoded), bench.options())
                .await
                .expect("connected")
        });
        assert_eq!(other.catalog().await.expect("read"), one.catalog().await.expect("read"));
        let again = run(&bench, &bench.snapshots("backup"), name);
        assert!(!again.status.success(), "an existing database is never overwritten");
    });
}

#[test]
fn the_script_refuses_a_damaged_backup_before_it_creates_anything() {
    let bench = Bench::start();
    bench.server.psql_as("app", "app", "CREATE TABLE t (id integer);");
    block_on(async {
        sealed(&bench).await;
        let toc = bench.snapshots("backup").join("snapshot/dump/toc.dat");
        let mut bytes = std::fs::read(&toc).expect("read");
        *bytes.last_mut().expect("a byte") ^= 1;
        std::fs::write(&toc, bytes).expect("written");
        let done = run(&bench, &bench.snapshots("backup"), "fresh");
        assert!(!done.status.success(), "{done:?}");
        assert_eq!(bench.server.databases(), ["app", "postgres"]);
    });
}

#[test]
fn the_script_is_silent_about_tables_that_its_user_may_not_analyze() {
    let bench = Bench::start();
    bench.server.psql_as("app", "app", "CREATE TABLE t (id integer); INSERT INTO t VALUES (1);");
    block_on(async {
        sealed(&bench).await;
        let done = run_as(&bench, &bench.snapshots("backup"), "fresh", "app");
        assert!(done.status.success(), "{done:?}");
        assert_eq!(String::from_utf8_lossy(&done.stderr), "");
        let analyzed = "SELECT reltuples FROM pg_class WHERE relname = 't';";
        assert_eq!(bench.server.psql("fresh", analyzed).trim(), "1");
    });
}

/// A database of a group: whoever is in it restores it, and the tables of the group are the group's again.
#[test]
fn the_script_needs_no_superuser_for_a_database_of_a_group_role() {
    let bench = Bench::start();
    bench.server.psql(
        "app",
        "CREATE ROLE \"the group\"; GRANT \"the group\" TO app; CREATE ROLE stranger LOGIN CREATEDB;",
    );
    bench.server.psql("app", "ALTER DATABASE app OWNER TO \"the group\";");
    let tables = "CREATE TABLE own (id integer PRIMARY KEY);
SET ROLE \"the group\";
CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t VALUES (1);
CREATE SCHEMA s; CREATE VIEW s.v AS SELECT id FROM public.t; GRANT SELECT ON s.v TO PUBLIC;
REVOKE CONNECT ON DATABASE app FROM PUBLIC; ALTER DATABASE app SET work_mem = '5MB';";
    bench.server.psql_as("app", "app", tables);
    block_on(async {
        sealed(&bench).await;
        let done = run_as(&bench, &bench.snapshots("backup"), "fresh", "app");
        assert!(done.status.success(), "{done:?}");
        assert_eq!(String::from_utf8_lossy(&done.stderr), "");
        let url = bench.server.url_as("postgres", "fresh");
        let fresh = bench.connect(&url, bench.options()).await.expect("connected");
        let live = bench.as_superuser().await;
        assert_eq!(fresh.catalog().await.expect("read"), live.catalog().await.expect("read"));
        let whose = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'fresh';";
        assert_eq!(bench.server.psql("fresh", whose), "the group\n");
        // Who is not in the group is told so by the server, and does not get half of it for the whole.
        let refused = run_as(&bench, &bench.snapshots("backup"), "other", "stranger");
        assert!(!refused.status.success(), "{refused:?}");
    });
}
