//! Tables whose rows are read through one root: the partitions of a partitioned table, and tables that inherit from each
//! other. Pure.
//!
//! A row that went from one of them to another one is still a row of the root: it was moved, and not deleted. Where rows of
//! such a table are gone, an engine looks for them in the others as well; what it finds there counts as [`RowChanges::moved`].

use super::RowChanges;
use crate::catalog::{Catalog, TableKind, TableName};
use crate::fingerprint::{Digest, Inventory, TableFingerprint};
use std::collections::{BTreeMap, BTreeSet};

/// Where rows of a table may be, besides in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The table, as far as it is there now.
    pub own: Option<Member>,
    /// The others of the tree, as they were and as they are.
    pub before: Vec<Member>,
    pub now: Vec<Member>,
    /// The key and all columns of the table before.
    pub key: Vec<String>,
    pub columns: Vec<String>,
    /// Whether the whole tree promises that its key is of one row.
    pub is_one_key: bool,
}

/// A table of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub table: TableName,
    pub columns: BTreeSet<String>,
    /// Whether it does not hold the same rows before and now: otherwise nothing can have come from it, or gone there.
    pub changed: bool,
}

impl Member {
    pub fn has(&self, column: &String) -> bool {
        self.columns.contains(column)
    }
}

impl Tree {
    /// Returns the tree of a table before that is called `place` now, if it has one.
    pub fn of(
        (before, now): (&Inventory, &Inventory),
        name: &TableName,
        place: Option<&TableName>,
    ) -> Option<Self> {
        let is_any = |catalog: &Catalog| catalog.tables.values().any(|table| !table.parents().is_empty());
        // Most databases have none.
        if !is_any(&before.catalog) && !is_any(&now.catalog) {
            return None;
        }
        let mut roots = before.catalog.ancestors(name);
        let was = members((before, now), &roots, &[Some(name)]);
        roots.extend(place.into_iter().flat_map(|place| now.catalog.ancestors(place)));
        let is = members((now, before), &roots, &[Some(name), place]);
        if is.is_empty() {
            return None;
        }
        let old = before.fingerprint.tables.get(name)?;
        let own = place.and_then(|place| Some((place, now.fingerprint.tables.get(place)?)));
        let own = own.map(|(table, print)| Member {
            table: table.clone(),
            columns: print.columns.keys().cloned().collect(),
            changed: true,
        });
        let is_root = |root: &&TableName| {
            let table = before.catalog.tables.get(*root);
            table.is_some_and(|table| table.kind == TableKind::Partitioned && !table.is_partition())
        };
        let root = roots.iter().find(is_root).and_then(|root| before.catalog.tables.get(root));
        Some(Self {
            own,
            before: was,
            now: is,
            is_one_key: root.is_some_and(|root| !root.key.is_empty() && root.key == old.key),
            key: old.key.clone(),
            columns: old.columns.keys().cloned().collect(),
        })
    }

    /// Returns what the rows are read through now.
    pub(super) fn root(now: &Catalog, before: &Catalog, name: &TableName) -> TableName {
        let roots = before.ancestors(name);
        let is_top =
            |root: &&TableName| now.tables.get(*root).is_some_and(|table| table.parents().is_empty());
        roots.iter().find(is_top).unwrap_or(name).clone()
    }
}

/// Returns the tables with rows of their own that are read through one of these.
fn members(
    (one, other): (&Inventory, &Inventory),
    roots: &BTreeSet<TableName>,
    but: &[Option<&TableName>],
) -> Vec<Member> {
    let held = one.fingerprint.tables.iter();
    let held = held.filter(|(name, _)| !name.is_bookkeeping() && !but.contains(&Some(*name)));
    let members = held.filter(|(name, _)| !one.catalog.ancestors(name).is_disjoint(roots));
    let member = |(name, print): (&TableName, &TableFingerprint)| Member {
        table: name.clone(),
        columns: print.columns.keys().cloned().collect(),
        changed: other.fingerprint.tables.get(name) != Some(print),
    };
    members.map(member).collect()
}

impl RowChanges {
    /// Returns what stands for a table that is there no longer, and whose rows are in others of its tree: it has the columns in
    /// which they were compared, and nothing says of any of them that it is the same.
    pub(super) fn in_tree(&self, old: &TableFingerprint) -> Option<TableFingerprint> {
        let is_there = |column: &String| self.columns.contains_key(&(column.clone(), column.clone()));
        let columns = old.columns.iter().filter(|(name, _)| self.columns.is_empty() || is_there(name));
        let columns: BTreeMap<String, Digest> =
            columns.map(|(name, digest)| (name.clone(), Digest(!digest.0))).collect();
        (self.moved > 0).then(|| TableFingerprint {
            rows: old.rows.saturating_sub(self.deleted),
            digest: Digest(!old.digest.0),
            key: old.key.clone(),
            columns,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Table;

    /// Name, kind, key, parent and number of rows.
    type Made<'a> = (&'a str, TableKind, &'a [&'a str], Option<&'a str>, u64);

    fn inventory(tables: &[Made<'_>]) -> Inventory {
        let mut made = crate::ledger::tests::inventory(&[]);
        for (name, kind, key, parent, rows) in tables {
            let key: Vec<String> = key.iter().map(|name| name.to_string()).collect();
            let name = TableName::qualified("public", *name);
            let mut table = Table { kind: *kind, key: key.clone(), ..Table::default() };
            if let Some(parent) = parent {
                table.options.insert("inherits".to_string(), format!("public.{parent}"));
                table.options.insert("partition".to_string(), "DEFAULT".to_string());
            }
            made.catalog.tables.insert(name.clone(), table);
            if *kind == TableKind::Ordinary {
                let print = TableFingerprint { rows: *rows, key, ..TableFingerprint::default() };
                made.fingerprint.tables.insert(name, print);
            }
        }
        made
    }

    fn names(members: &[Member]) -> Vec<(&str, bool)> {
        members.iter().map(|member| (member.table.name.as_str(), member.changed)).collect()
    }

    #[test]
    fn the_rows_of_a_partition_may_be_in_any_other_of_its_root_and_in_none_of_another_table() {
        let (part, plain) = (TableKind::Partitioned, TableKind::Ordinary);
        let before = inventory(&[
            ("e", part, &["id"], None, 0),
            ("e1", plain, &["id"], Some("e"), 4),
            ("e2", plain, &["id"], Some("e"), 2),
            ("t", plain, &["id"], None, 4),
        ]);
        let now = inventory(&[
            ("e", part, &["id"], None, 0),
            ("e2", plain, &["id"], Some("e"), 2),
            ("e3", part, &["id"], Some("e"), 0),
            ("e3a", plain, &["id"], Some("e3"), 4),
            ("t", plain, &["id"], None, 4),
        ]);
        let e1 = TableName::qualified("public", "e1");
        let tree = Tree::of((&before, &now), &e1, None).expect("a tree");
        assert_eq!(names(&tree.before), [("e2", false)]);
        assert_eq!(names(&tree.now), [("e2", false), ("e3a", true)]);
        assert!(tree.is_one_key && tree.own.is_none());
        let t = TableName::qualified("public", "t");
        assert_eq!(Tree::of((&before, &now), &t, Some(&t)), None);
        // A table that was divided is read through its name all the same.
        let e = TableName::qualified("public", "e");
        let whole = inventory(&[("e", plain, &["id"], None, 6)]);
        let tree = Tree::of((&whole, &now), &e, None).expect("a tree");
        assert_eq!(names(&tree.now), [("e2", true), ("e3a", true)]);
    }
}
