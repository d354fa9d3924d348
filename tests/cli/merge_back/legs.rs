//! One downgrade over several upgrades: what each of them destroyed comes back before an older way back gives its names, or its
//! values, another meaning.

use super::by_hand::upgrade_backup;
use super::*;

pub(super) const THIRD: &str = "aaaa00000003";
const FOURTH: &str = "aaaa00000004";
pub(super) const MADE: &str =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, x VARCHAR(20), w VARCHAR(20), n INTEGER);";
pub(super) const FILLED: &str =
    "INSERT INTO t VALUES (1, 'one', 'west', 10), (2, 'two', 'wool', 20), (3, NULL, 'wind', 30);";
pub(super) const ROWS: &str = "SELECT id, x, w, n FROM t ORDER BY id;";
const NOTHING: &str = "SELECT 1;";

/// The two directions of a revision.
pub(super) type Ways = (&'static str, &'static str);

pub(super) const RENAMES: Ways =
    ("ALTER TABLE t RENAME COLUMN x TO y;", "ALTER TABLE t RENAME COLUMN y TO x;");
pub(super) const DROPS: Ways = ("ALTER TABLE t DROP COLUMN y;", "ALTER TABLE t ADD COLUMN y VARCHAR(20);");

/// A project whose second and third revision were upgraded to one by one.
pub(super) fn one_by_one(db: &TestDatabase, second: Ways, third: Ways) -> Sandbox {
    let sandbox = project(db, MADE, FILLED, second.0, second.1);
    upgrade(&sandbox);
    sandbox.revision(THIRD, &[SECOND], third.0, third.1);
    upgrade(&sandbox);
    sandbox
}

/// A downgrade over both is what it is by steps: everything is as it was.
#[track_caller]
fn comes_back(db: &TestDatabase, second: Ways, third: Ways) {
    let sandbox = one_by_one(db, second, third);
    let before = "1|one|west|10\n2|two|wool|20\n3||wind|30";
    let run = accepting(&sandbox, &["downgrade", "-2", "--format", "json"]);
    run.expect_code(0);
    assert_eq!(db.query(ROWS), before, "{run}");
    let result = report(&run)["result"].clone();
    assert_eq!(result["merge"]["conflict_count"], 0, "{result:#}");
    assert_eq!((&result["from"], &result["to"]), (&json!([THIRD]), &json!([FIRST])));
    let legs = result["legs"].as_array().cloned().unwrap_or_default();
    let ends: Vec<_> = legs.iter().map(|leg| (leg["from"].clone(), leg["to"].clone())).collect();
    assert_eq!(ends, [(json!([THIRD]), json!([SECOND])), (json!([SECOND]), json!([FIRST]))], "{result:#}");
    sandbox.ripcord(&["verify"]).expect_code(0);
    leaves_nothing_behind(&sandbox, db);

    accepting(&sandbox, &["upgrade", SECOND]).expect_code(0);
    upgrade(&sandbox);
    for _ in 0..2 {
        accepting(&sandbox, &["downgrade", "-1"]).expect_code(0);
    }
    assert_eq!(db.query(ROWS), before, "by steps");
}

/// The third revision writes over a column, drops it, and makes another one of that name.
fn one_name_three_times(db: &TestDatabase) -> Sandbox {
    let drops = ("ALTER TABLE t DROP COLUMN x;", "ALTER TABLE t ADD COLUMN x VARCHAR(20);");
    let adds =
        ("ALTER TABLE t ADD COLUMN x INTEGER; UPDATE t SET x = id + 500;", "ALTER TABLE t DROP COLUMN x;");
    let sandbox = one_by_one(db, drops, adds);
    let again = ("ALTER TABLE t DROP COLUMN x;", "ALTER TABLE t ADD COLUMN x INTEGER;");
    sandbox.revision(FOURTH, &[THIRD], again.0, again.1);
    upgrade(&sandbox);
    sandbox
}

