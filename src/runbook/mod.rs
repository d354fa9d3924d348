//! `RUNBOOK.md`: the page in every backup that says, at 3 a.m., what this is and how to put it back. Pure: facts in,
//! text out.
//!
//! It promises only what is true when the backup is published: how the operation ended is in the journal, and the page
//! says where to look. Leaves `RESTORE.sh`, the same way back as a script, to the engine.

mod commands;
mod salvage;

use crate::base::counted;
use crate::catalog::{DatabaseId, EngineKind};
use crate::fingerprint::NotCompared;
use crate::history::RevisionId;
use crate::report::Kind;
use crate::store::{Manifest, ProofFacts};
use crate::tabular::Sidecar;
use chrono::{DateTime, Utc};
use commands::Commands;

/// What the page is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunbookFacts {
    /// The backup's id.
    pub id: String,
    pub kind: Kind,
    /// The moment that the backup holds.
    pub created: DateTime<Utc>,
    /// The ripcord that took it.
    pub ripcord: String,
    pub database: DatabaseId,
    pub engine_version: String,
    /// The version rows in the snapshot.
    pub from: Vec<RevisionId>,
    /// The version rows that the operation was to end with.
    pub to: Vec<RevisionId>,
    pub method: String,
    pub proof: ProofFacts,
    /// The number of tables and of rows in the snapshot.
    pub tables: usize,
    pub rows: u64,
    /// What was not read for the fingerprint, and why.
    pub not_compared: Vec<NotCompared>,
    /// What the migration takes away for good, as files by themselves.
    pub salvage: Vec<Sidecar>,
}

impl RunbookFacts {
    /// Takes the facts from a manifest, which need not be sealed yet.
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            id: manifest.id.clone(),
            kind: manifest.kind,
            created: manifest.created,
            ripcord: manifest.ripcord.clone(),
            database: manifest.database.clone(),
            engine_version: manifest.engine_version.clone(),
            from: manifest.from.clone(),
            to: manifest.to.clone(),
            method: manifest.method.clone(),
            proof: manifest.proof.clone(),
            tables: manifest.fingerprint.tables.len(),
            rows: manifest.fingerprint.rows(),
            not_compared: manifest.fingerprint.not_compared.clone(),
            salvage: Vec::new(),
        }
    }
}

/// Returns the page.
pub fn text(facts: &RunbookFacts) -> String {
    let commands = Commands::of(facts);
    [
        heading(facts),
        table(facts),
        look_first(facts),
        lost(facts),
        with_ripcord(facts, &commands),
        without_ripcord(&commands),
        ask(facts),
        salvage::section(facts),
    ]
    .join("\n")
    .trim_end()
    .to_string()
        + "\n"
}

fn heading(facts: &RunbookFacts) -> String {
    let purpose = match facts.kind {
        Kind::Upgrade => "right before an upgrade",
        Kind::Downgrade => "right before a downgrade",
        Kind::Restore => "right before a restore",
        Kind::Backup => "by hand",
        Kind::Stamp => "right before a stamp",
        Kind::Rehearse => "for a rehearsal",
        Kind::RestoreTable => "before single tables were put back",
        Kind::MergeBack => "before salvage was merged back",
    };
    format!(
        "# Backup {id}\n\nTaken {purpose} of {database}, by ripcord {ripcord}.\nRun the commands below in the folder \
         that holds this page; those that begin with\n`ripcord`, in the project's folder, with the same `--database-url` \
         as before if there was one.\n",
        id = facts.id,
        database = plain(&facts.database.to_string()),
        ripcord = facts.ripcord,
    )
}

