//! One PostgreSQL server: how to reach it, and opening sessions in its databases.
#![expect(clippy::disallowed_methods, reason = "libpq's own variables say how a server is reached")]

use super::errors;
use super::idle::{Home, Idle};
use super::session::{Purpose, Session};
use crate::base::Secret;
use crate::engine::{Error, PostgresUrl};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// How long a server may take to answer when the URL does not say `connect_timeout`.
const PATIENCE: Duration = Duration::from_secs(15);

/// The URL parameters that the driver takes; the others are libpq's own and go to child programs only.
const FOR_THE_DRIVER: [&str; 5] = ["sslmode", "sslrootcert", "sslcert", "sslkey", "options"];

/// How to reach a server; the database is chosen session by session.
#[derive(Clone)]
pub(super) struct Server {
    driver: PgConnectOptions,
    /// `host:port` or the folder of the socket, for messages.
    pub(super) place: String,
    password: Option<Secret>,
    parameters: BTreeMap<String, String>,
    patience: Duration,
    /// Sessions that wait for their next use; clones share them.
    idle: Arc<Idle>,
}

impl Server {
    /// Reads the address. Nothing is connected yet.
    ///
    /// What the URL leaves open is filled in as libpq does: `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGSSLMODE`,
    /// and the passfile.
    pub(super) fn new(url: &PostgresUrl) -> Result<Self, Error> {
        let driver = PgConnectOptions::from_str(&driver_url(url)).map_err(|error| Error::Unsupported {
            what: format!("a connection to {url}"),
            why: error.to_string(),
        })?;
        let driver = driver.statement_cache_capacity(0).extra_float_digits(None).disable_statement_logging();
        let host = host(&driver);
        let place = if host.starts_with('/') { host } else { format!("{host}:{}", driver.get_port()) };
        let password = url.password.clone().or_else(|| std::env::var("PGPASSWORD").ok().map(Secret::new));
        let seconds = url.parameters.get("connect_timeout").and_then(|text| text.parse().ok());
        let patience = seconds.filter(|limit| *limit > 0).map_or(PATIENCE, Duration::from_secs);
        let (parameters, idle) = (url.parameters.clone(), Arc::default());
        Ok(Self { driver, place, password, parameters, patience, idle })
    }

    pub(super) fn user(&self) -> &str {
        self.driver.get_username()
    }

    /// Returns how long the server may take to answer.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Returns a session in a database, under a name that others see in `pg_stat_activity`: one that has waited for its
    /// next use, or a new one.
    pub(super) async fn open(&self, database: &str, purpose: Purpose, name: &str) -> Result<Session, Error> {
        if let Some(waiting) = self.idle.take(database, purpose)
            && let Ok(Ok(session)) = tokio::time::timeout(self.patience, waiting.wake(name, purpose)).await
        {
            return Ok(session);
        }
        // None has waited, or the server or something in between has ended it meanwhile.
        self.connect(database, purpose, name).await
    }

    /// Opens a new session.
    pub(super) async fn connect(
        &self,
        database: &str,
        purpose: Purpose,
        name: &str,
    ) -> Result<Session, Error> {
        let driver = self.driver.clone().database(database).application_name(name);
        let failed = |error: &sqlx::Error| errors::connecting(error, &self.place, self.user(), database);
        let connection = match tokio::time::timeout(self.patience, driver.connect()).await {
            Ok(outcome) => outcome.map_err(|error| failed(&error))?,
            Err(_) => {
                return Err(Error::Unreachable {
                    place: self.place.clone(),
                    detail: format!("no answer within {} s", self.patience.as_secs()),
                });
            }
        };
        let home = Home { idle: Arc::downgrade(&self.idle), database: database.to_string(), purpose };
        Session::begin(connection, format!("{} at {}", database, self.place), home).await
    }

