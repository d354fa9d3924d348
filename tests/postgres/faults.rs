//! Whatever goes wrong: a clear error, nothing lost, nothing left behind.

use crate::bench::{Bench, OPERATION};
use crate::support::{Postgres, block_on};
use ripcord::base::{ToolError, fs};
use ripcord::catalog::{Finding, Severity};
use ripcord::engine::postgres::Options;
use ripcord::engine::{Database, Error, Need, ProofLevel};
use ripcord::report::Progress;
use std::path::PathBuf;
use std::time::Duration;

/// Options with stand-ins for `pg_dump` and `pg_restore`: shell scripts, `$REAL` is the folder of the real ones.
fn faked(bench: &Bench, pg_dump: &str, pg_restore: &str) -> Options {
    let folder = bench.folder.path().join("fakes");
    fs::create_private_dir(&folder).expect("a folder");
    let real = bench.server.bin_dir().display().to_string();
    for (name, script) in
        [("pg_dump", pg_dump), ("pg_restore", pg_restore), ("psql", "exec $REAL/psql \"$@\"")]
    {
        let version = format!("case \" $* \" in *' --version '*) exec $REAL/{name} --version;; esac");
        let text = format!("#!/bin/bash\nREAL={real}\n{version}\n{script}\n");
        fs::write_durable_mode(&folder.join(name), text.as_bytes(), 0o700).expect("a script");
    }
    Options { tools_path: vec![folder], ..bench.options() }
}

const REAL_DUMP: &str = "exec $REAL/pg_dump \"$@\"";
const REAL_RESTORE: &str = "exec $REAL/pg_restore \"$@\"";

fn with_table() -> Bench {
    let bench = Bench::start();
    bench.server.psql_as(
        "app",
        "app",
        "CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 50);",
    );
    bench
}

/// Waits until a file is there: a stand-in writes it when it was called.
async fn appears(place: PathBuf) {
    while !place.exists() {
        tokio::task::yield_now().await;
    }
}

/// How many sessions of ripcord's and of its tools are at something. One that waits for its next use holds nothing.
fn sessions(bench: &Bench) -> String {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'ripcord:%' AND datname = 'app' \
         AND (state <> 'idle' OR xact_start IS NOT NULL);";
    bench.server.ends_with(sql, "0")
}

#[test]
fn a_wrong_password_is_told_from_a_server_that_is_down_and_never_shown() {
    let mut bench = Bench::on(Postgres::options().passwords().start());
    block_on(async {
        let wrong = bench.server.url_with_password("app", "hunter2", "app");
        let error = bench.connect(&wrong, bench.options()).await.err().expect("refused");
        assert!(matches!(error, Error::Authentication { .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("hunter2"));
        let missing = bench.server.url_with_password("app", "app", "nowhere");
        let database = bench.connect(&missing, bench.options()).await.expect("the server answers");
        assert!(!database.exists().await.expect("asked"));
        assert!(matches!(database.catalog().await, Err(Error::NotFound { .. })));
    });
    bench.server.stop();
    block_on(async {
        let url = bench.server.url_with_password("app", "app", "app");
        let error = bench.connect(&url, bench.options()).await.err().expect("down");
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    });
}

#[test]
fn a_password_reaches_child_programs_by_a_private_file_and_nothing_else() {
    let bench = Bench::on(Postgres::options().passwords().start());
    bench.server.psql("postgres", r"ALTER ROLE app PASSWORD 'ca:na\ry';");
    block_on(async {
        // What a child can be seen by is written down: its arguments and its environment.
        let spy = "(tr '\\0' '\\n' </proc/$$/cmdline; env) >>$(dirname $0)/seen";
        let options = faked(&bench, &format!("{spy}\n{REAL_DUMP}"), &format!("{spy}\n{REAL_RESTORE}"));
        let url = bench.server.url_with_password("app", "ca%3Ana%5Cry", "app");
        let database = bench.connect(&url, options).await.expect("connected");
        let taken = bench.snapshot(&database, "snapshot").await;
        let folder = bench.snapshots("snapshot");
        let proof = database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("a proof");
        assert_eq!(proof.differences, Vec::<String>::new());
        let seen = std::fs::read_to_string(bench.folder.path().join("fakes/seen")).expect("seen");
        assert!(seen.contains("PGPASSFILE=") && seen.contains("--snapshot="), "{seen}");
        assert!(!seen.contains("na\\ry"), "{seen}");
        let left = std::fs::read_dir(bench.folder.path()).expect("listed").flatten();
        assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().contains("pass")));
    });
}