fn table(facts: &RunbookFacts) -> String {
    let engine = match facts.database.engine {
        EngineKind::Sqlite => "SQLite",
        EngineKind::Postgresql => "PostgreSQL",
    };
    let mut rows = vec![
        ("Moment", moment(facts)),
        ("Engine", format!("{engine} {}", plain(&facts.engine_version))),
        ("Revision in this backup", revisions(&facts.from)),
    ];
    if matches!(facts.kind, Kind::Upgrade | Kind::Downgrade) {
        rows.push(("Revision it was to end at", revisions(&facts.to)));
    }
    rows.push(("Data", format!("{}, {}", count(facts.tables as u64, "table"), count(facts.rows, "row"))));
    rows.push(("Taken by", plain(&facts.method)));
    rows.push(("Proven to restore", proof(&facts.proof)));
    for left_out in &facts.not_compared {
        rows.push(("Not compared", plain(&format!("{}: {}", left_out.subject, left_out.reason))));
    }
    let rows: String = rows.iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect();
    format!("| | |\n|---|---|\n{rows}")
}

fn proof(proof: &ProofFacts) -> String {
    let seen = format!("{}, {}", count(proof.tables, "table"), count(proof.rows, "row"));
    match (proof.proven, proof.level.as_str()) {
        (true, _) => format!("yes, {seen}: {}", plain(&proof.method)),
        (false, "schema") => {
            "**only the schema**: restore it beside and look before you rely on it".to_string()
        }
        (false, _) => {
            "**no**: it was never restored; restore it beside and look before you rely on it".to_string()
        }
    }
}

fn look_first(facts: &RunbookFacts) -> String {
    format!(
        "## 1. Look first\n\nHow did the operation end, and is this backup whole?\n\n```console\n$ ripcord log {id}\n\
         $ ripcord backup verify {id}\n```\n\nIf the log says that it is unfinished: `ripcord recover` first. Without \
         ripcord, every line of this must end with `OK`:\n\n```console\n$ sha256sum -c SHA256SUMS\n```\n",
        id = facts.id,
    )
}

fn lost(facts: &RunbookFacts) -> String {
    format!(
        "## 2. What a restore loses\n\nEverything written to the database since the snapshot ({moment}): rows added since \
         are gone,\nrows changed since are as they were, rows deleted since are back. Stop the application first, so that \
         it\nloses nothing more.\n",
        moment = moment(facts),
    )
}

fn with_ripcord(facts: &RunbookFacts, commands: &Commands) -> String {
    format!(
        "## 3. Restore with ripcord\n\n```console\n$ ripcord restore {id}\n```\n\nIt saves the present state as a \
         backup of its own first, compares what it restored with this backup, and\nprints the command that undoes \
         it. To look at the old data without touching the live database:\n\n```console\n$ ripcord restore {id} --to \
         {beside}\n```\n",
        id = facts.id,
        beside = commands.beside_url,
    )
}

fn without_ripcord(commands: &Commands) -> String {
    format!(
        "## 4. Restore without ripcord\n\nWith {tools}; what is there now is kept under another name.{before}\n\n```console\n{script}```\n\n\
         What `RESTORE.sh` does, should you have to do it by hand:\n\n```console\n{by_hand}```\n",
        tools = commands.tools,
        before = commands.before,
        script = prompts(&commands.with_script),
        by_hand = prompts(&commands.by_hand),
    )
}

fn prompts(lines: &[String]) -> String {
    lines.iter().map(|line| format!("$ {line}\n")).collect()
}

fn ask(facts: &RunbookFacts) -> String {
    format!(
        "## 5. Who to ask\n\nThe journal says who ran the operation, on which machine, and how each step of it went: \
         `ripcord log`,\n`journal.jsonl` in this folder, or `../.operations/{id}.jsonl`. What the database looked like \
         is in\n`before.json`. What every file means is in ripcord's `docs/format.md`.\n",
        id = facts.id,
    )
}

fn moment(facts: &RunbookFacts) -> String {
    facts.created.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn revisions(rows: &[RevisionId]) -> String {
    match rows {
        [] => "none (base)".to_string(),
        rows => rows.iter().map(|row| plain(row.as_str())).collect::<Vec<_>>().join(", "),
    }
}

fn count(number: u64, what: &str) -> String {
    counted(number, what)
}

/// Returns text that cannot break a line or a cell of the page, whatever a file or a table is called.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '|' | '`') { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests;
