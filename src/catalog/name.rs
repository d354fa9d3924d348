//! Names of tables.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A table's name, with its schema on PostgreSQL and without on SQLite.
///
/// Printed and serialized as `name` or `schema.name`; a part that is not a plain lower-case identifier is written
/// in double quotes, so that the text can be read back without doubt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    pub schema: Option<String>,
    pub name: String,
}

impl TableName {
    /// Names a table of SQLite's main schema.
    pub fn plain(name: impl Into<String>) -> Self {
        Self { schema: None, name: name.into() }
    }

    /// Names a table in a schema of PostgreSQL.
    pub fn qualified(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: Some(schema.into()), name: name.into() }
    }

    /// Names the pseudo table under which a fingerprint has PostgreSQL's large objects.
    pub fn large_objects() -> Self {
        Self::qualified("pg_catalog", "pg_largeobject")
    }

    /// Tells whether it is [`TableName::large_objects`].
    pub fn is_large_objects(&self) -> bool {
        self.schema.as_deref() == Some("pg_catalog") && self.name == "pg_largeobject"
    }

    /// Tells whether a migration tool keeps this table for itself.
    pub fn is_bookkeeping(&self) -> bool {
        super::BOOKKEEPING.contains(&self.name.as_str()) || self.is_side_table()
    }

    /// Tells whether ripcord keeps rows for a person in this table, conflicts of a merge or what others wrote before a
    /// migration, or says with it that a merge was committed: it may come and go.
    pub fn is_side_table(&self) -> bool {
        let own = [super::SIDE_TABLES, super::MEANWHILE_TABLES, super::MERGED_TABLES];
        own.iter().any(|beginning| self.name.starts_with(beginning))
    }

    /// Tells whether what others wrote between a snapshot and a migration is kept in this table.
    pub fn is_meanwhile_table(&self) -> bool {
        self.name.starts_with(super::MEANWHILE_TABLES)
    }

    /// Returns the name as both engines' SQL accept it whatever characters it has: `"schema"."name"`.
    pub fn sql(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quote(schema), quote(&self.name)),
            None => quote(&self.name),
        }
    }

    /// Reads what `Display` wrote; `None` when quotes do not pair up or there are more than two parts.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = parts(text)?;
        let name = parts.pop()?;
        match parts.len() {
            0 => Some(Self::plain(name)),
            1 => Some(Self::qualified(parts.remove(0), name)),
            _ => None,
        }
    }
}

/// Reads names that are divided by dots, some of them in double quotes; `None` when the quotes do not pair up.
pub fn parts(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = take_part(rest)?;
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Some(parts),
            None => return None,
        }
    }
}

fn take_part(text: &str) -> Option<(String, &str)> {
    match text.strip_prefix('"') {
        Some(quoted) => take_quoted(quoted),
        None => {
            let end = text.find('.').unwrap_or(text.len());
            Some((text[..end].to_string(), &text[end..]))
        }
    }
}

/// Reads up to the double quote that closes a name, inner ones doubled, and returns the name with what follows; `None`
/// when no quote closes it.
pub fn take_quoted(mut rest: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    loop {
        let quote = rest.find('"')?;
        part.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                part.push('"');
                rest = after;
            }
            None => return Some((part, rest)),
        }
    }
}

/// Returns an identifier in double quotes, inner ones doubled.
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn is_plain(part: &str) -> bool {
    let mut characters = part.chars();
    characters.next().is_some_and(|first| first.is_ascii_lowercase() || first == '_')
        && characters.all(|next| next.is_ascii_lowercase() || next.is_ascii_digit() || next == '_')
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.schema.iter().map(|schema| (schema, ".")).chain([(&self.name, "")]) {
            let (text, separator) = part;
            if is_plain(text) {
                write!(f, "{text}{separator}")?
            } else {
                write!(f, "{}{separator}", quote(text))?
            }
        }
        Ok(())
    }
}

impl Serialize for TableName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TableName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text} is not a table name")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_are_printed_without_quotes() {
        assert_eq!(TableName::qualified("public", "training_metric").to_string(), "public.training_metric");
        assert_eq!(TableName::plain("User \"x\".y").to_string(), "\"User \"\"x\"\".y\"");
    }

    proptest! {
        #[test]
        fn any_name_can_be_read_back(schema in proptest::option::of("\\PC{0,8}"), name in "\\PC{0,8}") {
            let name = TableName { schema, name };
            prop_assert_eq!(TableName::parse(&name.to_string()), Some(name));
        }
    }
}
