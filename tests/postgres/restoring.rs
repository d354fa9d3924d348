//! Restores are built beside, swapped in one step, and undone or finished after a crash.

use crate::bench::{Bench, OPERATION};
use crate::rich;
use crate::support::{Postgres, block_on};
use ripcord::engine::postgres::Options;
use ripcord::engine::{Database, Error};
use ripcord::report::Progress;
use std::time::Duration;

/// Compares two dumps and shows only where they differ. The server prints `IN` lists in another spelling after a dump
/// and a restore, so those lines are left to the catalog.
fn same_lines(one: &str, other: &str) {
    let lines = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.contains("= ANY (")).map(str::to_string).collect()
    };
    let (one, other) = (lines(one), lines(other));
    let differing: Vec<_> = one.iter().zip(&other).filter(|(one, other)| one != other).take(3).collect();
    assert!(differing.is_empty() && one.len() == other.len(), "{differing:#?}");
}

#[test]
fn a_restore_beside_brings_back_everything_and_keeps_the_bad_database() {
    let bench = Bench::start();
    bench.server.psql("app", rich::AROUND);
    bench.server.psql_as("app", "app", rich::OBJECTS);
    bench.server.psql_as("app", "app", rich::ROWS);
    let before = bench.server.dump("app");
    block_on(async {
        let database = bench.as_superuser().await;
        let taken = bench.snapshot(&database, "snapshot").await;
        bench.server.psql_as("app", "app", "DROP TABLE no_key; UPDATE customer SET status = NULL;");
        bench.server.psql("app", "ALTER DATABASE app SET work_mem = '1MB';");
        let mut client = bench.server.session("app");
        assert_eq!(client.execute("SELECT 1;"), "1");
        let lock = database.lock(OPERATION).await.expect("the lock");
        let staged = bench.stage(&database, &taken, "snapshot").await;
        assert_eq!(staged.differences, Vec::<String>::new());
        let operation = bench.operation(OPERATION);
        let swapped = database.swap(&staged, OPERATION, &operation.script_log()).await.expect("swapped");
        let kept = swapped.kept.expect("the old database is kept");
        assert_eq!(kept, "app_old_20261123t181500z_upgrade_5f2c");
        same_lines(&bench.server.dump("app"), &before);
        assert_eq!(bench.server.psql("app", "SHOW work_mem;").trim(), "77MB");
        let acl = "SELECT datacl, datconnlimit FROM pg_database WHERE datname = 'app';";
        assert_eq!(bench.server.psql("app", acl).trim(), "{app=CTc/app,reader=c/app}|40");
        assert!(bench.server.try_psql_as("postgres", &kept, "SELECT 1;").is_err(), "the old one is barred");
        // The lock is on the new database as well.
        let other = bench.as_superuser().await.lock("another").await.err().expect("locked");
        assert!(
            matches!(&other, Error::LockedByOther { holder, .. } if holder.contains(OPERATION)),
            "{other}"
        );
        drop(lock);
        assert_eq!(database.tidy(OPERATION, &bench.state().facts).await.expect("tidied").len(), 1);
        let inventory = database.inventory(&Progress::silent()).await.expect("read");
        assert_eq!(inventory.fingerprint.tables, taken.inventory.fingerprint.tables);
        assert_eq!(inventory.catalog, taken.inventory.catalog);
    });
}

#[test]
fn a_database_that_was_barred_by_a_crash_is_opened_again() {
    let bench = Bench::start();
    bench.server.psql_as("app", "app", "CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t VALUES (1);");
    block_on(async {
        let database = bench.database().await;
        let operation = bench.operation(OPERATION);
        let log = operation.script_log();
        log.fact("swap.live", "app").expect("written");
        bench.server.create_database("ripcord_new_20261123t181500z_upgrade_5f2c");
        bench.server.psql("postgres", "ALTER DATABASE app ALLOW_CONNECTIONS false;");
        // A ripcord that comes later must be able to look at all.
        let later = bench.database().await;
        assert!(later.exists().await.expect("asked"));
        let done = later.tidy(OPERATION, &bench.state().facts).await.expect("tidied");
        assert_eq!(done.len(), 2, "{done:?}");
        assert_eq!(bench.server.databases(), ["app", "postgres"]);
        assert_eq!(bench.server.psql("app", "SELECT id FROM t;").trim(), "1");
        assert_eq!(later.tidy(OPERATION, &bench.state().facts).await.expect("again"), Vec::<String>::new());
        drop(database);
    });
}

