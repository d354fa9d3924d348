//! A plan that was shown is run as it was shown, or not at all.

use crate::promise::*;
use crate::support::*;

const NEXT: &str = "abcd00000001";

/// The filled sample with one more revision to come, whose plan is in `shown.json`.
fn with_a_plan(db: &TestDatabase) -> Sandbox {
    let sandbox = filled_sample_of(db);
    sandbox.revision(
        NEXT,
        &[ADD_PROCESS_RANK],
        "CREATE TABLE fresh (id INTEGER PRIMARY KEY);",
        "DROP TABLE fresh;",
    );
    show(&sandbox);
    sandbox
}

fn show(sandbox: &Sandbox) {
    let run = sandbox.ripcord(&["upgrade", "--dry-run", "--format", "json"]);
    run.expect_code(0);
    sandbox.write("shown.json", &run.stdout);
}

const AS_SHOWN: [&str; 3] = ["upgrade", "--plan", "shown.json"];

both_engines! {
    fn a_plan_that_was_shown_runs_as_it_was_shown(db: &TestDatabase) {
        let sandbox = with_a_plan(db);
        sandbox.ripcord(&AS_SHOWN).expect_code(0);
        assert_eq!((db.version().as_str(), db.query("SELECT count(*) FROM fresh;").as_str()), (NEXT, "0"));
        refuses(&sandbox, db, &AS_SHOWN, 3, "the database was at");
    }

    fn a_plan_is_refused_when_what_it_was_made_for_is_another_one(db: &TestDatabase) {
        let sandbox = with_a_plan(db);
        db.execute("CREATE TABLE meanwhile (id INTEGER);");
        refuses(&sandbox, db, &AS_SHOWN, 3, "the schema of the database is not the one that it was made for");
        db.execute("DROP TABLE meanwhile;");
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "CREATE TABLE other (id INTEGER PRIMARY KEY);", "");
        refuses(&sandbox, db, &AS_SHOWN, 3, "is not the file that it was made from");
        show(&sandbox);
        sandbox.revision("abcd00000002", &[NEXT], "CREATE TABLE more (id INTEGER PRIMARY KEY);", "");
        let run = refuses(&sandbox, db, &AS_SHOWN, 3, "it runs abcd00000001, and head leads by abcd00000001, abcd00000002 now");
        run.stderr_has("next: look at the plan of now");
        show(&sandbox);
        sandbox.ripcord(&AS_SHOWN).expect_code(0);
        leaves_nothing_behind(&sandbox, db);
    }

    fn what_a_plan_loses_is_asked_for_all_the_same(db: &TestDatabase) {
        let sandbox = with_a_plan(db);
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "DELETE FROM training_metric;", "SELECT 1;");
        show(&sandbox);
        let run = refuses(&sandbox, db, &AS_SHOWN, 3, "deletes-rows:training_metric");
        assert_eq!(next_of(&run), ["upgrade", "--plan", "shown.json", "--accept", "deletes-rows:training_metric"]);
        follow(&sandbox, &next_of(&run)).expect_code(0);
    }

    fn what_is_no_plan_of_this_command_is_a_wrong_call(db: &TestDatabase) {
        let sandbox = with_a_plan(db);
        sandbox.write("other.json", "{\"event\": \"report\"}");
        for (arguments, fact) in [
            (&["upgrade", "--plan", "nowhere.json"][..], "nowhere.json"),
            (&["upgrade", "--plan", "other.json"], "this is no plan"),
            (&["downgrade", "--plan", "shown.json"], "the plan of the other direction"),
            (&["upgrade", "head", "--plan", "shown.json"], "cannot be used with"),
        ] {
            let run = sandbox.ripcord(arguments);
            run.expect_code(2).stderr_has(fact);
        }
    }
}

#[test]
fn a_plan_that_is_not_there_says_how_one_is_made() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    let run = refuses(&sandbox, &db, &["downgrade", "--plan", "missing.json"], 2, "missing.json");
    run.stderr_lacks("ripcord history");
    let command =
        run.stderr.split(": ripcord ").nth(1).expect("a command").lines().next().unwrap_or_default();
    sandbox.run("sh", &["-c", &format!("'{}' {command}", ripcord_binary().display())]).expect_code(0);
    sandbox.ripcord(&["downgrade", "--plan", "missing.json"]).expect_code(0);
}
