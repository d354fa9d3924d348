//! Child processes with a deadline: the one door to programs such as `pg_dump`.
//!
//! A tool is started with an environment built from nothing, its standard input closed, its standard error kept
//! (the last lines of it become part of an error). It is ended when the deadline passes, when the operation is
//! cancelled, when ripcord itself is dropped in the middle, and (on Linux) when ripcord is killed.
#![expect(clippy::disallowed_methods, reason = "this module owns the power to start programs")]

use super::Cancel;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::PipeReader;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

/// How many lines of a tool's standard error an error keeps.
const KEPT_LINES: usize = 20;

/// A program to run, with its arguments and its whole environment.
#[derive(Clone, Debug)]
pub struct Tool {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    directory: Option<PathBuf>,
    timeout: Option<Duration>,
    stdin: Option<Vec<u8>>,
    pipe: Option<Arc<PipeReader>>,
}

/// What a tool that ended well left behind.
#[derive(Clone, Debug)]
pub struct ToolOutput {
    /// Everything it wrote to standard output.
    pub stdout: String,
    /// The last lines of its standard error.
    pub stderr: String,
}

/// Why a tool did not do its work. `stderr` holds its last lines, `program` its name without the folder.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("{program} was not found")]
    Missing { program: String },
    #[error("{program} could not be started")]
    Start { program: String, source: std::io::Error },
    #[error("{program} ended with {status}: {stderr}")]
    Failed { program: String, status: String, stderr: String },
    #[error("{program} did not finish within {limit:?} and was ended: {stderr}")]
    TimedOut { program: String, limit: Duration, stderr: String },
    #[error("{program} was ended because the operation was interrupted")]
    Interrupted { program: String },
    #[error("{program}: its output could not be read")]
    Output { program: String, source: std::io::Error },
}

impl Tool {
    /// Prepares a program; nothing runs yet. Its environment starts with `PATH`, `HOME` and the C locale only.
    pub fn new(program: impl AsRef<Path>) -> Self {
        let mut environment = BTreeMap::from([(OsString::from("LC_ALL"), OsString::from("C.UTF-8"))]);
        for name in ["PATH", "HOME"] {
            if let Some(value) = std::env::var_os(name) {
                environment.insert(name.into(), value);
            }
        }
        Self {
            program: program.as_ref().to_path_buf(),
            arguments: Vec::new(),
            environment,
            directory: None,
            timeout: None,
            stdin: None,
            pipe: None,
        }
    }

    /// Adds one argument. Never pass a secret: arguments can be read by every user of the machine.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds several arguments, under the same rule as [`Tool::arg`].
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets one variable of the child's environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Runs the child in this folder.
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_path_buf());
        self
    }

    /// Ends the child when it takes longer than this.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Gives the child these bytes as standard input; without this call it reads from `/dev/null`.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Lets the child read from this pipe, for what is known only while it runs.
    pub fn stdin_from(mut self, pipe: PipeReader) -> Self {
        self.pipe = Some(Arc::new(pipe));
        self
    }

    /// Returns the program's name without its folder, as errors show it.
    pub fn name(&self) -> String {
        self.program.file_name().unwrap_or(self.program.as_os_str()).to_string_lossy().into_owned()
    }

    /// Runs the tool to its end and returns what it printed.
    pub async fn run(&self, cancel: &Cancel) -> Result<ToolOutput, ToolError> {
        self.run_watched(cancel, |_| {}).await
    }

    /// Like [`Tool::run`], and hands over each line of standard error as it comes (`pg_dump --verbose` says there
    /// which table it is at).
    pub async fn run_watched(
        &self,
        cancel: &Cancel,
        mut on_line: impl FnMut(&str) + Send,
    ) -> Result<ToolOutput, ToolError> {
        let program = self.name();
        let mut child = self.spawn()?;
        let mut stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let mut last_lines = LastLines::default();
        let feeding = feed(child.stdin.take(), self.stdin.clone());
        let work = async {
            let read_out = async {
                let mut bytes = Vec::new();
                if let Some(pipe) = stdout.as_mut() {
                    pipe.read_to_end(&mut bytes).await?;
                }
                Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
            };
            let read_err = async {
                if let Some(pipe) = stderr {
                    let mut lines = BufReader::new(pipe).split(b'\n');
                    while let Some(line) = lines.next_segment().await? {
                        let line = String::from_utf8_lossy(&line).into_owned();
                        on_line(&line);
                        last_lines.push(line);
                    }
                }
                Ok::<_, std::io::Error>(())
            };
            let (output, errors, ()) = tokio::join!(read_out, read_err, feeding);
            errors?;
            Ok::<_, std::io::Error>((output?, child.wait().await?))
        };
        let outcome = tokio::select! {
            finished = work => Some(finished),
            () = sleep_or_never(self.timeout) => None,
            () = cancel.cancelled() => {
                end(&mut child).await;
                return Err(ToolError::Interrupted { program });
            }
        };
        let Some(finished) = outcome else {
            end(&mut child).await;
            let limit = self.timeout.unwrap_or_default();
            return Err(ToolError::TimedOut { program, limit, stderr: last_lines.text() });
        };
        let (stdout, status) =
            finished.map_err(|source| ToolError::Output { program: program.clone(), source })?;
        if status.success() {
            Ok(ToolOutput { stdout, stderr: last_lines.text() })
        } else {
            Err(ToolError::Failed { program, status: describe(status), stderr: last_lines.text() })
        }
    }

    fn spawn(&self) -> Result<tokio::process::Child, ToolError> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(&self.environment);
        let start = |source| ToolError::Start { program: self.name(), source };
        command.stdin(match &self.pipe {
            Some(pipe) => Stdio::from(pipe.try_clone().map_err(start)?),
            None if self.stdin.is_some() => Stdio::piped(),
            None => Stdio::null(),
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // A group of its own: Ctrl-C in the terminal reaches ripcord alone, which then ends the child in order.
        command.process_group(0);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        end_with_us(&mut command);
        command.spawn().map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => ToolError::Missing { program: self.name() },
            _ => start(source),
        })
    }
}

