//! The support of the tests keeps its own promises.

use std::path::Path;

use crate::support::*;

both_engines! {
    fn a_query_prints_the_same_on_both_engines(db: &TestDatabase) {
        db.execute("CREATE TABLE t (a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, NULL);");
        assert_eq!(db.query("SELECT a, b FROM t ORDER BY a; SELECT 'end';"), "1|x\n2|\nend");
        assert_eq!(db.tables(), "t");
    }

    fn a_dump_shows_a_changed_value_and_not_the_order_of_rows(db: &TestDatabase) {
        db.execute("CREATE TABLE t (a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y');");
        let before = db.dump();
        db.execute("DELETE FROM t WHERE a = 1; INSERT INTO t VALUES (1, 'x');");
        assert_eq!(db.dump(), before);
        db.execute("UPDATE t SET b = 'X' WHERE a = 1;");
        assert_ne!(db.dump(), before);
    }

    fn a_session_holds_its_transaction_open(db: &TestDatabase) {
        db.execute("CREATE TABLE t (a INTEGER);");
        let mut session = db.session();
        session.execute("BEGIN; INSERT INTO t VALUES (1);");
        assert_eq!(session.execute("SELECT count(*) FROM t;"), "1");
        assert_eq!(db.query("SELECT count(*) FROM t;"), "0");
        session.execute("COMMIT;");
        assert_eq!(db.query("SELECT count(*) FROM t;"), "1");
    }

    fn an_error_of_the_sql_is_an_error(db: &TestDatabase) {
        let error = db.try_query("SELECT * FROM nowhere;").unwrap_err();
        assert!(error.contains("nowhere"), "{error}");
    }

    fn the_richer_revisions_run_up_and_down_on_the_sample(db: &TestDatabase) {
        db.create_sample();
        db.fill_sample(3, 20);
        let [note, run, merge] = branches_and_merge(ADD_PROCESS_RANK);
        let kept = [changes_a_type(ADD_PROCESS_RANK), changes_data(ADD_PROCESS_RANK), note, run, merge];
        for revision in kept.iter().chain([&drops_a_column(ADD_PROCESS_RANK)]) {
            let before = rows(db);
            db.execute(&statements(&revision.text(), "upgrade", db.backend()));
            db.execute(&statements(&revision.text(), "downgrade", db.backend()));
            if revision.id() == DROP_WARMUP_STEPS {
                assert!(rows(db).contains("|0\n") && !rows(db).contains("|101\n"), "{}", rows(db));
            } else {
                assert_eq!(rows(db), before, "{}", revision.text());
            }
        }
    }

    fn changing_data_writes_the_model_type_in_upper_case(db: &TestDatabase) {
        db.create_sample();
        db.fill_sample(2, 1);
        db.execute(&statements(&changes_data(ADD_PROCESS_RANK).text(), "upgrade", db.backend()));
        assert_eq!(db.query("SELECT model_type FROM training_config ORDER BY id;"), "MODEL-1\nMODEL-2");
    }

    async fn an_async_test_has_a_runtime(db: &TestDatabase) {
        let url = db.url();
        tokio::time::timeout(std::time::Duration::MAX, async { assert!(!url.is_empty()) }).await.unwrap();
    }

    fn the_version_is_empty_without_a_version_table(db: &TestDatabase) {
        assert_eq!(db.version(), "");
        db.execute("CREATE TABLE alembic_version (version_num VARCHAR(32)); INSERT INTO alembic_version VALUES ('b'), ('a');");
        assert_eq!(db.version(), "a b");
    }
}

fn rows(db: &TestDatabase) -> String {
    db.query(
        "SELECT id, model_type, warmup_steps FROM training_config ORDER BY id;
SELECT id, config_id, step, train_loss, process_rank FROM training_metric ORDER BY id;",
    )
}

mod postgres {
    use super::*;

    #[test]
    fn the_server_has_the_version_that_was_asked_for() {
        let server = Postgres::start();
        let number: u32 = server.psql("app", "SHOW server_version_num;").trim().parse().unwrap();
        assert_eq!(number / 10_000, server.major());
        assert_eq!(server.major(), Installation::chosen().major);
    }

    #[test]
    fn a_dropped_server_leaves_neither_process_nor_folder() {
        let server = Postgres::start();
        let (pid, folder) = (server.pid(), server.socket_folder().to_path_buf());
        assert!(Path::new(&format!("/proc/{pid}")).exists() && folder.exists());
        drop(server);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        assert!(!folder.exists());
    }

    #[test]
    fn a_server_with_passwords_refuses_a_wrong_one() {
        let server = Postgres::options().passwords().tcp().start();
        let psql = |url: &str| {
            let mut command = std::process::Command::new(server.bin_dir().join("psql"));
            command.env_clear().env("HOME", "/nonexistent").args(["-w", "-X", "-d", url, "-c", "SELECT 1"]);
            command.output().unwrap()
        };
        assert!(psql(&server.url_with_password("app", "app", "app")).status.success());
        let wrong = psql(&server.url_with_password("app", "wrong", "app"));
        assert!(String::from_utf8_lossy(&wrong.stderr).contains("password authentication failed"));
        assert!(!psql(&server.url("app")).status.success());
        assert_eq!(server.psql("app", "SELECT 1;"), "1\n");
    }

