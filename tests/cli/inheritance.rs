//! On PostgreSQL: tables that inherit columns, of which no dump keeps everything.

use crate::promise::*;
use crate::support::*;

const NEXT: &str = "abcd00000001";
const ADD: &str = "ALTER TABLE par ADD COLUMN x TEXT; UPDATE chi SET x = 'x' || y;";

/// A child, whose child it is, one of two parents, one that was made a child later.
const MADE: &str = "CREATE TABLE par (id INTEGER PRIMARY KEY); CREATE TABLE other (o TEXT);
CREATE TABLE chi (y INTEGER) INHERITS (par); CREATE TABLE grand (g INTEGER) INHERITS (chi);
CREATE TABLE both_of () INHERITS (par, other);
CREATE TABLE late (own INTEGER, id INTEGER NOT NULL); ALTER TABLE late INHERIT par;
INSERT INTO chi VALUES (1, 2), (3, 4); INSERT INTO grand VALUES (5, 6, 7); INSERT INTO late VALUES (8, 9);";

fn rows(db: &TestDatabase) -> String {
    db.query("SELECT id, y, x FROM chi ORDER BY id;")
}

#[test]
fn a_child_whose_parent_got_a_column_is_backed_up_and_goes_back_and_forth() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    db.execute(MADE);
    sandbox.revision(NEXT, &[ADD_PROCESS_RANK], ADD, "ALTER TABLE par DROP COLUMN x;");
    sandbox.ripcord(&["upgrade"]).expect_code(0);
    let upgraded = rows(&db);
    at(&sandbox, 1);
    let back = sandbox.ripcord(&["downgrade", ADD_PROCESS_RANK]);
    back.expect_code(0)
        .stderr_has("not compared: ")
        .stderr_has("the order of columns of public.chi (a restore puts");
    at(&sandbox, 2);
    let run = sandbox.ripcord(&["upgrade"]);
    run.expect_code(0);
    assert_eq!(rows(&db), upgraded, "{run}");
    at(&sandbox, 3);
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    sandbox.ripcord(&["verify"]).expect_code(0);
    db.execute("DELETE FROM chi;");
    at(&sandbox, 4);
    let restored = sandbox.ripcord(&["restore", "latest"]);
    restored.expect_code(0);
    assert_eq!(rows(&db), upgraded, "{restored}");
    // What was restored has the other order, and is the end of that restore all the same.
    at(&sandbox, 5);
    sandbox.ripcord(&["verify"]).expect_code(0);
    sandbox.ripcord(&["downgrade", ADD_PROCESS_RANK]).expect_code(0);
}

#[test]
fn a_compression_that_a_child_inherits_hinders_no_backup() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    db.execute("CREATE TABLE pa (d TEXT); CREATE TABLE kid () INHERITS (pa); ALTER TABLE pa ALTER d SET COMPRESSION pglz;");
    let made = sandbox.ripcord(&["backup", "create"]);
    made.expect_code(0).stderr_has("not compared: the compression of column public.kid.d (");
    at(&sandbox, 1);
    sandbox.ripcord(&["restore", "latest"]).expect_code(0);
    at(&sandbox, 2);
    sandbox.ripcord(&["downgrade"]).expect_code(0);
}

#[test]
fn a_restore_in_place_of_a_child_is_compared_with_the_same_allowance() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    db.execute(&format!("{MADE} {ADD}"));
    let before = rows(&db);
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    db.execute("DELETE FROM chi;");
    at(&sandbox, 1);
    db.server().psql("postgres", "ALTER ROLE app NOCREATEDB;");
    sandbox.write("ripcord.toml", "[proof]\nlevel = \"none\"\n");
    let run = sandbox.ripcord(&["restore", "latest"]);
    run.expect_code(0).stdout_has("restored in place");
    assert_eq!(rows(&db), before, "{run}");
    sandbox.ripcord(&["verify"]).expect_code(0);
}
