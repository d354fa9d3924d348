//! From `ripcord.toml`, `.env`, the environment and flags to one checked [`Config`].
//!
//! The order for the database's address: `--database-url`, `DATABASE_URL`, the same name in `.env`, `ripcord.toml`,
//! and last the file `database.db` in the working folder; which one it was is said aloud.
#![expect(clippy::disallowed_methods, reason = "this module owns the power to read the environment")]

mod file;

pub use file::FileError;

use crate::base::{Clock, FixedClock, SystemClock, shell_word};
use crate::engine::{DatabaseUrl, ProofLevel, UrlError};
use file::File;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What the flags say.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub database_url: Option<String>,
    pub config: Option<PathBuf>,
}

/// Everything that can be set, checked.
pub struct Config {
    pub database: DatabaseUrl,
    /// Where the address was read from, for the reader: `--database-url`, `DATABASE_URL`, `.env` …
    pub database_source: String,
    pub lock_timeout: Duration,
    pub statement_timeout: Option<Duration>,
    /// The only folder to look for `pg_dump` in; without it the search path and the usual places.
    pub tools: Option<PathBuf>,
    /// How long `pg_dump` or `pg_restore` may take before it counts as hanging.
    pub tool_timeout: Option<Duration>,
    /// PostgreSQL: how often a migration is tried again that could not get its locks.
    pub retries: u32,
    /// The folder that holds `versions/`.
    pub migrations: PathBuf,
    pub backups: PathBuf,
    pub proof: ProofLevel,
    /// Whether a change is rehearsed on the restored snapshot before it runs.
    pub rehearsal: bool,
    pub scratch_url: Option<DatabaseUrl>,
    /// Databases above this size are not proven without being asked for by name, in bytes.
    pub max_size: Option<u64>,
    pub clock: Arc<dyn Clock>,
    pub who: String,
    pub context: Carried,
}

/// The flags that commands printed as advice must carry to mean the same database.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    config: Option<PathBuf>,
    database: Option<DatabaseUrl>,
}

impl Carried {
    /// Returns those for another database.
    pub fn to(&self, database: &DatabaseUrl) -> Self {
        Self { config: self.config.clone(), database: Some(database.clone()) }
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(config) = &self.config {
            write!(f, " --config {}", shell_word(&config.display().to_string()))?;
        }
        let Some(url) = &self.database else { return Ok(()) };
        write!(f, " --database-url {}", shell_word(&url.without_password()))
    }
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{} could not be read: {source}", place.display())]
    Read { place: PathBuf, source: std::io::Error },
    #[error("{}: {source}", place.display())]
    File { place: PathBuf, source: FileError },
    #[error("{from}: {source}")]
    Url { from: String, source: UrlError },
    #[error("RIPCORD_CLOCK is not a time: {detail}")]
    Clock { detail: String },
}

impl Config {
    /// Reads everything that can be set. Only `--config` must exist; all else has a default.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        let (file, folder) = read_file(flags.config.as_deref())?;
        let (text, source) = database_text(flags, &file);
        let mut database = DatabaseUrl::parse(&text)
            .map_err(|error| ConfigError::Url { from: source.clone(), source: error })?;
        // A path in the file is meant from where the file is; one on the command line from where the user is.
        if let (DatabaseUrl::Sqlite(path), "ripcord.toml") = (&mut database, source.as_str()) {
            *path = folder.join(&*path);
        }
        let scratch_url = file.scratch_url.as_deref().map(DatabaseUrl::parse).transpose();
        Ok(Self {
            database,
            database_source: source,
            lock_timeout: file.lock_timeout.unwrap_or(Duration::from_secs(3)),
            statement_timeout: file.statement_timeout,
            tools: file.tools.as_deref().map(|tools| folder.join(tools)),
            tool_timeout: file.tool_timeout,
            retries: file.retries.unwrap_or(5),
            migrations: folder.join(file.migrations.as_deref().unwrap_or("migrations")),
            backups: folder.join(file.backups.as_deref().unwrap_or("backups")),
            proof: file.proof.unwrap_or_default(),
            rehearsal: file.rehearsal.unwrap_or(true),
            scratch_url: scratch_url
                .map_err(|error| ConfigError::Url { from: "proof.scratch_url".to_string(), source: error })?,
            max_size: file.max_size,
            clock: clock()?,
            who: who(),
            context: context(flags),
        })
    }
}

fn read_file(asked: Option<&Path>) -> Result<(File, PathBuf), ConfigError> {
    let place = asked.map_or_else(|| PathBuf::from("ripcord.toml"), Path::to_path_buf);
    let folder = match crate::base::fs::parent(&place) {
        here if here == Path::new(".") => PathBuf::new(),
        elsewhere => elsewhere,
    };
    match std::fs::read_to_string(&place) {
        Ok(text) => {
            let file = file::parse(&text).map_err(|source| ConfigError::File { place, source })?;
            Ok((file, folder))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && asked.is_none() => {
            Ok((File::default(), PathBuf::new()))
        }
        Err(source) => Err(ConfigError::Read { place, source }),
    }
}

fn database_text(flags: &Flags, file: &File) -> (String, String) {
    let from_env_file = || {
        let mut pairs = dotenvy::from_filename_iter(".env").ok()?.flatten();
        pairs.find(|(name, _)| name == "DATABASE_URL").map(|(_, value)| value)
    };
    let named = |text: String, source: &str| (text, source.to_string());
    if let Some(text) = &flags.database_url {
        return named(text.clone(), "--database-url");
    }
    if let Some(text) = std::env::var("DATABASE_URL").ok().filter(|text| !text.is_empty()) {
        return named(text, "DATABASE_URL");
    }
    if let Some(text) = from_env_file() {
        return named(text, ".env");
    }
    match &file.url {
        Some(text) => named(text.clone(), "ripcord.toml"),
        None => named("sqlite:///database.db".to_string(), "the default"),
    }
}

fn clock() -> Result<Arc<dyn Clock>, ConfigError> {
    match std::env::var("RIPCORD_CLOCK") {
        Ok(text) => text
            .parse()
            .map(|time| Arc::new(FixedClock(time)) as Arc<dyn Clock>)
            .map_err(|error: chrono::ParseError| ConfigError::Clock { detail: error.to_string() }),
        Err(_) => Ok(Arc::new(SystemClock)),
    }
}

fn who() -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let host = rustix::system::uname();
    format!("{}@{}", user.unwrap_or_else(|| "unknown".to_string()), host.nodename().to_string_lossy())
}

/// Returns the flags as a shell would take them, without any password: a pasted command finds it in `PGPASSWORD` or a passfile.
fn context(flags: &Flags) -> Carried {
    let url = flags.database_url.as_deref().and_then(|url| DatabaseUrl::parse(url).ok());
    Carried { config: flags.config.clone(), database: url }
}

/// Tells whether colours may be used on a terminal (<https://no-color.org>).
pub fn colours_allowed() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Returns the editor that the user has chosen: `$VISUAL`, else `$EDITOR`.
pub fn editor() -> Option<String> {
    ["VISUAL", "EDITOR"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|editor| !editor.trim().is_empty())
}

/// Returns the folders of the search path for programs.
pub fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}
