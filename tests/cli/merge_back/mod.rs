//! What an upgrade destroys comes back with its downgrade, and nothing that was written since is lost.

mod by_hand;
mod chance;
mod circles;
mod composite;
mod crashed;
mod damaged;
mod digests;
mod doubt;
mod edited;
mod elsewhere;
mod failed;
mod gaps;
mod half_characters;
mod hard;
mod held_back;
mod keyless;
mod keyless_mixed;
mod later;
mod legs;
mod legs_broken_off;
mod locked;
mod made;
mod moved;
mod moved_sqlite;
mod names;
mod new_keys;
mod nullable_key;
mod nulls;
mod numbered;
mod once_more;
mod parents;
mod partitions;
mod places;
mod recycled;
mod rekeyed;
mod renamed;
mod renumbered;
mod repartitioned;
mod rows;
mod same_again;
mod shuffled;
mod spelled;
mod stays;
mod stays_in_part;
mod strangers;
mod tables;
mod taken_back;
mod types;
mod undeclared;
mod unique;
mod untouched;
mod untried;

use crate::promise::*;
use crate::support::*;
use serde_json::{Value, json};

pub(super) const FIRST: &str = "aaaa00000001";
pub(super) const SECOND: &str = "aaaa00000002";

/// A project of two revisions, its database at the first one and filled.
pub(super) fn project(db: &TestDatabase, made: &str, filled: &str, up: &str, down: &str) -> Sandbox {
    let sandbox = Sandbox::with(db);
    // The end of a script tells whether others wrote; autovacuum writes whenever it likes.
    if db.backend() == Backend::Postgres {
        db.server().psql("postgres", "ALTER SYSTEM SET autovacuum = off; SELECT pg_reload_conf();");
    }
    sandbox.revision(FIRST, &[], made, "SELECT 1;");
    first_upgrade(&sandbox);
    db.execute(filled);
    sandbox.revision(SECOND, &[FIRST], up, down);
    sandbox
}

/// Upgrades to the second revision, whatever it destroys.
#[track_caller]
pub(super) fn upgrade(sandbox: &Sandbox) -> Run {
    let run = accepting(sandbox, &["upgrade"]);
    run.expect_code(0);
    run
}

/// Downgrades to the first revision, and returns what was merged.
#[track_caller]
pub(super) fn downgrade(sandbox: &Sandbox) -> Value {
    let run = accepting(sandbox, &["downgrade", "--format", "json"]);
    run.expect_code(0);
    report(&run)["result"].clone()
}

/// A table's name as a report has it.
pub(super) fn named(db: &TestDatabase, table: &str) -> String {
    match db.backend() {
        Backend::Sqlite => table.to_owned(),
        Backend::Postgres => format!("public.{table}"),
    }
}

/// Merged, already there, deleted since, conflicts, for a column (none: for rows) of a table.
#[track_caller]
pub(super) fn counts(result: &Value, db: &TestDatabase, table: &str, column: Option<&str>) -> [u64; 4] {
    let (table, column) = (named(db, table), column.map_or(Value::Null, Value::from));
    let merged =
        result["merge"]["merged"].as_array().unwrap_or_else(|| panic!("nothing was merged: {result:#}"));
    let one = merged.iter().find(|one| one["table"] == table.as_str() && one["column"] == column);
    let one = one.unwrap_or_else(|| panic!("no {table} {column} in {result:#}"));
    ["merged", "already", "deleted", "conflicts"].map(|name| one[name].as_u64().expect("a number"))
}

/// The table that conflicts are kept in.
#[track_caller]
pub(super) fn side_table(result: &Value) -> String {
    result["merge"]["side_table"].as_str().expect("there are conflicts").to_owned()
}

/// What the report says beside its numbers.
pub(super) fn notes(result: &Value) -> String {
    result["notes"].to_string()
}

/// The text in a gzip file.
pub(super) fn unzipped(path: &std::path::Path) -> String {
    let mut text = String::new();
    let file = std::fs::File::open(path).expect("the file is there");
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(file), &mut text).expect("gzip");
    text
}

const PEOPLE: &str =
    "CREATE TABLE person (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL, phone VARCHAR(20));";
