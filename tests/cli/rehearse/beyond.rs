//! A rehearsal reaches nothing but its copy: what it cannot keep from happening outside, it does not run.

use super::*;

/// A revision whose statements run each by itself.
fn alone(sandbox: &Sandbox, upgrade: &str) {
    let revision = Revision::new(NEXT).revises(ADD_PROCESS_RANK).directive("transaction", "none");
    sandbox.add(&revision.upgrade(upgrade).downgrade(""));
}

#[test]
fn another_file_is_not_reached_however_a_script_writes_it() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    let other = sandbox.path("other.db");
    sandbox.run("sqlite3", &[other.to_str().unwrap(), "CREATE TABLE t (id); INSERT INTO t VALUES (1);"]);
    let made = sandbox.path("made.db");
    let (there, fresh) = (other.display().to_string(), made.display().to_string());
    for (statements, in_one) in [
        (format!("ATTACH'{there}'AS o; DELETE FROM o.t;"), false),
        (format!("ATTACH '{there}' || '' AS o; DELETE FROM o.t;"), false),
        (format!("ATTACH/**/'{there}'AS o; DELETE FROM o.t;"), true),
        (format!("VACUUM'main'INTO'{fresh}';"), false),
        (format!("VACUUM INTO '{fresh}' || '';"), false),
    ] {
        match in_one {
            true => drop(sandbox.revision(NEXT, &[ADD_PROCESS_RANK], &statements, "")),
            false => alone(&sandbox, &statements),
        }
        sandbox.ripcord(&["rehearse"]).expect_code(3).stderr_has("it would change another file");
        let rows = sandbox.run("sqlite3", &[&there, "SELECT count(*) FROM t;"]).stdout.clone();
        assert_eq!(rows, "1\n", "{statements}");
        assert!(!made.exists(), "{statements}");
    }
    // A rehearsal that is refused for the same reason is no way on, and what lies beside the database is in no backup.
    alone(&sandbox, &format!("ATTACH'{there}'AS o; DELETE FROM o.t;"));
    at(&sandbox, 2);
    let run = refuses(&sandbox, &db, &["upgrade"], 3, "1 hazard is not accepted: opaque");
    run.stderr_lacks("next: ripcord rehearse");
    let done = follow(&sandbox, &next_of(&run));
    done.expect_code(0).stdout_has("beside the database this changes another file");
    done.stdout_has("no restore puts it back");
    at(&sandbox, 3);
    sandbox.ripcord(&["downgrade", "--accept", "opaque"]).expect_code(0);
    at(&sandbox, 4);
    // What is nobody's file is no reason to refuse.
    alone(&sandbox, "VACUUM; ATTACH ':memory:' AS o; CREATE TABLE o.t (id); DETACH o;");
    sandbox.ripcord(&["rehearse"]).expect_code(0);
}

mod postgres {
    use super::*;

    #[test]
    fn what_a_role_was_is_not_put_back_by_a_restore_and_nobody_says_so() {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        sandbox.revision(
            NEXT,
            &[ADD_PROCESS_RANK],
            "ALTER ROLE app SET work_mem = '7MB';",
            "ALTER ROLE app RESET work_mem;",
        );
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(0).stdout_lacks("everything back");
        run.stdout_has("beside the database this changes settings of roles and databases");
        run.stdout_has("that is not in the backup, and no restore puts it back");
    }

    /// A superuser's database, which may have such extensions; none where the server has none to offer.
    fn with_extension(extension: &str) -> Option<TestDatabase> {
        let db = TestDatabase::postgres();
        db.server().psql("postgres", "ALTER ROLE app SUPERUSER;");
        let offered = format!("SELECT count(*) FROM pg_available_extensions WHERE name = '{extension}';");
        (db.query(&offered).trim() == "1").then_some(db)
    }

    fn place(db: &TestDatabase, database: &str) -> String {
        let server = db.server();
        format!("host={} port={} user=app dbname={database}", server.socket_folder().display(), server.port())
    }

