//! What a database consists of, as data: tables with their columns, keys and indexes, everything else by name and
//! definition, and the settings of the database itself. Pure: engines fill it in, [`diff`] compares two.
//!
//! Everything is kept in sorted maps, so that two equal catalogs have equal JSON and [`Catalog::sha256`] can stand
//! for "the schema that a plan was made for".

mod content;
mod diff;
mod identity;
mod name;
mod own_value;
mod publication;

pub use diff::{Change, ChangeKind, diff};
pub use identity::{DatabaseId, EngineKind, Finding, Severity};
pub use name::{TableName, parts, quote, take_quoted};

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The tables that migration tools keep for themselves. Every migration writes to them, so they are checked by
/// their own rules and left out of "this table was not touched".
pub const BOOKKEEPING: [&str; 2] = ["alembic_version", "ripcord_revision"];

/// How the tables begin in which conflicts of a merge are kept until somebody has looked at them.
pub const SIDE_TABLES: &str = "ripcord_conflicts_";
/// How the table begins whose presence says that a merge was committed, until the journal says so too.
pub const MERGED_TABLES: &str = "ripcord_merged_";
/// How the names of tables begin that keep what others wrote between a snapshot and a migration.
pub const MEANWHILE_TABLES: &str = "ripcord_meanwhile_";

/// Everything that a database contains except its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    pub tables: BTreeMap<TableName, Table>,
    /// Views, materialized views, sequences, functions, types, domains, extensions, schemas, publications …
    /// by kind and name (`view public.recent`).
    pub objects: BTreeMap<String, Object>,
    /// What belongs to the database as a whole: `user_version`, `application_id`, `encoding`, owner, grants,
    /// `ALTER DATABASE … SET`.
    pub settings: BTreeMap<String, String>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub kind: TableKind,
    /// In the order of the table.
    pub columns: Vec<Column>,
    /// The columns that identify a row, in key order: the primary key, else a unique index over columns that
    /// cannot be NULL. Empty when nothing identifies a row.
    pub key: Vec<String>,
    /// A primary key of SQLite that can be NULL, in key order: it tells rows apart only as long as it is NULL in no row.
    /// Nothing in a catalog depends on rows, so that it is none until the rows were asked.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub nullable_key: Vec<String>,
    /// Primary, unique, foreign key, check and exclusion constraints: name (or a derived one) to definition.
    pub constraints: BTreeMap<String, String>,
    /// Index name to definition; an invalid index says so in its definition.
    pub indexes: BTreeMap<String, String>,
    /// Trigger name to definition; a disabled trigger says so in its definition.
    pub triggers: BTreeMap<String, String>,
    /// Row-level security policies: name to definition.
    pub policies: BTreeMap<String, String>,
    /// Everything else that is true of the table: owner, grants, comment, `STRICT`, `WITHOUT ROWID`, persistence,
    /// partition bound, storage options, row security, replica identity.
    pub options: BTreeMap<String, String>,
}

impl Table {
    /// Tells whether it inherits columns from a table of which it is no partition. A dump makes those first, in the order of
    /// the parents, wherever they stand.
    pub fn is_child(&self) -> bool {
        self.options.contains_key("inherits") && !self.is_partition()
    }

    /// Tells whether SQLite gives out no number of it twice (`AUTOINCREMENT`).
    pub fn is_counted(&self) -> bool {
        self.constraints.values().any(|text| text.to_ascii_uppercase().contains("AUTOINCREMENT"))
    }

    /// Tells whether it is a partition of another table.
    pub fn is_partition(&self) -> bool {
        self.options.contains_key("partition")
    }

    /// Returns the tables that it is a partition of, or inherits from.
    pub fn parents(&self) -> Vec<TableName> {
        let list = self.options.get("inherits").into_iter().flat_map(|list| list.split(", "));
        list.filter_map(TableName::parse).collect()
    }
}

/// What sort of table it is, which decides how its rows are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableKind {
    #[default]
    Ordinary,
    /// Holds no rows itself; its partitions are tables of their own.
    Partitioned,
    /// A SQLite virtual table (FTS5, R-tree): its rows live in shadow tables.
    Virtual,
    /// Belongs to a virtual table.
    Shadow,
    /// Rows live on another server.
    Foreign,
}

/// One column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    /// The declared type, as the engine writes it.
    pub type_name: String,
    pub not_null: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub default: Option<String>,
    /// The expression of a generated column.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub generated: Option<String>,
    /// Everything else: collation, identity, comment, storage, column grants.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub options: BTreeMap<String, String>,
}

impl Column {
    /// Tells whether its table has it from a parent.
    pub fn is_inherited(&self) -> bool {
        self.options.contains_key("inherited")
    }
}

/// Anything that is not a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// `view`, `materialized view`, `sequence`, `function`, `type`, `extension`, `schema` …
    pub kind: String,
    pub definition: String,
    /// Owner, grants, comment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub options: BTreeMap<String, String>,
}

impl Catalog {
    /// Returns the SHA-256 of the canonical JSON of this catalog: equal catalogs, equal digests.
    pub fn sha256(&self) -> String {
        // Maps are sorted and nothing in a catalog can fail to serialize.
        crate::base::hash::sha256_hex(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Returns the rules and statistics of a table by their names, which are no part of its own definition.
    pub fn belongings(&self, table: &TableName) -> Vec<(&String, &Object)> {
        let is_of = |(key, object): &(&String, &Object)| match object.kind.as_str() {
            "rule" => key.strip_prefix("rule ").and_then(name::parts).is_some_and(|parts| match &parts[..] {
                [schema, name, _] => TableName::qualified(schema, name) == *table,
                _ => false,
            }),
            "statistics" => {
                let of = object.definition.rsplit_once(" FROM ").and_then(|(_, of)| TableName::parse(of));
                of.as_ref() == Some(table)
            }
            _ => false,
        };
        self.objects.iter().filter(is_of).collect()
    }

    /// Returns the tables that hold the rows of a partitioned one, of its partitions' partitions as well.
    pub fn leaves(&self, table: &TableName) -> Vec<&TableName> {
        let is_part = |(_, part): &(&TableName, &Table)| {
            let parent = part.options.get("inherits").and_then(|parent| TableName::parse(parent));
            part.options.contains_key("partition") && parent.as_ref() == Some(table)
        };
        let parts = self.tables.iter().filter(is_part);
        let each = parts.flat_map(|(name, part)| match part.kind {
            TableKind::Partitioned => self.leaves(name),
            TableKind::Ordinary => vec![name],
            _ => Vec::new(),
        });
        each.collect()
    }

    /// Returns a table and all that it is a partition of, or inherits from.
    pub fn ancestors(&self, table: &TableName) -> BTreeSet<TableName> {
        let (mut found, mut open) = (BTreeSet::new(), vec![table.clone()]);
        while let Some(name) = open.pop() {
            let parents = self.tables.get(&name).map(Table::parents).unwrap_or_default();
            if found.insert(name) {
                open.extend(parents);
            }
        }
        found
    }

    /// Tells whether rows of a table are read through others, or those of others through it.
    pub fn is_in_tree(&self, table: &TableName) -> bool {
        let own = self.tables.get(table).is_some_and(|found| !found.parents().is_empty());
        own || self.tables.values().any(|other| other.parents().contains(table))
    }

    /// Returns the catalog without the tables that migration tools keep for themselves.
    pub fn without_bookkeeping(&self) -> Catalog {
        let mut rest = self.clone();
        rest.tables.retain(|name, _| !name.is_bookkeeping());
        rest
    }
}
