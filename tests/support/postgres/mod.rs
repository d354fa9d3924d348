//! A private PostgreSQL server: its own data folder, a unix socket in a temporary folder, gone when it is dropped.
//!
//! A start takes a copy of a prepared data folder (`template`) and a fraction of a second. The superuser is `postgres`
//! with the password `postgres`; there is a database `app` that belongs to the role `app` (password `app`, may create
//! databases, no superuser), which is what ripcord is normally given. Nothing is asked of a local connection unless
//! the server was started with `passwords`.
//!
//! Keep a server in the test that uses it, never in a `static`: statics are not dropped, and the server dies with the
//! thread that started it.

mod install;
mod start;
mod template;

use std::path::Path;
use std::process::Command;

pub use install::Installation;
pub use start::{Options, Postgres};

use super::{session::Session, tools};

/// The role that owns the database `app`; its password is its name.
pub const APP_ROLE: &str = "app";
/// The database that every server starts with.
pub const APP_DATABASE: &str = "app";
/// The superuser; its password is its name.
pub const SUPERUSER: &str = "postgres";

impl Postgres {
    /// Starts a server of the chosen version (`RIPCORD_TEST_POSTGRES`), reachable by unix socket without a password.
    pub fn start() -> Postgres {
        Options::default().start()
    }

    /// Options for a server that differs from the usual one.
    pub fn options() -> Options {
        Options::default()
    }

    /// The URL of a database, as the role that owns `app`. A server with passwords finds none in it.
    pub fn url(&self, database: &str) -> String {
        self.url_as(APP_ROLE, database)
    }

    /// The URL of a database, as a role.
    pub fn url_as(&self, role: &str, database: &str) -> String {
        match self.tcp_port() {
            Some(port) => format!("postgresql://{role}@127.0.0.1:{port}/{database}"),
            None => format!("postgresql://{role}@/{database}?host={}", self.socket_folder().display()),
        }
    }

    /// The URL of a database, with a role and its password.
    pub fn url_with_password(&self, role: &str, password: &str, database: &str) -> String {
        self.url_as(&format!("{role}:{password}"), database)
    }

    /// Runs SQL as superuser and returns what it printed: one line a row, columns divided by `|`. Panics on an error.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.psql_as(SUPERUSER, database, sql)
    }

    /// Asks until the answer is the wanted one, and returns the last answer. A session that has been told goodbye is there
    /// for a moment longer; one that works or waits does not go at all.
    pub fn ends_with(&self, sql: &str, wanted: &str) -> String {
        let look = || self.psql("postgres", sql).trim().to_string();
        (0..500).map(|_| look()).find(|answer| answer == wanted).unwrap_or_else(look)
    }

    /// Runs SQL as a role, so that what it creates belongs to that role.
    pub fn psql_as(&self, role: &str, database: &str, sql: &str) -> String {
        self.try_psql_as(role, database, sql).unwrap_or_else(|report| panic!("{report}\n{}", self.log()))
    }

    /// Runs SQL as a role; an error is what psql said.
    pub fn try_psql_as(&self, role: &str, database: &str, sql: &str) -> Result<String, String> {
        tools::try_capture(&mut self.psql_command(role, database), sql)
    }

    /// A psql that stays connected, for locks, long transactions and live writers.
    pub fn session(&self, database: &str) -> Session {
        Session::psql(self.psql_command(APP_ROLE, database))
    }

    fn psql_command(&self, role: &str, database: &str) -> Command {
        let mut command = self.client("psql", role);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database]);
        command
    }

    /// One of the server's own client programs, told where the server is.
    pub fn client(&self, program: &str, role: &str) -> Command {
        let mut command = Command::new(self.bin_dir().join(program));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command.env("PGHOST", self.socket_folder()).env("PGUSER", role).env("PGPASSWORD", role);
        command.env("PGPORT", self.port().to_string());
        command
    }

    /// Creates a database that belongs to the role `app`.
    pub fn create_database(&self, name: &str) {
        self.psql("postgres", &format!(r#"CREATE DATABASE "{name}" OWNER {APP_ROLE};"#));
    }

    /// Creates a role that may log in (its password is its name), with further attributes such as `CREATEDB`.
    pub fn create_role(&self, name: &str, attributes: &str) {
        self.psql("postgres", &format!(r#"CREATE ROLE "{name}" LOGIN PASSWORD '{name}' {attributes};"#));
    }

    /// The names of all databases, in order.
    pub fn databases(&self) -> Vec<String> {
        let sql = "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY datname;";
        self.psql("postgres", sql).lines().map(str::to_owned).collect()
    }

    /// The content of a database as SQL text, to compare before with after. Rows are sorted within their table, since
    /// their order on disk is no promise; two tables are equal exactly if their lines are.
    pub fn dump(&self, database: &str) -> String {
        let text = tools::capture(self.client("pg_dump", SUPERUSER).args(["-d", database]), "");
        // Every run of pg_dump invents another token for these.
        let kept =
            text.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
        sorted_copy_blocks(kept)
    }

    /// The definition of everything in a database as SQL text, without rows.
    pub fn schema(&self, database: &str) -> String {
        let text =
            tools::capture(self.client("pg_dump", SUPERUSER).args(["--schema-only", "-d", database]), "");
        let kept =
            text.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
        kept.map(|line| format!("{line}\n")).collect()
    }

    /// The folder with the programs of this server's version.
    pub fn bin_dir(&self) -> &Path {
        &self.installation().bin_dir
    }

    /// The server's major version: 15, 16, …
    pub fn major(&self) -> u32 {
        self.installation().major
    }
}

fn sorted_copy_blocks<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    let mut rows: Option<Vec<&str>> = None;
    for line in lines {
        match &mut rows {
            Some(block) if line == "\\." => {
                block.sort_unstable();
                block.iter().for_each(|row| text.extend([row, "\n"]));
                text.push_str("\\.\n");
                rows = None;
            }
            Some(block) => block.push(line),
            None => {
                text.extend([line, "\n"]);
                if line.starts_with("COPY ") && line.ends_with(" FROM stdin;") {
                    rows = Some(Vec::new());
                }
            }
        }
    }
    text
}
