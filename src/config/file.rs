//! `ripcord.toml`: every key is known by name; a key that is not is an error, never ignored.

use crate::engine::ProofLevel;
use std::time::Duration;
use toml::{Table, Value};

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct File {
    pub url: Option<String>,
    pub lock_timeout: Option<Duration>,
    pub statement_timeout: Option<Duration>,
    pub retries: Option<u32>,
    pub migrations: Option<String>,
    pub backups: Option<String>,
    pub tool_timeout: Option<Duration>,
    pub tools: Option<String>,
    pub proof: Option<ProofLevel>,
    pub rehearsal: Option<bool>,
    pub scratch_url: Option<String>,
    pub max_size: Option<u64>,
}

/// Why the file cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    #[error("{detail}")]
    Syntax { detail: String },
    #[error("unknown key {key}{}", near.as_ref().map(|near| format!(", did you mean {near}?")).unwrap_or_default())]
    UnknownKey { key: String, near: Option<String> },
    #[error("{key} is planned, but this version does not do it yet; remove the key")]
    NotYet { key: String },
    #[error("{key} must be {expected}")]
    Value { key: String, expected: &'static str },
}

/// Keys that this version acts on.
const KNOWN: [&str; 13] = [
    "database.url",
    "database.lock_timeout",
    "database.statement_timeout",
    "database.retries",
    "runner.kind",
    "runner.directory",
    "backup.directory",
    "backup.tool_timeout",
    "backup.tools",
    "proof.level",
    "proof.scratch_url",
    "proof.max_size",
    "rehearsal.enabled",
];

/// Keys of the design that this version does not act on: ignoring one (`encrypt_to`!) would be a lie.
const PLANNED: [&str; 16] = [
    "database.schema",
    "runner.command",
    "backup.compression",
    "backup.keep_last",
    "backup.keep_daily",
    "backup.keep_weekly",
    "backup.encrypt_to",
    "backup.store",
    "app.stop",
    "app.start",
    "app.health",
    "app.timeout",
    "verify.check",
    "notify.webhook",
    "notify.on",
    "target",
];

/// Reads the text of a `ripcord.toml`.
pub(super) fn parse(text: &str) -> Result<File, FileError> {
    let table: Table =
        text.parse().map_err(|error: toml::de::Error| FileError::Syntax { detail: error.to_string() })?;
    let mut file = File::default();
    for (section, value) in &table {
        match value {
            Value::Table(inner) => {
                for (name, value) in inner {
                    take(&mut file, &format!("{section}.{name}"), value)?;
                }
            }
            other => take(&mut file, section, other)?,
        }
    }
    Ok(file)
}

fn take(file: &mut File, key: &str, value: &Value) -> Result<(), FileError> {
    match key {
        "database.url" => file.url = Some(text(key, value)?),
        "database.lock_timeout" => file.lock_timeout = Some(duration(key, value)?),
        "database.statement_timeout" => file.statement_timeout = Some(duration(key, value)?),
        "database.retries" => file.retries = Some(number(key, value)?),
        "runner.kind" => match text(key, value)?.as_str() {
            "sql" => {}
            "alembic" | "flask-migrate" | "command" => {
                return Err(FileError::NotYet { key: key.to_string() });
            }
            _ => return Err(expected(key, "\"sql\"")),
        },
        "runner.directory" => file.migrations = Some(text(key, value)?),
        "backup.directory" => file.backups = Some(text(key, value)?),
        "backup.tool_timeout" => file.tool_timeout = Some(duration(key, value)?),
        "backup.tools" => file.tools = Some(text(key, value)?),
        "proof.level" => {
            file.proof = Some(match text(key, value)?.as_str() {
                "full" => ProofLevel::Full,
                "schema" => ProofLevel::Schema,
                "none" => ProofLevel::None,
                _ => return Err(expected(key, "\"full\", \"schema\" or \"none\"")),
            });
        }
        "proof.scratch_url" => file.scratch_url = Some(text(key, value)?),
        "rehearsal.enabled" => file.rehearsal = Some(flag(key, value)?),
        "proof.max_size" => file.max_size = Some(size(key, value)?),
        _ if PLANNED.contains(&key) => return Err(FileError::NotYet { key: key.to_string() }),
        _ => return Err(unknown(key)),
    }
    Ok(())
}

