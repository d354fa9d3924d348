//! What the scripts of a rehearsal must not reach: roles, databases, tablespaces and settings belong to the whole server,
//! so a migration that changes them changes them for the live database as well, copy or not.

use super::apply::DOING;
use super::effects::ROWS_WRITTEN;
use super::session::Session;
use crate::engine::Error;
use crate::plan::{Script, Statement};

/// The server's own tables that every database shares, and what they hold. Not `pg_shdepend`: each table that has an owner
/// is written down there.
const SHARED: [(&str, &str); 10] = [
    ("pg_authid", "roles"),
    ("pg_auth_members", "memberships of roles"),
    ("pg_database", "databases"),
    ("pg_db_role_setting", "settings of roles and databases"),
    ("pg_parameter_acl", "grants on settings"),
    ("pg_replication_origin", "replication origins"),
    ("pg_shdescription", "comments on roles and databases"),
    ("pg_shseclabel", "security labels of roles and databases"),
    ("pg_subscription", "subscriptions"),
    ("pg_tablespace", "tablespaces"),
];

/// Fails when the present transaction has written to what all databases share. Asked before the commit, so that whatever
/// did it, a function or a statement, is undone. `statements` are those of the transaction.
pub(super) async fn refuse_shared_writes(
    session: &mut Session,
    script: &Script,
    statements: &[Statement],
) -> Result<(), Error> {
    let names: Vec<String> = SHARED.iter().map(|(table, _)| format!("'{table}'")).collect();
    let sql = format!(
        "SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace \
         AND c.relname IN ({}) AND {ROWS_WRITTEN} > 0 ORDER BY 1",
        names.join(", ")
    );
    let rows = session.rows(DOING, &sql).await?;
    let written = rows.first().and_then(|row| SHARED.iter().find(|(table, _)| *table == row.text(0)));
    if let Some((_, what)) = written {
        let line = statements.first().map_or(1, |statement| statement.line);
        return Err(beyond(script, line, shared(what)));
    }
    let counts = session.value(DOING, "SELECT pg_catalog.current_setting('track_counts')").await?;
    match counts.as_deref() {
        Some("on") => Ok(()),
        // A server that does not count cannot be asked; the words are all that is left.
        _ => statements.iter().try_for_each(|statement| refuse_by_words(script, statement)),
    }
}

/// Fails for a statement whose words say that it changes what all databases share, for those that no transaction can
/// hold.
pub(super) fn refuse_by_words(script: &Script, statement: &Statement) -> Result<(), Error> {
    match shared_by_words(&statement.words()) {
        Some(what) => Err(beyond(script, statement.line, shared(what))),
        None => Ok(()),
    }
}

/// Fails for a statement whose words say that it writes a file of the server, or starts a program there: no transaction
/// undoes that.
pub(super) fn refuse_outside(script: &Script, statement: &Statement) -> Result<(), Error> {
    match outside_by_words(&statement.words()) {
        Some(what) => Err(beyond(script, statement.line, what.to_string())),
        None => Ok(()),
    }
}

fn shared_by_words(words: &[String]) -> Option<&'static str> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let behind_on = || {
        let on = words.iter().position(|word| *word == "ON")?;
        words.get(on + 1).copied()
    };
    match words.as_slice() {
        // CREATE USER MAPPING belongs to the database.
        ["CREATE" | "ALTER" | "DROP", "USER", "MAPPING", ..] => None,
        ["CREATE" | "ALTER" | "DROP", "ROLE" | "USER" | "GROUP", ..] => Some("roles"),
        ["CREATE" | "ALTER" | "DROP", "DATABASE", ..] => Some("databases"),
        ["CREATE" | "ALTER" | "DROP", "TABLESPACE", ..] => Some("tablespaces"),
        ["CREATE" | "ALTER" | "DROP", "SUBSCRIPTION", ..] => Some("subscriptions"),
        ["ALTER", "SYSTEM", ..] => Some("settings of the server"),
        ["REASSIGN" | "DROP", "OWNED", ..] => Some("owners and grants of databases"),
        ["GRANT" | "REVOKE", rest @ ..] => {
            let until = rest.iter().position(|word| *word == "TO" || *word == "FROM").unwrap_or(rest.len());
            match rest[..until].contains(&"ON").then(behind_on).flatten() {
                None => Some("memberships of roles"),
                Some("DATABASE" | "TABLESPACE" | "PARAMETER") => Some("grants on databases and settings"),
                Some(_) => None,
            }
        }
        ["COMMENT", ..] | ["SECURITY", "LABEL", ..] => match behind_on() {
            Some("DATABASE" | "ROLE" | "TABLESPACE" | "SUBSCRIPTION") => {
                Some("comments and labels of roles and databases")
            }
            _ => None,
        },
        _ => None,
    }
}

