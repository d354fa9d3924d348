//! What a downgrade undoes is shown before, whole.

use super::*;
use crate::promise::{refuses, says_three_parts};

/// The revisions that a plan lists, in its order.
fn planned(run: &Run) -> Vec<String> {
    let lines = run.stdout.lines().skip_while(|line| !line.starts_with("plan "));
    let revisions = lines.skip(1).take_while(|line| line.starts_with("  "));
    let ids = revisions.filter(|line| !line.starts_with("   ")).map(|line| line.trim()[..4].to_owned());
    ids.collect()
}

both_engines! {
    fn the_plan_lists_siblings_and_dependents_before_anything_runs(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        sandbox.ripcord(&["upgrade", "heads", "--proof", "none"]).expect_code(0);
        let before = db.dump();
        let dry = sandbox.ripcord(&["downgrade", ACCOUNT, "--dry-run"]);
        dry.expect_code(0).stdout_has("downgrade 27c6a30d7c24, 2a95102259be -> 1975ea83b712, 29f859a13ea0");
        assert_eq!(db.dump(), before);
        // The sibling branch, and in the other tree what depends on an undone revision.
        let mut undone = planned(&dry);
        undone.sort();
        assert_eq!(undone, ["27c6", "2a95", "55af", "ae10"]);

        let run = sandbox.ripcord(&["downgrade", ACCOUNT, "--proof", "none"]);
        run.expect_code(0);
        assert_eq!(planned(&run), planned(&dry));
        let at = |text: &str| run.stdout.find(text).unwrap_or_else(|| panic!("no {text}\n{run}"));
        assert!(at("plan ") < at("operation "), "{run}");
        assert_eq!(db.version(), "1975ea83b712 29f859a13ea0");
        assert_eq!(db.tables(), "account\nalembic_version\nip\nripcord_revision");
    }

    fn one_step_down_from_several_rows_names_the_forms_that_say_which(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        set_rows(db, &[CART, IP_ACCOUNT]);
        let run = refuses(&sandbox, db, &["downgrade", "-1"], 2, "Ambiguous downgrade from multiple current revisions");
        run.stderr_has("shoppingcart@-1").stderr_has("networking@-1");
        let run = sandbox.ripcord(&["downgrade", "shoppingcart@-1", "--dry-run"]);
        assert_eq!(planned(&run.expect_code(0).clone()), ["27c6"]);
    }

    fn each_direction_counts_its_own_way(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        set_rows(db, &[ACCOUNT_A]);
        refuses(&sandbox, db, &["upgrade", "-1"], 2, "Relative revision -1 didn't produce 1 migrations");
        refuses(&sandbox, db, &["downgrade", "+1"], 2, "Relative revision +1 didn't produce 1 migrations");
        refuses(&sandbox, db, &["stamp", "-1"], 2, "an offset is not accepted here");
        sandbox.ripcord(&["downgrade", "--drop-all"]).expect_code(2).stderr_has("unexpected argument '--drop-all'");
    }

    fn a_range_is_for_scripts_only(db: &TestDatabase) {
        let sandbox = Sandbox::with(db);
        shop(&sandbox);
        set_rows(db, &[CART]);
        for arguments in [["upgrade", "1975:27c6"], ["downgrade", "27c6:1975"]] {
            let run = refuses(&sandbox, db, &arguments, 2, "Range revision not allowed");
            says_three_parts(&run, "Range");
        }
    }
}
