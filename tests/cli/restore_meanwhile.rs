//! A restore does not overwrite what an application writes while it runs.

use crate::promise::*;
use crate::support::*;

#[test]
fn rows_written_while_a_restore_runs_are_not_lost() {
    for mode in ["delete", "wal"] {
        let db = TestDatabase::sqlite();
        let sandbox = filled_sample_of(&db);
        db.execute(&format!("PRAGMA journal_mode = {mode};"));
        // Patience enough for the application to end its transaction, and for it to wait for ripcord's looks.
        sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"60s\"\n");
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        at(&sandbox, 2);
        let mut app = db.session();
        app.execute(
            "PRAGMA busy_timeout = 60000; BEGIN IMMEDIATE; DELETE FROM training_metric WHERE id > 1;",
        );
        let mut restore = sandbox.spawn(&["--format", "json", "restore", "latest"]);
        // The present state is saved, without what is not committed yet.
        restore.wait_for_line("publish");
        app.execute("COMMIT;");
        drop(app);
        let run = restore.wait();
        run.expect_code(4).says_nowhere("panicked");
        let error = &report(&run)["error"];
        assert!(error.to_string().contains("other programs wrote to"), "{run}");
        assert!(error.to_string().contains("unchanged"), "{run}");
        assert_eq!(db.query("SELECT count(*) FROM training_metric;"), "1", "{mode}");

        sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
        at(&sandbox, 3);
        let first = name_of(&sandbox.backups()[1]);
        // Run again it saves the new state first: nothing is lost either way.
        let again = sandbox.ripcord(&["restore", &first]);
        again.expect_code(0);
        assert_eq!(db.query("SELECT count(*) FROM training_metric;"), "60", "{mode}");
        at(&sandbox, 4);
        follow(&sandbox, &undo_of(&again)).expect_code(0);
        assert_eq!(db.query("SELECT count(*) FROM training_metric;"), "1", "{mode}");
    }
}

mod postgres {
    use super::*;

    /// Somebody writes while the snapshot is unpacked or built: after the last look at the present state.
    fn somebody_writes_during_pg_restore(sandbox: &Sandbox, db: &TestDatabase) {
        let socket = db.server().socket_folder().display();
        let write = "INSERT INTO audit SELECT coalesce(max(id), 0) + 1, 'meanwhile' FROM audit HAVING count(*) FILTER (WHERE what = 'meanwhile') = 0";
        sandbox.fake_tool(
            "pg_restore",
            &format!(
                r#"case " $* " in *" --version "*) exec "$REAL" "$@";; esac
psql -q -X -h {socket} -U app -d app -c "{write}" >&2
exec "$REAL" "$@""#
            ),
        );
    }

    const MEANWHILE: &str = "SELECT count(*) FROM audit WHERE what = 'meanwhile';";
    const SLY: &str = "bbbb00000001";

    /// A table `audit`, a backup, and a present state that differs from it.
    fn without_createdb() -> (TestDatabase, Sandbox, String) {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        db.execute("CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT);");
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let backup = name_of(&sandbox.backups().pop().unwrap());
        db.execute("DELETE FROM training_metric WHERE id > 1;");
        db.server().psql("postgres", "ALTER ROLE app NOCREATEDB;");
        sandbox.write(
            "ripcord.toml",
            "[proof]\nlevel = \"none\"\n\n[database]\nlock_timeout = \"50ms\"\nretries = 0\n",
        );
        at(&sandbox, 2);
        (db, sandbox, backup)
    }

    /// A migration that verification holds against itself: it empties a table that it does not name.
    fn with_a_sly_migration(db: &TestDatabase, sandbox: &Sandbox) {
        db.execute(
            "CREATE TABLE victim (id INTEGER PRIMARY KEY); INSERT INTO victim VALUES (1);
CREATE FUNCTION sly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM victim; RETURN NULL; END $$;
CREATE TRIGGER sly AFTER UPDATE ON training_config FOR EACH STATEMENT EXECUTE FUNCTION sly();",
        );
        sandbox.revision(SLY, &[ADD_PROCESS_RANK], "UPDATE training_config SET epochs = epochs + 1;", "");
    }

