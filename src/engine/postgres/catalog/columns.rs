//! Columns, and the key that identifies a row.

use super::reader::Reader;
use super::{FIRST_AT_ALL, USER_SCHEMA, canonical::canonical, sorted};
use crate::catalog::{Column, TableName};
use crate::engine::Error;
use crate::engine::postgres::session::Row;

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<(), Error> {
    // Since 14 a column can name its compression.
    let compression = if reader.major() >= 14 {
        "CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END"
    } else {
        "NULL"
    };
    let sql = format!(
        "SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
         pg_get_expr(d.adbin, d.adrelid), a.attgenerated, \
         CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END, \
         (SELECT format('%I.%I', cn.nspname, co.collname) FROM pg_collation co \
         JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation \
         AND a.attcollation <> t.typcollation), \
         col_description(c.oid, a.attnum), \
         (SELECT string_agg(g.item::text, ' ' ORDER BY g.item::text COLLATE \"C\") FROM unnest(a.attacl) AS g(item)), \
         CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage::text END, {compression}, \
         CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END, {options}, {foreign_options}, \
         CASE WHEN a.attinhcount > 0 THEN CASE WHEN a.attislocal THEN 'merged' ELSE 'yes' END END \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE c.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped AND {USER_SCHEMA} \
         ORDER BY c.oid, a.attnum",
        options = sorted("a.attoptions"),
        foreign_options = sorted("a.attfdwoptions"),
    );
    for row in reader.ask("reading the columns", &sql).await? {
        // Tables of extensions are not in the catalog, so their columns have no place to go.
        if let Some(table) = reader.catalog.tables.get_mut(&TableName::qualified(row.text(0), row.text(1))) {
            table.columns.push(column(&row));
        }
    }
    keys(reader).await
}

const OPTIONS: [&str; 10] = [
    "identity",
    "collation",
    "comment",
    "grants",
    "storage",
    "compression",
    "statistics",
    "options",
    "foreign options",
    "inherited",
];

fn column(row: &Row) -> Column {
    let expression = row.filled(5).map(|text| canonical(&text));
    let generated = match row.text(6) {
        "" => None,
        kind => expression
            .clone()
            .map(|text| format!("{text} {}", if kind == "s" { "STORED" } else { "VIRTUAL" })),
    };
    let options = OPTIONS.iter().enumerate();
    let options = options.filter_map(|(index, name)| Some((name.to_string(), row.filled(index + 7)?)));
    Column {
        name: row.text(2).to_string(),
        type_name: row.text(3).to_string(),
        not_null: row.is(4),
        default: if generated.is_some() { None } else { expression },
        generated,
        options: options.collect(),
    }
}

async fn keys(reader: &mut Reader<'_>) -> Result<(), Error> {
    for row in reader.ask("reading the keys", &keys_sql()).await? {
        if let Some(table) = reader.catalog.tables.get_mut(&TableName::qualified(row.text(0), row.text(1))) {
            table.key.push(row.text(2).to_string());
        }
    }
    Ok(())
}

/// Asks for (schema, table, column), in key order: the primary key, else a unique index over columns that cannot be
/// NULL, the first by name among those with the fewest columns. Partial, invalid and deferrable ones do not identify
/// a row at every moment.
pub(in crate::engine::postgres) fn keys_sql() -> String {
    format!(
        "SELECT i.nspname, i.relname, a.attname \
         FROM (SELECT DISTINCT ON (i.indrelid) n.nspname, c.relname, i.indrelid, i.indkey[0:i.indnkeyatts - 1] AS parts \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_class ic ON ic.oid = i.indexrelid \
         WHERE i.indrelid >= {FIRST_AT_ALL} AND {USER_SCHEMA} \
         AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL \
         AND NOT EXISTS (SELECT FROM pg_attribute pa WHERE pa.attrelid = i.indrelid \
         AND pa.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]) AND NOT pa.attnotnull) \
         ORDER BY i.indrelid, i.indisprimary DESC, i.indnkeyatts, ic.relname COLLATE \"C\") i, \
         unnest(i.parts) WITH ORDINALITY AS k(number, position) \
         JOIN pg_attribute a ON a.attnum = k.number \
         WHERE a.attrelid = i.indrelid ORDER BY 1, 2, k.position"
    )
}