    #[test]
    fn the_app_role_owns_its_database_and_is_no_superuser() {
        let server = Postgres::start();
        let sql = "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user;";
        assert_eq!(server.psql_as("app", "app", sql), "f|t\n");
        server.create_role("poor", "NOCREATEDB");
        server.create_database("other");
        assert!(
            server
                .try_psql_as("poor", "app", "CREATE DATABASE more;")
                .unwrap_err()
                .contains("permission denied")
        );
        assert_eq!(server.databases(), ["app", "other", "postgres"]);
    }

    #[test]
    fn a_stopped_server_does_not_answer() {
        let mut server = Postgres::options().setting("log_statement", "all").start();
        server.psql("app", "SELECT 'seen in the log';");
        server.wait_for_log("seen in the log");
        server.stop();
        assert!(server.try_psql_as("app", "app", "SELECT 1;").is_err());
    }
}

#[test]
fn a_run_shows_its_streams_and_its_code() {
    let sandbox = Sandbox::new();
    let run = sandbox.run("sh", &["-c", "echo out; echo error >&2; exit 3"]);
    run.expect_code(3).stdout_is("out\n").stderr_has("error").stderr_lacks("out").says_nowhere("secret");
    let failure = std::panic::catch_unwind(|| run.expect_code(0).code).unwrap_err();
    let shown = failure.downcast_ref::<String>().unwrap();
    assert!(shown.contains("out\n") && shown.contains("error\n") && shown.contains("exit code 3"), "{shown}");
}

#[test]
fn the_sandbox_has_an_environment_of_its_own() {
    let sandbox = Sandbox::new();
    sandbox.env("DATABASE_URL", "sqlite:///app.db");
    let run = sandbox.run("env", &[]);
    let mut names: Vec<_> = run.stdout.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["COLUMNS", "DATABASE_URL", "HOME", "LANG", "NO_COLOR", "PATH", "RIPCORD_CLOCK", "TMPDIR", "TZ"]
    );
}

#[test]
fn the_binary_runs_in_the_sandbox() {
    let sandbox = Sandbox::new();
    let run = sandbox.ripcord(&["--help"]);
    assert!(run.code >= 0, "{run}");
}

#[test]
fn a_signal_reaches_a_run_after_its_first_line() {
    let sandbox = Sandbox::new();
    let script = sandbox
        .write("wait.sh", "trap 'echo stopped; exit 130' INT\necho started\nwhile :; do sleep 0.01; done\n");
    let mut running = sandbox.start("bash", &[script.to_str().unwrap()]);
    running.wait_for_line("started");
    running.signal(Signal::INT);
    running.wait().expect_code(130).stdout_has("stopped").stderr_is_empty();
}

#[test]
fn fake_tools_stand_before_the_real_ones() {
    let sandbox = Sandbox::new();
    sandbox.run("sh", &["-c", "pg_dump --version"]).expect_code(0).stdout_has("pg_dump (PostgreSQL)");

    sandbox.older_tool("pg_dump");
    sandbox.run("sh", &["-c", "pg_dump --version"]).expect_code(0).stdout_is("pg_dump (PostgreSQL) 12.0\n");
    sandbox.run("sh", &["-c", "pg_dump app"]).expect_code(1).stderr_has("server version mismatch");

    sandbox.failing_tool("pg_dump", "it's broken");
    sandbox.run("sh", &["-c", "pg_dump --version"]).expect_code(0);
    sandbox.run("sh", &["-c", "pg_dump app"]).expect_code(1).stderr_has("it's broken\n");

    sandbox.missing_tool("pg_dump");
    sandbox.run("sh", &["-c", "pg_dump --version"]).expect_code(127);
}

#[test]
fn logging_tools_write_one_log_in_order() {
    let sandbox = Sandbox::new();
    sandbox.logging_tool("pg_dump");
    sandbox.logging_hook("app-stop");
    sandbox.run("sh", &["-c", "app-stop now && pg_dump --version && app-stop"]).stdout_has("PostgreSQL");
    assert_eq!(sandbox.tool_log(), ["app-stop now", "pg_dump --version", "app-stop"]);
}

#[test]
fn a_hanging_tool_hangs_until_it_is_ended() {
    let sandbox = Sandbox::new();
    let mut tool = sandbox.hanging_tool("pg_dump");
    let running = sandbox.start("sh", &["-c", "pg_dump --version && exec pg_dump app"]);
    assert_eq!(tool.wait_until_it_hangs(), running.pid());
    assert!(tool.is_running());
    running.signal(Signal::KILL);
    running.wait().expect_code(-9).stdout_has("PostgreSQL");
    assert!(!tool.is_running());
}

#[test]
fn a_revision_file_has_the_form_of_the_native_runner() {
    let sandbox = Sandbox::new();
    let path = sandbox.revision("b2", &["a1"], "CREATE TABLE t (a INTEGER);", "DROP TABLE t;");
    assert_eq!(path, sandbox.path("migrations/versions/b2_revision_b2.sql"));
    assert_eq!(
        sandbox.read("migrations/versions/b2_revision_b2.sql"),
        "-- Revision b2
--
-- ripcord:revision    b2
-- ripcord:revises     a1
-- ripcord:created     2026-11-23T18:15:00Z

-- ripcord:upgrade
CREATE TABLE t (a INTEGER);

-- ripcord:downgrade
DROP TABLE t;
"
    );
}
