//! One procedure, interrupted everywhere.

use std::collections::BTreeSet;
use std::fmt;

use crate::promises;
use crate::support::Run;
use crate::support::scene::Scene;

/// A procedure that is going to die.
pub struct Story<'a> {
    pub scene: Scene<'a>,
    pub command: Vec<&'static str>,
    /// How it ends when nobody kills it.
    pub code: i32,
    /// A state in the middle that an end may leave: a change that stands although its verification failed.
    pub may_stand: Option<String>,
    /// The state before, where it is not the one that every run begins with.
    pub before: Option<String>,
    /// Whether the database can be read before it is recovered: nobody of the dead still holds its locks.
    pub readable: bool,
    /// 1 where it dies everywhere; more where only the scene is another one, and every so many checkpoints are enough.
    pub stride: usize,
    /// What happens to what a death leaves, before anybody looks at it.
    pub afterwards: fn(&Scene, &Death),
    /// A guarded command that must work when everything is over, and its exit code.
    pub next: (Vec<&'static str>, i32),
}

/// The states in which the database may be found at the end.
pub struct Ends {
    pub before: String,
    pub after: String,
    pub may_stand: Option<String>,
}

impl Ends {
    /// Of a procedure that would never end.
    pub fn nothing_changed(before: String) -> Ends {
        Ends { after: before.clone(), before, may_stand: None }
    }
}

/// What was looked at already.
#[derive(Default)]
struct Seen {
    deaths: BTreeSet<String>,
    ends: BTreeSet<String>,
}

/// One death, for the reader of a failed test.
pub struct Death {
    pub number: u64,
    pub run: Run,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.run.stderr.lines().last().unwrap_or_default())
    }
}

/// Says where it was when a promise is broken.
struct Witness<'a>(&'a Death);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("after this death:\n{}", self.0.run);
        }
    }
}

impl<'a> Story<'a> {
    /// A procedure that succeeds and after which an upgrade can run.
    pub fn new(scene: Scene<'a>, command: &[&'static str]) -> Story<'a> {
        let next = (vec!["upgrade", "--accept", "opaque"], 0);
        let command = command.to_vec();
        let (code, may_stand, before, readable, stride) = (0, None, None, true, 1);
        Story { scene, command, code, may_stand, before, readable, stride, afterwards: |_, _| {}, next }
    }

    /// Lets the procedure die at checkpoint 1, 2, 3 … until it comes to its end, and holds every death to the promises.
    pub fn dies_everywhere(&self) {
        let (ends, mut seen) = (self.ends(), Seen::default());
        for number in (1..).step_by(self.stride) {
            self.scene.reset();
            let run = self.scene.die_at(number, &self.command);
            let death = Death { number, run };
            let _witness = Witness(&death);
            if !died(&death.run) {
                death.run.expect_code(self.code);
                // One step alone is four lines of a journal.
                assert!(number > 12, "checkpoints are missing\n{}", death.run);
                assert_eq!(self.scene.content(), ends.after);
                return;
            }
            (self.afterwards)(&self.scene, &death);
            // Most deaths between two steps leave the same behind; looking once at it saves half of the time.
            if self.scene.left_behind().is_none_or(|left| seen.deaths.insert(left)) {
                promises::look(self, &ends, &mut seen.ends, &death);
            }
        }
    }

    /// Holds what one death has left to the promises.
    pub fn is_held_to(&self, death: Death, ends: Ends) {
        let _witness = Witness(&death);
        promises::look(self, &ends, &mut BTreeSet::new(), &death);
    }

    /// Runs it once undisturbed.
    pub fn ends(&self) -> Ends {
        self.scene.reset();
        let before = self.before.clone().unwrap_or_else(|| self.scene.content());
        self.scene.ripcord(&self.command).expect_code(self.code);
        Ends { before, after: self.scene.content(), may_stand: self.may_stand.clone() }
    }
}

/// Tells whether a run died at its checkpoint, rather than ended.
pub fn died(run: &Run) -> bool {
    const SIGABRT: i32 = -6;
    let died = run.stderr.contains("ripcord died at checkpoint");
    assert_eq!(run.code == SIGABRT, died, "{run}");
    died
}