#[test]
fn a_snapshot_restores_into_a_database_that_did_not_exist() {
    let bench = Bench::start();
    bench.server.psql_as("app", "app", "CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t VALUES (1);");
    block_on(async {
        let taken = bench.snapshot(&bench.database().await, "snapshot").await;
        let other = bench.connect(&bench.server.url("other"), bench.options()).await.expect("connected");
        assert!(!other.exists().await.expect("asked"));
        let _lock = other.lock(OPERATION).await.expect("the lock");
        let staged = bench.stage(&other, &taken, "snapshot").await;
        let operation = bench.operation(OPERATION);
        let swapped = other.swap(&staged, OPERATION, &operation.script_log()).await.expect("swapped");
        assert_eq!(swapped.kept, None);
        assert_eq!(bench.server.databases(), ["app", "other", "postgres"]);
        assert_eq!(bench.server.psql("other", "SELECT id FROM t;").trim(), "1");
    });
}

#[test]
fn without_createdb_a_restore_works_in_place_in_one_transaction() {
    let bench = Bench::start();
    bench.server.psql("app", rich::AROUND);
    bench.server.psql("app", "ALTER ROLE app NOCREATEDB;");
    bench.server.psql_as("app", "app", rich::OBJECTS);
    bench.server.psql_as("app", "app", rich::ROWS);
    let before = bench.server.dump("app");
    block_on(async {
        let database = bench.database().await;
        let taken = bench.snapshot(&database, "snapshot").await;
        let change = "DROP TABLE no_key; UPDATE customer SET status = NULL; CREATE TABLE more (id integer);
            CREATE SCHEMA newer; CREATE VIEW newer.v AS SELECT * FROM customer;";
        bench.server.psql_as("app", "app", change);
        // Another day: to the first engine this would be a write behind its back.
        let database = bench.database().await;
        let staged = bench.stage(&database, &taken, "snapshot").await;
        assert!(staged.way.contains("in place"), "{}", staged.way);
        let operation = bench.operation(OPERATION);
        database.swap(&staged, OPERATION, &operation.script_log()).await.expect("restored");
        same_lines(&bench.server.dump("app"), &before);
    });
}

#[test]
fn without_createdb_the_properties_of_the_database_itself_come_back_as_well() {
    let bench = Bench::start();
    bench.server.create_role("guest", "");
    bench.server.psql(
        "app",
        "ALTER ROLE app NOCREATEDB; ALTER DATABASE app OWNER TO app; ALTER ROLE guest IN DATABASE app SET jit = off;",
    );
    let own = "COMMENT ON DATABASE app IS 'it''s ours'; GRANT TEMPORARY ON DATABASE app TO guest;
        ALTER DATABASE app SET work_mem = '9MB'; ALTER DATABASE app CONNECTION LIMIT 77; CREATE TABLE t (id integer);";
    bench.server.psql_as("app", "app", own);
    block_on(async {
        let database = bench.database().await;
        let taken = bench.snapshot(&database, "snapshot").await;
        let change = "COMMENT ON DATABASE app IS NULL; REVOKE ALL ON DATABASE app FROM guest;
            GRANT CREATE ON DATABASE app TO guest; ALTER DATABASE app RESET work_mem;
            ALTER DATABASE app SET statement_timeout = '1h'; ALTER DATABASE app CONNECTION LIMIT 5; DROP TABLE t;";
        bench.server.psql_as("app", "app", change);
        // Only a superuser may say this again: it is passed over.
        bench.server.psql("app", "ALTER ROLE guest IN DATABASE app RESET jit;");
        let database = bench.database().await;
        let staged = bench.stage(&database, &taken, "snapshot").await;
        let operation = bench.operation(OPERATION);
        database.swap(&staged, OPERATION, &operation.script_log()).await.expect("restored");
        let mut settings = database.catalog().await.expect("a catalog").settings;
        let mut expected = taken.inventory.catalog.settings.clone();
        assert!(expected.remove("parameters for guest").is_some(), "{expected:?}");
        assert_eq!(settings.remove("parameters for guest"), None);
        assert_eq!(settings, expected);
    });
}

