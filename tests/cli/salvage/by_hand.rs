//! Salvage without ripcord: stock tools load it, and the page in the backup says how.

use super::*;

/// Lets stock tools find the server.
fn for_tools(sandbox: &Sandbox, db: &TestDatabase) {
    if db.backend() == Backend::Postgres {
        let server = db.server();
        let path = format!("{}:/usr/bin:/bin", server.bin_dir().display());
        sandbox.env("PGHOST", server.socket_folder()).env("PGUSER", "app").env("PGPASSWORD", "app");
        sandbox.env("PATH", path);
    }
}

/// The commands of a section of the page.
#[track_caller]
fn commands(sandbox: &Sandbox) -> Vec<String> {
    let page = std::fs::read_to_string(newest(sandbox).join("RUNBOOK.md")).unwrap();
    let (_, section) =
        page.split_once("## 6. What the migration takes away\n").unwrap_or_else(|| panic!("{page}"));
    let blocks = section.split("```console\n$ ").skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap().to_owned()).collect()
}

both_engines! {
    fn the_page_in_the_backup_loads_salvage_with_stock_tools(db: &TestDatabase) {
        let sandbox = with(db, "ALTER TABLE training_metric DROP COLUMN process_rank; DELETE FROM training_config WHERE id = 3;
UPDATE training_metric SET train_loss = 0 WHERE id < 9;",
            "ALTER TABLE training_metric ADD COLUMN process_rank INTEGER;");
        db.execute("DELETE FROM training_metric WHERE config_id = 3; UPDATE training_metric SET process_rank = 2 * id WHERE id <> 7;");
        let all = "SELECT * FROM training_metric ORDER BY id; SELECT * FROM training_config ORDER BY id;";
        let before = db.query(all);
        accepting(&sandbox, &["upgrade"]);
        let saved = newest(&sandbox);
        let commands = commands(&sandbox);
        assert_eq!(commands.len(), 2, "{commands:?}");
        let (table, column) = ("ALTER TABLE training_metric", "process_rank INTEGER");
        db.execute(&format!("{table} ADD COLUMN {column};"));
        assert_ne!(db.query(all), before);
        for_tools(&sandbox, db);
        for command in commands {
            let script = format!("set -eo pipefail; cd '{}'\n{command}", saved.display());
            sandbox.run("bash", &["-c", &script]).expect_code(0);
        }
        assert_eq!(db.query(all), before);
    }
}

#[test]
fn copy_loads_the_rows_of_a_dropped_table_in_postgresql() {
    let db = TestDatabase::postgres();
    let sandbox = with(&db, "DROP TABLE scrap;", "");
    let create = "CREATE TABLE scrap (id INTEGER PRIMARY KEY, t TEXT, b BYTEA, n NUMERIC, twice INTEGER GENERATED ALWAYS AS (2 * id) STORED);";
    db.execute(&format!("{create} INSERT INTO scrap VALUES (1, NULL, '\\x00', 1.50), (2, '', NULL, 'NaN'), (3, E'a\"\\n,b', '', NULL);"));
    let before = db.query("SELECT * FROM scrap ORDER BY id;");
    accepting(&sandbox, &["upgrade"]);
    assert_eq!(facts(&sandbox, &db, "scrap", "rows")["left_out"], json!(["twice"]));
    db.execute(create);
    for_tools(&sandbox, &db);
    let load = format!(
        "gunzip -c '{}/exports/public.scrap.rows.csv.gz' | psql -X -v ON_ERROR_STOP=1 -d app -c \"COPY scrap (id, t, b, n) FROM STDIN (FORMAT csv, HEADER)\"",
        newest(&sandbox).display()
    );
    sandbox.run("bash", &["-c", &load]).expect_code(0);
    assert_eq!(db.query("SELECT * FROM scrap ORDER BY id;"), before);
}
