//! The B-trees of a database: which table or index each is, and which one a page belongs to.

use super::super::session::Session;
use super::pages::Pages;
use crate::engine::Error;
use std::collections::BTreeMap;

/// A table or an index that is stored, as `sqlite_schema` lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tree {
    pub name: String,
    pub root: i64,
    /// The text is NULL for indexes that belong to a constraint.
    pub sql: Option<String>,
}

/// A table with its indexes: what has to be the same for its rows, and their order in its indexes, to be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub table: Tree,
    pub indexes: Vec<Tree>,
}

/// Returns everything that is stored, by the name of the table; the schema's own table as well.
pub(super) fn stored(session: &Session) -> Result<BTreeMap<String, Stored>, Error> {
    let failed = |error| session.failed("reading the catalog", error);
    let sql = "SELECT type = 'table', name, tbl_name, rootpage, sql FROM sqlite_schema
        WHERE type IN ('table', 'index') AND rootpage > 0 ORDER BY type = 'index', name";
    let mut statement = session.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let schema = Tree { name: "sqlite_schema".to_string(), root: 1, sql: None };
    let mut found = BTreeMap::from([(schema.name.clone(), Stored { table: schema, indexes: Vec::new() })]);
    while let Some(row) = rows.next().map_err(failed)? {
        let read = || {
            let tree = Tree { name: row.get(1)?, root: row.get(3)?, sql: row.get(4)? };
            Ok::<_, rusqlite::Error>((row.get::<_, bool>(0)?, row.get::<_, String>(2)?, tree))
        };
        let (is_table, owner, tree) = read().map_err(failed)?;
        if is_table {
            found.insert(owner, Stored { table: tree, indexes: Vec::new() });
        } else if let Some(stored) = found.get_mut(&owner) {
            stored.indexes.push(tree);
        }
    }
    Ok(found)
}

/// Takes every page of one tree out of the set, overflow pages included; tells whether there was one.
pub(super) fn take_pages_of(tree: &Tree, pages: &mut Pages, session: &Session) -> Result<bool, Error> {
    let failed = |error| session.failed("asking which table a page belongs to", error);
    let mut statement =
        session.prepare_cached("SELECT pageno FROM dbstat WHERE name = ?1").map_err(failed)?;
    let mut rows = statement.query([&tree.name]).map_err(failed)?;
    let mut found = false;
    while let Some(row) = rows.next().map_err(failed)? {
        let page: i64 = row.get(0).map_err(failed)?;
        found |= pages.take(page.unsigned_abs());
        if pages.is_empty() {
            break;
        }
    }
    Ok(found)
}
