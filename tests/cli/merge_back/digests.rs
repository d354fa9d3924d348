//! The fingerprint itself is the witness: every column of the rows that were there then and are there now has the digest
//! that it had.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const MADE: &str = "CREATE TABLE person (id INTEGER PRIMARY KEY, name VARCHAR(40), weight DOUBLE PRECISION, phone VARCHAR(40));
CREATE TABLE visit (id INTEGER PRIMARY KEY, person INTEGER REFERENCES person (id), what VARCHAR(40) NOT NULL);
CREATE TABLE note (what VARCHAR(40), rank INTEGER);";
const UP: &str = "ALTER TABLE person DROP COLUMN phone; UPDATE person SET name = 'x', weight = weight + 1 WHERE id % 2 = 0;
DROP TABLE visit; DELETE FROM person WHERE id % 5 = 0; DELETE FROM note WHERE rank = 3; UPDATE note SET rank = NULL;";
const DOWN: &str = "ALTER TABLE person ADD COLUMN phone VARCHAR(40);
CREATE TABLE visit (id INTEGER PRIMARY KEY, person INTEGER REFERENCES person (id), what VARCHAR(40) NOT NULL);";

/// The digests of all columns as a new backup has them.
fn digests(sandbox: &Sandbox) -> Value {
    let run = sandbox.ripcord(&["backup", "create", "--format", "json"]);
    run.expect_code(0);
    let id = report(&run)["result"]["backup"]["id"].as_str().expect("a backup").to_owned();
    let text =
        std::fs::read_to_string(sandbox.path("backups").join(id).join("before.json")).expect("an inventory");
    let inventory: Value = serde_json::from_str(&text).expect("JSON");
    let tables = inventory["fingerprint"]["tables"].as_object().expect("tables").iter();
    let own = tables.filter(|(name, _)| ["person", "visit", "note"].iter().any(|own| name.ends_with(own)));
    own.map(|(name, table)| (name.clone(), json!([table["rows"], table["columns"]]))).collect()
}

fn rows(texts: &[String]) -> String {
    let quoted = |at: usize| format!("'{}'", texts[at % texts.len()].replace('\'', "''"));
    let one = |id: usize| {
        let phone = if id.is_multiple_of(4) { "NULL".to_owned() } else { quoted(id + 1) };
        let (name, what, rank) = (quoted(id), quoted(id + 2), id % 7);
        format!(
            "INSERT INTO person VALUES ({id}, {name}, {id}.25, {phone}); INSERT INTO visit VALUES ({id}, {id}, {what}); \
             INSERT INTO note VALUES ('{id}', {rank});"
        )
    };
    (1..30).map(one).collect::<Vec<_>>().join("\n")
}

both_engines! {
    fn every_column_has_its_old_digest_in_the_rows_of_then_that_are_still_there(db: &TestDatabase) {
        let sandbox = project(db, MADE, "SELECT 1;", UP, DOWN);
        let minute = std::cell::Cell::new(1);
        let next = || {
            at(&sandbox, minute.get());
            minute.set(minute.get() + 1);
        };
        let texts = proptest::collection::vec("[ -~é€]{0,6}", 3..6);
        let gone = proptest::collection::btree_set((1..30u32).prop_filter("still there", |id| id % 5 != 0), 0..6);
        let runner = Config { cases: 2, max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
        TestRunner::new(runner).run(&(texts, gone), |(texts, gone)| {
            let gone: Vec<String> = gone.iter().map(u32::to_string).collect();
            let gone = if gone.is_empty() { "0".to_owned() } else { gone.join(", ") };
            let all = format!("DELETE FROM visit; DELETE FROM person; DELETE FROM note; {}", rows(&texts));
            let visits = format!("DELETE FROM visit WHERE person IN ({gone});");
            let since = format!("DELETE FROM person WHERE id IN ({gone}); DELETE FROM note WHERE what IN ('1', '2');");
            // What it should be: as it was, without what is deleted in between.
            db.execute(&format!("{all} {visits} {since}"));
            next();
            let expected = digests(&sandbox);
            db.execute(&format!("{all} {visits}"));
            next();
            upgrade(&sandbox);
            db.execute(&format!("{since} INSERT INTO person VALUES (100, 'new', 1); INSERT INTO note VALUES ('new', 9);"));
            next();
            let result = downgrade(&sandbox);
            prop_assert_eq!(&result["merge"]["conflict_count"], 0, "{:#}", result["merge"]);
            db.execute("DELETE FROM person WHERE id = 100; DELETE FROM note WHERE what = 'new';");
            next();
            let found = digests(&sandbox);
            prop_assert_eq!(found, expected, "{:#}", result["merge"]);
            Ok(())
        }).unwrap();
    }
}
