//! On PostgreSQL: how often one command connects. Behind TLS and a network each session costs a tenth of a second.

use crate::promise::*;
use crate::support::*;

mod postgres {
    use super::*;

    /// A server that logs whoever connects.
    fn watching() -> TestDatabase {
        TestDatabase::postgres_server(Postgres::options().setting("log_connections", "on").start())
    }

    /// Runs ripcord and returns the lines of the server about each session that it and its tools began.
    fn sessions_of(db: &TestDatabase, sandbox: &Sandbox, arguments: &[&str]) -> Vec<String> {
        let before = db.server().log().len();
        sandbox.ripcord(arguments).expect_code(0);
        // The last line of all.
        assert!(db.server().try_psql_as("app", "no such database", "SELECT 1;").is_err());
        let log = db.server().wait_for_log("no such database");
        let began = log[before..].lines().filter(|line| {
            line.contains("connection authorized") && line.contains("application_name=ripcord:")
        });
        began.map(str::to_owned).collect()
    }

    #[test]
    fn a_guarded_upgrade_of_a_small_database_opens_fewer_than_fifteen_sessions() {
        let db = watching();
        let sandbox = sample_of(&db);
        sandbox.ripcord(&["upgrade", CREATE_TABLES]).expect_code(0);
        db.fill_sample(3, 20);
        let sessions = sessions_of(&db, &sandbox, &["upgrade"]);
        assert!(sessions.len() < 15, "{} sessions:\n{}", sessions.len(), sessions.join("\n"));
    }

    #[test]
    fn a_session_that_the_server_or_a_proxy_ends_while_it_waits_is_opened_again_and_nobody_notices() {
        let db = TestDatabase::postgres();
        let sandbox = sample_of(&db);
        sandbox.ripcord(&["upgrade", CREATE_TABLES]).expect_code(0);
        db.fill_sample(3, 20);
        // Whenever a tool runs: all but the one that holds the lock, and the one whose snapshot the tool reads.
        let ended = sandbox.path("ended");
        let idle = "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a WHERE a.state = 'idle'
AND a.application_name LIKE 'ripcord:%' AND NOT EXISTS
(SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory')";
        let psql = db.server().bin_dir().join("psql");
        for tool in ["pg_dump", "pg_restore"] {
            sandbox.fake_tool(
                tool,
                &format!(
                    "[ -z \"$PGHOST\" ] || {} -X -A -t -d postgres -c \"{idle}\" >>'{}'\nexec \"$REAL\" \"$@\"",
                    psql.display(),
                    ended.display()
                ),
            );
        }
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        let ended = std::fs::read_to_string(ended).expect("the tools ran");
        assert!(ended.lines().filter(|line| *line == "t").count() >= 2, "{ended:?}");
    }
}
