//! The salvage of an upgrade that was not rehearsed: its way back is tried before it runs, so that nothing is put back that it
//! brings back itself.

use super::*;

const MADE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(20), n INTEGER);
CREATE TABLE p (id INTEGER PRIMARY KEY, name VARCHAR(20), x VARCHAR(20));";
const FILLED: &str = "INSERT INTO t VALUES (1, 'one', 1), (7, 'seven', 7), (8, 'eight', 8);
INSERT INTO p VALUES (1, 'ann', 'secret 1'), (2, 'bob', 'secret 2');";
const UP: &str = "CREATE TABLE arc (id INTEGER PRIMARY KEY, name VARCHAR(20), n INTEGER);
INSERT INTO arc SELECT * FROM t WHERE n > 6; DELETE FROM t WHERE n > 6;
CREATE TABLE px (id INTEGER PRIMARY KEY, x VARCHAR(20)); INSERT INTO px SELECT id, x FROM p; ALTER TABLE p DROP COLUMN x;";
const DOWN: &str = "INSERT INTO t SELECT * FROM arc; DROP TABLE arc; ALTER TABLE p ADD COLUMN x VARCHAR(20);
UPDATE p SET x = (SELECT x FROM px WHERE px.id = p.id); DROP TABLE px;";
const BOTH: &str = "SELECT id, name FROM t ORDER BY id; SELECT id, coalesce(x, '-') FROM p ORDER BY id;";

fn upgraded(db: &TestDatabase, how: &[&str]) -> Sandbox {
    let sandbox = project(db, MADE, FILLED, UP, DOWN);
    unrehearsed(&sandbox, how);
    sandbox
}

fn unrehearsed(sandbox: &Sandbox, how: &[&str]) {
    let hazards = ["--accept", "opaque", "--accept", "drops-column:p.x", "--accept", "deletes-rows:t"];
    sandbox.ripcord(&[&["upgrade"], how, &hazards].concat()).expect_code(0);
}

both_engines! {
    fn what_users_deleted_or_cleared_after_an_upgrade_without_a_rehearsal_does_not_come_back(db: &TestDatabase) {
        for how in [&["--no-rehearsal"][..], &["--proof", "schema"], &["--proof", "none"]] {
            let sandbox = upgraded(db, how);
            db.execute("DELETE FROM arc WHERE id = 8; UPDATE px SET x = NULL WHERE id = 2;");
            let run = accepting(&sandbox, &["downgrade"]);
            run.expect_code(0).stdout_has("renew      ok  nothing is lost after all");
            assert_eq!(db.query(BOTH), "1|one\n7|seven\n1|secret 1\n2|-", "{how:?}");
            sandbox.ripcord(&["verify"]).expect_code(0);
            db.execute("DROP TABLE t; DROP TABLE p;");
            for table in db.query(match db.backend() {
                Backend::Sqlite => "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%';",
                Backend::Postgres => "SELECT tablename FROM pg_tables WHERE schemaname = 'public';",
            }).lines() {
                db.execute(&format!("DROP TABLE \"{table}\";"));
            }
        }
    }

    fn what_the_way_back_does_not_bring_back_comes_back_all_the_same(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        let before = db.query("SELECT id, phone FROM person ORDER BY id;");
        unrehearsed(&sandbox, &["--no-rehearsal"]);
        accepting(&sandbox, &["downgrade"]).expect_code(0).stdout_has("person.phone: 4 put back");
        assert_eq!(db.query("SELECT id, phone FROM person ORDER BY id;"), before);
    }

    fn without_a_rehearsal_of_the_downgrade_either_the_report_says_what_it_cannot_tell(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        unrehearsed(&sandbox, &["--no-rehearsal"]);
        let run = sandbox.ripcord(&["downgrade", "--no-rehearsal", "--accept", "opaque"]);
        run.expect_code(0).stdout_has("person.phone: 4 put back");
        run.stdout_has("no way back was tried when backup ").stdout_has("nothing was to be rehearsed");
    }
}

both_engines! {
    fn by_hand_too_what_the_way_back_brings_back_by_itself_is_not_put_back_again(db: &TestDatabase) {
        let sandbox = upgraded(db, &["--no-rehearsal"]);
        let backup = by_hand::upgrade_backup(&sandbox);
        at(&sandbox, 1);
        accepting(&sandbox, &["downgrade", "--no-merge"]).expect_code(0);
        db.execute("DELETE FROM t WHERE id = 8; UPDATE p SET x = NULL WHERE id = 2;");
        let looked = sandbox.ripcord(&["backup", "merge-back", &backup, "--dry-run"]);
        looked.expect_code(0).stdout_has("no way back was tried when backup ").stdout_has("a dry run writes nothing");
        at(&sandbox, 2);
        let run = sandbox.ripcord(&["backup", "merge-back", &backup]);
        run.expect_code(0).stdout_has("leaves nothing missing: there is nothing to put back");
        assert_eq!(db.query(BOTH), "1|one\n7|seven\n1|secret 1\n2|-", "{run}");
    }
}
