//! Which tables a migration names: what it does not name it must leave untouched.

use crate::catalog::TableName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The identifiers that a script mentions anywhere, in lower case, or everything when nobody can say.
///
/// Mentioning too much is safe (a table is then checked less strictly), mentioning too little is not: words inside
/// string literals and function bodies count as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Touches {
    Names(BTreeSet<String>),
    /// A foreign command: only a rehearsal could say.
    Anything,
}

impl Default for Touches {
    fn default() -> Self {
        Self::Names(BTreeSet::new())
    }
}

impl Touches {
    /// Returns what both together mention.
    pub fn and(self, other: &Touches) -> Touches {
        match (self, other) {
            (Self::Names(mut names), Self::Names(more)) => {
                names.extend(more.iter().cloned());
                Self::Names(names)
            }
            _ => Self::Anything,
        }
    }

    /// Tells whether this table is mentioned. Compares without case, as SQLite does; on PostgreSQL that only
    /// mentions more than there is.
    pub fn mentions(&self, table: &TableName) -> bool {
        match self {
            Self::Names(names) => names.contains(&table.name.to_lowercase()),
            Self::Anything => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_mentioned_whatever_its_case() {
        let touches = Touches::Names(BTreeSet::from(["users".to_string()]));
        assert!(touches.mentions(&TableName::plain("Users")));
        assert!(!touches.mentions(&TableName::plain("orders")));
        assert!(touches.and(&Touches::Anything).mentions(&TableName::plain("orders")));
    }
}
