//! The part of the page about salvage: what is kept of what the migration takes away, and how to load it by hand.

use super::commands::{identifier, quoted};
use super::{RunbookFacts, count, plain};
use crate::catalog::EngineKind;
use crate::ledger::{Returned, Salvage, SalvageKind};
use crate::tabular::{EXPORTS, Sidecar};
use std::fmt::Write as _;

pub(super) fn section(facts: &RunbookFacts) -> String {
    let kept: Vec<(&Sidecar, &Salvage)> =
        facts.salvage.iter().filter_map(|file| Some((file, file.salvage.as_ref()?))).collect();
    if kept.is_empty() {
        return String::new();
    }
    let mut text = "## 6. What the migration takes away\n\nIt is kept in files by themselves, as it was at the moment of this \
         backup; what each column means is\nin the JSON beside it. To load one by hand, once the old table or column is there \
         again. This\n**overwrites** what was written to these columns since:\n"
        .to_string();
    for (file, salvage) in kept {
        let rows = count(file.rows, "row");
        let what = match salvage.what {
            SalvageKind::Rows => format!("{rows} of `{}`", plain(&salvage.table.to_string())),
            SalvageKind::Values => {
                format!(
                    "`{}` of `{}`, {rows}",
                    plain(&salvage.columns.join(", ")),
                    plain(&salvage.table.to_string())
                )
            }
        };
        let commands = match facts.database.engine {
            EngineKind::Sqlite => sqlite(&facts.database.place, salvage),
            EngineKind::Postgresql => postgresql(&facts.database.name, file, salvage),
        };
        let _ = write!(text, "\n`{EXPORTS}/{}`: {what}\n", plain(&file.file));
        match commands {
            Some(commands) => {
                let _ = write!(text, "\n```console\n$ {commands}\n```\n");
            }
            None => text.push_str("\nNo column identifies its rows: which row is which is for you to say.\n"),
        }
    }
    text
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| identifier(name)).collect::<Vec<_>>().join(", ")
}

fn postgresql(database: &str, file: &Sidecar, salvage: &Salvage) -> Option<String> {
    let table = salvage.table.sql();
    let csv = format!("{EXPORTS}/{}", file.file);
    let psql = format!("psql -X -1 -v ON_ERROR_STOP=1 -d {}", quoted(database));
    if salvage.what == SalvageKind::Rows {
        let load = format!("COPY {table} ({}) FROM STDIN (FORMAT csv, HEADER)", list(&salvage.columns));
        return Some(format!("gunzip -c {} | {psql} -c {}", quoted(&csv), quoted(&load)));
    }
    let (set, same) = assignments(salvage, "salvaged")?;
    let left = salvage.returned.values().filter_map(|returned| match returned {
        Returned::In(name) => Some(format!(", ''::text AS {}", identifier(name))),
        Returned::Constant(_) => None,
    });
    Some(format!(
        "{psql} <<'SQL'\nCREATE TEMPORARY TABLE salvaged AS SELECT {}, {}{} FROM {table} WITH NO DATA;\n\\copy salvaged FROM \
         PROGRAM 'gunzip -c {csv}' (FORMAT csv, HEADER)\nUPDATE {table} AS live SET {set} FROM salvaged WHERE {same};\nSQL",
        list(&salvage.key),
        list(&salvage.columns),
        left.collect::<String>(),
    ))
}

/// The snapshot holds the same values, each with its own type, which a CSV would have to be told.
fn sqlite(live: &str, salvage: &Salvage) -> Option<String> {
    let table = identifier(&salvage.table.name);
    let sql = match salvage.what {
        SalvageKind::Rows => {
            let columns = list(&salvage.columns);
            format!("INSERT OR IGNORE INTO main.{table} ({columns}) SELECT {columns} FROM old.{table};")
        }
        SalvageKind::Values => {
            let (set, same) = assignments(salvage, "salvaged")?;
            format!("UPDATE main.{table} AS live SET {set} FROM old.{table} AS salvaged WHERE {same};")
        }
    };
    if salvage.what == SalvageKind::Rows && salvage.key.is_empty() {
        return None;
    }
    Some(format!("sqlite3 {} <<'SQL'\nATTACH 'snapshot/database.db' AS old;\n{sql}\nSQL", quoted(live)))
}

/// What is set, and which rows are the same; nothing where none can be told from another.
fn assignments(salvage: &Salvage, from: &str) -> Option<(String, String)> {
    if salvage.key.is_empty() {
        return None;
    }
    let set = salvage.columns.iter().map(|name| format!("{0} = {from}.{0}", identifier(name)));
    let same = salvage.key.iter().map(|name| format!("live.{0} = {from}.{0}", identifier(name)));
    Some((set.collect::<Vec<_>>().join(", "), same.collect::<Vec<_>>().join(" AND ")))
}
