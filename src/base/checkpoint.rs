//! Named places where the crash test lets the process die, as a power cut or `kill -9` would.
//!
//! Every line that the journal writes is a checkpoint, so each new step of a procedure is crash-tested by itself;
//! an engine adds its own where a half-done state could be seen from outside (a barred database, half a swap).
//! With `RIPCORD_DIE_AT_CHECKPOINT=N` in the environment the process aborts at the Nth checkpoint, with a text instead of
//! a number at the first one whose name contains it; without it a checkpoint costs one relaxed load.
//!
//! `RIPCORD_STOP_AT_CHECKPOINT=INT:text` (or `TERM:text`) sends the process that signal at the first checkpoint whose name
//! contains the text, and goes on when it was heard: Ctrl-C in a step of which no test could hit the moment.
#![expect(clippy::disallowed_methods, reason = "the crash switch is read from the environment, once")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};

static PASSED: AtomicU64 = AtomicU64::new(0);
static DIE_AT: OnceLock<Option<DieAt>> = OnceLock::new();

static STOP_AT: OnceLock<Option<(Signal, String)>> = OnceLock::new();
static STOPPED: AtomicBool = AtomicBool::new(false);
static HEARD: AtomicBool = AtomicBool::new(false);

/// Longer than a signal takes to be heard on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(30);

enum DieAt {
    Number(u64),
    Name(String),
}

impl DieAt {
    fn parse(text: String) -> Self {
        text.parse().map_or(Self::Name(text), Self::Number)
    }

    fn is(&self, number: u64, name: &str) -> bool {
        match self {
            Self::Number(wanted) => *wanted == number,
            Self::Name(part) => name.contains(part),
        }
    }
}

/// Marks a place where a crash leaves a state worth testing. `name` appears on stderr when the process dies here.
pub fn reached(name: &str) {
    stop(name);
    let die_at = DIE_AT.get_or_init(|| std::env::var("RIPCORD_DIE_AT_CHECKPOINT").ok().map(DieAt::parse));
    let Some(die_at) = die_at else { return };
    let passed = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
    if die_at.is(passed, name) {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "ripcord died at checkpoint {passed}: {name}");
        // Abort, not exit: no destructor may tidy up what a real crash would leave behind.
        std::process::abort();
    }
}

/// Says that a signal was heard.
pub fn heard() {
    HEARD.store(true, Ordering::SeqCst);
}

fn stop(name: &str) {
    let stop_at = STOP_AT.get_or_init(|| {
        let text = std::env::var("RIPCORD_STOP_AT_CHECKPOINT").ok()?;
        let (signal, name) = text.split_once(':')?;
        Some((if signal == "TERM" { Signal::TERM } else { Signal::INT }, name.to_string()))
    });
    let Some((signal, part)) = stop_at else { return };
    if !name.contains(part.as_str()) || STOPPED.swap(true, Ordering::SeqCst) {
        return;
    }
    let begun = Instant::now();
    if kill_process(getpid(), *signal).is_ok() {
        while !HEARD.load(Ordering::SeqCst) && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
