//! How much a hazard holds, and its first rows, from the file that stays as it was.

use super::super::Site;
use super::BEFORE;
use super::rows::{both, differs, same_row};
use super::wide::{self, joined};
use crate::catalog::{TableName, quote};
use crate::engine::Error;
use crate::plan::hazard::{EXAMPLES, SHOWN_CHARACTERS, Sample, Sampled, Which};
use std::path::Path;

const DOING: &str = "looking at what a migration loses";

pub(super) fn of(site: &Site, before: &Path, asked: &Sample) -> Result<Sampled, Error> {
    let session = both(site, before)?;
    let failed = |error| session.failed(DOING, error);
    let from = format!("FROM {} AS a WHERE {}", table(asked), condition(asked));
    let lengths = asked.columns.iter();
    let lengths = lengths.map(|name| format!("coalesce(length(CAST(a.{} AS BLOB)), 0)", quote(name)));
    let lengths = joined(&lengths.collect::<Vec<_>>(), "+", "0");
    let bytes: i64 = session.one(DOING, &format!("SELECT coalesce(sum({lengths}), 0) {from}"))?;

    let shown: Vec<String> = asked.key.iter().chain(&asked.columns).map(|name| shown(&quote(name))).collect();
    let key: Vec<String> = asked.key.iter().map(|name| format!("a.{}", quote(name))).collect();
    let order = if key.is_empty() { String::new() } else { format!("ORDER BY {}", key.join(", ")) };
    let sql = format!("SELECT {} {from} {order} LIMIT {EXAMPLES}", shown.join(", "));
    let mut statement = session.prepare(&sql).map_err(failed)?;
    let width = statement.column_count();
    let rows = statement.query_map([], |row| {
        // Handed over as UTF-8 whatever the encoding of the database; but what was stored need not be text of any.
        let bytes = |index| row.get_ref(index)?.as_bytes_or_null().map_err(rusqlite::Error::from);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (0..width).map(|index| Ok(bytes(index)?.map(text))).collect()
    });
    let rows = rows.map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    Ok(Sampled { bytes: bytes.unsigned_abs(), rows })
}

/// The table before; where its rows are compared whole, each with its place among those that are alike, and how many of these there
/// are now.
fn table(asked: &Sample) -> String {
    let before = format!("{BEFORE}.{}", quote(&asked.table.name));
    let Which::GoneWhole { now } = &asked.which else { return before };
    let names: Vec<String> = asked.identity().iter().map(|name| quote(name)).collect();
    let own: Vec<String> = names.iter().map(|name| format!("a.{name}")).collect();
    let own = wide::text(&own);
    format!(
        "(SELECT a.*, row_number() OVER (PARTITION BY {own}) AS ripcord_at, coalesce(n.n, 0) AS ripcord_now FROM {before} AS a \
         LEFT JOIN (SELECT {} AS g, count(*) AS n FROM main.{} GROUP BY 1) AS n ON n.g = {own})",
        wide::text(&names),
        quote(&now.name)
    )
}

/// Which rows, of the table before as `a`.
fn condition(asked: &Sample) -> String {
    let key: Vec<String> = asked.key.iter().map(|name| format!("a.{}", quote(name))).collect();
    // One that may be NULL is in no list of keys, unless it is looked for as a text.
    let key = if asked.is_found { wide::text(&key) } else { key.join(", ") };
    // Not one row after another: the table of now may have lost its key, and with it the index to look in.
    let there = |now: &TableName, which: &str| {
        let pairs: Vec<(String, String)> =
            asked.key.iter().map(|name| (name.clone(), name.clone())).collect();
        let (old, now) = (quote(&asked.table.name), quote(&now.name));
        let on = same_row(&pairs);
        format!("(SELECT {key} FROM {BEFORE}.{old} AS a JOIN main.{now} AS b ON {on} WHERE {which})")
    };
    match &asked.which {
        Which::All => "1".to_string(),
        Which::Filled => {
            let filled = asked.columns.iter().map(|name| format!("a.{} IS NOT NULL", quote(name)));
            filled.collect::<Vec<_>>().join(" AND ")
        }
        Which::Gone { now } => format!("({key}) NOT IN {}", there(now, "1")),
        Which::GoneWhole { .. } => "a.ripcord_at > a.ripcord_now".to_string(),
        Which::Differing { now } => {
            let differ: Vec<String> = asked.columns.iter().map(|name| differs(name, name)).collect();
            format!("({key}) IN {}", there(now, &differ.join(" OR ")))
        }
    }
}

/// The beginning of a value as text; a blob as SQL writes it.
fn shown(name: &str) -> String {
    let cut = SHOWN_CHARACTERS + 1;
    let blob = format!("'x''' || hex(substr(a.{name}, 1, {})) || ''''", cut / 2);
    format!("CASE typeof(a.{name}) WHEN 'blob' THEN {blob} ELSE substr(a.{name}, 1, {cut}) END")
}