#[test]
fn a_failing_pg_dump_says_its_last_words_and_holds_no_lock() {
    let bench = with_table();
    block_on(async {
        let options = faked(&bench, "echo 'pg_dump: error: the disk is full' >&2; exit 1", REAL_RESTORE);
        let database = bench.connect(&bench.server.url("app"), options).await.expect("connected");
        let folder = bench.snapshot_folder("snapshot");
        let error = database.snapshot(&folder, &Progress::silent()).await.expect_err("fails");
        assert!(error.to_string().contains("the disk is full"), "{error}");
        assert_eq!(sessions(&bench), "0");
    });
}

#[test]
fn a_hanging_pg_dump_is_ended_at_its_limit() {
    let bench = with_table();
    block_on(async {
        let options = faked(&bench, "echo 'pg_dump: waiting' >&2; exec sleep 600", REAL_RESTORE);
        let options = Options { tool_timeout: Some(Duration::from_millis(200)), ..options };
        let database = bench.connect(&bench.server.url("app"), options).await.expect("connected");
        let folder = bench.snapshot_folder("snapshot");
        let error = database.snapshot(&folder, &Progress::silent()).await.expect_err("fails");
        assert!(matches!(error, Error::Tool(ToolError::TimedOut { .. })), "{error}");
        assert_eq!(sessions(&bench), "0");
    });
}

#[test]
fn an_interrupted_snapshot_ends_pg_dump_and_lets_the_tables_go() {
    let bench = with_table();
    block_on(async {
        let options = faked(&bench, "echo $$ >$(dirname $0)/pid; exec sleep 600", REAL_RESTORE);
        let database = bench.connect(&bench.server.url("app"), options).await.expect("connected");
        let folder = bench.snapshot_folder("snapshot");
        let interrupt = async {
            let pid = bench.folder.path().join("fakes/pid");
            appears(pid.clone()).await;
            // While the snapshot is held nobody can empty a table under it.
            let truncate = "SET lock_timeout = '50ms'; TRUNCATE t;";
            assert!(bench.server.try_psql_as("app", "app", truncate).is_err(), "the table is held");
            bench.cancel.cancel();
        };
        let progress = Progress::silent();
        let (taken, ()) = tokio::join!(database.snapshot(&folder, &progress), interrupt);
        assert!(taken.expect_err("interrupted").is_interrupted());
        assert_eq!(sessions(&bench), "0");
        let pid = std::fs::read_to_string(bench.folder.path().join("fakes/pid")).expect("a pid");
        assert!(!PathBuf::from(format!("/proc/{}", pid.trim())).exists(), "pg_dump is gone");
        bench.server.psql_as("app", "app", "TRUNCATE t;");
    });
}

#[test]
fn an_interrupted_proof_leaves_no_scratch_database() {
    let bench = with_table();
    block_on(async {
        let options = faked(&bench, REAL_DUMP, "touch $(dirname $0)/called; exec sleep 600");
        let database = bench.connect(&bench.server.url("app"), options).await.expect("connected");
        let taken = bench.snapshot(&database, "snapshot").await;
        let folder = bench.snapshots("snapshot");
        let interrupt = async {
            appears(bench.folder.path().join("fakes/called")).await;
            assert_eq!(bench.server.databases().len(), 3, "the scratch database is there");
            bench.cancel.cancel();
        };
        let progress = Progress::silent();
        let (proof, ()) = tokio::join!(database.prove(&folder, &taken, OPERATION, &progress), interrupt);
        assert!(proof.expect_err("interrupted").is_interrupted());
        assert_eq!(bench.server.databases(), ["app", "postgres"]);
    });
}

