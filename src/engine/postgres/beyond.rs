//! What the scripts of a rehearsal must not reach: roles, databases, tablespaces and settings belong to the whole server,
//! so a migration that changes them changes them for the live database as well, copy or not.

use super::apply::DOING;
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
/// did it, a function or a statement, is undone.
pub(super) async fn refuse_shared_writes(session: &mut Session, script: &Script) -> Result<(), Error> {
    let names: Vec<String> = SHARED.iter().map(|(table, _)| format!("'{table}'")).collect();
    let sql = format!(
        "SELECT relname FROM pg_catalog.pg_stat_xact_sys_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 \
         AND schemaname = 'pg_catalog' AND relname IN ({}) ORDER BY 1",
        names.join(", ")
    );
    let rows = session.rows(DOING, &sql).await?;
    let written = rows.first().and_then(|row| SHARED.iter().find(|(table, _)| *table == row.text(0)));
    match written {
        Some((_, what)) => Err(beyond(script, first_line(script), what)),
        // A server that does not count is asked nothing; the words are all that is left.
        None => script.statements.iter().try_for_each(|statement| refuse_by_words(script, statement)),
    }
}

/// Fails for a statement whose first words say that it changes what all databases share, for those that no transaction
/// can hold.
pub(super) fn refuse_by_words(script: &Script, statement: &Statement) -> Result<(), Error> {
    match shared_by_words(statement.words()) {
        Some(what) => Err(beyond(script, statement.line, what)),
        None => Ok(()),
    }
}

fn shared_by_words(mut words: impl Iterator<Item = String>) -> Option<&'static str> {
    let (verb, object) = (words.next()?, words.next()?);
    match (verb.as_str(), object.as_str()) {
        ("CREATE" | "ALTER" | "DROP", "ROLE" | "USER" | "GROUP") => {
            // CREATE USER MAPPING belongs to the database.
            (words.next().as_deref() != Some("MAPPING")).then_some("roles")
        }
        ("CREATE" | "ALTER" | "DROP", "DATABASE") => Some("databases"),
        ("CREATE" | "ALTER" | "DROP", "TABLESPACE") => Some("tablespaces"),
        ("CREATE" | "ALTER" | "DROP", "SUBSCRIPTION") => Some("subscriptions"),
        ("ALTER", "SYSTEM") => Some("settings of the server"),
        _ => None,
    }
}

fn first_line(script: &Script) -> usize {
    script.statements.first().map_or(1, |statement| statement.line)
}

fn beyond(script: &Script, line: usize, what: &str) -> Error {
    let what = format!("{what}, which all databases of the server share");
    Error::BeyondCopy { place: script.place.clone(), line, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_whole_server_shares_is_known_by_its_first_words() {
        let shared = |text: &str| shared_by_words(text.split(' ').map(str::to_string));
        for text in ["CREATE ROLE APP", "ALTER SYSTEM SET WORK_MEM", "DROP DATABASE OTHER"] {
            assert!(shared(text).is_some(), "{text}");
        }
        for text in ["CREATE USER MAPPING FOR APP", "ALTER TABLE ROLE ADD NOTE", "VACUUM", "COMMIT", ""] {
            assert_eq!(shared(text), None, "{text}");
        }
    }
}
