//! What can be typed. The doc comments are the help.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A parachute for database migrations: every upgrade and downgrade wrapped in a snapshot that is proven to restore.
#[derive(Debug, Parser)]
#[command(name = "ripcord", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 bug, 2 usage or configuration, 3 refused and nothing touched, \
4 failed and data as before, 5 failed and needs a person, 6 verification found a difference, \
7 locked by another operation, 8 an unfinished operation must be recovered first, 130 interrupted."
)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The database: sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/name
    /// [else DATABASE_URL, .env, ripcord.toml, and last sqlite:///database.db]
    #[arg(long, global = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// The configuration file [default: ripcord.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to print: text for people, or one JSON event a line and a report object last
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// Answer yes to questions; hazards are accepted by name only, never by this
    #[arg(long, global = true)]
    pub yes: bool,
    /// Print only the end state, and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print more: each difference, each statement
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// No progress bars, even on a terminal
    #[arg(long, global = true)]
    pub no_progress: bool,
}

/// Who reads the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Human,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a migrations folder
    Init(Init),
    /// Write a new revision file
    Revision(NewRevision),
    /// Show the version rows of the database
    Current,
    /// Show the revisions that no other builds on
    Heads,
    /// Show all revisions, newest first
    History,
    /// Run revisions forward, guarded by a proven snapshot
    Upgrade(Upgrade),
    /// Run revisions back, guarded by a proven snapshot
    Downgrade(Downgrade),
    /// Take, list, show and check backups
    #[command(subcommand)]
    Backup(Backup),
    /// Put a backup back, beside or in place; the present state is saved first
    Restore(Restore),
    /// Compare the database with a known state
    Verify(Verify),
    /// Finish or undo what a crash interrupted
    Recover(Recover),
    /// Show every operation: who, when, from, to, how it ended
    Log(Log),
    /// Print the completions of a shell
    Completions(Completions),
    /// Print the manual page
    Man,
}

#[derive(Debug, Args)]
pub struct Init {
    /// The folder [default: runner.directory, else migrations]
    pub directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct NewRevision {
    /// What the revision does, in a few words
    #[arg(short, long, default_value = "")]
    pub message: String,
    /// The revision's id [default: 12 random hexadecimal digits]
    #[arg(long)]
    pub rev_id: Option<String>,
    /// The revision that it builds on [default: the only head]
    #[arg(long)]
    pub head: Option<String>,
}

/// How a change is guarded.
#[derive(Clone, Debug, Args)]
pub struct Guarding {
    /// Show the plan and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How far the snapshot is proven before anything is touched [default: proof.level, else full]
    #[arg(long, value_enum)]
    pub proof: Option<Proof>,
    /// What to do when the change failed and was not undone by the database itself: put the snapshot back if it is
    /// proven that nobody else wrote since, or stop
    #[arg(long, value_enum, default_value_t = OnFailure::Restore)]
    pub on_failure: OnFailure,
}

/// How far a snapshot is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Proof {
    /// Restored and compared, every row
    Full,
    /// Restored without rows; the schema compared
    Schema,
    /// Not restored at all
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnFailure {
    Restore,
    Stop,
}

#[derive(Debug, Args)]
pub struct Upgrade {
    /// The revision to reach: an id or its beginning, head, heads, +N, label@head …
    #[arg(default_value = "head")]
    pub revision: String,
    #[command(flatten)]
    pub guarding: Guarding,
}

#[derive(Debug, Args)]
pub struct Downgrade {
    /// The revision to go back to: an id or its beginning, base, -N, label@base …
    #[arg(default_value = "-1", allow_hyphen_values = true)]
    pub revision: String,
    #[command(flatten)]
    pub guarding: Guarding,
}

#[derive(Debug, Subcommand)]
pub enum Backup {
    /// Take a backup now
    Create {
        /// How far the snapshot is proven [default: proof.level, else full]
        #[arg(long, value_enum)]
        proof: Option<Proof>,
    },
    /// List the backups, oldest first
    List,
    /// Show one backup
    Show {
        /// Its id, an unambiguous part of it, or latest
        backup: String,
    },
    /// Check every file of a backup against its SHA-256
    Verify {
        /// Its id, an unambiguous part of it, or latest [default: all]
        backup: Option<String>,
        /// Check as well that each manifest follows the one before it
        #[arg(long)]
        chain: bool,
    },
}

#[derive(Debug, Args)]
pub struct Restore {
    /// The backup's id, an unambiguous part of it, or latest
    pub backup: String,
    /// Restore into this new database instead of the live one
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// The backup whose snapshot to compare with [default: the end of the newest operation]
    pub backup: Option<String>,
}

#[derive(Debug, Args)]
pub struct Recover {
    /// Put the snapshot back instead of going on; the present state is saved first
    #[arg(long)]
    pub undo: bool,
}

#[derive(Debug, Args)]
pub struct Log {
    /// Show one operation, step by step
    pub operation: Option<String>,
}

#[derive(Debug, Args)]
pub struct Completions {
    pub shell: clap_complete::Shell,
}

impl Command {
    /// Returns the word for it in reports.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Revision(_) => "revision",
            Self::Current => "current",
            Self::Heads => "heads",
            Self::History => "history",
            Self::Upgrade(_) => "upgrade",
            Self::Downgrade(_) => "downgrade",
            Self::Backup(_) => "backup",
            Self::Restore(_) => "restore",
            Self::Verify(_) => "verify",
            Self::Recover(_) => "recover",
            Self::Log(_) => "log",
            Self::Completions(_) => "completions",
            Self::Man => "man",
        }
    }
}
