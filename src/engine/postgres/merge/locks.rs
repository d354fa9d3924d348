//! The locks of a merge: each table gets the one that it needs in the end at once. Whoever takes a stronger one later waits for
//! readers, who may themselves be waiting to write.

use super::super::names::literal;
use super::super::session::Session;
use super::DOING;
use crate::catalog::TableName;
use crate::engine::{Error, Piece};
use crate::ledger::SalvageKind;
use std::collections::BTreeSet;

/// Keeps others from writing to the tables while their rows are decided on. Reading goes on, but of those tables whose
/// definition is altered meanwhile: the server lets nobody read them then. `doing` says what for, should it fail.
pub(in super::super) async fn lock(
    session: &mut Session,
    doing: &str,
    tables: &BTreeSet<TableName>,
    altered: &BTreeSet<TableName>,
) -> Result<(), Error> {
    let row = |table: &TableName| format!("({}, {})", literal(&table.sql()), altered.contains(table));
    let names: Vec<String> = tables.iter().map(row).collect();
    if names.is_empty() {
        return Ok(());
    }
    // In the order of their names, so that two of us never wait for each other.
    let sql = format!(
        "SELECT format('%I.%I', n.nspname, c.relname), x.altered FROM (VALUES {}) AS x(name, altered) \
         JOIN pg_class c ON c.oid = to_regclass(x.name) JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' ORDER BY n.nspname, c.relname",
        names.join(", ")
    );
    let rows = session.rows(doing, &sql).await?;
    let locks = rows.iter().map(|row| {
        let mode = if row.is(1) { "ACCESS EXCLUSIVE" } else { "SHARE ROW EXCLUSIVE" };
        format!("LOCK TABLE ONLY {} IN {mode} MODE", row.text(0))
    });
    let locks: Vec<String> = locks.collect();
    match locks.is_empty() {
        true => Ok(()),
        false => session.run(doing, &locks.join("; ")).await,
    }
}

/// Returns the tables whose definition is altered by a merge: an identity column that is always generated may be set only
/// while it is not, and rules are silent.
pub(super) async fn altered(
    session: &mut Session,
    pieces: &[Piece],
    tables: &BTreeSet<TableName>,
) -> Result<BTreeSet<TableName>, Error> {
    let values = pieces.iter().filter(|piece| piece.salvage.what == SalvageKind::Values);
    let set: BTreeSet<(&TableName, &String)> = values
        .flat_map(|piece| piece.salvage.columns.iter().map(|name| (&piece.salvage.table, name)))
        .collect();
    let mut found = BTreeSet::new();
    for table in tables {
        let names = set.iter().filter(|(of, _)| *of == table).map(|(_, name)| literal(name));
        let names = std::iter::once("NULL".to_string()).chain(names).collect::<Vec<_>>().join(", ");
        let number = literal(&table.sql());
        let sql = format!(
            "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass({number}) AND attidentity = 'a' \
             AND NOT attisdropped AND attname IN ({names})) OR EXISTS (SELECT FROM pg_rewrite \
             WHERE ev_class = to_regclass({number}) AND rulename <> '_RETURN' AND ev_enabled <> 'D')"
        );
        if session.value(DOING, &sql).await?.as_deref() == Some("t") {
            found.insert(table.clone());
        }
    }
    Ok(found)
}
