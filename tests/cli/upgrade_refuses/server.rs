//! A PostgreSQL server that does not answer, or does not let us in, or not far enough.

mod postgres {
    use crate::promise::*;
    use crate::support::*;

    const COMMANDS: &[&[&str]] = &[&["upgrade"], &["current"], &["backup", "create"], &["verify"]];

    #[test]
    fn a_server_that_is_down_is_said_to_be_out_of_reach() {
        let mut db = TestDatabase::postgres();
        let sandbox = sample_of(&db);
        db.server_mut().stop();
        for arguments in COMMANDS {
            let run = sandbox.ripcord(arguments);
            run.expect_code(4);
            says_three_parts(&run, "cannot be reached");
            run.stderr_has("state: nothing was changed").stderr_has("pg_isready");
        }
        assert_eq!(sandbox.files("backups"), [""; 0]);
    }

    #[test]
    fn a_wrong_password_is_refused_without_being_shown() {
        let db = TestDatabase::postgres_server(Postgres::options().passwords().tcp().start());
        let sandbox = sample_of(&db);
        sandbox.env("DATABASE_URL", db.server().url_with_password("app", "hunter2-wrong", "app"));
        for arguments in COMMANDS {
            let run = refuses(&sandbox, &db, arguments, 2, "refuses user app");
            run.says_nowhere("hunter2");
        }
        sandbox.env("DATABASE_URL", db.server().url("app"));
        refuses(&sandbox, &db, &["upgrade"], 2, "refuses user app");
        sandbox.env("DATABASE_URL", db.server().url_with_password("app", "app", "app"));
        sandbox.ripcord(&["upgrade"]).expect_code(0);
    }

    #[test]
    fn the_password_may_come_from_pgpassword_or_a_passfile() {
        let db = TestDatabase::postgres_server(Postgres::options().passwords().tcp().start());
        let sandbox = sample_of(&db);
        sandbox.env("DATABASE_URL", db.server().url("app")).env("PGPASSWORD", "app");
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        sandbox.env_remove("PGPASSWORD");
        let passfile = sandbox.write("../home/.pgpass", "*:*:*:app:app\n");
        sandbox.run("chmod", &["600", passfile.to_str().unwrap()]).expect_code(0);
        at(&sandbox, 1);
        sandbox.ripcord(&["downgrade"]).expect_code(0);
    }

    #[test]
    fn without_the_right_to_create_databases_a_snapshot_cannot_be_proven() {
        let db = TestDatabase::postgres();
        db.server().psql("postgres", "ALTER ROLE app NOCREATEDB;");
        let sandbox = sample_of(&db);
        let run = refuses(&sandbox, &db, &["upgrade"], 3, "CREATEDB");
        run.stderr_has("next: ");
        assert_eq!(sandbox.backups().len(), 0);
        // Asked for by name, the snapshot is taken on trust, and marked for ever.
        let run = sandbox.ripcord(&["upgrade", "--proof", "none"]);
        run.expect_code(0).stdout_has("NOT PROVEN");
        sandbox.ripcord(&["backup", "list"]).expect_code(0).stdout_has("NOT PROVEN");
    }

    #[test]
    fn a_scratch_server_of_ones_own_proves_where_databases_cannot_be_created() {
        let db = TestDatabase::postgres();
        let scratch = Postgres::start();
        db.server().psql("postgres", "ALTER ROLE app NOCREATEDB;");
        let sandbox = sample_of(&db);
        sandbox.write("ripcord.toml", format!("[proof]\nscratch_url = \"{}\"\n", scratch.url("app")));
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(0).stdout_lacks("NOT PROVEN");
        assert_eq!(scratch.databases(), ["app", "postgres"]);
        assert_eq!(scratch.psql("app", "SELECT count(*) FROM pg_tables WHERE schemaname = 'public';"), "0\n");
    }

    #[test]
    fn a_role_that_may_not_read_a_table_is_refused_before_anything_is_begun() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        db.server().psql("app", "CREATE TABLE secret (id INTEGER); INSERT INTO secret VALUES (1);");
        let before = db.dump();
        let run = sandbox.ripcord(&["downgrade"]);
        assert!(run.code == 3 || run.code == 4, "{run}");
        says_three_parts(&run, "secret");
        assert_same(&before, &db.dump(), &run);
        leaves_nothing_behind(&sandbox, &db);
    }

    #[test]
    fn rows_that_a_policy_hides_are_never_left_out_in_silence() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        db.execute(
            "ALTER TABLE training_config ENABLE ROW LEVEL SECURITY; ALTER TABLE training_config FORCE ROW LEVEL SECURITY;
CREATE POLICY few ON training_config USING (id = 1);",
        );
        let before = db.dump();
        let run = sandbox.ripcord(&["downgrade"]);
        assert!(run.code == 3 || run.code == 4, "{run}");
        says_three_parts(&run, "training_config");
        assert_same(&before, &db.dump(), &run);
    }
}