both_engines! {
    fn a_column_that_an_older_upgrade_renamed_gets_its_values_before_it_is_called_otherwise(db: &TestDatabase) {
        comes_back(db, RENAMES, DROPS);
    }

    fn two_columns_that_changed_names_keep_what_is_theirs(db: &TestDatabase) {
        let swaps = "ALTER TABLE t RENAME COLUMN x TO k; ALTER TABLE t RENAME COLUMN w TO x; ALTER TABLE t RENAME COLUMN k TO w;";
        comes_back(db, (swaps, swaps), ("ALTER TABLE t DROP COLUMN w;", "ALTER TABLE t ADD COLUMN w VARCHAR(20);"));
    }

    fn values_come_back_before_a_way_back_computes_with_them(db: &TestDatabase) {
        comes_back(db, ("UPDATE t SET n = n * 100;", "UPDATE t SET n = n / 100;"), ("UPDATE t SET n = 7;", NOTHING));
    }

    fn rows_come_back_before_their_table_is_called_otherwise(db: &TestDatabase) {
        let renames = ("ALTER TABLE t RENAME TO u;", "ALTER TABLE u RENAME TO t;");
        let drops = ("DROP TABLE u;", "CREATE TABLE u (id INTEGER PRIMARY KEY, x VARCHAR(20), w VARCHAR(20), n INTEGER);");
        comes_back(db, renames, drops);
    }

    fn values_come_back_before_a_way_back_reads_them_and_drops_their_table(db: &TestDatabase) {
        let up = "CREATE TABLE code (c INTEGER PRIMARY KEY, x VARCHAR(20)); INSERT INTO code SELECT id, x FROM t;
ALTER TABLE t ADD COLUMN c INTEGER; UPDATE t SET c = id; ALTER TABLE t DROP COLUMN x;";
        let down = "ALTER TABLE t ADD COLUMN x VARCHAR(20); UPDATE t SET x = (SELECT x FROM code WHERE code.c = t.c);
ALTER TABLE t DROP COLUMN c; DROP TABLE code;";
        comes_back(db, (up, down), ("UPDATE code SET x = 'gone';", NOTHING));
    }

    fn what_was_written_since_is_kept_through_all_steps(db: &TestDatabase) {
        let sandbox = one_by_one(db, RENAMES, DROPS);
        db.execute("INSERT INTO t (id, w, n) VALUES (9, 'new', 90); DELETE FROM t WHERE id = 2; UPDATE t SET n = 11 WHERE id = 1;");
        let run = accepting(&sandbox, &["downgrade", "-2"]);
        run.expect_code(0).stdout_has("in 2 steps: to aaaa00000002, then to aaaa00000001");
        assert_eq!(db.query(ROWS), "1|one|west|11\n3||wind|30\n9||new|90");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn one_command_leads_back_to_before_the_first_step(db: &TestDatabase) {
        let sandbox = one_by_one(db, RENAMES, DROPS);
        let before = db.query("SELECT id, w, n FROM t ORDER BY id;");
        let run = accepting(&sandbox, &["downgrade", "-2"]);
        run.expect_code(0);
        follow(&sandbox, &undo_of(&run)).expect_code(0);
        assert_eq!(db.version(), THIRD);
        assert_eq!(db.query("SELECT id, w, n FROM t ORDER BY id;"), before);
    }

    fn a_dry_run_names_the_steps_and_why(db: &TestDatabase) {
        let sandbox = one_by_one(db, RENAMES, DROPS);
        let (backup, before) = (upgrade_backup(&sandbox), db.dump());
        let run = sandbox.ripcord(&["downgrade", "-2", "--dry-run"]);
        run.expect_code(0).stdout_has(&format!(
            "in 2 steps: to {SECOND}, then to {FIRST}, so that salvage of {backup} comes back before {SECOND} is undone"
        ));
        let run = sandbox.ripcord(&["downgrade", "-2", "--dry-run", "--format", "json"]);
        run.expect_code(0);
        assert_eq!(report(&run)["result"]["legs"], json!([
            { "target": SECOND, "to": [SECOND], "revisions": [THIRD], "brings_back": [backup], "before": SECOND },
            { "target": FIRST, "to": [FIRST], "revisions": [SECOND] },
        ]));
        assert_same(&before, &db.dump(), &run);
    }

    fn what_no_older_way_back_touches_needs_no_steps(db: &TestDatabase) {
        let other = "CREATE TABLE other (id INTEGER PRIMARY KEY);";
        let sandbox = one_by_one(db, (other, "DROP TABLE other;"), ("ALTER TABLE t DROP COLUMN w;", "ALTER TABLE t ADD COLUMN w VARCHAR(20);"));
        let run = accepting(&sandbox, &["downgrade", "-2"]);
        run.expect_code(0).stdout_lacks("steps").stdout_has("t.w: 3 put back");
    }

    fn a_plan_that_was_shown_is_run_in_its_steps_or_not_at_all(db: &TestDatabase) {
        let sandbox = one_by_one(db, RENAMES, DROPS);
        let run = sandbox.ripcord(&["downgrade", "-2", "--dry-run", "--format", "json"]);
        run.expect_code(0);
        sandbox.write("shown.json", &run.stdout);
        sandbox.revision(SECOND, &[FIRST], RENAMES.0, "ALTER TABLE t RENAME COLUMN y TO x; SELECT 1;");
        refuses(&sandbox, db, &["downgrade", "--plan", "shown.json"], 3, "is not the file that it was made from");
        sandbox.revision(SECOND, &[FIRST], RENAMES.0, RENAMES.1);
        accepting(&sandbox, &["downgrade", "--plan", "shown.json"]).expect_code(0).stdout_has("in 2 steps");
        assert_eq!(db.query("SELECT count(x) FROM t;"), "2");
    }

    fn a_statement_that_fails_in_a_later_step_is_known_before_the_first_has_run(db: &TestDatabase) {
        let sandbox = one_by_one(db, (RENAMES.0, "ALTER TABLE t RENAME COLUMN y TO x; DROP TABLE nowhere;"), DROPS);
        let run = refuses(&sandbox, db, &["downgrade", "-2"], 4, "nowhere");
        run.stderr_has("state: nothing was changed").stderr_has(&format!("ripcord downgrade {SECOND}"));
        leaves_nothing_behind(&sandbox, db);
    }

    fn what_only_a_later_step_is_seen_to_lose_is_refused_there_and_what_stands_is_said(db: &TestDatabase) {
        // The second revision makes a column that users fill, the third drops it.
        let sandbox = project(db, MADE, FILLED, "ALTER TABLE t ADD COLUMN v VARCHAR(20);", "ALTER TABLE t DROP COLUMN v;");
        upgrade(&sandbox);
        db.execute("UPDATE t SET v = 'their own';");
        sandbox.revision(THIRD, &[SECOND], "ALTER TABLE t DROP COLUMN v;", "ALTER TABLE t ADD COLUMN v VARCHAR(20);");
        upgrade(&sandbox);
        let run = sandbox.ripcord(&["downgrade", "-2"]);
        run.expect_code(5).stderr_has("drops-column:t.v");
        run.stderr_has("state: step 1 of 2 stands; of step 2: nothing was changed");
        run.stderr_has(&format!("the version rows moved from {THIRD} to {SECOND}"));
        run.stderr_has("or undo the steps that stand: ripcord restore ");
        assert_eq!(db.query("SELECT count(v) FROM t;"), "3");
        assert_eq!(next_of(&run)[..2], ["downgrade", FIRST], "{run}");
        follow(&sandbox, &next_of(&run)).expect_code(0);
        assert_eq!(db.query(ROWS), "1|one|west|10\n2|two|wool|20\n3||wind|30");
    }

    fn a_flag_that_only_a_later_step_needs_is_needed(db: &TestDatabase) {
        let sandbox = project(db, MADE, FILLED, "ALTER TABLE t ADD COLUMN v VARCHAR(20);", "ALTER TABLE t DROP COLUMN v;");
        upgrade(&sandbox);
        db.execute("UPDATE t SET v = 'their own';");
        sandbox.revision(THIRD, &[SECOND], "ALTER TABLE t DROP COLUMN v;", "ALTER TABLE t ADD COLUMN v VARCHAR(20);");
        upgrade(&sandbox);
        let run = sandbox.ripcord(&["downgrade", "-2", "--accept", "drops-column:t.v"]);
        run.expect_code(0).stdout_lacks("was not needed").stdout_has("accepted   drops-column:t.v");
    }

    fn two_columns_that_had_one_name_after_each_other_get_what_is_theirs(db: &TestDatabase) {
        let sandbox = one_name_three_times(db);
        let run = sandbox.ripcord(&["downgrade", "-3"]);
        run.expect_code(0).stdout_has(&format!("in 2 steps: to {THIRD}, then to {FIRST}"));
        assert_eq!(db.query(ROWS), "1|one|west|10\n2|two|wool|20\n3||wind|30");
    }

    fn after_a_crash_in_a_later_step_recovery_says_that_the_earlier_ones_stand(db: &TestDatabase) {
        let sandbox = one_by_one(db, RENAMES, DROPS);
        sandbox.env("RIPCORD_DIE_AT_CHECKPOINT", format!("after {{\"event\":\"script-started\",\"revision\":\"{SECOND}\""));
        let died = sandbox.ripcord(&["downgrade", "-2"]);
        sandbox.env_remove("RIPCORD_DIE_AT_CHECKPOINT");
        assert!(died.code != 0, "{died}");
        let run = sandbox.ripcord(&["recover"]);
        run.expect_code(0).stdout_has("this was step 2 of 2 of a downgrade, and the steps before it stand");
        run.stdout_has(&format!("to go on with it: ripcord downgrade {FIRST}"));
        assert_eq!(db.version(), SECOND);
        accepting(&sandbox, &["downgrade", FIRST]).expect_code(0);
        assert_eq!(db.query(ROWS), "1|one|west|10\n2|two|wool|20\n3||wind|30");
    }

    fn without_a_merge_there_are_no_steps_and_no_later_merge_puts_values_where_they_are_not_meant(db: &TestDatabase) {
        let swaps = "ALTER TABLE t RENAME COLUMN x TO k; ALTER TABLE t RENAME COLUMN w TO x; ALTER TABLE t RENAME COLUMN k TO w;";
        let sandbox = one_by_one(db, (swaps, swaps), ("ALTER TABLE t DROP COLUMN w;", "ALTER TABLE t ADD COLUMN w VARCHAR(20);"));
        let backup = upgrade_backup(&sandbox);
        let run = accepting(&sandbox, &["downgrade", "-2", "--no-merge"]);
        run.expect_code(0).stdout_lacks("steps").stdout_has(&format!("in backup {backup} was not merged"));
        let fact = format!("{SECOND} is older than that upgrade and was undone since");
        refuses(&sandbox, db, &["backup", "merge-back", &backup], 3, &fact);
        let run = sandbox.ripcord(&["backup", "merge-back", &backup]);
        // The commands that are printed work.
        let commands = run.stderr.lines().filter_map(|line| line.strip_prefix("next: ")?.split_once(": ripcord "));
        let commands: Vec<Vec<&str>> = commands.map(|(_, words)| words.split(' ').collect()).collect();
        for command in &commands[..3] {
            accepting(&sandbox, &command[..]).expect_code(0);
        }
        assert_eq!(db.query(ROWS), "1|one|west|10\n2|two|wool|20\n3||wind|30");
    }

    fn branches_that_no_step_can_part_keep_what_an_older_way_back_may_have_touched(db: &TestDatabase) {
        let sandbox = project(db, MADE, FILLED, DROPS.0, DROPS.1);
        sandbox.revision(THIRD, &[FIRST], RENAMES.0, RENAMES.1);
        accepting(&sandbox, &["upgrade", THIRD]).expect_code(0);
        accepting(&sandbox, &["upgrade", "heads"]).expect_code(0);
        let backup = upgrade_backup(&sandbox);
        let run = accepting(&sandbox, &["downgrade", FIRST]);
        run.expect_code(0).stdout_lacks("steps").stdout_has(&format!("in backup {backup} was not merged: {THIRD} is older"));
        run.stdout_has(&format!("merge it there: ripcord backup merge-back {backup}"));
        assert_eq!(db.query(ROWS), "1||west|10\n2||wool|20\n3||wind|30");
        accepting(&sandbox, &["upgrade", THIRD]).expect_code(0);
        sandbox.ripcord(&["backup", "merge-back", &backup]).expect_code(0).stdout_has("t.y: 2 put back");
        accepting(&sandbox, &["downgrade", FIRST]).expect_code(0);
        assert_eq!(db.query(ROWS), "1|one|west|10\n2|two|wool|20\n3||wind|30");
    }

    fn values_of_several_rows_that_their_column_does_not_take_now_are_conflicts(db: &TestDatabase) {
        let sandbox = project(db, MADE, FILLED, "ALTER TABLE t DROP COLUMN n;", "ALTER TABLE t ADD COLUMN n VARCHAR(3) CHECK (n > 'a');");
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "t", Some("n")), [0, 0, 0, 3], "{result:#}");
        assert_eq!(db.query("SELECT count(n) FROM t;"), "0");
    }
}