#[test]
fn what_others_wrote_after_the_present_state_was_saved_is_never_replaced_in_place() {
    let bench = Bench::start();
    bench.server.psql("app", "ALTER ROLE app NOCREATEDB;");
    let table = "CREATE TABLE t (id integer, \"it's \\ odd\" text); INSERT INTO t VALUES (1);
        SELECT lo_from_bytea(4711, 'a large object');";
    bench.server.psql_as("app", "app", table);
    block_on(async {
        let earlier = bench.database().await;
        let taken = bench.snapshot(&earlier, "snapshot").await;
        let folder = bench.snapshots("snapshot");
        for (number, write) in [
            "INSERT INTO t VALUES (2);",
            "UPDATE t SET id = 3;",
            "CREATE TABLE new (id integer);",
            "SELECT lo_unlink(4711); SELECT lo_from_bytea(4712, 'another one');",
        ]
        .into_iter()
        .enumerate()
        {
            let database = bench.database().await;
            bench.snapshot(&database, &format!("present{number}")).await;
            let staged = database.stage(&folder, &taken.inventory, OPERATION, &Progress::silent()).await;
            bench.server.psql_as("app", "app", write);
            let before = bench.server.dump("app");
            let operation = bench.operation(&format!("{OPERATION}{number}"));
            let refused = database.swap(&staged.expect("staged"), OPERATION, &operation.script_log()).await;
            let error = refused.expect_err("written meanwhile");
            assert!(matches!(&error, Error::WroteMeanwhile { .. }), "{write}: {error}");
            same_lines(&bench.server.dump("app"), &before);
        }
        let database = bench.database().await;
        bench.snapshot(&database, "present").await;
        let staged = database.stage(&folder, &taken.inventory, OPERATION, &Progress::silent()).await;
        let operation = bench.operation(OPERATION);
        let swapped = database.swap(&staged.expect("staged"), OPERATION, &operation.script_log()).await;
        swapped.expect("nobody wrote");
        assert_eq!(bench.server.psql("app", "SELECT id FROM t;").trim(), "1");
    });
}

#[test]
fn a_swap_says_where_rows_are_that_were_written_after_the_present_state_was_saved() {
    let bench = Bench::start();
    bench.server.psql_as("app", "app", "CREATE TABLE t (id integer);");
    block_on(async {
        let database = bench.database().await;
        let taken = bench.snapshot(&database, "snapshot").await;
        let staged = bench.stage(&database, &taken, "snapshot").await;
        bench.server.psql_as("app", "app", "INSERT INTO t VALUES (1), (2), (3);");
        let operation = bench.operation(OPERATION);
        let swapped = database.swap(&staged, OPERATION, &operation.script_log()).await.expect("swapped");
        let kept = swapped.kept.expect("kept");
        let note = format!(
            "up to 3 rows may have been written after the present state was saved and before clients were \
            barred; such rows are in {kept} only"
        );
        assert!(swapped.notes.contains(&note), "{:?}", swapped.notes);
    });
}

#[test]
fn what_only_others_may_say_of_a_database_is_told_and_stops_nothing() {
    let bench = Bench::start();
    bench.server.create_role("boss", "");
    bench.server.psql("app", "ALTER ROLE boss IN DATABASE app SET work_mem = '9MB';");
    bench.server.psql_as("app", "app", "CREATE TABLE t (id integer PRIMARY KEY);");
    block_on(async {
        let database = bench.database().await;
        let taken = bench.snapshot(&database, "snapshot").await;
        let folder = bench.snapshots("snapshot");
        let proof = database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("a proof");
        assert_eq!(proof.differences, Vec::<String>::new());
        assert!(
            proof.method.contains("1 property of the database that needs more rights"),
            "{}",
            proof.method
        );
        let staged = bench.stage(&database, &taken, "snapshot").await;
        let operation = bench.operation(OPERATION);
        let swapped = database.swap(&staged, OPERATION, &operation.script_log()).await.expect("swapped");
        let told = "ALTER ROLE \"boss\" IN DATABASE \"app\" SET \"work_mem\" TO '9MB'";
        assert!(swapped.notes.iter().any(|note| note.contains(told)), "{:?}", swapped.notes);
    });
}

#[test]
fn a_table_that_somebody_makes_at_the_last_moment_does_not_go_with_its_schema() {
    let options = Postgres::options().setting("log_lock_waits", "on").setting("deadlock_timeout", "10ms");
    let bench = Bench::on(options.start());
    bench.server.psql("app", "ALTER ROLE app NOCREATEDB;");
    bench.server.psql_as(
        "app",
        "app",
        "CREATE SCHEMA s; CREATE TABLE s.t (id integer); CREATE TABLE t (id integer);",
    );
    block_on(async {
        let options = Options { lock_timeout: Duration::from_secs(120), ..bench.options() };
        let database = bench.connect(&bench.server.url("app"), options).await.expect("connected");
        let taken = bench.snapshot(&database, "snapshot").await;
        let staged = bench.stage(&database, &taken, "snapshot").await;
        let mut other = bench.server.session("app");
        other.execute("BEGIN; CREATE TABLE s.late (id integer); INSERT INTO s.late VALUES (7);");
        let operation = bench.operation(OPERATION);
        let swapping = tokio::spawn(async move {
            let log = operation.script_log();
            database.swap(&staged, OPERATION, &log).await
        });
        // The schema cannot go before this transaction has ended.
        bench.server.wait_for_log("still waiting for AccessExclusiveLock");
        other.execute("COMMIT;");
        let error = swapping.await.expect("no panic").expect_err("written meanwhile");
        assert!(matches!(&error, Error::WroteMeanwhile { .. }), "{error}");
        assert_eq!(bench.server.psql("app", "SELECT id FROM s.late;").trim(), "7");
    });
}
