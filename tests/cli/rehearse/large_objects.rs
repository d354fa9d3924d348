//! Large objects of PostgreSQL are data like any other: what becomes of them is named, refused and kept.

use super::*;

const TABLE: &str = "pg_catalog.pg_largeobject";

/// The sample with three large objects, and a revision that does something to them.
fn with_objects(db: &TestDatabase, upgrade: &str) -> Sandbox {
    let sandbox = with(db, upgrade, "");
    db.execute(
        "SELECT lo_from_bytea(4711, '\\x00ff'), lo_from_bytea(4712, 'before'), lo_from_bytea(4713, 'stays');",
    );
    sandbox
}

#[test]
fn a_change_of_large_objects_is_named_accepted_and_kept() {
    let db = TestDatabase::postgres();
    let sandbox = with_objects(&db, "SELECT lo_unlink(4711); SELECT lo_put(4712, 0, 'BEFORE');");
    let run = sandbox.ripcord(&["rehearse"]);
    let (deletes, overwrites) = (format!("deletes-rows:{TABLE}"), format!("overwrites-values:{TABLE}.md5"));
    run.expect_code(0).stdout_has(&format!("{deletes}: 1 row")).stdout_has(&format!("{overwrites}: 1 value"));
    run.stdout_has("number=4711");
    refuses(&sandbox, &db, &["upgrade"], 3, &deletes);
    let run = sandbox.ripcord(&["upgrade", "--accept", &deletes, "--accept", &overwrites]);
    run.expect_code(0);
    let salvaged = |what: &str| {
        let file = sandbox.backups().pop().unwrap().join(format!("exports/{TABLE}.{what}.csv.gz"));
        sandbox.run("gunzip", &["-c", file.to_str().unwrap()]).expect_code(0).stdout.clone()
    };
    assert_eq!(
        salvaged("rows").lines().nth(1).map(|row| row.contains("4711") && row.ends_with("\\x00ff")),
        Some(true)
    );
    assert!(salvaged("values").contains("\\x6265666f7265"), "{}", salvaged("values"));
    let run = sandbox.ripcord(&["downgrade", "-1"]);
    run.expect_code(0).stdout_has("large objects are put back by hand");
    assert_eq!(db.query("SELECT count(*) FROM pg_largeobject_metadata;"), "2");
}

#[test]
fn the_last_large_object_that_goes_is_a_row_and_no_table() {
    let db = TestDatabase::postgres();
    let sandbox = with_objects(&db, "SELECT lo_unlink(oid) FROM pg_largeobject_metadata;");
    let deletes = format!("deletes-rows:{TABLE}");
    sandbox.ripcord(&["rehearse"]).expect_code(0).stdout_has(&format!("{deletes}: 3 rows"));
    sandbox.ripcord(&["upgrade", "--accept", &deletes]).expect_code(0);
    let file = sandbox.backups().pop().unwrap().join(format!("exports/{TABLE}.rows.csv.gz"));
    let text = sandbox.run("gunzip", &["-c", file.to_str().unwrap()]).expect_code(0).stdout.clone();
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(text.contains("\\x7374617973"), "{text}");
}
