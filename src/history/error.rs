//! What can be wrong with a history, an identifier or a plan, as facts.
//!
//! Each text begins with the words Alembic uses for the same fact (without its `FAILED: `), so that people and search
//! engines recognise it, and goes on where Alembic's discards what it knew. Hints are made by `cli::render`.

use super::RevisionId;

/// A fact that makes a history, an identifier or a plan unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    #[error("A revision identifier is empty")]
    EmptyId,

    #[error("Character(s) '{}' not allowed in revision identifier '{id}'", list(characters))]
    IllegalCharacters { id: String, characters: Vec<char> },

    /// `head`, `heads`, `base` and `current` always mean themselves, so nothing else could be reached by that name.
    #[error("'{name}' in {place} is a word of the identifier grammar and names no revision or branch")]
    ReservedName { name: String, place: String },

    #[error("Revision {id} is present more than once: in {first} and in {second}")]
    DuplicateId { id: RevisionId, first: String, second: String },

    #[error("Revision {parent} referenced from {revision} ({place}) is not present")]
    MissingParent { parent: RevisionId, revision: RevisionId, place: String },

    #[error("Revision {dependency} that {revision} ({place}) depends on is not present{}", near_names(near))]
    UnknownDependency { dependency: String, revision: RevisionId, place: String, near: Vec<String> },

    #[error(
        "Revision {dependency} that {revision} ({place}) depends on could be {}",
        alternatives(candidates)
    )]
    AmbiguousDependency { dependency: String, revision: RevisionId, place: String, candidates: Vec<String> },

    #[error("Self-loop is detected in revisions ({id})")]
    SelfLoop { id: RevisionId, place: String },

    #[error("Dependency self-loop is detected in revisions ({id})")]
    DependencySelfLoop { id: RevisionId, place: String },

    /// `members` are the revisions of one cycle of parents, each once.
    #[error("Cycle is detected in revisions ({})", list(members))]
    Cycle { members: Vec<RevisionId> },

    /// `members` are the revisions of one cycle that passes through a `depends_on`, each once.
    #[error("Dependency cycle is detected in revisions ({})", list(members))]
    DependencyCycle { members: Vec<RevisionId> },

    /// `used_by` is the revision that carries the label or is called so.
    #[error("Branch name '{label}' in revision {revision} already used by revision {used_by}")]
    LabelReused { label: String, revision: RevisionId, used_by: RevisionId, place: String },

    #[error(
        "Revision identifier '{id}' ({place}) is {length} characters long, but the version table holds {limit}"
    )]
    IdTooLong { id: RevisionId, length: usize, limit: usize, place: String },

    #[error("Can't locate revision identified by '{symbol}'{}", near_names(near))]
    Unknown { symbol: String, near: Vec<String> },

    #[error("Can't locate revision identified by '{symbol}': it could be {}", alternatives(candidates))]
    Ambiguous { symbol: String, candidates: Vec<String> },

    #[error(
        "Can't locate revision identified by '{symbol}': {revision} is not a member of branch '{branch}'"
    )]
    NotOnBranch { symbol: String, revision: RevisionId, branch: String },

    /// `+N` and `-N` where only a name makes sense.
    #[error("Can't locate revision identified by '{symbol}': an offset is not accepted here")]
    OffsetNotAccepted { symbol: String },

    #[error(
        "Multiple head revisions are present for given argument '{argument}'; please specify a specific target \
         revision, '<branchname>@{argument}' to narrow to a specific head, or 'heads' for all heads (the heads are {})",
        list(heads)
    )]
    MultipleHeads { argument: String, heads: Vec<RevisionId> },

    #[error(
        "Multiple heads are present; please specify a single target revision (the heads are {})",
        list(heads)
    )]
    MultipleHeadsToStamp { heads: Vec<RevisionId> },

    #[error("Relative revision {offset} didn't produce {} migrations", offset.trim_start_matches(['+', '-']))]
    OffsetTooFar { offset: String },

    #[error("Walked too far: '{symbol}' leaves the history")]
    WalkedTooFar { symbol: String },

    /// `at` is where the walk had to choose (none for the empty state), `choices` what lay before it.
    #[error("Ambiguous walk: {} leads to {}", at.as_ref().map_or("base", RevisionId::as_str), list(choices))]
    AmbiguousWalk { at: Option<RevisionId>, choices: Vec<RevisionId> },

    #[error("Ambiguous upgrade from multiple current revisions: {}", list(rows))]
    AmbiguousUpgrade { rows: Vec<RevisionId> },

    /// `forms` say the same with one branch named, one for each row.
    #[error(
        "Ambiguous downgrade from multiple current revisions: {}; say which: {}",
        list(rows),
        list(forms)
    )]
    AmbiguousDowngrade { rows: Vec<RevisionId>, forms: Vec<String> },

    /// The version table names a revision that no file has.
    #[error(
        "Can't locate revision identified by '{row}': the database is at it, but it is not in the history{}",
        near_names(near)
    )]
    UnknownRow { row: RevisionId, near: Vec<String> },

    #[error("Requested revision {revision} overlaps with other requested revisions {}", list(others))]
    Overlap { revision: RevisionId, others: Vec<RevisionId> },

    /// `rows` are the revisions the database is at.
    #[error("Destination {target} is not a valid downgrade target from current head(s){}", current(rows))]
    NotADowngradeTarget { target: String, rows: Vec<RevisionId> },

    /// The label leaves nothing of what lies above the target.
    #[error(
        "Not a valid downgrade target from current heads: nothing above {target} is on branch '{branch}'"
    )]
    NothingOnBranch { target: String, branch: String },

    #[error("History range requires [start]:[end], [start]:, or :[end]")]
    NotARange { text: String },

    #[error(
        "Requested range {start}:{end} does not refer to ancestor/descendant revisions along the same branch"
    )]
    RangeNotConnected { start: String, end: String },
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn alternatives(names: &[String]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(" or ")
}

fn near_names(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", alternatives(near)) }
}

fn current(rows: &[RevisionId]) -> String {
    if rows.is_empty() { " (none)".to_owned() } else { format!(" {}", list(rows)) }
}
