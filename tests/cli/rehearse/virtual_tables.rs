//! A virtual table of SQLite is one table with rows of its own, however many others it keeps its index in.

use super::*;

const TABLES: &str = "CREATE VIRTUAL TABLE fts USING fts5 (title, body);
INSERT INTO fts (rowid, title, body) VALUES (1, 'a', 'hello world'), (2, 'b', 'foo'), (7, 'c', 'bar');
CREATE VIRTUAL TABLE fts_old USING fts4 (body); INSERT INTO fts_old (rowid, body) VALUES (3, 'old');
CREATE VIRTUAL TABLE box USING rtree (id, x0, x1); INSERT INTO box VALUES (1, 0, 2.5), (2, 1, 4);";

fn with_tables(upgrade: &str, downgrade: &str) -> (TestDatabase, Sandbox) {
    let db = TestDatabase::sqlite();
    let sandbox = with(&db, upgrade, downgrade);
    db.execute(TABLES);
    (db, sandbox)
}

fn hazards(sandbox: &Sandbox) -> Vec<String> {
    let run = sandbox.ripcord(&["rehearse", "--format", "json"]);
    run.expect_code(0);
    let found = report(&run)["result"]["hazards"].clone();
    found
        .as_array()
        .unwrap()
        .iter()
        .map(|held| format!("{}: {}", held["hazard"].as_str().unwrap(), held["count"]))
        .collect()
}

fn salvaged(sandbox: &Sandbox, name: &str) -> Vec<String> {
    let file = sandbox.backups().pop().unwrap().join(format!("exports/{name}.csv.gz"));
    let text = sandbox.run("gunzip", &["-c", file.to_str().unwrap()]).expect_code(0).stdout.clone();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_row_that_comes_and_goes_loses_nothing() {
    let (_db, sandbox) = with_tables(
        "INSERT INTO fts (rowid, body) VALUES (9, 'nine'); INSERT INTO box VALUES (9, 9, 9);",
        "DELETE FROM fts WHERE rowid = 9; DELETE FROM box WHERE id = 9;",
    );
    assert_eq!(hazards(&sandbox), [""; 0]);
    sandbox.ripcord(&["rehearse", "--deny", "loss"]).expect_code(0).stdout_has("fts: 1 inserted");
    sandbox.ripcord(&["upgrade"]).expect_code(0);
    sandbox.ripcord(&["downgrade", "-1"]).expect_code(0);
}

#[test]
fn what_goes_of_a_virtual_table_is_named_by_its_own_name_and_kept() {
    let (db, sandbox) = with_tables(
        "DELETE FROM fts WHERE rowid = 7; UPDATE fts SET body = 'other' WHERE rowid = 2; DROP TABLE fts_old;
DELETE FROM box WHERE id = 2; UPDATE box SET x1 = 3 WHERE id = 1;",
        "CREATE VIRTUAL TABLE fts_old USING fts4 (body);",
    );
    let expected = [
        "deletes-rows:box: 1",
        "overwrites-values:box.x1: 1",
        "deletes-rows:fts: 1",
        "overwrites-values:fts.body: 1",
        "drops-table:fts_old: 1",
    ];
    assert_eq!(hazards(&sandbox), expected);
    let refused = refuses(&sandbox, &db, &["upgrade"], 3, "deletes-rows:fts");
    refused.stderr_has("rowid=7").stderr_has("body=bar");
    let flags: Vec<String> =
        hazards(&sandbox).iter().map(|name| name.split(": ").next().unwrap().to_owned()).collect();
    let flags = flags.iter().flat_map(|name| ["--accept", name]);
    sandbox.ripcord(&["upgrade"].into_iter().chain(flags).collect::<Vec<_>>()).expect_code(0);
    assert_eq!(salvaged(&sandbox, "fts.rows"), ["rowid,title,body", "7,\"c\",\"bar\""]);
    assert_eq!(salvaged(&sandbox, "fts.values")[1].split(',').next(), Some("2"));
    assert!(salvaged(&sandbox, "fts.values")[1].contains("foo"));
    assert_eq!(salvaged(&sandbox, "fts_old.rows"), ["rowid,body", "3,\"old\""]);
    assert!(
        salvaged(&sandbox, "box.rows")[1].starts_with("2,2,1.0,4.0"),
        "{:?}",
        salvaged(&sandbox, "box.rows")
    );
    let run = sandbox.ripcord(&["downgrade", "-1"]);
    run.expect_code(0).stdout_lacks("by hand");
    assert_eq!(
        db.query("SELECT rowid, body FROM fts; SELECT rowid, body FROM fts_old;"),
        "1|hello world\n2|foo\n7|bar\n3|old"
    );
    assert_eq!(
        db.query("SELECT id, x1 FROM box ORDER BY id; SELECT rowid FROM fts WHERE fts MATCH 'bar';"),
        "1|2.5\n2|4.0\n7"
    );
}

#[test]
fn a_virtual_table_that_is_named_and_not_rehearsed_is_opaque() {
    let (db, sandbox) = with_tables("DELETE FROM fts;", "");
    refuses(&sandbox, &db, &["upgrade", "--no-rehearsal"], 3, "opaque");
    sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]).expect_code(0);
    assert_eq!(salvaged(&sandbox, "fts.rows").len(), 4);
}