#[test]
fn a_proof_names_the_table_that_differs_and_a_damaged_dump_is_no_proof() {
    let bench = with_table();
    block_on(async {
        let database = bench.database().await;
        let first = bench.snapshot(&database, "first").await;
        bench.server.psql_as("app", "app", "UPDATE t SET id = 99 WHERE id = 7; CREATE INDEX more ON t (id);");
        let second = bench.snapshot(&database, "second").await;
        let folder = bench.snapshots("first");
        let proof = database.prove(&folder, &second, OPERATION, &Progress::silent()).await.expect("compared");
        assert_eq!(proof.differences.len(), 2, "{:?}", proof.differences);
        assert!(proof.differences[0].contains("index public.t.more"), "{:?}", proof.differences);
        assert!(proof.differences[1].contains("table public.t"), "{:?}", proof.differences);
        let data =
            std::fs::read_dir(folder.join("dump")).expect("listed").flatten().map(|entry| entry.path());
        let data =
            data.into_iter().find(|path| path.extension().is_some_and(|end| end == "gz")).expect("data");
        let bytes = std::fs::read(&data).expect("read");
        std::fs::write(&data, &bytes[..bytes.len() / 2]).expect("cut");
        let error =
            database.prove(&folder, &first, OPERATION, &Progress::silent()).await.expect_err("damaged");
        assert!(matches!(error, Error::Tool(ToolError::Failed { .. })), "{error}");
        assert_eq!(bench.server.databases(), ["app", "postgres"]);
    });
}

#[test]
fn what_sequences_give_out_while_the_dump_runs_is_no_difference_and_anything_else_is() {
    let bench = Bench::start();
    // Many, so that reading the definitions takes longer than moving a sequence.
    bench.server.psql_as(
        "app",
        "app",
        "CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t SELECT FROM generate_series(1, 5);
DO $$ BEGIN FOR i IN 1..100 LOOP EXECUTE format('CREATE TABLE t%s (id serial PRIMARY KEY)', i); END LOOP; END $$;",
    );
    let ten = format!(
        "env -u PGOPTIONS $REAL/psql -X -q -o /dev/null -c \"SELECT nextval('public.t_id_seq') FROM generate_series(1, 10)\" '{}'",
        bench.server.url("app")
    );
    let options = faked(&bench, &format!("{ten} && $REAL/pg_dump \"$@\" && {ten}"), REAL_RESTORE);
    block_on(async {
        let database = bench.connect(&bench.server.url("app"), options).await.expect("connected");
        let mut taken = bench.snapshot(&database, "moving").await;
        let name = "public.t_id_seq".to_string();
        assert_eq!(taken.inventory.fingerprint.sequences[&name], 5, "as it was when the dump began");
        let folder = bench.snapshots("moving");
        let proof = database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("compared");
        assert_eq!(proof.differences, Vec::<String>::new());
        // Not dumped later than it can have been, and not earlier.
        let end = taken.facts.insert("dump.sequences".to_string(), "{}".to_string());
        assert_eq!(end.as_deref(), Some("{\"public.t_id_seq\":25}"));
        let proof = database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("compared");
        assert_eq!(proof.differences, ["sequence public.t_id_seq: 5 to 5 became 15"]);
        taken.inventory.fingerprint.sequences.insert(name, 16);
        let proof = database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("compared");
        assert_eq!(proof.differences, ["sequence public.t_id_seq: 16 became 15"]);
    });
}

async fn preflight(bench: &Bench, proof: ProofLevel, replaces: bool) -> Vec<Finding> {
    let need = Need { folder: bench.folder.path(), proof, writes: replaces, replaces, rehearsal: false };
    bench.database().await.preflight(&need).await.expect("looked").findings
}

fn severity(findings: &[Finding], code: &str) -> Option<Severity> {
    findings.iter().find(|finding| finding.code == code).map(|finding| finding.severity)
}

#[test]
fn a_user_without_createdb_is_told_before_anything_begins() {
    let bench = with_table();
    block_on(async {
        assert_eq!(preflight(&bench, ProofLevel::Full, false).await, []);
        bench.server.psql("postgres", "ALTER ROLE app NOCREATEDB;");
        let full = preflight(&bench, ProofLevel::Full, false).await;
        assert_eq!(severity(&full, "createdb"), Some(Severity::Error));
        let none = preflight(&bench, ProofLevel::None, false).await;
        assert_eq!(severity(&none, "createdb"), Some(Severity::Warning));
    });
}

