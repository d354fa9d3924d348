//! Scripted stand-ins for the tools that ripcord calls, first on the PATH of a sandbox.
//!
//! Those that misbehave still answer `--version` as the real tool does: ripcord asks that first, and a fake that fails
//! there would test something else.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{Sandbox, tools};

/// A fake that waits forever once it was called; it is ended when this is dropped.
pub struct HangingTool {
    started: mpsc::Receiver<i32>,
    pid: Option<i32>,
}

const PATIENCE: Duration = Duration::from_secs(100);

impl Sandbox {
    /// Puts a bash script before the tool of this name; `$REAL` is the real one.
    pub fn fake_tool(&self, name: &str, script: &str) -> PathBuf {
        let path = self.root().join("fakes").join(name);
        let real = self.real_tool(name).map(|real| real.display().to_string()).unwrap_or_default();
        // Written by another process: if this one held the file open for writing while another thread forks, running
        // it would fail with "text file busy".
        // A link that completed a set must not be written through.
        drop(std::fs::remove_file(&path));
        let mut install = Command::new("install");
        install.args(["-m", "755", "/dev/stdin"]).arg(&path);
        tools::capture(&mut install, &format!("#!/bin/bash\nREAL='{real}'\n{script}\n"));
        self.complete_the_set(name);
        path
    }

    /// `pg_dump` and `pg_restore` count only together, so beside a fake one stands the other, real, unless faked too.
    fn complete_the_set(&self, name: &str) {
        const SET: [&str; 3] = ["pg_dump", "pg_restore", "psql"];
        let fakes = self.root().join("fakes");
        for other in SET.iter().filter(|other| SET.contains(&name) && **other != name) {
            if let (false, Some(real)) = (fakes.join(other).exists(), self.real_tool(other)) {
                std::os::unix::fs::symlink(real, fakes.join(other)).expect("there was none");
            }
        }
    }

    /// The folder of the fakes, for a configuration that allows no other place.
    pub fn fakes(&self) -> PathBuf {
        self.root().join("fakes")
    }

    /// The tool is nowhere on the PATH.
    pub fn missing_tool(&self, name: &str) {
        for folder in ["fakes", "tools"] {
            // It need not have been there.
            drop(std::fs::remove_file(self.root().join(folder).join(name)));
        }
    }

    /// The real tool stands on the PATH again.
    pub fn real_tool_again(&self, name: &str) {
        std::fs::remove_file(self.root().join("fakes").join(name)).expect("there was a fake of it");
    }

    /// The tool is older than any server: version 12.0, and refuses to work, as the real one does.
    pub fn older_tool(&self, name: &str) {
        self.fake_tool(
            name,
            &format!(
                r#"case " $* " in *" --version "*|*" -V "*) echo "{name} (PostgreSQL) 12.0"; exit 0;; esac
echo "{name}: error: aborting because of server version mismatch" >&2
exit 1"#
            ),
        );
    }

    /// The tool says this on stderr and fails with exit code 1.
    pub fn failing_tool(&self, name: &str, message: &str) {
        let message = message.replace('\'', r"'\''");
        self.fake_tool(name, &format!("{ANSWER_VERSION}\nprintf '%s\\n' '{message}' >&2\nexit 1"));
    }

    /// The tool starts, and never ends by itself.
    pub fn hanging_tool(&self, name: &str) -> HangingTool {
        self.tool_that_hangs_after(name, "")
    }

    /// The tool runs a script first (writes half of its output, say), and never ends by itself.
    pub fn tool_that_hangs_after(&self, name: &str, script: &str) -> HangingTool {
        let pipe = self.root().join(format!("{name}.pid"));
        tools::capture(Command::new("mkfifo").arg(&pipe), "");
        // `exec` keeps the process id, so that ending it leaves no sleep behind.
        let report = format!("echo $$ >'{}'", pipe.display());
        self.fake_tool(name, &format!("{ANSWER_VERSION}\n{script}\n{report}\nexec sleep infinity"));
        HangingTool { started: first_number(&pipe), pid: None }
    }

    /// The tool does its work and leaves a line in the common log: its name and its arguments.
    pub fn logging_tool(&self, name: &str) {
        let log = self.log_command(name);
        self.fake_tool(name, &format!("{log}\nexec \"$REAL\" \"$@\""));
    }

    /// A command that does nothing but leave a line in the common log, for app hooks.
    pub fn logging_hook(&self, name: &str) {
        let log = self.log_command(name);
        self.fake_tool(name, &log);
    }

    fn log_command(&self, name: &str) -> String {
        // One short write in append mode is not mixed with another one.
        format!("printf '%s\\n' \"{name}${{*:+ $*}}\" >>'{}'", self.log_file().display())
    }

    /// What the logging tools and hooks have written, in the order of their calls.
    pub fn tool_log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.log_file()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn log_file(&self) -> PathBuf {
        self.root().join("tools.log")
    }

    fn real_tool(&self, name: &str) -> Option<PathBuf> {
        // Not resolved further: some tools look at the name they are called by.
        std::fs::read_link(self.root().join("tools").join(name)).ok()
    }
}

const ANSWER_VERSION: &str = r#"case " $* " in *" --version "*|*" -V "*) exec "$REAL" "$@";; esac"#;

/// Reads a number from a pipe, whenever somebody opens it to write one.
fn first_number(pipe: &Path) -> mpsc::Receiver<i32> {
    let (sender, receiver) = mpsc::channel();
    let pipe = pipe.to_path_buf();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = File::open(pipe).and_then(|mut pipe| pipe.read_to_string(&mut text));
        if let (Ok(_), Ok(number)) = (read, text.trim().parse()) {
            // The test may have ended without waiting for it.
            let _ = sender.send(number);
        }
    });
    receiver
}

impl HangingTool {
    /// Waits until the tool was called and hangs; returns its process id.
    pub fn wait_until_it_hangs(&mut self) -> u32 {
        let pid = self.started.recv_timeout(PATIENCE).expect("the tool that should hang was never called");
        self.pid = Some(pid);
        pid.cast_unsigned()
    }

    /// Whether the process is still there (not even waiting to be reaped).
    pub fn is_running(&self) -> bool {
        let pid = self.pid.expect("asked after it was seen hanging");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state follows the name in parentheses; Z is a process that has ended and was not awaited yet.
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    }
}

impl Drop for HangingTool {
    fn drop(&mut self) {
        let pid = self.pid.or_else(|| self.started.try_recv().ok()).and_then(Pid::from_raw);
        // Only while it is still the sleep that the script became: the number may have been given away since.
        let name =
            pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).ok());
        if let (Some(pid), Some("sleep")) = (pid, name.as_deref().map(str::trim)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
