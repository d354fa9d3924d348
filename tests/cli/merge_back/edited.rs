//! A way back that is another one than when its upgrade ran: what comes back is decided by the one that runs.

use super::*;

/// Does nothing useful, and then fails.
const BROKEN: &str = "ALTER TABLE person ADD COLUMN phone VARCHAR(20);\nSELECT gone FROM nowhere;";
/// Leaves in each row what is neither NULL nor a default.
const EMPTY: &str = "ALTER TABLE person ADD COLUMN phone VARCHAR(20);\nUPDATE person SET phone = '-';";
const ALL: &str = "SELECT id, name, phone FROM person ORDER BY id;";

/// Writes another way back into the second revision.
fn edit(sandbox: &Sandbox, down: &str) {
    sandbox.revision(SECOND, &[FIRST], NO_PHONE, down);
}

/// Tells whether a run tried its way back on the backup of the upgrade.
fn renewed(run: &Run) -> bool {
    run.stdout.contains("renew") || run.stderr.contains("renew")
}

both_engines! {
    fn a_way_back_that_failed_and_was_mended_merges_without_a_conflict(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, BROKEN);
        let before = db.query(ALL);
        upgrade(&sandbox);
        db.execute("UPDATE person SET name = 'EVE' WHERE id = 3;");
        edit(&sandbox, EMPTY);
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("phone")), [5, 0, 0, 0], "{result:#}");
        assert_eq!(db.query(ALL), before.replace("eve", "EVE"));
        sandbox.ripcord(&["verify"]).expect_code(0);
        leaves_nothing_behind(&sandbox, db);
    }

    fn a_way_back_that_was_edited_is_what_tells_who_wrote(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, "UPDATE person SET phone = 'x' || phone;", "UPDATE person SET phone = '0';");
        let before = db.query(ALL);
        upgrade(&sandbox);
        // Nothing is done to the values any more: what stands there is what the upgrade made of them, or was written since.
        db.execute("UPDATE person SET phone = 'mine' WHERE id = 2;");
        sandbox.revision(SECOND, &[FIRST], "UPDATE person SET phone = 'x' || phone;", "SELECT 1;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("phone")), [3, 0, 0, 1], "{result:#}");
        assert_eq!(db.query(ALL), before.replace("22", "mine"));
    }

    /// The way back of then brought all values back, so nothing was salvaged.
    fn what_an_edited_way_back_leaves_out_comes_back_all_the_same(db: &TestDatabase) {
        let apart = "CREATE TABLE contact (id INTEGER PRIMARY KEY, phone VARCHAR(20));
INSERT INTO contact SELECT id, phone FROM person;\nALTER TABLE person DROP COLUMN phone;";
        let back = "ALTER TABLE person ADD COLUMN phone VARCHAR(20);";
        let whole = format!("{back}\nUPDATE person SET phone = (SELECT c.phone FROM contact c WHERE c.id = person.id);\nDROP TABLE contact;");
        let sandbox = project(db, PEOPLE, FIVE, apart, &whole);
        let before = db.query(ALL);
        upgrade(&sandbox);
        let backup = sandbox.backups().pop().expect("a backup");
        assert!(!backup.join("exports").exists(), "nothing is lost by the way back of then");
        sandbox.revision(SECOND, &[FIRST], apart, &format!("{back}\nDROP TABLE contact;"));
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("phone")), [4, 0, 0, 0], "{result:#}");
        assert_eq!(db.query(ALL), before);
        sandbox.ripcord(&["backup", "verify", &name_of(&backup)]).expect_code(0);
    }

    fn a_way_back_that_reads_otherwise_and_does_the_same_is_not_tried_again(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        let before = db.query(ALL);
        upgrade(&sandbox);
        edit(&sandbox, &format!("-- The values come with the merge.\n\n{PHONE}"));
        let run = accepting(&sandbox, &["downgrade"]);
        run.expect_code(0);
        assert!(!renewed(&run), "{run}");
        assert_eq!(db.query(ALL), before);
    }

    fn a_mended_way_back_that_fails_on_the_old_backup_is_said_and_leaves_the_salvage_of_then(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, BROKEN);
        upgrade(&sandbox);
        db.execute("CREATE TABLE helper (id INTEGER); INSERT INTO helper VALUES (1);");
        edit(&sandbox, &format!("INSERT INTO helper VALUES (2);\n{PHONE}"));
        let run = accepting(&sandbox, &["downgrade"]);
        run.expect_code(0).stdout_has("what it leaves could not be found out").stdout_has("person.phone: 4 put back");
        leaves_nothing_behind(&sandbox, db);
    }

    fn without_a_rehearsal_an_edited_way_back_is_named_and_not_tried(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, BROKEN);
        upgrade(&sandbox);
        edit(&sandbox, PHONE);
        let run = sandbox.ripcord(&["downgrade", "--no-rehearsal", "--accept", "opaque"]);
        run.expect_code(0).stdout_has("nothing was to be rehearsed").stdout_has("person.phone: 4 put back");
    }

    /// A downgrade that leaves salvage where it is can be followed by a merge by hand, and by an upgrade that was renewed before.
    fn a_merge_by_hand_takes_the_salvage_that_counts(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, BROKEN);
        let before = db.query(ALL);
        upgrade(&sandbox);
        let backup = name_of(&sandbox.backups().pop().expect("a backup"));
        edit(&sandbox, EMPTY);
        downgrade(&sandbox);
        db.execute("UPDATE person SET phone = '-' WHERE id = 5;");
        let run = sandbox.ripcord(&["backup", "merge-back", &backup]);
        run.expect_code(0).stdout_has("person.phone: 1 put back");
        assert_eq!(db.query(ALL), before);
    }

    fn a_way_back_of_which_the_backup_has_no_copy_any_more_is_tried_like_another(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        let before = db.query(ALL);
        upgrade(&sandbox);
        downgrade(&sandbox);
        at(&sandbox, 3);
        upgrade(&sandbox);
        // An earlier backup has the file as it was, so that it may be edited.
        let backup = sandbox.backups().pop().expect("a backup");
        std::fs::remove_dir_all(backup.join("migrations")).expect("removed");
        edit(&sandbox, EMPTY);
        let run = accepting(&sandbox, &["downgrade"]);
        run.expect_code(0).stdout_has("person.phone: 5 put back");
        assert!(renewed(&run), "{run}");
        assert_eq!(db.query(ALL), before);
    }
}
