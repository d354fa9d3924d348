//! The arguments of the commands that show and write revisions.

use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Init {
    /// The folder to make [default: runner.directory, else migrations]
    pub directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct NewRevision {
    /// What the revision does, in a few words
    #[arg(short, long)]
    pub message: Option<String>,
    /// The revision that it builds on: a head, base for a new root, heads for a merge [default: the only head]
    #[arg(long, value_name = "REVISION", allow_hyphen_values = true)]
    pub head: Option<String>,
    /// Let it build on a revision that is no head, and so begin a branch
    #[arg(long)]
    pub splice: bool,
    /// A name for the branch that it begins; may be given several times
    #[arg(long, value_name = "LABEL")]
    pub branch_label: Vec<String>,
    /// A revision that must be applied before it without being its parent; may be given several times
    #[arg(long, value_name = "REVISION")]
    pub depends_on: Vec<String>,
    /// The revision's id [default: 12 random hexadecimal digits]
    #[arg(long, value_name = "ID")]
    pub rev_id: Option<String>,
    /// Open the new file in the editor ($VISUAL, else $EDITOR)
    #[arg(long)]
    pub edit: bool,
}

#[derive(Debug, Args)]
pub struct Merge {
    /// The revisions to merge, or heads for all of them
    #[arg(value_name = "REVISION", allow_negative_numbers = true)]
    pub revisions: Vec<String>,
    /// What the merge is for, in a few words
    #[arg(short, long)]
    pub message: Option<String>,
    /// A name for the branch that it begins; may be given several times
    #[arg(long, value_name = "LABEL")]
    pub branch_label: Vec<String>,
    /// The revision's id [default: 12 random hexadecimal digits]
    #[arg(long, value_name = "ID")]
    pub rev_id: Option<String>,
    /// Let it merge revisions that are no heads, and so begin branches
    #[arg(long)]
    pub splice: bool,
}

#[derive(Debug, Args)]
pub struct Current {
    /// Fail with exit code 6 unless every head is applied; a head that another one depends on counts by that one
    #[arg(short, long)]
    pub check_heads: bool,
}

#[derive(Debug, Args)]
pub struct Heads {
    /// Leave out the heads that another revision depends on
    #[arg(long)]
    pub resolve_dependencies: bool,
}

#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Only from START to END, both included: ids, labels, base, head, current; -N: counts down from the end, :+N up
    /// from the start
    #[arg(short, long, value_name = "START:END", allow_hyphen_values = true)]
    pub rev_range: Option<String>,
    /// Mark the revisions that the database is at; asks it for them
    #[arg(short, long)]
    pub indicate_current: bool,
}

#[derive(Debug, Args)]
pub struct Show {
    /// An id or its beginning, a label, head, heads, current, -N from the heads, +N from the database
    #[arg(allow_negative_numbers = true)]
    pub revision: String,
}

#[derive(Debug, Args)]
pub struct Edit {
    /// An id or its beginning, a label, head, heads, current, -N from the heads, +N from the database
    #[arg(allow_negative_numbers = true)]
    pub revision: String,
}

#[derive(Debug, Args)]
pub struct Stamp {
    /// Where the database is: ids, labels, head, heads, base
    #[arg(required = true, value_name = "REVISION", allow_negative_numbers = true)]
    pub revisions: Vec<String>,
    /// Replace every version row, also one that no revision file has
    #[arg(long)]
    pub purge: bool,
}
