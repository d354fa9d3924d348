//! What a migration loses for good is accepted by name, one by one, or nothing is touched.

mod accepted;
mod asked;
mod code;

use crate::promise::*;
use crate::support::*;
use serde_json::Value;

const NEXT: &str = "abcd00000001";

/// The filled sample at its head with one more revision to come, and two tables of its own.
fn with(db: &TestDatabase, upgrade: &str, downgrade: &str) -> Sandbox {
    let sandbox = filled_sample_of(db);
    db.execute(
        "CREATE TABLE scrap (id INTEGER PRIMARY KEY, word TEXT); INSERT INTO scrap VALUES (1, 'one'), (2, 'two');
CREATE TABLE empty_one (id INTEGER PRIMARY KEY, word TEXT);
CREATE TABLE wide (id INTEGER PRIMARY KEY, v DOUBLE PRECISION); INSERT INTO wide VALUES (1, 1.25), (2, 3), (3, 4.75);",
    );
    sandbox.revision(NEXT, &[ADD_PROCESS_RANK], upgrade, downgrade);
    sandbox
}

/// Turns `wide.v` into another type by building the table anew, which both engines understand.
fn rebuild(kind: &str) -> String {
    format!(
        "CREATE TABLE wide_new (id INTEGER PRIMARY KEY, v {kind});
INSERT INTO wide_new SELECT id, CAST(v AS {kind}) FROM wide;
DROP TABLE wide;
ALTER TABLE wide_new RENAME TO wide;"
    )
}

/// Everything that would show that something was kept of a change that never was: the database, backups, drafts.
#[track_caller]
fn refuses_to_lose(sandbox: &Sandbox, db: &TestDatabase, arguments: &[&str], fact: &str) -> Run {
    let backups = sandbox.backups();
    let run = refuses(sandbox, db, arguments, 3, fact);
    assert_eq!(sandbox.backups(), backups, "a backup of nothing was published\n{run}");
    leaves_nothing_behind(sandbox, db);
    run
}

fn accepted_of(run: &Run) -> Vec<(String, String)> {
    let report = report(run);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let accepted = report["result"]["accepted"].as_array().cloned().unwrap_or_default();
    accepted.iter().map(|found| (text(&found["hazard"]), text(&found["by"]))).collect()
}

