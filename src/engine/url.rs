//! Database addresses, as SQLAlchemy writes them.

mod parameters;

use crate::base::Secret;
use crate::catalog::{DatabaseId, EngineKind};
use parameters::{OF_OTHER_PROGRAMS, POSTGRES_PARAMETERS, SQLITE_PARAMETERS, pairs, unknown};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Where a database is. `Display` never shows a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// The path of the file: relative to the working folder (`sqlite:///app.db`) or absolute (`sqlite:////srv/app.db`).
    Sqlite(PathBuf),
    Postgres(PostgresUrl),
}

/// The parts of a PostgreSQL address, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostgresUrl {
    pub user: Option<String>,
    pub password: Option<Secret>,
    /// A host name, an address, or a folder that holds a unix socket (begins with `/`).
    pub host: Option<String>,
    pub port: Option<u16>,
    pub database: Option<String>,
    /// Further parameters (`sslmode`, `sslrootcert`, `connect_timeout`, `options` …), as written.
    pub parameters: BTreeMap<String, String>,
}

/// Why an address cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("{given} is not a database URL: it has no scheme such as sqlite:/// or postgresql://")]
    NoScheme { given: String },
    #[error("{scheme} databases are not supported, only sqlite and postgresql")]
    UnknownScheme { scheme: String },
    #[error("an in-memory SQLite database cannot be guarded: it ends with the program")]
    Memory,
    #[error("the SQLite URL names a host; write sqlite:///relative.db or sqlite:////absolute.db")]
    SqliteHost,
    #[error("the PostgreSQL URL cannot be read: {detail}")]
    Malformed { detail: String },
    #[error("the PostgreSQL URL names no database")]
    NoDatabase,
    /// One that is passed over would make the connection another one than was asked for: without TLS, with writing.
    #[error(
        "the {engine} URL has {}, which is not known{}{}",
        name.as_ref().map_or("a parameter".to_string(), |name| format!("the parameter {name}")),
        near.map(|near| format!("; did you mean {near}?")).unwrap_or_default(),
        if *engine == "SQLite" { "; a question mark in a path is written %3F" } else { "" }
    )]
    UnknownParameter { engine: &'static str, name: Option<String>, near: Option<&'static str> },
    #[error("the SQLite URL says {said}, and ripcord guards databases that are written to")]
    ReadOnly { said: String },
}

impl DatabaseUrl {
    /// Reads an address. A driver after `+` (`postgresql+psycopg2`) is ignored.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            // Never echo what may hold a password; without a scheme the part before an @ could be one.
            let given = text.rsplit_once('@').map_or(text, |(_, after)| after).to_string();
            return Err(UrlError::NoScheme { given });
        };
        match scheme.split('+').next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "sqlite" => sqlite(rest),
            "postgresql" | "postgres" => PostgresUrl::parse(rest).map(Self::Postgres),
            _ => Err(UrlError::UnknownScheme { scheme: scheme.to_string() }),
        }
    }
}

impl DatabaseUrl {
    /// Returns the address of a database of which nothing is known but which one it is; `None` where that does not say who
    /// connects to it.
    pub fn of(id: &DatabaseId) -> Option<Self> {
        (id.engine == EngineKind::Sqlite).then(|| Self::Sqlite(PathBuf::from(&id.place)))
    }

    /// Returns the address as it can be typed again, all of it but the password: that comes from `PGPASSWORD` or a passfile.
    pub fn without_password(&self) -> String {
        let Self::Postgres(url) = self else { return self.to_string() };
        let encoded = |text: &str| utf8_percent_encode(text, UNPLAIN).to_string();
        let user = url.user.as_deref().map(|user| format!("{}@", encoded(user))).unwrap_or_default();
        let socket = url.host.as_deref().filter(|host| host.starts_with('/'));
        let host = url.host.as_deref().filter(|_| socket.is_none()).unwrap_or_default();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
        let port = url.port.map(|port| format!(":{port}")).unwrap_or_default();
        let more = url.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let query: Vec<String> = socket
            .map(|folder| ("host", folder))
            .into_iter()
            .chain(more)
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let name = encoded(url.database_name());
        format!("postgresql://{user}{host}{port}/{name}{mark}{}", query.join("&"))
    }
}

/// What is written as itself in an address.
const UNPLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/');

