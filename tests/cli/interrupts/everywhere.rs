//! On both engines: a signal at every place where one could make a difference, and a second one right after it.
//!
//! As in the crash tests no place is named: the same procedure is run from the same state again and again, and is sent the
//! signal at checkpoint 1, 2, 3 … until a run comes to its end without it. A second one is worth its time from where the
//! procedure begins to write.

use std::collections::BTreeSet;

use crate::promise::*;
use crate::support::leftovers::{names, nothing_is_left};
use crate::support::scene::{Scene, filled, lossy, masked};
use crate::support::*;

/// A procedure, the states that it leads from and to, and what `verify` says before it begins.
struct Walk<'a> {
    scene: Scene<'a>,
    command: Vec<&'static str>,
    before: String,
    after: String,
    verified_before: i32,
    /// What was held to the promises already: many signals have the same end.
    seen: BTreeSet<String>,
}

/// Says which signal it was when a promise is broken.
struct Witness<'a>(&'a str, u32, &'a Run);

impl Drop for Witness<'_> {
    #[expect(clippy::disallowed_macros, reason = "a test that fails speaks for itself")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("after {} at checkpoint {}:\n{}", self.0, self.1, self.2);
        }
    }
}

impl<'a> Walk<'a> {
    fn new(scene: Scene<'a>, command: &[&'static str]) -> Walk<'a> {
        scene.keep();
        scene.reset();
        let verified_before = scene.ripcord(&["verify"]).code;
        let before = scene.content();
        scene.ripcord(command).expect_code(0);
        let after = scene.content();
        assert_ne!(before, after);
        let (command, seen) = (command.to_vec(), BTreeSet::new());
        Walk { scene, command, before, after, verified_before, seen }
    }

    /// Sends these signals, the first at this checkpoint and every later one, and each other at the one after it. Returns the
    /// exit codes, and the last checkpoint before anything is written to the database.
    fn is_stopped_everywhere(&mut self, signals: &str, from: u32) -> (BTreeSet<i32>, u32) {
        let (mut codes, mut writes) = (BTreeSet::new(), from);
        for number in from.. {
            self.scene.reset();
            self.scene.sandbox.env("RIPCORD_STOP_AT_CHECKPOINT", format!("{signals}:{number}"));
            let run = self.scene.ripcord(&self.command);
            self.scene.sandbox.env_remove("RIPCORD_STOP_AT_CHECKPOINT");
            let _witness = Witness(signals, number, &run);
            if !run.stderr.contains("stopping") {
                run.expect_code(0);
                assert!(number > 12, "checkpoints are missing");
                break;
            }
            if run.stderr.contains(r#"after {"event":"published""#) {
                writes = number;
            }
            codes.insert(run.code);
            self.is_held_to_its_word(&run);
        }
        (codes, writes)
    }

    /// What is said of the data is so, `verify` agrees, and every command that is printed as the next one does its work.
    fn is_held_to_its_word(&mut self, run: &Run) {
        run.says_nowhere("panicked");
        let found = self.scene.content();
        match run.code {
            0 => assert_eq!(found, self.after, "it is done"),
            130 => {
                says_three_parts(run, "interrupted");
                run.stderr_has("the data is as it was before");
                assert_eq!(found, self.before, "it was said that it is as before");
            }
            5 => says_three_parts(run, "interrupted"),
            other => panic!("exit code {other}"),
        }
        let is_open = run.stderr.contains("state: it is not known what state the data is in");
        if !is_open {
            nothing_is_left(&self.scene);
        }
        let left = masked(&names(&self.scene.sandbox.path("backups")));
        if !self.seen.insert(format!("{} {} {left} {found}", run.code, next_lines(run).len())) {
            return;
        }
        if is_open {
            return self.is_recovered(run);
        }
        self.scene.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
        match run.code {
            0 => self.is_done(run),
            130 => self.can_be_run_again(),
            _ => self.leads_on(run, &found),
        }
    }

    fn is_done(&self, run: &Run) {
        self.scene.ripcord(&["verify"]).expect_code(0);
        // Where nothing is rehearsed a downgrade asks first.
        let undo = undo_of(run);
        let undo: Vec<&str> = undo.iter().map(String::as_str).collect();
        accepting(&self.scene.sandbox, &undo).expect_code(0);
        assert_eq!(self.scene.content(), self.before, "the way back that was named");
    }

    fn can_be_run_again(&self) {
        let verified = self.scene.ripcord(&["verify"]);
        // A backup of its own holds the state before.
        assert!([0, self.verified_before].contains(&verified.code), "{verified}");
        self.scene.ripcord(&self.command).expect_code(0);
        assert_eq!(self.scene.content(), self.after);
    }

    fn is_recovered(&self, run: &Run) {
        assert_eq!(next_of(run)[0], "recover");
        let recovered = self.scene.ripcord(&["recover"]);
        recovered.expect_code(0);
        assert!([&self.before, &self.after].contains(&&self.scene.content()), "{recovered}");
        nothing_is_left(&self.scene);
    }

    /// What was changed stands. It is named how it is looked at where it was not, how it goes on, and the way back last.
    fn leads_on(&self, run: &Run, found: &str) {
        run.stderr_has("state: the database was changed, and the change stands");
        assert_ne!(found, self.before);
        let mut next = next_lines(run);
        let undo = next.pop().expect("the way back");
        assert_eq!(undo[0], "restore", "{run}");
        let verified = self.scene.ripcord(&["verify"]);
        // Held against what there was before, what it did shows: nothing is called right that nobody has looked at.
        let not_looked_at = run.stderr.contains("whether anything else changed was not looked at");
        verified.expect_code(if not_looked_at { 6 } else { 0 });
        if not_looked_at {
            assert_eq!((next[0].as_slice(), found), (&["verify".to_owned()][..], self.after.as_str()));
        }
        for command in next.iter().filter(|command| command[0] != "verify") {
            follow(&self.scene.sandbox, command).expect_code(0);
            assert_eq!(self.scene.content(), self.after, "after {command:?}");
        }
        follow(&self.scene.sandbox, &undo).expect_code(0);
        assert_eq!(self.scene.content(), self.before, "after {undo:?}");
    }
}

