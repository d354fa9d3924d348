//! A password is nowhere: not on the screen, not in a file, not where other users of the machine can look.

mod postgres {
    use crate::promise::*;
    use crate::support::*;

    const CANARY: &str = "c4n4ry%2Fsw0rdfish";
    const CANARY_DECODED: &str = "c4n4ry/sw0rdfish";

    /// A server that asks for the canary, and a sandbox whose tools write down how they are called.
    fn guarded_by_a_canary() -> (TestDatabase, Sandbox) {
        let server = Postgres::options().passwords().tcp().setting("log_statement", "all").start();
        server.psql("postgres", &format!("ALTER ROLE app PASSWORD '{CANARY_DECODED}';"));
        let db = TestDatabase::postgres_server(server);
        let sandbox = sample_of(&db);
        sandbox.env("DATABASE_URL", db.server().url_with_password("app", CANARY, "app"));
        for tool in ["pg_dump", "pg_restore", "psql"] {
            spying_tool(&sandbox, tool);
        }
        (db, sandbox)
    }

    /// A tool that writes down its arguments and its environment, where `ps` would show them, and does its work.
    fn spying_tool(sandbox: &Sandbox, name: &str) {
        let log = sandbox.path("../spied.log").display().to_string();
        sandbox.fake_tool(name, &format!("{{ echo \"$0 $*\"; env; }} >>'{log}'\nexec \"$REAL\" \"$@\""));
    }

    #[track_caller]
    fn says_nothing(run: &Run) {
        for secret in [CANARY, CANARY_DECODED, "sw0rdfish"] {
            let printed = Run { command: String::new(), ..run.clone() };
            printed.says_nowhere(secret);
        }
    }

    #[track_caller]
    fn is_in_no_file(sandbox: &Sandbox) {
        let found = sandbox.run("grep", &["-r", "-l", "-a", "sw0rdfish", ".."]);
        assert_eq!(found.stdout, "", "a file holds the password");
    }

    #[test]
    fn the_password_of_a_url_is_nowhere_after_a_whole_life() {
        let (_db, sandbox) = guarded_by_a_canary();
        sandbox.revision("ffff00000001", &[ADD_PROCESS_RANK], "INSERT INTO nowhere VALUES (1);", "");
        let commands: &[(&[&str], i32)] = &[
            (&["upgrade", ADD_PROCESS_RANK, "-v"], 0),
            (&["current"], 0),
            (&["verify", "-v"], 0),
            (&["backup", "create", "--format", "json"], 0),
            (&["downgrade", "--format", "json"], 0),
            (&["upgrade", "-v"], 4),
            (&["restore", "20261123T1816"], 0),
            (&["backup", "list"], 0),
            (&["backup", "show", "latest"], 0),
            (&["log"], 0),
            (&["recover"], 0),
        ];
        for (minute, (arguments, code)) in (1..).zip(commands) {
            at(&sandbox, minute);
            let run = sandbox.ripcord(arguments);
            run.expect_code(*code);
            says_nothing(&run);
        }
        let spied = std::fs::read_to_string(sandbox.path("../spied.log")).unwrap();
        assert!(
            spied.contains("pg_dump") && spied.contains("pg_restore") && spied.contains("PGPASSFILE"),
            "{spied}"
        );
        is_in_no_file(&sandbox);
        assert_eq!(sandbox.temporary_files(), [""; 0]);
    }

    #[test]
    fn the_password_given_as_a_flag_is_not_repeated_in_advice() {
        let (db, sandbox) = guarded_by_a_canary();
        let url = db.server().url_with_password("app", CANARY, "app");
        sandbox.env_remove("DATABASE_URL");
        let run = sandbox.ripcord(&["--database-url", &url, "upgrade"]);
        run.expect_code(0).stdout_has("undo").stdout_has("--database-url");
        says_nothing(&run);
        is_in_no_file(&sandbox);
    }

    #[test]
    fn an_error_shows_no_password() {
        let (mut db, sandbox) = guarded_by_a_canary();
        let url = db.server().url_with_password("app", CANARY, "app");
        let wrong = [
            db.server().url_with_password("app", "sw0rdfish-wrong", "app"),
            db.server().url_with_password("app", CANARY, "nowhere"),
            url.replace("postgresql://", "oracle://"),
            url.replace("postgresql://", ""),
            url.replace("127.0.0.1:", "127.0.0.1:x"),
        ];
        for url in &wrong {
            let run = sandbox.ripcord(&["--database-url", url, "upgrade"]);
            assert_ne!(run.code, 0);
            says_nothing(&run);
        }
        sandbox.failing_tool("pg_dump", "pg_dump: error: no");
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(4);
        says_nothing(&run);
        db.server_mut().stop();
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(4);
        says_nothing(&run);
        is_in_no_file(&sandbox);
    }

    #[test]
    fn while_pg_dump_runs_its_password_lies_in_a_private_file_that_goes_away() {
        let (_db, sandbox) = guarded_by_a_canary();
        let place = sandbox.path("../passfile").display().to_string();
        let note = format!("echo \"$PGPASSFILE\" >'{place}'; stat -c %a \"$PGPASSFILE\" >>'{place}'");
        let mut tool = sandbox.tool_that_hangs_after("pg_dump", &note);
        let running = sandbox.spawn(&["upgrade"]);
        tool.wait_until_it_hangs();
        let noted = std::fs::read_to_string(sandbox.path("../passfile")).unwrap();
        let (passfile, mode) = noted.trim().split_once('\n').unwrap();
        assert_eq!(mode, "600");
        running.signal(Signal::INT);
        running.wait().expect_code(130);
        assert!(!std::path::Path::new(passfile).exists() && !sandbox.path(passfile).exists());
        is_in_no_file(&sandbox);
    }
}
