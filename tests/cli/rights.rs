//! A user who is no superuser gets the same promises, or is told beforehand which right is missing.

mod in_place;
mod owners;
mod scratch;
mod sessions;

use crate::promise::*;
use crate::support::*;

/// A database with a filled sample that belongs to the user.
fn filled() -> (TestDatabase, Sandbox) {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    (db, sandbox)
}

/// As superuser.
fn admin(db: &TestDatabase, sql: &str) {
    db.server().psql("app", sql);
}

/// Saves the database; returns the backup's name and how the database looks.
fn saved(db: &TestDatabase, sandbox: &Sandbox) -> (String, String) {
    let run = sandbox.ripcord(&["backup", "create"]);
    run.expect_code(0);
    at(sandbox, 2);
    (name_of(&sandbox.backups().pop().unwrap()), db.dump())
}
