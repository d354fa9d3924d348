//! Reads one line of a revision file as a `-- ripcord:` directive.
//!
//! Promises that a line meant as a directive is never taken for an ordinary comment: an overlooked
//! `-- ripcord:downgrade` would run the downgrade together with the upgrade. So letter case and white space do not
//! matter, and near misses are errors. What the directives of a file mean together is left to `file`.

#[cfg(test)]
mod tests;

use chrono::DateTime;

use crate::catalog::EngineKind;
use crate::history::{Direction, HistoryError, RevisionId};
use crate::plan::hazard::HazardError;
use crate::plan::{Accept, Hazard, TransactionMode};

/// What one directive says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Directive {
    Revision(RevisionId),
    Revises(Vec<RevisionId>),
    Created(String),
    Labels(Vec<String>),
    DependsOn(Vec<String>),
    Transaction(TransactionMode),
    Irreversible(String),
    Accept(Accept),
    Section { direction: Direction, engine: Option<EngineKind> },
}

impl Directive {
    /// Its name, as it is written after `ripcord:`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Directive::Revision(_) => "revision",
            Directive::Revises(_) => "revises",
            Directive::Created(_) => "created",
            Directive::Labels(_) => "labels",
            Directive::DependsOn(_) => "depends-on",
            Directive::Transaction(_) => "transaction",
            Directive::Irreversible(_) => "irreversible",
            Directive::Accept(_) => "accept",
            Directive::Section { direction: Direction::Up, .. } => "upgrade",
            Directive::Section { direction: Direction::Down, .. } => "downgrade",
        }
    }
}

/// The engines a section can be for, by the name its marker carries.
const ENGINES: [(&str, EngineKind); 2] =
    [("sqlite", EngineKind::Sqlite), ("postgresql", EngineKind::Postgresql)];

/// Every directive's name; the documentation of a file's header is in `file`.
const NAMES: [&str; 10] = [
    "revision",
    "revises",
    "created",
    "labels",
    "depends-on",
    "transaction",
    "irreversible",
    "accept",
    "upgrade",
    "downgrade",
];

/// The width of `alembic_version.version_num`. PostgreSQL enforces it, and would do so after the migration has run.
const LONGEST_ID: usize = 32;