    #[test]
    fn a_restore_in_place_that_is_refused_changed_nothing_and_needs_no_recovery() {
        let (db, sandbox, backup) = without_createdb();
        somebody_writes_during_pg_restore(&sandbox, &db);
        let run = sandbox.ripcord(&["restore", &backup]);
        run.expect_code(4);
        says_three_parts(&run, "other programs wrote to");
        run.stderr_has("state: nothing was changed").stderr_has("next: run the same command again");
        assert_eq!(
            (db.query(MEANWHILE), db.query("SELECT count(*) FROM training_metric;")),
            ("1".into(), "1".into())
        );
        sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
        sandbox.logging_tool("pg_restore");
        at(&sandbox, 3);
        sandbox.ripcord(&["restore", &backup]).expect_code(0);
        assert_eq!(db.query("SELECT count(*) FROM training_metric;"), "60");
    }

    #[test]
    fn a_restore_in_place_that_gets_no_lock_changed_nothing_whatever_others_wrote() {
        let (db, sandbox, backup) = without_createdb();
        somebody_writes_during_pg_restore(&sandbox, &db);
        let mut reader = db.session();
        reader.execute("BEGIN; SELECT count(*) FROM training_metric;");
        let run = sandbox.ripcord(&["restore", &backup]);
        run.expect_code(4);
        says_three_parts(&run, "could not be locked in time");
        run.stderr_has("state: nothing was changed");
        assert_eq!(db.query(MEANWHILE), "1");
        reader.execute("COMMIT;");
        sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
    }

    #[test]
    fn a_migration_is_put_back_in_place_where_nobody_else_writes() {
        let (db, sandbox, _) = without_createdb();
        with_a_sly_migration(&db, &sandbox);
        let before = db.dump();
        let run = sandbox.ripcord(&["upgrade", "--accept", "opaque"]);
        run.expect_code(4).stderr_has("state: the snapshot was put back");
        assert_same(&before, &db.dump(), &run);
        leaves_nothing_behind(&sandbox, &db);
    }

    #[test]
    fn nothing_is_put_back_in_place_over_rows_that_others_wrote_at_the_last_moment() {
        let (db, sandbox, _) = without_createdb();
        with_a_sly_migration(&db, &sandbox);
        somebody_writes_during_pg_restore(&sandbox, &db);
        stands_with_the_rows_of_others(&sandbox, &db);
    }

    #[test]
    fn nothing_is_swapped_back_over_rows_that_others_wrote_at_the_last_moment() {
        let (db, sandbox, _) = without_createdb();
        db.server().psql("postgres", "ALTER ROLE app CREATEDB;");
        with_a_sly_migration(&db, &sandbox);
        somebody_writes_during_pg_restore(&sandbox, &db);
        stands_with_the_rows_of_others(&sandbox, &db);
    }

    #[track_caller]
    fn stands_with_the_rows_of_others(sandbox: &Sandbox, db: &TestDatabase) {
        let run = sandbox.ripcord(&["upgrade", "--accept", "opaque"]);
        run.expect_code(5);
        says_three_parts(&run, "that the migration does not explain");
        run.stderr_has("putting the snapshot back failed as well: other programs wrote to");
        run.stderr_has("state: the database was changed").stderr_has("next: ripcord restore");
        assert_eq!((db.query(MEANWHILE), db.version()), ("1".into(), SLY.into()));
        leaves_nothing_behind(sandbox, db);
        sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
        // The way that was named saves those rows first.
        at(sandbox, 4);
        sandbox.logging_tool("pg_restore");
        let before = sandbox.backups().len();
        let way = run.stderr.lines().find_map(|line| line.strip_prefix("next: ripcord restore ")).unwrap();
        sandbox.ripcord(&["restore", way]).expect_code(0);
        assert_eq!(
            (db.query("SELECT count(*) FROM victim;"), sandbox.backups().len()),
            ("1".into(), before + 1)
        );
    }
}