both_engines! {
    fn each_kind_of_hazard_is_refused_by_name_and_runs_when_it_is_accepted(db: &TestDatabase) {
        let (narrow, widen) = (rebuild("INTEGER"), rebuild("DOUBLE PRECISION"));
        let kinds = [
            ("DROP TABLE scrap;", "CREATE TABLE scrap (id INTEGER PRIMARY KEY, word TEXT);",
                "drops-table:scrap", "2 rows, 8 B: id=1, word=one; id=2, word=two\n"),
            ("ALTER TABLE training_config DROP COLUMN warmup_steps;",
                "ALTER TABLE training_config ADD COLUMN warmup_steps INTEGER NOT NULL DEFAULT 0;",
                "drops-column:training_config.warmup_steps", "3 values, 9 B: id=1: 101; id=2: 102; id=3: 103\n"),
            (&narrow, &widen, "narrows-type:wide.v", "2 values, 8 B; "),
            ("UPDATE training_metric SET epoch = 9 WHERE step = 2;", "SELECT 1;",
                "overwrites-values:training_metric.epoch", "3 values, 3 B: id=2: 0; id=22: 0; id=42: 0\n"),
            ("DELETE FROM training_metric WHERE step > 15;", "SELECT 1;",
                "deletes-rows:training_metric", "15 rows, "),
        ];
        let sandbox = with(db, "", "");
        for (count, (upgrade, downgrade, hazard, holds)) in (2..).zip(kinds) {
            at(&sandbox, count);
            sandbox.revision(NEXT, &[ADD_PROCESS_RANK], upgrade, downgrade);
            let run = refuses_to_lose(&sandbox, db, &["upgrade"], &format!("1 hazard is not accepted: {hazard}"));
            run.stderr_has(&format!("\n  {hazard}: {holds}"));
            assert_eq!(next_of(&run), ["upgrade", "head", "--accept", hazard]);
            let run = follow(&sandbox, &[next_of(&run), vec!["--format".into(), "json".into()]].concat());
            run.expect_code(0);
            assert_eq!(accepted_of(&run), [(hazard.to_owned(), "flag".to_owned())]);
            follow(&sandbox, &["restore", "latest", "--yes"].map(str::to_owned)).expect_code(0);
        }
        let run = refuses_to_lose(&sandbox, db, &["upgrade"], "deletes-rows:training_metric");
        run.stderr_has("id=16, config_id=1, epoch=0, step=16").stderr_has("; …");
    }

    fn a_type_that_narrows_is_shown_with_both_types_and_the_values_that_change(db: &TestDatabase) {
        let sandbox = with(db, &rebuild("INTEGER"), &rebuild("DOUBLE PRECISION"));
        let run = refuses_to_lose(&sandbox, db, &["upgrade"], "narrows-type:wide.v");
        let double = if db.backend() == Backend::Sqlite { "DOUBLE PRECISION" } else { "double precision" };
        run.stderr_has(&format!("{double} becomes ")).stderr_has("id=1: 1.25; id=3: 4.75\n");
    }

    fn what_is_overwritten_is_shown_by_the_columns_that_tell_rows_apart_where_there_is_no_key(db: &TestDatabase) {
        let sandbox = with(db, "UPDATE loose SET v = 'x' WHERE p < 4;", "SELECT 1;");
        db.execute("CREATE TABLE loose (id INTEGER, p INTEGER, v VARCHAR(9));
INSERT INTO loose VALUES (1, 1, 'v1'), (NULL, 2, 'v22'), (4, 4, 'v4'), (5, 5, 'v5');");
        let run = refuses_to_lose(&sandbox, db, &["upgrade"], "1 hazard is not accepted: overwrites-values:loose.v");
        run.stderr_has("\n  overwrites-values:loose.v: nobody can say how many values, 5 B: ");
        run.stderr_has("id=1, p=1: v1").stderr_has("id=NULL, p=2: v22").stderr_lacks("v4");
        at(&sandbox, 2);
        sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "UPDATE loose SET v = 'x' WHERE p = 1; DELETE FROM loose WHERE p = 2;", "SELECT 1;");
        let run = refuses(&sandbox, db, &["upgrade"], 3, "overwrites-values:loose.v");
        run.stderr_has("\n  deletes-rows:loose: 1 row, 4 B: id=NULL, p=2, v=v22\n");
        run.stderr_has("\n  overwrites-values:loose.v: nobody can say how many values, 2 B: id=1, p=1: v1\n");
    }

    fn a_revision_without_a_way_back_is_a_hazard_even_where_nothing_is_held(db: &TestDatabase) {
        let sandbox = sample_of(db);
        let revision = Revision::new(NEXT).revises(ADD_PROCESS_RANK).directive("irreversible", "\"it merges rows\"");
        sandbox.add(&revision.upgrade("CREATE TABLE merged (id INTEGER PRIMARY KEY);"));
        let run = refuses_to_lose(&sandbox, db, &["upgrade"], "irreversible:abcd00000001");
        run.stderr_has("\n  irreversible:abcd00000001: it merges rows\n");
        let run = follow(&sandbox, &next_of(&run));
        run.expect_code(0).stdout_has("accepted   irreversible:abcd00000001 accepted by --accept\n");
        // A downgrade would be refused, so the snapshot is the way to undo it.
        assert_eq!(undo_of(&run)[0], "restore", "{run}");
    }

    fn a_way_back_that_fails_on_the_copy_makes_its_revision_irreversible(db: &TestDatabase) {
        let sandbox = with(db, "CREATE TABLE fresh (id INTEGER PRIMARY KEY);", "DROP TABLE nowhere;");
        let run = refuses_to_lose(&sandbox, db, &["upgrade"], "1 hazard is not accepted: irreversible:abcd00000001");
        run.stderr_has("its way back failed on the copy: ").stderr_has("nowhere");
    }

    fn what_the_way_back_brings_home_and_what_holds_nothing_is_no_hazard(db: &TestDatabase) {
        let sandbox = with(
            db,
            "ALTER TABLE training_config RENAME COLUMN model_type TO model_kind; DROP TABLE empty_one;
ALTER TABLE training_metric DROP COLUMN process_rank;",
            "ALTER TABLE training_metric ADD COLUMN process_rank INTEGER;
CREATE TABLE empty_one (id INTEGER PRIMARY KEY, word TEXT);
ALTER TABLE training_config RENAME COLUMN model_kind TO model_type;",
        );
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(0).stdout_lacks("consent").stdout_lacks("accepted");
    }

    fn a_downgrade_that_drops_data_is_refused_as_well(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        db.execute("UPDATE training_metric SET process_rank = id WHERE id <= 7;");
        let run = refuses_to_lose(&sandbox, db, &["downgrade"], "drops-column:training_metric.process_rank");
        run.stderr_has("7 values, 7 B: id=1: 1; id=2: 2; id=3: 3; …\n");
        // The file is applied, so editing it is no way on.
        run.stderr_lacks("ripcord:accept");
        follow(&sandbox, &next_of(&run)).expect_code(0);
        at(&sandbox, 2);
        let run = refuses_to_lose(&sandbox, db, &["downgrade", "base"], "2 hazards are not accepted");
        let flags = ["--accept", "drops-table:training_config", "--accept", "drops-table:training_metric"];
        assert_eq!(next_of(&run)[2..], flags, "{run}");
    }

    fn on_an_empty_copy_of_the_schema_what_is_dropped_is_a_hazard_if_the_table_has_rows(db: &TestDatabase) {
        let sandbox = with(db, "DROP TABLE scrap; DROP TABLE empty_one;", "SELECT 1;");
        let run = refuses_to_lose(&sandbox, db, &["upgrade", "--proof", "schema"], "1 hazard is not accepted: drops-table:scrap");
        // The snapshot knows it, although the copy does not.
        run.stderr_has("\n  drops-table:scrap: 2 rows\n");
        assert_eq!(next_of(&run), ["upgrade", "head", "--proof", "schema", "--accept", "drops-table:scrap"]);
        follow(&sandbox, &next_of(&run)).expect_code(0);
    }

    fn on_an_empty_copy_of_the_schema_nobody_saw_what_becomes_of_rows(db: &TestDatabase) {
        let sandbox = with(db, "DELETE FROM scrap WHERE id = 1; UPDATE scrap SET word = 'gone'; DELETE FROM wide;", "SELECT 1;");
        let run = refuses_to_lose(&sandbox, db, &["upgrade", "--proof", "schema"], "1 hazard is not accepted: opaque");
        run.stderr_has("the rehearsal saw no rows, and the migration names ").stderr_has("; DELETE in line ").stderr_has("can reach what it does not name: ");
        let run = sandbox.ripcord(&["rehearse", "--proof", "schema", "--deny", "loss"]);
        run.expect_code(3).stdout_has("\nhazard     opaque: ").stdout_has("accept     ripcord upgrade head --proof schema --accept opaque\n");
        sandbox.ripcord(&["upgrade", "--proof", "schema", "--accept", "opaque"]).expect_code(0);
        assert_eq!(db.query("SELECT word FROM scrap;"), "gone");
    }

    fn what_an_empty_copy_of_the_schema_can_judge_is_not_opaque(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE scrap ADD COLUMN more TEXT; CREATE INDEX i ON wide (v);", "DROP INDEX i; ALTER TABLE scrap DROP COLUMN more;");
        sandbox.ripcord(&["rehearse", "--proof", "schema", "--deny", "loss"]).expect_code(0).stdout_lacks("opaque");
        sandbox.ripcord(&["upgrade", "--proof", "schema"]).expect_code(0);
    }

    fn without_a_rehearsal_what_can_reach_unnamed_tables_is_opaque(db: &TestDatabase) {
        let sandbox = with(db, "INSERT INTO empty_one VALUES (1, 'a');", "DELETE FROM empty_one;");
        let run = refuses_to_lose(&sandbox, db, &["upgrade", "--no-rehearsal"], "1 hazard is not accepted: opaque");
        run.stderr_has("nothing was rehearsed, and INSERT in line ").stderr_has("scrap, ");
    }

    fn what_is_lost_breaks_no_line_and_turns_no_text_around(db: &TestDatabase) {
        let sandbox = with(db, "DROP TABLE \"a\nb\";", "SELECT 1;");
        db.execute("CREATE TABLE \"a\nb\" (id INTEGER PRIMARY KEY, word TEXT); INSERT INTO \"a\nb\" VALUES (1, '\u{202e}eno');");
        let run = refuses_to_lose(&sandbox, db, &["upgrade"], "1 hazard is not accepted");
        run.stderr_has("  drops-table:\"a\\nb\": 1 row").stderr_has("word=\\u{202e}eno").says_nowhere("\u{202e}");
        let line = run.stderr.lines().find_map(|line| line.strip_prefix("next: ripcord ")).expect("a command");
        let command = format!("exec '{}' {line}", ripcord_binary().display());
        let done = sandbox.run("bash", &["-c", &command]);
        done.expect_code(0).stdout_has("  gone     table ").stdout_has("\"a\\nb\"").says_nowhere("\u{202e}");
    }

    fn a_refusal_names_every_hazard_for_the_file(db: &TestDatabase) {
        let sandbox = with(db, "DROP TABLE scrap; DELETE FROM training_metric WHERE step = 1;", "SELECT 1;");
        let run = refuses_to_lose(&sandbox, db, &["upgrade"], "2 hazards are not accepted");
        run.stderr_has("-- ripcord:accept drops-table:scrap \"why\"\n").stderr_has("-- ripcord:accept deletes-rows:training_metric \"why\"\n");
    }

    fn without_a_rehearsal_everything_that_is_named_and_holds_rows_is_opaque(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE scrap ADD COLUMN more TEXT;", "ALTER TABLE scrap DROP COLUMN more;");
        for flags in [&["--no-rehearsal"][..], &["--proof", "none"]] {
            let arguments = [&["upgrade"], flags].concat();
            let run = refuses_to_lose(&sandbox, db, &arguments, "1 hazard is not accepted: opaque");
            run.stderr_has("\n  opaque: 2 rows; nothing was rehearsed, and the migration names ");
            assert_eq!(next_of(&run), ["rehearse", "head"]);
            let run = sandbox.ripcord(&[&arguments[..], &["--accept", "drops-table:scrap"]].concat());
            run.expect_code(3);
        }
        sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]).expect_code(0);
        // Tables without rows, and tables that are not named, are no reason.
        sandbox.revision("abcd00000002", &[NEXT], "ALTER TABLE empty_one ADD COLUMN x TEXT;", "");
        sandbox.ripcord(&["upgrade", "--no-rehearsal"]).expect_code(0);
    }

    fn a_program_reads_what_is_not_accepted_and_what_it_holds(db: &TestDatabase) {
        let sandbox = with(db, "DROP TABLE scrap;", "SELECT 1;");
        let run = sandbox.ripcord(&["upgrade", "--format", "json"]);
        run.expect_code(3).stderr_is_empty();
        let error = &report(&run)["error"];
        let hazards = serde_json::json!([{ "hazard": "drops-table:scrap", "count": 2, "bytes": 8,
            "examples": ["id=1, word=one", "id=2, word=two"] }]);
        assert_eq!((&error["hazards"], &error["step"]), (&hazards, &"consent".into()), "{error:#}");
        assert_eq!(error["next"][0], "ripcord upgrade head --accept drops-table:scrap");
        assert_eq!(error["aftermath"], "unchanged");
    }

    fn rows_that_go_from_a_table_without_a_key_are_shown_as_often_as_they_go(db: &TestDatabase) {
        let sandbox = with(db, "DELETE FROM heap WHERE n <> 5; INSERT INTO heap VALUES (7, 'many');", "SELECT 1;");
        db.execute("CREATE TABLE heap (n INTEGER, word VARCHAR(9)); INSERT INTO heap VALUES (1, 'one'), (5, NULL), (7, 'many'), (7, 'many'), (7, 'many');");
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(3).stderr_has("\n  deletes-rows:heap: 3 rows, 14 B: n=1, word=one; n=7, word=many; n=7, word=many\n");
    }

    fn a_rehearsal_names_the_hazards_and_the_command_that_accepts_them(db: &TestDatabase) {
        let sandbox = with(db, "DROP TABLE scrap; DELETE FROM training_metric WHERE step = 1;", "SELECT 1;");
        let run = sandbox.ripcord(&["rehearse"]);
        run.expect_code(0)
            .stdout_has("\nhazard     drops-table:scrap: 2 rows, 8 B: id=1, word=one; id=2, word=two\n")
            .stdout_has("\nhazard     deletes-rows:training_metric: 3 rows, ")
            .stdout_has("\naccept     ripcord upgrade head --accept drops-table:scrap --accept deletes-rows:training_metric\n");
        let json = report(&sandbox.ripcord(&["rehearse", "--format", "json"]));
        assert_eq!(json["result"]["hazards"][0]["hazard"], "drops-table:scrap", "{json:#}");
    }
}

