//! Snapshots are of one instant, come back the same, and hold nothing afterwards.

use crate::bench::{Bench, OPERATION, parse};
use crate::rich;
use crate::support::{Postgres, block_on};
use ripcord::catalog::TableName;
use ripcord::engine::postgres::Options;
use ripcord::engine::{Database, ProofLevel};
use ripcord::report::Progress;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn rich() -> Bench {
    let bench = Bench::start();
    bench.server.psql("app", rich::AROUND);
    bench.server.psql_as("app", "app", rich::OBJECTS);
    bench.server.psql_as("app", "app", rich::ROWS);
    bench
}

#[test]
fn a_database_with_one_of_everything_is_proven_to_come_back() {
    let bench = rich();
    block_on(async {
        let database = bench.database().await;
        let taken = bench.snapshot(&database, "snapshot").await;
        let customer = &taken.inventory.fingerprint.tables[&TableName::qualified("public", "customer")];
        assert_eq!((customer.rows, customer.key.as_slice()), (503, ["id".to_string()].as_slice()));
        let folder = bench.snapshots("snapshot");
        let proof = database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("a proof");
        assert_eq!(proof.differences, Vec::<String>::new());
        assert_eq!((proof.level, proof.rows > 1000), (ProofLevel::Full, true));
        assert_eq!(bench.server.databases(), ["app", "postgres"], "no scratch database stays");
    });
}

#[test]
fn a_snapshot_is_of_one_instant_while_others_write() {
    let bench = Bench::start();
    bench.server.psql_as(
        "app",
        "app",
        "CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE b (id serial PRIMARY KEY);",
    );
    block_on(async {
        let database = bench.database().await;
        // Each transaction adds one row to both tables: at no instant do they differ.
        let mut writer = bench.server.session("app");
        writer.begin(
            "DO $$ BEGIN FOR i IN 1..2000 LOOP INSERT INTO a DEFAULT VALUES; INSERT INTO b DEFAULT VALUES; COMMIT; \
             END LOOP; END $$;",
        );
        let taken = bench.snapshot(&database, "snapshot").await;
        writer.finish();
        let rows =
            |name: &str| taken.inventory.fingerprint.tables[&TableName::qualified("public", name)].rows;
        assert_eq!(rows("a"), rows("b"));
        let folder = bench.snapshots("snapshot");
        let proof = database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("a proof");
        assert_eq!(proof.differences, Vec::<String>::new(), "the dump is of the same instant");
    });
}

#[test]
fn what_a_snapshot_writes_is_private_and_nothing_is_held_afterwards() {
    let bench = rich();
    block_on(async {
        bench.snapshot(&bench.database().await, "snapshot").await;
        let mut folders = vec![bench.snapshots("snapshot")];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("listed").flatten() {
                let mode = entry.metadata().expect("metadata").permissions().mode() & 0o777;
                if entry.path().is_dir() {
                    assert_eq!(mode, 0o700, "{}", entry.path().display());
                    folders.push(entry.path());
                } else {
                    assert_eq!(mode, 0o600, "{}", entry.path().display());
                    files += 1;
                }
            }
        }
        assert!(files > 5);
        bench.server.psql_as("app", "app", "SET lock_timeout = '10ms'; TRUNCATE customer CASCADE;");
    });
}

#[test]
fn a_large_table_has_the_same_fingerprint_however_many_readers_share_it() {
    let bench = Bench::start();
    let fill = "CREATE TABLE t (id integer PRIMARY KEY, filler text);
        INSERT INTO t SELECT g, repeat(chr(65 + g % 26), 1500) FROM generate_series(1, 60000) g;";
    bench.server.psql_as("app", "app", fill);
    block_on(async {
        let url = bench.server.url("app");
        let mut prints = Vec::new();
        for jobs in [1, 3] {
            let options = Options { jobs, ..bench.options() };
            let database = bench.connect(&url, options).await.expect("connected");
            prints.push(database.inventory(&Progress::silent()).await.expect("read").fingerprint);
        }
        assert_eq!(prints[0].rows(), 60_000);
        assert_eq!(prints[0], prints[1]);
    });
}

