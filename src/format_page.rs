//! Holds `docs/format.md` to what the program writes: its examples are read and written back, its figures computed.

use crate::fingerprint::{Inventory, TableFingerprint, TableHasher};
use crate::journal::{Line, OperationState};
use crate::store::Manifest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../docs/format.md");

/// Returns the section under a heading.
fn section(heading: &str) -> &'static str {
    let start = PAGE.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let rest = &PAGE[start + 1..];
    let level = heading.split(' ').next().unwrap_or_default();
    rest[1..].find(&format!("\n{level} ")).map_or(rest, |end| &rest[..end + 1])
}

/// Returns the first block of this language under a heading.
fn block(heading: &str, language: &str) -> &'static str {
    let opening = format!("```{language}\n");
    let rest = section(heading).split(&opening).nth(1).unwrap_or_else(|| panic!("no block in {heading}"));
    rest.split("```").next().unwrap_or_default()
}

/// Reads a block, and insists that writing it again gives the same: nothing in it is ignored, nothing is missing.
fn read_and_written<T: DeserializeOwned + Serialize>(text: &str) -> T {
    let value: T = serde_json::from_str(text).expect("it can be read");
    assert_eq!(serde_json::to_string_pretty(&value).expect("JSON"), text.trim_end());
    value
}

#[test]
fn the_manifest_of_the_page_is_one() {
    let manifest: Manifest = read_and_written(block("## manifest.json", "json"));
    assert_eq!(manifest.format, crate::store::FORMAT);
    assert!(manifest.previous.is_some());
}

#[test]
fn every_field_of_a_manifest_is_explained() {
    let manifest: serde_json::Value = serde_json::from_str(block("## manifest.json", "json")).expect("JSON");
    let fields = manifest.as_object().expect("an object").keys();
    let unexplained: Vec<_> =
        fields.filter(|field| !section("## manifest.json").contains(&format!("\n| `{field}` |"))).collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}

#[test]
fn the_export_of_the_page_is_one_and_every_field_is_explained() {
    let text = block("### The JSON of an export", "json");
    let sidecar: crate::tabular::Sidecar = read_and_written(text);
    let manifest: Manifest = read_and_written(block("## manifest.json", "json"));
    let reading = &manifest.fingerprint.tables[&crate::catalog::TableName::plain("reading")];
    assert_eq!((sidecar.rows, sidecar.digest), (reading.rows, reading.digest));
    let fields: serde_json::Value = serde_json::from_str(text).expect("JSON");
    for field in fields.as_object().expect("an object").keys() {
        assert!(section("### The JSON of an export").contains(&format!("`{field}`")), "{field}");
    }
}

#[test]
fn the_salvage_of_the_page_is_some_and_every_field_is_explained() {
    let text = block("## Salvage", "json");
    let _: crate::tabular::Salvage = read_and_written(text);
    let fields: serde_json::Value = serde_json::from_str(text).expect("JSON");
    for field in fields.as_object().expect("an object").keys() {
        assert!(section("## Salvage").contains(&format!("\n| `{field}` |")), "{field}");
    }
}

#[test]
fn the_inventory_of_the_page_is_one() {
    let heading = "## Inventory: before.json and after.json";
    let inventory: Inventory = read_and_written(block(heading, "json"));
    assert_eq!(inventory.fingerprint.rows(), 3);
    let manifest: Manifest = read_and_written(block("## manifest.json", "json"));
    assert_eq!(inventory.fingerprint, manifest.fingerprint);
    assert_eq!(inventory.catalog.sha256(), manifest.catalog_sha256);
}

#[test]
fn the_journal_of_the_page_tells_a_whole_operation_with_every_event() {
    let lines: Vec<Line> = block("## Journal", "jsonl")
        .lines()
        .map(|text| {
            let line: Line = serde_json::from_str(text).expect(text);
            assert_eq!(serde_json::to_string(&line).expect("JSON"), text);
            line
        })
        .collect();
    let state = OperationState::fold(&lines).expect("it began");
    assert!(!state.is_unfinished() && state.may_have_changed());
    let explained: BTreeSet<String> = section("## Journal")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_string))
        .collect();
    let shown: BTreeSet<String> = lines
        .iter()
        .filter_map(|line| serde_json::to_value(line).ok()?["event"].as_str().map(str::to_string))
        .collect();
    assert_eq!(shown, explained);
}

/// Checks the sums that an independent program computed from the same three rows.
fn assert_on_page(table: &TableFingerprint, column: usize) {
    let rows = section("### A worked example").lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        (cells.len() == 5 && cells[2].len() == 32).then(|| (cells[1], cells[column]))
    });
    let mut found = 0;
    for (name, expected) in rows {
        let digest = if name == "rows" { table.digest } else { table.columns[name] };
        assert_eq!(digest.to_string(), expected, "{name}");
        found += 1;
    }
    assert_eq!(found, 4, "the rows and three columns");
}

fn names() -> Vec<String> {
    ["id", "place", "value"].map(String::from).to_vec()
}

#[test]
fn the_sqlite_figures_of_the_page_come_out() {
    let integer = |value: i64| [&[1], value.to_le_bytes().as_slice()].concat();
    let real = |value: f64| [&[2], value.to_le_bytes().as_slice()].concat();
    let text = |value: &str| [&[3], (value.len() as u64).to_le_bytes().as_slice(), value.as_bytes()].concat();
    let rows = [
        [integer(1), text("Oslo"), real(1.5)],
        [integer(2), vec![0], real(-0.25)],
        [integer(3), text(""), real(0.0)],
    ];
    let mut hasher = TableHasher::new(3);
    for row in &rows {
        hasher.add_row(&row.concat(), &row[0], row.iter().map(Vec::as_slice));
    }
    assert_on_page(&hasher.finish(&names(), &["id".to_string()]), 2);
}

#[test]
fn the_postgresql_figures_of_the_page_come_out() {
    let mut hasher = TableHasher::new(3);
    for line in ["1\tOslo\t1.5", "2\t\\N\t-0.25", "3\t\t0"] {
        let values: Vec<&[u8]> = line.split('\t').map(str::as_bytes).collect();
        hasher.add_row(line.as_bytes(), values[0], values.iter().copied());
    }
    assert_on_page(&hasher.finish(&names(), &["id".to_string()]), 3);
}
