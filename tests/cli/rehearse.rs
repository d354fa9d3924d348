//! A rehearsal says before a migration runs what it would lose, and touches nothing but a copy.

mod beyond;
mod copies;
mod large_objects;
mod lost_key;
mod made_anew;
mod same_rows;
mod unwritten;
mod virtual_tables;
mod way_back;

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

/// Rehearses, and returns the ledger after looking that nothing was touched and nothing is left.
#[track_caller]
fn ledger(sandbox: &Sandbox, db: &TestDatabase, arguments: &[&str]) -> Value {
    let before = db.dump();
    let run = sandbox.ripcord(&[&["rehearse", "--format", "json"], arguments].concat());
    run.expect_code(0);
    assert_same(&before, &db.dump(), &run);
    leaves_nothing_behind(sandbox, db);
    report(&run)["result"]["ledger"].clone()
}

/// A table's name as the ledger has it.
fn named(db: &TestDatabase, table: &str) -> String {
    match db.backend() {
        Backend::Sqlite => table.to_owned(),
        Backend::Postgres => format!("public.{table}"),
    }
}

/// The entry of a table.
#[track_caller]
fn entry<'a>(ledger: &'a Value, db: &TestDatabase, table: &str) -> &'a Value {
    let name = named(db, table);
    let tables = ledger["tables"].as_array().expect("a list");
    tables
        .iter()
        .find(|entry| entry["table"] == name.as_str())
        .unwrap_or_else(|| panic!("no {name} in {ledger:#}"))
}

fn subjects(changes: &Value) -> Vec<&str> {
    changes.as_array().expect("a list").iter().filter_map(|change| change["subject"].as_str()).collect()
}

