//! A database that was moved or renamed finds its backups again, or says which ones it did not take.

use super::by_hand::upgrade_backup;
use super::*;
use std::path::Path;

fn sqlite3(place: &Path, sql: &str) -> String {
    let out = std::process::Command::new("sqlite3").arg(place).arg(sql).output().expect("sqlite3 runs");
    String::from_utf8(out.stdout).expect("text").trim_end().to_owned()
}

/// The value of the flag that a note or an error prints.
#[track_caller]
fn name_in(text: &str) -> String {
    let (_, rest) = text.split_once("--of-database '").unwrap_or_else(|| panic!("no flag in {text}"));
    rest.split('\'').next().expect("it ends").to_owned()
}

/// Upgraded, with its only column lost.
fn upgraded(db: &TestDatabase) -> Sandbox {
    let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
    upgrade(&sandbox);
    at(&sandbox, 1);
    sandbox
}

#[test]
fn a_sqlite_file_that_was_moved_is_known_by_its_operation() {
    let db = &TestDatabase::sqlite();
    let sandbox = upgraded(db);
    let place = sandbox.path("moved.db");
    std::fs::rename(db.file(), &place).expect("moved");
    sandbox.env("DATABASE_URL", format!("sqlite:///{}", place.display()));
    accepting(&sandbox, &["downgrade"]).expect_code(0).stdout_has("person.phone: 4 put back");
    assert_eq!(sqlite3(&place, "SELECT count(phone) FROM person;"), "4");
    at(&sandbox, 2);
    upgrade(&sandbox);
    let backup = upgrade_backup(&sandbox);
    let again = sandbox.path("again.db");
    std::fs::rename(&place, &again).expect("moved");
    sandbox.env("DATABASE_URL", format!("sqlite:///{}", again.display()));
    at(&sandbox, 3);
    sandbox.ripcord(&["restore", &backup, "--yes"]).expect_code(0);
    assert_eq!(sqlite3(&again, "SELECT count(phone) FROM person;"), "4");
}

#[test]
fn a_copy_beside_its_original_is_taken_for_it_only_by_its_name() {
    let db = &TestDatabase::sqlite();
    let sandbox = upgraded(db);
    let place = sandbox.path("copy.db");
    std::fs::copy(db.file(), &place).expect("copied");
    sandbox.env("DATABASE_URL", format!("sqlite:///{}", place.display()));
    let backup = upgrade_backup(&sandbox);
    let run = sandbox.ripcord(&["restore", &backup, "--yes"]);
    run.expect_code(3).stderr_has("nothing was changed");
    let name = name_in(&run.stderr);
    sandbox.ripcord(&["restore", &backup, "--yes", "--of-database", "SQLite another.db"]).expect_code(3);
    let run = accepting(&sandbox, &["downgrade"]);
    run.expect_code(0).stdout_has("was not merged").stdout_has("nothing was merged into column person.phone");
    assert_eq!(name_in(&run.stdout), name);
    assert_eq!(sqlite3(&place, "SELECT count(phone) FROM person;"), "0");
    at(&sandbox, 2);
    let merge = ["backup", "merge-back", &backup, "--of-database", &name];
    sandbox.ripcord(&merge).expect_code(0).stdout_has("person.phone: 4 put back");
    assert_eq!(sqlite3(&place, "SELECT count(phone) FROM person;"), "4");
    at(&sandbox, 3);
    sandbox.ripcord(&["restore", &backup, "--yes", "--of-database", &name]).expect_code(0);
}

#[test]
fn a_renamed_postgresql_database_is_told_how_to_name_its_backup() {
    let db = &TestDatabase::postgres();
    let sandbox = upgraded(db);
    let (server, old) = (db.server(), db.query("SELECT current_database();"));
    server.psql("postgres", &format!("ALTER DATABASE \"{old}\" RENAME TO renamed;"));
    sandbox.env("DATABASE_URL", server.url("renamed"));
    let run = accepting(&sandbox, &["downgrade"]);
    run.expect_code(0).stdout_has("was not merged");
    at(&sandbox, 2);
    let merge = ["backup", "merge-back", &upgrade_backup(&sandbox), "--of-database", &name_in(&run.stdout)];
    sandbox.ripcord(&merge[..3]).expect_code(3);
    sandbox.ripcord(&merge).expect_code(0).stdout_has("person.phone: 4 put back");
    assert_eq!(server.psql("renamed", "SELECT count(phone) FROM person;").trim(), "4");
}

both_engines! {
    fn a_downgrade_that_finds_no_backup_of_the_upgrade_says_where_it_looked(db: &TestDatabase) {
        let sandbox = upgraded(db);
        std::fs::rename(sandbox.path("backups"), sandbox.path("old")).expect("moved away");
        let run = accepting(&sandbox, &["downgrade"]);
        run.expect_code(0).stdout_has("nothing was merged into column ").stdout_has(SECOND);
        run.stdout_has("backups holds no backup of ").stdout_has("ripcord backup merge-back BACKUP");
        at(&sandbox, 2);
        // An upgrade that was found says nothing, and neither does a way back that makes nothing.
        upgrade(&sandbox);
        at(&sandbox, 3);
        accepting(&sandbox, &["downgrade"]).expect_code(0).stdout_lacks("nothing was merged");
    }
}
