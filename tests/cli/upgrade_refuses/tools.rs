//! PostgreSQL's client programs are missing, old, broken or stuck.

mod postgres {
    use crate::promise::*;
    use crate::support::*;

    /// No other place is looked into, also not those where distributions put each version.
    fn only_from_the_fakes(sandbox: &Sandbox) {
        sandbox.write("ripcord.toml", format!("[backup]\ntools = \"{}\"\n", sandbox.fakes().display()));
    }

    #[test]
    fn a_missing_tool_is_named_with_the_package_that_brings_it() {
        for tool in ["pg_dump", "pg_restore"] {
            let db = TestDatabase::postgres();
            let sandbox = sample_of(&db);
            sandbox.logging_tool(tool);
            sandbox.missing_tool(tool);
            only_from_the_fakes(&sandbox);
            let run = refuses(&sandbox, &db, &["upgrade"], 3, tool);
            run.stderr_has("postgresql-client");
            assert_eq!(sandbox.backups().len(), 0);
        }
    }

    #[test]
    fn a_pg_dump_that_is_older_than_the_server_is_named_with_both_versions() {
        let db = TestDatabase::postgres();
        let sandbox = sample_of(&db);
        // Only the old one is to be found: a newer one elsewhere would be chosen instead.
        sandbox.older_tool("pg_dump");
        only_from_the_fakes(&sandbox);
        let run = refuses(&sandbox, &db, &["upgrade"], 3, "pg_dump");
        run.stderr_has("12").stderr_has(&db.server().major().to_string());
        assert_eq!(sandbox.backups().len(), 0);
    }

    #[test]
    fn among_several_the_pg_dump_that_fits_the_server_is_chosen() {
        let db = TestDatabase::postgres();
        let sandbox = sample_of(&db);
        sandbox.older_tool("pg_dump");
        sandbox.ripcord(&["upgrade"]).expect_code(0);
    }

    #[test]
    fn what_a_failing_pg_dump_said_is_shown() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        sandbox.failing_tool("pg_dump", "pg_dump: error: the disk is made of cheese");
        let run = refuses(&sandbox, &db, &["downgrade"], 4, "the disk is made of cheese");
        run.stderr_has("exit status 1");
        assert_eq!(sandbox.backups().len(), 1);
        leaves_nothing_behind(&sandbox, &db);
    }

    #[test]
    fn what_a_failing_pg_restore_said_is_shown() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        sandbox.failing_tool("pg_restore", "pg_restore: error: the archive is made of cheese");
        refuses(&sandbox, &db, &["downgrade"], 4, "the archive is made of cheese");
        assert_eq!(sandbox.backups().len(), 1, "what is not proven is not published");
        leaves_nothing_behind(&sandbox, &db);
    }

    #[test]
    fn a_dump_that_lost_rows_is_not_taken_for_a_snapshot() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        // It says that all went well, and left out a table's rows.
        sandbox.fake_tool(
            "pg_dump",
            r#"case " $* " in *" --version "*) ;; *) set -- --exclude-table-data=training_metric "$@";; esac
exec "$REAL" "$@""#,
        );
        let run = refuses(&sandbox, &db, &["downgrade"], 4, "did not come back as it was taken");
        run.stderr_has("training_metric");
        assert_eq!(sandbox.backups().len(), 1);
        leaves_nothing_behind(&sandbox, &db);
    }

    #[test]
    fn a_dump_that_is_empty_is_not_taken_for_a_snapshot() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        let empty = r#"case " $* " in *" --version "*) exec "$REAL" "$@";; esac
while [ $# -gt 0 ]; do case $1 in --file) mkdir -p "$2"; : >"$2/toc.dat";; esac; shift; done"#;
        sandbox.fake_tool("pg_dump", empty);
        refuses(&sandbox, &db, &["downgrade"], 4, "pg_restore");
        assert_eq!(sandbox.backups().len(), 1);
        leaves_nothing_behind(&sandbox, &db);
    }

    #[test]
    fn what_a_failing_pg_dump_said_is_shown_although_it_is_not_utf_8() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        let says = r#"case " $* " in *" --version "*) exec "$REAL" "$@";; esac
printf 'pg_dump: Fehler: \xfcberall K\xe4se\n' >&2; exit 1"#;
        sandbox.fake_tool("pg_dump", says);
        refuses(&sandbox, &db, &["downgrade"], 4, "berall K");
        leaves_nothing_behind(&sandbox, &db);
    }

    #[test]
    fn a_hanging_pg_dump_is_ended_at_its_limit() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        sandbox.write("ripcord.toml", "[backup]\ntool_timeout = \"300ms\"\n");
        let mut hanging = sandbox.hanging_tool("pg_dump");
        refuses(&sandbox, &db, &["downgrade"], 4, "pg_dump did not finish within 300ms");
        hanging.wait_until_it_hangs();
        assert!(!hanging.is_running());
        assert_eq!(sandbox.backups().len(), 1);
        leaves_nothing_behind(&sandbox, &db);
    }

    #[test]
    fn a_hanging_pg_dump_ends_with_ctrl_c_and_nothing_is_left() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        let before = db.dump();
        let mut tool = sandbox.hanging_tool("pg_dump");
        let running = sandbox.spawn(&["downgrade"]);
        tool.wait_until_it_hangs();
        running.signal(Signal::INT);
        let run = running.wait();
        run.expect_code(130);
        says_three_parts(&run, "interrupted");
        assert!(!tool.is_running());
        assert_same(&before, &db.dump(), &run);
        leaves_nothing_behind(&sandbox, &db);
    }
}