/// Lets the system end the child when ripcord is killed: nothing may go on writing to a draft that recovery removes.
/// It is the end of the thread that started the child that counts; the runtime's threads last as long as ripcord does.
/// <https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html>
#[cfg(target_os = "linux")]
fn end_with_us(command: &mut tokio::process::Command) {
    use rustix::process::{Signal, set_parent_process_death_signal};
    // SAFETY: between fork and exec only one system call is made; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_us(_: &mut tokio::process::Command) {}

async fn feed(pipe: Option<tokio::process::ChildStdin>, bytes: Option<Vec<u8>>) {
    use tokio::io::AsyncWriteExt;
    if let (Some(mut pipe), Some(bytes)) = (pipe, bytes) {
        // A child that stops reading early says why by its exit status, so a broken pipe is no news here.
        let _ = pipe.write_all(&bytes).await;
    }
}

async fn sleep_or_never(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Ends the child and everything it started: the whole process group, politely first.
async fn end(child: &mut tokio::process::Child) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(group) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        let _ = kill_process_group(group, Signal::TERM);
        if tokio::time::timeout(Duration::from_secs(2), child.wait()).await.is_err() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
    let _ = child.wait().await;
}

fn describe(status: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_string(),
    }
}

#[derive(Default)]
struct LastLines(std::collections::VecDeque<String>);

impl LastLines {
    fn push(&mut self, line: String) {
        if self.0.len() == KEPT_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    fn text(&self) -> String {
        self.0.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Tool {
        Tool::new("/bin/sh").args(["-c", script])
    }

    #[tokio::test]
    async fn a_failing_tool_says_its_status_and_its_last_words() {
        let error =
            shell("echo first >&2; echo last >&2; exit 3").run(&Cancel::new()).await.expect_err("fails");
        assert_eq!(error.to_string(), "sh ended with exit status 3: first\nlast");
    }

    #[tokio::test]
    async fn a_hanging_tool_is_ended_at_its_deadline() {
        let tool = shell("echo waiting >&2; exec sleep 600").timeout(Duration::from_millis(50));
        let error = tool.run(&Cancel::new()).await.expect_err("times out");
        assert!(matches!(error, ToolError::TimedOut { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_interrupted_operation_ends_its_tool() {
        let cancel = Cancel::new();
        cancel.cancel();
        let error = shell("exec sleep 600").run(&cancel).await.expect_err("interrupted");
        assert!(matches!(error, ToolError::Interrupted { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_tool_sees_only_the_environment_it_was_given() {
        let tool =
            shell("env | cut -d= -f1 | grep -v -e ^PWD -e ^_ -e ^SHLVL -e ^OLDPWD | sort | tr '\\n' ' '");
        let output = tool.env("PGHOST", "/tmp").run(&Cancel::new()).await.expect("runs");
        let names: Vec<_> = output.stdout.split_whitespace().collect();
        assert!(names.iter().all(|name| ["HOME", "LC_ALL", "PATH", "PGHOST"].contains(name)), "{names:?}");
    }

    #[tokio::test]
    async fn a_missing_tool_is_named() {
        let error = Tool::new("/nowhere/pg_dump").run(&Cancel::new()).await.expect_err("missing");
        assert_eq!(error.to_string(), "pg_dump was not found");
    }
}
