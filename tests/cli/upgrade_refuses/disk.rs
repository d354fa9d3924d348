//! Disks that are full, folders and files that may not be written to.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::promise::*;
use crate::support::*;

const NEXT: &str = "dddd00000001";

fn next(sandbox: &Sandbox, upgrade: &str) {
    sandbox.revision(NEXT, &[ADD_PROCESS_RANK], upgrade, "SELECT 1;");
}

/// Some megabytes.
const LARGE: &str =
    "CREATE TABLE large AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
SELECT i, hex(zeroblob(1000)) AS text FROM n;";

#[test]
fn a_database_that_has_no_room_left_is_no_mistake_of_the_revision() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    next(&sandbox, &format!("PRAGMA max_page_count = 20;\n{LARGE}"));
    let run = refuses(&sandbox, &db, &["upgrade"], 4, "in the rehearsal, on a copy: running a migration: ");
    run.stderr_has("takes no more: database or disk is full, ").stderr_has(" bytes are free");
    run.stderr_has("next: free space there").stderr_lacks("mend the revision");
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_with_a_report() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    next(&sandbox, LARGE);
    let before = db.dump();
    let command = format!("ulimit -f 2000; exec '{}' upgrade", ripcord_binary().display());
    let run = sandbox.run("sh", &["-c", &command]);
    run.expect_code(4);
    says_three_parts(&run, "takes no more: ");
    run.stderr_has("next: free space there").stderr_has("ulimit -f");
    assert_same(&before, &db.dump(), &run);
    leaves_nothing_behind(&sandbox, &db);
}

#[test]
fn the_folder_of_a_database_that_is_not_there_is_named_with_the_command_that_makes_it() {
    let db = TestDatabase::sqlite();
    let sandbox = sample_of(&db);
    let url = ["--database-url", "sqlite:///no/where.db", "upgrade"];
    let run = refuses(&sandbox, &db, &url, 2, "there is no folder no for the database no/where.db");
    let make = run.stderr.split("make the folder: ").nth(1).expect("a command").trim();
    sandbox.run("sh", &["-c", make]).expect_code(0);
    sandbox.ripcord(&url).expect_code(0);
}

/// Runs ripcord as a user for whom permissions count; a superuser is asked for none.
fn as_somebody(sandbox: &Sandbox, arguments: &[&str]) -> Run {
    if !rustix::process::geteuid().is_root() {
        return sandbox.ripcord(arguments);
    }
    let setpriv = find("setpriv").expect("util-linux has it").display().to_string();
    let binary = ripcord_binary().display().to_string();
    let who = ["--reuid=65534", "--regid=65534", "--clear-groups", &binary];
    sandbox.run(setpriv, &[&who[..], arguments].concat())
}

fn set_mode(place: &Path, mode: u32) {
    std::fs::set_permissions(place, PermissionsExt::from_mode(mode)).expect("ours");
}

#[test]
fn what_may_not_be_written_is_said_before_anything_is_begun_and_why() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    let (file, project) = (db.file(), sandbox.path(""));
    for folder in [project.parent().expect("the sandbox"), &project, file.parent().expect("a folder")] {
        set_mode(folder, 0o777);
    }
    let backups = sandbox.path("backups");
    sandbox.run("sh", &["-c", "chmod -R a+rwX backups"]).expect_code(0);
    set_mode(file, 0o444);
    let run = as_somebody(&sandbox, &["downgrade"]);
    run.expect_code(3).stdout_lacks("operation ");
    says_three_parts(&run, "the database cannot be written to: Permission denied");

    set_mode(file, 0o000);
    let run = as_somebody(&sandbox, &["downgrade"]);
    says_three_parts(run.expect_code(4), "could not be opened: Permission denied");
    run.stderr_has("next: let this user in there");

    set_mode(file, 0o666);
    set_mode(&backups.join(".operations"), 0o555);
    let run = as_somebody(&sandbox, &["downgrade"]);
    says_three_parts(run.expect_code(4), "could not be created: Permission denied");
    run.stderr_has("next: let this user in there");
    assert_eq!(sandbox.backups().len(), 1);
}
