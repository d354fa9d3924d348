//! The live table that a piece is merged into: its columns and keys, and how its values are compared.

use super::super::names::{identifier, literal};
use super::super::session::Session;
use crate::catalog::TableName;
use crate::engine::Error;

/// A column of the live table.
pub(super) struct LiveColumn {
    pub name: String,
    pub type_name: String,
    pub generated: bool,
    pub identity: String,
    pub default: Option<String>,
    pub not_null: bool,
    /// Whether other rows refer to it and lose what they refer to when it changes (`ON UPDATE SET NULL`, `SET DEFAULT`).
    pub would_take_along: bool,
    /// How values are compared: `=` (by the type's own equality, which is that of the bytes), `C` (text), `float4` and
    /// `float8` (by their bits), or by the text that the type prints (`citext`, whose keys are the same in either case of their
    /// letters, among them).
    how: String,
}

/// A foreign key of the live table.
#[derive(Clone)]
pub(in crate::engine::postgres) struct ForeignKey {
    pub name: String,
    pub columns: Vec<String>,
    pub parent: TableName,
    /// The partitions of the parent, in which its rows lie.
    pub partitions: Vec<TableName>,
    pub referred: Vec<String>,
    /// Whether a change of the parent's row changes the columns (`ON UPDATE CASCADE`, `SET NULL`, `SET DEFAULT`).
    pub follows: bool,
}

impl ForeignKey {
    /// Returns the tables in which the rows lie that it refers to.
    pub(super) fn parents(&self) -> impl Iterator<Item = &TableName> {
        std::iter::once(&self.parent).chain(&self.partitions)
    }

    pub(super) fn refers_to(&self, table: &TableName) -> bool {
        self.parents().any(|parent| parent == table)
    }
}

impl LiveColumn {
    /// Returns the condition that two values are the same, NULL among them.
    pub(super) fn same(&self, one: &str, other: &str) -> String {
        match self.how.as_str() {
            "=" => format!("({one} IS NOT DISTINCT FROM {other})"),
            // The bits: 0.0 is not -0.0, which the type's own equality calls the same.
            "float4" | "float8" => {
                format!("({0}send({one}) IS NOT DISTINCT FROM {0}send({other}))", self.how)
            }
            "C" => format!("({one} COLLATE \"C\" IS NOT DISTINCT FROM {other} COLLATE \"C\")"),
            _ => format!("({one}::text COLLATE \"C\" IS NOT DISTINCT FROM {other}::text COLLATE \"C\")"),
        }
    }

    /// Returns the condition that two values of a key are the same.
    pub(super) fn equals(&self, one: &str, other: &str) -> String {
        match self.how.as_str() {
            "=" | "C" => format!("{one} = {other}"),
            // As its own equality says, and a unique index over it: whatever the case of the letters.
            "citext" => format!("pg_catalog.lower({one}::text) = pg_catalog.lower({other}::text)"),
            _ => format!("{one}::text COLLATE \"C\" = {other}::text COLLATE \"C\""),
        }
    }

    pub(super) fn vacant(&self, table: &TableName) -> Option<String> {
        let name = identifier(&self.name);
        match self.type_name.as_str() {
            _ if !self.not_null => Some("NULL".to_string()),
            "smallint" | "integer" | "bigint" => {
                Some(format!("(SELECT least(min({name}), 0) FROM ONLY {}) - m.number", table.sql()))
            }
            "text" => Some("'ripcord ' || m.number || ' ' || random()".to_string()),
            _ => None,
        }
    }

    /// Tells whether it holds whole numbers.
    pub(super) fn is_number(&self) -> bool {
        ["smallint", "integer", "bigint"].contains(&self.type_name.as_str())
    }

    /// Tells whether it holds text, which is nobody else's by chance.
    pub(super) fn is_word(&self) -> bool {
        let name = self.type_name.as_str();
        name.starts_with("character") || ["text", "citext", "uuid"].contains(&name)
    }

    /// Tells whether an insert must name it.
    pub(super) fn is_required(&self) -> bool {
        self.not_null && !self.generated && self.identity.is_empty() && self.default.is_none()
    }

    /// Tells whether rows get values of their own, when nobody names one.
    pub(super) fn makes_its_own(&self) -> bool {
        !self.identity.is_empty() || (self.default.is_some() && self.constant_default().is_none())
    }

    /// Returns the default as SQL, if it is the same at every time.
    pub(super) fn constant_default(&self) -> Option<&str> {
        let text = self.default.as_deref()?;
        let number = text
            .trim_matches(|next| "()-".contains(next))
            .chars()
            .all(|next| next.is_ascii_digit() || next == '.');
        let word = ["true", "false"].contains(&text);
        let quoted = text.starts_with('\'') && {
            let end = text.rfind('\'').unwrap_or(0);
            let after = &text[end + 1..];
            // 'now'::timestamp is read anew each time; as a default it is stored evaluated, so a literal is a literal.
            end > 0 && (after.is_empty() || after.starts_with("::"))
        };
        (number || word || quoted).then_some(text)
    }
}

/// Returns the condition that a value is the one that is printed so.
pub(super) fn is_text(text: &str, value: &str) -> String {
    format!("({value}::text COLLATE \"C\" IS NOT DISTINCT FROM {} COLLATE \"C\")", literal(text))
}

