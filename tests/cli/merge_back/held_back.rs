//! Salvage that is not merged, because an older way back may have touched what it is of, beside salvage that is.

use super::legs::{DROPS, FILLED, MADE, RENAMES, THIRD};
use super::*;

const FOURTH: &str = "aaa900000004";
const OTHER: &str = "CREATE TABLE u (id INTEGER PRIMARY KEY, v VARCHAR(20));";
const OTHERS: &str = "INSERT INTO u VALUES (1, 'a'), (2, 'b');";

/// Branches that no step can part: of the first backup nothing is merged with a downgrade to the first revision, the second
/// is of a table that no older way back touches.
fn branches(db: &TestDatabase) -> (Sandbox, String, String) {
    let (made, filled) = (format!("{MADE}\n{OTHER}"), format!("{FILLED} {OTHERS}"));
    let sandbox = project(db, &made, &filled, DROPS.0, DROPS.1);
    sandbox.revision(THIRD, &[FIRST], RENAMES.0, RENAMES.1);
    accepting(&sandbox, &["upgrade", THIRD]).expect_code(0);
    accepting(&sandbox, &["upgrade", SECOND]).expect_code(0);
    let held = super::by_hand::upgrade_backup(&sandbox);
    let (up, down) = ("ALTER TABLE u DROP COLUMN v;", "ALTER TABLE u ADD COLUMN v VARCHAR(20);");
    sandbox.revision(FOURTH, &[SECOND], up, down);
    accepting(&sandbox, &["upgrade", FOURTH]).expect_code(0);
    let merged = super::by_hand::upgrade_backup(&sandbox);
    assert_ne!(held, merged);
    (sandbox, held, merged)
}

both_engines! {
    fn salvage_that_was_held_back_is_told_and_not_said_to_be_merged_also_after_a_crash(db: &TestDatabase) {
        for dies in [false, true] {
            let (sandbox, held, merged) = branches(db);
            let mut command = vec!["downgrade", FIRST, "--format", "json"];
            if dies {
                sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", "after the commit of a merge");
                let died = accepting(&sandbox, &command);
                sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
                assert!(died.stderr.contains("ripcord died at checkpoint"), "{died}");
                command = vec!["recover", "--format", "json"];
            }
            let run = accepting(&sandbox, &command);
            run.expect_code(0);
            let result = report(&run)["result"].clone();
            assert_eq!(result["merge"]["from"], json!([merged]), "{dies}: {result:#}");
            assert_eq!(db.query("SELECT v FROM u ORDER BY id;"), "a\nb");
            let notes = result["notes"].to_string();
            assert!(notes.contains(&format!("in backup {held} was not merged: {THIRD} is older")), "{dies}: {notes}");
            assert!(notes.contains(&format!("ripcord backup merge-back {held}")), "{dies}: {notes}");
            assert_eq!(result["held_back"], json!([{ "backup": held, "what": "values", "table": named(db, "t"), "columns": ["y"],
                "rows": 2, "undone": [THIRD] }]), "{dies}: {result:#}");
            // Nobody has merged it since.
            at(&sandbox, 5);
            accepting(&sandbox, &["upgrade", "heads"]).expect_code(0);
            let run = accepting(&sandbox, &["downgrade", FIRST]);
            run.expect_code(0).stdout_has(&format!("backup {held} holds salvage of an earlier upgrade to the same revisions, which was never merged back"));
            run.stdout_lacks(&format!("backup {merged} holds salvage of an earlier upgrade"));
            forget(db);
        }
    }

    fn salvage_of_an_upgrade_that_another_program_took_back_is_told_as_never_merged(db: &TestDatabase) {
        let made = "CREATE TABLE person (id INTEGER PRIMARY KEY, name VARCHAR(20), phone TEXT);";
        let (up, down) = ("ALTER TABLE person DROP COLUMN phone;", "ALTER TABLE person ADD COLUMN phone TEXT;");
        let filled = "INSERT INTO person VALUES (1, 'ann', '111'), (2, 'bob', '222');";
        let sandbox = project(db, made, filled, up, down);
        upgrade(&sandbox);
        let first = by_hand::upgrade_backup(&sandbox);
        // The script of `downgrade --sql`, run by somebody else.
        let script = sandbox.ripcord(&["downgrade", &format!("{SECOND}:{FIRST}"), "--sql"]);
        script.expect_code(0);
        db.execute(&script.stdout);
        db.execute("INSERT INTO person VALUES (3, 'cid', '333');");
        at(&sandbox, 5);
        upgrade(&sandbox);
        let run = accepting(&sandbox, &["downgrade"]);
        run.expect_code(0).stdout_has("1 put back");
        let told = "holds salvage of an earlier upgrade to the same revisions, which was never merged back";
        run.stdout_has(&format!("backup {first} {told}"));
        sandbox.ripcord(&["backup", "merge-back", &first]).expect_code(0).stdout_has("2 put back");
        assert_eq!(db.query("SELECT phone FROM person ORDER BY id;"), "111\n222\n333");
        // Once it is merged nobody is told any more.
        at(&sandbox, 9);
        upgrade(&sandbox);
        accepting(&sandbox, &["downgrade"]).expect_code(0).stdout_lacks(&format!("backup {first} {told}"));
    }
}
