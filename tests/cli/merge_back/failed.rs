//! An upgrade that did not pass and stands all the same: what it took away comes back with its downgrade.

use super::*;

both_engines! {
    fn an_upgrade_that_failed_its_verification_and_stands_is_merged_back_in_full(db: &TestDatabase) {
        // Only where it is live it goes further than on the copy.
        let live = match db.backend() {
            Backend::Sqlite => format!("(SELECT file FROM pragma_database_list WHERE name = 'main') = '{}'", db.file().display()),
            Backend::Postgres => "current_database() = 'app'".to_owned(),
        };
        let made = "CREATE TABLE a (id INTEGER PRIMARY KEY, n INTEGER, d VARCHAR(9));";
        let up = format!("DELETE FROM a WHERE id = 1; DELETE FROM a WHERE id = 2 AND {live}; UPDATE a SET d = NULL WHERE {live};");
        let sandbox = project(db, made, "INSERT INTO a VALUES (1, 1, 'x'), (2, 2, 'y'), (3, 3, 'z');", &up, "SELECT 1;");
        let before = db.query("SELECT * FROM a ORDER BY id;");
        let run = accepting(&sandbox, &["upgrade", "--on-failure", "stop"]);
        run.expect_code(5).stderr_has("state: ");
        assert_eq!(db.query("SELECT * FROM a;"), "3|3|");
        at(&sandbox, 3);
        let run = accepting(&sandbox, &["downgrade"]);
        run.expect_code(0).stdout_has("merge back");
        assert_eq!(db.query("SELECT * FROM a ORDER BY id;"), before);
        sandbox.ripcord(&["backup", "verify"]).expect_code(0);
        leaves_nothing_behind(&sandbox, db);
    }
}
