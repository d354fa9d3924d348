//! How much a hazard holds, and its first rows, from the database that stays as it was.

use super::super::PostgresDatabase;
use super::super::large_objects;
use super::super::names::{identifier, is_held};
use super::super::session::{Purpose, Session};
use super::rows::{AFTER, DOING, bring, filled, text};
use super::salvage::together;
use crate::catalog::TableName;
use crate::engine::Error;
use crate::ledger::Question;
use crate::plan::hazard::{EXAMPLES, SHOWN_CHARACTERS, Sample, Sampled, Which};

pub(super) async fn of(copy: &PostgresDatabase, before: &str, asked: &Sample) -> Result<Sampled, Error> {
    let name = copy.application();
    let mut old = copy.server.open(before, Purpose::Reading, &name).await?;
    let sampled = match &asked.which {
        Which::All | Which::Filled => read(&mut old, asked).await,
        Which::Gone { now } | Which::GoneWhole { now } | Which::Differing { now } => {
            let mut new = copy.server.open(&copy.id.name, Purpose::Reading, &name).await?;
            let brought = bring(&mut old, &mut new, &question(asked, now), now).await;
            new.give_back().await;
            brought?;
            // The temporary table goes with the session.
            read(&mut old, asked).await
        }
    };
    old.give_back().await;
    sampled
}

/// What has to be brought over of the table of now.
fn question(asked: &Sample, now: &TableName) -> Question {
    let pair = |name: &String| (name.clone(), name.clone());
    let columns = match asked.which {
        Which::GoneWhole { .. } => asked.identity().iter().map(pair).collect(),
        Which::Differing { .. } => asked.columns.iter().map(pair).collect(),
        _ => Vec::new(),
    };
    Question {
        before: asked.table.clone(),
        after: Some(now.clone()),
        key: asked.key.iter().map(pair).collect(),
        is_open: false,
        is_nullable: false,
        is_remade: false,
        may_be_luck: false,
        is_beside_key: false,
        columns,
        alike: Vec::new(),
        held: Vec::new(),
        uniform: Vec::new(),
        tree: None,
    }
}

async fn read(old: &mut Session, asked: &Sample) -> Result<Sampled, Error> {
    let from = format!("FROM {} AS a WHERE {}", table(asked), condition(asked));
    // What is lost of a large object is not its checksum.
    let own = asked.table.is_large_objects().then(large_objects::length);
    let columns = asked.columns.iter().filter(|_| own.is_none()).map(|name| length(&identifier(name)));
    let lengths = columns.chain(own.clone());
    let lengths: Vec<String> = lengths.chain(["0".to_string()]).collect();
    let sum = format!("SELECT coalesce(sum({}), 0) {from}", lengths.join(" + "));
    let bytes = old.value(DOING, &sum).await?;

    let cut = SHOWN_CHARACTERS + 1;
    let shown = asked.key.iter().chain(&asked.columns);
    let shown: Vec<String> = shown.map(|name| format!("left(a.{}::text, {cut})", identifier(name))).collect();
    // Not every type has an order.
    let placed = |name: &String| if asked.is_found { text(name) } else { format!("a.{}", identifier(name)) };
    let key: Vec<String> = asked.key.iter().map(placed).collect();
    let order = if key.is_empty() { String::new() } else { format!("ORDER BY {}", key.join(", ")) };
    let rows =
        old.rows(DOING, &format!("SELECT {} {from} {order} LIMIT {EXAMPLES}", shown.join(", "))).await?;
    let texts = rows.iter().map(|row| {
        let cells = 0..row.len();
        cells.map(|index| row.maybe(index).map(str::to_string)).collect()
    });
    Ok(Sampled { bytes: bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or(0), rows: texts.collect() })
}

/// The table before; where its rows are compared whole, each with its place among those that are alike, and how many of these there
/// are now.
fn table(asked: &Sample) -> String {
    let before = large_objects::only(&asked.table);
    let Which::GoneWhole { .. } = &asked.which else { return before };
    let own = together(asked.identity());
    let now: Vec<String> = (0..asked.identity().len()).map(|index| format!("c{index}")).collect();
    format!(
        "(SELECT a.*, row_number() OVER (PARTITION BY {own}) AS ripcord_at, coalesce(n.n, 0) AS ripcord_now FROM {before} AS a \
         LEFT JOIN (SELECT ROW({})::text COLLATE \"C\" AS g, count(*) AS n FROM {AFTER} GROUP BY 1) AS n ON n.g = {own})",
        now.join(", ")
    )
}

/// Which rows, of the table before as `a`.
fn condition(asked: &Sample) -> String {
    let found = |text: String| if asked.is_found { filled(&text) } else { text };
    let same = asked.key.iter().enumerate();
    let same = same.map(|(index, name)| format!("{} = {}", found(text(name)), found(format!("b.k{index}"))));
    let same = same.collect::<Vec<_>>().join(" AND ");
    let there = format!("EXISTS (SELECT 1 FROM {AFTER} AS b WHERE {same}");
    match asked.which {
        Which::All => "true".to_string(),
        Which::Filled => {
            let filled = asked.columns.iter().map(|name| is_held(&format!("a.{}", identifier(name))));
            filled.collect::<Vec<_>>().join(" AND ")
        }
        Which::Gone { .. } => format!("NOT {there})"),
        Which::GoneWhole { .. } => "a.ripcord_at > a.ripcord_now".to_string(),
        Which::Differing { .. } => {
            let differ = asked.columns.iter().enumerate();
            let differ = differ.map(|(index, name)| format!("{} IS DISTINCT FROM b.c{index}", text(name)));
            format!("{there} AND ({}))", differ.collect::<Vec<_>>().join(" OR "))
        }
    }
}

/// The length of a value in bytes; two digits of bytea are one byte.
fn length(name: &str) -> String {
    let (is_bytea, text) = (
        format!("pg_typeof(a.{name}) = 'pg_catalog.bytea'::pg_catalog.regtype"),
        format!("octet_length(a.{name}::text)"),
    );
    format!("coalesce(CASE WHEN {is_bytea} THEN {text} / 2 - 1 ELSE {text} END, 0)")
}
