//! Names that an operation gives to the databases it makes: derived from its id alone, so that recovery finds them
//! again without having been told.

use crate::base::hash::sha256_hex;

/// The longest name PostgreSQL keeps, in bytes (`NAMEDATALEN` - 1); it cuts longer ones silently.
const LONGEST: usize = 63;
/// The longest suffix: an operation's id fits, and at least 20 bytes of a database's own name before `_old_`.
const LONGEST_SUFFIX: usize = 36;

/// Returns the scratch database in which an operation proves its snapshot.
pub(super) fn scratch(operation: &str) -> String {
    format!("ripcord_scratch_{}", suffix(operation))
}

/// Returns the copy of the scratch database in which an operation rehearses a migration.
pub(super) fn rehearsal(operation: &str) -> String {
    format!("ripcord_rehearsal_{}", suffix(operation))
}

/// Returns the side database in which an operation builds what it is going to put in place.
pub(super) fn side(operation: &str) -> String {
    format!("ripcord_new_{}", suffix(operation))
}

/// Returns the name under which the database that was live before is kept; `attempt` counts from 1, because an
/// operation that is undone after a crash may swap a second time.
pub(super) fn old(database: &str, operation: &str, attempt: u32) -> String {
    let again = if attempt > 1 { format!("_{attempt}") } else { String::new() };
    let tail = format!("_old_{}{again}", suffix(operation));
    let mut end = database.len().min(LONGEST - tail.len());
    while !database.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{tail}", &database[..end])
}

/// Returns the name that an operation's sessions carry in `pg_stat_activity`; cut where the server would cut it.
pub(super) fn application(operation: &str) -> String {
    let mut name = format!("ripcord:{operation}");
    name.retain(|character| character.is_ascii_graphic() || character == ' ');
    name.truncate(LONGEST);
    name
}

/// Returns the operation that sessions of this name belong to.
pub(super) fn operation(application: &str) -> &str {
    application.strip_prefix("ripcord:").unwrap_or(application)
}

fn suffix(operation: &str) -> String {
    let plain: String = operation
        .chars()
        .map(|next| if next.is_ascii_alphanumeric() { next.to_ascii_lowercase() } else { '_' })
        .collect();
    if plain.len() <= LONGEST_SUFFIX && !plain.is_empty() {
        return plain;
    }
    let digest = sha256_hex(operation);
    format!("{}_{}", plain.chars().take(17).collect::<String>(), &digest[..12])
}

/// Returns the condition that there is a value. `IS NOT NULL` would ask a composite value about each of its fields
/// (<https://www.postgresql.org/docs/current/functions-comparison.html>); an index serves both alike.
pub(super) fn is_held(value: &str) -> String {
    format!("{value} IS DISTINCT FROM NULL")
}

/// Returns the condition that there is no value; see [`is_held`].
pub(super) fn is_null(value: &str) -> String {
    format!("{value} IS NOT DISTINCT FROM NULL")
}

/// Returns a text as an SQL literal, whatever `standard_conforming_strings` is.
pub(super) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

pub(super) use crate::catalog::quote as identifier;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_names_of_an_operation_can_be_read() {
        let operation = "20261123T181500Z-upgrade-5f2c";
        assert_eq!(scratch(operation), "ripcord_scratch_20261123t181500z_upgrade_5f2c");
        assert_eq!(side(operation), "ripcord_new_20261123t181500z_upgrade_5f2c");
        assert_eq!(old("app", operation, 1), "app_old_20261123t181500z_upgrade_5f2c");
        assert_eq!(old("app", operation, 2), "app_old_20261123t181500z_upgrade_5f2c_2");
    }

    #[test]
    fn a_literal_is_safe_with_quotes_and_backslashes() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
    }

    proptest! {
        #[test]
        fn no_name_is_longer_than_the_server_keeps(database in "\\PC{1,70}", operation in "\\PC{0,90}") {
            for name in [scratch(&operation), rehearsal(&operation), side(&operation), old(&database, &operation, 99), application(&operation)] {
                prop_assert!(name.len() <= LONGEST, "{name}");
            }
        }

        #[test]
        fn two_long_operations_never_share_a_database(one in "[a-z0-9]{37,45}", other in "[a-z0-9]{37,45}") {
            prop_assume!(one != other);
            prop_assert_ne!(scratch(&one), scratch(&other));
        }
    }
}