fn outside_by_words(words: &[String]) -> Option<&'static str> {
    let has = |word: &str| words.iter().any(|other| other == word);
    // Only these run text: in any other statement a string is a value.
    let runs = ["COPY", "DO", "CREATE", "EXECUTE", "PREPARE"];
    let first = words.first().map(String::as_str).filter(|first| runs.contains(first));
    if first.is_some() && has("COPY") {
        let pairs = || words.windows(2).map(|pair| (pair[0].as_str(), pair[1].as_str()));
        if pairs().any(|pair| matches!(pair, ("TO" | "FROM", "PROGRAM"))) {
            return Some("what a program on the server does");
        }
        if pairs().any(|pair| matches!(pair, ("TO", "'" | "E" | "U"))) {
            return Some("a file on the server");
        }
    }
    let named = |prefix: &str| words.iter().any(|word| word.starts_with(prefix));
    if named("LO_EXPORT") || first.is_some() && named("PG_FILE_") {
        return Some("a file on the server");
    }
    // What a block brings along and uses at once cannot be disarmed in between.
    let brings = has("EXTENSION") && (named("DBLINK") || named("POSTGRES_FDW"));
    (words.first().is_some_and(|first| first == "DO") && brings).then_some("what lies on another server")
}

fn shared(what: &str) -> String {
    format!("{what}, which all databases of the server share")
}

pub(super) fn beyond(script: &Script, line: usize, what: String) -> Error {
    Error::BeyondCopy { place: script.place.clone(), line, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.to_uppercase().replace('\'', " ' ").split_whitespace().map(str::to_string).collect()
    }

    #[test]
    fn what_the_whole_server_shares_is_known_by_its_words() {
        let shared = |text: &str| shared_by_words(&words(text));
        for text in [
            "CREATE ROLE app",
            "ALTER SYSTEM SET work_mem",
            "DROP DATABASE other",
            "GRANT one TO two",
            "REVOKE ADMIN OPTION FOR one FROM two",
            "GRANT CREATE ON DATABASE app TO two",
            "GRANT SET ON PARAMETER work_mem TO two",
            "COMMENT ON DATABASE app IS 'x'",
            "SECURITY LABEL FOR p ON ROLE app IS 'x'",
            "REASSIGN OWNED BY one TO two",
            "DROP OWNED BY one",
        ] {
            assert!(shared(text).is_some(), "{text}");
        }
        for text in [
            "CREATE USER MAPPING FOR app",
            "ALTER TABLE role ADD note",
            "GRANT SELECT ON TABLE database TO two",
            "GRANT SELECT ON t TO two",
            "COMMENT ON TABLE database IS 'on role'",
            "VACUUM",
            "COMMIT",
            "",
        ] {
            assert_eq!(shared(text), None, "{text}");
        }
    }

    #[test]
    fn what_writes_files_and_starts_programs_on_the_server_is_known_by_its_words() {
        let outside = |text: &str| outside_by_words(&words(text));
        for text in [
            "COPY t TO PROGRAM 'cat'",
            "COPY t FROM PROGRAM 'cat'",
            "COPY ( SELECT 1 ) TO '/tmp/x'",
            "DO BEGIN EXECUTE 'copy t to program x'",
            "SELECT lo_export ( 1 , '/tmp/x' )",
        ] {
            assert!(outside(text).is_some(), "{text}");
        }
        for text in [
            "COPY t TO STDOUT",
            "COPY t FROM '/tmp/x'",
            "INSERT INTO notes VALUES ( 'copy this to program x' )",
            "UPDATE program SET copy = 'to'",
        ] {
            assert_eq!(outside(text), None, "{text}");
        }
    }
}
