//! Named places where the crash test lets the process die, as a power cut or `kill -9` would.
//!
//! Every line that the journal writes is a checkpoint, so each new step of a procedure is crash-tested by itself;
//! an engine adds its own where a half-done state could be seen from outside (a barred database, half a swap).
//! With `RIPCORD_DIE_AT_CHECKPOINT=N` in the environment the process aborts at the Nth checkpoint, with a text instead of
//! a number at the first one whose name contains it; without it a checkpoint costs one relaxed load.
//!
//! `RIPCORD_STOP_AT_CHECKPOINT=INT:text` (or `TERM:text`, or a number instead of the text) sends the process that signal there,
//! and goes on when it was heard: Ctrl-C in a step of which no test could hit the moment. With several signals
//! (`INT,TERM:text`) each one after the first is sent at the next checkpoint that is reached.
#![expect(clippy::disallowed_methods, reason = "the crash switch is read from the environment, once")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};

static PASSED: AtomicU64 = AtomicU64::new(0);
static DIE_AT: OnceLock<Option<Place>> = OnceLock::new();

static STOP_AT: OnceLock<Option<(Vec<Signal>, Place)>> = OnceLock::new();
static SENT: AtomicUsize = AtomicUsize::new(0);
static HEARD: AtomicUsize = AtomicUsize::new(0);

/// Longer than a signal takes to be heard on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(30);

enum Place {
    Number(u64),
    Name(String),
}

impl Place {
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
    let die_at = DIE_AT.get_or_init(|| std::env::var("RIPCORD_DIE_AT_CHECKPOINT").ok().map(Place::parse));
    let stop_at = STOP_AT.get_or_init(stop_at);
    if die_at.is_none() && stop_at.is_none() {
        return;
    }
    let passed = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
    if let Some((signals, place)) = stop_at {
        stop(signals, place, passed, name);
    }
    let Some(die_at) = die_at else { return };
    if die_at.is(passed, name) {
        say(&format!("ripcord died at checkpoint {passed}: {name}"));
        // Abort, not exit: no destructor may tidy up what a real crash would leave behind.
        std::process::abort();
    }
}

fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says that a signal was heard.
pub fn heard() {
    HEARD.fetch_add(1, Ordering::SeqCst);
}

fn stop_at() -> Option<(Vec<Signal>, Place)> {
    let text = std::env::var("RIPCORD_STOP_AT_CHECKPOINT").ok()?;
    let (signals, place) = text.split_once(':')?;
    let signal = |name: &str| if name == "TERM" { Signal::TERM } else { Signal::INT };
    Some((signals.split(',').map(signal).collect(), Place::parse(place.to_string())))
}

/// Sends the first signal where it is meant to be sent, and the others wherever the process comes next.
fn stop(signals: &[Signal], place: &Place, passed: u64, name: &str) {
    let sent = SENT.load(Ordering::SeqCst);
    let Some(signal) = signals.get(sent).filter(|_| sent > 0 || place.is(passed, name)) else { return };
    // Two threads may be here at once; one of them sends it.
    if SENT.compare_exchange(sent, sent + 1, Ordering::SeqCst, Ordering::SeqCst).is_err() {
        return;
    }
    say(&format!("ripcord was sent a signal at checkpoint {passed}: {name}"));
    let begun = Instant::now();
    if kill_process(getpid(), *signal).is_ok() {
        while HEARD.load(Ordering::SeqCst) <= sent && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
