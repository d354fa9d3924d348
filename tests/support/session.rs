//! An interactive `psql` or `sqlite3` that stays connected while the test does something else.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// One open connection; dropping it closes the connection, and an open transaction is rolled back.
pub struct Session {
    tool: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    mark: &'static str,
}

/// Printed after each call, so that it is known where its output ends.
const END: &str = "~~ end of output ~~";

impl Session {
    pub(super) fn psql(command: Command) -> Session {
        Session::open(command, "\\echo")
    }

    pub(super) fn sqlite(command: Command) -> Session {
        Session::open(command, ".print")
    }

    fn open(tool: Command, mark: &'static str) -> Session {
        // Into a pipe both tools would keep their output until they end; stdbuf makes them write each line at once.
        let mut command = Command::new("stdbuf");
        command.arg("-oL").arg(tool.get_program()).args(tool.get_args()).env_clear();
        command.envs(tool.get_envs().filter_map(|(name, value)| Some((name, value?))));
        // Errors go to the terminal of the test: the runner shows them when the test fails.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut tool = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let input = tool.stdin.take();
        let output = BufReader::new(tool.stdout.take().expect("stdout is piped"));
        Session { tool, input, output, mark }
    }

    /// Runs SQL and returns what it printed, once it is done. An error of the SQL ends the session and panics.
    pub fn execute(&mut self, sql: &str) -> String {
        self.begin(sql);
        self.finish()
    }

    /// Hands over SQL without waiting for its end: for a statement that is meant to wait for a lock.
    pub fn begin(&mut self, sql: &str) {
        let input = self.input.as_mut().expect("the input is open until the session is dropped");
        writeln!(input, "{sql}\n{} '{END}'", self.mark).expect("the session is alive");
    }

    /// Waits for the end of what was begun and returns what it printed.
    pub fn finish(&mut self) -> String {
        let mut printed = String::new();
        loop {
            let start = printed.len();
            let read = self.output.read_line(&mut printed).expect("the session prints UTF-8");
            assert!(read > 0, "the session ended after printing:\n{printed}");
            if printed[start..].trim_end() == END {
                printed.truncate(start);
                return printed.trim_end_matches('\n').to_owned();
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Both tools end at the end of their input, unless they wait for a lock: then they are ended.
        drop(self.input.take());
        drop(self.tool.kill());
        drop(self.tool.wait());
    }
}
