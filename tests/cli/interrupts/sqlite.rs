//! On SQLite: while a statement runs that never ends, and while another program holds the lock.

use super::{SIGNALS, ended_well, goes_on};
use crate::promise::*;
use crate::support::*;

const NEXT: &str = "abcd00000001";

/// A statement that counts for ever.
const ENDLESS: &str = "INSERT INTO training_config (model_type, dataset_name, batch_size, learning_rate, epochs, max_seq_length, warmup_steps)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'x', 'y', max(i), 1, 1, 1, 1 FROM n;";

fn endless(transaction: &str) -> Revision {
    Revision::new(NEXT)
        .revises(ADD_PROCESS_RANK)
        .directive("transaction", transaction)
        .upgrade(&format!("UPDATE training_config SET epochs = 99;\n{ENDLESS}"))
        .downgrade("")
}

#[test]
fn a_migration_that_runs_for_ever_is_stopped_and_undone() {
    for signal in SIGNALS {
        let db = TestDatabase::sqlite();
        let sandbox = filled_sample_of(&db);
        let place = sandbox.add(&endless("one"));
        let before = db.dump();
        let mut running = sandbox.spawn(&["upgrade", "--no-rehearsal", "--accept", "opaque"]);
        running.wait_for_line("publish");
        running.signal(signal);
        let run = running.wait();
        ended_well(&sandbox, &db, &before, &run);
        run.stderr_has("state: nothing was changed");
        std::fs::remove_file(place).unwrap();
        at(&sandbox, 2);
        goes_on(&sandbox, &db, &["downgrade"], CREATE_TABLES);
    }
}

#[test]
fn the_end_of_the_terminal_is_a_wish_to_stop_unless_the_program_was_started_to_outlive_it() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    let place = sandbox.add(&endless("one"));
    let before = db.dump();
    let binary = ripcord_binary().display().to_string();
    // Whatever started the tests may ignore the signal, and children inherit that.
    let arguments = ["--default-signal=HUP", &binary, "upgrade", "--no-rehearsal", "--accept", "opaque"];
    let mut running = sandbox.start("env", &arguments);
    running.wait_for_line("publish");
    running.signal(Signal::HUP);
    ended_well(&sandbox, &db, &before, &running.wait());
    std::fs::remove_file(place).unwrap();
    at(&sandbox, 2);
    // As nohup(1) does it.
    let mut running = sandbox.start("env", &["--ignore-signal=HUP", &binary, "downgrade"]);
    running.wait_for_line("operation");
    running.signal(Signal::HUP);
    running.wait().expect_code(0);
    assert_eq!(db.version(), CREATE_TABLES);
}

#[test]
fn statements_that_ran_by_themselves_before_the_signal_are_put_back() {
    for signal in SIGNALS {
        let db = TestDatabase::sqlite();
        let sandbox = filled_sample_of(&db);
        sandbox.add(&endless("none"));
        let before = db.dump();
        let running = sandbox.spawn(&["upgrade", "--no-rehearsal", "--accept", "opaque"]);
        // The first statement is committed: the second one is under way, or about to be.
        let done = "SELECT count(*) FROM training_config WHERE epochs = 99;";
        while db.try_query(done).as_deref() != Ok("3") {
            std::thread::yield_now();
        }
        running.signal(signal);
        let run = running.wait();
        ended_well(&sandbox, &db, &before, &run);
        run.stderr_has("state: the snapshot was put back");
    }
}

#[test]
fn a_run_that_waits_for_the_lock_of_another_program_is_stopped() {
    for signal in SIGNALS {
        let db = TestDatabase::sqlite();
        let sandbox = filled_sample_of(&db);
        sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"2min\"\n");
        let before = db.dump();
        let mut session = db.session();
        session.execute("BEGIN IMMEDIATE;");
        let mut running = sandbox.spawn(&["downgrade"]);
        running.wait_for_line("operation");
        running.signal(signal);
        let run = running.wait();
        session.execute("ROLLBACK;");
        ended_well(&sandbox, &db, &before, &run);
        at(&sandbox, 2);
        goes_on(&sandbox, &db, &["downgrade"], CREATE_TABLES);
    }
}

#[test]
fn a_restore_that_waits_for_a_reader_is_stopped_before_it_replaces_anything() {
    for signal in SIGNALS {
        let db = TestDatabase::sqlite();
        let sandbox = filled_sample_of(&db);
        sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"2min\"\n");
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        db.execute("DELETE FROM training_metric;");
        let before = db.dump();
        at(&sandbox, 2);
        // In rollback-journal mode one reader keeps every writer from finishing.
        let mut session = db.session();
        session.execute("BEGIN; SELECT count(*) FROM training_config;");
        let mut running = sandbox.spawn(&["restore", "latest"]);
        running.wait_for_line("stage");
        running.signal(signal);
        let run = running.wait();
        session.execute("ROLLBACK;");
        ended_well(&sandbox, &db, &before, &run);
        at(&sandbox, 3);
        sandbox.ripcord(&["restore", "20261123T1816"]).expect_code(0);
        assert_eq!(db.query("SELECT count(*) FROM training_metric;"), "60");
    }
}

#[test]
fn programs_hear_of_an_interruption_in_their_report() {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    sandbox.add(&endless("one"));
    let mut running = sandbox.spawn(&["upgrade", "--no-rehearsal", "--accept", "opaque", "--format", "json"]);
    running.wait_for_line("\"step\":\"migrate\"");
    running.signal(Signal::TERM);
    let run = running.wait();
    run.expect_code(130).stderr_is_empty();
    let error = &report(&run)["error"];
    assert_eq!(
        (error["aftermath"].as_str(), error["step"].as_str()),
        (Some("unchanged"), Some("migrate")),
        "{run}"
    );
    assert_eq!(report(&run)["exit"], 130);
}
