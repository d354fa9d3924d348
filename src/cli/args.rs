//! What can be typed. The doc comments are the help.

mod revisions;

pub use revisions::*;

use crate::plan::Hazard;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A parachute for database migrations: every upgrade and downgrade wrapped in a snapshot that is proven to restore.
#[derive(Debug, Parser)]
#[command(name = "ripcord", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 bug, 2 usage or configuration, 3 refused and nothing touched, \
4 failed and data as before, 5 failed and needs a person, 6 verification found a difference, \
7 locked by another operation, 8 an unfinished operation must be recovered first, 130 interrupted.

To come: migrate and check (revisions written from the difference to a model), lint."
)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Common options")]
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
    /// Answer yes to every question (a restore in place asks one, on a terminal only); accepts no hazard
    #[arg(long, global = true)]
    pub yes: bool,
    /// Print only the end state, warnings and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print more: each statement of a plan, each difference, ripcord's own tables too
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
    ///
    /// The file holds one revision with both directions: a header of "-- ripcord:" lines, then the sections
    /// "-- ripcord:upgrade" and "-- ripcord:downgrade". A section can be for one engine: "-- ripcord:upgrade sqlite".
    /// A header line "-- ripcord:accept drops-column:TABLE.COLUMN "why"" accepts one hazard of the revision.
    Revision(NewRevision),
    /// Write a new revision file that joins branches
    ///
    /// "ripcord merge heads" joins all heads.
    Merge(Merge),
    /// Show the version rows of the database, and the heads that they imply
    ///
    /// Prints nothing when the database is at base. Writes nothing, not even a version table.
    Current(Current),
    /// Show the revisions that no other builds on
    ///
    /// Reads the revision files; needs no database.
    Heads(Heads),
    /// Show the revisions that several others build on
    ///
    /// Reads the revision files; needs no database.
    Branches,
    /// Show revisions, newest first
    ///
    /// Reads the revision files; asks the database only for -i and where the range says current.
    History(HistoryArgs),
    /// Show one revision in full
    Show(Show),
    /// Set the version rows without running a migration
    ///
    /// For a database that is where its rows do not say. All targets are resolved first and written in one transaction;
    /// the old rows are in the journal, and the command that sets them again is printed.
    Stamp(Stamp),
    /// Open a revision file in the editor ($VISUAL, else $EDITOR)
    Edit(Edit),
    /// Run revisions forward, guarded by a proven snapshot
    ///
    /// Takes a snapshot, restores and compares it, rehearses the revisions there and back on what was restored, publishes
    /// the snapshot as a backup with the loss ledger, runs the revisions, each in one transaction with its version row,
    /// and verifies what really changed. Creates a SQLite file that is not there yet.
    /// The end state and the command that undoes it are printed last.
    Upgrade(Upgrade),
    /// Run revisions back, guarded by a proven snapshot
    ///
    /// Guarded like an upgrade: what a downgrade drops is in the backup that is taken before it.
    Downgrade(Downgrade),
    /// Try a migration on a copy: what would be lost, and whether the way back is honest
    ///
    /// Takes a snapshot, restores and compares it, and runs the revisions forward, back and forward again on that copy.
    /// The loss ledger says what became of every table and column, what the way back does not bring back, which locks
    /// were taken and how long it took. The database is only read; snapshot and copy are thrown away.
    Rehearse(Rehearse),
    /// Take, list, show and check backups; export tables
    #[command(subcommand)]
    Backup(Backup),
    /// Put a backup back, beside or in place; the present state is saved first
    ///
    /// Checks every file of the backup, saves the present state as a backup of its own, builds the restored database
    /// where no client sees it, compares it, and only then puts it in place. What was written since the backup is no
    /// longer in the database; it is in the backup that the restore takes.
    Restore(Restore),
    /// Compare the database with a known state
    ///
    /// Without BACKUP: with the end of the newest operation on this database. Every difference counts; the exit code
    /// is 6 if there is one. Reads only.
    Verify(Verify),
    /// Finish or undo what a crash interrupted
    ///
    /// Reads the journal, looks at the database, frees what the crash left locked or half written, and brings the
    /// operation to a known end: revisions that are left are run, then verified. Running it twice is running it once.
    Recover(Recover),
    /// Show every operation: who, when, from, to, how it ended
    ///
    /// Reads the journals; needs no database.
    Log(Log),
    /// Print the completions of a shell
    Completions(Completions),
    /// Print the manual page
    Man,
}

