//! On PostgreSQL: while pg_dump or pg_restore hangs, while a migration waits or works on the server.

use super::{SIGNALS, ended_well, goes_on};
use crate::promise::*;
use crate::support::*;

const NEXT: &str = "abcd00000001";

/// A server that says in its log when a session waits for a lock, and each statement before it runs.
fn talkative() -> TestDatabase {
    let options = Postgres::options().setting("log_lock_waits", "on").setting("deadlock_timeout", "10ms");
    TestDatabase::postgres_server(options.setting("log_statement", "all").start())
}

/// No session of ripcord's is left on the server: neither its own nor one of a tool.
#[track_caller]
fn no_session_is_left(db: &TestDatabase) {
    let sql = "SELECT application_name, query FROM pg_stat_activity
WHERE backend_type = 'client backend' AND application_name ~ 'ripcord|pg_dump|pg_restore';";
    assert_eq!(db.server().ends_with(sql, ""), "", "sessions are left");
}

#[test]
fn while_the_snapshot_is_taken_the_tool_is_ended() {
    for signal in SIGNALS {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        let before = db.dump();
        // Half of its work is done: a folder with a part of the dump is there.
        let mut tool = sandbox.tool_that_hangs_after("pg_dump", r#"while [ $# -gt 0 ]; do case $1 in --file) mkdir -p "$2"; touch "$2/3000.dat";; esac; shift; done"#);
        let running = sandbox.spawn(&["downgrade"]);
        tool.wait_until_it_hangs();
        running.signal(signal);
        let run = running.wait();
        assert!(!tool.is_running());
        ended_well(&sandbox, &db, &before, &run);
        no_session_is_left(&db);
        assert_eq!(sandbox.backups().len(), 1);
        sandbox.logging_tool("pg_dump");
        at(&sandbox, 2);
        goes_on(&sandbox, &db, &["downgrade"], CREATE_TABLES);
    }
}

#[test]
fn while_the_snapshot_is_proven_the_scratch_database_goes_with_the_tool() {
    for signal in SIGNALS {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        let before = db.dump();
        let mut tool = sandbox.hanging_tool("pg_restore");
        let running = sandbox.spawn(&["downgrade"]);
        tool.wait_until_it_hangs();
        assert!(
            db.server().databases().iter().any(|name| name.contains("scratch")),
            "the proof is under way"
        );
        running.signal(signal);
        let run = running.wait();
        assert!(!tool.is_running());
        ended_well(&sandbox, &db, &before, &run);
        no_session_is_left(&db);
        assert_eq!(sandbox.backups().len(), 1, "what was not proven is not kept");
    }
}

#[test]
fn a_backup_by_hand_is_interrupted_like_any_other() {
    let db = TestDatabase::postgres();
    let sandbox = filled_sample_of(&db);
    let before = db.dump();
    let mut tool = sandbox.hanging_tool("pg_dump");
    let running = sandbox.spawn(&["backup", "create"]);
    tool.wait_until_it_hangs();
    running.signal(Signal::INT);
    let run = running.wait();
    assert!(!tool.is_running());
    ended_well(&sandbox, &db, &before, &run);
}

#[test]
fn a_migration_that_waits_for_a_lock_is_stopped() {
    for signal in SIGNALS {
        let db = talkative();
        let sandbox = filled_sample_of(&db);
        sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"2min\"\n");
        let before = db.dump();
        let mut session = db.session();
        session.execute("BEGIN; SELECT count(*) FROM training_metric;");
        let running = sandbox.spawn(&["downgrade"]);
        db.server().wait_for_log("still waiting for AccessExclusiveLock");
        running.signal(signal);
        let run = running.wait();
        session.execute("COMMIT;");
        ended_well(&sandbox, &db, &before, &run);
        no_session_is_left(&db);
        run.stderr_has("state: nothing was changed");
        assert_eq!(sandbox.backups().len(), 2, "the proven snapshot is kept");
        at(&sandbox, 2);
        goes_on(&sandbox, &db, &["downgrade"], CREATE_TABLES);
    }
}

#[test]
fn a_statement_that_works_on_the_server_is_cancelled_and_undone() {
    for signal in SIGNALS {
        let db = talkative();
        let sandbox = filled_sample_of(&db);
        sandbox.revision(
            NEXT,
            &[ADD_PROCESS_RANK],
            "UPDATE training_config SET epochs = 99;\nSELECT pg_sleep(600);",
            "",
        );
        let before = db.dump();
        let running = sandbox.spawn(&["upgrade", "--no-rehearsal", "--accept", "opaque"]);
        db.server().wait_for_log("SELECT pg_sleep(600)");
        running.signal(signal);
        let run = running.wait();
        ended_well(&sandbox, &db, &before, &run);
        no_session_is_left(&db);
        run.stderr_has("state: nothing was changed");
    }
}