/// What is wrong with one directive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectiveProblem {
    #[error("unknown directive ripcord:{found}{}", nearest(near))]
    Unknown { found: String, near: Option<&'static str> },
    #[error("{found} looks like a directive, but its prefix is not ripcord:")]
    MisspelledPrefix { found: String },
    #[error("'ripcord {name}' looks like a directive without its colon, ripcord:{name}")]
    MissingColon { name: &'static str },
    #[error("ripcord:{directive} needs {needed}")]
    MissingValue { directive: &'static str, needed: &'static str },
    #[error("ripcord:{directive} does not take {found:?}")]
    UnexpectedValue { directive: &'static str, found: String },
    #[error("ripcord:{directive} is {expected}, not {found:?}{}", nearest(near))]
    UnknownValue {
        directive: &'static str,
        expected: &'static str,
        found: String,
        near: Option<&'static str>,
    },
    #[error("{character:?} is not allowed in {name:?}")]
    BadCharacter { name: String, character: char },
    #[error(
        "the revision identifier {id:?} has {length} characters, and the version table holds {LONGEST_ID}"
    )]
    IdTooLong { id: String, length: usize },
    #[error(transparent)]
    Identifier(#[from] HistoryError),
    #[error("ripcord:accept: {0}")]
    Hazard(#[from] HazardError),
    #[error("ripcord:created is a time such as 2026-11-23T18:15:00Z, not {found:?}")]
    BadTime { found: String },
}

fn nearest(near: &Option<&'static str>) -> String {
    near.map(|near| format!("; the nearest known one is {near}")).unwrap_or_default()
}

/// Returns the directive on this line, `None` when the line is something else, or what is wrong with the directive.
pub(super) fn read(line: &str) -> Result<Option<Directive>, DirectiveProblem> {
    let Some(comment) = comment(line) else { return Ok(None) };
    let Some((prefix, rest)) = comment.split_once(':') else { return missing_colon(comment).map(|()| None) };
    let (prefix, rest) = (prefix.trim(), rest.trim());
    let (name, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let name = name.to_ascii_lowercase();
    if !prefix.eq_ignore_ascii_case("ripcord") {
        let near = strsim::osa_distance(&prefix.to_ascii_lowercase(), "ripcord") <= 2;
        return match NAMES.contains(&name.as_str()) && near {
            true => Err(DirectiveProblem::MisspelledPrefix { found: format!("{prefix}:{name}") }),
            false => missing_colon(comment).map(|()| None),
        };
    }
    directive(&name, value.trim()).map(Some)
}

/// The text of a line that is nothing but a `--` comment.
pub(super) fn comment(line: &str) -> Option<&str> {
    Some(line.trim().strip_prefix("--")?.trim_start_matches('-').trim())
}

/// Refuses `-- ripcord downgrade` and the like. A sentence that happens to begin so is longer.
fn missing_colon(comment: &str) -> Result<(), DirectiveProblem> {
    let words: Vec<&str> = comment.split_whitespace().collect();
    match words.as_slice() {
        [first, second, rest @ ..] if first.eq_ignore_ascii_case("ripcord") && rest.len() < 2 => {
            match NAMES.iter().find(|name| name.eq_ignore_ascii_case(second)) {
                Some(name) => Err(DirectiveProblem::MissingColon { name }),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn directive(name: &str, value: &str) -> Result<Directive, DirectiveProblem> {
    Ok(match name {
        "revision" => Directive::Revision(identifier(one_word("revision", "an identifier", value)?)?),
        "revises" => Directive::Revises(words(value).map(identifier).collect::<Result<_, _>>()?),
        "created" => Directive::Created(time(one_word("created", "a time", value)?)?),
        "labels" => Directive::Labels(words(value).map(branch_name).collect::<Result<_, _>>()?),
        "depends-on" => Directive::DependsOn(words(value).map(branch_name).collect::<Result<_, _>>()?),
        "transaction" => Directive::Transaction(transaction(value)?),
        "irreversible" => Directive::Irreversible(quoted("irreversible", value)?),
        "accept" => accept(value)?,
        "upgrade" => Directive::Section { direction: Direction::Up, engine: engine("upgrade", value)? },
        "downgrade" => Directive::Section { direction: Direction::Down, engine: engine("downgrade", value)? },
        other => {
            return Err(DirectiveProblem::Unknown {
                found: other.to_owned(),
                near: nearest_of(other, &NAMES),
            });
        }
    })
}

/// Several values are parted by commas or white space.
fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split([',', ' ', '\t']).filter(|word| !word.is_empty())
}

fn one_word<'a>(
    directive: &'static str,
    needed: &'static str,
    value: &'a str,
) -> Result<&'a str, DirectiveProblem> {
    match value.split_once(char::is_whitespace) {
        _ if value.is_empty() => Err(DirectiveProblem::MissingValue { directive, needed }),
        Some((_, rest)) => {
            Err(DirectiveProblem::UnexpectedValue { directive, found: rest.trim().to_owned() })
        }
        None => Ok(value),
    }
}

fn identifier(word: &str) -> Result<RevisionId, DirectiveProblem> {
    check_name(word)?;
    let length = word.chars().count();
    if length > LONGEST_ID {
        return Err(DirectiveProblem::IdTooLong { id: word.to_owned(), length });
    }
    Ok(RevisionId::new(word)?)
}

fn branch_name(word: &str) -> Result<String, DirectiveProblem> {
    check_name(word).map(|()| word.to_owned())
}

/// Letters, digits, `_` and `.`. That leaves out what the identifier grammar needs (`@ - + :`), what parts values, and
/// what a file name cannot carry.
fn check_name(word: &str) -> Result<(), DirectiveProblem> {
    let bad = |letter: &char| !(letter.is_alphanumeric() || matches!(letter, '_' | '.'));
    match word.chars().find(bad) {
        Some(character) => Err(DirectiveProblem::BadCharacter { name: word.to_owned(), character }),
        None => Ok(()),
    }
}

fn time(word: &str) -> Result<String, DirectiveProblem> {
    match DateTime::parse_from_rfc3339(word) {
        Ok(_) => Ok(word.to_owned()),
        Err(_) => Err(DirectiveProblem::BadTime { found: word.to_owned() }),
    }
}

fn transaction(value: &str) -> Result<TransactionMode, DirectiveProblem> {
    match one_word("transaction", "one or none", value)?.to_ascii_lowercase().as_str() {
        "one" => Ok(TransactionMode::One),
        "none" => Ok(TransactionMode::None),
        other => Err(DirectiveProblem::UnknownValue {
            directive: "transaction",
            expected: "one or none",
            found: other.to_owned(),
            near: nearest_of(other, &["one", "none"]),
        }),
    }
}

fn engine(directive: &'static str, value: &str) -> Result<Option<EngineKind>, DirectiveProblem> {
    if value.is_empty() {
        return Ok(None);
    }
    let word = one_word(directive, "an engine", value)?.to_ascii_lowercase();
    match ENGINES.iter().find(|(name, _)| *name == word) {
        Some((_, engine)) => Ok(Some(*engine)),
        None => Err(DirectiveProblem::UnknownValue {
            directive,
            expected: "for sqlite or postgresql",
            near: nearest_of(&word, &ENGINES.map(|(name, _)| name)),
            found: word,
        }),
    }
}

fn accept(value: &str) -> Result<Directive, DirectiveProblem> {
    if value.is_empty() || value.starts_with('"') {
        return Err(DirectiveProblem::MissingValue { directive: "accept", needed: "the name of a hazard" });
    }
    let (hazard, why) = Hazard::read(value)?;
    Ok(Directive::Accept(Accept { hazard, why: quoted("accept", why.trim())? }))
}

/// The reason between the first and the last quote; quotes inside it need no escape.
fn quoted(directive: &'static str, value: &str) -> Result<String, DirectiveProblem> {
    let reason = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).map(str::trim);
    match reason {
        Some(reason) if !reason.is_empty() => Ok(reason.to_owned()),
        Some(_) => Err(DirectiveProblem::MissingValue { directive, needed: "a reason in double quotes" }),
        None if value.is_empty() => {
            Err(DirectiveProblem::MissingValue { directive, needed: "a reason in double quotes" })
        }
        None => Err(DirectiveProblem::UnexpectedValue { directive, found: value.to_owned() }),
    }
}

/// The most similar name, unless none is similar. Jaro-Winkler weighs the beginning, so `up` finds `upgrade`.
fn nearest_of(word: &str, names: &[&'static str]) -> Option<&'static str> {
    let similarity = |name: &str| strsim::jaro_winkler(word, name);
    let best = names.iter().copied().max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(best) > 0.6).then_some(best)
}
