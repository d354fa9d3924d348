//! Lists and single things: backups, operations.

use super::words;
use crate::base::counted;
use crate::journal::{OperationState, Unreadable};
use crate::procedure::export::Export;
use crate::procedure::rows_text;
use crate::report::SalvageFacts;
use crate::store::{Backup, Listed};
use comfy_table::{Table, presets};

/// Returns the list of backups as a table.
pub fn backups(all: &[Listed]) -> String {
    if all.is_empty() {
        return "there are no backups".to_string();
    }
    let mut table = plain();
    table.set_header(["backup", "database", "at", "size", "proof"]);
    for listed in all {
        match listed {
            Listed::Whole { backup } => table.add_row([
                backup.manifest.id.clone(),
                backup.manifest.database.name.clone(),
                rows_text(&backup.manifest.from),
                words::bytes(backup.bytes()),
                proof(backup),
            ]),
            Listed::Damaged { id, reason } => table.add_row([
                id.clone(),
                format!("DAMAGED: {reason}"),
                String::new(),
                String::new(),
                String::new(),
            ]),
        };
    }
    trimmed(&table)
}

/// Returns what was exported as a table.
pub fn exports(all: &[Export]) -> String {
    let mut table = plain();
    table.set_header(["export", "rows", "size", "file"]);
    for export in all {
        table.add_row([
            export.facts.name.clone(),
            export.facts.rows.to_string(),
            words::bytes(export.facts.size),
            export.place.display().to_string(),
        ]);
    }
    trimmed(&table)
}

/// Returns everything worth knowing of one backup.
pub fn show_backup(backup: &Backup, salvage: &[SalvageFacts]) -> String {
    let manifest = &backup.manifest;
    let mut lines = vec![
        format!("backup     {}", manifest.id),
        format!("folder     {}", backup.folder.display()),
        format!("database   {}", manifest.database),
        format!(
            "taken      {} by ripcord {} for {}",
            manifest.created,
            manifest.ripcord,
            words::kind(manifest.kind)
        ),
        format!("at         {}", rows_text(&manifest.from)),
        format!("engine     {} {}", manifest.database.engine, manifest.engine_version),
        format!("method     {}", manifest.method),
        format!("proof      {} ({})", proof(backup), manifest.proof.method),
        format!(
            "size       {}, {}",
            words::bytes(backup.bytes()),
            words::count(manifest.artifacts.len(), "file")
        ),
    ];
    lines.extend(salvage.iter().map(|file| format!("salvaged   {}", words::salvage(file))));
    for (name, table) in &manifest.fingerprint.tables {
        lines.push(format!("  {name}: {}", counted(table.rows, "row")));
    }
    for left_out in &manifest.fingerprint.not_compared {
        lines.push(format!("  not compared: {}: {}", left_out.subject, left_out.reason));
    }
    lines.join("\n")
}

fn proof(backup: &Backup) -> String {
    let proof = &backup.manifest.proof;
    if proof.proven { "proven".to_string() } else { format!("NOT PROVEN ({})", proof.level) }
}

/// Returns every operation as a table, oldest first.
pub fn log_lines(all: &[OperationState], unreadable: &[Unreadable]) -> String {
    if all.is_empty() && unreadable.is_empty() {
        return "there are no operations".to_string();
    }
    let mut table = plain();
    table.set_header(["operation", "who", "from", "to", "end"]);
    for state in all {
        table.add_row([
            state.operation.clone(),
            state.who.clone(),
            rows_text(&state.from),
            rows_text(&state.to),
            match &state.damage {
                Some(damage) => format!("{}, DAMAGED in line {}", end(state), damage.line),
                None => end(state),
            },
        ]);
    }
    for journal in unreadable {
        let ended = if journal.ended { "ended" } else { "whether it ended is not known" };
        let name = journal.place.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let damaged = format!("DAMAGED in line {}: {ended}", journal.damage.line);
        table.add_row([name, String::new(), String::new(), String::new(), damaged]);
    }
    trimmed(&table)
}

/// Returns one operation, with its error and its steps.
pub fn log_of(state: &OperationState) -> String {
    let mut lines = vec![
        format!("operation  {}", state.operation),
        format!("database   {}", state.database),
        format!("who        {}, process {}", state.who, state.process),
        format!("time       {} to {}", state.begun, state.last),
        format!("from       {}", rows_text(&state.from)),
        format!("to         {}", rows_text(&state.to)),
        format!(
            "steps      {}",
            state.started.iter().map(|step| words::step(*step)).collect::<Vec<_>>().join(", ")
        ),
        format!("end        {}", end(state)),
    ];
    if let Some(backup) = &state.backup {
        lines.push(format!("backup     {backup}"));
    }
    if let Some(error) = &state.error {
        lines.push(format!("error      {error}"));
    }
    if let Some(damage) = &state.damage {
        lines.push(format!(
            "damaged    line {} of its journal cannot be read: {}",
            damage.line, damage.detail
        ));
    }
    lines.join("\n")
}

fn end(state: &OperationState) -> String {
    match (state.ended, &state.step) {
        (Some(_), _) if state.is_accepted() => "as a person said".to_string(),
        (Some(aftermath), _) => words::aftermath_word(aftermath).to_string(),
        (None, Some((step, _))) => format!("UNFINISHED in {}", words::step(*step)),
        (None, None) => "UNFINISHED before its first step".to_string(),
    }
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

fn trimmed(table: &Table) -> String {
    table.lines().map(|line| line.trim().to_string()).collect::<Vec<_>>().join("\n")
}
