//! What was merged back, for people.

use super::Output;
use crate::base::visible;
use crate::engine::leaves_theirs_open;
use crate::ledger::{Conflict, Merged};
use crate::report::MergeFacts;
use std::collections::BTreeSet;

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

/// Says how a merge ended that put nothing back: what is skipped may still be wanted.
pub(super) fn nothing(merge: &MergeFacts) -> String {
    let why: BTreeSet<&str> = merge.merged.iter().filter_map(|merged| merged.skipped.as_deref()).collect();
    match why.is_empty() {
        true => "there was nothing to merge".to_string(),
        false => format!("nothing was merged: {}", why.into_iter().collect::<Vec<_>>().join("; ")),
    }
}

fn line(merged: &Merged) -> String {
    let what = match &merged.column {
        Some(column) => format!("{}.{column}", merged.table),
        None => format!("{}, {}", merged.table, merged.what.word()),
    };
    if let Some(why) = &merged.skipped {
        return format!("skipped    {what}: {why}");
    }
    let mut text = format!("merged     {what}: {} put back", merged.merged);
    for (count, words) in [
        (merged.already, "there already"),
        (merged.deleted, merged.gone()),
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
        Some(text) if text.chars().count() > 60 => visible(&text.chars().take(60).collect::<String>()) + "…",
        Some(text) => visible(text),
    };
    let (ours, theirs) = (shown(&conflict.ours), shown(&conflict.theirs));
    let place = match &conflict.column {
        Some(column) => format!("{}.{column} of {}", conflict.table, conflict.key),
        None => format!("{} {}", conflict.table, conflict.key),
    };
    match (&conflict.theirs, &conflict.column) {
        (None, Some(_)) if leaves_theirs_open(&conflict.reason) => {
            format!("{place}: {ours} was salvaged ({})", conflict.reason)
        }
        (None, None) => format!("{place}: not there ({})", conflict.reason),
        _ => format!("{place}: {ours} was salvaged, {theirs} is there ({})", conflict.reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::TableName;

    #[test]
    fn a_conflict_shows_values_as_they_are_and_lets_none_steer_the_terminal() {
        let conflict = |column: Option<&str>, theirs: &str| Conflict {
            table: TableName::plain("person"),
            key: r#"{"name":"b\u{202e}"}"#.to_string().replace(r"\u{202e}", "\u{202e}"),
            column: column.map(str::to_string),
            base: None,
            ours: Some(r#"{"id":1,"note":"it's"}"#.to_string()),
            theirs: Some(theirs.to_string()),
            reason: "changed since".to_string(),
        };
        assert_eq!(
            visible(&conflict_line(&conflict(None, "a\n\u{1b}[2J"))),
            r#"person {"name":"b\u{202e}"}: {"id":1,"note":"it's"} was salvaged, a\n\u{1b}[2J is there (changed since)"#
        );
    }
}
