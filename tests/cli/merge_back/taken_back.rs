//! Upgrades that a restore took back: what they salvaged is of another course of things.

use super::*;

both_engines! {
    fn after_a_restore_the_salvage_counts_of_the_upgrade_that_it_led_back_to(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        upgrade(&sandbox);
        at(&sandbox, 1);
        let run = sandbox.ripcord(&["backup", "create", "--format", "json"]);
        let nightly = report(&run)["result"]["backup"]["id"].as_str().expect("a backup").to_owned();
        at(&sandbox, 2);
        downgrade(&sandbox);
        db.execute("DELETE FROM person WHERE id = 5; UPDATE person SET phone = '2222' WHERE id = 2;");
        at(&sandbox, 3);
        upgrade(&sandbox);
        at(&sandbox, 4);
        sandbox.ripcord(&["restore", &nightly, "--yes"]).expect_code(0);
        at(&sandbox, 5);
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("phone")), [4, 0, 0, 0], "{result:#}");
        assert_eq!(db.query("SELECT id, phone FROM person ORDER BY id;"), "1|11\n2|22\n3|33\n4|\n5|55");
    }

    fn a_restore_that_was_undone_takes_nothing_back(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        at(&sandbox, 1);
        let run = sandbox.ripcord(&["backup", "create", "--format", "json"]);
        let nightly = report(&run)["result"]["backup"]["id"].as_str().expect("a backup").to_owned();
        at(&sandbox, 2);
        upgrade(&sandbox);
        at(&sandbox, 3);
        let restored = sandbox.ripcord(&["restore", &nightly, "--yes"]);
        at(&sandbox, 4);
        follow(&sandbox, &[undo_of(&restored), vec!["--yes".to_owned()]].concat()).expect_code(0);
        at(&sandbox, 5);
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("phone")), [4, 0, 0, 0], "{result:#}");
    }
}