fn unknown(key: &str) -> FileError {
    let near = KNOWN
        .iter()
        .chain(&PLANNED)
        .map(|known| (strsim::damerau_levenshtein(known, key), known))
        .min()
        .filter(|(distance, _)| *distance <= 6)
        .map(|(_, known)| known.to_string());
    FileError::UnknownKey { key: key.to_string(), near }
}

fn expected(key: &str, expected: &'static str) -> FileError {
    FileError::Value { key: key.to_string(), expected }
}

fn text(key: &str, value: &Value) -> Result<String, FileError> {
    value.as_str().map(str::to_string).ok_or_else(|| expected(key, "text in quotes"))
}

fn flag(key: &str, value: &Value) -> Result<bool, FileError> {
    value.as_bool().ok_or_else(|| expected(key, "true or false"))
}

fn number(key: &str, value: &Value) -> Result<u32, FileError> {
    let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| expected(key, "a whole number, 0 or more"))
}

fn duration(key: &str, value: &Value) -> Result<Duration, FileError> {
    let wanted = "a time such as \"500ms\", \"3s\" or \"2min\"";
    let text = value.as_str().ok_or_else(|| expected(key, wanted))?;
    let digits = text.len() - text.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    let count: u64 = text[..digits].parse().map_err(|_| expected(key, wanted))?;
    match text[digits..].trim() {
        "ms" => Ok(Duration::from_millis(count)),
        "s" => Ok(Duration::from_secs(count)),
        "min" | "m" => Ok(Duration::from_secs(count.saturating_mul(60))),
        _ => Err(expected(key, wanted)),
    }
}

fn size(key: &str, value: &Value) -> Result<u64, FileError> {
    let wanted = "a size such as \"500MB\" or \"20GiB\"";
    let text = value.as_str().ok_or_else(|| expected(key, wanted))?;
    let digits = text.len() - text.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    let count: u64 = text[..digits].parse().map_err(|_| expected(key, wanted))?;
    let unit = match text[digits..].trim() {
        "B" | "" => 1,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "TiB" => 1 << 40,
        _ => return Err(expected(key, wanted)),
    };
    Ok(count.saturating_mul(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_this_version_is_read() {
        let file = parse(
            "[database]\nurl = \"sqlite:///app.db\"\nlock_timeout = \"500ms\"\nretries = 2\n\
             [runner]\nkind = \"sql\"\ndirectory = \"db\"\n[backup]\ndirectory = \"keep\"\n\
             [proof]\nlevel = \"schema\"\nmax_size = \"20GiB\"\n[rehearsal]\nenabled = false\n",
        )
        .expect("read");
        assert_eq!(file.lock_timeout, Some(Duration::from_millis(500)));
        assert_eq!((file.migrations.as_deref(), file.max_size), (Some("db"), Some(20 << 30)));
        assert_eq!((file.proof, file.rehearsal), (Some(ProofLevel::Schema), Some(false)));
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        let error = parse("[database]\nlock_timout = \"3s\"\n").expect_err("refused");
        assert_eq!(
            error.to_string(),
            "unknown key database.lock_timout, did you mean database.lock_timeout?"
        );
    }

    #[test]
    fn a_key_that_nobody_acts_on_yet_is_refused_instead_of_ignored() {
        let error = parse("[backup]\nencrypt_to = \"age1\"\n").expect_err("refused");
        assert_eq!(error, FileError::NotYet { key: "backup.encrypt_to".into() });
    }

    #[test]
    fn every_known_key_is_accepted_by_name() {
        for key in KNOWN {
            let mut file = File::default();
            let error = take(&mut file, key, &Value::Array(Vec::new())).expect_err("wrong type");
            assert!(matches!(error, FileError::Value { .. }), "{key}: {error}");
        }
    }
}