#[test]
fn several_sessions_fill_and_read_the_copy_of_a_large_database_and_one_that_of_a_small_one() {
    let bench = Bench::on(Postgres::options().setting("log_connections", "on").start());
    let sessions = |name: &str| {
        block_on(async {
            let database = bench.database().await;
            let taken = bench.snapshot(&database, name).await;
            let folder = bench.snapshots(name);
            let proof =
                database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("a proof");
            assert_eq!(proof.differences, [""; 0]);
        });
        // The last line of all.
        assert!(bench.server.try_psql_as("app", name, "SELECT 1;").is_err());
        let log = bench.server.wait_for_log(&format!("database \"{name}\" does not exist"));
        log.matches("authorized: user=app database=ripcord_scratch").count()
    };
    let fill = "CREATE TABLE t AS SELECT md5(g::text) || md5(g::text || 'x') FROM generate_series(1, $1) g;";
    bench.server.psql_as("app", "app", &fill.replace("$1", "100"));
    let small = sessions("small");
    // Ours, and pg_restore's.
    assert_eq!(small, 2);
    bench.server.psql_as("app", "app", &fill.replace(" t ", " large ").replace("$1", "120000"));
    let large = sessions("large") - small;
    assert!(large > 4, "{large}");
}

#[test]
fn what_is_switched_off_or_half_done_is_found() {
    let bench = Bench::start();
    let mess = "CREATE TABLE p (id serial PRIMARY KEY); CREATE TABLE c (p_id integer); INSERT INTO c VALUES (7), (NULL);
        INSERT INTO p VALUES (5);
        ALTER TABLE c ADD CONSTRAINT c_p FOREIGN KEY (p_id) REFERENCES p NOT VALID;
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER g BEFORE INSERT ON p FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE p DISABLE TRIGGER g;
        CREATE MATERIALIZED VIEW m AS SELECT 1 AS one WITH NO DATA;
        CREATE TABLE d (a integer); INSERT INTO d VALUES (1), (1);";
    bench.server.psql_as("app", "app", mess);
    let failed = bench.server.try_psql_as("app", "app", "CREATE UNIQUE INDEX CONCURRENTLY d_a ON d (a);");
    assert!(failed.is_err(), "it leaves an invalid index");
    block_on(async {
        let database = bench.database().await;
        let taken = bench.snapshot(&database, "snapshot").await;
        let found: Vec<String> = taken
            .inventory
            .findings
            .iter()
            .map(|finding| format!("{} {}", finding.code, finding.subject))
            .collect();
        assert_eq!(
            found,
            [
                "disabled-trigger public.p.g",
                "foreign-key public.c.c_p",
                "invalid-index public.d_a",
                "not-valid-constraint public.c.c_p",
                "sequence-behind public.p_id_seq",
                "unpopulated-matview public.m",
            ]
        );
        let folder = bench.snapshots("snapshot");
        let proof = database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("a proof");
        assert_eq!(proof.differences, Vec::<String>::new(), "an invalid index is no difference");
    });
}

#[test]
fn a_proof_can_use_another_server_that_has_none_of_the_roles() {
    let (bench, other) = (rich(), Postgres::start());
    block_on(async {
        let scratch_url = Some(parse(&other.url_as("postgres", "postgres")));
        let options = Options { scratch_url, ..bench.options() };
        let database = bench.connect(&bench.server.url("app"), options).await.expect("connected");
        let taken = bench.snapshot(&database, "snapshot").await;
        let folder = bench.snapshots("snapshot");
        let proof = database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("a proof");
        assert_eq!(proof.differences, Vec::<String>::new());
        assert!(proof.method.contains("without owners and grants (missing: reader)"), "{}", proof.method);
        assert_eq!(other.databases(), ["app", "postgres"]);
    });
}

#[test]
fn a_proof_of_the_schema_compares_the_catalog_and_no_rows() {
    let bench = rich();
    block_on(async {
        let database = bench.database().await;
        let mut taken = bench.snapshot(&database, "snapshot").await;
        taken.facts.insert("proof.level".into(), "schema".into());
        let folder = bench.snapshots("snapshot");
        let proof = database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("a proof");
        assert_eq!((proof.level, proof.rows), (ProofLevel::Schema, 0));
        assert_eq!(proof.differences, Vec::<String>::new());
    });
}

