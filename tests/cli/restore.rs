//! A restore loses nothing: what it replaces is saved first, and a damaged or foreign backup never gets that far.

use std::path::PathBuf;

use crate::promise::*;
use crate::support::*;

/// A filled sample with a backup of it, and then a disaster in the live database.
fn after_a_disaster(db: &TestDatabase) -> (Sandbox, PathBuf, String) {
    let sandbox = filled_sample_of(db);
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    let (backup, before) = (sandbox.backups().pop().unwrap(), db.dump());
    db.execute("DELETE FROM training_metric; UPDATE training_config SET model_type = 'lost'; CREATE TABLE since (id INTEGER);
INSERT INTO since VALUES (42);");
    at(&sandbox, 2);
    (sandbox, backup, before)
}

/// The URL of a database that is not there yet, beside this one.
pub fn url_beside(db: &TestDatabase) -> String {
    match db.backend() {
        Backend::Sqlite => format!("sqlite:///{}", db.file().with_file_name("beside.db").display()),
        Backend::Postgres => db.server().url("beside"),
    }
}

fn dump_beside(sandbox: &Sandbox, db: &TestDatabase) -> String {
    match db.backend() {
        Backend::Sqlite => {
            let file = db.file().with_file_name("beside.db");
            let run = sandbox.run("sqlite3", &[file.to_str().unwrap(), ".dump"]);
            let mut lines: Vec<_> = run.expect_code(0).stdout.lines().collect();
            lines.sort_unstable();
            lines.join("\n")
        }
        Backend::Postgres => db.server().dump("beside"),
    }
}

/// The dump of the live database, in the form of `dump_beside`.
fn dump_to_compare(sandbox: &Sandbox, db: &TestDatabase) -> String {
    match db.backend() {
        Backend::Sqlite => {
            let run = sandbox.run("sqlite3", &[db.file().to_str().unwrap(), ".dump"]);
            let mut lines: Vec<_> = run.expect_code(0).stdout.lines().collect();
            lines.sort_unstable();
            lines.join("\n")
        }
        Backend::Postgres => db.dump(),
    }
}

both_engines! {
    fn a_restore_in_place_brings_back_everything_and_its_undo_takes_it_back(db: &TestDatabase) {
        let (sandbox, backup, before) = after_a_disaster(db);
        let disaster = db.dump();
        let run = sandbox.ripcord(&["restore", &name_of(&backup)]);
        run.expect_code(0);
        assert_same(&before, &db.dump(), &run);
        let saved = sandbox.backups().pop().unwrap();
        assert!(name_of(&saved).contains("-restore-"), "the present state is saved first: {saved:?}");
        sums_are_right(&sandbox, &saved);
        run.stdout_has("holds the snapshot again");

        at(&sandbox, 3);
        let undone = follow(&sandbox, &undo_of(&run));
        undone.expect_code(0);
        assert_same(&disaster, &db.dump(), &undone);
        at(&sandbox, 4);
        let again = follow(&sandbox, &undo_of(&undone));
        again.expect_code(0);
        assert_same(&before, &db.dump(), &again);
    }

    fn a_restored_database_goes_on_as_before(db: &TestDatabase) {
        let (sandbox, backup, _) = after_a_disaster(db);
        sandbox.ripcord(&["restore", &name_of(&backup)]).expect_code(0);
        at(&sandbox, 3);
        sandbox.ripcord(&["verify", &name_of(&backup)]).expect_code(0);
        sandbox.ripcord(&["downgrade"]).expect_code(0);
        at(&sandbox, 4);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        // The numbers go on where they were.
        db.execute("INSERT INTO training_metric (config_id, epoch, step, train_loss, eval_loss) VALUES (1, 1, 1, 0.5, 0.5);");
        assert_eq!(db.query("SELECT max(id) FROM training_metric;"), "61");
    }

    fn a_restore_beside_leaves_the_live_database_alone(db: &TestDatabase) {
        let (sandbox, backup, _) = after_a_disaster(db);
        let (live, backups) = (db.dump(), sandbox.backups());
        // What the backup holds, in the form in which the two can be compared.
        sandbox.ripcord(&["restore", &name_of(&backup)]).expect_code(0);
        let expected = dump_to_compare(&sandbox, db);
        at(&sandbox, 3);
        sandbox.ripcord(&["restore", &name_of(&sandbox.backups()[2])]).expect_code(0);
        let now = db.dump();
        assert_eq!((now.as_str(), backups.len()), (live.as_str(), 2));

        at(&sandbox, 4);
        let taken = sandbox.backups();
        let run = sandbox.ripcord(&["restore", &name_of(&backup), "--to", &url_beside(db)]);
        run.expect_code(0).stdout_has("beside").stdout_has(ADD_PROCESS_RANK);
        assert_same(&expected, &dump_beside(&sandbox, db), &run);
        assert_same(&live, &db.dump(), &run);
        assert_eq!(sandbox.backups(), taken, "there was nothing to save");
    }

    fn a_restore_beside_does_not_replace_what_is_there(db: &TestDatabase) {
        let (sandbox, backup, _) = after_a_disaster(db);
        let id = name_of(&backup);
        sandbox.ripcord(&["restore", &id, "--to", &url_beside(db)]).expect_code(0);
        at(&sandbox, 3);
        let first = dump_beside(&sandbox, db);
        refuses(&sandbox, db, &["restore", &id, "--to", &url_beside(db)], 2, "exists already");
        refuses(&sandbox, db, &["restore", &id, "--to", &db.url()], 2, "exists already");
        assert_eq!(dump_beside(&sandbox, db), first);
        refuses(&sandbox, db, &["restore", &id, "--to", "nonsense"], 2, "it has no scheme");
    }

    fn the_backup_of_another_database_is_not_put_in_place(db: &TestDatabase) {
        let (sandbox, backup, _) = after_a_disaster(db);
        let other = match db.backend() {
            Backend::Sqlite => url_beside(db),
            Backend::Postgres => {
                db.server().create_database("beside");
                url_beside(db)
            }
        };
        let run = sandbox.ripcord(&["--database-url", &other, "upgrade"]);
        run.expect_code(0);
        at(&sandbox, 3);
        let before = dump_beside(&sandbox, db);
        let run = sandbox.ripcord(&["--database-url", &other, "restore", &name_of(&backup)]);
        run.expect_code(3);
        says_three_parts(&run, "is of");
        run.stderr_has("--to URL");
        assert_same(&before, &dump_beside(&sandbox, db), &run);
    }

    fn a_backup_of_one_engine_does_not_go_into_the_other(db: &TestDatabase) {
        let (sandbox, backup, _) = after_a_disaster(db);
        let (server, url);
        match db.backend() {
            Backend::Sqlite => {
                server = Some(Postgres::start());
                url = server.as_ref().unwrap().url("new");
            }
            Backend::Postgres => {
                server = None;
                url = "sqlite:///new.db".to_owned();
            }
        }
        let run = sandbox.ripcord(&["restore", &name_of(&backup), "--to", &url]);
        run.expect_code(3);
        says_three_parts(&run, "SQLite");
        run.stderr_has("PostgreSQL").stderr_has("of its own kind");
        assert!(!sandbox.path("new.db").exists());
        drop(server);
    }

    fn restore_sh_needs_stock_tools_only(db: &TestDatabase) {
        let (sandbox, backup, before) = after_a_disaster(db);
        // Read-only and far from its home, as on a machine where nobody has heard of ripcord.
        let script = backup.join("RESTORE.sh");
        let (run, fresh) = match db.backend() {
            Backend::Sqlite => {
                let fresh = sandbox.path("fresh.db");
                (sandbox.run("sh", &[script.to_str().unwrap(), fresh.to_str().unwrap()]), fresh.display().to_string())
            }
            Backend::Postgres => {
                let server = db.server();
                sandbox.env("PGHOST", server.socket_folder().as_os_str()).env("PGUSER", "app");
                sandbox.env("PGPORT", server.port().to_string());
                (sandbox.run("sh", &[script.to_str().unwrap(), "fresh"]), "fresh".to_owned())
            }
        };
        run.expect_code(0);
        let restored = match db.backend() {
            Backend::Sqlite => {
                let dump = sandbox.run("sqlite3", &[&fresh, ".dump"]);
                let mut lines: Vec<_> = dump.stdout.lines().map(str::to_owned).collect();
                lines.sort_unstable();
                lines.join("\n")
            }
            Backend::Postgres => db.server().dump(&fresh),
        };
        at(&sandbox, 3);
        sandbox.ripcord(&["restore", &name_of(&backup)]).expect_code(0);
        assert_same(&before, &db.dump(), &run);
        assert_same(&dump_to_compare(&sandbox, db), &restored, &run);
    }

    fn restore_sh_refuses_a_damaged_backup(db: &TestDatabase) {
        let (sandbox, backup, _) = after_a_disaster(db);
        // One byte of the largest file of the snapshot.
        let spoil = r#"cd "$1"/snapshot && f=$(find . -type f -printf '%s %P\n' | sort -n | tail -1 | cut -d' ' -f2) &&
            printf x | dd of="$f" bs=1 seek=200 conv=notrunc status=none"#;
        sandbox.run("bash", &["-c", spoil, "bash", backup.to_str().unwrap()]).expect_code(0);
        let target = if db.backend() == Backend::Sqlite { "fresh.db" } else { "fresh" };
        if db.backend() == Backend::Postgres {
            let server = db.server();
            sandbox.env("PGHOST", server.socket_folder().as_os_str()).env("PGUSER", "app");
            sandbox.env("PGPORT", server.port().to_string());
        }
        let run = sandbox.run("sh", &[backup.join("RESTORE.sh").to_str().unwrap(), target]);
        assert_ne!(run.code, 0, "{run}");
        assert!(!sandbox.path("fresh.db").exists());
        if db.backend() == Backend::Postgres {
            assert_eq!(db.server().databases(), ["app", "postgres"]);
        }
    }
}

#[test]
fn an_open_handle_on_sqlite_sees_what_was_restored_and_goes_on_writing() {
    for mode in ["delete", "wal"] {
        let db = TestDatabase::sqlite();
        let sandbox = sample_of(&db);
        db.execute(&format!("PRAGMA journal_mode = {mode};"));
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        db.fill_sample(3, 20);
        at(&sandbox, 1);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        let mut session = db.session();
        session.execute("DELETE FROM training_metric;");
        assert_eq!(session.execute("SELECT count(*) FROM training_metric;"), "0");
        at(&sandbox, 2);
        sandbox.ripcord(&["restore", "20261123T1816"]).expect_code(0);
        assert_eq!(session.execute("SELECT count(*) FROM training_metric;"), "60", "{mode}");
        session.execute("INSERT INTO training_metric (config_id, epoch, step, train_loss, eval_loss) VALUES (1, 1, 1, 0.5, 0.5);");
        drop(session);
        assert_eq!(
            db.query("SELECT count(*) FROM training_metric; PRAGMA integrity_check; PRAGMA journal_mode;"),
            format!("61\nok\n{mode}")
        );
    }
}

mod postgres {
    use super::*;

    #[test]
    fn a_session_that_is_connected_is_ended_and_the_old_database_is_kept() {
        let db = TestDatabase::postgres();
        let (sandbox, backup, before) = after_a_disaster(&db);
        let disaster = db.dump();
        let mut session = db.session();
        let pid = session.execute("SELECT pg_backend_pid();");
        let run = sandbox.ripcord(&["restore", &name_of(&backup)]);
        run.expect_code(0).stdout_has("is kept as");
        assert_same(&before, &db.dump(), &run);
        assert_eq!(db.query(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid};")), "0");
        let kept: Vec<_> = db
            .server()
            .databases()
            .into_iter()
            .filter(|name| !["app", "postgres"].contains(&name.as_str()))
            .collect();
        assert_eq!(kept.len(), 1, "{kept:?}");
        run.stdout_has(&kept[0]);
        // No program gets into it by mistake; a person who wants to look lets himself in.
        let printed = |before: &str, end: &str| {
            let text = run.stdout.split_once(before).unwrap_or_else(|| panic!("no {before:?}\n{run}")).1;
            text.split(end).next().unwrap_or_default().to_owned()
        };
        let open = printed("to look into it, first: ", "; then: psql -d ");
        db.server().psql("postgres", &open);
        assert_same(&disaster, &db.server().dump(printed("; then: psql -d ", "\n").trim()), &run);
        db.server().psql("postgres", &printed("when it is no longer needed: ", "\n"));
        assert!(!db.server().databases().contains(&kept[0]));
    }

    #[test]
    fn what_a_dump_forgets_of_a_database_is_there_after_a_restore() {
        let db = TestDatabase::postgres();
        let server = db.server();
        server.create_role("reader", "");
        server.psql("postgres", "ALTER DATABASE app SET work_mem = '7MB'; ALTER DATABASE app CONNECTION LIMIT 33;
REVOKE CONNECT ON DATABASE app FROM PUBLIC; GRANT CONNECT ON DATABASE app TO reader; COMMENT ON DATABASE app IS 'ours';");
        let facts = || {
            server.psql("postgres", "SELECT (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(datacl) a), datconnlimit, datallowconn, pg_get_userbyid(datdba), shobj_description(oid, 'pg_database')
FROM pg_database WHERE datname = 'app';
SELECT setrole::regrole, setconfig FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = 'app') ORDER BY 1;")
        };
        let (sandbox, backup, _) = after_a_disaster(&db);
        let before = facts();
        sandbox.ripcord(&["restore", &name_of(&backup)]).expect_code(0);
        assert_eq!(facts(), before);
        // The right to connect is not opened for a moment longer than it was.
        assert!(server.try_psql_as("reader", "app", "SELECT 1;").is_ok());
    }

    #[test]
    fn without_createdb_a_restore_goes_in_place_in_one_transaction() {
        let db = TestDatabase::postgres();
        let (sandbox, backup, before) = after_a_disaster(&db);
        db.server().psql("postgres", "ALTER ROLE app NOCREATEDB;");
        sandbox.write("ripcord.toml", "[proof]\nlevel = \"none\"\n");
        let run = sandbox.ripcord(&["restore", &name_of(&backup)]);
        run.expect_code(0);
        assert_same(&before, &db.dump(), &run);
        assert_eq!(db.server().databases(), ["app", "postgres"]);
    }
}