/// How a change is guarded.
#[derive(Clone, Debug, Args)]
pub struct Guarding {
    /// Show the plan and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Run this plan and no other: the file holds what --dry-run --format json printed
    ///
    /// Refused (exit code 3), and nothing touched, where the database, its schema or the revision files are no longer
    /// those that the plan was made for.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["revision", "dry_run", "sql"])]
    pub plan: Option<PathBuf>,
    /// Print the change as an SQL script for sqlite3 or psql, and run nothing
    ///
    /// The script begins at the rows of the database, and stops when it is run on one that is elsewhere. With a range
    /// START:END as the revision no database is asked; several rows to start from are divided by commas.
    #[arg(long, conflicts_with = "dry_run")]
    pub sql: bool,
    /// How far the snapshot is proven before anything is touched [default: proof.level, else full]
    ///
    /// Asked for here, a proof is done whatever proof.max_size says.
    #[arg(long, value_enum)]
    pub proof: Option<Proof>,
    /// Do not rehearse the change on the restored snapshot before it runs
    ///
    /// Without a rehearsal nobody knows beforehand what the change loses. The default can be set in ripcord.toml:
    /// rehearsal.enabled = false.
    #[arg(long)]
    pub no_rehearsal: bool,
    /// Accept one hazard by its name: drops-column:TABLE.COLUMN, drops-table:TABLE, deletes-rows:TABLE …
    ///
    /// The rehearsal says what the change loses for good; each of it is accepted by this flag, by a line
    /// "-- ripcord:accept HAZARD "why"" in the revision's file, or by a person who is asked on a terminal. Otherwise the
    /// change is refused (exit code 3), with the flags it needs. Can be given several times; there is no word for all.
    #[arg(long, value_name = "HAZARD")]
    pub accept: Vec<Hazard>,
    /// What to do when the change failed and the database did not undo it by itself
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
    /// Put the snapshot back, if it is proven that nobody else wrote since; else stop
    Restore,
    /// Leave everything as it is, for a person
    Stop,
}

#[derive(Debug, Args)]
pub struct Upgrade {
    /// The revision to reach: an id or its beginning, head, heads, +N, label@head …
    #[arg(default_value = "head", allow_negative_numbers = true)]
    pub revision: String,
    #[command(flatten)]
    pub guarding: Guarding,
}

#[derive(Debug, Args)]
pub struct Downgrade {
    /// The revision to go back to: an id or its beginning, base, -N, label@base …
    #[arg(default_value = "-1", allow_negative_numbers = true)]
    pub revision: String,
    /// Do not put back what the upgrades that are undone had destroyed; the command that does it later is printed
    #[arg(long)]
    pub no_merge: bool,
    #[command(flatten)]
    pub guarding: Guarding,
}

#[derive(Debug, Args)]
pub struct Rehearse {
    /// The revision to reach, as upgrade (or with --downgrade: downgrade) takes it [default: head, or -1]
    #[arg(allow_negative_numbers = true)]
    pub revision: Option<String>,
    /// Rehearse a downgrade: back, forward and back again
    #[arg(long)]
    pub downgrade: bool,
    /// Whether the copy holds the rows [default: schema if proof.level says so, else full]
    #[arg(long, value_enum)]
    pub proof: Option<CopyDepth>,
    /// End with exit code 3 if anything would be lost for good
    #[arg(long, value_enum)]
    pub deny: Option<Deny>,
}

/// What the copy of a rehearsal holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CopyDepth {
    /// Everything
    Full,
    /// The schema and the version rows; what happens to values cannot be seen
    Schema,
}

/// What a rehearsal is to find fault with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Deny {
    /// Tables, columns, rows or values that the way back does not bring back
    Loss,
}

