//! What differs between a database that was built and what the snapshot saw.

use super::fingerprint::{Known, Reading};
use super::restore::{Build, Built};
use super::{PostgresDatabase, catalog, exporter};
use crate::base::counted;
use crate::catalog::{self as schema, Catalog};
use crate::engine::Error;
use crate::fingerprint::{Fingerprint, Inventory, TableVerdict, compare};
use crate::report::Progress;
use std::collections::BTreeMap;

/// What a comparison saw.
pub(super) struct Compared {
    pub(super) differences: Vec<String>,
    pub(super) tables: u64,
    pub(super) rows: u64,
    /// The definition that was found.
    pub(super) catalog: Catalog,
    /// How far the sequences are that were found.
    pub(super) sequences: BTreeMap<String, i64>,
}

impl PostgresDatabase {
    /// Compares a built database with what the snapshot saw; nothing means that they are the same.
    pub(super) async fn compare_built(
        &self,
        build: &Build<'_>,
        built: &Built,
        expected: &Inventory,
        progress: &Progress,
    ) -> Result<Compared, Error> {
        let name = self.application();
        let mut exported = exporter::export_quiet(build.server, build.name, &name).await?;
        let found = catalog::read(&mut exported.session).await?;
        let major = exported.session.major();
        let mut differences = catalog_differences(expected, &found, major, build, built);
        let mut fingerprint = Fingerprint::new();
        if !build.schema_only {
            let reading = self.reading(build.server, build.name, progress);
            let reading = Reading { known: Known::of(&found), ..reading };
            fingerprint = reading.fingerprint(&mut exported.session, &exported.snapshot).await?;
            differences.extend(row_differences(&expected.fingerprint, &fingerprint));
        }
        exported.release().await;
        // What was compared row by row: a partitioned table is its partitions.
        let compared = if build.schema_only { found.tables.len() } else { fingerprint.tables.len() };
        let tables = compared as u64;
        let rows = fingerprint.rows();
        Ok(Compared { differences, tables, rows, catalog: found, sequences: fingerprint.sequences })
    }
}

fn catalog_differences(
    expected: &Inventory,
    found: &Catalog,
    major: u32,
    build: &Build<'_>,
    built: &Built,
) -> Vec<String> {
    let mut both = [comparable(&expected.catalog, build, built), comparable(found, build, built)];
    if !expected.version.starts_with(&format!("{major}.")) {
        both.iter_mut().for_each(leave_out_spelling);
    }
    let [before, after] = both;
    let changes = schema::diff(&before, &after);
    changes
        .iter()
        .map(|change| {
            let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_string());
            format!("{}: {} became {}", change.subject, side(&change.before), side(&change.after))
        })
        .collect()
}

/// Leaves out of a catalog what a restore cannot bring, for reasons that are no fault of the dump.
fn comparable(catalog: &Catalog, build: &Build<'_>, built: &Built) -> Catalog {
    let mut catalog = catalog.clone();
    if build.schema_only {
        for object in catalog.objects.values_mut() {
            object.options.remove("populated");
        }
        catalog.objects.remove("large objects all");
    }
    if !build.roles {
        leave_out(&mut catalog, &["owner", "grants"]);
        catalog.objects.retain(|_, object| object.kind != "default privileges");
    }
    if !build.same_cluster {
        leave_out(&mut catalog, &["tablespace"]);
        catalog.settings.remove("tablespace");
    }
    if !build.roles || !built.unsaid.is_empty() {
        let words = catalog::DATABASE_LEVEL;
        catalog.settings.retain(|name, _| !words.iter().any(|word| name.starts_with(word)));
    }
    catalog
}

/// Versions print the same view or trigger in other words. What there is, and every column, is compared all the same.
fn leave_out_spelling(catalog: &mut Catalog) {
    for table in catalog.tables.values_mut() {
        for parts in [&mut table.constraints, &mut table.indexes, &mut table.triggers, &mut table.policies] {
            parts.values_mut().for_each(String::clear);
        }
        for column in &mut table.columns {
            (column.default, column.generated) = (None, None);
        }
    }
    catalog.objects.values_mut().for_each(|object| object.definition.clear());
}

fn leave_out(catalog: &mut Catalog, options: &[&str]) {
    let out =
        |found: &mut BTreeMap<String, String>| found.retain(|name, _| !options.contains(&name.as_str()));
    for table in catalog.tables.values_mut() {
        out(&mut table.options);
        table.columns.iter_mut().for_each(|column| out(&mut column.options));
    }
    catalog.objects.values_mut().for_each(|object| out(&mut object.options));
}

/// Names the sequences that are further than they were when the dump was whole, as `moved` has it.
pub(super) fn beyond(
    expected: &Fingerprint,
    moved: &BTreeMap<String, i64>,
    found: &BTreeMap<String, i64>,
) -> Vec<String> {
    let further = expected.sequences.iter().filter_map(|(name, begin)| {
        let (end, found) = (moved.get(name).unwrap_or(begin).max(begin), found.get(name)?);
        (found > end).then(|| format!("sequence {name}: {begin} to {end} became {found}"))
    });
    further.collect()
}

fn row_differences(expected: &Fingerprint, found: &Fingerprint) -> Vec<String> {
    let comparison = compare(expected, found);
    let mut differences: Vec<String> = comparison
        .differing()
        .map(|(name, table)| match table.verdict {
            TableVerdict::Removed => format!("table {name} is missing"),
            TableVerdict::Added => format!("table {name} was not in the snapshot"),
            _ => format!(
                "table {name}: {} became {}, or their content differs",
                counted(table.rows_before.unwrap_or_default(), "row"),
                table.rows_after.unwrap_or_default()
            ),
        })
        .collect();
    let behind = comparison.sequences_behind.iter();
    differences.extend(behind.map(|(name, old, new)| format!("sequence {name}: {old} became {new}")));
    differences
}
