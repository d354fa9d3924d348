//! No database, or none that can be used.

use crate::promise::*;
use crate::support::*;

#[test]
fn a_sqlite_file_that_is_not_there_is_created_by_upgrade_alone() {
    let db = TestDatabase::sqlite();
    let sandbox = sample_of(&db);
    for arguments in
        [&["current"][..], &["downgrade"], &["downgrade", "base"], &["backup", "create"], &["verify"]]
    {
        let run = sandbox.ripcord(arguments);
        run.expect_code(2);
        says_three_parts(&run, "there is no database at");
        run.stderr_has("app.db").stderr_has("state: nothing was changed");
        assert!(!db.file().exists(), "{run}");
    }
    assert_eq!(sandbox.files("backups"), [""; 0]);
    sandbox.ripcord(&["upgrade"]).expect_code(0);
    assert!(db.file().exists());
}

#[test]
fn a_backup_goes_into_the_place_of_a_sqlite_file_that_was_lost() {
    // The one case in which "in place" finds nothing: the file is gone, and the backup is what there is.
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    let before = db.dump();
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    std::fs::remove_file(db.file()).unwrap();
    at(&sandbox, 2);
    let run = sandbox.ripcord(&["restore", "latest"]);
    run.expect_code(0);
    assert_same(&before, &db.dump(), &run);
}

#[test]
fn a_database_of_a_server_that_is_not_there_is_named_on_postgres() {
    let db = TestDatabase::postgres();
    let sandbox = sample_of(&db);
    sandbox.env("DATABASE_URL", db.server().url("nowhere"));
    for arguments in [&["upgrade"][..], &["current"], &["downgrade"], &["backup", "create"], &["verify"]] {
        let run = refuses(&sandbox, &db, arguments, 2, "there is no database");
        run.stderr_has("nowhere");
    }
    assert_eq!(db.server().databases(), ["app", "postgres"]);
}

#[test]
fn a_file_that_is_no_database_is_not_touched() {
    let db = TestDatabase::sqlite();
    let sandbox = sample_of(&db);
    for content in [
        "Dear diary, this is no database at all, but it is long enough to look like one.\n".repeat(100),
        "short".to_owned(),
    ] {
        std::fs::write(db.file(), &content).unwrap();
        for arguments in [&["upgrade"][..], &["current"], &["downgrade"], &["backup", "create"], &["verify"]]
        {
            let run = sandbox.ripcord(arguments);
            run.expect_code(2);
            says_three_parts(&run, "is not a SQLite database");
            run.stderr_has("state: nothing was changed");
            assert_eq!(std::fs::read_to_string(db.file()).unwrap(), content, "{run}");
        }
    }
}

#[test]
fn a_folder_is_no_database() {
    let sandbox = Sandbox::new();
    sandbox.sample();
    sandbox.env("DATABASE_URL", "sqlite:///migrations");
    let run = sandbox.ripcord(&["upgrade"]);
    run.expect_code(2);
    says_three_parts(&run, "migrations");
    let run = sandbox.ripcord(&["--database-url", "sqlite:///no/such/folder/app.db", "upgrade"]);
    assert!(run.code == 2 || run.code == 4, "{run}");
    says_three_parts(&run, "no/such/folder");
    assert!(!sandbox.path("no").exists());
}

/// Neither a lock nor a folder for backups: who mistyped an address finds nothing of ripcord's there.
#[test]
fn what_is_no_database_has_nothing_of_ours_beside_it_afterwards() {
    let sandbox = Sandbox::new();
    sandbox.sample();
    sandbox.write("README.md", "Dear diary, this is no database.\n");
    let before = sandbox.files(".");
    let commands = [
        &["downgrade"][..],
        &["downgrade", "base"],
        &["backup", "create"],
        &["backup", "export", "training_config"],
        &["backup", "merge-back", "latest"],
        &["restore", "latest"],
        &["restore", "latest", "--table", "training_config"],
        &["stamp", "head"],
        &["verify"],
        &["recover"],
        &["recover", "--undo"],
    ];
    for url in ["sqlite:///README.md", "sqlite:///migrations", "sqlite:///missing.db"] {
        // Where there is nothing, an upgrade makes the database.
        let makes: &[&[&str]] =
            if url == "sqlite:///missing.db" { &[] } else { &[&["upgrade"], &["rehearse"]] };
        for arguments in makes.iter().chain(&commands) {
            let run = sandbox.ripcord(&[*arguments, &["--database-url", url]].concat());
            assert!(run.code == 2 || arguments[0] == "recover", "{run}");
            assert_eq!(sandbox.files("."), before, "{run}");
        }
    }
}

