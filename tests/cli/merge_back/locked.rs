//! PostgreSQL: others who are in the middle of something while a merge begins.

use super::by_hand::upgrade_backup;
use super::*;
use std::time::Duration;

/// Waits until somebody waits for a lock of the table.
fn somebody_waits_for(db: &TestDatabase, table: &str) {
    let waiting =
        format!("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass;");
    for _ in 0..1000 {
        if db.query(&waiting) != "0" {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("nobody waits for {table}");
}

/// A client who has read a table, and writes to it when a merge waits already, is not in its way for ever.
fn a_reader_may_write(made: &str, up: &str, down: &str) {
    let db = &TestDatabase::postgres();
    let sandbox =
        project(db, made, "INSERT INTO item (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c');", up, down);
    sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"60s\"\nretries = 0\n");
    upgrade(&sandbox);
    let backup = upgrade_backup(&sandbox);
    accepting(&sandbox, &["downgrade", "--no-merge"]).expect_code(0);
    at(&sandbox, 2);
    let mut client = db.session();
    client.execute("BEGIN; SELECT count(*) FROM item;");
    let merge = sandbox.spawn(&["backup", "merge-back", &backup]);
    somebody_waits_for(db, "item");
    client.execute("LOCK TABLE item IN ROW EXCLUSIVE MODE; COMMIT;");
    merge.wait().expect_code(0).stdout_has("3 put back");
}

#[test]
fn a_client_who_has_read_a_table_with_an_identity_column_may_still_write_to_it() {
    let made = "CREATE TABLE item (id INTEGER PRIMARY KEY, no INTEGER GENERATED ALWAYS AS IDENTITY (START 7), name VARCHAR(20));";
    let down = "ALTER TABLE item ADD COLUMN no INTEGER GENERATED ALWAYS AS IDENTITY;";
    a_reader_may_write(made, "ALTER TABLE item DROP COLUMN no;", down);
}

#[test]
fn a_client_who_has_read_a_table_with_a_rule_may_still_write_to_it() {
    let made = "CREATE TABLE item (id INTEGER PRIMARY KEY, name VARCHAR(20)); CREATE TABLE seen (id INTEGER);
CREATE RULE noted AS ON DELETE TO item DO ALSO INSERT INTO seen VALUES (old.id);";
    a_reader_may_write(
        made,
        "ALTER TABLE item DROP COLUMN name;",
        "ALTER TABLE item ADD COLUMN name VARCHAR(20);",
    );
}