    #[test]
    fn rows_behind_a_foreign_table_change_once_and_not_in_the_rehearsal() {
        let Some(db) = with_extension("postgres_fdw") else { return };
        let (server, sandbox) = (db.server(), filled_sample_of(&db));
        server.create_database("far");
        server.psql_as("app", "far", "CREATE TABLE t (id integer); INSERT INTO t VALUES (1), (2), (3);");
        let left = || server.psql_as("app", "far", "SELECT count(*) FROM t;");
        let foreign = format!(
            "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{}', port '{}', dbname 'far');
CREATE USER MAPPING FOR app SERVER far OPTIONS (user 'app');
CREATE FOREIGN TABLE ft (id integer) SERVER far OPTIONS (table_name 't');",
            server.socket_folder().display(),
            server.port()
        );
        // Brought along by the migration itself.
        let itself = format!("CREATE EXTENSION postgres_fdw; {foreign} DELETE FROM ft WHERE id = 3;");
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], &itself, "");
        sandbox
            .ripcord(&["rehearse"])
            .expect_code(3)
            .stderr_has("it would change what lies on another server");
        assert_eq!(left(), "3\n");

        db.execute(&format!("CREATE EXTENSION postgres_fdw; {foreign}"));
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "DELETE FROM ft WHERE id = 1;", "");
        sandbox
            .ripcord(&["rehearse"])
            .expect_code(3)
            .stderr_has("it would change what lies on another server");
        assert_eq!(left(), "3\n");
        alone(&sandbox, "DELETE FROM ft WHERE id = 1;");
        sandbox
            .ripcord(&["rehearse"])
            .expect_code(3)
            .stderr_has("it would change what lies on another server");
        assert_eq!(left(), "3\n");
        let run = sandbox.ripcord(&["upgrade", "--accept", "opaque"]);
        run.expect_code(0).stderr_has("nobody knows beforehand what it loses");
        assert_eq!(left(), "2\n");

        sandbox.revision("abcd00000002", &[NEXT], "CREATE TABLE near (id integer);", "DROP TABLE near;");
        let run = sandbox.ripcord(&["rehearse"]);
        run.expect_code(0).stdout_has("not seen   what lies on other servers, which the copy is kept from: foreign data wrapper postgres_fdw");
        assert_eq!(db.query("SELECT count(*) FROM ft;"), "2", "the live database reaches it as before");
        leaves_nothing_behind(&sandbox, &db);
    }

    #[test]
    fn what_dblink_would_write_is_not_written_by_a_rehearsal() {
        let Some(db) = with_extension("dblink") else { return };
        let sandbox = filled_sample_of(&db);
        let own = place(&db, db.query("SELECT current_database();").trim());
        let deletes = format!("SELECT dblink_exec('{own}', 'DELETE FROM training_metric');");
        let left = || db.query("SELECT count(*) FROM training_metric;");
        for statements in [
            format!("CREATE EXTENSION dblink; {deletes}"),
            format!(
                "DO $$BEGIN CREATE EXTENSION dblink; PERFORM dblink_exec('{own}', 'DELETE FROM training_metric'); END$$;"
            ),
        ] {
            sandbox.revision(NEXT, &[ADD_PROCESS_RANK], &statements, "");
            sandbox.ripcord(&["rehearse"]).expect_code(3).stderr_has("what lies on another server");
            assert_eq!(left(), "60", "{statements}");
        }
        db.execute("CREATE EXTENSION dblink;");
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], &deletes, "");
        sandbox.ripcord(&["rehearse"]).expect_code(3).stderr_has("what lies on another server");
        assert_eq!(left(), "60");
    }

    #[test]
    fn programs_and_files_of_the_server_are_not_reached() {
        let db = TestDatabase::postgres();
        db.server().psql("postgres", "ALTER ROLE app SUPERUSER;");
        let sandbox = filled_sample_of(&db);
        // A place that the server may write to.
        let file = db.server().data_folder().join("reached");
        for statement in [
            format!("COPY training_config TO PROGRAM 'cat > {}';", file.display()),
            format!("COPY training_config TO '{}';", file.display()),
            format!("DO $$BEGIN EXECUTE 'COPY training_config TO ''{}'''; END$$;", file.display()),
        ] {
            sandbox.revision(NEXT, &[ADD_PROCESS_RANK], &statement, "");
            sandbox.ripcord(&["rehearse"]).expect_code(3).stderr_has("on the server");
            assert!(!file.exists(), "{statement}");
        }
        // What a function does by itself cannot be kept from happening, and is told.
        db.execute("CREATE FUNCTION sly() RETURNS void LANGUAGE plpgsql AS $$BEGIN COPY training_config TO '/nowhere'; END$$;");
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "CREATE TABLE extra (id integer);", "DROP TABLE extra;");
        sandbox.ripcord(&["rehearse"]).expect_code(0).stdout_has("also on the copy: public.sly");
    }

    #[test]
    fn what_the_whole_server_shares_is_not_rehearsed_statement_by_statement_either() {
        let db = TestDatabase::postgres();
        let server = db.server();
        server.psql("postgres", "ALTER ROLE app SUPERUSER; CREATE ROLE one; CREATE ROLE two; GRANT CREATE ON DATABASE app TO two;");
        let sandbox = filled_sample_of(&db);
        let shared = || {
            server.psql("postgres", "SELECT (SELECT count(*) FROM pg_auth_members), (SELECT datacl FROM pg_database WHERE datname = 'app'), \
                (SELECT count(*) FROM pg_shdescription), (SELECT count(*) FROM pg_roles);")
        };
        let before = shared();
        for statement in [
            "GRANT one TO two;",
            "GRANT CREATE ON DATABASE app TO one;",
            "COMMENT ON ROLE one IS 'x';",
            "DROP OWNED BY two;",
            "DO $$BEGIN CREATE ROLE three; END$$;",
            "BEGIN; CREATE ROLE three; COMMIT;",
        ] {
            alone(&sandbox, statement);
            let run = sandbox.ripcord(&["rehearse"]);
            run.expect_code(3).stderr_has("which all databases of the server share");
            assert_eq!(shared(), before, "{statement}");
        }
        // Who owns nothing of what is shared may lose what he has here.
        alone(
            &sandbox,
            "REASSIGN OWNED BY one TO two; CREATE TABLE extra (id integer); BEGIN; DROP TABLE extra; ROLLBACK;",
        );
        sandbox.ripcord(&["rehearse"]).expect_code(0).stdout_has("added    table public.extra");
    }
}
