//! A run of the real binary, as it goes and as it ended.

use std::fmt::{self, Display, Formatter};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How a run ended. Every assertion returns the run again and shows all of it when it fails.
#[derive(Debug, Clone)]
pub struct Run {
    pub command: String,
    /// The exit code; the negative number of the signal that ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A run that has not ended yet; it is killed if the test drops it.
pub struct Running {
    command: String,
    child: Child,
    lines: Receiver<Line>,
    seen: Run,
}

enum Line {
    Out(String),
    Err(String),
}

/// Longer than any step of any test; a run that is silent for so long hangs.
const PATIENCE: Duration = Duration::from_secs(100);

impl Running {
    pub(super) fn start(mut command: Command) -> Running {
        let shown = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{shown} does not start: {error}"));
        let (sender, lines) = mpsc::channel();
        forward(child.stdout.take().expect("stdout is piped"), sender.clone(), Line::Out);
        forward(child.stderr.take().expect("stderr is piped"), sender, Line::Err);
        let seen = Run { command: shown.clone(), code: 0, stdout: String::new(), stderr: String::new() };
        Running { command: shown, child, lines, seen }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a line with this text has been printed, on either stream; panics when the run ends without it.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        while let Some(line) = self.next_line() {
            if line.contains(text) {
                return line;
            }
        }
        panic!("no line with {text:?} was printed\n{}", self.seen);
    }

    /// Sends a signal to the process, not to its children: a shell's Ctrl-C would reach those as well.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the run has not been awaited yet");
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Run {
        while self.next_line().is_some() {}
        let status = self.child.wait().expect("a started process can be awaited");
        let mut run = self.seen.clone();
        run.code = status.code().unwrap_or_else(|| -status.signal().expect("no exit code means a signal"));
        run
    }

    /// The next line of either stream, `None` once both are closed.
    fn next_line(&mut self) -> Option<String> {
        use mpsc::RecvTimeoutError::{Disconnected, Timeout};
        match self.lines.recv_timeout(PATIENCE) {
            Ok(Line::Out(line)) => {
                self.seen.stdout.push_str(&line);
                Some(line)
            }
            Ok(Line::Err(line)) => {
                self.seen.stderr.push_str(&line);
                Some(line)
            }
            Err(Disconnected) => None,
            Err(Timeout) => {
                drop(self.child.kill());
                panic!("silent for {} seconds, so it was killed\n{}", PATIENCE.as_secs(), self.seen);
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn forward(stream: impl Read + Send + 'static, lines: Sender<Line>, wrap: fn(String) -> Line) {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut bytes = Vec::new();
        while stream.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
            let line = String::from_utf8_lossy(&bytes).into_owned();
            bytes.clear();
            // Nobody listens when the test has dropped the run; then its output is of no interest.
            if lines.send(wrap(line)).is_err() {
                return;
            }
        }
    });
}

impl Run {
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Run {
        assert!(self.code == code, "expected exit code {code}\n{self}");
        self
    }

    #[track_caller]
    pub fn stdout_has(&self, text: &str) -> &Run {
        assert!(self.stdout.contains(text), "stdout lacks {text:?}\n{self}");
        self
    }

    #[track_caller]
    pub fn stdout_lacks(&self, text: &str) -> &Run {
        assert!(!self.stdout.contains(text), "stdout has {text:?}\n{self}");
        self
    }

    #[track_caller]
    pub fn stdout_is(&self, text: &str) -> &Run {
        assert!(self.stdout == text, "stdout is not {text:?}\n{self}");
        self
    }

    #[track_caller]
    pub fn stderr_has(&self, text: &str) -> &Run {
        assert!(self.stderr.contains(text), "stderr lacks {text:?}\n{self}");
        self
    }

    #[track_caller]
    pub fn stderr_lacks(&self, text: &str) -> &Run {
        assert!(!self.stderr.contains(text), "stderr has {text:?}\n{self}");
        self
    }

    #[track_caller]
    pub fn stderr_is_empty(&self) -> &Run {
        assert!(self.stderr.is_empty(), "stderr is not empty\n{self}");
        self
    }

    #[track_caller]
    pub fn stdout_is_empty(&self) -> &Run {
        assert!(self.stdout.is_empty(), "stdout is not empty\n{self}");
        self
    }

    /// Neither stream has this text: for passwords.
    #[track_caller]
    pub fn says_nowhere(&self, text: &str) -> &Run {
        self.stdout_lacks(text).stderr_lacks(text)
    }

    /// The lines of stdout as JSON values (`--format json` prints one event a line).
    #[track_caller]
    pub fn json(&self) -> Vec<serde_json::Value> {
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}\n{self}"));
        self.stdout.lines().map(parse).collect()
    }
}

impl Display for Run {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Run { command, code, stdout, stderr } = self;
        write!(
            f,
            "{command}\nexit code {code}\n--- stdout ---\n{stdout}--- stderr ---\n{stderr}--------------"
        )
    }
}