const FIVE: &str = "INSERT INTO person VALUES (1, 'ada', '11'), (2, 'bob', '22'), (3, 'eve', '33'), (4, 'kim', NULL), (5, 'zoe', '55');";
const NO_PHONE: &str = "ALTER TABLE person DROP COLUMN phone;";
const PHONE: &str = "ALTER TABLE person ADD COLUMN phone VARCHAR(20);";

/// Two tables of which one loses a column in the second revision, and the other in the third, both applied.
fn two_tables(db: &TestDatabase, rows: &str) -> Sandbox {
    let made = "CREATE TABLE person (id INTEGER PRIMARY KEY, phone VARCHAR(20));
CREATE TABLE pet (id INTEGER PRIMARY KEY, name VARCHAR(20));";
    let (drops, adds) = ("ALTER TABLE pet DROP COLUMN name;", "ALTER TABLE pet ADD COLUMN name VARCHAR(20);");
    let sandbox = project(db, made, rows, drops, adds);
    sandbox.revision("aaaa00000003", &[SECOND], NO_PHONE, PHONE);
    upgrade(&sandbox);
    sandbox
}

both_engines! {
    fn a_dropped_column_is_back_with_its_values_after_the_downgrade(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        let before = db.query("SELECT id, name, phone FROM person ORDER BY id;");
        upgrade(&sandbox);
        let run = accepting(&sandbox, &["downgrade"]);
        run.expect_code(0).stdout_has("merge back").stdout_has("person.phone: 4 put back");
        assert_eq!(db.query("SELECT id, name, phone FROM person ORDER BY id;"), before);
        sandbox.ripcord(&["verify"]).expect_code(0);
        leaves_nothing_behind(&sandbox, db);
    }

    fn rows_written_since_stay_and_rows_deleted_since_stay_deleted(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        upgrade(&sandbox);
        db.execute("INSERT INTO person VALUES (9, 'new'); DELETE FROM person WHERE id = 2; UPDATE person SET name = 'EVE' WHERE id = 3;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("phone")), [3, 0, 1, 0]);
        assert_eq!(db.query("SELECT id, name, phone FROM person ORDER BY id;"), "1|ada|11\n3|EVE|33\n4|kim|\n5|zoe|55\n9|new|");
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn a_value_changed_on_both_sides_is_a_conflict_and_kept_in_two_places(db: &TestDatabase) {
        // The column is not dropped but emptied, so that it can be written to in between.
        let sandbox = project(db, PEOPLE, FIVE, "UPDATE person SET phone = NULL;", "SELECT 1;");
        upgrade(&sandbox);
        db.execute("UPDATE person SET phone = '99' WHERE id = 3; UPDATE person SET phone = '55' WHERE id = 5;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("phone")), [2, 1, 0, 1]);
        assert_eq!(db.query("SELECT phone FROM person WHERE id IN (1, 2, 3, 5) ORDER BY id;"), "11\n22\n99\n55");
        assert_eq!(result["merge"]["conflicts"], json!([{ "table": named(db, "person"), "key": "{\"id\":3}", "column": "phone",
            "base": null, "ours": "33", "theirs": "99", "reason": "changed since, and salvaged" }]));
        let side = side_table(&result);
        let kept = db.query(&format!("SELECT \"column\", ours, theirs FROM {side};"));
        assert_eq!(kept, "phone|33|99");
        let backup = sandbox.path("backups").join(result["backup"]["id"].as_str().expect("a backup"));
        let csv = unzipped(&backup.join("conflicts.csv.gz"));
        assert!(csv.contains("\"33\",\"99\""), "{csv}");
        assert!(backup.join("conflicts.json").exists());
        sandbox.ripcord(&["backup", "verify"]).expect_code(0);
        // The side table is no difference, there or not.
        sandbox.ripcord(&["verify"]).expect_code(0);
        db.execute(&format!("DROP TABLE {side};"));
        sandbox.ripcord(&["verify"]).expect_code(0);
    }

    fn a_downgrade_that_is_told_not_to_merge_prints_the_command_that_does_it_later(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        upgrade(&sandbox);
        let run = accepting(&sandbox, &["downgrade", "--no-merge"]);
        run.expect_code(0).stdout_lacks("put back");
        assert_eq!(db.query("SELECT count(phone) FROM person;"), "0");
        let note = run.stdout.lines().find(|line| line.contains("ripcord backup merge-back ")).expect("the command");
        let words: Vec<&str> = note.split("ripcord ").last().expect("words").split_whitespace().take(3).collect();
        let run = sandbox.ripcord(&words);
        run.expect_code(0).stdout_has("person.phone: 4 put back");
        assert_eq!(db.query("SELECT count(phone) FROM person;"), "4");
        sandbox.ripcord(&["verify"]).expect_code(0);
        leaves_nothing_behind(&sandbox, db);
    }

    fn a_required_column_that_is_made_again_with_a_default_gets_its_values(db: &TestDatabase) {
        let made = "CREATE TABLE person (id INTEGER PRIMARY KEY, level INTEGER NOT NULL DEFAULT 7);";
        let sandbox = project(db, made, "INSERT INTO person VALUES (1, 10), (2, 7), (3, 30);",
            "ALTER TABLE person DROP COLUMN level;", "ALTER TABLE person ADD COLUMN level INTEGER NOT NULL DEFAULT 7;");
        upgrade(&sandbox);
        db.execute("INSERT INTO person VALUES (4);");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("level"))[3], 0, "{result:#}");
        assert_eq!(db.query("SELECT id, level FROM person ORDER BY id;"), "1|10\n2|7\n3|30\n4|7");
    }

    fn salvage_waits_until_all_revisions_that_may_have_touched_its_table_are_undone(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        sandbox.revision("aaaa00000003", &[SECOND], "ALTER TABLE person ADD COLUMN other INTEGER;", "ALTER TABLE person DROP COLUMN other;");
        upgrade(&sandbox);
        let run = accepting(&sandbox, &["downgrade"]);
        run.expect_code(0).stdout_has("person in backup ").stdout_has("comes back when aaaa00000002 is undone");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("phone")), [4, 0, 0, 0]);
    }

    fn what_no_revision_that_stays_has_touched_comes_back_with_its_own_revision_and_only_once(db: &TestDatabase) {
        let sandbox = two_tables(db, "INSERT INTO person VALUES (1, '030'), (2, NULL), (3, '040'); INSERT INTO pet VALUES (1, 'Rex'), (2, 'Tom');");
        let run = accepting(&sandbox, &["downgrade", "-1"]);
        run.expect_code(0).stdout_has("person.phone: 2 put back").stdout_has("pet in backup ");
        assert_eq!(db.query("SELECT id, phone FROM person WHERE phone IS NOT NULL ORDER BY id;"), "1|030\n3|040");
        sandbox.ripcord(&["verify"]).expect_code(0);
        // Written since: the second downgrade has nothing to say about it.
        db.execute("UPDATE person SET phone = '99' WHERE id = 1;");
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "pet", Some("name")), [2, 0, 0, 0]);
        let said = format!("{}{}", result["merge"], result["notes"]);
        assert!(!said.contains("phone") && !said.contains("person"), "{said}");
        assert_eq!(db.query("SELECT phone FROM person WHERE id = 1;"), "99");
        leaves_nothing_behind(&sandbox, db);
    }

    fn what_was_not_merged_with_its_own_revision_is_named_when_the_rest_is_undone(db: &TestDatabase) {
        let sandbox = two_tables(db, "INSERT INTO person VALUES (1, '030'); INSERT INTO pet VALUES (1, 'Rex');");
        accepting(&sandbox, &["downgrade", "-1", "--no-merge"]).expect_code(0);
        let run = accepting(&sandbox, &["downgrade", "-1"]);
        run.expect_code(0).stdout_has("pet.name: 1 put back").stdout_has("which was never merged back");
        assert_eq!(db.query("SELECT count(phone) FROM person;"), "0");
    }

    fn of_two_upgrades_to_a_revision_only_the_newer_counts(db: &TestDatabase) {
        let sandbox = project(db, PEOPLE, FIVE, NO_PHONE, PHONE);
        upgrade(&sandbox);
        downgrade(&sandbox);
        db.execute("UPDATE person SET phone = '1' WHERE id = 1;");
        at(&sandbox, 3);
        upgrade(&sandbox);
        let result = downgrade(&sandbox);
        assert_eq!(counts(&result, db, "person", Some("phone")), [4, 0, 0, 0]);
        assert_eq!(db.query("SELECT phone FROM person WHERE id = 1;"), "1");
    }
}