#[test]
fn rows_that_row_security_hides_are_an_error_and_never_a_smaller_snapshot() {
    let bench = with_table();
    let hide = "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY;
        CREATE POLICY few ON t USING (id <= 10);";
    bench.server.psql_as("app", "app", hide);
    block_on(async {
        let found = preflight(&bench, ProofLevel::Full, false).await;
        assert_eq!(severity(&found, "row-security"), Some(Severity::Error));
        let folder = bench.snapshot_folder("snapshot");
        let error = bench.database().await.snapshot(&folder, &Progress::silent()).await.expect_err("refused");
        assert!(
            error.to_string().contains("row-level security") || error.to_string().contains("row security"),
            "{error}"
        );
    });
}

#[test]
fn a_sequence_beyond_its_column_is_refused_with_the_statements_that_set_it_right() {
    let bench = Bench::start();
    for (number, remedy) in [(1, "ALTER TABLE"), (2, "SELECT setval")] {
        let made = format!(
            "CREATE TABLE t{number} (id integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY); INSERT INTO t{number} DEFAULT VALUES;
             ALTER SEQUENCE t{number}_id_seq AS bigint;"
        );
        bench.server.psql_as("app", "app", &made);
        // Its type alone is no reason: a restore sets it to what it was.
        assert_eq!(block_on(preflight(&bench, ProofLevel::Full, false)), []);
        bench.server.psql_as("app", "app", &format!("SELECT setval('t{number}_id_seq', 3000000000);"));
        let found = block_on(preflight(&bench, ProofLevel::Full, false));
        assert_eq!(severity(&found, "sequence-out-of-range"), Some(Severity::Error));
        assert_eq!(found[0].subject, format!("public.t{number}_id_seq"));
        let detail = &found[0].detail;
        assert!(
            detail.starts_with(&format!(
                "it is at 3000000000, which public.t{number}.id (integer) cannot hold"
            )),
            "{detail}"
        );
        let none = block_on(preflight(&bench, ProofLevel::None, false));
        assert_eq!(severity(&none, "sequence-out-of-range"), Some(Severity::Warning));
        // It is so: nobody can restore the dump.
        let folder = bench.snapshot_folder(&format!("snapshot{number}"));
        block_on(async {
            let database = bench.database().await;
            let taken = database.snapshot(&folder, &Progress::silent()).await.expect("taken");
            let error =
                database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect_err("no proof");
            assert!(error.to_string().contains("out of bounds"), "{error}");
        });
        let (_, remedies) = detail.split_once("with that: ").expect("what to do");
        let sql = remedies.split(", or ").find(|sql| sql.starts_with(remedy)).expect("a statement");
        bench.server.psql_as("app", "app", &format!("{sql};"));
        assert_eq!(block_on(preflight(&bench, ProofLevel::Full, false)), []);
    }
}

