//! Database addresses, as SQLAlchemy writes them.

use crate::base::Secret;
use percent_encoding::percent_decode_str;
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

fn sqlite(rest: &str) -> Result<DatabaseUrl, UrlError> {
    let Some(path) = rest.strip_prefix('/') else {
        return Err(if rest.is_empty() || rest == ":memory:" {
            UrlError::Memory
        } else {
            UrlError::SqliteHost
        });
    };
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    // SQLAlchemy takes the path as it is written, without percent-decoding.
    let path = path.strip_prefix("file:").unwrap_or(path);
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
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            url.parameter(&decode(name)?, decode(value)?)?;
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
            _ => {
                self.parameters.insert(name.to_string(), value);
            }
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
            Self::Sqlite(path) => write!(f, "sqlite:///{}", path.display()),
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
mod tests {
    use super::*;

    fn postgres(text: &str) -> PostgresUrl {
        match DatabaseUrl::parse(text) {
            Ok(DatabaseUrl::Postgres(url)) => url,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn sqlite_paths_are_relative_after_three_slashes_and_absolute_after_four() {
        let path = |text| match DatabaseUrl::parse(text) {
            Ok(DatabaseUrl::Sqlite(path)) => path.display().to_string(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(path("sqlite:///app.db"), "app.db");
        assert_eq!(path("sqlite:////srv/app.db"), "/srv/app.db");
        assert_eq!(path("sqlite+pysqlite:///a b.db?timeout=3"), "a b.db");
    }

    #[test]
    fn a_database_that_ends_with_the_program_is_refused() {
        for text in ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://:memory:"] {
            assert_eq!(DatabaseUrl::parse(text), Err(UrlError::Memory), "{text}");
        }
    }

    #[test]
    fn every_way_of_writing_a_postgresql_address_is_read() {
        let url = postgres("postgresql+psycopg2://app:p%40ss%25@db.example:6543/shop?sslmode=require");
        assert_eq!(
            (url.user.as_deref(), url.host.as_deref(), url.port),
            (Some("app"), Some("db.example"), Some(6543))
        );
        assert_eq!(url.password, Some(Secret::new("p@ss%")));
        assert_eq!(url.database_name(), "shop");
        assert_eq!(url.parameters["sslmode"], "require");
        let socket = postgres("postgres:///shop?host=/run/pg&user=app&port=5433");
        assert_eq!((socket.host.as_deref(), socket.port), (Some("/run/pg"), Some(5433)));
        assert_eq!(postgres("postgres://[::1]:5433/shop").host.as_deref(), Some("::1"));
    }

    #[test]
    fn no_address_ever_shows_its_password() {
        let url = DatabaseUrl::parse("postgres://app:hunter2@h/shop").expect("read");
        assert_eq!(url.to_string(), "postgresql://app:***@h/shop");
        assert!(!format!("{url:?}").contains("hunter2"));
        let error = DatabaseUrl::parse("app:hunter2@h/shop").expect_err("no scheme").to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        assert_eq!(DatabaseUrl::parse("postgresql://h/"), Err(UrlError::NoDatabase));
        assert!(matches!(DatabaseUrl::parse("mysql://h/x"), Err(UrlError::UnknownScheme { .. })));
        assert!(matches!(DatabaseUrl::parse("postgresql://h:abc/x"), Err(UrlError::Malformed { .. })));
        assert_eq!(DatabaseUrl::parse("sqlite://host/x.db"), Err(UrlError::SqliteHost));
    }
}