#[derive(Debug, Subcommand)]
pub enum Backup {
    /// Take a backup now: a snapshot, proven and published; the database is only read
    Create {
        /// How far the snapshot is proven [default: proof.level, else full]
        #[arg(long, value_enum)]
        proof: Option<Proof>,
    },
    /// List the backups, oldest first
    List,
    /// Show one backup: of what, when, how far proven, which tables
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
    /// Put what an upgrade had destroyed back into the live tables, out of the salvage in its backup
    ///
    /// By key: rows written since stay, rows deleted since stay deleted. What was changed on both sides is a conflict: it
    /// stays as it is, and is listed, kept in a side table and in a CSV. The present state is saved first; all of it is one
    /// transaction, in which the triggers of users are silent. A downgrade does this by itself, unless it is told
    /// --no-merge.
    MergeBack {
        /// Its id, an unambiguous part of it, or latest
        backup: String,
        /// Only this table; can be given several times
        #[arg(long, value_name = "TABLE")]
        table: Vec<String>,
        /// Say what would be merged, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Say that the backup is of this database although it names another one: as it names it
        ///
        /// For a database that was renamed, or moved. The error that refuses the backup prints the name.
        #[arg(long, value_name = "NAME")]
        of_database: Option<String>,
        /// How far the snapshot before it is proven [default: proof.level, else full]
        #[arg(long, value_enum)]
        proof: Option<Proof>,
    },
    /// Write tables, views and queries into NAME.csv.gz, each with its NAME.json; the database is only read
    ///
    /// The CSV is PostgreSQL's: a header, NULL an empty field, text always in quotes. It loads with "COPY t FROM … (FORMAT
    /// csv, HEADER)", and every value comes back as it was. All files are of one instant, and appear together or not at
    /// all. The JSON holds types, key, rows and digest.
    Export {
        /// A table or view, as the database names it: users, public.users, '"Odd Name"'
        #[arg(value_name = "TABLE", required_unless_present = "query")]
        tables: Vec<String>,
        /// Export what a SELECT gives, under a name of its own; can be given several times
        #[arg(long, value_name = "NAME=SQL", value_parser = named_query)]
        query: Vec<(String, String)>,
        /// The folder to write to; made, for its owner alone, if it is not there
        #[arg(long, value_name = "DIR", default_value = "exports")]
        out: PathBuf,
    },
}

fn named_query(text: &str) -> Result<(String, String), String> {
    let is_name = |name: &str| !name.trim().is_empty() && !name.contains(char::is_whitespace);
    match text.split_once('=') {
        Some((name, sql)) if is_name(name) && !sql.trim().is_empty() => {
            Ok((name.to_string(), sql.to_string()))
        }
        _ => Err("a query needs a name before it: late='SELECT * FROM orders WHERE late'".to_string()),
    }
}

#[derive(Debug, Args)]
pub struct Restore {
    /// The backup's id, an unambiguous part of it, or latest
    pub backup: String,
    /// Restore into this new database, which must not exist yet, instead of the live one
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// Put back the rows of this table only, everything else stays; can be given several times
    ///
    /// A table that is not there now is made as it was. Refused, and nothing changed, where the table has other columns
    /// now, or rows of other tables refer to rows that would go.
    #[arg(long, value_name = "TABLE", conflicts_with = "to")]
    pub table: Vec<String>,
    /// How far the snapshot of the present state is proven before that is replaced [default: proof.level, else full]
    #[arg(long, value_enum, conflicts_with = "to")]
    pub proof: Option<Proof>,
    /// Say that the backup is of this database although it names another one: as it names it
    ///
    /// For a database that was renamed, or moved. The error that refuses the backup prints the name.
    #[arg(long, value_name = "NAME", conflicts_with = "to")]
    pub of_database: Option<String>,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// The backup whose snapshot to compare with: an id, an unambiguous part of it, or latest
    pub backup: Option<String>,
}

#[derive(Debug, Args)]
pub struct Recover {
    /// Put the snapshot back instead of going on; the present state is saved first
    #[arg(long)]
    pub undo: bool,
    /// End the operation by your word, and leave the database as it is: for when its backup is lost or its journal damaged
    ///
    /// Nobody looks at the data then. Who said it, and where the database was, is written into the journal.
    #[arg(long, conflicts_with = "undo")]
    pub accept_as_is: bool,
    /// With --undo: how far the snapshot of the present state is proven [default: proof.level, else full]
    #[arg(long, value_enum, requires = "undo")]
    pub proof: Option<Proof>,
}

#[derive(Debug, Args)]
pub struct Log {
    /// Show this one in full: its id, or the beginning or end of it
    pub operation: Option<String>,
}

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

impl Command {
    /// Returns the word for it in reports.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Revision(_) => "revision",
            Self::Merge(_) => "merge",
            Self::Current(_) => "current",
            Self::Heads(_) => "heads",
            Self::Branches => "branches",
            Self::History(_) => "history",
            Self::Show(_) => "show",
            Self::Stamp(_) => "stamp",
            Self::Edit(_) => "edit",
            Self::Upgrade(_) => "upgrade",
            Self::Downgrade(_) => "downgrade",
            Self::Rehearse(_) => "rehearse",
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