fn sqlite(rest: &str) -> Result<DatabaseUrl, UrlError> {
    let Some(path) = rest.strip_prefix('/') else {
        return Err(if rest.is_empty() || rest == ":memory:" {
            UrlError::Memory
        } else {
            UrlError::SqliteHost
        });
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    for (name, value) in pairs(query)? {
        match (name.as_str(), value.as_str()) {
            ("mode", "memory") => return Err(UrlError::Memory),
            ("mode", "ro") => return Err(UrlError::ReadOnly { said: "mode=ro".to_string() }),
            (name, _) if SQLITE_PARAMETERS.contains(&name) => {}
            (name, _) => return Err(unknown("SQLite", name, &SQLITE_PARAMETERS)),
        }
    }
    // As SQLAlchemy 2.1 does; a percent sign that two hexadecimal digits do not follow stands for itself.
    let path = decode(path)?;
    let path = path.strip_prefix("file:").unwrap_or(&path);
    if path.is_empty() || path == ":memory:" {
        return Err(UrlError::Memory);
    }
    Ok(DatabaseUrl::Sqlite(PathBuf::from(path)))
}

impl PostgresUrl {
    fn parse(rest: &str) -> Result<Self, UrlError> {
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = address.split_once('/').unwrap_or((address, ""));
        // The last @ separates: an unescaped one in a password is a common slip that libpq reads this way too.
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let mut url = Self::default();
        if let Some(login) = login {
            let (user, password) =
                login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
            url.user = non_empty(decode(user)?);
            url.password = password.map(decode).transpose()?.map(Secret::new);
        }
        url.place(place)?;
        url.database = non_empty(decode(database)?);
        for (name, value) in pairs(query)? {
            url.parameter(&name, value)?;
        }
        if url.database.is_none() {
            return Err(UrlError::NoDatabase);
        }
        Ok(url)
    }

    fn place(&mut self, place: &str) -> Result<(), UrlError> {
        let (host, port) = match place.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((address, after)) => (address, after.strip_prefix(':').unwrap_or_default()),
            None => place.split_once(':').unwrap_or((place, "")),
        };
        self.host = non_empty(decode(host)?);
        self.set_port(port)
    }

    fn set_port(&mut self, port: &str) -> Result<(), UrlError> {
        if !port.is_empty() {
            let detail = || UrlError::Malformed { detail: format!("{port} is not a port") };
            self.port = Some(port.parse().map_err(|_| detail())?);
        }
        Ok(())
    }

    fn parameter(&mut self, name: &str, value: String) -> Result<(), UrlError> {
        match name {
            "host" => self.host = non_empty(value),
            "port" => self.set_port(&value)?,
            "user" => self.user = non_empty(value),
            "password" => self.password = Some(Secret::new(value)),
            "dbname" => self.database = non_empty(value),
            // As asyncpg and other drivers say it; a value that is none is refused together with those of sslmode.
            "ssl" => {
                let mode = match value.as_str() {
                    "true" | "1" | "on" => "require".to_string(),
                    "false" | "0" | "off" => "disable".to_string(),
                    _ => value,
                };
                self.parameters.entry("sslmode".to_string()).or_insert(mode);
            }
            "connect_timeout" if value.parse::<u64>().is_err() => {
                let detail = "connect_timeout is not a number of seconds".to_string();
                return Err(UrlError::Malformed { detail });
            }
            _ if POSTGRES_PARAMETERS.contains(&name) => {
                self.parameters.insert(name.to_string(), value);
            }
            _ if OF_OTHER_PROGRAMS.contains(&name) => {}
            _ => return Err(unknown("PostgreSQL", name, &POSTGRES_PARAMETERS)),
        }
        Ok(())
    }

    /// Returns the database's name.
    pub fn database_name(&self) -> &str {
        self.database.as_deref().unwrap_or_default()
    }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn decode(text: &str) -> Result<String, UrlError> {
    percent_decode_str(text)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| UrlError::Malformed { detail: "a part of it is not UTF-8".to_string() })
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => {
                let path = path.display().to_string().replace('%', "%25").replace('?', "%3F");
                write!(f, "sqlite:///{path}")
            }
            Self::Postgres(url) => write!(f, "{url}"),
        }
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgresql://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}{}@", if self.password.is_some() { ":***" } else { "" })?;
        }
        let socket = self.host.as_deref().filter(|host| host.starts_with('/'));
        if socket.is_none() {
            f.write_str(self.host.as_deref().unwrap_or_default())?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "/{}", self.database_name())?;
        socket.map_or(Ok(()), |folder| write!(f, "?host={folder}"))
    }
}

#[cfg(test)]
mod tests;
