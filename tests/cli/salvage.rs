//! What a migration destroys, and its way back does not bring back, is in the backup as files of their own.

mod after_the_fact;
mod by_hand;
mod named;
mod values;

use crate::promise::*;
use crate::support::*;
use serde_json::{Value, json};

const NEXT: &str = "abcd00000001";

/// The filled sample at its head with one more revision to come.
fn with(db: &TestDatabase, upgrade: &str, downgrade: &str) -> Sandbox {
    let sandbox = filled_sample_of(db);
    sandbox.revision(NEXT, &[ADD_PROCESS_RANK], upgrade, downgrade);
    sandbox
}

/// Runs a change to its end, accepting by name whatever it is refused for.
#[track_caller]
fn accepting(sandbox: &Sandbox, arguments: &[&str]) -> Run {
    let plain: Vec<&str> =
        arguments.iter().copied().filter(|word| !["--format", "json"].contains(word)).collect();
    let asked = sandbox.ripcord(&[&plain, &["--format", "json"][..]].concat());
    asked.expect_code(3);
    let refused = report(&asked);
    let hazards = refused["error"]["hazards"].as_array().unwrap_or_else(|| panic!("{asked}")).iter();
    let names: Vec<&str> = hazards.map(|hazard| hazard["hazard"].as_str().expect("its name")).collect();
    let flags = names.iter().flat_map(|name| ["--accept", name]);
    let run = sandbox.ripcord(&arguments.iter().copied().chain(flags).collect::<Vec<_>>());
    run.expect_code(0);
    run
}

/// Accepts a hazard in the file of the revision to come.
fn accepts(sandbox: &Sandbox, hazard: &str) {
    let file = sandbox.files("migrations/versions").into_iter().find(|file| file.starts_with(NEXT)).unwrap();
    let text = sandbox.read(format!("migrations/versions/{file}"));
    let accept = format!("-- ripcord:accept {hazard} \"it is kept\"");
    let text = text.replacen("\n\n-- ripcord:upgrade", &format!("\n{accept}\n\n-- ripcord:upgrade"), 1);
    assert!(text.contains(&accept), "{text}");
    sandbox.write(format!("migrations/versions/{file}"), text);
}

/// The backup of the last change.
#[track_caller]
fn newest(sandbox: &Sandbox) -> std::path::PathBuf {
    sandbox.backups().pop().expect("a backup")
}

/// The name of the export of one table.
fn export_of(db: &TestDatabase, table: &str, what: &str) -> String {
    match db.backend() {
        Backend::Sqlite => format!("{table}.{what}"),
        Backend::Postgres => format!("public.{table}.{what}"),
    }
}

/// The rows of a salvaged file, its header first, the rest sorted.
#[track_caller]
fn rows(sandbox: &Sandbox, db: &TestDatabase, table: &str, what: &str) -> Vec<String> {
    let file = newest(sandbox).join(format!("exports/{}.csv.gz", export_of(db, table, what)));
    let text = sandbox.run("gunzip", &["-c", file.to_str().unwrap()]).expect_code(0).stdout.clone();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[1..].sort();
    lines
}

#[track_caller]
fn facts(sandbox: &Sandbox, db: &TestDatabase, table: &str, what: &str) -> Value {
    let file = newest(sandbox).join(format!("exports/{}.json", export_of(db, table, what)));
    serde_json::from_str(&std::fs::read_to_string(&file).expect("it is there")).expect("JSON")
}

fn files(sandbox: &Sandbox) -> Vec<String> {
    sandbox.files(newest(sandbox).join("exports"))
}

