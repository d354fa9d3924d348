//! What was merged back, for people.

use super::Output;
use crate::ledger::{Conflict, Merged};
use crate::report::MergeFacts;

/// Returns a line for each table and column, and what there is to know of conflicts.
pub(super) fn lines(merge: &MergeFacts, output: &Output) -> Vec<String> {
    let mut lines: Vec<String> = merge.merged.iter().map(line).collect();
    if merge.conflict_count == 0 {
        return lines;
    }
    let word = output.paint("33", "conflicts");
    lines.push(format!("{word}  {}, left as they are:", merge.conflict_count));
    lines.extend(merge.conflicts.iter().map(|conflict| format!("  {}", conflict_line(conflict))));
    let more = merge.conflict_count.saturating_sub(merge.conflicts.len() as u64);
    if more > 0 {
        lines.push(format!("  … and {more} more"));
    }
    lines.push(match &merge.side_table {
        Some(side) => format!("  all of them: table {side}; drop it when they are settled"),
        None => "  a merge keeps all of them in a side table and in its backup".to_string(),
    });
    lines
}

fn line(merged: &Merged) -> String {
    let what = match &merged.column {
        Some(column) => format!("{}.{column}", merged.table),
        None => format!("{}, rows", merged.table),
    };
    if let Some(why) = &merged.skipped {
        return format!("skipped    {what}: {why}");
    }
    let mut text = format!("merged     {what}: {} put back", merged.merged);
    for (count, words) in [
        (merged.already, "there already"),
        (merged.deleted, "deleted since"),
        (merged.conflicts, "in conflict"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {words}"));
        }
    }
    text
}

fn conflict_line(conflict: &Conflict) -> String {
    let shown = |value: &Option<String>| match value {
        None => "NULL".to_string(),
        Some(text) if text.chars().count() > 60 => text.chars().take(60).chain(['…']).collect(),
        Some(text) => text.escape_debug().to_string(),
    };
    let (ours, theirs) = (shown(&conflict.ours), shown(&conflict.theirs));
    let place = match &conflict.column {
        Some(column) => format!("{}.{column} of {}", conflict.table, conflict.key),
        None => format!("{} {}", conflict.table, conflict.key),
    };
    match (&conflict.theirs, &conflict.column) {
        (None, None) => format!("{place}: not there ({})", conflict.reason),
        _ => format!("{place}: {ours} was salvaged, {theirs} is there ({})", conflict.reason),
    }
}