#[test]
fn a_url_that_cannot_be_read_says_what_it_should_look_like() {
    let sandbox = Sandbox::new();
    sandbox.sample();
    for (url, fact) in [
        ("app.db", "it has no scheme"),
        ("", "it has no scheme"),
        ("mysql://app@localhost/app", "mysql databases are not supported"),
        ("sqlite://", "in-memory"),
        ("sqlite:///:memory:", "in-memory"),
        ("sqlite://host/app.db", "names a host"),
        ("postgresql://localhost/", "names no database"),
        ("postgresql://localhost:many/app", "many is not a port"),
        ("postgresql://a%ffb@localhost/app", "not UTF-8"),
        ("sqlite:///app.db?mode=ro", "mode=ro"),
        ("sqlite:///a?b.db", "the parameter b.db, which is not known"),
        ("postgresql://localhost/app?sslmod=require", "did you mean sslmode?"),
    ] {
        let run = sandbox.ripcord(&["--database-url", url, "upgrade"]);
        run.expect_code(2);
        says_three_parts(&run, fact);
        run.stderr_has("sqlite:///relative.db").stderr_has("state: nothing was changed");
    }
    assert_eq!(sandbox.files("backups"), [""; 0]);
    assert!(!sandbox.path("app.db").exists() && !sandbox.path("a").exists());
}

#[test]
fn a_path_with_odd_characters_is_percent_encoded() {
    let sandbox = Sandbox::new();
    sandbox.sample();
    let url = "sqlite:///a%20b%3F.db";
    sandbox.ripcord(&["--database-url", url, "upgrade"]).expect_code(0);
    assert!(sandbox.path("a b?.db").exists());
    sandbox.ripcord(&["--database-url", url, "current"]).expect_code(0).stdout_has(ADD_PROCESS_RANK);
}

#[test]
fn where_the_address_came_from_is_said_aloud() {
    let sandbox = Sandbox::new();
    sandbox.sample();
    let first_line = |run: Run| run.stdout.lines().next().unwrap_or_default().to_owned();
    let dry = &["upgrade", "--dry-run"];
    assert!(first_line(sandbox.ripcord(dry)).ends_with("project/database.db (the default)"));
    sandbox.write("ripcord.toml", "[database]\nurl = \"sqlite:///toml.db\"\n");
    assert!(first_line(sandbox.ripcord(dry)).ends_with("project/toml.db (ripcord.toml)"));
    sandbox.write(".env", "DATABASE_URL=sqlite:///env.db\n");
    assert!(first_line(sandbox.ripcord(dry)).ends_with("project/env.db (.env)"));
    sandbox.env("DATABASE_URL", "sqlite:///variable.db");
    assert!(first_line(sandbox.ripcord(dry)).ends_with("project/variable.db (DATABASE_URL)"));
    let run = sandbox.ripcord(&["--database-url", "sqlite:///flag.db", "upgrade", "--dry-run"]);
    assert!(first_line(run).ends_with("project/flag.db (--database-url)"));
}

both_engines! {
    fn a_version_that_no_file_has_is_named(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        db.execute("UPDATE alembic_version SET version_num = 'feedfacefeed';");
        for arguments in [&["upgrade"][..], &["downgrade"], &["downgrade", "base"]] {
            refuses(&sandbox, db, arguments, 2, "feedfacefeed");
        }
        sandbox.ripcord(&["current"]).expect_code(2).stderr_has("feedfacefeed");
        // A backup needs no history.
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
    }

    fn a_target_that_there_is_not_is_named_with_its_nearest(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        refuses(&sandbox, db, &["upgrade", "5f2c81d0a3bd"], 2, "Can't locate revision identified by '5f2c81d0a3bd'").stderr_has(ADD_PROCESS_RANK);
        refuses(&sandbox, db, &["upgrade", "+1"], 2, "+1");
        refuses(&sandbox, db, &["downgrade", "-7"], 2, "-7");
    }
}
