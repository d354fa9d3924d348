//! The parameters that an address may have. One that is not known is refused: passed over in silence, it would make the
//! connection another one than was asked for.

use super::{UrlError, decode};

/// What SQLite URLs may say and means nothing here: how a program in Python holds its connection.
pub(super) const SQLITE_PARAMETERS: [&str; 9] = [
    "mode",
    "uri",
    "timeout",
    "cache",
    "check_same_thread",
    "isolation_level",
    "detect_types",
    "cached_statements",
    "autocommit",
];

/// What decides which server is reached and how: the driver takes it, or child programs do.
pub(super) const POSTGRES_PARAMETERS: [&str; 16] = [
    "host",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "ssl",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "options",
    "connect_timeout",
    "channel_binding",
    "gssencmode",
    "passfile",
];

/// What means nothing here: names and comfort of other programs' sessions.
pub(super) const OF_OTHER_PROGRAMS: [&str; 12] = [
    "application_name",
    "fallback_application_name",
    "client_encoding",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "statement_cache_size",
    "prepared_statement_cache_size",
    "prepare_threshold",
    "async_fallback",
];

/// Returns the parameters of an address, decoded.
pub(super) fn pairs(query: &str) -> Result<Vec<(String, String)>, UrlError> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(name)?, decode(value)?))
    };
    query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect()
}

pub(super) fn unknown(engine: &'static str, name: &str, known: &[&'static str]) -> UrlError {
    let near = known.iter().map(|known| (strsim::damerau_levenshtein(known, name), *known)).min();
    let near = near.filter(|(distance, _)| *distance <= 2).map(|(_, near)| near);
    // A password with a question mark in it ends up here: what does not look like a name is not repeated.
    let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    UrlError::UnknownParameter { engine, name: Some(name).filter(is_name).map(str::to_string), near }
}
