//! Ctrl-C and SIGTERM are an input: in each step the work stops, the state of the data is said, and nothing is left.

mod each_step;
mod everywhere;
mod postgres;
mod recovery;
mod sqlite;
mod tables;

use crate::promise::*;
use crate::support::*;

/// Both ways of asking to stop: a person's and a service manager's.
pub(super) const SIGNALS: [Signal; 2] = [Signal::INT, Signal::TERM];

/// Runs ripcord, which is sent a signal when the journal says that this step has begun.
pub(super) fn stopped_in(sandbox: &Sandbox, signal: Signal, step: &str, arguments: &[&str]) -> Run {
    stopped_by(sandbox, if signal == Signal::INT { "INT" } else { "TERM" }, step, arguments)
}

/// The same with a second signal, when what was changed stands and the step has begun again.
pub(super) fn stopped_twice_in(sandbox: &Sandbox, step: &str, arguments: &[&str]) -> Run {
    let run = stopped_by(sandbox, "INT,TERM", step, arguments);
    run.stderr_has("a second signal stops it");
    run
}

fn stopped_by(sandbox: &Sandbox, signals: &str, step: &str, arguments: &[&str]) -> Run {
    sandbox.env(
        "RIPCORD_STOP_AT_CHECKPOINT",
        format!("{signals}:after {{\"event\":\"started\",\"step\":\"{step}\""),
    );
    let run = sandbox.ripcord(arguments);
    sandbox.env_remove("RIPCORD_STOP_AT_CHECKPOINT");
    run.stderr_has("stopping");
    run
}

/// The run was interrupted: exit code 130, three parts, the database as before, nothing left behind, the lock free.
#[track_caller]
pub(super) fn ended_well(sandbox: &Sandbox, db: &TestDatabase, before: &str, run: &Run) {
    run.expect_code(130);
    says_three_parts(run, "interrupted");
    run.stderr_has("the data is as it was before");
    assert_same(before, &db.dump(), run);
    leaves_nothing_behind(sandbox, db);
    let log = sandbox.ripcord(&["log"]);
    log.expect_code(0).stdout_lacks("UNFINISHED");
    sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
}

/// What was interrupted can be done again.
#[track_caller]
pub(super) fn goes_on(sandbox: &Sandbox, db: &TestDatabase, arguments: &[&str], version: &str) {
    let run = sandbox.ripcord(arguments);
    run.expect_code(0);
    assert_eq!(db.version(), version, "{run}");
}