/// All commands that an error names as the next ones.
fn next_lines(run: &Run) -> Vec<Vec<String>> {
    let lines = run.stderr.lines().filter_map(|line| line.strip_prefix("next: ripcord "));
    lines.map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

/// One signal leaves the state before or what was asked for; a second one may leave it before it was looked at. What a second one
/// does is the procedures' own, and is walked through on SQLite, where a run takes a tenth of the time.
fn stops_everywhere(db: &TestDatabase, scene: Scene, command: &[&'static str]) {
    let mut walk = Walk::new(scene, command);
    let (codes, writes) = walk.is_stopped_everywhere("TERM", 1);
    assert_eq!(codes, BTreeSet::from([0, 130]));
    if db.backend() == Backend::Postgres {
        return;
    }
    let (codes, _) = walk.is_stopped_everywhere("INT,TERM", writes);
    assert_eq!(codes, BTreeSet::from([0, 5, 130]));
}

both_engines! {
    fn a_downgrade_that_merges_and_is_stopped_anywhere_is_done_or_undone_and_says_which(db: &TestDatabase) {
        stops_everywhere(db, lossy(db).without_proof(), &["downgrade"]);
    }

    fn a_merge_by_hand_that_is_stopped_anywhere_is_done_or_undone_and_says_which(db: &TestDatabase) {
        stops_everywhere(db, lossy(db).without_proof(), &["backup", "merge-back", "upgrade"]);
    }
}

#[test]
fn tables_whose_putting_back_is_stopped_anywhere_are_put_back_or_not_and_it_is_said_which() {
    let db = &TestDatabase::sqlite();
    let scene = filled(db).without_proof();
    scene.sandbox.ripcord(&["backup", "create"]).expect_code(0);
    db.execute("DELETE FROM training_metric WHERE step > 3; UPDATE training_config SET epochs = 99;");
    let command = ["restore", "backup", "--table", "training_config", "--table", "training_metric"];
    stops_everywhere(db, scene, &command);
}

#[test]
fn an_upgrade_that_is_stopped_anywhere_is_done_or_undone_and_says_which() {
    let db = &TestDatabase::sqlite();
    let scene = filled(db).without_proof();
    scene.sandbox.ripcord(&["upgrade", "--accept", "opaque"]).expect_code(0);
    at(&scene.sandbox, 1);
    scene.sandbox.add(&changes_data(ADD_PROCESS_RANK));
    // Nothing is rehearsed, so what it takes away is kept afterwards; and what was changed is not put back.
    let command = ["upgrade", "--no-rehearsal", "--accept", "opaque", "--on-failure", "stop"];
    stops_everywhere(db, scene, &command);
}
