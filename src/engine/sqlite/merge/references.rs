//! Foreign keys that refer to a table, and what becomes of their rows when a value changes that they refer to.

use super::super::session::Session;
use super::undeclared;
use crate::catalog::{Catalog, TableName, quote};
use crate::engine::Error;
use std::collections::{BTreeMap, BTreeSet};

/// A foreign key that refers to a table.
pub(super) struct Reference {
    pub table: TableName,
    /// Its columns, and what each refers to.
    columns: Vec<(String, String)>,
    on_update: OnUpdate,
}

/// What a foreign key does when a value changes that it refers to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnUpdate {
    /// It is looked at later.
    Nothing,
    Refuses,
    Follows,
    /// It loses what it refers to (`SET NULL`, `SET DEFAULT`).
    Loses,
}

impl OnUpdate {
    fn of(text: &str) -> Self {
        match text.to_ascii_uppercase().as_str() {
            "CASCADE" => Self::Follows,
            "RESTRICT" => Self::Refuses,
            set if set.starts_with("SET") => Self::Loses,
            _ => Self::Nothing,
        }
    }
}

impl Reference {
    /// Returns the columns that it refers to.
    pub(super) fn referred(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(_, other)| other.as_str())
    }

    /// Returns its column that refers to this one.
    pub(super) fn to(&self, column: &str) -> Option<&String> {
        self.columns.iter().find(|(_, other)| other.eq_ignore_ascii_case(column)).map(|(own, _)| own)
    }

    /// Returns its column, where that refers to this one alone.
    pub(super) fn only_to(&self, column: &str) -> Option<&String> {
        self.to(column).filter(|_| self.columns.len() == 1)
    }

    /// Returns its columns, this one first.
    pub(super) fn columns_from<'c>(&'c self, first: &'c str) -> Vec<&'c str> {
        let own = self.columns.iter().map(|(own, _)| own.as_str());
        std::iter::once(first).chain(own.filter(|own| *own != first)).collect()
    }

    /// Returns its own columns.
    pub(super) fn own(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(own, _)| own.as_str())
    }

    /// Returns the condition that beside the column which refers to this one a row of its table refers to one of the other; none
    /// where it has no other column.
    pub(super) fn beside(&self, column: &str, row: &str, referred: &str) -> Option<String> {
        let others = self.columns.iter().filter(|(_, other)| !other.eq_ignore_ascii_case(column));
        let pairs = others.map(|(own, other)| format!("{referred}.{} = {row}.{}", quote(other), quote(own)));
        let pairs: Vec<String> = pairs.collect();
        (!pairs.is_empty()).then(|| pairs.join(" AND "))
    }

    /// Tells whether the database itself takes its rows along.
    pub(super) fn follows(&self) -> bool {
        self.on_update == OnUpdate::Follows
    }

    /// Tells whether its rows lose what they refer to when that changes.
    pub(super) fn loses(&self) -> bool {
        self.on_update == OnUpdate::Loses
    }

    /// Tells whether it does something at once when what it refers to changes.
    pub(super) fn acts(&self) -> bool {
        self.on_update != OnUpdate::Nothing
    }

    /// Returns the condition that a row of its table refers to one of the table that it refers to.
    pub(super) fn holds(&self, row: &str, referred: &str) -> String {
        // The collation is that of what is referred to, as for SQLite itself.
        let pairs = self.columns.iter();
        let pairs = pairs.map(|(own, other)| format!("{referred}.{} = {row}.{}", quote(other), quote(own)));
        pairs.collect::<Vec<_>>().join(" AND ")
    }
}

/// Returns the foreign keys that refer to a table, and what does so without one.
pub(super) fn references(
    session: &Session,
    catalog: &Catalog,
    table: &TableName,
) -> Result<Vec<Reference>, Error> {
    let failed = |error| session.failed("reading the keys", error);
    // Without a name it is the primary key, whether or not that tells rows apart.
    let sql = "SELECT id, \"from\", coalesce(\"to\", (SELECT i.name FROM pragma_table_info(?2) i WHERE i.pk = k.seq + 1), ''), \
               on_update FROM pragma_foreign_key_list(?1) k WHERE \"table\" = ?2 COLLATE NOCASE ORDER BY id, seq";
    let mut statement = session.prepare(sql).map_err(failed)?;
    let mut found = Vec::new();
    for child in catalog.tables.keys() {
        let mut of_child: BTreeMap<i64, Reference> = BTreeMap::new();
        let mut rows = statement.query([&child.name, &table.name]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let how: String = row.get(3).map_err(failed)?;
            let reference = of_child.entry(row.get(0).map_err(failed)?).or_insert_with(|| Reference {
                table: child.clone(),
                columns: Vec::new(),
                on_update: OnUpdate::of(&how),
            });
            reference.columns.push((row.get(1).map_err(failed)?, row.get(2).map_err(failed)?));
        }
        found.extend(of_child.into_values());
    }
    for (child, own, other) in undeclared::to(session, table)? {
        let (table, columns) = (TableName::plain(child), vec![(own, other)]);
        found.push(Reference { table, columns, on_update: OnUpdate::Nothing });
    }
    Ok(found)
}

/// Tells whether rows lose what they refer to when a column changes to which these foreign keys refer: those of one that is
/// emptied then, or those that refer to what follows it.
pub(super) fn would_lose(
    session: &Session,
    catalog: &Catalog,
    refer: &[Reference],
    column: &str,
) -> Result<bool, Error> {
    let is_lost =
        |refer: &[Reference], column: &str| refer.iter().any(|one| one.loses() && one.to(column).is_some());
    let following = |refer: &[Reference], column: &str| {
        let follow = refer.iter().filter(|one| one.on_update == OnUpdate::Follows);
        let follow = follow.filter_map(|one| Some((one.table.clone(), one.to(column)?.clone())));
        follow.collect::<Vec<_>>()
    };
    if is_lost(refer, column) {
        return Ok(true);
    }
    let (mut next, mut seen) = (following(refer, column), BTreeSet::new());
    while let Some((table, column)) = next.pop() {
        if !seen.insert((table.clone(), column.clone())) {
            continue;
        }
        let refer = references(session, catalog, &table)?;
        if is_lost(&refer, &column) {
            return Ok(true);
        }
        next.extend(following(&refer, &column));
    }
    Ok(false)
}
