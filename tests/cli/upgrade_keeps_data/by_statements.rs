//! `transaction none`: statements that no transaction can hold, journalled one by one.

use super::rows;
use crate::promise::*;
use crate::support::*;

const ALONE: &str = "cccc00000001";

/// A revision whose statements run by themselves.
fn by_itself(upgrade: &str, downgrade: &str) -> Revision {
    Revision::new(ALONE)
        .revises(ADD_PROCESS_RANK)
        .directive("transaction", "none")
        .upgrade(upgrade)
        .downgrade(downgrade)
}

/// The lines of the newest journal that speak of statements.
fn statements_in_journal(sandbox: &Sandbox) -> Vec<serde_json::Value> {
    let newest = sandbox.files("backups/.operations").pop().unwrap();
    let text = sandbox.read(format!("backups/.operations/{newest}"));
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["event"].as_str().unwrap().starts_with("statement")).collect()
}

fn index_and_vacuum(db: &TestDatabase) -> Revision {
    match db.backend() {
        Backend::Sqlite => by_itself(
            "CREATE INDEX by_step ON training_metric (step);\nVACUUM;",
            "DROP INDEX by_step;\nVACUUM;",
        ),
        Backend::Postgres => by_itself(
            "CREATE INDEX CONCURRENTLY by_step ON training_metric (step);\nVACUUM training_metric;",
            "DROP INDEX CONCURRENTLY by_step;",
        ),
    }
}

both_engines! {
    fn statements_without_a_transaction_run_up_and_down(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&index_and_vacuum(db));
        let kept = rows(db);
        let run = sandbox.ripcord(&["upgrade"]);
        run.expect_code(0).stdout_has("by_step").stdout_has("each statement by itself");
        assert_eq!((db.version().as_str(), rows(db)), (ALONE, kept.clone()));
        assert!(db.schema().contains("by_step"));
        at(&sandbox, 2);
        sandbox.ripcord(&["downgrade"]).expect_code(0);
        assert_eq!((db.version().as_str(), rows(db)), (ADD_PROCESS_RANK, kept));
        assert!(!db.schema().contains("by_step"));
    }

    fn each_statement_is_journalled_with_its_hash_before_it_runs(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&index_and_vacuum(db));
        sandbox.ripcord(&["upgrade"]).expect_code(0);
        let lines = statements_in_journal(&sandbox);
        let seen: Vec<_> = lines.iter().map(|line| (line["event"].as_str().unwrap(), line["index"].as_u64().unwrap())).collect();
        assert_eq!(
            seen,
            [("statement-started", 0), ("statement-finished", 0), ("statement-started", 1), ("statement-finished", 1)]
        );
        assert_eq!(lines[0]["sha256"].as_str().unwrap().len(), 64);
        assert_ne!(lines[0]["sha256"], lines[2]["sha256"]);
    }

    fn when_a_later_statement_fails_the_way_back_is_taken_or_named(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&by_itself(
            "UPDATE training_config SET epochs = 99;\nALTER TABLE training_config ADD COLUMN extra INTEGER;\nINSERT INTO nowhere VALUES (1);", "",
        ));
        let before = db.dump();
        let run = sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque"]);
        says_three_parts(&run, "nowhere");
        if db.backend() == Backend::Sqlite {
            run.expect_code(4).stderr_has("state: the snapshot was put back");
            assert_same(&before, &db.dump(), &run);
        } else {
            // The server numbers the transactions, not whose they are, so a person has to say that nobody else wrote.
            run.expect_code(5);
            at(&sandbox, 2);
            let back = follow(&sandbox, &next_of(&run));
            back.expect_code(0);
            assert_same(&before, &db.dump(), &back);
        }
    }

    fn asked_to_stop_the_half_done_statements_stay_for_a_person(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.add(&by_itself("UPDATE training_config SET epochs = 99;\nINSERT INTO nowhere VALUES (1);", ""));
        let run = sandbox.ripcord(&["upgrade", "--no-rehearsal", "--accept", "opaque", "--on-failure", "stop"]);
        run.expect_code(5).stderr_has("state: the change stands half-way").stderr_has("next: ripcord restore");
        assert_eq!(db.query("SELECT DISTINCT epochs FROM training_config;"), "99");
        assert_eq!(db.version(), ADD_PROCESS_RANK);
    }

    fn a_target_in_steps_is_named_by_its_revision_where_the_change_stands_half_way(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.revision("abcd00000001", &[ADD_PROCESS_RANK], "CREATE TABLE one (id INTEGER);", "INSERT INTO nowhere VALUES (1);");
        sandbox.revision("abcd00000002", &["abcd00000001"], "INSERT INTO nowhere VALUES (1);", "SELECT 1;");
        sandbox.revision("abcd00000003", &["abcd00000002"], "SELECT 1;", "SELECT 1;");
        let stop = ["--no-rehearsal", "--accept", "opaque", "--on-failure", "stop"];
        let run = sandbox.ripcord(&[&["upgrade", "+2"], &stop[..]].concat());
        run.expect_code(5).stderr_has("half-way").stderr_has("next: ripcord upgrade abcd00000002\n");
        sandbox.revision("abcd00000002", &["abcd00000001"], "SELECT 1;", "SELECT 1;");
        at(&sandbox, 1);
        sandbox.ripcord(&[&["upgrade"], &stop[..]].concat()).expect_code(0);
        at(&sandbox, 2);
        let run = sandbox.ripcord(&[&["downgrade", "-3"], &stop[..]].concat());
        run.expect_code(5).stderr_has(&format!("next: ripcord downgrade {ADD_PROCESS_RANK}\n"));
    }

    fn what_an_operation_left_half_way_is_named_by_the_next_one_with_its_way_back(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let before = db.dump();
        let broken = "ALTER TABLE training_config ADD COLUMN extra INTEGER;\nINSERT INTO nowhere VALUES (1);";
        sandbox.add(&by_itself(broken, "SELECT 1;"));
        let skipping = ["upgrade", "--no-rehearsal", "--accept", "opaque", "--on-failure", "stop"];
        sandbox.ripcord(&skipping).expect_code(5);
        let left = name_of(&sandbox.backups()[1]);
        let fact = format!("operation {left} stopped in statement 2 of revision {ALONE}");
        for (minute, arguments) in [(2, ["upgrade"].as_slice()), (3, &["rehearse"])] {
            at(&sandbox, minute);
            let run = sandbox.ripcord(arguments);
            run.expect_code(4).stderr_has(&format!("note: {fact}"));
            says_three_parts(&run, &format!("\n  {fact}"));
            run.stderr_has(&format!("state: nothing was changed by this command: the database is half-way, as {left}"));
            run.stderr_has("next: mend the revision file");
            assert_eq!(next_of(&run), ["restore".to_owned(), left.clone()]);
        }
        // A second attempt that fails as well does not make its own beginning the state to go back to.
        at(&sandbox, 4);
        let again = sandbox.ripcord(&skipping);
        assert_eq!(next_of(&again), ["restore".to_owned(), left]);
        at(&sandbox, 5);
        let back = follow(&sandbox, &next_of(&again));
        back.expect_code(0);
        assert_same(&before, &db.dump(), &back);
        at(&sandbox, 6);
        sandbox.ripcord(&["upgrade"]).expect_code(4).stderr_lacks("stopped in statement");
    }
}
