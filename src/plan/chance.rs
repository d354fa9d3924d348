//! What in a migration gives another answer each time: the clock, and dice. Read from its words, because two runs within one
//! second have the same time.

use super::Plan;
use crate::catalog::Catalog;

/// Words that are the time by themselves.
const CLOCKS: [&str; 6] =
    ["current_timestamp", "current_date", "current_time", "localtimestamp", "localtime", "clock_timestamp"];
/// Functions that throw dice.
const DICE: [&str; 3] = ["random", "randomblob", "gen_random_uuid"];
/// SQLite's functions of a time, which may be now.
const TIMES: [&str; 7] = ["date", "time", "datetime", "julianday", "strftime", "unixepoch", "timediff"];

/// Returns what a plan says of the time or of chance, and what defaults and triggers of the tables that it names say where
/// it writes rows. Naming too much is safe.
pub fn chance(plan: &Plan, before: &Catalog) -> Vec<String> {
    let statements = plan.scripts.iter().flat_map(|script| &script.statements);
    let first = |text: &super::Statement| text.words().into_iter().next().unwrap_or_default();
    let is_definition = |first: &str| ["CREATE", "ALTER", "DROP", "COMMENT", "GRANT"].contains(&first);
    let writes = statements.clone().any(|statement| !is_definition(&first(statement)));
    let mut texts: Vec<&str> = Vec::new();
    for statement in statements.clone() {
        // What only defines something says when rows are written, and not now.
        let makes_rows =
            first(statement) != "CREATE" || statement.text.to_ascii_uppercase().contains("SELECT");
        if writes || makes_rows {
            texts.push(&statement.text);
        }
    }
    let touches = plan.touches();
    let named =
        before.tables.iter().filter(|(name, _)| writes && touches.mentions(name) && !name.is_bookkeeping());
    // Rows that are there already take no default any more.
    let inserts = statements.clone().any(|statement| {
        first(statement) == "REPLACE" || statement.text.to_ascii_uppercase().contains("INSERT")
    });
    for (_, table) in named {
        texts.extend(table.columns.iter().filter_map(|column| column.default.as_deref()).filter(|_| inserts));
        texts.extend(table.triggers.values().map(String::as_str));
    }
    let mut found: Vec<String> = texts.into_iter().flat_map(words).collect();
    found.sort();
    found.dedup();
    found
}

/// Returns the words of one text.
fn words(text: &str) -> Vec<String> {
    let lower = text.to_ascii_lowercase();
    let is_part = |next: char| next.is_alphanumeric() || next == '_';
    let says_now = lower.contains("'now'") || lower.contains("\"now\"");
    let mut found = Vec::new();
    let mut rest = lower.as_str();
    while let Some(start) = rest.find(is_part) {
        let from = &rest[start..];
        let (word, after) = from.split_at(from.find(|next| !is_part(next)).unwrap_or(from.len()));
        rest = after;
        let arguments = after.trim_start().strip_prefix('(').map(str::trim_start);
        let without = arguments.is_some_and(|arguments| arguments.starts_with(')'));
        let called = arguments.is_some();
        if CLOCKS.contains(&word) {
            found.push(word.to_ascii_uppercase());
        } else if called && (DICE.contains(&word) || (word == "now" && without)) {
            found.push(format!("{word}()"));
        } else if called && TIMES.contains(&word) && (without || says_now) {
            found.push(if without { format!("{word}()") } else { format!("{word}('now')") });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_and_dice_are_found_by_their_words() {
        assert_eq!(
            words("UPDATE t SET a = Current_Timestamp, b = random ()"),
            ["CURRENT_TIMESTAMP", "random()"]
        );
        assert_eq!(
            words("SELECT strftime('%s', 'now'), datetime( ), now()"),
            ["strftime('now')", "datetime()", "now()"]
        );
        assert_eq!(words("SELECT date(born), my_current_date, random FROM t"), [""; 0]);
    }
}