both_engines! {
    fn a_dropped_column_is_kept_with_its_key(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE training_metric DROP COLUMN process_rank;",
            "ALTER TABLE training_metric ADD COLUMN process_rank INTEGER;");
        db.execute("UPDATE training_metric SET process_rank = 10 * id WHERE id IN (2, 5);");
        let query = "all=SELECT id, process_rank FROM training_metric WHERE process_rank IS NOT NULL";
        sandbox.ripcord(&["backup", "export", "--query", query]).expect_code(0);
        at(&sandbox, 2);
        let run = accepting(&sandbox, &["upgrade"]);
        run.stdout_has("salvage    ok  1 file, 2 rows").stdout_has("process_rank in 2 rows: exports/");
        assert_eq!(rows(&sandbox, db, "training_metric", "values"), ["id,process_rank", "2,20", "5,50"]);
        let found = facts(&sandbox, db, "training_metric", "values");
        let table = export_of(db, "training_metric", "").trim_end_matches('.').to_owned();
        assert_eq!(found["salvage"], json!({
            "what": "values", "table": table, "key": ["id"], "columns": ["process_rank"],
            "returned": { "process_rank": { "constant": null } },
        }));
        // The digest is that of an export by hand of the same rows.
        let by_hand: Value = serde_json::from_str(&sandbox.read("exports/all.json")).unwrap();
        assert_eq!((&found["rows"], &found["digest"]), (&by_hand["rows"], &by_hand["digest"]));
        sums_are_right(&sandbox, &newest(&sandbox));
        leaves_nothing_behind(&sandbox, db);
        sandbox.ripcord(&["backup", "verify"]).expect_code(0);
    }

    fn a_dropped_table_and_deleted_rows_are_kept_whole(db: &TestDatabase) {
        let sandbox = with(db, "DELETE FROM training_metric WHERE id > 57; DROP TABLE scrap; DROP TABLE empty;",
            "CREATE TABLE scrap (id INTEGER PRIMARY KEY, note TEXT); CREATE TABLE empty (id INTEGER PRIMARY KEY);");
        db.execute("CREATE TABLE scrap (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO scrap VALUES (1, NULL), (2, '');
CREATE TABLE empty (id INTEGER PRIMARY KEY);");
        accepting(&sandbox, &["upgrade"]);
        assert_eq!(rows(&sandbox, db, "scrap", "rows"), ["id,note", "1,", "2,\"\""]);
        let gone = rows(&sandbox, db, "training_metric", "rows");
        assert!(gone[0].starts_with("id,config_id,") && gone[0].contains("process_rank"), "{gone:?}");
        let ids: Vec<_> = gone[1..].iter().map(|row| row.split(',').next().unwrap()).collect();
        assert_eq!(ids, ["58", "59", "60"]);
        assert_eq!(facts(&sandbox, db, "training_metric", "rows")["salvage"]["what"], "rows");
        assert_eq!(files(&sandbox).len(), 4, "an empty table has nothing to keep: {:?}", files(&sandbox));
    }

    fn the_values_before_a_narrowing_type_are_kept_beside_what_came_back(db: &TestDatabase) {
        let (there, back) = match db.backend() {
            Backend::Sqlite => ("UPDATE training_metric SET train_loss = CAST(train_loss AS INTEGER);", "SELECT 1;"),
            Backend::Postgres => (
                "ALTER TABLE training_metric ALTER COLUMN train_loss TYPE smallint USING trunc(train_loss)::smallint;",
                "ALTER TABLE training_metric ALTER COLUMN train_loss TYPE double precision;",
            ),
        };
        let sandbox = with(db, there, back);
        db.execute("UPDATE training_metric SET train_loss = 7.25 WHERE id = 1; UPDATE training_metric SET train_loss = 0 WHERE id > 2;");
        db.execute("UPDATE training_metric SET train_loss = -2.5 WHERE id = 2;");
        accepting(&sandbox, &["upgrade"]);
        let found = rows(&sandbox, db, "training_metric", "values");
        let expected = match db.backend() {
            // As text, as everything that came back is compared.
            Backend::Postgres => ["id,train_loss,returned train_loss", "1,7.25,\"7\"", "2,-2.5,\"-2\""],
            Backend::Sqlite => ["id,train_loss,returned train_loss", "1,7.25,7.0", "2,-2.5,-2.0"],
        };
        assert_eq!(found, expected);
        let salvage = facts(&sandbox, db, "training_metric", "values")["salvage"].clone();
        assert_eq!(salvage["returned"], json!({ "train_loss": { "in": "returned train_loss" } }));
    }

    fn without_a_key_the_whole_row_identifies_it_and_duplicates_are_counted(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE loose DROP COLUMN c; DELETE FROM bare WHERE a = 1;", "ALTER TABLE loose ADD COLUMN c TEXT;");
        db.execute("CREATE TABLE loose (a INTEGER, b TEXT, c TEXT); CREATE TABLE bare (a INTEGER, b TEXT);
INSERT INTO loose VALUES (1, 'x', 'p'), (1, 'x', 'p'), (1, 'x', NULL), (2, NULL, 'q'), (3, 'y', NULL);
INSERT INTO bare VALUES (1, 'one'), (1, 'one'), (2, 'two'), (2, 'two'), (NULL, NULL);");
        accepting(&sandbox, &["upgrade"]);
        let kept = rows(&sandbox, db, "loose", "values");
        assert_eq!(kept, ["a,b,c", "1,\"x\",", "1,\"x\",\"p\"", "1,\"x\",\"p\"", "2,,\"q\""]);
        let salvage = facts(&sandbox, db, "loose", "values")["salvage"].clone();
        assert_eq!((&salvage["key"], &salvage["identity"]), (&json!([]), &json!(["a", "b"])));
        assert_eq!(salvage["returned"], json!({ "c": { "constant": null } }));
        assert_eq!(rows(&sandbox, db, "bare", "rows"), ["a,b", "1,\"one\"", "1,\"one\""]);
    }

    fn without_a_way_back_what_is_gone_and_what_is_overwritten_is_kept(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let path = sandbox.revision(NEXT, &[ADD_PROCESS_RANK], "DROP TABLE scrap; ALTER TABLE training_metric DROP COLUMN process_rank;
UPDATE training_config SET model_type = 'same'; ALTER TABLE training_config RENAME COLUMN epochs TO rounds;", "");
        let text = std::fs::read_to_string(&path).unwrap();
        let (start, _) = text.split_once("-- ripcord:downgrade").unwrap();
        std::fs::write(&path, start).unwrap();
        db.execute("CREATE TABLE scrap (id INTEGER PRIMARY KEY); INSERT INTO scrap VALUES (4);
UPDATE training_metric SET process_rank = 3 WHERE id = 1;");
        accepting(&sandbox, &["upgrade"]);
        assert_eq!(rows(&sandbox, db, "scrap", "rows"), ["id", "4"]);
        assert_eq!(rows(&sandbox, db, "training_metric", "values"), ["id,process_rank", "1,3"]);
        let models = ["id,model_type", "1,\"model-1\"", "2,\"model-2\"", "3,\"model-3\""];
        assert_eq!(rows(&sandbox, db, "training_config", "values"), models);
        assert_eq!(facts(&sandbox, db, "training_config", "values")["salvage"].get("returned"), None);
    }

    fn what_comes_back_is_not_kept(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE training_metric RENAME COLUMN process_rank TO place; ALTER TABLE training_config RENAME TO config;",
            "ALTER TABLE config RENAME TO training_config; ALTER TABLE training_metric RENAME COLUMN place TO process_rank;");
        db.execute("UPDATE training_metric SET process_rank = id;");
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(0).stdout_lacks("salvage");
        assert!(!newest(&sandbox).join("exports").exists());
    }

    fn a_downgrade_keeps_what_it_takes_away(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        db.execute("UPDATE training_metric SET process_rank = 4 WHERE id = 6;");
        accepting(&sandbox, &["downgrade", "-1"]);
        assert_eq!(rows(&sandbox, db, "training_metric", "values"), ["id,process_rank", "6,4"]);
    }

    fn salvage_is_of_the_instant_of_the_snapshot(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE training_metric DROP COLUMN process_rank;",
            "ALTER TABLE training_metric ADD COLUMN process_rank INTEGER;");
        db.execute("UPDATE training_metric SET process_rank = 1 WHERE id <= 2;");
        let mut writer = db.session();
        writer.execute(if db.backend() == Backend::Sqlite { "BEGIN IMMEDIATE;" } else { "BEGIN;" });
        writer.execute("UPDATE training_metric SET process_rank = 99 WHERE id <= 3;");
        accepts(&sandbox, "drops-column:training_metric.process_rank");
        let mut running = sandbox.spawn(&["upgrade"]);
        // The rows change after they were salvaged and before the migration can begin, which needs the table for itself.
        running.wait_for_line("publish ");
        writer.execute("COMMIT;");
        running.wait().expect_code(0);
        assert_eq!(rows(&sandbox, db, "training_metric", "values"), ["id,process_rank", "1,1", "2,1"]);
    }

    fn reports_name_what_was_salvaged(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE training_metric DROP COLUMN process_rank;",
            "ALTER TABLE training_metric ADD COLUMN process_rank INTEGER;");
        db.execute("UPDATE training_metric SET process_rank = 1 WHERE id <= 2;");
        let run = accepting(&sandbox, &["upgrade", "--format", "json"]);
        let name = export_of(db, "training_metric", "values");
        let expected = json!([{
            "file": format!("exports/{name}.csv.gz"), "what": "values", "rows": 2, "columns": ["process_rank"],
            "table": name.trim_end_matches(".values"),
        }]);
        assert_eq!(report(&run)["result"]["backup"]["salvage"], expected, "{run}");
        assert!(run.stdout.contains(r#"{"event":"step-started","step":"salvage"}"#), "{run}");
        let shown = report(&sandbox.ripcord(&["backup", "show", "latest", "--format", "json"]));
        assert_eq!(shown["result"]["salvage"], expected);
        sandbox.ripcord(&["backup", "show", "latest"]).expect_code(0).stdout_has("salvaged   ");
        let artifacts = shown["result"]["backup"]["manifest"]["artifacts"].as_array().unwrap();
        let is_listed = |file: &str| artifacts.iter().any(|artifact| artifact["path"] == format!("exports/{name}.{file}"));
        assert!(is_listed("csv.gz") && is_listed("json"), "{artifacts:?}");
    }
}