pub(super) async fn columns(session: &mut Session, table: &TableName) -> Result<Vec<LiveColumn>, Error> {
    let sql = format!(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attgenerated <> '', a.attidentity, \
         CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END, a.attnotnull, \
         CASE WHEN t.typname = 'citext' AND t.typtype = 'b' THEN 'citext' \
         WHEN t.typnamespace <> 'pg_catalog'::regnamespace OR t.typtype <> 'b' THEN '' \
         WHEN t.typname IN ('int2', 'int4', 'int8', 'bool', 'uuid', 'date', 'timestamp', 'timestamptz', 'bytea', 'oid') \
         THEN '=' WHEN t.typname IN ('text', 'varchar') THEN 'C' \
         WHEN t.typname IN ('float4', 'float8') THEN t.typname::text ELSE '' END, \
         EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid = a.attrelid \
         AND a.attnum = ANY (k.confkey) AND k.confupdtype IN ('n', 'd')) \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid = to_regclass({}) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        literal(&table.sql())
    );
    let rows = session.rows("reading the columns", &sql).await?;
    let column = |row: &super::super::session::Row| LiveColumn {
        name: row.text(0).to_string(),
        type_name: row.text(1).to_string(),
        generated: row.is(2),
        identity: row.text(3).to_string(),
        default: row.filled(4),
        not_null: row.is(5),
        how: row.text(6).to_string(),
        would_take_along: row.is(7),
    };
    Ok(rows.iter().map(column).collect())
}

/// Tells whether there is such a table: one without columns has nothing else to be known by.
pub(super) async fn is_there(session: &mut Session, table: &TableName) -> Result<bool, Error> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass({}) AND relkind = 'r')",
        literal(&table.sql())
    );
    Ok(session.value("looking for a table", &sql).await?.as_deref() == Some("t"))
}

pub(in crate::engine::postgres) async fn foreign_keys(
    session: &mut Session,
    table: &TableName,
) -> Result<Vec<ForeignKey>, Error> {
    // One that refers to a partitioned table has a row for each of its partitions too, in none of which a parent must be.
    let sql = format!(
        "SELECT k.oid, k.conname, a.attname, pn.nspname, p.relname, pa.attname, k.confupdtype IN ('c', 'n', 'd'), \
         (SELECT json_agg(ARRAY[n.nspname, c.relname])::text FROM pg_partition_tree(k.confrelid) AS part \
         JOIN pg_class c ON c.oid = part.relid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE part.relid <> k.confrelid) FROM pg_constraint k \
         JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace, \
         unnest(k.conkey, k.confkey) WITH ORDINALITY AS x(own, other, place) \
         JOIN pg_attribute a ON a.attnum = x.own JOIN pg_attribute pa ON pa.attnum = x.other \
         WHERE k.contype = 'f' AND k.conrelid = to_regclass({}) AND a.attrelid = k.conrelid \
         AND pa.attrelid = k.confrelid AND NOT EXISTS (SELECT FROM pg_constraint up \
         WHERE up.oid = k.conparentid AND up.conrelid = k.conrelid) ORDER BY k.oid, x.place",
        literal(&table.sql())
    );
    let mut keys: Vec<(u32, ForeignKey)> = Vec::new();
    for row in session.rows("reading the keys", &sql).await? {
        let number = row.number(0);
        if keys.last().is_none_or(|(last, _)| *last != number) {
            let parent = TableName::qualified(row.text(3), row.text(4));
            let name = row.text(1).to_string();
            let partitions = row.maybe(7).map(qualified).unwrap_or_default();
            let (columns, referred, follows) = (Vec::new(), Vec::new(), row.is(6));
            keys.push((number, ForeignKey { name, columns, parent, partitions, referred, follows }));
        }
        if let Some((_, key)) = keys.last_mut() {
            key.columns.push(row.text(2).to_string());
            key.referred.push(row.text(5).to_string());
        }
    }
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

/// Reads tables from a list of their names in JSON.
fn qualified(list: &str) -> Vec<TableName> {
    let names: Vec<[String; 2]> = serde_json::from_str(list).unwrap_or_default();
    names.iter().map(|[schema, name]| TableName::qualified(schema, name)).collect()
}

/// Tells whether tables inherit from it that are no partitions.
pub(super) async fn is_inherited(session: &mut Session, table: &TableName) -> Result<bool, Error> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid \
         WHERE h.inhparent = to_regclass({}) AND c.relkind = 'r' AND NOT c.relispartition)",
        literal(&table.sql())
    );
    Ok(session.value("looking for tables that inherit", &sql).await?.as_deref() == Some("t"))
}

/// Tells whether a unique index of the live table is over these columns, or some of them.
pub(super) async fn is_unique(
    session: &mut Session,
    table: &TableName,
    columns: &[String],
) -> Result<bool, Error> {
    let names: Vec<String> = columns.iter().map(|name| literal(name)).collect();
    if names.is_empty() {
        return Ok(false);
    }
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = to_regclass({}) AND i.indisunique AND i.indisvalid \
         AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (SELECT FROM unnest(i.indkey[0:i.indnkeyatts - 1]) \
         AS k(number) JOIN pg_attribute a ON a.attnum = k.number WHERE a.attrelid = i.indrelid \
         AND a.attname NOT IN ({})))",
        literal(&table.sql()),
        names.join(", ")
    );
    Ok(session.value("reading the keys", &sql).await?.as_deref() == Some("t"))
}