#[test]
fn a_row_whose_parent_is_spelt_otherwise_has_its_parent() {
    let bench = Bench::start();
    // A type whose keys are equal whatever their case, by an operator that no search path finds.
    let mut own = "CREATE SCHEMA own; CREATE TYPE own.word AS (w text);".to_string();
    for (operator, name) in [("<", "lt"), ("<=", "le"), ("=", "eq"), (">=", "ge"), (">", "gt")] {
        own.push_str(&format!(
            "CREATE FUNCTION own.{name}(own.word, own.word) RETURNS boolean LANGUAGE sql IMMUTABLE AS
             'SELECT lower(($1).w) {operator} lower(($2).w)';
             CREATE OPERATOR own.{operator} (LEFTARG = own.word, RIGHTARG = own.word, FUNCTION = own.{name});"
        ));
    }
    own.push_str(
        "CREATE FUNCTION own.cmp(own.word, own.word) RETURNS integer LANGUAGE sql IMMUTABLE AS
         'SELECT btrecordcmp(ROW(lower(($1).w)), ROW(lower(($2).w)))';
         CREATE OPERATOR CLASS own.words FOR TYPE own.word USING btree AS OPERATOR 1 own.<, OPERATOR 2 own.<=,
         OPERATOR 3 own.=, OPERATOR 4 own.>=, OPERATOR 5 own.>, FUNCTION 1 own.cmp(own.word, own.word);
         CREATE TABLE p (id own.word); CREATE UNIQUE INDEX p_id ON p (id own.words); INSERT INTO p VALUES (ROW('a'));
         CREATE TABLE c (p_id own.word); INSERT INTO c VALUES (ROW('A'));
         ALTER TABLE c ADD FOREIGN KEY (p_id) REFERENCES p (id) NOT VALID;",
    );
    bench.server.psql("app", &own);
    block_on(async {
        let inventory = bench.as_superuser().await.inventory(&Progress::silent()).await.expect("read");
        let codes: Vec<_> = inventory.findings.iter().map(|finding| finding.code.as_str()).collect();
        assert_eq!(codes, ["not-valid-constraint"]);
    });
}

#[test]
fn whoever_waits_to_change_a_table_does_not_stop_the_reading_of_it() {
    let options = Postgres::options().setting("log_lock_waits", "on").setting("deadlock_timeout", "10ms");
    let bench = Bench::on(options.start());
    // More than one session reads it: a small database would be read by the one that holds its tables.
    let tables = "CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t VALUES (1);
        CREATE TABLE filler AS SELECT repeat('x', 1500) FROM generate_series(1, 12000);";
    bench.server.psql_as("app", "app", tables);
    // Nobody reads the rows of what belongs to an extension, but its size is asked for: there the reading can be halted.
    bench.server.psql("app", "CREATE TABLE gate (id integer); ALTER EXTENSION plpgsql ADD TABLE gate;");
    bench.server.psql("app", "GRANT ALL ON gate TO app;");
    block_on(async {
        let options = Options { lock_timeout: Duration::from_secs(120), ..bench.options() };
        let database = bench.connect(&bench.server.url("app"), options).await.expect("connected");
        let mut gate = bench.server.session("app");
        gate.execute("BEGIN; LOCK TABLE gate IN ACCESS EXCLUSIVE MODE;");
        let reading = tokio::spawn(async move { database.inventory(&Progress::silent()).await });
        bench.server.wait_for_log("still waiting for AccessShareLock");
        let mut change = bench.server.session("app");
        change.begin("ALTER TABLE t ADD COLUMN more integer;");
        bench.server.wait_for_log("still waiting for AccessExclusiveLock");
        gate.execute("COMMIT;");
        let inventory = reading.await.expect("no panic").expect("read");
        assert_eq!(inventory.fingerprint.rows(), 12_001);
        change.finish();
    });
}
