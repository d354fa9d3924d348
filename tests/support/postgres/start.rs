//! Starting and stopping one server.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Installation, template};
use crate::support::tools;

/// How a server differs from the usual one.
#[derive(Default)]
pub struct Options {
    installation: Option<Installation>,
    passwords: bool,
    tcp: bool,
    settings: Vec<(String, String)>,
}

/// A running server; dropping it stops it and removes its data.
pub struct Postgres {
    installation: Installation,
    folder: TempDir,
    port: u16,
    tcp: bool,
    server: Child,
    log: Log,
}

/// What the server has said, and the news that it has said more.
type Log = Arc<(Mutex<String>, Condvar)>;

/// A machine with two busy cores takes its time; a server that is not ready by then will never be.
const START_LIMIT: Duration = Duration::from_secs(60);
const USUAL_PORT: u16 = 5432;

impl Options {
    /// Takes this version instead of the chosen one.
    pub fn installation(mut self, installation: Installation) -> Options {
        self.installation = Some(installation);
        self
    }

    /// Asks every connection for its password (SCRAM).
    pub fn passwords(mut self) -> Options {
        self.passwords = true;
        self
    }

    /// Listens on 127.0.0.1, on a free port, beside the unix socket; URLs then name that.
    pub fn tcp(mut self) -> Options {
        self.tcp = true;
        self
    }

    /// Sets a parameter of the server, such as `log_statement` to `all`.
    pub fn setting(mut self, name: &str, value: &str) -> Options {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the server; returns when it takes connections.
    pub fn start(self) -> Postgres {
        // Between finding a free port and listening on it another process may take it; then a second one is tried.
        let attempts = if self.tcp { 5 } else { 1 };
        let mut log = String::new();
        for _ in 0..attempts {
            match self.try_start() {
                Ok(server) => return server,
                Err(report) => log = report,
            }
        }
        panic!("PostgreSQL does not start:\n{log}");
    }

    fn try_start(&self) -> Result<Postgres, String> {
        let installation = self.installation.clone().unwrap_or_else(Installation::chosen);
        let folder = tools::server_folder();
        let data = folder.path().join("data");
        tools::copy_folder(&template::prepared(&installation), &data);
        if self.passwords {
            std::fs::write(
                data.join("pg_hba.conf"),
                "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n",
            )
            .expect("the data folder is writable");
        }
        // The folder holds the socket, so the server must own it; what is in `data` already has the right owner.
        if let Some(user) = tools::unprivileged_user() {
            tools::capture(std::process::Command::new("chown").arg(user).arg(folder.path()), "");
        }
        let port = if self.tcp { free_port() } else { USUAL_PORT };
        let (server, log) = self.launch(&installation, folder.path(), &data, port)?;
        Ok(Postgres { installation, folder, port, tcp: self.tcp, server, log })
    }

    fn launch(
        &self,
        which: &Installation,
        sockets: &Path,
        data: &Path,
        port: u16,
    ) -> Result<(Child, Log), String> {
        let mut command = tools::unprivileged(&which.bin_dir.join("postgres"));
        command.arg("-D").arg(data).arg("-k").arg(sockets).arg("-p").arg(port.to_string());
        if self.tcp {
            command.args(["-h", "127.0.0.1"]);
        }
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let (ready, is_ready) = mpsc::channel();
        let log = follow(server.stderr.take().expect("stderr is piped"), ready);
        match is_ready.recv_timeout(START_LIMIT) {
            Ok(()) => return Ok((server, log)),
            Err(RecvTimeoutError::Timeout) => stop(&mut server),
            Err(RecvTimeoutError::Disconnected) => drop(server.wait()),
        }
        Err(format!("{command:?}\n{}", text(&log)))
    }
}

/// Keeps reading what the server says, so that it never waits for us, and reports when it takes connections.
fn follow(stderr: ChildStderr, ready: Sender<()>) -> Log {
    let log = Log::default();
    let kept = Arc::clone(&log);
    std::thread::spawn(move || {
        let mut ready = Some(ready);
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            kept.0.lock().expect("no reader of the log panics").extend([line.as_str(), "\n"]);
            kept.1.notify_all();
            if line.contains("database system is ready to accept connections") {
                // Nobody listens any more when the start was given up.
                ready.take().map(|sender| sender.send(()));
            }
        }
    });
    log
}

fn text(log: &Log) -> String {
    log.0.lock().expect("the log's reader does not panic").clone()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

fn stop(server: &mut Child) {
    // A server that has ended already was awaited here, and its process id may belong to somebody else by now.
    if let Ok(None) = server.try_wait() {
        // SIGQUIT is PostgreSQL's immediate shutdown: its children and its shared memory go, its data is thrown away.
        let _ = kill_process(Pid::from_child(server), Signal::QUIT);
        drop(server.wait());
    }
}

impl Postgres {
    /// Stops the server now, as a crash would; the folder and the URL remain, and nobody answers there.
    pub fn stop(&mut self) {
        stop(&mut self.server);
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// What has been read of the server's log so far; the last lines may still be on their way.
    pub fn log(&self) -> String {
        text(&self.log)
    }

    /// Waits until the server has logged this text; returns the log up to then.
    pub fn wait_for_log(&self, wanted: &str) -> String {
        let (log, news) = &*self.log;
        let log = log.lock().expect("the log's reader does not panic");
        let waited = news.wait_timeout_while(log, START_LIMIT, |log| !log.contains(wanted));
        let (log, _) = waited.expect("the log's reader does not panic");
        assert!(log.contains(wanted), "the server did not log {wanted:?}:\n{log}");
        log.clone()
    }

    /// The folder of the unix socket.
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The port of the socket, and of 127.0.0.1 if the server listens there.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port on 127.0.0.1, if the server listens there.
    pub fn tcp_port(&self) -> Option<u16> {
        self.tcp.then_some(self.port)
    }

    /// The programs of the server's version.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        stop(&mut self.server);
    }
}
