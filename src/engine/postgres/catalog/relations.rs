//! Tables as a whole: kind, owner, grants and everything else that is true of the table itself.

use super::reader::Reader;
use super::{USER_SCHEMA, canonical::canonical, grants, not_of_extension, sorted};
use crate::catalog::{Table, TableKind, TableName};
use crate::engine::Error;
use crate::engine::postgres::session::Row;

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<(), Error> {
    let inherits = "(SELECT string_agg(format('%I.%I', pn.nspname, pc.relname), ', ' ORDER BY h.inhseqno) FROM pg_inherits h \
         JOIN pg_class pc ON pc.oid = h.inhparent JOIN pg_namespace pn ON pn.oid = pc.relnamespace \
         WHERE h.inhrelid = c.oid)";
    let server = format!(
        "(SELECT fs.srvname || ' ' || coalesce({}, '') FROM pg_foreign_table ft \
         JOIN pg_foreign_server fs ON fs.oid = ft.ftserver WHERE ft.ftrelid = c.oid)",
        sorted("ft.ftoptions")
    );
    let label = "(SELECT string_agg(provider || ': ' || label, ', ' ORDER BY provider) FROM pg_seclabel \
         WHERE classoid = 'pg_class'::regclass AND objoid = c.oid AND objsubid = 0)";
    let sql = format!(
        "SELECT n.nspname, c.relname, c.relkind, pg_get_userbyid(c.relowner), {grants}, \
         obj_description(c.oid, 'pg_class'), {options}, \
         CASE c.relpersistence WHEN 'u' THEN 'unlogged' WHEN 't' THEN 'temporary' END, \
         CASE WHEN c.relrowsecurity THEN 'enabled' END, CASE WHEN c.relforcerowsecurity THEN 'forced' END, \
         CASE c.relreplident WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing' WHEN 'i' THEN 'index ' || \
         (SELECT ic.relname FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid \
         WHERE i.indrelid = c.oid AND i.indisreplident) END, \
         pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid), \
         {inherits}, \
         (SELECT t.spcname FROM pg_tablespace t WHERE t.oid = c.reltablespace), \
         (SELECT am.amname FROM pg_am am WHERE am.oid = c.relam AND am.amname <> 'heap'), \
         CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END, \
         (SELECT {toast} FROM pg_class toast WHERE toast.oid = c.reltoastrelid), {server}, {label} \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'f') AND {USER_SCHEMA} AND {own}",
        grants = grants("c.relacl", 'r', "c.relowner"),
        options = sorted("c.reloptions"),
        inherits = reader.unless_absent("pg_inherits", inherits),
        server = reader.unless_absent("pg_foreign_server", &server),
        label = reader.unless_absent("pg_seclabel", label),
        toast = sorted("toast.reloptions"),
        own = not_of_extension("pg_class", "c.oid"),
    );
    let rows = reader.ask("reading the tables", &sql).await?;
    let tables = rows.iter().map(|row| (TableName::qualified(row.text(0), row.text(1)), table(row)));
    reader.catalog.tables = tables.collect();
    Ok(())
}

/// What the columns of the query from the fourth on are called.
const OPTIONS: [&str; 17] = [
    "owner",
    "grants",
    "comment",
    "storage",
    "persistence",
    "row security",
    "row security for the owner",
    "replica identity",
    "partitioned by",
    "partition",
    "inherits",
    "tablespace",
    "access method",
    "of type",
    "toast storage",
    "server",
    "security label",
];

fn table(row: &Row) -> Table {
    let kind = match row.text(2) {
        "p" => TableKind::Partitioned,
        "f" => TableKind::Foreign,
        _ => TableKind::Ordinary,
    };
    let options = OPTIONS.iter().enumerate().filter_map(|(index, name)| {
        let value = row.filled(index + 3)?;
        let value = if matches!(*name, "partition" | "partitioned by") { canonical(&value) } else { value };
        Some((name.to_string(), value))
    });
    Table { kind, options: options.collect(), ..Table::default() }
}
