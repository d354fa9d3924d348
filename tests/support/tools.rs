//! Small helpers around child processes and places on disk.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Runs the command to its end with `input` on its standard input; panics if it cannot be started.
pub fn run_with_input(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let bytes = input.as_bytes().to_vec();
    // Written beside the reading: a tool that answers before it has read everything must not block both sides. A
    // tool that ends early closes the pipe; its exit status tells that, not the failed write.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
    let output =
        child.wait_with_output().unwrap_or_else(|error| panic!("{command:?} cannot be awaited: {error}"));
    writer.join().expect("the writer of a tool's input does not panic");
    output
}

/// Runs the command; returns its standard output, or everything it said when it failed.
pub fn try_capture(command: &mut Command, input: &str) -> Result<String, String> {
    let output = run_with_input(command, input);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}\nended with {}\n{stdout}{stderr}", output.status))
}

/// Runs the command; returns its standard output, panics with everything it said when it failed.
pub fn capture(command: &mut Command, input: &str) -> String {
    try_capture(command, input).unwrap_or_else(|report| panic!("{report}"))
}

/// Finds a program on the PATH of the test run.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

/// The target folder that this test binary was built into (`target/debug/deps/binary` is three levels below it).
pub fn target_folder() -> PathBuf {
    let binary = std::env::current_exe().expect("a running test knows its own file");
    binary.ancestors().nth(3).expect("a test binary lies in target/PROFILE/deps").to_path_buf()
}

/// A folder for what may be kept from one test run to the next.
pub fn cache_folder() -> PathBuf {
    let folder = target_folder().join("tmp");
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    folder
}

/// A temporary folder with a short path: a unix socket in it must fit into 108 bytes.
pub fn short_temporary_folder(prefix: &str) -> tempfile::TempDir {
    let preferred = std::env::temp_dir();
    let parent = if preferred.as_os_str().len() <= 40 { preferred } else { PathBuf::from("/tmp") };
    tempfile::Builder::new().prefix(prefix).tempdir_in(parent).expect("the temporary folder is writable")
}

/// A temporary folder for a server's data: in memory where there is room, since the many small files of a data folder
/// take a disk several times as long as the server takes to start.
pub fn server_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |facts| facts.f_bavail * facts.f_frsize);
    if free < ROOM_FOR_SERVERS {
        return short_temporary_folder("ripcord-pg-");
    }
    tempfile::Builder::new().prefix("ripcord-pg-").tempdir_in(memory).expect("shared memory is writable")
}

/// Enough for the servers of tests that run side by side, with what they fill in.
const ROOM_FOR_SERVERS: u64 = 2 << 30;

/// Copies a folder with modes, owners and times.
pub fn copy_folder(from: &Path, to: &Path) {
    capture(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to), "");
}

/// A command that runs as an unprivileged user when the tests run as root: PostgreSQL refuses to run as root.
///
/// It dies with the thread that starts it, so that a killed test leaves no server behind.
pub fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = unprivileged_user() {
        command.args(["--reuid", user, "--regid", user_group(user), "--clear-groups"]);
    }
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program);
    // The folder of the tests may be closed to that user; a working directory it cannot enter is an error to initdb.
    command.current_dir("/").env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC");
    command
}

/// The user that servers run as, if it has to be another one than we are.
pub fn unprivileged_user() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = accounts.lines().any(|line| line.starts_with("postgres:"));
    Some(if known { "postgres" } else { "nobody" })
}

fn user_group(user: &str) -> &'static str {
    // Debian calls the group of `nobody` otherwise.
    if user == "postgres" { "postgres" } else { "nogroup" }
}

/// Gives a file or folder to the user that servers run as.
pub fn give_to_unprivileged(path: &Path) {
    if let Some(user) = unprivileged_user() {
        capture(Command::new("chown").arg("-R").arg(format!("{user}:{}", user_group(user))).arg(path), "");
    }
}
