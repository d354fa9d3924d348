//! Names for operations and revisions.

use chrono::{DateTime, Utc};

/// Returns `count` random lower-case hexadecimal digits (at most 32), from a version 4 UUID.
pub fn random_hex(count: usize) -> String {
    let text = uuid::Uuid::new_v4().simple().to_string();
    // The last digits of a version 4 UUID are all random; the first half holds the version.
    text[text.len() - count.min(text.len())..].to_string()
}

/// Returns a name that sorts by time and is unlikely to occur twice: `20261123T181500Z-upgrade-5f2c`.
pub fn operation_id(now: DateTime<Utc>, kind: &str) -> String {
    format!("{}-{kind}-{}", now.format("%Y%m%dT%H%M%SZ"), random_hex(4))
}

/// Returns the time that an operation's name begins with; `None` when it begins with something else.
pub fn time_of(operation: &str) -> Option<DateTime<Utc>> {
    let stamp = operation.get(..16)?;
    let time = chrono::NaiveDateTime::parse_from_str(stamp, "%Y%m%dT%H%M%SZ").ok()?;
    Some(time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_id_sorts_by_time_and_names_its_kind() {
        let early = operation_id("2026-11-23T18:15:00Z".parse().expect("a time"), "upgrade");
        let late = operation_id("2026-11-23T18:15:01Z".parse().expect("a time"), "backup");
        assert!(early.starts_with("20261123T181500Z-upgrade-"), "{early}");
        assert!(early < late);
    }

    #[test]
    fn random_digits_are_hexadecimal_and_as_many_as_asked_for() {
        let digits = random_hex(12);
        assert_eq!(digits.len(), 12);
        assert!(digits.chars().all(|digit| digit.is_ascii_hexdigit()));
        assert_ne!(digits, random_hex(12));
    }
}