#[test]
fn two_operations_never_work_on_one_database() {
    let bench = with_table();
    block_on(async {
        let (one, other) = (bench.database().await, bench.database().await);
        let lock = one.lock("first").await.expect("the lock");
        let error = other.lock("second").await.err().expect("locked");
        let Error::LockedByOther { holder, .. } = &error else { panic!("{error}") };
        assert!(holder.contains("ripcord:first"), "{holder}");
        drop(lock);
        while other.lock("second").await.is_err() {
            // The server frees the lock when it reads that the connection is closed.
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_table_that_stays_locked_makes_the_snapshot_fail_after_its_tries() {
    let bench = with_table();
    block_on(async {
        let database = bench.database().await;
        let mut other = bench.server.session("app");
        other.execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE;");
        let folder = bench.snapshot_folder("snapshot");
        let error = database.snapshot(&folder, &Progress::silent()).await.expect_err("locked");
        let Error::Blocked { by, .. } = &error else { panic!("{error}") };
        assert_eq!((by[0].lock.as_str(), by[0].holds), ("the exclusive lock on public.t", true));
    });
}

#[test]
fn a_swap_that_fails_half_way_lets_clients_in_again() {
    let bench = with_table();
    block_on(async {
        let database = bench.database().await;
        let taken = bench.snapshot(&database, "snapshot").await;
        let staged = bench.stage(&database, &taken, "snapshot").await;
        // Without CREATEDB a database cannot be renamed, even by its owner.
        bench.server.psql("postgres", "ALTER ROLE app NOCREATEDB;");
        let operation = bench.operation(OPERATION);
        database.swap(&staged, OPERATION, &operation.script_log()).await.expect_err("not allowed to rename");
        assert_eq!(bench.server.psql_as("app", "app", "SELECT count(*) FROM t;").trim(), "50");
        let done = database.tidy(OPERATION, &bench.state().facts).await.expect("tidied");
        assert_eq!(done.len(), 1, "{done:?}");
        assert_eq!(bench.server.databases(), ["app", "postgres"]);
    });
}

#[test]
fn a_database_that_subscribes_to_another_is_not_swapped_away() {
    let bench = with_table();
    block_on(async {
        let database = bench.database().await;
        let taken = bench.snapshot(&database, "snapshot").await;
        let staged = bench.stage(&database, &taken, "snapshot").await;
        let subscribe =
            "CREATE SUBSCRIPTION news CONNECTION 'host=/nowhere' PUBLICATION p WITH (connect = false);";
        bench.server.psql("app", subscribe);
        let found = preflight(&bench, ProofLevel::Full, true).await;
        assert_eq!(severity(&found, "subscription"), Some(Severity::Error));
        assert_eq!(severity(&preflight(&bench, ProofLevel::Full, false).await, "subscription"), None);
        let operation = bench.operation(OPERATION);
        let error = database.swap(&staged, OPERATION, &operation.script_log()).await.expect_err("refused");
        assert!(error.to_string().contains("subscription news"), "{error}");
        assert_eq!(bench.server.psql_as("app", "app", "SELECT count(*) FROM t;").trim(), "50");
        // Dropping it would reach for the other server.
        bench.server.psql("app", "ALTER SUBSCRIPTION news SET (slot_name = NONE); DROP SUBSCRIPTION news;");
    });
}

#[test]
fn autovacuum_in_a_scratch_database_does_not_keep_it() {
    let bench = Bench::on(Postgres::options().setting("autovacuum_naptime", "1s").start());
    // A vacuum that takes hours: it sleeps for a tenth of a second at every page.
    let slow = "CREATE TABLE t (id integer, filler text) WITH (autovacuum_vacuum_insert_threshold = 1,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
        INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 5000) g;";
    bench.server.psql_as("app", "app", slow);
    let comes = "$REAL/pg_restore \"$@\" || exit; unset PGPASSFILE
        until [ \"$($REAL/psql -X -A -t -d $PGDATABASE -c \"SELECT count(*) > 0 FROM pg_stat_activity
            WHERE datname = current_database() AND usesysid IS NULL\")\" = t ]; do sleep 0.1; done";
    block_on(async {
        let options = faked(&bench, REAL_DUMP, comes);
        let database = bench.connect(&bench.server.url("app"), options).await.expect("connected");
        let taken = bench.snapshot(&database, "snapshot").await;
        let folder = bench.snapshots("snapshot");
        let proof = database.prove(&folder, &taken, OPERATION, &Progress::silent()).await.expect("a proof");
        assert_eq!(proof.differences, Vec::<String>::new());
        assert_eq!(bench.server.databases(), ["app", "postgres"]);
        // The same in the live database, where it would forbid the swap.
        let staged = bench.stage(&database, &taken, "snapshot").await;
        let operation = bench.operation(OPERATION);
        database.swap(&staged, OPERATION, &operation.script_log()).await.expect("swapped");
    });
}

#[test]
fn clients_are_not_kept_out_by_whoever_holds_the_name_of_the_database() {
    let bench = with_table();
    block_on(async {
        let database = bench.database().await;
        let taken = bench.snapshot(&database, "snapshot").await;
        let staged = bench.stage(&database, &taken, "snapshot").await;
        let mut other = bench.server.session("postgres");
        other.execute("BEGIN; COMMENT ON DATABASE app IS 'not committed yet';");
        let operation = bench.operation(OPERATION);
        let error = database.swap(&staged, OPERATION, &operation.script_log()).await.expect_err("held");
        assert!(matches!(&error, Error::NotBegun { .. }), "{error:?}");
        assert_eq!(bench.server.psql_as("app", "app", "SELECT count(*) FROM t;").trim(), "50");
        other.execute("COMMIT;");
        database.swap(&staged, OPERATION, &operation.script_log()).await.expect("swapped");
    });
}