#[test]
fn examples_are_shown_as_text_whatever_the_encoding_of_the_database() {
    for encoding in ["UTF-16le", "UTF-16be"] {
        let db = &TestDatabase::sqlite();
        db.execute(&format!(
            "PRAGMA encoding = '{encoding}'; CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, photo BLOB);
INSERT INTO person VALUES (1, 'žofie', x'00ff');"
        ));
        let sandbox = Sandbox::with(db);
        let columns = ["name", "photo"].map(|column| format!("ALTER TABLE person DROP COLUMN {column};"));
        sandbox.revision(NEXT, &[], &columns.concat(), "SELECT 1;");
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(3).stderr_has("id=1: žofie").stderr_has("id=1: x'00FF'");
    }
}

mod sqlite {
    use super::*;

    #[test]
    fn what_is_overwritten_is_shown_by_a_primary_key_that_can_be_null_and_is_not() {
        for kind in ["INT", "TEXT"] {
            let db = TestDatabase::sqlite();
            let sandbox = with(&db, "UPDATE c SET v = 'x' WHERE p_id < 20;", "SELECT 1;");
            db.execute(&format!(
                "CREATE TABLE c (id {kind} PRIMARY KEY, p_id INT NOT NULL, v TEXT);
WITH RECURSIVE s(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM s WHERE i < 50) INSERT INTO c SELECT 100 + i, i, 'v' || i FROM s;"
            ));
            at(&sandbox, 2);
            let overwritten =
                "overwrites-values:c.v: 19 values, 48 B: id=101: v1; id=102: v2; id=103: v3; …\n";
            refuses_to_lose(&sandbox, &db, &["upgrade"], "overwrites-values:c.v").stderr_has(overwritten);
            at(&sandbox, 3);
            let run = sandbox.ripcord(&["upgrade", "--format", "json"]);
            run.expect_code(3).stdout_has("\"bytes\":48").stdout_has("\"id=101: v1\"");

            at(&sandbox, 4);
            let there = "UPDATE c SET v = 'x' WHERE p_id < 20; DELETE FROM c WHERE p_id > 49;";
            sandbox.revision(NEXT, &[ADD_PROCESS_RANK], there, "SELECT 1;");
            let run = refuses(&sandbox, &db, &["upgrade"], 3, "overwrites-values:c.v");
            run.stderr_has(overwritten).stderr_has("deletes-rows:c: 1 row, 8 B: id=150, p_id=50, v=v50\n");
        }
    }
}
