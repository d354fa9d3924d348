//! Full-text indexes over rows of another table, after those were written while triggers were silent.

use super::session::Session;
use crate::catalog::{Catalog, TableName, quote};
use crate::engine::Error;
use std::collections::BTreeSet;

/// Builds the indexes over these tables anew, and those over views, which may read them. Returns those that could not be,
/// and why.
pub(super) fn rebuild(
    session: &Session,
    catalog: &Catalog,
    written: &BTreeSet<TableName>,
) -> Result<Vec<(TableName, String)>, Error> {
    let mut stale = Vec::new();
    for (name, table) in &catalog.tables {
        let Some(content) = table.outer_content() else { continue };
        let is = |other: &TableName| other.name.eq_ignore_ascii_case(&content.name);
        let is_view = || !catalog.tables.keys().any(is);
        if written.is_empty() || !(written.iter().any(is) || is_view()) {
            continue;
        }
        let (table, column) = (name.sql(), quote(&name.name));
        let rebuild = format!("INSERT INTO main.{table} ({column}) VALUES ('rebuild')");
        // Its tokenizer may be a part of the application. A statement that fails leaves nothing behind.
        match session.run("rebuilding a full-text index", &rebuild) {
            Ok(()) => {}
            Err(Error::Driver { detail, .. }) => stale.push((name.clone(), detail)),
            Err(other) => return Err(other),
        }
    }
    Ok(stale)
}
