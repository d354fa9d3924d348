//! Revision files and a configuration that cannot be used.

use crate::promise::*;
use crate::support::*;

const NEXT: &str = "dddd00000001";

both_engines! {
    fn a_revision_without_a_way_back_is_not_begun(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&Revision::new(NEXT).revises(ADD_PROCESS_RANK).upgrade("CREATE TABLE more (id INTEGER);"));
        sandbox.ripcord(&["upgrade", "--accept", &format!("irreversible:{NEXT}")]).expect_code(0);
        at(&sandbox, 2);
        let run = refuses(&sandbox, db, &["downgrade"], 3, "has no downgrade");
        run.stderr_has(NEXT).stderr_has("ripcord backup list");
        assert_eq!(sandbox.backups().len(), 2);
    }

    fn a_revision_file_that_cannot_be_read_is_named(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let place = sandbox.path(format!("migrations/versions/{NEXT}_gone.sql"));
        std::os::unix::fs::symlink("/nowhere/at/all", place).expect("linked");
        let run = refuses(&sandbox, db, &["upgrade"], 2, "cannot be read");
        run.stderr_has(&format!("{NEXT}_gone.sql")).stderr_has("next: mend the file");
    }

    fn an_irreversible_revision_says_why(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let revision = Revision::new(NEXT).revises(ADD_PROCESS_RANK).upgrade("DELETE FROM training_metric;");
        sandbox.add(&revision.directive("irreversible", "\"the metrics are gone\""));
        sandbox.ripcord(&["upgrade", "--accept", "deletes-rows:training_metric", "--accept", &format!("irreversible:{NEXT}")]).expect_code(0);
        at(&sandbox, 2);
        refuses(&sandbox, db, &["downgrade"], 3, "the metrics are gone");
    }

    fn a_section_for_another_engine_is_no_section(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let other = if db.backend() == Backend::Sqlite { "postgresql" } else { "sqlite" };
        sandbox.add(&Revision::new(NEXT).revises(ADD_PROCESS_RANK).upgrade_on(other, "CREATE TABLE more (id INTEGER);"));
        refuses(&sandbox, db, &["upgrade"], 3, "has no upgrade");
    }

    fn a_statement_that_the_engine_cannot_read_is_named_by_file_and_line(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "CREATE TABLE fine (id INTEGER);\n\nCREATE TABEL wrong (id INTEGER);", "");
        let run = refuses(&sandbox, db, &["upgrade"], 4, "syntax error");
        run.stderr_has("dddd00000001_revision_dddd00000001.sql, line 10").stderr_has("TABEL");
    }

    fn a_string_that_never_ends_is_found_before_anything_is_begun(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "CREATE TABLE fine (id INTEGER);\nINSERT INTO fine VALUES ('oops);", "");
        let run = refuses(&sandbox, db, &["upgrade"], 2, "dddd00000001_revision_dddd00000001.sql");
        run.stderr_has("9");
        assert_eq!(sandbox.backups().len(), 1);
    }

    fn an_edited_file_that_was_applied_is_named(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let file = "migrations/versions/5f2c81d0a3be_add_process_rank_to_training_metric.sql";
        let text = sandbox.read(file);
        sandbox.write(file, text.replace("INTEGER", "BIGINT"));
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "CREATE TABLE more (id INTEGER);", "DROP TABLE more;");
        for arguments in [["upgrade"], ["downgrade"]] {
            let run = refuses(&sandbox, db, &arguments, 3, "was edited after it was applied");
            run.stderr_has(ADD_PROCESS_RANK).stderr_has(file);
        }
        // The command that is printed puts back what was applied.
        let run = sandbox.ripcord(&["upgrade"]);
        let copy = run.stderr.split_once("(the whole file: ").and_then(|(_, rest)| rest.split_once(')'));
        sandbox.run("sh", &["-c", copy.expect("a command").0]).expect_code(0);
        assert_eq!(sandbox.read(file), text);
        sandbox.ripcord(&["upgrade"]).expect_code(0);
    }

    fn an_edited_file_of_which_no_backup_is_left_is_refused_all_the_same(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let file = "migrations/versions/5f2c81d0a3be_add_process_rank_to_training_metric.sql";
        sandbox.write(file, format!("{}-- ended\n", sandbox.read(file)));
        std::fs::rename(sandbox.backup(), sandbox.path("elsewhere")).expect("moved");
        refuses(&sandbox, db, &["downgrade"], 3, "no backup has it as it was").stderr_has("version control");
    }

    fn a_downgrade_that_failed_is_mended_in_its_file_and_then_runs(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let revision = Revision::new(NEXT).revises(ADD_PROCESS_RANK).upgrade("CREATE TABLE more (id INTEGER PRIMARY KEY, v TEXT);");
        sandbox.add(&revision.clone().downgrade("CREATE UNIQUE INDEX once ON more (v);\nDROP TABLE more;"));
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        let upgrade = name_of(&sandbox.backups()[1]);
        db.execute("INSERT INTO more VALUES (1, 'a'), (2, 'a');");
        at(&sandbox, 2);
        let run = refuses(&sandbox, db, &["downgrade"], 4, "in the rehearsal, on a copy");
        run.stderr_has("next: mend the revision file and run the same command again");
        run.stderr_has("without what was written since").stderr_has(&format!(": ripcord restore {upgrade}\n"));

        sandbox.add(&revision.downgrade("DROP TABLE more;"));
        at(&sandbox, 3);
        accepting(&sandbox, &["downgrade"]).expect_code(0);
        assert_eq!(db.version(), ADD_PROCESS_RANK);
        assert!(!db.schema().contains("more"));
    }

    fn a_statement_that_no_transaction_can_hold_says_how_it_is_run(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "VACUUM;", "SELECT 1;");
        let run = refuses(&sandbox, db, &["upgrade"], 4, "transaction");
        run.stderr_has("next: put that statement into a revision of its own").stderr_lacks("mend the revision file");
        let alone = Revision::new(NEXT).revises(ADD_PROCESS_RANK).directive("transaction", "none");
        sandbox.add(&alone.upgrade("VACUUM;").downgrade("SELECT 1;"));
        sandbox.ripcord(&["upgrade"]).expect_code(0);
    }

    fn a_way_back_that_was_missing_can_be_written_afterwards(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let revision = Revision::new(NEXT).revises(ADD_PROCESS_RANK).upgrade("CREATE TABLE more (id INTEGER);");
        sandbox.add(&revision);
        sandbox.ripcord(&["upgrade", "--accept", &format!("irreversible:{NEXT}")]).expect_code(0);
        at(&sandbox, 2);
        refuses(&sandbox, db, &["downgrade"], 3, "has no downgrade").stderr_has("next: write the missing section");
        sandbox.add(&revision.downgrade("DROP TABLE more;"));
        sandbox.ripcord(&["downgrade"]).expect_code(0);
        assert_eq!(db.version(), ADD_PROCESS_RANK);
    }

    fn a_project_whose_graph_is_broken_is_refused_by_name(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let broken = |name: &str, revision: Revision, fact: &str| {
            let place = sandbox.write(format!("migrations/versions/{name}.sql"), revision.upgrade("").downgrade("").text());
            refuses(&sandbox, db, &["upgrade"], 2, fact);
            sandbox.ripcord(&["heads"]).expect_code(2);
            std::fs::remove_file(place).unwrap();
        };
        broken("missing", Revision::new(NEXT).revises("eeee00000009"), "Revision eeee00000009 referenced from dddd00000001");
        broken("again", Revision::new(ADD_PROCESS_RANK).revises(CREATE_TABLES), "is present more than once");
        broken("loop", Revision::new(NEXT).revises(NEXT), "Self-loop is detected");
        sandbox.revision("dddd00000002", &[NEXT], "", "");
        broken("cycle", Revision::new(NEXT).revises("dddd00000002"), "Cycle is detected in revisions");
    }

    fn a_misspelt_directive_names_the_nearest_known_one(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.write("migrations/versions/x.sql", "-- X\n--\n-- ripcord:revision dddd00000001\n-- ripcord:revise 5f2c81d0a3be\n\n-- ripcord:upgrade\n");
        let run = refuses(&sandbox, db, &["upgrade"], 2, "revise");
        run.stderr_has("revises").stderr_has("x.sql");
    }

    fn a_project_without_migrations_says_how_to_make_some(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        for arguments in [["upgrade"], ["heads"], ["history"]] {
            let run = refuses(&sandbox, db, &arguments, 2, "has no versions folder");
            run.stderr_has("ripcord init");
        }
        assert_eq!(sandbox.files("."), [""; 0]);
        sandbox.ripcord(&["init"]).expect_code(0);
        sandbox.ripcord(&["heads"]).expect_code(0);
    }

    fn revisions_of_alembic_are_left_to_alembic_by_name(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let python = "\"\"\"add rank\"\"\"\nrevision = \"ae1027a6acf0\"\ndown_revision = None\n";
        sandbox.write("migrations/versions/ae1027a6acf0_add_rank.py", python);
        let says = |run: Run, fact: &str| {
            run.stderr_has(fact).stderr_has("which Alembic runs, and ripcord does not").stderr_lacks("--purge");
            run.stderr_has("next: ripcord backup create\n").stderr_has("next: alembic upgrade head");
        };
        // One among ripcord's own, by its name and where the database is at it.
        let run = refuses(&sandbox, db, &["upgrade", "ae1027a6acf0"], 2, "revision ae1027a6acf0 is ");
        says(run, "ae1027a6acf0_add_rank.py");
        db.execute("UPDATE alembic_version SET version_num = 'ae1027a6acf0';");
        says(refuses(&sandbox, db, &["upgrade"], 2, "revision ae1027a6acf0 is "), "ae1027a6acf0_add_rank.py");
        // A project of Alembic's.
        for file in sandbox.files("migrations/versions").iter().filter(|file| file.ends_with(".sql")) {
            std::fs::remove_file(sandbox.path("migrations/versions").join(file)).unwrap();
        }
        sandbox.write("migrations/versions/__init__.py", "");
        for arguments in [["upgrade"], ["downgrade"], ["heads"]] {
            says(refuses(&sandbox, db, &arguments, 2, "migrations/versions"), "holds 1 revision of Alembic's (.py)");
        }
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
    }

    fn a_key_of_the_configuration_that_nobody_knows_names_the_nearest(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        for (text, fact) in [
            ("[database]\nlock_timout = \"3s\"\n", "unknown key database.lock_timout, did you mean database.lock_timeout?"),
            ("[database]\nlock_timeout = 3\n", "database.lock_timeout must be a time"),
            ("[backup]\nencrypt_to = \"age1\"\n", "backup.encrypt_to is planned"),
            ("[database\n", "ripcord.toml"),
        ] {
            sandbox.write("ripcord.toml", text);
            refuses(&sandbox, db, &["upgrade"], 2, fact);
        }
        std::fs::remove_file(sandbox.path("ripcord.toml")).unwrap();
        let run = refuses(&sandbox, db, &["--config", "elsewhere.toml", "upgrade"], 2, "elsewhere.toml");
        run.stderr_has("next: check the name elsewhere.toml").stderr_lacks("ripcord log");
    }
}
