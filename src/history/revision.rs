//! One revision and its identifier, as a revision file declares them.
//!
//! Promises that a [`RevisionId`] can be told from every other form of the identifier grammar. Leaves to
//! [`History`](super::History) what a revision means among others.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::HistoryError;

/// The characters that the identifier grammar needs for itself, so no identifier may contain them.
const GRAMMAR: [char; 4] = ['@', '-', '+', ':'];

/// The identity of one revision: not empty, and free of the characters `@ - + :`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RevisionId(String);

impl RevisionId {
    /// Returns the identifier, or says which of its characters the identifier grammar keeps for itself.
    pub fn new(text: impl Into<String>) -> Result<RevisionId, HistoryError> {
        let text = text.into();
        if text.is_empty() {
            return Err(HistoryError::EmptyId);
        }
        let mut characters: Vec<char> = GRAMMAR.iter().copied().filter(|c| text.contains(*c)).collect();
        if characters.is_empty() {
            return Ok(RevisionId(text));
        }
        characters.sort_unstable();
        Err(HistoryError::IllegalCharacters { id: text, characters })
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RevisionId {
    // By hand, because a derived one would let identifiers in that `new` refuses.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RevisionId, D::Error> {
        RevisionId::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl AsRef<str> for RevisionId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for RevisionId {
    type Error = HistoryError;

    fn try_from(text: &str) -> Result<RevisionId, HistoryError> {
        RevisionId::new(text)
    }
}

/// One revision, as its file declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its identity.
    pub id: RevisionId,
    /// The revisions it continues: none for a base, several for a merge point.
    pub parents: Vec<RevisionId>,
    /// What must be applied before it without being its parent: ids, prefixes or labels, as written.
    pub depends_on: Vec<String>,
    /// The branch labels that it introduces (not those that reach it from others).
    pub labels: Vec<String>,
    /// What it does, in the author's words.
    pub message: String,
    /// When it was created, as written.
    pub created: Option<String>,
    /// Why it cannot be undone, when its author says so.
    pub irreversible: Option<String>,
    /// The file it comes from, for messages.
    pub place: String,
}

impl Revision {
    /// Returns whether nothing precedes it (a `depends_on` does not count).
    pub fn is_base(&self) -> bool {
        self.parents.is_empty()
    }

    /// Returns whether it joins several branches.
    pub fn is_merge_point(&self) -> bool {
        self.parents.len() > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_of_the_grammar_are_refused_by_name() {
        let refused = RevisionId::new("a+b@c").unwrap_err();
        assert_eq!(refused.to_string(), "Character(s) '+, @' not allowed in revision identifier 'a+b@c'");
        assert_eq!(
            RevisionId::try_from("a:b").unwrap_err().to_string(),
            "Character(s) ':' not allowed in revision identifier 'a:b'"
        );
        assert_eq!(RevisionId::new("").unwrap_err(), HistoryError::EmptyId);
    }

    #[test]
    fn an_identifier_is_plain_text_in_json() {
        let id = RevisionId::new("1975ea83b712").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"1975ea83b712\"");
        assert_eq!(id.to_string(), "1975ea83b712");
        assert!(serde_json::from_str::<RevisionId>("\"a@b\"").is_err());
    }
}
