//! What a merge leaves to people, and why.

use crate::base::{counted, one_or_more};
use crate::catalog::TableName;
use crate::engine::RETAKEN;
use crate::ledger::{Doubt, Merged, MergedBack};
use crate::tabular::EXPORTS;
use std::collections::BTreeSet;

/// Says what a merge has not done because nobody but the application can say whether it should be.
pub(super) fn left_undone(merged: &MergedBack) -> impl Iterator<Item = String> {
    let silent = (!merged.silent.is_empty()).then(|| {
        format!(
            "for what was put back no trigger has fired; what these do was not done: {}",
            merged.silent.join(", ")
        )
    });
    let stale = merged.stale.iter().map(|(index, why)| {
        let sql = format!("INSERT INTO {0} ({0}) VALUES ('rebuild')", index.sql());
        format!("the full-text index {index} does not know what was put back, and could not be built anew ({why}): {sql}")
    });
    let untold = merged.untold.iter().map(|table| {
        // Those of which it shows are told by themselves.
        let rows = match merged.retaken.contains_key(table) {
            true => format!("any other row of {table}"),
            false => format!("a row of {table}"),
        };
        format!(
            "no column tells whether {rows} is the one of then: where its key was given out again since, the row \
             that has it now got the value of the one that had it"
        )
    });
    let is_any = merged.count() > 0;
    let in_doubt = merged.doubts.in_doubt.iter().filter(|_| is_any).map(|(table, doubt)| taken(table, doubt));
    let unread = merged.doubts.unread.iter().filter(|_| is_any).map(|table| {
        format!(
            "{table} is too large to hold each of its rows against the snapshot: below its last ones each was taken for the one \
             of then by its key. Where a key was given out again since, the row that has it now got what belonged to the one before"
        )
    });
    let retaken = merged.retaken.iter().map(|(table, count)| {
        let values = format!("{} {}", counted(*count, "value"), one_or_more(*count, "was", "were"));
        let found = merged.side_table.as_ref().map(|side| {
            let (side, table) = (side.sql(), table.to_string().replace('\'', "''"));
            format!(": SELECT \"key\", \"column\", ours FROM {side} WHERE \"table\" = '{table}' AND reason = '{RETAKEN}'")
        });
        format!(
            "{values} not put back into {table}, because nothing shows that their rows are still those of then: all that \
             tells was edited since, or other rows have their keys (what repeats the key shows nothing: a new row would hold the same). Where a row is the same, set its value by hand{}",
            found.unwrap_or_default()
        )
    });
    let found_anew = merged.found_anew.iter().map(|(table, count)| {
        format!(
            "{} of {table} {} another key now than when {} saved, and {} by what else is unique in {}: the values of then were merged under the key of now",
            counted(*count, "row"),
            one_or_more(*count, "has", "have"),
            one_or_more(*count, "it was", "they were"),
            one_or_more(*count, "is known", "are known"),
            one_or_more(*count, "it", "them"),
        )
    });
    let followed = merged.followed.iter().filter_map(|one| {
        let is_put = |column: &String| {
            let mut merged = merged.merged.iter().filter(|merged| merged.table == one.table);
            merged.any(|merged| merged.column.as_ref() == Some(column) && merged.merged > 0)
        };
        let columns: Vec<&str> =
            one.columns.iter().filter(|column| !is_put(column)).map(String::as_str).collect();
        (!columns.is_empty() && one.rows > 0).then(|| {
            format!(
                "{} of {} followed the keys that were put back: {} {}",
                columns.join(", "),
                one.table,
                counted(one.rows, "row"),
                one_or_more(
                    one.rows,
                    "refers to the same row as before, under its old key",
                    "refer to the same rows as before, under their old keys"
                )
            )
        })
    });
    let led = merged.followed.iter().filter(|one| one.led > 0).map(|one| {
        format!(
            "{} of {}: {} {}, which could not get the old one back",
            one.columns.join(", "),
            one.table,
            counted(one.led, "row"),
            one_or_more(
                one.led,
                "held the number of then and refers to the row of then again, under the key that this has now",
                "held numbers of then and refer to the rows of then again, under the keys that these have now"
            )
        )
    });
    let keyless = merged.merged.iter().filter(|one| one.without_key && one.deleted > 0).map(|one| {
        let table = &one.table;
        format!(
            "{table} has no key: of {} the row is not there as it was, deleted or changed since; the values are in {EXPORTS}/ of the \
             backup they come from",
            deleted(one)
        )
    });
    silent
        .into_iter()
        .chain(found_anew.collect::<Vec<_>>())
        .chain(followed.collect::<Vec<_>>())
        .chain(led.collect::<Vec<_>>())
        .chain(keyless.collect::<Vec<_>>())
        .chain(stale.collect::<Vec<_>>())
        .chain(retaken.collect::<Vec<_>>())
        .chain(untold.collect::<Vec<_>>())
        .chain(in_doubt.collect::<Vec<_>>())
        .chain(unread.collect::<Vec<_>>())
}

/// Says which rows were taken for those of then by their key alone.
fn taken(table: &TableName, doubt: &Doubt) -> String {
    let (rows, listed) = (doubt.rows, |names: &BTreeSet<String>| {
        names.iter().map(String::as_str).collect::<Vec<_>>().join(" and ")
    });
    let more = if rows > doubt.keys.len() as u64 { "; \u{2026}" } else { "" };
    let repeats = match doubt.repeats.is_empty() {
        true => String::new(),
        false => format!(" ({} repeats the key, and would be the same in a new row)", listed(&doubt.repeats)),
    };
    format!(
        "{} of {table} (key {}{more}) {} another {} than {} did, and nothing else tells whether {}{repeats}: what was put back \
         there, or refers to {}, went by the key alone. A new row under an old key got what belonged to the one before",
        counted(rows, "row"),
        doubt.keys.join("; "),
        one_or_more(rows, "holds", "hold"),
        listed(&doubt.columns),
        one_or_more(rows, "it", "they"),
        one_or_more(rows, "it is the one of then", "they are those of then"),
        one_or_more(rows, "it", "them"),
    )
}

fn deleted(one: &Merged) -> String {
    match &one.column {
        Some(column) => format!("{} of {column}", counted(one.deleted, "value")),
        None => counted(one.deleted, "row"),
    }
}
