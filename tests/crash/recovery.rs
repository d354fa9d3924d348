//! Recovery dies as well, and is run again.

use crate::procedures::by_single_statements;
use crate::story::{Story, died};
use crate::support::scene::{Scene, filled};
use crate::support::*;

both_engines! {
    fn a_recovery_that_dies_anywhere_while_it_goes_on_is_run_again(db: &TestDatabase) {
        let scene = filled(db).without_proof();
        scene.sandbox.add(&changes_data(ADD_PROCESS_RANK));
        let before = scene.content();
        interrupt(&scene, "before {\"event\":\"script-started\",\"revision\":\"7c14e9a05fd2\"", &["upgrade", "--accept", "opaque"]);
        let story = Story::new(scene, &["recover"]);
        Story { before: Some(before), stride: stride(db), ..story }.dies_everywhere();
    }

    fn an_undo_that_dies_anywhere_is_run_again(db: &TestDatabase) {
        let scene = filled(db).without_proof();
        scene.sandbox.add(&by_single_statements());
        let before = scene.content();
        interrupt(&scene, "before {\"event\":\"statement-finished\",\"revision\":\"e5a1c07d3f82\",\"index\":1", &["upgrade", "--accept", "opaque"]);
        let story = Story::new(scene, &["recover", "--undo"]);
        Story { before: Some(before), stride: stride(db), ..story }.dies_everywhere();
    }
}

/// A server needs longer for each look, and what differs on it is told by `procedures` already.
fn stride(db: &TestDatabase) -> usize {
    match db.backend() {
        Backend::Sqlite => 3,
        Backend::Postgres => 11,
    }
}

/// Takes what a death leaves as the beginning of every run.
fn interrupt(scene: &Scene, checkpoint: &str, command: &[&str]) {
    let run = scene.die_at(checkpoint, command);
    assert!(died(&run), "there is no such checkpoint\n{run}");
    scene.keep();
}
