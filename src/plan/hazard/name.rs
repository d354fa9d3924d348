//! The name of a hazard, read and printed.

use super::Hazard;
use crate::catalog::{TableName, take_quoted};
use crate::history::RevisionId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

const DROPS_TABLE: &str = "drops-table";
const DROPS_COLUMN: &str = "drops-column";
const NARROWS_TYPE: &str = "narrows-type";
const OVERWRITES_VALUES: &str = "overwrites-values";
const DELETES_ROWS: &str = "deletes-rows";
const IRREVERSIBLE: &str = "irreversible";
const OPAQUE: &str = "opaque";

const KINDS: [&str; 7] =
    [DROPS_TABLE, DROPS_COLUMN, NARROWS_TYPE, OVERWRITES_VALUES, DELETES_ROWS, IRREVERSIBLE, OPAQUE];

/// Why a text is not the name of a hazard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HazardError {
    #[error("{found:?} is no kind of hazard{}; they are {}", nearest(near), KINDS.join(", "))]
    Unknown { found: String, near: Option<&'static str> },
    #[error("{kind} needs {needed}")]
    Incomplete { kind: &'static str, needed: &'static str },
    #[error(
        "a name with {character:?} in it is written in double quotes, an inner one twice: \"Odd \"\"Name\"\"\""
    )]
    NeedsQuotes { character: char },
    #[error("a double quote is not closed")]
    OpenQuote,
    #[error("{rest:?} follows the name of the hazard")]
    Trailing { rest: String },
    #[error("{found:?} is no revision: {reason}")]
    Revision { found: String, reason: String },
}

fn nearest(near: &Option<&'static str>) -> String {
    near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}

impl Hazard {
    /// Reads a hazard at the beginning of a text and returns it with what follows. A name ends at white space outside
    /// of quotes.
    pub fn read(text: &str) -> Result<(Self, &str), HazardError> {
        let end = text.find(|c: char| c == ':' || c.is_whitespace()).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        let kind = KINDS.iter().copied().find(|kind| *kind == word).ok_or_else(|| unknown(word))?;
        let subject = rest.strip_prefix(':');
        match kind {
            OPAQUE => match subject {
                None => Ok((Self::Opaque, rest)),
                Some(_) => Err(HazardError::Trailing { rest: rest.to_string() }),
            },
            IRREVERSIBLE => irreversible(subject.unwrap_or_default()),
            DROPS_TABLE | DELETES_ROWS => {
                let needed = "a table: TABLE or SCHEMA.TABLE";
                let (mut parts, rest) = parts(kind, needed, subject)?;
                let name = parts.pop().unwrap_or_default();
                let table = of(kind, needed, parts, name)?;
                Ok((
                    if kind == DROPS_TABLE {
                        Self::DropsTable { table }
                    } else {
                        Self::DeletesRows { table }
                    },
                    rest,
                ))
            }
            _ => {
                let needed = "a column: TABLE.COLUMN or SCHEMA.TABLE.COLUMN";
                let (mut parts, rest) = parts(kind, needed, subject)?;
                let column = parts.pop().unwrap_or_default();
                let name = parts.pop().ok_or(HazardError::Incomplete { kind, needed })?;
                let table = of(kind, needed, parts, name)?;
                let hazard = match kind {
                    DROPS_COLUMN => Self::DropsColumn { table, column },
                    NARROWS_TYPE => Self::NarrowsType { table, column },
                    _ => Self::OverwritesValues { table, column },
                };
                Ok((hazard, rest))
            }
        }
    }
}

fn unknown(word: &str) -> HazardError {
    let similarity = |kind: &str| strsim::jaro_winkler(word, kind);
    let best = KINDS.iter().copied().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    HazardError::Unknown { found: word.to_string(), near: best.filter(|best| similarity(best) > 0.75) }
}

fn irreversible(text: &str) -> Result<(Hazard, &str), HazardError> {
    let (word, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    if word.is_empty() {
        return Err(HazardError::Incomplete { kind: IRREVERSIBLE, needed: "a revision" });
    }
    let revision = RevisionId::new(word)
        .map_err(|error| HazardError::Revision { found: word.to_string(), reason: error.to_string() })?;
    Ok((Hazard::Irreversible { revision }, rest))
}

/// Names the table by what stands before its name: nothing, or one schema.
fn of(
    kind: &'static str,
    needed: &'static str,
    mut before: Vec<String>,
    name: String,
) -> Result<TableName, HazardError> {
    let schema = before.pop();
    if !before.is_empty() {
        return Err(HazardError::Incomplete { kind, needed });
    }
    Ok(TableName { schema, name })
}

/// Returns the parts of a name that dots divide, and what follows it.
fn parts<'a>(
    kind: &'static str,
    needed: &'static str,
    subject: Option<&'a str>,
) -> Result<(Vec<String>, &'a str), HazardError> {
    let (mut parts, mut rest) = (Vec::new(), subject.unwrap_or_default());
    loop {
        let part;
        (part, rest) = match rest.strip_prefix('"') {
            Some(quoted) => take_quoted(quoted).ok_or(HazardError::OpenQuote)?,
            None => {
                let end = rest.find(|c: char| c == '.' || c.is_whitespace()).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                if word.is_empty() {
                    return Err(HazardError::Incomplete { kind, needed });
                }
                // A star would look like a pattern, and there is none.
                if let Some(character) =
                    word.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '_' | '$')))
                {
                    return Err(HazardError::NeedsQuotes { character });
                }
                (word.to_string(), after)
            }
        };
        parts.push(part);
        match rest.strip_prefix('.') {
            Some(next) => rest = next,
            None => return Ok((parts, rest)),
        }
    }
}

impl FromStr for Hazard {
    type Err = HazardError;

    fn from_str(text: &str) -> Result<Self, HazardError> {
        match Self::read(text.trim())? {
            (hazard, "") => Ok(hazard),
            (_, rest) => Err(HazardError::Trailing { rest: rest.to_string() }),
        }
    }
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = |column: &String| TableName::plain(column.clone());
        match self {
            Self::DropsTable { table } => write!(f, "{DROPS_TABLE}:{table}"),
            Self::DropsColumn { table, column: name } => write!(f, "{DROPS_COLUMN}:{table}.{}", column(name)),
            Self::NarrowsType { table, column: name } => write!(f, "{NARROWS_TYPE}:{table}.{}", column(name)),
            Self::OverwritesValues { table, column: name } => {
                write!(f, "{OVERWRITES_VALUES}:{table}.{}", column(name))
            }
            Self::DeletesRows { table } => write!(f, "{DELETES_ROWS}:{table}"),
            Self::Irreversible { revision } => write!(f, "{IRREVERSIBLE}:{revision}"),
            Self::Opaque => f.write_str(OPAQUE),
        }
    }
}

impl Serialize for Hazard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hazard {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