    /// Opens a session in another database than `not`: what is done to a database as a whole (create, drop, rename,
    /// bar) is done from outside.
    pub(super) async fn open_outside(&self, not: &str, name: &str) -> Result<Session, Error> {
        let mut last = None;
        for database in ["postgres", "template1"] {
            if database == not {
                continue;
            }
            match self.open(database, Purpose::Steering, name).await {
                Ok(session) => return Ok(session),
                // Only what concerns this one database is a reason to try the next.
                Err(error @ (Error::NotFound { .. } | Error::Barred { .. } | Error::Privilege { .. })) => {
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::NotFound { place: self.place.clone() }))
    }

    /// Ends the sessions that wait in a database: they would be in the way of whoever drops, renames, bars or copies it.
    pub(super) async fn forget(&self, database: &str) {
        self.end_idle(|home| home.database == database).await;
    }

    /// Ends those that wait in a database with settings that the user, or the database, may no longer have.
    pub(super) async fn forget_settings(&self, database: &str) {
        self.end_idle(|home| home.database == database && home.has_own_settings()).await;
    }

    /// Ends all that wait.
    pub(super) async fn forget_all(&self) {
        self.end_idle(|_| true).await;
    }

    async fn end_idle(&self, is_one: impl Fn(&Home) -> bool) {
        for session in self.idle.remove(is_one) {
            session.close().await;
        }
    }

    /// Returns the password that child programs must be given; `None` when they find it as we did (a passfile of the
    /// user) or need none.
    pub(super) fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// Returns what child programs need to reach this server, as libpq's variables; no password among them.
    pub(super) fn variables(&self, database: &str, name: &str) -> BTreeMap<&'static str, String> {
        let mut variables = BTreeMap::from([
            ("PGHOST", host(&self.driver)),
            ("PGPORT", self.driver.get_port().to_string()),
            ("PGUSER", self.user().to_string()),
            ("PGDATABASE", database.to_string()),
            ("PGAPPNAME", name.to_string()),
            ("PGCONNECT_TIMEOUT", self.patience.as_secs().to_string()),
            ("PGSSLMODE", ssl_mode(self.driver.get_ssl_mode()).to_string()),
        ]);
        for (parameter, variable) in [
            ("sslrootcert", "PGSSLROOTCERT"),
            ("sslcert", "PGSSLCERT"),
            ("sslkey", "PGSSLKEY"),
            ("sslcrl", "PGSSLCRL"),
            ("channel_binding", "PGCHANNELBINDING"),
            ("gssencmode", "PGGSSENCMODE"),
            ("passfile", "PGPASSFILE"),
        ] {
            let value = self.parameters.get(parameter).cloned().or_else(|| std::env::var(variable).ok());
            value.map(|value| variables.insert(variable, value));
        }
        variables
    }

    /// Returns the command line options for the server that the URL asks for.
    pub(super) fn server_options(&self) -> Option<&String> {
        self.parameters.get("options")
    }
}

/// Writes the address the way the driver reads it, every part as a parameter: a host, a folder and a name are then
/// decoded alike.
fn driver_url(url: &PostgresUrl) -> String {
    let port = url.port.map(|port| port.to_string());
    let password = url.password.as_ref().map(Secret::reveal);
    let fixed = [
        ("host", url.host.as_deref()),
        ("port", port.as_deref()),
        ("user", url.user.as_deref()),
        ("password", password),
        ("dbname", url.database.as_deref()),
    ];
    let fixed = fixed.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let more = url.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let pairs = fixed.chain(more.filter(|(name, _)| FOR_THE_DRIVER.contains(name)));
    let pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
        .collect();
    format!("postgres://?{}", pairs.join("&"))
}

fn host(driver: &PgConnectOptions) -> String {
    match driver.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => driver.get_host().to_string(),
    }
}

fn ssl_mode(mode: PgSslMode) -> &'static str {
    match mode {
        PgSslMode::Disable => "disable",
        PgSslMode::Allow => "allow",
        PgSslMode::Prefer => "prefer",
        PgSslMode::Require => "require",
        PgSslMode::VerifyCa => "verify-ca",
        PgSslMode::VerifyFull => "verify-full",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::DatabaseUrl;

    fn server(text: &str) -> Server {
        let Ok(DatabaseUrl::Postgres(url)) = DatabaseUrl::parse(text) else { panic!("{text}") };
        Server::new(&url).expect("an address")
    }

    #[test]
    fn a_socket_folder_and_a_host_are_told_apart() {
        assert_eq!(server("postgres://u@/shop?host=/run/my pg").place, "/run/my pg");
        assert_eq!(server("postgres://u@db.example:6543/shop").place, "db.example:6543");
        assert_eq!(server("postgres://u@[::1]:6543/shop").place, "::1:6543");
    }

    #[test]
    fn child_programs_are_told_everything_but_the_password() {
        let server = server("postgres://u:hunter2%25@h:1/shop?sslmode=require&options=-c%20geqo=off");
        let variables = server.variables("side", "ripcord:x");
        assert_eq!(variables["PGDATABASE"], "side");
        assert_eq!(variables["PGSSLMODE"], "require");
        assert!(!format!("{variables:?}").contains("hunter2"));
        assert_eq!(server.password().map(Secret::reveal), Some("hunter2%"));
        assert_eq!(server.server_options().map(String::as_str), Some("-c geqo=off"));
    }

    #[test]
    fn a_misspelt_ssl_mode_is_refused_and_not_ignored() {
        let Ok(DatabaseUrl::Postgres(url)) = DatabaseUrl::parse("postgres://h/d?sslmode=requir") else {
            panic!("an address")
        };
        assert!(matches!(Server::new(&url), Err(Error::Unsupported { .. })));
    }
}