both_engines! {
    fn a_dropped_table_is_not_called_moved_for_a_new_one_with_the_same_keys(db: &TestDatabase) {
        db.execute("CREATE TABLE unsubscribed (user_id INTEGER PRIMARY KEY); INSERT INTO unsubscribed VALUES (1), (2), (3);");
        let up = "DROP TABLE unsubscribed;
CREATE TABLE settings (user_id INTEGER PRIMARY KEY, dark_mode INTEGER NOT NULL DEFAULT 0);
INSERT INTO settings (user_id) VALUES (1), (2), (3);";
        let sandbox = with(db, up, "DROP TABLE settings; CREATE TABLE unsubscribed (user_id INTEGER PRIMARY KEY);");
        let found = ledger(&sandbox, db, &[]);
        assert_eq!(entry(&found, db, "unsubscribed")["fate"], "lost");
        assert_eq!(found["lost"], json!([{ "what": "table", "table": named(db, "unsubscribed"), "count": 3 }]));
        assert_eq!(entry(&found, db, "settings")["fate"], "added");
        let run = sandbox.ripcord(&["rehearse", "--deny", "loss"]);
        run.expect_code(3).stdout_has("drops-table:unsubscribed").stdout_lacks("copy of unsubscribed");
        at(&sandbox, 1);
        sandbox.ripcord(&["upgrade"]).expect_code(3).stderr_has("--accept drops-table:unsubscribed");
    }

    fn a_renamed_table_of_keys_alone_loses_nothing_where_the_way_back_renames_it(db: &TestDatabase) {
        db.execute("CREATE TABLE unsubscribed (user_id INTEGER PRIMARY KEY); INSERT INTO unsubscribed VALUES (1), (2), (3);");
        let sandbox = with(db, "ALTER TABLE unsubscribed RENAME TO silent;", "ALTER TABLE silent RENAME TO unsubscribed;");
        assert_eq!(ledger(&sandbox, db, &[])["lost"], json!([]));
    }

    fn a_rename_is_moved_and_nothing_is_lost(db: &TestDatabase) {
        let sandbox = with(
            db,
            "ALTER TABLE training_config RENAME COLUMN model_type TO model_kind;
ALTER TABLE training_metric RENAME TO training_measure;",
            "ALTER TABLE training_measure RENAME TO training_metric;
ALTER TABLE training_config RENAME COLUMN model_kind TO model_type;",
        );
        let found = ledger(&sandbox, db, &["--deny", "loss"]);
        assert_eq!(found["lost"], json!([]), "{found:#}");
        let to = named(db, "training_config") + ".model_kind";
        let moved = json!({ "fate": "moved", "to": to });
        assert_eq!(entry(&found, db, "training_config")["columns"]["model_type"], moved);
        let table = entry(&found, db, "training_metric");
        assert_eq!((&table["fate"], &table["to"]), (&json!("moved"), &json!(named(db, "training_measure"))));
        assert_eq!(found["again"], json!({ "again": "same" }));
        assert_eq!(found["not_brought_back"], json!([]));
        assert_eq!(found["dishonest"], json!([]));
    }

    fn a_dropped_column_is_named_with_the_number_of_its_values(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE training_metric DROP COLUMN process_rank;
ALTER TABLE training_config DROP COLUMN warmup_steps;",
            "ALTER TABLE training_config ADD COLUMN warmup_steps INTEGER NOT NULL DEFAULT 0;
ALTER TABLE training_metric ADD COLUMN process_rank INTEGER;");
        db.execute("UPDATE training_metric SET process_rank = id WHERE id <= 7;");
        let run = sandbox.ripcord(&["rehearse", "--deny", "loss"]);
        run.expect_code(3).stderr_is_empty();
        let (config, metric) = (named(db, "training_config"), named(db, "training_metric"));
        run.stdout_has(&format!("LOST       column {config}.warmup_steps: 3 values"))
            .stdout_has(&format!("LOST       column {metric}.process_rank: 7 values"))
            .stdout_has(&format!("dishonest  column {config}.warmup_steps is created again without its data (3 values differ)"))
            .stdout_has("2 losses for good; 2 definitions do not come back; the database was only read");
        let found = ledger(&sandbox, db, &[]);
        let lost = json!({ "what": "column", "table": config, "column": "warmup_steps", "count": 3 });
        assert_eq!(found["lost"][0], lost, "{found:#}");
    }

    fn a_column_that_holds_nothing_loses_nothing(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE training_metric DROP COLUMN process_rank;",
            "ALTER TABLE training_metric ADD COLUMN process_rank INTEGER;");
        let run = sandbox.ripcord(&["rehearse", "--deny", "loss"]);
        run.expect_code(0).stdout_has("process_rank: 0 values").stdout_has("nothing would be lost for good");
    }

    fn a_dropped_table_and_deleted_rows_are_counted(db: &TestDatabase) {
        let sandbox = with(db, "DELETE FROM training_metric WHERE step > 15;
UPDATE training_metric SET epoch = 9 WHERE step = 1; DROP TABLE scrap;", "CREATE TABLE scrap (id INTEGER PRIMARY KEY);");
        db.execute("CREATE TABLE scrap (id INTEGER PRIMARY KEY); INSERT INTO scrap VALUES (1), (2);");
        let found = ledger(&sandbox, db, &[]);
        let lost = |what: &str, table: &str, count: u64| {
            let loss = json!({ "what": what, "table": named(db, table), "count": count });
            assert!(found["lost"].as_array().unwrap().contains(&loss), "{found:#}");
        };
        lost("table", "scrap", 2);
        lost("rows", "training_metric", 15);
        let metric = entry(&found, db, "training_metric");
        assert_eq!((&metric["inserted"], &metric["deleted"], &metric["changed"]), (&json!(0), &json!(15), &json!(3)));
        // The digests say nothing as soon as rows are gone: these were compared by key.
        assert_eq!(metric["columns"]["train_loss"], json!({ "fate": "kept" }));
        assert_eq!(metric["columns"]["epoch"]["count"], 3);
        let without = json!({ "how": "without-rows", "table": named(db, "scrap"), "count": 2 });
        assert!(found["dishonest"].as_array().unwrap().contains(&without), "{found:#}");
    }

    fn rows_without_a_key_are_compared_whole(db: &TestDatabase) {
        let sandbox = with(db, "DELETE FROM loose WHERE a = 2; INSERT INTO loose VALUES (3, 'z'), (3, 'z'), (4, NULL);", "");
        db.execute("CREATE TABLE loose (a INTEGER, b TEXT); INSERT INTO loose VALUES (1, NULL), (1, NULL), (2, 'y');");
        let found = ledger(&sandbox, db, &[]);
        let loose = entry(&found, db, "loose");
        assert_eq!((&loose["inserted"], &loose["deleted"], &loose["changed"]), (&json!(2), &json!(0), &json!(1)));
        assert_eq!(found["lost"][0]["what"], "values", "{found:#}");
    }
}