/// What a statement wrote by itself has a number that nobody can tell from a stranger's, so nothing is put back over
/// it unasked: the one command that leads back is named.
#[test]
fn statements_that_ran_by_themselves_before_the_signal_are_left_to_a_person() {
    for signal in SIGNALS {
        let db = talkative();
        let sandbox = filled_sample_of(&db);
        let revision = Revision::new(NEXT).revises(ADD_PROCESS_RANK).directive("transaction", "none");
        sandbox.add(
            &revision.upgrade("UPDATE training_config SET epochs = 99;\nSELECT pg_sleep(600);").downgrade(""),
        );
        let before = db.dump();
        let running = sandbox.spawn(&["upgrade", "--no-rehearsal", "--accept", "opaque"]);
        db.server().wait_for_log("SELECT pg_sleep(600)");
        running.signal(signal);
        let run = running.wait();
        run.expect_code(5);
        says_three_parts(&run, "interrupted");
        no_session_is_left(&db);
        assert_eq!(db.query("SELECT DISTINCT epochs FROM training_config;"), "99");
        at(&sandbox, 2);
        let back = follow(&sandbox, &next_of(&run));
        back.expect_code(0);
        assert_same(&before, &db.dump(), &back);
    }
}

#[test]
fn a_verification_that_waits_is_stopped_and_the_change_put_back() {
    // With this setting a lock takes no transaction number, so that nobody seems to have written meanwhile.
    let options = Postgres::options().setting("log_lock_waits", "on").setting("deadlock_timeout", "10ms");
    let options = options.setting("wal_level", "minimal").setting("max_wal_senders", "0");
    let db = TestDatabase::postgres_server(options.start());
    let sandbox = filled_sample_of(&db);
    sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"2min\"\n");
    // Somebody asks for the table while the migration has it, and gets it before verification does.
    sandbox.revision(
        NEXT,
        &[ADD_PROCESS_RANK],
        "ALTER TABLE training_config ADD COLUMN note TEXT;
SELECT pg_advisory_lock(7);
SELECT pg_advisory_unlock(7);",
        "",
    );
    let before = db.dump();
    let mut gate = db.session();
    gate.execute("SELECT pg_advisory_lock(7);");
    let running = sandbox.spawn(&["upgrade"]);
    db.server().wait_for_log("still waiting for ExclusiveLock on advisory lock");
    let mut other = db.session();
    other.begin("BEGIN; LOCK TABLE training_config IN ACCESS EXCLUSIVE MODE;");
    db.server().wait_for_log("still waiting for AccessExclusiveLock on relation");
    gate.execute("SELECT pg_advisory_unlock(7);");
    other.finish();
    db.server().wait_for_log("still waiting for AccessShareLock on relation");
    running.signal(Signal::INT);
    let run = running.wait();
    run.expect_code(130).stderr_has("state: the snapshot was put back");
    drop(other);
    assert_same(&before, &db.dump(), &run);
    no_session_is_left(&db);
}

#[test]
fn a_restore_that_is_interrupted_leaves_the_live_database_running() {
    for signal in SIGNALS {
        let db = TestDatabase::postgres();
        let sandbox = filled_sample_of(&db);
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        db.execute("DELETE FROM training_metric;");
        let before = db.dump();
        at(&sandbox, 2);
        // The present state is saved without a proof, so the first pg_restore is the one that builds beside.
        sandbox.write("ripcord.toml", "[proof]\nlevel = \"none\"\n");
        let mut session = db.session();
        assert_eq!(session.execute("SELECT 1;"), "1");
        let mut tool = sandbox.hanging_tool("pg_restore");
        let running = sandbox.spawn(&["restore", "latest"]);
        tool.wait_until_it_hangs();
        running.signal(signal);
        let run = running.wait();
        assert!(!tool.is_running());
        ended_well(&sandbox, &db, &before, &run);
        assert_eq!(session.execute("SELECT 2;"), "2", "whoever was connected still is");
        drop(session);
        no_session_is_left(&db);
        sandbox.logging_tool("pg_restore");
        at(&sandbox, 3);
        sandbox.ripcord(&["restore", "20261123T1816"]).expect_code(0);
        assert_eq!(db.query("SELECT count(*) FROM training_metric;"), "60");
    }
}

#[test]
fn a_look_that_waits_for_a_lock_is_stopped() {
    let db = talkative();
    let sandbox = filled_sample_of(&db);
    sandbox.write("ripcord.toml", "[database]\nlock_timeout = \"2min\"\n");
    let mut session = db.session();
    session.execute("BEGIN; LOCK TABLE training_config IN ACCESS EXCLUSIVE MODE;");
    let running = sandbox.spawn(&["verify"]);
    db.server().wait_for_log("still waiting for AccessShareLock");
    running.signal(Signal::INT);
    running.wait().expect_code(130).stderr_has("state: nothing was changed");
    session.execute("ROLLBACK;");
    no_session_is_left(&db);
}
